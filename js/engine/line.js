// Line: the queue of a runtime's jobs, which run one after the other. Where the thread may block, a job has run when its call
// returns; with a signal it runs in parts of a few milliseconds, between which the thread can hear of an abort. On a page's main
// thread jobs wait for those before them. Memory that is freed meanwhile is given back once no job can use it.

import { Program } from './program.js';
import { otherTasks } from './threads.js';

/** @typedef {import('./pool.js').Pool} Pool */
/** @typedef {import('./runtime.js').Runtime} Runtime */

/**
 * A piece of work. It may have to wait in line, and what it uses may be disposed of meanwhile: `check`, called right
 * before `record`, throws if any of it has been. `record` describes the work as a program (and may call C directly), `finish`
 * makes the result once the program has run, `undo` takes back what a program has written that did not run to its end. Each is
 * called while nothing else runs. What is disposed of between them keeps its memory until the job is done.
 * @template T
 * @typedef {{ check(): void, record(program: Program): void, finish(): T, undo?(): void }} Job
 */

/**
 * A job in line, or at work; `ticket` counts them, `unlisten` ends the wait for its abort.
 * @typedef {{ job: Job<any>, ticket: number, resolve: (value: any) => void, reject: (error: any) => void,
 *   signal?: AbortSignal | null, unlisten?: () => void }} Entry
 */

export class Line {
    #runtime;
    #pool;
    #program;
    #closed = false;
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

    /** @param {Runtime} runtime @param {Pool} pool */
    constructor(runtime, pool) {
        this.#runtime = runtime;
        this.#pool = pool;
        this.#program = new Program(runtime);
    }

    /** Whether a call computes before it returns, so that nobody can change its inputs in between. */
    get blocks() {
        return this.#pool.inline && this.#inParts === null;
    }

    /** Are calls pending, so that inputs of a new one must be captured? */
    get busy() {
        return this.#pool.inline ? this.#inParts !== null : this.#active || this.#queue.length > 0;
    }

    /** Serial number of the program that is being recorded or run, whose inputs must not be moved; 0: there is none. */
    get serial() {
        return this.#active ? this.#program.serial : 0;
    }

    /** Bytes of scratch space that are kept for the next call. */
    get spareBytes() {
        return this.#program.spareBytes;
    }

    /** Frees those, and what was kept because a lost worker might have written to it. @returns {boolean} whether anything was freed */
    giveBack() {
        return this.#program._giveBack() || (!this.#active && this.#freeDeferred());
    }

    /** Rejects the call that runs, and those in line; the runtime lets go of its memory once nobody is in a program any more. */
    close() {
        this.#closed = true;
        this.#pool.dispose(); // rejects the call that runs, and by that those in line
        if (this.#inParts) {
            this.#endParts({ error: this.#pool.error });
        } else if (!this.#active) {
            this.#letGo();
        }
    }

    /** The job at hand is done by then. */
    #letGo() {
        this.#deferred.length = 0;
        this.#program = /** @type {any} */ (null);
        this.#runtime._letGo();
    }

    /**
     * Records, runs and finishes a job. It allocates nothing on the JavaScript heap itself.
     * @template T
     * @param {Job<T>} job
     * @returns {T}
     * @throws {Error} where the thread must not block and there are workers; what record and finish throw; when the
     *   pool fails
     */
    runSync(job) {
        if (!this.#pool.inline) {
            throw new Error('callSync: a page\'s main thread must not wait for workers; use call(), a worker, '
                + 'or a runtime with workers: 0');
        }
        this.finishParts();
        return this.runNow(job);
    }

    /**
     * The same as a promise. On a thread that must not block, jobs wait in line. Elsewhere the job has run on return; with a signal
     * it runs in parts, between which the thread hears of an abort. Another call meanwhile first runs it to its end.
     * @template T
     * @param {Job<T>} job
     * @param {AbortSignal | null} [signal] cuts the job short: the promise rejects with its reason
     * @returns {Promise<T>}
     */
    run(job, signal) {
        if (this.#pool.inline && !signal) {
            return this.#runHere(job);
        }
        return new Promise((resolve, reject) => {
            signal?.throwIfAborted();
            this.#runtime._check('Runtime');
            if (this.#inParts === null) this.#checkNested();
            /** @type {Entry} */
            const entry = { job, ticket: ++this.#lastTicket, resolve, reject, signal };
            if (signal) {
                const onAbort = () => this.#abort(entry);
                entry.unlisten = () => signal.removeEventListener('abort', onAbort);
                signal.addEventListener('abort', onAbort);
            }
            this.#queue.push(entry);
            this.#next();
        });
    }

    /**
     * @template T
     * @param {Job<T>} job
     * @returns {Promise<T>}
     */
    async #runHere(job) {
        const value = this.runSync(job);
        await null;
        // If the runtime has been disposed of meanwhile the promise rejects, as it does elsewhere: the result could not be read.
        this.#runtime._checkOpen('Runtime');
        return value;
    }

    /** @param {Entry} entry in line or at work */
    #abort(entry) {
        const at = this.#queue.indexOf(entry);
        if (at >= 0) {
            this.#queue.splice(at, 1);
            entry.reject(reasonOf(entry, ABORTED));
        } else if (this.#inParts === entry) {
            this.#pool.stop();
            this.#endParts({ error: ABORTED });
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

    /** Runs what is running in parts, and what waits behind it, to the end: the thread is needed for something else. */
    finishParts() {
        while (this.#inParts) this.#endsInParts();
    }

    /** @param {{ error: unknown } | null} problem null: it has run to its end */
    #endParts(problem) {
        const entry = /** @type {Entry} */ (this.#inParts);
        this.#inParts = null;
        this.#leave(entry, problem);
        this.#next();
    }

    /**
     * Frees a block of memory as soon as no job can use it: neither the one at hand nor those in line now, nor a worker that was
     * lost in one before.
     * @param {number} address  0: nothing to free
     */
    free(address) {
        if (address === 0 || this.#closed) {
            return;
        }
        if (this.#active || this.#queue.length > 0 || this.#pool.lingers) {
            this.#deferred.push(address, this.#lastTicket);
        } else {
            this.#runtime.memory.free(address);
        }
    }

    /** The job at hand is done with. */
    #rest() {
        this.#active = false;
        if (this.#closed) {
            this.#letGo();
        } else {
            this.#freeDeferred();
        }
    }

    /**
     * While no job is at hand: frees what those in line cannot use.
     * @returns {boolean} whether anything was freed
     */
    #freeDeferred() {
        if (this.#deferred.length === 0 || this.#pool.lingers) {
            return false; // a worker that was lost may still write there: later
        }
        const next = this.#queue[0]?.ticket ?? Infinity;
        // Tickets only ever rise along the list.
        let n = 0;
        while (n < this.#deferred.length && this.#deferred[n + 1] < next) {
            this.#runtime.memory.free(this.#deferred[n]);
            n += 2;
        }
        if (n > 0) {
            this.#deferred.splice(0, n);
        }
        return n > 0;
    }

    /** @throws {Error} within a call that the calling thread runs itself */
    #checkNested() {
        if (this.#pool.inline && this.#active) {
            throw new Error('a call was made from within another call of the same runtime');
        }
    }

    /**
     * @template T
     * @param {Job<T>} job
     * @returns {T}
     */
    runNow(job) {
        this.#runtime._check('Runtime');
        this.#checkNested();
        job.check();
        this.#active = true;
        try {
            job.record(this.#program);
            this.#pool.run(this.#program);
            return this.#finish(job);
        } catch (error) {
            this.#undo(job);
            throw error;
        } finally {
            this.#rest();
        }
    }

    /**
     * The program has run.
     * @template T
     * @param {Job<T>} job
     * @returns {T}
     */
    #finish(job) {
        this.#runtime._checkOpen('Runtime');
        const value = job.finish();
        if (!this.#closed) this.#program._complete(); // the job may have disposed of the runtime
        return value;
    }

    /** The program has not run, or not to its end. @param {Job<any>} job */
    #undo(job) {
        if (this.#closed) return;
        job.undo?.();
        this.#program._abandon(this.#pool.lingers);
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
            this.#runtime._check('Runtime');
            entry.job.check();
            entry.job.record(program);
            if (!byParts) {
                this.#post(program, entry);
                return;
            }
            if (program.count > 0) this.#pool.begin(program);
        } catch (error) {
            this.#inParts = null;
            this.#leave(entry, { error });
            return;
        }
        if (program.count > 0) this.#advance(entry);
        else this.#endParts(null);
    }

    /** @param {Program} program @param {Entry} entry */
    #post(program, entry) {
        this.#pool.post(program, (error) => {
            this.#leave(entry, error && { error });
            this.#next();
        });
    }

    /**
     * Ends the active job.
     * @param {Entry} entry
     * @param {{ error: unknown } | null} problem  null: the program has run
     */
    #leave(entry, problem) {
        const { job, resolve, reject, unlisten } = entry;
        let failure = problem && { error: reasonOf(entry, problem.error) };
        let value;
        if (failure === null) {
            try {
                unlisten?.();
                value = this.#finish(job);
            } catch (error) {
                failure = { error };
            }
        }
        if (failure !== null) this.#undo(job);
        this.#rest();
        if (failure === null) {
            resolve(value);
        } else {
            reject(failure.error);
        }
    }
}

/** Why a call ends whose signal does not say. */
const ABORTED = new Error('the call has been aborted');

/**
 * A signal may be anything of the caller's: whatever it does, the call is settled.
 * @param {Entry} entry that is not waited for any more
 * @param {unknown} error
 * @returns {unknown} what its promise rejects with
 */
function reasonOf({ signal, unlisten }, error) {
    try {
        unlisten?.();
        return signal?.aborted ? signal.reason : error;
    } catch (thrown) {
        return thrown;
    }
}
