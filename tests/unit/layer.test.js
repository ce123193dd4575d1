// The layer as an object: building, weights, dtypes, results, errors and the end of its life.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { roundTo } from '../../js/keras/policy.js';
import { assertClose } from '../close.js';
import { draw, randomLayer } from '../property/cases.js';
import { testRuntime } from '../runtime.js';
import { floatsOf, functional, there } from '../there.js';

const runtime = await testRuntime();
const least = { numHeads: 2, keyDim: 4 };
const { tensor } = draw(1);
const x = tensor([2, 5, 8]);

test('the first call builds, a failed one leaves the layer unbuilt', async () => {
    const layer = new CachedMultiHeadAttention(runtime, least);
    assert.deepEqual(layer.weights, []);
    assert.deepEqual(layer.getWeights(), []);
    assert.deepEqual(layer.losses, []);
    assert.equal(layer.attentionAxes, null);
    assert.throws(() => layer.setWeights([]), RangeError);
    const wrong = { attentionMask: tensor([3, 3]) };
    assert.throws(() => layer.callSync(x, x, wrong), RangeError);
    await assert.rejects(layer.call(x, x, wrong), RangeError);
    assert.equal(layer.built, false);
    const { attentionOutput } = await layer.call(x, x);
    assert.ok(attentionOutput instanceof Tensor);
    assert.deepEqual([...attentionOutput.shape], [2, 5, 8]);
    assert.equal(layer.built, true);
    assert.deepEqual(layer.attentionAxes, [1]);
    assert.throws(() => layer.build([2, 5, 8], [2, 5, 8]), RangeError);
    layer.dispose();
});

test('weights: names, values round trip, refusals change nothing', () => {
    const config = { ...least, valueDim: 3, outputShape: [2, 5] };
    const layer = randomLayer(runtime, { ...config, name: 'mine' }, [1, 1, 7], [1, 1, 6], 2);
    const before = layer.getWeights();
    assert.deepEqual(layer.weights.map(({ path, name, dtype, trainable }) => [path, name, dtype, trainable])[7], [
        'mine/attention_output/bias', 'bias', 'float32', true,
    ]);
    assert.deepEqual([...layer.weights[6].shape], [2, 3, 2, 5]);
    const fresh = new CachedMultiHeadAttention(runtime, config);
    fresh.build([1, 1, 7], [1, 1, 6]);
    fresh.setWeights(layer.weights);
    assert.deepEqual(fresh.getWeights(), before);
    const changed = (/** @type {any} */ last) => [...before.slice(0, 7), last];
    for (const [list, type] of /** @type {[any, any][]} */ ([
        [before.slice(1), RangeError], [[], RangeError], [undefined, TypeError], [{}, TypeError],
        [changed({ shape: [10], data: new Float32Array(10) }), RangeError],
        [changed({ shape: [2, 5], data: new Float32Array(9) }), RangeError],
        [changed({ shape: [2, 5], data: new Array(10).fill(0) }), TypeError],
        [changed({ shape: [2, 5], data: new Uint8Array(10) }), TypeError], [changed(null), TypeError],
    ])) assert.throws(() => layer.setWeights(list), { name: type.name });
    assert.deepEqual(layer.getWeights(), before);
    layer.weights[0].data.fill(0);
    layer.getWeights()[0].data.fill(0);
    assert.deepEqual(layer.getWeights(), before, 'what is given out is a copy');
    layer.trainable = false;
    assert.equal(layer.weights[0].trainable, false);
    assert.equal(layer.getConfig().trainable, false);
    assert.throws(() => { layer.trainable = /** @type {any} */ (0); }, TypeError);
});

test('a seeded initializer draws the same stream for every kernel, an unseeded one does not', () => {
    const kernels = (/** @type {any} */ kernelInitializer) => {
        const layer = new CachedMultiHeadAttention(runtime, { ...least, kernelInitializer });
        layer.build([1, 1, 8], [1, 1, 8]);
        return layer.weights.filter(({ name }) => name === 'kernel').map(({ data }) => [...data]);
    };
    const [query, key, value, output] = kernels({ class_name: 'GlorotUniform', config: { seed: 5 } });
    assert.deepEqual(query, key);
    assert.deepEqual(query, value);
    assert.deepEqual(query, output); // the same fans here: 8 and 8
    const unseeded = kernels('glorot_uniform');
    assert.notDeepEqual(unseeded[0], unseeded[1]);
});

for (const [dtype, variable, compute] of [
    ['float32', 'float32', 'float32'], ['float64', 'float32', 'float32'], ['float16', 'float16', 'float16'],
    ['bfloat16', 'bfloat16', 'bfloat16'], ['mixed_float16', 'float32', 'float16'],
    ['mixed_bfloat16', 'float32', 'bfloat16'],
]) {
    test(`policy ${dtype}: variables ${variable}, results ${compute}`, () => {
        const layer = new CachedMultiHeadAttention(runtime, { ...least, dtype });
        layer.build([2, 5, 8], [2, 5, 8]);
        const values = layer.weights.map(({ shape }) => tensor([...shape]));
        layer.setWeights(values);
        layer.weights.forEach(({ data, dtype: type }, i) => {
            assert.equal(type, variable);
            assert.deepEqual(data, values[i].data.map((value) => roundTo(value, /** @type {any} */ (variable))));
        });
        const cache = tensor([2, 2, 6, 2, 4]);
        const result = layer.callSync(x, x, { cache, cacheUpdateIndex: 1, returnAttentionScores: true });
        const returned = functional(result.cache);
        for (const out of [result.attentionOutput, there(result.attentionScores), returned]) {
            assert.equal(/** @type {Tensor} */ (out).dtype, compute);
            const rounded = floatsOf(out).map((value) => roundTo(value, /** @type {any} */ (compute)));
            assert.deepEqual(out.data, rounded, 'representable');
        }
        const exact = new CachedMultiHeadAttention(runtime, least);
        exact.build([2, 5, 8], [2, 5, 8]);
        exact.setWeights(values);
        const expected = exact.callSync(x, x, { cache, cacheUpdateIndex: 1 }).attentionOutput.data;
        // 8 or 11 significant bits, values of order 4 with roundings of inputs, weights and every result on the way.
        const unit = there({ float32: 2 ** -24, float16: 2 ** -11, bfloat16: 2 ** -8 }[compute]);
        assertClose(result.attentionOutput.data, expected, { atol: 40 * unit, rtol: 8 * unit });
        const type = /** @type {any} */ (compute);
        const kvCache = new KVCache(runtime, { batch: 2, length: 6, numHeads: 2, keyDim: 4, dtype: type });
        kvCache.set(cache);
        layer.callSync(x, x, { cache: kvCache, cacheUpdateIndex: 1 });
        assert.deepEqual(kvCache.toTensor().data, returned.data);
        kvCache.dispose();
        layer.dispose();
    });
}

test('a cache of the other half type is refused', () => {
    const layer = new CachedMultiHeadAttention(runtime, { ...least, dtype: 'float16' });
    const cache = new KVCache(runtime, { batch: 2, length: 6, numHeads: 2, keyDim: 4, dtype: 'bfloat16' });
    assert.throws(() => layer.callSync(x, x, { cache, cacheUpdateIndex: 0 }), TypeError);
});

test('a call is the same whatever cache the one before it had', () => {
    const layer = randomLayer(runtime, least, [2, 5, 8], [2, 5, 8], 3);
    const given = tensor([2, 2, 7, 2, 4]);
    const calls = [undefined, { cache: given, cacheUpdateIndex: 2 }].map((options) => () => {
        const { attentionOutput, cache } = layer.callSync(x, x, options);
        return [attentionOutput.data, cache && functional(cache).data];
    });
    const expected = calls.map((call) => call());
    for (const dtype of /** @type {const} */ (['bfloat16', 'float16', 'int8'])) {
        const cache = new KVCache(runtime, { batch: 2, length: 7, numHeads: 2, keyDim: 4, dtype });
        for (const [i, call] of calls.entries()) {
            layer.callSync(x, x, { cache, cacheUpdateIndex: 1 });
            assert.deepEqual(call(), expected[i], dtype);
        }
        cache.dispose();
    }
});

test('a flash layer gives the same bits, never scores, and leaves rank 4 alone', () => {
    const [plain, flash] = [null, true].map(
        (flashAttention) => randomLayer(runtime, { ...least, flashAttention }, [2, 5, 8], [2, 5, 8], 3),
    );
    assert.deepEqual(flash.callSync(x, x).attentionOutput.data, plain.callSync(x, x).attentionOutput.data);
    assert.throws(() => flash.callSync(x, x, { returnAttentionScores: true }), RangeError);
    const image = tensor([2, 3, 4, 8]);
    const deep = randomLayer(runtime, { ...least, flashAttention: true }, [2, 3, 4, 8], [2, 3, 4, 8], 3);
    assert.ok(deep.callSync(image, image).attentionOutput.data.every(Number.isFinite));
});

test('integers and booleans count as numbers', () => {
    const layer = randomLayer(runtime, least, [2, 5, 8], [2, 5, 8], 3);
    const whole = { shape: [2, 5, 8], data: Int32Array.from({ length: 80 }, (_, i) => i % 7 - 3) };
    const same = { shape: [2, 5, 8], data: Float32Array.from(whole.data) };
    const expected = layer.callSync(same, same).attentionOutput.data;
    assert.deepEqual(layer.callSync(whole, whole).attentionOutput.data, expected);
    assert.deepEqual(layer.callSync(new Tensor(runtime, whole), whole).attentionOutput.data, expected);
    const bits = { shape: [2, 5, 8], data: Uint8Array.from({ length: 80 }, (_, i) => i % 2) };
    const ones = { shape: [2, 5, 8], data: Float32Array.from(bits.data) };
    assert.deepEqual(layer.callSync(bits, bits).attentionOutput.data, layer.callSync(ones, ones).attentionOutput.data);
});

test('results feed the next call without leaving the memory, and inputs stay as they are', () => {
    const layer = randomLayer(runtime, least, [2, 5, 8], [2, 5, 8], 3);
    const before = x.data.slice();
    const once = layer.callSync(x, x).attentionOutput;
    const twice = layer.callSync(once, once).attentionOutput.data;
    const copied = { shape: [2, 5, 8], data: once.data.slice() };
    assert.deepEqual(layer.callSync(copied, copied).attentionOutput.data, twice);
    assert.deepEqual(x.data, before);
});

test('useCausalMask: one attention axis, along any of them', () => {
    const image = tensor([2, 3, 4, 8]);
    const one = randomLayer(runtime, { ...least, attentionAxes: 2 }, image.shape, image.shape, 4);
    const mask = { shape: [4, 4], data: Uint8Array.from({ length: 16 }, (_, i) => Number(i % 4 <= Math.floor(i / 4))) };
    const expected = one.callSync(image, image, { attentionMask: mask }).attentionOutput.data;
    const got = one.callSync(image, image, { useCausalMask: true }).attentionOutput.data;
    assertClose(got, expected, { atol: 1e-6, rtol: 1e-6 }); // a few units in the last place
    const two = randomLayer(runtime, least, image.shape, image.shape, 4);
    assert.throws(() => two.callSync(image, image, { useCausalMask: true }), RangeError);
});

test('wrong arguments are named', async () => {
    const layer = randomLayer(runtime, least, [2, 5, 8], [2, 5, 8], 3);
    for (const [args, type, message] of /** @type {[any, ErrorConstructor, RegExp][]} */ ([
        [[], TypeError, /query/], [[x], TypeError, /value/], [[null, x], TypeError, /query/],
        [[x.data, x], TypeError, /query/], [[{ shape: [2, 5, 8], data: [1] }, x], TypeError, /query/],
        [[{ shape: [2, 5, 9], data: x.data }, x], RangeError, /query/],
        [[tensor([2, 5, 7]), x], RangeError, /query/], [[x, tensor([2, 5, 7])], RangeError, /value/],
        [[tensor([10, 8]), x], RangeError, /query/], [[tensor([1, 5, 8]), x], RangeError, /value/],
        [[x, x, null], TypeError, /third/], [[x, x, 0], TypeError, /third/], [[x, x, x], TypeError, /shape/],
        [[x, x, new Tensor(runtime, x)], TypeError, /third/],
        [[x, x, { key: 3 }], TypeError, /key/], [[x, x, { key: tensor([2, 4, 8]) }], RangeError, /key/],
        [[x, x, { key: tensor([1, 5, 8]) }], RangeError, /key/],
        [[x, x, { attentionMask: [1] }], TypeError, /attentionMask/],
        [[x, x, { cache: 1 }], TypeError, /cache/], [[x, x, { cache: tensor([2, 2, 6, 2, 5]) }], RangeError, /cache/],
        [[x, x, { cache: tensor([1, 2, 6, 2, 4]) }], RangeError, /cache/],
        [[x, x, { cache: tensor([2, 3, 6, 2, 4]) }], RangeError, /cache/],
        [[x, x, { cache: tensor([2, 2, 0, 2, 4]) }], RangeError, /at least one/],
        [[x, tensor([2, 0, 8])], RangeError, /value/], [[x, x, { training: 1 }], TypeError, /training/],
        [[x, x, { useCausalMask: 'yes' }], TypeError, /useCausalMask/],
        [[x, x, { cacheUpdateIndex: 0 }], RangeError, /cache/],
        [[x, x, { queryMask: x }], TypeError, /queryMask/],
    ])) {
        const call = () => layer.callSync(.../** @type {Parameters<typeof layer.callSync>} */ (args));
        assert.throws(call, { name: type.name, message }, String(message));
        await assert.rejects(layer.call(.../** @type {Parameters<typeof layer.call>} */ (args)), { name: type.name, message }, String(message));
    }
});

test('computeOutputShape, with and without outputShape, before and after build', () => {
    const layer = new CachedMultiHeadAttention(runtime, { ...least, outputShape: [3, 4] });
    assert.deepEqual(layer.computeOutputShape([2, null, 8], [2, 6, 9]), [2, null, 3, 4]);
    assert.deepEqual(new CachedMultiHeadAttention(runtime, least).computeOutputShape([2, 5, 8], [2, 6, 9]), [2, 5, 8]);
    assert.throws(() => layer.computeOutputShape([2, 5, 8], [2, 6, 9], [2, 5, 9]), RangeError);
    assert.throws(() => layer.computeOutputShape(/** @type {any} */ (3), [2, 6, 9]), TypeError);
});

test('losses: a term for each projection that ran, kept when a call fails', () => {
    const layer = randomLayer(runtime, { ...least, activityRegularizer: 'l1' }, [2, 5, 8], [2, 5, 8], 3);
    const cache = tensor([2, 2, 6, 2, 4]);
    assert.deepEqual(layer.losses, []);
    layer.callSync(x, tensor([2, 0, 8]), { cache, cacheUpdateIndex: 0 });
    assert.equal(layer.losses.length, 4, 'nothing new is projected, but it is projected');
    assert.deepEqual(layer.losses.slice(1, 3), [0, 0]);
    layer.callSync(x, x, { cache });
    const { losses } = layer;
    assert.equal(losses.length, 2);
    assert.throws(() => layer.callSync(x, x, { cacheUpdateIndex: 0 }), RangeError);
    assert.deepEqual(layer.losses, losses);
    const [activity, kernel] = ['activityRegularizer', 'kernelRegularizer'].map(
        (name) => randomLayer(runtime, { ...least, [name]: 'orthogonal_regularizer' }, [2, 5, 8], [2, 5, 8], 3),
    );
    assert.throws(() => activity.callSync(x, x), RangeError);
    assert.throws(() => kernel.losses, RangeError);
});

test('kernels have the regularizer and the constraint of kernels, biases those of biases', () => {
    const [l1, l2] = [{ class_name: 'L1', config: { l1: 1 } }, { class_name: 'L2', config: { l2: 1 } }];
    const make = (/** @type {object} */ config) => randomLayer(runtime, { ...least, ...config }, [2, 5, 8], [2, 5, 8], 3);
    /** @param {ArrayLike<number>} data @param {(x: number) => number} of */
    const sum = (data, of) => Array.from(data, of).reduce((a, b) => a + b, 0);
    const layer = make({ kernelRegularizer: l1, biasRegularizer: l2, kernelConstraint: 'non_neg' });
    const before = layer.getWeights();
    const [kernels, biases] = [0, 1].map((odd) => before.filter((_, i) => i % 2 === odd).map(({ data }) => data));
    const [ofKernels, ofBiases] = [kernels.map((data) => sum(data, Math.abs)), biases.map((data) => sum(data, (x) => x * x))];
    assertClose(layer.losses, ofKernels.flatMap((loss, i) => [loss, ofBiases[i]]), { rtol: 1e-6 });
    assertClose(make({ kernelRegularizer: l1 }).losses, ofKernels, { rtol: 1e-6 });
    const onlyBiases = make({ biasRegularizer: l2, biasConstraint: 'non_neg' });
    assertClose(onlyBiases.losses, ofBiases, { rtol: 1e-6 });
    for (const [constrained, odd] of /** @type {const} */ ([[layer, 0], [onlyBiases, 1]])) {
        constrained.applyConstraints();
        constrained.getWeights().forEach(({ data }, i) =>
            assert.deepEqual(data, i % 2 === odd ? before[i].data.map((x) => Math.max(x, 0)) : before[i].data));
    }
});

test('a first call that runs out of memory leaves the layer unbuilt, and as good as new', async () => {
    const small = await testRuntime({ workers: 0, maxMemory: 1 << 21 });
    const layer = new CachedMultiHeadAttention(small, least);
    const long = { shape: [1, 20000, 8], data: new Float32Array(160000) };
    const { bytesInUse } = small.explain();
    assert.throws(() => layer.callSync(long, long, { returnAttentionScores: true }), RangeError);
    await assert.rejects(layer.call(long, long, { returnAttentionScores: true }), RangeError);
    assert.equal(layer.built, false);
    assert.ok(small.explain().bytesInUse <= bytesInUse + (1 << 17), 'but for scratch, all is free');
    const wide = tensor([1, 3, 12]);
    assert.deepEqual([...layer.callSync(wide, wide).attentionOutput.shape], [1, 3, 12]);
});

test('dispose frees everything, and is the end', async () => {
    const before = runtime.explain().bytesInUse;
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 4, keyDim: 32 });
    layer.build([1, 1, 128], [1, 1, 128]);
    assert.ok(runtime.explain().bytesInUse > before + 4 * 128 * 128 * 4);
    const [weight] = layer.weights;
    layer.dispose();
    layer.dispose();
    assert.equal(runtime.explain().bytesInUse, before);
    const y = tensor([1, 1, 128]);
    assert.throws(() => layer.callSync(y, y), /disposed/);
    await assert.rejects(layer.call(y, y), /disposed/);
    await assert.rejects(layer.loadWeights(new Uint8Array(8)), /disposed/);
    await assert.rejects(layer.saveWeights(), /disposed/);
    for (const use of [
        () => layer.build([1, 1, 8], [1, 1, 8]), () => layer.getWeights(), () => layer.setWeights([]),
        () => layer.losses, () => layer.applyConstraints(), () => weight.data,
    ]) assert.throws(use, /disposed/);
});
