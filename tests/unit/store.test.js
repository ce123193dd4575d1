// Rows in Keras's order to the pages of a cache and back: any position, any strides, as operations and at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose, assertSame } from '../close.js';
import { floats, rng } from '../rng.js';
import { KEPT, KIND, TURN } from '../../js/engine/interface.js';
import { roundTo } from '../reference.js';
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
        keys: k.put(new Float32Array(6).fill(7)), keysStride: 6, cache: cache.address, first: 2, batch: 1, t: 1,
        index: 0,
    }));
    assert.deepEqual([...cache.keys().subarray(120, 126)], new Array(6).fill(7));
    assert.equal(cache.values().filter((x) => !Number.isNaN(x)).length, 10);
});

test('binary16: the nearest numbers, infinities, subnormals and NaN', () => {
    k.reset();
    const special = [
        0, -0, 1 / 3, -1 / 3, 65504, 65519.99, 65520, -1e9, 2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, 2 ** -14,
        2 ** -14 - 2 ** -25, 1 + 2 ** -11, 1 + 3 * 2 ** -11, Infinity, -Infinity, 6.1e-5,
    ];
    const x = Float32Array.from([...special, ...floats(rng(4), 222, 3), NaN, 5]);
    const cache = k.cache({ batch: 2, s: 11, heads: 11, d: 1, v: 1, type: KEPT.F16 }, x, x);
    const expected = x.map((y) => (Number.isFinite(y) ? roundTo(y, 11, -14, 15) : y));
    assertSame(cache.keys(), expected);
    assertSame(cache.values(), expected);
    k.checkGuards();
});

test('bytes: 127 levels to each side of zero, a scale for each key and value', () => {
    k.reset();
    const [batch, s, heads, d, v] = [2, 19, 3, 5, 9];
    const random = rng(5);
    const [keys, values] = [floats(random, batch * s * heads * d, 3), floats(random, batch * s * heads * v, 3)];
    keys.fill(0, 0, d);
    values.fill(1e-42, 0, v);
    values[2 * v] = NaN;
    keys[2 * d] = -Infinity;
    const cache = k.cache({ batch, s, heads, d, v, type: KEPT.I8 }, keys, values);
    for (const [given, got, width] of /** @type {[Float32Array, Float32Array, number][]} */ ([
        [keys, cache.keys(), d], [values, cache.values(), v],
    ])) {
        for (let i = 0; i < given.length; i += width) {
            const row = given.subarray(i, i + width);
            if (!row.every(Number.isFinite)) {
                assert.ok(got.subarray(i, i + width).every(Number.isNaN), 'a row that is not finite says so');
                continue;
            }
            const scale = Math.max(...row.map(Math.abs)) / 127;
            row.forEach((y, e) => {
                // Half a level, and what float32 makes of level and scale.
                const error = Math.abs(got[i + e] - y);
                assert.ok(error <= scale * 0.50001 + 1e-41, `${got[i + e]} for ${y}, scale ${scale}`);
                if (Math.abs(y) === scale * 127 && scale > 1e-38) assert.ok(Math.abs(got[i + e] / y - 1) < 1e-6);
            });
        }
    }
    k.checkGuards();
});

test('positions move as they lie, across pages', () => {
    for (const type of [KEPT.F32, KEPT.F16, KEPT.I8]) {
        for (const [batch, s, page, from, to, n] of [
            [2, 50, 16, 20, 3, 30], [1, 9, 16, 1, 0, 8], [1, 40, 8, 40, 7, 0], [2, 50, 16, 3, 23, 20], [1, 30, 8, 5, 18, 12],
        ]) {
            k.reset();
            const [heads, d, v] = [2, 3, 5];
            const random = rng(s);
            const rows = [floats(random, batch * s * heads * d), floats(random, batch * s * heads * v)];
            const cache = k.cache({ batch, s, page, heads, d, v, type }, rows[0], rows[1]);
            const before = [cache.keys(), cache.values()];
            k.call.cmha_cache_move(cache.address, batch, from, to, n);
            k.checkGuards();
            for (const [i, got] of [cache.keys(), cache.values()].entries()) {
                const row = heads * [d, v][i];
                for (let b = 0; b < batch; b++) {
                    const at = b * s * row;
                    before[i].copyWithin(at + to * row, at + from * row, at + (from + n) * row);
                }
                assert.deepEqual(got, before[i]);
            }
        }
    }
});

test('keys turn as a rotary embedding of another position turns them', () => {
    for (const type of [KEPT.F32, KEPT.F16, KEPT.I8]) {
        for (const pairing of [0, 1]) {
            for (const [batch, s, page, heads, d, dims, from, to] of [
                [1, 20, 24, 1, 4, 4, 3, 17], [2, 30, 8, 3, 10, 6, 0, 30], [1, 5, 8, 2, 64, 64, 4, 5],
                [1, 5, 8, 2, 4, 2, 2, 2], [1, 3000, 256, 2, 8, 8, 5, 2999],
            ]) {
                k.reset();
                const random = rng(s + dims);
                const keys = floats(random, batch * s * heads * d);
                const values = floats(random, batch * s * heads);
                const cache = k.cache({ batch, s, page, heads, d, v: 1, type }, keys, values);
                const before = cache.keys();
                const angles = Array.from({ length: dims / 2 }, () => 6 * random());
                const table = Float32Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]);
                const turn = k.op(KIND.TURN, TURN, {
                    cache: cache.address, batch, from, to, pairs: dims / 2, pairing, table: k.put(table, 4),
                });
                k.runScheduled([turn], (tasks) =>
                    Array.from({ length: tasks }, (_, i) => ({ task: tasks - 1 - i, thread: 1 + i % 3 })));
                k.checkGuards();
                const got = cache.keys();
                const step = { [KEPT.F32]: 1e-6, [KEPT.F16]: 1e-3, [KEPT.I8]: 1.5 / 127 }[type];
                for (let row = 0; row < batch * s * heads; row++) {
                    const position = Math.floor(row / heads) % s;
                    const old = before.subarray(row * d, (row + 1) * d);
                    const turned = Float64Array.from(old);
                    angles.forEach((angle, i) => {
                        const [x, y] = pairing ? [2 * i, 2 * i + 1] : [i, i + dims / 2];
                        turned[x] = old[x] * Math.cos(angle) - old[y] * Math.sin(angle);
                        turned[y] = old[x] * Math.sin(angle) + old[y] * Math.cos(angle);
                    });
                    const inside = position >= from && position < to;
                    const now = got.subarray(row * d, (row + 1) * d);
                    if (inside) assertClose(now, turned, { atol: step }, `position ${position}`);
                    else assertSame(now, old);
                }
            }
        }
    }
});
