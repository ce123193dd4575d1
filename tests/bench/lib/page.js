// Pages in a headless Chromium, served as `npm start` serves them.

import { browserArguments, findBrowser } from '../../../src/setup/browser.js';
import { serve } from '../../../web/serve.js';

const TIMEOUT = 60_000;

/** TensorFlow.js makes its threads from a Blob. */
const POLICY_WITH_PEERS = "default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval'; worker-src 'self' blob:";
const MEASURE_TIMEOUT = 300_000;

/**
 * @param {(url: string, open: () => Promise<import('puppeteer-core').Page>) => Promise<T>} body
 * @param {import('../../../web/serve.js').ServeOptions} [options]
 * @template T
 * @returns {Promise<T | null>} null without a browser
 */
export async function withBrowser(body, options = {}) {
    const executablePath = findBrowser();
    if (executablePath === null) return null;
    const { default: puppeteer } = await import('puppeteer-core');
    const server = await serve({ port: 0, ...options });
    const browser = await puppeteer.launch({ executablePath, headless: true, args: browserArguments });
    try {
        return await body(server.url, async () => {
            const page = await browser.newPage();
            page.setDefaultTimeout(TIMEOUT);
            return page;
        });
    } finally {
        await browser.close();
        await server.close();
    }
}

/**
 * The bench page, beside the peers where they are installed.
 * @param {boolean} peers
 * @returns {Promise<{ machine: string, rows: string[][] } | null>} its table as it stands there; null without a browser
 */
export async function measurePage(peers) {
    const site = peers ? { folders: ['web', 'dist', 'tests/bench'], policy: POLICY_WITH_PEERS } : {};
    return withBrowser(async (url, open) => {
        const page = await open();
        await page.goto(`${url}web/bench.html${peers ? '?peers' : ''}`);
        await page.click('#measure');
        await page.waitForFunction(
            () => /^(Done|It failed)/.test(document.getElementById('status')?.textContent ?? ''),
            { timeout: MEASURE_TIMEOUT },
        );
        const status = await page.$eval('#status', ({ textContent }) => textContent);
        if (status !== 'Done.') throw new Error(`the bench page: ${status}`);
        const machine = await page.$eval('#machine', ({ textContent }) => textContent ?? '');
        const rows = await page.$$eval('#results tr', (lines) =>
            lines.map((line) => Array.from(line.children, (cell) => /** @type {HTMLElement} */ (cell).innerText)));
        return { machine, rows };
    }, site);
}
