// A tiny model of every family, with what transformers makes of it in float64.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { families } from '../../js/model/families/index.js';
import { assertClose } from '../close.js';
import { assertTensor } from '../golden/golden.js';
import { testRuntime } from '../runtime.js';
import { json, readCases, readLogits, weightsOf } from './golden.js';

/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */

const runtime = await testRuntime();
const cases = readCases();
const logits = readLogits();

/** @param {ArrayLike<number>} row */
const argmax = (row) => Array.from(row).indexOf(Math.max(...Array.from(row)));

/**
 * Tokens are the expected ones up to where two logits were closer than both sides' tolerances.
 * @param {number[]} got @param {import('./golden.js').Case} entry
 */
function assertTokens(got, { greedy, margins, tolerance }) {
    const at = got.findIndex((token, i) => token !== greedy[i]);
    assert.ok(at < 0 || margins[at] < 2 * tolerance.atol, `token ${at} of [${got}] is not that of [${greedy}]`);
}

test('there is a case for every family', () => {
    const covered = cases.map(({ config }) =>
        families.find(({ types }) => types.includes(config.model_type))?.name);
    assert.deepEqual([...new Set(covered)].sort(), families.map(({ name }) => name).sort());
    const scalings = new Set(cases.flatMap(({ config: { rope_parameters: rope } }) =>
        [rope?.rope_type, rope?.full_attention?.rope_type].filter((type) => type)));
    assert.deepEqual([...scalings].sort(), ['default', 'dynamic', 'linear', 'llama3', 'longrope', 'proportional', 'yarn']);
});

for (const entry of cases) {
    describe(entry.name, () => {
        const { ids, greedy, config, old, length, sure, tolerance } = entry;
        const expected = logits[entry.name];
        const weights = weightsOf(entry.name);
        // Dynamic scaling is there to go past the config's length.
        const trained = config.max_position_embeddings ?? config.n_positions;
        const options = length > trained ? { contextLength: length } : {};
        /** @param {Record<string, any>} spelling @param {(model: LanguageModel) => Promise<void>} body */
        const withModel = async (spelling, body) => {
            const model = await loadModel(runtime, { config: json(spelling), weights }, options);
            try {
                await body(model);
            } finally {
                model.dispose();
            }
        };

        for (const [spelling, which] of Object.entries({ config, 'older config': old })) {
            if (which === null) continue;
            test(`logits at all positions, ${spelling}`, () => withModel(which, async (model) => {
                const got = await model.forward(ids, { positions: 'all' });
                assertTensor(got, expected, tolerance, 'logits');
                const vocabulary = expected.shape[1];
                const last = await model.forward(ids);
                assert.deepEqual(last.shape, [1, vocabulary]);
                assert.deepEqual(last.data, got.data.slice(-vocabulary));
            }));
        }

        test('greedy text', () => withModel(config, async (model) => {
            const tokens = [];
            const settings = { sampler: 'greedy', maxNewTokens: greedy.length };
            for await (const { token } of model.generate(ids, settings)) tokens.push(token);
            if (length <= sure) {
                assert.equal(tokens.length, greedy.length);
                assertTokens(tokens, entry);
            } else {
                // Keys in a cache keep the rotation they had: only the first token is that of a cold run.
                assertTokens(tokens.slice(0, 1), entry);
            }
        }));

        // Where the rotation depends on the run's length a cache that has passed it gives other logits than a cold run.
        if (length <= sure) test('token by token', () => withModel(config, async (model) => {
            const cache = model.createCache();
            const vocabulary = expected.shape[1];
            const all = [...ids, ...greedy.slice(0, -1)];
            const tokens = [];
            for (const [i, id] of all.entries()) {
                const { data } = await model.forward([id], { cache });
                if (i < ids.length) {
                    const want = expected.data.slice(i * vocabulary, (i + 1) * vocabulary);
                    assertClose(data, want, tolerance, `row ${i}`);
                }
                if (i >= ids.length - 1) tokens.push(argmax(data));
            }
            assert.equal(cache.length, all.length);
            assertTokens(tokens, entry);
        }));
    });
}
