// Numbers of an HDF5 file, which lie at any alignment, as typed arrays.

import { widen } from '../halves.js';

/** @typedef {Float32Array | Float64Array | Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array |
 *  Uint16Array | Uint32Array | BigUint64Array} Numbers */

/** By type: bytes of a value, what holds it, and the name that Keras gives it. */
export const TYPES = /** @type {const} */ ({
    F32: { bytes: 4, array: Float32Array, dtype: 'float32' },
    F64: { bytes: 8, array: Float64Array, dtype: 'float64' },
    F16: { bytes: 2, array: Uint16Array, dtype: 'float16' },
    BF16: { bytes: 2, array: Uint16Array, dtype: 'bfloat16' },
    I8: { bytes: 1, array: Int8Array, dtype: 'int8' },
    I16: { bytes: 2, array: Int16Array, dtype: 'int16' },
    I32: { bytes: 4, array: Int32Array, dtype: 'int32' },
    I64: { bytes: 8, array: BigInt64Array, dtype: 'int64' },
    U8: { bytes: 1, array: Uint8Array, dtype: 'uint8' },
    U16: { bytes: 2, array: Uint16Array, dtype: 'uint16' },
    U32: { bytes: 4, array: Uint32Array, dtype: 'uint32' },
    U64: { bytes: 8, array: BigUint64Array, dtype: 'uint64' },
    BOOL: { bytes: 1, array: Uint8Array, dtype: 'bool' },
});

/**
 * @param {string} type a key of TYPES
 * @param {Uint8Array} bytes
 * @param {number} count of values
 * @returns {Numbers} in a buffer of its own; half floats as the float32 numbers that they are
 */
export function toNumbers(type, bytes, count) {
    const { bytes: size, array } = TYPES[/** @type {keyof typeof TYPES} */ (type)];
    const buffer = new ArrayBuffer(count * size);
    const copy = new Uint8Array(buffer);
    copy.set(bytes.subarray(0, count * size));
    return type === 'F16' || type === 'BF16' ? widen(type, copy) : new array(buffer);
}
