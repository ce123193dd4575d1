// What strangers get wrong is named: arrays for tensors, masks of another meaning, objects that a framework has wrapped,
// results that are posted to a worker.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { show } from '../../js/check.js';
import { CachedGroupQueryAttention, CachedMultiHeadAttention, KVCache, Tensor, createRuntime } from '../../js/index.js';
import { loadModel } from '../../js/generation/index.js';
import { TransformerDecoder } from '../../js/layers/index.js';
import { testRuntime } from '../paired.js';

const runtime = await testRuntime();
const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
layer.build([1, null, 8], [1, null, 8]);
const x = { shape: [1, 3, 8], data: new Float32Array(24).fill(0.25) };
const makeCache = () => new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });

/** @param {any} value */
const any = (value) => value;

test('an array for a tensor is called one', async () => {
    for (const [value, what] of [[[1, 2, 3], 'an array'], [[[[1, 2]]], 'nested arrays'], [new Float32Array(3), 'Float32Array\\(3\\)']]) {
        const message = new RegExp(`^\\w+ must be a tensor-like { shape, data }, all its numbers in one typed array, got ${what} alone$`);
        await assert.rejects(layer.call(any(value), x), { name: 'TypeError', message });
        await assert.rejects(layer.call(x, x, { attentionMask: any(value) }), { name: 'TypeError', message });
        await assert.rejects(layer.call(x, x, { cache: any(value) }), { name: 'TypeError', message });
        assert.throws(() => makeCache().set(any(value)), { name: 'TypeError', message });
        assert.throws(() => new Tensor(runtime, any(value)), { name: 'TypeError', message });
    }
    await assert.rejects(layer.call({ shape: [1, 1, 2], data: any([1, 2]) }, x), /query\.data must be a Float32Array .* got \[1, 2\]/);
});

test('what has no shape is no tensor-like: a promise that was not awaited, all that a call gave', async () => {
    const result = await layer.call(x, x);
    for (const [value, what] of /** @type {[any, string][]} */ ([
        [layer.call(x, x), 'a Promise'], [result, 'an object with keys ["attentionOutput"]'], [new Map(), 'a Map'],
    ])) {
        const name = 'TypeError';
        await assert.rejects(layer.call(value, x), { name, message: `query must be a tensor-like { shape, data }, got ${what}` });
        assert.throws(() => new Tensor(runtime, value), { name, message: `Tensor must be a tensor-like { shape, data }, got ${what}` });
    }
});

test('a layer that was built for two axes says so to a query of three', async () => {
    const flat = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
    flat.build([1, 8], [1, 8]);
    await assert.rejects(flat.call(x, x), { name: 'RangeError', message: /^query must be of 2 axes, .*, as built, got a tensor of shape \[1, 3, 8\]$/ });
    const row = { shape: [1, 8], data: new Float32Array(8) };
    await assert.rejects(flat.call(row, row), { name: 'RangeError', message: /^query must be of at least 3 axes, got a tensor of shape \[1, 8\]$/ });
});

test('a mask that is to be added to scores is refused, and nothing has changed', async () => {
    const cache = makeCache();
    await layer.call(x, x, { cache, cacheUpdateIndex: 0 });
    const before = cache.toTensor().data;
    const other = { shape: x.shape, data: x.data.map((value) => value + 1) };
    for (const out of [-Infinity, -1e9, -65504, -10000]) {
        for (const data of [Float32Array.from([0, out, out, 0, 0, out, 0, 0, 0]), new Tensor(runtime, {
            shape: [3, 3], data: Float32Array.from([0, 0, out, 0, 0, 0, 0, 0, 0]),
        }).data]) {
            const attentionMask = { shape: [3, 3], data };
            await assert.rejects(layer.call(x, x, { attentionMask }), /attentionMask must be 1 .* got -.*PyTorch/);
            await assert.rejects(layer.call(x, x, { attentionMask, returnAttentionScores: true }), RangeError);
        }
        const attentionMask = { shape: [3, 8], data: new Float32Array(24).fill(out) };
        await assert.rejects(layer.call(other, other, { attentionMask, cache, cacheUpdateIndex: 0 }), RangeError);
    }
    assert.deepEqual(cache.toTensor().data, before);
    // What Keras reads as a mask to keep by is none of those.
    for (const kept of [-1000, -1, 0.25, 1, 1e9]) {
        const attentionMask = { shape: [3, 3], data: new Float32Array(9).fill(kept) };
        assert.ok((await layer.call(x, x, { attentionMask })).attentionOutput.data.every(Number.isFinite));
    }
    const grouped = new CachedGroupQueryAttention(runtime, { headDim: 4, numQueryHeads: 2, numKeyValueHeads: 1 });
    const valueMask = any({ shape: [1, 3], data: Float32Array.of(0, 0, -1e9) });
    await assert.rejects(grouped.call(x, x, { valueMask }), /valueMask must be 1 .* got -1000000000/);
});

test('a Proxy around an object of ours gets a plain message, and Vue makes none', async () => {
    const own = await createRuntime({ workers: 0 });
    const model = await loadModel(own);
    const cache = new KVCache(own, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    const kept = model.createCache();
    const tensor = new Tensor(own, { shape: [1, 3, 8] });
    const around = (/** @type {object} */ object) => any(new Proxy(object, {}));
    const message = /^\w+ must be the object itself, got a Proxy around it/;
    for (const wrong of [
        () => new CachedMultiHeadAttention(around(own), { numHeads: 2, keyDim: 4 }),
        () => new KVCache(around(own), { batch: 1, length: 8, numHeads: 2, keyDim: 4 }),
        () => new Tensor(around(own), { shape: [2] }),
        () => around(own).explain(),
        () => around(own).dispose(),
        () => around(own).disposed,
        () => around(cache).toTensor(),
        () => around(cache).truncate(0),
        () => around(cache).byteLength,
        () => around(cache).dispose(),
        () => around(tensor).data,
        () => around(kept).tokens,
        () => around(kept).truncate(0),
        () => around(kept).dispose(),
        () => model.generate('a', { cache: around(kept) }),
        () => layer.callSync(x, x, { cache: around(makeCache()), cacheUpdateIndex: 0 }),
        () => layer.callSync(around(tensor), x),
    ]) {
        assert.throws(wrong, { name: 'TypeError', message }, String(wrong));
    }
    await assert.rejects(loadModel(around(own)), { name: 'TypeError', message });
    assert.equal(kept.disposed || cache.disposed || own.disposed, false);
    assert.equal(around(model).explain().architecture, 'gpt2', 'a model has nothing private');
    // Vue looks at this, and leaves alone what is no plain object by its own word.
    for (const [object, name] of /** @type {[object, string][]} */ ([
        [own, 'Runtime'], [cache, 'KVCache'], [tensor, 'Tensor'], [kept, 'ModelCache'], [model, 'LanguageModel'],
        [layer, 'CachedMultiHeadAttention'],
    ])) {
        assert.equal(Object.prototype.toString.call(object), `[object ${name}]`);
    }
    own.dispose();
});

test('what is made on a runtime is none', async () => {
    const x = { shape: [1, 3, 8], data: new Float32Array(24) };
    for (const wrong of [new Tensor(runtime, x), makeCache(), new TransformerDecoder(runtime, { intermediateDim: 4, numHeads: 2 }), layer]) {
        const message = /^runtime must be made by createRuntime\(\), got a /;
        assert.throws(() => new Tensor(any(wrong), x), { name: 'TypeError', message });
        assert.throws(() => new KVCache(any(wrong), { batch: 1, length: 8, numHeads: 2, keyDim: 4 }), { name: 'TypeError', message });
        assert.throws(() => new CachedMultiHeadAttention(any(wrong), { numHeads: 2, keyDim: 4 }), { name: 'TypeError', message });
        await assert.rejects(loadModel(any(wrong)), { name: 'TypeError', message });
    }
});

test('what cannot be posted says what to pass instead, and that can', async () => {
    const result = await layer.call(x, x);
    for (const object of [result, result.attentionOutput, makeCache(), layer, runtime]) {
        assert.throws(() => structuredClone(object), { name: 'DataCloneError', message: /pass its toJSON\(\), or its shape and data/ });
    }
    const { attentionOutput: { shape, data } } = result;
    const copy = structuredClone({ shape, data });
    assert.deepEqual(copy, { shape: [1, 3, 8], data });
    assert.deepEqual(structuredClone(result.attentionOutput.toJSON()).data, [...data]);
    assert.deepEqual((await layer.call(copy, x)).attentionOutput.shape, [1, 3, 8]);
});

test('whatever comes stands in a message, shortly', () => {
    /** @type {any[]} */
    const round = [1];
    round.push(round, round, round);
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    const hostile = [
        round, revoked.proxy, 10n ** 100_000n, 'x'.repeat(1e6), Symbol('x'.repeat(1e5)),
        { constructor: { name: 'y'.repeat(1e6) } }, Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`${'k'.repeat(1e5)}${i}`, i])),
        { get shape() { throw new Error('no'); } }, { shape: round }, new Proxy([], { get() { throw new Error('no'); } }),
        { get constructor() { throw new Error('no'); } }, Object.create(null), new Array(8), [[[[[[[[]]]]]]]],
        Object.defineProperty(() => {}, 'name', { value: 'f'.repeat(1e5) }),
    ];
    for (const value of hostile) {
        const text = show(value);
        assert.ok(text.length > 0 && text.length <= 200, `${text.length} characters`);
    }
    assert.equal(show([1, [2, [3, [4]]]]), '[1, [2, [3, an array of 1]]]');
    assert.equal(show(2n ** 63n), '9223372036854775808n');
});

const DIST = new URL('../../dist/index.js', import.meta.url);

test('a KVCache of another copy of the package is called that', { skip: !existsSync(DIST) && 'dist/ is not built' }, async () => {
    const copy = await import(DIST.href);
    const theirs = await copy.createRuntime({ workers: 0 });
    const cache = new copy.KVCache(theirs, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    const message = /^(cache|selfAttentionCache) must be a KVCache of this copy of the package, got one of another$/;
    await assert.rejects(layer.call(x, x, { cache, cacheUpdateIndex: 0 }), { name: 'TypeError', message });
    const decoder = new TransformerDecoder(runtime, { intermediateDim: 8, numHeads: 2 });
    const call = decoder.call(x, null, { selfAttentionCache: any(cache), selfAttentionCacheUpdateIndex: 0 });
    await assert.rejects(call, { name: 'TypeError', message });
    theirs.dispose();
});

test('every code that a FormatError is given stands in its list, and no other', () => {
    const folder = new URL('../../js/', import.meta.url);
    const text = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.js'))
        .map((path) => readFileSync(new URL(path.replaceAll('\\', '/'), folder), 'utf8')).join('\n');
    const [list] = /** @type {RegExpMatchArray} */ (text.match(/(?<=^ \* Codes of any file: )[^]*?(?=^ \*\/\nexport class FormatError)/m));
    const listed = new Set(Array.from(list.matchAll(/`(\w[\w-]*)`/g), ([, code]) => code));
    const thrown = Array.from(text.matchAll(/FormatError\(\s*'([a-z\d-]+)'/g), ([, code]) => code);
    // Those of texts are put together.
    const parts = ['header', 'config', 'tokenizer', 'tokenizer-config', 'special-tokens-map', 'generation-config', 'index'];
    const made = parts.flatMap((part) => [part, `${part}-not-json`, `${part}-invalid`]);
    assert.ok(thrown.length > 50);
    assert.deepEqual(thrown.filter((code) => !listed.has(code) && !made.includes(code)), []);
    assert.deepEqual([...listed].filter((code) => !made.includes(code) && !text.includes(`'${code}'`)), []);
});
