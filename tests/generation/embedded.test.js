// The model that comes with the package, against what the framework that trained it computes from the same file.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { assertClose } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { testRuntime } from '../runtime.js';

const EMBEDDED = new URL('../golden/embedded/', import.meta.url);
const WEIGHTS = new URL('../../js/embedded/model.safetensors', import.meta.url);
const tensors = readTensors(EMBEDDED, 'logits.safetensors');
const metadata = readMetadata(new URL('logits.safetensors', EMBEDDED));
const score = JSON.parse(readFileSync(new URL('score.json', EMBEDDED), 'utf8'));

const runtime = await testRuntime();
const model = await loadModel(runtime);

/** Both sides add up float32 in their own order; 1.3e-5 apart at most on logits of up to 18, whichever binary. */
const TOLERANCE = { atol: 5e-5, rtol: 1e-5 };

/** @param {URL} url @returns {Record<string, string>} */
function readMetadata(url) {
    const bytes = readFileSync(url);
    return JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))).__metadata__;
}

test('the fixtures are those of the weights that ship', () => {
    const digest = createHash('sha256').update(readFileSync(WEIGHTS)).digest('hex');
    assert.equal(metadata.weights_sha256, digest);
    assert.equal(score.weights_sha256, digest);
});

for (const name of ['short', 'long']) {
    test(`logits of the ${name} text`, async () => {
        const ids = tensors[`${name}.tokens`];
        assert.deepEqual(model.promptTokens(metadata[`${name}.text`]), Array.from(ids.data));
        const logits = await model.forward(ids.data, { positions: 'all' });
        assertClose(logits.data, tensors[`${name}.logits`].data, TOLERANCE);
    });
}

test('greedy continuation, by tokens and as text', async () => {
    const prompt = tensors['greedy.prompt'].data;
    const expected = Array.from(tensors['greedy.tokens'].data);
    const tokens = [];
    let text = '';
    for await (const item of model.generate(prompt, { sampler: 'greedy', maxNewTokens: expected.length })) {
        tokens.push(item.token);
        text += item.text;
    }
    assert.deepEqual(tokens, expected);
    assert.equal(text, metadata['greedy.text']);
});

test('its weights file alone, from bytes, and its folder are the same model', async () => {
    const logits = await model.forward([0, 9], { positions: 'all' });
    for (const source of [new Blob([readFileSync(WEIGHTS)]), new URL('./', WEIGHTS)]) {
        const other = await loadModel(runtime, source);
        assert.deepEqual({ ...other.explain(), source: '' }, { ...model.explain(), source: '' });
        assert.deepEqual(other.promptTokens(score.text), model.promptTokens(score.text));
        assert.deepEqual((await other.forward([0, 9], { positions: 'all' })).data, logits.data);
        other.dispose();
    }
});

test('the score of a text', async () => {
    const { nats, tokens, bytes } = await model.score(score.text);
    assert.equal(tokens, score.tokens);
    assert.equal(bytes, score.bytes);
    // The sum of 150 logarithms, each good to about 1e-5.
    assert.ok(Math.abs(nats - score.nats) < 2e-3, `${nats} instead of ${score.nats}`);
});

test('weights of at most 8 MB, and figures that fit together', () => {
    assert.ok(readFileSync(WEIGHTS).length <= 8e6);
    const { n_embd: width, n_layer: layers, n_positions: positions } = JSON.parse(readMetadata(WEIGHTS).config);
    assert.equal(model.cacheBytesPerToken, 2 * layers * width * 4);
    assert.equal(model.contextLength, positions);
    assert.equal(model.layers, layers);
    assert.equal(model.cacheBytes, 0, 'nothing is being written');
});
