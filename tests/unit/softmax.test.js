// The softmax of one row against float64, at every length and over the whole range.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose } from '../close.js';
import { softmax } from '../reference.js';
import { floats, rng } from '../rng.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

/** @param {Float32Array} x @param {number} scale */
function run(x, scale) {
    k.reset();
    const [at, y] = [k.put(x, 4), k.room(4 * x.length, 12)];
    k.call.cmha_softmax_f32(y, at, x.length, scale);
    const result = k.floats(y, x.length);
    k.call.cmha_softmax_f32(at, at, x.length, scale);
    k.checkGuards();
    assert.deepEqual(k.floats(at, x.length), result, 'in place');
    return result;
}

test('every length', () => {
    for (const n of [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 100, 4096, 50257]) {
        const x = floats(rng(n), n, 6);
        for (const scale of [0.25, 1, 1.25]) {
            // x - largest is up to 24 and rounded once, its product with scale again: a few 1e-6 of e to that power.
            assertClose(run(x, scale), softmax(Float64Array.from(x, (v) => v * scale)), { atol: 1e-30, rtol: 1e-5 }, `n ${n}`);
        }
    }
});

test('however large or far apart, it adds up to 1', () => {
    for (const x of [[1e38, -1e38, 1e38], [-1e38, -1e38], [-Infinity, 3, -Infinity, 3], [5], [0, -200, -1000]]) {
        const y = run(Float32Array.from(x), 1);
        assertClose(y, softmax(x), { atol: 1e-7 }, `${x}`);
    }
});

test('NaN shows', () => {
    for (const x of [[NaN], [1, NaN, 2], [1, 2, 3, 4, 5, 6, 7, NaN], [NaN, 1, 2, 3, 4, 5, 6, 7, 8]]) {
        assert.ok(run(Float32Array.from(x), 1).every(Number.isNaN), `${x}`);
    }
});
