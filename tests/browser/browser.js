// The browser that a test file runs in, and why there is none.

import { after } from 'node:test';
import puppeteer from 'puppeteer-core';
import { browserArguments, findBrowser } from '../../src/setup/browser.js';

/** Why there is no browser to test in, or false. */
export const noBrowser = findBrowser() === null && 'no Chromium was found: install it, or set CHROME_PATH';

/**
 * A browser that is closed when the file that asked for it has ended; where there is none, no test is to touch it.
 * @returns {Promise<import('puppeteer-core').Browser>}
 */
export async function testBrowser() {
    const executablePath = findBrowser();
    if (executablePath === null) return /** @type {any} */ (null);
    const browser = await puppeteer.launch({ executablePath, headless: true, args: [...browserArguments] });
    after(() => browser.close());
    return browser;
}
