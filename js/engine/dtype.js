// Data types, shapes and typed arrays: what there is, how large it is, and how what came from outside is looked at.

import { show, typeError } from '../check.js';
import { ROUND } from './interface.js';
import { sizeOf } from './size.js';

/**
 * float16 and bfloat16 data are kept, and read, as floats that those types represent exactly.
 * @typedef {'float32' | 'float16' | 'bfloat16' | 'int32' | 'bool'} DType
 */

/** @typedef {Float32Array | Int32Array | Uint8Array} TensorData */

/**
 * Anything with a shape and row-major data: Float32Array for numbers, Int32Array for integers, Uint8Array for booleans.
 * @typedef {{ readonly shape: readonly number[], readonly data: TensorData }} TensorLike
 */

/** @type {readonly DType[]} */
const DTYPES = Object.freeze(['float32', 'float16', 'bfloat16', 'int32', 'bool']);

// What a typed array says of itself may be overridden, by a property or a subclass. What these say is so.
const TYPED_ARRAY = Object.getPrototypeOf(Float32Array.prototype);
const tagOf = getter(TYPED_ARRAY, Symbol.toStringTag);
const lengthOf = getter(TYPED_ARRAY, 'length');
const offsetOf = getter(TYPED_ARRAY, 'byteOffset');
const bufferOf = getter(TYPED_ARRAY, 'buffer');

/** @param {object} of @param {PropertyKey} name @returns {() => any} */
function getter(of, name) {
    return /** @type {() => any} */ (Object.getOwnPropertyDescriptor(of, name)?.get);
}

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
 * The dtype that plain data stands for, by the kind of typed array. Compared by tag: an array may come from another
 * realm (an iframe, a test runner's sandbox).
 * @param {any} data
 * @returns {DType | null}
 */
export function dtypeOfData(data) {
    switch (tagOf.call(data)) {
        case 'Float32Array': return 'float32';
        case 'Int32Array': return 'int32';
        case 'Uint8Array': return 'bool';
        default: return null;
    }
}

/**
 * A copy of a shape as it is now: what is asked of the caller's own array later may be answered differently.
 * @param {any} shape
 * @param {string} name  of what it belongs to
 * @returns {readonly number[]} frozen
 * @throws {TypeError} unless it is an array of sizes; RangeError for more elements than can be counted
 */
export function readShape(shape, name) {
    if (!Array.isArray(shape)) {
        throw typeError(`${name}.shape`, 'an array of integers >= 0', shape);
    }
    const { length } = shape;
    /** @type {number[]} */
    const copy = [];
    for (let i = 0; i < length; i++) {
        const size = shape[i];
        if (!Number.isSafeInteger(size) || size < 0) {
            throw new TypeError(`${name}.shape[${i}] must be an integer >= 0, got ${show(size)}`);
        }
        copy.push(size);
    }
    return Object.freeze(copy);
}

/**
 * A view of its own of a typed array that came from outside: of the kind that its dtype has, exactly as long as it
 * should be, and free of whatever has been done to the array's properties.
 * @param {any} data
 * @param {readonly number[]} shape
 * @param {string} name  of what it belongs to
 * @returns {TensorData}
 * @throws {TypeError | RangeError} for data that is of no kind there is, or does not fit the shape
 */
export function readData(data, shape, name) {
    const dtype = dtypeOfData(data);
    if (dtype === null) {
        throw typeError(`${name}.data`, 'a Float32Array, an Int32Array or a Uint8Array', data);
    }
    const size = sizeOf(shape, `${name}.shape`);
    const length = lengthOf.call(data);
    if (length !== size) {
        throw new RangeError(`${name}.data must be of ${size} elements, as shape ${formatShape(shape)} has, `
            + `got ${length}`);
    }
    return size === 0 ? emptyOf(dtype) : arrayOn(dtype, bufferOf.call(data), offsetOf.call(data), size);
}

/** Not on the buffer, which may be detached. @param {DType} dtype @returns {TensorData} */
function emptyOf(dtype) {
    return arrayOn(dtype, new ArrayBuffer(0), 0, 0);
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
 * @param {TensorData} data
 * @returns {boolean} whether `data` is the kind of array that holds this dtype
 */
export function fits(dtype, data) {
    const kind = dtypeOfData(data);
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
