// Data types and shapes: what there is, how large it is, and how errors put it into words.

import { ROUND } from './interface.js';

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

/**
 * @param {DType} dtype
 * @returns {number} bytes that an element takes in memory
 */
export function bytesPerElement(dtype) {
    return dtype === 'bool' ? 1 : 4;
}

/**
 * @param {readonly number[]} shape
 * @returns {number} of elements
 */
export function sizeOf(shape) {
    let size = 1;
    for (let i = 0; i < shape.length; i++) {
        size *= shape[i];
    }
    return size;
}

/**
 * @param {readonly (number | null)[]} shape
 * @returns {string} e.g. '[2, 3]'
 */
export function formatShape(shape) {
    return `[${Array.from(shape, (dim) => (typeof dim === 'bigint' ? `${dim}n` : String(dim))).join(', ')}]`;
}

/**
 * Says in a few words what a value is, for error messages.
 * @param {any} value
 * @returns {string}
 */
export function describe(value) {
    if (value === null || value === undefined || typeof value === 'number' || typeof value === 'boolean') {
        return String(value);
    }
    if (typeof value === 'string') {
        return `'${value.length > 40 ? `${value.slice(0, 40)}…` : value}'`;
    }
    if (Array.isArray(value)) {
        return `an array of ${value.length}`;
    }
    if (typeof value === 'object') {
        return `an object of type ${value.constructor?.name ?? 'Object'}`;
    }
    return `a ${typeof value}`;
}

/**
 * The dtype that plain data stands for, by the kind of typed array. Compared by tag: an array may come from another
 * realm (an iframe, a test runner's sandbox).
 * @param {any} data
 * @returns {DType | null}
 */
export function dtypeOfData(data) {
    if (data instanceof Float32Array) {
        return 'float32';
    }
    switch (ArrayBuffer.isView(data) ? /** @type {any} */ (data)[Symbol.toStringTag] : '') {
        case 'Float32Array': return 'float32';
        case 'Int32Array': return 'int32';
        case 'Uint8Array': return 'bool';
        default: return null;
    }
}

/**
 * @param {any} shape
 * @param {string} name  of what it belongs to
 */
export function checkShape(shape, name) {
    if (!Array.isArray(shape)) {
        throw new TypeError(`${name}.shape: expected an array of integers >= 0, got ${describe(shape)}`);
    }
    for (let i = 0; i < shape.length; i++) {
        if (!Number.isSafeInteger(shape[i]) || shape[i] < 0) {
            throw new TypeError(`${name}.shape: expected an array of integers >= 0, got ${formatShape(shape)}`);
        }
    }
}

/** @param {any} dtype */
export function checkDtype(dtype) {
    if (!DTYPES.includes(dtype)) {
        throw new TypeError(`Tensor.dtype: expected one of '${DTYPES.join("', '")}', got ${describe(dtype)}`);
    }
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
