// js/isolate.js on a host that sends no headers: alone, beside another service worker, within it, and where it has nothing to do.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { noBrowser, openPage, reload, testBrowser } from './browser.js';

const options = { skip: noBrowser, timeout: 180_000 };
const browser = await testBrowser();
const ROOT = new URL('../../', import.meta.url);

const LINE = '<!doctype html><title>static</title><script src="/isolate.js"></script>';
const REGISTER = `${LINE}<script>navigator.serviceWorker.register('/other.js')</script>`;
const OTHER = "onfetch = (event) => { if (new URL(event.request.url).pathname === '/from-other') "
    + "event.respondWith(new Response('<!doctype html><title>from other</title>', { headers: { 'Content-Type': 'text/html' } })); };";

/**
 * A page of a host of its own, which knows these files besides js/.
 * @param {import('node:test').TestContext} t
 * @param {Record<string, string>} files
 * @param {Record<string, string>} [headers]
 */
async function open(t, files, headers = {}) {
    /** @type {string[]} */
    const asked = [];
    const server = createServer(async (request, response) => {
        const { pathname } = new URL(/** @type {string} */ (request.url), 'http://localhost');
        asked.push(pathname);
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
        const known = /^\/js\/[\w/.-]+\.(js|wasm)$/.test(pathname) && !pathname.includes('..');
        const path = pathname === '/isolate.js' ? '/js/isolate.js' : pathname;
        const type = path.endsWith('.js') ? 'text/javascript' : path.endsWith('.wasm') ? 'application/wasm' : 'text/html';
        if (Object.hasOwn(files, path)) {
            response.setHeader('Content-Type', type).end(files[path]);
        } else if (known || path === '/js/isolate.js') {
            response.setHeader('Content-Type', type).end(await readFile(new URL(`.${path}`, ROOT)));
        } else {
            response.writeHead(404).end();
        }
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
    const context = await browser.createBrowserContext();
    const page = await openPage(context);
    /** @type {string[]} */
    const told = [];
    page.on('console', (message) => {
        if (message.text().startsWith('isolate.js')) told.push(message.text());
    });
    t.after(async () => {
        await context.close();
        server.closeAllConnections();
        server.close();
    });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const address = `http://127.0.0.1:${port}`;
    await page.goto(`${address}/`);
    return { page, asked, told, address };
}

/** @param {() => boolean | Promise<boolean>} holds */
async function until(holds) {
    for (let i = 0; i < 1200; i++) {
        if (await holds()) return;
        await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    assert.fail(`never: ${holds}`);
}

/** A page that is being reloaded has nothing to say, and an empty one may stand there meanwhile. @param {import('puppeteer-core').Page} page */
const isIsolated = (page) => page.evaluate(() => globalThis.crossOriginIsolated && location.protocol === 'http:').catch(() => false);

test('one line and one reload, then workers run', options, async (t) => {
    const { page, asked, told } = await open(t, { '/': LINE });
    await until(() => isIsolated(page));
    assert.equal(asked.filter((path) => path === '/').length, 2, 'loaded, and loaded again');
    assert.deepEqual(told, []);
    const explanation = await page.evaluate(async (path) => {
        const { createRuntime } = await import(path);
        const runtime = await createRuntime({ workers: 1 });
        const said = runtime.explain();
        runtime.dispose();
        return said;
    }, '/js/index.js');
    assert.equal(explanation.memory, 'shared');
    assert.equal(explanation.workers, 1);
    await page.goto(page.url());
    assert.equal(await isIsolated(page), true);
    assert.equal(asked.filter((path) => path === '/').length, 3);
    assert.deepEqual(told, []);
});

test('a visitor’s reload does not bring back the page from before', options, async (t) => {
    const { page } = await open(t, { '/': LINE });
    await until(() => isIsolated(page));
    // Chromium has it still, and shows it for a moment.
    await reload(page);
    await until(() => isIsolated(page));
});

test('beside another service worker it stands back and says so', options, async (t) => {
    const { page, asked, told } = await open(t, { '/': '<!doctype html>', '/line.html': LINE, '/other.js': OTHER });
    await page.evaluate(async () => {
        await navigator.serviceWorker.register('/other.js');
        await navigator.serviceWorker.ready;
    });
    await page.goto(new URL('/line.html', page.url()).href);
    await until(() => told.length > 0);
    assert.match(told[0], /other\.js is the service worker here; its first line should be importScripts\("http.*isolate\.js"\)/);
    const scripts = await page.evaluate(async () =>
        (await navigator.serviceWorker.getRegistrations()).map((registration) => registration.active?.scriptURL));
    assert.deepEqual(scripts.map((script) => new URL(String(script)).pathname), ['/other.js']);
    assert.ok(asked.filter((path) => path === '/line.html').length <= 2, 'no reload after reload');
});

test('within another service worker, which goes on answering', options, async (t) => {
    const { page, told, address } = await open(t, {
        '/': '<!doctype html>', '/line.html': REGISTER, '/other.js': `importScripts('/isolate.js');${OTHER}`,
    });
    await page.evaluate(async () => {
        await navigator.serviceWorker.register('/other.js');
        await navigator.serviceWorker.ready;
    });
    await page.goto(`${address}/line.html`);
    await until(() => isIsolated(page));
    await page.goto(`${address}/from-other`);
    assert.equal(await page.title(), 'from other');
    assert.equal(await isIsolated(page), true);
    assert.deepEqual(told, []);
});

test('where the server sends the headers it does nothing', options, async (t) => {
    const { page, asked } = await open(t, { '/': LINE }, {
        'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp',
    });
    assert.equal(await isIsolated(page), true);
    assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
    assert.equal(asked.filter((path) => path === '/').length, 1);
});
