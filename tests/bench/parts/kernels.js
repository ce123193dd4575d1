// Every C kernel beside the machine's limit and its largest error against the float64 reference.

import { withContestants } from '../lib/line-up.js';
import { gbytes, gflops, number, percent, table } from '../lib/report.js';

const STEMS = ['linear', 'attention', 'norm', 'activation', 'softmax', 'half', 'pack', 'embed'];

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    /** @type {Record<string, unknown>} */
    const data = {};
    for (const simd of /** @type {const} */ (['relaxed', 'simd128'])) {
        const description = { id: 'kernels', title: 'kernels', module: 'kernels.js', threads: 1, options: { simd } };
        await withContestants(context, [description], async ({ kernels }) => {
            const lines = [];
            for (const stem of STEMS) {
                /** @type {import('../lib/kernel.js').Row[]} */
                const rows = await kernels.call('bench', stem);
                data[`${stem} ${simd}`] = rows;
                for (const { name, ms, rate, unit, limit, ratio, error } of rows) {
                    const show = unit === 'B/s' ? gbytes : gflops;
                    const figures = [number(ms), show(rate), show(limit), percent(ratio), error.toExponential(1)];
                    lines.push([`${stem}: ${name}`, ...figures]);
                }
            }
            context.say(`\n${simd}, 1 thread\n`);
            context.say(table([['', 'ms', '', 'limit', 'of the limit', 'largest error'], ...lines]));
        });
    }
    return { musts: [], data };
}
