// The samplers against Keras Hub's (suite samplers), and what they draw.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
    BeamSampler, ContrastiveSampler, GreedySampler, RandomSampler, Sampler, TopKSampler, TopPSampler,
} from '../../js/generation/index.js';
import { Choice } from '../../js/generation/choice.js';
import { createSearch } from '../../js/generation/create-search.js';
import { getSampler } from '../../js/generation/get-sampler.js';
import { assertClose } from '../close.js';
import { COMMITTED, readManifest, readTensors } from '../golden/golden.js';
import { floats, rng } from '../rng.js';

/** @typedef {import('../../js/generation/get-sampler.js').SamplerOptions} SamplerOptions */

const suite = readManifest(COMMITTED).suites.samplers;
const tensors = readTensors(COMMITTED, suite.file);
/** @param {{ shape: number[], data: any }} tensor @returns {Float32Array[]} */
const rowsOf = ({ shape: [rows, n], data }) =>
    Array.from({ length: rows }, (_, i) => data.subarray(i * n, (i + 1) * n));

/** @type {Record<string, (parameters: any) => any>} */
const SAMPLERS = {
    greedy: () => new GreedySampler(),
    top_k: ({ k }) => new TopKSampler({ k }),
    top_p: ({ p, k }) => new TopPSampler({ p, k }),
    random: () => new RandomSampler(),
    beam: ({ num_beams: numBeams, temperature }) => new BeamSampler({ numBeams, temperature }),
    contrastive: ({ k, alpha }) => new ContrastiveSampler({ k, alpha }),
};

describe('one token', () => {
    for (const row of suite.rows.filter((/** @type {any} */ { what }) => !what.endsWith(' loop'))) {
        test(`${row.what} ${JSON.stringify(row.parameters ?? row.temperature ?? {})}`, () => {
            if (row.what === 'compute_probabilities') {
                const sampler = new RandomSampler({ temperature: row.temperature });
                const expected = rowsOf(tensors[row.probabilities]);
                rowsOf(tensors[row.logits]).forEach((logits, i) => {
                    const got = new Float32Array(logits.length);
                    sampler.probabilities(logits, got);
                    assertClose(got, expected[i], suite.tolerance);
                });
                return;
            }
            const sampler = SAMPLERS[row.what](row.parameters ?? {});
            rowsOf(tensors[row.probabilities]).forEach((probabilities, i) => {
                // Logarithms of probabilities are logits of them.
                const choice = new Choice(probabilities.length);
                sampler.choose(probabilities.map(Math.log), choice);
                if (row.tokens) {
                    assert.equal(sampler.draw(choice), tensors[row.tokens].data[i]);
                    return;
                }
                const got = new Float32Array(probabilities.length);
                for (let j = 0; j < choice.count; j++) got[choice.tokens[j]] = choice.probabilities[j];
                assertClose(got, rowsOf(tensors[row.sampling_distribution])[i], suite.tolerance);
            });
        });
    }
});

/** A model that looks its answers up: the suite's `loops`. */
class Table {
    /** @param {number} rows */
    constructor(rows) {
        this.vocabularySize = tensors.table.shape[1];
        this.width = tensors.hidden_table.shape[2];
        /** @type {number[]} */
        this._rows = [];
        this._count = rows;
    }

    /** @param {number} copies */
    expand(copies) {
        this._count *= copies;
    }

    /** @param {ArrayLike<number>} tokens @param {number} position */
    step(tokens, position) {
        this._rows = Array.from({ length: this._count }, (_, row) => position * this.vocabularySize + tokens[row]);
    }

    /** @param {{ data: Float32Array | Int32Array | Uint8Array }} tensor @param {number} width */
    _gather({ data }, width) {
        return Float32Array.from(this._rows.flatMap((at) => Array.from(data.subarray(at * width, (at + 1) * width))));
    }

    logits() {
        return this._gather(tensors.table, this.vocabularySize);
    }

    hidden() {
        return this._gather(tensors.hidden_table, this.width);
    }

    /**
     * Nothing is remembered; what is checked is that a row that is continued keeps its own past.
     * @param {number[]} parents
     */
    reorder(parents) {
        parents.forEach((parent) => assert.equal(parents[parent], parent));
    }
}

/** @param {any} search @returns {{ tokens: number[], logProbs: number[] }} all beams of each prompt, the most probable first */
function beamsOf({ _rows: rows, _copies: copies, length, logProbs }) {
    const prompt = (/** @type {number} */ row) => Math.floor(row / copies);
    const order = [...logProbs.keys()].sort((a, b) => prompt(a) - prompt(b) || logProbs[b] - logProbs[a] || a - b);
    return {
        tokens: order.flatMap((row) => [...rows.subarray(row * length, (row + 1) * length)]), logProbs: order.map((row) => logProbs[row]),
    };
}

describe('loops', () => {
    for (const row of suite.rows.filter((/** @type {any} */ { what }) => what.endsWith(' loop'))) {
        test(`${row.what} ${JSON.stringify(row.parameters)}, stop ${row.stop_token_ids}`, async () => {
            const tokens = Int32Array.from(tensors[row.prompt].data);
            const [batch, length] = tensors[row.prompt].shape;
            const steps = new Table(batch);
            const hidden = new Float32Array(batch * length * steps.width);
            for (let i = 0; i < row.index; i++) {
                const column = Array.from({ length: batch }, (_, b) => tokens[b * length + i]);
                steps.step(column, i);
                const states = steps.hidden();
                column.forEach((_, b) => hidden.set(states.subarray(b * steps.width, (b + 1) * steps.width),
                    (b * length + i) * steps.width));
            }
            const sampler = SAMPLERS[row.what.replace(' loop', '')](row.parameters);
            /** @type {any} */
            const search = createSearch(sampler, /** @type {any} */ (steps), {
                tokens, mask: /** @type {Uint8Array} */ (tensors[row.mask].data), index: row.index,
                logits: steps.logits(), hidden,
                stopTokens: row.stop_token_ids ?? [],
            });
            while (!search.done && !(await search.pick())) await search.feed();
            const expected = Array.from(tensors[row.tokens].data);
            if (row.log_probs) {
                const { tokens: all, logProbs } = beamsOf(search);
                assert.deepEqual(all, expected);
                assertClose(logProbs, tensors[row.log_probs].data, suite.tolerance);
            } else {
                assert.deepEqual(Array.from(search.tokens), expected);
            }
        });
    }
});

test('tokens are drawn as often as their probabilities say', () => {
    const probabilities = Float32Array.of(0.02, 0.4, 0.18, 0.25, 0.15);
    const draws = 40000;
    for (const [sampler, expected] of /** @type {[RandomSampler, number[]][]} */ ([
        [new RandomSampler({ seed: 5 }), [0.02, 0.4, 0.18, 0.25, 0.15]],
        [new TopKSampler({ k: 2, seed: 6 }), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]],
        [new TopPSampler({ p: 0.7, seed: 7 }), [0, 0.4 / 0.83, 0.18 / 0.83, 0.25 / 0.83, 0]],
    ])) {
        const choice = new Choice(5);
        sampler.choose(probabilities.map(Math.log), choice);
        const counts = new Array(5).fill(0);
        for (let i = 0; i < draws; i++) counts[sampler.draw(choice)]++;
        // Pearson's statistic, at most 4 degrees of freedom: above 23.5 once in ten thousand seeds; these are fixed.
        let chi = 0;
        expected.forEach((p, token) => {
            if (p === 0) assert.equal(counts[token], 0, 'a token that was left out is drawn');
            else chi += (counts[token] - draws * p) ** 2 / (draws * p);
        });
        assert.ok(chi < 23.5, `${sampler.constructor.name}: ${counts}`);
    }
});

test('a sampler that says nothing of its own takes the most probable token', () => {
    class Banning extends Sampler {
        /** @type {Sampler['choose']} */
        choose(logits, choice) {
            super.choose(logits, choice);
            choice.probabilities[1] = 0;
        }
    }
    for (const [sampler, token] of /** @type {const} */ ([[new Sampler(), 1], [new Banning(), 3]])) {
        const choice = new Choice(5);
        sampler.choose(Float32Array.of(0.02, 0.4, 0.18, 0.25, 0.15), choice);
        assert.equal(sampler.draw(choice), token);
    }
});

test('a seed decides the stream, none means another each time', () => {
    const draw = (/** @type {RandomSampler} */ sampler) => {
        const choice = new Choice(1000);
        sampler.choose(new Float32Array(1000), choice);
        return Array.from({ length: 8 }, () => sampler.draw(choice)).join();
    };
    assert.equal(draw(new RandomSampler({ seed: 3 })), draw(new RandomSampler({ seed: 3 })));
    assert.notEqual(draw(new RandomSampler({ seed: 3 })), draw(new RandomSampler({ seed: 4 })));
    assert.notEqual(draw(new RandomSampler()), draw(new RandomSampler()));
});

test('the k best are those that sorting gives, ties by token', () => {
    const random = rng(8);
    for (const [n, levels] of [[1, 1], [2, 1], [7, 3], [100, 5], [999, 1000], [4096, 1e9]]) {
        const values = floats(random, n).map((x) => Math.round(x * levels) / levels);
        const order = Array.from(values.keys()).sort((a, b) => values[b] - values[a] || a - b);
        values[0] = -0;
        order.sort((a, b) => values[b] - values[a] || a - b);
        for (const k of [1, 2, 5, 64, 511, 513, n, n + 3]) {
            const choice = new Choice(n);
            choice.top(values, k);
            assert.deepEqual(Array.from(choice.tokens.subarray(0, choice.count)), order.slice(0, k), `${k} of ${n}`);
        }
    }
});

test('top-p keeps what one pass over the sorted probabilities keeps', () => {
    const random = rng(9);
    for (const n of [3, 63, 64, 65, 700, 5000]) {
        const logits = floats(random, n, 3);
        const probabilities = new Float32Array(n);
        new TopPSampler().probabilities(logits, probabilities);
        const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b);
        for (const p of [0, 0.3, 0.9, 0.999]) {
            let kept = 1;
            for (let c = probabilities[order[0]]; kept < n && c <= Math.fround(p); kept++) {
                c = Math.fround(c + probabilities[order[kept]]);
            }
            const choice = new Choice(n);
            new TopPSampler({ p }).choose(logits, choice);
            assert.deepEqual(Array.from(choice.tokens.subarray(0, choice.count)), order.slice(0, kept),
                `p ${p} of ${n}`);
        }
    }
});

test('topK and topP are applied one after the other, as transformers and llama.cpp do; TopPSampler with k is Keras\'s', () => {
    const all = Float32Array.of(0.02, 0.4, 0.18, 0.25, 0.15);
    const kept = (/** @type {RandomSampler} */ sampler) => {
        const choice = new Choice(5);
        sampler.choose(all.map(Math.log), choice);
        const got = [0, 0, 0, 0, 0];
        for (let i = 0; i < choice.count; i++) got[choice.tokens[i]] = choice.probabilities[i];
        return got;
    };
    // Of the three best, 0.83 in all, two make up 0.783.
    const two = [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0];
    const three = [0, 0.4 / 0.83, 0.18 / 0.83, 0.25 / 0.83, 0];
    const near = { atol: 1e-6, rtol: 0 };
    assertClose(kept(/** @type {RandomSampler} */ (getSampler({ topK: 3, topP: 0.75 }))), two, near);
    assertClose(kept(/** @type {RandomSampler} */ (getSampler({ topK: 3, topP: 0.8 }))), three, near);
    assertClose(kept(new TopPSampler({ k: 3, p: 0.75 })), three, near);
    assertClose(kept(/** @type {RandomSampler} */ (getSampler({ topK: 3, topP: 0.75, minP: 0.7 }))), [0, 1, 0, 0, 0], near);

    const random = rng(10);
    for (const n of [3, 70, 3000]) {
        for (const [k, p] of [[1, 0.5], [40, 0.3], [40, 0.95], [600, 0.99], [5000, 0.9]]) {
            const logits = floats(random, n, 3);
            const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b).slice(0, k);
            const weights = order.map((token) => Math.exp(logits[token] - logits[order[0]]));
            const whole = weights.reduce((a, b) => a + b, 0);
            const nucleus = weights.filter((_, i) => i === 0 || weights.slice(0, i).reduce((a, b) => a + b, 0) <= p * whole);
            const sum = nucleus.reduce((a, b) => a + b, 0);
            const choice = new Choice(n);
            getSampler({ topK: k, topP: p }).choose(logits, choice);
            assert.deepEqual(Array.from(choice.tokens.subarray(0, choice.count)), order.slice(0, nucleus.length), `${k} and ${p} of ${n}`);
            assertClose(choice.probabilities.subarray(0, choice.count), nucleus.map((weight) => weight / sum), { atol: 1e-6, rtol: 1e-5 });
        }
    }
});

test('top-p of 1 keeps all, though in float32 some add up to more than 1 before the last', () => {
    const random = rng(9);
    const choice = new Choice(97);
    for (let round = 0; round < 200; round++) {
        new TopPSampler({ p: 1 }).choose(floats(random, 97, 20), choice);
        assert.equal(choice.count, 97);
    }
});

describe('options', () => {
    /** @type {[SamplerOptions, Function, Record<string, unknown>][]} */
    const cases = [
        [{}, TopKSampler, { k: 5, temperature: 1 }],
        [{ temperature: 0.5 }, TopKSampler, { k: 5, temperature: 0.5 }],
        [{ temperature: 0 }, GreedySampler, {}],
        [{ temperature: 0, topP: 0.5, seed: 1 }, GreedySampler, {}],
        [{ topK: 40 }, TopKSampler, { k: 40 }],
        [{ topP: 0.9, seed: 3 }, TopPSampler, { p: 0.9, k: null, seed: 3 }],
        [{ topP: 0.9, topK: 40 }, TopKSampler, { p: 0.9, k: 40 }],
        [{ sampler: 'top_k', topP: 0.9 }, TopKSampler, { p: 0.9, k: 5 }],
        [{ sampler: 'top_p', topP: 0.9, topK: 40 }, TopPSampler, { p: 0.9, k: 40 }],
        [{ topK: 40, minP: 0.1 }, TopKSampler, { p: 1, k: 40, minP: 0.1 }],
        [{ sampler: 'greedy' }, GreedySampler, {}],
        [{ sampler: 'random', temperature: 2 }, RandomSampler, { temperature: 2 }],
        [{ sampler: 'top_p' }, TopPSampler, { p: 0.1 }],
        [{ sampler: 'topK', topK: 3 }, TopKSampler, { k: 3 }],
        [{ sampler: 'beam' }, BeamSampler, { numBeams: 5 }],
        [{ sampler: 'contrastive', topK: 4 }, ContrastiveSampler, { k: 4, alpha: 0.6 }],
    ];
    for (const [options, kind, fields] of cases) {
        test(JSON.stringify(options), () => {
            /** @type {any} */
            const sampler = getSampler(options);
            assert.equal(sampler.constructor, kind);
            for (const [name, value] of Object.entries(fields)) assert.equal(sampler[name], value, name);
        });
    }

    for (const [options, error, message] of /** @type {[any, ErrorConstructor, RegExp][]} */ ([
        [{ sampler: 'speculative' }, TypeError, /greedy, random/],
        [{ sampler: 7 }, TypeError, /sampler/],
        [{ sampler: 'greedy', topK: 3 }, TypeError, /topK/],
        [{ sampler: 'random', topP: 0.3 }, TypeError, /topP/],
        [{ sampler: new GreedySampler(), topK: 3 }, TypeError, /sampler/],
        [{ temperature: -1 }, RangeError, /temperature/],
        [{ temperature: '1' }, TypeError, /temperature/],
        [{ temperature: NaN }, RangeError, /temperature/],
        [{ sampler: 'beam', temperature: 0 }, RangeError, /temperature/],
        [{ topK: 0 }, RangeError, /topK/],
        [{ topK: 1.5 }, RangeError, /topK/],
        [{ topP: 1.5 }, RangeError, /topP/],
        [{ seed: 1.5 }, TypeError, /seed/],
    ])) {
        test(`${JSON.stringify(options)} is refused`,
            () => assert.throws(() => getSampler(options), { name: error.name, message }));
    }
});
