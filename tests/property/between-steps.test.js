// Whatever takes more than a moment, and what it uses taken away at every point where others can have a turn: it gives what it
// gives alone, or rejects and says what is gone, nothing throws where nobody listens, and the memory comes back.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { CachedMultiHeadAttention, KVCache, createRuntime } from '../../js/index.js';
import { ModelCache, PrefixStore, loadModel } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { SIMD } from '../binary.js';
import { WORKERS } from '../paired.js';
import { there } from '../there.js';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */
/** @typedef {import('../../js/generation/options.js').GenerateOptions} GenerateOptions */

/** @type {unknown[]} */
const unheard = [];
const note = (/** @type {unknown} */ error) => void unheard.push(error);
process.on('unhandledRejection', note);
after(() => process.off('unhandledRejection', note));

const { config } = there(readCases().find(({ name }) => name === 'llama-mqa-f16'));
const files = { config: json(config), weights: weightsOf('llama-mqa-f16') };
const IDS = [1, 5, 2, 5, 2, 7];

// As on a page's main thread where there are workers.
const makeRuntime = () => createRuntime(/** @type {any} */ ({ simd: SIMD, workers: Math.min(WORKERS, 1), _test: { mayBlock: WORKERS === 0 } }));

/** A runtime with workers takes longer to make. */
const STRIDE = WORKERS === 0 ? 1 : 4;

/** What is at work in one try. @typedef {{ runtime: Runtime, model: LanguageModel, draft: LanguageModel, cache: ModelCache, keys: KVCache,
 *   layer: CachedMultiHeadAttention, store: PrefixStore, signal: AbortSignal }} World */

/** @param {World} world @param {unknown} prompt @param {GenerateOptions} options */
async function written({ model }, prompt, options) {
    const tokens = [];
    const text = model.generate(/** @type {any} */ (prompt), { maxNewTokens: 4, temperature: 0, ...options });
    await null; // asked for, not begun
    for await (const { token } of text) tokens.push(token);
    return tokens;
}

/** @type {Record<string, (world: World) => Promise<unknown>>} */
const WORK = {
    'loadModel': async ({ runtime }) => {
        const model = await loadModel(runtime, files);
        const { vocabularySize } = model;
        model.dispose();
        return vocabularySize;
    },
    'forward': async ({ model }) => Array.from((await model.forward(IDS)).data),
    'forward with hidden states': async ({ model }) => (await model.forward(IDS, { hiddenStates: [0] })).hiddenStates?.length,
    'forward with attention': async ({ model }) => Object.keys(there((await model.forward(IDS, { attention: 0 })).attention)).length,
    'forward into a cache': async ({ model, cache, signal }) => Array.from((await model.forward(IDS, { cache, signal })).data),
    'forward of a batch': async ({ model }) => Array.from((await model.forward([IDS, [3]])).data),
    'readOut': async ({ model }) => {
        const width = model.network.description.width;
        return Array.from((await model.readOut({ shape: [1, width], data: new Float32Array(width).fill(1) })).data);
    },
    'a text': (world) => written(world, IDS, { signal: world.signal }),
    'a text into a cache': (world) => written(world, IDS, { cache: world.cache, signal: world.signal }),
    'a drawn text': (world) => written(world, IDS, { temperature: 1, topK: 3, seed: 2, candidates: 2 }),
    'beams': (world) => written(world, IDS, { sampler: 'beam', temperature: undefined, numBeams: 2, signal: world.signal }),
    'contrastive': (world) => written(world, IDS, { sampler: 'contrastive', temperature: undefined, signal: world.signal }),
    'guesses of the prompt': (world) => written(world, IDS, { draft: 'prompt', cache: world.cache, signal: world.signal }),
    'guesses of a model': (world) => written(world, IDS, { draft: world.draft, cache: world.cache, signal: world.signal }),
    'with attention': (world) => written(world, IDS, { attention: 0, signal: world.signal }),
    'two texts': (world) => written(world, [IDS, [4]], { signal: world.signal }),
    'two texts, guesses': (world) => written(world, [IDS, [4, 4, 4]], { draft: world.draft, signal: world.signal }),
    'with a store': (world) => written(world, Array.from({ length: 40 }, (_, i) => 1 + i % 5), { prefixes: world.store, signal: world.signal }),
    'a cache is saved and loaded': async ({ model, cache }) => {
        const loaded = await ModelCache.load(model, await cache.save());
        const { length } = loaded;
        loaded.dispose();
        return length;
    },
    'a KVCache is saved and loaded': async ({ runtime, keys }) => {
        const loaded = await KVCache.load(runtime, await keys.save());
        const { byteLength } = loaded;
        loaded.dispose();
        return byteLength;
    },
    'a layer': async ({ layer, keys, signal }) => {
        const x = { shape: [1, 2, 4], data: new Float32Array(8).fill(0.5) };
        return Array.from((await layer.call(x, x, { cache: keys, cacheUpdateIndex: 1, signal })).attentionOutput.data);
    },
};

const GONE = new Error('the test has aborted it');

/** @type {Record<string, (world: World, abort: AbortController) => void>} */
const ENDS = {
    'the runtime': ({ runtime }) => runtime.dispose(),
    'the model': ({ model }) => model.dispose(),
    'the draft': ({ draft }) => draft.dispose(),
    'the caches': ({ cache, keys }) => [cache, keys].forEach((each) => each.dispose()),
    'the layer': ({ layer }) => layer.dispose(),
    'the patience': (_, abort) => abort.abort(GONE),
    'everything, one by one': ({ layer, keys, cache, draft, model, runtime }) => {
        for (const each of [layer, keys, cache, draft, model, runtime]) each.dispose();
    },
};

/** What is of use to some of the work alone. @type {Record<string, RegExp>} */
const ONLY = { 'the draft': /guesses/, 'the caches': /cache|Cache|prompt|layer/, 'the layer': /layer/ };

/** @param {Runtime} runtime @param {AbortSignal} signal @returns {Promise<World>} */
async function makeWorld(runtime, signal) {
    const model = await loadModel(runtime, files);
    const draft = await loadModel(runtime, files);
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 2, kernelInitializer: 'ones' });
    layer.build([1, 2, 4], [1, 2, 4]);
    const keys = new KVCache(runtime, { batch: 1, length: 5, numHeads: 2, keyDim: 2 });
    return { runtime, model, draft, cache: model.createCache(), keys, layer, store: new PrefixStore(), signal };
}

/** A turn of the microtasks, or of the tasks. @param {number} n */
async function turns(n) {
    for (let i = 0; i < n; i++) {
        await (i % 40 === 39 ? new Promise((resolve) => { setImmediate(resolve); }) : null);
    }
}

for (const [work, act] of Object.entries(WORK)) {
    test(`${work}, while what it needs goes away`, { timeout: 400_000 }, async () => {
        const expected = await (async () => {
            const runtime = await makeRuntime();
            try {
                return await act(await makeWorld(runtime, new AbortController().signal));
            } finally {
                runtime.dispose();
            }
        })();
        for (const [what, end] of Object.entries(ENDS)) {
            if (!(ONLY[what] ?? /./).test(work)) continue;
            let runtime = await makeRuntime();
            const bytes = runtime.explain().bytesInUse;
            for (let n = 0, over = false; !over; n += STRIDE) {
                assert.ok(n < 3000, 'there is no end');
                const abort = new AbortController();
                const world = await makeWorld(runtime, abort.signal);
                let settled = false;
                const outcome = act(world).then((value) => ({ value }), (error) => ({ error })).finally(() => { settled = true; });
                await turns(n);
                over = settled;
                end(world, abort);
                const result = await outcome;
                const where = `${what}, after ${n} turns`;
                if ('error' in result) {
                    assert.ok(result.error === GONE || /disposed/.test(result.error.message), `${where}: ${result.error?.stack ?? result.error}`);
                    assert.ok(!over, where);
                } else {
                    assert.deepEqual(result.value, expected, where);
                }
                if (runtime.disposed) {
                    runtime = await makeRuntime();
                    continue;
                }
                const { layer, keys, cache, draft, model } = world;
                if (what === 'the patience') {
                    cache.truncate(0);
                    assert.deepEqual(await act({ ...world, signal: new AbortController().signal }), expected, `${where}: once more`);
                }
                [layer, keys, cache, draft, model].forEach((each) => each.dispose());
                // A call whose results nobody has read frees what is put off.
                await runtime._run({ check() {}, record() {}, finish() {} });
                const left = runtime.explain().bytesInUse - bytes;
                assert.ok(left < 4096, `${where}: ${left} bytes stay in use`);
            }
            runtime.dispose();
        }
        await new Promise((resolve) => { setImmediate(resolve); });
        assert.deepEqual(unheard, []);
    });
}
