// CacheRow: the keys and values of one text, with its tokens and their positions.

import { removePositions } from '../blocks/decoder.js';
import { PagedCache, pageBytes, pageFor } from '../blocks/pages.js';
import { mixerOf } from './description.js';
import { Ring } from './ring.js';

/** @typedef {import('./network.js').Network} Network */

/**
 * @typedef {object} RowState
 * @property {number[]} tokens
 * @property {number[] | null} positions
 * @property {number} cold
 * @property {number} key
 * @property {import('./ring.js').RingState | null} ring
 */

/** @param {Pick<RowState, 'tokens' | 'ring'>} state @param {number} capacity @returns {number} how many places of the caches are in use */
export const placesOf = ({ tokens, ring }, capacity) => (ring && ring.start > 0 ? capacity : tokens.length);

/**
 * Bytes that one page of a layer takes.
 * @param {Network} network
 * @param {import('./description.js').Block} layer
 * @param {import('../blocks/pages.js').KeptType} type
 * @param {number} page positions of it
 */
export function layerPageBytes({ runtime: { wasm } }, layer, type, page) {
    const { kvHeads, keyDim, valueDim } = mixerOf(layer);
    return pageBytes(wasm, type, page, { heads: kvHeads, keyDim, valueDim });
}

/** One text: its tokens, and a cache for every layer. */
export class CacheRow {
    /**
     * @param {Network} network
     * @param {number} capacity most positions
     * @param {import('../blocks/pages.js').KeptType} type of keys and values
     * @param {number} [sinks] once it is full, the oldest token after so many is dropped; -1: none is, and a full cache is an error
     */
    constructor(network, capacity, type, sinks = -1) {
        this.network = network;
        this.capacity = capacity;
        this.type = type;
        this.sinks = sinks;
        /** @type {number[]} */
        this.tokens = [];
        /** Rotary positions of the tokens, if they differ from their indices. @type {number[] | null} */
        this.positions = null;
        /** So many of the first tokens have the keys and values that reading the text from scratch gives: nothing was removed before them. */
        this.cold = 0;
        /** Network.lengthKey() with which its tokens were read; -1: with different ones. */
        this.key = 0;
        /** @type {PagedCache[]} */
        this.caches = [];
        /** Maps a text's order to places in the caches, where they may differ. @type {Ring | null} */
        this.ring = sinks < 0 ? null : new Ring(network, this.caches, sinks, capacity - sinks);
        /** Zeroes new pages, so that nothing that the memory held before gets into a saved cache. @param {number} address @param {number} bytes */
        this._clear = (address, bytes) => {
            network.runtime.memory.f32(address, bytes / 4).fill(0); // six times as fast as bytes
        };
        try {
            for (const layer of network.description.layers) {
                const { kvHeads, keyDim, valueDim } = mixerOf(layer);
                this.caches.push(new PagedCache(network.runtime, { heads: kvHeads, keyDim, valueDim, type, page: pageFor(capacity) }));
            }
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    get length() {
        return this.tokens.length;
    }

    /** Bytes of its pages. */
    get bytes() {
        return this.caches.reduce((sum, cache) => sum + cache.bytes, 0);
    }

    /** What save() has to write: the pages in use, layer by layer (a reading that failed may have left more), and what the ring has kept. */
    pageList() {
        const end = placesOf(this, this.capacity);
        return this.caches.flatMap((cache) => cache.pageList(end)).concat(this.ring?.kept ?? []);
    }

    /** What a file has of it beside the pages. @returns {RowState} */
    get state() {
        const { tokens, positions, cold, key, ring } = this;
        return { tokens, positions, cold, key, ring: ring && ring.state };
    }

    /**
     * Takes over what a file has; the caller then fills what pageList() lists.
     * @param {RowState} state checked
     * @throws {RangeError} when the memory is exhausted
     */
    restore(state) {
        const { tokens, positions, cold, key, ring } = state;
        this.prepare(placesOf(state, this.capacity));
        if (ring) {
            this.ring?.take(ring);
        }
        Object.assign(this, { tokens, positions, cold, key });
    }

    /** @param {number} place index of a token, perhaps of one still to come @returns {number} its rotary position */
    position(place) {
        const { positions } = this;
        if (positions === null) {
            return place;
        }
        return place < positions.length ? positions[place] : place - positions.length + (positions.at(-1) ?? -1) + 1;
    }

    /** @param {number} place index of a token @returns {number} its place in the caches */
    slot(place) {
        return this.ring ? this.ring.slot(place) : place;
    }

    /** @param {number} count @param {number[]} slots is given the places of the last tokens, so many at most, the last one first */
    slotsBefore(count, slots) {
        slots.length = Math.min(count, this.length);
        for (let i = 0; i < slots.length; i++) slots[i] = this.slot(this.length - 1 - i);
    }

    /** @param {number} place index of a token @returns {number} the position that its key is rotated to */
    angle(place) {
        return this.position(place) + (this.ring ? this.ring.ahead : 0);
    }

    /** @param {number} count of tokens to come @returns {number} positions that the text takes with them; a full ring takes no more */
    lengthWith(count) {
        const places = this.length + count;
        return this.position((this.sinks < 0 ? places : Math.min(places, this.capacity)) - 1) + 1;
    }

    /** @throws {Error} after dispose() */
    check() {
        if (this.caches.length === 0) {
            throw new Error('cache: this ModelCache has been disposed');
        }
    }

    /** @param {number} count @returns {number} how many of these tokens one pass may read: a full ring goes on token by token */
    most(count) {
        return this.sinks < 0 ? count : Math.max(1, Math.min(count, this.capacity - this.length));
    }

    /**
     * @param {number} count of more tokens
     * @throws {RangeError} if there are no places, or no learned positions, for so many
     */
    checkRoom(count) {
        const { length } = this;
        const learned = this.network.description.embedding.positions ?? Infinity;
        const most = Math.min(this.sinks < 0 ? this.capacity : Infinity, learned - this.position(length) + length);
        if (length + count > most) {
            throw new RangeError(`ids must fit the cache: it holds ${length} of ${most} positions, got ${count} more`);
        }
    }

    /**
     * Makes room for more tokens, in pages that no other cache shares.
     * @param {number} count
     * @throws {RangeError} when there are more than the capacity, or the memory is exhausted; nothing is lost then
     */
    prepare(count) {
        if (this.ring && this.length + count > this.capacity) {
            // most() lets one token come to a full ring.
            this.ring.prepare();
            this.ring.advance(this.tokens[this.sinks]);
            this._forget(this.sinks, this.sinks + 1, true);
            this.cold = 0; // the sinks have been rotated, too
        }
        this.checkRoom(count);
        const slot = this.slot(this.length);
        for (let i = 0; i < this.caches.length; i++) {
            this.caches[i].reserve(slot + count, this._clear);
            this.caches[i].makeWritable(slot, slot + count);
        }
    }

    /**
     * Whether a text with so many more tokens has other rotations, and the network wants the same for all of its keys (LongRoPE).
     * @param {number} count
     */
    isOutdated(count) {
        const { network, length, cold, key } = this;
        return network.rereads && length > 0 && cold === length && count > 0 && key !== network.lengthKey(this.lengthWith(count));
    }

    /**
     * Notes tokens that have been read.
     * @param {ArrayLike<number>} ids @param {number} from @param {number} count
     * @param {number} key Network.lengthKey() with which they were read
     */
    append(ids, from, count, key) {
        if (count > 0) {
            this.key = this.length === 0 || this.key === key ? key : -1;
        }
        this.cold += this.cold === this.length && !this.ring?.ahead ? count : 0;
        for (let i = 0; i < count; i++) {
            this.positions?.push(this.position(this.tokens.length));
            this.tokens.push(ids[from + i]);
        }
    }

    /**
     * The part of truncate() that may fail.
     * @param {number} n tokens that stay
     * @throws {RangeError} when the memory is exhausted; the text is the same then
     */
    prepareTruncate(n) {
        if (!this.ring || n >= this.length) return;
        this.ring.straighten(this.length);
        if (n <= this.sinks && this.ring.ahead > 0) {
            this.caches.forEach((cache) => cache.makeWritable(0, n));
        }
    }

    /** @param {number} n tokens that stay @throws {RangeError} when the memory is exhausted; the text is the same then */
    truncate(n) {
        this.prepareTruncate(n);
        if (n < this.length && n <= this.sinks) {
            this.ring?.restore(n);
        }
        this.tokens.length = n;
        this.cold = Math.min(this.cold, n);
        if (this.positions) {
            this.positions.length = n;
        }
        this.caches.forEach((cache) => cache.truncate(n));
    }

    /**
     * Removes the tokens [from, to). Later ones move down.
     * @param {number} from
     * @param {number} to
     * @param {boolean} shift whether later tokens take the positions of their new places
     * @throws {RangeError} when the memory is exhausted; the text is the same then
     */
    remove(from, to, shift) {
        const { length } = this;
        this.ring?.straighten(length);
        if (from < this.sinks) {
            this.ring?.settle(length);
        }
        const turn = shift ? (/** @type {import('./description.js').Rope} */ rope) => this.network.frequencies(rope, length) : null;
        removePositions(this.network, this.caches, from, to, length, turn);
        this._forget(from, to, shift);
        this.caches.forEach((cache) => cache.truncate(this.length));
    }

    /** Removes tokens from the lists. @param {number} from @param {number} to @param {boolean} shift */
    _forget(from, to, shift) {
        const { length } = this;
        const positions = shift ? this.positions : this.positions ?? Array.from({ length }, (_, i) => i);
        this.tokens.splice(from, to - from);
        if (positions) {
            const gone = shift ? to - from : 0;
            positions.splice(from, to - from);
            for (let i = from; i < positions.length; i++) {
                positions[i] -= gone;
            }
        }
        this.positions = positions;
        this.cold = Math.min(this.cold, from);
    }

    /** @returns {CacheRow} the same text, sharing its pages */
    fork() {
        /** @type {CacheRow} */
        const copy = Object.assign(Object.create(CacheRow.prototype), this, {
            tokens: this.tokens.slice(), positions: this.positions?.slice() ?? null, caches: [], ring: null,
        });
        try {
            for (const cache of this.caches) {
                copy.caches.push(cache.fork());
            }
            copy.ring = this.ring?.fork(copy.caches) ?? null;
        } catch (error) {
            copy.dispose();
            throw error;
        }
        return copy;
    }

    dispose() {
        this.ring?.dispose();
        this.caches.forEach((cache) => cache.dispose());
        this.caches = [];
    }
}

/**
 * Makes several rows, or none if one of them fails.
 * @param {Network} network
 * @param {number} count
 * @param {(i: number) => number} capacityOf each
 * @param {import('../blocks/pages.js').KeptType} type
 * @param {number} [sinks]
 * @returns {CacheRow[]}
 * @throws {RangeError} when the memory is exhausted; nothing stays allocated then
 */
export function makeRows(network, count, capacityOf, type, sinks) {
    /** @type {CacheRow[]} */
    const rows = [];
    try {
        for (let i = 0; i < count; i++) rows.push(new CacheRow(network, capacityOf(i), type, sinks));
    } catch (error) {
        rows.forEach((row) => row.dispose());
        throw error;
    }
    return rows;
}
