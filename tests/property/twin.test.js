// Random layers and calls against the naive float64 layer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVCache } from '../../js/index.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';
import { functional, there } from '../there.js';
import { twin } from '../twin.js';
import { draw, randomLayer } from './cases.js';

const runtime = await testRuntime();

/** float32 sums of a hundred terms of order 1, twice in a row: a few units of 1e-6. The golden set's tolerance. */
const TOLERANCE = { atol: 1e-5, rtol: 1e-5 };
const CASES = 150;

/** Everything about a case that its seed decides. @param {number} seed */
function randomCase(seed) {
    const { integer, chance, pick, tensor, booleans } = draw(seed);
    const mode = pick(['none', 'static', 'update', 'update']);
    const numHeads = integer(1, 4);
    const keyDim = integer(1, 20);
    const valueDim = mode === 'none' ? integer(1, 20) : keyDim;
    const useBias = chance(0.7);
    const outputShape = pick([null, integer(1, 17), [integer(1, 4), integer(1, 5)]]);
    const [batch, t, features, valueFeatures] = [integer(1, 3), integer(1, 14), integer(1, 19), integer(1, 19)];
    const rows = integer(1, 14);
    const s = mode === 'none' ? rows : rows + integer(0, 30);
    const index = mode === 'update' ? integer(0, s - rows) : undefined;
    const query = tensor([batch, t, features]);
    const value = tensor([batch, rows, valueFeatures]);
    const key = chance(0.3) ? tensor([batch, rows, valueFeatures]) : undefined;
    const full = [pick([1, batch]), pick([1, numHeads]), pick([1, t]), pick([1, s])];
    const maskShape = pick([full, [full[0], full[2], full[3]], [full[2], full[3]]]);
    const mask = chance(0.6) ? (chance(0.7) ? booleans(maskShape) : tensor(maskShape)) : undefined;
    return {
        config: { numHeads, keyDim, valueDim, useBias, outputShape },
        mode, query, value, key, mask, index,
        cache: mode === 'none' ? undefined : tensor([batch, 2, s, numHeads, keyDim]),
        scores: chance(0.4),
        causal: chance(0.3),
    };
}

for (let seed = 1; seed <= CASES; seed++) {
    const { config, mode, query, value, key, mask, index, cache, scores, causal } = randomCase(seed);
    const what = `${JSON.stringify(config)} ${mode}${scores ? ' scores' : ''}${causal ? ' causal' : ''}`;
    test(`seed ${seed}: ${what}`, async () => {
        const layer = randomLayer(runtime, config, query.shape, value.shape, seed);
        const expected = twin({ ...config, explicit: scores }, layer.getWeights(), query, value, {
            key, mask, cache, index, causal,
        });
        const options = {
            key, attentionMask: mask, cacheUpdateIndex: index, returnAttentionScores: scores, useCausalMask: causal,
        };
        const result = await layer.call(query, value, { ...options, cache });
        assert.deepEqual(result.attentionOutput.shape, expected.output.shape);
        assertClose(result.attentionOutput.data, expected.output.data, TOLERANCE, 'output');
        if (scores) assertClose(there(result.attentionScores).data, expected.scores.data, TOLERANCE, 'scores');
        if (cache) {
            assertClose(functional(result.cache).data, there(expected.cache).data, TOLERANCE, 'cache');
            inPlace(layer, query, value, options, cache, result);
        }
        layer.dispose();
    });
}

/**
 * A KVCache gives the very bits that the functional cache gives.
 * @param {import('../../js/index.js').CachedMultiHeadAttention} layer
 * @param {import('../there.js').Floats} query
 * @param {import('../there.js').Floats} value
 * @param {import('../../js/layers/attention/arguments.js').CallOptions} options
 * @param {import('../there.js').Floats} cache
 * @param {import('../../js/layers/attention/job.js').AttentionResult} result
 */
function inPlace(layer, query, value, options, cache, result) {
    const [batch, , length, numHeads, keyDim] = cache.shape;
    const kvCache = new KVCache(runtime, { batch, length, numHeads, keyDim });
    kvCache.set(cache);
    const again = layer.callSync(query, value, { ...options, cache: kvCache });
    assert.equal(again.cache, kvCache);
    assert.deepEqual(again.attentionOutput.data, result.attentionOutput.data);
    assert.deepEqual(kvCache.toTensor().data, functional(result.cache).data);
    if (options.returnAttentionScores) assert.deepEqual(there(again.attentionScores).data, there(result.attentionScores).data);
    kvCache.dispose();
}
