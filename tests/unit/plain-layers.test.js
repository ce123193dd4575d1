// RotaryEmbedding, norms, positions and biases: arguments, weights and axes. Numbers of Keras's: golden/model-layers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    AlibiBias,
    LayerNormalization,
    RMSNormalization,
    RotaryEmbedding,
    SinePositionEncoding,
} from '../../js/layers/index.js';
import { draw } from '../property/cases.js';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();
const { tensor } = draw(3);

/** @param {() => unknown} fn @param {RegExp} message */
function refuses(fn, message) {
    const named = (/** @type {any} */ error) =>
        (error instanceof TypeError || error instanceof RangeError) && message.test(error.message);
    assert.throws(fn, named, String(message));
}

test('wrong arguments are named', () => {
    for (const [make, message] of [
        [() => new RotaryEmbedding(runtime, /** @type {any} */ ({ ropeType: 'su' })), /^ropeType must be "linear", "dynamic" or "yarn"/],
        [() => new RotaryEmbedding(runtime, { maxWavelength: 0 }), /^maxWavelength must be a number above 0/],
        [() => new RotaryEmbedding(runtime, { lowFreqFactor: 1 }), /are all given or none/],
        [() => new RotaryEmbedding(runtime, { maxSequenceLength: 4 }), /^maxSequenceLength must be absent without/],
        [() => new RotaryEmbedding(runtime, { inverseFreqShortFactor: [1] }), /^inverseFreqLongFactor must be an arr/],
        [
            () => new RotaryEmbedding(runtime, {
                ropeType: 'yarn',
                frequencyAdjustmentFactor: 8,
                lowFreqFactor: 1,
                highFreqFactor: 4,
                pretrainingSequenceLength: 9,
            }),
            /^ropeType must be "linear" with/,
        ],
        [() => new RotaryEmbedding(runtime, /** @type {any} */ ({ theta: 1 })), /^options of RotaryEmbedding must be of .*, got "theta"$/],
        [() => new AlibiBias(runtime, { alibiBiasMax: 0.5 }), /^alibiBiasMax must be a positive integer/],
        [() => new RMSNormalization(runtime, { axis: [] }), /^axis must be an integer or an array/],
        [() => new RMSNormalization(runtime, { epsilon: -1 }), /^epsilon must be a number from 0 on/],
        [() => new LayerNormalization(runtime, /** @type {any} */ ({ center: 'no' })), /^center must be a boolean/],
        [() => new LayerNormalization(runtime, /** @type {any} */ ({ name: 7 })), /^name must be a string, got 7/],
        [() => new LayerNormalization(runtime, /** @type {any} */ ({ trainable: 1 })), /^trainable must be a boolean, got 1/],
        [() => new SinePositionEncoding(runtime, /** @type {any} */ ({ maxWavelength: '1' })), /^maxWavelength must be a number/],
        [() => new RMSNormalization(/** @type {any} */ ({})), /^runtime must be made by createRuntime/],
    ]) {
        refuses(/** @type {() => unknown} */ (make), /** @type {RegExp} */ (message));
    }
});

test('wrong calls are named', () => {
    const rope = new RotaryEmbedding(runtime);
    const x = tensor([2, 5, 8]);
    refuses(() => rope.callSync(tensor([2, 5, 7])), /^the rotary dimension must be even/);
    const unknown = /** @type {any} */ ({ start: 1 });
    refuses(() => rope.callSync(x, unknown), /^options of a call of RotaryEmbedding must be of startIndex, positions, got "start"$/);
    refuses(() => new RMSNormalization(runtime).callSync(x, unknown), /^options of a call of RMSNormalization must be none, got "start"$/);
    refuses(() => new RMSNormalization(runtime).callSync(x, /** @type {any} */ (5)), /^the options of a call of RMSNormalization must be an object, got 5$/);
    refuses(() => rope.callSync(x, { startIndex: 0.5 }), /^startIndex must be an integer/);
    refuses(() => rope.callSync(x, { positions: tensor([4]) }), /^positions must be of shape \[5\] or \[2, 5\]/);
    refuses(() => new AlibiBias(runtime).callSync(x), /^attentionScores must be of shape/);
    const norm = new RMSNormalization(runtime);
    norm.build([null, 8]);
    refuses(() => norm.build([null, 8]), /^build must come once/);
    refuses(() => norm.callSync(tensor([2, 7])), /^inputs must be of sizes \[8\] on the axes \[1\], as built/);
    refuses(() => norm.setWeights([tensor([7])]), /^weights\[0\] \(scale\) must be of shape \[8\]/);
    norm.dispose();
    assert.throws(() => norm.callSync(x), /has been disposed/);
});

test('inputs without an element take no memory, however long their axes are', () => {
    const long = 2 ** 33;
    for (const [layer, shapes] of /** @type {[any, number[][]][]} */ ([
        [new RotaryEmbedding(runtime), [[0, long, 4], [0, 2, long], [long, 0, 2]]],
        [new SinePositionEncoding(runtime), [[0, long, 4], [0, 2, long]]],
        [new AlibiBias(runtime), [[0, long, 1, 1], [0, 2, long, 3]]],
    ])) {
        for (const shape of shapes) {
            const result = layer.callSync({ shape, data: new Float32Array(0) });
            assert.deepEqual([result.shape, result.data.length], [shape, 0]);
        }
    }
    refuses(() => new RotaryEmbedding(runtime).callSync({ shape: [0, 2, 7], data: new Float32Array(0) }), /^the rotary dimension must be even/);
});

test('a rotation keeps lengths, and scores depend on distances alone', () => {
    const rope = new RotaryEmbedding(runtime, { maxWavelength: 100 });
    const [q, k] = [tensor([1, 1, 8]), tensor([1, 1, 8])];
    const at = (/** @type {any} */ x, /** @type {number} */ startIndex) => [...rope.callSync(x, { startIndex }).data];
    const dot = (/** @type {number[]} */ a, /** @type {number[]} */ b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
    assert.ok(Math.abs(dot(at(q, 7), at(q, 7)) - dot([...q.data], [...q.data])) < 1e-5);
    assert.ok(Math.abs(dot(at(q, 3), at(k, 1)) - dot(at(q, 9), at(k, 7))) < 1e-5);
});

test('norms without weights are of the sizes they were built for', () => {
    const norm = new LayerNormalization(runtime, { center: false, scale: false });
    norm.build([2, 4]);
    refuses(() => norm.callSync(tensor([2, 8])), /^inputs must be of sizes \[4\] on the axes \[1\], as built/);
    norm.dispose();
});

test('the first axis may be normed by itself, counted from either end', () => {
    const x = { shape: [2, 3], data: Float32Array.of(1, 5, 2, 3, 1, 6) };
    for (const axis of [0, -2]) {
        const norm = new LayerNormalization(runtime, { axis, epsilon: 0 });
        assert.deepEqual([...norm.callSync(x).data], [-1, 1, -1, 1, -1, 1]);
        norm.dispose();
    }
});

test('weights: first values, losses and constraints', () => {
    const gemma = new RMSNormalization(runtime, { offset: 1 });
    gemma.build([1, 4]);
    assert.deepEqual(gemma.getWeights()[0].data, new Float32Array(4));
    const norm = new LayerNormalization(runtime, {
        gammaRegularizer: { class_name: 'L1', config: { l1: 1 } },
        betaConstraint: 'non_neg',
    });
    norm.build([1, 4]);
    assert.deepEqual(norm.losses, [4]);
    norm.setWeights([tensor([4]), { shape: [4], data: Float32Array.of(-1, 2, -3, 4) }]);
    norm.applyConstraints();
    assert.deepEqual([...norm.getWeights()[1].data], [0, 2, 0, 4]);
    norm.trainable = false;
    assert.deepEqual(norm.losses, []);
    for (const made of [gemma, norm]) made.dispose();
});

test('all constraints are applied, or none', () => {
    const beta = { class_name: 'UnitNorm', config: { axis: 2 } };
    const norm = new LayerNormalization(runtime, { axis: [-2, -1], gammaConstraint: 'unit_norm', betaConstraint: beta });
    norm.build([1, 2, 3]);
    refuses(() => norm.applyConstraints(), /^axis must be an axis of shape \[2,3\], got 2$/);
    assert.deepEqual(norm.getWeights()[0].data, new Float32Array(6).fill(1));
    norm.dispose();
});

test('changing what was given, or what getConfig() gave, changes no layer', () => {
    const [axis, axes, short, long] = [[-1], [0], [1, 2], [3, 4]];
    const rope = { inverseFreqShortFactor: short, inverseFreqLongFactor: long };
    const layers = [
        new LayerNormalization(runtime, { axis, gammaConstraint: { class_name: 'UnitNorm', config: { axis: axes } } }),
        new RotaryEmbedding(runtime, rope),
    ];
    layers[0].callSync(tensor([1, 4]));
    const expected = layers.map((layer) => structuredClone(layer.getConfig()));
    for (const list of [axis, axes, short, long]) list[0] = 7;
    const spoil = (/** @type {any} */ value) => {
        if (Array.isArray(value)) value[0] = 9;
        else if (typeof value === 'object' && value !== null) Object.values(value).forEach(spoil);
    };
    for (const layer of layers) spoil(layer.getConfig());
    assert.deepEqual(layers.map((layer) => layer.getConfig()), expected);
    assert.deepEqual(layers[0].callSync(tensor([1, 4])).shape, [1, 4]);
    for (const layer of layers) layer.dispose();
});

test('a signal that is undefined or null is none', async () => {
    const norm = new RMSNormalization(runtime);
    const x = tensor([2, 8]);
    for (const signal of [undefined, null]) assert.deepEqual((await norm.call(x, { signal })).data, norm.callSync(x).data);
    await assert.rejects(norm.call(x, /** @type {any} */ ({ signal: 5 })), { name: 'TypeError', message: /^signal must be an AbortSignal/ });
    const message = /^the options of a call of RMSNormalization must be an object/;
    await assert.rejects(norm.call(x, /** @type {any} */ (null)), { name: 'TypeError', message });
    norm.dispose();
});

test('a layer that cannot be built is as it was', () => {
    // Orthogonal rows need two axes, and gamma has one.
    const norm = new LayerNormalization(runtime, { gammaInitializer: 'orthogonal' });
    for (let i = 0; i < 2; i++) {
        refuses(() => norm.callSync(tensor([2, 8])), /^the shape of an Orthogonal initializer must be of 2 axes/);
        assert.equal(norm.built, false);
    }
});

test('weights are neither read nor changed once they are gone, nor changed while calls read them', async () => {
    const page = await testRuntime({ workers: 1, _test: { mayBlock: false } });
    const norm = new RMSNormalization(page);
    norm.build([null, 512]);
    const weights = norm.getWeights();
    const call = norm.call(tensor([2048, 512]));
    assert.ok(page._busy);
    assert.throws(() => norm.setWeights(weights), /setWeights: calls are pending/);
    assert.throws(() => norm.applyConstraints(), /applyConstraints: calls are pending/);
    await call;
    norm.setWeights(weights);
    norm.dispose();
    for (const act of [() => norm.getWeights(), () => norm.setWeights([]), () => norm.applyConstraints()]) {
        assert.throws(act, /RMSNormalization: .* has been disposed/);
    }
    const other = new RMSNormalization(page);
    other.build([null, 512]);
    page.dispose();
    assert.throws(() => other.setWeights(weights), /the runtime has been disposed/);
});

test('half precision: numbers of the type', () => {
    const norm = new RMSNormalization(runtime, { dtype: 'bfloat16' });
    const output = norm.callSync(tensor([3, 16]));
    assert.equal(output.dtype, 'bfloat16');
    const bits = new Uint32Array(output.data.slice().buffer);
    assert.ok(bits.every((word) => (word & 0xffff) === 0));
    norm.dispose();
});

test('half precision: what Keras casts is cast, and nothing else', () => {
    const dtype = 'mixed_bfloat16';
    const row = (/** @type {number[]} */ values) => ({ shape: [values.length], data: Float32Array.from(values) });
    const x = row([0.1, -0.7, 1.3, 2.9]);
    const rms = new RMSNormalization(runtime, { dtype });
    rms.build([4]);
    rms.setWeights([row([1.1, 0.9, 1.01, 0.99])]);
    assert.deepEqual([...rms.callSync(x).data], [0.06787109375, -0.384765625, 0.80078125, 1.765625]);
    // Keras's LayerNormalization alone has autocast off: inputs and weights stay as they are.
    const layer = new LayerNormalization(runtime, { dtype });
    layer.build([4]);
    layer.setWeights([row([1.005, 0.703, 1.013, 0.992]), row([0.1, 0.2, 0.3, 0.4])]);
    assert.deepEqual([...layer.callSync(x).data], [-0.4921875, -0.62890625, 0.59765625, 1.859375]);
    // Slopes, distances and their products are of the type.
    const scores = { shape: [1, 3, 1, 5], data: new Float32Array(15).fill(0.1003) };
    assert.deepEqual([...new AlibiBias(runtime, { dtype }).callSync(scores).data], [
        -0.150390625, -0.08740234375, -0.02490234375, 0.03759765625, 0.10009765625,
        0.08447265625, 0.08837890625, 0.09228515625, 0.09619140625, 0.10009765625,
        -0.8984375, -0.6484375, -0.400390625, -0.150390625, 0.10009765625,
    ]);
    // So are positions, unless they are integers.
    const rope = new RotaryEmbedding(runtime, { dtype: 'float16' });
    const turned = rope.callSync({ shape: [1, 2, 2], data: Float32Array.of(0.1003, 0, 0, 0.4001) }, { positions: row([99.87, 33.34]) });
    assert.deepEqual([...turned.data], [0.0794677734375, -0.0611572265625, -0.375, -0.139892578125]);
});

test('default names count by class', async () => {
    const names = [new AlibiBias(runtime), new AlibiBias(runtime), new AlibiBias(runtime, { name: 'a' })];
    const [first, second] = names.map(({ name }) => /(\d*)$/.exec(name)?.[1]);
    assert.equal(Number(second), Number(first) + 1);
    assert.equal(names[2].name, 'a');
});
