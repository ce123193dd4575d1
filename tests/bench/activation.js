// ReLU and both GELUs, in bytes read and written.

import { activations } from '../reference.js';
import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    const names = ['', 'ReLU', 'GELU, tanh', 'GELU, erf'];
    const n = 96 * 3072;
    return [1, 2, 3].map((activation) => {
        k.reset();
        const x = floats(rng(activation), n, 6);
        const [from, y] = [k.put(x), k.room(4 * n)];
        return row({
            name: `${names[activation]}, ${n}`,
            run: () => k.call.cmha_activation_f32(y, from, n, activation),
            got: () => k.floats(y, n),
            expected: Float64Array.from(x, activations[activation]),
            tolerance: 2e-6,
            bytes: 8 * n,
        });
    });
}
