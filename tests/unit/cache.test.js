// js/blocks/cache.js: what goes in comes out, in Keras's order; what is refused changes nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVCache } from '../../js/blocks/cache.js';
import { Tensor } from '../../js/engine/tensor.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

const MIB = 1024 * 1024;

/** @param {readonly number[]} shape @param {number} [seed] */
function randomLike(shape, seed = 1) {
    const size = shape.reduce((product, dim) => product * dim, 1);
    return { shape: [...shape], data: floats(rng(seed), size) };
}

test('a new cache is zeros, and says what it is', async () => {
    const runtime = await testRuntime();
    const cache = new KVCache(runtime, { batch: 2, length: 24, numHeads: 3, keyDim: 5 });
    assert.deepEqual(cache.shape, [2, 2, 24, 3, 5]);
    assert.equal(cache.dtype, 'float32');
    assert.equal(cache.byteLength, 4 * 2 * 2 * 24 * 3 * 5);
    const tensor = cache.toTensor();
    assert.deepEqual(tensor.shape, cache.shape);
    assert.ok(tensor.data.every((value) => value === 0));
});

// Lengths around the panels of 8, dims around the registers of 4.
for (const [batch, length, numHeads, keyDim] of [
    [1, 1, 1, 1], [1, 7, 2, 3], [2, 8, 1, 4], [1, 9, 3, 5], [3, 16, 2, 8], [2, 17, 4, 7], [1, 31, 1, 16],
]) {
    const name = `[${batch}, 2, ${length}, ${numHeads}, ${keyDim}]`;

    test(`set and toTensor are each other's inverse, ${name}`, async () => {
        const runtime = await testRuntime();
        const cache = new KVCache(runtime, { batch, length, numHeads, keyDim });
        const source = randomLike(cache.shape);
        cache.set(source);
        assert.deepEqual(cache.toTensor().data, source.data);
        const tensor = new Tensor(runtime, randomLike(cache.shape, 2));
        cache.set(tensor);
        assert.deepEqual(cache.toTensor().data, Float32Array.from(tensor.data));
    });
}

test('a cache larger than what is converted at a time, without a second copy of it', async () => {
    const runtime = await testRuntime();
    const cache = new KVCache(runtime, { batch: 1, length: 2051, numHeads: 12, keyDim: 64 });
    const source = randomLike(cache.shape);
    const { used } = runtime.memory;
    cache.set(source);
    assert.ok(runtime.memory.used - used < MIB, 'scratch is small');
    assert.deepEqual(cache.toTensor().data, source.data);
});

test('half-precision caches hold rounded numbers', async () => {
    const runtime = await testRuntime();
    const source = { shape: [1, 2, 1, 1, 2], data: new Float32Array([1 / 3, 1e6, 0.1, 1]) };
    for (const [dtype, expected] of /** @type {['float16' | 'bfloat16', number[]][]} */ ([
        ['float16', [0.333251953125, Infinity, 0.0999755859375, 1]],
        ['bfloat16', [0.333984375, 999424, 0.10009765625, 1]],
    ])) {
        const cache = new KVCache(runtime, { batch: 1, length: 1, numHeads: 1, keyDim: 2, dtype });
        for (const like of [source, new Tensor(runtime, source)]) {
            cache.set(like);
            const tensor = cache.toTensor();
            assert.equal(tensor.dtype, dtype);
            assert.deepEqual([...tensor.data], expected);
            assert.deepEqual([...like.data], [...source.data], 'the source is not touched');
        }
        assert.equal(cache.byteLength, (dtype === 'float16' ? 2 : 4) * 8 * 4, 'a panel of 8 positions is the least');
    }
});

test('wrong options are named', async () => {
    const runtime = await testRuntime();
    const good = { batch: 1, length: 8, numHeads: 2, keyDim: 4 };
    for (const [change, name, message] of /** @type {[any, string, RegExp][]} */ ([
        [{ batch: undefined }, 'TypeError', /KVCache\.batch must be a positive integer, got undefined/],
        [{ length: '8' }, 'TypeError', /KVCache\.length must be a positive integer, got "8"/],
        [{ numHeads: 0 }, 'RangeError', /KVCache\.numHeads must be a positive integer, got 0/],
        [{ keyDim: 2.5 }, 'RangeError', /KVCache\.keyDim must be a positive integer, got 2\.5/],
        [{ length: Infinity }, 'RangeError', /KVCache\.length must be .*got Infinity/],
        [{ dtype: 'int4' }, 'TypeError',
            /KVCache\.dtype must be 'float32', 'float16', 'bfloat16' or 'int8', got "int4"/],
        [{ length: 1e9, numHeads: 1e3 }, 'RangeError', /memory exhausted/],
    ])) {
        const { used } = runtime.memory;
        assert.throws(() => new KVCache(runtime, { ...good, ...change }), { name, message });
        assert.equal(runtime.memory.used, used);
    }
    assert.throws(() => new KVCache(runtime, /** @type {any} */ (null)), /the options of KVCache must be an object of batch, length/);
    const wrong = /** @type {any} */ (undefined);
    assert.throws(() => new KVCache(wrong, good), /runtime must be made by createRuntime\(\), got undefined/);
});

test('what set() refuses changes nothing', async () => {
    const runtime = await testRuntime();
    const cache = new KVCache(runtime, { batch: 1, length: 9, numHeads: 2, keyDim: 3 });
    const source = randomLike(cache.shape);
    cache.set(source);
    const n = source.data.length;
    for (const [value, name, message] of /** @type {[any, string, RegExp][]} */ ([
        [null, 'TypeError', /source must be a tensor-like \{ shape, data \}, got null/],
        [{ shape: [1, 2, 9, 2, 3], data: new Int32Array(n) }, 'TypeError',
            /source must be numbers in a Float32Array, got dtype 'int32'/],
        [{ shape: [1, 2, 9, 3, 2], data: new Float32Array(n) }, 'RangeError',
            /source must be of shape \[1, 2, 9, 2, 3\], got \[1, 2, 9, 3, 2\]/],
        [{ shape: [n], data: new Float32Array(n) }, 'RangeError', /source must be of shape \[1, 2, 9, 2, 3\], got \[108\]/],
        [{ shape: [1, 2, 9, 2, 3], data: new Float32Array(n + 1) }, 'RangeError',
            /source\.data must be of 108 elements, as shape \[1, 2, 9, 2, 3\] has, got 109/],
    ])) {
        assert.throws(() => cache.set(value), { name, message });
    }
    assert.deepEqual(cache.toTensor().data, source.data);
});

test('a full memory is reported before anything has changed', async () => {
    const runtime = await testRuntime({ maxMemory: 4 * MIB, workers: 0 });
    const cache = new KVCache(runtime, { batch: 1, length: 3000, numHeads: 4, keyDim: 16 }); // 1.5 MB
    const source = randomLike(cache.shape);
    cache.set(source);
    /** @type {number[]} */
    const filler = [];
    assert.throws(() => { for (;;) filler.push(runtime.memory.alloc(100_000)); }, RangeError);
    const { used } = runtime.memory;
    assert.throws(() => cache.toTensor(), { name: 'RangeError', message: /memory exhausted: 1536000 bytes/ });
    assert.equal(runtime.memory.used, used);
    for (const address of filler) runtime.memory.free(address);
    assert.deepEqual(cache.toTensor().data, source.data);
});

test('dispose frees, twice is once, and use afterwards is an error', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const cache = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    assert.equal(cache.disposed, false);
    cache[Symbol.dispose]();
    cache.dispose();
    assert.equal(cache.disposed, true);
    assert.equal(runtime.memory.used, used);
    assert.throws(() => cache.toTensor(), /^Error: KVCache\.toTensor: this KVCache has been disposed$/);
    assert.throws(() => cache.set(randomLike(cache.shape)), /^Error: KVCache\.set: this KVCache has been disposed$/);
    assert.throws(() => cache._address, /disposed/, 'no program is given the address of what is gone');
    const other = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    runtime.dispose();
    assert.equal(other.disposed, true);
    assert.throws(() => other.toTensor(), /KVCache\.toTensor: the runtime has been disposed/);
    other.dispose();
});
