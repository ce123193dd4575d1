// js/engine/given.js: what a caller's object answers may change, throw, or do things; each of its properties is asked for
// once, and a call is as if it had been made of plain data, or as if it had not been made.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { RMSNormalization, RotaryEmbedding, TransformerDecoder } from '../../js/layers/index.js';
import { asTensorLike } from '../../js/engine/tensor.js';
import { draw, randomLayer } from '../property/cases.js';
import { testRuntime } from '../binary.js';

const runtime = await testRuntime({ workers: 0 });
const layer = randomLayer(runtime, { numHeads: 2, keyDim: 4 }, [1, 1, 8], [1, 1, 8], 1);
const x = draw(2).tensor([1, 3, 8]);
const expected = layer.callSync(x, x).attentionOutput.data;

/**
 * An object that counts how often each property is asked for, and answers once only.
 * @param {Record<string, unknown>} properties
 * @param {string[]} [asked]
 */
function once(properties, asked = []) {
    /** @type {any} */
    const object = {};
    for (const [name, value] of Object.entries(properties)) {
        Object.defineProperty(object, name, {
            enumerable: true,
            get() {
                assert.ok(!asked.includes(name), `${name} is asked for twice`);
                asked.push(name);
                return value;
            },
        });
    }
    return object;
}

/** A shape whose sizes answer once only. @param {readonly number[]} sizes */
function shapeOnce(sizes) {
    const asked = new Set();
    return new Proxy([...sizes], {
        get(target, name, receiver) {
            if (typeof name === 'string' && /^\d+$/.test(name)) {
                if (asked.has(name)) return 1e9;
                asked.add(name);
            }
            return Reflect.get(target, name, receiver);
        },
    });
}

test('a tensor-like is read once, whatever it answers the next time', () => {
    const like = () => once({ shape: shapeOnce(x.shape), data: x.data });
    assert.deepEqual(layer.callSync(like(), like()).attentionOutput.data, expected);
    const key = once({ shape: shapeOnce(x.shape), data: x.data });
    const options = once({ key, cacheUpdateIndex: null, useCausalMask: false, attentionMask: null, cache: null });
    assert.deepEqual(layer.callSync(x, x, options).attentionOutput.data, expected);
    const tensor = new Tensor(runtime, once({ shape: shapeOnce([2, 3]), data: Float32Array.of(1, 2, 3, 4, 5, 6) }));
    assert.deepEqual([...tensor.shape], [2, 3]);
    const cache = new KVCache(runtime, once({ batch: 1, length: 4, numHeads: 2, keyDim: 4, dtype: 'float32' }));
    cache.set(once({ shape: shapeOnce(cache.shape), data: new Float32Array(64).fill(2) }));
    assert.ok(cache.toTensor().data.every((value) => value === 2));
    const weights = layer.getWeights();
    layer.setWeights(weights.map(({ shape, data }) => once({ shape: shapeOnce(shape), data })));
    assert.deepEqual(layer.callSync(x, x).attentionOutput.data, expected);
    const fresh = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
    fresh.build(/** @type {any} */ (shapeOnce([1, 3, 8])), /** @type {any} */ (shapeOnce([1, 3, 8])));
    fresh.setWeights(weights);
    assert.deepEqual(fresh.callSync(x, x).attentionOutput.data, expected);
});

test('what is public and believed later cannot be assigned to', () => {
    const tensor = new Tensor(runtime, { shape: [2, 3] });
    const result = layer.callSync(x, x).attentionOutput;
    const cache = new KVCache(runtime, { batch: 1, length: 4, numHeads: 2, keyDim: 4 });
    const [weight] = layer.weights;
    /** @type {[any, string[]][]} */
    const all = [
        [tensor, ['shape', 'dtype', 'size', 'byteLength', 'data']], [result, ['shape', 'dtype', 'data']],
        [cache, ['shape', 'dtype', 'byteLength']], [weight, ['shape', 'dtype', 'name', 'path']],
        [layer, ['numHeads', 'keyDim', 'valueDim', 'weights', 'built']],
    ];
    for (const [object, names] of all) {
        for (const name of names) {
            assert.throws(() => { object[name] = [1000, 1000]; }, TypeError, name);
        }
    }
    for (const { shape } of [tensor, result, cache, weight]) {
        assert.throws(() => { /** @type {any} */ (shape)[0] = 1000; }, TypeError);
    }
    tensor.data.fill(1);
    assert.equal(tensor.size, 6);
});

test('exactly as many numbers as the shape has are copied, whatever the array says of itself', () => {
    class Liar extends Float32Array {
        get length() { return 1e6; }
        get byteLength() { return 4e6; }
        get byteOffset() { return 8; }
        /** @returns {any} */
        get buffer() { return new ArrayBuffer(4e6); }
        /** @returns {any} */
        subarray() { return new Float32Array(1e6); }
        /** @returns {any} */
        slice() { return new Float32Array(1e6); }
    }
    const data = new Liar(x.data);
    assert.deepEqual(layer.callSync({ shape: x.shape, data }, { shape: x.shape, data }).attentionOutput.data, expected);
    assert.throws(() => asTensorLike({ shape: [1e6], data }, 'x'), { name: 'RangeError', message: /must be of 1000000 .* got 24$/ });
    const tensor = new Tensor(runtime, { shape: [24], data });
    assert.deepEqual([...tensor.data], [...x.data]);
    const cache = new KVCache(runtime, { batch: 1, length: 3, numHeads: 1, keyDim: 4 });
    cache.set({ shape: [1, 2, 3, 1, 4], data });
    assert.deepEqual([...cache.toTensor().data], [...x.data]);
    const fake = Object.create(Float32Array.prototype, { length: { value: 24 } });
    assert.throws(() => asTensorLike({ shape: [24], data: fake }, 'x'), { name: 'TypeError', message: /^x\.data must be / });
});

/** @param {number} bytes @param {number} most @param {boolean} shared @returns {any} */
function resizable(bytes, most, shared) {
    const Buffer_ = /** @type {any} */ (shared ? SharedArrayBuffer : ArrayBuffer);
    return new Buffer_(bytes, { maxByteLength: most });
}

test('buffers that change their size, or go away, are not followed', () => {
    const bytes = x.data.byteLength;
    for (const shared of [false, true]) {
        const buffer = resizable(bytes, 8 * bytes, shared);
        const data = new Float32Array(buffer); // follows the buffer's length
        data.set(x.data);
        const given = asTensorLike({ shape: x.shape, data }, 'x');
        assert.deepEqual(layer.callSync(given, given).attentionOutput.data, expected);
        if (shared) buffer.grow(8 * bytes); else buffer.resize(8 * bytes);
        assert.throws(() => layer.callSync(given, given), { name: 'RangeError', message: /data must stay as long as/ });
        assert.throws(() => layer.callSync({ shape: x.shape, data }, x), { name: 'RangeError', message: /got 192$/ });
        if (shared) continue;
        buffer.resize(bytes);
        assert.deepEqual(layer.callSync(given, given).attentionOutput.data, expected);
        buffer.resize(4);
        assert.throws(() => layer.callSync(given, given), { name: 'RangeError', message: /got 1 elements/ });
    }
    const data = x.data.slice();
    const given = asTensorLike({ shape: x.shape, data }, 'x');
    structuredClone(data.buffer, { transfer: [data.buffer] });
    assert.throws(() => layer.callSync(given, x), { name: 'RangeError', message: /got 0 elements/ });
    assert.throws(() => layer.callSync({ shape: x.shape, data }, x), { name: 'RangeError', message: /got 0$/ });
    assert.equal(asTensorLike({ shape: [0], data }, 'empty').data.length, 0);
});

test('data that is a view of the runtime\'s own memory stays right when the memory grows', async () => {
    const own = await testRuntime({ workers: 0, _test: { shared: false } });
    const n = 5 * 2 ** 20;
    const source = new Tensor(own, { shape: [n], data: Float32Array.from({ length: n }, (_, i) => i % 1000) });
    const { reserved } = own.memory;
    const copy = new Tensor(own, { shape: [n], data: source.data });
    assert.ok(own.memory.reserved > reserved, 'the test tests nothing unless the view is detached');
    assert.ok(copy.data.every((value, i) => value === i % 1000));
    own.dispose();
});

test('so does data that is given to calls, and to a cache', async () => {
    const own = await testRuntime({ workers: 0, _test: { shared: false } });
    const { memory } = own;
    const n = 2 ** 16;
    const source = new Tensor(own, { shape: [n], data: Float32Array.from({ length: n }, (_, i) => i % 100 - 50) });
    const norm = new RMSNormalization(own);
    const rope = new RotaryEmbedding(own);
    const attention = randomLayer(own, { numHeads: 1, keyDim: 4 }, [1, 1, 64], [1, 1, 64], 1);
    const decoder = new TransformerDecoder(own, { intermediateDim: 8, numHeads: 1 });
    decoder.build([1, null, 64]);
    const view = () => ({ shape: [1, n / 64, 64], data: source.data.subarray(0, n) });
    const part = () => ({ shape: [1, 16, 64], data: source.data.subarray(64, 64 * 17) });
    const cache = new KVCache(own, { batch: 1, length: n / 128, numHeads: 1, keyDim: 64 });
    /** What each gives, and makes new while it does. @type {[string, () => any][]} */
    const calls = [
        ['norm', () => norm.callSync(view())], ['rope', () => rope.callSync(view())],
        ['attention', () => attention.callSync(part(), part()).attentionOutput],
        ['decoder', async () => (await decoder.call(part())).output],
        ['cache', () => {
            const fork = cache.fork();
            fork.set({ shape: cache.shape, data: source.data.subarray(0, n) });
            return fork.toTensor();
        }],
    ];
    for (const [name, call] of calls) {
        const expected = (await call()).data;
        // Results that are kept unread would be moved out: these stay, until there is no room for the next one.
        for (let grown = 0, i = 0; grown < 2; i++) {
            assert.ok(i < 5000, `${name}: the memory never grows within the call`);
            const { reserved } = memory;
            const { data } = await call();
            if (memory.reserved > reserved) grown++;
            assert.deepEqual(data, expected, name);
            memory.alloc(memory.reserved > reserved ? 1000 : 20_000);
        }
    }
    own.dispose();
});

/** What a getter may do in between, and how the call ends. @type {[string, (host: Host) => void, RegExp][]} */
const DEEDS = [
    ['throws', () => { throw new Error('from the getter'); }, /from the getter/],
    ['disposes of the layer', ({ own }) => own.layer.dispose(), /has been disposed/],
    ['disposes of the cache', ({ own }) => own.cache.dispose(), /has been disposed/],
    ['disposes of the other input', ({ own }) => own.input.dispose(), /has been disposed/],
    ['disposes of the runtime', ({ own }) => own.runtime.dispose(), /has been disposed/],
];

/** @typedef {{ own: { runtime: any, layer: any, cache: any, input: any } }} Host */

for (const [what, deed, message] of DEEDS) {
    for (const property of ['shape', 'data', 'key', 'useCausalMask', 'attentionMask']) {
        test(`a getter of ${property} that ${what}: an Error, and all is as before`, async () => {
            const own = /** @type {any} */ ({ runtime: await testRuntime({ workers: 0 }) });
            own.layer = randomLayer(own.runtime, { numHeads: 2, keyDim: 4 }, [1, 1, 8], [1, 1, 8], 1);
            const other = randomLayer(own.runtime, { numHeads: 2, keyDim: 4 }, [1, 1, 8], [1, 1, 8], 1);
            own.cache = new KVCache(own.runtime, { batch: 1, length: 3, numHeads: 2, keyDim: 4 });
            own.input = new Tensor(own.runtime, x);
            const bystander = new Tensor(own.runtime, { shape: [64], data: new Float32Array(64).fill(7) });
            const evil = (/** @type {string} */ name, /** @type {any} */ value) => ({
                get: () => { if (name === property) deed({ own }); return value; }, enumerable: true,
            });
            const like = Object.create(null, { shape: evil('shape', x.shape), data: evil('data', x.data) });
            const options = Object.create(null, {
                cache: evil('cache', own.cache), cacheUpdateIndex: evil('cacheUpdateIndex', 0), key: evil('key', x),
                useCausalMask: evil('useCausalMask', true), attentionMask: evil('attentionMask', null),
            });
            assert.throws(() => own.layer.callSync(own.input, like, options), { message });
            if (own.runtime.disposed) return;
            assert.ok(bystander.data.every((value) => value === 7));
            if (!own.cache.disposed) assert.ok(own.cache.toTensor().data.every((/** @type {number} */ value) => value === 0));
            assert.deepEqual(other.callSync(x, x).attentionOutput.data, expected);
        });
    }
}

test('a getter that calls the layer itself is served, and so is the call that it interrupts', () => {
    let inner = null;
    const like = { get shape() { inner = layer.callSync(x, x).attentionOutput.data; return x.shape; }, data: x.data };
    assert.deepEqual(layer.callSync(like, like).attentionOutput.data, expected);
    assert.deepEqual(inner, expected);
    const unbuilt = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
    const again = { get shape() { if (!unbuilt.built) unbuilt.build([1, 3, 8], [1, 3, 8]); return x.shape; }, data: x.data };
    assert.equal(unbuilt.callSync(again, x).attentionOutput.shape.length, 3);
});

test('calls from within a job are clear errors, and nothing breaks', () => {
    const inside = [
        () => layer.callSync(x, x), () => new KVCache(runtime, { batch: 1, length: 1, numHeads: 1, keyDim: 1 }).toTensor(),
    ];
    for (const deed of inside) {
        for (const where of ['record', 'finish']) {
            const job = { check() {}, record: () => {}, finish: () => {}, [where]: deed };
            assert.throws(() => runtime._runSync(job), /a call was made from within another call of the same runtime/);
        }
    }
    assert.deepEqual(layer.callSync(x, x).attentionOutput.data, expected);
});

for (const where of /** @type {const} */ (['record', 'finish'])) {
    test(`the runtime is disposed of in ${where}: the call ends first, then everything goes`, async () => {
        for (const page of [false, true]) {
            const own = await testRuntime({ workers: page ? 1 : 0, _test: { mayBlock: !page } });
            const made = /** @type {any[]} */ ([]);
            const job = {
                check() {},
                /** @param {import('../../js/engine/program.js').Program} program */
                record(program) {
                    if (where === 'record') own.dispose();
                    made.push(program.result(Object.freeze([100]), 'float32'));
                    own.memory.f32(made[0]._address, 100).fill(1);
                },
                finish() {
                    own.dispose();
                    own.memory.f32(made[0]._address, 100).fill(2);
                },
            };
            const [outcome] = await Promise.allSettled([own._run(job)]);
            // A call that is not in line is told once more before it gives out what cannot be read.
            assert.equal(outcome.status, where === 'finish' && page ? 'fulfilled' : 'rejected');
            assert.equal(own.memory, null);
            assert.throws(() => made[0].data, /disposed/);
        }
    });
}

test('the decoder reads its arguments once too', async () => {
    const decoder = new TransformerDecoder(runtime, { intermediateDim: 8, numHeads: 2 });
    decoder.build([1, 3, 8]);
    const plain = (await decoder.call(x)).output.data;
    const options = once({ decoderPaddingMask: once({ shape: shapeOnce([1, 3]), data: new Uint8Array(3).fill(1) }), training: false });
    const { output } = await decoder.call(once({ shape: shapeOnce(x.shape), data: x.data }), null, options);
    assert.deepEqual(output.data, plain);
    await assert.rejects(decoder.call(x, null, /** @type {any} */ ({ mask: 1 })), /options of a call must be of decoderPaddingMask/);
    await assert.rejects(decoder.call(x, null, { training: /** @type {any} */ ('yes') }), /training must be a boolean, got "yes"/);
});

test('floats of other widths are taken as the floats nearest to them', () => {
    const kinds = [Float64Array, /** @type {any} */ (globalThis).Float16Array].filter(Boolean);
    for (const Kind of kinds) {
        const data = new Kind(x.data);
        const rounded = { shape: x.shape, data: Float32Array.from(data) };
        const given = { shape: x.shape, data };
        const want = layer.callSync(rounded, rounded).attentionOutput;
        assert.deepEqual(layer.callSync(given, given).attentionOutput.data, want.data);
        const cache = new KVCache(runtime, { batch: 1, length: 3, numHeads: 2, keyDim: 4 });
        const { shape } = cache.toTensor();
        const values = draw(3).tensor([...shape]);
        cache.set({ shape, data: new Kind(values.data) });
        assert.deepEqual(cache.toTensor().data, Float32Array.from(new Kind(values.data)));
        cache.dispose();
    }
});
