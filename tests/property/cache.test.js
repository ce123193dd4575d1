// What a call may do to a cache: write the new positions, and nothing else; and nothing at all when it fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVCache, Tensor } from '../../js/index.js';
import { testRuntime } from '../runtime.js';
import { floatsOf, functional } from '../there.js';
import { draw, randomLayer } from './cases.js';

const runtime = await testRuntime();
const [BATCH, LENGTH, HEADS, DIM, FEATURES] = [2, 21, 3, 5, 7];
const SHAPE = [BATCH, 2, LENGTH, HEADS, DIM];

const layer = randomLayer(runtime, { numHeads: HEADS, keyDim: DIM }, [BATCH, 1, FEATURES], [BATCH, 1, FEATURES], 1);

/** Bit patterns, so that -0, NaN payloads and the like count. */
const bits = (/** @type {Float32Array} */ data) => new Uint32Array(data.slice().buffer);

/** Positions of a cache in Keras's order whose bits differ. @param {Float32Array} before @param {Float32Array} after */
function changed(before, after) {
    const positions = new Set();
    const row = HEADS * DIM;
    bits(before).forEach((word, i) => {
        if (word !== bits(after)[i]) positions.add(Math.floor(i / row) % LENGTH);
    });
    return [...positions].sort((a, b) => a - b);
}

for (const [index, rows] of [[0, 1], [7, 1], [8, 1], [20, 1], [3, 10], [0, 21], [15, 6], [9, 0]]) {
    test(`positions ${index} to ${index + rows - 1} are written, the others keep their bits`, () => {
        const { tensor } = draw(10 * index + rows);
        const x = tensor([BATCH, rows, FEATURES]);
        const query = tensor([BATCH, 2, FEATURES]);
        const given = tensor(SHAPE, 3);
        const expected = Array.from({ length: rows }, (_, i) => index + i);
        const result = layer.callSync(query, x, { cache: given, cacheUpdateIndex: index });
        assert.deepEqual(changed(given.data, floatsOf(functional(result.cache))), expected);
        assert.ok(result.cache instanceof Tensor);

        const resident = new Tensor(runtime, given);
        const next = layer.callSync(query, x, { cache: resident, cacheUpdateIndex: index });
        assert.deepEqual(bits(floatsOf(resident)), bits(given.data), 'the caller\'s Tensor was changed');
        assert.deepEqual(bits(floatsOf(functional(next.cache))), bits(floatsOf(functional(result.cache))));

        const kvCache = new KVCache(runtime, { batch: BATCH, length: LENGTH, numHeads: HEADS, keyDim: DIM });
        kvCache.set(given);
        layer.callSync(query, x, { cache: kvCache, cacheUpdateIndex: index });
        assert.deepEqual(bits(floatsOf(kvCache.toTensor())), bits(floatsOf(functional(result.cache))));
        kvCache.dispose();
    });
}

test('a static call changes nothing and returns the cache', () => {
    const { tensor } = draw(2);
    const x = tensor([BATCH, 1, FEATURES]);
    const given = tensor(SHAPE);
    const resident = new Tensor(runtime, given);
    assert.equal(layer.callSync(x, x, { cache: resident }).cache, resident, 'as Keras: the very object');
    const kvCache = new KVCache(runtime, { batch: BATCH, length: LENGTH, numHeads: HEADS, keyDim: DIM });
    kvCache.set(given);
    assert.equal(layer.callSync(x, x, { cache: kvCache }).cache, kvCache);
    assert.deepEqual(bits(floatsOf(kvCache.toTensor())), bits(given.data));
    const returned = layer.callSync(x, x, { cache: given }).cache;
    assert.ok(returned instanceof Tensor);
    assert.deepEqual(bits(floatsOf(returned)), bits(given.data));
});

/** @type {Record<string, [options: any, type: ErrorConstructor, rows?: number]>} */
const wrong = {
    'past the end': [{ cacheUpdateIndex: LENGTH }, RangeError],
    'a chunk past the end': [{ cacheUpdateIndex: LENGTH - 1 }, RangeError, 2],
    negative: [{ cacheUpdateIndex: -1 }, RangeError],
    'far negative': [{ cacheUpdateIndex: -LENGTH - 1 }, RangeError],
    'not whole': [{ cacheUpdateIndex: 1.5 }, TypeError],
    'NaN': [{ cacheUpdateIndex: NaN }, TypeError],
    'a string': [{ cacheUpdateIndex: '1' }, TypeError],
    'a boolean': [{ cacheUpdateIndex: true }, TypeError],
    'a BigInt': [{ cacheUpdateIndex: 1n }, TypeError],
    'a float tensor': [{ cacheUpdateIndex: { shape: [], data: new Float32Array([1]) } }, TypeError],
    'two integers': [{ cacheUpdateIndex: { shape: [2], data: new Int32Array([1, 2]) } }, TypeError],
    'a mask of another length': [
        { cacheUpdateIndex: 0, attentionMask: { shape: [1, 3], data: new Uint8Array(3) } }, RangeError,
    ],
    'an unknown option': [{ cacheUpdateIndex: 0, cache_update_index: 0 }, TypeError],
    'scores that are no boolean': [{ cacheUpdateIndex: 0, returnAttentionScores: 1 }, TypeError],
};
for (const [name, [options, type, rows = 1]] of Object.entries(wrong)) {
    test(`${name}: ${type.name}, the cache unchanged`, async () => {
        const { tensor } = draw(3);
        const x = tensor([BATCH, rows, FEATURES]);
        const given = tensor(SHAPE);
        const before = bits(given.data);
        const kvCache = new KVCache(runtime, { batch: BATCH, length: LENGTH, numHeads: HEADS, keyDim: DIM });
        kvCache.set(given);
        for (const cache of [given, new Tensor(runtime, given), kvCache]) {
            assert.throws(() => layer.callSync(x, x, { ...options, cache }), { name: type.name });
            await assert.rejects(layer.call(x, x, { ...options, cache }), { name: type.name });
        }
        assert.deepEqual(bits(given.data), before);
        assert.deepEqual(bits(floatsOf(kvCache.toTensor())), before);
        const { attentionOutput } = layer.callSync(x, x, { cache: kvCache, cacheUpdateIndex: 0 });
        assert.ok(attentionOutput.data.every(Number.isFinite));
        kvCache.dispose();
    });
}

test('a cache that is disposed of, or of another runtime, is refused', async () => {
    const x = draw(4).tensor([BATCH, 1, FEATURES]);
    const options = { batch: BATCH, length: LENGTH, numHeads: HEADS, keyDim: DIM };
    const disposed = new KVCache(runtime, options);
    disposed.dispose();
    assert.throws(() => layer.callSync(x, x, { cache: disposed, cacheUpdateIndex: 0 }), /disposed/);
    const elsewhere = new KVCache(await testRuntime({ workers: 0 }), options);
    assert.throws(() => layer.callSync(x, x, { cache: elsewhere, cacheUpdateIndex: 0 }), TypeError);
    assert.throws(() => layer.callSync(x, x, { cache: new KVCache(runtime, { ...options, batch: 1 }) }), RangeError);
    assert.throws(() => layer.callSync(x, x, { cache: new KVCache(runtime, { ...options, keyDim: 4 }) }), RangeError);
    assert.throws(() => layer.callSync(x, x, { cache: new KVCache(runtime, { ...options, numHeads: 2 }) }), RangeError);
});
