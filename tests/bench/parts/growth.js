// Sweeps of S and T beside the limits: time per decoded token, prefill, and memory; must 5. Draws the roofline and the
// growth curves.

import { relative } from 'node:path';
import { writeFileSync } from 'node:fs';
import { root } from '../../../src/build/system.js';
import { caseBytes, caseFlops, checkOutput, decodeCase, prefillCase, reference } from '../../../web/bench/problem.js';
import { ceilingOf, ort, ours, withContestants } from '../lib/line-up.js';
import { ceiling, race, spread, timed } from '../lib/race.js';
import { atLeast, atMost, gbytes, gflops, megabytes, number, percent, table, times } from '../lib/report.js';
import { draw } from '../lib/svg.js';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */
/** @typedef {Record<string, import('../lib/race.js').Contestant>} Contestants */

const LENGTHS = [64, 256, 1024, 2048, 4096, 8192, 16384, 24576, 32768];
const PROMPTS = [16, 64, 256, 512, 1024, 2048];
const MEMORY_PROMPTS = [256, 512, 1024, 2048, 4096];
const LONGEST = LENGTHS[LENGTHS.length - 1];
/** onnxruntime-web copies the whole cache twice a step; beyond these sizes it would take most of the time. */
const PEER_LENGTHS = [64, 256, 1024, 4096];
const PEER_PROMPTS = [16, 64, 256, 512, 1024];
const PEER = 'ort 1';

/** @param {import('../lib/line-up.js').Context} context */
export async function run(context) {
    const decodes = LENGTHS.map(decodeCase);
    const growing = (/** @type {number} */ threads) => ({
        id: `growth ${threads}`,
        title: 'cached-attention',
        module: 'growth.js',
        threads,
        options: { simd: 'relaxed', workers: threads - 1, length: LONGEST },
    });
    const descriptions = [
        growing(1),
        growing(2),
        ours('relaxed', 1),
        ours('relaxed', 2),
        ceilingOf('relaxed', 1, decodes),
        ...(context.peers ? [ort(1)] : []),
    ];
    return withContestants(context, descriptions, async (contestants) => {
        const decode = await sweepDecode(contestants, decodes);
        const prefill = await sweepPrefill(contestants, PROMPTS.map(prefillCase));
        const memory = await measureMemory(contestants['growth 1']);
        const fit = linearFit(LENGTHS.filter((s) => s >= 1024).map((s) => [s, decode[s].ours]));
        sayTables(context.say, decode, prefill, memory, fit);
        const data = { decode, prefill, memory, fit };
        if (context.svg) {
            writeFileSync(context.svg, draw(data));
            context.say(`\nroofline and growth curves: ${relative(root, context.svg)}`);
        }
        return { musts: musts(memory, fit), data };
    });
}

/**
 * @typedef {{ ours: number, ours2: number, peer?: number, limit: number, rate: number }} Point ms; rate: the limit's,
 *   per second
 */

/** @param {Contestants} contestants @param {Case[]} cases @returns {Promise<Record<number, Point>>} by S */
async function sweepDecode(contestants, cases) {
    /** @type {Record<string, import('../lib/race.js').Entry>} */
    const entries = {};
    for (const c of [...cases].reverse()) {
        const want = reference(c);
        await enter(entries, 'ours', contestants['growth 1'], c, want);
        await enter(entries, 'ours2', contestants['growth 2'], c, want);
        if (contestants[PEER] && PEER_LENGTHS.includes(c.s)) await enter(entries, 'peer', contestants[PEER], c, want);
        entries[`limit ${c.s}`] = ceiling(contestants['ceiling relaxed 1'], 'bytes', caseBytes(c));
    }
    const figures = await race(entries, { rounds: 11, budgetMs: 40, warmMs: 150 });
    return points(cases, figures, (c) => caseBytes(c));
}

/** @param {Contestants} contestants @param {Case[]} cases @returns {Promise<Record<number, Point>>} by T */
async function sweepPrefill(contestants, cases) {
    /** @type {Record<string, import('../lib/race.js').Entry>} */
    const entries = {};
    for (const c of cases) {
        const want = reference(c);
        await enter(entries, 'ours', contestants['ours relaxed 1'], c, want);
        await enter(entries, 'ours2', contestants['ours relaxed 2'], c, want);
        if (contestants[PEER] && PEER_PROMPTS.includes(c.s)) await enter(entries, 'peer', contestants[PEER], c, want);
        entries[`limit ${c.s}`] = ceiling(contestants['ceiling relaxed 1'], 'flops', 0);
    }
    const figures = await race(entries, { rounds: 5, budgetMs: 220, warmMs: 60 });
    return points(cases, figures, (c) => caseFlops(c));
}

/** @param {Record<string, import('../lib/race.js').Entry>} entries @param {string} name
 * @param {import('../lib/race.js').Contestant} contestant @param {Case} c @param {Float64Array} want */
async function enter(entries, name, contestant, c, want) {
    checkOutput(contestant.id, c, await contestant.call('prepare', c), want);
    entries[`${name} ${c.s}`] = timed(contestant, c);
}

/** @param {Case[]} cases @param {Record<string, number[]>} figures @param {(c: Case) => number} work of the limit */
function points(cases, figures, work) {
    const of = (/** @type {string} */ key) => figures[key] && spread(figures[key]).median;
    return Object.fromEntries(
        cases.map((c) => {
            const rate = of(`limit ${c.s}`);
            return [
                c.s,
                {
                    ours: of(`ours ${c.s}`),
                    ours2: of(`ours2 ${c.s}`),
                    peer: of(`peer ${c.s}`),
                    limit: (work(c) / rate) * 1000,
                    rate,
                },
            ];
        }),
    );
}

/** @param {import('../lib/race.js').Contestant} contestant */
async function measureMemory(contestant) {
    /** @type {Record<number, number>} */
    const prefill = {};
    for (const t of MEMORY_PROMPTS) prefill[t] = await contestant.call('prefillMemory', t);
    return { prefill, cache: await contestant.call('cacheMemory') };
}

/** Least squares of y = base + slope x. @param {number[][]} pairs */
function linearFit(pairs) {
    const mean = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value, 0) / values.length;
    const [mx, my] = [mean(pairs.map(([x]) => x)), mean(pairs.map(([, y]) => y))];
    const slope = mean(pairs.map(([x, y]) => (x - mx) * (y - my))) / mean(pairs.map(([x]) => (x - mx) ** 2));
    const base = my - slope * mx;
    const residuals = pairs.map(([x, y]) => y - base - slope * x);
    return {
        base,
        slope,
        r2: 1 - mean(residuals.map((r) => r * r)) / mean(pairs.map(([, y]) => (y - my) ** 2)),
        rms: Math.sqrt(mean(residuals.map((r) => r * r))),
        largest: Math.max(...residuals.map((r, i) => Math.abs(r) / pairs[i][1])),
    };
}

/**
 * @param {(text: string) => void} say @param {Record<number, Point>} decode @param {Record<number, Point>} prefill
 * @param {Awaited<ReturnType<typeof measureMemory>>} memory @param {ReturnType<typeof linearFit>} fit
 */
function sayTables(say, decode, prefill, memory, fit) {
    const optional = (/** @type {number | undefined} */ value) => (value === undefined ? '' : number(value));
    const rows = (/** @type {Record<number, Point>} */ all, /** @type {(value: number) => string} */ rate) =>
        Object.entries(all).map(([size, p]) => [
            size,
            number(p.ours),
            number(p.ours2),
            optional(p.peer),
            number(p.limit),
            rate(p.rate),
            percent(p.limit / p.ours),
        ]);
    const header = ['1 thread', '2 threads', 'onnxruntime-web', 'limit', 'which is', 'share of it'];
    say('one decoded token on a cache of S positions, ms (medians, relaxed; share: 1 thread)\n');
    say(table([['S', ...header], ...rows(decode, gbytes)]));
    say(
        `\nfit over S = 1k to 32k: ${number(fit.base)} ms + ${(fit.slope * 1000).toFixed(3)} us per position, ` +
            `R2 ${fit.r2.toFixed(4)}, ` +
            `residual ${number(fit.rms)} ms rms, at most ${percent(fit.largest)} of a point`,
    );
    say('\nprefill of T tokens, causal, ms\n');
    say(table([['T', ...header], ...rows(prefill, gflops)]));
    say('\nmemory of a prefill beyond weights and cache\n');
    say(
        table([
            ['T', 'in use at most', 'per token'],
            ...Object.entries(memory.prefill).map(([t, bytes]) => [
                t,
                megabytes(bytes),
                `${number(bytes / Number(t) / 1000)} kB`,
            ]),
        ]),
    );
}

/** @param {Awaited<ReturnType<typeof measureMemory>>} memory @param {ReturnType<typeof linearFit>} fit */
function musts(memory, fit) {
    const [half, full] = MEMORY_PROMPTS.slice(-2);
    const raw = 2 * LONGEST * 768 * 4;
    const ran = 'relaxed, 1 thread';
    const three = (/** @type {number} */ value) => value.toFixed(3);
    return [
        // Not 1: a long cache does not fit where a short one does, and the limit itself has that bend.
        atLeast(5, 'time per token over S = 1k to 32k, linear: R2', ran, fit.r2, 0.98, three),
        // Twice the tokens, twice the memory (four times it would be T x S); a tenth for what does not grow evenly.
        atMost(
            5,
            `prefill memory, T = ${half} to ${full}`,
            ran,
            memory.prefill[full] / memory.prefill[half],
            2.2,
            times,
        ),
        // A thousandth for the block's own header and alignment.
        atMost(5, `a ${LONGEST}-token cache takes`, ran, memory.cache.takes, raw * 1.001, megabytes),
        // The rest of the peak is a step's rows and the copy of a piece of what is set.
        atMost(5, 'with filling it and a step over it, at most', ran, memory.cache.peak, raw * 1.05, megabytes),
    ];
}
