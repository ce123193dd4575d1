// The dispatcher's half of the protocol in src/cmha.h: the control block, by whose words a program is armed, made known,
// run, watched and taken away again. Workers are numbers here.

import { CONTROL, CONTROL_WORDS, OP, OP_WORDS, SLICE_MS, STALL_SLICES } from './interface.js';
import { REPORT_BYTES, SHUT_DOWN } from './protocol.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./program.js').Program} Program */
/** @typedef {import('./wasm.js').Exports} Exports */

/** After so long without a task that was completed a program counts as stalled. */
export const STALL_MS = STALL_SLICES * SLICE_MS;

/**
 * Iterations that a waiting thread spins before it sleeps: some tenths of a millisecond, longer than what lies between
 * two tokens. A worker that has to be woken may come too late, on a busy machine to the processor of the one that woke
 * it.
 */
const SPIN = 400_000;

/** The control block of a pool. */
export class Control {
    #memory;
    #wasm;
    /** Index of its first word. */
    #at;
    #mostAwake;
    #epoch = 0;

    /**
     * @param {Memory} memory
     * @param {Exports} wasm  the calling thread's instance
     * @param {object} counts
     * @param {number} counts.threads  that may join a program
     * @param {number} counts.processors  that there are for workers
     */
    constructor(memory, wasm, { threads, processors }) {
        this.#mostAwake = Math.max(1, processors);
        this.#memory = memory;
        this.#wasm = wasm;
        const bytes = 4 * CONTROL_WORDS + REPORT_BYTES;
        /** Where it lies. */
        this.address = memory.alloc(bytes);
        /** Where a worker that traps says why. */
        this.report = this.address + 4 * CONTROL_WORDS;
        memory.u8(this.address, bytes).fill(0);
        this.#at = this.address / 4;
        memory.words[this.#at + CONTROL.spin] = SPIN;
        memory.words[this.#at + CONTROL.threads] = threads;
    }

    /**
     * Makes a program the one to be run.
     * @param {Program} program
     * @returns {number} its epoch
     */
    arm(program) {
        // Bit 31 means shut-down, and 0 is what the words of an unused operation carry.
        this.#epoch = this.#epoch === SHUT_DOWN - 1 ? 1 : this.#epoch + 1;
        const { ints } = this.#memory;
        this.#wasm.cmha_program_begin(program.address, program.count, this.#epoch);
        // The address first: a thread that is late reads them the other way round, and the address only ever changes to
        // where there is as much room or more. So what it looks at has always been operations.
        Atomics.store(ints, this.#at + CONTROL.ops, program.address | 0);
        Atomics.store(ints, this.#at + CONTROL.count, program.count);
        return this.#epoch;
    }

    /**
     * Lets the workers know. One that is between its last look at the epoch and falling asleep sees the new value in
     * the very instruction that would put it to sleep. No more are woken than there are processors for: the others
     * would take turns with those at work.
     * @param {number} epoch
     * @param {number} workers  that are counted on
     */
    publish(epoch, workers) {
        const { ints } = this.#memory;
        Atomics.store(ints, this.#at + CONTROL.epoch, epoch | 0);
        const sleepers = Atomics.load(ints, this.#at + CONTROL.sleepers);
        // Those that died asleep are counted for ever.
        const asleep = Math.min(sleepers, workers);
        const wanted = Math.min(asleep, this.#mostAwake - (workers - asleep));
        if (wanted > 0) {
            Atomics.notify(ints, this.#at + CONTROL.epoch, wanted);
        }
    }

    /**
     * Takes part in the program that was armed last.
     * @param {number} budget multiply-adds after which to return; Infinity: not before it is over
     * @returns {number} of RUN
     */
    run(budget) {
        return budget === Infinity ? this.#wasm.cmha_program_run(this.address, this.#epoch, 0)
            : this.#wasm.cmha_program_part(this.address, this.#epoch, budget);
    }

    /** Whether all operations of a program have been completed. @param {Program} program */
    isDone(program) {
        const { ints } = this.#memory;
        for (let i = 0; i < program.count; i++) {
            if (Atomics.load(ints, program.address / 4 + i * OP_WORDS + OP.done) !== 0) {
                return false;
            }
        }
        return true;
    }

    /** Counts the tasks that have been completed. */
    get progress() {
        return Atomics.load(this.#memory.ints, this.#at + CONTROL.progress);
    }

    /** The number of the worker that has trapped; -1: the program was revoked; 0: neither. */
    get failed() {
        return Atomics.load(this.#memory.ints, this.#at + CONTROL.failed);
    }

    /** What a worker that trapped has left. @returns {string} */
    readReport() {
        const length = Math.min(this.#memory.words[this.report / 4], REPORT_BYTES - 4);
        // Decoders refuse shared memory, hence the copy.
        return new TextDecoder().decode(this.#memory.u8(this.report + 4, length).slice());
    }

    /** From here on nobody begins a task of the program that was armed last, or waits for one. */
    revoke() {
        const { ints } = this.#memory;
        const longs = new BigInt64Array(ints.buffer);
        const first = Atomics.load(ints, this.#at + CONTROL.ops) >>> 2;
        const count = Atomics.load(ints, this.#at + CONTROL.count);
        for (let i = 0; i < count; i++) {
            Atomics.store(longs, (first + i * OP_WORDS + OP.claim) / 2, 0n);
        }
        // One that trapped has left its number there, which is still wanted.
        Atomics.compareExchange(ints, this.#at + CONTROL.failed, 0, -1);
    }

    /** The next program may run. */
    recover() {
        Atomics.store(this.#memory.ints, this.#at + CONTROL.failed, 0);
    }

    /** Blocks, for a thread that may. @param {number} ms */
    sleep(ms) {
        const { ints } = this.#memory;
        const at = this.#at + CONTROL.epoch;
        Atomics.wait(ints, at, Atomics.load(ints, at), ms); // nobody else changes it: this sleeps
    }

    /** All workers end. */
    shutDown() {
        const { ints } = this.#memory;
        Atomics.store(ints, this.#at + CONTROL.failed, -1);
        Atomics.store(ints, this.#at + CONTROL.epoch, SHUT_DOWN | 0);
        Atomics.notify(ints, this.#at + CONTROL.epoch);
    }
}
