// generate() beside the loop that anybody would write: the logits of forward(), penalties by their definitions, one draw a token. Random
// models of every family and every dtype of cache, with caches, drafts, batches and stores, give its tokens and no others.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PrefixStore, loadModel } from '../../js/generation/index.js';
import { Choice } from '../../js/generation/choice.js';
import { getSampler } from '../../js/generation/get-sampler.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */
/** @typedef {import('../../js/generation/index.js').ModelCache} ModelCache */
/** @typedef {import('../../js/generation/options.js').GenerateOptions} GenerateOptions */

const ROUNDS = 12;
/** Positions of models whose angles depend on the length: they pass what they were trained on, 24 and 32. */
const LONGER = 120;

const runtime = await testRuntime();

/** @param {Float32Array} logits @param {number[]} tokens @param {number} begin where the text begins @param {GenerateOptions} options */
function edit(logits, tokens, begin, { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, noRepeatNgram = 0, ...options }) {
    for (const [token, bias] of Object.entries(options.logitBias ?? {})) logits[Number(token)] += Number(bias);
    for (const token of new Set(tokens)) logits[token] *= logits[token] < 0 ? repetitionPenalty : 1 / repetitionPenalty;
    for (const token of new Set(tokens.slice(begin))) {
        const times = tokens.slice(begin).filter((other) => other === token).length;
        logits[token] -= times * frequencyPenalty + presencePenalty;
    }
    const last = tokens.slice(tokens.length - noRepeatNgram + 1);
    for (let at = 0; noRepeatNgram > 0 && at + noRepeatNgram <= tokens.length; at++) {
        if (last.every((token, i) => tokens[at + i] === token)) logits[tokens[at + last.length]] = -Infinity;
    }
}

/**
 * @param {LanguageModel} model @param {number[]} prompt @param {GenerateOptions} options
 * @param {ModelCache} cache holds a beginning of the prompt
 * @returns {Promise<number[]>}
 */
async function write(model, prompt, options, cache) {
    const { sampler, temperature, topK, topP, minP, seed, maxNewTokens = Infinity } = options;
    const draws = getSampler({ sampler, temperature, topK, topP, minP, seed });
    const choice = new Choice(model.vocabularySize);
    const tokens = [...prompt];
    let read = cache.reuse(prompt);
    while (tokens.length < Math.min(prompt.length + maxNewTokens, model.contextLength)) {
        const { data } = await model.forward(tokens.slice(read), { cache });
        read = tokens.length;
        const logits = Float32Array.from(data);
        edit(logits, tokens, prompt.length, options);
        draws.choose(logits, choice);
        tokens.push(draws.draw(choice));
        if (model.endTokens.includes(tokens[read])) break;
    }
    return tokens.slice(prompt.length);
}

/** @param {GenerateOptions[]} options */
const show = (...options) => JSON.stringify(options.map(
    ({ draft, ...others }) => ({ ...others, draft: draft && (draft === 'prompt' ? draft : 'model') })));

/** @param {AsyncIterable<{ token: number, index?: number }>} items @returns {Promise<number[][]>} by text */
async function texts(items) {
    /** @type {number[][]} */
    const all = [];
    for await (const { token, index = 0 } of items) (all[index] ??= []).push(token);
    return all;
}

for (const [number, { name, config, length }] of readCases().entries()) {
    test(name, async () => {
        const trained = config.max_position_embeddings ?? config.n_positions;
        const random = rng(100 + number);
        const below = (/** @type {number} */ n) => Math.floor(random() * n);
        const dtype = /** @type {const} */ (['float32', 'float16', 'int8'])[below(3)];
        const load = (/** @type {string} */ which) => loadModel(runtime, { config: json(config), weights: weightsOf(which) },
            { cacheDtype: dtype, ...(length > trained && { contextLength: LONGER }) });
        const model = await load(name);
        const some = Math.min(20, model.vocabularySize - 4);
        /** Few different tokens, so that texts repeat themselves. @param {number} most */
        const ids = (most) => Array.from({ length: 1 + below(most) }, () => 3 + below(4));
        /** @returns {GenerateOptions} */
        const options = () => {
            const sampler = ['greedy', 'random', 'top_k', 'top_p'][below(4)];
            const draft = below(2) === 0 ? {} : { draft: below(2) === 0 ? model : /** @type {const} */ ('prompt'), draftTokens: 1 + below(8) };
            return {
                sampler, seed: below(1e6), maxNewTokens: 1 + below(30), ...draft,
                ...(sampler !== 'greedy' && { temperature: 0.2 + random(), ...(below(2) === 0 && { minP: random() / 4 }) }),
                ...(below(4) === 0 && { repetitionPenalty: 0.7 + random() }), ...(below(4) === 0 && { frequencyPenalty: 2 * random() - 1 }),
                ...(below(4) === 0 && { presencePenalty: 2 * random() - 1 }), ...(below(4) === 0 && { noRepeatNgram: 2 + below(3) }),
                ...(below(4) === 0 && { logitBias: { [below(some)]: -Infinity, [some + below(Math.min(4, model.vocabularySize - some))]: 2 } }),
            };
        };
        for (let round = 0; round < ROUNDS; round++) {
            const prompts = Array.from({ length: 1 + below(3) }, () => ids(40));
            const each = prompts.map(options);
            const told = `round ${round}: ${show(...each)}`;
            const [plain, caches] = [prompts, prompts].map((list) => list.map(() => model.createCache()));
            /** @type {number[][]} */
            const expected = [];
            for (const [i, prompt] of prompts.entries()) expected.push(await write(model, prompt, each[i], plain[i]));
            assert.deepEqual(await texts(model.generate(prompts, each.map((own, i) => ({ ...own, cache: caches[i] })))), expected, told);
            caches.forEach((cache, i) => assert.deepEqual(cache.tokens, [...prompts[i], ...expected[i]].slice(0, cache.length), told));
            const prefixes = new PrefixStore();
            for (let again = 0; again < 2; again++) {
                assert.deepEqual(await texts(model.generate(prompts[0], { ...each[0], prefixes })), [expected[0]], told);
            }
            // A second turn, in a fork of what the first one left.
            const [cache, twin] = [caches[0].fork(), caches[0].fork()];
            const more = [...prompts[0], ...expected[0], ...ids(5)].slice(0, model.contextLength - 1);
            const second = options();
            assert.deepEqual(await texts(model.generate(more, { ...second, cache })), [await write(model, more, second, twin)],
                `second turn of ${told}: ${show(second)}`);
            [...plain, ...caches, cache, twin].forEach((each) => each.dispose());
        }
        model.dispose();
    });
}
