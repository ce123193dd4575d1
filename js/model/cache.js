// ModelCache: the keys and values of one text or several, with their tokens.

import { printAs } from '../engine/print.js';
import { isNode } from '../engine/threads.js';
import { restorePages } from '../blocks/cache-bytes.js';
import { readFile } from '../files/source.js';
import { readCache, writeCache } from './cache-file.js';
import { checkOptionNames, indexList, integerWithin, positiveInteger, rangeError, typeError, wrappedError } from '../check.js';
import { checkKeptType, pageFor } from '../blocks/pages.js';
import { layerPageBytes, makeRows } from './cache-row.js';
import { Network } from './network.js';
import { PassJob } from './pass-job.js';
import { checkIds } from './reader.js';

/** @typedef {import('./cache-row.js').CacheRow} CacheRow */

/**
 * @typedef {object} CacheOptions
 * @property {number} [length] most positions of a text; default: the model's contextLength. Memory is taken only as the cache grows
 * @property {import('../blocks/pages.js').KeptType} [dtype] type of keys and values; default: the model's cacheDtype
 * @property {number} [batch] number of texts; default: 1
 * @property {number} [window] with `sinks`, in place of `length`: the cache has sinks + window positions; once it is full, the oldest token
 *   after the sinks is dropped before each new one
 * @property {number} [sinks] how many of a text's first tokens are never dropped ("attention sinks")
 */

/**
 * The keys and values of a text, or of several with `batch`, and their tokens. Made by model.createCache(), filled by model.forward()
 * and model.generate().
 * @template {number[] | number[][]} [T=number[] | number[][]] type of `tokens`
 */
export class ModelCache {
    #rows;
    #batch;
    #disposed = false;
    #onMake;
    #onDispose;

    /**
     * @param {Network} network
     * @param {{ rows: CacheRow[], batch: boolean, onMake: (cache: ModelCache) => void,
     *   onDispose: (cache: ModelCache) => void }} parts
     */
    constructor(network, parts) {
        if (!(network instanceof Network)) throw typeError('a ModelCache', 'made by model.createCache() or ModelCache.load()', network);
        const { rows, batch, onMake, onDispose } = parts;
        this._network = network;
        this.#rows = rows;
        this.#batch = batch;
        this.#onMake = onMake;
        this.#onDispose = onDispose;
        /** The job that forward() reads with: a step can run the program that was recorded for the step before. */
        this._passes = new PassJob(network);
        onMake(this);
    }

    /** Whether something is reading into it. */
    _locked = false;

    /**
     * Lets nothing else use it until _unlock().
     * @param {string} what names the caller in errors
     * @returns {CacheRow[]} its texts
     */
    _lock(what) {
        this._idle(what);
        this._locked = true;
        return this.#rows;
    }

    _unlock() {
        this._locked = false;
    }

    /** Its texts. @returns {CacheRow[]} */
    get _rows() {
        this._check('cache');
        return this.#rows;
    }

    /** The ids of the tokens that it holds; with `batch` a list for each text. @returns {T} */
    get tokens() {
        const all = this._rows.map(({ tokens }) => tokens.slice());
        return /** @type {T} */ (this.#batch ? all : all[0]);
    }

    /** How many positions it holds, of the longest text. */
    get length() {
        return this._rows.reduce((most, row) => Math.max(most, row.length), 0);
    }

    /** Most positions that a text may take. */
    get capacity() {
        return this._rows[0].capacity;
    }

    /** Number of texts. */
    get batch() {
        return this._rows.length;
    }

    /** Bytes of the pages of its keys and values. Pages shared with a fork count for both. */
    get byteLength() {
        return this._rows.reduce((sum, row) => sum + row.bytes, 0);
    }

    get disposed() {
        ModelCache.#itself(this);
        return this.#disposed || this._network.disposed || this._network.runtime.disposed;
    }

    /**
     * Keeps the first `n` positions.
     * @param {number} n
     * @throws {RangeError} if it holds fewer; if the memory is exhausted, of which a cache with sinks that has dropped tokens needs some.
     *   Nothing is changed then
     */
    truncate(n) {
        this._idle('truncate');
        integerWithin('truncate: n', n, this.length);
        this.#rows.forEach((row) => row.prepareTruncate(n));
        this.#rows.forEach((row) => row.truncate(Math.min(n, row.length)));
    }

    /**
     * Keeps the longest beginning that it has in common with a text, at most all but the text's last token: what is left to read is
     * `ids.slice(n)`. A cache with sinks is kept as it is if reading the text's first n tokens would have left it so, whatever it dropped.
     * @param {ArrayLike<number>} ids of the text
     * @returns {number} n: how many of the ids need not be read
     * @throws {RangeError} if the memory is exhausted, of which a cache with sinks that has dropped tokens needs some. Nothing is changed
     *   then
     */
    reuse(ids) {
        this._idle('reuse');
        const row = this._single('reuse');
        const wanted = checkIds('ids', ids, this._network.description.vocabulary);
        this._idle('reuse'); // reading the ids may have run code of the caller's
        let n = 0;
        const most = Math.min(row.length, wanted.length - 1);
        while (n < most && row.tokens[n] === wanted[n] && row.position(n) === n) {
            n++;
        }
        const read = n < most && row.positions === null && row.ring ? row.ring.follows(wanted, row.tokens) : 0;
        row.truncate(row.ring && read > 0 ? read - row.ring.gone : n);
        return read || n;
    }

    /**
     * Removes positions [from, to).
     * @param {number} from
     * @param {number} to
     * @param {{ shift?: boolean }} [options] shift: later tokens move down: their keys are rotated to the new positions, their values stay as
     *   they are (default: true); false: later tokens keep their positions
     * @throws {RangeError} for a range that it does not hold; for shift in a model whose keys cannot be rotated anew
     */
    remove(from, to, options = {}) {
        this._idle('remove');
        checkOptionNames('remove', options, ['shift']);
        const { shift = true } = options;
        this._idle('remove'); // reading the options may have run code of the caller's
        const row = this._single('remove');
        if (typeof shift !== 'boolean') {
            throw typeError('shift', 'true or false', shift);
        }
        integerWithin('remove: to', to, row.length);
        integerWithin('remove: from', from, to);
        if (shift && this._network.fixed !== null && to < row.length && from < to) {
            throw new RangeError(`remove: this model has ${this._network.fixed} and cannot be shifted`);
        }
        if (from < to) {
            row.remove(from, to, shift);
        }
    }

    /** @returns {ModelCache<T>} a copy that goes on by itself; pages are shared until one of the two writes to them */
    fork() {
        this._idle('fork');
        /** @type {CacheRow[]} */
        const rows = [];
        try {
            this.#rows.forEach((row) => rows.push(row.fork()));
        } catch (error) {
            rows.forEach((row) => row.dispose());
            throw error;
        }
        return this._like(rows);
    }

    /** @param {CacheRow[]} rows @returns {ModelCache<T>} */
    _like(rows) {
        const parts = { rows, batch: this.#batch, onMake: this.#onMake, onDispose: this.#onDispose };
        return new ModelCache(this._network, parts);
    }

    /**
     * Text i becomes what text rows[i] was, as beam search needs it between two tokens.
     * @param {ArrayLike<number>} rows as many as there are texts; a text may be named several times
     */
    reorder(rows) {
        this._idle('reorder');
        const { length } = this.#rows;
        const list = indexList('reorder: rows', rows, length, length - 1);
        this._idle('reorder'); // reading the list may have run code of the caller's
        const before = this.#rows;
        const taken = new Set();
        /** @type {CacheRow[]} */
        const made = [];
        let after;
        try {
            after = list.map((i) => {
                if (!taken.has(i)) {
                    taken.add(i);
                    return before[i];
                }
                made.push(before[i].fork());
                return /** @type {CacheRow} */ (made.at(-1));
            });
        } catch (error) {
            made.forEach((row) => row.dispose());
            throw error;
        }
        before.forEach((row, i) => {
            if (!taken.has(i)) {
                row.dispose();
            }
        });
        this.#rows = after;
    }

    /**
     * Everything that it holds, for ModelCache.load() with the same model: tokens, keys and values, with checksums. cache-file.js describes
     * the format.
     * @returns {Promise<Blob | Uint8Array<ArrayBuffer>>} a Blob in pages and workers, bytes in Node: TypeScript is told by
     *   `as Blob` or `as Uint8Array`
     */
    async save() {
        this._idle('save');
        const bytes = writeCache(this._network, this.#rows, this.#batch);
        return isNode ? bytes : new Blob([bytes]);
    }

    /**
     * @template {number[] | number[][]} [Tokens=number[]]
     * @param {{ createCache(options?: CacheOptions): ModelCache }} model one with the same weights as the model that saved it
     * @param {import('../files/source.js').FileSource} source what save() gave, or where it is
     * @returns {Promise<ModelCache<Tokens>>} in TypeScript one of a batch is `load<number[][]>`'s
     * @throws {FormatError} (rejects) `cache-invalid`, `cache-version`, `cache-model`, `cache-checksum`; a RangeError when the memory
     *   is exhausted
     */
    static async load(model, source) {
        const { network } = /** @type {{ network?: unknown }} */ (model ?? {});
        if (!(network instanceof Network)) throw typeError('model', 'made by loadModel() of this package', model);
        network.check('ModelCache.load');
        const bytes = await readFile(source);
        network.check('ModelCache.load');
        const { header, body } = readCache(network, bytes);
        const ring = header.sinks >= 0 ? { sinks: header.sinks, window: header.capacity - header.sinks } : { length: header.capacity };
        const cache = model.createCache({ ...ring, dtype: header.dtype, batch: header.rows.length });
        try {
            cache.#batch = header.batch;
            header.rows.forEach((state, i) => cache.#rows[i].restore(state));
            restorePages(network.runtime.memory, cache.#rows.flatMap((row) => row.pageList()), body);
            return /** @type {ModelCache<any>} */ (cache);
        } catch (error) {
            cache.dispose();
            throw error;
        }
    }

    /** @param {object} object @throws {TypeError} unless it is a cache, and not a Proxy of one */
    static #itself(object) {
        if (!(#disposed in object)) {
            throw wrappedError('cache');
        }
    }

    /** Frees what it holds. Calling it again does nothing. */
    dispose() {
        ModelCache.#itself(this);
        if (!this.#disposed) {
            this.#disposed = true;
            this.#onDispose(this);
            this.#rows.forEach((row) => row.dispose());
            this.#rows = [];
        }
    }

    [Symbol.dispose]() {
        this.dispose();
    }

    /** @param {string} what @throws {Error} after dispose() */
    _check(what) {
        ModelCache.#itself(this);
        this._network.check(what);
        if (this.#disposed) {
            throw new Error(`${what}: this ModelCache has been disposed`);
        }
    }

    /** @param {string} what names the caller @throws {Error} after dispose(), and while something is reading into it */
    _idle(what) {
        this._check(what);
        if (this._locked) {
            throw new Error(`${what}: this ModelCache is being read into; wait for that first`);
        }
    }

    /** @param {string} what @returns {CacheRow} */
    _single(what) {
        if (this.#rows.length !== 1) {
            throw new RangeError(`${what} needs a cache of one text, this one has ${this.#rows.length}`);
        }
        return this.#rows[0];
    }
}

const OPTIONS = ['length', 'dtype', 'batch', 'window', 'sinks'];

/**
 * @param {Network} network
 * @param {CacheOptions} options
 * @param {{ length: number, dtype: import('../blocks/pages.js').KeptType, onMake: (cache: ModelCache) => void,
 *   onDispose: (cache: ModelCache) => void }} usual
 * @returns {ModelCache}
 */
export function createCache(network, options, usual) {
    network.check('createCache');
    checkOptionNames('createCache', options, OPTIONS);
    const { batch = 1, window, sinks, dtype = usual.dtype, length: most = usual.length } = options;
    const count = positiveInteger('batch', batch);
    checkKeptType('dtype', dtype);
    if ((window === undefined) !== (sinks === undefined)) {
        throw new TypeError('window and sinks must be given together');
    }
    if (window !== undefined && options.length !== undefined) {
        throw new TypeError('length: a cache with sinks has sinks + window positions, so give none');
    }
    let length = positiveInteger('length', most);
    if (window !== undefined && sinks !== undefined) {
        if (!(Number.isInteger(sinks) && sinks >= 0)) {
            throw rangeError('sinks', 'an integer of 0 or more', sinks);
        }
        length = sinks + positiveInteger('window', window);
    }
    const { layers, embedding: { positions: learned } } = network.description;
    if (network.fixed !== null && sinks !== undefined) {
        throw new RangeError(`sinks: this model has ${network.fixed} and cannot be shifted`);
    }
    if (learned !== null && length > learned) {
        throw rangeError('length', `at most ${learned}, the positions that this model has embeddings of`, length);
    }
    // With its first token a text takes a page in every layer: a batch whose texts could not all begin is refused.
    const page = pageFor(length);
    network.runtime.memory.require(layers.reduce((bytes, layer) => bytes + count * layerPageBytes(network, layer, dtype, page), 0));
    const rows = makeRows(network, count, () => length, dtype, sinks);
    return new ModelCache(network, { rows, batch: count > 1, onMake: usual.onMake, onDispose: usual.onDispose });
}

printAs(ModelCache, 'ModelCache', (cache) => (cache.disposed ? null : {
    batch: cache.batch, length: cache.length, capacity: cache.capacity, byteLength: cache.byteLength, tokens: cache.tokens,
}));
