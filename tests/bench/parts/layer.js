// The layer at dim 768, 12 heads, f32, beside the peers and the machine's limits: musts 1, 2 and 7.

import { ceilingOf, ort, ortResident, ours, tfjs, withContestants } from '../lib/line-up.js';
import { LAYER_CASES, caseBytes, caseFlops, checkOutput, reference, threadsTitle } from '../../../web/bench/problem.js';
import { ceiling, race, ratio, spread, timed } from '../lib/race.js';
import { atLeast, number, percent, table, withSpread } from '../lib/report.js';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */
/** @typedef {import('../lib/line-up.js').Context} Context */
/** @typedef {Record<string, Record<string, number[]>>} Figures by case, by contestant, per round */

/**
 * Must 2: how many times faster than onnxruntime-web's public API, by case and threads. @type {Record<string,
 * number[]>}
 */
const RATIOS = { 'decode-64': [1.4, 1.5], 'decode-1024': [5, 6.5], 'decode-4096': [6, 7], 'prefill-512': [1.45, 1.35] };
/** Must 1: share of the limit. @type {Record<string, number>} */
const SHARES = { 'decode-64': 0.8, 'decode-1024': 0.85, 'decode-4096': 0.85, 'prefill-512': 0.85 };
/** Must 7: what of must 2 is left without relaxed SIMD. */
const STRICT_SHARE = 0.8;

const VARIANTS = /** @type {const} */ (['relaxed', 'simd128']);

/** @param {Context} context */
export async function run(context) {
    /** @type {import('../lib/line-up.js').Description[]} */
    const descriptions = [
        ...VARIANTS.flatMap((simd) => [ours(simd, 1), ours(simd, 2)]),
        ...(context.peers ? [ort(1), ort(2), ortResident(1), ortResident(2), tfjs()] : []),
        ...VARIANTS.flatMap((simd) => [ceilingOf(simd, 1, LAYER_CASES), ceilingOf(simd, 2, LAYER_CASES)]),
    ];
    return withContestants(context, descriptions, async (contestants) => {
        /** @type {Figures} */
        const figures = {};
        /** @type {Record<string, number>} */
        const errors = {};
        for (const c of LAYER_CASES) {
            figures[c.id] = await measure(c, contestants, errors);
            context.say(`measured: ${c.title}`);
        }
        context.say(
            '\nms, median (p10-p90) over the rounds; error: largest, over the largest output, against float64\n',
        );
        context.say(layerTable(descriptions, contestants, figures, errors));
        const musts = [...limitMusts(figures), ...(context.peers ? peerMusts(figures) : [])];
        return { musts, data: { figures, errors } };
    });
}

/**
 * Checks every contestant on a case, then races them.
 * @param {Case} c
 * @param {Record<string, import('../lib/race.js').Contestant>} contestants
 * @param {Record<string, number>} errors
 */
async function measure(c, contestants, errors) {
    const want = reference(c);
    /** @type {Record<string, import('../lib/race.js').Entry>} */
    const entries = {};
    for (const [id, contestant] of Object.entries(contestants)) {
        if (id.startsWith('ceiling')) {
            entries[id] =
                c.kind === 'decode' ? ceiling(contestant, 'bytes', caseBytes(c)) : ceiling(contestant, 'flops', 0);
        } else if (!(id.startsWith('ort resident') && c.kind === 'prefill')) {
            const error = checkOutput(id, c, await contestant.call('prepare', c), want);
            errors[id] = Math.max(errors[id] ?? 0, error);
            entries[id] = timed(contestant, c);
        }
    }
    // Several runs a turn: the first of them finds the others' data in the caches.
    return race(
        entries,
        c.kind === 'decode' ? { rounds: 15, budgetMs: 70, warmMs: 200 } : { rounds: 7, budgetMs: 220, warmMs: 300 },
    );
}

/** What a case would take at the limit, ms, from a ceiling's rates. @param {Case} c @param {number[]} rates */
const limitMs = (c, rates) => rates.map((rate) => ((c.kind === 'decode' ? caseBytes(c) : caseFlops(c)) / rate) * 1000);

/**
 * @param {import('../lib/line-up.js').Description[]} descriptions
 * @param {Record<string, import('../lib/race.js').Contestant>} contestants
 * @param {Figures} figures @param {Record<string, number>} errors
 */
function layerTable(descriptions, contestants, figures, errors) {
    const rows = descriptions.map(({ id, title, threads }) => {
        const limit = id.startsWith('ceiling');
        const version = contestants[id].name.match(/ [\d.]+$/)?.[0] ?? '';
        const cells = LAYER_CASES.map((c) => {
            const taken = figures[c.id][id];
            if (!taken) return '';
            return withSpread(spread(limit ? limitMs(c, taken) : taken));
        });
        return [
            title + (title === "the same without its API's copies" ? '' : version),
            threads,
            ...cells,
            limit ? '' : errors[id].toExponential(1),
        ];
    });
    return table([['', 'threads', ...LAYER_CASES.map((c) => c.title), 'error'], ...rows]);
}

/** Must 1. @param {Figures} figures */
function limitMusts(figures) {
    return VARIANTS.flatMap((simd) =>
        LAYER_CASES.map((c) => {
            const share = ratio(limitMs(c, figures[c.id][`ceiling ${simd} 1`]), figures[c.id][`ours ${simd} 1`]);
            const { median } = spread(figures[c.id][`ceiling ${simd} 1`]);
            const limit =
                c.kind === 'decode' ? `of ${number(median / 1e9)} GB/s` : `of ${number(median / 1e9)} GFLOP/s`;
            return atLeast(
                1,
                `${c.title}: share of the limit`,
                `${simd}, 1 thread, ${limit}`,
                share,
                SHARES[c.id],
                percent,
            );
        }),
    );
}

/** Musts 2 and 7. @param {Figures} figures */
function peerMusts(figures) {
    return VARIANTS.flatMap((simd) =>
        [1, 2].flatMap((threads) =>
            LAYER_CASES.map((c) => {
                const figure = ratio(figures[c.id][`ort ${threads}`], figures[c.id][`ours ${simd} ${threads}`]);
                const bar = RATIOS[c.id][threads - 1] * (simd === 'relaxed' ? 1 : STRICT_SHARE);
                return atLeast(
                    simd === 'relaxed' ? 2 : 7,
                    `${c.title}: faster than onnxruntime-web`,
                    `${simd}, ${threadsTitle(threads)}`,
                    figure,
                    bar,
                );
            }),
        ),
    );
}
