// createRuntime({ wasm, worker }): every form in which the binary and the worker can be given, and what is said of wrong ones.
// 'cached-attention/inline' is one user of it, tests/browser and src/build/package.js run it from a bundle.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import { createRuntime } from '../../js/index.js';
import { INTERFACE } from '../../js/engine/interface.js';

const timeout = 180_000;
const FOLDER = new URL('../../js/wasm/', import.meta.url);
const FILE = new URL('cmha-simd128.wasm', FOLDER);
const WORKER = new URL('../../js/engine/worker.js', import.meta.url);

/** @param {string} name */
const inDist = (name) => new URL(`../../dist/${name}`, import.meta.url);

/** @param {import('../../js/engine/options.js').RuntimeOptions} options */
async function explained(options) {
    const runtime = await createRuntime(options);
    const explanation = runtime.explain();
    runtime.dispose();
    return explanation;
}

test('the binary as an address, a path, a folder, bytes, a module, a pair', { timeout }, async () => {
    const bytes = await readFile(FILE);
    const copy = new Uint8Array(bytes.length + 8);
    copy.set(bytes, 8);
    const simd128 = bytes;
    for (const wasm of [
        FILE, FILE.href, FILE.pathname, bytes, bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
        copy.subarray(8), await WebAssembly.compile(bytes),
    ]) {
        const { variant, workers } = await explained({ wasm, workers: 1 });
        assert.equal(variant, 'simd128', 'it says what it is, whatever the engine would have chosen');
        assert.equal(workers, 1);
    }
    const chosen = (await explained({ workers: 0 })).variant;
    for (const wasm of [FOLDER, FOLDER.href, FOLDER.pathname, { relaxed: new URL('cmha-relaxed.wasm', FOLDER), simd128 }]) {
        assert.equal((await explained({ wasm, workers: 0 })).variant, chosen);
        assert.equal((await explained({ wasm, workers: 0, simd: 'simd128' })).variant, 'simd128');
    }
});

test('what the engine lacks is told of the binary that runs, not of the one that it would have chosen', { timeout }, async () => {
    // Both names have as many letters: an engine without relaxed SIMD takes this for the relaxed binary.
    const bytes = new Uint8Array(await readFile(FILE));
    const at = Buffer.from(bytes.buffer).indexOf('simd128');
    bytes.set(new TextEncoder().encode('relaxed'), at);
    const { variant, simd, fallbacks } = await explained({ wasm: bytes, workers: 0 });
    assert.equal(variant, 'relaxed');
    assert.match(simd, /relaxed SIMD and fuses|it is the binary given as wasm/);
    assert.deepEqual(fallbacks, []);
});

test('the same on memory that is not shared', { timeout }, async () => {
    const _test = { shared: false };
    const options = (/** @type {any} */ wasm) => /** @type {any} */ ({ wasm, _test, workers: 2 });
    const { memory, variant } = await explained(options(FILE));
    assert.equal(memory, 'private');
    assert.equal(variant, 'simd128');
});

test('a module that is compiled, where memory cannot be shared: Cloudflare\'s workers compile nothing themselves', { timeout }, async () => {
    const wasm = await WebAssembly.compile(await readFile(FILE));
    const options = /** @type {any} */ ({ wasm, workers: 2, _test: { shared: false } });
    const { memory, workers, fallbacks } = await explained(options);
    assert.deepEqual([memory, workers], ['shared', 0]);
    assert.match(fallbacks.join(), /memory cannot be shared with workers/);
    // An engine that makes no shared memory at all.
    const { Memory } = WebAssembly;
    try {
        WebAssembly.Memory = /** @type {any} */ (function (/** @type {any} */ { shared, ...limits }) {
            return new Memory(limits);
        });
        await assert.rejects(createRuntime(options),
            /where memory cannot be shared, wasm must be an address or bytes, not a WebAssembly\.Module/);
    } finally {
        WebAssembly.Memory = Memory;
    }
});

test('bytes, an address and a module of another realm: a frame, a sandbox of tests', { timeout }, async () => {
    const bytes = await readFile(FILE);
    const buffer = runInNewContext(`new ArrayBuffer(${bytes.length})`);
    new Uint8Array(buffer).set(bytes);
    const { href, protocol, hostname, pathname } = FILE;
    // What calls itself one, as jsdom's do.
    const url = { href, protocol, hostname, pathname, [Symbol.toStringTag]: 'URL' };
    const module = runInNewContext('(bytes) => new WebAssembly.Module(bytes)')(bytes);
    for (const wasm of [buffer, url, module]) {
        assert.equal((await explained({ wasm, workers: 0 })).variant, 'simd128');
    }
});

test('the worker as an address, a path, a function, a promise of one', { timeout }, async () => {
    for (const worker of [WORKER, WORKER.href, WORKER.pathname, () => new Worker(WORKER), async () => new Worker(WORKER)]) {
        assert.equal((await explained({ worker, workers: 2 })).workers, 2);
    }
    const { workers, fallbacks } = await explained({ workers: 1, worker: /** @type {any} */ (() => ({})) });
    assert.equal(workers, 0);
    assert.match(fallbacks.join('\n'), /worker must be a function that returns a Worker/);
});

test('what is no binary of this package is told from one', { timeout }, async () => {
    const page = '<!doctype html><html><head><title>Not found</title></head></html>';
    const server = createServer((request, response) => {
        response.setHeader('Content-Type', 'text/html; charset=utf-8');
        response.writeHead(request.url === '/missing.wasm' ? 404 : 200).end(request.url === '/empty.wasm' ? '' : page);
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const at = (/** @type {string} */ name) => `http://127.0.0.1:${port}/${name}.wasm`;
    try {
        await assert.rejects(createRuntime({ wasm: at('page') }), (/** @type {Error} */ error) => {
            assert.ok(error.message.includes(at('page')), 'the address');
            assert.match(error.message, /must be a wasm binary, got text\/html; charset=utf-8, "<!doctype html>/, 'what came');
            assert.match(error.message, /createRuntime\(\{ wasm \}\).*'cached-attention\/inline'/, 'what can be done');
            assert.ok(error.message.length < 500);
            return true;
        });
        await assert.rejects(createRuntime({ wasm: at('empty') }), /must be a wasm binary, got nothing/);
        await assert.rejects(createRuntime({ wasm: at('missing') }), /cannot fetch .*: HTTP 404/);
    } finally {
        server.closeAllConnections();
        server.close();
    }
    await assert.rejects(createRuntime({ wasm: page }), /cannot read/);
    await assert.rejects(createRuntime({ wasm: new TextEncoder().encode(page) }), /wasm must be a wasm binary, got "<!doctype/);
    const [MAGIC, VERSION] = [[0, 97, 115, 109], [1, 0, 0, 0]];
    await assert.rejects(createRuntime({ wasm: new Uint8Array([...MAGIC, ...VERSION]) }), /wasm must be a binary of this package/);
    await assert.rejects(createRuntime({ wasm: new Uint8Array([...MAGIC, 9, 9, 9, 9]) }), /does not compile the wasm binary/);
    // Cut off in the section of imports, which the patch for private memory reads by itself.
    for (let length = 8; length < 60; length++) {
        const wasm = (await readFile(FILE)).subarray(0, length);
        await assert.rejects(createRuntime(/** @type {any} */ ({ wasm, _test: { shared: false } })), /createRuntime: /);
    }
    // i32.const of the number that both halves of the package have in common, in LEB128.
    const wasm = await readFile(FILE);
    const place = wasm.indexOf(Buffer.from([0x41, ...[0, 7, 14, 21].map((shift) => 0x80 | INTERFACE >>> shift & 0x7f), INTERFACE >> 28 & 0x7f]));
    assert.ok(place > 0);
    wasm[place + 1] ^= 1;
    await assert.rejects(createRuntime({ wasm, workers: 0 }), /the wasm binary and the JavaScript are of different versions/);
    await assert.rejects(createRuntime({ wasm: FILE, simd: 'relaxed' }), /wasm must be the relaxed binary, as simd asks|no relaxed SIMD/);
});

test('the entry with everything inlined', { timeout, skip: !existsSync(inDist('inline.js')) && 'dist/ is not built' }, async () => {
    const inline = await import(inDist('inline.js').href);
    const main = await import(inDist('index.js').href);
    assert.deepEqual(Object.keys(inline).sort(), Object.keys(main).sort());
    const runtime = await inline.createRuntime({ workers: 1 });
    assert.equal(runtime.explain().workers, 1);
    runtime.dispose();
    await assert.rejects(async () => inline.createRuntime(null), TypeError);
    await assert.rejects(inline.createRuntime({ threads: 1 }), TypeError);
    // Where no other files of the package are, an option that is undefined is none.
    const folder = await mkdtemp(join(tmpdir(), 'inline-'));
    try {
        for (const name of await readdir(inDist('.'))) {
            if (name.endsWith('.js') && name !== 'worker.js') await copyFile(inDist(name), join(folder, name));
        }
        await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
        const body = `import { createRuntime } from './inline.js';
            const runtime = await createRuntime({ wasm: undefined, worker: undefined, workers: 1 });
            console.log(runtime.explain().workers);
            runtime.dispose();`;
        await writeFile(join(folder, 'main.js'), body);
        assert.equal((await promisify(execFile)(process.execPath, ['main.js'], { cwd: folder })).stdout, '1\n');
    } finally {
        await rm(folder, { recursive: true });
    }
});
