// The demo in a real browser: it writes, shows what it looked at, stops, and never stops answering.

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { noBrowser, notInFirefox } from './browser.js';
import { DemoPage, TIMEOUT, withoutServiceWorkers } from './demo-page.js';
import { dropFile, hasModel } from './giving.js';

const options = { skip: noBrowser, timeout: 2 * TIMEOUT };
const PROMPT = 'Once upon a time, there was a little fox who';
const STORY = { prompt: PROMPT, seed: 7, tokens: 60, pace: 0 };
/** Long enough that nothing under test can be over by itself first. */
const SLOW = { prompt: PROMPT, seed: 8, tokens: 300, pace: 5 };

/** @param {{ figure: string }[]} bars */
function percents(bars) {
    return bars.map(({ figure }) => Number.parseFloat(figure.replace('<', '')));
}

for (const isolation of [true, false]) {
    test(`a story appears with its instruments, ${isolation ? 'isolated' : 'not isolated'}`, options, async t => {
        const demo = await DemoPage.open(t, { isolation, before: isolation ? undefined : withoutServiceWorkers });
        await demo.ready();
        assert.equal(await demo.page.evaluate(() => crossOriginIsolated), isolation);
        // With all of the probability there is always more than one candidate.
        const story = await demo.write({ ...STORY, topP: 1 });
        assert.ok(story.includes(PROMPT), `the prompt is missing from: ${story}`);
        assert.ok(story.length > PROMPT.length + 40, `too short: ${story}`);

        assert.match(await demo.text('speed'), /^[\d.,]+$/);
        assert.match(await demo.text('first-token'), /^[\d.]+ (ms|s)$/);
        assert.match(await demo.text('cache'), /^[\d.]+ (kB|MB)$/);
        assert.match(await demo.text('positions'), /^of [\d.]+ (kB|MB)$/);
        assert.match(await demo.text('simd'), /^(Relaxed|SIMD128)$/);
        assert.match(await demo.text('memory'), isolation ? /^shared/ : /^private/);
        const fallbacks = await demo.text('fallbacks');
        if (!isolation) assert.match(fallbacks, /isolated/);
        if (!isolation) assert.equal(await demo.text('threads'), '1');

        const candidates = await demo.bars('candidates');
        assert.ok(candidates.length > 1);
        assert.equal(candidates.filter(({ marked }) => marked).length, 1);
        const shares = percents(candidates);
        assert.ok(shares.every((share, i) => i === 0 || share <= shares[i - 1]), `not sorted: ${shares}`);
        assert.ok(shares.reduce((sum, share) => sum + share, 0) < 101, `more than everything: ${shares}`);

        const map = await demo.canvas('#heatmap');
        assert.ok(map.colours > 20, `the heat map has ${map.colours} colours`);
        const lanes = await demo.page.$$('#lanes canvas');
        assert.ok(lanes.length > 2);
        assert.ok((await demo.canvas('#lanes label:first-child canvas')).colours > 1);
        demo.checkProblems();
    });
}

test('hovering shows what a token looked at', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.write(STORY);
    assert.ok((await demo.tints()).tints.every(tint => tint === 0), 'plain while nobody points');
    await demo.point(30);
    const { tints, unseen } = await demo.tints();
    assert.ok(tints.slice(0, 31).some(tint => tint > 10), `faint: ${tints}`);
    assert.ok(tints.slice(31).every(tint => tint === 0), 'the future is tinted');
    assert.equal(unseen, tints.length - 31);
    assert.match(await demo.text('step-title'), /position 30/);
    const looked = await demo.bars('looked-at');
    assert.ok(percents(looked).reduce((sum, share) => sum + share, 0) < 101);

    // One head alone: other numbers than the mean.
    await demo.page.click('#lanes label:nth-child(3)');
    await demo.says('looked-title', 'head 2');
    await demo.point(30);
    assert.notDeepEqual(await demo.bars('looked-at'), looked);
    demo.checkProblems();
});

test('the heat map, the lanes and the kept word tell the same weight', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.write(STORY);
    await demo.keep(20);
    await demo.page.hover('.token[data-position="0"]');
    await demo.says('tooltip', '→ start: ');
    const fromText = await demo.text('tooltip');
    assert.match(fromText, /→ start: [\d.]+%, mean of/);
    const lane = await demo.page.$('#lanes label:first-child canvas');
    await lane?.hover();
    const box = await lane?.boundingBox();
    assert.ok(box);
    await demo.page.mouse.move(box.x + 2, box.y + 10);
    await demo.eventually(async () => assert.equal(await demo.text('tooltip'), fromText));

    await demo.page.mouse.move(0, 0);
    await demo.page.focus('#heatmap');
    await demo.settle();
    for (let i = 0; i < 20; i++) await demo.page.keyboard.press('ArrowLeft');
    await demo.eventually(async () => assert.equal(await demo.text('tooltip'), fromText));
    await demo.page.keyboard.press('ArrowUp');
    await demo.says('step-title', 'position 19');
    demo.checkProblems();
});

test('another layer shows other scores and leaves the text alone', options, async t => {
    const demo = await DemoPage.open(t);
    const story = await demo.write(STORY);
    const before = await demo.canvas('#heatmap');
    await demo.page.click('#layers label:nth-of-type(1) input');
    await demo.says('map-lane', 'Layer 1');
    // Its scores come later than its name.
    await demo.eventually(async () => assert.notEqual((await demo.canvas('#heatmap')).sum, before.sum));
    assert.equal(await demo.text('story'), story);

    // While it is being written, too; the story goes on as it would have.
    await demo.fill({ ...STORY, pace: 60 });
    await demo.page.click('#write');
    await demo.tokens(25);
    await demo.page.click('#layers label:last-of-type input');
    await demo.says('map-lane', 'Layer 4');
    await demo.ready();
    await demo.settle();
    assert.equal(await demo.text('story'), story);
    await demo.eventually(async () =>
        assert.equal((await demo.canvas('#heatmap')).sum, before.sum, 'as if this layer had been chosen from the start'));
    demo.checkProblems();
});

test('stop stops, in the text and in the prompt', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.fill(SLOW);
    await demo.page.click('#write');
    await demo.tokens(20);
    await demo.page.click('#stop');
    await demo.settle();
    const stopped = await demo.text('story');
    await demo.ready();
    assert.match(await demo.text('status'), /^Stopped after \d+ token/);
    await new Promise(resolve => setTimeout(resolve, 500));
    assert.equal(await demo.text('story'), stopped);

    await demo.fill({ ...SLOW, prompt: `${PROMPT} `.repeat(18) });
    await demo.page.click('#write');
    await demo.page.keyboard.press('Escape');
    await demo.ready();
    assert.match(await demo.text('status'), /^Stopped after \d+ token/);
    // And it writes again.
    assert.ok((await demo.write(STORY)).length > PROMPT.length);
    demo.checkProblems();
});

test('the page answers while it writes', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    // No time is asserted: a page that waited for the writing would show the text in one piece, and hear clicks after it.
    await demo.page.evaluate(() => {
        const seen = { lengths: new Set(), clicksWhileWriting: 0 };
        Object.assign(window, { seen });
        const story = /** @type {HTMLElement} */ (document.querySelector('#story'));
        const stop = /** @type {HTMLButtonElement} */ (document.querySelector('#stop'));
        const look = () => {
            seen.lengths.add(story.textContent?.length);
            requestAnimationFrame(look);
        };
        look();
        document.querySelector('h1')?.addEventListener('click', () => {
            if (!stop.disabled) seen.clicksWhileWriting++;
        });
    });
    await demo.fill(SLOW);
    await demo.page.click('#write');
    await demo.tokens(20);
    await demo.page.click('h1');
    // However seldom a busy machine draws the page: a text that comes in one piece has few lengths.
    await demo.page.waitForFunction(() => /** @type {any} */ (window).seen.lengths.size >= 10);
    assert.equal(await demo.page.$eval('#stop', stop => /** @type {HTMLButtonElement} */ (stop).disabled), false, 'while it writes');
    await demo.page.keyboard.press('Escape');
    await demo.ready();
    assert.equal(await demo.page.evaluate(() => /** @type {any} */ (window).seen.clicksWhileWriting), 1);
    demo.checkProblems();
});

test('the number of workers can be changed', options, async t => {
    const demo = await DemoPage.open(t);
    const story = await demo.write({ ...STORY, tokens: 30 });
    for (const workers of [0, 1, 2]) {
        if (!(await demo.page.$(`select[name="workers"] option[value="${workers}"]`))) continue;
        await demo.page.select('select[name="workers"]', String(workers));
        assert.equal(await demo.write({ ...STORY, tokens: 30 }), story);
        assert.equal(await demo.text('threads'), String(workers + 1));
    }
    demo.checkProblems();
});

test('another number of workers leaves what was written, also in the middle, and what is looked at', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const chosen = () => page.$eval('#layers input:checked + span', span => span.textContent);
    await demo.ready();
    await page.click('#layers label:first-of-type');
    await page.click('#lanes label:nth-child(3)');
    await demo.fill(SLOW);
    await page.click('#write');
    await demo.tokens(20);
    await page.select('select[name="workers"]', '0');
    await page.click('#layers label:nth-of-type(2)');
    await demo.says('threads', '1');
    await demo.ready();
    const begun = await demo.text('story');
    assert.ok(begun.length > PROMPT.length, begun);
    assert.deepEqual([await chosen(), await demo.text('looked-lane')], ['2', '(head 2)']);
    await demo.fill({ tokens: 5, pace: 0 });
    await demo.click('continue');
    await demo.says('status', '5 tokens');
    assert.ok((await demo.text('story')).startsWith(begun), 'the text goes on');
    demo.checkProblems();
});

test('a phone’s width is enough', options, async t => {
    const viewport = { width: 360, height: 740, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
    const demo = await DemoPage.open(t, { viewport });
    await demo.write({ ...STORY, tokens: 120 });
    const widths = await demo.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.deepEqual(widths, [360, 360]);
    await demo.page.tap('.token[data-position="15"]');
    await demo.says('step-title', 'position 15, kept');
    assert.ok((await demo.tints()).tints.some(tint => tint > 10));
    // What the word looked at is in sight, and the word too.
    const [sheet, word] = await demo.page.evaluate(() => ['#step', '.token.inspected']
        .map(selector => document.querySelector(selector)?.getBoundingClientRect()).map(box => [box?.top ?? -1, box?.bottom ?? -1]));
    assert.ok(sheet[0] > 0 && sheet[1] <= 740, `the sheet is at ${sheet}`);
    assert.ok(word[0] >= 0 && word[1] <= sheet[0], `the word is at ${word}, the sheet at ${sheet}`);
    await demo.page.tap('#step-close');
    await demo.eventually(async () => assert.doesNotMatch(await demo.text('step-title'), /kept/));
    demo.checkProblems();
});

test('everything can be done by keyboard', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    await demo.fill(SLOW);
    await page.focus('#prompt');
    await page.keyboard.type(' was');
    await page.keyboard.down('Control');
    await page.keyboard.press('Enter');
    await page.keyboard.up('Control');
    await demo.tokens(25);
    assert.ok((await demo.text('story')).includes('fox who was'));
    await page.keyboard.press('Escape');
    await demo.ready();
    assert.match(await demo.text('status'), /^Stopped/);

    /** @type {string[]} */
    const reached = [];
    await page.focus('#tour');
    for (let i = 0; i < 60; i++) {
        const [name, outline] = await page.evaluate(() => {
            const element = /** @type {HTMLInputElement} */ (document.activeElement);
            const shown = element.type === 'radio' ? element.nextElementSibling : element;
            const outline = shown ? getComputedStyle(shown).outlineStyle : 'none';
            return [element.id || element.name || element.tagName, outline];
        });
        if (name === 'BODY') break;
        reached.push(name);
        assert.notEqual(outline, 'none', `${name} does not show that it has the focus`);
        if (name === 'SUMMARY' && !reached.includes('direction')) await page.keyboard.press('Enter');
        await page.keyboard.press('Tab');
    }
    for (const name of ['mode', 'model', 'prompt', 'write', 'continue', 'another', 'temperature', 'topK', 'topP', 'minP',
        'seed', 'tokens', 'pace', 'workers', 'direction', 'surprising', 'story', 'cold', 'layer', 'scale',
        'skip-first', 'lane', 'heatmap', 'show-maps']) {
        assert.ok(reached.includes(name), `Tab does not reach ${name}, only ${reached}`);
    }

    await page.focus('#story');
    await page.keyboard.press('Home');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await demo.settle();
    assert.match(await demo.text('step-title'), /position 2, kept/);
    assert.match(await demo.text('announcer'), /Looks back at .+%/);
    await page.keyboard.press('Escape');
    await demo.settle();
    assert.doesNotMatch(await demo.text('step-title'), /kept/);
    demo.checkProblems();
});

test('an address holds a story', options, async t => {
    const first = await DemoPage.open(t);
    const story = await first.write({ ...STORY, seed: 11, tokens: 30 });
    const { hash } = new URL(first.page.url());
    const second = await DemoPage.open(t, { hash });
    await second.tokens(20);
    await second.ready();
    await second.settle();
    assert.equal(await second.text('story'), story);
    second.checkProblems();
});

test('the story of an address waits for its model, in a page that is open too', options, async t => {
    const first = await DemoPage.open(t);
    const { page } = first;
    const story = await first.write({ ...STORY, tokens: 20 });
    const { hash: own } = new URL(page.url());
    // A model that the browser keeps has a name in addresses.
    await page.evaluate(dropFile, 'mine.gguf', '../dist/embedded/model.gguf');
    await page.waitForFunction(hasModel, {}, 'mine');
    await first.fill(SLOW);
    await page.click('#write');
    await first.tokens(15);
    await first.click('model');
    // At once: the list may be drawn anew.
    const keep = () => page.waitForFunction(() => {
        const button = /** @type {HTMLButtonElement | null} */ (document.querySelector('button[aria-label="Keep mine"]'));
        button?.click();
        return button !== null;
    });
    await keep();
    await first.says('model-problem', 'once the text stands');
    await page.click('#models-close');
    await page.click('#stop');
    await first.ready();
    await first.click('model');
    await keep();
    await first.says('model-list', 'kept in this browser');
    await page.click('#models-close');
    await page.evaluate(hash => { location.hash = hash; }, `${own}&model=mine.gguf`);
    await page.waitForFunction(() => location.hash.includes('model=mine.gguf') && document.querySelectorAll('.token').length > 20);
    await first.ready();
    await first.settle();
    assert.equal(await first.text('story'), story);

    await page.click('#modes input[value="chat"]');
    await page.evaluate(hash => { location.hash = hash; }, own);
    await first.says('model-name', 'TinyStories');
    await first.says('status', 'as many as asked for');
    assert.ok(await page.$eval('#write-panel', panel => panel.checkVisibility()));
    assert.equal(new URL(page.url()).hash, own);

    const absent = `${own}&model=someone/absent.gguf`;
    for (const demo of [first, await DemoPage.open(t, { hash: absent })]) {
        if (demo === first) await page.evaluate(hash => { location.hash = hash; }, absent);
        await demo.says('model-problem', 'was written by someone/absent.gguf');
        await demo.ready();
        await demo.settle();
        assert.equal(new URL(demo.page.url()).hash, absent, 'another model does not write it');
    }
    first.checkProblems();
});

/**
 * The repository as links, without some of its files.
 * @param {import('node:test').TestContext} t
 * @param {string} folder whose entries are linked one by one
 * @param {string} without an entry to leave out
 */
async function incomplete(t, folder, without) {
    const repository = fileURLToPath(new URL('../..', import.meta.url));
    const root = await mkdtemp(join(tmpdir(), 'demo-'));
    t.after(() => rm(root, { recursive: true }));
    const parts = folder.split('/');
    for (let depth = 0; depth <= parts.length; depth++) {
        const here = parts.slice(0, depth).join('/');
        await mkdir(join(root, here), { recursive: true });
        for (const name of depth === 0 ? ['web', 'dist'] : await readdir(join(repository, here))) {
            if (name === parts[depth] || (depth === parts.length && name === without)) continue;
            await symlink(join(repository, here, name), join(root, here, name));
        }
    }
    return root;
}

for (const [folder, missing] of [['dist', 'embedded'], ['dist', 'wasm']]) {
    test(`without ${folder}/${missing} there is an error in words`, options, async t => {
        const demo = await DemoPage.open(t, { root: await incomplete(t, folder, missing) });
        await demo.notice('could not be loaded');
        assert.match(await demo.text('notice-text'), /an extension or a policy of this browser may block/, 'the server is not blamed');
        assert.ok(await demo.page.$eval('#restart', button => button.checkVisibility()));
    });
}

test('a worker that does not start is an error in words', options, async t => {
    const demo = await DemoPage.open(t, { root: await incomplete(t, 'web', 'generator.min.js') });
    await demo.notice('has stopped');
    assert.ok(await demo.page.$eval('#restart', button => button.checkVisibility()));
});

test('a browser that cannot compute this is told so', options, async t => {
    const demo = await DemoPage.open(t, { before: () => Object.assign(WebAssembly, { validate: () => false }) });
    await demo.notice('lacks WebAssembly SIMD');
    demo.checkProblems();
});

test('a worker that is gone is noticed, and another can be started', { ...options, skip: notInFirefox }, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.fill(SLOW);
    await demo.page.click('#write');
    await demo.tokens(20);
    const generator = () => demo.page.workers().find(worker => worker.url().endsWith('/generator.min.js'));
    await demo.eventually(async () => assert.ok(generator(), 'the driver has not heard of it'));
    await generator()?.close();
    await demo.notice('silent');
    await demo.page.click('#restart');
    await demo.ready();
    assert.ok((await demo.write(STORY)).length > PROMPT.length);
    demo.checkProblems();
});

test('where the worker is gone nothing that is clicked hides it', options, async t => {
    const demo = await DemoPage.open(t, { before: () => {
        const Own = Worker;
        window.Worker = class extends Own {
            /** @param {ConstructorParameters<typeof Worker>} given */
            constructor(...given) {
                super(...given);
                Object.assign(window, { made: this });
            }
        };
    } });
    const { page } = demo;
    await demo.write(STORY);
    await demo.keep(20);
    await page.evaluate(() => /** @type {any} */ (window).made.dispatchEvent(new ErrorEvent('error', { message: 'no memory', cancelable: true })));
    await demo.notice('has stopped: no memory');
    await page.$eval('#candidates li:not([hidden]):not(.marked) button', button => /** @type {HTMLElement} */ (button).click());
    await page.click('#write');
    await demo.settle();
    await demo.notice('has stopped: no memory');
    await page.$eval('#explain-panel', panel => { /** @type {HTMLDetailsElement} */ (panel).open = true; });
    await demo.says('explained', 'has stopped: no memory');
    assert.ok(JSON.parse(await demo.text('explained')).runtime.variant, 'what ran is in the report all the same');
    assert.equal(await page.$eval('#story', story => story.getAttribute('aria-busy')), 'false');
    const text = await demo.text('story');
    await page.click('#restart');
    await demo.ready();
    assert.equal(await demo.text('story'), text, 'what was written stands');
    assert.ok((await demo.write(STORY)).length > PROMPT.length);
    demo.checkProblems();
});
