// Arguments that are slips, at the doors of text generation: each is named, nothing has changed, and no number in an option makes
// the process run out of memory.

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import * as generation from '../../js/generation/index.js';
import { TransformerDecoder } from '../../js/layers/index.js';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { WORKERS, testRuntime } from '../paired.js';
import { json, tinyFiles } from './checkpoint.js';

const { GPT2CausalLM, GreedySampler, PrefixStore, huggingFace, loadModel, readWeights } = generation;
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

test('a token that a sampler of one\'s own makes up is refused, and the runtime goes on', async () => {
    for (const bad of [1e9, -1, NaN, 0.5, 2 ** 32, '1', undefined, model.vocabularySize, {}]) {
        class Own extends generation.RandomSampler {
            draw() {
                return any(bad);
            }
        }
        for (const draft of /** @type {const} */ ([undefined, 'prompt'])) {
            const text = model.generate([1, 2, 1, 2, 3], { sampler: new Own(), draft, maxNewTokens: 3 });
            await assert.rejects(text.next(), { name: 'RangeError', message: /the sampler's token must be an integer from 0 to \d+, got / });
        }
    }
    assert.equal((await model.forward([1, 2])).size, model.vocabularySize);
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

test('what is not made by new says by what it is', () => {
    for (const [name, maker] of /** @type {const} */ ([
        ['ModelCache', /createCache\(\) or ModelCache\.load\(\)/], ['LanguageModel', /loadModel\(\)/],
    ])) {
        const Class = any(generation)[name];
        for (const slips of [[], [undefined], [5], [runtime], [model], [runtime, {}], [{ network: {} }]]) {
            assert.throws(() => new Class(...slips), { name: 'TypeError', message: NAMED });
            assert.throws(() => new Class(...slips), { message: maker });
        }
    }
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

test('a schema, choices or a pattern of what JSON has not is named', () => {
    const held = { type: 'object', properties: {} };
    /** @type {any} */ (held.properties).self = held;
    for (const slip of [5n, { enum: [5n] }, { const: NaN }, { type: 'string', minLength: 2n }, { enum: [() => {}] }, held, [Symbol('s')]]) {
        const message = /^json must be made of what JSON has, got /;
        assert.throws(() => model.generate('a', { json: any(slip) }), { name: 'TypeError', message });
        assert.throws(() => model.generate('a', { choices: any([slip]) }), { name: 'TypeError', message: NAMED });
        assert.throws(() => model.generate('a', { pattern: any(slip) }), { name: 'TypeError', message: NAMED });
    }
    for (const [slip, what] of /** @type {[any, string][]} */ ([[/a/, 'a RegExp'], [new Set(['a']), 'a Set'], [new Map(), 'a Map'], [[5n], '[5n]']])) {
        for (const [name, expected] of [['choices', 'a list of strings'], ['pattern', 'a string, the source of a regular expression']]) {
            assert.throws(() => model.generate('a', { [name]: slip }), { name: 'TypeError', message: `${name} must be ${expected}, got ${what}` });
        }
        assert.throws(() => model.generate('a', { json: slip }), { message: `json must be made of what JSON has, got ${what.replace(/[[\]]/g, '')}` });
    }
    for (const slip of [{ $ref: {} }, { $ref: Object.create(null) }, { type: 'object', required: [Object.create(null)] },
        { type: 'string', pattern: Object.create(null) }]) {
        assert.throws(() => model.generate('a', { json: slip }), { name: 'RangeError', message: /^json\.[\w$]+ must be .*, got / });
    }
});

test('GPT2CausalLM names what its prompts, caches and options are not', async () => {
    const gpt2 = new GPT2CausalLM(runtime, {
        vocabularySize: 10, numLayers: 2, numHeads: 2, hiddenDim: 8, intermediateDim: 8, maxSequenceLength: 16,
    });
    const ids = { shape: [1, 3], data: Int32Array.of(1, 2, 3) };
    const makeCache = () => new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
    const [first, second] = [makeCache(), makeCache()];
    const sampler = new GreedySampler();
    const prompt = { tokens: Int32Array.of(1, 2, 0, 0), mask: Uint8Array.of(1, 1, 0, 0), batch: 1 };
    for (const slip of [null, 5, 'x', [5], [null, null], [{}, {}], [first], [first, first]]) {
        await assert.rejects(gpt2.callWithCache(ids, any(slip), 0), { message: /^caches(\[0\] must be .*, got | must be .*, got |: every layer)/ });
    }
    for (const slip of [undefined, null, -1, 0.5, '0']) {
        await assert.rejects(gpt2.callWithCache(ids, [first, second], any(slip)), { message: /^cacheUpdateIndex must be .*, got / });
    }
    await assert.rejects(gpt2.call(ids, any(null)), { name: 'TypeError', message: NAMED });
    await assert.rejects(gpt2.call(ids, any({ attentionMask: ids })), { name: 'TypeError', message: NAMED });
    for (const slip of [undefined, null, 5, {}, { ...prompt, tokens: [1, 2] }, { ...prompt, mask: null }, { ...prompt, batch: 0 },
        { ...prompt, batch: 3 }, { ...prompt, mask: new Uint8Array(3) }, { ...prompt, more: 1 }]) {
        await assert.rejects(gpt2.generateTokens(any(slip), { sampler }), { message: /must be .*, got / });
    }
    for (const slip of [undefined, null, {}, { sampler: 'greedy' }, { sampler, stopTokens: 5 }, { sampler, stopTokens: [10] },
        { sampler, more: 1 }]) {
        await assert.rejects(gpt2.generateTokens(prompt, any(slip)), { message: NAMED });
    }
    assert.equal((await gpt2.generateTokens(prompt, { sampler })).length, 4);
    [gpt2, first, second].forEach((one) => one.dispose());
});

test('weights and ids that answer otherwise the second time are taken as they were checked', async () => {
    const gpt2 = new GPT2CausalLM(runtime, {
        vocabularySize: 4, numLayers: 1, numHeads: 1, hiddenDim: 4, intermediateDim: 4, maxSequenceLength: 4,
    });
    const shapes = gpt2._places().map(({ shape }) => shape);
    const weights = shapes.map((shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1) }));
    let asked = 0;
    const lying = { shape: weights[0].shape, get data() { return asked++ === 0 ? weights[0].data : new Float32Array(2 ** 20).fill(7); } };
    const guard = new Tensor(runtime, { shape: [2 ** 18], data: new Float32Array(2 ** 18) });
    gpt2.setWeights([lying, ...weights.slice(1)]);
    assert.ok(guard.data.every((x) => x === 0));
    // An id that is changed while the call waits is not looked up.
    const ids = { shape: [1, 1], data: new Int32Array(new SharedArrayBuffer(4)) };
    const before = await gpt2.call(ids);
    const pending = [gpt2.call(ids), gpt2.call(ids)];
    ids.data[0] = 2 ** 30;
    for (const { logits } of await Promise.all(pending)) assert.deepEqual(logits.data, before.logits.data);
    [gpt2, guard].forEach((one) => one.dispose());
});

test('an option that is undefined is as one that is not given', async () => {
    const drawing = await loadModel(runtime, { ...tinyFiles(), generationConfig: json({ do_sample: true, temperature: 3, top_k: 40 }) });
    /** @param {object} options */
    const text = async (options) => {
        const tokens = [];
        for await (const { token } of drawing.generate('the', { maxNewTokens: 12, seed: 5, ...options })) tokens.push(token);
        return tokens;
    };
    const wanted = await text({});
    assert.deepEqual(await text({ temperature: undefined, topK: undefined, stop: undefined, repetitionPenalty: undefined }), wanted);
    assert.notDeepEqual(await text({ temperature: 1 }), wanted);
    drawing.dispose();
});

test('a file that bounds neither topK nor topP has texts drawn from all tokens', async () => {
    for (const [generation, count] of /** @type {[object, number][]} */ ([
        [{ do_sample: true, top_k: 0 }, 300], [{ do_sample: true, top_k: 0, top_p: 1, temperature: 0.7 }, 300],
        [{ do_sample: true, top_k: -1, min_p: 1 }, 1], [{ do_sample: true, top_k: 7 }, 7], [{ do_sample: true }, 50],
    ])) {
        const drawing = await loadModel(runtime, { ...tinyFiles(), generationConfig: json(generation) });
        for await (const { candidates = [] } of drawing.generate('the', { maxNewTokens: 1, candidates: 300 })) {
            assert.equal(candidates.length, count, JSON.stringify(generation));
        }
        drawing.dispose();
    }
});

test('what a model tells of itself does not change it', async () => {
    const drawing = await loadModel(runtime, { ...tinyFiles(), generationConfig: json({ do_sample: true, stop_strings: ['a'] }) });
    const told = drawing.explain();
    for (const change of [() => { told.sampling.temperature = 0; }, () => told.sampling.stop.push('b'), () => drawing.endTokens.push(7)]) {
        assert.throws(change, TypeError);
    }
    assert.deepEqual([drawing.explain().sampling.temperature, drawing.endTokens], [1, [0]]);
    drawing.dispose();
});

test('a list that changes once it has been checked is what it was', async () => {
    const write = async (/** @type {any} */ options) => {
        const writing = model.generate(['the', 'a'], { maxNewTokens: 4, sampler: 'greedy', ...options });
        if (options.stop) options.stop[0] = 'f';
        const texts = ['', ''];
        for await (const { index, text } of writing) texts[Number(index)] += text;
        return texts;
    };
    const texts = await write({ logitBias: { 70: 100 } });
    assert.deepEqual(texts, ['ffff', 'ffff']);
    assert.deepEqual(await write({ logitBias: { 70: 100 }, stop: ['never'] }), texts);
});

test('what is wanted is not called by the name of what came, nor by a verb that nobody used', async () => {
    const message = "hiddenStates must be a list, of layers and 'final', got \"final\"";
    await assert.rejects(model.forward([1], { hiddenStates: any('final') }), { name: 'TypeError', message });
    assert.throws(() => model.generate([{ role: 'user', content: 'a' }]), /^Error: this model has no chat template .* must be text or tokens: /);
    assert.throws(() => model.generate('a', { seed: 2 ** 60 }), { name: 'TypeError', message: 'seed must be an integer of 53 bits at most, got 1152921504606847000' });
    const cache = model.createCache();
    const [first, second] = [1, 2].map(() => model.generate('Once', { cache, maxNewTokens: 3 }));
    await first.next();
    await assert.rejects(second.next(), /^Error: generate: this ModelCache is being read into/);
    await first.return();
    cache.dispose();
});

test('what another copy of the package has made is told so', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'copy-'));
    cpSync(new URL('../../js/', import.meta.url), folder, { recursive: true, filter: (path) => !/embedded.model\.gguf$/.test(path) });
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
    const copy = await import(pathToFileURL(join(folder, 'generation/index.js')).href);
    const another = await copy.loadModel(runtime, new URL('../../js/embedded/model.gguf', import.meta.url));
    const cache = model.createCache();
    await model.forward([1, 2], { cache });
    const saved = await cache.save();
    for (const [wrong, message] of /** @type {[() => unknown, RegExp][]} */ ([
        [() => model.generate('a', { prefixes: new copy.PrefixStore() }), /^prefixes must be .* of this package, got a PrefixStore$/],
        [() => model.generate('a', { sampler: new copy.GreedySampler() }), /^sampler must be a Sampler of this package .*, got a GreedySampler$/],
        [() => generation.ModelCache.load(another, saved), /^model must be made by loadModel\(\) of this package, got a LanguageModel$/],
        [() => loadModel(runtime, copy.huggingFace('a/b')), /^source must be .* of this package, got a HuggingFaceModel$/],
    ])) {
        await assert.rejects(async () => wrong(), { name: 'TypeError', message });
    }
    another.dispose();
    cache.dispose();
    rmSync(folder, { recursive: true });
});

test('options are read once', async () => {
    let asked = 0;
    const options = {
        maxNewTokens: 2,
        get draft() { return asked++ === 0 ? undefined : any(5); },
        get onProgress() { return asked++ < 2 ? undefined : any(5); },
    };
    for await (const { token } of model.generate('a', options)) assert.ok(token >= 0);
    asked = 0;
    const loading = {
        get signal() { return asked++ === 0 ? undefined : any(5); },
        get contextLength() { return asked++ === 1 ? 8 : any('x'); },
    };
    const short = await loadModel(runtime, undefined, loading);
    assert.equal(short.contextLength, 8);
    short.dispose();
});

test('layers, heads and texts with holes, or more than there are', async () => {
    const holes = any([, 0]);
    for (const slip of [holes, new Array(1e6), [0, 0], { layers: new Array(1e6) }, { layers: [0], heads: holes }]) {
        assert.throws(() => model.forwardSync([1], { attention: any(slip) }), { name: 'RangeError', message: NAMED });
    }
    for (const slip of [holes, new Array(1e6)]) {
        assert.throws(() => model.forwardSync([1], { hiddenStates: slip }), { name: 'RangeError', message: NAMED });
    }
    assert.throws(() => model.forwardSync(any([[1], , [2]])), { name: 'TypeError', message: NAMED });
    for (const length of [-1, 2 ** 40]) {
        assert.throws(() => model.forwardSync(any({ length })), { name: 'RangeError', message: /^ids\.length must be / });
    }
});

test('what is aborted before it begins does not begin, whatever is asked for', async () => {
    const signal = AbortSignal.abort(new Error('the reason'));
    await assert.rejects(model.score('', { signal }), { message: 'the reason' });
    await assert.rejects(model.generate('a', { signal, maxNewTokens: 0 }).next(), { message: 'the reason' });
});

test('a folder that fails while a text is aborted: the reason is passed on', async () => {
    const controller = new AbortController();
    const fail = () => {
        controller.abort(new Error('the reason'));
        throw new Error('no disk');
    };
    const directory = any({ getFileHandle: fail, getDirectoryHandle: fail, values: fail, entries: fail, keys: fail });
    const prefixes = new PrefixStore({ directory });
    await assert.rejects(model.generate('a', { prefixes, signal: controller.signal }).next(), { message: 'the reason' });
});

test('what no address can have is named', () => {
    for (const slip of [{ revision: '\ud800' }, { file: 'a/\udc00' }]) {
        assert.throws(() => huggingFace('a/b', slip), { name: 'TypeError', message: NAMED });
    }
});

test('what is set on a sampler is checked as what it is made with', async () => {
    for (const [name, property, ...slips] of /** @type {[string, string, ...unknown[]][]} */ ([
        ['Greedy', 'temperature', NaN, 0, -1, '1'], ['TopK', 'k', 0, -1, 1.5], ['TopP', 'p', NaN, 2], ['Random', 'minP', -1, NaN],
        ['Contrastive', 'k', 0, -1, NaN], ['Contrastive', 'alpha', 2], ['Beam', 'numBeams', 0], ['Speculative', 'numSpeculativeTokens', 0],
    ])) {
        const sampler = new (any(generation)[`${name}Sampler`])();
        const before = sampler[property];
        for (const slip of slips) {
            assert.throws(() => { sampler[property] = slip; }, { message: NAMED });
            assert.equal(sampler[property], before);
        }
    }
    const sampler = new generation.TopKSampler({ seed: 1 });
    sampler.k = 1;
    const [drawn, best] = await Promise.all([{ sampler }, { temperature: 0 }].map(async (options) => {
        const tokens = [];
        for await (const { token } of model.generate('Once', { ...options, maxNewTokens: 8 })) tokens.push(token);
        return tokens;
    }));
    assert.deepEqual(drawn, best);
});

test('a signal that is null is none, as for fetch()', async () => {
    const options = { signal: null };
    (await loadModel(runtime, tinyFiles(), options)).dispose();
    assert.ok((await readWeights(tinyFiles().weights, options)).size > 0);
    assert.deepEqual((await model.forward([1, 2], options)).shape, [1, model.vocabularySize]);
    assert.equal((await model.score('a', options)).bytes, 1);
    assert.equal((await model.generate('a', { ...options, maxNewTokens: 1 }).next()).done, false);
});

test('a saved cache is loaded from what fetch() and createReadStream() give', async () => {
    const kept = new KVCache(runtime, { batch: 1, length: 4, numHeads: 2, keyDim: 3 });
    const cache = model.createCache();
    await model.forward([1, 2, 3], { cache });
    const [keys, text] = [await kept.save(), await cache.save()].map((bytes) => /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
    for (const from of [(/** @type {any} */ bytes) => new Response(bytes), (/** @type {any} */ bytes) => Readable.from([bytes])]) {
        const [loaded, again] = [await KVCache.load(runtime, from(keys)), await generation.ModelCache.load(model, from(text))];
        assert.deepEqual([loaded.shape, again.tokens], [kept.shape, [1, 2, 3]]);
        loaded.dispose();
        again.dispose();
    }
    kept.dispose();
    cache.dispose();
});

test('what is nearly a source is named, with what to do', async () => {
    const { weights, config } = tinyFiles();
    const locked = new Blob([new Uint8Array(weights)]).stream();
    locked.getReader();
    const gone = new ArrayBuffer(8);
    structuredClone(gone, { transfer: [gone] });
    function* endless() {
        for (;;) yield 1;
    }
    for (const [source, message] of /** @type {[unknown, RegExp][]} */ ([
        [Promise.resolve(weights), /^source must be .*, got a Promise: await it$/],
        [{ kind: 'directory', getFileHandle() {} }, /: give the Files in it$/], [{ kind: 'file', getFile() {} }, /: await its getFile\(\)$/],
        [{ weights, config: 5 }, /^source\.config must be .*, got 5$/], [{ weights: [weights, 5], config }, /^source\.weights must be .*, got 5$/],
        [{ weights, config: Promise.resolve(config) }, /^source\.config must be .*, got a Promise: await it$/],
        [locked, /^source must be a stream that nobody reads, got one that is locked$/],
        [gone, /detached/], [new DataView(new ArrayBuffer(0)), /0 bytes/],
        ['http://', /^source must be a URL or a path, got "http:\/\/"$/], [endless(), /^source must be .*, got a Generator$/],
        [{ length: 1e15 }, /^source must be /], [new Map(), /got a Map$/],
    ])) {
        await assert.rejects(loadModel(runtime, any(source)), { message });
        if (source !== locked) await assert.rejects(readWeights(any(source)), { message: /must|bytes/ });
    }
});

test('what goes away between the end of the work and its result is told', async () => {
    const small = tinyFiles();
    /** What is made first, and what is then at work when the runtime goes. @type {((own: typeof runtime) => Promise<() => Promise<unknown>>)[]} */
    const works = [
        async (own) => {
            const one = await loadModel(own, small);
            return () => one.forward([1, 2]);
        },
        async (own) => {
            const one = await loadModel(own, small);
            return () => one.score('the thing');
        },
        async (own) => () => loadModel(own),
    ];
    for (const prepare of works) {
        for (let turns = 0; turns < 60; turns++) {
            const own = await testRuntime({ workers: Math.min(WORKERS, 1) });
            const begin = await prepare(own);
            const pending = begin().then(() => null, (/** @type {Error} */ error) => error);
            for (let i = 0; i < turns; i++) await null;
            own.dispose();
            const error = await pending;
            assert.ok(error === null || /disposed/.test(error.message), error?.stack);
        }
    }
});
