// The package on a page and the demo in WebKit, where it is installed: on one thread, since GTK's port has no shared memory.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { createRuntime } from '../../js/index.js';
import { loadModel } from '../../js/generation/index.js';
import { serve } from '../../web/serve.js';
import { chattingModel } from './chatting-model.js';
import { dropFile, dropFolder, hasModel, pickFolder } from './giving.js';
import { askHub, hasBegun, inFront, losingHub } from './hub.js';
import { isKept } from './kept.js';
import { realHub } from './real-hub.js';
import { noWebKit, WebKit } from './webkit.js';

const options = { skip: noWebKit, timeout: 300_000 };
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** As WebDriver writes them. */
const KEYS = {
    tab: '\ue004', enter: '\ue007', control: '\ue009', escape: '\ue00c', end: '\ue010', home: '\ue011', right: '\ue014'
};
const PROMPT = 'Once upon a time';
/** A file that shows as a page without scripts. */
const EMPTY = 'dist/embedded/README.md';

/**
 * @param {import('node:test').TestContext} t
 * @param {import('../../web/serve.js').ServeOptions} how
 * @param {string} path
 * @param {Record<string, string | number>} [settings] of GTK
 */
async function open(t, how, path, settings) {
    const server = await serve({ port: 0, ...how });
    t.after(() => server.close());
    const webkit = await WebKit.open(t, settings);
    await webkit.goto(server.url + path);
    return { webkit, server };
}

for (const isolation of [true, false]) {
    test(`the package on a page ${isolation ? 'with' : 'without'} the headers writes what it writes in Node`, options, async (t) => {
        const { webkit } = await open(t, { isolation }, EMPTY);
        const written = await webkit.evaluate(async (prompt) => {
            const { createRuntime } = await import(/** @type {any} */ ('/dist/index.js'));
            const { loadModel } = await import(/** @type {any} */ ('/dist/generation/index.js'));
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
        const { createRuntime } = await import(/** @type {any} */ ('/dist/index.js'));
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

test('the page: a file is dropped, then a folder, then one is picked', options, async (t) => {
    const { webkit } = await open(t, {}, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    /** @type {[typeof dropFile, string, string][]} */
    const ways = [[dropFile, 'mine.gguf', 'mine'], [dropFolder, 'dropped', 'dropped'], [pickFolder, 'picked', 'picked']];
    for (const [give, name, shown] of ways) {
        await webkit.evaluate(give, name, '../dist/embedded/model.gguf');
        await webkit.until(hasModel, shown);
    }
    await webkit.evaluate(() => document.getElementById('write')?.click());
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
});

for (const isDark of [false, true]) {
    test(`axe has nothing to say, and nothing runs out of the page, ${isDark ? 'dark' : 'light'}`, options, async (t) => {
        const { webkit } = await open(t, {}, 'web/', { 'theme-name': isDark ? 'Adwaita-dark' : 'Adwaita' });
        await webkit.until(() => document.querySelectorAll('.token').length >= 20);
        assert.equal(await webkit.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches), isDark);
        const check = async (/** @type {string} */ state) => {
            const violations = await webkit.run("axe.run(document, { resultTypes: ['violations'] })"
                + '.then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target)}`))', [], AXE);
            assert.deepEqual(violations, [], state);
        };
        for (const width of [447, 1280, 2560]) {
            const inner = await webkit.resize(width);
            assert.equal(await webkit.evaluate(() => document.documentElement.scrollWidth), inner);
            await check(`a story, ${inner} px`);
        }
        await webkit.evaluate(() => document.getElementById('stop')?.click());
        await webkit.until(() => document.getElementById('story')?.getAttribute('aria-busy') === 'false');
        await webkit.evaluate(() => {
            /** @type {HTMLElement | null} */ (document.querySelector('.token[data-position="12"]'))?.click();
            for (const fold of document.querySelectorAll('details')) fold.open = true;
        });
        await webkit.until(() => document.getElementById('explained')?.textContent);
        await check('a word is kept, everything is unfolded');
        await webkit.evaluate(() => document.getElementById('model')?.click());
        await webkit.until(() => document.querySelectorAll('#model-list li').length > 2);
        await check('models');
    });
}

test('who wants no motion gets a story that stands', options, async (t) => {
    const { webkit } = await open(t, {}, 'web/', { 'enable-animations': 0 });
    assert.ok(await webkit.evaluate(() => matchMedia('(prefers-reduced-motion: reduce)').matches));
    await webkit.until(() => /as many as asked for|The end/.test(document.getElementById('status')?.textContent ?? ''));
});

test('by keyboard alone: a beginning, a story, a word, a model', options, async (t) => {
    const { webkit } = await open(t, {}, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    const focused = () => webkit.evaluate(() => document.activeElement?.id ?? '');
    const tabTo = async (/** @type {string} */ id) => {
        for (let i = 0; await focused() !== id; i++) {
            assert.ok(i < 40, `Tab does not reach ${id}`);
            await webkit.press([KEYS.tab]);
        }
        const outline = await webkit.evaluate(() => getComputedStyle(/** @type {Element} */ (document.activeElement)).outlineStyle);
        assert.notEqual(outline, 'none', `${id} does not show that it has the focus`);
    };
    await webkit.press([KEYS.escape]);
    await webkit.until(() => document.getElementById('status')?.textContent?.startsWith('Stopped'));
    await tabTo('prompt');
    await webkit.press([KEYS.end, ...' was']);
    await webkit.press([KEYS.enter], [KEYS.control]);
    await webkit.until(() => document.getElementById('story')?.textContent?.includes('fox who was'));
    await webkit.press([KEYS.escape]);
    await tabTo('story');
    await webkit.press([KEYS.home, KEYS.right, KEYS.right]);
    await webkit.until(() => document.getElementById('step-title')?.textContent?.includes('position 2, kept'));
    await webkit.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
    await tabTo('model');
    await webkit.press([KEYS.enter]);
    await webkit.until(() => document.querySelector('dialog[open]'));
    await webkit.press([KEYS.escape]);
    await webkit.until(() => !document.querySelector('dialog[open]'));
});

test('the page without its server, after one visit', options, async (t) => {
    const { webkit, server } = await open(t, { isolation: false }, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    await webkit.until(isKept);
    await server.close();
    await webkit.goto(`${server.url}web/?again`);
    await webkit.until(() => document.getElementById('status')?.textContent?.includes('layers of'));
});

test('a candidate begins a branch, and the text before can be walked to', options, async (t) => {
    const { webkit } = await open(t, {}, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 40);
    await webkit.evaluate(() => document.getElementById('stop')?.click());
    await webkit.until(() => document.getElementById('status')?.textContent?.startsWith('Stopped'));
    await webkit.settle();
    const trunk = await webkit.evaluate(() => document.getElementById('story')?.textContent ?? '');
    await webkit.evaluate(() => {
        // All that is possible may follow.
        for (const [name, value] of [['topP', '1'], ['topK', '0']]) {
            const field = /** @type {HTMLInputElement} */ (document.querySelector(`[name=${name}]`));
            field.value = value;
            field.dispatchEvent(new Event('input', { bubbles: true }));
        }
        /** @type {HTMLElement | null} */ (document.querySelector('.token[data-position="25"]'))?.click();
    });
    await webkit.until(() => document.getElementById('step-title')?.textContent?.includes('position 25, kept')
        && document.querySelector('#candidates li:not([hidden]):not(.marked)'));
    const name = await webkit.evaluate(() => {
        const item = document.querySelector('#candidates li:not([hidden]):not(.marked)');
        item?.querySelector('button')?.click();
        return item?.querySelector('.bar-name')?.textContent ?? '';
    });
    await webkit.until(() => document.querySelectorAll('#branch-tree li').length === 2
        && document.getElementById('cache-text')?.textContent?.includes('The first 26 (pale) are shared')
        && document.getElementById('story')?.getAttribute('aria-busy') === 'false');
    // A line's end has another look in a list than in a text.
    const written = await webkit.evaluate(() => document.querySelector('.token[data-position="26"]')?.textContent);
    assert.equal(written?.replace('\n', '↵'), name);
    await webkit.evaluate(() => document.querySelector('#branch-tree button')?.dispatchEvent(new MouseEvent('click', { bubbles: true })));
    await webkit.until((/** @type {string} */ text) => document.getElementById('story')?.textContent === text, trunk);
});

/** GTK's WebKit has the calls for files, which it cannot write yet: it says so at the first one. */
const FILES = ['StorageAPI', 'FileSystem', 'AccessHandle'];

for (const features of [[], FILES]) test(`a connection that is lost in the middle of a model, which is then asked for again, ${
    features.length > 0 ? 'with' : 'without'} a file system`, options, async (t) => {
    const { hub, state } = losingHub();
    const server = await inFront(await serve({ port: 0 }), hub);
    t.after(() => server.close());
    const webkit = await WebKit.open(t, {}, features);
    await webkit.goto(`${server.url}web/`);
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    await webkit.evaluate(() => document.getElementById('model')?.click());
    await webkit.evaluate(askHub, `${server.url}hub`);
    await webkit.until(hasBegun);
    state.lose();
    await webkit.until(() => document.getElementById('model-problem')?.textContent?.includes('was lost in the middle'));
    const problem = await webkit.evaluate(() => document.getElementById('model-problem')?.textContent ?? '');
    assert.match(problem, /ask for the model again/i);
    state.isLost = false;
    await webkit.evaluate(askHub, `${server.url}hub`);
    await webkit.until(hasModel, 'model');
    assert.equal(state.ranges[0], undefined);
    // It keeps no files, the page says so, and the model runs all the same; a WebKit that keeps them goes on where it stood.
    const notice = await webkit.evaluate(() => document.getElementById('notice-text')?.textContent ?? '');
    if (!notice.includes('keep no files')) assert.match(state.ranges[1] ?? '', /^bytes=[1-9]\d*-$/);
    await webkit.evaluate(() => document.getElementById('write')?.click());
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
});

test('a model of a hub of another origin: which size, and what is not there', options, async (t) => {
    const { url, state } = await realHub(t);
    const { webkit } = await open(t, {}, 'web/');
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
    await webkit.evaluate(() => document.getElementById('model')?.click());
    await webkit.evaluate(askHub, url, 'someone/gated');
    await webkit.until(() => document.getElementById('model-problem')?.textContent?.includes('to everybody'));
    await webkit.evaluate(askHub, url, 'someone/sizes');
    await webkit.until(() => document.querySelectorAll('#model-choices li').length === 2);
    await webkit.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('#model-choices button')).click());
    await webkit.until(hasModel, 'small.Q4_0');
    assert.ok(state.asked.every(({ method }) => method === 'GET'));
    await webkit.evaluate(() => document.getElementById('write')?.click());
    await webkit.until(() => document.querySelectorAll('.token').length >= 20);
});

for (const [width, what] of /** @type {[number, string][]} */ ([[320, '320 px'], [640, 'a window of 1,280 px at 200%']])) {
    test(`${what} are enough`, options, async (t) => {
        // No window of its own can be so narrow: a frame.
        const policy = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";
        const { webkit } = await open(t, { policy }, 'web/bench.html');
        await webkit.evaluate((size) => {
            document.body.innerHTML = '';
            document.body.append(Object.assign(document.createElement('iframe'), { src: '/web/', width: size, height: 450, frameBorder: 0 }));
        }, width);
        const inside = (/** @type {string} */ expression) => webkit.run(
            `((document, innerWidth) => ${expression})(frames[0].document, frames[0].innerWidth)`);
        const until = async (/** @type {string} */ expression) => {
            for (let tries = 0; !await inside(expression).catch(() => false); tries++) {
                assert.ok(tries < 600, `never: ${expression}`);
                await new Promise((resolve) => { setTimeout(resolve, 100); });
            }
        };
        await until("document.querySelectorAll('.token').length >= 40");
        const sizes = () => inside('[innerWidth, document.documentElement.scrollWidth - document.documentElement.clientWidth]');
        assert.deepEqual(await sizes(), [width, 0]);
        await inside("document.getElementById('stop').click()");
        await until("document.getElementById('status').textContent.startsWith('Stopped')");
        await inside("document.querySelector('.token[data-position=\"20\"]').click()");
        await until("document.getElementById('step-title').textContent.includes('position 20, kept')");
        const [word, sheet] = await inside(`['.token.inspected', '#step'].map((selector) => {
            const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
            return { top, bottom };
        })`);
        assert.ok(word.top >= 0 && word.bottom <= sheet.top && sheet.bottom <= 451, `the word at ${word.top}, the sheet at ${sheet.top} px`);
        await inside("document.getElementById('model').click()");
        await until("document.querySelectorAll('#model-list li').length > 2");
        assert.deepEqual(await sizes(), [width, 0]);
    });
}
