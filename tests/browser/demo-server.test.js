// The demo's server: what it sends, what it refuses, and how it begins and ends.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { once } from 'node:events';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { publish } from '../../src/build/page.js';
import { serve } from '../../web/serve.js';

const SERVER = fileURLToPath(new URL('../../web/serve.js', import.meta.url));
const options = { timeout: 60_000 };

/**
 * @param {import('node:test').TestContext} t
 * @param {import('../../web/serve.js').ServeOptions} [settings]
 */
async function served(t, settings) {
    const server = await serve({ port: 0, ...settings });
    t.after(() => server.close());
    return server;
}

/**
 * A request whose path is sent as it stands.
 * @param {number} port
 * @param {string} path
 * @returns {Promise<number | undefined>} the status
 */
function statusOf(port, path) {
    return new Promise((resolve, reject) => {
        get({ port, host: '127.0.0.1', path }, response => {
            response.resume();
            resolve(response.statusCode);
        }).on('error', reject);
    });
}

test('files have their types, and the page its policy', options, async t => {
    const { url } = await served(t);
    for (const [path, type] of [
        ['web/', 'text/html; charset=utf-8'], ['web/style.css', 'text/css; charset=utf-8'],
        ['dist/index.js', 'text/javascript; charset=utf-8'], ['dist/wasm/cmha-simd128.wasm', 'application/wasm'],
        ['web/icon.svg', 'image/svg+xml']
    ]) {
        const response = await fetch(url + path);
        assert.equal(response.status, 200, path);
        assert.equal(response.headers.get('content-type'), type);
        assert.equal(Number(response.headers.get('content-length')), (await response.arrayBuffer()).byteLength);
        const policy = response.headers.get('content-security-policy') ?? '';
        for (const part of ["default-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self'"]) {
            assert.ok(policy.includes(part), `${part} is not in ${policy}`);
        }
    }
});

test('the page’s own code is small', options, async t => {
    const web = fileURLToPath(new URL('../../web/', import.meta.url));
    const zipped = (/** @type {string | Uint8Array} */ text) => gzipSync(text, { level: 9 }).length;
    // As visitors get it: both modules as they are bundled, the package left out, and the files beside them.
    const { outputFiles } = await build({
        entryPoints: ['main', 'generator'].map(name => join(web, `${name}.js`)), bundle: true, minify: true, format: 'esm', target: 'es2022',
        external: ['../js/*', './vendor/*'], write: false, outdir: web
    });
    const files = ['index.html', 'style.css', 'sw.js'].map(name => zipped(readFileSync(join(web, name))));
    const sum = [...outputFiles.map(({ contents }) => zipped(contents)), ...files].reduce((all, size) => all + size);
    // All that one has to read to know it: the sources with their comments, though no browser loads them.
    const sources = readdirSync(web).filter(name => /^[^.]+\.(js|css|html)$/.test(name) && !/^(bench|serve|messages)\./.test(name));
    const read = zipped(Buffer.concat(sources.map(name => readFileSync(join(web, name)))));
    t.diagnostic(`the page's own code: ${sum} bytes gzipped; ${sources.length} sources: ${read}`);
    assert.ok(outputFiles.length === 2 && sum < 80_000, `${sum} bytes gzipped`);
    assert.ok(sources.length > 20 && read < 80_000, `the sources: ${read} bytes gzipped`);
});

test('a page that is published says where its picture is', options, async t => {
    const folder = await mkdtemp(join(tmpdir(), 'site-'));
    t.after(() => rm(folder, { recursive: true }));
    publish('https://example.org/some/path', folder);
    const html = await readFile(join(folder, 'web/index.html'), 'utf8');
    const [url, image] = ['url', 'image'].map(name => new RegExp(`<meta property="og:${name}" content="([^"]*)">`).exec(html)?.[1]);
    assert.equal(url, 'https://example.org/some/path/web/');
    assert.equal(image, 'https://example.org/some/path/web/screenshot.png');
    assert.ok(existsSync(join(folder, 'web/screenshot.png')));
    for (const name of ['web/main.min.js', 'web/bench/worker.min.js', 'web/vendor/markdown.js', 'dist/isolate.js', 'dist/embedded/model.gguf']) {
        assert.ok(existsSync(join(folder, name)), name);
    }
    assert.throws(() => publish('example.org', folder), /Invalid URL/);
    assert.throws(() => publish('file:///tmp', folder), /must be an address that begins with https/);
});

test('isolation is a switch', options, async t => {
    for (const isolation of [true, false]) {
        const { url } = await served(t, { isolation });
        const { headers } = await fetch(`${url}web/`);
        assert.equal(headers.get('cross-origin-opener-policy'), isolation ? 'same-origin' : null);
        assert.equal(headers.get('cross-origin-embedder-policy'), isolation ? 'require-corp' : null);
    }
});

test('the root leads to the page', options, async t => {
    const { url } = await served(t);
    for (const path of ['', 'web', '?x=1']) {
        const response = await fetch(url + path, { redirect: 'manual' });
        assert.equal(response.status, 302);
        assert.equal(response.headers.get('location'), '/web/');
    }
});

test('a warm cache downloads nothing', options, async t => {
    const { url } = await served(t);
    const first = await fetch(`${url}dist/index.js`);
    const etag = first.headers.get('etag') ?? '';
    assert.notEqual(etag, '');
    await first.arrayBuffer();
    const second = await fetch(`${url}dist/index.js`, { headers: { 'if-none-match': etag } });
    assert.equal(second.status, 304);
    assert.equal((await second.arrayBuffer()).byteLength, 0);
    const other = await fetch(`${url}dist/index.js`, { headers: { 'if-none-match': 'W/"0-0"' } });
    assert.equal(other.status, 200);
    await other.arrayBuffer();
});

test('HEAD has the headers without the file, other methods are refused', options, async t => {
    const { url } = await served(t);
    const head = await fetch(`${url}web/style.css`, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.ok(Number(head.headers.get('content-length')) > 0);
    assert.equal(await head.text(), '');
    const post = await fetch(`${url}web/style.css`, { method: 'POST', body: 'x' });
    assert.equal(post.status, 405);
    assert.equal(post.headers.get('allow'), 'GET, HEAD');
});

test('nothing but the two folders is served', options, async t => {
    const { port } = await served(t);
    for (const path of [
        '/package.json', '/src/cmha.h', '/.git/config', '/js/index.js', '/dist', '/dist/', '/web/none.html', '/web/.hidden',
        '//package.json', '/web/../package.json', '/web/..%2fpackage.json', '/web/%2e%2e/package.json',
        '/web/..\\package.json', '/web//index.html', '/web/%00', '/web/%'
    ]) {
        assert.equal(await statusOf(port, path), 404, path);
    }
    assert.equal(await statusOf(port, '/web/index.html'), 200);
});

test('a port that is taken is not the end', options, async t => {
    const first = await served(t);
    const second = await served(t, { port: first.port });
    assert.notEqual(second.port, first.port);
    assert.equal((await fetch(`${second.url}web/`)).status, 200);
});

test('the command prints the address and ends by a signal', options, async t => {
    const child = spawn(process.execPath, [SERVER, '--port', '0', '--no-isolation']);
    t.after(() => child.kill('SIGKILL'));
    const [line] = await once(child.stdout.setEncoding('utf8'), 'data');
    const [url] = /http:\/\/localhost:\d+\//.exec(line) ?? [''];
    assert.notEqual(url, '', line);
    assert.equal((await fetch(`${url}web/`)).headers.get('cross-origin-opener-policy'), null);
    child.kill('SIGINT');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('a wrong option is refused in words', options, async () => {
    for (const wrong of [['--port', 'x'], ['--port', '70000'], ['--isolation']]) {
        const child = spawn(process.execPath, [SERVER, ...wrong]);
        child.stderr.setEncoding('utf8');
        const [[text], [code]] = await Promise.all([once(child.stderr, 'data'), once(child, 'exit')]);
        assert.equal(code, 1);
        assert.ok(text.includes(wrong[0]), text);
    }
});
