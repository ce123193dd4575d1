// Keras's dtype policies. Whatever the policy, numbers are float32 here; under a half policy they are rounded to the
// narrow type wherever Keras's arrays would have been narrow, so that `data` holds exactly representable values.

import { typeError, rangeError } from '../check.js';

/** @typedef {'float32' | 'float16' | 'bfloat16'} FloatType */
/** @typedef {{ name: string, variable: FloatType, compute: FloatType }} Policy */

/** Policies by name. float64 is demoted to float32 by Keras's own type promotion on most of its backends. */
const POLICIES = new Map(Object.entries({
    float32: ['float32', 'float32'],
    float64: ['float32', 'float32'],
    float16: ['float16', 'float16'],
    bfloat16: ['bfloat16', 'bfloat16'],
    mixed_float16: ['float32', 'float16'],
    mixed_bfloat16: ['float32', 'bfloat16'],
}));

/**
 * @param {unknown} dtype a policy's name, its serialized form, or null for float32
 * @returns {Readonly<Policy>}
 */
export function resolvePolicy(dtype) {
    if (dtype === null || dtype === undefined) return resolvePolicy('float32');
    if (typeof dtype === 'object') {
        const { class_name: className, config } = /** @type {Record<string, any>} */ (dtype);
        // Keras 3.2 to 3.4 had a class of its own for policies of floats.
        if (className !== 'DTypePolicy' && className !== 'FloatDTypePolicy') throw typeError('dtype', 'a policy name or a serialized DTypePolicy', dtype);
        return resolvePolicy(config?.name);
    }
    if (typeof dtype !== 'string') throw typeError('dtype', 'the name of a dtype policy', dtype);
    const types = POLICIES.get(dtype);
    if (types === undefined) throw rangeError('dtype', `one of ${[...POLICIES.keys()].join(', ')}`, dtype);
    const [variable, compute] = /** @type {FloatType[]} */ (types);
    return Object.freeze({ name: dtype, variable, compute });
}

/** @param {Policy} policy */
export const serializePolicy = ({ name }) => (
    { module: 'keras', class_name: 'DTypePolicy', config: { name }, registered_name: null }
);

const number = new Float32Array(1);
const bits = new Uint32Array(number.buffer);

/**
 * @param {number} value
 * @param {FloatType} type
 * @returns {number} the nearest number of that type, ties to even
 */
export function roundTo(value, type) {
    if (type === 'float32' || value !== value) return Math.fround(value);
    if (type === 'float16') return roundToHalf(value);
    number[0] = value;
    bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
    return number[0];
}

/**
 * binary16: 11 significant bits down to 2^-14, steps of 2^-24 below, infinity from 65520 on.
 * @param {number} value
 * @returns {number}
 */
function roundToHalf(value) {
    const size = Math.abs(value);
    if (size >= 65520) return Math.sign(value) * Infinity;
    // 2^52 steps: next to one and a half times as much a double's last bit is worth one of them.
    number[0] = size;
    bits[0] = Math.max(bits[0] & 0x7f800000, 0x38800000) + (42 << 23);
    const rounder = 1.5 * number[0];
    return Math.sign(value) * (size + rounder - rounder);
}
