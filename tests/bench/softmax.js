// The softmax of vocabularies: a row is read three times from the nearest cache and written twice.

import { softmax } from '../reference.js';
import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    return [4096, 50257].map((n) => {
        k.reset();
        const x = floats(rng(n), n, 6);
        const [from, y] = [k.put(x), k.room(4 * n)];
        return row({
            name: `${n}`,
            run: () => k.call.cmha_softmax_f32(y, from, n, 1),
            got: () => k.floats(y, n),
            expected: softmax(x),
            tolerance: 1e-6,
            bytes: 8 * n,
        });
    });
}
