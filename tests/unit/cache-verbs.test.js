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

test('what is no position, or no list of batch entries, is refused by its kind, and nothing has changed', () => {
    const cache = new KVCache(runtime, { batch: 2, length: 4, numHeads: 1, keyDim: 2 });
    cache.set(randomLike(2, cache.shape));
    const before = Float32Array.from(cache.toTensor().data);
    const verbs = /** @type {Record<string, (value: any) => void>} */ ({
        positions: (value) => cache.truncate(value), from: (value) => cache.remove(value, 4), to: (value) => cache.remove(0, value),
        rows: (value) => cache.reorder([0, value]),
    });
    for (const [argument, verb] of Object.entries(verbs)) {
        for (const value of ['1', null, {}, 1n]) {
            assert.throws(() => verb(value), { name: 'TypeError', message: new RegExp(`^${argument} must be an integer, got`) });
        }
        for (const value of [-1, 0.5, NaN, 5]) {
            assert.throws(() => verb(value), { name: 'RangeError', message: new RegExp(`^${argument} must be an integer from 0 to [14], got`) });
        }
    }
    assert.deepEqual(cache.toTensor().data, before);
    cache.dispose();
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
        [{ rope: { frequencies: new Float64Array(3) } }, 'TypeError', /rope must be/],
        [{ rope: { frequencies: new Float64Array(3), most: NaN } }, 'RangeError', /rope must be one rotation for all 12 positions.*NaN/],
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
    const { used } = small.memory;
    for (const change of [() => cache.remove(5, 9, { rope: layer }), () => cache.truncate(7), () => cache.remove(5, 1000)]) {
        assert.throws(change, { name: 'RangeError', message: /memory exhausted/ });
        assert.equal(small.memory.used, used, `${change}`);
    }
    for (const address of filler) small.memory.free(address);
    assert.deepEqual(cache.toTensor().data, before);
    assert.deepEqual(fork.toTensor().data, before);
    fork.dispose();
    cache.truncate(7);
    assert.ok(cache.toTensor().data.some((x) => x !== 0));
    small.dispose();
});

/**
 * Where element e of the key of position s of head g lies, counted in numbers.
 * @param {string} dtype @param {number} page @param {number} dim @param {number} g @param {number} s @param {number} e
 */
function keyAt(dtype, page, dim, g, s, e) {
    const panel = (g * page + s - s % 8) * dim;
    if (dtype !== 'int8' || e === dim - dim % 2) return panel + e * 8 + s % 8;
    return panel + Math.floor(e / 2) * 16 + s % 8 * 2 + e % 2;
}

/**
 * The same of a value.
 * @param {string} dtype @param {number} page @param {number} dim @param {number} g @param {number} s @param {number} e
 */
function valueAt(dtype, page, dim, g, s, e) {
    if (dtype === 'float32') return (g * page + s) * dim + e;
    const width = Math.min(8, dim - (e - e % 8));
    const panel = g * page * dim + (e - e % 8) * page;
    return dtype === 'float16' ? panel + s * width + e % 8 : panel + Math.floor(s / 2) * 2 * width + e % 8 * 2 + s % 2;
}

/**
 * A saved cache of [1, 2, 20, 2, 11], put together by what cache-bytes.js and src/cmha.h say, not by save(). When pages are laid out
 * otherwise this fails: then CMHA_PAGE_FORM counts up, and files of the form before must be refused.
 * @param {'float32' | 'float16' | 'int8'} dtype
 * @param {number} form
 * @param {number[]} [shape] that it says it has
 */
function savedByHand(dtype, form, shape = [1, 2, 20, 2, 11]) {
    const [length, page, heads, dim] = [20, 24, 2, 11];
    const header = JSON.stringify({ version: 1, pages: form, shape, dtype });
    const start = 16 + Math.ceil(header.length / 16) * 16;
    const [number, scale] = { float32: [4, 0], float16: [2, 0], int8: [1, 4] }[dtype];
    const half = heads * page * (dim * number + scale);
    const bytes = new Uint8Array(start + 2 * half);
    bytes.set(new TextEncoder().encode(`CMHAKEYS${'\0'.repeat(8)}${header.padEnd(start - 16)}`));
    const view = new DataView(bytes.buffer);
    const expected = [];
    for (let part = 0; part < 2; part++) {
        for (let s = 0; s < length; s++) {
            for (let g = 0; g < heads; g++) {
                const multiplier = dtype === 'int8' ? (s + 1) / 4 : 1;
                const places = start + part * half;
                if (scale) view.setFloat32(places + heads * page * dim + 4 * (g * page + s), multiplier, true);
                for (let e = 0; e < dim; e++) {
                    const at = places + number * (part === 0 ? keyAt(dtype, page, dim, g, s, e) : valueAt(dtype, page, dim, g, s, e));
                    const x = 1 + part + s % 13 + 16 * g + 32 * (e % 3);    // at most 101
                    if (dtype === 'float32') view.setFloat32(at, x, true);
                    else if (dtype === 'int8') view.setInt8(at, x);
                    else view.setUint16(at, halfBits(x), true);
                    expected.push(x * multiplier);
                }
            }
        }
    }
    view.setUint32(8, start - 16, true);
    let hash = 0x811c9dc5;
    for (let i = 16; i < bytes.length; i += 4) hash = Math.imul(hash ^ view.getUint32(i, true), 0x01000193);
    view.setUint32(12, hash >>> 0, true);
    return { bytes, expected };
}

/** @param {number} x an integer from 1 to 2047 @returns {number} as binary16 */
function halfBits(x) {
    const exponent = Math.floor(Math.log2(x));
    return (exponent + 15) << 10 | (x - 2 ** exponent) * 2 ** (10 - exponent);
}

test('a file that was written by another hand loads, and one of another form of pages is refused', async () => {
    for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
        const { bytes, expected } = savedByHand(dtype, 2);
        const cache = await KVCache.load(runtime, bytes);
        assert.deepEqual([...cache.toTensor().data], expected, dtype);
        cache.dispose();
        await assert.rejects(KVCache.load(runtime, savedByHand(dtype, 1).bytes), { name: 'FormatError', code: 'cache-version' });
    }
});

test('a file whose shape is none of a cache, or has other pages than there are, is refused', async () => {
    const { used } = runtime.memory;
    for (const shape of [[1, 2, 20, 2], [1, 2, 20, 2, 11, 1], [1, 1, 20, 2, 11], [1, 2, 0, 2, 11], [1, 2, 25, 2, 11], [1, 2, 16, 2, 11]]) {
        const { bytes } = savedByHand('float32', 2, shape);
        await assert.rejects(KVCache.load(runtime, bytes), { name: 'FormatError', code: 'cache-invalid' }, `[${shape}]`);
    }
    assert.equal(runtime.memory.used, used);
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
