// Ring: how a full cache with sinks goes on in constant memory (Xiao et al. 2023, "Efficient Streaming Language Models with Attention
// Sinks"). The newest token takes the place of the oldest one after the sinks, and nothing is moved, as attention does not depend on the
// order of keys. With rotary positions only differences count: the keys in the window keep their angles, new ones get angles that go on
// from there, and with each token the sinks are rotated after them, always from a copy of their original keys. So a key is rounded once
// when it is stored, and a sink's key once more, however long the text becomes.

import { OP_WORDS, TRANSFER } from '../engine/interface.js';
import { writeTransfer } from '../blocks/pages.js';

/** @typedef {import('../blocks/pages.js').PagedCache} PagedCache */
/** @typedef {import('./network.js').Network} Network */

/** Most positions that angles may be ahead of the text's; then all keys are rotated back. Sines and cosines are exact to 2 ** 22 radians. */
export const MOST_AHEAD = 2 ** 20;

/** @param {Network} network @param {number} sinks @returns {number} bytes of the copy of their original keys */
export function sinkBytes({ description: { layers } }, sinks) {
    return layers.reduce((sum, { attention: a }) => sum + (a?.rope ? 4 * sinks * a.kvHeads * a.keyDim : 0), 0);
}

/** @param {number} trace @param {number} token @returns {number} FNV-1a */
const traced = (trace, token) => Math.imul(trace ^ token, 0x01000193) >>> 0;

/**
 * @typedef {object} RingState
 * @property {number} start
 * @property {number} ahead
 * @property {number} gone
 * @property {number} trace
 */

/** Where the tokens of one text lie in its caches. */
export class Ring {
    #network;
    #caches;
    #sinks;
    #window;
    /** Rotates keys; made, as is #kept, when a token is dropped for the first time. @type {import('../blocks/turn.js').Turner | null} */
    #turner = null;
    /** Address of the copy of the sinks' original keys, layer by layer; after it the operation that copies them. */
    #kept = 0;

    /** @param {Network} network @param {readonly PagedCache[]} caches of its layers @param {number} sinks @param {number} window */
    constructor(network, caches, sinks, window) {
        this.#network = network;
        this.#caches = caches;
        this.#sinks = sinks;
        this.#window = window;
        /** Place of the window's oldest token, counted from the window's start. */
        this.start = 0;
        /** By how many positions the keys' angles are ahead of the text's positions, and how many that may be at most. */
        this.ahead = 0;
        this.most = MOST_AHEAD;
        /** How many tokens have been dropped, and a hash of them. */
        this.gone = 0;
        this.trace = 0;
    }

    get #capacity() {
        return this.#sinks + this.#window;
    }

    /** @param {number} place index of a token @returns {number} its place in the caches */
    slot(place) {
        const sinks = this.#sinks;
        return place < sinks ? place : sinks + (this.start + place - sinks) % this.#window;
    }

    /** The copy of the sinks' original keys, if the caches hold rotated ones. @returns {{ address: number, bytes: number }[]} */
    get kept() {
        return this.ahead === 0 ? [] : [{ address: this.#kept, bytes: sinkBytes(this.#network, this.#sinks) }];
    }

    /** What a file has of it. @returns {RingState} */
    get state() {
        const { start, ahead, gone, trace } = this;
        return { start, ahead, gone, trace };
    }

    /** @param {RingState} state checked @throws {RangeError} when the memory is exhausted */
    take({ start, ahead, gone, trace }) {
        if (ahead > 0) this.reserve();
        Object.assign(this, { start, ahead, gone, trace });
    }

    /**
     * Whether the ring holds what reading the first of some ids leaves, all but the last of them at most.
     * @param {ArrayLike<number>} ids
     * @param {readonly number[]} tokens that it holds
     * @returns {number} how many of the ids have been read; 0: it holds something else
     */
    follows(ids, tokens) {
        const { gone } = this;
        const all = gone + tokens.length;
        const read = Math.min(all, ids.length - 1);
        if (gone === 0 || read < all - 1) return 0;
        let trace = 0;
        for (let i = 0; i < read; i++) {
            if (i >= this.#sinks && i < this.#sinks + gone) {
                trace = traced(trace, ids[i]);
            } else if (ids[i] !== tokens[i < this.#sinks ? i : i - gone]) {
                return 0;
            }
        }
        return trace === this.trace ? read : 0;
    }

    /**
     * The part of dropping a token that may fail.
     * @throws {RangeError} when the memory is exhausted; the text is the same then
     */
    prepare() {
        if (this.ahead >= this.most) {
            const { gone, trace } = this;
            this.settle(this.#capacity);
            Object.assign(this, { gone, trace });
        }
        const slot = this.slot(this.#sinks);
        for (let i = 0; i < this.#caches.length; i++) {
            this.#caches[i].makeWritable(0, this.#sinks);
            this.#caches[i].makeWritable(slot, slot + 1);
        }
        this.reserve();
    }

    /** Drops the oldest token after the sinks, once prepare() has succeeded. @param {number} token that token */
    advance(token) {
        this.gone++;
        this.trace = traced(this.trace, token);
        if (this.ahead === 0) this.#transfer('cmha_cache_load', this.#sinks);
        this.start = (this.start + 1) % this.#window;
        this.ahead++;
        this.#transfer('cmha_cache_store', this.#sinks);
        this.#turn(0, this.#sinks, this.ahead);
    }

    /**
     * Brings the caches back into the order of the text.
     * @param {number} length of the text
     * @throws {RangeError} when the memory is exhausted; the text is the same then
     */
    straighten(length) {
        if (this.start === 0) return;
        const [caches, sinks, capacity] = [this.#caches, this.#sinks, this.#capacity];
        const older = this.#window - this.start;
        const newer = length - sinks - older;
        try {
            for (const cache of caches) {
                cache.reserve(capacity + newer);
                cache.makeWritable(sinks, capacity + newer);
            }
        } catch (error) {
            caches.forEach((cache) => cache.truncate(capacity));
            throw error;
        }
        for (const cache of caches) {
            cache.move(sinks, capacity, newer);
            cache.move(sinks + this.start, sinks, older);
            cache.move(capacity, sinks + older, newer);
            cache.truncate(capacity);
        }
        this.start = 0;
    }

    /**
     * Rotates all keys back to the text's own positions. Which tokens were dropped is forgotten.
     * @param {number} end how many places the caches hold
     * @throws {RangeError} when the memory is exhausted; nothing has changed then
     */
    settle(end) {
        if (this.ahead === 0) return;
        for (const cache of this.#caches) cache.makeWritable(0, end);
        this.#turn(this.#sinks, end, -this.ahead);
        this.restore(Math.min(this.#sinks, end));
    }

    /** The same where only sinks are left, in pages that no other cache shares. @param {number} count of them */
    restore(count) {
        if (this.ahead === 0) return;
        this.#transfer('cmha_cache_store', count);
        this.ahead = this.gone = this.trace = 0;
        this.dispose();
    }

    /**
     * Writes the mask of what the next token sees in a sliding window.
     * @param {number} address of a byte for each place of the caches
     * @param {number} window positions, the token's own among them
     * @param {number} place index of the token
     */
    writeMask(address, window, place) {
        const { bytes } = this.#network.runtime.memory;
        bytes.fill(0, address, address + place + 1);
        for (let i = Math.max(0, place + 1 - window); i <= place; i++) {
            bytes[address + this.slot(i)] = 1;
        }
    }

    /**
     * @param {readonly PagedCache[]} caches forks of its own
     * @returns {Ring}
     * @throws {RangeError} when the memory is exhausted
     */
    fork(caches) {
        const copy = new Ring(this.#network, caches, this.#sinks, this.#window);
        for (const { address, bytes } of this.kept) {
            copy.reserve();
            this.#network.runtime.memory.bytes.copyWithin(copy.#kept, address, address + bytes);
        }
        return Object.assign(copy, this.state);
    }

    /** Frees what rotating takes. */
    dispose() {
        this.#turner?.dispose();
        this.#network.runtime._free(this.#kept);
        this.#turner = null;
        this.#kept = 0;
    }

    /** Allocates it. @throws {RangeError} when the memory is exhausted */
    reserve() {
        if (this.#turner) return;
        this.#turner = this.#network.makeTurner();
        try {
            this.#kept = this.#network.runtime.memory.alloc(sinkBytes(this.#network, this.#sinks) + 4 * OP_WORDS);
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /**
     * Copies the sinks' keys, from the caches to #kept or back.
     * @param {'cmha_cache_load' | 'cmha_cache_store'} way
     * @param {number} count of sinks
     */
    #transfer(way, count) {
        const { runtime: { memory: { words }, wasm }, description: { layers } } = this.#network;
        const operation = this.#kept + sinkBytes(this.#network, this.#sinks);
        let keys = this.#kept;
        for (let i = 0; i < layers.length; i++) {
            const { attention } = layers[i];
            if (!attention?.rope) continue;
            const { kvHeads, keyDim } = attention;
            writeTransfer(words, operation / 4, this.#caches[i].address, keys, [1, 2, 0, kvHeads, keyDim], 0, count);
            words[operation / 4 + TRANSFER.values] = 0;
            wasm[way](operation + 4 * TRANSFER.keys);
            keys += 4 * this.#sinks * kvHeads * keyDim;
        }
    }

    /** @param {number} from places [from, to) of the caches turn @param {number} to @param {number} by positions */
    #turn(from, to, by) {
        const { layers } = this.#network.description;
        for (let i = 0; i < layers.length; i++) {
            const rope = layers[i].attention?.rope;
            if (!rope) continue;
            const frequencies = this.#network.frequencies(rope, this.#capacity);
            this.#turner?.turn({ cache: this.#caches[i].address, batch: 1, from, to, by, frequencies, pairing: rope.pairing });
        }
    }
}
