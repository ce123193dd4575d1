// Pages in a headless Chromium, served as `npm start` serves them.

import { browserArguments, findBrowser } from '../../../src/toolchain/browser.js';
import { serve } from '../../../web/serve.js';

const TIMEOUT = 60_000;
/** A story that the demo page writes as soon as it can. */
const STORY = 'web/#prompt=Once+upon+a+time&seed=1';

/**
 * The demo page, from the start of its load to its first written token: once with an empty HTTP cache, then with a warm
 * one.
 * @param {number} loads @returns {Promise<{ cold: number, times: number[] } | null>} ms; null without a browser
 */
export async function timeToFirstToken(loads) {
    const executablePath = findBrowser();
    if (executablePath === null) return null;
    const { default: puppeteer } = await import('puppeteer-core');
    const server = await serve({ port: 0 });
    const browser = await puppeteer.launch({ executablePath, headless: true, args: browserArguments });
    try {
        const page = await browser.newPage();
        page.setDefaultTimeout(TIMEOUT);
        await page.evaluateOnNewDocument(() => {
            new MutationObserver((_, observer) => {
                if (!document.querySelector('.token:not(.prompt)')) return;
                Object.assign(window, { firstToken: performance.now() });
                observer.disconnect();
            }).observe(document, { childList: true, subtree: true });
        });
        const times = [];
        for (let i = 0; i <= loads; i++) {
            await page.goto('about:blank');
            await page.goto(server.url + STORY);
            const handle = await page.waitForFunction(() => /** @type {any} */ (window).firstToken);
            times.push(/** @type {number} */ (await handle.jsonValue()));
        }
        return { cold: times[0], times: times.slice(1) };
    } finally {
        await browser.close();
        await server.close();
    }
}
