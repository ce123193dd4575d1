// A draft changes no text, only how many passes it takes: with every sampler that chooses token by token, as the option
// `draft` and as Keras Hub's SpeculativeSampler.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
    BeamSampler, GPT2CausalLM, GreedySampler, RandomSampler, SpeculativeSampler, TopKSampler, TopPSampler, loadModel,
} from '../../js/generation/index.js';
import { testRuntime } from '../runtime.js';
import { safetensors, tinyFiles, tinyWeights } from './checkpoint.js';

/** @typedef {import('../../js/generation/options.js').GenerateOptions} GenerateOptions */

const runtime = await testRuntime();
const model = await loadModel(runtime, tinyFiles());
const same = await loadModel(runtime, tinyFiles());
const other = await loadModel(runtime, { ...tinyFiles(), weights: safetensors(tinyWeights({}, 9)) });
const PROMPT = 'the thing in a café in the café';

/** @param {GenerateOptions} options */
async function write(options) {
    const items = [];
    for await (const item of model.generate(PROMPT, { maxNewTokens: 16, ...options })) items.push(item);
    return { tokens: items.map(({ token }) => token), drafted: items.filter(({ drafted }) => drafted).length };
}

describe('a SpeculativeSampler', () => {
    /** @type {[string, () => import('../../js/generation/index.js').Sampler | null][]} */
    const bases = [
        ['no base', () => null], ['greedy', () => new GreedySampler()], ['random', () => new RandomSampler({ seed: 4 })],
        ['top_k', () => new TopKSampler({ k: 9, seed: 5, temperature: 0.7 })], ['top_p', () => new TopPSampler({ p: 0.8, seed: 6 })],
    ];
    for (const [name, base] of bases) {
        test(`${name}: the text of the base sampler, whatever the draft`, async () => {
            const { tokens } = await write({ sampler: base() ?? 'greedy' });
            assert.ok(tokens.length > 8);
            for (const draft of /** @type {const} */ ([same, other, 'prompt'])) {
                for (const numSpeculativeTokens of [1, 5]) {
                    const got = await write({ sampler: new SpeculativeSampler({ numSpeculativeTokens, baseSampler: base() }), draft });
                    assert.deepEqual(got.tokens, tokens);
                }
            }
        });
    }

    test('a draft that is the model itself guesses every greedy token but those that end a turn', async () => {
        for (const numSpeculativeTokens of [1, 3, 5]) {
            const { tokens, drafted } = await write({ sampler: new SpeculativeSampler({ numSpeculativeTokens }), draft: same });
            const turns = Math.ceil(tokens.length / (numSpeculativeTokens + 1));
            assert.ok(drafted >= tokens.length - turns, `${drafted} of ${tokens.length}`);
            assert.ok(drafted < tokens.length);
        }
    });

    test('without a draft, with two numbers, or on what drafts nothing it is refused', async () => {
        const sampler = new SpeculativeSampler();
        assert.throws(() => model.generate(PROMPT, { sampler }), { name: 'TypeError', message: /needs a draft/ });
        /** @type {[GenerateOptions, RegExp][]} */
        const beside = [[{ draftTokens: 3 }, /draftTokens/], [{ topK: 3 }, /sampler/]];
        for (const [others, message] of beside) {
            assert.throws(() => model.generate(PROMPT, { sampler, draft: 'prompt', ...others }), { name: 'TypeError', message });
        }
        const size = { vocabularySize: 9, numLayers: 1, numHeads: 1, hiddenDim: 4, intermediateDim: 4, maxSequenceLength: 8 };
        const layer = new GPT2CausalLM(runtime, size);
        const prompt = { tokens: new Int32Array(8), mask: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0), batch: 1 };
        await assert.rejects(layer.generateTokens(prompt, { sampler }), { name: 'TypeError', message: /needs a draft/ });
        layer.dispose();
    });

    test('options', () => {
        assert.equal(new SpeculativeSampler().numSpeculativeTokens, 5);
        assert.ok(new SpeculativeSampler().baseSampler instanceof GreedySampler);
        /** @type {[any, string, RegExp][]} */
        const wrong = [
            [{ numSpeculativeTokens: 0 }, 'RangeError', /numSpeculativeTokens/], [{ baseSampler: 'greedy' }, 'TypeError', /baseSampler/],
            [{ baseSampler: new BeamSampler() }, 'TypeError', /baseSampler/], [{ temperature: 2 }, 'TypeError', /temperature/],
        ];
        for (const [options, name, message] of wrong) assert.throws(() => new SpeculativeSampler(options), { name, message });
    });
});
