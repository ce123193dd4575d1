// Packing of weights, once per load; in bytes read and written.

import { floats, rng } from '../rng.js';
import { kernelBench } from './lib/kernel.js';

/** @param {{ variant: 'simd128' | 'relaxed' }} options @returns {Promise<import('./lib/kernel.js').Row[]>} */
export async function bench({ variant }) {
    const { k, row } = await kernelBench(variant);
    k.reset();
    const [depth, n] = [768, 768];
    const w = floats(rng(1), depth * n);
    const [from, panels] = [k.put(w), k.room(4 * depth * n)];
    const place = (/** @type {number} */ i) => [Math.floor(i / 8) % depth, Math.floor(i / (8 * depth)) * 8 + i % 8];
    const at = (/** @type {[number, number]} */ [row, column], /** @type {number} */ stride) => w[row * stride + column];
    const packed = w.map((_, i) => at(/** @type {[number, number]} */ (place(i)), n));
    const transposed = w.map((_, i) => at(/** @type {[number, number]} */ (place(i).reverse()), depth));
    const bytes = 8 * depth * n;
    return [
        row({
            name: `weights ${depth} x ${n}`,
            run: () => k.call.cmha_pack_f32(panels, from, depth, n, 0, n, 1),
            got: () => k.floats(panels, depth * n),
            expected: packed,
            tolerance: 0,
            bytes,
        }),
        row({
            name: `a tied embedding ${n} x ${depth}`,
            run: () => k.call.cmha_pack_f32(panels, from, depth, n, 0, 1, depth),
            got: () => k.floats(panels, depth * n),
            expected: transposed,
            tolerance: 0,
            bytes,
        }),
    ];
}
