// The ceilings of several threads at once: the caller's Meter and one per worker, each over its share of the working
// set in a memory of its own. The workers sleep between measurements.
//
// Protocol, over one Int32Array: each worker adds itself to ARRIVED and sleeps on ROUND; when all have, the caller sets
// GO and raises ROUND, measures its own share, and ends everybody's measurement by clearing GO. Each worker then posts
// its rate.

import { Meter } from './ceilings.js';

const ROUND = 0;
const GO = 1;
const ARRIVED = 2;

const node = typeof process === 'object' && Boolean(process.versions?.node);

export class Meters {
    /** @param {'simd128' | 'relaxed'} simd @param {number} threads */
    constructor(simd, threads) {
        this.threads = threads;
        this.own = new Meter(simd);
        // A page that is not cross-origin isolated has no shared memory, and one thread needs none.
        this.flags = threads > 1 ? new Int32Array(new SharedArrayBuffer(16)) : new Int32Array(4);
        /** @type {any[]} web workers, or Node's */
        this.workers = [];
    }

    /**
     * @param {{ simd: 'simd128' | 'relaxed', threads: number, reserve: number }} options reserve: bytes, all threads
     */
    static async create({ simd, threads, reserve }) {
        const meters = new Meters(simd, threads);
        meters.own.reserve(Math.ceil(reserve / threads) + 256);
        for (let i = 1; i < threads; i++) {
            const worker = await startWorker(new URL('./meters-worker.js', import.meta.url));
            const ready = nextMessage(worker);
            worker.postMessage({ flags: meters.flags, simd, reserve: Math.ceil(reserve / threads) + 256 });
            await ready;
            meters.workers.push(worker);
        }
        return meters;
    }

    /**
     * @param {'flops' | 'bytes'} what
     * @param {number} bytes working set of all threads together
     * @param {number} budgetMs
     * @returns {Promise<number>} flops or bytes per second, all threads together
     */
    async rate(what, bytes, budgetMs) {
        const share = bytes / this.threads;
        const others = this.workers.map(nextMessage);
        for (const worker of this.workers) worker.postMessage({ what, share });
        while (Atomics.load(this.flags, ARRIVED) < this.workers.length)
            await new Promise((resolve) => setTimeout(resolve));
        Atomics.store(this.flags, GO, 1);
        Atomics.add(this.flags, ROUND, 1);
        Atomics.notify(this.flags, ROUND);
        const end = performance.now() + budgetMs;
        const own = this.own.rate(what, share, (passes) => passes < 3 || performance.now() < end);
        Atomics.store(this.flags, ARRIVED, 0);
        Atomics.store(this.flags, GO, 0);
        const rates = await Promise.all(others);
        return rates.reduce((sum, rate) => sum + rate, own);
    }

    close() {
        for (const worker of this.workers) worker.terminate();
    }
}

/** The worker's side. @param {{ flags: Int32Array, simd: 'simd128' | 'relaxed', reserve: number }} start */
export function serveMeter(start) {
    const { flags } = start;
    const meter = new Meter(start.simd);
    meter.reserve(start.reserve);
    return (/** @type {{ what: 'flops' | 'bytes', share: number }} */ { what, share }) => {
        const round = Atomics.load(flags, ROUND);
        Atomics.add(flags, ARRIVED, 1);
        Atomics.wait(flags, ROUND, round);
        return meter.rate(what, share, (passes) => passes < 3 || Atomics.load(flags, GO) === 1);
    };
}

/** @param {URL} url */
async function startWorker(url) {
    if (!node) return new Worker(url, { type: 'module' });
    const { Worker: NodeWorker } = await import('node:worker_threads');
    return new NodeWorker(url);
}

/** @param {any} worker @returns {Promise<any>} */
async function nextMessage(worker) {
    return new Promise((resolve, reject) => {
        if (node) {
            worker.once('error', reject);
            worker.once('message', (/** @type {any} */ message) => {
                worker.off('error', reject);
                resolve(message);
            });
            return;
        }
        worker.onmessage = (/** @type {MessageEvent} */ event) => resolve(event.data);
        worker.onerror = reject;
    });
}
