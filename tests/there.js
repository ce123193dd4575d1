// What a test takes for granted, said so that the type checker believes it and a run notices where it is wrong.

import assert from 'node:assert/strict';
import { KVCache } from '../js/blocks/cache.js';

/** @typedef {import('../js/engine/tensor.js').TensorLike} TensorLike */
/** @typedef {{ shape: number[], data: Float32Array }} Floats a tensor-like of the test's own */

/** @template T @param {T} value @returns {NonNullable<T>} it, which is there */
export function there(value) {
    assert.ok(value !== undefined && value !== null, 'something is missing');
    return value;
}

/** @param {TensorLike | KVCache | null | undefined} cache @returns {TensorLike} it, which is none that is updated in place */
export function functional(cache) {
    const one = there(cache);
    assert.ok(!(one instanceof KVCache));
    return one;
}

/** @param {TensorLike | KVCache | null | undefined} cache @returns {KVCache} it */
export function inPlace(cache) {
    assert.ok(cache instanceof KVCache);
    return cache;
}

/** @param {TensorLike | null | undefined} tensor @returns {Float32Array} its numbers, which are floats */
export function floatsOf(tensor) {
    const { data } = there(tensor);
    assert.ok(data instanceof Float32Array);
    return data;
}
