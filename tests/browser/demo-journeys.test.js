// What visitors do with the page, from beginning to end: the first visit, another model, a chat, a branch, no network.

import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { noBrowser, reload } from './browser.js';
import { chattingModel } from './chatting-model.js';
import { DemoPage, TIMEOUT } from './demo-page.js';
import { dropFile, dropFolder, hasModel, pickFolder } from './giving.js';
import { askHub, hasBegun, losingHub } from './hub.js';
import { isKept } from './kept.js';
import { realHub } from './real-hub.js';
import { runCode } from './run-code.js';

const options = { skip: noBrowser, timeout: 3 * TIMEOUT };
const PROMPT = 'Once upon a time, there was a little fox who';
const EMBEDDED = fileURLToPath(new URL('../../js/embedded/', import.meta.url));

/** @param {DemoPage} demo @param {string[]} files */
async function pick(demo, ...files) {
    const input = /** @type {import('puppeteer-core').ElementHandle<HTMLInputElement>} */ (await demo.page.$('#pick-file'));
    await input.uploadFile(...files);
}

test('on the first visit a story begins by itself', options, async t => {
    const demo = await DemoPage.open(t, { isFirst: true });
    await demo.tokens(20);
    assert.ok((await demo.text('story')).includes(PROMPT));
    assert.equal(await demo.page.$eval('#stop', button => /** @type {HTMLButtonElement} */ (button).disabled), false, 'it is read along');
    await demo.page.click('#prompts button:nth-child(3)');
    await demo.says('story', 'The dragon was sad because');
    await demo.page.goto(`${demo.server.url}web/?again`);
    await demo.ready();
    assert.match(await demo.text('status'), /layers of/, 'the second visit waits to be asked');
    demo.checkProblems();
});

test('who wants no motion gets a story that stands', options, async t => {
    const demo = await DemoPage.open(t, { isFirst: true, media: [{ name: 'prefers-reduced-motion', value: 'reduce' }] });
    assert.ok(await demo.page.evaluate(() => matchMedia('(prefers-reduced-motion: reduce)').matches));
    await demo.says('status', 'tokens, as many as asked for');
    assert.ok(await demo.page.$$eval('.token', spans => spans.length) > 150);
    demo.checkProblems();
});

test('a file that is dropped is the model then, and one that cannot run says why', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    const drop = (/** @type {string} */ name, /** @type {string} */ from) => demo.page.evaluate(dropFile, name, from);
    await drop('mine.gguf', '../dist/embedded/model.gguf');
    await demo.says('model-name', 'mine');
    await demo.page.waitForFunction(() => !document.querySelector('dialog[open]'));
    const story = await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 });
    assert.ok(story.includes(PROMPT));

    await drop('broken.gguf', 'icon.svg');
    await demo.page.waitForFunction(() => !document.getElementById('model-problem')?.hidden);
    assert.match(await demo.text('model-problem'), /\w/);
    await demo.click('models-close');
    assert.equal(await demo.text('model-name'), 'mine');
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT), 'the model before still writes');
    demo.checkProblems();
});

test('of a file that was dropped nothing is kept when its loading is cancelled', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.page.evaluate(() => {
        const { postMessage } = Worker.prototype;
        Worker.prototype.postMessage = function(/** @type {any} */ message, /** @type {any} */ ...rest) {
            postMessage.call(this, message, ...rest);
            if (message.command?.type === 'load') document.getElementById('model-cancel')?.click();
        };
    });
    await demo.page.evaluate(dropFile, 'mine.gguf', '../dist/embedded/model.gguf');
    await demo.says('model-problem', 'Cancelled');
    assert.equal(await demo.text('model-problem'), 'Cancelled.');
    await demo.click('models-close');
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT), 'the model before still writes');
    demo.checkProblems();
});

test('a folder that is dropped or picked is the model then', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    for (const [give, name] of /** @type {[typeof dropFolder, string][]} */ ([[dropFolder, 'dropped'], [pickFolder, 'picked']])) {
        await page.evaluate(give, name, '../dist/embedded/model.gguf');
        await page.waitForFunction(hasModel, {}, name);
        assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));
    }
    demo.checkProblems();
});

test('a chat reads each turn once, and can be edited', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    await page.click('#modes input[value="chat"]');
    await demo.says('no-chat-text', 'cannot chat');
    await pick(demo, await chattingModel(t));
    await page.waitForFunction(() => document.getElementById('no-chat')?.hidden && !document.querySelector('dialog[open]'));
    await demo.fill({ tokens: 10, pace: 0, temperature: 0 });
    const notes = () => page.$$eval('.turn.assistant .turn-bar > span:last-child', spans => spans.map(span => span.textContent ?? ''));
    const answers = () => page.$$eval('.turn.assistant .words', list => list.map(words => words.textContent ?? ''));
    const say = async (/** @type {string} */ text, /** @type {number} */ turns) => {
        await page.type('#message', text);
        await page.keyboard.press('Enter');
        await page.waitForFunction(count => [...document.querySelectorAll('.turn.assistant .turn-bar > span:last-child')]
            .filter(span => span.textContent?.startsWith('read')).length === count, {}, turns);
    };
    await say('Tell me of a fox.', 1);
    await say('And of a bear?', 2);
    const [first, second] = await notes();
    assert.match(first, /^read (\d+) tokens$/);
    const [, read, held] = /^read (\d+) tokens, (\d+) were in the cache$/.exec(second) ?? [];
    // The first question, and all of its answer but the token that was drawn last.
    assert.equal(Number(held), Number(/\d+/.exec(first)?.[0]) + 9);
    assert.ok(Number(read) < 20, second);
    assert.ok((await demo.text('story')).includes('user:And of a bear?'), 'what the model reads is shown');

    // What shows Markdown comes with the first answer.
    await page.waitForFunction(() => [...document.querySelectorAll('.turn.assistant .words')].every(words => words.textContent));
    const before = await answers();
    await page.click('.turn.user .turn-bar button');
    await page.type('.turn.user textarea', ' And of its red house.');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('.turn').length === 2
        && document.querySelector('.turn.assistant .turn-bar button'));
    assert.ok((await page.$eval('#turns', list => list.textContent ?? '')).includes('2 / 2'));
    await page.click('.turn.user .turn-bar button');
    assert.deepEqual(await answers(), before, 'the conversation before is still there');
    demo.checkProblems();
});

test('answers are Markdown, and harmless', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    const html = await demo.page.evaluate(async () => {
        // @ts-ignore: as the page has it
        const { showMarkdown } = await import('./markdown.js');
        const element = document.createElement('div');
        const harm = '<img src="x" onerror="alert(1)"><script>alert(2)</script> [link](javascript:alert(3))';
        await showMarkdown(element, `**bold** ${harm}\n\n- one`);
        return element.innerHTML;
    });
    assert.match(html, /<strong>bold<\/strong>/);
    assert.match(html, /<li>one<\/li>/);
    assert.doesNotMatch(html, /<img|<script|javascript:|onerror/);
    // The page's policy, which stands behind it, has its say about the handler too.
    assert.ok(demo.problems.every(problem => problem.includes('inline event handler')), String(demo.problems));
});

test('a candidate begins a branch, and the text before can be walked to', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const story = await demo.write({ prompt: PROMPT, seed: 7, tokens: 40, pace: 0 });
    await demo.keep(25);
    const start = await page.$$eval('.token', spans => spans.slice(0, 26).map(span => span.textContent).join(''));
    // At once: the list may change.
    const name = await page.$eval('#candidates li:not([hidden]):not(.marked)', item => {
        item.querySelector('button')?.click();
        return item.querySelector('.bar-name')?.textContent;
    });
    // The status may still be that of the text before.
    await demo.says('cache-text', 'The first 26 (pale) are shared');
    await demo.says('status', 'tokens');
    await demo.ready();
    await demo.settle();
    const spans = await page.$$eval('.token', list => list.map(span => span.textContent));
    assert.equal(spans.slice(0, 26).join(''), start);
    assert.equal(spans[26], name);
    assert.notEqual(await demo.text('story'), story);
    assert.match(await demo.text('cache-text'), /The first 26 \(pale\) are shared/);
    assert.equal((await page.$$('#branch-tree li')).length, 2);

    // Written from the branch's tokens by an empty cache, it would be the same.
    const [once] = await page.$$('#branch-tree button');
    await once.click();
    await demo.settle();
    assert.equal(await demo.text('story'), story);
    await demo.click('continue');
    await demo.ready();
    await demo.settle();
    const longer = await demo.text('story');
    assert.ok(longer.startsWith(story) && longer.length > story.length, 'it goes on where it stood');

    // In the other panel they are not shown, when a text ends that was begun before either.
    await demo.fill({ pace: 20 });
    await demo.click('continue');
    await demo.says('status', 'Writing');
    await page.click('#modes input[value="chat"]');
    await page.waitForSelector('#story[aria-busy="false"]');
    await demo.settle();
    const isShown = () => page.$eval('#branches', section => section.checkVisibility());
    assert.equal(await isShown(), false);
    await page.click('#modes input[value="write"]');
    assert.equal(await isShown(), true);
    demo.checkProblems();
});

test('the settings redraw what may follow, and words show their surprise', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.write({ prompt: PROMPT, seed: 7, tokens: 30, pace: 0 });
    await demo.keep(15);
    const shown = () => demo.bars('candidates');
    const choose = async (/** @type {Record<string, number>} */ fields, /** @type {number} */ count) => {
        await demo.fill(fields);
        await demo.page.$eval('[name=topK]', field => field.dispatchEvent(new Event('input', { bubbles: true })));
        await demo.page.waitForFunction(expected =>
            document.querySelectorAll('#candidates li:not([hidden])').length === expected, {}, count);
    };
    // Six, and then eight: whatever was shown before the fields were followed, it was not both.
    await choose({ topK: 6, topP: 1 }, 6);
    await choose({ topK: 0 }, 8);
    const before = await shown();
    await choose({ topK: 2 }, 2);
    const after = await shown();
    assert.deepEqual(after.map(({ name }) => name), before.slice(0, 2).map(({ name }) => name));
    const sum = after.reduce((all, { figure }) => all + Number.parseFloat(figure), 0);
    assert.ok(Math.abs(sum - 100) <= 1, `two of two: ${sum}%`);

    await demo.page.keyboard.press('Escape');
    await demo.page.mouse.move(0, 0);
    await demo.click('surprising');
    await demo.page.waitForFunction(() => [...document.querySelectorAll('#story .token')]
        .some(span => Number.parseInt(/** @type {HTMLElement} */ (span).style.getPropertyValue('--tint')) > 20));
    demo.checkProblems();
});

test('a text of one’s own is scored', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.page.$eval('#score-panel', panel => /** @type {HTMLDetailsElement} */ (panel).open = true);
    const score = async (/** @type {string} */ text) => {
        await demo.page.$eval('#score-text', (field, value) => /** @type {HTMLTextAreaElement} */ (field).value = value, text);
        await demo.click('score');
        await demo.page.waitForFunction(length => document.getElementById('scored')?.textContent?.trim().length === length,
            {}, text.length + 1);
        return Number.parseFloat(await demo.text('score-result'));
    };
    const plain = await score('Once upon a time, there was a little girl named Lily.');
    const odd = await score('Quarterly amortization schedules perplex heliocentric badgers.');
    assert.ok(plain < 1 && odd > 2 * plain, `${plain} and ${odd} bits per byte`);
    // Two, one right after the other: the last one stands.
    await demo.page.evaluate(() => {
        const field = /** @type {HTMLTextAreaElement} */ (document.getElementById('score-text'));
        for (const text of ['The cat sat on a mat by the door.', 'A dog.']) {
            field.value = text;
            document.getElementById('score')?.click();
        }
    });
    await demo.page.waitForFunction(() => document.querySelector('#scored .token'));
    await demo.eventually(async () => assert.equal((await demo.text('scored')).replace('❧', '').trim(), 'A dog.'));
    await demo.page.focus('#score-text');
    await demo.page.keyboard.down('Control');
    await demo.page.keyboard.press('Enter');
    await demo.page.keyboard.up('Control');
    await demo.settle();
    assert.equal(await demo.text('story'), '', 'the keys that write score here');

    await demo.page.$eval('#score-text', field => {
        /** @type {HTMLTextAreaElement} */ (field).value = 'Once upon a time, there was a little girl. '.repeat(60);
    });
    await demo.click('score');
    await demo.says('score-result', '; the first 512 are shown');

    await demo.page.waitForSelector('#scored .token');
    await demo.page.evaluate(dropFile, 'other.gguf', '../dist/embedded/model.gguf');
    await demo.eventually(async () => assert.equal(await demo.text('scored') + await demo.text('score-result'), '',
        'another model would not say the same'));
    demo.checkProblems();
});

test('a model of a hub is kept, listed and deleted; a lost connection goes on where it stood', options, async t => {
    const { hub, state } = losingHub();
    const demo = await DemoPage.open(t, { hub });
    const { page } = demo;
    await demo.ready();
    await demo.click('model');
    await page.evaluate(askHub, `${demo.server.url}hub`);
    await page.waitForFunction(hasBegun);
    state.lose();
    await demo.says('model-problem', 'was lost in the middle');
    state.isLost = false;
    await page.evaluate(askHub, `${demo.server.url}hub`);
    await demo.says('model-name', 'model');
    assert.equal(state.ranges[0], undefined);
    assert.match(state.ranges[1] ?? '', /^bytes=[1-9]\d*-$/, 'it goes on where it stood');
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));

    await page.goto(`${demo.server.url}web/`);
    await demo.ready();
    await demo.click('model');
    await demo.says('model-list', 'kept in this browser');
    await page.$$eval('#model-list button', buttons => buttons.find(button => button.textContent === 'Delete')?.click());
    await page.waitForFunction(() => !document.getElementById('model-list')?.textContent?.includes('kept in this browser'));
    demo.problems = demo.problems.filter(problem => !/ERR_CONTENT_LENGTH|ERR_INCOMPLETE|failed: .*hub/.test(problem));
    demo.checkProblems();
});

test('a model of a hub of another origin: which size, its progress, cancelled, cut off, and all there in the end', options, async t => {
    const { url, state } = await realHub(t);
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const story = { prompt: PROMPT, seed: 7, tokens: 20, pace: 0 };
    const expected = await demo.write(story);
    await demo.click('model');
    await page.evaluate(askHub, url, 'someone/sizes');
    await demo.says('model-problem', 'Which one?');
    const choices = await page.$$eval('#model-choices li', items => items.map(item => item.textContent));
    assert.deepEqual(choices, ['sub/small.Q4_0.gguf3.24 MBLoad', 'big.Q8_0.gguf3.24 MBLoad'], 'the smallest first, and only what can run');
    state.pause = 150;
    await page.click('#model-choices li:last-child button');
    await page.waitForFunction(() => /[\d.]+ [kM]B of 3\.24 MB, [\d.]+ [kM]B\/s, \d+ s left/.test(
        document.getElementById('model-status')?.textContent ?? ''));
    await demo.click('model-cancel');
    await demo.says('model-problem', 'Cancelled');
    const load = () => page.evaluate(askHub, url, 'someone/sizes/big.Q8_0.gguf');
    Object.assign(state, { pause: 0, cut: 500_000 });
    await load();
    await page.waitForFunction(hasBegun);
    state.lose();
    await demo.says('model-problem', 'was lost in the middle');
    state.cut = 0;
    await load();
    await demo.says('model-name', 'big.Q8_0');
    assert.equal(await demo.write(story), expected, 'no byte is missing');
    const parts = state.asked.filter(({ path }) => path.startsWith('/xet-bridge/')).map(({ range }) => Number(range?.slice(6, -1) ?? 0));
    assert.equal(parts.length, 3);
    assert.ok(parts[0] === 0 && parts[1] > 0 && parts[2] > parts[1], `it goes on where it stood: ${parts}`);
    assert.ok(state.asked.every(({ method }) => method === 'GET'), 'nothing is asked that the host of the files does not answer');
});

/** @type {[string, Partial<import('./real-hub.js').State>][]} */
const UNJOINED = [
    ['has changed on its hub meanwhile', { tag: '"second"' }], ['the browser may ask for as a whole only', { isWholeOnly: true }]
];
for (const [what, change] of UNJOINED) test(`a file that ${what} is loaded from its beginning`, options, async t => {
    const { url, state } = await realHub(t);
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.click('model');
    const load = () => demo.page.evaluate(askHub, url, 'someone/sizes/sub/small.Q4_0.gguf');
    state.cut = 500_000;
    await load();
    await demo.page.waitForFunction(hasBegun);
    state.lose();
    await demo.says('model-problem', 'was lost in the middle');
    Object.assign(state, { cut: 0, ...change });
    await load();
    await demo.says('model-name', 'small.Q4_0');
    const ranges = state.asked.filter(({ path }) => path.startsWith('/xet-bridge/')).map(({ range }) => range);
    // A browser may try once more by itself where a connection breaks.
    assert.match(ranges[1] ?? '', /^bytes=[1-9]\d*-$/);
    assert.deepEqual([ranges[0], ranges.at(-1)], [undefined, undefined]);
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));
});

test('what a hub does not have, or does not give, is said and leaves nothing behind', options, async t => {
    const { url } = await realHub(t);
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.click('model');
    for (const [name, said] of [
        ['someone/gated', 'does not give this model to everybody'], ['someone/absent/model.gguf', 'does not give this model to everybody'],
        ['someone/sizes/none.gguf', 'has no file none.gguf'], ['someone/sizes/sub/none.gguf', 'has no file sub/none.gguf'],
        // What one copies from a hub: its list of files, and the link to one of them.
        ['https://huggingface.co/someone/sizes/tree/main', 'Which one?'],
        ['https://huggingface.co/someone/sizes/resolve/main/none.gguf?download=true', 'has no file none.gguf in'],
    ]) {
        await demo.page.evaluate(askHub, url, name);
        await demo.says('model-problem', said);
    }
    await demo.page.waitForFunction(() => document.getElementById('model-progress')?.hidden);
    assert.doesNotMatch(await demo.text('model-list'), /downloaded|sizes|gated|absent/);
    await demo.click('models-close');
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT), 'the model before still writes');
});

test('where there is no room the model runs all the same', options, async t => {
    const demo = await DemoPage.open(t, { quota: 2_000_000, hub: (path, _, response) => {
        if (!path.endsWith('model.gguf')) return void response.writeHead(404).end();
        createReadStream(`${EMBEDDED}model.gguf`).pipe(response);
    } });
    const { page } = demo;
    await demo.ready();
    await demo.click('model');
    await page.evaluate(askHub, `${demo.server.url}hub`);
    await demo.says('model-name', 'model');
    await demo.says('notice-text', 'There is no room in this browser to keep the model');
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));
});

test('without headers a service worker isolates the page, and keeps it for a visit offline', options, async t => {
    const demo = await DemoPage.open(t, { isolation: false });
    const { page } = demo;
    await page.waitForFunction(() => crossOriginIsolated && document.getElementById('status')?.textContent?.includes('layers of'));
    // What the worker kept is counted from outside: it answers no questions.
    await page.waitForFunction(isKept);
    demo.checkProblems();
    await demo.server.close();
    await reload(page);
    await page.waitForFunction(() => document.getElementById('status')?.textContent?.includes('layers of'));
    assert.equal(await page.evaluate(() => crossOriginIsolated), true);
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));
});

test('the code that is copied writes this very text', options, async t => {
    const demo = await DemoPage.open(t);
    const story = await demo.write({ prompt: PROMPT, seed: 11, tokens: 25, temperature: 0.7, topK: 30, minP: 0.05, pace: 0 });
    await demo.page.$eval('#code-panel', panel => /** @type {HTMLDetailsElement} */ (panel).open = true);
    await demo.says('code', 'createRuntime');
    assert.equal(await runCode(await demo.text('code')), story.replace('❧', ''));
    demo.checkProblems();
});

test('it works as static files under any path', options, async t => {
    const root = await mkdtemp(join(tmpdir(), 'static-'));
    t.after(() => rm(root, { recursive: true }));
    await mkdir(join(root, 'some/path'), { recursive: true });
    for (const name of ['web', 'dist']) {
        await symlink(fileURLToPath(new URL(`../../${name}`, import.meta.url)), join(root, 'some/path', name));
    }
    const demo = await DemoPage.open(t, { root, isolation: false, path: 'some/path/' });
    // Then write() waits: a page whose address has come to hold the text writes it again, and says so in place of what it is ready with.
    const isIsolated = () => demo.page.waitForFunction(() =>
        crossOriginIsolated && document.getElementById('status')?.textContent);
    await isIsolated();
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));
    await reload(demo.page);
    await isIsolated();
    assert.ok((await demo.write({ prompt: PROMPT, tokens: 12, pace: 0 })).includes(PROMPT));
    await Promise.all([demo.page.waitForNavigation(), demo.page.click('.links a')]);
    await demo.page.click('#measure');
    await demo.says('status', 'S=64: measuring');
    demo.checkProblems();
});

test('the address holds what is asked for, within what the device has', options, async t => {
    const demo = await DemoPage.open(t, { hash: '#workers=999&temperature=9&head=99' });
    await demo.ready();
    const { workers, temperature } = await demo.page.$eval('#settings',
        form => Object.fromEntries(new FormData(/** @type {HTMLFormElement} */ (form))));
    assert.ok(Number(workers) <= 8, `${workers} workers`);
    assert.equal(temperature, '2');
    demo.checkProblems();
});
