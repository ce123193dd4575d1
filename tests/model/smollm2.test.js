// The real SmolLM2-135M-Instruct against transformers: ids, conversations, logits, greedy texts, bits per byte.
//
//   SMOLLM2=path/to/SmolLM2-135M-Instruct.Q4_1.gguf npm test -- model/smollm2
//
// Its numbers lie in ../shared/models/smollm2, and fetch-smollm2.sh beside that folder gets the file.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { readTensors } from '../golden/golden.js';
import { testRuntime } from '../runtime.js';
import { sharedFolder } from '../shared.js';

const FILE = process.env.SMOLLM2;
const numbers = sharedFolder('models/smollm2/');
const skip = !FILE ? 'SMOLLM2 does not name the file' : !numbers ? '../shared/models/smollm2 is not there' : false;

describe('SmolLM2-135M-Instruct', { skip }, async () => {
    if (!FILE || !numbers) return;
    const read = (/** @type {string} */ name) => JSON.parse(readFileSync(new URL(name, numbers), 'utf8'));
    const { prompts, tolerance, logits: file } = read('prompts.json');
    const expected = readTensors(numbers, file);
    const runtime = await testRuntime();
    const model = await loadModel(runtime, FILE, { weights: 'float32' });
    const { tokenizer, vocabularySize } = model;
    assert.ok(tokenizer);

    test('texts to ids and back', () => {
        for (const { text, ids, decoded } of read('tokens.json').texts) {
            assert.deepEqual([...tokenizer.encode(text, { addSpecialTokens: false })], ids);
            assert.equal(tokenizer.decode(ids), decoded);
        }
    });

    test('conversations', () => {
        for (const { messages, add_generation_prompt: addGenerationPrompt, text, raises } of read('chat.json').cases) {
            /** @returns {string} */
            const render = () => tokenizer.applyChatTemplate(messages, { addGenerationPrompt });
            if (raises) assert.throws(render);
            else assert.equal(render(), text);
        }
    });

    prompts.forEach((/** @type {any} */ prompt, /** @type {number} */ i) => {
        test(`prompt ${i}: logits at all positions, at recorded ids`, async () => {
            const { data } = await model.forward(prompt.ids, { positions: 'all' });
            const columns = expected.positions.data;
            const { data: want } = expected[`${i}.at_positions`];
            for (let at = 0; at < want.length; at++) {
                const got = data[Math.floor(at / columns.length) * vocabularySize + columns[at % columns.length]];
                assert.ok(Math.abs(got - want[at]) <= tolerance.atol + tolerance.rtol * Math.abs(want[at]), `${at}: ${got}, ${want[at]}`);
            }
        });

        test(`prompt ${i}: greedy`, async () => {
            const tokens = [];
            const options = { temperature: 0, maxNewTokens: prompt.greedy.length };
            for await (const { token } of model.generate(prompt.ids, options)) tokens.push(token);
            // Where two tokens are closer than the tolerance either may come, and the texts part.
            const close = prompt.margins.findIndex((/** @type {number} */ margin) => margin < 2 * tolerance.atol);
            const end = prompt.greedy.findIndex((/** @type {number} */ id) => id === 0 || id === 2);
            const sure = Math.min(...[close, end, prompt.greedy.length].filter((n) => n >= 0));
            assert.ok(tokens.length >= sure);
            assert.deepEqual(tokens.slice(0, sure), prompt.greedy.slice(0, sure));
        });
    });

    test('bits per byte', async () => {
        const { text, tokens, bytes, after_bos: { nats } } = read('score.json');
        const score = await model.score(text);
        assert.deepEqual([score.tokens, score.bytes], [tokens, bytes]);
        assert.ok(Math.abs(score.nats - nats) <= 1e-4 * nats, `${score.nats}, ${nats}`);
    });
});
