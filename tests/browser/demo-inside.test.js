// What the page shows of the model's inside: what each layer would have said, several heads at once. And how it behaves over
// time and under glass: a hundred texts, twenty models, twice the size.

import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { noBrowser, notInFirefox } from './browser.js';
import { chattingModel } from './chatting-model.js';
import { DemoPage, TIMEOUT } from './demo-page.js';

const options = { skip: noBrowser, timeout: 3 * TIMEOUT };
const PROMPT = 'Once upon a time, there was a little fox who';
/** By what only Chromium's own protocol tells, or does. */
const chromiumOnly = { ...options, skip: notInFirefox };
const STORY = { prompt: PROMPT, seed: 7, tokens: 40, pace: 0 };
const MODEL = fileURLToPath(new URL('../../js/embedded/model.gguf', import.meta.url));
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

test('what each layer would have said: the last one says what the model says', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.write(STORY);
    await page.$eval('#lens-panel', panel => /** @type {HTMLDetailsElement} */ (panel).open = true);
    await demo.keep(22);
    // The distribution as it is: nothing is left out, nothing is made steeper.
    await demo.fill({ temperature: 1, topK: 0, topP: 1, minP: 0 });
    await page.$eval('[name=topK]', field => field.dispatchEvent(new Event('input', { bubbles: true })));
    await demo.says('lens-text', `After ${await page.$eval('#step-title b', name => name.textContent)},`);
    const layers = await page.$$eval('#lens li', rows => rows.map(row => [...row.querySelectorAll('.lens-cell')]
        .map(cell => ({ name: cell.textContent ?? '', figure: (/** @type {HTMLElement} */ (cell).title).split(',')[0] }))));
    assert.equal(layers.length, 4);
    assert.ok(layers.every(row => row.every(({ name }) => name !== '')));
    // The list shows what was drawn from until the worker says what may follow by these settings.
    await demo.eventually(async () => assert.deepEqual(layers[0], await page.$$eval('#candidates li:not([hidden])',
        items => items.slice(0, 3).map(item => ({
            name: (item.querySelector('.bar-name[data-gap]') ? '·' : '') + item.querySelector('.bar-name')?.textContent,
            figure: item.querySelector('.bar-figure')?.textContent ?? ''
        })))));
    assert.notDeepEqual(layers[3], layers[0]);
    demo.checkProblems();
});

test('another answer at the same place: what may follow it, and what each layer says, are asked anew', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    const input = /** @type {import('puppeteer-core').ElementHandle<HTMLInputElement>} */ (await page.$('#pick-file'));
    await input.uploadFile(await chattingModel(t));
    await demo.says('model-name', 'chat');
    await page.waitForFunction(() => !document.querySelector('dialog[open]'));
    await page.evaluate(() => {
        const { postMessage } = Worker.prototype;
        /** @type {any[]} */
        const asked = Object.assign(window, { asked: [] }).asked;
        Worker.prototype.postMessage = function(/** @type {any} */ message, /** @type {any} */ ...rest) {
            asked.push(message.command);
            return postMessage.call(this, message, ...rest);
        };
    });
    await page.click('#modes input[value="chat"]');
    await page.$eval('#lens-panel', panel => /** @type {HTMLDetailsElement} */ (panel).open = true);
    await demo.fill({ tokens: 12, pace: 0, temperature: 1, topK: 0, topP: 1, minP: 0 });
    const answered = (/** @type {string} */ bar) => page.waitForFunction(text => {
        const last = document.querySelector('.turn.assistant:last-child .turn-bar');
        return last?.textContent?.includes('read ') && last.textContent.includes(text);
    }, {}, bar);
    await page.type('#message', 'Tell me of a bear.');
    await page.keyboard.press('Enter');
    await answered('Again');
    const position = await page.$$eval('#story .token', spans => spans.length - 4);
    /** The ids that both instruments asked about, of the text that stands there. */
    const look = async () => {
        await page.evaluate(() => { /** @type {any} */ (window).asked.length = 0; });
        // One of white space alone cannot be pointed at.
        await page.$eval(`#story .token[data-position="${position}"]`, span => /** @type {HTMLElement} */ (span).click());
        return demo.eventually(async () => {
            const asked = await page.evaluate(() => /** @type {any} */ (window).asked);
            const of = (/** @type {string} */ type) => asked.findLast((/** @type {any} */ command) => command?.type === type)?.ids;
            assert.ok(of('distribution'), 'what may follow was asked');
            assert.ok(of('lens')?.length === position + 1, 'what each layer says was asked');
            return of('distribution');
        });
    };
    const first = await look();
    await page.$$eval('.turn.assistant .turn-bar button', buttons => buttons.find(one => one.textContent === 'Again')?.click());
    await answered('2 / 2');
    assert.notDeepEqual(await look(), first);
    demo.checkProblems();
});

test('several heads in colour, on the words, in the lanes and on the map', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.write(STORY);
    await demo.settle();
    const plain = await demo.canvas('#heatmap');
    await demo.click('coloured');
    await demo.keep(22);
    const stripes = () => page.$eval('.token[data-position="21"]',
        token => (getComputedStyle(token).backgroundImage.match(/rgba?\(/g) ?? []).length / 2);
    assert.equal(await stripes(), 7);
    const all = await demo.canvas('#heatmap');
    assert.notEqual(all.sum, plain.sum);
    assert.ok(all.colours > plain.colours);
    assert.equal(await page.$$eval('#lanes input:checked', inputs => inputs.length), 8);

    for (const head of [3, 4, 5, 6, 7]) await page.click(`#lanes input[value="${head}"]`);
    await demo.settle();
    assert.equal(await stripes(), 2, 'only the first two');
    assert.notEqual((await demo.canvas('#heatmap')).sum, all.sum);
    await demo.click('coloured');
    await page.keyboard.press('Escape');
    await page.mouse.move(0, 0);
    await demo.eventually(async () => assert.equal((await demo.canvas('#heatmap')).sum, plain.sum, 'as before'));
    demo.checkProblems();
});

test('a model that is offered comes from its hub by its real name', chromiumOnly, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    const { size } = statSync(MODEL);
    /** @type {string[]} */
    const asked = [];
    const client = await page.createCDPSession();
    client.on('Fetch.requestPaused', ({ requestId, request }) => {
        asked.push(request.url);
        client.send('Fetch.fulfillRequest', {
            requestId, responseCode: 200, body: readFileSync(MODEL).toString('base64'),
            responseHeaders: [{ name: 'Access-Control-Allow-Origin', value: '*' }, { name: 'Content-Length', value: String(size) }]
        });
    });
    await client.send('Fetch.enable', { patterns: [{ urlPattern: 'https://huggingface.co/*' }] });
    await demo.click('model');
    await demo.says('model-list', 'SmolLM2 135M');
    await page.click('button[aria-label="Load SmolLM2 135M"]');
    await demo.says('model-name', 'SmolLM2-135M-Instruct-Q4_K_M');
    const file = 'bartowski/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct-Q4_K_M.gguf';
    assert.deepEqual(asked, [`https://huggingface.co/${file}`]);
    assert.ok((await demo.write(STORY)).includes(PROMPT));
    await demo.click('model');
    await demo.says('model-list', 'Apache 2.0, kept in this browser');
    demo.problems = demo.problems.filter(problem => !problem.startsWith('request: https://huggingface.co/'));
    demo.checkProblems();
});

test('at twice the size everything can be done', options, async t => {
    // A window of 1,280 by 900 pixels at 200%.
    const demo = await DemoPage.open(t, { viewport: { width: 640, height: 450, deviceScaleFactor: 2 } });
    const { page } = demo;
    await demo.ready();
    await page.evaluate(AXE);
    const check = async (/** @type {string} */ state) => {
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 640, state);
        const found = await page.evaluate(async () => (await /** @type {any} */ (window).axe.run(document)).violations
            .map((/** @type {any} */ { id, nodes }) => `${id} ${nodes[0].target}`));
        assert.deepEqual(found, [], state);
    };
    await check('at first');
    await page.click('#write');
    await demo.says('status', 'as many as asked for');
    await demo.keep(22);
    const [word, sheet] = await page.evaluate(() => ['.token.inspected', '#step'].map(selector => {
        const { top, bottom } = /** @type {Element} */ (document.querySelector(selector)).getBoundingClientRect();
        return { top, bottom };
    }));
    assert.ok(word.bottom <= sheet.top && word.top >= 0, `the sheet at ${sheet.top} px leaves the word at ${word.top} px in sight`);
    await check('a word is kept');
    await page.$eval('#candidates li:not([hidden]):not(.marked) button', button => button.scrollIntoView());
    await page.click('#candidates li:not([hidden]):not(.marked) button');
    await page.waitForFunction(() => document.querySelectorAll('#branch-tree li').length === 2);
    await demo.ready();
    await check('a branch');
    await page.click('#model');
    await page.waitForFunction(() => document.querySelectorAll('#model-list li').length > 2);
    await check('models');
    await page.click('#models-close');
    demo.checkProblems();
});

test('a hundred texts and twenty models leave no more memory than one', { ...chromiumOnly, timeout: 10 * TIMEOUT }, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const client = await page.createCDPSession();
    const texts = async (/** @type {number} */ from, /** @type {number} */ count) => {
        for (let seed = from; seed < from + count; seed++) await demo.write({ ...STORY, tokens: 30, seed });
    };
    const models = async (/** @type {number} */ count) => {
        for (let i = 0; i < count; i++) {
            await page.evaluate(async () => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([await (await fetch('../dist/embedded/model.gguf')).blob()], 'mine.gguf'));
                // It opens and closes faster than one can look.
                const closed = new Promise(resolve => document.getElementById('models')?.addEventListener('close', resolve, { once: true }));
                document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
                await closed;
            });
        }
    };
    /** Of the runtime, of the page's objects, and of its document. */
    const measure = async () => {
        await client.send('HeapProfiler.collectGarbage');
        const { nodes } = await client.send('Memory.getDOMCounters');
        const { usedSize } = await client.send('Runtime.getHeapUsage');
        await page.$eval('#explain-panel', panel => {
            /** @type {HTMLDetailsElement} */ (panel).open = false;
            /** @type {HTMLElement} */ (document.getElementById('explained')).textContent = '';
        });
        await page.$eval('#explain-panel summary', summary => /** @type {HTMLElement} */ (summary).click());
        await demo.says('explained', 'bytesInUse');
        const { runtime } = JSON.parse(await demo.text('explained'));
        return { inUse: runtime.bytesInUse, heap: usedSize, nodes };
    };
    await texts(0, 2);
    await models(2);
    await texts(2, 2);
    const before = await measure();
    await texts(4, 96);
    await models(18);
    await texts(100, 2);
    const after = await measure();
    t.diagnostic(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
    assert.ok(after.inUse <= before.inUse, `the runtime's memory: ${before.inUse}, then ${after.inUse}`);
    assert.ok(after.heap < before.heap + 2e6, `the page's heap: ${before.heap}, then ${after.heap}`);
    assert.ok(after.nodes < before.nodes + 500, `nodes of the document: ${before.nodes}, then ${after.nodes}`);
    demo.checkProblems();
});
