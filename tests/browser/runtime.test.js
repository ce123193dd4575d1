// The runtime in a real browser: with and without cross-origin isolation, on a page's main thread and in a worker,
// under policies and with servers that do not let workers start, and with workers that are gone.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { noBrowser, openPage, testBrowser } from './browser.js';

const options = { skip: noBrowser, timeout: 180_000 };
const browser = await testBrowser();

const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'";
const ROOT = new URL('../../', import.meta.url);

/**
 * @typedef {object} Place  how pages are served
 * @property {boolean} [isolated]
 * @property {string} [policy]
 * @property {boolean} [withoutWorker]  js/engine/worker.js is missing
 */

/**
 * Serves the repository's js/ and tests/, and an empty page at /.
 * @param {Place} place
 * @returns {Promise<import('node:http').Server>}
 */
async function serve({ isolated = true, policy = POLICY, withoutWorker = false }) {
    const server = createServer(async (request, response) => {
        response.setHeader('Content-Security-Policy', policy);
        if (isolated) {
            response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
            response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
        }
        const { pathname } = new URL(/** @type {string} */ (request.url), 'http://localhost');
        const known = /^\/(js|tests)\/[\w/.-]+\.(js|wasm)$/.test(pathname) && !pathname.includes('..');
        if (pathname === '/') {
            response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>empty</title>');
        } else if (!known || (withoutWorker && pathname === '/js/engine/worker.js')) {
            response.writeHead(404).end();
        } else {
            const type = pathname.endsWith('.js') ? 'text/javascript' : 'application/wasm';
            response.setHeader('Content-Type', type).end(await readFile(new URL(`.${pathname}`, ROOT)));
        }
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', () => resolve(undefined)); });
    return server;
}

/**
 * An empty page; it is closed when the test ends.
 * @param {import('node:test').TestContext} t
 * @param {Place} place
 */
async function open(t, place = {}) {
    const server = await serve(place);
    const page = await openPage(browser);
    t.after(async () => {
        await page.close();
        server.closeAllConnections();
        server.close();
    });
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    await page.goto(`http://127.0.0.1:${port}/`);
    return page;
}

/** Where the code of a test finds things; spelled so that only the browser resolves it. */
const MODULES = ['/js/engine/create-runtime.js', '/tests/property/jobs.js'];
const SIZES = { t: 64, s: 700, heads: 4, d: 32 };

/**
 * Runs one block of attention and says what happened.
 * @param {import('puppeteer-core').Page} page
 * @param {any} runtimeOptions
 */
function runBlock(page, runtimeOptions) {
    return page.evaluate(async (modules, sizes, init) => {
        const [{ createRuntime }, { Block }] = await Promise.all(modules.map((url) => import(url)));
        try {
            const runtime = await createRuntime(init);
            const explanation = runtime.explain();
            const block = new Block(runtime, sizes);
            let sync = 'works';
            try {
                runtime._runSync(block);
            } catch (error) {
                sync = String(error);
            }
            const { data } = await runtime._run(block);
            const bits = Array.from(new Uint32Array(data.slice().buffer));
            runtime.dispose();
            return { explanation, sync, bits, error: '' };
        } catch (error) {
            return { explanation: null, sync: '', bits: [], error: String(error) };
        }
    }, MODULES, SIZES, runtimeOptions);
}

test('isolated: shared memory, workers compute, the main thread does not wait', options, async (t) => {
    const page = await open(t);
    const alone = await runBlock(page, { workers: 0 });
    assert.equal(alone.error, '');
    assert.equal(alone.sync, 'works');
    assert.equal(alone.explanation.memory, 'shared');
    for (const workers of [1, 2, 3]) {
        const result = await runBlock(page, { workers });
        assert.equal(result.error, '');
        assert.equal(result.explanation.workers, workers);
        assert.equal(result.explanation.threads, workers);
        assert.match(result.sync, /a page's main thread must not wait for workers/);
        assert.deepEqual(result.bits, alone.bits, `${workers} workers give the same bits`);
    }
    const auto = await runBlock(page, {});
    assert.ok(auto.explanation.workers >= 1 && auto.explanation.workers <= 8);
    assert.deepEqual(auto.bits, alone.bits);
});

test('not isolated: private memory, no workers, the same bits, and it says why', options, async (t) => {
    const isolated = await runBlock(await open(t), { workers: 2 });
    const result = await runBlock(await open(t, { isolated: false }), { workers: 2 });
    assert.equal(result.error, '');
    assert.equal(result.explanation.memory, 'private');
    assert.equal(result.explanation.workers, 0);
    assert.match(result.explanation.fallbacks.join('\n'), /workers 0: this context is not cross-origin isolated/);
    assert.equal(result.sync, 'works');
    assert.deepEqual(result.bits, isolated.bits);
});

for (const isolated of [true, false]) {
    test(`in a worker ${isolated ? 'with' : 'without'} isolation`, options, async (t) => {
        const page = await open(t, { isolated });
        const result = await page.evaluate((sizes) => new Promise((resolve, reject) => {
            const worker = new Worker('/tests/browser/in-worker.js', { type: 'module' });
            worker.onmessage = ({ data }) => resolve(data);
            worker.onerror = (event) => reject(new Error(event.message));
            worker.postMessage(sizes);
        }), SIZES);
        assert.equal(result.error, '');
        assert.equal(result.explanation.memory, isolated ? 'shared' : 'private');
        assert.equal(result.explanation.workers, isolated ? 2 : 0);
        assert.equal(result.explanation.threads, isolated ? 3 : 1);
        const page0 = await runBlock(page, { workers: 0 });
        assert.deepEqual(result.sync, page0.bits);
        assert.deepEqual(result.async, page0.bits);
    });
}

for (const [name, place] of /** @type {[string, Place][]} */ ([
    ['its script is missing', { withoutWorker: true }],
    ['the policy forbids it', { policy: POLICY.replace("worker-src 'self'", "worker-src 'none'") }],
])) {
    test(`a worker cannot start because ${name}`, options, async (t) => {
        const page = await open(t, place);
        const asked = await runBlock(page, { workers: 2 });
        // As soon as the browser says so: where it were only waited for, the reason would be that it was silent.
        assert.match(asked.explanation.fallbacks.join('\n'), /worker \d of 2 did not start: it could not be (loaded|created)/);
        const auto = await runBlock(page, { workers: 'auto' });
        assert.equal(auto.error, '');
        assert.equal(auto.explanation.workers, 0);
        assert.match(auto.explanation.fallbacks.join('\n'), /workers 0: .*did not start/);
        assert.equal(auto.sync, 'works');
    });
}

test('a policy without wasm is an error that says so', options, async (t) => {
    const page = await open(t, { policy: POLICY.replace(" 'wasm-unsafe-eval'", '') });
    const { error } = await runBlock(page, {});
    assert.match(error, /createRuntime: the engine does not compile the wasm binary .*must allow 'wasm-unsafe-eval'/);
});

test('a worker that is gone: its call is told, the next ones work', options, async (t) => {
    const page = await open(t);
    const result = await page.evaluate(async (modules, sizes) => {
        const started = /** @type {Worker[]} */ ([]);
        const Real = Worker;
        globalThis.Worker = class extends Real {
            constructor(/** @type {any} */ url, /** @type {any} */ init) {
                super(url, init);
                started.push(this);
            }
        };
        const [{ createRuntime }, { Block }] = await Promise.all(modules.map((url) => import(url)));
        const runtime = await createRuntime({ workers: 1 });
        const block = new Block(runtime, { ...sizes, t: 512 });
        await runtime._run(block);
        const bits = async () => new Uint32Array((await runtime._run(block)).data.slice().buffer).join();
        const right = await bits();
        const first = started.slice();
        for (const worker of first) worker.terminate();
        // Chromium gives a worker two seconds before it really ends it, in whatever call; until then calls get through.
        const line = [1, 2, 3].map(bits);
        let lost = null;
        while (lost === null) {
            lost = await /** @type {Promise<string>} */ (line.shift()).then(() => null, (/** @type {Error} */ error) => error);
            if (lost === null) line.push(bits());
        }
        const behind = await Promise.allSettled(line);
        while (runtime.explain().workers === 0) await new Promise((resolve) => { setTimeout(resolve, 20); });
        const later = await bits();
        const { workers } = runtime.explain();
        runtime.dispose();
        runtime.dispose();
        const closed = await runtime._run(block).catch((/** @type {Error} */ error) => error.message);
        return {
            name: lost.name,
            message: lost.message,
            line: behind.map((one) => one.status === 'fulfilled' && one.value === right), later: later === right,
            closed, workers, started: started.length - first.length,
        };
    }, MODULES, SIZES);
    assert.equal(result.name, 'WorkerLostError');
    assert.match(String(result.message), /later calls go on: no task was completed for 800 ms/);
    assert.deepEqual(result.line, [true, true], 'those in line behind it');
    assert.ok(result.later);
    assert.deepEqual([result.workers, result.started], [1, 1], 'another one works in its place');
    assert.match(result.closed, /disposed/);
});

test('the layer on a page, calls not waited for one by one', options, async (t) => {
    const page = await open(t);
    const decode = (/** @type {number} */ workers) => page.evaluate(async (count) => {
        const { createRuntime, CachedMultiHeadAttention, KVCache } = await import(/** @type {any} */ ('/js/index.js'));
        const { rng, floats } = await import(/** @type {any} */ ('/tests/rng.js'));
        const runtime = await createRuntime({ workers: count });
        const layer = new CachedMultiHeadAttention(runtime, { numHeads: 8, keyDim: 64 });
        const random = rng(5);
        const prompt = { shape: [2, 40, 512], data: floats(random, 2 * 40 * 512) };
        const token = { shape: [2, 1, 512], data: new Float32Array(2 * 512) };
        layer.build(prompt.shape, prompt.shape);
        layer.setWeights(layer.getWeights().map((/** @type {any} */ weight) => (
            { shape: weight.shape, data: floats(random, weight.data.length, 0.1) })));
        const cache = new KVCache(runtime, { batch: 2, length: 50, numHeads: 8, keyDim: 64 });
        const calls = [layer.call(prompt, prompt, { cache, cacheUpdateIndex: 0, useCausalMask: true })];
        for (let i = 40; i < 50; i++) {
            token.data.set(floats(random, 2 * 512)); // the call before must not see this
            calls.push(layer.call(token, token, { cache, cacheUpdateIndex: i, useCausalMask: true }));
        }
        const out = [];
        for (const { attentionOutput } of await Promise.all(calls)) out.push(...attentionOutput.data);
        out.push(...cache.toTensor().data);
        runtime.dispose();
        return out;
    }, workers);
    const alone = await decode(0);
    assert.equal(alone.length, 2 * 50 * 512 * 3);
    assert.ok(alone.every(Number.isFinite));
    assert.deepEqual(await decode(2), alone);
});

test('the page answers while workers compute', options, async (t) => {
    const page = await open(t);
    const turns = await page.evaluate(async (modules, sizes) => {
        const [{ createRuntime }, { Block }] = await Promise.all(modules.map((url) => import(url)));
        const runtime = await createRuntime({ workers: 1 });
        const block = new Block(runtime, { ...sizes, t: 700, heads: 12 });
        // A page that waited would have its turns between calls only.
        let isComputing = false;
        let turns = 0;
        const timer = setInterval(() => { turns += Number(isComputing); }, 1);
        for (let calls = 0; turns <= 20 && calls < 200; calls++) {
            const call = runtime._run(block);
            isComputing = runtime._busy;
            await call.finally(() => { isComputing = false; });
        }
        clearInterval(timer);
        runtime.dispose();
        return turns;
    }, MODULES, SIZES);
    assert.ok(turns > 20, `${turns} turns while something was computed`);
});

test('1,000 runtimes that are made and disposed of, and 40 with workers: the address space of each comes back', options, async (t) => {
    const page = await open(t);
    const made = await page.evaluate(async (url) => {
        const { createRuntime } = await import(url);
        let [count, workers] = [0, 0];
        for (let i = 0; i < 1040; i++) {
            const runtime = await createRuntime({ workers: i < 1000 ? 0 : 2 });
            count += Number(runtime.explain().maxMemory > 2 ** 31);
            workers += runtime.explain().workers;
            runtime.dispose();
        }
        return { count, workers };
    }, MODULES[0]);
    assert.deepEqual(made, { count: 1040, workers: 80 });
});
