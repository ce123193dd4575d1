// KVCache: the keys and values of past positions, as Keras Hub's layers have them, over pages (pages.js).

import { Tensor, asTensorLike, describe, dtypeOf, formatShape, roundMode } from '../engine/tensor.js';
import { OP_WORDS, TRANSFER } from '../engine/interface.js';
import { PagedCache, pageFor, writeTransfer } from './pages.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */

/** @typedef {'float32' | 'float16' | 'bfloat16'} CacheDType */

/** Floats that are converted at a time when they come from outside the memory: bounds the scratch space it takes. */
const CHUNK = 64 * 1024;

/**
 * A cache of keys and values, [batch, 2, length, numHeads, keyDim] as in Keras Hub (index 0 of the second axis: keys,
 * 1: values), that CachedMultiHeadAttention updates in place. It starts as zeros and lives in the runtime's memory
 * until dispose().
 *
 * A float16 or bfloat16 cache holds only values that its type represents, in 4 bytes each.
 */
export class KVCache {
    #pages;
    #disposed = false;

    /**
     * @param {Runtime} runtime
     * @param {{ batch: number, length: number, numHeads: number, keyDim: number, dtype?: CacheDType }} options
     *   length: positions that it can hold
     * @throws {TypeError | RangeError} for a wrong option; RangeError too when the memory is exhausted
     */
    constructor(runtime, options) {
        if (typeof (/** @type {any} */ (runtime)?._check) !== 'function') {
            throw new TypeError(`KVCache: expected a runtime made by createRuntime() first, got ${describe(runtime)}`);
        }
        runtime._check('KVCache');
        if (typeof options !== 'object' || options === null) {
            throw new TypeError('KVCache: expected { batch, length, numHeads, keyDim, dtype }, '
                + `got ${describe(options)}`);
        }
        const { batch, length, numHeads, keyDim, dtype = 'float32' } = options;
        checkDim(batch, 'batch');
        checkDim(length, 'length');
        checkDim(numHeads, 'numHeads');
        checkDim(keyDim, 'keyDim');
        if (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16') {
            throw new TypeError(`KVCache.dtype: expected 'float32', 'float16' or 'bfloat16', got ${describe(dtype)}`);
        }
        /** @type {Runtime} */
        this._runtime = runtime;
        /** [batch, 2, length, numHeads, keyDim] @type {readonly number[]} */
        this.shape = Object.freeze([batch, 2, length, numHeads, keyDim]);
        /** @type {CacheDType} */
        this.dtype = dtype;
        this.#pages = new PagedCache(runtime, {
            batch, heads: numHeads, keyDim, valueDim: keyDim, page: pageFor(length),
        });
        try {
            this.#pages.reserve(length, (address, bytes) => runtime.memory.bytes.fill(0, address, address + bytes));
        } catch (error) {
            this.#pages.dispose();
            throw error;
        }
    }

    /** Bytes of its pages: four for each element, whatever the dtype, in whole pages (of 256 positions, or of all in 8s). */
    get byteLength() {
        return this.#pages.bytes;
    }

    /** Whether dispose() has been called, here or on the runtime. */
    get disposed() {
        return this.#disposed || this._runtime.disposed;
    }

    /** Its pages, which nobody else may dispose of. */
    get _pages() {
        if (this.#disposed) {
            this._check('KVCache');
        }
        return this.#pages;
    }

    /** Address of what C reads and writes. */
    get _address() {
        return this._pages.address;
    }

    /** How new elements are rounded: one of ROUND. */
    get _round() {
        return roundMode(this.dtype);
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
        const dtype = dtypeOf(checked);
        if (dtype === 'bool' || dtype === 'int32') {
            throw new TypeError(`source: expected numbers in a Float32Array, got dtype '${dtype}'`);
        }
        if (checked.shape.length !== 5 || checked.shape.some((dim, i) => dim !== this.shape[i])) {
            throw new RangeError(`source: expected shape ${formatShape(this.shape)}, `
                + `got ${formatShape(checked.shape)}`);
        }
        this._runtime._runHere('KVCache.set', new SetJob(this, checked));
    }

    /**
     * A copy in Keras's order.
     * @returns {Tensor} [batch, 2, length, numHeads, keyDim]
     * @throws {RangeError} when the memory is exhausted
     * @throws {Error} after dispose(), and on a page's main thread while calls are pending
     */
    toTensor() {
        this._check('KVCache.toTensor');
        return this._runtime._runHere('KVCache.toTensor', new CopyJob(this));
    }

    /** Frees the memory. A second time does nothing. */
    dispose() {
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
        if (this.#disposed) {
            throw new Error(`${what}: this KVCache has been disposed`);
        }
        this._runtime._check(what);
    }
}

/**
 * @param {any} value
 * @param {string} name
 */
function checkDim(value, name) {
    if (typeof value !== 'number') {
        throw new TypeError(`KVCache.${name}: expected a positive integer, got ${describe(value)}`);
    }
    if (!Number.isSafeInteger(value) || value < 1) {
        throw new RangeError(`KVCache.${name}: expected a positive integer, got ${value}`);
    }
}

/** KVCache.set() as a job: an empty program, all of it is done while recording. */
class SetJob {
    /** @param {KVCache} cache @param {TensorLike} source */
    constructor(cache, source) {
        this.cache = cache;
        this.source = source;
    }

    /** @param {Program} program */
    record(program) {
        const { cache, source } = this;
        const { _runtime: runtime, shape, _address: address, _round: round } = cache;
        const transfer = program.scratch(4 * OP_WORDS);
        const at = transfer / 4 - TRANSFER.keys;
        const [batch, , length, heads, dim] = shape;
        cache._pages.makeWritable(0, length);
        if (source instanceof Tensor && source._runtime === runtime && source._address !== 0) {
            writeTransfer(program.words, at, address, source._address, shape, 0, length, round);
            runtime.wasm.cmha_cache_store(transfer);
            return;
        }
        const row = heads * dim;
        const step = Math.min(length, Math.max(1, Math.floor(CHUNK / row)));
        const scratch = program.scratch(8 * step * row);
        const data = /** @type {Float32Array} */ (source.data);
        for (let b = 0; b < batch; b++) {
            for (let start = 0; start < length; start += step) {
                const rows = Math.min(step, length - start);
                for (let which = 0; which < 2; which++) {
                    const from = ((2 * b + which) * length + start) * row;
                    runtime.memory.floats.set(data.subarray(from, from + rows * row), scratch / 4 + which * rows * row);
                }
                writeTransfer(program.words, at, address, scratch, [1, 2, rows, heads, dim], start, rows, round);
                program.words[at + TRANSFER.first] = b;
                runtime.wasm.cmha_cache_store(transfer);
            }
        }
    }

    finish() {}
}

/** KVCache.toTensor() as a job. */
class CopyJob {
    /** @param {KVCache} cache */
    constructor(cache) {
        this.cache = cache;
        /** @type {Tensor | null} */
        this.tensor = null;
    }

    /** @param {Program} program */
    record(program) {
        const { cache } = this;
        this.tensor = program.result(cache.shape, cache.dtype);
        const { memory, wasm } = cache._runtime;
        const transfer = memory.alloc(4 * OP_WORDS);
        writeTransfer(program.words, transfer / 4 - TRANSFER.keys, cache._address, this.tensor._address, cache.shape, 0,
            cache.shape[2]);
        wasm.cmha_cache_load(transfer);
        memory.free(transfer);
    }

    finish() {
        return /** @type {Tensor} */ (this.tensor);
    }
}
