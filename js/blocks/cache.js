// KVCache: the keys and values of past positions, as Keras Hub's layers have them, over pages (pages.js).

import { printAs } from '../engine/print.js';
import { asTensorLike, formatShape, sameShape } from '../engine/tensor.js';
import { checkOptionNames, checkRuntime, classOf, indexList, integerWithin, positiveInteger, rangeError, typeError, wrappedError } from '../check.js';
import { MOST, OP_WORDS, ROUND, TRANSFER } from '../engine/interface.js';
import { checkedSize } from '../engine/size.js';
import { PagedCache, keptBytes, pageFor, writeTransfer } from './pages.js';
import { CopyJob, SetJob } from './cache-transfers.js';
import { Turner } from './turn.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */

/** @typedef {'float32' | 'float16' | 'bfloat16' | 'int8'} CacheDType */

/**
 * @typedef {object} CacheOptions
 * @property {number} batch
 * @property {number} length positions that it can hold
 * @property {number} numHeads
 * @property {number} keyDim
 * @property {CacheDType} [dtype] 'float32'
 */

/**
 * How keys turn with their positions: element i of a key together with element i + half.
 * @typedef {object} Rotation
 * @property {Float64Array} frequencies radians a position, of each pair
 * @property {number} most positions of a cache whose keys all turn so
 *
 * @typedef {{ readonly rotation: Rotation | null }} RotatingLayer
 */

/**
 * A cache of keys and values, [batch, 2, length, numHeads, keyDim] as in Keras Hub (index 0 of the second axis: keys,
 * 1: values), that attention layers update in place. It starts as zeros and lives in the runtime's memory until dispose().
 *
 * A float16 cache takes two bytes a number. A bfloat16 cache takes four: floats, rounded to what bfloat16 represents. An int8 cache
 * takes one byte a number, from -127 to 127, and four for the scale of each key or value of a head. Numbers are rounded when they
 * are stored, so attention computes with what toTensor() gives.
 */
export class KVCache {
    #pages;
    #disposed = false;

    /**
     * @param {Runtime} runtime
     * @param {CacheOptions} options
     * @param {PagedCache} [pages] of a fork, which the cache takes over
     * @throws {TypeError | RangeError} for a wrong option; RangeError too when the memory is exhausted
     */
    constructor(runtime, options, pages) {
        checkRuntime(runtime, 'KVCache');
        const checked = checkOptions(options);
        const { batch, length, numHeads, keyDim, dtype } = checked;
        // Reading the options may have run code of the caller's; and nothing is made of what cannot be had.
        runtime._check('KVCache');
        runtime.memory.require(bytesOf(checked));
        /** @type {Runtime} */
        this._runtime = runtime;
        /** [batch, 2, length, numHeads, keyDim] @readonly @type {readonly number[]} */
        this.shape = Object.freeze([batch, 2, length, numHeads, keyDim]);
        /** The same for whoever reads it at every call: V8 reads frozen arrays by a call of its own. @type {readonly number[]} */
        this._sizes = [...this.shape];
        /** @readonly @type {CacheDType} */
        this.dtype = dtype;
        this.#pages = pages ?? new PagedCache(runtime, {
            batch, heads: numHeads, keyDim, valueDim: keyDim, type: keptAs(dtype), page: pageFor(length),
        });
        Object.freeze(this); // shape and dtype are believed later
        if (pages) return;
        try {
            this.#pages.reserve(length, (address, bytes) => runtime.memory.f32(address, bytes / 4).fill(0));
        } catch (error) {
            this.#pages.dispose();
            throw error;
        }
    }

    /**
     * What `byteLength` of a cache would be.
     * @param {CacheOptions} options
     * @returns {number}
     * @throws {TypeError | RangeError} for a wrong option, and for 2 ** 53 bytes or more
     */
    static estimateBytes(options) {
        return bytesOf(checkOptions(options));
    }

    /** Bytes of its pages: of 256 positions each, or of all, rounded up to 8. */
    get byteLength() {
        KVCache.#itself(this);
        return this.#pages.bytes;
    }

    /** Whether dispose() has been called, here or on the runtime. */
    get disposed() {
        KVCache.#itself(this);
        return this.#disposed || this._runtime.disposed;
    }

    /** Its pages, which nobody else may dispose of. */
    get _pages() {
        KVCache.#itself(this);
        if (this.#disposed) {
            this._check('KVCache');
        }
        return this.#pages;
    }

    /** Address of what C reads and writes. */
    get _address() {
        return this._pages.address;
    }

    /** How new elements are rounded on their way, one of ROUND; float16 and int8 pages round by themselves. */
    get _round() {
        return this.dtype === 'bfloat16' ? ROUND.BF16 : ROUND.NONE;
    }

    /**
     * Replaces the whole contents.
     * @param {TensorLike} source  [batch, 2, length, numHeads, keyDim]; numbers are rounded to the cache's dtype
     * @throws {TypeError | RangeError} when it is not of that form; nothing is changed then
     * @throws {Error} after dispose(), and on a page's main thread while calls are pending
     */
    set(source) {
        this._check('KVCache.set');
        const checked = asTensorLike(source, 'source');
        const { dtype } = checked;
        if (dtype === 'bool' || dtype === 'int32') {
            throw new TypeError(`source must be numbers in a Float32Array, got dtype '${dtype}'`);
        }
        if (!sameShape(checked.shape, this.shape)) {
            throw rangeError('source', `of shape ${formatShape(this.shape)}`, checked.shape);
        }
        this._runtime._runHere('KVCache.set', new SetJob(this, checked));
    }

    /**
     * A copy in Keras's order.
     * @returns {Tensor} [batch, 2, length, numHeads, keyDim] of the cache's dtype; of an int8 cache the floats that it
     * holds
     * @throws {RangeError} when the memory is exhausted
     * @throws {Error} after dispose(), and on a page's main thread while calls are pending
     */
    toTensor() {
        this._check('KVCache.toTensor');
        return this._runtime._runHere('KVCache.toTensor', new CopyJob(this));
    }

    /**
     * Forgets what comes at and after a position: zeros, as in a new cache.
     * @param {number} positions that are kept
     * @throws {TypeError | RangeError} when it is not a number of positions
     */
    truncate(positions) {
        this._begin('KVCache.truncate');
        checkPosition('positions', positions, this.shape[2]);
        this.#clear(positions);
    }

    /**
     * @returns {KVCache} one with the same contents; memory is shared until either of them is written to
     * @throws {RangeError} when the memory is exhausted
     */
    fork() {
        this._begin('KVCache.fork');
        const [batch, , length, numHeads, keyDim] = this.shape;
        return new KVCache(this._runtime, { batch, length, numHeads, keyDim, dtype: this.dtype }, this._pages.fork());
    }

    /**
     * Batch entry i becomes what entry rows[i] was: the beams of a search.
     * @param {ArrayLike<number>} rows
     * @throws {TypeError | RangeError} when these are no batch entries
     */
    reorder(rows) {
        this._begin('KVCache.reorder');
        const [batch] = this.shape;
        const list = indexList('rows', rows, batch, batch - 1, checkPosition);
        this._begin('KVCache.reorder'); // the list may have run code of the caller's
        this._pages.reorder(list);
    }

    /**
     * Removes the positions [from, to): later ones move down, and zeros follow.
     * @param {number} from
     * @param {number} to
     * @param {{ rope?: RotatingLayer | Rotation | null }} [options] rope: a layer that rotates keys, or its `rotation`: keys
     *   that move are turned to their new positions. Without it, or with null, they stay as they are
     * @throws {TypeError | RangeError} when these are no positions, or the rotation is not of such keys; RangeError too when
     *   the memory is exhausted. Nothing is changed then
     */
    remove(from, to, options = {}) {
        this._begin('KVCache.remove');
        checkOptionNames('KVCache.remove', options, ['rope']);
        const frequencies = this.#frequencies(options.rope ?? null);
        const [batch, , length] = this.shape;
        checkPosition('from', from, length);
        checkPosition('to', to, length);
        if (to < from) throw rangeError('to', `${from} at least`, to);
        this._begin('KVCache.remove'); // the options may have run code of the caller's
        if (to === from) return;
        const rest = length - to;
        this._pages.makeWritable(from, from + rest);
        const turner = frequencies && new Turner(this._runtime, frequencies.length);
        try {
            this.#clear(from + rest, () => {
                this._pages.move(to, from, rest);
                if (frequencies) {
                    const turn = { cache: this._address, batch, from, to: from + rest, by: from - to, round: this._round };
                    turner?.turn({ ...turn, frequencies, pairing: 'halves' });
                }
            });
        } finally {
            turner?.dispose();
        }
    }

    /** @param {RotatingLayer | Rotation | null} rope @returns {Float64Array | null} a copy */
    #frequencies(rope) {
        if (rope === null) return null;
        const given = typeof rope === 'object' && 'rotation' in rope ? rope.rotation : rope;
        const { frequencies: turning, most } = /** @type {any} */ (given ?? {});
        if (!(turning instanceof Float64Array) || typeof most !== 'number') {
            throw typeError('rope', "a layer that rotates keys, or its 'rotation'", rope);
        }
        const frequencies = new Float64Array(turning);
        const [, , length, , keyDim] = this.shape;
        if (2 * frequencies.length !== keyDim) throw rangeError('rope', `a rotation of keys of ${keyDim}`, 2 * frequencies.length);
        if (keyDim > MOST.TURNED) throw rangeError('rope', `of keys of ${MOST.TURNED} at most`, keyDim);
        if (!(length <= most)) throw rangeError('rope', `one rotation for all ${length} positions: longer calls turn otherwise`, most);
        return frequencies;
    }

    /**
     * All that it holds, for KVCache.load().
     * @returns {Promise<Blob | Uint8Array<ArrayBuffer>>} a Blob in pages and workers, bytes in Node; TypeScript wants `as Blob` or
     *   `as Uint8Array`
     * @throws {Error} (rejects) after dispose(), and on a page's main thread while calls are pending
     */
    async save() {
        this._begin('KVCache.save');
        const { saveCache } = await import('./cache-file.js');
        this._begin('KVCache.save');
        return saveCache(this);
    }

    /**
     * @param {Runtime} runtime
     * @param {import('../files/source.js').FileSource} source what save() gave, or
     *   where it is: a URL, or in Node a path
     * @returns {Promise<KVCache>}
     * @throws {Error} (rejects) a FormatError for whatever is not what save() gave: `cache-invalid`, `cache-version`,
     *   `cache-checksum`; a RangeError when the memory is exhausted
     */
    static async load(runtime, source) {
        checkRuntime(runtime, 'KVCache.load');
        const { loadCache } = await import('./cache-file.js');
        return loadCache(KVCache, runtime, source);
    }

    /** @param {string} what */
    _begin(what) {
        this._check(what);
        this._runtime._assertIdle(what);
    }

    /**
     * @param {number} from where zeros begin
     * @param {() => void} [first] done before, once nothing can fail any more
     */
    #clear(from, first) {
        const { _runtime: { memory, wasm }, shape, _pages: pages } = this;
        const [batch, , length, heads, dim] = shape;
        if (from === length) return;
        const page = pageFor(length);
        const whole = Math.ceil(from / page);
        // One row of zeros, from which the positions of a page that others stay in are stored; zeros of all types are zero bytes.
        const zeros = memory.alloc(4 * (heads * dim + OP_WORDS));
        const transfer = zeros + 4 * heads * dim;
        try {
            pages.makeWritable(from, length, first === undefined);
        } catch (error) {
            memory.free(zeros);
            throw error;
        }
        memory.f32(zeros, heads * dim).fill(0);
        first?.();
        const at = transfer / 4 - TRANSFER.keys;
        const { words } = memory;
        writeTransfer(words, at, this._address, zeros, [batch, 2, 0, heads, dim], from, Math.min(whole * page, length) - from);
        words[at + TRANSFER.keysStride] = words[at + TRANSFER.valuesStride] = 0;
        wasm.cmha_cache_store(transfer);
        memory.free(zeros);
        pages.pageList().forEach(({ address, bytes }, i, { length: all }) => {
            if (i % (all / batch) >= whole) memory.f32(address, bytes / 4).fill(0);
        });
    }

    /** @param {object} object @throws {TypeError} unless it is a cache, not a Proxy around one */
    static #itself(object) {
        if (!(#disposed in object)) {
            throw wrappedError('cache');
        }
    }

    /** Frees the memory. A second time does nothing. */
    dispose() {
        KVCache.#itself(this);
        if (this.#disposed) {
            return;
        }
        this.#disposed = true;
        this.#pages.dispose();
    }

    /** For `using`. */
    [Symbol.dispose]() {
        this.dispose();
    }

    /**
     * @param {string} what  names what is being done
     * @throws {Error} after dispose()
     */
    _check(what) {
        KVCache.#itself(this);
        if (this.#disposed) {
            throw new Error(`${what}: this KVCache has been disposed`);
        }
        this._runtime._check(what);
    }
}

/**
 * @param {any} cache as it came in at the door
 * @param {string} name of the argument
 * @returns {KVCache | import('../engine/tensor.js').Held}
 */
export function asCache(cache, name) {
    if (cache instanceof KVCache) {
        return cache;
    }
    if (classOf(cache) === 'KVCache') {
        throw new TypeError(`${name} must be a KVCache of this copy of the package, got one of another`);
    }
    return asTensorLike(cache, name);
}

/** @param {any} options @returns {Required<CacheOptions>} */
function checkOptions(options) {
    checkOptionNames('KVCache', options, ['batch', 'length', 'numHeads', 'keyDim', 'dtype']);
    const { batch, length, numHeads, keyDim, dtype = 'float32' } = options;
    positiveInteger('KVCache.batch', batch);
    positiveInteger('KVCache.length', length);
    positiveInteger('KVCache.numHeads', numHeads);
    positiveInteger('KVCache.keyDim', keyDim);
    if (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16' && dtype !== 'int8') {
        throw typeError('KVCache.dtype', "'float32', 'float16', 'bfloat16' or 'int8'", dtype);
    }
    return { batch, length, numHeads, keyDim, dtype };
}

/** @param {Required<CacheOptions>} options @returns {number} bytes of its pages @throws {RangeError} for 2 ** 53 or more */
function bytesOf({ batch, length, numHeads, keyDim, dtype }) {
    const page = pageFor(length);
    const { number, scale } = keptBytes(keptAs(dtype));
    return checkedSize('KVCache', batch, Math.ceil(length / page) * page, numHeads, 2, keyDim * number + scale);
}

/** @param {string} name @param {any} value @param {number} most @returns {number} */
function checkPosition(name, value, most) {
    if (typeof value !== 'number') throw typeError(name, 'an integer', value);
    return integerWithin(name, value, most);
}

/** @param {CacheDType} dtype @returns {import('./pages.js').KeptType} */
const keptAs = (dtype) => (dtype === 'bfloat16' ? 'float32' : dtype);

printAs(KVCache, 'KVCache', (cache) => (cache.disposed ? null
    : { shape: cache.shape, dtype: cache.dtype, byteLength: cache.byteLength }));
