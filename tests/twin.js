// The layer as Keras defines it for inputs [B, T, F], naive, in float64: what random cases are compared with.

import { attention, linear } from './reference.js';

/** @typedef {{ shape: readonly number[], data: ArrayLike<number> }} Plain */

/**
 * @param {{ numHeads: number, keyDim: number, valueDim: number, useBias: boolean, explicit: boolean }} config
 *   explicit: with scores or dropout
 * @param {readonly Plain[]} weights in Keras's order, without a gate
 * @param {Plain} query [B, T, Fq]
 * @param {Plain} value [B, S*, Fv]
 * @param {{ key?: Plain, mask?: Plain, cache?: Plain, index?: number, causal?: boolean }} given
 * @returns {{ output: Plain, scores: Plain, cache: Plain | null }}
 */
export function twin(config, weights, query, value, { key = value, mask, cache, index = -1, causal = false }) {
    const { numHeads: heads, keyDim: d, valueDim: v, useBias, explicit } = config;
    const kernel = (/** @type {number} */ i) => weights[useBias ? 2 * i : i];
    const bias = (/** @type {number} */ i) => (useBias ? weights[2 * i + 1].data : null);
    const project = (/** @type {Plain} */ x, /** @type {number} */ i) => {
        const inputs = x.shape[2];
        const size = kernel(i).data.length;
        return linear(x.data, kernel(i).data, bias(i), x.shape[0] * x.shape[1], inputs, size / inputs);
    };
    const [batch, t] = query.shape;
    const rows = value.shape[1];
    const s = cache ? cache.shape[2] : rows;
    /** @type {{ shape: readonly number[], data: Float64Array } | null} */
    let after = null;
    let keys;
    let values;
    if (!cache) {
        keys = project(key, 1);
        values = project(value, 2);
    } else {
        const made = { shape: cache.shape, data: Float64Array.from(cache.data) };
        after = made;
        if (index >= 0) [project(key, 1), project(value, 2)].forEach((part, which) => {
            for (let b = 0; b < batch; b++) {
                const to = ((2 * b + which) * s + index) * heads * d;
                made.data.set(part.subarray(b * rows * heads * d, (b + 1) * rows * heads * d), to);
            }
        });
        [keys, values] = [0, 1].map((which) => {
            const half = s * heads * d;
            const all = new Float64Array(batch * half);
            for (let b = 0; b < batch; b++) {
                all.set(made.data.subarray((2 * b + which) * half, (2 * b + which + 1) * half), b * half);
            }
            return all;
        });
    }
    const { out, scores } = attention({
        q: project(query, 0), keys, values, batch, heads, kvHeads: heads, t, s, d, v, scale: 1 / Math.sqrt(d), explicit,
        // Keras makes booleans of a mask that comes with another one.
        keep: (b, h, i, j) => kept(mask, explicit && !causal, b, h, i, j) && !(causal && j > i + Math.max(index, 0)),
    });
    const outputs = kernel(3).data.length / (heads * v);
    const shape = [batch, t, ...kernel(3).shape.slice(2)];
    return {
        output: { shape, data: linear(out, kernel(3).data, bias(3), batch * t, heads * v, outputs) },
        scores: { shape: [batch, heads, t, s], data: scores },
        cache: after,
    };
}

/**
 * Keras's reading of a mask [T, S], [B, T, S] or [B, H, T, S] with sizes of 1 broadcast.
 * @param {Plain | undefined} mask
 * @param {boolean} half numbers keep from above 0.5 on
 * @param {number} b
 * @param {number} h
 * @param {number} i
 * @param {number} j
 */
function kept(mask, half, b, h, i, j) {
    if (!mask) return true;
    const { shape, data } = mask;
    const full = shape.length === 2 ? [1, 1, ...shape] : shape.length === 3 ? [shape[0], 1, shape[1], shape[2]] : shape;
    const at = [b, h, i, j].reduce(
        (offset, position, axis) => offset * full[axis] + (full[axis] === 1 ? 0 : position), 0,
    );
    if (data instanceof Uint8Array) return data[at] !== 0;
    return half ? data[at] > 0.5 : data[at] !== 0;
}
