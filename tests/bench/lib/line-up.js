// Who takes part, by name: every part of the benchmark starts its contestants here.

import { caseBytes } from '../../../web/bench/problem.js';
import { Contestant } from './race.js';

/** @typedef {{ path: string, flags: string[], description: string }} Node */
/**
 * @typedef {{ node: Node, say: (text: string) => void, peers: boolean, svg?: string }} Context svg: the file to draw
 */
/** @typedef {'relaxed' | 'simd128'} Variant */
/**
 * @typedef {{ id: string, title: string, module: string, options?: object, threads: number, flags?: string[] }}
 *   Description module: file name in contestants/
 */

/**
 * Our layer; the calling thread computes too, so threads = workers + 1.
 * @param {Variant} simd
 * @param {number} threads
 * @param {string[]} [flags]
 */
export const ours = (simd, threads, flags) => ({
    id: `ours ${simd} ${threads}`,
    title: `cached-attention, ${simd}`,
    module: 'ours.js',
    threads,
    flags,
    options: { simd, workers: threads - 1 },
});

/** @param {number} threads */
export const ort = (threads) => ({
    id: `ort ${threads}`,
    title: 'onnxruntime-web',
    module: 'ort.js',
    threads,
    options: { threads },
});

/** @param {number} threads */
export const ortResident = (threads) => ({
    id: `ort resident ${threads}`,
    title: "the same without its API's copies",
    module: 'ort.js',
    threads,
    options: { threads, resident: true },
});

export const tfjs = () => ({ id: 'tfjs 1', title: 'tfjs-backend-wasm', module: 'tfjs.js', threads: 1 });

/**
 * @param {Variant} simd
 * @param {number} threads
 * @param {import('../../../web/bench/problem.js').Case[]} cases whose working sets it measures
 */
export const ceilingOf = (simd, threads, cases) => ({
    id: `ceiling ${simd} ${threads}`,
    title: `limit, ${simd}`,
    module: 'ceiling.js',
    threads,
    options: { simd, threads, reserve: Math.max(...cases.map(caseBytes)) },
});

/**
 * Starts contestants, hands them over by id, and ends them whatever happens.
 * @template T
 * @param {Context} context @param {Description[]} descriptions
 * @param {(contestants: Record<string, Contestant>) => Promise<T>} body @returns {Promise<T>}
 */
export async function withContestants({ node }, descriptions, body) {
    /** @type {Record<string, Contestant>} */
    const contestants = {};
    try {
        for (const description of descriptions) contestants[description.id] = await Contestant.start(node, description);
        return await body(contestants);
    } finally {
        for (const contestant of Object.values(contestants)) contestant.stop();
    }
}
