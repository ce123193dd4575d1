// Regularizers by hand; the golden suite has Keras's numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REGULARIZERS, Regularizer } from '../../js/keras/regularizers.js';
import { resolve as resolveIn } from '../../js/keras/serializable.js';
import { there } from '../there.js';

const resolve = (/** @type {unknown} */ identifier) => resolveIn(REGULARIZERS, 'kernelRegularizer', identifier);
const make = (/** @type {string} */ name, options = {}) => new Regularizer(REGULARIZERS.module, name, REGULARIZERS.kinds[name], options);
const x = new Float32Array([3, -4, 0, 1]);

test('penalties', () => {
    assert.equal(make('L1', { l1: 0.5 }).penalty(x, [4]), 4);
    assert.equal(make('L2', { l2: 0.5 }).penalty(x, [4]), 13);
    assert.equal(make('L1L2', { l1: 0.5, l2: 0.25 }).penalty(x, [4]), 10.5);
    assert.equal(make('L1L2').penalty(x, [4]), 0);
    // Rows (3, -4) and (0, 1): cosine -0.8, one pair, counted once from each side.
    const rows = make('OrthogonalRegularizer', { factor: 0.5 }).penalty(x, [2, 2]);
    assert.ok(Math.abs(rows - 0.4) < 1e-7, `${rows}`);
    // Columns (3, 0) and (-4, 1): cosine -12 / (3 sqrt 17).
    const columns = make('OrthogonalRegularizer', { factor: 0.5, mode: 'columns' }).penalty(x, [2, 2]);
    assert.ok(Math.abs(columns - 0.5 * 4 / Math.sqrt(17)) < 1e-7, `${columns}`);
    assert.throws(() => make('OrthogonalRegularizer').penalty(x, [4]), RangeError);
});

test('names and configs', () => {
    for (const name of ['l1', 'l2', 'l1l2', 'L1', 'L2', 'L1L2', 'orthogonal_regularizer', 'OrthogonalRegularizer']) {
        const serialized = there(resolve(name)).serialize();
        assert.deepEqual(there(resolve(serialized)).serialize(), serialized);
    }
    assert.equal(resolve(null), null);
    assert.equal(make('L1', { l1: 0.1 }).serialize().config.l1, 0.10000000149011612, 'kept as a float32');
    assert.equal(make('L2', { l2: 0.1 }).serialize().config.l2, 0.1);
});

test('what Keras refuses is refused', () => {
    for (const name of ['l1_l2', 'orthogonal', 'nope']) assert.throws(() => resolve(name), RangeError);
    for (const factor of [-1, Infinity, NaN]) {
        assert.throws(() => make('L1', { l1: factor }), RangeError);
        assert.throws(() => make('L2', { l2: factor }), RangeError);
        assert.throws(() => make('L1L2', { l1: factor }), RangeError);
        assert.throws(() => make('OrthogonalRegularizer', { factor }), RangeError);
    }
    assert.throws(() => make('L1', { l1: '1' }), TypeError);
    assert.throws(() => make('L1', { l2: 1 }), TypeError);
    assert.throws(() => make('OrthogonalRegularizer', { mode: 'both' }), RangeError);
    assert.throws(() => resolve(0.01), TypeError);
});
