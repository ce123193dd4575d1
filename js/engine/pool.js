// The pool: the dispatcher's half of the protocol in src/cmha.h, and the life and death of the workers.
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
// In each case the pool fails closed: all workers are ended, and every call, pending or later, gets the same Error.
//
// A program too small to be worth a wake-up is run by the calling thread alone: its epoch is never published, so the
// workers sleep on. The bits are the same: tasks are cut by shape, whoever runs them.

import { CONTROL, CONTROL_WORDS, OP, OP_WORDS, RUN, SLICE_MS, STALL_SLICES } from './interface.js';
import { MESSAGE, REPORT_BYTES, SHUT_DOWN } from './protocol.js';
import { spawn } from './spawn.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./program.js').Program} Program */
/** @typedef {import('./threads.js').Thread} Thread */
/** @typedef {import('./wasm.js').Exports} Exports */

/** Every thread's stack. Kernels keep tiles and rows there, and do not recurse. */
export const STACK_BYTES = 128 * 1024;

/** Multiply-adds below which a program is run by the caller alone: waking and joining costs tens of microseconds. */
const WAKE_WORK = 400_000;

/**
 * Iterations that a waiting thread spins before it sleeps: some tenths of a millisecond, longer than what lies between
 * two tokens. A worker that has to be woken may come too late, on a busy machine to the processor of the one that woke
 * it.
 */
const SPIN = 400_000;

/** A worker's script may have to be downloaded; what forbids it or lacks it is told by an event long before this. */
const START_TIMEOUT_MS = 20_000;

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

/** Workers, and how programs reach them. With none the calling thread runs everything, by the same steps. */
export class Pool {
    #memory;
    #module;
    #wasm;
    #mayBlock;
    #script;
    #startTimeout;
    #mostAwake;
    /** @type {Thread[]} */
    #threads = [];
    /** Addresses of the workers' stacks. @type {number[]} */
    #stacks = [];
    /** Gives up on a worker that is starting. @type {Set<(reason: string) => void>} */
    #starting = new Set();
    /** Word index of the control block, address of the report. */
    #control;
    #report;
    #epoch = 0;
    #closed = false;
    /** Why the pool takes no more programs. @type {Error | null} */
    error = null;
    /** The program that workers are running while nobody blocks. @type {((error: Error | null) => void) | null} */
    #pending = null;
    #pendingEpoch = 0;
    /** @type {Program | null} */
    #pendingProgram = null;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    #timer;
    #lastProgress = 0;
    #slices = 0;

    /** @param {PoolOptions} options */
    constructor({ memory, module, wasm, workers, processors, mayBlock, script, startTimeout }) {
        this.#memory = memory;
        this.#module = module;
        this.#wasm = wasm;
        this.#mayBlock = mayBlock;
        this.#script = script;
        this.#startTimeout = startTimeout ?? START_TIMEOUT_MS;
        const block = memory.alloc(4 * CONTROL_WORDS + REPORT_BYTES);
        memory.u8(block, 4 * CONTROL_WORDS + REPORT_BYTES).fill(0);
        this.#control = block / 4;
        this.#report = block + 4 * CONTROL_WORDS;
        this.workers = workers;
        /** Whether the calling thread takes part, so that a call has finished when it returns. */
        this.inline = mayBlock || workers === 0;
        /** Threads that may join a program. The dispatcher always counts: it runs small ones itself. */
        this.threads = workers + 1;
        this.#mostAwake = Math.max(1, this.inline ? processors - 1 : processors);
        memory.words[this.#control + CONTROL.spin] = SPIN;
        memory.words[this.#control + CONTROL.threads] = this.threads;
    }

    /**
     * Starts the workers and waits until each has said that it is ready.
     * @throws {Error} naming the worker and the reason when one does not start; none is left running then
     * @throws {RangeError} when the memory has no room for their stacks
     */
    async start() {
        for (let i = 1; i <= this.workers; i++) {
            this.#stacks.push(this.#memory.alloc(STACK_BYTES));
        }
        const starts = this.#stacks.map((_, i) => this.#startWorker(i + 1));
        try {
            await Promise.all(starts);
        } catch (error) {
            // Stacks and control block stay allocated: a worker may wake up on them before its end reaches it.
            this.dispose();
            await Promise.allSettled(starts);
            throw error;
        }
        for (const thread of this.#threads) {
            thread.idle();
        }
    }

    /**
     * @param {number} number  from 1
     * @returns {Promise<void>}
     */
    #startWorker(number) {
        const name = `worker ${number} of ${this.workers}`;
        return new Promise((resolve, reject) => {
            let ready = false;
            /** @param {string} reason */
            const fail = (reason) => {
                settled();
                if (ready) {
                    this.#fail(`${name} ${reason}`);
                } else {
                    reject(new Error(`createRuntime: ${name} did not start: it ${reason}`));
                }
            };
            const timer = setTimeout(() => fail(`was silent for ${this.#startTimeout} ms`), this.#startTimeout);
            const settled = () => {
                clearTimeout(timer);
                this.#starting.delete(fail);
            };
            this.#starting.add(fail);
            const onMessage = (/** @type {any} */ message) => {
                if (message?.type === MESSAGE.READY) {
                    settled();
                    ready = true;
                    resolve();
                } else if (message?.type === MESSAGE.DONE && message.epoch === this.#pendingEpoch) {
                    this.#settle(null);
                } else if (message?.type === MESSAGE.FAILED) {
                    fail(`failed: ${message.reason}`);
                }
            };
            spawn({ onMessage, onEnd: fail }, this.#script).then((thread) => {
                if (this.#closed) {
                    thread.end();
                    return;
                }
                this.#threads.push(thread);
                thread.post({
                    type: MESSAGE.START,
                    module: this.#module,
                    memory: this.#memory.handle,
                    stackTop: this.#stacks[number - 1] + STACK_BYTES,
                    control: 4 * this.#control,
                    report: this.#report,
                    thread: number,
                    reportsDone: !this.#mayBlock,
                });
            }).catch((error) => fail(`could not be created: ${error?.message ?? error}`));
        });
    }

    /**
     * Runs a program to its end; the calling thread takes part.
     * @param {Program} program
     * @throws {Error} when the pool has failed, before or now
     */
    run(program) {
        if (program.count === 0) {
            return;
        }
        const epoch = this.#arm(program);
        if (this.workers > 0 && program.work() >= WAKE_WORK) {
            this.#publish(epoch);
        }
        this.#join(epoch);
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
        if (program.work() < WAKE_WORK) {
            let error = null;
            try {
                this.#join(epoch);
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
        this.#publish(epoch);
    }

    /** Ends the workers; a pending program is settled with an Error. A second time does nothing. */
    dispose() {
        if (this.#closed) {
            return;
        }
        this.#closed = true;
        this.error ??= new Error('the runtime has been disposed');
        for (const giveUp of [...this.#starting]) {
            giveUp('was ended');
        }
        this.#endThreads();
        this.#settle(this.error);
    }

    /**
     * @param {Program} program
     * @returns {number} its epoch
     */
    #arm(program) {
        if (this.error) {
            throw this.error;
        }
        // Bit 31 means shut-down, and 0 is what the words of an unused operation carry.
        this.#epoch = this.#epoch === SHUT_DOWN - 1 ? 1 : this.#epoch + 1;
        const { ints } = this.#memory;
        this.#wasm.cmha_program_begin(program.address, program.count, this.#epoch);
        // The address first: a thread that is late reads them the other way round, and the address only ever changes to
        // where there is more room. So what it looks at has always been operations.
        Atomics.store(ints, this.#control + CONTROL.ops, program.address | 0);
        Atomics.store(ints, this.#control + CONTROL.count, program.count);
        return this.#epoch;
    }

    /**
     * Lets the workers know. One that is between its last look at the epoch and falling asleep sees the new value in
     * the very instruction that would put it to sleep. No more are woken than there are processors for: the others
     * would take turns with those at work.
     * @param {number} epoch
     */
    #publish(epoch) {
        const { ints } = this.#memory;
        Atomics.store(ints, this.#control + CONTROL.epoch, epoch | 0);
        const sleepers = Atomics.load(ints, this.#control + CONTROL.sleepers);
        const wanted = Math.min(sleepers, this.#mostAwake - (this.workers - sleepers));
        if (wanted > 0) {
            Atomics.notify(ints, this.#control + CONTROL.epoch, wanted);
        }
    }

    /** @param {number} epoch */
    #join(epoch) {
        let outcome;
        try {
            outcome = this.#wasm.cmha_program_run(4 * this.#control, epoch, 0);
        } catch (error) {
            throw this.#fail(`the calling thread trapped: ${error}`);
        }
        if (outcome === RUN.FAILED) {
            throw this.#fail(this.#readReport());
        }
        if (outcome === RUN.STALLED) {
            throw this.#fail(this.#stallReason());
        }
    }

    /** Looks after a program that nobody blocks on. */
    #watch() {
        const { ints } = this.#memory;
        if (Atomics.load(ints, this.#control + CONTROL.failed) !== 0) {
            this.#fail(this.#readReport());
            return;
        }
        const progress = Atomics.load(ints, this.#control + CONTROL.progress);
        if (progress !== this.#lastProgress) {
            this.#lastProgress = progress;
            this.#slices = 0;
            return;
        }
        this.#slices++;
        if (this.#slices < STALL_SLICES) {
            return;
        }
        // All done, but the worker that should have said so was ended just before it could.
        if (this.#allDone()) {
            this.#settle(null);
        } else {
            this.#fail(this.#stallReason());
        }
    }

    #allDone() {
        const program = /** @type {Program} */ (this.#pendingProgram);
        const { ints } = this.#memory;
        for (let i = 0; i < program.count; i++) {
            if (Atomics.load(ints, program.address / 4 + i * OP_WORDS + OP.done) !== 0) {
                return false;
            }
        }
        return true;
    }

    #stallReason() {
        return `no task was completed for ${STALL_SLICES * SLICE_MS} ms: `
            + 'a worker died or was stopped in the middle of one';
    }

    /** What a worker that trapped has left. */
    #readReport() {
        const length = Math.min(this.#memory.words[this.#report / 4], REPORT_BYTES - 4);
        // Decoders refuse shared memory, hence the copy.
        return new TextDecoder().decode(this.#memory.u8(this.#report + 4, length).slice());
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

    #endThreads() {
        const { ints } = this.#memory;
        Atomics.store(ints, this.#control + CONTROL.failed, -1);
        Atomics.store(ints, this.#control + CONTROL.epoch, SHUT_DOWN | 0);
        Atomics.notify(ints, this.#control + CONTROL.epoch);
        for (const thread of this.#threads) {
            thread.end();
        }
        this.#threads.length = 0;
    }

    /** @param {Error | null} error */
    #settle(error) {
        clearInterval(this.#timer);
        this.#pendingEpoch = 0;
        this.#pendingProgram = null;
        const settle = this.#pending;
        this.#pending = null;
        settle?.(error);
    }
}
