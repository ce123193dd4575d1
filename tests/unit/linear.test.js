// The projection kernel against the float64 reference: every tail, every layout, rounding where the header says.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose } from '../close.js';
import { activations, linear, roundTo } from '../reference.js';
import { floats, rng } from '../rng.js';
import { LAYOUT } from '../../js/engine/interface.js';
import { around, loadKernels } from './kernels.js';

const k = await loadKernels();

/** float32 sums of K products of numbers below 1: the error grows like sqrt(K), 2e-8 K bounds what is seen fourfold. */
const tolerance = (/** @type {number} */ depth) => ({ atol: 1e-6 + 5e-8 * depth, rtol: 1e-6 });

/** Packed weights of a [K, N] matrix. @param {Float32Array} w @param {number} depth @param {number} n */
function pack(w, depth, n) {
    const packed = k.room(4 * k.call.cmha_packed_size(depth, n));
    k.call.cmha_pack_f32(packed, k.put(w, 4), depth, n, 0, n, 1);
    return packed;
}

/** @param {number} rows @param {number} depth @param {number} n @param {{ skew?: number, bias?: boolean }} [options] */
function problem(rows, depth, n, { skew = 4, bias = true } = {}) {
    k.reset();
    const random = rng(rows * 31 + depth * 7 + n);
    const [x, w, b] = [floats(random, rows * depth), floats(random, depth * n), floats(random, n)];
    return {
        x, w, b,
        fields: {
            x: k.put(x, skew), xStride: depth, rows, k: depth, n, w: pack(w, depth, n), bias: bias ? k.put(b, skew) : 0,
            y: k.room(4 * rows * n, skew), yStride: n,
        },
        expected: linear(x, w, bias ? b : null, rows, depth, n),
    };
}

test('every number of rows and columns around the tiles', () => {
    for (const rows of [...around(6), 5, 11, 30, 96, 97]) {
        for (const n of [...around(8), 5, 31, 32, 33, 64, 67]) {
            const depth = 1 + (rows * 5 + n * 3) % 37;
            const { fields, expected } = problem(rows, depth, n, { skew: 4 * ((rows + n) % 4), bias: n % 2 === 0 });
            k.run(k.linear(fields));
            k.checkGuards();
            assertClose(k.floats(fields.y, rows * n), expected, tolerance(depth), `${rows} x ${depth} x ${n}`);
        }
    }
});

test('every depth, primes, and real sizes', () => {
    for (const depth of [1, 2, 3, 4, 5, 7, 8, 9, 31, 97, 768, 1031]) {
        for (const rows of [1, 2, 6, 7]) {
            const { fields, expected } = problem(rows, depth, 43);
            k.run(k.linear(fields));
            assertClose(k.floats(fields.y, rows * 43), expected, tolerance(depth), `${rows} x ${depth} x 43`);
        }
    }
    for (const [rows, depth, n] of [[1, 768, 768], [150, 128, 300], [13, 300, 1000]]) {
        const { fields, expected } = problem(rows, depth, n);
        k.run(k.linear(fields));
        k.checkGuards();
        assertClose(k.floats(fields.y, rows * n), expected, tolerance(depth), `${rows} x ${depth} x ${n}`);
    }
});

test('a part of the rows and columns leaves the rest alone', () => {
    const { fields, expected } = problem(9, 20, 40);
    const untouched = k.floats(fields.y, 9 * 40);
    k.call.cmha_linear_f32(k.args(k.linear(fields)), 2, 5, 8, 21);
    k.checkGuards();
    const y = k.floats(fields.y, 9 * 40);
    for (let i = 0; i < y.length; i++) {
        const [r, c] = [Math.floor(i / 40), i % 40];
        const inside = r >= 2 && r < 5 && c >= 8 && c < 21;
        if (inside) assertClose([y[i]], [expected[i]], tolerance(20), `row ${r}, column ${c}`);
        else assert.ok(Object.is(y[i], untouched[i]), `row ${r}, column ${c} is not asked for`);
    }
});

test('keys and values go to the layout of the cache, at any position', () => {
    const cases = [
        [1, 1, 5, 2, 8, 16, 16], [2, 3, 6, 3, 5, 11, 16], [2, 13, 1, 2, 16, 20, 24], [1, 7, 0, 1, 3, 7, 8],
        [2, 30, 5, 2, 5, 40, 8], [1, 300, 100, 1, 3, 520, 256],
    ];
    for (const [batch, t, index, heads, d, length, page] of cases) {
        for (const layout of [LAYOUT.KEYS, LAYOUT.VALUES]) {
            const n = heads * d;
            const { fields, expected } = problem(batch * t, 11, n);
            const keys = layout === LAYOUT.KEYS;
            const other = 3;
            const cache = k.cache({ batch, s: length, heads, d: keys ? d : other, v: keys ? other : d, page });
            k.run(k.linear({ ...fields, y: 0, layout, t, index, cache: cache.address }));
            k.checkGuards();
            // Keras order [B, length, heads, d]; NaN where nothing is written, as in the poisoned block.
            const rows = new Float32Array(batch * length * n).fill(NaN);
            for (let i = 0; i < expected.length; i++) {
                const [r, c] = [Math.floor(i / n), i % n];
                rows[(Math.floor(r / t) * length + index + r % t) * n + c] = expected[i];
            }
            const name = `${keys ? 'keys' : 'values'} of ${batch} x ${t} at ${index}`;
            assertClose(keys ? cache.keys() : cache.values(), rows, tolerance(11), name);
            const beside = keys ? cache.values() : cache.keys();
            assert.ok(beside.every(Number.isNaN), `${name}: the other half is left alone`);
        }
    }
});

test('residual, also in place, and activations', () => {
    for (const activation of [0, 1, 2, 3]) {
        for (const rows of [1, 6, 8]) {
            const { fields, expected } = problem(rows, 17, 21);
            const residual = floats(rng(9), rows * 21);
            const sum = expected.map((y, i) => activations[activation](y) + residual[i]);
            k.run(k.linear({ ...fields, activation, residual: k.put(residual, 4), residualStride: 21 }));
            assertClose(k.floats(fields.y, rows * 21), sum, tolerance(17), 'beside');
            const y = k.put(residual, 4);
            k.run(k.linear({ ...fields, activation, y, residual: y, residualStride: 21 }));
            k.checkGuards();
            assertClose(k.floats(y, rows * 21), sum, tolerance(17), 'in place');
        }
    }
});

test('half policies round the product, after the bias, the activation and the residual', () => {
    const types = [[1, 11, -14, 15], [2, 8, -126, 127]];
    for (const [round, digits, low, high] of types) {
        const grid = (/** @type {number} */ y) => roundTo(y, digits, low, high);
        // K = 1 and few-digit numbers: every step is exact in float32, so that only the rounding places matter.
        const few = (/** @type {number} */ n, /** @type {number} */ seed) =>
            floats(rng(seed), n).map((v) => Math.round(v * 256) / 256);
        for (const rows of [1, 7]) {
            k.reset();
            const [x, w, b, residual] = [few(rows, 1), few(19, 2), few(19, 3), few(rows * 19, 4)];
            const y = k.room(4 * rows * 19);
            k.run(k.linear({
                x: k.put(x), xStride: 1, rows, k: 1, n: 19, w: pack(w, 1, 19), bias: k.put(b), y, yStride: 19, round,
                activation: 1, residual: k.put(residual), residualStride: 19,
            }));
            const expected = Float64Array.from(residual, (r, i) =>
                grid(Math.max(grid(grid(x[Math.floor(i / 19)] * w[i % 19]) + b[i % 19]), 0) + r));
            assertClose(k.floats(y, rows * 19), expected, { atol: 0 }, `round ${round}`);
        }
    }
});

test('the same bits whoever runs the tasks, in whatever order', () => {
    for (const [rows, depth, n] of [[1, 200, 900], [120, 100, 300]]) {
        const { fields } = problem(rows, depth, n);
        k.run(k.linear(fields));
        const plain = k.floats(fields.y, rows * n);
        const y = k.room(4 * rows * n);
        let ran = 0;
        k.runScheduled([k.linear({ ...fields, y })], (tasks) => {
            ran = tasks;
            return Array.from({ length: tasks }, (_, i) => ({ task: (i * 7 + 3) % tasks, thread: 1 + i % 4 }));
        });
        assert.ok(ran > 1 && ran % 7 !== 0, `${ran} tasks, each run once`);
        assert.deepEqual(k.floats(y, rows * n), plain);
    }
});

test('nothing to do: no rows', () => {
    const { fields } = problem(1, 5, 8);
    k.run(k.linear({ ...fields, rows: 0 }));
    k.checkGuards();
    assert.ok(k.floats(fields.y, 8).every(Number.isNaN));
});
