// The layer of problem.js, and its cache, as this package makes them.

import { CachedMultiHeadAttention, KVCache } from '../../js/index.js';
import { DIM, HEADS, HEAD_DIM, makePast, makeWeights } from './problem.js';

/** @typedef {import('./problem.js').Case} Case */

/** @param {import('../../js/engine/runtime.js').Runtime} runtime */
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

/** The cache of a case before its call. @param {import('../../js/engine/runtime.js').Runtime} runtime @param {Case} c */
export function makeCache(runtime, c) {
    const cache = new KVCache(runtime, { batch: 1, length: c.s, numHeads: HEADS, keyDim: HEAD_DIM });
    const past = makePast(c);
    const data = new Float32Array(2 * c.s * DIM);
    data.set(past.keys);
    data.set(past.values, c.s * DIM);
    cache.set({ shape: [1, 2, c.s, HEADS, HEAD_DIM], data });
    return cache;
}
