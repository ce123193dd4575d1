// Layer normalization: a row is read three times from the nearest cache and written once.

import { layerNorm } from '../reference.js';
import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    return [[1, 768], [512, 768], [100, 251]].map(([rows, n]) => {
        k.reset();
        const random = rng(rows);
        const [x, gamma, beta] = [floats(random, rows * n), floats(random, n), floats(random, n)];
        const y = k.room(4 * rows * n);
        const op = k.args(k.norm({
            x: k.put(x), xStride: n, y, yStride: n, rows, n, gamma: k.put(gamma), beta: k.put(beta), epsilon: 1e-5,
        }));
        return row({
            name: `${rows} x ${n}`,
            run: () => k.call.cmha_layer_norm_f32(op, 0, rows),
            got: () => k.floats(y, rows * n),
            expected: layerNorm(x, gamma, beta, rows, n, 1e-5),
            tolerance: 1e-5,
            bytes: 8 * rows * n,
        });
    });
}
