// One worker of a pool, from its start to its certain end.

import { LIFE, LIFE_BYTES } from './protocol.js';

/** Every thread's stack. Kernels keep tiles and rows there, and do not recurse. */
export const STACK_BYTES = 128 * 1024;

/** By then a thread that has been ended runs no more: Chromium lets it finish for two seconds. */
const GRACE_MS = 5000;

/** A worker, the stack that it runs on and the words that it shares with the pool (LIFE in protocol.js). */
export class Member {
    #memory;
    #life;
    /** When it was dismissed; 0: it has not been. */
    #dismissed = 0;
    /** Whether it certainly runs no more; and what `joined` was then. */
    #gone = false;
    #joined = 0;

    /**
     * @param {import('./memory.js').Memory} memory
     * @param {number} number  from 1; a worker that stands in for another has that one's
     * @param {string} name
     * @throws {RangeError} when the memory has no room for its stack
     */
    constructor(memory, number, name) {
        this.#memory = memory;
        this.number = number;
        this.name = name;
        /** Address of the stack, with the shared words behind it. */
        this.stack = memory.alloc(STACK_BYTES + LIFE_BYTES);
        this.#life = (this.stack + STACK_BYTES) / 4;
        memory.words[this.#life + LIFE.BUSY] = 0;
        memory.words[this.#life + LIFE.DISMISSED] = 0;
        memory.words[this.#life + LIFE.JOINED] = 0;
        /** How many stood in this place, one after the other, without getting to work. */
        this.tries = 0;
        /** Once it has been created. @type {import('./threads.js').Thread | null} */
        this.thread = null;
    }

    /** Address of the shared words. */
    get life() {
        return 4 * this.#life;
    }

    /** Whether it may be in the middle of a program. */
    get busy() {
        return !this.#gone && Atomics.load(this.#memory.ints, this.#life + LIFE.BUSY) !== 0;
    }

    /** Programs that it has been in. */
    get joined() {
        return this.#gone ? this.#joined : Atomics.load(this.#memory.ints, this.#life + LIFE.JOINED);
    }

    /** It will join no program any more; one that it is in the middle of it may go on with. */
    dismiss() {
        if (!this.#gone) {
            Atomics.store(this.#memory.ints, this.#life + LIFE.DISMISSED, 1);
        }
        this.#dismissed = performance.now();
        this.thread?.end();
    }

    /** Whether, dismissed, it may still write to the memory of a program that it joined before. */
    get lingers() {
        return this.busy && performance.now() - this.#dismissed < GRACE_MS;
    }

    /** It runs no more: its stack can be used again. */
    leave() {
        if (!this.#gone) {
            this.#joined = this.joined;
            this.#gone = true;
            this.#memory.free(this.stack);
        }
    }
}
