// Checks of the arguments of a call: everything that can be wrong is found here, before anything is changed.

import { asTensorLike, Tensor } from '../../engine/tensor.js';
import { KVCache } from '../../blocks/cache.js';
import { rangeError, show, typeError, unknownOption } from '../../check.js';

/** @typedef {import('../../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../keras/shapes.js').AxesPlan} AxesPlan */
/** @typedef {import('./attention-layer.js').AttentionLayer} AttentionLayer */

/**
 * @typedef {object} CallOptions
 * @property {TensorLike | null} [key] default: value
 * @property {TensorLike | null} [attentionMask] [T, S], [B, T, S] or [B, H, T, S]; an axis of size 1 broadcasts. Positions where it
 *   is true, or a number other than 0, are attended to (where scores are asked for, with dropout, rotation or inputs of more than
 *   3 axes, and without another mask: a number above 0.5). Masks that are to be added to scores, of 0 and -Infinity, are refused
 * @property {TensorLike | KVCache | null} [cache] [B, 2, S, H, D]; a KVCache is updated in place
 * @property {number | TensorLike | null} [cacheUpdateIndex] position of the first new key; absent: the cache is read, not written
 * @property {boolean | null} [returnAttentionScores] default false
 * @property {boolean | null} [useCausalMask] query i attends to key j only when j <= i + (cacheUpdateIndex or 0); default false
 * @property {boolean | null} [training] whether dropout is applied; default false
 * @property {AbortSignal | null} [signal] ends a `call` within milliseconds; a KVCache then holds what it held before
 * @property {TensorLike | null} [queryMask] [B, T]: where it is false, the query may attend to nothing. Only
 *   CachedGroupQueryAttention takes this mask and the next two; they are ANDed with attentionMask
 * @property {TensorLike | null} [valueMask] [B, S]: where it is false, no query attends to the position
 * @property {TensorLike | null} [keyMask] [B, S]: the same
 */

/** What the keys and values attended over are. */
export const NO_CACHE = 0;
/** The cache, as it is. */
export const STATIC_CACHE = 1;
/** The cache, after new keys and values have been written to it. */
export const UPDATED_CACHE = 2;

/** Not frozen: every call looks here, and V8 reads frozen arrays by a call of its own. */
const OPTIONS = ['key', 'attentionMask', 'cache', 'cacheUpdateIndex', 'returnAttentionScores', 'useCausalMask', 'training', 'signal'];
/** Those of positions, which some layers take too. */
export const ROW_MASKS = /** @type {const} */ (['queryMask', 'valueMask', 'keyMask']);
const WITH_MASKS = [...OPTIONS, ...ROW_MASKS];

/**
 * Tensor-likes are objects too: what stands where the options belong must not be taken for them.
 * @param {unknown} options
 * @param {boolean} masks whether the layer takes masks of queries, values and keys
 * @returns {CallOptions | undefined}
 */
export function checkOptions(options, masks) {
    if (options === undefined) return undefined;
    if (typeof options !== 'object' || options === null || options instanceof Tensor || options instanceof KVCache) {
        throw typeError('the third argument', `an object of named options (${OPTIONS.join(', ')})`, options);
    }
    const known = masks ? WITH_MASKS : OPTIONS;
    for (const name in options) {
        if (!known.includes(name)) throw unknownOption('a call', name, known);
    }
    return options;
}

/**
 * @param {string} name
 * @param {unknown} value
 * @returns {boolean} false if absent
 */
export function checkFlag(name, value) {
    if (value === undefined || value === null) return false;
    if (typeof value !== 'boolean') throw typeError(name, 'a boolean', value);
    return value;
}

/**
 * @param {unknown} index an integer, or a tensor of one
 * @returns {number} -1 if absent
 */
export function checkIndex(index) {
    if (index === undefined || index === null) return -1;
    let value = index;
    if (typeof index === 'object') {
        const tensor = asTensorLike(index, 'cacheUpdateIndex');
        if (tensor.dtype !== 'int32' || tensor.data.length !== 1) {
            throw typeError('cacheUpdateIndex', 'an integer or an Int32Array tensor of one element', index);
        }
        value = tensor.data[0];
    }
    if (typeof value !== 'number' || !Number.isInteger(value)) {
        throw typeError('cacheUpdateIndex', 'an integer', value);
    }
    if (value < 0) throw rangeError('cacheUpdateIndex', 'at least 0', value);
    return value;
}

/**
 * @param {string} name
 * @param {TensorLike} tensor
 * @param {number} rank
 * @param {number} features
 */
export function checkInput(name, tensor, rank, features) {
    const { shape } = tensor;
    if (shape.length !== rank || shape[rank - 1] !== features) {
        throw rangeError(name, `of ${rank} axes, the last of size ${features}, as built`, tensor);
    }
}

/**
 * Axes that are not attended over must agree; Keras's arrays would broadcast a 1 on some backends, here it is an error.
 * @param {AxesPlan} plan
 * @param {string} name of the second
 * @param {readonly number[]} query
 * @param {readonly number[]} other
 */
export function checkBatch(plan, name, query, other) {
    const { batchAxes } = plan;
    for (let i = 0; i < batchAxes.length; i++) {
        if (query[batchAxes[i]] !== other[batchAxes[i]]) {
            throw rangeError(name, `of the sizes of the query, ${show(query)}, on the axes not attended over, [${batchAxes}]`, other);
        }
    }
}

/**
 * @param {AxesPlan} plan
 * @param {AttentionLayer['_inputs']} inputs
 * @param {readonly number[]} query shape
 * @param {TensorLike} value
 * @param {TensorLike} key
 */
export function checkKeys(plan, inputs, query, value, key) {
    checkInput('value', value, plan.rank, inputs.value);
    checkInput('key', key, plan.rank, inputs.key);
    for (let axis = 0; axis < plan.rank - 1; axis++) {
        if (key.shape[axis] !== value.shape[axis]) {
            throw rangeError('key', `of value's sizes on all axes but the last, ${show(value.shape)}`, key.shape);
        }
    }
    checkBatch(plan, 'value', query, value.shape);
}

/** @param {TensorLike | KVCache} cache @returns {readonly number[]} its shape */
export const sizesOf = (cache) => (cache instanceof KVCache ? cache._sizes : cache.shape);

/**
 * @param {string} name
 * @param {KVCache} cache
 * @param {import('../../engine/runtime.js').Runtime} runtime of the layer
 */
export function checkOwnCache(name, cache, runtime) {
    cache._check(name);
    if (cache._runtime !== runtime) throw new TypeError(`${name} must be of the layer's own runtime, got one of another`);
}

/**
 * @param {AttentionLayer} layer
 * @param {TensorLike | KVCache} cache
 */
export function checkCache(layer, cache) {
    const { kvHeads, keyDim, valueDim, policy: { compute } } = layer._config;
    if (cache instanceof KVCache) {
        checkOwnCache('cache', cache, layer._runtime);
        const fits = cache.dtype === compute || cache.dtype === 'float32' || cache.dtype === 'int8';
        if (!fits && compute !== 'float32') {
            throw typeError('cache', `of the compute type ${compute}, float32 or int8`, cache.dtype);
        }
    }
    checkCacheShape(sizesOf(cache), layer._rank, kvHeads, keyDim, valueDim);
}

/**
 * @param {readonly number[]} cache shape: batch, 2, the other axes, heads, key dim
 * @param {number} rank of the inputs
 * @param {number} heads
 * @param {number} keyDim
 * @param {number} valueDim
 */
function checkCacheShape(cache, rank, heads, keyDim, valueDim) {
    if (valueDim !== keyDim) {
        throw new RangeError('cache must be absent unless valueDim is keyDim, '
            + `got valueDim ${valueDim} and keyDim ${keyDim}`);
    }
    const fits = cache.length === rank + 2 && cache[1] === 2 && cache[rank] === heads && cache[rank + 1] === keyDim;
    if (!fits) {
        const axes = rank === 3 ? '[batch, 2, length' : `[batch, 2, ${rank - 2} axes`;
        throw rangeError('cache', `of the shape ${axes}, ${heads}, ${keyDim}]`, cache);
    }
}

/**
 * @param {number} index
 * @param {number} rows
 * @param {number} length of the cache
 */
export function checkRoom(index, rows, length) {
    if (index + rows > length) {
        const room = `at most ${length - rows}, for ${rows} new positions in a cache of ${length}`;
        throw rangeError('cacheUpdateIndex', room, index);
    }
}
