// Keras's constraints (keras.io/api/layers/constraints): projections of weights, applied after an optimizer's step and
// at no other time. Norms are taken over `axis` (an axis or several); on q, k and v kernels axis 0 is the features, on
// the output kernel it is the heads.

import { sizeOf } from '../engine/size.js';
import { Serializable, resolve as resolveIn, serialize as serializeIn } from './serializable.js';
import { typeError, rangeError } from '../check.js';

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

/** Base of all constraints. */
export class Constraint extends Serializable {
    /** @override @param {Record<string, any>} options */
    check(options) {
        const { axis = 0 } = options;
        const valid = Number.isInteger(axis) || (Array.isArray(axis) && axis.every(Number.isInteger));
        if (!valid) throw typeError('axis', 'an axis or an array of axes', axis);
        super.check({ ...options, axis: 0 });
        return options;
    }

    /**
     * @param {Float32Array} x
     * @param {readonly number[]} _shape
     * @returns {Float32Array} the projected values, in a new array
     */
    project(x, _shape) {
        throw new TypeError(`a constraint must implement project(), asked for ${x.length} numbers`);
    }
}

/** Norms of at most maxValue. */
export class MaxNorm extends Constraint {
    static className = 'MaxNorm';
    static defaults = { maxValue: 2, axis: 0 };

    /** @override @param {Float32Array} x @param {readonly number[]} shape */
    project(x, shape) {
        const { maxValue, axis } = this.options;
        return rescale(x, shape, axis, (norm) => Math.min(norm, maxValue) / (EPSILON + norm));
    }
}

/** Nothing below 0. */
export class NonNeg extends Constraint {
    static className = 'NonNeg';

    /** @override @param {Float32Array} x */
    project(x) {
        return x.map((value) => Math.max(value, 0));
    }
}

/** Norms of 1. */
export class UnitNorm extends Constraint {
    static className = 'UnitNorm';
    static defaults = { axis: 0 };

    /** @override @param {Float32Array} x @param {readonly number[]} shape */
    project(x, shape) {
        return rescale(x, shape, this.options.axis, (norm) => 1 / (EPSILON + norm));
    }
}

/** Norms moved towards [minValue, maxValue] by the share `rate`. */
export class MinMaxNorm extends Constraint {
    static className = 'MinMaxNorm';
    static defaults = { minValue: 0, maxValue: 1, rate: 1, axis: 0 };

    /** @override @param {Float32Array} x @param {readonly number[]} shape */
    project(x, shape) {
        const { minValue, maxValue, rate, axis } = this.options;
        return rescale(x, shape, axis, (norm) => {
            const desired = rate * Math.min(Math.max(norm, minValue), maxValue) + (1 - rate) * norm;
            return desired / (EPSILON + norm);
        });
    }
}

/** @type {import('./serializable.js').Family} */
const FAMILY = {
    kind: 'a constraint',
    module: 'keras.constraints',
    base: Constraint,
    classes: [MaxNorm, NonNeg, UnitNorm, MinMaxNorm],
    aliases: {},
};

/**
 * @param {string} argument its name
 * @param {unknown} identifier a name, `{ class_name, config }`, a Constraint or null
 * @returns {Constraint | null}
 */
export const resolveConstraint = (argument, identifier) => (
    /** @type {Constraint | null} */ (resolveIn(FAMILY, argument, identifier))
);

/** @param {Constraint | null} constraint */
export const serializeConstraint = (constraint) => serializeIn(FAMILY, constraint);
