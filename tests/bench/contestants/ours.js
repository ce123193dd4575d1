// CachedMultiHeadAttention on the same layer, as a decoder uses it: a KVCache that stays, x as a plain Float32Array,
// the output read as one.

import { createRuntime } from '../../../js/index.js';
import { makeCache, makeLayer } from '../../../web/bench/layer.js';
import { DIM, makeInput } from '../../../web/bench/problem.js';

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
