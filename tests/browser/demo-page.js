// The demo page in a headless browser, and what the tests do with it.

import assert from 'node:assert/strict';
import { serve } from '../../web/serve.js';
import { TIMEOUT, isFirefox, openPage, startBrowser, testBrowser } from './browser.js';
import { inFront } from './hub.js';

/** @import { Page } from 'puppeteer-core' */

export { TIMEOUT };

const browser = await testBrowser();

/**
 * @typedef {object} OpenOptions
 * @property {boolean} [isolation]
 * @property {string} [hash] the settings in the address, '#…'
 * @property {import('puppeteer-core').Viewport} [viewport]
 * @property {string} [root] served instead of the repository
 * @property {() => void} [before] run in the page before anything else
 * @property {boolean} [isFirst] whether nobody was here before: the page then begins by itself
 * @property {{ name: string, value: string }[]} [media] features to emulate
 * @property {number} [quota] bytes that the page's origin may keep
 * @property {string} [path] where the page lies below root, 'a/b/'
 * @property {import('./hub.js').Hub} [hub] answers below /hub/, on the page's own origin
 */

/** Somebody who was here before: the page does not begin by itself. */
function beenHere() {
    // The empty page before the first one has no storage.
    if (location.protocol.startsWith('http')) localStorage.setItem('cached-attention: visited', 'yes');
}

/**
 * What Firefox is started with to be such a visitor's.
 * @param {{ name: string, value: string }[]} media
 * @param {number | undefined} quota
 */
function preferencesFor(media, quota) {
    /** @type {Record<string, unknown>} */
    const preferences = {};
    for (const { name, value } of media) {
        if (name === 'prefers-color-scheme') preferences['ui.systemUsesDarkTheme'] = value === 'dark' ? 1 : 0;
        if (name === 'prefers-reduced-motion') preferences['ui.prefersReducedMotion'] = value === 'reduce' ? 1 : 0;
    }
    // In KiB.
    if (quota !== undefined) preferences['dom.quotaManager.temporaryStorage.fixedLimit'] = Math.ceil(quota / 1024);
    return preferences;
}

/** A browser that has no service workers: without the headers there is no isolation then. */
export function withoutServiceWorkers() {
    Object.defineProperty(Navigator.prototype, 'serviceWorker', { value: undefined });
}

/** One page, the server under it, and all that went wrong in it. */
export class DemoPage {
    /**
     * @param {Page} page
     * @param {{ url: string, close: () => Promise<void> }} server
     */
    constructor(page, server) {
        this.page = page;
        this.server = server;
        /** @type {string[]} */
        this.problems = [];
    }

    /**
     * Opens the page; it is closed when the test ends.
     * @param {import('node:test').TestContext} t
     * @param {OpenOptions} [options]
     */
    static async open(t, { isolation = true, hash = '', viewport = { width: 1280, height: 900 }, ...more } = {}) {
        const { root, before, isFirst = false, media = [], quota, hub, path = '' } = more;
        const behind = await serve({ port: 0, isolation, root, folders: ['web', 'dist'].map(name => path + name) });
        const server = hub ? await inFront(behind, hub) : behind;
        const preferences = isFirefox ? preferencesFor(media, quota) : {};
        const own = Object.keys(preferences).length > 0 ? await startBrowser(preferences) : null;
        const context = await (own ?? browser).createBrowserContext();
        const page = await openPage(context);
        const demo = new DemoPage(page, server);
        t.after(async () => {
            await context.close();
            await own?.close();
            await server.close();
        });
        demo.listen();
        if (before) await page.evaluateOnNewDocument(before);
        if (!isFirst) await page.evaluateOnNewDocument(beenHere);
        if (media.length > 0 && !isFirefox) await page.emulateMediaFeatures(media);
        if (quota !== undefined && !isFirefox) {
            const client = await page.createCDPSession();
            await client.send('Storage.overrideQuotaForOrigin', { origin: new URL(server.url).origin, quotaSize: quota });
        }
        await page.setViewport(viewport);
        await page.goto(`${server.url}${path}web/${hash}`);
        return demo;
    }

    /** Errors, refused policies and requests to elsewhere become problems. */
    listen() {
        const { page, problems, server } = this;
        page.on('console', message => {
            if (['error', 'warn'].includes(message.type())) problems.push(`console: ${message.text()}`);
        });
        page.on('pageerror', error => problems.push(`exception: ${error instanceof Error ? error.message : error}`));
        page.on('request', request => {
            if (!/^data:/.test(request.url()) && !request.url().startsWith(server.url)) problems.push(`request: ${request.url()}`);
        });
        page.on('requestfailed', request => problems.push(`failed: ${request.url()}`));
        page.evaluateOnNewDocument(() => {
            document.addEventListener('securitypolicyviolation', event => {
                console.error(`policy: ${event.violatedDirective}`);
            });
        });
    }

    checkProblems() {
        assert.deepEqual(this.problems, []);
    }

    /** @param {string} id */
    text(id) {
        return this.page.$eval(`#${id}`, element => element.textContent ?? '');
    }

    /** Waits until the model is there, or a story has ended. */
    async ready() {
        await this.page.waitForFunction(() => {
            const status = document.getElementById('status')?.textContent ?? '';
            const isBusy = document.getElementById('story')?.getAttribute('aria-busy') === 'true';
            return !isBusy && status !== '' && !status.startsWith('Loading');
        });
    }

    /** @param {number} count tokens, the prompt's included */
    async tokens(count) {
        await this.page.waitForFunction(least => document.querySelectorAll('.token').length >= least, {}, count);
    }

    /** @param {Record<string, string | number>} fields */
    async fill(fields) {
        await this.page.evaluate(values => {
            const form = /** @type {HTMLFormElement} */ (document.getElementById('settings'));
            for (const [name, value] of Object.entries(values)) {
                const field = /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
                field.value = String(value);
                if (field.value !== String(value)) throw new RangeError(`${name} cannot be ${value}`);
            }
        }, fields);
    }

    /**
     * Writes a story to its end.
     * @param {Record<string, string | number>} fields
     * @returns {Promise<string>} its text, prompt included
     */
    async write(fields) {
        await this.ready();
        await this.fill(fields);
        await this.page.click('#write');
        await this.ready();
        await this.settle();
        return this.text('story');
    }

    /** @param {string} id waits until this is clicked */
    async click(id) {
        await this.page.waitForFunction(name => {
            const button = /** @type {HTMLButtonElement | null} */ (document.getElementById(name));
            return button && !button.disabled && button.checkVisibility();
        }, {}, id);
        await this.page.$eval(`#${id}`, element => /** @type {HTMLElement} */ (element).click());
    }

    /** Points at a word of the story, while none is kept, and waits until all panels show it. @param {number} position */
    async point(position) {
        const word = `.token[data-position="${position}"]`;
        await this.page.hover(word);
        await this.page.waitForSelector(`${word}.inspected`);
        await this.settle();
    }

    /**
     * Until it holds what does not hold before something took effect.
     * @param {() => Promise<void>} assertion
     */
    async eventually(assertion) {
        for (const end = performance.now() + TIMEOUT; ; await new Promise(resolve => setTimeout(resolve, 50))) {
            try {
                return await assertion();
            } catch (error) {
                if (performance.now() > end) throw error;
            }
        }
    }

    /** Clicks a word of the story, and waits until all panels show it. @param {number} position */
    async keep(position) {
        const word = `.token[data-position="${position}"]`;
        await this.page.click(word);
        await this.page.waitForSelector(`${word}.inspected`);
        await this.page.waitForFunction(() => document.body.classList.contains('word-kept'));
        await this.settle();
    }

    /** @param {string} id @param {string} part waits until its text holds this */
    async says(id, part) {
        await this.page.waitForFunction((name, text) => document.getElementById(name)?.textContent?.includes(text), {}, id, part);
    }

    /** Waits until what was asked for is drawn. */
    async settle() {
        await this.page.evaluate(() => new Promise(resolve => {
            requestAnimationFrame(() => requestAnimationFrame(() => resolve(undefined)));
        }));
    }

    /** Waits for a notice. @param {string} text that it holds */
    async notice(text) {
        await this.page.waitForFunction(part => {
            const notice = document.getElementById('notice');
            return notice?.checkVisibility() && notice.textContent?.includes(part);
        }, {}, text);
    }

    /** Names and figures of a list of bars. @param {string} id */
    bars(id) {
        return this.page.$$eval(`#${id} > li:not([hidden])`, items => items.map(item => ({
            name: item.querySelector('.bar-name')?.textContent ?? '',
            figure: item.querySelector('.bar-figure')?.textContent ?? '',
            marked: item.classList.contains('marked')
        })));
    }

    /** Tints of the tokens in per cent, and how many are out of sight. */
    tints() {
        return this.page.$$eval('.token', spans => ({
            tints: spans.map(span => {
                const { style } = /** @type {HTMLElement} */ (span);
                return Number.parseInt(style.getPropertyValue('--tint')) || 0;
            }),
            unseen: spans.filter(span => span.classList.contains('unseen')).length
        }));
    }

    /** Distinct colours on a canvas, and a checksum of it. @param {string} selector */
    canvas(selector) {
        return this.page.$eval(selector, element => {
            // Read from a copy: a canvas that is read often is drawn another way from then on.
            const canvas = /** @type {HTMLCanvasElement} */ (element);
            const { width, height } = canvas;
            const copy = Object.assign(document.createElement('canvas'), { width, height });
            const context = /** @type {CanvasRenderingContext2D} */ (copy.getContext('2d'));
            context.drawImage(canvas, 0, 0);
            const pixels = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
            return { colours: new Set(pixels).size, sum: pixels.reduce((hash, pixel) => (hash * 31 + pixel) >>> 0, 0) };
        });
    }
}
