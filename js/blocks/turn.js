// Keys that have moved to other positions, turned to where they are now: the rotation of the distance (Su et al. 2021), since
// turns add up. The calling thread does it, at once.

import { TURN } from '../engine/interface.js';
import { PAIRINGS } from './rope.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */

/** First word of an operation's arguments, and how many a turn has. */
const ARGUMENTS = TURN.cache;
const TURN_WORDS = Math.ceil((Math.max(...Object.values(TURN)) + 1 - ARGUMENTS) / 2) * 2;

/**
 * @typedef {object} KeyTurn
 * @property {number} cache address
 * @property {number} batch
 * @property {number} from positions [from, to) turn
 * @property {number} to
 * @property {number} by so many positions
 * @property {ArrayLike<number>} frequencies radians a position, of each pair
 * @property {'halves' | 'pairs'} pairing
 * @property {number} [round] of ROUND
 */

/** Room for the arguments of turns: taken before anything moves, so that nothing can fail afterwards. */
export class Turner {
    #runtime;
    #block;
    /** What the table is of: many layers turn alike. @type {unknown} */
    #frequencies;
    #by = 0;

    /** @param {Runtime} runtime @param {number} pairs most that a key has @throws {RangeError} when the memory is exhausted */
    constructor(runtime, pairs) {
        this.#runtime = runtime;
        this.#block = runtime.memory.alloc(4 * (2 * pairs + TURN_WORDS));
    }

    /** @param {KeyTurn} turn */
    turn({ cache, batch, from, to, by, frequencies, pairing, round = 0 }) {
        const { memory, wasm } = this.#runtime;
        const { words, floats } = memory;
        const pairs = frequencies.length;
        const table = this.#block + 4 * TURN_WORDS;
        if (by !== this.#by || frequencies !== this.#frequencies) {
            this.#by = by;
            this.#frequencies = frequencies;
            for (let i = 0; i < pairs; i++) {
                floats[table / 4 + i] = Math.cos(by * frequencies[i]);
                floats[table / 4 + pairs + i] = Math.sin(by * frequencies[i]);
            }
        }
        const at = this.#block / 4 - ARGUMENTS;
        words[at + TURN.cache] = cache;
        words[at + TURN.batch] = batch;
        words[at + TURN.from] = from;
        words[at + TURN.to] = to;
        words[at + TURN.pairs] = pairs;
        words[at + TURN.pairing] = PAIRINGS[pairing];
        words[at + TURN.table] = table;
        words[at + TURN.round] = round;
        wasm.cmha_cache_turn(this.#block);
    }

    dispose() {
        this.#runtime._free(this.#block);
    }
}
