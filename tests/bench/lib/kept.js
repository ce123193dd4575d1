// A token of the layer on a cache, its numbers kept in one way or another, beside float32.

import { checkOutput, decodeCase, reference } from '../../../web/bench/problem.js';
import { withContestants } from './line-up.js';
import { race, ratio, spread, timed } from './race.js';
import { atLeast, megabytes, table, times, withSpread } from './report.js';

/**
 * @typedef {object} Way
 * @property {Record<string, unknown>} options of contestants/growth.js
 * @property {number} [tolerance] how far from float64 an output may be, of its largest number
 * @property {number} [bar] how many times as fast as float32 it must be
 */

/**
 * @param {import('./line-up.js').Context} context
 * @param {number} length of the cache
 * @param {Record<string, Way>} ways by name; float32 is one of them
 * @param {(name: string) => string} what must be faster, said in words
 */
export async function compareWays(context, length, ways, what) {
    /** @type {import('./report.js').Must[]} */
    const musts = [];
    /** @type {Record<string, unknown>} */
    const data = {};
    const c = decodeCase(length);
    const want = reference(c);
    const names = Object.keys(ways);
    for (const simd of /** @type {const} */ (['relaxed', 'simd128'])) {
        for (const threads of [1, 2]) {
            const descriptions = names.map((name) => ({
                id: name, title: name, module: 'growth.js', threads, options: { simd, workers: threads - 1, length, ...ways[name].options },
            }));
            await withContestants(context, descriptions, async (contestants) => {
                /** @type {Record<string, number>} */
                const errors = {};
                /** @type {Record<string, number>} */
                const bytes = {};
                for (const name of names) {
                    errors[name] = checkOutput(name, c, await contestants[name].call('prepare', c), want, ways[name].tolerance);
                    bytes[name] = (await contestants[name].call('cacheMemory')).says;
                }
                const entries = Object.fromEntries(names.map((name) => [name, timed(contestants[name], c)]));
                const figures = await race(entries, { rounds: 21, budgetMs: 60, warmMs: 300 });
                const faster = (/** @type {string} */ name) => ratio(figures.float32, figures[name]);
                context.say(`\n${c.title}, ${simd}, ${threads} thread${threads > 1 ? 's' : ''}\n`);
                context.say(table([
                    ['', 'cache', 'ms', 'times as fast', 'error'],
                    ...names.map((name) => [
                        name, megabytes(bytes[name]), withSpread(spread(figures[name])), times(faster(name)), errors[name].toExponential(1),
                    ]),
                ]));
                for (const name of names) {
                    const { bar } = ways[name];
                    if (bar) musts.push(atLeast(10, what(name), `${simd}, threads: ${threads}`, faster(name), bar));
                }
                data[`${simd} ${threads}`] = figures;
            });
        }
    }
    return { musts, data };
}
