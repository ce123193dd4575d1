// Runtime: one memory, one pool of workers, and the order in which calls use them.

import { wrappedError } from '../check.js';
import { printAs } from './print.js';
import { Program } from './program.js';
import { Results } from './results.js';
import { Tensor } from './tensor.js';
import { otherTasks } from './threads.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./pool.js').Pool} Pool */
/** @typedef {import('./tensor.js').Held} Held */
/** @typedef {import('./wasm.js').Exports} Exports */

/**
 * What runtime.explain() says.
 * @typedef {object} Explanation
 * @property {'relaxed' | 'simd128'} variant  the binary in use
 * @property {string} simd  why this variant
 * @property {'shared' | 'private'} memory
 * @property {number} workers  that are at work
 * @property {number} threads  that compute: the workers, and the calling thread where it may block
 * @property {number} bytesInUse  by what lives in the memory: weights, caches, tensors, stacks, a call that runs
 * @property {number} bytesUnread  besides those by results that nobody has read; bounded, and given up when needed
 * @property {number} bytesSpare  besides those, kept as room for the next call; given up when needed
 * @property {number} bytesReserved  that the memory has grown to
 * @property {number} maxMemory  that it may grow to
 * @property {string[]} fallbacks  what could not be had, and why
 */

/**
 * A piece of work. It may have to wait in line, and what it uses may be disposed of meanwhile: `check`, called right
 * before `record`, throws if any of it has been. `record` describes the work as a program (and may use the exports
 * directly), `finish` makes the result once it has run, `undo` makes good what a program has written that did not run to
 * its end; each is called while nothing else runs. What is disposed of between them keeps its memory until the job is done.
 * @template T
 * @typedef {{ check(): void, record(program: Program): void, finish(): T, undo?(): void }} Job
 */

/**
 * A job in line, or at work; `ticket` counts them, `unlisten` ends the wait for its abort.
 * @typedef {{ job: Job<any>, ticket: number, resolve: (value: any) => void, reject: (error: any) => void,
 *   signal?: AbortSignal, unlisten?: () => void }} Entry
 */

/**
 * structuredClone() and postMessage() cannot copy a function, and print the one that they have come to: this one, in all that
 * is made on a runtime.
 */
const STAYS = () => 'A runtime and what is made on it stay on their thread; to pass a Tensor on, pass its toJSON(), or its shape and data';

/** What createRuntime() returns. One runtime = one memory and one pool of workers, shared by all that is made on it. */
export class Runtime {
    /** First of all, so that whoever copies a runtime, or what is made on one, meets it before anything else. */
    _stays = STAYS;
    #pool;
    #program;
    #facts;
    #disposed = false;
    /** A program is being recorded or run. */
    #active = false;
    /** Calls that wait for their turn, on a thread that must not block. @type {Entry[]} */
    #queue = [];
    #advancing = false;
    /** What runs by parts, on a thread that takes part but has to hear of its abort. @type {Entry | null} */
    #inParts = null;
    /** Ticket of the entry that came last, in line or not any more. */
    #lastTicket = 0;
    /**
     * Blocks to be freed, each followed by the ticket of the last job that may use it: whoever was in line then may
     * have kept the address. @type {number[]}
     */
    #deferred = [];

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
        this.#program = new Program(this);
        memory.onPressure = () => this._results.evict(this.#active ? this.#program.serial : 0)
            || this.#program._giveBack();
    }

    /** Whether what is recorded now has been computed when the call returns, so that nobody can change what it reads. */
    get _blocks() {
        return this.#pool.inline && this.#inParts === null;
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
        this.#checkOpen('Runtime');
        const { memory } = this;
        const { variant, simd, fallbacks } = this.#facts;
        const { workers, inline } = this.#pool;
        const spare = this.#program.spareBytes;
        return {
            variant,
            simd,
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
        this.#pool.dispose(); // rejects the call that runs, and by that those in line
        if (this.#inParts) {
            this.#endParts({ error: this.#pool.error });
        } else if (!this.#active) {
            this.#letGo();
        }
    }

    /** Whoever still holds a tensor must not keep 4 GiB of address space with it. The job at hand is done by then. */
    #letGo() {
        this.#deferred.length = 0;
        this.memory = /** @type {any} */ (null);
        this.wasm = /** @type {any} */ (null);
        this._results = /** @type {any} */ (null);
        this.#program = /** @type {any} */ (null);
    }

    /** For `using`. */
    [Symbol.dispose]() {
        this.dispose();
    }

    /** Are calls pending, so that inputs of a new one must be captured? */
    get _busy() {
        return this.#pool.inline ? this.#inParts !== null : this.#active || this.#queue.length > 0;
    }

    /**
     * Records, runs and finishes a job. Nothing is left on the JavaScript heap by this itself.
     * @template T
     * @param {Job<T>} job
     * @returns {T}
     * @throws {Error} where the thread must not block and there are workers; what record and finish throw; when the
     *   pool fails
     */
    _runSync(job) {
        if (!this.#pool.inline) {
            throw new Error('callSync: a page\'s main thread must not wait for workers; use call(), a worker, '
                + 'or a runtime with workers: 0');
        }
        this.#finishParts();
        return this.#runNow(job);
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
        return this.#runNow(job);
    }

    /**
     * The same as a promise. On a thread that must not block jobs wait in line; elsewhere it is done on return, or with a
     * signal runs by parts, between which the thread hears of an abort. What is called meanwhile has it done at once.
     * @template T
     * @param {Job<T>} job
     * @param {AbortSignal} [signal] cuts the job short: the promise rejects with its reason
     * @returns {Promise<T>}
     */
    _run(job, signal) {
        if (signal) {
            return this.#runWithSignal(job, signal);
        }
        if (this.#pool.inline) {
            try {
                return Promise.resolve(this._runSync(job));
            } catch (error) {
                return Promise.reject(error);
            }
        }
        return new Promise((resolve, reject) => {
            this._check('Runtime');
            this.#queue.push({ job, ticket: ++this.#lastTicket, resolve, reject });
            this.#next();
        });
    }

    /**
     * @template T
     * @param {Job<T>} job
     * @param {AbortSignal} signal
     * @returns {Promise<T>}
     */
    #runWithSignal(job, signal) {
        return new Promise((resolve, reject) => {
            signal.throwIfAborted();
            this._check('Runtime');
            if (this.#inParts === null) this.#checkNested();
            const onAbort = () => this.#abort(entry);
            /** @type {Entry} */
            const entry = {
                job, ticket: ++this.#lastTicket, resolve, reject, signal,
                unlisten: () => signal.removeEventListener('abort', onAbort),
            };
            signal.addEventListener('abort', onAbort);
            this.#queue.push(entry);
            this.#next();
        });
    }

    /** @param {Entry} entry in line or at work */
    #abort(entry) {
        const at = this.#queue.indexOf(entry);
        if (at >= 0) {
            this.#queue.splice(at, 1);
            entry.unlisten?.();
            entry.reject(entry.signal?.reason);
        } else if (this.#inParts === entry) {
            this.#pool.stop();
            this.#endParts({ error: entry.signal?.reason });
        } else {
            this.#pool.stopPosted();
        }
    }

    /** Goes on with a job, part by part, until it is done or somebody else has seen to it. @param {Entry} entry */
    async #advance(entry) {
        while (this.#inParts === entry && !this.#endsInParts()) {
            await otherTasks();
        }
    }

    /** One part. @returns {boolean} whether it was the last */
    #endsInParts() {
        let problem = null;
        try {
            if (!this.#pool.advance()) return false;
        } catch (error) {
            problem = { error };
        }
        this.#endParts(problem);
        return true;
    }

    /** Nobody waits for what runs by parts, or in line behind it, while the thread is wanted: it is done at once. */
    #finishParts() {
        while (this.#inParts) this.#endsInParts();
    }

    /** @param {{ error: unknown } | null} problem null: it has run to its end */
    #endParts(problem) {
        const entry = /** @type {Entry} */ (this.#inParts);
        this.#inParts = null;
        this.#leave(this.#program, entry, problem);
        this.#next();
    }

    /**
     * What a call keeps of an input: the input itself if it is read at once, a copy of it as it is now if the call has
     * to wait in line.
     * @param {Held} tensor
     * @returns {Held}
     */
    _capture(tensor) {
        return this._busy ? Tensor._snapshot(this, tensor) : tensor;
    }

    /**
     * @param {string} what  names what is to be done, which writes or reads memory that pending calls may use
     * @throws {Error} while calls are pending
     */
    _assertIdle(what) {
        this.#finishParts();
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
        this.#checkOpen(what);
        if (this.#pool.error) {
            throw this.#pool.error;
        }
    }

    /**
     * Frees a block of memory as soon as no job can use it: neither the one at hand nor those in line now.
     * @param {number} address  0: nothing to free
     */
    _free(address) {
        if (address === 0 || this.#disposed) {
            return;
        }
        if (this.#active || this.#queue.length > 0) {
            this.#deferred.push(address, this.#lastTicket);
        } else {
            this.memory.free(address);
        }
    }

    /**
     * The job at hand is done with.
     * @param {number} ticket  of it
     */
    #rest(ticket) {
        this.#active = false;
        if (this.#disposed) {
            this.#letGo();
            return;
        }
        if (this.#deferred.length === 0 || this.#pool.lingers) {
            return; // a worker that was lost may still write there: later
        }
        // Tickets only ever rise along the list.
        let n = 0;
        while (n < this.#deferred.length && this.#deferred[n + 1] <= ticket) {
            this.memory.free(this.#deferred[n]);
            n += 2;
        }
        if (n > 0) {
            this.#deferred.splice(0, n);
        }
    }

    /** @throws {Error} within a call that the calling thread runs itself */
    #checkNested() {
        if (this.#pool.inline && this.#active) {
            throw new Error('a call was made from within another call of the same runtime');
        }
    }

    /** @param {object} object @throws {TypeError} unless it is a runtime, not a Proxy around one */
    static #itself(object) {
        if (!(#disposed in object)) {
            throw wrappedError('runtime');
        }
    }

    /** @param {string} what */
    #checkOpen(what) {
        if (this.#disposed) {
            throw new Error(`${what}: its runtime has been disposed`);
        }
    }

    /**
     * @template T
     * @param {Job<T>} job
     * @returns {T}
     */
    #runNow(job) {
        this._check('Runtime');
        this.#checkNested();
        job.check();
        this.#active = true;
        const program = this.#program;
        try {
            job.record(program);
            this.#pool.run(program);
            this.#checkOpen('Runtime');
            const value = job.finish();
            this.#complete(program);
            return value;
        } catch (error) {
            if (!this.#disposed) job.undo?.();
            this.#abandon(program);
            throw error;
        } finally {
            this.#rest(this.#lastTicket);
        }
    }

    /** @param {Program} program  that has run, and whose job may have disposed of the runtime */
    #complete(program) {
        if (!this.#disposed) {
            program._complete();
        }
    }

    /** @param {Program} program */
    #abandon(program) {
        if (!this.#disposed) {
            program._abandon(this.#pool.lingers);
        }
    }

    /** Starts what is next in line, until something takes time. */
    #next() {
        if (this.#advancing) {
            return; // called from below: the loop goes on by itself
        }
        this.#advancing = true;
        while (!this.#active && this.#queue.length > 0) {
            this.#start(/** @type {Entry} */ (this.#queue.shift()));
        }
        this.#advancing = false;
    }

    /** @param {Entry} entry */
    #start(entry) {
        const program = this.#program;
        const byParts = this.#pool.inline;
        this.#active = true;
        this.#inParts = byParts ? entry : null;
        try {
            this._check('Runtime');
            entry.job.check();
            entry.job.record(program);
            if (!byParts) {
                this.#post(program, entry);
                return;
            }
            if (program.count > 0) this.#pool.begin(program);
        } catch (error) {
            this.#inParts = null;
            this.#leave(program, entry, { error });
            return;
        }
        if (program.count > 0) this.#advance(entry);
        else this.#endParts(null);
    }

    /** @param {Program} program @param {Entry} entry */
    #post(program, entry) {
        this.#pool.post(program, (error) => {
            const aborted = entry.signal?.aborted;
            this.#leave(program, entry, error && { error: aborted ? entry.signal?.reason : error });
            this.#next();
        });
    }

    /**
     * Ends the active job.
     * @param {Program} program
     * @param {Entry} entry
     * @param {{ error: unknown } | null} problem  null: the program has run
     */
    #leave(program, { job, ticket, resolve, reject, unlisten }, problem) {
        let failure = problem;
        let value;
        unlisten?.();
        if (failure === null) {
            try {
                this.#checkOpen('Runtime');
                value = job.finish();
                this.#complete(program);
            } catch (error) {
                failure = { error };
            }
        }
        if (failure !== null) {
            if (!this.#disposed) job.undo?.();
            this.#abandon(program);
        }
        this.#rest(ticket);
        if (failure === null) {
            resolve(value);
        } else {
            reject(failure.error);
        }
    }
}

printAs(Runtime, 'Runtime', (runtime) => (runtime.disposed ? null : runtime.explain()));
