// The model that comes with the package, against what the framework that trained it computes from what the file's blocks
// stand for, in float64.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { assertClose } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { testRuntime } from '../runtime.js';

const EMBEDDED = new URL('../golden/embedded/', import.meta.url);
const WEIGHTS = new URL('../../js/embedded/model.gguf', import.meta.url);
const tensors = readTensors(EMBEDDED, 'logits.safetensors');
const metadata = readMetadata(new URL('logits.safetensors', EMBEDDED));
const score = JSON.parse(readFileSync(new URL('score.json', EMBEDDED), 'utf8'));

const runtime = await testRuntime();
const model = await loadModel(runtime);
const exact = await loadModel(runtime, undefined, { weights: 'float32' });

/** Sums of float32, in another order; 2.9e-5 apart at most on logits of up to 18, whichever binary. */
const TOLERANCE = { atol: 5e-5, rtol: 1e-5 };
/** Where the weights stay in blocks, what they are multiplied with is rounded to bytes: 0.164 apart at most. */
const ROUNDED = { atol: 0.2, rtol: 0 };

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
        const expected = tensors[`${name}.logits`].data;
        assertClose((await exact.forward(ids.data, { positions: 'all' })).data, expected, TOLERANCE);
        assertClose((await model.forward(ids.data, { positions: 'all' })).data, expected, ROUNDED);
    });
}

// Where two tokens are closer than what rounding changes, either may be the best: the builds' rounded sums differ in that.
test('greedy continuation, by tokens and as text', async () => {
    const prompt = tensors['greedy.prompt'].data;
    const expected = Array.from(tensors['greedy.tokens'].data);
    const tokens = [];
    let text = '';
    for await (const item of exact.generate(prompt, { sampler: 'greedy', maxNewTokens: expected.length })) {
        tokens.push(item.token);
        text += item.text;
    }
    assert.deepEqual(tokens, expected);
    assert.equal(text, metadata['greedy.text']);
});

test('its file alone, from bytes, and its folder are the same model', async () => {
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
    // The sum of 150 logarithms, each good to about 1e-5; with rounded activations within 0.5%.
    for (const [which, atMost] of /** @type {const} */ ([[exact, 2e-3], [model, 0.005 * score.nats]])) {
        const { nats, tokens, bytes } = await which.score(score.text);
        assert.equal(tokens, score.tokens);
        assert.equal(bytes, score.bytes);
        assert.ok(Math.abs(nats - score.nats) < atMost, `${nats} instead of ${score.nats}`);
    }
});

test('its vocabulary is that of the tokenizer.json which it was trained with', () => {
    const trained = new Tokenizer(readFileSync(new URL('train/tokenizer.json', WEIGHTS)));
    const texts = [
        score.text, metadata['long.text'], 'A\u00a0b  c\r\n\t 12\u00bd3 \u017fo it\'s I\'LL \u6f22\u{1f642}\u0301 <|endoftext|> x ', ' \n \n',
    ];
    for (const text of texts) {
        assert.deepEqual(model.promptTokens(text), [model.startToken, ...trained.encode(text)]);
    }
    for (let id = 0; id < trained.vocabularySize; id++) {
        assert.deepEqual(model.tokenizer?.bytes(id), trained.bytes(id));
    }
});

test('a file of at most 3.5 MB, and figures that fit together', () => {
    assert.ok(readFileSync(WEIGHTS).length <= 3.5e6);
    const { width } = model.explain();
    assert.equal(model.parameters, 3_452_736);
    assert.equal(model.cacheBytesPerToken, 2 * 4 * 224 * 4);
    assert.deepEqual([width, model.layers, model.contextLength], [224, 4, 512]);
    assert.equal(model.cacheBytes, 0, 'nothing is being written');
});
