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
    return k.apply(x, (to, from) => k.call.cmha_softmax_f32(to, from, x.length, scale));
}

test('every length', () => {
    for (const n of [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 100, 4096, 50257]) {
        const x = floats(rng(n), n, 6);
        for (const scale of [0.25, 1, 1.25]) {
            // x - largest is up to 24 and rounded once, its product with scale again: a few 1e-6 of e to that power.
            const expected = softmax(Float64Array.from(x, (v) => v * scale));
            assertClose(run(x, scale), expected, { atol: 1e-30, rtol: 1e-5 }, `n ${n}`);
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
