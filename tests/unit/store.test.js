// Rows in Keras's order to the pages of a cache and back: any position, any strides, as operations and at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSame } from '../close.js';
import { floats, rng } from '../rng.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

/** @param {number} batch @param {number} t @param {number} width @param {number} pad floats after each row */
function spread(batch, t, width, pad) {
    const stride = width + pad;
    return { stride, batch: t * stride + 3, size: batch * (t * stride + 3) };
}

const CASES = [
    // batch, S, page, G, D, V, index, t
    [1, 20, 24, 1, 3, 3, 0, 20], [2, 20, 8, 2, 5, 4, 7, 3], [1, 9, 16, 3, 8, 1, 8, 1], [3, 33, 16, 1, 1, 9, 2, 17],
    [1, 8, 8, 2, 4, 4, 3, 0], [2, 600, 256, 2, 16, 7, 250, 300], [1, 3000, 256, 1, 2, 2, 0, 3000],
];
for (const alone of [true, false]) {
    test(`stored and loaded ${alone ? 'at once' : 'as operations'}, the rest untouched`, () => {
        for (const [batch, s, page, heads, d, v, index, t] of CASES) {
            k.reset();
            const random = rng(s);
            const cache = k.cache({ batch, s, heads, d, v, page });
            const [a, b] = [spread(batch, t, heads * d, 2), spread(batch, t, heads * v, 1)];
            const [keys, values] = [floats(random, a.size), floats(random, b.size)];
            const back = [k.room(4 * a.size, 4), k.room(4 * b.size, 8)];
            const fields = {
                keysBatch: a.batch, keysStride: a.stride, valuesBatch: b.batch, valuesStride: b.stride,
                cache: cache.address, batch, t, index,
            };
            const store = k.transfer('STORE', { ...fields, keys: k.put(keys, 4), values: k.put(values, 12) });
            const load = k.transfer('LOAD', { ...fields, keys: back[0], values: back[1] });
            if (alone) {
                k.call.cmha_cache_store(k.args(store));
                k.call.cmha_cache_load(k.args(load));
            } else {
                k.runScheduled([store, load], (tasks) =>
                    Array.from({ length: tasks }, (_, i) => ({ task: tasks - 1 - i, thread: 1 + i % 3 })));
            }
            k.checkGuards();
            for (const [width, layout, rows, got, at] of /** @type {const} */ ([
                [d, a, keys, cache.keys(), back[0]], [v, b, values, cache.values(), back[1]],
            ])) {
                const expected = new Float32Array(batch * s * heads * width).fill(NaN);
                const loaded = new Float32Array(layout.size).fill(NaN);
                for (let i = 0; i < batch * t; i++) {
                    const [entry, r] = [Math.floor(i / t), i % t];
                    const from = entry * layout.batch + r * layout.stride;
                    const row = rows.subarray(from, from + heads * width);
                    expected.set(row, (entry * s + index + r) * heads * width);
                    loaded.set(row, from);
                }
                assertSame(got, expected);
                assertSame(k.floats(at, layout.size), loaded);
            }
        }
    });
}

test('keys alone, values alone, some batch entries, rounded', () => {
    k.reset();
    const cache = k.cache({ batch: 3, s: 10, heads: 2, d: 3, v: 5 });
    const values = new Float32Array(10).fill(1 / 3);
    k.run(k.transfer('STORE', {
        values: k.put(values), valuesStride: 10, cache: cache.address, first: 1, batch: 1, t: 1, index: 4, round: 1,
    }));
    k.checkGuards();
    assert.ok(cache.keys().every(Number.isNaN));
    assert.equal(cache.values().filter((x) => x === 0.333251953125).length, 10);
    assert.deepEqual([...cache.values().subarray(140, 150)], new Array(10).fill(0.333251953125));
    k.run(k.transfer('STORE', {
        keys: k.put(new Float32Array(6).fill(7)), keysStride: 6, cache: cache.address, first: 2, batch: 1, t: 1, index: 0,
    }));
    assert.deepEqual([...cache.keys().subarray(120, 126)], new Array(6).fill(7));
    assert.equal(cache.values().filter((x) => !Number.isNaN(x)).length, 10);
});
