// What a call costs on a layer of dim 16, one head, S = 16, and what a decoded token leaves behind: must 4.

import { withContestants } from '../lib/line-up.js';
import { race, spread } from '../lib/race.js';
import { atMost, number, table, withSpread } from '../lib/report.js';

const TOKENS = 10_000;

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    const small = (/** @type {number} */ workers) => ({
        id: `small ${workers}`,
        title: `${workers} workers`,
        module: 'small.js',
        threads: workers + 1,
        options: { simd: 'relaxed', workers },
        flags: ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'],
    });
    return withContestants(context, [small(0), small(1)], async (contestants) => {
        const [alone, helped] = [contestants['small 0'], contestants['small 1']];
        const entry = (/** @type {import('../lib/race.js').Contestant} */ contestant, /** @type {string} */ what) => ({
            contestant,
            unit: /** @type {const} */ ('ms'),
            take: (/** @type {number} */ budgetMs) => contestant.call('micros', what, budgetMs),
        });
        const figures = await race(
            {
                'decode 0': entry(alone, 'decode'),
                'decode 1': entry(helped, 'decode'),
                'whole 0': entry(alone, 'whole'),
                'whole 1': entry(helped, 'whole'),
            },
            { rounds: 15, budgetMs: 50, warmMs: 500 },
        );
        context.say('callSync and reading its output, dim 16, one head, microseconds, median (p10-p90)\n');
        context.say(
            table([
                ['', 'no worker', '1 worker'],
                [
                    'one token, cache of 16',
                    ...[0, 1].map((workers) => withSpread(spread(figures[`decode ${workers}`]))),
                ],
                ['16 tokens, no cache', ...[0, 1].map((workers) => withSpread(spread(figures[`whole ${workers}`])))],
            ]),
        );

        /** @type {Record<string, any>} */
        const garbage = {};
        for (const use of ['dispose', 'read', 'drop']) garbage[use] = await alone.call('garbage', use, TOKENS);
        context.say(
            `\ngarbage per decoded token, dim 768, over ${TOKENS} tokens, each output the next input (bytes)\n`,
        );
        context.say(
            table([
                ['the output afterwards is', 'JS heap', 'kept after a collection', 'array buffers', 'wasm memory'],
                ...Object.entries(garbage).map(([use, left]) => [
                    `${use}${use === 'drop' ? 'p' : ''}ed`.replace('readed', 'read').replace('disposeed', 'disposed'),
                    number(left.heap),
                    number(left.kept),
                    number(left.outside),
                    number(left.wasm / TOKENS),
                ]),
            ]),
        );
        const ran = 'relaxed, no worker';
        // What a decoder does with an output: it passes it on. Reading it makes an array, which is its reader's to
        // keep.
        const passedOn = [garbage.dispose, garbage.drop];
        const us = (/** @type {number} */ value) => `${number(value)} us`;
        const bytes = (/** @type {number} */ value) => `${number(value)} B`;
        return {
            musts: [
                atMost(4, 'callSync, dim 16, one head, S=16', ran, spread(figures['decode 0']).median, 10, us),
                atMost(
                    4,
                    'callSync, dim 16, one head, S=16',
                    'relaxed, 1 worker',
                    spread(figures['decode 1']).median,
                    30,
                    us,
                ),
                atMost(4, 'JS heap per decoded token', ran, Math.max(...passedOn.map(({ heap }) => heap)), 200, bytes),
                atMost(
                    4,
                    'wasm memory per decoded token',
                    ran,
                    Math.max(...Object.values(garbage).map(({ wasm }) => wasm / TOKENS)),
                    0,
                    bytes,
                ),
            ],
            data: { figures, garbage },
        };
    });
}
