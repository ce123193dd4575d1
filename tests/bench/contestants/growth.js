// The layer on one long cache, decoding at any position of it; and what memory it takes as T and S grow.

import { KVCache, createRuntime } from '../../../js/index.js';
import { DIM, HEADS, HEAD_DIM, decodeCase, makeInput, makePast, prefillCase } from '../../../web/bench/problem.js';
import { makeLayer } from '../../../web/bench/layer.js';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */

/**
 * @param {{ simd: 'relaxed' | 'simd128', workers: number, length: number, dtype?: import('../../../js/blocks/cache.js').CacheDType,
 *   quantize?: 'int8' | 'int4' }} options length, dtype: of the cache; quantize: the layer
 */
export async function create({ simd, workers, length, dtype, quantize }) {
    const runtime = await createRuntime({ simd, workers });
    const layer = makeLayer(runtime);
    if (quantize) layer.quantize(quantize);
    const before = runtime.explain().bytesInUse;
    const cache = new KVCache(runtime, { batch: 1, length, numHeads: HEADS, keyDim: HEAD_DIM, dtype });
    const takes = runtime.explain().bytesInUse - before;
    fill(cache, length);
    const token = { shape: [1, 1, DIM], data: makeInput(prefillCase(1)) };
    /** A token at position S - 1; causality keeps the positions up to it. @param {Case} c */
    const run = (c) =>
        layer.callSync(token, token, { cache, cacheUpdateIndex: c.s - 1, useCausalMask: true }).attentionOutput.data;
    return {
        name: 'cached-attention',
        run,
        /** The output. A call writes its own position, so cases come longest first. @param {Case} c */
        prepare: run,
        /**
         * Bytes: what the cache says of itself, what it takes, and the most that was ever in use for it and a step over
         * it.
         */
        cacheMemory() {
            run(decodeCase(length));
            return { says: cache.byteLength, takes, peak: runtime.memory.peak - before };
        },
        /**
         * The most bytes in use while a prompt of T tokens goes through, beyond weights and cache.
         * @param {number} t
         */
        async prefillMemory(t) {
            const fresh = await createRuntime({ simd, workers });
            try {
                const own = makeLayer(fresh);
                const room = new KVCache(fresh, { batch: 1, length: t, numHeads: HEADS, keyDim: HEAD_DIM });
                const start = fresh.explain().bytesInUse;
                const x = { shape: [1, t, DIM], data: makeInput(prefillCase(t)) };
                own.callSync(x, x, { cache: room, cacheUpdateIndex: 0, useCausalMask: true });
                return fresh.memory.peak - start;
            } finally {
                fresh.dispose();
            }
        },
    };
}

/**
 * Every position but the last as makePast has it: of any case, the beginning is the same.
 * @param {KVCache} cache @param {number} length
 */
function fill(cache, length) {
    const past = makePast(decodeCase(length));
    const data = new Float32Array(2 * length * DIM);
    data.set(past.keys);
    data.set(past.values, length * DIM);
    cache.set({ shape: [1, 2, length, HEADS, HEAD_DIM], data });
}
