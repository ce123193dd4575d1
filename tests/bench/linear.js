// Projections: one row at the speed of memory, many rows at that of the multiply-adds.

import { activations, linear } from '../reference.js';
import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    const cases = [
        { rows: 1, depth: 768, n: 768 }, { rows: 1, depth: 768, n: 3072, activation: 2 },
        { rows: 1, depth: 576, n: 9216 }, { rows: 4, depth: 768, n: 768 },
        { rows: 32, depth: 768, n: 768 }, { rows: 512, depth: 768, n: 768 },
        { rows: 512, depth: 768, n: 3072, activation: 2 }, { rows: 509, depth: 251, n: 253 },
    ];
    return cases.map(({ rows, depth, n, activation = 0 }) => {
        k.reset();
        const random = rng(rows + n);
        const [x, w, bias] = [floats(random, rows * depth), floats(random, depth * n, 0.1), floats(random, n)];
        const packed = k.room(4 * k.call.cmha_packed_size(depth, n));
        k.call.cmha_pack_f32(packed, k.put(w), depth, n, 0, n, 1);
        const y = k.room(4 * rows * n);
        const op = k.args(k.linear({
            x: k.put(x), xStride: depth, rows, k: depth, n, w: packed, bias: k.put(bias), y, yStride: n, activation,
        }));
        const checked = Math.min(rows, 13); // the last rows: a naive product of all would take longer than the bench
        return row({
            name: `${rows} x ${depth} x ${n}${activation ? ', GELU' : ''}`,
            run: () => k.call.cmha_linear_f32(op, 0, rows, 0, n),
            got: () => k.floats(y + 4 * (rows - checked) * n, checked * n),
            expected: linear(x.subarray((rows - checked) * depth), w, bias, checked, depth, n)
                .map(activations[activation]),
            tolerance: 1e-5,
            ...(rows < 8 ? { bytes: 4 * depth * n } : { flops: 2 * rows * depth * n }),
        });
    });
}
