// Random grouped-query layers and calls against the naive float64 layer; the KVCache's bits against the functional
// cache's; texts cut into steps.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedGroupQueryAttention, KVCache } from '../../js/index.js';
import { assertClose } from '../close.js';
import { groupQueryTwin } from '../group-query-twin.js';
import { testRuntime } from '../runtime.js';
import { functional, there } from '../there.js';
import { draw } from './cases.js';

const runtime = await testRuntime();

/** The golden set's tolerance. */
const TOLERANCE = { atol: 1e-5, rtol: 1e-5 };
const CASES = 200;

/** @param {number} seed */
function randomConfig(seed) {
    const { integer, chance, pick } = draw(seed);
    const numKeyValueHeads = integer(1, 3);
    const rope = chance(0.5);
    return {
        headDim: rope ? 2 * integer(1, 10) : integer(1, 20),
        numKeyValueHeads,
        numQueryHeads: numKeyValueHeads * integer(1, 4),
        useBias: chance(0.6),
        ...chance(0.2) && { useOutputBias: chance(0.5) },
        ...chance(0.3) && { useGate: true },
        ...chance(0.4) && { slidingWindow: integer(1, 12) },
        ...chance(0.3) && { logitSoftCap: pick([0.7, 2, 30]) },
        ...chance(0.3) && { queryKeyNorm: { epsilon: 1e-5, offset: pick([0, 1]) } },
        ...chance(0.2) && { queryHeadDimNormalize: false },
        ...rope && { ropeMaxWavelength: pick([100, 10000]), ropeScalingFactor: pick([1, 4]) },
    };
}

/** @param {any} config @param {number} width @param {number} seed */
function randomLayer(config, width, seed) {
    const layer = new CachedGroupQueryAttention(runtime, config);
    layer.build([null, null, width], [null, null, width]);
    const { tensor } = draw(seed);
    layer.setWeights(layer.weights.map(({ shape, name, path }) => {
        const inputs = path.includes('attention_output') ? shape[0] * shape[1] : shape[0];
        return tensor([...shape], name === 'kernel' ? Math.sqrt(3 / inputs) : 0.5);
    }));
    return {
        layer,
        weights: new Map(layer.weights.map((weight) => [weight.path.slice(layer.name.length + 1), weight])),
    };
}

for (let seed = 1; seed <= CASES; seed++) {
    const config = randomConfig(seed);
    test(`seed ${seed}: ${JSON.stringify(config)}`, async () => {
        const { integer, chance, pick, tensor, booleans } = draw(1000 + seed);
        const mode = pick(['none', 'static', 'update', 'update']);
        const width = Math.max(config.numQueryHeads, integer(1, 24));
        const [batch, t, rows] = [integer(1, 3), integer(1, 20), integer(1, 14)];
        const s = mode === 'none' ? rows : rows + integer(0, 30);
        const query = tensor([batch, t, width]);
        const value = tensor([batch, rows, width]);
        const sizes = [pick([1, batch]), pick([1, config.numQueryHeads]), pick([1, t]), pick([1, s])];
        const maskShape = pick([sizes, [sizes[0], sizes[2], sizes[3]], [sizes[2], sizes[3]]]);
        const options = {
            key: chance(0.3) ? tensor([batch, rows, width]) : undefined,
            attentionMask: chance(0.5) ? booleans(maskShape) : undefined,
            queryMask: chance(0.2) ? booleans([pick([1, batch]), pick([1, t])]) : undefined,
            valueMask: chance(0.2) ? booleans([batch, s]) : undefined,
            keyMask: chance(0.2) ? booleans([pick([1, batch]), s]) : undefined,
            cache: mode === 'none' ? undefined : tensor([batch, 2, s, config.numKeyValueHeads, config.headDim]),
            cacheUpdateIndex: mode === 'update' ? integer(0, s - rows) : undefined,
            returnAttentionScores: chance(0.4),
            useCausalMask: chance(0.4),
        };
        const { layer, weights } = randomLayer(config, width, seed);
        const expected = groupQueryTwin(config, weights, query, value, options);
        const result = await layer.call(query, value, options);
        assert.deepEqual([...result.attentionOutput.shape], expected.output.shape);
        assertClose(result.attentionOutput.data, expected.output.data, TOLERANCE, 'output');
        if (options.returnAttentionScores)
            assertClose(there(result.attentionScores).data, expected.scores.data, TOLERANCE, 'scores');
        if (options.cache) {
            assertClose(functional(result.cache).data, there(expected.cache).data, TOLERANCE, 'cache');
            inPlace(layer, query, value, options, result);
        }
        layer.dispose();
    });
}

/**
 * A KVCache gives the very bits that the functional cache gives.
 * @param {any} layer @param {any} query @param {any} value @param {any} options @param {any} result
 */
function inPlace(layer, query, value, options, result) {
    const [batch, , length, numHeads, keyDim] = options.cache.shape;
    const cache = new KVCache(runtime, { batch, length, numHeads, keyDim });
    cache.set(options.cache);
    const again = layer.callSync(query, value, { ...options, cache });
    assert.equal(again.cache, cache);
    assert.deepEqual(again.attentionOutput.data, result.attentionOutput.data);
    assert.deepEqual(cache.toTensor().data, result.cache.data);
    cache.dispose();
}

test('a text in steps gives the bits of the text at once', () => {
    for (let seed = 1; seed <= 20; seed++) {
        const { integer, tensor } = draw(seed);
        const config = randomConfig(seed);
        const [batch, t, width] = [integer(1, 2), integer(5, 40), Math.max(12, config.numQueryHeads)];
        const { layer } = randomLayer(config, width, seed);
        const shape = { batch, length: t, numHeads: config.numKeyValueHeads, keyDim: config.headDim };
        const [whole, steps] = [new KVCache(runtime, shape), new KVCache(runtime, shape)];
        const x = tensor([batch, t, width]);
        const all = layer
            .callSync(x, x, { cache: whole, cacheUpdateIndex: 0, useCausalMask: true })
            .attentionOutput.data.slice();
        for (let i = 0, n; i < t; i += n) {
            n = Math.min(t - i, integer(1, 6));
            const part = rows(x, i, n);
            const out = layer.callSync(part, part, {
                cache: steps,
                cacheUpdateIndex: i,
                useCausalMask: true,
            }).attentionOutput;
            assert.deepEqual(
                out.data,
                rows({ shape: [batch, t, width], data: all }, i, n).data,
                `seed ${seed}, rows from ${i} on`,
            );
        }
        assert.deepEqual(steps.toTensor().data, whole.toTensor().data);
        for (const made of [whole, steps, layer]) made.dispose();
    }
});

/**
 * [:, from : from + n] of [B, T, M].
 * @param {{ shape: number[], data: any }} x @param {number} from @param {number} n
 */
function rows({ shape: [batch, t, m], data }, from, n) {
    const parts = Array.from({ length: batch }, (_, b) => [
        ...data.subarray((b * t + from) * m, (b * t + from + n) * m),
    ]);
    return { shape: [batch, n, m], data: Float32Array.from(parts.flat()) };
}
