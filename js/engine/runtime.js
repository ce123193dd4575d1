// Runtime: one memory, one pool of workers, and the line of the jobs that use them.

import { wrappedError } from '../check.js';
import { Line } from './line.js';
import { printAs } from './print.js';
import { Results } from './results.js';
import { Tensor } from './tensor.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @template T @typedef {import('./line.js').Job<T>} Job */
/** @typedef {import('./pool.js').Pool} Pool */
/** @typedef {import('./tensor.js').Held} Held */
/** @typedef {import('./wasm.js').Exports} Exports */

/**
 * What runtime.explain() says.
 * @typedef {object} Explanation
 * @property {'relaxed' | 'simd128'} variant  the binary in use
 * @property {string} simd  why this variant was chosen
 * @property {number} byteProducts  how many products of quantized weights one instruction of the engine adds up: 4, 2, or 0 where
 *   bytes have to be widened first. It decides the speed; the results are the same
 * @property {'shared' | 'private'} memory  whether workers can share the memory
 * @property {number} workers  workers that are running now
 * @property {number} threads  threads that compute: the workers, and the calling thread where it may block
 * @property {number} bytesInUse  bytes that weights, caches, tensors, stacks and a running call take
 * @property {number} bytesUnread  bytes that results take, on top of those, until they are read; bounded, and freed when needed
 * @property {number} bytesSpare  bytes that are kept, on top of those, as scratch space for the next call; freed when needed
 * @property {number} bytesReserved  bytes that the memory has grown to
 * @property {number} maxMemory  bytes that it may grow to
 * @property {string[]} fallbacks  what was wanted and could not be had, and why
 */

/**
 * structuredClone() and postMessage() cannot copy a function and show the one that they met in their error: so this one, the
 * first property of a runtime, which all that is made on a runtime refers to, is the message.
 */
const STAYS = () => 'A runtime and what is made on it stay on their thread; to pass a Tensor on, pass its toJSON(), or its shape and data';

/** What createRuntime() returns. One runtime = one memory and one pool of workers, shared by all that is made on it. */
export class Runtime {
    /** The first property, so that it is the first that an attempt to copy meets. */
    _stays = STAYS;
    #pool;
    #line;
    #facts;
    #disposed = false;

    /**
     * @param {{ memory: Memory, wasm: Exports, pool: Pool, variant: 'relaxed' | 'simd128', reason: string,
     *   fallbacks: string[] }} parts
     */
    constructor({ memory, wasm, pool, variant, reason, fallbacks }) {
        this.memory = memory;
        this.wasm = wasm;
        this.#pool = pool;
        this.#facts = { variant, simd: reason, fallbacks };
        this._results = new Results(memory);
        this.#line = new Line(this, pool);
        memory.onPressure = () => this._results.evict(this.#line.serial) || this.#line.giveBack();
    }

    /** Whether a call computes before it returns, so that nobody can change its inputs in between. */
    get _blocks() {
        return this.#line.blocks;
    }

    /** Threads that may join a program. */
    get threads() {
        return this.#pool.threads;
    }

    /** Whether dispose() has been called. */
    get disposed() {
        Runtime.#itself(this);
        return this.#disposed;
    }

    /**
     * What this runtime runs on, and why.
     * @returns {Explanation}
     * @throws {Error} after dispose()
     */
    explain() {
        Runtime.#itself(this);
        this._checkOpen('Runtime');
        const { memory } = this;
        const { variant, simd, fallbacks } = this.#facts;
        const { workers, inline } = this.#pool;
        const spare = this.#line.spareBytes;
        return {
            variant,
            simd,
            byteProducts: this.wasm.cmha_byte_products(),
            memory: memory.shared ? 'shared' : 'private',
            workers,
            threads: inline ? workers + 1 : workers,
            bytesInUse: memory.used - this._results.bytes - spare,
            bytesUnread: this._results.bytes,
            bytesSpare: spare,
            bytesReserved: memory.reserved,
            maxMemory: memory.max,
            fallbacks: [...fallbacks, ...this.#pool.notes],
        };
    }

    /**
     * Ends the workers and frees everything. What was made on the runtime counts as disposed from then on, pending
     * calls reject. A second time does nothing.
     */
    dispose() {
        Runtime.#itself(this);
        if (this.#disposed) {
            return;
        }
        this.#disposed = true;
        this.#line.close();
    }

    /** After dispose(): a tensor that somebody still holds must not keep 4 GiB of address space alive. */
    _letGo() {
        this.memory = /** @type {any} */ (null);
        this.wasm = /** @type {any} */ (null);
        this._results = /** @type {any} */ (null);
    }

    /** For `using`. */
    [Symbol.dispose]() {
        this.dispose();
    }

    /** Are calls pending, so that inputs of a new one must be captured? */
    get _busy() {
        return this.#line.busy;
    }

    /**
     * Records, runs and finishes a job: see Line.
     * @template T
     * @param {Job<T>} job
     * @returns {T}
     */
    _runSync(job) {
        return this.#line.runSync(job);
    }

    /**
     * The same as a promise.
     * @template T
     * @param {Job<T>} job
     * @param {AbortSignal | null} [signal] cuts the job short: the promise rejects with its reason
     * @returns {Promise<T>}
     */
    _run(job, signal) {
        return this.#line.run(job, signal);
    }

    /**
     * Runs a job that records no operations, on the calling thread, wherever that is.
     * @template T
     * @param {string} what  names what is done, for the error when calls are pending
     * @param {Job<T>} job
     * @returns {T}
     */
    _runHere(what, job) {
        this._assertIdle(what);
        return this.#line.runNow(job);
    }

    /**
     * What a call keeps of an input: the input itself if it is read at once, a copy if the call has to wait in line.
     * @param {Held} tensor
     * @returns {Held}
     */
    _capture(tensor) {
        return this._busy ? Tensor._snapshot(this, tensor) : tensor;
    }

    /**
     * @param {string} what  names what is about to read or write memory that pending calls may use
     * @throws {Error} while calls are pending
     */
    _assertIdle(what) {
        this.#line.finishParts();
        if (this._busy) {
            throw new Error(`${what}: calls are pending on this runtime; wait for them first`);
        }
    }

    /**
     * @param {string} what  names the object that is used
     * @throws {Error} after dispose(), and when the workers have failed
     */
    _check(what) {
        Runtime.#itself(this);
        this._checkOpen(what);
        if (this.#pool.error) {
            throw this.#pool.error;
        }
    }

    /**
     * Frees a block of memory as soon as no job can use it: neither the one at hand nor those in line now.
     * @param {number} address  0: nothing to free
     */
    _free(address) {
        this.#line.free(address);
    }

    /** @param {object} object @throws {TypeError} unless it is a runtime, not a Proxy around one */
    static #itself(object) {
        if (!(#disposed in object)) {
            throw wrappedError('runtime');
        }
    }

    /** @param {string} what @throws {Error} after dispose() */
    _checkOpen(what) {
        if (this.#disposed) {
            throw new Error(`${what}: the runtime has been disposed`);
        }
    }
}

printAs(Runtime, 'Runtime', (runtime) => (runtime.disposed ? null : runtime.explain()));
