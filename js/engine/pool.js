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

import { CONTROL, CONTROL_WORDS, OP, OP_WORDS, RUN, SLICE_MS, STALL_SLICES } from './interface.js';
import { WorkerLostError } from './lost.js';
import { Member, STACK_BYTES } from './member.js';
import { MESSAGE, REPORT_BYTES, SHUT_DOWN } from './protocol.js';
import { spawn } from './spawn.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./program.js').Program} Program */
/** @typedef {import('./wasm.js').Exports} Exports */

export { STACK_BYTES };

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

const STALL_MS = STALL_SLICES * SLICE_MS;
/** What is known of a worker that ends without a word. */
const STALL_REASON = `no task was completed for ${STALL_MS} ms: `
    + 'a worker died or was stopped in the middle of one';

/**
 * How long workers may take to leave a program that has been revoked, each in the middle of one task at most: where one of them
 * has been lost already. After an abort, which says nothing of them, they have STALL_MS.
 */
const LEAVE_MS = 250;

/** How often that is looked at. */
const LOOK_MS = 1;

/** How long the calling thread takes part before it sees to something else, about, and the multiply-adds of it that are tried first. */
const PART_MS = 3;
const FIRST_BUDGET = 4_000_000;
const LEAST_BUDGET = 10_000;

/** Times in a row that a worker is started in the place of one that has done nothing yet. */
const MOST_TRIES = 4;

/** Programs after which a worker counts as one that works. */
const ENOUGH_JOINED = 3;

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
    /** Workers at work. @type {Member[]} */
    #members = [];
    /** Workers that have been dismissed in the middle of a program. @type {Member[]} */
    #lingering = [];
    #wanted;
    /** Ends the workers that are being started. @type {Set<Member>} */
    #beginners = new Set();
    /** What could not be had again, and why. @type {string[]} */
    notes = [];
    /** Gives up on a worker that is starting. @type {Set<(reason: string) => void>} */
    #starting = new Set();
    /** Word index of the control block, address of the report. */
    #control;
    #report;
    #epoch = 0;
    #budget = FIRST_BUDGET;
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
    /** Why the pending program has been revoked, and how often is still looked whether workers have left it. @type {Error | null} */
    #revoked = null;
    #looks = 0;

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
        this.#wanted = workers;
        /** Whether the calling thread takes part, so that a call has finished when it returns. */
        this.inline = mayBlock || workers === 0;
        /** Threads that may join a program. The dispatcher always counts: it runs small ones itself. */
        this.threads = workers + 1;
        this.#mostAwake = Math.max(1, this.inline ? processors - 1 : processors);
        memory.words[this.#control + CONTROL.spin] = SPIN;
        memory.words[this.#control + CONTROL.threads] = this.threads;
    }

    /** Workers that programs can count on now. */
    get workers() {
        return this.#members.length;
    }

    /** Whether a worker that has been lost may still write to the memory of the program that it was lost in. */
    get lingers() {
        if (this.#lingering.length > 0) {
            this.#lingering = this.#lingering.filter((member) => member.lingers);
        }
        return this.#lingering.length > 0;
    }

    /**
     * Starts the workers and waits until each has said that it is ready.
     * @throws {Error} naming the worker and the reason when one does not start; none is left running then
     * @throws {RangeError} when the memory has no room for their stacks
     */
    async start() {
        const first = [];
        for (let i = 1; i <= this.#wanted; i++) {
            first.push(new Member(this.#memory, i, `worker ${i} of ${this.#wanted}`));
        }
        const starts = first.map((member) => this.#startWorker(member));
        try {
            await Promise.all(starts);
        } catch (error) {
            this.dispose();
            await Promise.allSettled(starts);
            throw error;
        }
    }

    /**
     * @param {Member} member
     * @returns {Promise<void>}
     */
    #startWorker(member) {
        return new Promise((resolve, reject) => {
            let ready = false;
            this.#beginners.add(member);
            /** @param {string} reason */
            const fail = (reason) => {
                settled();
                if (ready) {
                    this.#lose(member, reason);
                } else {
                    member.dismiss();
                    reject(new Error(`createRuntime: ${member.name} did not start: it ${reason}`));
                }
            };
            const timer = setTimeout(() => fail(`was silent for ${this.#startTimeout} ms`), this.#startTimeout);
            const settled = () => {
                clearTimeout(timer);
                this.#starting.delete(fail);
                this.#beginners.delete(member);
            };
            this.#starting.add(fail);
            const onMessage = (/** @type {any} */ message) => {
                if (message?.type === MESSAGE.READY && !ready) {
                    settled();
                    ready = true;
                    this.#members.push(member);
                    member.thread?.idle();
                    resolve();
                } else if (message?.type === MESSAGE.DONE && message.epoch === this.#pendingEpoch) {
                    this.#settle(null);
                } else if (message?.type === MESSAGE.FAILED) {
                    fail(`failed: ${message.reason}`);
                }
            };
            spawn({ onMessage, onEnd: fail, onGone: () => member.leave() }, this.#script).then((thread) => {
                member.thread = thread;
                if (member.tries > 0) {
                    thread.idle(); // nobody waits for one that stands in for another
                }
                if (this.#closed || !this.#starting.has(fail)) {
                    thread.end();
                    return;
                }
                thread.post({
                    type: MESSAGE.START,
                    module: this.#module,
                    memory: this.#memory.handle,
                    stackTop: member.stack + STACK_BYTES,
                    control: 4 * this.#control,
                    report: this.#report,
                    life: member.life,
                    thread: member.number,
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
            this.#publish(epoch);
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
        // What is a millisecond here, nobody knows: the next part is longer or shorter.
        const factor = PART_MS / Math.max(performance.now() - start, PART_MS / 2);
        this.#budget = done ? this.#budget : Math.max(LEAST_BUDGET, this.#budget * Math.max(factor, 0.5));
        return done;
    }

    /** Ends the program that has begun: nobody begins a task of it any more, and nobody is in one when this returns. */
    stop() {
        this.#revoke();
        this.#awaitLeave(STALL_MS);
        this.#afterRevoked(false);
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
        if (Atomics.load(this.#memory.ints, this.#control + CONTROL.failed) !== 0) {
            this.#loseTrapped(); // after the last program was through: no call is lost with it
        }
        // Bit 31 means shut-down, and 0 is what the words of an unused operation carry.
        this.#epoch = this.#epoch === SHUT_DOWN - 1 ? 1 : this.#epoch + 1;
        const { ints } = this.#memory;
        this.#wasm.cmha_program_begin(program.address, program.count, this.#epoch);
        // The address first: a thread that is late reads them the other way round, and the address only ever changes to
        // where there is as much room or more. So what it looks at has always been operations.
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
        // Those that died asleep are counted for ever.
        const asleep = Math.min(sleepers, this.workers);
        const wanted = Math.min(asleep, this.#mostAwake - (this.workers - asleep));
        if (wanted > 0) {
            Atomics.notify(ints, this.#control + CONTROL.epoch, wanted);
        }
    }

    /**
     * Takes part in the program that was armed last.
     * @param {number} budget multiply-adds after which it may wait
     * @returns {boolean} whether it has run to its end
     */
    #join(budget) {
        let outcome;
        try {
            outcome = budget === Infinity ? this.#wasm.cmha_program_run(4 * this.#control, this.#epoch, 0)
                : this.#wasm.cmha_program_part(4 * this.#control, this.#epoch, budget);
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
        const reason = outcome === RUN.FAILED ? this.#readReport() : STALL_REASON;
        this.#revoke();
        this.#awaitLeave(LEAVE_MS);
        this.#afterRevoked(outcome === RUN.STALLED);
        return new WorkerLostError(reason);
    }

    /** Blocks until all workers have left the program that was revoked, or have had their time. @param {number} time ms */
    #awaitLeave(time) {
        const { ints } = this.#memory;
        const at = this.#control + CONTROL.epoch;
        const epoch = Atomics.load(ints, at);
        // A page's main thread gets here by programs that it ran alone: no worker is in them.
        // Counted in looks, not by a clock: a machine that stands still as a whole is nobody's fault.
        for (let looks = time / LOOK_MS; this.#mayBlock && this.#anyBusy() && looks > 0; looks--) {
            Atomics.wait(ints, at, epoch, LOOK_MS); // nobody else changes it: this sleeps
        }
    }

    /** Looks after a program that nobody blocks on. */
    #watch() {
        if (this.#revoked) {
            if (!this.#anyBusy() || --this.#looks <= 0) {
                const error = this.#revoked;
                this.#afterRevoked(error.message.includes(STALL_REASON));
                this.#settle(error);
            }
            return;
        }
        const { ints } = this.#memory;
        if (Atomics.load(ints, this.#control + CONTROL.failed) !== 0) {
            this.#revokePending(new WorkerLostError(this.#readReport()));
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
            this.#revokePending(new WorkerLostError(STALL_REASON));
        }
    }

    /**
     * Ends the pending program; its call is told once the workers have left it.
     * @param {Error} reason
     * @param {number} [time] ms that they have for it
     */
    #revokePending(reason, time = LEAVE_MS) {
        if (this.#revoked) {
            return;
        }
        this.#revoked = reason;
        this.#looks = time / LOOK_MS;
        this.#revoke();
        clearInterval(this.#timer);
        this.#timer = setInterval(() => this.#watch(), LOOK_MS);
    }

    /** From here on nobody begins a task of the program that was armed last, or waits for one. */
    #revoke() {
        const { ints } = this.#memory;
        const longs = new BigInt64Array(ints.buffer);
        const first = Atomics.load(ints, this.#control + CONTROL.ops) >>> 2;
        const count = Atomics.load(ints, this.#control + CONTROL.count);
        for (let i = 0; i < count; i++) {
            Atomics.store(longs, (first + i * OP_WORDS + OP.claim) / 2, 0n);
        }
        // One that trapped has left its number there, which is wanted below.
        Atomics.compareExchange(ints, this.#control + CONTROL.failed, 0, -1);
    }

    /**
     * The workers that live have left the program, or had their time.
     * @param {boolean} stalled  it was not seen what became of whom
     */
    #afterRevoked(stalled) {
        this.#loseTrapped();
        const stuck = this.#members.filter((member) => member.busy);
        // A worker that is in no program, and took none on either, is gone or as good as gone.
        for (const member of stalled && stuck.length === 0 ? [...this.#members] : stuck) {
            this.#lose(member, `was given up: ${STALL_REASON}`);
        }
    }

    /** Whoever has set control->failed is lost; then it is as before. */
    #loseTrapped() {
        const { ints } = this.#memory;
        const number = Atomics.load(ints, this.#control + CONTROL.failed);
        const member = this.#members.find((one) => one.number === number);
        if (member) {
            this.#lose(member, `failed: ${this.#readReport()}`);
        }
        Atomics.store(ints, this.#control + CONTROL.failed, 0);
    }

    #anyBusy() {
        return this.#members.some((member) => member.busy);
    }

    /**
     * A worker is not counted on any more, and another is started in its place.
     * @param {Member} member
     * @param {string} reason
     */
    #lose(member, reason) {
        const at = this.#members.indexOf(member);
        if (at < 0 || this.#closed) {
            return;
        }
        this.#members.splice(at, 1);
        const held = member.busy;
        member.dismiss();
        if (held) {
            this.#lingering.push(member);
        }
        this.#replace(member, `${member.name} ${reason}`);
        if (this.#pending === null || this.#revoked) {
            return;
        }
        if (this.#allDone()) {
            this.#settle(null);
        } else if (held || this.workers === 0
            || Atomics.load(this.#memory.ints, this.#control + CONTROL.failed) !== 0) {
            this.#revokePending(new WorkerLostError(`${member.name} ${reason}`));
        }
    }

    /**
     * @param {Member} lost
     * @param {string} reason
     */
    #replace(lost, reason) {
        const tries = lost.joined >= ENOUGH_JOINED ? 1 : lost.tries + 1;
        if (this.#closed) {
            return;
        }
        try {
            if (tries > MOST_TRIES) {
                throw new Error(`and ${MOST_TRIES} more in its place`);
            }
            const member = new Member(this.#memory, lost.number, lost.name);
            member.tries = tries;
            this.#startWorker(member).catch((error) => this.#replace(member, error.message));
        } catch (error) {
            this.notes.push(`a worker less: ${reason}, ${/** @type {Error} */ (error).message}`);
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
        for (const member of [...this.#members, ...this.#beginners]) {
            member.dismiss();
        }
        this.#members.length = 0;
        this.#beginners.clear();
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
