// ModelSteps: what a search drives (Steps in search.js), on a network. It reads the tokens of one text or several into their caches.
// Memory for the results is allocated at the beginning; after that only the caches grow, by pages.

import { PassJob } from '../model/pass-job.js';
import { read, readStep, wantedOf } from '../model/reader.js';

/** @typedef {import('../model/network.js').Network} Network */
/** @typedef {import('../model/cache-row.js').CacheRow} CacheRow */

export class ModelSteps {
    /**
     * @param {Network} network
     * @param {CacheRow[]} rows that it reads into
     * @param {boolean} owns whether dispose() frees the rows too
     * @param {import('./together.js').Together | null} [together] joins its passes with those of other texts
     * @throws {RangeError} when the memory is exhausted; nothing stays allocated then
     */
    constructor(network, rows, owns, together = null) {
        this._network = network;
        this._runtime = network.runtime;
        this._rows = rows;
        this._owns = owns;
        this._job = new PassJob(network);
        this._job.together = together;
        this.vocabularySize = network.description.vocabulary;
        this.width = network.description.width;
        this._hidden = this._logits = this._row = 0;
        /** What room() has allocated. @type {number[]} */
        this._extra = [];
        /** What else dispose() disposes of. @type {{ dispose(): void }[]} */
        this.owned = [];
        /** Views of the memory, made anew when it has grown. @type {Float32Array | null} */
        this._logitsView = null;
        /** @type {Float32Array | null} */
        this._rowView = null;
        /** The softmax of a whole vocabulary, computed by the C core. @type {import('./softmax.js').Softmax} */
        this.softmax = (logits, temperature, out) => {
            this._network.check('generate');
            this._rowView = this._view(this._rowView, this._row, this.vocabularySize);
            this._rowView.set(logits);
            this._runtime.wasm.cmha_softmax_f32(this._row, this._row, this.vocabularySize, 1 / temperature);
            out.set(this._rowView);
        };
        /** Arguments of a step, kept so that no step allocates any. @type {{ row: CacheRow, ids: Uint32Array }[]} */
        this._runs = [];
        this._wanted = { logits: 0, hidden: 0, every: false };
        try {
            this._row = this._runtime.memory.alloc(this.vocabularySize * 4);
            this._allocate();
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /** Allocates the results of all rows. If that fails, those from before stay. */
    _allocate() {
        const { memory } = this._runtime;
        const batch = this._rows.length;
        const logits = memory.alloc(batch * this.vocabularySize * 4);
        try {
            this._hidden = memory.alloc(batch * this.width * 4);
        } catch (error) {
            memory.free(logits);
            throw error;
        }
        this._logits = logits;
        this._runs = this._rows.map((row) => ({ row, ids: new Uint32Array(1) }));
        this._wanted = { logits: this._logits, hidden: this._hidden, every: false };
    }

    /** Aborts reading. @param {AbortSignal | null | undefined} signal */
    set signal(signal) {
        this._job.signal = signal;
    }

    /** The caches that it reads into. @returns {readonly CacheRow[]} */
    get rows() {
        return this._rows;
    }

    /** Bytes of its caches. */
    get cacheBytes() {
        return this._rows.reduce((bytes, row) => bytes + row.bytes, 0);
    }

    /** @param {import('../model/pass-job.js').AttentionWatch} watch gets attention scores from now on */
    watch(watch) {
        this._job.watch = watch;
    }

    /**
     * Reads the prompts; afterwards logits() and hidden() are those of their last tokens.
     * @param {ArrayLike<number>[]} texts one for each row, at least one token each
     * @param {(done: number) => unknown} [between] called after every pass with the tokens read
     * @returns {Promise<void>}
     */
    prefill(texts, between) {
        return read(this._job, this._rows.map((row, i) => ({ row, ids: texts[i] })), this._wanted, between);
    }

    /**
     * The same, one text after the other, and returns the hidden states of all positions.
     * @param {ArrayLike<number>[]} texts of the same length
     * @param {(done: number) => unknown} [between]
     * @returns {Promise<Float32Array>} [texts][ids][width] after the last norm
     */
    async prefillWithHidden(texts, between) {
        this._network.check('generate');
        const { memory } = this._runtime;
        const size = texts[0].length * this.width;
        const all = new Float32Array(texts.length * size);
        const address = memory.alloc(4 * size);
        try {
            const states = [{ layer: this._network.description.layers.length, address }];
            for (const [i, ids] of texts.entries()) {
                await read(this._job, [{ row: this._rows[i], ids }], { ...wantedOf(this._network, this._wanted, i), states }, between);
                this._network.check('generate');
                all.set(memory.f32(address, size), i * size);
            }
            return all;
        } finally {
            this._runtime._free(address);
        }
    }

    /**
     * Reads one token per row.
     * @param {Uint32Array} tokens [rows]
     * @returns {Promise<void>}
     */
    step(tokens) {
        for (let i = 0; i < this._runs.length; i++) {
            this._runs[i].ids[0] = tokens[i];
        }
        return readStep(this._job, this._runs, this._wanted);
    }

    /**
     * Allocates memory for more logits, until dispose().
     * @param {number} rows
     * @returns {number} address of [rows][V]
     */
    room(rows) {
        const address = this._runtime.memory.alloc(4 * rows * this.vocabularySize);
        this._extra.push(address);
        return address;
    }

    /**
     * Reads tokens of the first text and keeps the logits after each of them; with `between` only those of the newest pass.
     * @param {number[]} ids
     * @param {number} address of [ids][V], with `between` of [CHUNK][V] at most
     * @param {(done: number) => unknown} [between] called after every pass with the tokens read
     * @returns {Promise<void>}
     */
    readAhead(ids, address, between) {
        this._network.check(between ? 'score' : 'generate');
        const wanted = { logits: address, hidden: 0, every: true, passing: between !== undefined };
        return read(this._job, [{ row: this._rows[0], ids }], wanted, between);
    }

    /**
     * Where rotations depend on the length of the text, tokens that are read in one pass are all rotated as in a text of its final
     * length. That must give what reading them one by one gives.
     * @param {number} length of the text
     * @param {number} count of tokens to read
     * @returns {number} how many of them may be read in one pass
     */
    alike(length, count) {
        this._network.check('generate');
        let most = count;
        while (most > 0 && this._network.lengthKey(length + most) !== this._network.lengthKey(length)) {
            most--;
        }
        return most;
    }

    /** @param {number} address of [rows][V] @param {number} row @returns {Float32Array} valid until something is allocated */
    rowAt(address, row) {
        this._network.check('generate');
        return this._runtime.memory.f32(address + 4 * row * this.vocabularySize, this.vocabularySize);
    }

    /** @param {number} n positions that the first text keeps */
    truncate(n) {
        const [row] = this._rows;
        if (row && row.length > n) {
            row.truncate(n);
        }
    }

    /** @returns {Float32Array} [rows][V] of the last tokens, valid until the next step */
    logits() {
        this._network.check('generate');
        this._logitsView = this._view(this._logitsView, this._logits, this._rows.length * this.vocabularySize);
        return this._logitsView;
    }

    /** @returns {Float32Array} [rows][F] of the last tokens after the final norm, valid until the next step */
    hidden() {
        this._network.check('generate');
        return this._runtime.memory.f32(this._hidden, this._rows.length * this.width);
    }

    /**
     * @param {Float32Array | null} last what this returned the last time
     * @param {number} address
     * @param {number} n
     * @returns {Float32Array} n floats from the address on, valid until something is allocated
     */
    _view(last, address, n) {
        const { memory } = this._runtime;
        const fits = last?.buffer === memory.floats.buffer && last.byteOffset === address && last.length === n;
        return fits ? last : memory.f32(address, n);
    }

    /**
     * Every row becomes `copies` rows, one after the other, with the same past.
     * @param {number} copies
     */
    expand(copies) {
        const before = this._rows;
        // Checked first, as rows are JavaScript objects, whose number the runtime's memory does not bound.
        this._runtime.memory.require(4 * before.length * copies * this.vocabularySize);
        /** @type {CacheRow[]} */
        const forks = [];
        try {
            this._rows = before.flatMap((row) => Array.from({ length: copies }, (_, i) => {
                if (i === 0 && this._owns) {
                    return row;
                }
                const fork = row.fork();
                forks.push(fork);
                return fork;
            }));
            const spare = [this._hidden, this._logits];
            this._allocate();
            spare.forEach((address) => this._runtime._free(address));
            this._owns = true;
        } catch (error) {
            forks.forEach((fork) => fork.dispose());
            this._rows = before;
            throw error;
        }
    }

    /**
     * Row r continues as row parents[r] did. A row that other rows continue must be its own parent.
     * @param {Uint32Array} parents
     */
    reorder(parents) {
        const before = this._rows;
        const after = before.slice();
        try {
            before.forEach((_, r) => {
                if (parents[r] !== r) {
                    after[r] = before[parents[r]].fork();
                }
            });
        } catch (error) {
            after.forEach((row, r) => row !== before[r] && row.dispose());
            throw error;
        }
        before.forEach((row, r) => {
            if (parents[r] !== r) {
                row.dispose();
            }
        });
        this._rows = after;
        this._runs.forEach((run, r) => {
            run.row = after[r];
        });
    }

    /** Frees everything that it owns. */
    dispose() {
        this.owned.splice(0).forEach((part) => part.dispose());
        if (this._owns) {
            this._rows.forEach((row) => row.dispose());
        }
        this._rows = [];
        for (const address of [this._hidden, this._logits, this._row, ...this._extra.splice(0)]) {
            this._runtime._free(address);
        }
        this._hidden = this._logits = this._row = 0;
    }
}
