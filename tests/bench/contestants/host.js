// The process that one contestant has to itself: module and options come as arguments, calls as messages. Contestants
// so never share an engine, a memory or a thread pool, and all but the one being timed are asleep.
//
// A contestant is { name, prepare(case) -> output, run(case), ... }; `time` is answered here: it calls run over and
// over and returns what the calls took.

import { median } from '../../../web/bench/ceilings.js';

const [module, options] = process.argv.slice(2);
const contestant = await (await import(new URL(module, import.meta.url).href)).create(JSON.parse(options));

/** @typedef {{ median: number, runs: number }} Timing milliseconds */

/**
 * @param {import('../../../web/bench/problem.js').Case} c @param {number} budgetMs @returns {Promise<Timing>}
 */
async function time(c, budgetMs) {
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

process.on('message', async (/** @type {{ method: string, args: any[] }} */ { method, args }) => {
    try {
        const value = method === 'time' ? await time(args[0], args[1]) : await contestant[method](...args);
        process.send?.({ value });
    } catch (error) {
        process.send?.({ error: error instanceof Error ? error.stack : String(error) });
    }
});
process.on('disconnect', () => process.exit());
process.send?.({ value: contestant.name });
