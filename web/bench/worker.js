/**
 * The layer cases in a browser, in a worker: only there may the calling thread compute beside its own workers. Every
 * variant and thread count is a runtime of its own; all but the one being timed sleep.
 */

import { CachedMultiHeadAttention, KVCache, createRuntime } from '../../js/index.js';
import { medianTime } from './ceilings.js';
import { Meters } from './meters.js';
import {
    DIM,
    HEADS,
    HEAD_DIM,
    LAYER_CASES,
    caseBytes,
    caseFlops,
    makeInput,
    makePast,
    makeWeights,
    reference,
    relativeError,
} from './problem.js';

/** @typedef {import('./problem.js').Case} Case */
/** @typedef {{ median: number, p10: number, p90: number }} Spread */
/**
 * @typedef {{ type: 'machine', text: string, columns: { name: string, title: string }[] } | { type: 'status', text:
 *   string }
 *     | { type: 'case', title: string, figures: Record<string, Spread>, shares: Record<string, number> }
 *     | { type: 'done' } | { type: 'error', text: string }} BenchReport
 */

/** The same tolerance as in Node: float32 over 768 to 4096 terms is a few 1e-7 off, a wrong kernel 1e-2. */
const TOLERANCE = 1e-5;
const ROUNDS = 11;
const BATCH_MS = 30;
const WARM_MS = 250;

const report = (/** @type {BenchReport} */ message) => postMessage(message);

class Contestant {
    /**
     * @param {'relaxed' | 'simd128'} simd
     * @param {number} threads
     * @param {import('../../js/runtime.js').Runtime} runtime
     */
    constructor(simd, threads, runtime) {
        this.name = `${simd} ${threads}`;
        this.title = `${simd}, ${threads} thread${threads > 1 ? 's' : ''}`;
        this.simd = simd;
        this.threads = threads;
        this.runtime = runtime;
        this.layer = new CachedMultiHeadAttention(runtime, { numHeads: HEADS, keyDim: HEAD_DIM });
        this.layer.build([1, null, DIM], [1, null, DIM]);
        const w = makeWeights();
        const inward = (/** @type {Float32Array} */ data) => ({ shape: [DIM, HEADS, HEAD_DIM], data });
        const bias = (/** @type {Float32Array} */ data) => ({ shape: [HEADS, HEAD_DIM], data });
        this.layer.setWeights([
            inward(w.wq),
            bias(w.bq),
            inward(w.wk),
            bias(w.bk),
            inward(w.wv),
            bias(w.bv),
            { shape: [HEADS, HEAD_DIM, DIM], data: w.wo },
            { shape: [DIM], data: w.bo },
        ]);
    }

    /** @param {Case} c @returns {() => Float32Array} a call of the layer */
    prepare(c) {
        const past = makePast(c);
        const data = new Float32Array(2 * c.s * DIM);
        data.set(past.keys);
        data.set(past.values, c.s * DIM);
        this.cache?.dispose();
        this.cache = new KVCache(this.runtime, { batch: 1, length: c.s, numHeads: HEADS, keyDim: HEAD_DIM });
        this.cache.set({ shape: [1, 2, c.s, HEADS, HEAD_DIM], data });
        const x = { shape: [1, c.t, DIM], data: makeInput(c) };
        const options = { cache: this.cache, cacheUpdateIndex: c.s - c.t, useCausalMask: c.kind === 'prefill' };
        return () => /** @type {Float32Array} */ (this.layer.callSync(x, x, options).attentionOutput.data);
    }
}

/** Every variant that this engine has, with one thread and, where memory can be shared, with two. */
async function makeContestants() {
    const contestants = [];
    for (const simd of /** @type {const} */ (['relaxed', 'simd128'])) {
        for (const threads of [1, 2]) {
            if (threads > 1 && !crossOriginIsolated) continue;
            try {
                contestants.push(new Contestant(simd, threads, await createRuntime({ simd, workers: threads - 1 })));
            } catch (error) {
                report({ type: 'status', text: `Without ${simd}: ${error instanceof Error ? error.message : error}` });
            }
        }
    }
    return contestants;
}

/** Milliseconds of a call. @param {() => unknown} run @param {number} budgetMs */
function time(run, budgetMs) {
    const end = performance.now() + budgetMs;
    return medianTime(run, (passes) => passes === 0 || performance.now() < end);
}

/** @param {number[]} values @returns {Spread} */
function spread(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = (/** @type {number} */ p) => sorted[Math.round(p * (sorted.length - 1))];
    return { median: at(0.5), p10: at(0.1), p90: at(0.9) };
}

/** @param {Case} c @param {Contestant[]} contestants @param {Map<string, Meters>} meters by variant */
async function measure(c, contestants, meters) {
    report({ type: 'status', text: `${c.title}: checking` });
    const want = reference(c);
    const runs = new Map(contestants.map((contestant) => [contestant, contestant.prepare(c)]));
    for (const [{ title }, run] of runs) {
        const error = relativeError(c, run(), want);
        if (!(error <= TOLERANCE)) throw new Error(`${title} is wrong on ${c.title}: error ${error}`);
    }
    report({ type: 'status', text: `${c.title}: measuring` });
    for (const run of runs.values()) time(run, WARM_MS);
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
        for (const [{ name }, run] of runs) times[name].push(time(run, BATCH_MS));
    }
    // A limit is one thread's: of two there is no share.
    const single = contestants.filter(({ threads }) => threads === 1);
    report({
        type: 'case',
        title: c.title,
        figures: Object.fromEntries([
            ...contestants.map(({ name }) => [name, spread(times[name])]),
            ...Object.entries(limits).map(([simd, values]) => [`limit ${simd}`, spread(values)]),
        ]),
        shares: Object.fromEntries(
            single.map(({ name, simd }) => [
                name,
                spread(times[name].map((value, i) => limits[simd][i] / value)).median,
            ]),
        ),
    });
}

try {
    const contestants = await makeContestants();
    const variants = [...new Set(contestants.map(({ simd }) => simd))];
    /** @type {Map<string, Meters>} */
    const meters = new Map();
    const reserve = Math.max(...LAYER_CASES.map(caseBytes));
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
    for (const c of LAYER_CASES) await measure(c, contestants, meters);
    report({ type: 'done' });
} catch (error) {
    report({ type: 'error', text: error instanceof Error ? error.message : String(error) });
}
