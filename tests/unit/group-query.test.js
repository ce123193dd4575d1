// CachedGroupQueryAttention: its arguments, weights, losses, configs and errors. Numbers: golden/model-layers,
// property/group-query.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedGroupQueryAttention, CachedMultiHeadAttention, KVCache, createRuntime } from '../../js/index.js';
import { draw } from '../property/cases.js';
import { testRuntime } from '../runtime.js';
import { functional } from '../there.js';

const runtime = await testRuntime();
const CONFIG = { headDim: 4, numQueryHeads: 4, numKeyValueHeads: 2 };
const make = (config = {}) => new CachedGroupQueryAttention(runtime, { ...CONFIG, ...config });
const { tensor, booleans } = draw(1);
const x = tensor([2, 5, 8]);

/** @param {() => unknown} fn @param {RegExp} message */
function refuses(fn, message) {
    assert.throws(
        fn,
        (error) => (error instanceof TypeError || error instanceof RangeError) && message.test(error.message),
        String(message),
    );
}

test('wrong arguments are named', () => {
    for (const [config, message] of [
        [{ headDim: 0 }, /^headDim must be a positive integer, got 0$/],
        [{ numKeyValueHeads: 3 }, /^numQueryHeads must be divisible by numKeyValueHeads, 3, got 4$/],
        [{ numQueryHeads: 2, numKeyValueHeads: 4 }, /^numQueryHeads must be divisible/],
        [{ slidingWindow: 0 }, /^slidingWindow must be a positive integer/],
        [{ flashAttention: true, dropout: 0.1 }, /^dropout must be 0 with flashAttention/],
        [{ keyDim: 3 }, /^options of CachedGroupQueryAttention must be of .*, got "keyDim"$/],
        [{ logitSoftCap: 0 }, /^logitSoftCap must be a number above 0/],
        [{ ropeScalingFactor: 2 }, /^ropeScalingFactor must be absent without ropeMaxWavelength/],
        [{ pretrainingSequenceLength: 2 }, /^pretrainingSequenceLength must be absent without ropeMaxWavelength/],
        [{ ropeMaxWavelength: -1 }, /^ropeMaxWavelength must be a number above 0/],
        [{ ropeMaxWavelength: 10, headDim: 5 }, /^headDim must be even with ropeMaxWavelength/],
        [
            { ropeMaxWavelength: 10, ropeLowFreqFactor: 1 },
            /^ropeFrequencyAdjustmentFactor must be given, as .* are all given or none/,
        ],
        [{ ropeMaxWavelength: 10, ropeScalingType: 'linear' }, /^ropeScalingType must be null or "su"/],
        [
            { ropeMaxWavelength: 10, ropeScalingShortFactor: [1, 1] },
            /^ropeScalingShortFactor must be absent without ropeScalingType/,
        ],
        [
            {
                ropeMaxWavelength: 10,
                ropeScalingType: 'su',
                ropeScalingShortFactor: [1],
                ropeScalingLongFactor: [1, 1],
            },
            /^ropeScalingShortFactor must be of 2 numbers/,
        ],
        [{ queryKeyNorm: { eps: 1 } }, /^queryKeyNorm must be an object \{ epsilon, offset \}/],
        [{ queryKeyNorm: 1e-6 }, /^queryKeyNorm must be an object/],
    ])
        refuses(() => make(config), /** @type {RegExp} */ (message));
});

test('numbers in a mask keep from above 0.5 where scores are asked for, but with any other mask wherever they are not 0', () => {
    const [free, sliding] = [make(), make({ slidingWindow: 3 })];
    const [attentionMask, queryMask] = [0.3, 1].map((value, i) => ({ shape: [[1, 5], [2, 5]][i], data: new Float32Array(i === 0 ? 5 : 10).fill(value) }));
    const scores = (/** @type {any} */ layer, options = {}) =>
        layer.callSync(x, x, { ...options, returnAttentionScores: true }).attentionScores.data;
    assert.deepEqual(scores(free, { attentionMask }), scores(free, { attentionMask: { shape: [1, 5], data: new Uint8Array(5) } }));
    assert.notDeepEqual(scores(free, { attentionMask }), scores(free));
    for (const [layer, more] of /** @type {const} */ ([[free, { queryMask }], [free, { useCausalMask: true }], [sliding, {}]])) {
        assert.deepEqual(scores(layer, { ...more, attentionMask }), scores(layer, more));
    }
    for (const layer of [free, sliding]) layer.dispose();
});

test('calls: masks of positions are its own, and checked', () => {
    const layer = make();
    layer.callSync(x, x, { queryMask: booleans([2, 5]), valueMask: booleans([1, 5]) });
    refuses(
        () => layer.callSync(x, x, { queryMask: booleans([2, 4]) }),
        /^queryMask must be of the shape \[2, 5\], or 1 for any size/,
    );
    refuses(() => layer.callSync(x, x, { keyMask: booleans([2, 1, 5]) }), /^keyMask must be of the shape \[2, 5\]/);
    refuses(
        () => layer.callSync(x, x, /** @type {any} */ ({ mask: booleans([2, 5]) })),
        /^options of a call must be of key, .*, keyMask, got "mask"$/,
    );
    const other = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
    refuses(
        () => other.callSync(x, x, /** @type {any} */ ({ queryMask: booleans([2, 5]) })),
        /^options of a call must be of .*, training, signal, got "queryMask"$/,
    );
    refuses(() => layer.callSync(x, x, { cacheUpdateIndex: 0 }), /^cacheUpdateIndex must be absent without a cache/);
    const ofFour = tensor([2, 3, 5, 8]);
    refuses(() => make().callSync(ofFour, ofFour), /^query must be of 3 axes, got a tensor of shape \[2, 3, 5, 8\]$/);
    const cache = new KVCache(runtime, { batch: 2, length: 6, numHeads: 4, keyDim: 4 });
    refuses(
        () => layer.callSync(x, x, { cache, cacheUpdateIndex: 0 }),
        /^cache must be of the shape \[batch, 2, length, 2, 4\]/,
    );
    for (const made of [layer, other, cache]) made.dispose();
});

test('calls that wait keep the masks they were given', async () => {
    const layer = make();
    layer.build([2, 5, 8], [2, 5, 8]);
    const queryMask = { shape: [2, 5], data: Uint8Array.of(1, 0, 1, 1, 0, 1, 1, 1, 0, 1) };
    const expected = layer.callSync(x, x, { queryMask }).attentionOutput.data.slice();
    const first = layer.call(x, x);
    const second = layer.call(x, x, { queryMask });
    if (runtime._busy) queryMask.data.fill(1);
    await first;
    assert.deepEqual((await second).attentionOutput.data, expected);
    layer.dispose();
});

test('changing what was given, or what getConfig() gave, changes no layer', () => {
    const [short, long, norm] = [[1, 2], [3, 4], { epsilon: 1e-5 }];
    const layer = make({
        ropeMaxWavelength: 100, ropeScalingType: 'su', ropeScalingShortFactor: short, ropeScalingLongFactor: long, queryKeyNorm: norm,
    });
    const expected = structuredClone(layer.getConfig());
    short[0] = long[0] = norm.epsilon = 9;
    const config = layer.getConfig();
    config.rope_scaling_short_factor[1] = config.query_key_norm.epsilon = 8;
    assert.deepEqual(layer.getConfig(), expected);
    assert.deepEqual(expected.query_key_norm, { epsilon: 1e-5, offset: 0 });
    layer.dispose();
});

test('weights in order and by name', () => {
    const layer = make({ useGate: true, useOutputBias: false, queryKeyNorm: {}, name: 'a' });
    layer.build([2, 5, 8], [2, 5, 8]);
    assert.deepEqual(layer.weights.map(({ path, shape }) => [path, [...shape]]), [
        ['a/query/kernel', [8, 4, 4]], ['a/query/bias', [4, 4]], ['a/query_norm/scale', [4]],
        ['a/key/kernel', [8, 2, 4]], ['a/key/bias', [2, 4]], ['a/key_norm/scale', [4]],
        ['a/gate/kernel', [8, 4, 4]], ['a/gate/bias', [4, 4]], ['a/value/kernel', [8, 2, 4]], ['a/value/bias', [2, 4]],
        ['a/attention_output/kernel', [4, 4, 8]],
    ]);
    const before = layer.getWeights();
    assert.deepEqual(before[2].data, new Float32Array(4).fill(1));
    const named = new Map(
        layer.weights.map(({ path, shape }, i) => [i % 2 ? path : path.slice(2), tensor([...shape])]),
    );
    layer.setWeights(new Map([...named].reverse()));
    assert.deepEqual(layer.getWeights().map(({ data }) => data), [...named.values()].map(({ data }) => data));
    refuses(
        () => layer.setWeights(new Map([...named].slice(1))),
        /^weights must have a tensor-like by the name "query\/kernel", got none$/,
    );
    refuses(() => layer.setWeights(new Map([...named, ['b', x]])), /got one by the name "b"$/);
    layer.dispose();
});

test('losses: a term for what the layer gives, one for each projection, the gate among them', () => {
    const layer = make({
        useGate: true,
        ropeMaxWavelength: 100,
        activityRegularizer: { class_name: 'L1', config: { l1: 1 } },
    });
    const { attentionOutput } = layer.callSync(x, x);
    assert.equal(layer.losses.length, 6);
    const free = make({ useGate: true, ropeMaxWavelength: 100 });
    free.build(x.shape, x.shape);
    free.setWeights(layer.getWeights());
    assert.deepEqual(attentionOutput.data, free.callSync(x, x).attentionOutput.data, 'a penalty changes nothing');
    const plain = make({ useGate: true, activityRegularizer: { class_name: 'L1', config: { l1: 1 } } });
    plain.build(x.shape, x.shape);
    plain.setWeights(layer.getWeights());
    plain.callSync(x, x);
    assert.deepEqual(
        layer.losses.slice(1, 5),
        plain.losses.slice(1, 5),
        'of what the projections give, before it is rotated',
    );
    for (const made of [layer, plain, free]) made.dispose();
});

test('configs go round, those of the models too', () => {
    const config = {
        useOutputBias: false,
        ropeMaxWavelength: 500,
        ropeScalingFactor: 2,
        logitSoftCap: 3,
        queryKeyNorm: { epsilon: 1e-5 },
        queryHeadDimNormalize: false,
        slidingWindow: 3,
        useGate: true,
        seed: 4,
        name: 'g',
    };
    const layer = make(config);
    const got = layer.getConfig();
    assert.equal(got.rope_max_wavelength, 500);
    assert.ok(!('rope_scaling_type' in got));
    assert.deepEqual(CachedGroupQueryAttention.fromConfig(runtime, JSON.parse(JSON.stringify(got))).getConfig(), got);
    refuses(() => CachedGroupQueryAttention.fromConfig(runtime, { ...got, flash: true }), /got "flash"$/);
    assert.ok(!('rope_max_wavelength' in make({ name: 'h' }).getConfig()));
});

test('default names count by class', async () => {
    const own = await createRuntime({ workers: 0 });
    const names = [0, 1].map(() => new CachedGroupQueryAttention(own, CONFIG).name);
    assert.deepEqual([...names, new CachedMultiHeadAttention(own, { numHeads: 1, keyDim: 1 }).name],
        ['grouped_query_attention', 'grouped_query_attention_1', 'cached_multi_head_attention']);
    own.dispose();
});

test('dropout: its mean is what inference gives', () => {
    const layer = make({ dropout: 0.5, seed: 1 });
    const expected = layer.callSync(x, x).attentionOutput.data.slice();
    const sum = new Float64Array(expected.length);
    const calls = 4000;
    for (let i = 0; i < calls; i++)
        layer.callSync(x, x, { training: true }).attentionOutput.data.forEach((value, j) => {
            sum[j] += value / calls;
        });
    sum.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 0.05, `${value}, ${expected[i]}`));
    layer.dispose();
});

test('half precision: results and caches hold numbers of the type', () => {
    const layer = make({ dtype: 'float16', useGate: true, ropeMaxWavelength: 1000 });
    const cache = new KVCache(runtime, { batch: 2, length: 6, numHeads: 2, keyDim: 4, dtype: 'float16' });
    const { attentionOutput } = layer.callSync(x, x, { cache, cacheUpdateIndex: 1, useCausalMask: true });
    assert.equal(attentionOutput.dtype, 'float16');
    const isHalf = (/** @type {number} */ value) =>
        value === 0 || Math.abs(value * 2 ** (10 - Math.floor(Math.log2(Math.abs(value))))) % 1 === 0;
    assert.ok(attentionOutput.data.every(isHalf));
    assert.ok(cache.toTensor().data.every(isHalf));
    for (const made of [layer, cache]) made.dispose();
});

test('dispose gives everything back', () => {
    const before = runtime.explain().bytesInUse;
    const layer = make({ useGate: true, queryKeyNorm: {}, ropeMaxWavelength: 100 });
    layer.callSync(x, x).attentionOutput.dispose();
    layer.dispose();
    assert.throws(() => layer.callSync(x, x), /has been disposed/);
    assert.equal(runtime.explain().bytesInUse, before);
});

test('nothing to do: no queries, no new keys, no batch', () => {
    const layer = make({ ropeMaxWavelength: 100, queryKeyNorm: {}, useGate: true });
    const [none, rows] = [tensor([2, 0, 8]), tensor([2, 3, 8])];
    const cache = tensor([2, 2, 6, 2, 4]);
    const stored = layer.callSync(none, rows, { cache, cacheUpdateIndex: 1 });
    assert.deepEqual([...stored.attentionOutput.shape], [2, 0, 8]);
    const both = layer.callSync(rows, rows, { cache, cacheUpdateIndex: 1 });
    assert.deepEqual(functional(stored.cache).data, functional(both.cache).data);
    const kept = layer.callSync(rows, none, { cache, cacheUpdateIndex: 1 });
    assert.deepEqual(functional(kept.cache).data, cache.data);
    const empty = tensor([0, 3, 8]);
    const { attentionOutput } = layer.callSync(empty, empty, { queryMask: booleans([0, 3]) });
    assert.deepEqual([...attentionOutput.shape], [0, 3, 8]);
    layer.dispose();
});
