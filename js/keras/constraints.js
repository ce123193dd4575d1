// Keras's constraints (keras.io/api/layers/constraints): projections of weights, applied after an optimizer's step and
// at no other time. Norms are taken over `axis` (an axis or several); on q, k and v kernels axis 0 is the features, on
// the output kernel it is the heads.

import { sizeOf } from '../engine/size.js';
import { Serializable, checkNumbers } from './serializable.js';
import { typeError, rangeError } from '../check.js';

/** @typedef {import('./serializable.js').Options} Options */

/** Keras's `backend.epsilon()`. */
const EPSILON = 1e-7;

/**
 * @param {readonly number[]} shape
 * @param {number | readonly number[]} axis
 * @returns {Int32Array} for every element the number of the norm that it counts for
 */
function groups(shape, axis) {
    const over = new Set();
    for (const one of typeof axis === 'number' ? [axis] : axis) {
        if (one < -shape.length || one >= shape.length) throw rangeError('axis', `an axis of shape [${shape}]`, one);
        over.add(one < 0 ? one + shape.length : one);
    }
    const strides = new Array(shape.length).fill(0);
    let count = 1;
    for (let i = shape.length - 1; i >= 0; i--) {
        if (over.has(i)) continue;
        strides[i] = count;
        count *= shape[i];
    }
    const size = sizeOf(shape);
    const group = new Int32Array(size);
    for (let element = 0; element < size; element++) {
        let rest = element;
        for (let i = shape.length - 1; i >= 0; i--) {
            group[element] += (rest % shape[i]) * strides[i];
            rest = Math.floor(rest / shape[i]);
        }
    }
    return group;
}

/**
 * Multiplies every element by factor(its norm).
 * @param {Float32Array} x
 * @param {readonly number[]} shape
 * @param {number | readonly number[]} axis
 * @param {(norm: number) => number} factor
 * @returns {Float32Array}
 */
function rescale(x, shape, axis, factor) {
    const group = groups(shape, axis);
    const squares = new Float64Array(x.length);
    for (let i = 0; i < x.length; i++) squares[group[i]] += x[i] * x[i];
    return x.map((value, i) => value * factor(Math.sqrt(squares[group[i]])));
}

/** @param {Options} options @param {Options} defaults @returns {Options} */
function checkAxis(options, defaults) {
    const { axis } = options;
    const valid = Number.isInteger(axis) || (Array.isArray(axis) && axis.every(Number.isInteger));
    if (!valid) throw typeError('axis', 'an axis or an array of axes', axis);
    checkNumbers({ ...options, axis: 0 }, defaults);
    return options;
}

/**
 * @typedef {(x: Float32Array, shape: readonly number[], options: Options) => Float32Array} Project
 * @extends {Serializable<Project>}
 */
export class Constraint extends Serializable {
    /**
     * @param {Float32Array} x
     * @param {readonly number[]} shape
     * @returns {Float32Array} the projected values, in a new array
     */
    project(x, shape) {
        return this._act(x, shape, this.options);
    }
}

/** @type {import('./serializable.js').Family<Constraint>} */
export const CONSTRAINTS = {
    what: 'a constraint',
    module: 'keras.constraints',
    Class: Constraint,
    /** @type {Record<string, import('./serializable.js').Kind<Project>>} */
    kinds: {
        // Norms of at most maxValue.
        MaxNorm: {
            defaults: { maxValue: 2, axis: 0 },
            check: checkAxis,
            act: (x, shape, { maxValue, axis }) => rescale(x, shape, axis, (norm) => Math.min(norm, maxValue) / (EPSILON + norm)),
        },
        // Nothing below 0.
        NonNeg: { act: (x) => x.map((value) => Math.max(value, 0)) },
        // Norms of 1.
        UnitNorm: {
            defaults: { axis: 0 },
            check: checkAxis,
            act: (x, shape, { axis }) => rescale(x, shape, axis, (norm) => 1 / (EPSILON + norm)),
        },
        // Norms moved towards [minValue, maxValue] by the share `rate`.
        MinMaxNorm: {
            defaults: { minValue: 0, maxValue: 1, rate: 1, axis: 0 },
            check: checkAxis,
            act: (x, shape, { minValue, maxValue, rate, axis }) => rescale(x, shape, axis, (norm) => {
                const desired = rate * Math.min(Math.max(norm, minValue), maxValue) + (1 - rate) * norm;
                return desired / (EPSILON + norm);
            }),
        },
    },
};
