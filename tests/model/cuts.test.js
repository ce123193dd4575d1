// The same bits however a text is cut into forward calls, over three pages of the cache, in every family.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { SIMD } from '../binary.js';
import { rng } from '../rng.js';
import { testRuntime } from '../runtime.js';
import { createWithSwitches } from '../switches.js';
import { json, readCases, weightsOf } from './golden.js';

const SEED = Number(process.env.CUTS_SEED ?? 1);
const LENGTH = 800;

const runtime = await testRuntime();

/** Models whose rotation depends on the run's length give other numbers for other runs. */
const cases = readCases().filter(({ sure }) => sure > LENGTH);

/** Of these a text is no longer than the positions that they have embeddings of. */
const LEARNED = ['gpt2', 'gpt_bigcode', 'gpt_neo', 'opt', 'biogpt', 'openai-gpt', 'xglm'];

/**
 * @param {() => number} random @param {number} total
 * @returns {number[]} lengths that add up to it: mostly short, some long
 */
function cut(random, total) {
    const parts = [];
    for (let left = total; left > 0;) {
        const most = [1, 2, 7, 130, 400][Math.floor(random() * 5)];
        parts.push(Math.min(left, 1 + Math.floor(random() * most)));
        left -= /** @type {number} */ (parts.at(-1));
    }
    return parts;
}

/** The cases that differ most: grouped queries, windows, norms behind, biases. */
const LONG = ['llama-rope-llama3', 'gemma2', 'gemma3-text', 'phi-qknorm', 'olmo2'];

describe(`cuts, seed ${SEED}`, () => {
    for (const [i, entry] of cases.entries()) {
        test(entry.name, async () => {
            const random = rng(SEED + i);
            const learned = LEARNED.includes(entry.config.model_type);
            const length = learned ? entry.config.n_positions ?? entry.config.max_position_embeddings
                : LONG.includes(entry.name) ? LENGTH : 280;
            const ids = Array.from({ length }, () => Math.floor(random() * entry.config.vocab_size));
            const source = { config: json(entry.config), weights: weightsOf(entry.name) };
            const model = await loadModel(runtime, source, learned ? {} : { contextLength: LENGTH });
            const whole = (await model.forward(ids, { positions: 'all' })).data;
            const V = model.vocabularySize;
            for (let round = 0; round < 2; round++) {
                const cache = model.createCache();
                let at = 0;
                for (const n of cut(random, length)) {
                    const every = random() < 0.5;
                    const positions = every ? 'all' : 'last';
                    const { data } = await model.forward(ids.slice(at, at + n), { cache, positions });
                    const from = every ? at : at + n - 1;
                    assert.deepEqual(data, whole.slice(from * V, (at + n) * V), `tokens ${at} to ${at + n}`);
                    at += n;
                }
                assert.deepEqual(cache.tokens, ids);
                cache.dispose();
            }
            model.dispose();
        });
    }

    test('steps run what was recorded for the step before: never for another text or batch', async () => {
        const [entry] = cases.filter(({ name }) => name === 'gemma3-text');
        const random = rng(SEED);
        const texts = Array.from({ length: 3 }, () => Array.from({ length: 262 }, () => Math.floor(random() * entry.config.vocab_size)));
        const model = await loadModel(runtime, { config: json(entry.config), weights: weightsOf(entry.name) }, { contextLength: LENGTH });
        const V = model.vocabularySize;
        const whole = [];
        for (const ids of texts) {
            whole.push((await model.forward(ids, { positions: 'all' })).data);
        }
        const both = model.createCache({ batch: 2 });
        const single = model.createCache();
        await model.forward([texts[0].slice(0, 250), texts[1].slice(0, 250)], { cache: both });
        await model.forward(texts[2].slice(0, 249), { cache: single });
        for (let t = 250; t < 262; t++) {
            const { data } = await model.forward([[texts[0][t]], [texts[1][t]]], { cache: both });
            assert.deepEqual(data.subarray(0, V), whole[0].subarray(t * V, (t + 1) * V));
            assert.deepEqual(data.subarray(V), whole[1].subarray(t * V, (t + 1) * V));
            // Several steps of one text in a row, and another text in between.
            for (let back = Number(t % 3 === 0); back >= 0; back--) {
                single.truncate(t - 1 - back);
                const ids = texts[2].slice(t - 1 - back, t);
                for (const [i, id] of ids.entries()) {
                    const step = await model.forward([id], { cache: single });
                    const at = t - ids.length + i;
                    assert.deepEqual(step.data, whole[2].slice(at * V, (at + 1) * V));
                }
            }
            if (t % 4 === 0) {
                both.reorder([1, 0]);
                texts.splice(0, 2, texts[1], texts[0]);
                whole.splice(0, 2, whole[1], whole[0]);
            }
        }
        model.dispose();
    });

    for (const name of ['llama-rope-dynamic', 'phi3-longrope', 'gemma2']) {
        test(`${name}: a batch of different lengths, each text as if alone`, async () => {
            const entry = readCases().find((each) => each.name === name) ?? cases[0];
            const random = rng(SEED);
            const longest = Math.min(entry.sure, 200) + 40;
            const draw = (/** @type {number} */ n) => Array.from({ length: n }, () => Math.floor(random() * entry.config.vocab_size));
            const texts = [draw(5), draw(longest), draw(7), draw(longest - 9)];
            const model = await loadModel(runtime, { config: json(entry.config), weights: weightsOf(name) }, { contextLength: LENGTH });
            const V = model.vocabularySize;
            const cache = model.createCache({ batch: texts.length });
            const cold = await model.forward(texts);
            const cached = model.forwardSync(texts, { cache });
            for (const [i, ids] of texts.entries()) {
                const { data } = await model.forward(ids);
                assert.deepEqual(cold.data.slice(i * V, (i + 1) * V), data, `text ${i}`);
                assert.deepEqual(cached.data.slice(i * V, (i + 1) * V), data, `text ${i}, into a cache`);
            }
            assert.deepEqual(cache.tokens, texts);
            model.dispose();
        });
    }

    test('any number of workers, and a page that must not block', async () => {
        const entry = cases.find(({ name }) => name === 'gemma2') ?? cases[0];
        const source = () => ({ config: json(entry.config), weights: weightsOf(entry.name) });
        const random = rng(SEED);
        const ids = Array.from({ length: 300 }, () => Math.floor(random() * entry.config.vocab_size));
        const mine = await loadModel(runtime, source(), { contextLength: LENGTH });
        const expected = (await mine.forward(ids, { positions: 'all' })).data;
        mine.dispose();
        const page = { workers: 2, _test: { mayBlock: false } };
        for (const options of [{ workers: 0 }, { workers: 1 }, { workers: 3 }, page]) {
            const other = await createWithSwitches({ ...options, simd: SIMD });
            const model = await loadModel(other, source(), { contextLength: LENGTH });
            const got = (await model.forward(ids, { positions: 'all' })).data;
            const cache = model.createCache();
            await model.forward(ids.slice(0, 263), { cache });
            const rest = (await model.forward(ids.slice(263), { cache, positions: 'all' })).data;
            assert.deepEqual(got, expected, JSON.stringify(options));
            assert.deepEqual(rest, expected.slice(263 * model.vocabularySize), JSON.stringify(options));
            other.dispose();
        }
    });
});
