// The package on a page and the demo in WebKit, where it is installed: on one thread, since GTK's port has no shared memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRuntime } from '../../js/index.js';
import { loadModel } from '../../js/generation/index.js';
import { serve } from '../../web/serve.js';
import { chattingModel } from './chatting-model.js';
import { noWebKit, WebKit } from './webkit.js';

const options = { skip: noWebKit, timeout: 120_000 };
const PROMPT = 'Once upon a time';
/** A file that shows as a page without scripts. */
const EMPTY = 'js/embedded/README.md';

/** @param {import('node:test').TestContext} t @param {import('../../web/serve.js').ServeOptions} how @param {string} path */
async function open(t, how, path) {
    const server = await serve({ port: 0, ...how });
    t.after(() => server.close());
    const webkit = await WebKit.open(t);
    await webkit.goto(server.url + path);
    return { webkit, server };
}

for (const isolation of [true, false]) {
    test(`the package on a page ${isolation ? 'with' : 'without'} the headers writes what it writes in Node`, options, async (t) => {
        const { webkit } = await open(t, { isolation }, EMPTY);
        const written = await webkit.evaluate(async (prompt) => {
            const { createRuntime } = await import(/** @type {any} */ ('/js/index.js'));
            const { loadModel } = await import(/** @type {any} */ ('/js/generation/index.js'));
            const runtime = await createRuntime({ simd: 'simd128' });
            const model = await loadModel(runtime);
            let text = '';
            for await (const item of model.generate(prompt, { maxNewTokens: 40, temperature: 0.7, seed: 1 })) text += item.text;
            const { workers, fallbacks } = runtime.explain();
            runtime.dispose();
            return { text, workers, fallbacks: fallbacks.join('\n') };
        }, PROMPT);
        const runtime = await createRuntime({ simd: 'simd128', workers: 0 });
        t.after(() => runtime.dispose());
        const model = await loadModel(runtime);
        let expected = '';
        for await (const { text } of model.generate(PROMPT, { maxNewTokens: 40, temperature: 0.7, seed: 1 })) expected += text;
        assert.equal(written.text, expected);
        // A WebKit that shares memory starts workers where the headers are.
        const why = isolation ? /workers 0: this engine has no SharedArrayBuffer/ : /workers 0: this context is not cross-origin isolated/;
        if (written.workers === 0) assert.match(written.fallbacks, why);
        else assert.ok(isolation);
    });
}

test('a policy without wasm is an error that says so', options, async (t) => {
    const { webkit } = await open(t, { policy: "default-src 'self'" }, EMPTY);
    const said = await webkit.evaluate(async () => {
        const { createRuntime } = await import(/** @type {any} */ ('/js/index.js'));
        return createRuntime().then(() => 'nothing', String);
    });
    assert.match(said, /createRuntime: [^]*must allow 'wasm-unsafe-eval'/);
});

test('the page: a story on the first visit, a chat of two turns with a file that is picked', options, async (t) => {
    const { webkit } = await open(t, {}, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    const story = await webkit.evaluate(() => document.getElementById('story')?.textContent ?? '');
    assert.match(story, /Once upon a time, there was a little fox who/);
    await webkit.evaluate(() => {
        document.getElementById('stop')?.click();
        /** @type {HTMLElement | null} */ (document.querySelector('#modes input[value="chat"]'))?.click();
    });
    await webkit.until(() => document.getElementById('no-chat-text')?.textContent?.includes('cannot chat'));
    await webkit.type('#pick-file', await chattingModel(t));
    await webkit.until(() => document.getElementById('no-chat')?.hidden && !document.querySelector('dialog[open]'));
    await webkit.evaluate(() => {
        const form = /** @type {HTMLFormElement} */ (document.getElementById('settings'));
        for (const [name, value] of [['tokens', '10'], ['pace', '0'], ['temperature', '0']]) {
            /** @type {HTMLInputElement} */ (form.elements.namedItem(name)).value = value;
        }
    });
    for (const [turn, words] of ['Tell me of a fox.', 'And of a bear?'].entries()) {
        await webkit.type('#message', `${words}\uE007`); // Enter
        await webkit.until((count) => [...document.querySelectorAll('.turn.assistant .turn-bar > span:last-child')]
            .filter((span) => span.textContent?.startsWith('read')).length === count, turn + 1);
    }
    const last = await webkit.evaluate(() =>
        [...document.querySelectorAll('.turn.assistant .turn-bar > span:last-child')].at(-1)?.textContent ?? '');
    assert.match(last, /^read \d+ tokens, \d+ were in the cache$/);
});

test('the page without its server, after one visit', options, async (t) => {
    const { webkit, server } = await open(t, { isolation: false }, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    await webkit.until(async () => {
        const cache = await caches.open('cached-attention');
        return (await cache.keys()).some(({ url }) => url.endsWith('model.gguf'));
    });
    await server.close();
    await webkit.goto(`${server.url}web/?again`);
    await webkit.until(() => document.getElementById('status')?.textContent?.includes('layers of'));
});
