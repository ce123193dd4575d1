// What a stranger sees: Node's console and JSON.stringify() show what an object is, and its numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { CachedGroupQueryAttention, CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { GPT2CausalLM, loadModel } from '../../js/generation/index.js';
import { TransformerDecoder } from '../../js/layers/index.js';
import { testRuntime } from '../paired.js';

const runtime = await testRuntime();

test('a tensor shows its shape and its first numbers, wherever they are', () => {
    const data = Float32Array.from({ length: 12 }, (_, i) => i / 2);
    const tensor = new Tensor(runtime, { shape: [3, 4], data });
    // How Node sets numbers in columns is its own affair.
    assert.equal(inspect(tensor).replace(/\s+/g, ' '),
        "Tensor { shape: [ 3, 4 ], dtype: 'float32', data: Float32Array(12) [ 0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, ... 4 more items ] }");
    assert.deepEqual(JSON.parse(JSON.stringify(tensor)), { shape: [3, 4], dtype: 'float32', data: [...data] });
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 4 });
    const { attentionOutput } = layer.callSync({ shape: [1, 1, 4], data: data.slice(0, 4) }, { shape: [1, 1, 4], data: data.slice(4, 8) });
    const unread = inspect(attentionOutput);
    assert.ok(attentionOutput._address !== 0, 'a look leaves a result where it is');
    assert.match(unread, /^Tensor \{\n {2}shape: \[ 1, 1, 4 \]/);
    assert.ok(attentionOutput.data.length === 4);
    assert.equal(inspect(attentionOutput), unread, 'read or not');
    attentionOutput.dispose();
    assert.equal(inspect(attentionOutput), 'Tensor (disposed)');
    tensor.dispose();
    layer.dispose();
});

test('other objects show what they are in a few lines', async () => {
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4, name: 'mine' });
    assert.equal(inspect(layer), "CachedMultiHeadAttention { name: 'mine', built: false, weights: {} }");
    layer.build([1, 1, 8], [1, 1, 8]);
    assert.match(inspect(layer), /'mine\/query\/kernel': \[ 8, 2, 4 \]/);
    assert.equal(inspect(layer.weights[0]), "Weight { path: 'mine/query/kernel', shape: [ 8, 2, 4 ], dtype: 'float32' }");
    assert.deepEqual(JSON.parse(JSON.stringify(layer.weights)).map((/** @type {{ shape: number[] }} */ { shape }) => shape),
        layer.weights.map(({ shape }) => shape));
    const decoder = new TransformerDecoder(runtime, { intermediateDim: 8, numHeads: 2 });
    assert.equal(inspect(decoder), 'TransformerDecoder { intermediateDim: 8, numHeads: 2, built: false }');
    const grouped = new CachedGroupQueryAttention(runtime, { headDim: 4, numQueryHeads: 2, numKeyValueHeads: 1 });
    assert.match(inspect(grouped), /^CachedGroupQueryAttention \{/);
    const cache = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    assert.equal(inspect(cache), "KVCache { shape: [ 1, 2, 8, 2, 4 ], dtype: 'float32', byteLength: 512 }");
    const model = await loadModel(runtime);
    const kept = model.createCache({ length: 100 });
    await model.forward([1, 2, 3], { cache: kept });
    assert.match(inspect(kept), /^ModelCache \{[^]*length: 3,[^]*tokens: \[ 1, 2, 3 \]/);
    assert.match(inspect(model), /^LanguageModel \{\n {2}architecture: 'gpt2'/);
    assert.match(inspect(runtime), /^Runtime \{\n {2}variant: '(simd128|relaxed)'/);
    const gpt2 = new GPT2CausalLM(runtime, { vocabularySize: 10, numLayers: 2, numHeads: 2, hiddenDim: 8, intermediateDim: 8 });
    assert.equal(Object.prototype.toString.call(gpt2), '[object GPT2CausalLM]', 'also where a bundler has renamed its class');
    assert.deepEqual(JSON.parse(JSON.stringify(gpt2)), {
        vocabularySize: 10, numLayers: 2, numHeads: 2, hiddenDim: 8, maxSequenceLength: 1024,
    });
    gpt2.dispose();
    for (const object of [layer, decoder, grouped, cache, kept, model]) {
        assert.ok(inspect(object).split('\n').length < 60);
        object.dispose();
        assert.match(inspect(object), /^\w+ \(disposed\)$/);
    }
});

test('in JSON an object is what it shows, not the memory of its runtime', async () => {
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4, name: 'mine' });
    const cache = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    const model = await loadModel(runtime);
    const kept = model.createCache({ length: 100 });
    await model.forward([1, 2, 3], { cache: kept });
    const x = { shape: [1, 1, 8], data: new Float32Array(8) };
    const json = (/** @type {object} */ object) => JSON.parse(JSON.stringify(object));
    const result = json(await layer.call(x, x, { cache, cacheUpdateIndex: 0 }));
    assert.deepEqual(Object.keys(result), ['attentionOutput', 'cache']);
    assert.deepEqual(result.attentionOutput.shape, [1, 1, 8]);
    assert.deepEqual(result.cache, { shape: [1, 2, 8, 2, 4], dtype: 'float32', byteLength: 512 });
    assert.deepEqual(json({ layer }).layer.weights['mine/query/kernel'], [8, 2, 4]);
    assert.equal(json(runtime).variant, runtime.explain().variant);
    assert.deepEqual(json(kept).tokens, [1, 2, 3]);
    assert.equal(json(model).architecture, 'gpt2');
    for (const object of [layer, cache, kept, model]) {
        object.dispose();
        assert.equal(JSON.stringify(object), 'null', 'disposed of');
    }
});

test('a comparison that fails shows a few lines of both, not the memory of their runtime', async () => {
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
    const x = { shape: [1, 1, 8], data: new Float32Array(8) };
    const results = await Promise.all([layer.call(x, x), layer.call(x, x)]);
    const other = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 2 });
    other.build([1, 1, 8], [1, 1, 8]);
    for (const [a, b] of [results, [new Tensor(runtime, x), new Tensor(runtime, x)], [layer, other]]) {
        assert.throws(() => assert.deepEqual(a, b), ({ message }) => message.length < 100_000);
        // What Jest and Vitest print of both is of their own enumerable properties, too.
        assert.ok(inspect(a, { customInspect: false, depth: 1000, maxArrayLength: Infinity }).length < 1e6);
    }
});
