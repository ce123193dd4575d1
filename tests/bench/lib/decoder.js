// What the model benchmark asks of everybody: SmolLM2-135M's shape, a text of so many ids, then single ids.

import { SHAPES } from '../../model/random-model.js';

export const SHAPE = SHAPES.smollm2;
export const PREFILL = 128;
/** Ids that are written before a text is begun anew. */
export const WRITTEN = 32;
export const IDS = Array.from({ length: PREFILL + WRITTEN }, (_, i) => 300 + (i * 7919) % 40000);

/**
 * What a contestant answers: tokens per second of the quickest quarter, within a budget of time and at least once.
 * @param {(write: boolean, time: (tokens: number, run: () => unknown) => Promise<void>) => Promise<void>} text reads PREFILL ids
 *   and, if asked, writes; it hands what is to be timed to `time`
 */
export function rates(text) {
    /** @param {boolean} write @param {number} budgetMs */
    const measure = async (write, budgetMs) => {
        /** @type {number[]} */
        const seen = [];
        const end = performance.now() + budgetMs;
        do {
            await text(write, async (tokens, run) => {
                const start = performance.now();
                await run();
                if ((tokens === 1) === write) seen.push((1000 * tokens) / (performance.now() - start));
            });
        } while (performance.now() < end);
        return seen.sort((a, b) => b - a)[seen.length >> 2];
    };
    return {
        /** @param {number} budgetMs */
        read: (budgetMs) => measure(false, budgetMs),
        /** @param {number} budgetMs */
        write: (budgetMs) => measure(true, budgetMs),
    };
}
