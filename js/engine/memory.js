// Owner of the linear memory: its allocator, its views and its growth. Only the thread that owns the runtime uses it.
//
// The allocator is a two-level segregated fit (Masmano et al. 2004, "TLSF"): free blocks hang in lists by size class,
// two bitmaps find a class that fits, neighbours that are free are merged at once. Both directions take constant time
// and leave nothing on the JavaScript heap.
//
// A block is a run of 64-byte lines: one line of header, then what alloc() returned. Headers are words of the memory:
//   [0] lines of this block   [1] lines of the block before it, 0 = none   [2] USED, FREE or END
//   [3] next, [4] previous block of the free list, by line number, 0 = none
// A header of 0 lines in state END closes the arena.

import { BEFORE, FreeLists, LINES, LINE_WORDS, STATE } from './free-lists.js';
import { PAGE, createMemory } from './wasm.js';

const LINE = 4 * LINE_WORDS;

// States are odd words that data rarely contains, so that freeing a wrong address is noticed.
const USED = 0x75736564;
const FREE = 0x66726565;
const END = 0x656e6421;

/** Most pages that are ever asked for: one less than 4 GiB, so that lengths in bytes stay below 2 ** 32. */
export const MAX_PAGES = 65535;

/** Buffers of memories that are not shared. @type {WeakSet<ArrayBufferLike>} */
const detachable = new WeakSet();

/** @param {ArrayBufferLike} buffer @returns {boolean} whether the next alloc() may take it away from the views of it */
export const isDetachable = (buffer) => detachable.has(buffer);

/** @param {number} bytes @returns {number} lines of a block that holds them, header included */
function linesFor(bytes) {
    return Math.max(1, Math.ceil(bytes / LINE)) + 1;
}

/** The one linear memory of a runtime. */
export class Memory {
    /** @type {WebAssembly.Memory} */
    #memory;
    /** Most pages that it may grow to. */
    #maxPages;
    /** First line of the arena; 0 until open(). */
    #first = 0;
    /** Line of the END header. */
    #end = 0;
    #free = new FreeLists();
    /** The whole memory; like every view not to be kept across alloc(). @type {Uint8Array<ArrayBufferLike>} */
    bytes = new Uint8Array(0);
    /** @type {Uint32Array<ArrayBufferLike>} */
    words = new Uint32Array(0);
    /** @type {Int32Array<ArrayBufferLike>} */
    ints = new Int32Array(0);
    /** @type {Float32Array<ArrayBufferLike>} */
    floats = new Float32Array(0);

    /**
     * Where the engine reserves less address space than asked for, the memory is made with a smaller maximum.
     * @param {number} maxBytes
     * @param {boolean} shared
     */
    constructor(maxBytes, shared) {
        // Never written to, a page costs nothing but address space.
        const initial = Math.min(64, Math.floor(maxBytes / PAGE));
        const wanted = Math.min(MAX_PAGES, Math.floor(maxBytes / PAGE));
        let granted = wanted;
        let memory = createMemory(initial, granted, shared);
        while (!memory && granted > 256) {
            granted = Math.ceil(granted / 2);
            memory = createMemory(initial, granted, shared);
        }
        if (!memory) {
            throw new Error('createRuntime: the engine gives no memory, not even 16 MiB');
        }
        // Who compares or prints what is made on a runtime (assert, Jest) goes through all that it leads to.
        for (const view of ['bytes', 'words', 'ints', 'floats']) Object.defineProperty(this, view, { enumerable: false });
        this.#memory = memory;
        this.#maxPages = granted;
        this.shared = shared;
        /** Pages that the engine refused to reserve. */
        this.refusedPages = wanted - granted;
        /** Bytes in use, headers included, and the most that ever were. */
        this.used = 0;
        this.peak = 0;
        /**
         * Asked to free something when nothing is left; returns whether trying again makes sense.
         * @type {(() => boolean) | null}
         */
        this.onPressure = null;
        this.#refresh();
    }

    /** The engine's object, for instances and workers. */
    get handle() {
        return this.#memory;
    }

    /** Bytes that the memory has grown to. */
    get reserved() {
        return this.bytes.length;
    }

    /** Bytes that it may grow to. */
    get max() {
        return this.#maxPages * PAGE;
    }

    /** Growing detaches (private memory) or outdates (shared memory) every view: these are made anew. */
    #refresh() {
        const { buffer } = this.#memory;
        if (!this.shared) detachable.add(buffer);
        this.bytes = new Uint8Array(buffer);
        this.words = new Uint32Array(buffer);
        this.ints = new Int32Array(buffer);
        this.floats = new Float32Array(buffer);
    }

    /**
     * Takes over everything from `start` on: the first address that the binary's image does not use.
     * @param {number} start
     */
    open(start) {
        this.#first = Math.ceil(start / LINE);
        this.#end = this.#first;
        this.#setHeader(this.#end, 0, 0, END);
        const pages = Math.ceil((start + LINE) / PAGE) - this.reserved / PAGE;
        if (pages > 0) {
            this.#grow(pages);
        } else {
            this.#extend();
        }
    }

    /**
     * A block of at least `bytes` bytes at a multiple of 64, not zeroed.
     * @param {number} bytes
     * @returns {number} its address, never 0
     * @throws {RangeError} when maxMemory does not allow it, and for what is no number of bytes
     */
    alloc(bytes) {
        this.require(bytes);
        const lines = linesFor(bytes);
        return this.#take(this.#free.find(lines) || this.#findHarder(lines, bytes), lines);
    }

    /**
     * The same, as far as it is there without anybody giving up something for it.
     * @param {number} bytes
     * @returns {number} its address, or 0
     */
    offer(bytes) {
        if (!(Number.isInteger(bytes) && bytes >= 0 && bytes <= this.max)) {
            return 0;
        }
        const lines = linesFor(bytes);
        const block = this.#free.find(lines) || this.#look(lines);
        return block === 0 ? 0 : this.#take(block, lines);
    }

    /**
     * Makes sure that so much can be had in one piece, before something is begun that must not stop half-way.
     * @param {number} bytes
     * @throws {RangeError} as alloc()
     */
    ensure(bytes) {
        this.free(this.alloc(bytes));
    }

    /**
     * Refuses at once what can never be had, before anything is made that it would be for.
     * @param {number} bytes
     * @throws {RangeError} for more than maxMemory, and for what is no number of bytes
     */
    require(bytes) {
        if (!(Number.isInteger(bytes) && bytes >= 0 && bytes <= this.max)) {
            throw this.#exhausted(bytes);
        }
    }

    /**
     * @param {number} block  that is free and has `lines`, or more
     * @param {number} lines
     * @returns {number} its address, once it is cut to size and in use
     */
    #take(block, lines) {
        const at = block * LINE_WORDS;
        const words = this.words;
        this.#free.unlink(words, block);
        const rest = words[at + LINES] - lines;
        if (rest >= 2) {
            words[at + LINES] = lines;
            this.#setHeader(block + lines, rest, lines, FREE);
            words[(block + lines + rest) * LINE_WORDS + BEFORE] = rest;
            this.#free.link(words, block + lines);
        }
        words[at + STATE] = USED;
        this.used += words[at + LINES] * LINE;
        if (this.used > this.peak) {
            this.peak = this.used;
        }
        return (block + 1) * LINE;
    }

    /**
     * Gives a block back.
     * @param {number} address  that alloc() returned
     */
    free(address) {
        let block = address / LINE - 1;
        const words = this.words;
        if (!Number.isInteger(block) || block < this.#first || block >= this.#end
            || words[block * LINE_WORDS + STATE] !== USED) {
            throw new Error(`Memory: ${address} is not the address of a block in use`);
        }
        let lines = words[block * LINE_WORDS + LINES];
        this.used -= lines * LINE;
        const after = block + lines;
        if (words[after * LINE_WORDS + STATE] === FREE) {
            this.#free.unlink(words, after);
            lines += words[after * LINE_WORDS + LINES];
        }
        const before = block - words[block * LINE_WORDS + BEFORE];
        if (before !== block && words[before * LINE_WORDS + STATE] === FREE) {
            this.#free.unlink(words, before);
            // The header that is swallowed must not pass for a block any more.
            words[block * LINE_WORDS + STATE] = FREE;
            lines += words[before * LINE_WORDS + LINES];
            block = before;
        }
        words[block * LINE_WORDS + LINES] = lines;
        words[block * LINE_WORDS + STATE] = FREE;
        words[(block + lines) * LINE_WORDS + BEFORE] = lines;
        this.#free.link(words, block);
    }

    /**
     * @param {number} address  that alloc() returned
     * @returns {number} bytes that the block takes, header included
     */
    sizeOf(address) {
        return this.words[(address / LINE - 1) * LINE_WORDS + LINES] * LINE;
    }

    /**
     * Fresh views of a part of the memory; none outlives the next alloc().
     * @param {number} address
     * @param {number} n  elements
     */
    f32(address, n) {
        return new Float32Array(this.#memory.buffer, address, n);
    }

    /** @param {number} address a multiple of 8 @param {number} n */
    f64(address, n) {
        return new Float64Array(this.#memory.buffer, address, n);
    }

    /** @param {number} address @param {number} n */
    u32(address, n) {
        return new Uint32Array(this.#memory.buffer, address, n);
    }

    /** @param {number} address @param {number} n */
    i32(address, n) {
        return new Int32Array(this.#memory.buffer, address, n);
    }

    /** @param {number} address @param {number} n */
    u8(address, n) {
        return new Uint8Array(this.#memory.buffer, address, n);
    }

    /**
     * Grows, then searches the class below for a block that happens to fit, then asks for something to be freed.
     * @param {number} lines
     * @param {number} bytes  asked for, for the message
     * @returns {number}
     */
    #findHarder(lines, bytes) {
        for (;;) {
            const block = this.#look(lines);
            if (block !== 0) {
                return block;
            }
            if (!this.onPressure?.()) {
                throw this.#exhausted(bytes);
            }
        }
    }

    /**
     * @param {number} lines
     * @returns {number} a free block, by growth if need be; 0: there is none
     */
    #look(lines) {
        if (this.#growFor(lines)) {
            // The block at the end fits by construction; its class may be one below the one searched first.
            const words = this.words;
            return this.#end - words[this.#end * LINE_WORDS + BEFORE];
        }
        return this.#free.find(lines) || this.#free.search(this.words, lines);
    }

    /** @param {number} bytes */
    #exhausted(bytes) {
        const free = this.max - this.#first * LINE - this.used;
        return new RangeError(`memory exhausted: ${bytes} bytes are needed in one piece, ${free} of `
            + `maxMemory ${this.max} are free`);
    }

    /**
     * Grows until the last block is free and has `lines`.
     * @param {number} lines
     * @returns {boolean} false where the maximum or the engine forbids it
     */
    #growFor(lines) {
        const words = this.words;
        const lastLines = words[this.#end * LINE_WORDS + BEFORE];
        const last = this.#end - lastLines;
        const tail = lastLines !== 0 && words[last * LINE_WORDS + STATE] === FREE ? lastLines : 0;
        const has = this.reserved / PAGE;
        const pages = Math.ceil(((lines - tail) * LINE) / PAGE);
        if (pages <= 0) {
            return true;
        }
        if (has + pages > this.#maxPages) {
            return false;
        }
        // An eighth more than there is, within reason: many small requests must not mean many growths.
        const generous = Math.max(pages, Math.min(has >>> 3, 1024));
        return this.#grow(Math.min(generous, this.#maxPages - has))
            || (generous > pages && this.#grow(pages));
    }

    /**
     * @param {number} pages
     * @returns {boolean}
     */
    #grow(pages) {
        try {
            this.#memory.grow(pages);
        } catch (error) {
            if (error instanceof RangeError) {
                return false;
            }
            throw error;
        }
        this.#refresh();
        this.#extend();
        return true;
    }

    /** Makes what lies behind END a free block, merged with a free one ahead of it, and puts a new END behind it. */
    #extend() {
        const end = this.reserved / LINE - 1;
        const lines = end - this.#end;
        if (lines < 2) {
            return;
        }
        let block = this.#end;
        let total = lines;
        const words = this.words;
        const before = words[block * LINE_WORDS + BEFORE];
        if (before !== 0 && words[(block - before) * LINE_WORDS + STATE] === FREE) {
            this.#free.unlink(words, block - before);
            block -= before;
            total += before;
        } else {
            words[block * LINE_WORDS + STATE] = FREE;
        }
        words[block * LINE_WORDS + LINES] = total;
        this.#end = end;
        this.#setHeader(end, 0, total, END);
        this.#free.link(words, block);
    }

    /**
     * @param {number} block
     * @param {number} lines
     * @param {number} before
     * @param {number} state
     */
    #setHeader(block, lines, before, state) {
        const at = block * LINE_WORDS;
        this.words[at + LINES] = lines;
        this.words[at + BEFORE] = before;
        this.words[at + STATE] = state;
    }
}
