// Memory that runs out at any request: whatever was being done is refused, everything is as it was before, and doing it
// again gives what it gives where nothing fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { ModelCache, loadModel } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { draw, randomLayer } from './cases.js';

const timeout = 120_000;
const runtime = await testRuntime({ maxMemory: 128 * 2 ** 20 });
const { memory } = runtime;
const { config } = there(readCases().find(({ name }) => name === 'llama-mqa-f16'));
const files = { config: json(config), weights: weightsOf('llama-mqa-f16') };
const model = await loadModel(runtime, files);

/** So that a block that is a line larger than what was asked for is no leak, and one of a page is. */
const SLACK = 256;

/**
 * The n-th request from now on fails, as when the memory is at its end.
 * @param {number} n from 0
 * @returns {() => boolean} makes them work again, and says whether one has failed
 */
function failAt(n) {
    let left = n;
    const real = { alloc: memory.alloc.bind(memory), offer: memory.offer.bind(memory) };
    memory.alloc = (bytes) => {
        if (left-- === 0) throw new RangeError('no memory, says the test');
        return real.alloc(bytes);
    };
    memory.offer = (bytes) => (left-- === 0 ? 0 : real.offer(bytes));
    return () => {
        delete (/** @type {any} */ (memory).alloc);
        delete (/** @type {any} */ (memory).offer);
        return left < 0;
    };
}

/**
 * Does something over and over, each time with another request that fails, until none does.
 * @template S
 * @param {string} name
 * @param {object} parts
 * @param {() => S | Promise<S>} parts.make what it is done with
 * @param {(subject: S) => unknown} parts.act gives its result, as something that can be compared
 * @param {(subject: S) => unknown} [parts.state] of the subject, all of it
 * @param {(subject: S) => void} [parts.end]
 * @param {number} [parts.most] requests that can fail: what comes after may have been made sure of
 */
function exhaust(name, { make, act, state = () => null, end = () => {}, most = Infinity }) {
    test(`memory runs out: ${name}`, { timeout }, async () => {
        const first = await make();
        const expected = await act(first);
        const after = await state(first);
        end(first);
        for (let n = 0, over = false; !over && n < most; n++) {
            assert.ok(n < 2000, 'there is no end');
            const before = runtime.explain().bytesInUse;
            const subject = await make();
            const was = await state(subject);
            const work = failAt(n);
            let result;
            let error;
            try {
                result = await act(subject);
            } catch (thrown) {
                error = thrown;
            }
            over = !work();
            if (error !== undefined) {
                refused++;
                assert.ok(error instanceof RangeError && /no memory/.test(error.message), /** @type {any} */ (error).stack);
                assert.deepEqual(await state(subject), was, `request ${n}: as before`);
                result = await act(subject);
            }
            assert.deepEqual(result, expected, `request ${n}: the result`);
            assert.deepEqual(await state(subject), after, `request ${n}: as after`);
            end(subject);
            const left = runtime.explain().bytesInUse - before;
            assert.ok(left < SLACK, `request ${n}: ${left} bytes stay in use`);
        }
    });
}

/** How often anything has been refused. */
let refused = 0;

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
    return { cache, fork: cache.fork(), made: /** @type {KVCache[]} */ ([]) };
}

/** @param {ReturnType<typeof forks>} subject */
const contents = ({ cache, fork }) => [cache, fork].map(taken);

/** @param {KVCache | Tensor | import('../../js/engine/tensor.js').TensorLike} source @returns {number[]} its numbers, and it is gone */
function taken(source) {
    const result = source instanceof KVCache ? source.toTensor() : source;
    const numbers = Array.from(result.data);
    if (result instanceof Tensor) result.dispose();
    return numbers;
}

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
        const work = failAt(n);
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
exhaust('a layer is built and called', {
    make: () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4, kernelInitializer: 'ones' }),
    act: async (made) => taken((await made.call(x, x, { returnAttentionScores: true })).attentionOutput),
    end: (made) => made.dispose(),
});
exhaust('setWeights', {
    most: 1,
    make: () => randomLayer(runtime, { numHeads: 2, keyDim: 4 }, x.shape, x.shape, 4),
    act: (made) => made.setWeights(layer.getWeights()),
    state: (made) => made.getWeights().map(({ data }) => Array.from(data)),
    end: (made) => made.dispose(),
});
exhaust('a Tensor', {
    make: () => /** @type {Tensor[]} */ ([]),
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
    return { cache, fork: cache.fork(), made: /** @type {ModelCache[]} */ ([]) };
}

/** @param {{ cache: ModelCache, fork: ModelCache }} subject */
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
    make: () => /** @type {ModelCache[]} */ ([]),
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

test('that was tried', () => assert.ok(refused > 200, `only ${refused} refusals`));
