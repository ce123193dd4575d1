// A token of the layer on a long cache, which is kept in floats, halves or bytes.

import { checkOutput, decodeCase, reference } from '../../../web/bench/problem.js';
import { withContestants } from '../lib/line-up.js';
import { race, ratio, spread, timed } from '../lib/race.js';
import { atLeast, megabytes, table, times, withSpread } from '../lib/report.js';

const LENGTH = 4096;
/** How far from float64 an output may be, of its largest number: what a half or 127 levels take off, five times. */
const TYPES = { float32: undefined, float16: 5 * 2 ** -11, int8: 5 / 254 };
const BARS = { float16: 1.6, int8: 2.5 };

/** @typedef {keyof typeof TYPES} DType */

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    /** @type {import('../lib/report.js').Must[]} */
    const musts = [];
    /** @type {Record<string, unknown>} */
    const data = {};
    const c = decodeCase(LENGTH);
    const want = reference(c);
    const types = /** @type {DType[]} */ (Object.keys(TYPES));
    for (const simd of /** @type {const} */ (['relaxed', 'simd128'])) {
        for (const threads of [1, 2]) {
            const descriptions = types.map((dtype) => ({
                id: dtype, title: dtype, module: 'growth.js', threads, options: { simd, workers: threads - 1, length: LENGTH, dtype },
            }));
            await withContestants(context, descriptions, async (contestants) => {
                /** @type {Record<string, number>} */
                const errors = {};
                /** @type {Record<string, number>} */
                const bytes = {};
                for (const dtype of types) {
                    errors[dtype] = checkOutput(dtype, c, await contestants[dtype].call('prepare', c), want, TYPES[dtype]);
                    bytes[dtype] = (await contestants[dtype].call('cacheMemory')).says;
                }
                const entries = Object.fromEntries(types.map((dtype) => [dtype, timed(contestants[dtype], c)]));
                const figures = await race(entries, { rounds: 21, budgetMs: 60, warmMs: 300 });
                const faster = (/** @type {DType} */ dtype) => ratio(figures.float32, figures[dtype]);
                context.say(`\n${c.title}, ${simd}, ${threads} thread${threads > 1 ? 's' : ''}\n`);
                context.say(table([
                    ['', 'bytes', 'ms', 'times as fast', 'error'],
                    ...types.map((dtype) => [
                        dtype, megabytes(bytes[dtype]), withSpread(spread(figures[dtype])), times(faster(dtype)),
                        errors[dtype].toExponential(1),
                    ]),
                ]));
                for (const [dtype, bar] of Object.entries(BARS)) {
                    const what = `a cache of ${dtype} beside one of float32`;
                    musts.push(atLeast(10, what, `${simd}, threads: ${threads}`, faster(/** @type {DType} */ (dtype)), bar));
                }
                data[`${simd} ${threads}`] = figures;
            });
        }
    }
    return { musts, data };
}
