// How a contestant is timed, in a process or a web worker of its own: it runs over and over until the budget is spent.

import { median } from '../../../web/bench/ceilings.js';

/** @typedef {{ median: number, runs: number }} Timing milliseconds */

/**
 * @param {{ run: (c: import('../../../web/bench/problem.js').Case) => unknown }} contestant prepared for the case
 * @param {import('../../../web/bench/problem.js').Case} c
 * @param {number} budgetMs
 * @returns {Promise<Timing>}
 */
export async function time(contestant, c, budgetMs) {
    const times = [];
    const end = performance.now() + budgetMs;
    do {
        const start = performance.now();
        const result = contestant.run(c);
        if (result instanceof Promise) await result;
        times.push(performance.now() - start);
    } while (performance.now() < end);
    return { median: median(times), runs: times.length };
}
