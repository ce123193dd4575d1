// What texts gain by drafts, by being written together, and by what was read before; on the real SmolLM2-135M-Instruct, which
// SMOLLM2 names.

import { withContestants } from '../lib/line-up.js';
import { ratio, spread } from '../lib/race.js';
import { atLeast, percent, table, times, withSpread } from '../lib/report.js';

const ROUNDS = 5;
const PREFIX = 2000;

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    const file = process.env.SMOLLM2;
    /** @type {import('../lib/report.js').Must[]} */
    const musts = [];
    if (!file) {
        context.say('  left out: SMOLLM2 does not name the file of a model');
        return { musts, data: {} };
    }
    /** @type {Record<string, unknown>} */
    const data = {};
    for (const threads of [1, 2]) {
        const description = {
            id: `texts ${threads}`, title: 'texts', module: 'texts.js', threads, options: { simd: 'relaxed', workers: threads - 1, file },
        };
        await withContestants(context, [description], async (contestants) => {
            const contestant = contestants[`texts ${threads}`];
            const ran = `relaxed, threads: ${threads}`;
            /** @param {string} method @param {(round: number) => any} argument @returns {Promise<Record<string, number[]>>} */
            const rounds = async (method, argument) => {
                await contestant.call(method, argument(0));
                /** @type {Record<string, number>[]} */
                const list = [];
                for (let round = 0; round < ROUNDS; round++) list.push(await contestant.call(method, argument(round)));
                return Object.fromEntries(Object.keys(list[0]).map((name) => [name, list.map((one) => one[name])]));
            };
            const rows = [];
            for (const name of await contestant.call('cases')) {
                const { plain, ahead, drafted } = await rounds('draft', () => name);
                rows.push([name, withSpread(spread(plain)), withSpread(spread(ahead)), times(ratio(plain, ahead)), percent(drafted[0])]);
                musts.push(atLeast(13, `a draft from the prompt: ${name}`, ran, ratio(plain, ahead), 1.5));
                data[`draft ${name} ${threads}`] = { plain, ahead };
            }
            context.say(`\n${ran}; milliseconds per token\n`);
            context.say(table([['repeated', 'without', 'with a draft', 'times as fast', 'drafted'], ...rows]));
            const { one, eight } = await rounds('together', (round) => round);
            const { read, load } = await rounds('prefix', () => PREFIX);
            context.say(`\n  tokens per second of one text ${withSpread(spread(one))}, of eight together ${withSpread(spread(eight))}`);
            context.say(`  ${PREFIX} tokens are read in ${withSpread(spread(read))} ms, loaded in ${withSpread(spread(load))}`);
            musts.push(
                atLeast(13, 'eight texts together beside one', ran, ratio(eight, one), 2.5),
                atLeast(13, `${PREFIX} tokens loaded beside read`, ran, ratio(read, load), 20),
            );
            Object.assign(data, { [`together ${threads}`]: { one, eight }, [`prefix ${threads}`]: { read, load } });
        });
    }
    return { musts, data };
}
