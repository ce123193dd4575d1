// On a thread that must not block (a page's main thread) calls wait in line: they read their inputs as they were when
// the call was made, run in order, and fail one by one.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache } from '../../js/index.js';
import { TransformerDecoder } from '../../js/generation/index.js';
import { testRuntime } from '../binary.js';
import { functional } from '../there.js';
import { draw, randomLayer } from './cases.js';

const page = await testRuntime({ workers: 2, _test: { mayBlock: false } });
const inline = await testRuntime({ workers: 0 });
// Large enough that a call is worth waking the workers for: what is less is computed at once.
const config = { numHeads: 4, keyDim: 48 };
const [LENGTH, FEATURES] = [9, 192];

/** The same layer and cache on both. */
function pair() {
    const layers = [page, inline].map((runtime) => randomLayer(runtime, config, [1, 1, FEATURES], [1, 1, FEATURES], 1));
    const caches = [page, inline].map((runtime) => new KVCache(runtime, { batch: 1, length: LENGTH, ...config }));
    return { layers, caches };
}

test('steps in line give what steps one by one give, though their input is overwritten at once', async () => {
    const { layers: [queued, single], caches: [cache, other] } = pair();
    const x = draw(2).tensor([1, LENGTH, FEATURES]);
    const step = { shape: [1, 1, FEATURES], data: new Float32Array(FEATURES) };
    const mask = { shape: [1, LENGTH], data: new Uint8Array(LENGTH) };
    const pending = [];
    /** @type {import('../../js/engine/tensor.js').TensorData[]} */
    const expected = [];
    for (let t = 0; t < LENGTH; t++) {
        step.data.set(x.data.subarray(t * FEATURES, (t + 1) * FEATURES));
        mask.data[t] = 1;
        const options = { cacheUpdateIndex: t, attentionMask: mask };
        pending.push(queued.call(step, step, { ...options, cache }));
        expected.push(single.callSync(step, step, { ...options, cache: other }).attentionOutput.data.slice());
        step.data.fill(NaN);
    }
    const results = await Promise.all(pending);
    results.forEach(({ attentionOutput, cache: same }, t) => {
        assert.deepEqual(attentionOutput.data, expected[t], `step ${t}`);
        assert.equal(same, cache);
    });
    assert.deepEqual(cache.toTensor().data, other.toTensor().data);
});

test('a call in line has its query, value and key as they were, whichever of them are one', async () => {
    const { layers: [queued, single] } = pair();
    const { tensor } = draw(8);
    const [x, query, value, key] = Array.from({ length: 4 }, () => tensor([1, 3, FEATURES]));
    const given = /** @type {const} */ ([[query, value, key], [query, value, query], [query, value, value], [query, query, key]]);
    const expected = given.map(([q, v, k]) => single.callSync(q, v, { key: k }).attentionOutput.data.slice());
    const pending = [queued.call(x, x)];
    assert.ok(page._busy, 'the test tests nothing unless calls wait');
    for (const [q, v, k] of given) pending.push(queued.call(q, v, { key: k }));
    for (const one of [query, value, key]) one.data.fill(NaN);
    const [, ...results] = await Promise.all(pending);
    results.forEach(({ attentionOutput }, i) => assert.deepEqual(attentionOutput.data, expected[i], `case ${i}`));
});

test('a TransformerDecoder in line has all that it was given as it was', async () => {
    const { tensor, booleans } = draw(9);
    const [queued, single] = [page, inline].map((runtime) => {
        const decoder = new TransformerDecoder(runtime, { intermediateDim: 32, numHeads: 4 });
        decoder.build([1, 3, FEATURES], [1, 5, FEATURES]);
        return decoder;
    });
    queued.setWeights(single.getWeights());
    const [x, sequence, encoder] = [3, 3, 5].map((t) => tensor([1, t, FEATURES]));
    const [selfAttentionCache, crossAttentionCache] = [6, 6].map((s) => tensor([1, 2, s, 4, 48]));
    const given = {
        selfAttentionCache, selfAttentionCacheUpdateIndex: 2, crossAttentionCache, crossAttentionCacheUpdateIndex: 1,
        decoderAttentionMask: booleans([1, 3, 6]), encoderPaddingMask: booleans([1, 6]),
    };
    const expected = await single.call(sequence, encoder, given);
    const first = queued.call(x, encoder);
    assert.ok(page._busy, 'the test tests nothing unless calls wait');
    const second = queued.call(sequence, encoder, given);
    for (const { data } of [sequence, encoder, selfAttentionCache, crossAttentionCache]) data.fill(NaN);
    for (const { data } of [given.decoderAttentionMask, given.encoderPaddingMask]) data.fill(0);
    await first;
    const { output, selfAttentionCache: cache } = await second;
    assert.deepEqual(output.data, expected.output.data);
    assert.deepEqual(functional(cache).data, functional(expected.selfAttentionCache).data);
});

test('callSync says why it cannot be, and leaves an unbuilt layer unbuilt', () => {
    const layer = new CachedMultiHeadAttention(page, config);
    const x = draw(3).tensor([1, 2, FEATURES]);
    assert.throws(() => layer.callSync(x, x), /call\(\)/);
    assert.equal(layer.built, false);
});

test('a call that is wrong rejects at once, those before and after it are served', async () => {
    const { layers: [queued, single] } = pair();
    const x = draw(4).tensor([1, 3, FEATURES]);
    const outcomes = await Promise.allSettled([
        queued.call(x, x), queued.call(x, x, { cacheUpdateIndex: 0 }),
        queued.call(x, x, { returnAttentionScores: true }),
    ]);
    assert.deepEqual(outcomes.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled']);
    assert.ok(outcomes[0].status === 'fulfilled');
    assert.deepEqual(outcomes[0].value.attentionOutput.data, single.callSync(x, x).attentionOutput.data);
});

test('while calls are pending weights cannot be set; a layer that is disposed of fails those that wait', async () => {
    const { layers: [queued] } = pair();
    const x = draw(5).tensor([1, 3, FEATURES]);
    const pending = [queued.call(x, x), queued.call(x, x)];
    assert.ok(page._busy, 'the test tests nothing unless calls wait');
    assert.throws(() => queued.setWeights(queued.getWeights()), /pending/);
    assert.throws(() => queued.applyConstraints(), /pending/);
    queued.dispose();
    const [first, second] = await Promise.allSettled(pending);
    assert.equal(first.status, 'fulfilled');
    assert.ok(second.status === 'rejected');
    assert.match(String(second.reason), /disposed/);
    const after = randomLayer(page, config, [1, 1, FEATURES], [1, 1, FEATURES], 1);
    assert.ok((await after.call(x, x)).attentionOutput.data.every(Number.isFinite));
});

test('activity losses are those of the last call in line', async () => {
    const regularized = { ...config, activityRegularizer: 'l2' };
    const [queued, single] = [page, inline].map(
        (runtime) => randomLayer(runtime, regularized, [1, 1, FEATURES], [1, 1, FEATURES], 1),
    );
    const [x, y] = [draw(6).tensor([1, 3, FEATURES]), draw(7).tensor([1, 2, FEATURES])];
    await Promise.all([queued.call(x, x), queued.call(y, y)]);
    single.callSync(y, y);
    assert.equal(queued.losses.length, 4);
    assert.deepEqual(queued.losses, single.losses);
});
