// Rounding to the half types, and widening from binary16, in bytes read and written.

import { roundTo } from '../reference.js';
import { floats, integers, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    const n = 1 << 18;
    k.reset();
    const x = floats(rng(1), n, 10);
    // Patterns of finite numbers below 2.
    const bits = Uint16Array.from(integers(rng(2), n, 0x4000));
    const [from, narrow, y] = [k.put(x), k.put(bits), k.room(4 * n)];
    const types = [{ name: 'binary16', mode: 1, digits: 11, low: -14, high: 15 },
        { name: 'bfloat16', mode: 2, digits: 8, low: -126, high: 127 }];
    return [
        ...types.map(({ name, mode, digits, low, high }) => row({
            name: `to ${name}, ${n}`, run: () => k.call.cmha_round_f32(y, from, n, mode), got: () => k.floats(y, n),
            expected: x.map((v) => roundTo(v, digits, low, high)), tolerance: 0, bytes: 8 * n,
        })),
        row({
            name: `from binary16, ${n}`, run: () => k.call.cmha_widen_f16(y, narrow, n), got: () => k.floats(y, n),
            expected: Float32Array.from(bits, (b) => {
                const e = b >> 10;
                return ((b & 1023) + (e === 0 ? 0 : 1024)) * 2 ** (Math.max(e, 1) - 25);
            }),
            tolerance: 0, bytes: 6 * n,
        }),
    ];
}
