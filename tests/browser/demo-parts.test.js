// The page's parts, one by one: the tour, a model on its way, all of a conversation, the cache and its costs, where words look, and
// what developers take away.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { serve } from '../../web/serve.js';
import { safetensors, tinyTokenizer } from '../generation/checkpoint.js';
import { floats, rng } from '../rng.js';
import { noBrowser, notInFirefox, openPage } from './browser.js';
import { chattingModel } from './chatting-model.js';
import { DemoPage, TIMEOUT } from './demo-page.js';
import { dropFile } from './giving.js';
import { askHub } from './hub.js';
import { pieceSize } from './real-hub.js';
import { runCode } from './run-code.js';

const options = { skip: noBrowser, timeout: 3 * TIMEOUT };
const chromiumOnly = { ...options, skip: notInFirefox };
const PROMPT = 'Once upon a time, there was a little fox who';
const STORY = { prompt: PROMPT, seed: 7, tokens: 40, pace: 0 };
const MODEL = readFileSync(new URL('../../js/embedded/model.gguf', import.meta.url));

/** @param {DemoPage} demo @param {string} file */
async function pick({ page }, file) {
    const input = /** @type {import('puppeteer-core').ElementHandle<HTMLInputElement>} */ (await page.$('#pick-file'));
    await input.uploadFile(file);
}

/** @param {DemoPage} demo @param {string} id of a details element */
function unfold({ page }, id) {
    return page.$eval(`#${id}`, panel => { /** @type {HTMLDetailsElement} */ (panel).open = true; });
}

test('the tour has five steps, each beside what it tells of', options, async t => {
    const demo = await DemoPage.open(t, { media: [{ name: 'prefers-reduced-motion', value: 'reduce' }] });
    const { page } = demo;
    await demo.write(STORY);
    await page.focus('#tour');
    await page.keyboard.press('Enter');
    const seen = new Set();
    for (let step = 1; step <= 5; step++) {
        await demo.says('guide-count', `${step} of 5`);
        const [id, isSeen] = await page.$eval('.toured', element => {
            const { top, bottom } = element.getBoundingClientRect();
            return [element.id, top < innerHeight && bottom > 0];
        });
        assert.ok(isSeen, `${id} is out of sight`);
        seen.add(id);
        if (step < 5) await page.keyboard.press('Enter');
    }
    assert.equal(seen.size, 5);
    // Wherever the focus is by then.
    await page.focus('#prompt');
    await page.keyboard.press('Escape');
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'tour');
    assert.equal(await page.$('.toured'), null);
    demo.checkProblems();
});

test('on a phone the tour shows what it tells of, with a word kept too', options, async t => {
    const demo = await DemoPage.open(t, {
        viewport: { width: 375, height: 667 }, media: [{ name: 'prefers-reduced-motion', value: 'reduce' }]
    });
    const { page } = demo;
    await demo.write(STORY);
    await demo.keep(12);
    await demo.click('tour');
    for (let step = 1; step <= 5; step++) {
        await demo.says('guide-count', `${step} of 5`);
        const [id, isSeen, isWhole] = await page.$eval('.toured', element => {
            const { left, top, width, bottom } = element.getBoundingClientRect();
            const room = document.getElementById('guide')?.offsetTop ?? 0;
            const [high, low] = [Math.max(top, 0), Math.min(bottom, room)];
            const isAbove = element.contains(document.elementFromPoint(left + width / 2, (high + low) / 2));
            return [element.id, isAbove, bottom - top > room || (top >= 0 && bottom <= room)];
        });
        assert.ok(isSeen && isWhole, `${id} is covered`);
        await demo.click('guide-next');
    }
    assert.equal(await page.$eval('#step', step => getComputedStyle(step).position), 'fixed', 'the word is still kept');
    demo.checkProblems();
});

test('a model on its way says how fast and how long, can be cancelled, and goes on from there', options, async t => {
    let isSlow = true;
    /** @type {(string | undefined)[]} */
    const ranges = [];
    let onOther = () => {};
    const demo = await DemoPage.open(t, { hub: async (path, request, response) => {
        if (!path.endsWith('model.gguf')) return void response.writeHead(404).end();
        const { range } = request.headers;
        ranges.push(range);
        if (path.endsWith('other-model.gguf')) onOther();
        const start = range ? Number(/bytes=(\d+)-/.exec(range)?.[1]) : 0;
        response.writeHead(range ? 206 : 200, { 'Content-Length': MODEL.length - start });
        for (let at = start; at < MODEL.length && !response.destroyed;) {
            const piece = MODEL.subarray(at, at + pieceSize(at - start, isSlow));
            response.write(piece);
            at += piece.length;
            if (isSlow) await new Promise(resolve => setTimeout(resolve, 200));
        }
        response.end();
    } });
    const { page } = demo;
    await demo.ready();
    await demo.click('model');
    const load = () => page.evaluate(askHub, `${demo.server.url}hub`);
    await load();
    await page.waitForFunction(() => /[\d.]+ [kM]B of 3\.24 MB, [\d.]+ [kM]B\/s, \d+ s left/.test(
        document.getElementById('model-status')?.textContent ?? ''));
    await demo.click('model-cancel');
    await demo.says('model-problem', 'Cancelled');
    assert.equal(await demo.text('model-name'), 'TinyStories');

    // While it is on its way it cannot be deleted, nor kept by another tab as well.
    await load();
    await demo.says('model-status', ' left');
    await page.$eval('#model-list button[aria-label^="Delete"]', button => /** @type {HTMLElement} */ (button).click());
    await demo.says('model-problem', 'cancel that first');
    const second = new DemoPage(await openPage(page.browserContext()), demo.server);
    await second.page.goto(page.url());
    await second.ready();
    await second.page.evaluate(askHub, `${demo.server.url}hub`);
    await second.says('model-problem', 'Another tab');
    await second.page.close();

    // Another is asked for while this one is on its way: it is that one's progress that is shown then.
    /** @type {Promise<void>} */
    const isAsked = new Promise(resolve => { onOther = resolve; });
    await page.evaluate(askHub, `${demo.server.url}hub`, 'someone/small/other-model.gguf');
    await isAsked;
    await demo.says('model-status', ' left');
    assert.ok(await page.$eval('#model-progress', element => element.checkVisibility()));
    const said = await demo.text('model-said');
    assert.match(said, /^Downloading: \d?0%$/, 'those who listen hear of tenths');
    await demo.click('model-cancel');
    await demo.says('model-problem', 'Cancelled');
    isSlow = false;
    await load();
    await demo.says('model-name', 'model');
    assert.match(ranges.at(-1) ?? '', /^bytes=[1-9]\d*-$/);
    demo.problems = demo.problems.filter(problem => !/failed: .*hub/.test(problem));
    demo.checkProblems();
});

test('why a model does not load is said on the page where its dialog was closed', options, async t => {
    /** @type {(() => void) | undefined} */
    let refuse;
    const demo = await DemoPage.open(t, { hub: (path, request, response) => {
        refuse = () => response.writeHead(404).end();
    } });
    const { page, problems } = demo;
    await demo.ready();
    await page.evaluate(askHub, `${demo.server.url}hub`);
    await demo.eventually(async () => assert.ok(refuse, 'the hub is asked'));
    await page.keyboard.press('Escape');
    refuse?.();
    await demo.says('status', 'TinyStories is still here.');
    await demo.notice('The model could not be loaded');
    assert.ok(problems.every(problem => /404|model\.gguf/.test(problem)), problems.join());
});

test('the dialog closes by a click beside it, and by none in it', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    await demo.click('model');
    const { left, top } = await page.$eval('#models', dialog => dialog.getBoundingClientRect().toJSON());
    await page.mouse.click(left + 5, top + 60);
    await page.mouse.move(left + 60, top + 60);
    await page.mouse.down();
    await page.mouse.move(left - 40, top + 60);
    await page.mouse.up();
    assert.ok(await page.$('dialog[open]'), 'pressed in it');
    await page.mouse.click(left - 40, top + 60);
    assert.equal(await page.$('dialog[open]'), null);
    demo.checkProblems();
});

test('a model that cannot run says why, and what would', options, async t => {
    const folder = await mkdtemp(join(tmpdir(), 'unknown-'));
    t.after(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'unknown.gguf'), Buffer.from(MODEL.toString('latin1').replaceAll('gpt2', 'gpt9'), 'latin1'));
    const demo = await DemoPage.open(t);
    await demo.ready();
    await pick(demo, join(folder, 'unknown.gguf'));
    await demo.says('model-problem', 'gpt9');
    assert.match(await demo.text('model-problem'), /gpt2/, 'the families that run are named');
    demo.checkProblems();
});

/** The page with a model that chats. @param {import('node:test').TestContext} t @param {Parameters<typeof DemoPage.open>[1]} [settings] */
async function openChat(t, settings) {
    const demo = await DemoPage.open(t, settings);
    await demo.ready();
    await pick(demo, await chattingModel(t));
    await demo.says('model-name', 'chat');
    await demo.page.waitForFunction(() => !document.querySelector('dialog[open]'));
    await demo.page.click('#modes input[value="chat"]');
    return demo;
}

test('a conversation: a system prompt, stop, continue, another answer, another word', options, async t => {
    const demo = await openChat(t, { before: () => {
        // Another answer is by another seed: the same one each time.
        crypto.getRandomValues = (/** @type {any} */ array) => array.fill(5);
    } });
    const { page } = demo;
    await page.$eval('#system', field => { /** @type {HTMLTextAreaElement} */ (field).value = 'You are a fox.'; });
    const answer = () => page.$eval('.turn.assistant:last-child .words', words => words.textContent ?? '');
    const ended = () => page.waitForFunction(() => document.querySelector('.turn.assistant:last-child .turn-bar button')
        && document.getElementById('story')?.getAttribute('aria-busy') === 'false');
    const press = (/** @type {string} */ label) => page.$$eval('.turn.assistant:last-child .turn-bar button',
        (buttons, text) => buttons.find(button => button.textContent === text)?.click(), label);

    await demo.fill({ tokens: 300, pace: 5 });
    await page.type('#message', 'Tell me of a bear.');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => (document.querySelector('.turn.assistant .words')?.textContent ?? '').length > 10);
    await page.$eval('#chat-stop', button => /** @type {HTMLElement} */ (button).click()); // it moves as the text grows
    await ended();
    assert.match(await demo.text('status'), /^Stopped/);
    assert.ok((await demo.text('story')).startsWith('system:You are a fox.'), await demo.text('story'));
    const stopped = (await answer()).trimEnd();

    // Nothing is cut off, so that other words may always follow.
    await demo.fill({ tokens: 12, pace: 0, temperature: 1, topK: 0, topP: 1, minP: 0 });
    await press('Continue');
    await page.waitForFunction(length => (document.querySelector('.turn.assistant:last-child .words')?.textContent ?? '').length > length,
        {}, stopped.length);
    await ended();
    const whole = await answer();
    assert.ok(whole.startsWith(stopped), `${whole}: goes on from ${stopped}`);

    await page.focus('.turn.assistant:last-child .turn-bar button:nth-child(2)');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('.turn.assistant .turn-bar')?.textContent?.includes('2 / 2'));
    await ended();
    assert.notEqual(await answer(), whole);
    assert.equal(await page.evaluate(() => document.activeElement?.id), 'message', 'the focus stays where one goes on from');

    // One that can be seen: a token of nothing but white space has no width.
    const position = await page.$$eval('#story .token', spans =>
        spans.findLastIndex((span, i) => i <= spans.length - 6 && span.getBoundingClientRect().width > 2));
    await demo.keep(position);
    // A word, which is shown as it stands in the text; at once, since the list may change.
    const name = await page.$$eval('#candidates li:not([hidden]):not(.marked)', items => {
        const nameOf = (/** @type {Element | undefined} */ item) => item?.querySelector('.bar-name')?.textContent ?? '';
        const word = items.find(item => /^\p{L}+$/u.test(nameOf(item)));
        word?.querySelector('button')?.click();
        return nameOf(word);
    });
    await page.waitForFunction(() => document.querySelector('.turn.assistant .turn-bar')?.textContent?.includes('3 / 3'));
    await ended();
    await demo.settle();
    assert.equal(await page.$eval(`#story .token[data-position="${position + 1}"]`, span => span.textContent), name);
    demo.checkProblems();
});

test('an answer is the one to its own question, wherever one looks meanwhile', options, async t => {
    const demo = await openChat(t);
    const { page } = demo;
    const letters = (/** @type {string} */ text) => text.replace(/[\s∎]/g, '');
    const answer = () => page.$eval('.turn.assistant:last-child .words > div', words => words.textContent ?? '');
    const ended = () => page.waitForFunction(() => document.querySelector('.turn.assistant:last-child .turn-bar button'));
    await demo.fill({ tokens: 30, pace: 0 });
    await page.type('#message', 'Tell me of a fox.');
    await page.keyboard.press('Enter');
    await ended();
    await page.waitForFunction(() => document.querySelector('.turn.assistant .words > div')?.textContent);
    const first = await answer();
    await page.$eval('.turn.assistant .words > div > *', element => element.setAttribute('data-seen', ''));

    await demo.fill({ tokens: 60, pace: 20 });
    await page.type('#message', 'And of a bear?');
    await page.evaluate(async () => {
        /** @type {HTMLFormElement} */ (document.getElementById('chat-form')).requestSubmit();
        await new Promise(requestAnimationFrame);
    });
    assert.notEqual(await answer(), first, 'what was said before is not said again');
    await page.waitForFunction(() => (document.querySelector('.turn.assistant:last-child .words > div')?.textContent ?? '').length > 10);
    // A key that ends what is being composed stops nothing.
    await page.$eval('#message', field => field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', isComposing: true, bubbles: true })));
    assert.equal(await page.$eval('#chat-stop', button => /** @type {HTMLButtonElement} */ (button).disabled), false);
    await demo.settle();
    const begun = await answer();
    await page.click('#modes input[value="write"]');
    await page.waitForSelector('#story[aria-busy="false"]');
    await page.click('#modes input[value="chat"]');
    await demo.eventually(async () => assert.ok(letters(await demo.text('story')).endsWith(letters(await answer()))));
    assert.ok((await answer()).length >= begun.length, 'all of it is there');
    assert.equal((await page.$$('[data-seen]')).length, 1, 'what stood is not read again');
    demo.checkProblems();
});

test('an answer whose question could not be read is not gone on with', options, async t => {
    const demo = await openChat(t);
    const { page } = demo;
    const buttons = () => page.$$eval('.turn.assistant:last-child .turn-bar button', all => all.map(button => button.textContent));
    await demo.fill({ tokens: 5, pace: 0 });
    await page.type('#message', 'Tell me of a fox.');
    await page.keyboard.press('Enter');
    await demo.eventually(async () => assert.deepEqual(await buttons(), ['Copy', 'Again', 'Continue']));
    for (const [question, why] of [['refused', 'not that word'], ['and a bear '.repeat(600), '512']]) {
        await page.$eval('#message', (field, value) => { /** @type {HTMLTextAreaElement} */ (field).value = value; }, question);
        await page.focus('#message');
        await page.keyboard.press('Enter');
        await demo.notice(why);
        await demo.eventually(async () => assert.deepEqual(await buttons(), ['Copy', 'Again']));
        // Another question in place of it.
        await page.click('.turn.user:nth-last-child(2) button[title="Ask in other words"]');
        await page.$eval('.turn.user textarea', field => { /** @type {HTMLTextAreaElement} */ (field).value = 'And of a bear?'; });
        await page.click('.turn.user button[title="Send it like this"]');
        await demo.eventually(async () => assert.ok((await buttons()).includes('Continue')));
    }
    demo.checkProblems();
});

test('another answer is what is looked at, also after looking elsewhere', options, async t => {
    const demo = await openChat(t);
    const { page } = demo;
    const last = '.turn.assistant:last-child';
    const press = async (/** @type {string} */ label) => {
        const button = `${last} .turn-bar button[title="${label}"]:not(:disabled)`;
        await page.waitForSelector(button);
        await page.$eval(button, element => /** @type {HTMLElement} */ (element).click());
    };
    await demo.fill({ tokens: 5, pace: 0 });
    await page.type('#message', 'Tell me of a fox.');
    await page.keyboard.press('Enter');
    await press('Write another answer');
    await page.waitForSelector(`${last} button[title="Go on with this answer"]`);
    await press('The one before');
    for (const mode of ['write', 'chat']) await page.click(`#modes input[value="${mode}"]`);
    // Its conversation is drawn anew.
    await press('The next one');
    await page.waitForSelector(`${last} button[title="Go on with this answer"]`);
    await press('The one before');
    assert.equal(await page.$(`${last} button[title="Go on with this answer"]`), null, 'the other answer stands below');
    demo.checkProblems();
});

/** Makes each message of a worker come later than the one before, as a large model would. */
function slowWorkers() {
    const Own = Worker;
    window.Worker = class extends Own {
        /** @param {(event: MessageEvent) => void} hear */
        set onmessage(hear) {
            let free = 0;
            super.onmessage = event => {
                free = Math.max(performance.now(), free) + 400;
                setTimeout(() => hear(event), free - performance.now());
            };
        }
    };
}

test('whoever waits for a score, a model to be kept or another layer sees how far it is', options, async t => {
    const demo = await DemoPage.open(t, { before: slowWorkers });
    const { page } = demo;
    /** What an element says, one after the other. @param {string} id */
    const listen = id => page.evaluate(name => {
        const element = /** @type {HTMLElement} */ (document.getElementById(name));
        /** @type {any} */ (window).heard = [];
        new MutationObserver(() => /** @type {any} */ (window).heard.push(element.textContent)).observe(element, { childList: true });
    }, id);
    const heard = () => page.evaluate(() => /** @type {string[]} */ (/** @type {any} */ (window).heard).join('; '));
    await demo.ready();
    await unfold(demo, 'score-panel');
    await page.$eval('#score-text', field => { /** @type {HTMLTextAreaElement} */ (field).value = 'The fox ran on. '.repeat(200); });
    await listen('score-result');
    await demo.click('score');
    await demo.says('score-result', 'bits per byte');
    assert.match(await heard(), /^Reading; Reading: \d0%; (Reading: \d+%; )+[\d.]+ bits per byte/);

    await demo.fill({ ...STORY, prompt: 'The fox ran on. '.repeat(70), tokens: 2 });
    await page.click('#write');
    await demo.says('status', '2 tokens');
    await page.select('select[name="workers"]', '0');
    await demo.says('threads', '1');
    await demo.ready();
    await listen('status');
    await page.click('#layers label:first-of-type');
    await demo.eventually(async () => assert.match(await heard(), /Reading: \d+ of \d+ tokens; \d layers of/));

    await pick(demo, await chattingModel(t));
    await demo.says('model-name', 'chat');
    await demo.ready();
    await demo.click('model');
    await listen('model-said');
    const press = async (/** @type {string} */ name) => {
        const button = await page.waitForSelector(`button[aria-label="${name} chat"]`);
        await button?.evaluate(element => /** @type {HTMLElement} */ (element).click());
    };
    await press('Keep');
    await demo.says('model-list', 'kept in this browser');
    assert.match(await heard(), /Copying: \d+%/);
    assert.equal(await page.$eval('#model-progress', element => element.checkVisibility()), false);

    // What is written instead ends it, and that is said where one looks.
    await press('Delete');
    await press('Keep');
    await page.click('#models-close');
    await page.click('#write');
    await demo.notice('The model is not kept');
    demo.checkProblems();
});

test('what each token costs without a cache is measured and shown', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.click('cold');
    await demo.write(STORY);
    await demo.says('costs-text', 'Without the cache (grey) the token at position');
    const [, cold, warm] = /costs ([\d.]+) ms.*with it \(in colour\) ([\d.]+) ms/.exec(await demo.text('costs-text')) ?? [];
    // Which is longer is not asserted: on a busy machine a token of so small a model may wait longer than it is computed.
    assert.ok(Number(cold) > 0 && Number(warm) > 0, await demo.text('costs-text'));
    assert.ok((await demo.canvas('#costs')).colours > 2);
    assert.match(await demo.text('cache-text'),
        /^Each token is read once: .* \(\d+ heads in 4 layers, [\d.]+ kB\).* \d+ of 512 tokens, [\d.]+ kB: /);
    demo.checkProblems();
});

test('a speed is a plain number, and a size has its unit, whatever they are', options, async t => {
    const demo = await DemoPage.open(t);
    const said = await demo.page.evaluate(async (speeds, sizes) => {
        // @ts-ignore: as the page has it
        const { bytes, round } = await import('./meters.js');
        return [speeds.map(round), sizes.map(bytes)];
    }, [0.123, 1, 9.96, 12.3, 99.4, 99.6, 100, 1234.5], [999, 7000, 3_240_000, 639_446_688, 3_088_000_000]);
    assert.deepEqual(said, [['0.12', '1.0', '10', '12', '99', '100', '100', '1,235'], ['999 B', '7 kB', '3.24 MB', '639.4 MB', '3.09 GB']]);
});

test('a thumbnail opens its head of its layer', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.write(STORY);
    await demo.click('show-maps');
    await demo.says('maps-text', 'Click one');
    await page.$eval('#maps', canvas => canvas.scrollIntoView({ block: 'center' }));
    const step = await page.$eval('#maps', canvas => canvas.clientHeight / 4);
    // The third head of the second layer.
    await page.click('#maps', { offset: { x: 2.5 * step, y: 1.5 * step } });
    await demo.says('map-lane', 'Layer 2, head 3.');
    assert.equal(await page.$eval('#lanes input:checked', input => /** @type {HTMLInputElement} */ (input).value), '3');
    await page.focus('#maps');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    await demo.says('map-lane', 'Layer 3, head 4.');
    // Those of another text are gone with it.
    await page.click('#modes input[value="chat"]');
    assert.equal(await page.$eval('#maps', canvas => canvas.checkVisibility()), false);
    demo.checkProblems();
});

/** A model with convolutions in all layers but the second and the fourth, as one file. @returns {Uint8Array} */
function convolvingModel() {
    const [width, taps, inner, layers] = [16, 3, 24, 5];
    const tokenizer = tinyTokenizer();
    const vocabulary = Object.keys(tokenizer.model.vocab).length;
    const random = rng(5);
    const weights = new Map();
    const add = (/** @type {string} */ name, /** @type {number[]} */ ...shape) =>
        weights.set(`model.${name}.weight`, { shape, data: floats(random, shape.reduce((n, m) => n * m)) });
    add('embed_tokens', vocabulary, width);
    add('embedding_norm', width);
    for (let i = 0; i < layers; i++) {
        for (const norm of ['operator_norm', 'ffn_norm']) add(`layers.${i}.${norm}`, width);
        for (const part of ['w1', 'w3']) add(`layers.${i}.feed_forward.${part}`, inner, width);
        add(`layers.${i}.feed_forward.w2`, width, inner);
        if (i % 2 === 1) {
            for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj']) add(`layers.${i}.self_attn.${part}`, width, width);
            for (const norm of ['q_layernorm', 'k_layernorm']) add(`layers.${i}.self_attn.${norm}`, width / 4);
        } else {
            add(`layers.${i}.conv.in_proj`, 3 * width, width);
            add(`layers.${i}.conv.conv`, width, 1, taps);
            add(`layers.${i}.conv.out_proj`, width, width);
        }
    }
    const config = {
        model_type: 'lfm2', vocab_size: vocabulary, hidden_size: width, intermediate_size: inner, block_auto_adjust_ff_dim: false,
        num_hidden_layers: layers, num_attention_heads: 4, num_key_value_heads: 4, max_position_embeddings: 256, conv_L_cache: taps,
        full_attn_idxs: [1, 3], eos_token_id: 0
    };
    return safetensors(weights, { metadata: { format: 'pt', config: JSON.stringify(config), tokenizer: JSON.stringify(tokenizer) } });
}

test('of a model with convolutions the layers that have attention can be looked at', options, async t => {
    const folder = await mkdtemp(join(tmpdir(), 'convolving-'));
    t.after(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'convolving.safetensors'), convolvingModel());
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    await pick(demo, join(folder, 'convolving.safetensors'));
    await page.waitForFunction(() => document.getElementById('model-name')?.textContent === 'convolving.safetensors');
    await demo.says('status', '5 layers, 2 of them with 4 heads');
    assert.deepEqual(await page.$$eval('#layers label', labels => labels.map(label => label.textContent)), ['2', '4']);
    assert.equal(await page.$eval('#layers input:checked', input => /** @type {HTMLInputElement} */ (input).value), '3');
    await demo.write(STORY);
    await demo.click('show-maps');
    await demo.says('maps-text', 'Click one');
    demo.checkProblems();
});

test('the thumbnails of many heads are as small as a phone needs them', options, async t => {
    const demo = await DemoPage.open(t);
    const sizes = await demo.page.evaluate(async () => {
        // @ts-ignore: as the page has it
        const { MapsPanel } = await import('./maps-panel.js');
        const size = (/** @type {number} */ clientWidth, /** @type {number} */ heads, /** @type {number} */ layers) =>
            Reflect.get(MapsPanel.prototype, 'size', { canvas: { clientWidth }, heads, app: { model: { layers } } });
        return { few: size(343, 4, 4), many: size(343, 32, 22) };
    });
    assert.equal(sizes.few, 80);
    assert.ok(sizes.many > 0 && 32 * (sizes.many + 3) <= 343 + 3, `heads of ${sizes.many} px`);
});

test('a word looks forward too; of a long text the newest part is looked into', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.write(STORY);
    await page.click('#directions input[value="forward"]');
    await demo.keep(8);
    await demo.says('looked-title', 'Is looked at by');
    const { tints, unseen } = await demo.tints();
    assert.ok(tints.slice(0, 8).every(tint => tint === 0) && tints.slice(8).some(tint => tint > 10), String(tints));
    assert.equal(unseen, 8);
    await page.click('#directions input[value="back"]');
    await page.keyboard.press('Escape');

    await demo.write({ ...STORY, prompt: `${PROMPT} was sad. `.repeat(32), tokens: 20 });
    const last = await page.$$eval('.token', spans => spans.length - 1);
    assert.ok(last > 420, `${last} tokens`);
    await demo.keep(4);
    await demo.says('step-remark', 'the newest part of a long text only');
    assert.equal((await demo.bars('looked-at')).length, 0);
    await demo.keep(last - 3);
    await page.waitForFunction(() => document.querySelectorAll('#looked-at li:not([hidden])').length === 8);
    demo.checkProblems();
});

test('the code and the address follow a branch, and what was continued', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const trunk = await demo.write(STORY);
    await unfold(demo, 'code-panel');
    // What is in the fields by now is of the next text.
    await demo.fill({ temperature: 0.1, seed: 1, prompt: 'The dragon' });
    assert.equal(await runCode(await demo.text('code')), trunk.replace('❧', ''));
    await demo.fill({ temperature: 0.9, seed: 3, tokens: 15 });
    await demo.keep(25);
    await page.$eval('#candidates li:not([hidden]):not(.marked) button', button => /** @type {HTMLElement} */ (button).click());
    await page.waitForFunction(() => document.querySelectorAll('#branch-tree li').length === 2);
    await demo.says('status', '15 tokens');
    await demo.settle();
    const branch = await demo.text('story');
    assert.equal(await runCode(await demo.text('code')), branch.replace('❧', ''));
    const other = await DemoPage.open(t, { hash: new URL(page.url()).hash });
    await other.says('status', '15 tokens');
    await other.settle();
    assert.equal(await other.text('story'), branch);

    await demo.fill({ tokens: 9 });
    await demo.click('continue');
    await demo.says('status', '9 tokens');
    await demo.settle();
    const longer = await demo.text('story');
    assert.ok(longer.startsWith(branch));
    assert.equal(await runCode(await demo.text('code')), longer.replace('❧', ''));
    await page.$eval('#branch-tree button', button => /** @type {HTMLElement} */ (button).click());
    await demo.says('code', `'${PROMPT}'`);
    assert.equal(await runCode(await demo.text('code')), trunk.replace('❧', ''));
    demo.checkProblems();
});

test('the code for a page is one script, whatever its text says', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await demo.ready();
    await page.evaluate(dropFile, "it's.gguf", '../dist/embedded/model.gguf');
    await demo.says('model-name', "it's");
    await page.waitForFunction(() => !document.querySelector('dialog[open]'));
    await unfold(demo, 'code-panel');
    await page.click('#code-kinds input[value="page"]');
    const prompt = "</script><!-- <script> it's 1 < 2";
    await demo.write({ ...STORY, prompt, tokens: 2 });
    await demo.says('code', '1 < 2');
    const [scripts, rest] = await page.evaluate(() => {
        // The page's policy allows no style in a text.
        const code = (document.getElementById('code')?.textContent ?? '').replace(/ style="[^"]*"/, '');
        const made = new DOMParser().parseFromString(code, 'text/html');
        const found = [...made.querySelectorAll('script')].map(script => script.text);
        for (const script of made.querySelectorAll('script')) script.remove();
        return [found, made.body.textContent?.trim()];
    });
    assert.deepEqual([scripts.length, rest], [1, '']);
    const said = /const prompt = (.*);/.exec(scripts[0])?.[1] ?? '';
    assert.equal(new Function(`return ${said}`)(), prompt);
    const file = /loadModel\(runtime, (.*)\);/.exec(scripts[0])?.[1] ?? '';
    assert.equal(new Function(`return ${file}`)(), "models/it's.gguf");
    demo.checkProblems();
});

test('the code for a page writes this very text in one', options, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    const story = await demo.write(STORY);
    await unfold(demo, 'code-panel');
    await page.click('#code-kinds input[value="page"]');
    await demo.says('code', '<!doctype html>');
    const code = await demo.text('code');
    const script = /<script type="module">([^]*)<\/script>/.exec(code)?.[1] ?? '';
    assert.match(script, /'https:\/\/cdn\.jsdelivr\.net\/npm\/cached-attention\/dist\/index\.js'/);
    const folder = await mkdtemp(join(tmpdir(), 'page-'));
    t.after(() => rm(folder, { recursive: true }));
    await mkdir(join(folder, 'page'));
    // The server's policy allows no script in a page's text: the same, in a file.
    await writeFile(join(folder, 'page/story.js'), script.replaceAll('https://cdn.jsdelivr.net/npm/cached-attention/dist', '/dist'));
    await writeFile(join(folder, 'page/index.html'), code.replace(/<script[^]*/, '<script type="module" src="story.js"></script>'));
    await symlink(fileURLToPath(new URL('../../dist', import.meta.url)), join(folder, 'dist'));
    const server = await serve({ port: 0, root: folder, folders: ['page', 'dist'] });
    t.after(() => server.close());
    const other = await page.browserContext().newPage();
    await other.goto(`${server.url}page/`);
    const expected = story.replace('❧', '');
    await other.waitForFunction(length => (document.body.textContent ?? '').trim().length >= length, { timeout: TIMEOUT }, expected.length);
    assert.equal((await other.$eval('body', body => body.textContent ?? '')).trim(), expected.trim());
});

test('code, address and report are copied', chromiumOnly, async t => {
    const demo = await DemoPage.open(t);
    const { page } = demo;
    await page.browserContext().overridePermissions(demo.server.url, ['clipboard-read', 'clipboard-sanitized-write']);
    await demo.write(STORY);
    for (const id of ['code-panel', 'explain-panel']) await unfold(demo, id);
    await demo.says('explained', 'bytesInUse');
    const copied = async (/** @type {string} */ id) => {
        const said = () => page.$eval(`#${id} ~ [role=status]`, element => element.textContent);
        await page.$eval(`#${id} ~ [role=status]`, element => { element.textContent = ''; });
        await demo.click(id);
        await demo.eventually(async () => assert.equal(await said(), 'Copied.'));
        return page.evaluate(() => navigator.clipboard.readText());
    };
    assert.equal(await copied('copy-code'), await demo.text('code'));
    assert.equal(new URL(await copied('copy-address')).hash, new URL(page.url()).hash);
    const { page: about, runtime, model } = JSON.parse(await copied('copy-explained'));
    assert.ok(about.userAgent && runtime.variant && model, 'what a bug report needs');
});

test('the report of what runs is there while the page writes', options, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    await demo.fill({ tokens: 400, pace: 20 });
    await demo.page.click('#write');
    await demo.tokens(20);
    await unfold(demo, 'explain-panel');
    await demo.says('explained', 'bytesInUse');
    assert.equal(await demo.page.$eval('#story', story => story.getAttribute('aria-busy')), 'true', 'it still writes');
    demo.checkProblems();
});

test('it can be installed', chromiumOnly, async t => {
    const demo = await DemoPage.open(t);
    await demo.ready();
    const client = await demo.page.createCDPSession();
    const { errors } = await client.send('Page.getAppManifest');
    assert.deepEqual(errors, []);
    const { installabilityErrors } = await client.send('Page.getInstallabilityErrors');
    // A context that leaves nothing behind installs nothing.
    assert.deepEqual(installabilityErrors.map(({ errorId }) => errorId).filter(id => id !== 'in-incognito'), []);
});

test('what is written stays in sight, until one looks elsewhere', options, async t => {
    const demo = await DemoPage.open(t, { viewport: { width: 1280, height: 620 } });
    const { page } = demo;
    await demo.ready();
    await demo.fill({ tokens: 450, pace: 60, temperature: 0.8 });
    await page.click('#write');
    const scrolled = () => page.$eval('.page', pane => pane.scrollTop);
    const isSeen = () => page.$eval('.caret', caret => caret.getBoundingClientRect().top < innerHeight);
    await demo.eventually(async () => assert.ok(await scrolled() > 200, 'it follows'));
    await demo.eventually(async () => assert.ok(await isSeen(), 'the newest word is in sight'));
    await page.mouse.move(300, 300);
    await page.mouse.wheel({ deltaY: -2000 });
    await page.waitForFunction(() => document.querySelector('.page')?.scrollTop === 0);
    await demo.tokens(await page.$$eval('.token', spans => spans.length) + 40);
    assert.equal(await scrolled(), 0);
    demo.checkProblems();
});

test('while it is answered the place to write stays in sight, until one looks elsewhere', options, async t => {
    const demo = await DemoPage.open(t, { viewport: { width: 375, height: 560 } });
    const { page } = demo;
    await demo.ready();
    await page.click('#modes input[value="chat"]');
    await pick(demo, await chattingModel(t));
    await page.waitForFunction(() => document.getElementById('no-chat')?.hidden && !document.querySelector('dialog[open]'));
    // Slow enough that it is not over before all has been looked at.
    await demo.fill({ tokens: 450, pace: 20, temperature: 0.8 });
    const words = () => page.$eval('.turn.assistant .words', answer => answer.textContent?.length ?? 0);
    const grows = async (/** @type {number} */ by) => page.waitForFunction(
        length => (document.querySelector('.turn.assistant .words')?.textContent?.length ?? 0) > length, {}, await words() + by);
    await page.type('#message', 'Tell me of a fox.');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.turn.assistant .words');
    await grows(60);
    const top = () => page.$eval('#chat-form', form => form.getBoundingClientRect().top);
    // From here on the answer pushes it, which is taller than the window in the end.
    await page.$eval('#chat-form', form => form.scrollIntoView({ block: 'end' }));
    const scrolled = await page.evaluate(() => scrollY);
    await demo.eventually(async () => assert.ok(await page.evaluate(() => scrollY) > scrolled, 'it follows'));
    await demo.eventually(async () => assert.ok(await top() < 560, `the form is at ${await top()} px`));
    await page.mouse.move(180, 300);
    await page.mouse.wheel({ deltaY: -2000 });
    await page.waitForFunction(() => scrollY === 0);
    await grows(60);
    assert.equal(await page.evaluate(() => scrollY), 0);
    demo.checkProblems();
});
