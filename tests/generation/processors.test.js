// Logit processors and samplers against a plain twin in float64 and, where ../shared is, against transformers' own.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Choice } from '../../js/generation/choice.js';
import { areFinite, checkFinite } from '../../js/generation/finite.js';
import { createProcessors } from '../../js/generation/processors.js';
import { BeamSampler } from '../../js/generation/samplers.js';
import { getSampler } from '../../js/generation/get-sampler.js';
import { assertClose } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { floats, rng } from '../rng.js';
import { sharedFolder } from '../shared.js';
import { floatsOf, there } from '../there.js';

/** @typedef {import('../there.js').Floats} Floats */
/** @typedef {import('../../js/generation/processors.js').ProcessorOptions} ProcessorOptions */
/** @typedef {import('../../js/generation/get-sampler.js').SamplerOptions} SamplerOptions */
/** @typedef {import('../../js/engine/tensor.js').TensorLike} TensorLike */

const V = 50;

/**
 * What the options say, token by token and without books.
 * @param {Float32Array} logits
 * @param {number[]} history
 * @param {Omit<ProcessorOptions, 'logitBias'> & { logitBias?: [number, number][] }} options
 */
function twin(logits, history, options, promptLength = 0) {
    const { logitBias = [], repetitionPenalty = 1, noRepeatNgram = 0 } = options;
    const { frequencyPenalty = 0, presencePenalty = 0 } = options;
    const written = history.slice(promptLength);
    return Array.from(logits, (logit, token) => {
        let x = logit;
        for (const [id, bias] of logitBias) x += id === token ? bias : 0;
        if (history.includes(token)) x = x < 0 ? x * repetitionPenalty : x / repetitionPenalty;
        const count = written.filter((id) => id === token).length;
        x -= count * frequencyPenalty + (count > 0 ? presencePenalty : 0);
        const ngram = [...history, token].slice(-noRepeatNgram);
        for (let i = 0; noRepeatNgram > 0 && i + noRepeatNgram <= history.length; i++) {
            if (ngram.length === noRepeatNgram && ngram.every((id, j) => history[i + j] === id)) x = -Infinity;
        }
        return x;
    });
}

/** @param {ArrayLike<number>} got @param {ArrayLike<number>} expected */
const close = (got, expected) => {
    assert.equal(got.length, expected.length);
    for (let i = 0; i < got.length; i++) {
        const isClose = got[i] === expected[i] || Math.abs(got[i] - expected[i]) <= 1e-5 * (1 + Math.abs(expected[i]));
        assert.ok(isClose, `token ${i}: ${got[i]}, not ${expected[i]}`);
    }
};

describe('processors', () => {
    /** @type {Parameters<typeof twin>[2][]} */
    const all = [
        { logitBias: [[3, 2.5], [7, -Infinity], [0, -1]] }, { repetitionPenalty: 1.3 }, { repetitionPenalty: 0.8 },
        { frequencyPenalty: 0.4 }, { presencePenalty: -0.6 }, { noRepeatNgram: 1 }, { noRepeatNgram: 2 },
        { noRepeatNgram: 3 }, { noRepeatNgram: 400 },
        { logitBias: [[1, 1]], repetitionPenalty: 1.2, frequencyPenalty: 0.1, presencePenalty: 0.2, noRepeatNgram: 2 },
    ];
    for (const options of all) {
        test(`a growing text, and one that goes back: ${JSON.stringify(options)}`, () => {
            const random = rng(21);
            const token = (/** @type {number} */ most) => Math.floor((floats(random, 1)[0] + 1) / 2 * most) % most;
            const promptLength = 9;
            const processors = there(createProcessors(options, { vocabularySize: V, promptLength }));
            let history = Array.from({ length: promptLength }, () => token(4));
            // Few different tokens, so that sequences come again; now and then some are taken back or exchanged.
            for (let i = 0; i < 400; i++) {
                if (i % 7 === 6) history = [...history.slice(0, history.length - token(5)), token(4)];
                if (i % 50 === 49) history = history.slice(0, promptLength + 2);
                const logits = floats(random, V, 3);
                const expected = twin(logits, history, options, promptLength);
                processors.apply(logits, history, history.length);
                close(logits, expected);
                history.push(token(i % 3 === 0 ? V : 4));
            }
        });
    }

    test('a long prompt of one token costs no more than another: it would take minutes', () => {
        const prompt = new Int32Array(200000);
        const processors = there(createProcessors({ noRepeatNgram: 1000, repetitionPenalty: 2 }, { vocabularySize: V }));
        const logits = new Float32Array(V).fill(1);
        processors.apply(logits, prompt, prompt.length);
        assert.deepEqual(Array.from(logits.subarray(0, 3)), [-Infinity, 1, 1]);
    });

    test('a bias may be a map, pairs or an object', () => {
        /** @type {NonNullable<ProcessorOptions['logitBias']>[]} */
        const ways = [new Map([[2, 5]]), [[2, 5]], { 2: 5 }];
        for (const logitBias of ways) {
            const logits = new Float32Array(4);
            there(createProcessors({ logitBias }, { vocabularySize: 4 })).apply(logits, [], 0);
            assert.deepEqual(Array.from(logits), [0, 0, 5, 0]);
        }
    });

    test('a logit never leaves float32 but by a ban', () => {
        const logits = Float32Array.of(3e38, -3e38, 1, 2);
        /** @type {ProcessorOptions} */
        const options = { repetitionPenalty: 1e-30, logitBias: [[1, -3e38], [3, -Infinity]] };
        there(createProcessors(options, { vocabularySize: 4 })).apply(logits, [0, 2, 3], 3);
        assert.ok(areFinite(logits.subarray(0, 3)));
        assert.equal(logits[3], -Infinity);
    });

    test('nothing to do is null', () => {
        const none = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, noRepeatNgram: 0, logitBias: {} };
        assert.equal(createProcessors(none, { vocabularySize: 4 }), null);
        assert.equal(createProcessors({}, { vocabularySize: 4, kind: 'beam' }), null);
    });

    for (const [options, error, message, kind] of /** @type {[any, Function, RegExp, string?][]} */ ([
        [{ repetitionPenalty: 0 }, RangeError, /repetitionPenalty must be greater than 0, got 0/],
        [{ repetitionPenalty: '1' }, TypeError, /repetitionPenalty/],
        [{ frequencyPenalty: NaN }, RangeError, /frequencyPenalty/],
        [{ presencePenalty: Infinity }, RangeError, /presencePenalty/],
        [{ noRepeatNgram: 1.5 }, RangeError, /noRepeatNgram/],
        [{ noRepeatNgram: -1 }, RangeError, /noRepeatNgram/],
        [{ logitBias: { x: 1 } }, TypeError, /logitBias must have tokens/],
        [{ logitBias: { 4: 1 } }, RangeError, /logitBias must be an integer from 0 to 3/],
        [{ logitBias: [[1, 1], [1, 2]] }, TypeError, /token 1 twice/],
        [{ logitBias: [[1, NaN]] }, RangeError, /logitBias of token 1/],
        [{ logitBias: [[1, Infinity]] }, RangeError, /logitBias of token 1/],
        [{ logitBias: [1] }, TypeError, /pairs/],
        [{ logitBias: null }, TypeError, /logitBias/],
        [{ noRepeatNgram: 2 }, TypeError, /noRepeatNgram: beam/, 'beam'],
        [{ presencePenalty: 2 }, TypeError, /presencePenalty: contrastive/, 'contrastive'],
    ])) {
        test(`${JSON.stringify(options)} is refused`, () => assert.throws(
            () => createProcessors(options, { vocabularySize: 4, kind }), { name: error.name, message }));
    }
});

/** What may be drawn, from scores of which some are -Infinity. @param {Float32Array} scores */
function softmaxOf(scores) {
    const top = Math.max(...scores);
    const powers = Array.from(scores, (x) => Math.exp(x - top));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((x) => x / sum);
}

/** @param {SamplerOptions} options @param {Float32Array} logits @returns probabilities by token */
function drawn(options, logits) {
    const choice = new Choice(logits.length);
    getSampler({ seed: 1, ...options }).choose(logits, choice);
    const got = new Float32Array(logits.length);
    for (let i = 0; i < choice.count; i++) got[choice.tokens[i]] = choice.probabilities[i];
    return got;
}

const SHARED = sharedFolder('models/cache/');

describe('transformers', { skip: SHARED ? false : 'no ../shared/models/cache: the twin alone is compared' }, () => {
    if (!SHARED) return;
    const { cases, input_ids: ids } = JSON.parse(readFileSync(new URL('processors.json', SHARED), 'utf8'));
    const tensors = readTensors(SHARED, 'expected.safetensors');
    /** @param {TensorLike} tensor */
    const rowsOf = (tensor) => {
        const [rows, n] = tensor.shape;
        return Array.from({ length: rows }, (_, i) => floatsOf(tensor).slice(i * n, (i + 1) * n));
    };
    /** @type {Record<string, (value: number) => any>} */
    const words = {
        temperature: (temperature) => ({ sampler: 'random', temperature }), 'top-k': (topK) => ({ topK }),
        'top-p': (topP) => ({ topP }), 'min-p': (minP) => ({ minP }), repetition: (repetitionPenalty) =>
            ({ repetitionPenalty }), 'no-repeat': (noRepeatNgram) => ({ noRepeatNgram }),
    };
    for (const { name } of cases) {
        const [, what, value] = /^([a-z-]+?)-([\d.]+)$/.exec(name) ?? [];
        // The others have no option here.
        if (!Object.hasOwn(words, what ?? '')) continue;
        test(name, () => {
            const options = words[what](Number(value));
            const expected = rowsOf(tensors[`processors.${name}`]);
            rowsOf(tensors['processors.logits']).forEach((logits, row) => {
                const processors = createProcessors(options, { vocabularySize: logits.length });
                if (processors) {
                    processors.apply(logits, ids[row], ids[row].length);
                    close(logits, expected[row]);
                    return;
                }
                // Transformers' top-k keeps all that tie with the last, Keras's the first of them.
                if (what === 'top-k' && expected[row].filter((x) => x > -Infinity).length > Number(value)) return;
                /** @type {number[] | Float64Array} */
                let want = softmaxOf(expected[row]);
                let got = drawn(options, logits);
                if (row === 3) {
                    // Its best ones tie, and transformers keeps other ones of them than Keras does.
                    want = Float64Array.from(want).sort();
                    got = got.sort();
                }
                assertClose(got, want, { atol: 1e-6, rtol: 1e-5 });
                got.forEach((p, token) => assert.equal(p > 0, want[token] > 0, `token ${token}`));
            });
        });
    }
});

describe('min-p', () => {
    const logits = floats(rng(33), 3000, 4);
    for (const [minP, temperature] of [[0.05, 1], [0.3, 2], [1, 1], [1e-5, 1], [0.9, 100]]) {
        for (const others of [{}, { topK: 40 }, { topP: 0.8 }, { topK: 700, topP: 0.99 }]) {
            test(JSON.stringify({ minP, temperature, ...others }), () => {
                // What min-p leaves of what the others leave, at probabilities to their sum.
                const sampler = others.topK || others.topP ? {} : { sampler: 'random' };
                const before = drawn({ temperature, ...others, ...sampler }, logits);
                const best = Math.max(...before);
                const kept = before.map((p) => (p >= Math.fround(Math.fround(minP) * best) ? p : 0));
                const sum = kept.reduce((a, b) => a + b, 0);
                const got = drawn({ temperature, minP, ...others }, logits);
                assertClose(got, kept.map((p) => p / sum), { atol: 1e-7, rtol: 1e-5 });
            });
        }
    }

    for (const [options, error, message] of /** @type {[any, Function, RegExp][]} */ ([
        [{ sampler: 'greedy', minP: 0.1 }, TypeError, /minP: the sampler "greedy" has none/],
        [{ sampler: 'beam', minP: 0.1 }, TypeError, /minP/],
        [{ sampler: 'contrastive', minP: 0.1 }, TypeError, /minP/],
        [{ minP: 1.5 }, RangeError, /minP must be from 0 to 1/],
        [{ minP: '0' }, TypeError, /minP/],
        [{ sampler: 'random', numBeams: 2 }, TypeError, /numBeams/],
        [{ sampler: 'beam', numBeams: 0 }, RangeError, /numBeams/],
        [{ sampler: getSampler({}), minP: 0.5 }, TypeError, /minP/],
    ])) {
        test(`${JSON.stringify(options)} is refused`,
            () => assert.throws(() => getSampler(options), { name: error.name, message }));
    }

    test('numBeams is beam search', () => {
        const sampler = getSampler({ sampler: 'beam', numBeams: 3 });
        assert.ok(sampler instanceof BeamSampler);
        assert.equal(sampler.numBeams, 3);
        assert.equal(getSampler({ numBeams: 2 }).kind, 'beam');
    });
});

describe('extreme temperatures', () => {
    const logits = Float32Array.of(0.1, 0.2, -Infinity, 0.3, 0.2);
    const samplers = [{ sampler: 'random' }, { topK: 4 }, { topP: 0.9 }, { sampler: 'random', minP: 0.5 }];
    for (const sampler of samplers) {
        for (const temperature of [1e-20, 1e-38, 1e-40, 1e-45, 1e-320, 5e-324]) {
            test(`${JSON.stringify(sampler)} at ${temperature} is greedy`,
                () => assert.deepEqual(Array.from(drawn({ ...sampler, temperature }, logits)), [0, 0, 0, 1, 0]));
        }
        for (const temperature of [1e10, 1e38, 1e39, 1e300, Number.MAX_VALUE]) {
            test(`${JSON.stringify(sampler)} at ${temperature} is uniform`, () => assertClose(
                drawn({ ...sampler, temperature }, logits), [0.25, 0.25, 0, 0.25, 0.25], { atol: 1e-6, rtol: 0 }));
        }
    }
});

describe('what is not finite', () => {
    test('is found wherever it is', () => {
        for (const n of [1, 2, 3, 4, 5, 8, 1003]) {
            const logits = floats(rng(n), n, 1e38);
            assert.ok(areFinite(logits));
            for (const wrong of [NaN, Infinity, -Infinity]) {
                for (const at of [0, n >> 1, n - 1]) {
                    const broken = logits.slice();
                    broken[at] = wrong;
                    assert.throws(() => checkFinite(broken, () => 'layer 3 is the first'),
                        { message: `the model's logits are not finite: ${wrong} for token ${at}, 1 of ${n} in all` +
                            '; layer 3 is the first' });
                }
            }
        }
    });

    test('nothing left to choose is an error, not token 0', () => {
        const logits = new Float32Array(7).fill(-Infinity);
        const all = [{ sampler: 'greedy' }, { sampler: 'random' }, { topK: 3 }, { topP: 0.5 }, { minP: 0.2 }];
        for (const options of all) {
            assert.throws(() => getSampler(options).choose(logits, new Choice(7)), /no token is left/);
        }
    });

    test('banned tokens are no candidates', () => {
        const logits = Float32Array.of(1, -Infinity, 2, -Infinity);
        for (const options of [{ topK: 4 }, { topP: 1 }, { minP: 0.01 }]) {
            const choice = new Choice(4);
            getSampler(options).choose(logits, choice);
            assert.deepEqual(Array.from(choice.tokens.subarray(0, choice.count)), [2, 0], JSON.stringify(options));
        }
    });
});

test('a penalty, however large, bans nothing, and a ban stays one', () => {
    for (const options of [{ frequencyPenalty: 1e308 }, { frequencyPenalty: -1e308 }, { presencePenalty: 1e308 }, { repetitionPenalty: 1e308 },
        { repetitionPenalty: 5e-324 }, { frequencyPenalty: -1e308, presencePenalty: 1e308, repetitionPenalty: Number.MAX_VALUE }]) {
        const logits = Float32Array.of(3e38, -3e38, 0, 1, 1);
        const processors = there(createProcessors({ ...options, logitBias: [[3, -Infinity]] }, { vocabularySize: 5 }));
        processors.apply(logits, [0, 0, 1, 1, 2, 2, 3, 3], 8);
        assert.equal(logits[3], -Infinity);
        assert.ok([0, 1, 2, 4].every((token) => Number.isFinite(logits[token])), String(logits));
    }
});
