// Grouped-query attention as Keras and the models of Keras Hub define it, naive, in float64: what random cases are
// compared with.

import { linear, softmax } from './reference.js';
import { there } from './there.js';

/** @typedef {{ shape: readonly number[], data: ArrayLike<number> }} Plain */

/**
 * @param {any} c config of CachedGroupQueryAttention, in full but for what is absent
 * @param {Map<string, Plain>} weights by path
 * @param {Plain} query [B, T, M]
 * @param {Plain} value [B, rows, M]
 * @param {any} given options of the call: key, masks (booleans), cache (plain), cacheUpdateIndex, useCausalMask; scores
 */
export function groupQueryTwin(c, weights, query, value, given) {
    const { headDim: d, numQueryHeads: heads, numKeyValueHeads: groups } = c;
    const { key = value, cache, cacheUpdateIndex = -1, useCausalMask: causal = false } = given;
    const [batch, t] = query.shape;
    const rows = value.shape[1];
    const s = cache ? cache.shape[2] : rows;
    const index = Math.max(cacheUpdateIndex, 0);
    const project = (/** @type {Plain} */ x, /** @type {string} */ name) => {
        const kernel = there(weights.get(`${name}/kernel`));
        const inputs = x.shape[2];
        return linear(
            x.data,
            kernel.data,
            weights.get(`${name}/bias`)?.data ?? null,
            x.shape[0] * x.shape[1],
            inputs,
            kernel.data.length / inputs,
        );
    };
    const turned = (
        /** @type {Plain} */ x,
        /** @type {'query' | 'key'} */ name,
        /** @type {number} */ count,
        /** @type {number} */ h,
    ) => {
        const y = project(x, name);
        for (let row = 0; row < batch * count * h; row++) {
            const head = y.subarray(row * d, (row + 1) * d);
            if (c.queryKeyNorm) norm(head, there(weights.get(`${name}_norm/scale`)).data, c.queryKeyNorm);
            if (c.ropeMaxWavelength) rotate(head, index + (Math.floor(row / h) % count), c);
        }
        return y;
    };
    const q = turned(query, 'query', t, heads);
    let after = null;
    if (cache) after = { shape: cache.shape, data: Float64Array.from(cache.data) };
    const isStatic = cache && cacheUpdateIndex < 0;
    const fresh = isStatic ? null : [turned(key, 'key', rows, groups), project(value, 'value')];
    if (cache && fresh) fresh.forEach((part, which) => {
        for (let b = 0; b < batch; b++) {
            there(after).data.set(
                part.subarray(b * rows * groups * d, (b + 1) * rows * groups * d),
                ((2 * b + which) * s + index) * groups * d,
            );
        }
    });
    const at = (
        /** @type {0 | 1} */ which,
        /** @type {number} */ b,
        /** @type {number} */ j,
        /** @type {number} */ g,
    ) =>
        after
            ? after.data.subarray((((2 * b + which) * s + j) * groups + g) * d)
            : there(fresh)[which].subarray(((b * rows + j) * groups + g) * d);
    const explicit = given.returnAttentionScores || Boolean(c.ropeMaxWavelength);
    const scale = 1 / Math.sqrt(c.queryHeadDimNormalize === false ? Math.floor(query.shape[2] / heads) : d);
    const keep = (/** @type {number} */ b, /** @type {number} */ h, /** @type {number} */ i, /** @type {number} */ j) =>
        kept(given.attentionMask, b, h, i, j) &&
        row(given.queryMask, b, i) &&
        row(given.valueMask, b, j) &&
        row(given.keyMask, b, j) &&
        !(causal && j > i + index) &&
        !(c.slidingWindow && Math.abs(i + index - j) >= c.slidingWindow);
    const mixed = new Float64Array(batch * t * heads * d);
    const scores = new Float64Array(batch * heads * t * s);
    for (let b = 0; b < batch; b++) for (let h = 0; h < heads; h++) for (let i = 0; i < t; i++) {
        const g = Math.floor(h / (heads / groups));
        const own = q.subarray(((b * t + i) * heads + h) * d);
        const logits = Array.from({ length: s }, (_, j) => {
            if (!keep(b, h, i, j)) return explicit ? -1e9 : -2.37267197e38;
            const k = at(0, b, j, g);
            let x = 0;
            for (let e = 0; e < d; e++) x += own[e] * k[e];
            return c.logitSoftCap ? c.logitSoftCap * Math.tanh(x * scale / c.logitSoftCap) : x * scale;
        });
        const p = softmax(logits).map((x, j) => (explicit && !keep(b, h, i, j) ? 0 : x));
        scores.set(p, ((b * heads + h) * t + i) * s);
        for (let e = 0; e < d; e++)
            mixed[((b * t + i) * heads + h) * d + e] = p.reduce((sum, x, j) => sum + x * at(1, b, j, g)[e], 0);
    }
    if (c.useGate) project(query, 'gate').forEach((x, i) => { mixed[i] /= 1 + Math.exp(-x); });
    const outputs = query.shape[2];
    const output = linear(
        mixed,
        there(weights.get('attention_output/kernel')).data,
        weights.get('attention_output/bias')?.data ?? null,
        batch * t,
        heads * d,
        outputs,
    );
    return {
        output: { shape: [batch, t, outputs], data: output },
        scores: { shape: [batch, heads, t, s], data: scores },
        cache: after,
    };
}

/** @param {Float64Array} x @param {ArrayLike<number>} gamma @param {{ epsilon: number, offset: number }} settings */
function norm(x, gamma, { epsilon, offset }) {
    const root = Math.sqrt(x.reduce((sum, value) => sum + value * value, 0) / x.length + epsilon);
    x.forEach((value, i) => { x[i] = value / root * (gamma[i] + offset); });
}

/**
 * @param {Float64Array} x
 * @param {number} position
 * @param {{ ropeMaxWavelength: number, ropeScalingFactor?: number }} config
 */
function rotate(x, position, { ropeMaxWavelength, ropeScalingFactor = 1 }) {
    const half = x.length / 2;
    for (let i = 0; i < half; i++) {
        const angle = position / ropeScalingFactor * ropeMaxWavelength ** (-i / half);
        [x[i], x[half + i]] = [
            x[i] * Math.cos(angle) - x[half + i] * Math.sin(angle),
            x[half + i] * Math.cos(angle) + x[i] * Math.sin(angle),
        ];
    }
}

/** @param {Plain | undefined} mask [B, n], each size whole or 1 @param {number} b @param {number} i */
function row(mask, b, i) {
    if (!mask) return true;
    const [batch, n] = mask.shape;
    return mask.data[(batch === 1 ? 0 : b * n) + (n === 1 ? 0 : i)] !== 0;
}

/** @param {Plain | undefined} mask [T, S], [B, T, S] or [B, H, T, S] with sizes of 1 @param {...number} place */
function kept(mask, ...place) {
    if (!mask) return true;
    const { shape } = mask;
    const full = shape.length === 2 ? [1, 1, ...shape] : shape.length === 3 ? [shape[0], 1, shape[1], shape[2]] : shape;
    return (
        mask.data[place.reduce((at, position, axis) => at * full[axis] + (full[axis] === 1 ? 0 : position), 0)] !== 0
    );
}
