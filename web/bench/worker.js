/**
 * The layer cases in a browser, in a worker: only there may the calling thread compute beside its own workers. Every
 * contestant has its own memory and threads; all but the one being timed sleep.
 */

import { makeOurs, makePeers } from './contestants.js';
import { Meters } from './meters.js';
import { LAYER_CASES, caseBytes, caseFlops, checkOutput, decodeCase, prefillCase, reference } from './problem.js';

/** @typedef {import('./problem.js').Case} Case */
/** @typedef {import('./contestants.js').Contestant} Contestant */
/** @typedef {{ median: number, p10: number, p90: number }} Spread */
/** @typedef {{ peers: boolean, sweep: boolean }} BenchRequest */
/**
 * @typedef {{ type: 'machine', text: string, columns: { name: string, title: string }[] } | { type: 'status', text:
 *   string }
 *     | { type: 'case', title: string, figures: Record<string, Spread>, shares: Record<string, number> }
 *     | { type: 'done' } | { type: 'error', text: string }} BenchReport
 */

const ROUNDS = 11;
const BATCH_MS = 30;
const WARM_MS = 250;

/** Lengths of a sweep that the layer cases leave out. */
const SWEEP = [256, 2048, 8192].map(decodeCase).concat([16, 64, 256, 1024].map(prefillCase));

const report = (/** @type {BenchReport} */ message) => postMessage(message);
const tell = (/** @type {string} */ text) => report({ type: 'status', text });

/** @param {number[]} values @returns {Spread} */
function spread(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (/** @type {number} */ p) => sorted[Math.round(p * (sorted.length - 1))];
    return { median: at(0.5), p10: at(0.1), p90: at(0.9) };
}

/** @param {Case} c @param {Contestant[]} contestants @param {Map<string, Meters>} meters by variant */
async function measure(c, contestants, meters) {
    tell(`${c.title}: checking`);
    const want = reference(c);
    for (const contestant of contestants) {
        checkOutput(contestant.title, c, await contestant.prepare(c), want);
    }
    tell(`${c.title}: measuring`);
    for (const contestant of contestants) await contestant.time(WARM_MS);
    /** @type {Record<string, number[]>} */
    const times = Object.fromEntries(contestants.map(({ name }) => [name, []]));
    /** @type {Record<string, number[]>} */
    const limits = Object.fromEntries([...meters.keys()].map((simd) => [simd, []]));
    const work = c.kind === 'decode' ? caseBytes(c) : caseFlops(c);
    for (let round = 0; round < ROUNDS; round++) {
        for (const [simd, meter] of meters) {
            const rate = await meter.rate(c.kind === 'decode' ? 'bytes' : 'flops', caseBytes(c), BATCH_MS);
            limits[simd].push((work / rate) * 1000);
        }
        for (const contestant of contestants) {
            times[contestant.name].push(await contestant.time(BATCH_MS));
            // A pool that spins for work after a run would share the next one's core.
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    }
    // A limit is one thread's: of two there is no share.
    const shares = contestants.flatMap(({ name, simd, threads }) =>
        simd && threads === 1 ? [[name, spread(times[name].map((value, i) => limits[simd][i] / value)).median]] : []);
    report({
        type: 'case',
        title: c.title,
        figures: Object.fromEntries([
            ...contestants.map(({ name }) => [name, spread(times[name])]),
            ...Object.entries(limits).map(([simd, values]) => [`limit ${simd}`, spread(values)]),
        ]),
        shares: Object.fromEntries(shares),
    });
}

/** @param {BenchRequest} request */
async function run({ peers, sweep }) {
    const ours = await makeOurs(tell);
    const contestants = peers ? [...ours, ...await makePeers(tell)] : ours;
    const variants = [...new Set(ours.flatMap(({ simd }) => simd ?? []))];
    const cases = sweep ? [...LAYER_CASES, ...SWEEP] : LAYER_CASES;
    /** @type {Map<string, Meters>} */
    const meters = new Map();
    const reserve = Math.max(...cases.map(caseBytes));
    for (const simd of variants) meters.set(simd, await Meters.create({ simd, threads: 1, reserve }));
    const isolation = crossOriginIsolated ? 'cross-origin isolated' : 'not cross-origin isolated: one thread';
    report({
        type: 'machine',
        text: `${navigator.hardwareConcurrency} cores, ${isolation}`,
        columns: [
            ...contestants.map(({ name, title }) => ({ name, title })),
            ...variants.map((simd) => ({ name: `limit ${simd}`, title: `limit, ${simd}` })),
        ],
    });
    for (const c of cases) await measure(c, contestants, meters);
    report({ type: 'done' });
}

onmessage = ({ data }) => {
    run(data).catch((error) => report({ type: 'error', text: error instanceof Error ? error.message : String(error) }));
};
