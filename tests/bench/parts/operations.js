// The operations of a layer call one by one beside their limits: what stands between a call and its limit.

import { DIM, LAYER_CASES, caseBytes } from '../../../web/bench/problem.js';
import { ceilingOf, withContestants } from '../lib/line-up.js';
import { ceiling, race, ratio, spread } from '../lib/race.js';
import { gbytes, gflops, percent, table, withSpread } from '../lib/report.js';

const OPERATIONS = /** @type {const} */ (['rows', 'keys', 'values', 'attention', 'output']);
const TITLES = {
    rows: 'query projection',
    keys: 'key projection',
    values: 'value projection',
    attention: 'attention',
    output: 'output projection',
};

/** @typedef {import('../../../web/bench/problem.js').Case} Case */

/** Bytes read and operations done. @param {Case} c @param {typeof OPERATIONS[number]} operation */
function work(c, operation) {
    const pairs = c.kind === 'prefill' ? (c.t * (c.t + 1)) / 2 : c.t * c.s;
    return operation === 'attention'
        ? { bytes: 8 * c.s * DIM, flops: 4 * pairs * DIM }
        : { bytes: 4 * DIM * DIM, flops: 2 * c.t * DIM * DIM };
}

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    /** @type {Record<string, unknown>} */
    const data = {};
    for (const simd of /** @type {const} */ (['relaxed', 'simd128'])) {
        const description = {
            id: 'operations',
            title: 'operations',
            module: 'operations.js',
            threads: 1,
            options: { simd, workers: 0 },
        };
        await withContestants(context, [description, ceilingOf(simd, 1, LAYER_CASES)], async (contestants) => {
            const contestant = contestants.operations;
            for (const c of LAYER_CASES) {
                await contestant.call('prepare', c);
                const limit =
                    c.kind === 'decode'
                        ? ceiling(contestants[`ceiling ${simd} 1`], 'bytes', caseBytes(c))
                        : ceiling(contestants[`ceiling ${simd} 1`], 'flops', 0);
                const entries = Object.fromEntries(
                    OPERATIONS.map((operation) => [
                        operation,
                        {
                            contestant,
                            unit: /** @type {const} */ ('ms'),
                            take: async (/** @type {number} */ budgetMs) =>
                                (await contestant.call('time', { operation }, budgetMs)).median,
                        },
                    ]),
                );
                const figures = await race({ ...entries, limit }, { rounds: 7, budgetMs: 40, warmMs: 200 });
                const rows = OPERATIONS.map((operation) => {
                    const { bytes, flops } = work(c, operation);
                    const amount = c.kind === 'decode' ? bytes : flops;
                    const rates = figures[operation].map((ms) => amount / (ms / 1000));
                    const { median } = spread(rates);
                    return [
                        TITLES[operation],
                        withSpread(spread(figures[operation])),
                        c.kind === 'decode' ? gbytes(median) : gflops(median),
                        percent(ratio(rates, figures.limit)),
                    ];
                });
                const { median } = spread(figures.limit);
                const limitIs = c.kind === 'decode' ? `${gbytes(median)} at the working set of a call` : gflops(median);
                context.say(`\n${c.title}, ${simd}, 1 thread; limit ${limitIs}\n`);
                context.say(table([['', 'ms', '', 'of the limit'], ...rows]));
                data[`${c.id} ${simd}`] = figures;
            }
        });
    }
    return { musts: [], data };
}
