// Several prompts at once: every text is what it is alone, whatever the others are, and what all read is read in one pass.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RandomSampler, loadModel } from '../../js/generation/index.js';
import { PassJob } from '../../js/model/pass-job.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { there } from '../there.js';
import { testRuntime } from '../runtime.js';
import { tinyFiles } from './checkpoint.js';

/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */

const SIZE = { positions: 200 };
const runtime = await testRuntime();
const model = await loadModel(runtime, tinyFiles({ size: SIZE }));

const PROMPTS = ['the thing in a café', [7], 'a', Array.from({ length: 150 }, (_, i) => (i * 37) % 266), 'on the other', Int32Array.of(5, 9)];

/** Different in everything. @type {import('../../js/generation/options.js').GenerateOptions[]} */
const OPTIONS = [
    { sampler: 'greedy', maxNewTokens: 12 }, { seed: 3, maxNewTokens: 30, topK: 40 }, { sampler: 'beam', numBeams: 3, maxNewTokens: 9 },
    { sampler: 'contrastive', maxNewTokens: 7 }, { sampler: 'greedy', maxNewTokens: 20, draft: 'prompt', draftTokens: 4 },
    { seed: 8, topP: 0.9, maxNewTokens: 1, repetitionPenalty: 1.3 },
];

/**
 * @param {AsyncIterable<any>} items
 * @returns {Promise<any[][]>} by prompt, without the index
 */
async function byPrompt(items) {
    /** @type {any[][]} */
    const texts = [];
    for await (const { index, ...item } of items) (texts[index] ??= []).push(item);
    return texts;
}

/** @param {AsyncIterable<any>} items */
async function all(items) {
    const list = [];
    for await (const item of items) list.push(item);
    return list;
}

/** @param {LanguageModel} target @param {any[]} prompts @param {any[]} options */
async function alone(target, prompts, options) {
    const texts = [];
    for (const [i, prompt] of prompts.entries()) texts.push(await all(target.generate(prompt, options[i])));
    return texts;
}

describe('a list of prompts', () => {
    test('each with its own options: the items of each are those that it has alone', async () => {
        const expected = await alone(model, PROMPTS, OPTIONS);
        assert.ok(new Set(expected.map(({ length }) => length)).size > 4, 'the texts should end at different times');
        assert.deepEqual(await byPrompt(model.generate(PROMPTS, OPTIONS)), expected);
        const page = await testRuntime({ workers: 2, _test: { mayBlock: false } });
        const other = await loadModel(page, tinyFiles({ size: SIZE }));
        assert.deepEqual(await byPrompt(other.generate(PROMPTS, OPTIONS)), expected);
    });

    test('of one kind or of several, of one or of many', async () => {
        const options = { seed: 5, maxNewTokens: 6 };
        for (const prompts of [['a'], ['a', 'the'], [[1, 2], [3]], ['a', [1, 2]], new Array(40).fill('in'), [Int32Array.of(4, 4)]]) {
            assert.deepEqual(await byPrompt(model.generate(prompts, options)),
                await alone(model, prompts, prompts.map(() => options)));
        }
        assert.deepEqual(await byPrompt(model.generate([1, 2], options)).then(Object.keys), ['undefined'], 'a list of ids is one prompt');
        assert.deepEqual(await byPrompt(model.generate(['a', 'b'], { maxNewTokens: 0 })), []);
    });

    test('items come in turns, in the order of the prompts', async () => {
        const each = [1, 3, 2].map((maxNewTokens) => ({ maxNewTokens, seed: 1 }));
        const order = (await all(model.generate(['a', 'b', 'c'], each))).map(({ index }) => index);
        assert.deepEqual(order, [0, 1, 2, 1, 2, 1]);
    });

    test('a step of all texts is one pass', async () => {
        const rows = /** @type {number[]} */ ([]);
        const { record } = PassJob.prototype;
        PassJob.prototype.record = function (/** @type {import('../../js/engine/program.js').Program} */ program) {
            record.call(this, program);
            rows.push(this._pass.rows);
        };
        try {
            await all(model.generate([[1, 2, 3], [4], [5, 6], [7]], { sampler: 'greedy', maxNewTokens: 5, logitBias: { 0: -Infinity } }));
        } finally {
            PassJob.prototype.record = record;
        }
        assert.deepEqual(rows, [7, 4, 4, 4, 4]);
    });

    test('lengths that a rotation depends on', async () => {
        for (const name of ['llama-rope-dynamic', 'phi3-longrope']) {
            const { config } = there(readCases().find((entry) => entry.name === name));
            const target = await loadModel(runtime, { config: json(config), weights: weightsOf(name) }, { contextLength: 200 });
            const prompts = [3, 90, 12, 30, 31].map((length) => Array.from({ length }, (_, i) => (7 * i + length) % 30));
            const options = { sampler: 'greedy', maxNewTokens: 40 };
            assert.deepEqual(await byPrompt(target.generate(prompts, options)), await alone(target, prompts, prompts.map(() => options)));
            target.dispose();
        }
    });

    test('caches: each its own, with what it held', async () => {
        const caches = [model.createCache(), model.createCache({ dtype: 'int8' })];
        const ids = [[1, 2, 3, 4], [9, 8, 7]];
        await model.forward([1, 2, 3], { cache: caches[0] });
        const options = caches.map((cache) => ({ cache, sampler: 'greedy', maxNewTokens: 5 }));
        const texts = await byPrompt(model.generate(ids, options));
        texts.forEach((items, i) => assert.deepEqual(caches[i].tokens, [...ids[i], ...items.map(({ token }) => token)].slice(0, caches[i].length)));
        assert.deepEqual(texts[0], await all(model.generate(ids[0], { sampler: 'greedy', maxNewTokens: 5 })));
        caches.forEach((cache) => cache.dispose());
    });

    test('contrastive search reads what a cache holds again, and leaves the text there', async () => {
        const options = { sampler: 'contrastive', maxNewTokens: 6 };
        const cache = model.createCache();
        await model.forward([1, 2, 3, 9], { cache });
        assert.deepEqual(await all(model.generate([1, 2, 3, 4], { ...options, cache })), await all(model.generate([1, 2, 3, 4], options)));
        assert.deepEqual(cache.tokens, [1, 2, 3, 4]);
        cache.dispose();
    });

    test('progress says of which prompt', async () => {
        /** @type {any[]} */
        const events = [];
        const onProgress = (/** @type {any} */ event) => events.push(event);
        await all(model.generate([[1], new Array(130).fill(2)], { maxNewTokens: 1, onProgress }));
        assert.deepEqual(events.sort((a, b) => a.index - b.index || a.done - b.done), [
            { phase: 'prefill', done: 1, total: 1, index: 0 }, { phase: 'prefill', done: 128, total: 130, index: 1 },
            { phase: 'prefill', done: 130, total: 130, index: 1 },
        ]);
    });

    test('an end by break, by a signal, by an error or by dispose() leaves nothing behind', async () => {
        const prompts = ['a', 'the', [5]];
        /** What has drawn its end cannot be cut short. */
        const goesOn = { logitBias: { 0: -Infinity } };
        const ends = [
            async () => {
                for await (const { index } of model.generate(prompts, { maxNewTokens: 50, ...goesOn })) if (index === 2) break;
            },
            async () => {
                const controller = new AbortController();
                const options = prompts.map((_, i) => (i === 1 ? { signal: controller.signal, ...goesOn } : goesOn));
                const reason = new Error('enough');
                await assert.rejects(async () => {
                    for await (const { index } of model.generate(prompts, options)) if (index === 2) controller.abort(reason);
                }, (error) => error === reason);
            },
            async () => {
                const cache = model.createCache();
                const items = model.generate(prompts, prompts.map((_, i) => (i === 1 ? { cache, ...goesOn } : goesOn)));
                await items.next();
                cache.dispose();
                await assert.rejects(all(items), /disposed/);
            },
        ];
        for (const end of ends) {
            await end();
            const before = runtime.explain().bytesInUse;
            await end();
            assert.equal(runtime.explain().bytesInUse, before, 'bytes stay allocated');
            assert.equal(model.cacheBytes, 0);
        }
        const other = await loadModel(runtime, tinyFiles({ size: SIZE }));
        const items = other.generate(prompts, goesOn);
        await items.next();
        other.dispose();
        await assert.rejects(all(items), /disposed/);
    });
});

describe('what is refused, at once', () => {
    const sampler = new RandomSampler({ seed: 1 });
    const cache = model.createCache();
    /** @type {[RegExp, any, any, string][]} */
    const cases = [
        [/^prompt\[1\] must be a string, a list of tokens or a list of messages, got 1$/, ['a', 1], {}, 'TypeError'],
        [/^prompt\[1\] must be a token id, got "a"$/, [1, 'a'], {}, 'TypeError'],
        [/^prompt\[0\] must be at least one token/, [[]], {}, 'RangeError'],
        [/^prompt\[1\]\[2\] must be a token id from 0/, [[1], [1, 2, 300]], {}, 'RangeError'],
        [/^options must be a list of 2, one for each prompt/, ['a', 'b'], [{}], 'RangeError'],
        [/^options of generate must be of/, ['a', 'b'], [{}, { other: 1 }], 'TypeError'],
        [/^the options of generate must be an object/, ['a', 'b'], [{}, 7], 'TypeError'],
        [/^cache: texts that are written together cannot share one/, ['a', 'b'], { cache }, 'TypeError'],
        [/^sampler: texts that are written together cannot share one/, ['a', 'b'], [{ sampler }, { sampler }], 'TypeError'],
        [/^options of generate must be of/, 'a', [{}], 'TypeError'],
    ];
    for (const [message, prompt, options, name] of cases) {
        test(`${message}`, () => {
            assert.throws(() => model.generate(prompt, options), { name, message });
        });
    }
});
