// PagedCache: the keys and values of past positions in pages, as the attention kernels stream them. Pages are shared
// and counted, so that a cache grows, shrinks, is forked and reordered without its numbers being moved. Only C knows
// where in a page a number lies (see "the cache" in src/cmha.h).

import { rangeError } from '../check.js';
import { CACHE, CACHE_WORDS, KEPT, KEPT_BYTES, PAGE, PANEL, TRANSFER } from '../engine/interface.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */

/** How numbers can be kept: names in KEPT. @satisfies {Record<string, keyof typeof KEPT>} */
const TYPES = Object.freeze({ float32: 'F32', float16: 'F16', int8: 'I8' });

/** @typedef {'float32' | 'float16' | 'int8'} KeptType */

/** @param {unknown} type @returns {type is KeptType} */
export const isKeptType = (type) => typeof type === 'string' && Object.hasOwn(TYPES, type);

/**
 * @param {string} argument its name
 * @param {unknown} type
 * @throws {RangeError} unless numbers can be kept so
 */
export function checkKeptType(argument, type) {
    if (!isKeptType(type)) throw rangeError(argument, `one of '${Object.keys(TYPES).join("', '")}'`, type);
}

/** A page: a block of memory, and how many lists it stands in. @typedef {{ address: number, owners: number }} Page */

/**
 * @typedef {object} PagedCacheOptions
 * @property {number} [batch] rows that grow together, 1
 * @property {number} heads key/value heads
 * @property {number} keyDim
 * @property {number} valueDim
 * @property {KeptType} [type] how numbers are kept; 'int8': bytes, and a scale for each key and value of a head
 * @property {number} [page] positions of a page: 256, or fewer (a multiple of 8) where one page holds the whole cache
 */

/** Bytes of a number, and of what a key or value of a head takes besides. @param {KeptType} type */
export const keptBytes = (type) => KEPT_BYTES[TYPES[type]];

/**
 * Positions of a page of a cache that never holds more than `length`.
 * @param {number} length
 */
export function pageFor(length) {
    return Math.min(PAGE, Math.ceil(length / PANEL) * PANEL);
}

/**
 * Bytes of a page.
 * @param {import('../engine/wasm.js').Exports} wasm
 * @param {KeptType} type
 * @param {number} page positions of it
 * @param {{ heads: number, keyDim: number, valueDim: number }} sizes
 */
export const pageBytes = (wasm, type, page, { heads, keyDim, valueDim }) =>
    wasm.cmha_cache_page_bytes(KEPT[TYPES[type]], page, heads, keyDim, valueDim);

/**
 * Pages of one layer. Its methods change what programs read, so none may be called while one of them runs; they may be
 * called while one is recorded.
 */
export class PagedCache {
    /** @type {Page[][]} */
    #rows;
    #options;
    /** Address of the table of pages, and how many it has room for. */
    #table = 0;
    #room = 0;
    /** Whether any of its pages may have another owner. */
    #shared = false;

    /** @param {Runtime} runtime @param {PagedCacheOptions} options @throws {RangeError} when the memory is exhausted */
    constructor(runtime, options) {
        const { batch = 1, heads, keyDim, valueDim, type = 'float32', page = PAGE } = options;
        this._runtime = runtime;
        this.#options = { heads, keyDim, valueDim, type, page };
        this.#rows = Array.from({ length: batch }, () => []);
        /** Bytes of a page. */
        this.pageBytes = pageBytes(runtime.wasm, type, page, { heads, keyDim, valueDim });
        /** Address of the cache's description in memory, which operations point to; the same as long as it lives. */
        this.address = runtime.memory.alloc(4 * CACHE_WORDS);
        this.#describe();
    }

    /** Rows. */
    get batch() {
        return this.#rows.length;
    }

    /** How its numbers are kept. @returns {KeptType} */
    get type() {
        return this.#options.type;
    }

    /** Positions that it has pages for. */
    get capacity() {
        return this.#rows[0].length * this.#options.page;
    }

    /** Bytes of its pages, those that it shares with others too. */
    get bytes() {
        return this.#rows.reduce((sum, row) => sum + row.length, 0) * this.pageBytes;
    }

    /**
     * Adds pages until every row has room for so many positions. What they hold is not defined.
     * @param {number} positions
     * @param {(address: number, bytes: number) => void} [fill] is given every page that is added
     * @throws {RangeError} when the memory is exhausted; nothing has changed then
     */
    reserve(positions, fill) {
        if (positions <= this.capacity) return;
        const pages = Math.ceil(positions / this.#options.page);
        const before = this.#rows[0].length;
        const added = this.#reservePages((pages - before) * this.#rows.length);
        try {
            this.#reserveTable(pages);
        } catch (error) {
            for (const address of added) this._runtime.memory.free(address);
            throw error;
        }
        for (const address of added) fill?.(address, this.pageBytes);
        for (const row of this.#rows) {
            while (row.length < pages) row.push({ address: /** @type {number} */ (added.pop()), owners: 1 });
        }
        this.#describe();
    }

    /**
     * Its pages, row by row, in order of position.
     * @param {number} [positions] those that hold the first so many, all of them by default
     * @returns {{ address: number, bytes: number }[]}
     */
    pageList(positions = Infinity) {
        const pages = Math.ceil(positions / this.#options.page);
        return this.#rows.flatMap((row) => row.slice(0, pages).map(({ address }) => ({ address, bytes: this.pageBytes })));
    }

    /**
     * Drops the pages that hold nothing before a position.
     * @param {number} positions that are kept
     */
    truncate(positions) {
        const pages = Math.ceil(positions / this.#options.page);
        for (const row of this.#rows) {
            while (row.length > pages) this.#drop(/** @type {Page} */ (row.pop()));
        }
    }

    /** @returns {PagedCache} one with the same contents, which shares the pages until either is written to */
    fork() {
        const copy = new PagedCache(this._runtime, { ...this.#options, batch: this.batch });
        try {
            copy.#reserveTable(this.#rows[0].length);
        } catch (error) {
            copy.dispose();
            throw error;
        }
        copy.#rows = this.#rows.map((row) => [...row]);
        for (const row of copy.#rows) for (const page of row) page.owners++;
        this.#shared = copy.#shared = true;
        copy.#describe();
        return copy;
    }

    /**
     * Becomes what a fork of it is, which is gone then.
     * @param {PagedCache} fork with as many rows and pages
     */
    takeBack(fork) {
        for (const row of this.#rows) for (const page of row) this.#drop(page);
        this.#rows = fork.#rows;
        fork.#rows = [];
        fork.dispose();
        this.#describe();
    }

    /**
     * Row i becomes what row parents[i] was; there may be more rows afterwards, or fewer.
     * @param {ArrayLike<number>} parents
     * @throws {RangeError} when the memory is exhausted; nothing has changed then
     */
    reorder(parents) {
        const rows = Array.from(parents, (parent) => [...this.#rows[parent]]);
        const pages = this.#rows[0].length;
        const old = this.#rows;
        this.#rows = rows;
        try {
            this.#reserveTable(pages);
        } catch (error) {
            this.#rows = old;
            throw error;
        }
        for (const row of rows) for (const page of row) page.owners++;
        for (const row of old) for (const page of row) this.#drop(page);
        this.#shared = true;
        this.#describe();
    }

    /**
     * Gives pages of its own to the positions [from, to), in all rows: before they are written.
     * @param {number} from
     * @param {number} to
     * @param {boolean} [discard] whether what they hold, and whatever follows, is not wanted any more
     * @throws {RangeError} when the memory is exhausted; the contents are the same then
     */
    makeWritable(from, to, discard = false) {
        if (!this.#shared || to <= from) return;
        const { page } = this.#options;
        const [first, last] = [Math.floor(from / page), Math.ceil(to / page)];
        const copies = this.#reservePages(this.#copiesOf(first, last));
        if (copies.length === 0) return;
        for (const row of this.#rows) {
            for (let i = first; i < last && i < row.length; i++) {
                if (row[i].owners === 1) continue;
                const address = /** @type {number} */ (copies.pop());
                if (!discard || i * page < from) this._runtime.memory.bytes.copyWithin(address, row[i].address, row[i].address + this.pageBytes);
                this.#drop(row[i]);
                row[i] = { address, owners: 1 };
            }
        }
        this.#describe();
    }

    /**
     * @param {number} first page
     * @param {number} last the page after the last
     * @returns {number} how many must be copied, so that each row has its own
     */
    #copiesOf(first, last) {
        let count = 0;
        /** Of two rows with the same page one keeps it. @type {Map<Page, number>} */
        const owners = new Map();
        for (const row of this.#rows) {
            for (let i = first; i < last && i < row.length; i++) {
                const left = owners.get(row[i]) ?? row[i].owners;
                if (left > 1) count++;
                owners.set(row[i], left - 1);
            }
        }
        return count;
    }

    /** @param {number} count @returns {number[]} addresses of so many blocks for pages; all or none */
    #reservePages(count) {
        const { memory } = this._runtime;
        // What cannot be had in all is not begun.
        if (count * this.pageBytes > memory.max) memory.alloc(count * this.pageBytes);
        /** @type {number[]} */
        const added = [];
        try {
            while (added.length < count) added.push(memory.alloc(this.pageBytes));
        } catch (error) {
            for (const address of added) memory.free(address);
            throw error;
        }
        return added;
    }

    /**
     * Moves n positions, as they lie, in all rows.
     * @param {number} from
     * @param {number} to at most `from`, or from + n at least
     * @param {number} n
     * @throws {RangeError} when the memory is exhausted; the contents are the same then
     */
    move(from, to, n) {
        if (n <= 0 || from === to) return;
        this.makeWritable(to, to + n);
        this._runtime.wasm.cmha_cache_move(this.address, this.batch, from, to, n);
    }

    /**
     * Where a page of the first row lies, for whoever saves it or fills it in: in the layout of this version of C.
     * @param {number} index
     * @returns {{ address: number, bytes: number }}
     */
    pageAt(index) {
        return { address: this.#rows[0][index].address, bytes: this.pageBytes };
    }

    /** Frees what no other cache shares. */
    dispose() {
        for (const row of this.#rows) for (const page of row) this.#drop(page);
        this.#rows = [];
        if (this.address === 0) return;
        this._runtime._free(this.#table);
        this._runtime._free(this.address);
        this.#table = 0;
        this.address = 0;
    }

    /** @param {Page} page */
    #drop(page) {
        if (--page.owners === 0) this._runtime._free(page.address);
    }

    /** Room for `pages` pages of each row. @param {number} pages */
    #reserveTable(pages) {
        const needed = pages * this.#rows.length;
        if (needed <= this.#room) return;
        const room = Math.max(needed, 2 * this.#room);
        const table = this._runtime.memory.alloc(4 * room);
        this._runtime._free(this.#table);
        this.#table = table;
        this.#room = room;
    }

    /** Writes it all down for C. */
    #describe() {
        const { words } = this._runtime.memory;
        const { heads, keyDim, valueDim, type, page } = this.#options;
        const pages = this.#rows[0].length;
        const at = this.address / 4;
        let next = this.#table / 4;
        for (const row of this.#rows) for (const { address } of row) words[next++] = address;
        words[at + CACHE.pages] = this.#table;
        words[at + CACHE.rowPages] = pages;
        words[at + CACHE.page] = page;
        words[at + CACHE.heads] = heads;
        words[at + CACHE.d] = keyDim;
        words[at + CACHE.v] = valueDim;
        words[at + CACHE.type] = KEPT[TYPES[type]];
    }
}

/**
 * Writes down a transfer between a cache and rows in Keras's order [B, 2, S, G, D]: positions [index, index + t).
 * @param {Uint32Array} words of the memory
 * @param {number} op first word of the operation STORE or LOAD
 * @param {number} cache address
 * @param {number} rows address of position `index` of the first batch entry
 * @param {readonly number[]} shape [B, 2, S, G, D] of the rows
 * @param {number} index
 * @param {number} t
 * @param {number} [round] of ROUND
 */
export function writeTransfer(words, op, cache, rows, [batch, , length, heads, dim], index, t, round = 0) {
    const stride = heads * dim;
    words[op + TRANSFER.keys] = rows;
    words[op + TRANSFER.values] = rows + 4 * length * stride;
    words[op + TRANSFER.keysBatch] = words[op + TRANSFER.valuesBatch] = 2 * length * stride;
    words[op + TRANSFER.keysStride] = words[op + TRANSFER.valuesStride] = stride;
    words[op + TRANSFER.cache] = cache;
    words[op + TRANSFER.first] = 0;
    words[op + TRANSFER.batch] = batch;
    words[op + TRANSFER.t] = t;
    words[op + TRANSFER.index] = index;
    words[op + TRANSFER.round] = round;
}
