// The browser that a test file runs in, and why there is none: Chromium, or with CMHA_TEST_BROWSER=firefox Firefox, which is
// driven by WebDriver BiDi. The tests are the same but for what only Chromium's own protocol can do.

import { after } from 'node:test';
import puppeteer from 'puppeteer-core';
import { browserArguments, findBrowser, findFirefox } from '../../src/setup/browser.js';

export const isFirefox = process.env.CMHA_TEST_BROWSER === 'firefox';
const executablePath = isFirefox ? findFirefox() : findBrowser();

/** Why there is no browser to test in, or false. */
export const noBrowser = executablePath === null
    && `no ${isFirefox ? 'Firefox' : 'Chromium'} was found: install it, or set ${isFirefox ? 'FIREFOX' : 'CHROME'}_PATH`;

/** Why a test that speaks Chromium's own protocol does not run, or false. */
export const notInFirefox = noBrowser || (isFirefox && "it needs Chromium's own protocol");

/** A slow machine under load is no failure; something that hangs is. */
export const TIMEOUT = 60_000;

// A desktop has a mouse; headless Chromium otherwise says that nothing can hover.
const MOUSE = '--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4';

/** As Chromium's here, scroll bars take no room. */
const PREFERENCES = { 'ui.useOverlayScrollbars': 1 };

/**
 * A browser that is closed when the file that asked for it has ended; where there is none, no test is to touch it.
 * @returns {Promise<import('puppeteer-core').Browser>}
 */
export async function testBrowser() {
    if (executablePath === null) return /** @type {any} */ (null);
    const browser = await startBrowser({});
    after(() => browser.close());
    return browser;
}

/**
 * Reloads a page and waits until another stands there. A page that isolate.js isolates may reload itself once more, in another
 * process, which Puppeteer's own reload() can miss and then waits for ever.
 * @param {import('puppeteer-core').Page} page
 */
export async function reload(page) {
    await page.evaluate(() => {
        Object.assign(window, { isBefore: true });
        // Once the driver has its answer, which a page that is left gives no more.
        setTimeout(() => location.reload());
    });
    while (await page.evaluate(() => 'isBefore' in window).catch(() => true)) await new Promise(resolve => { setTimeout(resolve, 50); });
}

/** @param {import('puppeteer-core').Browser | import('puppeteer-core').BrowserContext} context @returns {Promise<import('puppeteer-core').Page>} */
export async function openPage(context) {
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT);
    return page;
}

/**
 * @param {Record<string, unknown>} preferences  of Firefox: what Chromium's protocol does to a page
 * @returns {Promise<import('puppeteer-core').Browser>}
 */
export async function startBrowser(preferences) {
    if (!isFirefox) {
        return puppeteer.launch({ executablePath: String(executablePath), headless: true, args: [...browserArguments, MOUSE] });
    }
    const browser = await puppeteer.launch({
        executablePath: String(executablePath), headless: true, browser: 'firefox', args: ['--remote-allow-system-access'],
        extraPrefsFirefox: { ...PREFERENCES, ...preferences },
    });
    await forgetWorkers(browser);
    return browser;
}

const LISTENER = 'chrome://remote/content/shared/js-process-actors/WebDriverWorkerListenerActor.sys.mjs';

/**
 * Has the driver in Firefox (153) listen to workers no more, which no test wants. Where it does, a worker that makes another waits
 * within `new Worker` until the page's thread has told the driver, and now and then for ever: the word that it waits for wakes the
 * other one. Of workers that one worker made in a row 2,800 started without the listener, fewer than 200 with it.
 * @param {any} browser
 */
async function forgetWorkers({ connection }) {
    const { result } = await connection.send('browsingContext.getTree', { 'moz:scope': 'chrome' });
    const [{ context }] = result.contexts;
    // An older one has no such listener.
    const expression = `try { ChromeUtils.importESModule('${LISTENER}').unregisterWebDriverWorkerListenerActor(); } catch {}`;
    await connection.send('script.evaluate', { expression, awaitPromise: false, target: { context } });
}
