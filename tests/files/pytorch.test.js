// PyTorch checkpoints, made by make_pytorch.py: the same model as from safetensors, every type, and what is refused. Nothing in one is run.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readStateDict } from '../../js/files/pytorch.js';
import { loadModel, readWeights } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../paired.js';
import { there } from '../there.js';

const runtime = await testRuntime();
const FOLDER = new URL('./fixtures/pytorch/', import.meta.url);
const { config } = there(readCases().find(({ name }) => name === 'gpt_neo-2811-72'));

/** @param {string} name @returns {Uint8Array<ArrayBuffer>} */
const bytesOf = (name) => new Uint8Array(readFileSync(new URL(`${name}.bin`, FOLDER)));

/** @param {string} name */
const fileOf = (name, bytes = bytesOf('pytorch_model')) => new File([bytes], name);
const CONFIG = new File([json(config)], 'config.json');

/** @param {any} source */
async function logitsOf(source) {
    const model = await loadModel(runtime, source);
    const { data } = await model.forward([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], { positions: 'all' });
    const { format, setAside } = /** @type {Record<string, any>} */ (model.explain());
    model.dispose();
    return { data, format, setAside };
}

describe('a model', async () => {
    const { data: expected } = await logitsOf({ config: json(config), weights: weightsOf('gpt_neo-2811-72') });

    test('the files of a folder', async () => {
        const { data, format, setAside } = await logitsOf([CONFIG, fileOf('pytorch_model.bin'), fileOf('tf_model.h5', new Uint8Array(9))]);
        assert.deepEqual(data, expected);
        assert.equal(format, 'pytorch');
        // Buffers, and the embedding by another name.
        const names = ['transformer.h.0.attn.attention.bias', 'transformer.h.0.attn.attention.masked_bias', 'lm_head.weight'];
        assert.ok(names.every((name) => setAside.includes(name)), setAside);
    });

    test('a file by any name beside a config', async () => {
        assert.deepEqual((await logitsOf({ config: json(config), weights: bytesOf('pytorch_model') })).data, expected);
    });

    test('a folder at an address', async () => {
        const server = createServer(({ url }, response) => {
            const body = url === '/neo/config.json' ? json(config) : url === '/neo/pytorch_model.bin' ? bytesOf('pytorch_model') : null;
            response.writeHead(body ? 200 : 404).end(body ?? 'no');
        });
        await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)));
        const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
        assert.deepEqual((await logitsOf(`http://127.0.0.1:${port}/neo/`)).data, expected);
        server.close();
    });

    test('safetensors beside it come first', async () => {
        const files = [CONFIG, fileOf('pytorch_model.bin'), fileOf('model.safetensors', weightsOf('gpt_neo-2811-72'))];
        assert.equal((await logitsOf(files)).format, 'safetensors');
    });

});

describe('a checkpoint in two parts', async () => {
    const PARTS = { 'pytorch_model-00001-of-00002.bin': bytesOf('pytorch_model'), 'pytorch_model-00002-of-00002.bin': bytesOf('types') };
    const each = await Promise.all(Object.values(PARTS).map((bytes) => readWeights(bytes)));
    const expected = new Map(each.flatMap((part) => Array.from(part)));
    const [first, second] = Object.keys(PARTS);
    const index = (/** @type {Record<string, string>} */ changes = {}) => JSON.stringify({ weight_map: {
        ...Object.fromEntries(each.flatMap((part, i) => Array.from(part.keys(), (name) => [name, Object.keys(PARTS)[i]]))), ...changes,
    } });
    const files = Object.entries(PARTS).map(([name, bytes]) => fileOf(name, bytes));
    const folder = (text = index()) => [new File([text], 'pytorch_model.bin.index.json'), ...files];

    for (const [what, source] of /** @type {[string, () => any][]} */ ([
        ['the files of a folder', () => folder()], ['a list', () => ({ weights: files })], ['streams', () => ({ weights: files.map((file) => file.stream()) })],
    ])) {
        test(what, async () => assert.deepEqual(await readWeights(source()), expected));
    }

    test('a folder at an address: each is asked for once', async () => {
        /** @type {string[]} */
        const asked = [];
        const server = createServer(({ url = '' }, response) => {
            const name = url.slice('/two/'.length);
            asked.push(name);
            const texts = { 'config.json': '{}', 'pytorch_model.bin.index.json': index() };
            const body = /** @type {Record<string, any>} */ ({ ...texts, ...PARTS })[name];
            response.writeHead(body ? 200 : 404).end(body ?? 'no');
        });
        await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)));
        const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
        const weights = await readWeights(`http://127.0.0.1:${port}/two/`).finally(() => server.close());
        assert.deepEqual(weights, expected);
        assert.deepEqual(asked.filter((name) => name.includes('-of-')), [first, second]);
    });

    for (const [code, source] of /** @type {[string, () => any][]} */ ([
        ['shard-mismatch', () => folder(index({ float32: first }))], ['shard-missing', () => folder(index()).slice(0, 2)],
        ['shard-extra', () => folder(index({ ...Object.fromEntries(Array.from(each[1].keys(), (name) => [name, first])) }))],
        ['duplicate-name', () => ({ weights: [...files, fileOf('again', bytesOf('protocol4'))] })],
        ['shard-mismatch', () => ({ weights: [...files, fileOf('other', weightsOf('gpt_neo-2811-72'))] })],
    ])) {
        test(code, () => assert.rejects(readWeights(source()), { name: 'FormatError', code }));
    }
});

describe('readWeights()', () => {
    test('every type that torch.save() writes', async () => {
        const weights = await readWeights(new URL('types.bin', FOLDER));
        for (const name of ['float32', 'float64', 'float16', 'bfloat16', 'int8', 'int16', 'int32', 'int64', 'uint8', 'part', 'same']) {
            const { shape, data } = there(weights.get(name));
            assert.deepEqual([shape, Array.from(data, Number)], [[2, 3], [0, 1, 2, 3, 4, 5]], name);
        }
        const rest = ['bool', 'scalar', 'empty', 'one'].map((name) => there(weights.get(name)));
        assert.deepEqual(rest.map(({ shape, data }) => [shape, Array.from(data, Number)]), [[[3], [0, 1, 1]], [[], [7]], [[0, 3], []], [[1, 2], [1, 4]]]);
        assert.equal(weights.size, 15);
    });

    test('the pickle of protocol 4', async () => {
        assert.deepEqual(there((await readWeights(new URL('protocol4.bin', FOLDER))).get('float32')).data, Float32Array.of(0, 1, 2, 3, 4, 5));
    });

    for (const [name, code, message] of /** @type {[string, string, RegExp][]} */ ([
        ['harmful', 'pytorch-unsupported', /the call of "posix\.system" is not supported/],
        ['strided', 'pytorch-unsupported', /"a", whose numbers do not lie in the order of its shape/],
        ['complex', 'pytorch-unsupported', /the type "torch\.ComplexFloatStorage"/],
        ['nested', 'pytorch-invalid', /must have tensors by their names, got "state_dict"/],
        ['shared', 'pytorch-invalid', /its tensors are 1228800 bytes, in a file of \d+/],
        ['list', 'pytorch-invalid', /must hold a state dict/],
        ['old', 'wrong-file', /perhaps a PyTorch checkpoint of before version 1\.6, of which save_pretrained\(\)/],
    ])) {
        test(`${name} is refused`, () => assert.rejects(readWeights(new URL(`${name}.bin`, FOLDER)), { name: 'FormatError', code, message }));
    }

    test('a shape that the pickle changes later is the one that was checked', () => {
        const text = (/** @type {string} */ word) => `X${String.fromCharCode(word.length)}\0\0\0${word}`;
        const storage = `(${text('storage')}ctorch\nFloatStorage\n${text('0')}${text('cpu')}K\x06tQ`;
        const tensor = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}K\0(K\x02K\x03tq\x01K\x03K\x01\x86\x89)tR`;
        const pickle = Buffer.from(`\x80\x02}${text('a')}${tensor}sh\x01K\x09ab.`, 'latin1');
        assert.deepEqual(there(readStateDict(pickle).get('a')).shape, [2, 3]);
    });

    test('damage is noticed', async () => {
        const whole = bytesOf('types');
        const flip = (/** @type {number} */ at) => whole.map((byte, i) => (i === at ? byte ^ 1 : byte));
        const after = (/** @type {string} */ text) => Buffer.from(whole).indexOf(text) + text.length;
        await assert.rejects(readWeights(whole.subarray(0, 3000)), { code: 'zip-truncated' });
        await assert.rejects(readWeights(flip(after('_rebuild_tensor'))), { code: 'zip-invalid', message: /checksum .*data\.pkl/ });
        // Storages begin at multiples of 64.
        await assert.rejects(readWeights(flip(Math.ceil((after('types/data/0') + 4) / 64) * 64)), { code: 'zip-invalid', message: /checksum/ });
        await assert.rejects(readWeights(flip(after('little') - 1)), { code: 'zip-invalid', message: /checksum .*byteorder/ });
    });
});

test('a file of a path: nothing stays allocated', async () => {
    const before = runtime.memory.used;
    await assert.rejects(loadModel(runtime, fileURLToPath(new URL('types.bin', FOLDER))), { name: 'FormatError', code: 'config-missing' });
    assert.equal(runtime.memory.used, before);
});
