// Arguments that are slips, at the doors of text generation: each is named, nothing has changed, and no number in an option makes
// the process run out of memory.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as generation from '../../js/generation/index.js';
import { TransformerDecoder } from '../../js/layers/index.js';
import { CachedMultiHeadAttention, Tensor } from '../../js/index.js';
import { testRuntime } from '../runtime.js';

const { GPT2CausalLM, loadModel, readWeights } = generation;
const runtime = await testRuntime();
const model = await loadModel(runtime);
after(() => runtime.dispose());

/** @param {any} value */
const any = (value) => value;
const NAMED = /^[\w .:[\]]+ must be .*, got /;

test('a cache keeps what it holds when reuse() and reorder() are given what is no list', async () => {
    const cache = model.createCache();
    await model.forward([1, 2, 3], { cache });
    for (const slip of [undefined, null, 5, 'text', {}, ['1'], [1.5], [-1]]) {
        assert.throws(() => cache.reuse(any(slip)), { message: NAMED });
        assert.throws(() => cache.reorder(any(slip)), { name: 'RangeError', message: NAMED });
        assert.deepEqual(cache.tokens, [1, 2, 3]);
    }
    assert.equal(cache.reuse([1, 2, 9]), 2);
    cache.dispose();
});

test('as many texts or beams as no memory holds are refused before they are made', async () => {
    const before = runtime.explain().bytesInUse;
    for (const many of [2 ** 31, 2 ** 40, Number.MAX_SAFE_INTEGER]) {
        assert.throws(() => model.createCache({ batch: many }), { name: 'RangeError', message: /memory/ });
        const beams = model.generate('Once', { sampler: 'beam', numBeams: many, maxNewTokens: 1 });
        await assert.rejects(beams.next(), { name: 'RangeError', message: /memory/ });
    }
    assert.equal(runtime.explain().bytesInUse, before);
});

test('samplers take an object of their options, and nothing else', () => {
    for (const name of ['Beam', 'Contrastive', 'Greedy', 'Random', 'Speculative', 'TopK', 'TopP']) {
        const Sampler = any(generation)[`${name}Sampler`];
        for (const slip of [null, 0.7, 'x', { temp: 1 }]) {
            assert.throws(() => new Sampler(slip), { name: 'TypeError', message: NAMED });
        }
        assert.ok(new Sampler());
    }
});

test('a tokenizer names ids that are none, and flags that are none', () => {
    const { tokenizer } = model;
    assert.ok(tokenizer);
    for (const slip of [undefined, null, 5, true, {}, new Map()]) {
        assert.throws(() => tokenizer.decode(any(slip)), { name: 'TypeError', message: /^ids must be a list of ids, got / });
    }
    assert.throws(() => tokenizer.decode([1], { skipSpecialTokens: any('no') }), { name: 'TypeError', message: NAMED });
    assert.throws(() => tokenizer.encode('a', { addSpecialTokens: any('no') }), { name: 'TypeError', message: NAMED });
    assert.throws(() => tokenizer.tokenOf(any('length')), { name: 'RangeError', message: NAMED });
});

test('progress goes to a function', async () => {
    const progress = any('x');
    assert.throws(() => model.generate('a', { onProgress: progress }), { name: 'TypeError', message: /^onProgress must be / });
    await assert.rejects(readWeights(new Uint8Array(3), { onProgress: progress }), { name: 'TypeError', message: /^onProgress must be / });
    await assert.rejects(readWeights(new Uint8Array(3), { signal: progress }), { name: 'TypeError', message: /^signal must be / });
});

test('configs of models and blocks are objects of sizes that are some', () => {
    const config = { vocabularySize: 10, numLayers: 1, numHeads: 2, hiddenDim: 8, intermediateDim: 8 };
    for (const slip of [undefined, null, 3]) {
        assert.throws(() => new GPT2CausalLM(runtime, any(slip)), { name: 'TypeError', message: NAMED });
        assert.throws(() => new TransformerDecoder(runtime, any(slip)), { name: 'TypeError', message: NAMED });
        const block = new TransformerDecoder(runtime, { intermediateDim: 8, numHeads: 2 });
        assert.throws(() => block.build(any(slip)), { name: 'RangeError', message: NAMED });
    }
    assert.throws(() => new GPT2CausalLM(any(null), config), { name: 'TypeError', message: NAMED });
    assert.throws(() => new TransformerDecoder(any(null), any(config)), { name: 'TypeError', message: NAMED });
    assert.throws(() => new GPT2CausalLM(runtime, { ...config, numLayers: 2 ** 31 }), { name: 'RangeError', message: NAMED });
    assert.throws(() => new GPT2CausalLM(runtime, any({ ...config, tieWeights: 'no' })), { name: 'TypeError', message: NAMED });
});

test('an option that Tensor does not know is refused, what readWeights() adds is not', () => {
    const data = Float32Array.of(1, 2);
    assert.throws(() => new Tensor(runtime, any({ shape: [2], data, dType: 'float16' })), /^TypeError: options of Tensor must be of shape, /);
    new Tensor(runtime, any({ shape: [2], data, type: 'F32' })).dispose();
});

test('a seed that dropout does not use is no reason to fail', () => {
    for (const seed of [any(10n), any(Symbol('seed')), Object.create(null)]) {
        const layer = new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 4, seed });
        layer.build([1, 1, 4], [1, 1, 4]);
        layer.dispose();
    }
});
