// Memory that runs out at any request: whatever was being done is refused, everything is as it was before, and doing it
// again gives what it gives where nothing fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as main from '../../js/index.js';
import * as generation from '../../js/generation/index.js';
import * as layers from '../../js/layers/index.js';
import { tinyFiles } from '../generation/checkpoint.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { WORKERS, testRuntime } from '../paired.js';
import { there } from '../there.js';
import { draw, randomLayer } from './cases.js';
import { count, exhaust as exhaustOn, failAt, taken } from './exhaust.js';

const { CachedMultiHeadAttention, KVCache, Tensor } = main;
const { ModelCache, PrefixStore, loadModel } = generation;

/** @typedef {import('../../js/index.js').KVCache} Cache */
/** @typedef {import('../../js/index.js').Tensor} OwnTensor */
/** @typedef {import('../../js/generation/index.js').ModelCache} TextCache */

const runtime = await testRuntime({ maxMemory: 128 * 2 ** 20 });
const { config } = there(readCases().find(({ name }) => name === 'llama-mqa-f16'));
const files = { config: json(config), weights: weightsOf('llama-mqa-f16') };
const model = await loadModel(runtime, files);
const inWords = await loadModel(runtime, tinyFiles({ size: { positions: 60 } }));

/** @template S @param {string} name @param {import('./exhaust.js').Parts<S>} parts */
const exhaust = (name, parts) => test(`memory runs out: ${name}`, { timeout: 400_000 }, () => exhaustOn(runtime, parts));

// Layers and their caches.

const LENGTH = 700;
const { tensor } = draw(5);
const x = tensor([2, 3, 8]);
const whole = tensor([2, 2, LENGTH, 2, 4]);
const layer = randomLayer(runtime, { numHeads: 2, keyDim: 4 }, x.shape, x.shape, 3);

/** Two caches that share all pages: what is written to is copied first. */
function forks() {
    const cache = new KVCache(runtime, { batch: 2, length: LENGTH, numHeads: 2, keyDim: 4 });
    cache.set(whole);
    return { cache, fork: cache.fork(), made: /** @type {Cache[]} */ ([]) };
}

/** @param {ReturnType<typeof forks>} subject */
const contents = ({ cache, fork }) => [cache, fork].map(taken);

/** @param {string} name @param {(subject: ReturnType<typeof forks>) => unknown} act */
const ofCache = (name, act) => exhaust(name, {
    make: forks,
    act: async (subject) => (await act(subject)) ?? null,
    state: contents,
    end: ({ cache, fork, made }) => [cache, fork, ...made].forEach((each) => each.dispose()),
});

ofCache('KVCache.set', ({ fork }) => fork.set({ shape: whole.shape, data: whole.data.map((value) => -value) }));
ofCache('KVCache.toTensor', ({ fork }) => taken(fork));
ofCache('KVCache.truncate', ({ fork }) => fork.truncate(100));
ofCache('KVCache.reorder', ({ fork }) => fork.reorder([1, 1]));
ofCache('KVCache.remove', ({ fork }) => fork.remove(3, 400));
ofCache('KVCache.fork', ({ fork, made }) => {
    made.push(fork.fork());
    return taken(made[0]);
});
ofCache('new KVCache', ({ made }) => {
    made.push(new KVCache(runtime, { batch: 2, length: LENGTH, numHeads: 2, keyDim: 4, dtype: 'int8' }));
});
ofCache('a call that updates a cache', async ({ fork }) => {
    const { attentionOutput } = await layer.call(x, x, { cache: fork, cacheUpdateIndex: 255, useCausalMask: true });
    return taken(attentionOutput);
});
test('memory runs out: what one cache has copied by then is its own', async () => {
    for (let n = 0, over = false; !over; n++) {
        const { cache, fork } = forks();
        const work = failAt(runtime.memory, n);
        try {
            fork.remove(0, 1);
        } catch {
            work();
            const was = taken(fork);
            cache.set({ shape: whole.shape, data: whole.data.map((value) => -value) });
            assert.deepEqual(taken(fork), was, `request ${n}`);
        }
        over = !work();
        cache.dispose();
        fork.dispose();
    }
});
ofCache('KVCache.remove, keys turned', ({ fork }) => fork.remove(3, 400, { rope: { frequencies: Float64Array.of(1, 0.1), most: LENGTH } }));
ofCache('KVCache.save', async ({ fork }) => Buffer.from(/** @type {Uint8Array} */ (await fork.save())).toString('base64'));
ofCache('KVCache.load', async ({ fork, made }) => {
    made.push(await KVCache.load(runtime, await fork.save()));
    return taken(made[0]);
});
ofCache('a call that updates a cache, and can be cut short', async ({ fork }) => {
    const { signal } = new AbortController();
    return taken((await layer.call(x, x, { cache: fork, cacheUpdateIndex: 255, signal })).attentionOutput);
});
ofCache('a call that reads a cache', async ({ fork }) => taken((await layer.call(x, x, { cache: fork })).attentionOutput));
exhaust('a layer is built and called', {
    make: () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4, kernelInitializer: 'ones' }),
    act: async (made) => taken((await made.call(x, x, { returnAttentionScores: true })).attentionOutput),
    end: (made) => made.dispose(),
});
exhaust('setWeights', {
    ensures: true,
    make: () => randomLayer(runtime, { numHeads: 2, keyDim: 4 }, x.shape, x.shape, 4),
    act: (made) => made.setWeights(layer.getWeights()),
    state: (made) => made.getWeights().map(({ data }) => Array.from(data)),
    end: (made) => made.dispose(),
});
exhaust('a Tensor', {
    make: () => /** @type {OwnTensor[]} */ ([]),
    act: (made) => {
        made.push(new Tensor(runtime, { shape: [100], dtype: 'float16' }));
        return Array.from(made[0].data);
    },
    end: (made) => made.forEach((each) => each.dispose()),
});

// Models.

const IDS = Array.from({ length: 300 }, (_, i) => (i * 7 + 3) % model.vocabularySize);
const CONTEXT = 600;

/** A cache of 300 tokens, and one that shares its pages. */
async function texts() {
    const cache = model.createCache({ length: CONTEXT });
    (await model.forward(IDS, { cache })).dispose();
    return { cache, fork: cache.fork(), made: /** @type {TextCache[]} */ ([]) };
}

/** @param {{ cache: TextCache, fork: TextCache }} subject */
const saved = async ({ cache, fork }) => [await cache.save(), await fork.save()];

/** @param {string} name @param {(subject: Awaited<ReturnType<typeof texts>>) => unknown} act */
const ofText = (name, act) => exhaust(name, {
    make: texts,
    act: async (subject) => (await act(subject)) ?? null,
    state: saved,
    end: ({ cache, fork, made }) => [cache, fork, ...made].forEach((each) => each.dispose()),
});

ofText('ModelCache.fork', ({ fork, made }) => {
    made.push(fork.fork());
    return made[0].save();
});
ofText('ModelCache.truncate', ({ fork }) => fork.truncate(100));
ofText('ModelCache.reuse', ({ fork }) => fork.reuse(IDS.slice(0, 50)));
ofText('ModelCache.remove', ({ fork }) => fork.remove(5, 40));
ofText('ModelCache.remove without shift', ({ fork }) => fork.remove(5, 40, { shift: false }));
ofText('ModelCache.save', ({ fork }) => fork.save());
ofText('ModelCache.load', async ({ fork, made }) => {
    made.push(await ModelCache.load(model, await fork.save()));
    return made[0].save();
});
ofText('one more token in a fork', async ({ fork }) => taken(await model.forward([1], { cache: fork })));
ofText('forward without a cache', async () => taken(await model.forward([1, 2, 3])));
ofText('forward, cut short', async ({ fork }) => taken(await model.forward([1, 2], { cache: fork, signal: new AbortController().signal })));
ofText('forward with hidden states and attention', async () => {
    const { logits, hiddenStates, attention } = await model.forward(IDS.slice(0, 9), { hiddenStates: [0, 1], attention: { layers: [0] } });
    return [logits, ...there(hiddenStates)].map(taken).concat([attention].flat().map((one) => Array.from(there(one).data)));
});
ofText('readOut', async () => taken(await model.readOut(draw(7).tensor([3, model.network.description.width]))));
ofText('forward of a batch', async () => taken(await model.forward([[1, 2, 3], [4]])));
ofText('logits of all positions', async () => taken(await model.forward(IDS.slice(0, 20), { positions: 'all' })));

exhaust('a full ring turns', {
    make: async () => {
        const cache = model.createCache({ sinks: 4, window: 253 });
        (await model.forward(IDS.slice(0, 257), { cache })).dispose();
        return { cache, fork: cache.fork() };
    },
    act: async ({ fork }) => taken(await model.forward([1], { cache: fork })),
    state: saved,
    end: ({ cache, fork }) => [cache, fork].forEach((each) => each.dispose()),
});
exhaust('a batch goes on as one of its texts', {
    make: async () => {
        const cache = model.createCache({ batch: 2 });
        (await model.forward([IDS.slice(0, 10), IDS.slice(5, 20)], { cache })).dispose();
        return cache;
    },
    act: (cache) => cache.reorder([1, 1]),
    state: (cache) => cache.save(),
    end: (cache) => cache.dispose(),
});
exhaust('createCache', {
    make: () => /** @type {TextCache[]} */ ([]),
    act: (made) => void made.push(model.createCache({ batch: 3 })),
    end: (made) => made.forEach((cache) => cache.dispose()),
});
exhaust('loadModel', {
    make: () => /** @type {import('../../js/generation/index.js').LanguageModel[]} */ ([]),
    act: async (made) => {
        made.push(await loadModel(runtime, files));
        return taken(await made[0].forward([1, 2, 3]));
    },
    end: (made) => made.forEach((each) => each.dispose()),
});

// Texts: what has been written before the memory ran out stays, so they go on where the cache says.

const PROMPT = IDS.slice(0, 250);
for (const [name, options] of /** @type {[string, import('../../js/generation/generate.js').GenerateOptions][]} */ ([
    ['greedy', { temperature: 0 }], ['drawn', { topK: 5, seed: 3 }], ['beams', { sampler: 'beam', numBeams: 3 }],
    ['with attention', { temperature: 0, attention: 0 }], ['likely ones told', { temperature: 0, candidates: 3 }],
    ['held to some tokens', { temperature: 0, allowed: () => [1, 2, 3] }],
    ['contrastive', { sampler: 'contrastive' }], ['guessed from the prompt', { temperature: 0, draft: 'prompt' }],
    ['guessed by a model', { temperature: 0, draft: model }],
])) {
    exhaust(`a text is written, ${name}`, {
        make: () => model.createCache({ length: CONTEXT }),
        act: async (cache) => {
            const tokens = [];
            const own = options.sampler === 'contrastive' ? {} : { cache }; // that one reads a prompt in whole
            for await (const { token } of model.generate(PROMPT, { maxNewTokens: 10, ...own, ...options })) tokens.push(token);
            return tokens;
        },
        end: (cache) => cache.dispose(),
    });
}

exhaust('two texts are written together', {
    make: () => [1, 2].map(() => model.createCache({ length: CONTEXT })),
    act: async (caches) => {
        /** @type {number[][]} */
        const tokens = [[], []];
        const options = caches.map((cache) => ({ maxNewTokens: 6, temperature: 0, cache }));
        for await (const { token, index } of model.generate([PROMPT, [5, 6]], options)) tokens[there(index)].push(token);
        return tokens;
    },
    end: (caches) => caches.forEach((cache) => cache.dispose()),
});
exhaust('what a store has is loaded', {
    make: async () => {
        const store = new PrefixStore();
        for await (const item of model.generate(PROMPT.slice(0, 200), { maxNewTokens: 1, temperature: 0, prefixes: store })) there(item);
        return store;
    },
    act: async (store) => {
        const tokens = [];
        const options = { maxNewTokens: 3, temperature: 0, prefixes: store };
        for await (const { token } of model.generate([...PROMPT.slice(0, 200), 4], options)) tokens.push(token);
        return tokens;
    },
});

exhaust('score', { make: () => null, act: () => inWords.score('to be or not to be', { each: true, candidates: 2 }) });
exhaust('a text that is held to a schema', {
    make: () => null,
    act: async () => {
        let text = '';
        for await (const item of inWords.generate('a', { json: { type: 'boolean' }, temperature: 0, maxNewTokens: 20 })) text += item.text;
        return text;
    },
});
if (WORKERS === 0) {
    exhaust('forwardSync and callSync', {
        make: () => null,
        act: () => [model.forwardSync([1, 2, 3]), layer.callSync(x, x).attentionOutput].map(taken),
    });
}

// Every method of the package, so that none is forgotten: done above, done in exhausted-layers.test.js, or one that asks for no memory.

/** By class, whatever its sub-classes; createRuntime is in failures.test.js. @type {Record<string, string>} */
const DONE = {
    KVCache: 'fork load remove reorder save set toTensor truncate',
    ModelCache: 'fork load remove reorder reuse save truncate',
    LanguageModel: 'createCache forward forwardSync generate readOut score',
    GPT2CausalLM: 'call callWithCache generateTokens setWeights',
    TransformerDecoder: 'build call getWeights setWeights',
    AttentionLayer: 'applyConstraints build call callSync getWeights loadWeights quantize saveWeights setWeights',
    PlainLayer: 'applyConstraints build call callSync getWeights setWeights',
    functions: 'createRuntime loadModel',
};
/** @type {Record<string, string>} */
const NONE = {
    all: 'dispose toJSON explain getConfig fromConfig computeOutputShape estimateBytes check',
    LanguageModel: 'promptTokens parseToolCalls',
    PrefixStore: 'clear',
    functions: 'readWeights huggingFace',
};
/** Samplers and what is made of numbers alone. */
const WITHOUT = /Sampler$|^(Tokenizer|FormatError|WorkerLostError)$/;
const words = (/** @type {string | undefined} */ text) => (text ?? '').split(' ');

/** @param {any} Class @returns {string[]} it and those that it is made from */
const names = (Class) => (Class?.prototype ? [Class.name, ...names(Object.getPrototypeOf(Class))] : []);

test('nothing that users can call is left out', () => {
    /** @type {string[]} */
    const unknown = [];
    for (const [name, value] of Object.entries({ ...layers, ...generation, ...main })) {
        if (typeof value !== 'function' || WITHOUT.test(name)) continue;
        if (/^[a-z]/.test(name)) {
            if (![DONE, NONE].some((table) => words(table.functions).includes(name))) unknown.push(name);
            continue;
        }
        const known = [...names(value), 'all'].flatMap((kind) => [DONE, NONE].flatMap((table) => words(table[kind])));
        for (let Class = /** @type {any} */ (value); Class?.prototype; Class = Object.getPrototypeOf(Class)) {
            for (const holder of [Class, Class.prototype]) {
                for (const [method, { value: own }] of Object.entries(Object.getOwnPropertyDescriptors(holder))) {
                    const isPublic = typeof own === 'function' && /^[a-z]/.test(method) && method !== 'constructor';
                    if (isPublic && !known.includes(method)) unknown.push(`${name}: ${Class.name}.${method}`);
                }
            }
        }
    }
    assert.deepEqual(unknown, []);
});

test('that was tried', () => assert.ok(count.refused > 200, `only ${count.refused} refusals`));
