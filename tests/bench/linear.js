// Projections: one row at the speed of memory, many rows at that of the multiply-adds.

import { activations, linear } from '../reference.js';
import { floats, rng } from '../rng.js';
import { INT8, KIND, QUANTIZE } from '../../js/engine/interface.js';
import { WEIGHT } from '../../js/engine/weight-types.js';
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
    const floating = cases.map(({ rows, depth, n, activation = 0 }) => {
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
    const types = Object.values(WEIGHT).filter(({ name }) => name !== 'F32' && name !== 'I4');
    const typed = types.flatMap((type) => [1, 64].map((rows) => row(typedCase(k, type, rows, 768, 1536))));
    return [...floating, ...typed];
}

/**
 * Weights of a type, those in blocks with activations as bytes; the expected values are those of what they decode to.
 * @param {import('../unit/kernels.js').Kernels} k
 * @param {import('../../js/blocks/weight.js').WeightType} type
 * @param {number} rows @param {number} depth @param {number} n
 * @returns {Parameters<Awaited<ReturnType<typeof kernelBench>>['row']>[0]}
 */
function typedCase(k, type, rows, depth, n) {
    k.reset();
    const random = rng(rows + n);
    const x = floats(random, rows * depth);
    const size = n * depth / type.block * type.bytes;
    // Bits for which every 16-bit number, such as a scale, is small, positive and, as those of most files, not subnormal: a
    // processor may take several times as long for these.
    const raw = Uint8Array.from({ length: size }, () => Math.floor(random() * 256) & 0x23 | 0x10);
    const [from, w, values] = [k.put(raw), k.room(k.call.cmha_weight_bytes(type.id, depth, n)), k.room(4 * depth)];
    k.call.cmha_weight_pack(type.id, w, type.id, from, depth, n, 0, n);
    const checked = Math.min(rows, 3);
    const expected = new Float64Array(checked * n);
    for (let c = 0; c < n; c++) {
        k.call.cmha_weight_row(type.id, values, w, depth, c);
        const column = k.floats(values, depth);
        for (let r = 0; r < checked; r++) expected[r * n + c] = linear(x.subarray(r * depth), column, null, 1, depth, 1)[0];
    }
    const [at, y] = [k.put(x), k.room(4 * rows * n)];
    const fields = { x: at, xStride: depth, rows, k: depth, n, w, type: type.id, y, yStride: n };
    const quantized = type.block > 1 ? k.room(rows * depth / INT8.INPUTS * INT8.BYTES) : 0;
    if (quantized !== 0) k.run(k.op(KIND.QUANTIZE, QUANTIZE, { x: at, xStride: depth, rows, k: depth, y: quantized }));
    const op = k.args(k.linear({ ...fields, quantized }));
    const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    return {
        name: `${rows} x ${depth} x ${n}, ${type.name}`,
        run: () => k.call.cmha_linear_f32(op, 0, rows, 0, n),
        got: () => k.floats(y, checked * n),
        expected,
        tolerance: largest * (type.block > 1 ? 0.02 : 1e-5),
        ...(rows < 8 ? { bytes: size } : { flops: 2 * rows * depth * n }),
    };
}
