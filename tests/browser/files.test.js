// Opening model files in a real browser: relative addresses, Blobs, streams, picked Files, shared memory, parts.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { safetensors, tinyWeights } from '../generation/checkpoint.js';
import { bytesOf, gguf, llama, llamaPairs, llamaTensors } from '../files/gguf-writer.js';
import { noBrowser, openPage, testBrowser } from './browser.js';

const ROOT = new URL('../../', import.meta.url);
const FILE = llama();
const FOLDER = tinyWeights();
/** @param {number} i @param {ReturnType<typeof llamaTensors>} tensors */
const PART = (i, tensors) => gguf({
    pairs: [...i === 0 ? llamaPairs() : [], ['split.no', 'u16', i], ['split.count', 'u16', 2]], tensors,
});

/**
 * Files of models by path; anything else is a page, as servers of single-page applications answer.
 * @type {Record<string, string | Uint8Array>}
 */
const FILES = {
    '/models/tiny.gguf': FILE,
    '/models/tiny-00001-of-00002.gguf': PART(0, llamaTensors().slice(0, 5)),
    '/models/tiny-00002-of-00002.gguf': PART(1, llamaTensors().slice(5)),
    '/folder/config.json': '{"model_type":"gpt2"}',
    '/folder/model.safetensors': safetensors(FOLDER),
};

const browser = await testBrowser();
/** @type {import('node:http').Server} */
let server;
/** Paths that were asked for. @type {string[]} */
const asked = [];
before(async () => {
    server = createServer(async (request, response) => {
        response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
        response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
        const { pathname } = new URL(/** @type {string} */ (request.url), 'http://localhost');
        asked.push(pathname);
        if (Object.hasOwn(FILES, pathname)) {
            response.end(FILES[pathname]);
        } else if (/^\/js\/[\w/.-]+\.(js|gguf)$/.test(pathname) && !pathname.includes('..')) {
            const type = pathname.endsWith('.js') ? 'text/javascript' : 'application/octet-stream';
            response.setHeader('Content-Type', type).end(await readFile(new URL(`.${pathname}`, ROOT)));
        } else {
            response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>empty</title>');
        }
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
});
after(() => {
    server.closeAllConnections();
    server.close();
});

test('every source that a page has', { skip: noBrowser, timeout: 180_000 }, async () => {
    const page = await openPage(browser);
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    await page.goto(`http://127.0.0.1:${port}/app/`);
    const results = await page.evaluate(async (url) => {
        const { openModel } = await import(url);
        const bytes = new Uint8Array(await (await fetch('/models/tiny.gguf')).arrayBuffer());
        const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
        shared.set(bytes);
        const parts = ['tiny-00002-of-00002.gguf', 'tiny-00001-of-00002.gguf'].map(async (name) =>
            new File([await (await fetch(`/models/${name}`)).blob()], name));
        const sources = {
            'a relative address': '../models/tiny.gguf', 'a Blob': new Blob([bytes]), 'an ArrayBuffer': bytes.buffer,
            'shared memory': shared, 'a stream': (await fetch('/models/tiny.gguf')).body,
            'a blob: URL': URL.createObjectURL(new Blob([bytes])),
            'parts by address': '/models/tiny-00001-of-00002.gguf', 'parts as Files': await Promise.all(parts),
            'a folder': '/folder/', 'a folder without a slash': '/folder',
            'the embedded model': '/js/embedded/model.gguf', 'nothing there': '/nowhere/',
        };
        const results = [];
        for (const [name, source] of Object.entries(sources)) {
            try {
                const model = await openModel(source);
                let read = 0;
                for await (const { bytes } of model.read(() => true)) read += bytes.length;
                model.close();
                results.push([name, `${model.architecture} ${model.tensors.size} ${read}`]);
            } catch (reason) {
                const error = /** @type {Error & { code?: string }} */ (reason);
                results.push([name, `${error.code}: ${error.message}`]);
            }
        }
        return results;
    }, '/js/files/open.js');
    await page.close();
    const bytes = llamaTensors().reduce((sum, tensor) => sum + bytesOf(tensor).length, 0);
    const tiny = `llama ${llamaTensors().length} ${bytes}`;
    const folder = `gpt2 ${FOLDER.size} ${[...FOLDER.values()].reduce((sum, { data }) => sum + data.byteLength, 0)}`;
    for (const [name, got] of results) {
        if (name === 'nothing there') {
            assert.match(got, /^config-not-json: config\.json of .*\/nowhere\/ is an HTML page/);
        } else if (name === 'the embedded model') {
            assert.match(got, /^gpt2 52 \d+$/);
        } else {
            assert.equal(got, name.includes('folder') ? folder : tiny, name);
        }
    }
    const beside = asked.filter((path) => path.startsWith('/js/embedded/'));
    assert.deepEqual(beside, ['/js/embedded/model.gguf'], 'nothing is looked for beside a whole model');
});
