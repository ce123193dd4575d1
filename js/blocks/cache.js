// KVCache: the keys and values of past positions, kept as the attention kernels stream them.

import { Tensor, asTensorLike, dtypeOf, formatShape, roundMode, sameShape } from '../engine/tensor.js';
import { positiveInteger, typeError } from '../check.js';
import { PANEL, ROUND } from '../engine/interface.js';
import { checkedSize } from '../engine/size.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */

/** @typedef {'float32' | 'float16' | 'bfloat16'} CacheDType */

/**
 * Where the elements of a cache are (see "the cache" in src/cmha.h). Strides and sizes count floats.
 * @typedef {object} CacheLayout
 * @property {number} batch
 * @property {number} length  positions
 * @property {number} heads
 * @property {number} keyDim
 * @property {number} keysHeadStride
 * @property {number} keysBatchStride
 * @property {number} valuesHeadStride
 * @property {number} valuesBatchStride
 * @property {number} valuesOffset  from the first key to the first value
 * @property {number} floats  in all
 */

/** Floats that are converted at a time when they come from outside the memory: bounds the scratch space it takes. */
const CHUNK = 64 * 1024;

/**
 * @param {number} batch
 * @param {number} length
 * @param {number} heads
 * @param {number} keyDim
 * @returns {CacheLayout}
 */
export function cacheLayout(batch, length, heads, keyDim) {
    const ALIGNMENT = 16; // floats: values start on a cache line
    const keysHeadStride = Math.ceil(length / PANEL) * PANEL * keyDim;
    const valuesHeadStride = length * keyDim;
    const valuesOffset = Math.ceil((batch * heads * keysHeadStride) / ALIGNMENT) * ALIGNMENT;
    return {
        batch, length, heads, keyDim,
        keysHeadStride,
        keysBatchStride: heads * keysHeadStride,
        valuesHeadStride,
        valuesBatchStride: heads * valuesHeadStride,
        valuesOffset,
        floats: valuesOffset + batch * heads * valuesHeadStride,
    };
}

/**
 * Writes rows [start, start + rows) of one batch entry's keys (which = 0) or values (1) from Keras's order
 * [rows, heads, keyDim] to the kept layout.
 * @param {Runtime} runtime
 * @param {CacheLayout} layout
 * @param {number} address  of the kept cache
 * @param {number} source  address of the rows
 * @param {number} which
 * @param {number} batch
 * @param {number} start
 * @param {number} rows
 */
function storeRows({ wasm, memory }, layout, address, source, which, batch, start, rows) {
    const { heads, keyDim } = layout;
    const stride = heads * keyDim;
    for (let h = 0; h < heads; h++) {
        const from = source + 4 * h * keyDim;
        if (which === 0) {
            const keys = address + 4 * (batch * layout.keysBatchStride + h * layout.keysHeadStride);
            wasm.cmha_keys_store(keys, from, start, rows, keyDim, stride);
            continue;
        }
        const to = address / 4 + layout.valuesOffset + batch * layout.valuesBatchStride
            + h * layout.valuesHeadStride + start * keyDim;
        const { floats } = memory;
        for (let r = 0; r < rows; r++) {
            const row = from / 4 + r * stride;
            floats.copyWithin(to + r * keyDim, row, row + keyDim);
        }
    }
}

/**
 * Converts a whole cache from Keras's order [B, 2, S, H, D] to the kept layout; key panels are padded with zeros.
 * @param {Runtime} runtime
 * @param {CacheLayout} layout
 * @param {number} address  of `layout.floats` floats
 * @param {number} source  address of the elements in Keras's order
 * @param {number} [round]  of ROUND: elements are rounded on the way, in `address` only
 */
export function storeCache(runtime, layout, address, source, round = ROUND.NONE) {
    const { batch, length, heads, keyDim, floats } = layout;
    const half = length * heads * keyDim;
    clearPads(runtime, layout, address);
    for (let b = 0; b < batch; b++) {
        for (let which = 0; which < 2; which++) {
            storeRows(runtime, layout, address, source + 4 * (2 * b + which) * half, which, b, 0, length);
        }
    }
    if (round !== ROUND.NONE) {
        runtime.wasm.cmha_round_f32(address, address, floats, round);
    }
}

/**
 * Converts a whole cache from the kept layout to Keras's order [B, 2, S, H, D].
 * @param {Runtime} runtime
 * @param {CacheLayout} layout
 * @param {number} address  of the kept cache
 * @param {number} target  address for B * 2 * S * H * D floats
 */
export function loadCache(runtime, layout, address, target) {
    const { batch, length, heads, keyDim } = layout;
    const { wasm } = runtime;
    const { floats } = runtime.memory;
    const stride = heads * keyDim;
    for (let b = 0; b < batch; b++) {
        const keysTo = target + 4 * 2 * b * length * stride;
        const valuesTo = target / 4 + (2 * b + 1) * length * stride;
        for (let h = 0; h < heads; h++) {
            const keys = address + 4 * (b * layout.keysBatchStride + h * layout.keysHeadStride);
            wasm.cmha_keys_load(keysTo + 4 * h * keyDim, keys, 0, length, keyDim, stride);
            const values = address / 4 + layout.valuesOffset + b * layout.valuesBatchStride
                + h * layout.valuesHeadStride;
            for (let s = 0; s < length; s++) {
                const row = values + s * keyDim;
                floats.copyWithin(valuesTo + s * stride + h * keyDim, row, row + keyDim);
            }
        }
    }
}

/**
 * Zeroes the positions that pad each head's last key panel, and what lies between keys and values.
 * @param {Runtime} runtime
 * @param {CacheLayout} layout
 * @param {number} address
 */
function clearPads({ memory }, layout, address) {
    const { floats } = memory;
    const first = address / 4;
    const keys = layout.batch * layout.heads * layout.keysHeadStride;
    floats.fill(0, first + keys, first + layout.valuesOffset);
    if (layout.length % PANEL !== 0) {
        const panel = PANEL * layout.keyDim;
        for (let end = layout.keysHeadStride; end <= keys; end += layout.keysHeadStride) {
            floats.fill(0, first + end - panel, first + end);
        }
    }
}

/**
 * A cache of keys and values, [batch, 2, length, numHeads, keyDim] as in Keras Hub (index 0 of the second axis: keys,
 * 1: values), that CachedMultiHeadAttention updates in place. It starts as zeros and lives in the runtime's memory
 * until dispose().
 *
 * A float16 or bfloat16 cache holds only values that its type represents, in 4 bytes each.
 */
export class KVCache {
    #address;
    #disposed = false;

    /**
     * @param {Runtime} runtime
     * @param {{ batch: number, length: number, numHeads: number, keyDim: number, dtype?: CacheDType }} options
     *   length: positions that it can hold
     * @throws {TypeError | RangeError} for a wrong option; RangeError too when the memory is exhausted
     */
    constructor(runtime, options) {
        if (typeof (/** @type {any} */ (runtime)?._check) !== 'function') {
            throw typeError('runtime', 'made by createRuntime()', runtime);
        }
        runtime._check('KVCache');
        if (typeof options !== 'object' || options === null) {
            throw typeError('KVCache', 'made of { batch, length, numHeads, keyDim, dtype }', options);
        }
        const { batch, length, numHeads, keyDim, dtype = 'float32' } = options;
        positiveInteger('KVCache.batch', batch);
        positiveInteger('KVCache.length', length);
        positiveInteger('KVCache.numHeads', numHeads);
        positiveInteger('KVCache.keyDim', keyDim);
        if (dtype !== 'float32' && dtype !== 'float16' && dtype !== 'bfloat16') {
            throw typeError('KVCache.dtype', "'float32', 'float16' or 'bfloat16'", dtype);
        }
        // Before anything is made for it; and reading the options may have run code of the caller's.
        runtime._check('KVCache');
        runtime.memory.require(4 * checkedSize('KVCache', batch, 2, length, numHeads, keyDim));
        /** @type {Runtime} */
        this._runtime = runtime;
        /** [batch, 2, length, numHeads, keyDim] @type {readonly number[]} */
        this.shape = Object.freeze([batch, 2, length, numHeads, keyDim]);
        /** @type {CacheDType} */
        this.dtype = dtype;
        this._layout = Object.freeze(cacheLayout(batch, length, numHeads, keyDim));
        this.#address = runtime.memory.alloc(4 * this._layout.floats);
        runtime.memory.f32(this.#address, this._layout.floats).fill(0);
        Object.freeze(this); // shape and dtype are believed later
    }

    /** Bytes of its elements as they are kept: four each, whatever the dtype. */
    get byteLength() {
        const { batch, length, heads, keyDim } = this._layout;
        return 4 * batch * 2 * length * heads * keyDim;
    }

    /** Whether dispose() has been called, here or on the runtime. */
    get disposed() {
        return this.#disposed || this._runtime.disposed;
    }

    /** Address of the keys, in the layout of src/cmha.h. */
    get _keys() {
        if (this.#disposed) {
            this._check('KVCache');
        }
        return this.#address;
    }

    /** How new elements are rounded: one of ROUND. */
    get _round() {
        return roundMode(this.dtype);
    }

    /** Address of the values. */
    get _values() {
        return this._keys + 4 * this._layout.valuesOffset;
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
            throw new TypeError(`source must be numbers in a Float32Array, got dtype '${dtype}'`);
        }
        if (!sameShape(checked.shape, this.shape)) {
            throw new RangeError(`source must be of shape ${formatShape(this.shape)}, got ${formatShape(checked.shape)}`);
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
        this._runtime._free(this.#address);
        this.#address = 0;
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

/** KVCache.set() as a job: an empty program, all of it is done while recording. */
class SetJob {
    /** @param {KVCache} cache @param {TensorLike} source */
    constructor(cache, source) {
        this.cache = cache;
        this.source = source;
    }

    check() {
        this.cache._check('KVCache.set');
    }

    /** @param {Program} program */
    record(program) {
        const { cache, source } = this;
        const { _runtime: runtime, _layout: layout, _keys: address } = cache;
        if (source instanceof Tensor && source._runtime === runtime && source._address !== 0) {
            storeCache(runtime, layout, address, source._address, cache._round);
            return;
        }
        const { batch, length, heads, keyDim } = layout;
        const row = heads * keyDim;
        const step = Math.min(length, Math.max(1, Math.floor(CHUNK / row)));
        const scratch = program.scratch(4 * step * row);
        const data = /** @type {Float32Array} */ (source.data);
        clearPads(runtime, layout, address);
        for (let part = 0; part < 2 * batch; part++) {
            for (let start = 0; start < length; start += step) {
                const rows = Math.min(step, length - start);
                const from = (part * length + start) * row;
                runtime.memory.floats.set(data.subarray(from, from + rows * row), scratch / 4);
                storeRows(runtime, layout, address, scratch, part % 2, Math.floor(part / 2), start, rows);
            }
        }
        if (cache._round !== ROUND.NONE) {
            runtime.wasm.cmha_round_f32(address, address, layout.floats, cache._round);
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

    check() {
        this.cache._check('KVCache.toTensor');
    }

    /** @param {Program} program */
    record(program) {
        const { cache } = this;
        this.tensor = program.result(cache.shape, cache.dtype);
        loadCache(cache._runtime, cache._layout, cache._keys, this.tensor._address);
    }

    finish() {
        return /** @type {Tensor} */ (this.tensor);
    }
}
