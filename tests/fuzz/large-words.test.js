// Files that say large things: nothing is taken on their word, no answer is read without end, no message is longer than a few
// lines, and what is long takes time in proportion.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { FormatError, loadModel, readWeights } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../paired.js';
import { there } from '../there.js';

const runtime = await testRuntime({ maxMemory: 64 * 2 ** 20 });
const { config } = there(readCases().find(({ name }) => name === 'llama-mqa-f16'));
const weights = weightsOf('llama-mqa-f16');
const LONG = 'x'.repeat(1_000_000);

/** A few hundred characters: one message names every family. */
const MOST = 700;

/** @param {unknown} error @returns {boolean} */
function isShort(error) {
    assert.ok(error instanceof FormatError, String(error));
    assert.ok(error.message.length <= MOST, `${error.code}: ${error.message.length} characters`);
    return true;
}

/** @param {unknown} header @param {number} [said] bytes of it @returns {Uint8Array<ArrayBuffer>} a safetensors file */
function safetensors(header, said) {
    const text = new TextEncoder().encode(JSON.stringify(header));
    const bytes = new Uint8Array(8 + text.length + 4);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(said ?? text.length), true);
    bytes.set(text, 8);
    return bytes;
}

/** @param {(view: DataView) => void} write behind the counts @param {number} tensors @param {number} keys */
function gguf(write, tensors, keys) {
    const bytes = new Uint8Array(1400);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 0x46554747, true);
    view.setUint32(4, 3, true);
    view.setBigUint64(8, BigInt(tensors), true);
    view.setBigUint64(16, BigInt(keys), true);
    write(view);
    return bytes;
}

/** The key 'a' with an array of so many numbers. @param {bigint} count @returns {(view: DataView) => void} */
const array = (count) => (view) => {
    view.setBigUint64(24, 1n, true);
    view.setUint8(32, 97);
    view.setUint32(33, 9, true);
    view.setUint32(37, 4, true);
    view.setBigUint64(41, count, true);
};

test('configs that say large things', async () => {
    for (const [name, value] of /** @type {[string, unknown][]} */ ([
        ['eos_token_id', Array.from({ length: 40_000 }, (_, i) => i)], ['model_type', LONG], [LONG, 1],
        ['rope_scaling', { rope_type: LONG }], ['rope_scaling', { [LONG]: LONG }],
        ['num_hidden_layers', 1e9], ['num_hidden_layers', 5000], ['vocab_size', 2 ** 40],
        ['max_position_embeddings', 1e15], ['hidden_act', LONG], ['head_dim', 2 ** 31], ['sliding_window', LONG],
    ])) {
        await assert.rejects(loadModel(runtime, { config: json({ ...config, [name]: value }), weights }), isShort, name.slice(0, 30));
    }
    const polluting = `${JSON.stringify(config).slice(0, -1)},"__proto__":{"polluted":1}}`;
    await assert.rejects(loadModel(runtime, { config: new TextEncoder().encode(polluting), weights }), isShort);
    assert.equal(/** @type {any} */ ({}).polluted, undefined);
});

test('headers that say large things', async () => {
    const entry = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
    for (const source of [
        safetensors({ a: entry }, 99_999_999), safetensors({ [LONG]: { ...entry, dtype: 'BAD' } }),
        safetensors({ a: { ...entry, dtype: LONG } }),
        safetensors({ a: { ...entry, shape: [2 ** 30, 2 ** 30] } }), safetensors({ a: { ...entry, shape: new Array(100_000).fill(2) } }),
        safetensors({ a: { ...entry, data_offsets: [0, 2 ** 50] } }), safetensors({ a: { [LONG]: 1 } }), safetensors({ a: LONG }),
        gguf(() => {}, 65_000, 0), gguf(() => {}, 0, 65_000), gguf(() => {}, 2 ** 40, 2 ** 40), gguf(array(2n ** 40n), 0, 1),
        gguf(array(60_000_000n), 0, 1),
    ]) {
        const { used, reserved } = runtime.memory;
        await assert.rejects(readWeights(source), isShort);
        await assert.rejects(readWeights(new Blob([source]).stream()), isShort);
        await assert.rejects(loadModel(runtime, source), isShort);
        assert.deepEqual([runtime.memory.used, runtime.memory.reserved], [used, reserved]);
    }
});

test('tokenizers that say large things', async () => {
    const model = { type: 'BPE', vocab: { a: 0, b: 1, aa: 2 }, merges: [['a', 'a']] };
    const added = (/** @type {string} */ content) => ({ id: 3, content, special: true });
    for (const tokenizer of [
        { model: { ...model, type: LONG } }, { model: { ...model, vocab: { [LONG]: 'x' } } },
        { model: { ...model, merges: [[LONG, 'b']] } }, { model, added_tokens: [added(LONG)] },
        { model: { type: 'Unigram', unk_id: 0, vocab: [['a', 0], [LONG, -1]] } },
        { model, pre_tokenizer: { type: 'Split', pattern: { Regex: `(${LONG}` }, behavior: 'Isolated' } },
        { model, pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated' } },
        { model, normalizer: { type: LONG } },
    ]) {
        await assert.rejects(loadModel(runtime, { config: json(config), weights, tokenizer: json(tokenizer) }), isShort);
    }
    // Quadratic work would be hours here.
    const long = json({ model, added_tokens: [added('a'.repeat(1000))] });
    const { tokenizer } = await loadModel(runtime, { config: json(config), weights, tokenizer: long });
    assert.equal(there(tokenizer).encode('b'.repeat(1_000_000)).length, 1_000_000);
});

test('the first bytes of a file that seem to be a page take no time', async () => {
    const bytes = new TextEncoder().encode('<!---->'.repeat(80));
    // Each comment might end at its own mark, or at any later one: 2^72 ways.
    await assert.rejects(loadModel(runtime, bytes), isShort);
    await assert.rejects(loadModel(runtime, { config: bytes, weights }), isShort);
});

test('what lies in one tensor is decoded once, however many parts it has', async (t) => {
    const name = 'gpt-neox-sequential';
    const { wasm } = runtime;
    let decoded = 0;
    const counting = Object.create(wasm, {
        cmha_weight_decode: { value: (/** @type {number[]} */ ...args) => (decoded++, wasm.cmha_weight_decode(...args)) },
    });
    t.after(() => { runtime.wasm = wasm; });
    runtime.wasm = counting;
    const { config } = there(readCases().find((entry) => entry.name === name));
    const model = await loadModel(runtime, { config: json(config), weights: weightsOf(name) });
    // Norms, and biases: one of queries, keys and values of all heads together among them.
    const { layers } = model;
    assert.equal(decoded, layers * 8 + 2);
    model.dispose();
});

test('answers without an end are not read to it', { timeout: 400_000 }, async () => {
    let sent = 0;
    const chunk = Buffer.alloc(2 ** 16, ' ');
    const server = createServer((request, response) => {
        if (!/endless/.test(there(request.url))) {
            response.writeHead(404).end();
            return;
        }
        const go = () => {
            do sent += chunk.length; while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', go).on('error', () => {});
        go();
    });
    await new Promise((resolve) => { server.listen(0, () => resolve(null)); });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const at = (/** @type {string} */ name) => new URL(`http://localhost:${port}/${name}`);
    try {
        for (const source of [
            { config: at('endless'), weights }, { config: json(config), weights, tokenizer: at('endless') }, at('endless/'),
            at('endless.gguf'),
        ]) {
            sent = 0;
            await assert.rejects(loadModel(runtime, source), isShort);
            // What lies in the sockets' buffers has been sent and is not read.
            assert.ok(sent < 2 * 2 ** 26, `${sent} bytes were taken`);
        }
    } finally {
        server.closeAllConnections();
        server.close();
    }
});
