// Constraints by hand, on a layer too; the golden suite has Keras's numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention } from '../../js/index.js';
import { CONSTRAINTS, Constraint } from '../../js/keras/constraints.js';
import { resolve as resolveIn } from '../../js/keras/serializable.js';
import { assertClose } from '../close.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';

const runtime = await testRuntime();
const resolve = (/** @type {unknown} */ identifier) => resolveIn(CONSTRAINTS, 'kernelConstraint', identifier);
const make = (/** @type {string} */ name, options = {}) => new Constraint(CONSTRAINTS.module, name, CONSTRAINTS.kinds[name], options);
const x = new Float32Array([3, 0.5, -4, 0]); // columns of norms 5 and 0.5
const close = { atol: 1e-6, rtol: 1e-6 }; // Keras's epsilon of 1e-7 in the divisor, and float32

test('projections', () => {
    assertClose(make('MaxNorm', { maxValue: 1 }).project(x, [2, 2]), [0.6, 0.5, -0.8, 0], close);
    assertClose(make('UnitNorm').project(x, [2, 2]), [0.6, 1, -0.8, 0], close);
    const whole = make('UnitNorm', { axis: [0, 1] }).project(new Float32Array([3, 0, 4, 0]), [2, 2]);
    assertClose(whole, [0.6, 0, 0.8, 0], close);
    assertClose(make('UnitNorm', { axis: -1 }).project(new Float32Array([3, 4, 0, 2]), [2, 2]), [0.6, 0.8, 0, 1], close);
    assertClose(make('MinMaxNorm', { minValue: 1, maxValue: 2 }).project(x, [2, 2]), [1.2, 1, -1.6, 0], close);
    const halfWay = make('MinMaxNorm', { minValue: 1, maxValue: 2, rate: 0.5 }).project(x, [2, 2]);
    assertClose(halfWay, [2.1, 0.75, -2.8, 0], close);
    assert.deepEqual([...make('NonNeg').project(x, [2, 2])], [3, 0.5, 0, 0]);
    assert.deepEqual([...make('UnitNorm').project(new Float32Array(4), [2, 2])], [0, 0, 0, 0]);
});

test('names, configs, refusals', () => {
    const names = ['max_norm', 'non_neg', 'unit_norm', 'min_max_norm', 'MaxNorm', 'NonNeg', 'UnitNorm', 'MinMaxNorm'];
    for (const name of names) {
        const serialized = there(resolve(name)).serialize();
        assert.deepEqual(there(resolve(serialized)).serialize(), serialized);
    }
    assert.deepEqual(there(resolve('max_norm')).serialize().config, { max_value: 2, axis: 0 });
    assert.throws(() => resolve('nope'), RangeError);
    assert.throws(() => resolve('maxnorm'), RangeError);
    assert.throws(() => make('MaxNorm', { maxValue: '2' }), TypeError);
    assert.throws(() => make('UnitNorm', { axis: 0.5 }), TypeError);
    assert.throws(() => make('UnitNorm', { axis: 2 }).project(x, [2, 2]), RangeError);
});

test('a layer applies them when told to, and only then', () => {
    const random = rng(1);
    const config = { numHeads: 2, keyDim: 3, kernelConstraint: 'unit_norm', biasConstraint: 'non_neg' };
    const layer = new CachedMultiHeadAttention(runtime, config);
    layer.applyConstraints(); // nothing to do yet
    layer.build([1, 1, 4], [1, 1, 4]);
    const values = layer.weights.map(({ shape, data }) => ({ shape, data: floats(random, data.length) }));
    layer.setWeights(values);
    layer.getWeights().forEach(({ data }, i) => assert.deepEqual(data, values[i].data));
    layer.applyConstraints();
    layer.weights.forEach(({ name, shape, data }, i) => {
        const constraint = name === 'kernel' ? make('UnitNorm') : make('NonNeg');
        assert.deepEqual(data, constraint.project(values[i].data, shape));
    });
    layer.dispose();
});

test('a constraint that fails on one weight changes none', () => {
    const layer = new CachedMultiHeadAttention(runtime, {
        numHeads: 2, keyDim: 3, kernelConstraint: 'non_neg',
        biasConstraint: { class_name: 'UnitNorm', config: { axis: [0, 1] } },
    });
    layer.build([1, 1, 4], [1, 1, 4]); // the output bias has one axis
    const before = layer.getWeights();
    assert.throws(() => layer.applyConstraints(), RangeError);
    assert.deepEqual(layer.getWeights(), before);
    layer.dispose();
});
