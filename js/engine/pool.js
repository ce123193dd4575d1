// The pool: programs are run by the workers (crew.js) and the calling thread, by way of the control block (control.js).
//
// A program is armed with a fresh epoch, published in control->epoch, and run by every thread that wakes in time. The
// calling thread takes part if it may block; on a page's main thread it does not, and the worker that completes the
// last task posts a message. Nobody is waited for by name: a worker that is late or gone has claimed nothing, so only
// one that dies while it holds a task can hold anything up. That is noticed in three ways, whichever comes first:
//
//   - it trapped: it has set control->failed and left a report;
//   - the platform says so (Node: exit and error events; browsers: error events);
//   - nothing completes for STALL_SLICES * SLICE_MS: cmha_program_run gives up, or the timer that runs here while calls
//     are pending that nobody blocks on.
//
// In each case the program at hand is revoked: its claims are taken away, so that nobody begins a task of it any more,
// those that wait for others give up, and once all workers that live have left it its call gets a WorkerLostError. The
// worker is dismissed (LIFE in protocol.js) and a new one started in its place, a few times; then the pool goes on with
// fewer. Where a worker that was dismissed may still be in the middle of a task, `lingers` says so: what the program
// wrote to must not be used again until it is not.
//
// Only a trap of the calling thread itself fails the pool for good: its stack is left as it was.
//
// A program too small to be worth a wake-up is run by the calling thread alone: its epoch is never published, so the
// workers sleep on. The bits are the same: tasks are cut by shape, whoever runs them.

import { RUN, SLICE_MS, STALL_SLICES } from './interface.js';
import { Control, STALL_MS } from './control.js';
import { Crew } from './crew.js';
import { WorkerLostError } from './lost.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./program.js').Program} Program */
/** @typedef {import('./wasm.js').Exports} Exports */

/** Multiply-adds below which a program is run by the caller alone: waking and joining costs tens of microseconds. */
const WAKE_WORK = 400_000;

/** The reason that is given when nobody reported an error. */
const STALL_REASON = `no task was completed for ${STALL_MS} ms: `
    + 'a worker died or was stopped in the middle of one';

/**
 * How long the workers may take to leave a revoked program after one of them has been lost: each has one task to complete at
 * most. After an abort, where nothing speaks against them, they have STALL_MS.
 */
const LEAVE_MS = 250;

/** How often the pool looks whether they have left. */
const LOOK_MS = 1;

/** About how long a part is that the calling thread runs at a time; multiply-adds of the first part, and of any at least. */
const PART_MS = 3;
const FIRST_BUDGET = 4_000_000;
const LEAST_BUDGET = 10_000;

/**
 * @typedef {object} PoolOptions
 * @property {Memory} memory
 * @property {WebAssembly.Module} module
 * @property {Exports} wasm  the calling thread's instance
 * @property {number} workers
 * @property {number} processors
 * @property {boolean} mayBlock  may the calling thread block, and so take part?
 * @property {import('./spawn.js').WorkerSource} [script]  instead of js/engine/worker.js
 * @property {number} [startTimeout]  ms, for tests
 */

/** Threads, and how programs reach them. With no workers the calling thread runs everything, by the same steps. */
export class Pool {
    #mayBlock;
    #wanted;
    #control;
    #crew;
    #budget = FIRST_BUDGET;
    #closed = false;
    /** Why the pool takes no more programs. @type {Error | null} */
    error = null;
    /** Settles the call whose program the workers are running while nobody blocks. @type {((error: Error | null) => void) | null} */
    #pending = null;
    #pendingEpoch = 0;
    /** @type {Program | null} */
    #pendingProgram = null;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    #timer;
    #lastProgress = 0;
    /** Slices of SLICE_MS in a row in which no task of the pending program was completed; at STALL_SLICES it is revoked. */
    #slices = 0;
    /** Why the pending program has been revoked. @type {Error | null} */
    #revoked = null;
    /** How many more times the pool looks whether workers have left the revoked program. */
    #looks = 0;

    /** @param {PoolOptions} options */
    constructor({ memory, module, wasm, workers, processors, mayBlock, script, startTimeout }) {
        this.#mayBlock = mayBlock;
        this.#wanted = workers;
        /** Whether the calling thread takes part, so that a call has finished when it returns. */
        this.inline = mayBlock || workers === 0;
        /** Threads that may join a program. The dispatcher always counts: it runs small ones itself. */
        this.threads = workers + 1;
        this.#control = new Control(memory, wasm, { threads: this.threads, processors: this.inline ? processors - 1 : processors });
        this.#crew = new Crew({
            memory, module, control: this.#control, reportsDone: !mayBlock, script, startTimeout,
            onDone: (epoch) => {
                if (epoch === this.#pendingEpoch) this.#settle(null);
            },
            onLost: (reason, held) => this.#seeLoss(reason, held),
        });
    }

    /** Workers that programs can count on now. */
    get workers() {
        return this.#crew.count;
    }

    /** What could not be had again, and why. */
    get notes() {
        return this.#crew.notes;
    }

    /** Whether a worker that has been lost may still write to the memory of the program that it was lost in. */
    get lingers() {
        return this.#crew.lingers;
    }

    /**
     * Starts the workers and waits until each has said that it is ready.
     * @throws {Error} naming the worker and the reason when one does not start; none is left running then
     * @throws {RangeError} when the memory has no room for their stacks
     */
    async start() {
        try {
            await this.#crew.start(this.#wanted);
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /**
     * Runs a program to its end; the calling thread takes part.
     * @param {Program} program
     * @throws {Error} when the pool has failed, before or now
     */
    run(program) {
        if (program.count > 0) {
            this.begin(program);
            this.#join(Infinity);
        }
    }

    /**
     * Has the workers begin a program; advance() takes part in it.
     * @param {Program} program
     * @throws {Error} when the pool has failed
     */
    begin(program) {
        const epoch = this.#arm(program);
        if (this.workers > 0 && program.work() >= WAKE_WORK) {
            this.#control.publish(epoch, this.workers);
        }
    }

    /**
     * Takes part in the program that has begun, for a few milliseconds.
     * @returns {boolean} whether it has run to its end
     * @throws {Error} when the pool has failed, before or now
     */
    advance() {
        const start = performance.now();
        const done = this.#join(this.#budget);
        // How many multiply-adds a millisecond has is not known: the next part is longer or shorter by what this one took.
        const factor = PART_MS / Math.max(performance.now() - start, PART_MS / 2);
        this.#budget = done ? this.#budget : Math.max(LEAST_BUDGET, this.#budget * Math.max(factor, 0.5));
        return done;
    }

    /** Ends the program that has begun: nobody begins a task of it any more, and nobody is in one when this returns. */
    stop() {
        this.#control.revoke();
        this.#afterRevoked(this.#awaitLeave(STALL_MS), false);
    }

    /** Ends a program that was posted; it is settled with an Error once nobody is in a task of it. */
    stopPosted() {
        if (this.#pending) {
            this.#revokePending(new Error('the call has been aborted'), STALL_MS);
        }
    }

    /**
     * Has the workers run a program; for a thread that must not block.
     * @param {Program} program
     * @param {(error: Error | null) => void} settle  called once, when it has been run or the pool has failed; before
     *   this returns if the program is small enough for the calling thread to run it alone
     */
    post(program, settle) {
        if (program.count === 0) {
            settle(null);
            return;
        }
        const epoch = this.#arm(program);
        if (program.work() < WAKE_WORK || this.workers === 0) {
            let error = null;
            try {
                this.#join(Infinity);
            } catch (failure) {
                error = /** @type {Error} */ (failure);
            }
            settle(error);
            return;
        }
        this.#pending = settle;
        this.#pendingEpoch = epoch;
        this.#pendingProgram = program;
        this.#slices = 0;
        this.#timer = setInterval(() => this.#watch(), SLICE_MS);
        this.#control.publish(epoch, this.workers);
    }

    /** Ends the workers; a pending program is settled with an Error. A second time does nothing. */
    dispose() {
        if (this.#closed) {
            return;
        }
        this.#closed = true;
        this.error ??= new Error('the runtime has been disposed');
        this.#endThreads();
        this.#settle(this.error);
    }

    #endThreads() {
        this.#control.shutDown();
        this.#crew.end();
    }

    /**
     * @param {Program} program
     * @returns {number} its epoch
     */
    #arm(program) {
        if (this.error) {
            throw this.error;
        }
        if (this.#control.failed !== 0) {
            this.#loseTrapped(); // after the last program was through: no call is lost with it
        }
        return this.#control.arm(program);
    }

    /**
     * Takes part in the program that was armed last.
     * @param {number} budget multiply-adds after which it may wait
     * @returns {boolean} whether it has run to its end
     */
    #join(budget) {
        let outcome;
        try {
            outcome = this.#control.run(budget);
        } catch (error) {
            throw this.#fail(`the calling thread trapped: ${error}`);
        }
        if (outcome === RUN.FAILED || outcome === RUN.STALLED) {
            throw this.#giveUp(outcome);
        }
        return outcome !== RUN.PAUSED;
    }

    /**
     * Ends a program that the calling thread took part in, and cannot be completed.
     * @param {number} outcome  FAILED or STALLED
     * @returns {WorkerLostError}
     */
    #giveUp(outcome) {
        const reason = outcome === RUN.FAILED ? this.#control.readReport() : STALL_REASON;
        this.#control.revoke();
        this.#afterRevoked(this.#awaitLeave(LEAVE_MS), outcome === RUN.STALLED);
        return new WorkerLostError(reason);
    }

    /**
     * Blocks until all workers have left the program that was revoked, or have had their time.
     * @param {number} time ms
     * @returns {boolean} whether they have left
     */
    #awaitLeave(time) {
        // A page's main thread only gets here with programs that it ran alone: no worker is in them.
        // Time is counted in looks, not by a clock: workers are not to blame when the whole machine stands still.
        for (let looks = time / LOOK_MS; this.#mayBlock && this.#crew.busy; looks--) {
            if (looks <= 0) return false;
            this.#control.sleep(LOOK_MS);
        }
        return true;
    }

    /** Called by a timer while a program is pending: sees that it ends, and notices when it cannot. */
    #watch() {
        if (this.#revoked) {
            const left = !this.#crew.busy;
            if (left || --this.#looks <= 0) {
                const error = this.#revoked;
                this.#afterRevoked(left, this.#slices === STALL_SLICES);
                this.#settle(error);
            }
            return;
        }
        if (this.#control.failed !== 0) {
            this.#revokePending(new WorkerLostError(this.#control.readReport()));
            return;
        }
        const { progress } = this.#control;
        if (progress !== this.#lastProgress) {
            this.#lastProgress = progress;
            this.#slices = 0;
            return;
        }
        this.#slices++;
        if (this.#slices < STALL_SLICES) {
            return;
        }
        // All tasks are done, but the worker that should have said so was ended just before it could.
        if (this.#allDone()) {
            this.#settle(null);
        } else {
            this.#revokePending(new WorkerLostError(STALL_REASON));
        }
    }

    /**
     * Ends the pending program; its call is rejected once the workers have left it.
     * @param {Error} reason
     * @param {number} [time] ms that they have to leave
     */
    #revokePending(reason, time = LEAVE_MS) {
        if (this.#revoked) {
            return;
        }
        this.#revoked = reason;
        this.#looks = time / LOOK_MS;
        this.#control.revoke();
        clearInterval(this.#timer);
        this.#timer = setInterval(() => this.#watch(), LOOK_MS);
    }

    /**
     * A revoked program is over: decides which workers are lost with it.
     * @param {boolean} left  whether all workers were seen to have left it; if not, those that are still in it are lost
     * @param {boolean} stalled  whether it stalled: then, although all have left it, some worker has gone without a trace. Which
     *   one it is cannot be told, so all are replaced
     */
    #afterRevoked(left, stalled) {
        this.#loseTrapped();
        const reason = `was given up: ${STALL_REASON}`;
        if (!left) this.#crew.lose(({ busy }) => busy, reason);
        else if (stalled) this.#crew.lose(() => true, reason);
    }

    /** Replaces the worker that has trapped, if one has, and clears the flag by which it said so. */
    #loseTrapped() {
        const { failed } = this.#control;
        this.#crew.lose(({ number }) => number === failed, `failed: ${this.#control.readReport()}`);
        this.#control.recover();
    }

    /**
     * A worker has been lost: the pending program may have been completed all the same, or has to be given up.
     * @param {string} reason
     * @param {boolean} held  whether it was in the middle of a program
     */
    #seeLoss(reason, held) {
        if (this.#pending === null || this.#revoked) {
            return;
        }
        if (this.#allDone()) {
            this.#settle(null);
        } else if (held || this.workers === 0 || this.#control.failed !== 0) {
            this.#revokePending(new WorkerLostError(reason));
        }
    }

    #allDone() {
        return this.#control.isDone(/** @type {Program} */ (this.#pendingProgram));
    }

    /**
     * @param {string} reason
     * @returns {Error} the first one, whatever follows it
     */
    #fail(reason) {
        if (this.error) {
            return this.error;
        }
        this.error = new Error(`the runtime has failed and must be disposed: ${reason}`);
        this.#endThreads();
        this.#settle(this.error);
        return this.error;
    }

    /** @param {Error | null} error */
    #settle(error) {
        clearInterval(this.#timer);
        this.#pendingEpoch = 0;
        this.#pendingProgram = null;
        this.#revoked = null;
        const settle = this.#pending;
        this.#pending = null;
        settle?.(error);
    }
}
