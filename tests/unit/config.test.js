// Constructor arguments: every wrong type and value is refused by name, and what is accepted goes round. The golden
// suite `errors` has Keras's own list.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention } from '../../js/index.js';
import { resolveObjects } from '../../js/keras/objects.js';
import { testRuntime } from '../paired.js';

const runtime = await testRuntime();
const least = { numHeads: 2, keyDim: 4 };
const make = (/** @type {any} */ config) => new CachedMultiHeadAttention(runtime, { ...least, ...config });

/** For each option values of a wrong type, then values out of range. @type {Record<string, [any[], any[]]>} */
const WRONG = {
    numHeads: [['2', null, [2], {}, true, 2n], [0, -1, 2.5, NaN, Infinity]],
    keyDim: [['4', null, [4], {}, true], [0, -3, 4.5, NaN]],
    valueDim: [['4', [4], {}, true], [0, -1, 2.5, NaN]],
    dropout: [['0.1', null, [0.1], true], []],
    useBias: [['yes', 2, [], {}], []],
    useGate: [['yes', 2, [], {}], []],
    outputShape: [['5', {}, true, ['5'], [null]], [2.5, -1, [0], [1.5], NaN]],
    attentionAxes: [['1', {}, true, 1.5, ['1'], [1.5]], []],
    slidingWindow: [['1', [1], true], [0, 1.5, -1]],
    flashAttention: [['yes', 1, {}], []],
    kernelInitializer: [[3, null, {}, () => 0, []], ['nope', 'constant']],
    biasInitializer: [[3, null, {}], ['nope']],
    kernelRegularizer: [[0.01, {}, () => 0], ['nope', 'l1_l2']],
    biasRegularizer: [[0.01, {}], ['nope']],
    activityRegularizer: [[0.01, {}], ['nope']],
    kernelConstraint: [[2, {}, () => 0], ['nope']],
    biasConstraint: [[2, {}], ['nope']],
    name: [[3, {}, true], ['a/b']],
    dtype: [[32, [], { class_name: 'QuantizedDTypePolicy', config: { name: 'int8' } }], ['nope', 'int8', 'float8']],
    trainable: [['yes', 1, null], []],
};

for (const [option, [types, ranges]] of Object.entries(WRONG)) {
    test(`${option}: what is wrong is named`, () => {
        const message = new RegExp(option);
        for (const value of types) {
            assert.throws(() => make({ [option]: value }), { name: 'TypeError', message }, String(value));
        }
        for (const value of ranges) {
            assert.throws(() => make({ [option]: value }), { name: 'RangeError', message }, String(value));
        }
    });
}

test('options that are missing, unknown, or no object', () => {
    for (const config of [{}, { numHeads: 2 }, { keyDim: 2 }, undefined, null, 3, 'x', [], new Float32Array(2)]) {
        assert.throws(() => new CachedMultiHeadAttention(runtime, /** @type {any} */ (config)), TypeError);
    }
    for (const key of ['num_heads', 'unknown', 'toString']) assert.throws(() => make({ [key]: 1 }), TypeError);
    for (const key of ['numHeads', 'unknown', 'autocast']) {
        const config = { num_heads: 1, key_dim: 1, [key]: 1 };
        assert.throws(() => CachedMultiHeadAttention.fromConfig(runtime, config), TypeError);
    }
    assert.throws(() => new CachedMultiHeadAttention(/** @type {any} */ ({}), least), TypeError);
});

test('a policy as Keras 3.2 to 3.4 wrote it, when those of floats had a class of their own', () => {
    const dtype = { module: 'keras', class_name: 'FloatDTypePolicy', config: { name: 'mixed_bfloat16' }, registered_name: null };
    const layer = CachedMultiHeadAttention.fromConfig(runtime, { num_heads: 1, key_dim: 1, dtype });
    assert.deepEqual(layer.getConfig().dtype, { ...dtype, class_name: 'DTypePolicy' });
});

test('flash attention and dropout exclude each other', () => {
    assert.throws(() => make({ flashAttention: true, dropout: 0.1 }), RangeError);
    make({ flashAttention: false, dropout: 0.1 });
    make({ flashAttention: true });
});

test('what Keras checks at build only is refused there', () => {
    const build = (/** @type {any} */ config) => make(config).build([1, 2, 3], [1, 2, 3]);
    for (const dropout of [1.5, -0.5, NaN]) {
        make({ dropout });
        assert.throws(() => build({ dropout }), { name: 'RangeError', message: /dropout/ });
    }
    make({ seed: 'x' });
    build({ seed: 'x' });
    assert.throws(() => build({ seed: 'x', dropout: 0.5 }), { name: 'TypeError', message: /seed/ });
    assert.throws(() => build({ kernelInitializer: 'identity' }), RangeError);
    assert.throws(() => build({ biasInitializer: 'orthogonal' }), RangeError);
    for (const attentionAxes of [3, -4, [2], [1, 1], [1, -2]]) {
        assert.throws(() => build({ attentionAxes }), { name: 'RangeError', message: /attentionAxes/ });
    }
});

test('build shapes: types, ranks, unknown sizes', () => {
    for (const shape of /** @type {any[]} */ ([
        undefined, null, 3, 'abc', [1, 2, -1], [1, 2, 1.5], [1, 2, '3'], { length: 3 },
    ])) {
        const error = (/** @type {RegExp} */ message) => ({ name: 'TypeError', message });
        assert.throws(() => make({}).build(shape, [1, 2, 3]), error(/queryShape/));
        assert.throws(() => make({}).build([1, 2, 3], shape), error(/valueShape/));
    }
    assert.throws(() => make({}).build([1, 2, null], [1, 2, 3]), RangeError);
    assert.throws(() => make({}).build([1, 2, 3], [1, 2, null]), RangeError);
    assert.throws(() => make({}).build([1, 2, 3], [1, 2, 2, 3]), RangeError);
    assert.throws(() => make({}).build([3], [3]), RangeError);
    assert.throws(() => make({}).build([1, 2, 3], [1, 2, 3], [1, 3, 3]), RangeError);
    const layer = make({});
    layer.build([null, null, 3], [2, 5, 4], [1, 5, 6]); // batches of keys and values may differ at build, as in Keras
    assert.deepEqual(layer.weights.map(({ shape }) => shape[0]), [3, 2, 6, 2, 4, 2, 2, 3]);
});

test('a failed build leaves nothing behind', () => {
    const before = runtime.explain().bytesInUse;
    assert.throws(() => make({ biasInitializer: 'orthogonal' }).build([1, 2, 3], [1, 2, 3]), RangeError);
    assert.equal(runtime.explain().bytesInUse, before);
});

test('default names count per runtime', async () => {
    const own = await testRuntime({ workers: 0 });
    const first = 'cached_multi_head_attention';
    const names = [1, 2, 3].map(() => new CachedMultiHeadAttention(own, least).name);
    assert.deepEqual(names, [first, `${first}_1`, `${first}_2`]);
    assert.equal(new CachedMultiHeadAttention(own, { ...least, name: 'mine' }).name, 'mine');
    assert.equal(new CachedMultiHeadAttention(own, least).name, 'cached_multi_head_attention_3');
});

test('instances, serialized objects and names come to the same config', () => {
    const objects = {
        kernelInitializer: { class_name: 'HeNormal', config: { seed: 1 } },
        kernelRegularizer: { class_name: 'L2', config: { l2: 2 } },
        biasConstraint: { class_name: 'MaxNorm', config: { max_value: 3, axis: -1 } },
    };
    const instances = make({ name: 'x', ...resolveObjects(Object.keys(objects), objects) }).getConfig();
    const serialized = make({ name: 'x', ...objects }).getConfig();
    assert.deepEqual(instances, serialized);
    assert.deepEqual(CachedMultiHeadAttention.fromConfig(runtime, instances).getConfig(), instances);
    assert.deepEqual(JSON.parse(JSON.stringify(instances)), instances, 'plain JSON');
});

test('configs of older Keras versions, without what came later', () => {
    const { use_gate: _gate, sliding_window: _window, ...config } = make({ name: 'x' }).getConfig();
    const older = { ...config, kernel_initializer: { class_name: 'GlorotUniform', config: { seed: null } } };
    const layer = CachedMultiHeadAttention.fromConfig(runtime, older);
    const { use_gate: gate, sliding_window: window, ...got } = layer.getConfig();
    assert.deepEqual(got, config);
    assert.deepEqual([gate, window], [false, null]);
});

test('changing what was given, or what getConfig() gave, changes no layer', () => {
    const given = { outputShape: [3, 4], attentionAxes: [1] };
    const layer = make(given);
    given.outputShape[0] = 9;
    given.attentionAxes.push(2);
    const config = layer.getConfig();
    config.output_shape.push(5);
    config.attention_axes.push(5);
    config.dtype.config.name = 'float16';
    assert.deepEqual(layer.getConfig().output_shape, [3, 4]);
    assert.deepEqual(layer.getConfig().attention_axes, [1]);
    assert.equal(layer.getConfig().dtype.config.name, 'float32');
});
