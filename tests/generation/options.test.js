// An option that nobody knows is refused by its name, with those that are known: nothing is accepted and ignored.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
    BeamSampler, ContrastiveSampler, GreedySampler, RandomSampler, TopKSampler, TopPSampler, huggingFace, loadModel, readWeights,
} from '../../js/generation/index.js';
import { CachedMultiHeadAttention, KVCache } from '../../js/index.js';
import { testRuntime } from '../paired.js';

const runtime = await testRuntime();
const model = await loadModel(runtime);
const cache = model.createCache();
const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 });
layer.build([1, 1, 8], [1, 1, 8]);
const kept = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4 });
const more = /** @type {any} */ ({ other: 1 });

/** @type {[string, () => any, string][]} */
const CALLS = [
    ['KVCache', () => new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4, ...more }), 'batch, length'],
    ['KVCache.estimateBytes', () => KVCache.estimateBytes({ batch: 1, length: 8, numHeads: 2, keyDim: 4, ...more }), 'batch, length'],
    ['loadModel', () => loadModel(runtime, undefined, more), 'signal, onProgress'],
    ['readWeights', () => readWeights('nowhere.safetensors', more), 'signal, onProgress'],
    ['huggingFace', () => huggingFace('a/b', more), 'file, revision'],
    ['generate', () => model.generate('a', more), 'maxNewTokens, sampler'],
    ['forward', () => model.forward([1], more), 'cache, positions'],
    ['score', () => model.score('a', more), 'each, candidates, signal, onProgress'],
    ['createCache', () => model.createCache(more), 'length, dtype'],
    ['ModelCache.remove', () => cache.remove(0, 0, more), 'shift'],
    ['encode', () => model.tokenizer?.encode('a', more), 'addSpecialTokens'],
    ['decode', () => model.tokenizer?.decode([1], more), 'skipSpecialTokens'],
    ['loadWeights', () => layer.loadWeights('nowhere.weights.h5', more), 'layer, signal'],
    ['saveWeights', () => layer.saveWeights(more), 'path'],
    ['GreedySampler', () => new GreedySampler(more), 'temperature'],
    ['RandomSampler', () => new RandomSampler(more), 'temperature, minP, seed'],
    ['TopKSampler', () => new TopKSampler(more), 'temperature, minP, seed, k, p'],
    ['TopPSampler', () => new TopPSampler(more), 'temperature, minP, seed, p, k'],
    ['BeamSampler', () => new BeamSampler(more), 'temperature, numBeams'],
    ['ContrastiveSampler', () => new ContrastiveSampler(more), 'temperature, k, alpha'],
];

for (const [name, call, known] of CALLS) {
    test(name, async () => {
        await assert.rejects(async () => call(), (/** @type {any} */ error) => {
            assert.equal(error.name, 'TypeError');
            assert.match(error.message, new RegExp(`^options of .* must be of ${known}.*, got "other"$`));
            return true;
        });
    });
}

test('classes call themselves by their names in the package too, where these are minified', async () => {
    const built = await import('cached-attention/generation');
    const layers = await import('cached-attention/layers');
    for (const name of /** @type {const} */ ([
        'Sampler', 'GreedySampler', 'RandomSampler', 'TopKSampler', 'TopPSampler', 'BeamSampler', 'ContrastiveSampler', 'SpeculativeSampler',
    ])) {
        assert.throws(() => new built[name](more), { message: new RegExp(`^options of ${name} must be of`) });
        assert.throws(() => model.generate('a', { sampler: /** @type {any} */ (new built[name]()) }), { message: new RegExp(`got a ${name}$`) });
    }
    const other = await (await import('cached-attention')).createRuntime({ workers: 0 });
    const story = await built.loadModel(other);
    const objects = {
        PrefixStore: new built.PrefixStore(), Tokenizer: story.tokenizer, RMSNormalization: new layers.RMSNormalization(other),
    };
    for (const [name, object] of Object.entries(objects)) {
        assert.throws(() => kept.remove(0, 1, { rope: /** @type {any} */ (object) }), { message: new RegExp(`got a ${name}$`) });
    }
    other.dispose();
});

test('messages say what may come, and nothing that is not so', async () => {
    const any = /** @type {any} */ (5);
    assert.throws(() => model.parseToolCalls(any), { name: 'TypeError', message: 'answer must be a string or a list of token ids, got 5' });
    for (const attention of ['all', null]) {
        assert.throws(() => model.generate('a', { attention: /** @type {any} */ (attention) }),
            { name: 'TypeError', message: /^attention must be a layer, a list of layers, or \{ layers, heads \}, got / });
    }
    assert.throws(() => new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 1, kernelInitializer: 'other' }),
        { message: 'kernelInitializer must be the name of an initializer that Keras has, got "other"' });
    const elsewhere = await testRuntime();
    const draft = await loadModel(elsewhere);
    const message = "draft must be a model of the model's own runtime, got one of another";
    assert.throws(() => model.generate('a', { draft }), { name: 'RangeError', message });
    elsewhere.dispose();
    // The embedded model has a start token; it is its tokenizer that puts none before a text.
    assert.throws(() => model.generate([]), { name: 'RangeError', message: 'prompt must be at least one token, got []' });
});

test('no option is set aside without a word', () => {
    for (const [call, message] of /** @type {[() => unknown, string][]} */ ([
        [() => model.createCache({ length: 8, sinks: 1, window: 4 }), 'length: a cache with sinks has sinks + window positions, so give none'],
        [() => model.generate('a', { temperature: 0, numBeams: 2 }),
            'temperature must be above 0 with the sampler "beam": 0 is greedy, another sampler, got 0'],
        [() => model.generate('a', { logitBias: /** @type {any} */ (5) }), 'logitBias must be a Map, an object or pairs, of tokens and numbers, got 5'],
        [() => model.forwardSync([1], { hiddenStates: /** @type {any} */ (['last']) }),
            "hiddenStates must be 'final' or a layer from 0 to 3, got \"last\""],
    ])) {
        assert.throws(call, { message });
    }
    const constraints = { json: true, choices: 'a', pattern: /a/, allowed: [1] };
    for (const [name, value] of Object.entries(constraints)) {
        assert.throws(() => model.generate('a', { maxNewTokens: 0, [name]: value }), { name: 'TypeError', message: new RegExp(`^${name} must be`) });
    }
});

test('where no token is wanted, a text need not fit', async () => {
    assert.deepEqual(await model.generate('a', { maxNewTokens: 0, choices: ['yes'] }).next(), { done: true, value: undefined });
});
