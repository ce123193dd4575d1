// Contestants and their races: each in a process of its own, checked first, then timed in turns, round after round, so
// that a drift of the machine hits all alike. Figures are medians over rounds (of a median within each round), spreads
// are the 10th and 90th percentile of the rounds, and a ratio is the median of the ratios within each round.

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */

const HOST = fileURLToPath(new URL('../contestants/host.js', import.meta.url));

export class Contestant {
    /**
     * @param {{ id: string, title: string, threads: number }} description
     * @param {import('node:child_process').ChildProcess} process
     */
    constructor({ id, title, threads }, process) {
        this.id = id;
        this.title = title;
        this.threads = threads;
        this.process = process;
        /** What it says it is, version included. */
        this.name = '';
    }

    /**
     * @param {{ path: string, flags: string[] }} node
     * @param {import('./line-up.js').Description} description
     */
    static async start(node, { id, title, module, options = {}, threads, flags = [] }) {
        const child = fork(HOST, [`./${module}`, JSON.stringify(options)], {
            execPath: node.path, execArgv: [...node.flags, ...flags], serialization: 'advanced',
        });
        const contestant = new Contestant({ id, title, threads }, child);
        contestant.name = await contestant.#reply();
        return contestant;
    }

    /** @returns {Promise<any>} */
    #reply() {
        return new Promise((resolve, reject) => {
            const gone = (/** @type {number | null} */ code, /** @type {string | null} */ signal) =>
                reject(new Error(`${this.id}: its process ended (${signal ?? code})`));
            this.process.once('exit', gone);
            this.process.once('message', (/** @type {{ value: any, error?: string }} */ { value, error }) => {
                this.process.off('exit', gone);
                if (error) reject(new Error(`${this.id}: ${error}`));
                else resolve(value);
            });
        });
    }

    /** @param {string} method @param {...any} args @returns {Promise<any>} */
    call(method, ...args) {
        const reply = this.#reply();
        this.process.send({ method, args });
        return reply;
    }

    stop() {
        this.process.kill('SIGKILL');
    }
}

/** @typedef {{ contestant: Contestant, take: (budgetMs: number) => Promise<number>, unit: 'ms' | 'rate' }} Entry */

/** A case run by a contestant, in ms per run. @param {Contestant} contestant @param {Case} c @returns {Entry} */
export function timed(contestant, c) {
    return { contestant, unit: 'ms', take: async (budgetMs) => (await contestant.call('time', c, budgetMs)).median };
}

/**
 * A ceiling, per second.
 * @param {Contestant} contestant
 * @param {'flops' | 'bytes'} what
 * @param {number} bytes
 * @returns {Entry}
 */
export function ceiling(contestant, what, bytes) {
    return { contestant, unit: 'rate', take: (budgetMs) => contestant.call('rate', what, bytes, budgetMs) };
}

/**
 * Lets entries take turns.
 * @param {Record<string, Entry>} entries @param {{ rounds: number, budgetMs: number, warmMs: number }} options
 * @returns {Promise<Record<string, number[]>>} a figure per round
 */
export async function race(entries, { rounds, budgetMs, warmMs }) {
    const names = Object.keys(entries);
    /** @type {Record<string, number[]>} */
    const figures = Object.fromEntries(names.map((name) => [name, []]));
    for (const name of names) await entries[name].take(warmMs);
    for (let round = 0; round < rounds; round++) {
        // Every other round runs backwards, so that nobody always follows the same neighbour.
        for (const name of round % 2 ? [...names].reverse() : names) {
            figures[name].push(await entries[name].take(budgetMs));
            // A pool that spins for work after a run would share the next one's core.
            await new Promise((resolve) => setTimeout(resolve, 5));
        }
    }
    return figures;
}

/** @param {number[]} values @param {number} p in [0, 1] @returns {number} linear between the neighbours */
export function quantile(values, p) {
    const sorted = [...values].sort((a, b) => a - b);
    const at = p * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
}

/** @param {number[]} values @returns {{ median: number, p10: number, p90: number }} */
export function spread(values) {
    return { median: quantile(values, 0.5), p10: quantile(values, 0.1), p90: quantile(values, 0.9) };
}

/** Median over rounds of a / b. @param {number[]} a @param {number[]} b */
export const ratio = (a, b) => quantile(a.map((value, i) => value / b[i]), 0.5);
