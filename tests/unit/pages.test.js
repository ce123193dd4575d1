// js/blocks/pages.js: growing, dropping, sharing and permuting pages; and KVCache's verbs on top of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache } from '../../js/index.js';
import { CACHE } from '../../js/engine/interface.js';
import { PagedCache, pageFor } from '../../js/blocks/pages.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

const SHAPE = { heads: 2, keyDim: 4, valueDim: 3 };
const MIB = 1024 * 1024;

/** Addresses of a cache's pages, row by row, as C finds them. @param {PagedCache} cache */
function pagesOf({ _runtime: { memory }, address, batch }) {
    const words = memory.words;
    const rowPages = words[address / 4 + CACHE.rowPages];
    const table = words[address / 4 + CACHE.pages] / 4;
    const row = (/** @type {number} */ b) => [...words.subarray(table + b * rowPages, table + (b + 1) * rowPages)];
    return Array.from({ length: batch }, (_, b) => row(b));
}

/** Fills every page with a number of its own. @param {PagedCache} cache */
function fill(cache) {
    const { memory } = cache._runtime;
    pagesOf(cache).flat().forEach((page, i) => memory.bytes.fill(i + 1, page, page + cache.pageBytes));
}

/** The first byte of each page. @param {PagedCache} cache */
const marks = (cache) => pagesOf(cache).map((row) => row.map((page) => cache._runtime.memory.bytes[page]));

test('pages are added as positions are reserved, and dropped', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const cache = new PagedCache(runtime, { ...SHAPE, batch: 2 });
    assert.equal(cache.pageBytes, 4 * 256 * 2 * 7);
    assert.deepEqual([cache.capacity, cache.bytes, cache.batch], [0, 0, 2]);
    const { address } = cache;
    cache.reserve(1);
    assert.deepEqual([cache.capacity, cache.bytes], [256, 2 * cache.pageBytes]);
    fill(cache);
    const first = pagesOf(cache);
    cache.reserve(256);
    assert.deepEqual(pagesOf(cache), first);
    cache.reserve(5000);
    assert.equal(cache.capacity, 5120);
    assert.deepEqual(pagesOf(cache).map((row) => row[0]), first.flat(), 'what was there stays where it was');
    assert.deepEqual(marks(cache).map((row) => row[0]), [1, 2]);
    assert.equal(new Set(pagesOf(cache).flat()).size, 40);
    assert.equal(cache.address, address);
    const full = runtime.memory.used;
    cache.truncate(257);
    assert.equal(cache.capacity, 512);
    assert.ok(runtime.memory.used <= full - 36 * cache.pageBytes);
    cache.truncate(0);
    assert.equal(cache.bytes, 0);
    cache.dispose();
    assert.equal(runtime.memory.used, used);
});

test('forks share pages until one is written to', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const cache = new PagedCache(runtime, SHAPE);
    cache.reserve(1000);
    fill(cache);
    const alone = runtime.memory.used;
    const fork = cache.fork();
    assert.ok(runtime.memory.used - alone < 512, 'no page is copied');
    assert.deepEqual(pagesOf(fork), pagesOf(cache));
    fork.makeWritable(300, 301);
    const [a, b] = [pagesOf(cache)[0], pagesOf(fork)[0]];
    assert.deepEqual(a.map((page, i) => page === b[i]), [true, false, true, true]);
    assert.deepEqual(marks(fork), [[1, 2, 3, 4]]);
    fill(fork);
    assert.deepEqual(pagesOf(cache)[0][1], a[1]);
    cache.makeWritable(256, 512);
    assert.deepEqual(pagesOf(cache)[0], a, 'a page that nobody else has is not copied');
    cache.makeWritable(0, 0);
    cache.dispose();
    assert.deepEqual(marks(fork), [[1, 2, 3, 4]], 'what the other one frees stays here');
    fork.makeWritable(0, 1000);
    assert.equal(pagesOf(fork)[0][0], b[0]);
    fork.dispose();
    assert.equal(runtime.memory.used, used);
});

test('rows are permuted, repeated and left out', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const cache = new PagedCache(runtime, { ...SHAPE, batch: 3, page: 8 });
    cache.reserve(8);
    fill(cache);
    const before = pagesOf(cache).flat();
    cache.reorder([2, 0, 0, 2, 1, 1]);
    assert.deepEqual(pagesOf(cache).flat(), [2, 0, 0, 2, 1, 1].map((i) => before[i]));
    cache.reorder([0, 1]);
    assert.deepEqual(pagesOf(cache).flat(), [before[2], before[0]]);
    cache.makeWritable(0, 8);
    assert.deepEqual(pagesOf(cache).flat(), [before[2], before[0]], 'they are the only owners now');
    cache.reorder([1, 1]);
    cache.makeWritable(0, 1);
    const [x, y] = pagesOf(cache).flat();
    assert.notEqual(x, y);
    assert.deepEqual(marks(cache), [[1], [1]]);
    assert.deepEqual(cache.pageList().map(({ address }) => address), [x, y]);
    cache.dispose();
    assert.equal(runtime.memory.used, used);
});

test('a full memory leaves everything as before', async () => {
    const runtime = await testRuntime({ maxMemory: 4 * MIB, workers: 0 });
    const cache = new PagedCache(runtime, { heads: 4, keyDim: 32, valueDim: 32 }); // 256 KiB a page
    cache.reserve(256);
    const { used } = runtime.memory;
    const before = pagesOf(cache);
    for (const positions of [256 * 30, 2 ** 40]) {
        assert.throws(() => cache.reserve(positions), { name: 'RangeError', message: /memory exhausted/ });
        assert.deepEqual([pagesOf(cache), runtime.memory.used, cache.capacity], [before, used, 256]);
    }
    const fork = cache.fork();
    /** @type {number[]} */
    const filler = [];
    assert.throws(() => { for (;;) filler.push(runtime.memory.alloc(100_000)); }, RangeError);
    assert.throws(() => fork.makeWritable(0, 1), { name: 'RangeError', message: /memory exhausted/ });
    assert.deepEqual(pagesOf(fork), before);
    for (const address of filler) runtime.memory.free(address);
    fork.makeWritable(0, 1);
    fork.dispose();
    cache.dispose();
});

test('the page of a short cache is as long as the cache', () => {
    assert.deepEqual([1, 8, 9, 255, 256, 257, 1e6].map(pageFor), [8, 8, 16, 256, 256, 256, 256]);
});

/** @param {import('../../js/index.js').KVCache} cache @param {number} [seed] */
function randomFor(cache, seed = 1) {
    const source = { shape: [...cache.shape], data: floats(rng(seed), cache.shape.reduce((a, b) => a * b, 1)) };
    cache.set(source);
    return Float32Array.from(cache.toTensor().data);
}

/** Row s of a cache's contents moved to where `from(s)` says; null: zeros.
 * @param {readonly number[]} shape @param {Float32Array} data @param {(s: number) => number | null} from */
function moved([batch, , length, heads, dim], data, from) {
    const row = heads * dim;
    const out = new Float32Array(data.length);
    for (let part = 0; part < 2 * batch; part++) {
        for (let s = 0; s < length; s++) {
            const at = from(s);
            const first = part * length;
            if (at !== null) out.set(data.subarray((first + at) * row, (first + at + 1) * row), (first + s) * row);
        }
    }
    return out;
}

for (const dtype of /** @type {const} */ (['float32', 'float16', 'bfloat16', 'int8'])) {
    test(`${dtype}: truncate, remove, fork and reorder; bytes as estimated`, async () => {
        const runtime = await testRuntime();
        for (const length of [5, 40, 600]) {
            const options = { batch: 2, length, numHeads: 2, keyDim: 5, dtype };
            const cache = new KVCache(runtime, options);
            assert.equal(cache.byteLength, KVCache.estimateBytes(options));
            assert.ok(cache.toTensor().data.every((x) => x === 0));
            const whole = randomFor(cache);
            const fork = cache.fork();
            assert.deepEqual([fork.shape, fork.dtype, fork.byteLength], [cache.shape, dtype, cache.byteLength]);
            const keep = Math.floor(length / 2);
            fork.truncate(keep);
            assert.deepEqual(fork.toTensor().data, moved(cache.shape, whole, (s) => (s < keep ? s : null)));
            fork.truncate(length);
            fork.truncate(0);
            assert.ok(fork.toTensor().data.every((x) => x === 0));
            assert.deepEqual(cache.toTensor().data, whole, 'the fork has pages of its own by now');
            const other = cache.fork();
            const [from, to] = [1, 1 + Math.ceil(length / 3)];
            other.remove(from, to);
            const origin = (/** @type {number} */ s) =>
                (s < from ? s : s + to - from < length ? s + to - from : null);
            assert.deepEqual(other.toTensor().data, moved(cache.shape, whole, origin));
            other.remove(3, 3);
            cache.reorder([1, 1]);
            const half = whole.length / 2;
            const second = whole.subarray(half);
            assert.deepEqual(cache.toTensor().data, Float32Array.from([...second, ...second]));
            randomFor(cache, 2);
            for (const made of [cache, fork, other]) made.dispose();
        }
        for (const wrong of [-1, 6, 1.5, NaN]) {
            const cache = new KVCache(runtime, { batch: 1, length: 5, numHeads: 1, keyDim: 2, dtype });
            const name = 'RangeError';
            assert.throws(() => cache.truncate(wrong), { name, message: /positions must be an integer from 0 to 5/ });
            assert.throws(() => cache.remove(0, wrong), { name, message: /to must be an integer/ });
            assert.throws(() => cache.reorder([wrong]), { name, message: /rows(\[0\])? must be an integer from 0 to 0/ });
            assert.throws(() => cache.reorder([0, 0]), { name, message: /rows must be a list of 1, got/ });
            assert.throws(() => cache.remove(2, 1), { name, message: /to must be 2 at least/ });
            cache.dispose();
        }
    });
}

test('a layer decodes into a fork, and its origin is not changed, whatever the dtype', async () => {
    const runtime = await testRuntime();
    const random = rng(3);
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 8 });
    layer.build([1, null, 6], [1, null, 6]);
    layer.setWeights(layer.weights.map(({ shape }) =>
        ({ shape: [...shape], data: floats(random, shape.reduce((a, b) => a * b, 1)) })));
    const x = { shape: [1, 1, 6], data: floats(random, 6) };
    /** @type {Record<string, Float32Array>} */
    const outputs = {};
    for (const dtype of /** @type {const} */ (['float32', 'float16', 'bfloat16', 'int8'])) {
        const cache = new KVCache(runtime, { batch: 1, length: 300, numHeads: 2, keyDim: 8, dtype });
        const before = randomFor(cache);
        const fork = cache.fork();
        const { attentionOutput } = layer.callSync(x, x, { cache: fork, cacheUpdateIndex: 270, useCausalMask: true });
        outputs[dtype] = Float32Array.from(attentionOutput.data);
        assert.deepEqual(cache.toTensor().data, before);
        const changed = Array.from(fork.toTensor().data).reduce((n, y, i) => n + Number(y !== before[i]), 0);
        assert.ok(changed > 24 && changed <= 32, `${changed} numbers of a key and a value of 2 heads`);
        const again = layer.callSync(x, x, { cache, cacheUpdateIndex: 270, useCausalMask: true });
        assert.deepEqual(again.attentionOutput.data, attentionOutput.data);
        cache.dispose();
        fork.dispose();
    }
    const errors = { float16: 1e-3, bfloat16: 1e-2, int8: 2e-2 };
    for (const [dtype, error] of Object.entries(errors)) {
        outputs[dtype].forEach((y, i) => assert.ok(Math.abs(y - outputs.float32[i]) < error, `${dtype}: ${y}`));
    }
});

test('lists and rotations that answer otherwise the next time', async () => {
    const runtime = await testRuntime();
    const cache = new KVCache(runtime, { batch: 2, length: 5, numHeads: 1, keyDim: 2 });
    const whole = Float32Array.from({ length: 40 }, (_, i) => i);
    cache.set({ shape: cache.shape, data: whole });
    const any = (/** @type {any} */ value) => value;
    /** @param {any[]} answers one after the other, then the last for ever */
    const changing = (answers) => () => (answers.length > 1 ? answers.shift() : answers[0]);
    const lengths = changing([2, 2, 5]);
    cache.reorder(any({ get length() { return lengths(); }, 0: 1, 1: 0, 2: 0, 3: 0, 4: 0 }));
    const swapped = Float32Array.from([...whole.subarray(20), ...whole.subarray(0, 20)]);
    assert.deepEqual(cache.toTensor().data, swapped);
    const first = changing([0, 7]);
    cache.reorder(any({ length: 2, get 0() { return first(); }, 1: 1 }));
    assert.deepEqual(cache.toTensor().data, swapped);
    const frequencies = changing([new Float64Array(1), new Float64Array(1e6).fill(1), null]);
    cache.remove(0, 1, { rope: any({ get frequencies() { return frequencies(); }, most: 100 }) });
    const moved = cache.toTensor().data;
    assert.deepEqual(moved.subarray(0, 8), swapped.subarray(2, 10));
    class Liar extends Float64Array {
        get length() {
            return 1e6;
        }
    }
    cache.remove(0, 1, { rope: { frequencies: new Liar(1), most: 100 } });
    assert.deepEqual(cache.toTensor().data.subarray(0, 6), moved.subarray(2, 8));
    for (const reads of [
        () => cache.reorder(any({ length: 2, get 0() { cache.dispose(); return 0; }, 1: 0 })),
        () => cache.remove(0, 1, { get rope() { cache.dispose(); return null; } }),
    ]) {
        assert.throws(reads, /disposed/);
    }
    for (const reads of [
        (/** @type {KVCache} */ other) => other.reorder(any({ length: 1, get 0() { other.dispose(); return 0; } })),
        (/** @type {KVCache} */ other) => other.remove(0, 1, { get rope() { other.dispose(); return null; } }),
    ]) {
        const other = new KVCache(runtime, { batch: 1, length: 5, numHeads: 1, keyDim: 2 });
        assert.throws(() => reads(other), { message: /^KVCache\.re\w+: this KVCache has been disposed/ });
    }
});
