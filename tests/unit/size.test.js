// js/engine/size.js: products of sizes below 2 ** 53; and that nothing is allocated on a shape's word.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { Memory } from '../../js/engine/memory.js';
import { checkedSize, sizeOf } from '../../js/engine/size.js';
import { testRuntime } from '../paired.js';

test('products are exact, or refused by name', () => {
    assert.equal(checkedSize('x', 3), 3);
    assert.equal(checkedSize('x', 2, 3, 5, 7, 11), 2310);
    assert.equal(checkedSize('x', 2 ** 26, 2 ** 26), 2 ** 52);
    assert.equal(sizeOf([]), 1);
    assert.equal(sizeOf([2, 3, 4]), 24);
    for (const make of [() => checkedSize('the mask', 2 ** 27, 2 ** 26), () => sizeOf([2 ** 27, 2 ** 26], 'the mask')]) {
        assert.throws(make, { name: 'RangeError', message: /^the mask must be of fewer than 2 \*\* 53 elements, got \[1342/ });
    }
    assert.equal(sizeOf([2 ** 50, 2 ** 50, 0]), 0);
    const most = Number.MAX_SAFE_INTEGER;
    assert.equal(sizeOf([...new Array(30).fill(most), 0]), 0, 'infinity times 0 is no size');
    assert.throws(() => sizeOf(new Array(30).fill(most)), RangeError);
});

test('the allocator refuses what is no number of bytes, as exhausted, and nothing changes', () => {
    const memory = new Memory(8 * 2 ** 20, false);
    memory.open(70_000);
    const { used } = memory;
    for (const bytes of [1.5, -1, -64, NaN, Infinity, -Infinity, 2 ** 53, 8 * 2 ** 20 + 1, '64', undefined, 64n]) {
        for (const ask of [() => memory.alloc(/** @type {any} */ (bytes)), () => memory.require(/** @type {any} */ (bytes))]) {
            assert.throws(ask, { name: 'RangeError', message: /^memory exhausted: / }, String(bytes));
        }
        assert.equal(memory.offer(/** @type {any} */ (bytes)), 0);
    }
    assert.equal(memory.used, used);
});

test('what is free is offered, and nobody is asked to give up anything for it', () => {
    const memory = new Memory(4 * 2 ** 20, false);
    memory.open(70_000);
    memory.onPressure = () => assert.fail('asked');
    const address = memory.offer(3 * 2 ** 20);
    assert.ok(address > 0);
    assert.equal(memory.offer(3 * 2 ** 20), 0);
    memory.free(address);
    assert.equal(memory.offer(3 * 2 ** 20), address);
});

test('huge shapes are RangeErrors before anything is made for them', { timeout: 60_000 }, async () => {
    const runtime = await testRuntime();
    const { used, reserved } = runtime.memory;
    const huge = 2 ** 31;
    const layer = (/** @type {object} */ config) => new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 1, ...config });
    for (const make of [
        () => new Tensor(runtime, { shape: [huge, huge] }),
        () => new Tensor(runtime, { shape: [huge, 4] }),
        () => new Tensor(runtime, { shape: [huge, huge, huge, huge], data: new Float32Array(1) }),
        () => new KVCache(runtime, { batch: huge, length: huge, numHeads: huge, keyDim: huge }),
        () => new KVCache(runtime, { batch: huge, length: 1, numHeads: 1, keyDim: 1 }),
        () => new KVCache(runtime, { batch: 1, length: 2 ** 33, numHeads: 1, keyDim: 1 }),
        () => layer({ numHeads: 2 ** 16, keyDim: 2 ** 16 }).build([1, 1, 1], [1, 1, 1]), // 2 ** 32: 0 to 32 bits
        () => layer({ numHeads: 2 ** 30, keyDim: 2 ** 30 }).build([1, 1, 1], [1, 1, 1]),
        () => layer({ outputShape: [2 ** 20, 2 ** 20, 2 ** 20] }).build([1, 1, 1], [1, 1, 1]),
        () => layer({ outputShape: [2 ** 16, 2 ** 16] }).build([1, 1, 1], [1, 1, 1]),
        () => layer({}).build([1, 1, 2 ** 40], [1, 1, 1]),
    ]) {
        assert.throws(make, { name: 'RangeError' }, make.toString());
        assert.deepEqual([runtime.memory.used, runtime.memory.reserved], [used, reserved], make.toString());
    }
    const many = { batch: 2 ** 27, length: 1, numHeads: 1, keyDim: 1, dtype: /** @type {const} */ ('int8') };
    assert.throws(() => new KVCache(runtime, many), /memory exhausted: 10737418240 bytes/, 'not even a list of its rows is made');
    assert.throws(() => KVCache.estimateBytes({ ...many, batch: 2 ** 40, length: 2 ** 30 }), /^RangeError: KVCache must be of fewer than/);
    const call = layer({});
    const empty = new Float32Array(0);
    assert.throws(() => call.callSync({ shape: [huge, huge, 1], data: empty }, { shape: [0, 0, 1], data: empty }), RangeError);
    assert.equal(runtime.memory.used, used);
});
