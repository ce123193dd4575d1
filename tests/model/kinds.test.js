// Kinds of folder on which loaders have been wrong, two or more of each, with what Hugging Face transformers makes of them:
// kinds/make.py wrote both. Kinds of tokenizer are in ../text, files that are no models in ../files.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { testRuntime } from '../runtime.js';

/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */

/**
 * @typedef {object} Case
 * @property {string} kind
 * @property {string} name
 * @property {string} folder
 * @property {string} prompt
 * @property {number[]} [greedy]
 * @property {{ text: string, nats: number, tokens: number, bytes: number }} [score]
 * @property {string} [text] what is shown of the greedy tokens
 * @property {string} [decode] their text with special tokens
 * @property {'end' | 'stop'} [finish]
 * @property {string[]} [stop]
 * @property {number[]} [cold] temperatures at which only argmax can be drawn
 * @property {number} [argmax]
 * @property {number[]} [hot] temperatures at which every token is as likely
 * @property {number} [uniform]
 * @property {{ text: string, id: number }} [refused] a text whose token the embedding does not have
 * @property {string} [rejects] what the error names
 */

/** @type {Case[]} */
const cases = JSON.parse(readFileSync(new URL('kinds/cases.json', import.meta.url), 'utf8'));
const runtime = await testRuntime();

/** @param {LanguageModel} model @param {string} prompt @param {Record<string, any>} options */
async function write(model, prompt, options) {
    const items = [];
    for await (const item of model.generate(prompt, { temperature: 0, ...options })) items.push(item);
    return { items, tokens: items.map(({ token }) => token), text: items.map(({ text }) => text).join(''), finish: items.at(-1)?.finish };
}

/** @param {LanguageModel} model @param {Case} entry */
async function checkText(model, { prompt, greedy = [], score, text, decode, finish, stop }) {
    // A text that ends by itself has room to go on.
    const got = await write(model, prompt, { maxNewTokens: greedy.length + (finish ? 4 : 0), stop });
    assert.deepEqual(got.tokens, greedy);
    if (text !== undefined) assert.equal(got.text, text);
    if (finish !== undefined) assert.equal(got.finish, finish);
    if (decode !== undefined) assert.equal(model.tokenizer?.decode(greedy), decode);
    if (score === undefined) return;
    const { nats, tokens, bytes } = await model.score(score.text);
    assert.deepEqual([tokens, bytes], [score.tokens, score.bytes]);
    assert.ok(Math.abs(nats - score.nats) <= 1e-5 * score.nats, `${nats} nats, not ${score.nats}`);
}

/** @param {LanguageModel} model @param {Case} entry */
async function checkTemperatures(model, { prompt, cold = [], argmax, hot = [], uniform = 0 }) {
    for (const sampler of ['random', 'top_k', 'top_p']) {
        for (const temperature of cold) {
            const { tokens } = await write(model, prompt, { temperature, sampler, seed: 1, maxNewTokens: 1 });
            assert.deepEqual(tokens, [argmax], `${sampler} at ${temperature}`);
        }
    }
    for (const temperature of hot) {
        const { items } = await write(model, prompt, { temperature, sampler: 'random', seed: 1, maxNewTokens: 1, candidates: 3 });
        const { candidates = [] } = items[0];
        assert.equal(candidates.length, 3);
        for (const { probability } of candidates) assert.ok(Math.abs(probability - uniform) < 1e-6, `${probability} at ${temperature}`);
    }
}

/** @param {LanguageModel} model @param {string} prompt @param {string} what the error names */
async function checkRejects(model, prompt, what) {
    for (const sampler of ['greedy', 'random', 'top_k', 'top_p', 'beam', 'contrastive']) {
        await assert.rejects(write(model, prompt, { temperature: 1, sampler, maxNewTokens: 3 }), (/** @type {Error} */ error) => {
            assert.match(error.message, /not finite/);
            assert.ok(error.message.includes(what), error.message);
            return true;
        });
    }
}

/** @param {LanguageModel} model @param {{ text: string, id: number }} refused */
async function checkRefused(model, { text, id }) {
    assert.ok(model.tokenizer?.encode(text).includes(id));
    await assert.rejects(write(model, text, { maxNewTokens: 1 }), { name: 'RangeError', message: new RegExp(String(id)) });
}

for (const entry of cases) {
    test(`${entry.kind}: ${entry.name}`, async () => {
        const model = await loadModel(runtime, new URL(`kinds/${entry.folder}/`, import.meta.url));
        try {
            if (entry.rejects !== undefined) await checkRejects(model, entry.prompt, entry.rejects);
            else if (entry.cold) await checkTemperatures(model, entry);
            else await checkText(model, entry);
            if (entry.refused) await checkRefused(model, entry.refused);
        } finally {
            model.dispose();
        }
    });
}
