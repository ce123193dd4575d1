// CachedMultiHeadAttention on the same layer, as a decoder uses it: a KVCache that stays, x as a plain Float32Array,
// the output read as one.

import { CachedMultiHeadAttention, KVCache, createRuntime } from '../../../js/index.js';
import { DIM, HEADS, HEAD_DIM, makeInput, makePast, makeWeights } from '../../../web/bench/problem.js';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */

/** @param {{ simd: 'relaxed' | 'simd128', workers: number }} options */
export async function create({ simd, workers }) {
    const runtime = await createRuntime({ simd, workers });
    const layer = makeLayer(runtime);
    /** @type {Map<string, () => Float32Array>} */
    const prepared = new Map();
    return {
        name: 'cached-attention',
        explain: () => runtime.explain(),
        /** @param {Case} c @returns {Float32Array} the layer's output */
        prepare(c) {
            const x = { shape: [1, c.t, DIM], data: makeInput(c) };
            const cache = makeCache(runtime, c);
            const options = { cache, cacheUpdateIndex: c.s - c.t, useCausalMask: c.kind === 'prefill' };
            const run = () => /** @type {Float32Array} */ (layer.callSync(x, x, options).attentionOutput.data);
            prepared.set(c.id, run);
            return run();
        },
        /** @param {Case} c */
        run: (c) => /** @type {() => Float32Array} */ (prepared.get(c.id))(),
    };
}

/** @param {import('../../../js/runtime.js').Runtime} runtime */
export function makeLayer(runtime) {
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: HEADS, keyDim: HEAD_DIM });
    layer.build([1, null, DIM], [1, null, DIM]);
    const w = makeWeights();
    const inward = (/** @type {Float32Array} */ data) => ({ shape: [DIM, HEADS, HEAD_DIM], data });
    const bias = (/** @type {Float32Array} */ data) => ({ shape: [HEADS, HEAD_DIM], data });
    layer.setWeights([
        inward(w.wq), bias(w.bq), inward(w.wk), bias(w.bk), inward(w.wv), bias(w.bv),
        { shape: [HEADS, HEAD_DIM, DIM], data: w.wo }, { shape: [DIM], data: w.bo },
    ]);
    return layer;
}

/** The cache of a case before its call. @param {import('../../../js/runtime.js').Runtime} runtime @param {Case} c */
export function makeCache(runtime, c) {
    const cache = new KVCache(runtime, { batch: 1, length: c.s, numHeads: HEADS, keyDim: HEAD_DIM });
    const past = makePast(c);
    const data = new Float32Array(2 * c.s * DIM);
    data.set(past.keys);
    data.set(past.values, c.s * DIM);
    cache.set({ shape: [1, 2, c.s, HEADS, HEAD_DIM], data });
    return cache;
}
