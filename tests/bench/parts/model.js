// The embedded model through `generate` beside what reading its weights allows: must 6. Then a larger model's shape beside
// peers: decoders.js.

import { threadsTitle } from '../../../web/bench/problem.js';
import { withContestants } from '../lib/line-up.js';
import { ceiling, race, ratio, spread } from '../lib/race.js';
import { atLeast, gbytes, megabytes, number, percent, table, withSpread } from '../lib/report.js';
import { runDecoders } from './decoders.js';

const THREADS = [1, 2];

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    const flags = ['--expose-gc', '--min-semi-space-size=64', '--max-semi-space-size=64'];
    const models = THREADS.map((threads) => ({
        id: `model ${threads}`,
        title: 'embedded model',
        module: 'model.js',
        threads,
        options: { simd: 'relaxed', workers: threads - 1 },
        flags,
    }));
    const limits = THREADS.map((threads) => ({
        id: `limit ${threads}`,
        title: 'limit',
        module: 'ceiling.js',
        threads,
        options: { simd: 'relaxed', threads, reserve: 64e6 },
    }));
    const result = await withContestants(context, [...models, ...limits], async (contestants) => {
        const { bytes, parameters, cacheBytesPerToken } = await contestants['model 1'].call('describe');
        /** @type {Record<string, import('../lib/race.js').Entry>} */
        const entries = {};
        for (const threads of THREADS) {
            const contestant = contestants[`model ${threads}`];
            entries[`model ${threads}`] = {
                contestant,
                unit: 'rate',
                take: (budgetMs) => contestant.call('tokensPerSecond', budgetMs),
            };
            entries[`limit ${threads}`] = ceiling(contestants[`limit ${threads}`], 'bytes', bytes);
        }
        const figures = await race(entries, { rounds: 11, budgetMs: 150, warmMs: 1500 });
        const garbage = await contestants['model 1'].call('garbage');
        const allowed = (/** @type {number} */ threads) => figures[`limit ${threads}`].map((rate) => rate / bytes);
        context.say(
            `${(parameters / 1e6).toFixed(2)} million weights, ${megabytes(bytes)} read per token ` +
                `(and ${cacheBytesPerToken} bytes of cache ` +
                'per position); top-p sampling at temperature 0.8; relaxed\n',
        );
        context.say(
            table([
                ['', 'tokens/s', 'its weights allow', 'which is', 'share'],
                ...THREADS.map((threads) => [
                    threadsTitle(threads),
                    withSpread(spread(figures[`model ${threads}`])),
                    number(spread(allowed(threads)).median),
                    gbytes(spread(figures[`limit ${threads}`]).median),
                    percent(ratio(figures[`model ${threads}`], allowed(threads))),
                ]),
            ]),
        );
        context.say(
            `\nJS heap per token through generate: ${number(garbage.heap)} bytes; ` +
                `wasm memory over ${garbage.tokens} tokens: ${garbage.wasm} bytes`,
        );
        return {
            musts: [
                atLeast(
                    6,
                    'the model through generate: share of what its weights allow',
                    'relaxed, 1 thread',
                    ratio(figures['model 1'], allowed(1)),
                    0.7,
                    percent,
                ),
            ],
            data: { figures, bytes, parameters, garbage },
        };
    });
    const decoders = await runDecoders(context);
    return { musts: [...result.musts, ...decoders.musts], data: { ...result.data, decoders: decoders.data } };
}
