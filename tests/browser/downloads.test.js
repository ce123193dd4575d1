// What the page keeps of a hub's models and of dropped folders: files of one version, and each of them once. The browser's file
// system is one in memory here; tests of the page itself have the real one.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { keepFiles, openSource } from '../../web/library.js';
import { filesOf } from '../../web/shelf.js';

/** Bytes that a file may have. */
let room = Infinity;

class FileHandle {
    kind = 'file';
    bytes = Buffer.alloc(0);

    /** @param {string} name */
    constructor(name) {
        this.name = name;
    }

    async getFile() {
        return new File([this.bytes], this.name);
    }

    async createSyncAccessHandle() {
        return {
            getSize: () => this.bytes.length,
            truncate: (/** @type {number} */ size) => { this.bytes = this.bytes.subarray(0, size); },
            write: (/** @type {Uint8Array} */ data, /** @type {{ at: number }} */ { at }) => {
                const fits = data.subarray(0, Math.max(0, room - at));
                this.bytes = Buffer.concat([this.bytes.subarray(0, at), fits, this.bytes.subarray(at + fits.length)]);
                return fits.length;
            },
            flush() {},
            close() {}
        };
    }
}

class Folder {
    kind = 'directory';
    /** @type {Map<string, any>} */
    entries = new Map();

    /** @param {string} name @param {any} made @param {{ create?: boolean }} [options] */
    entry(name, made, { create = false } = {}) {
        if (!this.entries.has(name) && create) this.entries.set(name, made);
        if (!this.entries.has(name)) throw new DOMException(`There is no ${name}`, 'NotFoundError');
        return this.entries.get(name);
    }

    /** @param {string} name @param {{ create?: boolean }} [options] */
    async getDirectoryHandle(name, options) {
        return this.entry(name, new Folder(), options);
    }

    /** @param {string} name @param {{ create?: boolean }} [options] */
    async getFileHandle(name, options) {
        return this.entry(name, new FileHandle(name), options);
    }

    /** @param {string} name */
    async removeEntry(name) {
        this.entries.delete(name);
    }

    async* values() {
        yield* [...this.entries.values()];
    }
}

/** @param {import('node:test').TestContext} t */
function fileSystem(t) {
    const root = new Folder();
    room = Infinity;
    const storage = { getDirectory: async () => root };
    for (const [name, value] of Object.entries({ navigator: { storage }, FileSystemFileHandle: FileHandle })) {
        const before = Object.getOwnPropertyDescriptor(globalThis, name);
        Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
        t.after(() => before ? Object.defineProperty(globalThis, name, before) : Reflect.deleteProperty(globalThis, name));
    }
}

/**
 * A hub with one model, someone/folder, of these files; one that `cut` names breaks off after 5 bytes.
 * @param {import('node:test').TestContext} t
 */
async function hub(t) {
    const state = {
        files: /** @type {Record<string, string>} */ ({}), listing: '', cut: '', hasTags: true, asked: /** @type {string[]} */ ([])
    };
    const server = createServer((request, response) => {
        if (request.url?.startsWith('/api/') && state.listing !== '') return void response.end(state.listing);
        const name = request.url?.split('/resolve/main/')[1] ?? '';
        const { range = '' } = request.headers;
        const text = state.files[name];
        if (text === undefined) return void response.writeHead(404).end();
        state.asked.push(`${name} ${range}`.trim());
        const start = Number(/bytes=(\d+)-/.exec(range)?.[1] ?? 0);
        const headers = state.hasTags ? { ETag: `"${Buffer.from(text).toString('hex').slice(0, 32)}"` } : {};
        if (range && start >= text.length) return void response.writeHead(416, { 'Content-Range': `bytes */${text.length}` }).end();
        response.writeHead(range ? 206 : 200, { ...headers, 'Content-Length': text.length - start });
        if (name !== state.cut) return void response.end(text.slice(start));
        response.write(text.slice(start, start + 5), () => request.socket.end());
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => {
        server.closeAllConnections();
        server.close();
    });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    return { state, folder: new URL(`http://127.0.0.1:${port}/someone/folder/resolve/main/`) };
}

/** @type {any} */
const SOURCE = { kind: 'hub', name: 'someone/folder', repository: 'someone/folder', file: null, endpoint: null };

/** @param {URL} folder @param {any} [source] @returns {Promise<Record<string, string>>} what is kept then */
async function download(folder, source = SOURCE) {
    const { given } = await openSource(source, () => ({ folder }), () => {}, new AbortController().signal);
    return Object.fromEntries(await Promise.all([given].flat().map(async (/** @type {File} */ file) => [file.name, await file.text()])));
}

const FIRST = { 'config.json': '{"old": 1}', 'tokenizer.json': '{"version": "first"}', 'model.safetensors': 'weights of the first version' };
const LONGER = { 'config.json': '{"new": [1, 2, 3]}', 'tokenizer.json': '{"version": "second"}', 'model.safetensors': 'other weights' };
const SHORTER = { 'config.json': '{}', 'tokenizer.json': '{}', 'model.safetensors': 'weights of the version after the first' };

for (const [what, later] of /** @type {[string, Record<string, string>][]} */ ([['longer', LONGER], ['shorter', SHORTER]])) {
    for (const hasTags of [true, false]) {
        test(`what changes on its hub in the middle comes anew: files that are ${what}, ${hasTags ? 'with' : 'without'} tags`, async t => {
            fileSystem(t);
            const { state, folder } = await hub(t);
            Object.assign(state, { files: FIRST, cut: 'model.safetensors', hasTags });
            await assert.rejects(download(folder), /was lost in the middle/);
            Object.assign(state, { files: later, cut: '' });
            assert.deepEqual(await download(folder), later);
        });
    }
}

test('files that the version has no more are not kept', async t => {
    fileSystem(t);
    const { state, folder } = await hub(t);
    const index = JSON.stringify({ weight_map: { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' } });
    const shards = { 'model-00001-of-00002.safetensors': 'first', 'model-00002-of-00002.safetensors': 'the second' };
    const files = { 'config.json': '{}', 'model.safetensors.index.json': index, ...shards };
    Object.assign(state, { files, cut: 'model-00002-of-00002.safetensors' });
    await assert.rejects(download(folder), /was lost in the middle/);
    Object.assign(state, { files: FIRST, cut: '' });
    assert.deepEqual(await download(folder), FIRST);
});

test('a model that has a PyTorch checkpoint alone is kept, one without weights is not', async t => {
    fileSystem(t);
    const { state, folder } = await hub(t);
    Object.assign(state, { files: { 'config.json': '{}' } });
    await assert.rejects(download(folder), /neither in GGUF nor in safetensors nor in pytorch_model\.bin\./);
    const files = { 'config.json': '{}', 'pytorch_model.bin': 'PK' };
    const siblings = [...Object.keys(files), 'flax_model.msgpack'].map((rfilename) => ({ rfilename, size: 2 }));
    Object.assign(state, { files: { ...files, 'flax_model.msgpack': 'no' }, listing: JSON.stringify({ siblings }) });
    assert.deepEqual(await download(folder), files);
});

test('a PyTorch checkpoint in parts is kept', async t => {
    fileSystem(t);
    const { state, folder } = await hub(t);
    const parts = ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin'];
    const split = {
        'config.json': '{}', 'pytorch_model.bin.index.json': JSON.stringify({ weight_map: { a: parts[0], b: parts[1] } }),
        [parts[0]]: 'PK1', [parts[1]]: 'PK2'
    };
    const listed = Object.keys(split).map((rfilename) => ({ rfilename, size: 2 }));
    Object.assign(state, { files: split, listing: JSON.stringify({ siblings: listed }) });
    assert.deepEqual(await download(folder), split);
});

for (const [what, listing] of [['a page', '<!doctype html>'], ['nothing', 'null'], ['an error', '{"error": "no such thing"}']]) {
    test(`a hub that has ${what} in place of a listing of its files has the files all the same`, async t => {
        fileSystem(t);
        const { state, folder } = await hub(t);
        Object.assign(state, { files: FIRST, listing });
        assert.deepEqual(await download(folder), FIRST);
    });
}

test('what has not changed comes once', async t => {
    fileSystem(t);
    const { state, folder } = await hub(t);
    Object.assign(state, { files: FIRST, cut: 'model.safetensors' });
    await assert.rejects(download(folder), /was lost in the middle/);
    Object.assign(state, { cut: '', asked: [] });
    assert.deepEqual(await download(folder), FIRST);
    assert.deepEqual(state.asked, ['config.json bytes=10-', 'tokenizer.json bytes=20-', 'model.safetensors bytes=5-']);
});

test('a download that finds no room goes on coming no longer', async t => {
    fileSystem(t);
    const { state, folder } = await hub(t);
    Object.assign(state, { files: { ...FIRST, 'model.safetensors': 'w'.repeat(50_000_000) } });
    room = 100_000;
    const cancelled = t.mock.method(ReadableStreamDefaultReader.prototype, 'cancel');
    /** @type {any[]} */
    const told = [];
    const { given } = await openSource(SOURCE, () => ({ folder }), report => told.push(report), new AbortController().signal);
    assert.deepEqual(given, { folder }, 'it is loaded straight from the hub');
    assert.match(told.at(-1).text, /no room/);
    assert.equal(cancelled.mock.callCount(), 1);
});

test('of files of one name in several folders the uppermost is kept', async t => {
    fileSystem(t);
    const files = [['model/config.json', '{"model": 1}'], ['model/pooling/config.json', '{"pooling": 1}'], ['model/a/b/config.json', '{}'],
        ['model/model.safetensors', 'weights']].map(([path, text]) => {
        return Object.defineProperty(new File([text], path.replace(/.*\//, '')), 'webkitRelativePath', { value: path });
    });
    for (const given of [files, files.toReversed()]) {
        await keepFiles('model', given, () => {}, new AbortController().signal);
        const kept = await Promise.all((await filesOf('model')).map(async file => [file.name, await file.text()]));
        assert.deepEqual(Object.fromEntries(kept), { 'config.json': '{"model": 1}', 'model.safetensors': 'weights' });
    }
});

test('models whose long names differ in the end only are two', async t => {
    fileSystem(t);
    const { state, folder } = await hub(t);
    const start = `${'long/'.repeat(50)}model`;
    state.files = { [`${start}-Q4_0.gguf`]: 'small', [`${start}-Q8_0.gguf`]: 'larger' };
    for (const [file, text] of Object.entries(state.files)) {
        const kept = await download(folder, { ...SOURCE, name: `someone/folder/${file}`, file });
        assert.deepEqual(Object.values(kept), [text]);
    }
});
