// More threads: must 3. `workers: n` means the caller and n workers, so 2 threads are one worker; more workers than
// cores are as many as the cores, twice, plus one.

import { cpus } from 'node:os';
import { ours, withContestants } from '../lib/line-up.js';
import { checkOutput, decodeCase, prefillCase, reference, threadsTitle } from '../../../web/bench/problem.js';
import { race, ratio, spread, timed } from '../lib/race.js';
import { atLeast, atMost, percent, table, times, withSpread } from '../lib/report.js';

const CASES = [decodeCase(64), decodeCase(1024), decodeCase(4096), prefillCase(512)];

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    const cores = cpus().length;
    const crowds = [cores + 1, 2 * cores + 2];
    const threads = [1, 2, ...(cores > 2 ? [cores] : []), ...crowds];
    const descriptions = threads.map((count) => ours('relaxed', count));
    return withContestants(context, descriptions, async (contestants) => {
        /** @type {Record<string, Record<number, number[]>>} */
        const figures = {};
        for (const c of CASES) {
            const want = reference(c);
            /** @type {Record<string, import('../lib/race.js').Entry>} */
            const entries = {};
            for (const [i, { id }] of descriptions.entries()) {
                checkOutput(id, c, await contestants[id].call('prepare', c), want);
                entries[threads[i]] = timed(contestants[id], c);
            }
            figures[c.id] = await race(entries, {
                rounds: c.kind === 'decode' ? 21 : 9,
                budgetMs: c.kind === 'decode' ? 60 : 200,
                warmMs: 300,
            });
        }
        context.say(`ms, median (p10-p90), relaxed, ${cores} cores\n`);
        context.say(
            table([
                ['threads', ...CASES.map((c) => c.title)],
                ...threads.map((count) => [`${count}`, ...CASES.map((c) => withSpread(spread(figures[c.id][count])))]),
            ]),
        );
        return { musts: musts(figures, cores, crowds), data: figures };
    });
}

/** @param {Record<string, Record<number, number[]>>} figures @param {number} cores @param {number[]} crowds */
function musts(figures, cores, crowds) {
    const gain = (/** @type {string} */ id) => ratio(figures[id][1], figures[id][2]);
    const ran = 'relaxed, 2 threads over 1';
    return [
        atLeast(3, 'prefill 512', ran, gain('prefill-512'), 1.8, times),
        atLeast(3, 'decode S=4096', ran, gain('decode-4096'), 1.6, times),
        // Three per cent are what the same call differs by from round to round.
        atLeast(3, 'decode S=64, never slower', ran, gain('decode-64'), 0.97, times),
        ...crowds.flatMap((count) =>
            CASES.map((c) =>
                atMost(
                    3,
                    `${c.title}, more workers than cores: cost`,
                    `relaxed, ${threadsTitle(count)} over ${threadsTitle(cores)}`,
                    ratio(figures[c.id][count], figures[c.id][cores]) - 1,
                    0.1,
                    percent,
                ),
            ),
        ),
    ];
}
