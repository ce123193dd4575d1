// Regularizers by hand; the golden suite has Keras's numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    L1, L1L2, L2, OrthogonalRegularizer, resolveRegularizer, serializeRegularizer,
} from '../../js/keras/regularizers.js';

const resolve = (/** @type {unknown} */ identifier) => resolveRegularizer('kernelRegularizer', identifier);
const x = new Float32Array([3, -4, 0, 1]);

test('penalties', () => {
    assert.equal(new L1({ l1: 0.5 }).penalty(x), 4);
    assert.equal(new L2({ l2: 0.5 }).penalty(x), 13);
    assert.equal(new L1L2({ l1: 0.5, l2: 0.25 }).penalty(x), 10.5);
    assert.equal(new L1L2().penalty(x), 0);
    // Rows (3, -4) and (0, 1): cosine -0.8, one pair, counted once from each side.
    const rows = new OrthogonalRegularizer({ factor: 0.5 }).penalty(x, [2, 2]);
    assert.ok(Math.abs(rows - 0.4) < 1e-7, `${rows}`);
    // Columns (3, 0) and (-4, 1): cosine -12 / (3 sqrt 17).
    const columns = new OrthogonalRegularizer({ factor: 0.5, mode: 'columns' }).penalty(x, [2, 2]);
    assert.ok(Math.abs(columns - 0.5 * 4 / Math.sqrt(17)) < 1e-7, `${columns}`);
    assert.throws(() => new OrthogonalRegularizer().penalty(x, [4]), RangeError);
});

test('names and configs', () => {
    for (const name of ['l1', 'l2', 'l1l2', 'L1', 'L2', 'L1L2', 'orthogonal_regularizer', 'OrthogonalRegularizer']) {
        const serialized = serializeRegularizer(resolve(name));
        assert.deepEqual(serializeRegularizer(resolve(serialized)), serialized);
    }
    assert.equal(resolve(null), null);
    assert.equal(serializeRegularizer(null), null);
    assert.equal(serializeRegularizer(new L1({ l1: 0.1 }))?.config.l1, 0.10000000149011612, 'kept as a float32');
    assert.equal(serializeRegularizer(new L2({ l2: 0.1 }))?.config.l2, 0.1);
});

test('what Keras refuses is refused', () => {
    for (const name of ['l1_l2', 'orthogonal', 'nope']) assert.throws(() => resolve(name), RangeError);
    for (const factor of [-1, Infinity, NaN]) {
        assert.throws(() => new L1({ l1: factor }), RangeError);
        assert.throws(() => new L2({ l2: factor }), RangeError);
        assert.throws(() => new L1L2({ l1: factor }), RangeError);
        assert.throws(() => new OrthogonalRegularizer({ factor }), RangeError);
    }
    assert.throws(() => new L1({ l1: '1' }), TypeError);
    assert.throws(() => new L1({ l2: 1 }), TypeError);
    assert.throws(() => new OrthogonalRegularizer({ mode: 'both' }), RangeError);
    assert.throws(() => resolve(0.01), TypeError);
});
