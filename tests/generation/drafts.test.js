// Drafts: whatever is guessed, the text is the one that there is without.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DraftPace } from '../../js/generation/draft-pace.js';
import { loadModel } from '../../js/generation/index.js';
import { PromptDraft } from '../../js/generation/speculative.js';
import { readCases, weightsOf } from '../model/golden.js';
import { rng } from '../rng.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { json, referenceLogits, safetensors, tinyConfig, tinyFiles, tinyTokenizer, tinyWeights } from './checkpoint.js';

const SIZE = { positions: 200 };
const runtime = await testRuntime();
const model = await loadModel(runtime, tinyFiles({ size: SIZE }));
/** Another model: its guesses are seldom right. */
const stranger = await loadModel(runtime, {
    config: json(tinyConfig(SIZE)), tokenizer: json(tinyTokenizer()), weights: safetensors(tinyWeights(SIZE, 2)),
});
const REPEATING = [5, 6, 7, 8, 9, 5, 6, 7, 8, 9, 5, 6];

/** @param {any} options @param {any} [prompt] */
async function write(options, prompt = REPEATING) {
    /** @type {any[]} */
    const items = [];
    for await (const item of model.generate(prompt, { maxNewTokens: 40, logitBias: { 0: -Infinity }, ...options })) items.push(item);
    return items;
}
/** @param {any[]} items */
const tokensOf = (items) => items.map(({ token }) => token);

for (const [name, draft] of /** @type {[string, any][]} */ ([['the prompt', 'prompt'], ['the model itself', model], ['a stranger', stranger]])) {
    describe(`a draft: ${name}`, () => {
        for (const draftTokens of [1, 2, 5, 9]) {
            test(`${draftTokens} at a time: the same tokens, greedy and drawn`, async () => {
                const repeat = { 30: 9, 31: 9.5, 32: 10 };
                for (const options of [
                    { sampler: 'greedy' }, { seed: 1 }, { seed: 2, topP: 0.8 }, { sampler: 'random', seed: 3, repetitionPenalty: 1.2 },
                    { sampler: 'greedy', logitBias: { 0: -Infinity, ...repeat } }, { seed: 9, maxNewTokens: 3 }, { seed: 9, maxNewTokens: 1 },
                ]) {
                    const items = await write({ ...options, draft, draftTokens });
                    assert.deepEqual(tokensOf(items), tokensOf(await write(options)));
                    const { proposed, accepted } = items.at(-1).draft;
                    assert.equal(accepted, items.filter(({ drafted }) => drafted).length);
                    assert.ok(accepted <= proposed);
                    assert.ok(items.slice(0, -1).every((item) => item.draft === undefined));
                }
            });
        }

        test('the cache holds the text, and goes on as if there had been no draft', async () => {
            for (const end of [1, 7, 40]) {
                const cache = model.createCache();
                const items = [];
                const options = { cache, draft, sampler: 'greedy', maxNewTokens: 40, logitBias: { 0: -Infinity } };
                for await (const item of model.generate(REPEATING, options)) {
                    items.push(item);
                    if (items.length === end) break;
                }
                const text = [...REPEATING, ...tokensOf(items)];
                assert.deepEqual(cache.tokens, text.slice(0, cache.length));
                assert.ok(cache.length >= text.length - 1);
                cache.truncate(text.length - 1);
                const { data } = await model.forward([text[text.length - 1]], { cache });
                assert.deepEqual(data, (await model.forward(text)).data);
                cache.dispose();
            }
        });
    });
}

test('guesses that were being read when all was aborted are not in the cache', async () => {
    const { name, config } = there(readCases().find((one) => one.name === 'llama-rope-llama3'));
    const target = await loadModel(runtime, { config: json(config), weights: weightsOf(name) }, { contextLength: 1024 });
    const random = rng(4);
    const once = Array.from({ length: 200 }, () => Math.floor(random() * 32));
    const prompt = [...once, ...once];
    for (let passed = 0, aborted = true; aborted; passed++) {
        let left = passed;
        const throwIfAborted = () => assert.ok(left-- > 0, 'enough');
        /** @type {any} */
        const signal = { aborted: false, addEventListener() {}, removeEventListener() {}, throwIfAborted };
        const cache = target.createCache();
        const writing = target.generate(prompt, { cache, draft: 'prompt', draftTokens: 190, signal });
        aborted = await writing.next().then(() => false, () => true);
        await writing.return();
        assert.deepEqual(cache.tokens, prompt.slice(0, cache.length));
        cache.dispose();
    }
    target.dispose();
});

test('models that are disposed of between two tokens give the memory of their guesses back', async () => {
    const before = runtime.explain().bytesInUse;
    const [main, small] = [await loadModel(runtime, tinyFiles({ size: SIZE })), await loadModel(runtime, tinyFiles({ size: SIZE }))];
    const writing = main.generate(REPEATING, { draft: small, maxNewTokens: 40 });
    await writing.next();
    [main, small].forEach((each) => each.dispose());
    assert.equal(runtime.explain().bytesInUse, before);
    await assert.rejects(writing.next(), /^Error: generate: this model has been disposed/);
});

test('a model that is disposed of between two tokens of several texts gives all their memory back', async () => {
    const before = runtime.explain().bytesInUse;
    const several = await loadModel(runtime, tinyFiles({ size: SIZE }));
    const writing = several.generate([REPEATING, REPEATING], { maxNewTokens: 40 });
    for (let i = 0; i < 4; i++) {
        await writing.next();
    }
    assert.ok(several.cacheBytes > 0);
    several.dispose();
    assert.equal(runtime.explain().bytesInUse, before);
    await assert.rejects(writing.next(), /this model has been disposed/);
});

test('as many guesses as one may ask for take no more room than the text has', async () => {
    assert.deepEqual(tokensOf(await write({ seed: 1, draft: 'prompt', draftTokens: 2 ** 40 })), tokensOf(await write({ seed: 1 })));
});

test('the model itself guesses right, but for what does not fit; a stranger does not', async () => {
    const own = (await write({ sampler: 'greedy', draft: model, draftTokens: 5 })).at(-1).draft;
    assert.equal(own.accepted, own.proposed);
    assert.ok(own.accepted >= 30);
    const other = (await write({ sampler: 'greedy', draft: stranger, draftTokens: 5 })).at(-1).draft;
    assert.ok(other.accepted < 10 && other.proposed > 100, JSON.stringify(other));
});

test('guesses are made while they are worth their time', () => {
    const pace = new DraftPace();
    assert.deepEqual([0, 1, 2].map((sureness) => pace.count(sureness)), [3, 5, 7]);
    // Nothing is known of a token by itself: one pass without guesses shows it.
    pace.guessed(2, 7, 7, 50);
    assert.equal(pace.count(2), 0);
    pace.alone(10);
    // Eight tokens for the time of five: more at a time, but for a sureness of which nothing has been seen.
    pace.guessed(2, 7, 7, 50);
    assert.equal(pace.count(2), 11);
    pace.guessed(2, 11, 11, 60);
    assert.equal(pace.count(2), 11);
    assert.equal(pace.count(0), 3);
    // One token for the time of three, again and again: none for a while, for twice as long each time.
    for (const rest of [8, 16, 32, 64, 64]) {
        for (let pass = 0; pace.count(0) > 0; pass++) {
            assert.ok(pass < 3);
            pace.guessed(0, 3, 0, 30);
        }
        for (let i = 1; i < rest; i++) assert.equal(pace.count(0), 0);
        assert.equal(pace.count(0), 3);
    }
    // The others are not the worse for it, and a success ends the long rests.
    assert.equal(pace.count(1), 5);
    for (let i = 0; i < 9; i++) pace.guessed(0, 3, 3, 20);
    for (let i = 0; i < 2; i++) pace.guessed(0, 3, 0, 60);
    for (let i = 0; i < 8; i++) assert.equal(pace.count(0), 0);
    assert.equal(pace.count(0), 3);
});

test('the prompt is looked up by the longest run of the last tokens, the latest of those', async () => {
    const draft = new PromptDraft();
    /** @param {number[]} text */
    const follow = async (text) => {
        const tokens = Int32Array.from(text);
        const sureness = draft.look(tokens, tokens.length);
        return [sureness, ...sureness < 0 ? [] : await draft.guess(tokens, tokens.length, 2)];
    };
    assert.deepEqual(await follow([1]), [-1]);
    assert.deepEqual(await follow([1, 2, 3, 1, 9, 2, 3, 8]), [-1]);
    assert.deepEqual(await follow([7, 2, 3, 4, 5, 6, 1, 2, 3, 9, 9, 2, 3]), [0, 9, 9]);
    assert.deepEqual(await follow([1, 2, 3, 4, 5, 0, 3, 4, 6, 6, 1, 2, 3, 4]), [1, 5, 0]);
    assert.deepEqual(await follow([...Array(9).keys(), 20, 21, ...Array(9).keys()]), [2, 20, 21]);
    assert.deepEqual(await follow([5, 5, 5, 5]), [0, 5]);
});

test('a draft that has learned fewer positions guesses as far as they go', async () => {
    const weights = tinyWeights(SIZE);
    const { shape: [, width], data } = there(weights.get('wpe.weight'));
    weights.set('wpe.weight', { shape: [48, width], data: data.slice(0, 48 * width) });
    const short = await loadModel(runtime, {
        config: json(tinyConfig({ positions: 48 })), tokenizer: json(tinyTokenizer()), weights: safetensors(weights),
    });
    const prompt = Array.from({ length: short.contextLength - 10 }, (_, i) => 1 + (i % 7));
    const items = await write({ sampler: 'greedy', draft: short, draftTokens: 4 }, prompt);
    assert.deepEqual(tokensOf(items), tokensOf(await write({ sampler: 'greedy' }, prompt)));
    const last = items.findLastIndex(({ drafted }) => drafted);
    // The last guess is of the token after the last position.
    assert.equal(prompt.length + last, short.contextLength);
    short.dispose();
});

test('drawn texts have the distribution that the logits say: counts of pairs', async () => {
    const [weights, config] = [tinyWeights(SIZE), tinyConfig(SIZE)];
    const k = 3;
    /** @param {number[]} ids @returns {[number, number][]} tokens that may be drawn, and how likely they are */
    const drawn = (ids) => {
        const logits = [...referenceLogits(weights, config, ids)[ids.length - 1]];
        const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, k);
        const sum = best.reduce((total, token) => total + Math.exp(logits[token]), 0);
        return best.map((token) => [token, Math.exp(logits[token]) / sum]);
    };
    // A prompt in which one of the likely tokens is what followed before: the draft guesses it, and is wrong at times.
    const [[likely]] = drawn([5, 6, 7, 5, 6]);
    const ids = [5, 6, likely, 7, 5, 6];
    const expected = new Map(drawn(ids).flatMap(([a, p]) => drawn([...ids, a]).map(([b, q]) => [`${a} ${b}`, p * q])));
    /** @type {Map<string, number>} */
    const counts = new Map();
    const RUNS = 2000;
    let guessed = 0;
    for (let seed = 0; seed < RUNS; seed++) {
        const items = await write({ topK: k, seed, draft: 'prompt', maxNewTokens: 2, logitBias: undefined }, ids);
        guessed += items.at(-1).draft.proposed;
        const pair = tokensOf(items).join(' ');
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
    }
    assert.ok(guessed > RUNS / 2, 'the draft should have guessed');
    let square = 0;
    for (const [pair, p] of expected) square += ((counts.get(pair) ?? 0) - RUNS * p) ** 2 / (RUNS * p);
    assert.deepEqual([...counts.keys()].filter((pair) => !expected.has(pair)), []);
    // 8 degrees of freedom: above 30 by chance once in 5,000 times, and seeds are fixed.
    assert.ok(square < 30, `chi-squared ${square}`);
});

test('what does not go together is refused', async () => {
    const { config } = there(readCases().find(({ name }) => name === 'qwen2'));
    const rotary = await loadModel(runtime, { config: json(config), weights: weightsOf('qwen2') });
    const ring = { draft: 'prompt', sampler: 'greedy', cache: rotary.createCache({ window: 8, sinks: 2 }) };
    assert.throws(() => rotary.generate([1], /** @type {any} */ (ring)), { message: /^draft: not with/ });
    rotary.dispose();
    for (const [options, message] of /** @type {[any, RegExp][]} */ ([
        [{ draft: 'text' }, /^draft must be a model or 'prompt'/], [{ draftTokens: 3 }, /^draftTokens belong to a draft/],
        [{ draft: 'prompt', draftTokens: 0 }, /^draftTokens/], [{ draft: 'prompt', sampler: 'beam' }, /^draft: not with beam/],
        [{ draft: 'prompt', attention: 0 }, /^draft: not with/],
    ])) {
        assert.throws(() => model.generate([1], options), { message });
    }
});
