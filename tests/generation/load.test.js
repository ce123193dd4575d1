// loadModel: a checkpoint in the form in which GPT-2 is published, from everywhere.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { FormatError, loadModel } from '../../js/generation/index.js';
import { assertClose } from '../close.js';
import { llama } from '../files/gguf-writer.js';
import { testRuntime } from '../paired.js';
import {
    json, referenceLogits, rounded, safetensors, tinyConfig, tinyFiles, tinyTokenizer, tinyWeights,
} from './checkpoint.js';

const runtime = await testRuntime();
const IDS = [0, 12, 260, 299, 7, 7, 105];
/** @type {Record<'config' | 'weights' | 'tokenizer', Uint8Array<any>>} */
const files = tinyFiles();
const expected = referenceLogits(tinyWeights(), tinyConfig(), IDS);

const folder = mkdtempSync(join(tmpdir(), 'cached-attention-'));
after(() => rmSync(folder, { recursive: true }));
const NAMES = { config: 'config.json', weights: 'model.safetensors', tokenizer: 'tokenizer.json' };
const PARTS = /** @type {(keyof typeof NAMES)[]} */ (Object.keys(NAMES));
for (const part of PARTS) writeFileSync(join(folder, NAMES[part]), files[part]);

/** Serves the folder's files; `/slow/` only ever sends the first half of the weights. */
const server = createServer((request, response) => {
    const { pathname } = new URL(/** @type {string} */ (request.url), 'http://localhost');
    // As simple servers do; with a response that is left waiting meanwhile it ends Node 24 (nodejs/undici#5360).
    response.setHeader('connection', 'close');
    const part = PARTS.find((key) => pathname.endsWith(`/${NAMES[key]}`));
    if (!part || pathname.startsWith('/missing/')) {
        response.writeHead(404).end();
    } else if (pathname.startsWith('/slow/') && part === 'weights') {
        response.writeHead(200, { 'content-length': files[part].length });
        response.write(files[part].subarray(0, files[part].length / 2));
    } else {
        response.end(files[part]);
    }
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
after(() => {
    server.closeAllConnections();
    server.close();
});
const origin = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;

/** Bytes in use once the runtime's own scratch has its size. @param {() => Promise<unknown>} body */
async function inUse(body) {
    await body();
    const before = runtime.explain().bytesInUse;
    await body();
    assert.equal(runtime.explain().bytesInUse, before, 'bytes stay allocated');
}

/** Float32 over widths of 24 and 96 and two layers; measured 2e-6. */
const TOLERANCE = { atol: 2e-5, rtol: 1e-5 };

/** @param {() => any} source @param {ArrayLike<number>[]} [want] */
async function checkModel(source, want = expected) {
    await inUse(async () => {
        /** @type {any[]} */
        const progress = [];
        const model = await loadModel(runtime, source(), { onProgress: (event) => progress.push(event) });
        const logits = await model.forward(IDS, { positions: 'all' });
        want.forEach((row, i) =>
            assertClose(logits.data.subarray(i * row.length, (i + 1) * row.length), row, TOLERANCE));
        assert.equal(model.tokenizer?.decode([258]), 'the');
        assert.equal(model.startToken, 0);
        assert.deepEqual(model.endTokens, [0]);
        assert.equal(model.contextLength, 48);
        model.dispose();

        const { total } = progress[0];
        assert.equal(progress.at(-1).loaded, total, 'progress ends at its total');
        for (let i = 1; i < progress.length; i++) {
            assert.equal(progress[i].total, total);
            assert.ok(progress[i].loaded > progress[i - 1].loaded, 'progress goes on');
        }
    });
}

test('the texts of a GGUF file end where its vocabulary says so, too', async () => {
    const file = llama({
        'tokenizer.ggml.tokens': ['array of string', ['<s>', '<|endoftext|>', 'a', 'b', 'ab', '<|im_end|>']],
        'tokenizer.ggml.token_type': ['array of i32', [3, 3, 1, 1, 1, 4]],
    });
    const model = await loadModel(runtime, file);
    assert.deepEqual([...model.endTokens].sort(), [1, 5]);
    model.dispose();
});

const blob = (/** @type {any} */ bytes) => new Blob([bytes]);
/** @param {Uint8Array} bytes @param {number} size */
const stream = (bytes, size) => new ReadableStream({
    start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
    },
});
const single = () => safetensors(tinyWeights(), {
    metadata: { format: 'pt', config: JSON.stringify(tinyConfig()), tokenizer: JSON.stringify(tinyTokenizer()) },
});
/** @param {any} bytes @param {string} name */
const named = (bytes, name) => new File([bytes], name);

describe('sources', () => {
    const sources = {
        'a path of a folder': () => folder,
        'a path of a folder with a slash': () => `${folder}/`,
        'a path of the weights': () => join(folder, 'model.safetensors'),
        'a file: URL of a folder': () => pathToFileURL(`${folder}/`),
        'a file: URL as a string': () => pathToFileURL(join(folder, 'model.safetensors')).href,
        'an http URL of a folder': () => `${origin}/gpt2/`,
        'an http URL of a folder without a slash': () => new URL(`${origin}/gpt2/resolve/main?download=true`),
        'an http URL of the weights': () => `${origin}/gpt2/model.safetensors`,
        'three ArrayBuffers': () => Object.fromEntries(Object.entries(files).map(([part, bytes]) =>
            [part, bytes.slice().buffer])),
        'three typed arrays': () => files,
        'three Blobs': () => Object.fromEntries(Object.entries(files).map(([part, bytes]) => [part, blob(bytes)])),
        'a path, a Blob and a stream': () => ({
            config: join(folder, 'config.json'), tokenizer: blob(files.tokenizer), weights: stream(files.weights, 1000),
        }),
        'a list of Files': () => [
            named(files.tokenizer, 'tokenizer.json'), named('x', 'README.md'),
            named(files.weights, 'model.safetensors'),
            named(files.config, 'config.json'),
        ],
        'one ArrayBuffer': () => single().buffer,
        'a view into a larger buffer, at an odd place': () => {
            const bytes = single();
            const larger = new Uint8Array(bytes.length + 3);
            larger.set(bytes, 3);
            return larger.subarray(3);
        },
        'one Blob': () => blob(single()),
        'one File': () => [named(single(), 'story.safetensors')],
        'one stream': () => stream(single(), 4096),
        'one stream in odd pieces': () => stream(single().slice(0, -1), 997).pipeThrough(new TransformStream({
            flush: (controller) => controller.enqueue(single().slice(-1)),
        })),
    };
    for (const [name, source] of Object.entries(sources)) test(name, () => checkModel(source));
});

describe('the file', () => {
    test('names with the prefix transformer.', () =>
        checkModel(() => ({ ...files, weights: safetensors(tinyWeights(), { prefix: 'transformer.' }) })));

    for (const dtype of ['F16', 'BF16']) {
        test(dtype, () => {
            const weights = tinyWeights();
            return checkModel(() => ({ ...files, weights: safetensors(weights, { dtype }) }),
                referenceLogits(rounded(weights, dtype), tinyConfig(), IDS));
        });
    }

    test('tensors in another order', () => {
        const weights = new Map(Array.from(tinyWeights()).reverse());
        return checkModel(() => ({ ...files, weights: safetensors(weights) }));
    });

    test('an output matrix of its own', () => {
        const weights = tinyWeights();
        const head = /** @type {any} */ (tinyWeights({}, 2).get('wte.weight'));
        const config = json({ ...tinyConfig(), tie_word_embeddings: false });
        const split = new Map(weights).set('lm_head.weight', head);
        return inUse(async () => {
            const model = await loadModel(runtime, { ...files, config, weights: safetensors(split) });
            const logits = await model.forward(IDS, { positions: 'all' });
            assert.deepEqual(logits.shape, [IDS.length, 300]);
            referenceLogits(split, tinyConfig(), IDS).forEach((row, i) =>
                assertClose(logits.data.subarray(i * 300, (i + 1) * 300), row, TOLERANCE));
            assert.equal(model.explain().headIsEmbedding, false);
            model.dispose();
        });
    });

    test('a vocabulary whose size is no multiple of anything, several blocks of rows', async () => {
        const size = { vocab: 20011, width: 24 };
        const model = await loadModel(runtime, tinyFiles({ size }));
        const logits = await model.forward([20010, 17000], { positions: 'all' });
        referenceLogits(tinyWeights(size), tinyConfig(size), [20010, 17000]).forEach((row, i) =>
            assertClose(logits.data.subarray(i * row.length, (i + 1) * row.length), row, TOLERANCE));
        model.dispose();
    });

    const weights = tinyWeights();
    /** @param {string} name */
    const without = (name) => safetensors(new Map(Array.from(weights).filter(([other]) => other !== name)));
    /** @param {string} name @param {any} value */
    const changed = (name, value) => safetensors(new Map(weights).set(name, value));
    const config = (/** @type {object} */ changes) => ({ ...files, config: json({ ...tinyConfig(), ...changes }) });
    const integers = (() => {
        const bytes = Buffer.from(files.weights);
        const at = bytes.indexOf('"h.0.ln_1.bias":{"dtype":"F32"');
        bytes.write('I32', at + 26);
        return bytes;
    })();
    for (const [code, source] of /** @type {[string, any][]} */ ([
        ['config-missing', blob(files.weights)],
        ['config-missing', [named(files.weights, 'x.safetensors'), named(files.tokenizer, 'tokenizer.json')]],
        ['config-missing', { weights: files.weights }],
        ['config-not-json', { ...files, config: new TextEncoder().encode('<!doctype html>') }],
        ['config-invalid', { ...files, config: json([1]) }],
        ['config-invalid', config({ n_embd: 0 })],
        ['config-invalid', config({ n_layer: '2' })],
        ['config-invalid', config({ n_head: 5 })],
        ['config-invalid', config({ eos_token_id: -1 })],
        ['config-invalid', config({ n_layer: 1e9 })],
        ['config-unknown', config({ n_secret: 7 })],
        ['config-invalid', config({ layer_norm_epsilon: 0 })],
        ['architecture', config({ model_type: 'bert' })],
        ['config-unsupported', config({ activation_function: 'leaky_relu' })],
        ['config-unsupported', config({ add_cross_attention: true })],
        ['tensor-missing', { ...files, weights: without('h.1.mlp.c_fc.bias') }],
        ['tensor-missing', config({ n_layer: 3 })],
        ['tensor-missing', config({ tie_word_embeddings: false })],
        ['tensor-shape', config({ n_inner: 95 })],
        ['tensor-shape', { ...files, weights: changed('ln_f.bias', { ...weights.get('ln_f.bias'), shape: [4, 6] }) }],
        ['weight-type', { ...files, weights: integers }],
        ['tokenizer-not-json', { ...files, tokenizer: new Uint8Array(3) }],
        ['tokenizer-invalid', {
            ...files, tokenizer: json({ ...tinyTokenizer(), added_tokens: [{ id: 300, content: 'x', special: true }] }),
        }],
        ['truncated', { ...files, weights: stream(files.weights.subarray(0, 50000), 999) }],
        ['trailing-bytes', { ...files, weights: stream(Buffer.concat([files.weights, new Uint8Array(1)]), 999) }],
        ['header-not-json', { ...files, weights: Buffer.from(files.weights).fill(' ', 8, 9) }],
    ])) {
        test(`${code} is refused`, async () => {
            const before = runtime.explain().bytesInUse;
            await assert.rejects(loadModel(runtime, source), (error) => {
                assert.ok(error instanceof FormatError, /** @type {Error} */ (error).stack);
                assert.equal(error.code, code);
                return true;
            });
            assert.equal(runtime.explain().bytesInUse, before, 'bytes stay allocated');
        });
    }
});

describe('what cannot be had', () => {
    test('says where it was looked for', async () => {
        await assert.rejects(loadModel(runtime, '/nowhere/at/all'), { message: /\/nowhere\/at\/all.*ENOENT/ });
        await assert.rejects(loadModel(runtime, `${origin}/missing/`), { message: /missing\/.*404/ });
        await assert.rejects(loadModel(runtime, 'http://127.0.0.1:1/x/'), { message: /127\.0\.0\.1:1/ });
    });

    test('arguments of the wrong kind', async () => {
        for (const source of [7, null, {}, [], [blob('x')]]) {
            await assert.rejects(loadModel(runtime, /** @type {any} */ (source)), TypeError);
        }
        await assert.rejects(loadModel(/** @type {any} */ ({}), files), { name: 'TypeError', message: /runtime/ });
        await assert.rejects(loadModel(runtime, files, { signal: /** @type {any} */ (7) }),
            { name: 'TypeError', message: /signal/ });
        const strings = new ReadableStream({ start: (controller) => controller.enqueue('text') });
        await assert.rejects(loadModel(runtime, { ...files, weights: strings }), TypeError);
    });

    test('a response of many pieces, whose end comes long before it is read', async () => {
        const size = { vocab: 120000 };
        const big = tinyFiles({ size });
        const many = createServer((request, response) => {
            response.setHeader('connection', 'close');
            response.end(big.weights);
        });
        await new Promise((resolve) => { many.listen(0, '127.0.0.1', () => resolve(undefined)); });
        const { port } = /** @type {import('node:net').AddressInfo} */ (many.address());
        const weights = `http://127.0.0.1:${port}/model.safetensors`;
        let loaded = 0;
        // Reading stops now and then, for as long as it takes the rest to arrive.
        const config = new ReadableStream({
            async pull(controller) {
                await new Promise((resolve) => setTimeout(resolve, 300));
                controller.enqueue(big.config);
                controller.close();
            },
        });
        const model = await loadModel(runtime, { config, tokenizer: big.tokenizer, weights }, {
            onProgress: (event) => { loaded = event.loaded; },
        });
        assert.equal(loaded, big.weights.length + big.config.length + big.tokenizer.length);
        model.dispose();
        many.close();
    });

    test('a stream that fails passes its error on', async () => {
        const broken = new ReadableStream({
            start(controller) {
                controller.enqueue(files.weights.slice(0, 60000));
            },
            pull(controller) {
                controller.error(new Error('the cable is out'));
            },
        });
        await inUse(() => assert.rejects(loadModel(runtime, { ...files, weights: broken })));
    });

    test('more than maxMemory allows: RangeError, and nothing stays', async () => {
        const small = await testRuntime({ maxMemory: 4 * 2 ** 20 });
        const before = small.explain().bytesInUse;
        const big = tinyFiles({ size: { vocab: 60000 } });
        await assert.rejects(loadModel(small, big), RangeError);
        assert.equal(small.explain().bytesInUse, before);
    });
});

describe('abort', () => {
    test('before', async () => {
        await inUse(() => assert.rejects(loadModel(runtime, folder, { signal: AbortSignal.abort() }),
            { name: 'AbortError' }));
    });

    for (const [name, source] of /** @type {[string, () => any][]} */ ([
        ['a server that stalls', () => `${origin}/slow/`],
        ['a stream that stalls', () => ({
            ...files,
            weights: new ReadableStream({ start: (controller) => controller.enqueue(files.weights.slice(0, 50000)) }),
        })],
    ])) {
        test(`while loading from ${name}`, async () => {
            await inUse(async () => {
                const controller = new AbortController();
                const onProgress = () => setTimeout(() => controller.abort(new Error('enough')), 5);
                await assert.rejects(loadModel(runtime, source(), { signal: controller.signal, onProgress }),
                    { message: 'enough' });
            });
        });
    }

    test('between two reads', async () => {
        await inUse(async () => {
            const controller = new AbortController();
            await assert.rejects(loadModel(runtime, { ...files, weights: stream(files.weights, 500) }, {
                signal: controller.signal,
                onProgress: ({ loaded, total }) => loaded > total / 2 && controller.abort(),
            }), { name: 'AbortError' });
        });
    });
});

test('a runtime that has been disposed of', async () => {
    const other = await testRuntime();
    const model = await loadModel(other, files);
    other.dispose();
    await assert.rejects(loadModel(other, files), /disposed/);
    assert.throws(() => model.generate('x'), /disposed/);
    model.dispose();
});
