// Sizes: products of what users and files say, held below 2 ** 53, where numbers are exact, before anything is
// allocated.

import { rangeError } from '../check.js';

/**
 * The product of some factors, each an integer >= 0 (0 anywhere makes it 0, whatever the others come to).
 * @param {string} name  of what has this size, for the error
 * @param {number} a
 * @param {number} [b]
 * @param {number} [c]
 * @param {number} [d]
 * @param {number} [e]
 * @returns {number}
 * @throws {RangeError} naming the size and the factors, when it is not below 2 ** 53
 */
export function checkedSize(name, a, b = 1, c = 1, d = 1, e = 1) {
    const size = a * b * c * d * e;
    if (Number.isSafeInteger(size)) {
        return size;
    }
    return sizeOf([a, b, c, d, e], name);
}

/**
 * A loop, not a closure: every call of a layer comes by here.
 * @param {readonly number[]} shape
 * @param {string} [name]  of what has it, for the error
 * @returns {number} of elements
 * @throws {RangeError} when they are not fewer than 2 ** 53
 */
export function sizeOf(shape, name = 'shape') {
    let size = 1;
    for (let i = 0; i < shape.length; i++) {
        size *= shape[i];
    }
    return Number.isSafeInteger(size) ? size : emptyOrRefused(shape, name);
}

/**
 * Of huge sizes beside a 0 the product may come to infinity, times 0, before the 0 is met.
 * @param {readonly number[]} shape
 * @param {string} name
 */
function emptyOrRefused(shape, name) {
    if (shape.includes(0)) {
        return 0;
    }
    throw rangeError(name, 'of fewer than 2 ** 53 elements', shape);
}
