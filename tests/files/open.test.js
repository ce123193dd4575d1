// openModel: every form of source, the files of a folder, parts of a model, and what is not there or something else.

import assert from 'node:assert/strict';
import { createReadStream, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { FormatError } from '../../js/check.js';
import { huggingFace } from '../../js/files/hugging-face.js';
import { openModel } from '../../js/files/open.js';
import { withHeader } from '../generation/checkpoint.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { sharedFolder } from '../shared.js';
import { there } from '../there.js';
import { bytesOf, gguf, llama, llamaPairs, llamaTensors } from './gguf-writer.js';
import { gpt2Preset, llamaPreset, sentencePiece } from './presets.js';

const utf8 = (/** @type {string} */ text) => new TextEncoder().encode(text);
const json = (/** @type {any} */ value) => utf8(JSON.stringify(value));

/**
 * A safetensors file of these tensors: name to shape; each number is its tensor's place.
 * @param {Record<string, number[]>} tensors
 * @param {Record<string, string>} [metadata]
 */
function safetensors(tensors, metadata) {
    /** @type {Record<string, any>} */
    const header = metadata === undefined ? {} : { __metadata__: metadata };
    /** @type {Uint8Array[]} */
    const parts = [];
    let end = 0;
    Object.entries(tensors).forEach(([name, shape], i) => {
        const data = new Float32Array(shape.reduce((n, size) => n * size, 1)).fill(i + 1);
        header[name] = { dtype: 'F32', shape, data_offsets: [end, end += data.byteLength] };
        parts.push(new Uint8Array(data.buffer));
    });
    return withHeader(JSON.stringify(header), parts);
}

const CONFIG = { model_type: 'llama', hidden_size: 4 };
const TEMPLATE = '{{ messages }}';
const WHOLE = {
    'config.json': json(CONFIG),
    'model.safetensors': safetensors({ a: [2, 3], b: [3] }),
    'tokenizer.json': json({ model: {} }),
    'tokenizer_config.json': json({ bos_token: '<s>', chat_template: 'old' }),
    'special_tokens_map.json': json({ bos_token: 'no', eos_token: '</s>' }),
    'generation_config.json': json({ eos_token_id: [1, 2] }),
    'chat_template.jinja': utf8(TEMPLATE),
};
const without = (/** @type {string[]} */ ...names) =>
    Object.fromEntries(Object.entries(WHOLE).filter(([name]) => !names.includes(name)));
const SHARDS = {
    ...without('model.safetensors'),
    'model.safetensors.index.json': json({
        metadata: { total_size: 36 },
        weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' },
    }),
    'model-00001-of-00002.safetensors': safetensors({ a: [2, 3] }),
    'model-00002-of-00002.safetensors': safetensors({ b: [3] }),
};

/**
 * The tiny Llama in three parts, the first without tensors, as llama.cpp's gguf-split writes them.
 * @param {{ no?: (i: number) => number, total?: number, count?: number }} [claims]
 */
function split({ no = (i) => i, total = llamaTensors().length, count = 3 } = {}) {
    const tensors = [[], llamaTensors().slice(0, 4), llamaTensors().slice(4)];
    return Object.fromEntries(tensors.map((list, i) => [`tiny-0000${i + 1}-of-00003.gguf`, gguf({
        pairs: [...i === 0 ? llamaPairs() : [], ['split.no', 'u16', no(i)], ['split.count', 'u16', count],
            ['split.tensors.count', 'i32', total]],
        tensors: list,
    })]));
}

const temporary = mkdtempSync(join(tmpdir(), 'cached-attention-'));
after(() => rmSync(temporary, { recursive: true }));
let folders = 0;
/** @param {Record<string, string | Uint8Array>} files */
function folder(files) {
    const path = join(temporary, `${folders++}`);
    for (const [name, bytes] of Object.entries(files)) {
        mkdirSync(dirname(join(path, name)), { recursive: true });
        writeFileSync(join(path, name), bytes);
    }
    return path;
}
/** @param {Record<string, string | Uint8Array<ArrayBuffer>>} files */
const filesOf = (files, within = '') => Object.entries(files).map(([name, bytes]) => {
    const file = new File([bytes], name);
    if (within) Object.defineProperty(file, 'webkitRelativePath', { value: `${within}/${name}` });
    return file;
});
const stream = (/** @type {Uint8Array} */ bytes, size = 50) => new ReadableStream({
    start(controller) {
        for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size));
        controller.close();
    },
});

/** Of another realm, or of a library, it is no instance of the Blob that is known here. */
class ForeignBlob {
    #blob;

    /** @param {Blob} blob */
    constructor(blob) {
        this.#blob = blob;
        this.size = blob.size;
    }

    /** @param {number} from @param {number} to */
    slice(from, to) {
        return new ForeignBlob(this.#blob.slice(from, to));
    }

    arrayBuffer() {
        return this.#blob.arrayBuffer();
    }
}

const PAGE = '<!DOCTYPE html>\n<html><head><title>App</title></head><body></body></html>\n';

/** Paths to bytes; what is not there is 404, below /spa/ a page, below /gated/ only for who has the token. */
const served = new Map();
/** @type {{ path: string, authorization: string | undefined }[]} */
const asked = [];
const server = createServer((request, response) => {
    const { pathname } = new URL(/** @type {string} */ (request.url), 'http://localhost');
    const path = decodeURIComponent(pathname);
    asked.push({ path, authorization: request.headers.authorization });
    const bytes = served.get(path);
    if (path.startsWith('/moved/')) {
        response.writeHead(302, { location: `${elsewhereOrigin}${path.slice('/moved'.length)}` }).end();
    } else if (path.startsWith('/gated/') && request.headers.authorization !== 'Bearer secret') {
        response.writeHead(401).end();
    } else if (bytes && path.startsWith('/cut/')) {
        // Packed or not: the connection ends within what was said to come.
        const headers = path.includes('.gz') ? { 'content-encoding': 'gzip' } : {};
        response.writeHead(200, { ...headers, 'content-length': bytes.length });
        response.write(bytes.subarray(0, 100), () => setTimeout(() => response.destroy(), 20));
    } else if (bytes) {
        response.end(bytes);
    } else if (path.startsWith('/spa/')) {
        response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
    } else {
        response.writeHead(404).end();
    }
});
const elsewhere = createServer((request, response) => {
    asked.push({ path: `elsewhere:${request.url}`, authorization: request.headers.authorization });
    const bytes = served.get(decodeURIComponent(/** @type {string} */ (request.url)));
    response.writeHead(bytes ? 200 : 404).end(bytes);
});
const listen = async (/** @type {import('node:http').Server} */ one) => {
    await new Promise((resolve) => one.listen(0, '127.0.0.1', () => resolve(undefined)));
    after(() => {
        one.closeAllConnections();
        one.close();
    });
    return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (one.address()).port}`;
};
const origin = await listen(server);
const elsewhereOrigin = await listen(elsewhere);
/** @param {string} path @param {Record<string, string | Uint8Array>} files */
function serve(path, files) {
    for (const [name, bytes] of Object.entries(files)) served.set(path + name, bytes);
    return origin + path;
}

/**
 * All bytes of all tensors, by name.
 * @param {import('../../js/files/open.js').TensorSource} model
 * @param {(info: import('../../js/files/tensor-source.js').TensorInfo) => boolean} [wanted]
 * @returns {Promise<Map<string, Uint8Array>>}
 */
async function all(model, wanted = () => true) {
    /** @type {Map<string, Uint8Array[]>} */
    const parts = new Map();
    for await (const { info, firstRow, rows, bytes } of model.read(wanted)) {
        assert.equal(bytes.length, rows * info.rowBytes);
        const list = parts.get(info.name) ?? [];
        parts.set(info.name, list);
        assert.equal(firstRow, list.reduce((sum, part) => sum + part.length, 0) / info.rowBytes);
        list.push(bytes.slice());
    }
    return new Map(Array.from(parts, ([name, list]) => [name, new Uint8Array(Buffer.concat(list))]));
}

/** @typedef {{ loaded: number, total: number }[]} Progress */

/** @param {any} source */
async function checkFolder(source) {
    /** @type {Progress} */
    const progress = [];
    const model = await openModel(await source, { onProgress: (event) => progress.push(event) });
    assert.equal(model.format, 'safetensors');
    assert.equal(model.architecture, 'llama');
    assert.deepEqual(model.config, CONFIG);
    assert.deepEqual(model.generation, { eos_token_id: [1, 2] });
    assert.deepEqual(model.tokenizer, { json: { model: {} } });
    assert.deepEqual(model.tokenizerConfig, { bos_token: '<s>', chat_template: 'old', eos_token: '</s>' });
    assert.equal(model.chatTemplate, TEMPLATE);
    assert.deepEqual(Array.from(model.tensors.values()), [
        { name: 'a', shape: [2, 3], type: 'F32', bytes: 24, rows: 2, rowBytes: 12 },
        { name: 'b', shape: [3], type: 'F32', bytes: 12, rows: 1, rowBytes: 12 },
    ]);
    const tensors = await all(model);
    model.close();
    assert.deepEqual(Array.from(tensors.keys()), ['a', 'b']);
    assert.equal(tensors.get('a')?.length, 24);
    assert.equal(tensors.get('b')?.length, 12);
    checkProgress(progress);
}

/** @param {Progress} progress */
function checkProgress(progress) {
    assert.ok(progress.length > 0);
    const { total } = progress[0];
    assert.ok(progress.every((event) => event.total === total));
    assert.ok(progress.every(({ loaded }, i) => i === 0 || loaded > progress[i - 1].loaded));
    assert.equal(progress.at(-1)?.loaded, total);
}

/** @param {any} source */
async function checkGguf(source) {
    /** @type {Progress} */
    const progress = [];
    const model = await openModel(await source, { onProgress: (event) => progress.push(event) });
    assert.equal(model.format, 'gguf');
    assert.equal(model.architecture, 'llama');
    assert.equal(model.config.hidden_size, 32);
    assert.equal(model.metadata?.get('tokenizer.ggml.tokens')[5], '€');
    assert.equal(model.tokenizer, null);
    const tensors = await all(model);
    model.close();
    for (const tensor of llamaTensors()) {
        assert.deepEqual(tensors.get(tensor.name), new Uint8Array(bytesOf(tensor)), tensor.name);
    }
    checkProgress(progress);
}

describe('a folder', () => {
    const sources = {
        'a path': () => folder(WHOLE),
        'a path with a slash': () => `${folder(WHOLE)}/`,
        'a file: URL': () => pathToFileURL(`${folder(WHOLE)}/`),
        'a file: URL as text, without a slash': () => pathToFileURL(folder(WHOLE)).href,
        'the path of the weights': () => join(folder(WHOLE), 'model.safetensors'),
        'the path of the weights under another name': () => join(folder({
            ...without('model.safetensors'), x: WHOLE['model.safetensors'],
        }), 'x'),
        'an http URL': () => serve('/whole/', WHOLE),
        'an http URL without a slash': () => serve('/whole2/', WHOLE).slice(0, -1),
        'an http URL of the weights, with a query': () => `${serve('/whole3/', WHOLE)}model.safetensors?download=true`,
        'a list of Files': () => filesOf({ ...WHOLE, 'README.md': 'x' }),
        'a folder of Files': () => filesOf(WHOLE, 'my model'),
        'a folder of Files with another below': () => [
            ...filesOf({ 'config.json': '{}', 'model.safetensors': 'x' }, 'my model/onnx'),
            ...filesOf(WHOLE, 'my model'),
        ],
        'a hub': () => {
            serve('/owner/name/resolve/main/', WHOLE);
            return huggingFace('owner/name', { endpoint: origin });
        },
        'a hub that redirects': () => {
            for (const [name, bytes] of Object.entries(WHOLE)) served.set(`/owner/name/resolve/v1%2F2/${name}`, bytes);
            serve('/owner/name/resolve/v1/2/', WHOLE);
            return huggingFace('owner/name', { endpoint: `${origin}/moved`, revision: 'v1/2' });
        },
        'two parts with an index, by path': () => folder(SHARDS),
        'two parts with an index, by URL': () => serve('/shards/', SHARDS),
        'two parts with an index, as Files': () => filesOf(SHARDS),
        'two parts by the name of the first': () => join(folder(SHARDS), 'model-00001-of-00002.safetensors'),
        'two parts by the URL of the second': () => `${serve('/shards2/', SHARDS)}model-00002-of-00002.safetensors`,
        'two parts without an index': () => {
            const { 'model.safetensors.index.json': _, ...rest } = SHARDS;
            return folder(rest);
        },
        'a single-page server, but for the template': () => serve('/spa/whole/', WHOLE),
        'each by itself': () => ({
            weights: stream(WHOLE['model.safetensors']), config: WHOLE['config.json'],
            tokenizer: new Blob([WHOLE['tokenizer.json']]), tokenizerConfig: WHOLE['tokenizer_config.json'].buffer,
            specialTokensMap: WHOLE['special_tokens_map.json'], generationConfig: WHOLE['generation_config.json'],
            chatTemplate: WHOLE['chat_template.jinja'],
        }),
        'weights in several files': () => ({
            weights: [SHARDS['model-00001-of-00002.safetensors'], stream(SHARDS['model-00002-of-00002.safetensors'])],
            config: WHOLE['config.json'], tokenizer: WHOLE['tokenizer.json'],
            tokenizerConfig: WHOLE['tokenizer_config.json'], specialTokensMap: WHOLE['special_tokens_map.json'],
            generationConfig: WHOLE['generation_config.json'], chatTemplate: WHOLE['chat_template.jinja'],
        }),
        'one file with all of it': () => safetensors({ a: [2, 3], b: [3] }, Object.fromEntries(Object.entries(WHOLE)
            .filter(([name]) => name !== 'model.safetensors')
            .map(([name, bytes]) => [name.split('.')[0], new TextDecoder().decode(bytes)]))),
    };
    for (const [name, source] of Object.entries(sources)) test(name, () => checkFolder(source()));

    test('nothing but config and weights', async () => {
        const few = { 'config.json': WHOLE['config.json'], 'model.safetensors': WHOLE['model.safetensors'] };
        for (const source of [folder(few), serve('/few/', few), serve('/spa/few/', few), filesOf(few)]) {
            const model = await openModel(source);
            assert.deepEqual([model.tokenizer, model.tokenizerConfig, model.generation, model.chatTemplate],
                [null, null, null, null]);
            model.close();
        }
    });

    // Ids and texts are those of transformers 5.24 for these folders.
    for (const [config, named, ids, marked] of /** @type {const} */ ([
        [{ model_type: 'gpt2' }, null, [6, 5], [4, 7, 5, 2, 2]],
        [{ model_type: 'gpt2' }, { tokenizer_class: 'GPT2Tokenizer', add_prefix_space: true }, [5, 2, 5], [5, 7, 5, 2, 2]],
        [{ model_type: 'llama' }, { tokenizer_class: 'GPT2TokenizerFast', add_bos_token: true }, [7, 6, 5], [7, 4, 7, 5, 2, 2]],
        [{ model_type: 'gpt2' }, { tokenizer_class: 'GPT2Tokenizer', add_bos_token: true, bos_token: '<s>', pad_token: '<p>' },
            [8, 6, 5], [8, 4, 7, 5, 2, 8, 2]],
        [{ model_type: 'gpt2' }, { tokenizer_class: 'GPT2Tokenizer', eos_token: 'c' }, [4, 2, 5], [4, 7, 5, 2, 2]],
        [{ model_type: 'phi' }, { tokenizer_class: 'CodeGenTokenizer', add_eos_token: true }, [6, 5, 7], [4, 7, 5, 2, 2, 7]],
        [{ model_type: 'gpt2' }, { tokenizer_class: 'GPT2Tokenizer', add_bos_token: true, add_eos_token: true }, [7, 6, 5, 7], [7, 4, 7, 5, 2, 2, 7]],
        [{ model_type: 'gpt2' }, { tokenizer_class: 'GPT2Tokenizer', add_bos_token: true, bos_token: null }, [6, 5], [4, 7, 5, 2, 2]],
        [{ model_type: 'phi' }, { model_max_length: 9 }, [6, 5], [4, 7, 5, 2, 2]],
    ])) {
        test(`vocab.json and merges.txt in place of tokenizer.json: ${JSON.stringify({ ...config, ...named })}`, async () => {
            const files = {
                'config.json': json(config), 'model.safetensors': WHOLE['model.safetensors'],
                'vocab.json': json({ a: 0, b: 1, c: 2, Ġ: 3, ab: 4, Ġab: 5, abc: 6, '<|endoftext|>': 7 }),
                'merges.txt': utf8('#version: 0.2\na b\nĠ ab\nab c\n'), ...named && { 'tokenizer_config.json': json(named) },
            };
            for (const source of [folder(files), serve(`/spa/older/${ids}/`, files), filesOf(files)]) {
                const model = await openModel(source);
                const tokenizer = new Tokenizer(there(model.tokenizer).json, model.tokenizerConfig);
                assert.deepEqual([...tokenizer.encode('abc ab')], ids);
                assert.deepEqual([...tokenizer.encode('ab<|endoftext|> abc<s>c')], marked);
                assert.equal(tokenizer.decode([5, 7, 6], { skipSpecialTokens: true }), ' ababc');
                model.close();
            }
        });
    }

    test('tokenizer.model and added_tokens.json in place of tokenizer.json', async () => {
        const files = {
            'config.json': json({ model_type: 'llama' }), 'model.safetensors': WHOLE['model.safetensors'],
            'tokenizer.model': sentencePiece([['<unk>', 0, 2], ['<s>', 0, 3], ['\u2581', -2, 1], ['a', -3, 1], ['\u2581a', -1, 1]]),
            'added_tokens.json': json({ '<|im_start|>': 5 }), 'tokenizer_config.json': json({ tokenizer_class: 'LlamaTokenizer' }),
        };
        for (const source of [folder(files), serve('/spa/pieces/', files), filesOf(files)]) {
            const model = await openModel(source);
            const tokenizer = new Tokenizer(there(model.tokenizer).json, model.tokenizerConfig);
            assert.deepEqual([...tokenizer.encode('a<|im_start|>a')], [1, 4, 5, 3]);
            assert.equal(tokenizer.specialTokens.get('bos_token'), '<s>');
            model.close();
        }
    });

    test('no tokenizer is guessed: another class, a vocabulary without merges', async () => {
        const files = {
            'config.json': json({ model_type: 'gpt2' }), 'model.safetensors': WHOLE['model.safetensors'], 'vocab.json': json({ a: 0 }),
        };
        const other = { ...files, 'merges.txt': utf8(''), 'tokenizer_config.json': json({ tokenizer_class: 'CTRLTokenizer' }) };
        for (const source of [folder(files), folder(other)]) {
            const model = await openModel(source);
            assert.equal(model.tokenizer, null);
            model.close();
        }
        const bad = folder({ ...files, 'merges.txt': utf8('a b') });
        await assert.rejects(openModel(bad), { code: 'tokenizer-invalid', message: /the merge 1, "a b", is not two tokens/ });
        await assert.rejects(openModel(folder({ ...files, 'vocab.json': json(['a']), 'merges.txt': utf8('') })),
            { code: 'tokenizer-invalid', message: /vocab.json must be an object of ids/ });
    });

    test('templates by name', async () => {
        const model = await openModel(folder({
            ...without('chat_template.jinja'),
            'tokenizer_config.json': json({
                chat_template: [{ name: 'default', template: 'x' }, { name: 'rag', template: 'y' }],
            }),
        }));
        assert.deepEqual(model.chatTemplate, new Map([['default', 'x'], ['rag', 'y']]));
        model.close();
    });

    test('templates beside chat_template.jinja, as transformers 5 writes several', async () => {
        const files = { ...WHOLE, 'additional_chat_templates/tool_use.jinja': utf8('t'), 'additional_chat_templates/rag.jinja': utf8('r') };
        for (const source of [folder(files), serve('/several/', files), serve('/spa/several/', files), filesOf(files, 'several')]) {
            const model = await openModel(source);
            assert.deepEqual(model.chatTemplate, new Map([['default', TEMPLATE], ['tool_use', 't']]));
            model.close();
        }
        const only = { ...WHOLE, 'additional_chat_templates/rag.jinja': utf8('r') };
        const model = await openModel(folder(only));
        assert.equal(model.chatTemplate, TEMPLATE);
        model.close();
    });

    test('an adapter beside the weights is told', async () => {
        const open = async (/** @type {Record<string, Uint8Array>} */ files) => {
            const { notes, close } = await openModel(folder(files));
            close();
            return notes;
        };
        assert.deepEqual(await open(WHOLE), []);
        const [note, ...others] = await open({ ...WHOLE, 'adapter_config.json': json({}), 'adapter_model.safetensors': utf8('x') });
        assert.match(note, /^adapter_config\.json: .* is not applied; merge it/);
        assert.equal(others.length, 0);
    });

    test('no config is needed for weights alone', async () => {
        const model = await openModel(WHOLE['model.safetensors'], { what: 'weights' });
        assert.equal(model.tensors.size, 2);
        model.close();
    });
});

describe('a GGUF file', () => {
    const file = llama();
    const named = (/** @type {string} */ name, files = { [name]: file }) => join(folder(files), name);
    const sources = {
        'a path': () => named('tiny.gguf'),
        'a path that says safetensors': () => named('model.safetensors'),
        'a path that says nothing': () => named('model'),
        'a file: URL': () => pathToFileURL(named('tiny.gguf')),
        'an http URL': () => `${serve('/gguf/', { 'tiny.gguf': file })}tiny.gguf`,
        'an http URL that says nothing': () => `${serve('/gguf/', { x: file })}x`,
        'a folder': () => folder({ 'tiny.gguf': file, 'README.md': 'x' }),
        'a Blob': () => new Blob([file]),
        'a File': () => new File([file], 'x'),
        'a list of one File': () => [new File([file], 'x')],
        'an ArrayBuffer': () => file.slice().buffer,
        'an ArrayBuffer of another realm': () => {
            const buffer = runInNewContext(`new ArrayBuffer(${file.length})`);
            new Uint8Array(buffer).set(file);
            return buffer;
        },
        'a SharedArrayBuffer': () => {
            const shared = new SharedArrayBuffer(file.length);
            new Uint8Array(shared).set(file);
            return shared;
        },
        'a view at an odd place': () => {
            const larger = new Uint8Array(file.length + 3);
            larger.set(file, 3);
            return larger.subarray(3);
        },
        'a stream': () => stream(file),
        'a stream byte by byte': () => stream(file, 1),
        'a stream of Node\'s': () => createReadStream(named('tiny.gguf')),
        'an async iterable': async function* pieces() {
            for (let at = 0; at < file.length; at += 100) yield file.subarray(at, at + 100);
        },
        'a Response': () => new Response(file),
        'the Response of a request': () => fetch(`${serve('/gguf/', { 'tiny.gguf': file })}tiny.gguf`),
        'a stream of another realm\'s arrays': () => {
            const foreign = runInNewContext(`new Uint8Array(${file.length})`);
            foreign.set(file);
            return stream(foreign);
        },
        'a Blob of another realm': () => new ForeignBlob(new Blob([file])),
        'a blob: URL': () => URL.createObjectURL(new Blob([file])),
        'a data: URL': () => `data:application/octet-stream;base64,${Buffer.from(file).toString('base64')}`,
        'as weights': () => ({ weights: file }),
        'a hub': () => {
            serve('/gated/o/n/resolve/main/sub/', { 'tiny.gguf': file });
            return huggingFace('o/n', { endpoint: `${origin}/gated/`, file: 'sub/tiny.gguf', token: 'secret' });
        },
        'three parts by the path of the first': () => join(folder(split()), 'tiny-00001-of-00003.gguf'),
        'three parts by the path of the last': () => join(folder(split()), 'tiny-00003-of-00003.gguf'),
        'three parts by their folder': () => folder(split()),
        'three parts as Files': () => filesOf(split()).reverse(),
        'three parts by URL': () => `${serve('/split/', split())}tiny-00001-of-00003.gguf`,
        'three parts on a hub': () => {
            serve('/o/n/resolve/main/', split());
            return huggingFace('o/n', { endpoint: origin, file: 'tiny-00001-of-00003.gguf' });
        },
        'three parts as weights': () => ({ weights: Object.values(split()) }),
    };
    for (const [name, source] of Object.entries(sources)) test(name, async () => checkGguf(await source()));

    test('a tokenizer that was given goes with it', async () => {
        const model = await openModel({ weights: file, tokenizer: WHOLE['tokenizer.json'] });
        assert.deepEqual(model.tokenizer?.json, { model: {} });
        model.close();
    });

    test('a stream can be read but once, anything else again', async () => {
        const again = await openModel(file);
        assert.deepEqual(await all(again), await all(again));
        for (const source of [stream(file), Readable.from([file]), new Response(file)]) {
            const once = await openModel(source);
            await all(once);
            await assert.rejects(all(once), /only once/);
        }
    });
});

describe('a preset of Keras Hub, its tokenizer in a folder below', () => {
    const expected = { gpt2: whole(gpt2Preset()), llama: whole(llamaPreset()) };
    /** @param {Record<string, Uint8Array>} files */
    async function whole(files) {
        const model = await openModel(folder(files));
        const tensors = await all(model);
        const { tokenizer, config, format, notes } = model;
        model.close();
        return { tensors, tokenizer, config, format, notes };
    }
    /** @type {Record<string, (files: any, name: string) => any>} */
    const sources = {
        'a path': (files) => folder(files),
        'a URL': (files, name) => serve(`/${name}/`, files),
        'a URL without a slash': (files, name) => serve(`/${name}2/`, files).slice(0, -1),
        'a single-page server': (files, name) => serve(`/spa/${name}/`, files),
        'a hub': (files, name) => {
            serve(`/keras/${name}/resolve/main/`, files);
            return huggingFace(`keras/${name}`, { endpoint: origin });
        },
        'a folder of Files': (files) => filesOf(files, 'my model').map((file) =>
            Object.defineProperty(file, 'name', { value: file.name.replace(/.*\//, '') })),
        'Files beside each other': (files) => filesOf(files).map((file) =>
            Object.defineProperty(file, 'name', { value: file.name.replace(/.*\//, '') })),
    };
    for (const [form, source] of Object.entries(sources)) {
        test(form, async () => {
            for (const [name, files] of Object.entries({ gpt2: gpt2Preset(), llama: llamaPreset() })) {
                /** @type {any[]} */
                const told = [];
                const model = await openModel(source(files, name), { onProgress: (progress) => told.push(progress) });
                const want = await expected[/** @type {'gpt2' | 'llama'} */ (name)];
                assert.deepEqual(await all(model), want.tensors);
                assert.deepEqual([model.tokenizer, model.config, model.format], [want.tokenizer, want.config, 'keras']);
                assert.equal(model.config.bos_token_id, name === 'gpt2' ? 5 : 1);
                const bytes = Object.values(files).reduce((sum, { length }) => sum + length, 0);
                assert.deepEqual(told.at(-1), { loaded: bytes, total: bytes });
                model.close();
            }
        });
    }

    test('without a tokenizer, or without all of its files', async () => {
        const { 'tokenizer.json': _, ...none } = llamaPreset();
        const model = await openModel(folder(none));
        assert.equal(model.tokenizer, null);
        model.close();
        const { 'assets/tokenizer/vocabulary.spm': __, ...lacking } = llamaPreset();
        for (const source of [folder(lacking), serve('/lacking/', lacking), filesOf(/** @type {any} */ (lacking), 'a')]) {
            await assert.rejects(openModel(source), { code: 'tokenizer-missing' });
        }
        const { 'model.weights.h5': ___, ...empty } = llamaPreset();
        await assert.rejects(openModel(folder(empty)), { code: 'weights-missing' });
        const { 'model_00001.weights.h5': ____, ...half } = gpt2Preset();
        await assert.rejects(openModel(folder(half)), { code: 'shard-missing' });
    });

    test('its weights alone, by the paths of their datasets', async () => {
        const file = llamaPreset()['model.weights.h5'];
        for (const source of [file, new Blob([/** @type {any} */ (file)]), stream(file), folder({ 'a.weights.h5': file }), folder(llamaPreset())]) {
            const opened = await openModel(source, { what: 'weights' });
            assert.deepEqual(opened.tensors.get('layers/llama_layer_norm/vars/0')?.shape, [8]);
            assert.equal((await all(opened)).size, opened.tensors.size);
            opened.close();
        }
    });
});

describe('what is refused', () => {
    /** @param {Record<string, string>} map */
    const index = (map) => folder({ ...SHARDS, 'model.safetensors.index.json': json({ weight_map: map }) });
    const first = 'model-00001-of-00002.safetensors';
    const second = 'model-00002-of-00002.safetensors';
    const { [second]: _, ...lacking } = SHARDS;
    /** @param {string} name @param {string | Uint8Array} bytes */
    const changed = (name, bytes) => folder({ ...WHOLE, [name]: bytes });
    const gone = (/** @type {string} */ name) =>
        Object.fromEntries(Object.entries(split()).filter(([key]) => key !== name));
    const LFS = utf8('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n');
    const ADAPTER = {
        'adapter_config.json': json({ peft_type: 'LORA' }),
        'adapter_model.safetensors': safetensors({ 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight': [2, 3] }),
    };
    const H5 = Buffer.from('\x89HDF\r\n\x1a\n'.padEnd(100), 'latin1');
    const bytesAt = (/** @type {number[]} */ ...bytes) => new Uint8Array([...bytes, ...new Array(40).fill(7)]);
    /** @type {[string, RegExp, any][]} */
    const cases = [
        ['wrong-file', /HTML page/, utf8(PAGE)],
        ['wrong-file', /Git LFS pointer/, LFS],
        ['wrong-file', /Git LFS pointer/, () => changed('model.safetensors', LFS)],
        ['wrong-file', /zip/, bytesAt(0x50, 0x4b, 3, 4)],
        ['zip-truncated', /cut off/, utf8(`PK\x03\x04${' '.repeat(26)}archive/data.pkl`)],
        ['wrong-file', /pickle/, bytesAt(0x80, 2, 0x8a)],
        ['wrong-file', /gzip/, bytesAt(0x1f, 0x8b)],
        ['wrong-file', /ONNX/, utf8('\x08\x08\x12\x07pytorch\x1a\x052.0.1')],
        ['wrong-file', /JSON/, utf8('{"model_type": "llama"}')],
        ['wrong-file', /before GGUF/, utf8('tjgg000000000000')],
        ['wrong-file', /"hello/, utf8('hello there, this is no model')],
        ...[512, 1024, 2048].map((at) => /** @type {[string, RegExp, any]} */ (
            ['wrong-file', /HDF5 behind a user block/, new Uint8Array(Buffer.concat([Buffer.alloc(at), H5]))])),
        ['unsupported-format', /Keras/, bytesAt(0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a)],
        ['unsupported-format', /is an adapter.*merge it/, () => folder(ADAPTER)],
        ['unsupported-format', /is an adapter.*merge it/, () => join(folder({ ...without('model.safetensors'), ...ADAPTER }), 'adapter_model.safetensors')],
        ['unsupported-format', /is an adapter.*merge it/, () => serve('/adapter/', ADAPTER)],
        ['truncated', /0 bytes/, new Uint8Array(0)],
        ['architecture', /"GPT3Backbone"/, () => changed('config.json', json({
            module: 'keras_hub', class_name: 'GPT3Backbone', config: {}, registered_name: null,
        }))],
        ['unsupported-format', /folder of a preset/, () => folder({ ...without('model.safetensors'), 'a.weights.h5': H5 })],
        ['unsupported-format', /folder of a preset/, utf8(`PK\x03\x04${' '.repeat(26)}metadata.json`)],
        ['config-missing', /config/, () => folder(without('config.json'))],
        ['config-missing', /config/, () => filesOf(without('config.json'))],
        ['config-missing', /config/, WHOLE['model.safetensors']],
        ['config-not-json', /HTML page/, () => changed('config.json', PAGE)],
        ['config-not-json', /nested/, () => changed('config.json', '['.repeat(100000))],
        ['config-not-json', /config\.json/, () => changed('config.json', '{"a": 1')],
        ['config-invalid', /object/, () => changed('config.json', '[]')],
        ['tokenizer-not-json', /LFS/, () => changed('tokenizer.json', LFS)],
        ['tokenizer-not-json', /UTF-8/, () => changed('tokenizer.json', bytesAt(0xff))],
        ['tokenizer-config-invalid', /chat_template/, () => folder({
            ...without('chat_template.jinja'), 'tokenizer_config.json': json({ chat_template: [1] }),
        })],
        ['generation-config-invalid', /object/, () => changed('generation_config.json', '3')],
        ['template-not-utf8', /jinja/, () => changed('chat_template.jinja', bytesAt(0xff))],
        ['too-large', /tokenizer/, () => ({ ...WHOLE_PARTS, tokenizer: endless() })],
        ['weights-missing', /model\.onnx/, () => folder({
            ...without('model.safetensors'), 'model.onnx': 'x', 'training_args.bin': 'x',
        })],
        ['weights-missing', /neither/, () => serve('/nothing/', without('model.safetensors'))],
        ['weights-ambiguous', /b\.gguf/, () => folder({ 'a.gguf': llama(), 'b.gguf': llama() })],
        ['weights-ambiguous', /tiny-00001/, () => folder({ ...split(), 'z.gguf': llama() })],
        ['shard-missing', /00002-of-00002/, () => folder(lacking)],
        ['shard-extra', /00003/, () => folder({ ...SHARDS, 'model-00003-of-00002.safetensors': 'x' })],
        ['shard-mismatch', /"c"/, () => index({ a: first, b: second, c: second })],
        ['shard-mismatch', /"a"/, () => index({ a: second, b: first })],
        ['duplicate-name', /"a"/, () => folder({ ...SHARDS, [second]: safetensors({ a: [1], b: [3] }) })],
        ['index-invalid', /weight_map/, () => index({})],
        ['index-invalid', /weight_map/, () => index({ a: '../x.safetensors' })],
        ['index-invalid', /weight_map/, () => index({ a: '..' })],
        ['shard-mismatch', /safetensors/, () => folder({ ...SHARDS, [second]: llama() })],
        ['shard-missing', /00002-of-00003/, () => folder(gone('tiny-00002-of-00003.gguf'))],
        ['shard-missing', /split/, Object.values(split())[0]],
        ['shard-mismatch', /part 1/, () => folder(split({ no: (i) => Math.min(i + 1, 2) }))],
        ['shard-mismatch', /12 tensors/, () => folder(split({ total: 12 }))],
        ['shard-mismatch', /4 files/, () => folder(split({ count: 4 }))],
        ['missing-key', /general\.architecture/, llama({ 'general.architecture': null })],
    ];
    const WHOLE_PARTS = { weights: WHOLE['model.safetensors'], config: WHOLE['config.json'] };
    const endless = () => new ReadableStream({
        pull: (controller) => controller.enqueue(new Uint8Array(1 << 20).fill(0x20)),
    });
    for (const [code, message, source] of cases) {
        test(`${code} ${message}`, async () => {
            const opening = openModel(typeof source === 'function' ? source() : source);
            await assert.rejects(opening, (/** @type {Error} */ error) => {
                assert.ok(error instanceof FormatError, error.stack);
                assert.equal(error.code, code, error.message);
                assert.match(error.message, message);
                assert.ok(error.message.length < 400, error.message);
                return true;
            });
        });
    }

    test('what cannot be had says where it was looked for', async () => {
        const missing = [
            [join(temporary, 'nowhere'), /nowhere.*ENOENT/], [`${origin}/missing/`, /missing\/.*404/],
            [`${origin}/missing.gguf?signature=secret`, /^cannot fetch http:[^?]*missing\.gguf: 404/],
            [`data:;base64,${'!'.repeat(1000)}`, /^cannot fetch the data: URL: .{1,100}$/], ['http://127.0.0.1:1/x/', /127\.0\.0\.1:1/],
            [huggingFace('o/n', { endpoint: `${origin}/gated`, file: 'sub/tiny.gguf' }), /gated.*401/],
            [new Response('no', { status: 404, statusText: 'Not Found' }), /^cannot fetch the Response: 404 Not Found$/],
            [await fetch(`${origin}/missing.gguf`), /^cannot fetch http:.*missing\.gguf: 404/],
        ];
        for (const [source, message] of missing) {
            await assert.rejects(openModel(source), { name: 'Error', message });
        }
    });

    test('a name on a hub is a path or an address, and what is missing there says what was meant', async () => {
        await assert.rejects(openModel('owner/a-model.v1'), { message: /ENOENT.*: a model on Hugging Face is huggingFace\("owner\/a-model.v1"\)$/ });
        // Some servers send a page for whatever they do not have.
        const before = process.cwd();
        process.chdir(temporary);
        try {
            mkdirSync('owner/paged', { recursive: true });
            writeFileSync('owner/paged/config.json', PAGE);
            await assert.rejects(openModel('owner/paged'), { code: 'config-not-json', message: /HTML page.*huggingFace\("owner\/paged"\)$/ });
        } finally {
            process.chdir(before);
        }
        for (const path of ['models/tiny.gguf', './models/tiny', `${origin}/missing/`]) {
            await assert.rejects(openModel(path), (/** @type {Error} */ error) => !/Hugging Face/.test(error.message));
        }
    });

    test('a connection that is lost within a file names it, and what had come', async () => {
        const bytes = llama();
        const cut = serve('/cut/', { 'tiny.gguf': bytes, 'tiny.gz.gguf': gzipSync(bytes) });
        const lost = (/** @type {string} */ source) => openModel(source).then(() => assert.fail('it was opened'), (error) => error);
        const error = await lost(`${cut}tiny.gguf?signature=secret`);
        assert.equal(error.name, 'Error');
        assert.equal(error.code, 'lost');
        assert.match(error.message, new RegExp(`^cannot fetch ${cut}tiny\\.gguf: the connection was lost after 100 of ${bytes.length} bytes: .`));
        assert.ok(error.cause instanceof TypeError);
        // A length that is of what is packed is not told.
        assert.match((await lost(`${cut}tiny.gz.gguf`)).message, /tiny\.gz\.gguf: the connection was lost after \d+ bytes: ./);
        const abort = new AbortController();
        const opening = openModel(`${cut}tiny.gguf`, { signal: abort.signal });
        abort.abort(new Error('enough'));
        await assert.rejects(opening, /^Error: enough$/);
    });

    test('what is no source', async () => {
        for (const source of [7, null, {}, [], [new Blob(['x'])], { weights: null }, { weights: [] },
            { weights: llama(), tokeniser: 'x' }, { weights: llama(), config: WHOLE['config.json'] }]) {
            await assert.rejects(openModel(/** @type {any} */ (source)), TypeError);
        }
        await assert.rejects(openModel(llama(), { what: /** @type {any} */ ('all') }), TypeError);
        await assert.rejects(openModel(llama(), { signal: /** @type {any} */ (7) }), TypeError);
    });
});

describe('a hub', () => {
    test('gets the token, and nobody else does', async () => {
        served.set('/o/secret/resolve/main/x.gguf', llama());
        asked.length = 0;
        const source = huggingFace('o/secret', { endpoint: `${origin}/moved`, file: 'x.gguf', token: 'secret' });
        (await openModel(source)).close();
        assert.deepEqual(asked, [
            { path: '/moved/o/secret/resolve/main/x.gguf', authorization: 'Bearer secret' },
            { path: 'elsewhere:/o/secret/resolve/main/x.gguf', authorization: undefined },
        ]);
        assert.ok(!JSON.stringify(source).includes('secret"'));
    });

    test('addresses', () => {
        const href = (/** @type {Parameters<typeof huggingFace>[1]} */ options) =>
            huggingFace('a/b', options)._remote('config.json').url.href;
        assert.equal(href({}), 'https://huggingface.co/a/b/resolve/main/config.json');
        assert.equal(href({ revision: 'refs/pr/1' }), 'https://huggingface.co/a/b/resolve/refs%2Fpr%2F1/config.json');
        assert.equal(href({ endpoint: 'https://hub.example/' }), 'https://hub.example/a/b/resolve/main/config.json');
        for (const [name, options] of [['a', {}], ['a/../b', {}], ['../b', {}], ['a/b c', {}], [7, {}],
            ['a/b', { file: '../x' }], ['a/b', { file: '' }], ['a/b', { token: 7 }], ['a/b', { revision: '' }],
            ['a/b', { endpoint: 'hub' }]]) {
            assert.throws(() => huggingFace(/** @type {any} */ (name), /** @type {any} */ (options)), TypeError);
        }
    });
});

const SHARED = sharedFolder('models/');

test('the models of ../shared', { skip: SHARED ? false : '../shared is absent' }, async () => {
    const { files } = JSON.parse(readFileSync(new URL('gguf/split/split.json', SHARED), 'utf8'));
    const model = await openModel(new URL(`gguf/split/${files[0]}`, SHARED));
    assert.equal(model.tensors.size, 30);
    assert.equal(model.config.num_hidden_layers, 3);
    await all(model);
    const complete = await openModel(new URL('hf-complete/llama-chatml/', SHARED));
    assert.equal(complete.architecture, 'llama');
    assert.equal(typeof complete.chatTemplate, 'string');
    await all(complete);
});
