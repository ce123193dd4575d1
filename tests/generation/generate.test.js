// model.generate and model.score on a tiny model, with what a reference written for this test makes of the same
// weights.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createRuntime } from '../../js/index.js';
import { BeamSampler, RandomSampler, loadModel } from '../../js/generation/index.js';
import { SIMD } from '../binary.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { json, referenceLogits, safetensors, tinyConfig, tinyFiles, tinyTokenizer, tinyWeights } from './checkpoint.js';

/** @typedef {import('../../js/generation/options.js').GenerateOptions} GenerateOptions */
/** @typedef {import('../../js/generation/generate.js').GeneratedItem} GeneratedItem */
/** @typedef {import('../../js/generation/language-model.js').LanguageModel} LanguageModel */

/** Long enough for prompts of several chunks. */
const SIZE = { positions: 200 };
const CONFIG = tinyConfig(SIZE);
const WEIGHTS = tinyWeights(SIZE);
const PROMPT = 'the thing in a café';

const runtime = await testRuntime();
const model = await loadModel(runtime, tinyFiles({ size: SIZE }));
const tokenizer = there(model.tokenizer);

/** @param {AsyncIterable<GeneratedItem>} items */
async function all(items) {
    /** @type {GeneratedItem[]} */
    const list = [];
    for await (const item of items) list.push(item);
    return list;
}
/** @param {{ token: number }[]} items */
const tokensOf = (items) => items.map(({ token }) => token);
/** @param {{ text: string }[]} items */
const textOf = (items) => items.map(({ text }) => text).join('');
/** @param {number[] | Float64Array} row */
const argmax = (row) => row.indexOf(Math.max(...row));

/** Logits after the last of some tokens, by the reference. @param {readonly number[]} ids */
const lastLogits = (ids) => there(referenceLogits(WEIGHTS, CONFIG, ids).at(-1));

/** Greedy continuation by the reference. @param {readonly number[]} ids @param {number} count */
function referenceGreedy(ids, count) {
    const out = [...ids];
    for (let i = 0; i < count; i++) out.push(argmax(lastLogits(out)));
    return out.slice(ids.length);
}

/** Twice, so that the runtime's scratch has its size the second time; then nothing may stay. @param {() => Promise<unknown>} body */
async function leavesNothing(body) {
    await body();
    const before = runtime.explain().bytesInUse;
    await body();
    assert.equal(runtime.explain().bytesInUse, before, 'bytes stay allocated');
    assert.equal(model.cacheBytes, 0);
}

describe('generate', () => {
    test('greedy tokens are the reference\'s', async () => {
        const ids = model.promptTokens(PROMPT);
        const items = await all(model.generate(PROMPT, { sampler: 'greedy', maxNewTokens: 12 }));
        assert.deepEqual(tokensOf(items), referenceGreedy(ids, 12));
        assert.deepEqual(tokensOf(await all(model.generate(ids, { temperature: 0, maxNewTokens: 12 }))),
            tokensOf(items));
        assert.deepEqual(tokensOf(await all(model.generate(Int32Array.from(ids), { topK: 1, maxNewTokens: 12 }))),
            tokensOf(items));
    });

    test('a prompt of several chunks, one of just one chunk, one of one token', async () => {
        const long = Array.from({ length: 150 }, (_, i) => (i * 37) % 266);
        for (const ids of [long, long.slice(0, 128), long.slice(0, 129), [7]]) {
            /** @type {object[]} */
            const progress = [];
            const onProgress = (/** @type {object} */ event) => progress.push(event);
            const [item] = await all(model.generate(ids, { sampler: 'greedy', maxNewTokens: 1, onProgress }));
            assert.equal(item.token, argmax(lastLogits(ids)));
            const expected = [];
            const total = ids.length;
            for (let done = 128; done < total; done += 128) expected.push({ phase: 'prefill', done, total });
            assert.deepEqual(progress, [...expected, { phase: 'prefill', done: total, total }]);
        }
    });

    test('the start token is put in front of text once, and never in front of tokens', () => {
        assert.deepEqual(model.promptTokens('a'), [0, ...tokenizer.encode('a')]);
        assert.deepEqual(model.promptTokens('<|endoftext|>a'), model.promptTokens('a'));
        assert.deepEqual(model.promptTokens(''), [0]);
    });

    test('items: tokens, the text that decode() gives, and why it ended', async () => {
        const items = await all(model.generate(PROMPT, { seed: 11, topK: 50, maxNewTokens: 40 }));
        for (const item of items.slice(0, -1)) assert.deepEqual(Object.keys(item), ['token', 'text']);
        assert.deepEqual(Object.keys(there(items.at(-1))), ['token', 'text', 'finish']);
        const decoded = tokenizer.decode(tokensOf(items).filter((id) => id > 0 && id < tokenizer.vocabularySize));
        assert.equal(textOf(items).replace(/\ufffd+$/, ''), decoded.replace(/\ufffd+$/, ''));
    });

    test('ends: by number, by a full context, at once', async () => {
        const options = { sampler: 'greedy' };
        const three = await all(model.generate(PROMPT, { ...options, maxNewTokens: 3 }));
        assert.equal(three.length, 3);
        assert.equal(three[2].finish, 'length');
        const ids = new Array(190).fill(5);
        const rest = await all(model.generate(ids, options));
        assert.equal(there(rest.at(-1)).finish, 'context');
        assert.equal(rest.length, 10);
        assert.equal((await all(model.generate(new Array(199).fill(5), options))).length, 1);
        assert.deepEqual(await all(model.generate(PROMPT, { ...options, maxNewTokens: 0 })), []);
    });

    test('ends: by the end token, which has no text', async () => {
        // The third greedy token becomes the one that ends texts.
        const [a, b, end] = referenceGreedy(model.promptTokens(PROMPT), 3);
        assert.ok(a !== end && b !== end, 'the example is of no use');
        const other = await loadModel(runtime,
            { ...tinyFiles({ size: SIZE }), config: json({ ...CONFIG, eos_token_id: [end, 3] }) });
        assert.deepEqual(other.endTokens, [end, 3]);
        const items = await all(other.generate(PROMPT, { sampler: 'greedy' }));
        assert.deepEqual(tokensOf(items), [a, b, end]);
        assert.deepEqual(items[2], { token: end, text: '', finish: 'end' });
        for (const sampler of ['beam', 'contrastive', 'top_k']) {
            const some = await all(other.generate(PROMPT, { sampler, maxNewTokens: 30 }));
            const at = tokensOf(some).findIndex((token) => other.endTokens.includes(token));
            assert.equal(at < 0 ? some.length : at + 1, some.length, `${sampler} goes on after an end token`);
            assert.equal(there(some.at(-1)).finish, at < 0 ? 'length' : 'end');
        }
        other.dispose();
    });

    test('ends: before a stop string', async () => {
        const whole = textOf(await all(model.generate(PROMPT, { seed: 4, maxNewTokens: 60 })));
        const stop = whole.slice(5, 8);
        const items = await all(model.generate(PROMPT, { seed: 4, maxNewTokens: 60, stop: [stop, 'never in it'] }));
        assert.equal(textOf(items), whole.slice(0, whole.indexOf(stop)));
        assert.equal(there(items.at(-1)).finish, 'stop');
    });

    test('a text goes on from its prompt with the space between them, an answer begins without', async () => {
        const letters = ['</s>', '▁', 'a', 'no', '▁yes', '<0xC3>', '<0xA9>'];
        const spaced = [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }];
        for (const decoder of [{ type: 'Sequence', decoders: [...spaced, { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
            { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true }]) {
            const file = {
                version: '1.0', added_tokens: [{ id: 0, content: '</s>', special: true }], normalizer: null, pre_tokenizer: null,
                post_processor: null, decoder, model: { type: 'BPE', vocab: Object.fromEntries(letters.map((letter, id) => [letter, id])), merges: [] },
            };
            const own = await loadModel(runtime, {
                ...tinyFiles(), tokenizer: json(file), tokenizerConfig: json({ chat_template: '{{ messages[0].content }}' }),
            });
            const options = { logitBias: { 4: 1e4 }, sampler: 'greedy', maxNewTokens: 2 };
            const written = async (/** @type {any} */ prompt, /** @type {any} */ more = {}) =>
                textOf(await all(own.generate(prompt, { ...options, ...more })));
            const read = (/** @type {number[]} */ ids) => there(own.tokenizer).decode(ids, { skipSpecialTokens: true });
            for (const ids of [[2], [0, 2], [3, 2, 1]]) {
                assert.equal(await written(ids), read([...ids, 4, 4]).slice(read(ids).length), `${decoder.type} ${ids}`);
            }
            for (const ids of [[0], [2, 0]]) assert.equal(await written(ids), read([4, 4]));
            const several = await all(own.generate(['aa', 'a'], options));
            assert.equal(textOf(several.filter(({ index }) => index === 1)), await written('a'));
            assert.equal(await written('a'), ' yes yes');
            assert.equal(await written([{ role: 'user', content: 'a' }]), read([4, 4]));
            assert.equal(await written([2], { allowed: () => [4] }), read([4, 4]));
            own.dispose();
        }
    });

    test('tools are refused where the chat template reads none, which would leave them out', async () => {
        const load = (/** @type {string} */ template) =>
            loadModel(runtime, { ...tinyFiles(), tokenizerConfig: json({ chat_template: template }) });
        const messages = [{ role: 'user', content: 'a' }];
        const options = { tools: [{ type: 'function', function: { name: 'f' } }], maxNewTokens: 1 };
        for (const template of ['{{ messages[0].content }}', '<tools>{{ messages[0].tools }}', '{{ xml_tools }}{{ messages[0].content }}']) {
            const model = await load(template);
            assert.throws(() => model.generate(messages, options), { name: 'TypeError', message: /^tools must be absent, got some: .* template/ });
            await all(model.generate(messages, { ...options, tools: [] }));
            model.dispose();
        }
        const model = await load('{% if tools %}<tools>{% endif %}{{ messages[0].content }}');
        await all(model.generate(messages, options));
        model.dispose();
    });

    test('a seed fixes the text; workers do not change it', async () => {
        /** @param {LanguageModel} target @param {GenerateOptions} options */
        const run = async (target, options) =>
            tokensOf(await all(target.generate(PROMPT, { maxNewTokens: 30, ...options }))).join();
        const options = [
            { seed: 1 }, { seed: 1, topP: 0.9 }, { seed: 1, sampler: 'random' }, { sampler: 'beam', maxNewTokens: 8 },
            { sampler: 'contrastive', maxNewTokens: 8 },
        ];
        const expected = [];
        for (const option of options) expected.push(await run(model, option));
        assert.notEqual(expected[0], await run(model, { seed: 2 }));
        // The last as on a page's main thread, where calls wait in line for the workers.
        const page = { workers: 2, _test: { mayBlock: false } };
        for (const threads of [{ workers: 0 }, { workers: 1 }, { workers: 3 }, page]) {
            const other = await createRuntime({ ...threads, simd: SIMD });
            try {
                const same = await loadModel(other, tinyFiles({ size: SIZE }));
                for (const [i, option] of options.entries()) assert.equal(await run(same, option), expected[i]);
            } finally {
                other.dispose();
            }
        }
    });

    test('beam search finds what trying everything finds', async () => {
        // With as many beams as there are tokens nothing is lost in two steps.
        const ids = [5];
        /** @param {Float64Array} row */
        const logSoftmax = (row) => {
            const max = Math.max(...row);
            const log = Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0)) + max;
            return row.map((x) => x - log);
        };
        const first = logSoftmax(lastLogits(ids));
        /** @type {{ score: number, pair: number[] }} */
        let best = { score: -Infinity, pair: [] };
        first.forEach((score, token) => {
            const second = logSoftmax(lastLogits([...ids, token]));
            const next = argmax(second);
            if (score + second[next] > best.score) best = { score: score + second[next], pair: [token, next] };
        });
        const items = await all(model.generate(ids, { sampler: new BeamSampler({ numBeams: 300 }), maxNewTokens: 2 }));
        assert.deepEqual(tokensOf(items), best.pair);
    });

    test('two texts at a time do not disturb each other', async () => {
        const options = [
            { seed: 1, maxNewTokens: 25 }, { seed: 9, maxNewTokens: 25, sampler: 'random' },
            { sampler: 'beam', maxNewTokens: 9 },
        ];
        const alone = [];
        for (const option of options) alone.push(tokensOf(await all(model.generate(PROMPT, option))));
        const page = await testRuntime({ workers: 1, _test: { mayBlock: false } });
        for (const target of [model, await loadModel(page, tinyFiles({ size: SIZE }))]) {
            const together = await Promise.all(options.map((option) => all(target.generate(PROMPT, option))));
            assert.deepEqual(together.map(tokensOf), alone);
        }
    });

    test('a sampler object keeps its stream from text to text', async () => {
        const sampler = new RandomSampler({ seed: 5 });
        const first = tokensOf(await all(model.generate(PROMPT, { sampler, maxNewTokens: 10 })));
        const second = tokensOf(await all(model.generate(PROMPT, { sampler, maxNewTokens: 10 })));
        assert.notDeepEqual(first, second);
        assert.deepEqual(tokensOf(await all(model.generate(PROMPT, { sampler: 'random', seed: 5, maxNewTokens: 10 }))),
            first);
    });

    for (const [what, prompt, options, error] of /** @type {[string, any, any, Function][]} */ ([
        ['prompt', 7, {}, TypeError],
        ['prompt', [], {}, RangeError],
        ['prompt', new Array(200).fill(1), {}, RangeError],
        ['prompt', 'x'.repeat(300), {}, RangeError],
        ['token', [300], {}, RangeError],
        ['token', [-1], {}, RangeError],
        ['token', [1.5], {}, RangeError],
        ['maxNewTokens', 'a', { maxNewTokens: -1 }, RangeError],
        ['maxNewTokens', 'a', { maxNewTokens: '3' }, RangeError],
        ['maxTokens', 'a', { maxTokens: 3 }, TypeError],
        ['signal', 'a', { signal: {} }, TypeError],
        ['stop', 'a', { stop: '' }, RangeError],
        ['candidates', 'a', { candidates: -1 }, RangeError],
        ['candidates', 'a', { candidates: 3, sampler: 'beam' }, TypeError],
        ['attention', 'a', { attention: 2 }, RangeError],
        ['attention', 'a', { attention: 0, sampler: 'contrastive' }, TypeError],
        ['sampler', 'a', { sampler: 'speculative' }, TypeError],
    ])) {
        test(`${what} ${JSON.stringify(options)} is refused at once`, () => {
            assert.throws(() => model.generate(prompt, options),
                { name: error.name, message: new RegExp(what) });
        });
    }
});

describe('extras', () => {
    test('candidates are what the token was drawn from, best first', async () => {
        const reference = lastLogits(model.promptTokens(PROMPT));
        /** @param {number} temperature */
        const softmax = (temperature) => {
            const powers = reference.map((x) => Math.exp(x / temperature));
            const sum = powers.reduce((total, x) => total + x, 0);
            return powers.map((x) => x / sum);
        };
        const order = Array.from(reference.keys()).sort((a, b) => reference[b] - reference[a]);
        /** @param {GenerateOptions} options */
        const first = async (options) => {
            const [{ candidates }] = await all(model.generate(PROMPT, { maxNewTokens: 1, ...options }));
            return there(candidates);
        };
        /**
         * @param {NonNullable<GeneratedItem['candidates']>} candidates
         * @param {number} n @param {(token: number) => number} probability
         */
        const check = (candidates, n, probability) => {
            assert.deepEqual(tokensOf(candidates), order.slice(0, n));
            assertClose(candidates.map((candidate) => candidate.probability), order.slice(0, n).map(probability),
                { rtol: 1e-4 });
            for (const { token, text } of candidates) {
                assert.equal(text, token < tokenizer.vocabularySize ? tokenizer.decode([token]) : '');
            }
        };
        const plain = softmax(1);
        check(await first({ sampler: 'greedy', candidates: 5 }), 5, (token) => plain[token]);
        check(await first({ sampler: 'random', candidates: 4 }), 4, (token) => plain[token]);
        const hot = softmax(2);
        const share = order.slice(0, 3).reduce((sum, token) => sum + hot[token], 0);
        check(await first({ topK: 3, temperature: 2, candidates: 10 }), 3, (token) => hot[token] / share);
        check(await first({ topK: 3, temperature: 2, candidates: 2 }), 2, (token) => hot[token] / share);
        check(await first({ sampler: 'contrastive', topK: 4, candidates: 9 }), 4, (token) => plain[token]);
        check(await first({ sampler: 'random', candidates: 1000 }), 300, (token) => plain[token]);
    });

    test('candidates: a token that is banned, or as good as impossible, is none', async () => {
        for (const sampler of ['greedy', 'random', 'top_k', 'top_p', 'contrastive']) {
            for (const [options, count] of /** @type {[GenerateOptions, number][]} */ ([
                [{ allowed: () => [7, 9] }, 2], [{ choices: ['the'] }, 3], [{ logitBias: { 7: 1e4 } }, 1],
            ])) {
                const [{ candidates }] = await all(model.generate(PROMPT, {
                    sampler, ...(sampler === 'top_p' && { topP: 1 }), candidates: 10, maxNewTokens: 3, ...options,
                }));
                assert.equal(candidates?.length, count, sampler);
                assert.ok(candidates.every(({ probability }) => probability > 0));
            }
        }
    });

    test('attention: the chosen layer\'s scores, the prompt\'s first, then row by row', async () => {
        const ids = Array.from({ length: 80 }, (_, i) => (i * 29) % 266);
        const items = await all(model.generate(ids, { sampler: 'greedy', maxNewTokens: 3, attention: 0 }));
        const attentions = /** @type {import('../../js/generation/attention-scores.js').AttentionScores[]} */ (
            items.map(({ attention }) => there(attention)));
        assert.deepEqual(attentions.map(({ layer, start, shape }) => [layer, start, shape]),
            [[0, 0, [3, 80, 80]], [0, 80, [3, 1, 81]], [0, 81, [3, 1, 82]]]);
        // The first layer's queries and keys follow from the weights alone.
        const all82 = [...ids, items[0].token, items[1].token];
        const width = CONFIG.n_embd;
        const w = (/** @type {string} */ name) => there(WEIGHTS.get(name)).data;
        const projected = all82.map((id, position) => {
            const x = Array.from({ length: width },
                (_, i) => w('wte.weight')[id * width + i] + w('wpe.weight')[position * width + i]);
            const mean = x.reduce((sum, value) => sum + value, 0) / width;
            const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
            const normed = x.map((value, i) =>
                (value - mean) / Math.sqrt(variance + 1e-5) * w('h.0.ln_1.weight')[i] + w('h.0.ln_1.bias')[i]);
            return Array.from({ length: 2 * width }, (_, j) =>
                normed.reduce((sum, value, i) => sum + value * w('h.0.attn.c_attn.weight')[i * 3 * width + j],
                    w('h.0.attn.c_attn.bias')[j]));
        });
        for (const { start, shape: [heads, rows, positions], data } of attentions) {
            for (let head = 0; head < heads; head++) {
                for (let row = 0; row < rows; row++) {
                    const query = projected[start + row];
                    const scores = Array.from({ length: positions }, (_, j) => {
                        let dot = 0;
                        for (let i = head * 8; i < head * 8 + 8; i++) dot += query[i] * projected[j][width + i];
                        return j <= start + row ? Math.exp(dot / Math.sqrt(8)) : 0;
                    });
                    const sum = scores.reduce((total, score) => total + score, 0);
                    const at = (head * rows + row) * positions;
                    assertClose(data.subarray(at, at + positions), scores.map((score) => score / sum),
                        { atol: 2e-6, rtol: 1e-4 });
                }
            }
        }
    });

    test('asking for attention does not change the text', async () => {
        const options = { seed: 3, maxNewTokens: 30 };
        assert.deepEqual(tokensOf(await all(model.generate(PROMPT, { ...options, attention: 1 }))),
            tokensOf(await all(model.generate(PROMPT, options))));
    });
});

describe('score', () => {
    test('is the reference\'s, also in several pieces', async () => {
        /** @param {number[]} ids */
        const nats = (ids) => {
            const logits = referenceLogits(WEIGHTS, CONFIG, [0, ...ids.slice(0, -1)]);
            return ids.reduce((sum, id, i) =>
                sum + Math.log(logits[i].reduce((total, x) => total + Math.exp(x), 0)) - logits[i][id], 0);
        };
        for (const text of [PROMPT, 'é', 'word '.repeat(30), 'abcdef'.repeat(60)]) {
            const ids = tokenizer.encode(text);
            let expected = 0;
            for (let at = 0; at < ids.length; at += 200) expected += nats(ids.slice(at, at + 200));
            /** @type {{ done: number, total: number }[]} */
            const told = [];
            const got = await model.score(text, { onProgress: (progress) => told.push(progress) });
            assert.equal(got.tokens, ids.length);
            assert.deepEqual(told.at(-1), { done: ids.length, total: ids.length });
            assert.ok(told.every(({ done, total }, i) => total === ids.length && done > (told[i - 1]?.done ?? 0)), 'it grows');
            assert.equal(got.bytes, Buffer.byteLength(text));
            assert.ok(Math.abs(got.nats - expected) < 1e-5 * ids.length, `${got.nats}, expected ${expected}`);
        }
    });

    test('of nothing, of something that is no text, of weights that are not finite, of a model without a start token', async () => {
        assert.deepEqual(await model.score(''), { nats: 0, tokens: 0, bytes: 0 });
        await assert.rejects(model.score(/** @type {any} */ (7)), TypeError);
        const spoiled = new Map(WEIGHTS).set('ln_f.bias', { shape: [CONFIG.n_embd], data: new Float32Array(CONFIG.n_embd).fill(NaN) });
        const broken = await loadModel(runtime, { ...tinyFiles({ size: SIZE }), weights: safetensors(spoiled) });
        await leavesNothing(() => assert.rejects(broken.score(PROMPT), /logits are not finite: NaN for token 0.*output_norm\.bias/));
        broken.dispose();
        const config = { ...CONFIG, bos_token_id: null };
        const other = await loadModel(runtime, { ...tinyFiles({ size: SIZE }), config: json(config) });
        assert.equal(other.startToken, null);
        await assert.rejects(other.score('a'), /start token/);
        assert.throws(() => other.generate(''), { name: 'RangeError', message: /prompt/ });
        assert.deepEqual(other.promptTokens('a'), there(other.tokenizer).encode('a'));
        other.dispose();
    });
});

describe('ends of every kind leave nothing behind', () => {
    const options = { sampler: 'greedy', maxNewTokens: 20 };

    for (const more of [{ sampler: 'greedy' }, { sampler: 'top_p', seed: 1 }, { sampler: 'beam' }, { sampler: 'contrastive' }]) {
        test(`${more.sampler} to its end`, () => leavesNothing(() => all(model.generate(PROMPT, { ...options, ...more }))));
    }

    test('broken off', () => leavesNothing(async () => {
        for await (const { token } of model.generate(PROMPT, options)) {
            assert.ok(token >= 0);
            const positions = Math.ceil((model.promptTokens(PROMPT).length + 20) / 8) * 8;
            assert.equal(model.cacheBytes, positions * model.cacheBytesPerToken);
            break;
        }
    }));

    test('never begun', () => leavesNothing(async () => {
        await model.generate(PROMPT, options).return();
    }));

    test('aborted before', () => leavesNothing(async () => {
        await assert.rejects(all(model.generate(PROMPT, { ...options, signal: AbortSignal.abort() })),
            { name: 'AbortError' });
        await assert.rejects(model.score(PROMPT, { signal: AbortSignal.abort() }), { name: 'AbortError' });
    }));

    test('aborted in the prompt', () => leavesNothing(async () => {
        const controller = new AbortController();
        /** @type {number[]} */
        const seen = [];
        const onProgress = (/** @type {{ done: number }} */ { done }) => {
            seen.push(done);
            controller.abort(new Error('changed my mind'));
        };
        const ids = new Array(190).fill(3);
        await assert.rejects(all(model.generate(ids, { ...options, signal: controller.signal, onProgress })),
            { message: 'changed my mind' });
        assert.deepEqual(seen, [128], 'noticed after one pass');
    }));

    for (const sampler of ['greedy', 'beam', 'contrastive']) {
        test(`aborted while writing, ${sampler}`, () => leavesNothing(async () => {
            const controller = new AbortController();
            const got = [];
            await assert.rejects(async () => {
                for await (const item of model.generate(PROMPT,
                    { sampler, maxNewTokens: 60, signal: controller.signal })) {
                    got.push(item);
                    if (got.length === 2) controller.abort();
                }
            }, { name: 'AbortError' });
            assert.equal(got.length, 2, 'noticed after one token');
        }));
    }

    test('aborted by a timer, which gets its turn', () => leavesNothing(async () => {
        const signal = AbortSignal.timeout(30);
        const forever = async () => {
            for (;;) await all(model.generate(PROMPT, { seed: 1, sampler: 'random', signal }));
        };
        await assert.rejects(forever(), { name: 'TimeoutError' });
    }));

    test('the model disposed of while it writes', async () => {
        const other = await loadModel(runtime, tinyFiles({ size: SIZE }));
        const items = other.generate(PROMPT, options);
        await items.next();
        other.dispose();
        other.dispose();
        await assert.rejects(items.next(), /disposed/);
        assert.throws(() => other.generate(PROMPT), /disposed/);
        await assert.rejects(other.score(PROMPT), /disposed/);
    });

    test('no memory for the cache: RangeError, the model goes on', async () => {
        const small = await testRuntime({ maxMemory: 3 * 2 ** 20 });
        const other = await loadModel(small, tinyFiles({ size: SIZE }));
        const options = { sampler: 'contrastive', maxNewTokens: 100 };
        await all(other.generate(PROMPT, options));
        // The less is left, the earlier something cannot be had.
        const BLOCK = 4096;
        let failed = 0;
        for (let left = 0; left < 60; left++) {
            /** @type {number[]} */
            const blocks = [];
            assert.throws(() => { for (;;) blocks.push(small.memory.alloc(BLOCK)); }, RangeError);
            blocks.splice(blocks.length - 3 * left).forEach((address) => small.memory.free(address));
            const before = small.explain().bytesInUse;
            const items = other.generate(PROMPT, options);
            await all(items).catch((error) => {
                assert.ok(error instanceof RangeError, error.stack);
                failed++;
            });
            assert.equal(small.explain().bytesInUse, before, `${left}`);
            blocks.forEach((address) => small.memory.free(address));
        }
        assert.ok(failed > 5 && failed < 55, `${failed} of 60 failed`);
        assert.equal((await all(other.generate(PROMPT, { maxNewTokens: 2, sampler: 'greedy' }))).length, 2);
    });
});

test('steps allocate nothing in the runtime\'s memory', async () => {
    await all(model.generate(PROMPT, { seed: 1, sampler: 'random', maxNewTokens: 100 }));
    const used = new Set();
    let items = 0;
    for await (const item of model.generate(PROMPT, { seed: 1, sampler: 'random', maxNewTokens: 100 })) {
        used.add(runtime.explain().bytesInUse);
        items++;
        assert.ok(item);
    }
    assert.ok(items > 50);
    assert.equal(used.size, 1, `bytes in use: ${[...used]}`);
});

test('the tokenizer is the model\'s', () => {
    assert.deepEqual(tokenizer.encode('the'), [Object.keys(tinyTokenizer().model.vocab).indexOf('the')]);
});
