// KVCache's remove() with a rotation, save() and load(), against float64: keys that a layer rotated to one position, turned to
// another, are those that it rotates to the other.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedGroupQueryAttention, CachedMultiHeadAttention, KVCache, createRuntime } from '../../js/index.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();
const DTYPES = /** @type {const} */ (['float32', 'float16', 'bfloat16', 'int8']);
/** Of numbers up to 2: a step of the type, twice. */
const STEP = { float32: 4e-6, float16: 4e-3, bfloat16: 3e-2, int8: 5e-2 };

/** @param {number} seed @param {readonly number[]} shape */
const randomLike = (seed, shape) => ({ shape: [...shape], data: floats(rng(seed), shape.reduce((a, b) => a * b, 1)) });

/**
 * Keys of all positions but [from, to), each turned from its place before to that after, and values as they were; zeros follow.
 * @param {readonly number[]} shape @param {ArrayLike<number>} data @param {number} from @param {number} to
 * @param {readonly number[]} frequencies of the pairs; none: keys stay as they are
 * @returns {Float64Array}
 */
function removed([batch, , length, heads, dim], data, from, to, frequencies) {
    const out = new Float64Array(data.length);
    for (let part = 0; part < 2 * batch; part++) {
        for (let s = 0; s < length - (to - from); s++) {
            const origin = s < from ? s : s + to - from;
            for (let h = 0; h < heads; h++) {
                const read = ((part * length + origin) * heads + h) * dim;
                const write = ((part * length + s) * heads + h) * dim;
                for (let e = 0; e < dim; e++) out[write + e] = data[read + e];
                for (let i = 0; part % 2 === 0 && i < frequencies.length; i++) {
                    const angle = (s - origin) * frequencies[i];
                    const [p, q] = [data[read + i], data[read + i + dim / 2]];
                    out[write + i] = p * Math.cos(angle) - q * Math.sin(angle);
                    out[write + i + dim / 2] = q * Math.cos(angle) + p * Math.sin(angle);
                }
            }
        }
    }
    return out;
}

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} expected @param {number} error */
function assertNear(got, expected, error) {
    assert.equal(got.length, expected.length);
    for (let i = 0; i < got.length; i++) assert.ok(Math.abs(got[i] - expected[i]) <= error, `${i}: ${got[i]}, not ${expected[i]}`);
}

const SIZES = { headDim: 6, numQueryHeads: 4, numKeyValueHeads: 2 };
const rotary = new CachedGroupQueryAttention(runtime, { ...SIZES, ropeMaxWavelength: 500, ropeScalingFactor: 2 });
const FREQUENCIES = [0, 1, 2].map((i) => 500 ** (-2 * i / 6) / 2);

for (const dtype of DTYPES) {
    test(`${dtype}: remove() turns keys by a layer's rotation, or moves them as they are`, () => {
        for (const [length, from, to] of [[9, 2, 5], [40, 0, 8], [600, 250, 300], [600, 1, 600], [600, 0, 0], [20, 5, 20]]) {
            for (const rope of [rotary, rotary.rotation, null]) {
                const cache = new KVCache(runtime, { batch: 2, length, numHeads: 2, keyDim: 6, dtype });
                cache.set(randomLike(length, cache.shape));
                const fork = cache.fork();
                const before = Float32Array.from(cache.toTensor().data);
                cache.remove(from, to, { rope });
                const got = cache.toTensor().data;
                const expected = removed(cache.shape, before, from, to, rope ? FREQUENCIES : []);
                assertNear(got, expected, rope && to > from ? STEP[dtype] : 0);
                if (dtype === 'bfloat16') assert.ok(new Uint32Array(Float32Array.from(got).buffer).every((bits) => bits % 65536 === 0));
                assert.deepEqual(fork.toTensor().data, before, 'the fork has what it had');
                cache.dispose();
                fork.dispose();
            }
        }
    });

    test(`${dtype}: saved and loaded, the same numbers, on another runtime too`, async () => {
        const other = await createRuntime({ workers: 0 });
        for (const length of [1, 40, 600]) {
            const options = { batch: 2, length, numHeads: 3, keyDim: 5, dtype };
            const cache = new KVCache(runtime, options);
            cache.set(randomLike(length, cache.shape));
            cache.reorder([1, 1]);
            const saved = /** @type {Uint8Array<ArrayBuffer>} */ (await cache.save());
            const loaded = await KVCache.load(other, new Blob([saved]));
            assert.deepEqual([loaded.shape, loaded.dtype, loaded.byteLength], [cache.shape, dtype, KVCache.estimateBytes(options)]);
            assert.deepEqual(loaded.toTensor().data, cache.toTensor().data);
            loaded.truncate(0);
            loaded.dispose();
            cache.dispose();
        }
        other.dispose();
    });
}

test('a cache that a rotating layer filled goes on after a removal as one that never had the positions', () => {
    const layer = new CachedGroupQueryAttention(runtime, { ...SIZES, ropeMaxWavelength: 10000 });
    layer.build([1, null, 8], [1, null, 8]);
    layer.setWeights(layer.weights.map(({ shape }, i) => randomLike(i + 1, shape)));
    const x = (/** @type {number} */ s) => randomLike(100 + s, [1, 1, 8]);
    const options = { batch: 1, length: 16, numHeads: 2, keyDim: 6 };
    const read = (/** @type {KVCache} */ cache, /** @type {number[]} */ tokens, start = 0) => tokens.map((token, i) =>
        layer.callSync(x(token), x(token), { cache, cacheUpdateIndex: start + i, useCausalMask: true }).attentionOutput.data).at(-1);
    const [cache, expected] = [new KVCache(runtime, options), new KVCache(runtime, options)];
    read(cache, [0, 1, 2, 3, 4, 5, 6]);
    cache.remove(2, 5, { rope: layer });
    const got = read(cache, [7], 4);
    assertNear(got ?? [], read(expected, [0, 1, 5, 6, 7]) ?? [], 1e-5);
    assertNear(cache.toTensor().data, expected.toTensor().data, 1e-5);
    cache.dispose();
    expected.dispose();
    layer.dispose();
});

test('what is no rotation of such keys is refused, and nothing has changed', () => {
    const cache = new KVCache(runtime, { batch: 1, length: 12, numHeads: 2, keyDim: 6 });
    cache.set(randomLike(1, cache.shape));
    const before = Float32Array.from(cache.toTensor().data);
    const still = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 6 });
    const wide = new CachedGroupQueryAttention(runtime, { ...SIZES, headDim: 8, ropeMaxWavelength: 500 });
    const long = new CachedGroupQueryAttention(runtime, {
        ...SIZES, ropeMaxWavelength: 500, ropeScalingType: 'su', ropeScalingShortFactor: [1, 1, 1], ropeScalingLongFactor: [2, 2, 2],
        maxSequenceLength: 40, pretrainingSequenceLength: 10,
    });
    assert.equal(still.rotation, null);
    for (const [options, name, message] of /** @type {[any, string, RegExp][]} */ ([
        [{ rope: still }, 'TypeError', /rope must be a layer that rotates keys, or its 'rotation'/],
        [{ rope: 5 }, 'TypeError', /rope must be .*got 5/],
        [{ rope: { frequencies: [1, 2, 3] } }, 'TypeError', /rope must be/],
        [{ rope: wide }, 'RangeError', /rope must be a rotation of keys of 6, got 8/],
        [{ rope: long }, 'RangeError', /rope must be one rotation for all 12 positions/],
        [{ shift: true }, 'TypeError', /options of KVCache\.remove must be of rope, got "shift"/],
        [null, 'TypeError', /the options of KVCache\.remove/],
    ])) {
        assert.throws(() => cache.remove(1, 3, options), { name, message });
    }
    assert.deepEqual(cache.toTensor().data, before);
    cache.dispose();
});

test('a removal, a truncation that cannot have memory changes nothing', async () => {
    const small = await createRuntime({ workers: 0, maxMemory: 4 * 2 ** 20 });
    const cache = new KVCache(small, { batch: 1, length: 1500, numHeads: 4, keyDim: 16 });
    cache.set(randomLike(1, cache.shape));
    const before = Float32Array.from(cache.toTensor().data);
    const fork = cache.fork();
    /** @type {number[]} */
    const filler = [];
    assert.throws(() => { for (;;) filler.push(small.memory.alloc(200_000)); }, RangeError);
    const layer = new CachedGroupQueryAttention(runtime, { ...SIZES, headDim: 16, ropeMaxWavelength: 500 });
    for (const change of [() => cache.remove(5, 9, { rope: layer }), () => cache.truncate(7), () => cache.remove(5, 1000)]) {
        assert.throws(change, { name: 'RangeError', message: /memory exhausted/ });
    }
    for (const address of filler) small.memory.free(address);
    assert.deepEqual(cache.toTensor().data, before);
    assert.deepEqual(fork.toTensor().data, before);
    fork.dispose();
    cache.truncate(7);
    assert.ok(cache.toTensor().data.some((x) => x !== 0));
    small.dispose();
});

test('a cache that is gone saves nothing, and what is no file loads nothing', async () => {
    const { used } = runtime.memory;
    const cache = new KVCache(runtime, { batch: 1, length: 12, numHeads: 2, keyDim: 6 });
    const saving = cache.save();
    cache.dispose();
    await assert.rejects(saving, /KVCache\.save: this KVCache has been disposed/);
    await assert.rejects(cache.save(), /disposed/);
    await assert.rejects(KVCache.load(runtime, new Uint8Array(40)), { name: 'FormatError', code: 'cache-invalid' });
    await assert.rejects(KVCache.load(/** @type {any} */ (null), new Uint8Array(40)), TypeError);
    assert.equal(runtime.memory.used, used);
});
