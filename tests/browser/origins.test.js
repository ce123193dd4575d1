// The package on another origin than the page, as on a CDN, and under Trusted Types: workers run in both, from text; and a page
// that serves the package itself under a strict policy never meets a blob.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { noBrowser, openPage, testBrowser } from './browser.js';

const options = { skip: noBrowser, timeout: 180_000 };
const browser = await testBrowser();
const ROOT = new URL('../../', import.meta.url);
const ISOLATED = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };
const SHARED = { 'Access-Control-Allow-Origin': '*', 'Cross-Origin-Resource-Policy': 'cross-origin' };

/** @param {import('node:test').TestContext} t @param {Record<string, string>} headers @returns {Promise<string>} its address */
async function serve(t, headers) {
    const server = createServer(async (request, response) => {
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
        const { pathname } = new URL(/** @type {string} */ (request.url), 'http://localhost');
        if (/^\/js\/[\w/.-]+\.(js|wasm)$/.test(pathname) && !pathname.includes('..')) {
            const type = pathname.endsWith('.js') ? 'text/javascript' : 'application/wasm';
            response.setHeader('Content-Type', type).end(await readFile(new URL(`.${pathname}`, ROOT)));
        } else {
            response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>empty</title>');
        }
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
    t.after(() => {
        server.closeAllConnections();
        server.close();
    });
    return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`;
}

/**
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} headers  of the page
 * @param {string} [origin]  of the package; the page's by default
 * @param {string} [worker]  given as that option
 */
async function explained(t, headers, origin, worker) {
    const address = await serve(t, headers);
    const page = await openPage(browser);
    t.after(() => page.close());
    await page.goto(address);
    return page.evaluate(async (path, script) => {
        /** @type {string[]} */
        const violations = [];
        document.addEventListener('securitypolicyviolation', (event) => violations.push(event.blockedURI));
        const { createRuntime } = await import(path);
        const runtime = await createRuntime({ workers: 2, ...script && { worker: script } });
        const explanation = runtime.explain();
        runtime.dispose();
        return { ...explanation, violations };
    }, `${origin ?? address}/js/index.js`, worker ?? null);
}

test('from another origin', options, async (t) => {
    const origin = await serve(t, SHARED);
    const { workers, memory, fallbacks } = await explained(t, ISOLATED, origin);
    assert.equal(memory, 'shared');
    assert.equal(workers, 2, fallbacks.join('\n'));
    const given = await explained(t, ISOLATED, undefined, `${origin}/js/engine/worker.js`);
    assert.equal(given.workers, 2, given.fallbacks.join('\n'));
});

test('from another origin, to a page without headers', options, async (t) => {
    const { workers, fallbacks } = await explained(t, {}, await serve(t, SHARED));
    assert.equal(workers, 0);
    assert.match(fallbacks.join('\n'), /Cross-Origin-Opener-Policy: same-origin.*Cross-Origin-Embedder-Policy: require-corp/);
});

test('under Trusted Types, also where policies are listed', options, async (t) => {
    for (const [policies, expected] of /** @type {[string, number][]} */ ([
        ['', 2], ['; trusted-types cached-attention', 2], ['; trusted-types other', 0],
    ])) {
        const policy = `require-trusted-types-for 'script'${policies}`;
        const { workers, fallbacks } = await explained(t, { ...ISOLATED, 'Content-Security-Policy': policy });
        assert.equal(workers, expected, fallbacks.join('\n'));
        if (expected === 0) assert.match(fallbacks.join('\n'), /workers 0: .*policy/i);
    }
});

test('a strict policy is not violated', options, async (t) => {
    for (const [rule, expected] of /** @type {[string, number][]} */ ([["worker-src 'self'", 2], ["worker-src 'none'", 0]])) {
        const policy = `default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; ${rule}`;
        const { workers, violations } = await explained(t, { ...ISOLATED, 'Content-Security-Policy': policy });
        assert.equal(workers, expected);
        assert.equal(violations.filter((/** @type {string} */ uri) => uri.startsWith('blob')).length, 0, violations.join());
    }
});
