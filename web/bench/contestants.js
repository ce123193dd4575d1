/**
 * Who takes part in the bench page: this package in every variant that the engine has, and, where they are served, the
 * peers of `npm run bench`, each in a worker of its own.
 */

import { createRuntime } from '../../js/index.js';
import { medianTime } from './ceilings.js';
import { makeCache, makeLayer } from './layer.js';
import { DIM, makeInput, threadsTitle } from './problem.js';

/** @typedef {import('./problem.js').Case} Case */
/**
 * @typedef {object} Contestant
 * @property {string} name
 * @property {string} title
 * @property {'relaxed' | 'simd128'} [simd] ours: the variant
 * @property {number} threads
 * @property {(c: Case) => Float32Array | Promise<Float32Array>} prepare returns the layer's output
 * @property {(budgetMs: number) => number | Promise<number>} time milliseconds of a call of what was prepared
 */

const BENCH = new URL('../../tests/bench/', import.meta.url).href;

/** @implements {Contestant} */
class Ours {
    /**
     * @param {'relaxed' | 'simd128'} simd
     * @param {number} threads
     * @param {import('../../js/engine/runtime.js').Runtime} runtime
     */
    constructor(simd, threads, runtime) {
        this.name = `${simd} ${threads}`;
        this.title = `${simd}, ${threadsTitle(threads)}`;
        this.simd = simd;
        this.threads = threads;
        this.runtime = runtime;
        this.layer = makeLayer(runtime);
        /** @type {() => Float32Array} */
        this.run = () => new Float32Array(0);
    }

    /** @param {Case} c */
    prepare(c) {
        this.cache?.dispose();
        this.cache = makeCache(this.runtime, c);
        const x = { shape: [1, c.t, DIM], data: makeInput(c) };
        const options = { cache: this.cache, cacheUpdateIndex: c.s - c.t, useCausalMask: c.kind === 'prefill' };
        this.run = () => /** @type {Float32Array} */ (this.layer.callSync(x, x, options).attentionOutput.data);
        return this.run();
    }

    /** @param {number} budgetMs */
    time(budgetMs) {
        const end = performance.now() + budgetMs;
        return medianTime(this.run, (passes) => passes === 0 || performance.now() < end);
    }
}

/** @implements {Contestant} */
class Peer {
    /** @type {Case | null} */
    #case = null;

    /** @param {string} title @param {number} threads */
    constructor(title, threads) {
        this.name = `${title} ${threads}`;
        this.title = `${title}, ${threadsTitle(threads)}`;
        this.threads = threads;
        this.worker = new Worker(`${BENCH}contestants/page-host.js`);
    }

    /** @param {object} message @returns {Promise<any>} */
    ask(message) {
        return new Promise((resolve, reject) => {
            this.worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data.value));
            this.worker.onerror = () => reject(new Error(`${this.title}: its worker does not start`));
            this.worker.postMessage(message);
        });
    }

    /** @param {Case} c @returns {Promise<Float32Array>} */
    prepare(c) {
        this.#case = c;
        return this.ask({ method: 'prepare', args: [c] });
    }

    /** @param {number} budgetMs */
    async time(budgetMs) {
        return (await this.ask({ method: 'time', args: [this.#case, budgetMs] })).median;
    }
}

/**
 * Every variant that this engine has, with one thread and, where memory can be shared, with two.
 * @param {(text: string) => void} tell what could not be had
 * @returns {Promise<Contestant[]>}
 */
export async function makeOurs(tell) {
    const ours = [];
    const [wasm, worker] = ['../../dist/wasm/', '../vendor/worker.js'].map((path) => new URL(path, import.meta.url));
    for (const simd of /** @type {const} */ (['relaxed', 'simd128'])) {
        for (const threads of crossOriginIsolated ? [1, 2] : [1]) {
            try {
                ours.push(new Ours(simd, threads, await createRuntime({ simd, workers: threads - 1, wasm, worker })));
            } catch (error) {
                tell(`Without ${simd}: ${error instanceof Error ? error.message : error}`);
            }
        }
    }
    return ours;
}

/**
 * onnxruntime-web and TensorFlow.js, with as many threads as they make here.
 * @param {(text: string) => void} tell what could not be had
 * @returns {Promise<Contestant[]>}
 */
export async function makePeers(tell) {
    const ort = `${BENCH}node_modules/onnxruntime-web/dist/ort.wasm.bundle.min.mjs`;
    const core = `${BENCH}node_modules/@tensorflow/tfjs-core/dist/tf-core.min.js`;
    const folder = `${BENCH}node_modules/@tensorflow/tfjs-backend-wasm/dist/`;
    const starts = (/** @type {number} */ threads) => ({
        'onnxruntime-web': { module: './ort.js', options: { threads, from: ort }, scripts: [] },
        'TensorFlow.js': {
            module: './tfjs.js', options: { threads, folder }, scripts: [core, `${folder}tf-backend-wasm.min.js`],
        },
    });
    const peers = [];
    for (const title of /** @type {const} */ (['onnxruntime-web', 'TensorFlow.js'])) {
        for (const threads of crossOriginIsolated ? [1, 2] : [1]) {
            const peer = new Peer(title, threads);
            try {
                await peer.ask(starts(threads)[title]);
                peers.push(peer);
            } catch (error) {
                peer.worker.terminate();
                tell(`Without ${peer.title}: ${error instanceof Error ? error.message : error}`);
            }
        }
    }
    return peers;
}
