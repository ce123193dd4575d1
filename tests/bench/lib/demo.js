// The demo page as a visitor has it, in a headless Chromium: when the first letters stand there, what shifts, and how the frames go
// while a story is written with its attention shown.

import { withBrowser } from './page.js';

const SIZES = [{ width: 1440, height: 900 }, { width: 375, height: 740 }];
const STORY = 'web/#prompt=Once+upon+a+time%2C+there+was+a+little+fox+who&seed=8&tokens=200&pace=';
/** Tokens per second that are shown, 0 for as many as there are; and stories, so that there are frames to speak of. */
const PACES = [{ pace: 60, stories: 2 }, { pace: 0, stories: 20 }];

/**
 * @typedef {object} Frames
 * @property {number} width of the window
 * @property {number} pace
 * @property {number[]} intervals ms between frames
 * @property {number[]} longTasks ms
 * @property {number} drawn frames that the browser drew anew: those in which something changed within the window
 * @property {number} busy ms of the page's thread per frame
 */

/** What is observed from the page's first moment on: runs in the page. */
function observe() {
    /** @type {any} */
    const seen = { first: 0, shift: 0, longTasks: [], frames: [] };
    Object.assign(window, { seen });
    new MutationObserver((_, observer) => {
        if (!document.querySelector('.token:not(.prompt)')) return;
        seen.first = performance.now();
        observer.disconnect();
    }).observe(document, { childList: true, subtree: true });
    const watch = (/** @type {string} */ type, /** @type {(entry: any) => void} */ onEntry) =>
        new PerformanceObserver((list) => list.getEntries().forEach(onEntry)).observe({ type, buffered: true });
    watch('layout-shift', ({ value, hadRecentInput }) => { if (!hadRecentInput) seen.shift += value; });
    watch('longtask', ({ startTime, duration }) => seen.longTasks.push([startTime, duration]));
}

/**
 * The first visit with a warm cache: the page begins by itself.
 * @param {number} loads after one with an empty cache
 * @returns {Promise<{ cold: number, times: number[], shifts: number[] } | null>} null without a browser
 */
export function firstLetters(loads) {
    return withBrowser(async (url, open) => {
        const page = await open();
        await page.setViewport(SIZES[0]);
        await page.evaluateOnNewDocument(observe);
        const seen = [];
        for (let i = 0; i <= loads; i++) {
            await page.goto(`${url}web/icon.svg`);
            await page.evaluate(() => localStorage.clear());
            await page.goto(`${url}web/`);
            await page.waitForFunction(() => /** @type {any} */ (window).seen.first);
            await page.waitForFunction(() => document.querySelectorAll('.token').length > 30);
            seen.push(await page.evaluate(() => /** @type {any} */ (window).seen));
        }
        const [cold, ...times] = seen.map(({ first }) => first);
        return { cold, times, shifts: seen.map(({ shift }) => shift) };
    });
}

/**
 * Frames while stories are written, with the story and the heads in sight.
 * @returns {Promise<Frames[] | null>} null without a browser
 */
export function framesOfWriting() {
    return withBrowser(async (url, open) => {
        const found = [];
        for (const size of SIZES) {
            for (const { pace, stories } of PACES) {
                const page = await open();
                await page.setViewport(size);
                await page.evaluateOnNewDocument(observe);
                await page.goto(url + STORY + pace);
                await page.waitForFunction(() => document.getElementById('story')?.getAttribute('aria-busy') === 'false'
                    && document.querySelectorAll('.token').length > 100);
                await page.$eval('#story', (story) => story.scrollIntoView());
                const { intervals, longTasks, busy, drawn } = await tracedFrames(page, stories);
                found.push({ width: size.width, pace, intervals, longTasks, drawn, busy });
                await page.close();
            }
        }
        return found;
    });
}

/** @param {import('puppeteer-core').Page} page @param {number} stories */
async function tracedFrames(page, stories) {
    const taskMs = async () => 1000 * ((await page.metrics()).TaskDuration ?? 0);
    await page.tracing.start({ categories: ['-*', 'viz'] });
    const before = await taskMs();
    const frames = await page.evaluate(countFrames, stories);
    const busy = (await taskMs() - before) / frames.intervals.length;
    const { traceEvents } = JSON.parse(new TextDecoder().decode(await page.tracing.stop()));
    const drawn = traceEvents.filter((/** @type {{ name: string }} */ { name }) => name === 'DirectRenderer::DrawFrame').length;
    return { ...frames, busy, drawn };
}

/**
 * In the page: the times between frames.
 * @param {number} stories that are written one after the other meanwhile
 * @returns {Promise<{ intervals: number[], longTasks: number[] }>}
 */
async function countFrames(stories) {
    const begin = performance.now();
    /** @type {number[]} */
    const intervals = [];
    const story = /** @type {HTMLElement} */ (document.getElementById('story'));
    let left = stories;
    const next = () => {
        if (left-- > 0) document.getElementById('write')?.click();
    };
    new MutationObserver(() => {
        if (story.getAttribute('aria-busy') === 'false') setTimeout(next);
    }).observe(story, { attributeFilter: ['aria-busy'] });
    next();
    await new Promise((resolve) => {
        let last = 0;
        const frame = (/** @type {number} */ now) => {
            if (last > 0) intervals.push(now - last);
            last = now;
            if (left < 0) resolve(undefined);
            else requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
    });
    const longTasks = /** @type {any} */ (window).seen.longTasks.filter((/** @type {number[]} */ [start]) => start >= begin)
        .map((/** @type {number[]} */ [, duration]) => duration);
    return { intervals, longTasks };
}
