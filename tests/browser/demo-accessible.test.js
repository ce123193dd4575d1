// axe finds nothing to complain of in the page's states, light and dark, narrow and wide; and nothing shifts or overflows.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { test } from 'node:test';
import { noBrowser, notInFirefox } from './browser.js';
import { chattingModel } from './chatting-model.js';
import { DemoPage, TIMEOUT } from './demo-page.js';

const options = { skip: noBrowser, timeout: 3 * TIMEOUT };
/** Only Chromium tells when something shifts. */
const chromiumOnly = { ...options, skip: notInFirefox };
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const STORY = { prompt: 'Once upon a time, there was a little fox who', seed: 7, tokens: 30, pace: 0 };

/** @param {DemoPage} demo @param {string} state */
async function check(demo, state) {
    const violations = await demo.page.evaluate(async () => {
        const { violations: found } = await /** @type {any} */ (window).axe.run(document, { resultTypes: ['violations'] });
        return found.map((/** @type {any} */ { id, nodes }) =>
            `${id}: ${nodes.slice(0, 3).map((/** @type {any} */ node) => `${node.target} ${node.any[0]?.message ?? ''}`).join('; ')}`);
    });
    assert.deepEqual(violations, [], state);
}

for (const [scheme, width] of /** @type {[string, number][]} */ ([['light', 1280], ['dark', 1280], ['light', 375], ['dark', 375]])) {
    test(`axe has nothing to say, ${scheme}, ${width} px wide`, options, async t => {
        const demo = await DemoPage.open(t, {
            viewport: { width, height: 900 }, media: [{ name: 'prefers-color-scheme', value: scheme }]
        });
        const { page } = demo;
        await demo.ready();
        assert.ok(await page.evaluate(name => matchMedia(`(prefers-color-scheme: ${name})`).matches, scheme));
        await page.evaluate(AXE);
        await check(demo, 'before a story');
        await demo.write(STORY);
        await demo.click('cold');
        await demo.write(STORY);
        await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('.token[data-position="12"]')).click());
        await demo.click('show-maps');
        await page.waitForFunction(() => document.getElementById('maps-text')?.textContent?.includes('Click one'));
        await check(demo, 'a word is kept');
        await page.$eval('#lens-panel', panel => /** @type {HTMLDetailsElement} */ (panel).open = true);
        await demo.says('lens-text', 'After');
        await demo.click('coloured');
        await check(demo, 'the lens, and heads in colour');
        await demo.click('coloured');
        await page.keyboard.press('Escape');
        await page.$$eval('details.fold, #knobs', folds => folds.forEach(fold => {
            /** @type {HTMLDetailsElement} */ (fold).open = true;
        }));
        await page.waitForFunction(() => document.getElementById('explained')?.textContent);
        await check(demo, 'everything is unfolded');
        await demo.click('tour');
        await check(demo, 'the tour');
        await demo.click('guide-close');
        await demo.click('model');
        await page.waitForFunction(() => document.querySelectorAll('#model-list li').length > 2);
        await check(demo, 'models');
        await demo.click('models-close');
        await page.$eval('#modes input[value="chat"]', input => /** @type {HTMLElement} */ (input).click());
        await check(demo, 'a model that cannot chat');
        demo.checkProblems();
    });
}

for (const width of [320, 640, 961, 1024, 1100, 2560]) {
    test(`${width} px are enough, and nothing runs into anything`, options, async t => {
        const demo = await DemoPage.open(t, { viewport: { width, height: 900 } });
        await demo.write({ ...STORY, tokens: 60 });
        const { page } = demo;
        await page.$eval('#knobs', knobs => /** @type {HTMLDetailsElement} */ (knobs).open = true);
        assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
        const overlaps = await page.evaluate(() => {
            const boxes = [...document.querySelectorAll('.meters div, .fields label')].map(element => element.getBoundingClientRect());
            const meet = (/** @type {DOMRect} */ a, /** @type {DOMRect} */ b) =>
                a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
            return boxes.filter((a, i) => boxes.some((b, j) => i < j && meet(a, b))).length;
        });
        assert.equal(overlaps, 0);
        const sizes = await page.$$eval('input:not([type=radio], [type=checkbox], [type=file]), select, textarea',
            fields => fields.map(field => Number.parseFloat(getComputedStyle(field).fontSize)));
        assert.ok(Math.min(...sizes) >= 16, `iOS zooms into fields of ${Math.min(...sizes)} px`);
        demo.checkProblems();
    });
}

test('what is pressed by key leaves the focus where one goes on', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent);
    const isAt = (/** @type {string} */ id) => page.waitForFunction(name => document.activeElement?.id === name, {}, id);
    await demo.write({ ...STORY, pace: 20 });
    await page.focus('#continue');
    await page.keyboard.press('Enter');
    await isAt('stop');
    await page.keyboard.press('Enter');
    await isAt('continue');
    await page.$eval('#candidates li:not([hidden]) button', button => /** @type {HTMLElement} */ (button).click());
    await page.waitForSelector('#branch-tree li:nth-child(2)');
    await demo.ready();
    await page.focus('#branch-tree button');
    await page.keyboard.press('Enter');
    await demo.settle();
    assert.equal(await focused(), await page.$eval('#branch-tree button[aria-current]', button => button.textContent));

    await page.$eval('#prompt', field => { /** @type {HTMLTextAreaElement} */ (field).value = 'too long '.repeat(600); });
    await page.focus('#write');
    await page.keyboard.press('Enter');
    await demo.notice('could not be written');
    await page.focus('#restart');
    await page.keyboard.press('Enter');
    await isAt('model');
    await demo.ready();

    await page.click('#modes input[value="chat"]');
    await page.focus('#choose-chat');
    await page.keyboard.press('Enter');
    await isAt('models-close');
    const input = /** @type {import('puppeteer-core').ElementHandle<HTMLInputElement>} */ (await page.$('#pick-file'));
    await input.uploadFile(await chattingModel(t));
    await isAt('model');
    await page.type('#message', 'Tell me of a fox.');
    await page.focus('#send');
    await page.keyboard.press('Enter');
    await isAt('message');
    demo.checkProblems();
});

test('a text that runs from right to left begins at the right', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.write({ ...STORY, prompt: 'היה היה שועל\nOnce upon a time', tokens: 1 });
    // Letters of these take two tokens each; the mark before them is none of them.
    const [first, second] = await page.$$eval('.token.prompt:not(.mark)', spans => {
        const boxOf = (/** @type {RegExp} */ letters) => spans.find(span => letters.test(span.textContent ?? ''))?.getBoundingClientRect();
        return [boxOf(/ה/)?.right ?? 0, boxOf(/Once/)?.left ?? 0];
    });
    const { left, right } = await page.$eval('#story', story => {
        const { left: from, right: to } = story.getBoundingClientRect();
        return { left: from, right: to };
    });
    assert.ok(right - first < 60, `${first} is at the right, ${right}`);
    assert.ok(second - left < 20, `${second} is at the left, ${left}`);
    demo.checkProblems();
});

test('on paper all of the text stands, and nothing covers it', chromiumOnly, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.write({ ...STORY, tokens: 300 });
    await demo.keep(12);
    await page.emulateMediaType('print');
    for (const width of [700, 1280]) {
        await page.setViewport({ width, height: 900 });
        const [isWhole, covers] = await page.evaluate(() => {
            const pane = document.querySelector('.page') ?? document.body;
            return [pane.scrollHeight <= pane.clientHeight, ['#step', '#guide', '#tooltip'].filter(id => {
                const { position, display } = getComputedStyle(/** @type {Element} */ (document.querySelector(id)));
                return position === 'fixed' && display !== 'none';
            })];
        });
        assert.ok(isWhole, `${width} px`);
        assert.deepEqual(covers, [], `${width} px`);
    }
    demo.checkProblems();
});

test('in forced colours one sees what is chosen', chromiumOnly, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    const client = await page.createCDPSession();
    await client.send('Emulation.setEmulatedMedia', { features: [{ name: 'forced-colors', value: 'active' }] });
    const colours = (/** @type {string} */ selector) => page.$$eval(selector, names => names.map(name => {
        const { borderBottomColor, borderRightColor } = getComputedStyle(name);
        return name.matches('.lane-name') ? borderRightColor : borderBottomColor;
    }));
    for (const [name, count] of /** @type {[string, number][]} */ ([['#modes span', 2], ['#scales span', 3], ['.lane-name', 8]])) {
        const all = await colours(name);
        assert.equal(all.length, count, name);
        assert.equal(all.filter(colour => colour === all[0]).length, 1, `${name}: ${all}`);
    }
    demo.checkProblems();
});

test('a share has room for its rank beside it', options, async t => {
    const demo = await DemoPage.open(t);
    // So bold that much is drawn which is not among the likeliest.
    await demo.write({ ...STORY, temperature: 1.8, topK: 0, topP: 1, tokens: 80 });
    const { page } = demo;
    const ranked = () => page.$$eval('#candidates li:not([hidden]) .bar-figure', figures => figures
        .filter(({ textContent }) => textContent?.includes('#')).map(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth));
    await page.focus('#story');
    for (let step = 0; step < 60 && (await ranked()).length === 0; step++) {
        await page.keyboard.press('ArrowLeft');
        await demo.settle();
    }
    assert.deepEqual(await ranked(), [0]);
    demo.checkProblems();
});

for (const width of [375, 1024, 1280]) test(`nothing moves while the page gets ready and writes, ${width} px wide`, chromiumOnly, async t => {
    const demo = await DemoPage.open(t, { viewport: { width, height: 900 }, before: () => {
        Object.assign(window, { shift: 0 });
        new PerformanceObserver(list => {
            for (const entry of list.getEntries()) /** @type {any} */ (window).shift += /** @type {any} */ (entry).value;
        }).observe({ type: 'layout-shift', buffered: true });
    } });
    await demo.ready();
    await demo.settle();
    // Not by a click, after which shifts are forgiven.
    await demo.page.$eval('#write', button => /** @type {HTMLElement} */ (button).click());
    await demo.says('status', 'as many as asked for');
    await demo.settle();
    const shift = await demo.page.evaluate(() => /** @type {any} */ (window).shift);
    t.diagnostic(`shift ${shift}`);
    assert.ok(shift < 0.02, `it shifted by ${shift}`);
    demo.checkProblems();
});

test('the bench page has a main landmark', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.page.goto(`${demo.server.url}web/bench.html`);
    await demo.page.evaluate(AXE);
    await check(demo, 'bench');
    demo.checkProblems();
});
