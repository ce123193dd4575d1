// Numbers of an HDF5 file, which lie at any alignment, as typed arrays.

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
    new Uint8Array(buffer).set(bytes.subarray(0, count * size));
    const values = new array(buffer);
    return values instanceof Uint16Array && type !== 'U16' ? widen(values, type === 'BF16') : values;
}

/** @param {Uint16Array} halves @param {boolean} brain @returns {Float32Array<ArrayBuffer>} */
function widen(halves, brain) {
    const floats = new Float32Array(halves.length);
    const words = new Uint32Array(floats.buffer);
    for (let i = 0; i < halves.length; i++) {
        words[i] = brain ? halves[i] << 16 : float16Bits(halves[i]);
    }
    return floats;
}

/** @param {number} half @returns {number} the bits of the float32 of the same value */
function float16Bits(half) {
    const sign = (half & 0x8000) << 16;
    const exponent = half >> 10 & 31;
    const mantissa = half & 1023;
    if (exponent === 31) {
        return sign | 0x7f800000 | mantissa << 13;
    }
    if (exponent > 0) {
        return sign | (exponent + 112) << 23 | mantissa << 13;
    }
    if (mantissa === 0) {
        return sign;
    }
    // A subnormal: its highest bit becomes the implied one.
    const shift = Math.clz32(mantissa) - 21;
    return sign | (113 - shift) << 23 | (mantissa << shift & 1023) << 13;
}
