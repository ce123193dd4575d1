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
 * @param {Record<string, unknown>} preferences  of Firefox: what Chromium's protocol does to a page
 * @returns {Promise<import('puppeteer-core').Browser>}
 */
export function startBrowser(preferences) {
    return puppeteer.launch({
        executablePath: String(executablePath), headless: true,
        ...isFirefox ? { browser: 'firefox', extraPrefsFirefox: { ...PREFERENCES, ...preferences } }
            : { args: [...browserArguments, MOUSE] },
    });
}
