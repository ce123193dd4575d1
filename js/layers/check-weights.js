// Lists of weights, as every setWeights() takes them.

import { rangeError, typeError } from '../check.js';
import { asTensorLike, formatShape, sameShape, sizeOf } from '../engine/tensor.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Held} Held */

/**
 * @param {Runtime} runtime
 * @param {unknown} weights tensor-likes
 * @param {readonly { shape: readonly number[], path?: string }[]} expected
 * @returns {Held[]} to be used from here on
 * @throws {TypeError | RangeError} when there is not one for each
 * @throws {Error} while calls are pending
 */
export function checkWeights(runtime, weights, expected) {
    if (!Array.isArray(weights)) throw typeError('weights', `an array of ${expected.length} tensor-likes`, weights);
    if (weights.length !== expected.length) throw rangeError('weights', `${expected.length} tensor-likes`, weights);
    const names = expected.map(({ path }, i) => `weights[${i}]${path === undefined ? '' : ` (${path})`}`);
    const held = expected.map(({ shape }, i) => {
        const given = asTensorLike(weights[i], names[i]);
        if (!sameShape(given.shape, shape)) throw rangeError(names[i], `of shape ${formatShape(shape)}`, given);
        if (given.dtype === 'bool') throw typeError(names[i], 'numbers', given);
        return given;
    });
    // Reading the later ones may have run code of the caller's.
    held.forEach((given, i) => given._check(names[i]));
    runtime._check('setWeights');
    runtime._assertIdle('setWeights');
    return held;
}

/**
 * Makes sure that weights can be loaded, or quantized, one after the other, before the first of them is changed.
 * @param {Runtime} runtime
 * @param {readonly { shape: readonly number[] }[]} weights
 * @throws {RangeError} when the memory is exhausted
 */
export function ensureRoom({ memory }, weights) {
    memory.ensure(4 * Math.max(...weights.map(({ shape }) => sizeOf(shape))));
}
