// Data types, shapes and typed arrays: their names and sizes, and how an array that came from outside is recognized.

import { show, typeError } from '../check.js';
import { ROUND } from './interface.js';

/**
 * float16 and bfloat16 data are kept, and read, as floats that those types represent exactly.
 * @typedef {'float32' | 'float16' | 'bfloat16' | 'int32' | 'bool'} DType
 */

/** @typedef {Float32Array | Int32Array | Uint8Array} TensorData */

/**
 * Anything with a shape and row-major data: Float32Array for numbers, Int32Array for integers, Uint8Array for booleans.
 * Float64Array is taken too, and so is Float16Array, which these types do not name; both are turned into Float32Array at the door.
 * @typedef {{ readonly shape: readonly number[], readonly data: TensorData | Float64Array }} TensorLike
 */

/** @type {readonly DType[]} */
const DTYPES = Object.freeze(['float32', 'float16', 'bfloat16', 'int32', 'bool']);

/** What a typed array says of its kind may be overridden, by a property or a subclass; what this says is so. */
const tag = /** @type {() => string | undefined} */ (
    Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Float32Array.prototype), Symbol.toStringTag)?.get
);

/**
 * @param {DType} dtype
 * @returns {number} bytes that an element takes in memory
 */
export function bytesPerElement(dtype) {
    return dtype === 'bool' ? 1 : 4;
}

/**
 * @param {readonly (number | null)[]} shape
 * @returns {string} e.g. '[2, 3]'
 */
export function formatShape(shape) {
    return shape.length > 16 ? `of ${shape.length} axes` : `[${Array.from(shape, show).join(', ')}]`;
}

/**
 * @param {readonly number[]} a
 * @param {readonly number[]} b
 */
export function sameShape(a, b) {
    return a.length === b.length && a.every((size, axis) => size === b[axis]);
}

/**
 * The kind of a typed array, whose class says nothing: it may come from another realm (an iframe, a test runner's sandbox).
 * @param {any} data
 * @returns {string | undefined} 'Float32Array'; of anything else undefined
 */
export const tagOf = (data) => tag.call(data);

/** @param {string | undefined} kind of a typed array, from tagOf() @returns {DType | null} that it stands for */
export function dtypeOfKind(kind) {
    switch (kind) {
        case 'Float32Array':
        case 'Float16Array':
        case 'Float64Array': return 'float32';
        case 'Int32Array': return 'int32';
        case 'Uint8Array': return 'bool';
        default: return null;
    }
}

/** @param {any} dtype @returns {DType} */
export function checkDtype(dtype) {
    if (!DTYPES.includes(dtype)) {
        throw typeError('Tensor.dtype', `one of '${DTYPES.join("', '")}'`, dtype);
    }
    return dtype;
}

/**
 * @param {DType} dtype
 * @param {DType} kind  what an array stands for by itself
 * @returns {boolean} whether it is the kind of array that holds this dtype
 */
export function fits(dtype, kind) {
    return kind === dtype || (kind === 'float32' && (dtype === 'float16' || dtype === 'bfloat16'));
}

/**
 * @param {DType} dtype
 * @param {ArrayBufferLike} buffer
 * @param {number} offset
 * @param {number} size
 * @returns {TensorData}
 */
export function arrayOn(dtype, buffer, offset, size) {
    switch (dtype) {
        case 'bool': return new Uint8Array(buffer, offset, size);
        case 'int32': return new Int32Array(buffer, offset, size);
        default: return new Float32Array(buffer, offset, size);
    }
}

/**
 * @param {DType} dtype
 * @returns {number} of ROUND
 */
export function roundMode(dtype) {
    return dtype === 'float16' ? ROUND.F16 : dtype === 'bfloat16' ? ROUND.BF16 : ROUND.NONE;
}
