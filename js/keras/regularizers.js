// Keras's regularizers (keras.io/api/layers/regularizers): penalties on weights and on what projections give out.

import { Serializable, resolve as resolveIn, serialize as serializeIn } from './serializable.js';
import { typeError, rangeError } from '../check.js';

/** @param {string} name @param {unknown} value @returns {number} */
function factor(name, value) {
    if (typeof value !== 'number') throw typeError(name, 'a non-negative number', value);
    if (!(value >= 0 && value < Infinity)) throw rangeError(name, 'a non-negative number', value);
    return value;
}

/** @param {Float32Array} x @returns {number} sum |x| */
function sumOfAbsolutes(x) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += Math.abs(x[i]);
    return sum;
}

/** @param {Float32Array} x @returns {number} sum x^2 */
function sumOfSquares(x) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * x[i];
    return sum;
}

/** Base of all regularizers. */
export class Regularizer extends Serializable {
    /**
     * Throws where Keras cannot regularize a tensor of so many axes.
     * @param {readonly number[]} _shape
     */
    checkShape(_shape) {}

    /**
     * @param {Float32Array} x
     * @param {readonly number[]} _shape
     * @returns {number} the penalty
     */
    penalty(x, _shape) {
        throw new TypeError(`a regularizer must implement penalty(), asked for ${x.length} numbers`);
    }
}

/** l1 * sum |x|. Keras keeps the factor as a float32. */
export class L1 extends Regularizer {
    static className = 'L1';
    static defaults = { l1: 0.01 };

    /** @override @param {Record<string, any>} options */
    check({ l1 }) {
        return { l1: Math.fround(factor('l1', l1 ?? 0.01)) };
    }

    /** @override @param {Float32Array} x */
    penalty(x) {
        return this.options.l1 * sumOfAbsolutes(x);
    }
}

/** l2 * sum x^2. */
export class L2 extends Regularizer {
    static className = 'L2';
    static defaults = { l2: 0.01 };

    /** @override @param {Record<string, any>} options */
    check({ l2 }) {
        return { l2: factor('l2', l2 ?? 0.01) };
    }

    /** @override @param {Float32Array} x */
    penalty(x) {
        return this.options.l2 * sumOfSquares(x);
    }
}

/** l1 * sum |x| + l2 * sum x^2. */
export class L1L2 extends Regularizer {
    static className = 'L1L2';
    static defaults = { l1: 0, l2: 0 };

    /** @override @param {Record<string, any>} options */
    check({ l1, l2 }) {
        return { l1: factor('l1', l1 ?? 0), l2: factor('l2', l2 ?? 0) };
    }

    /** @override @param {Float32Array} x */
    penalty(x) {
        const { l1, l2 } = this.options;
        return (l1 > 0 ? l1 * sumOfAbsolutes(x) : 0) + (l2 > 0 ? l2 * sumOfSquares(x) : 0);
    }
}

/**
 * factor / 2 times the sum over pairs of |cosine| between rows (or columns) of a matrix, per pair. Of 2 axes only, so
 * that on this layer it throws as soon as `losses` is read, as in Keras.
 */
export class OrthogonalRegularizer extends Regularizer {
    static className = 'OrthogonalRegularizer';
    static defaults = { factor: 0.01, mode: 'rows' };

    /** @override @param {Record<string, any>} options */
    check({ factor: value, mode }) {
        if (mode !== 'rows' && mode !== 'columns') throw rangeError('mode', '"rows" or "columns"', mode);
        return { factor: Math.fround(factor('factor', value)), mode };
    }

    /** @override @param {readonly number[]} shape */
    checkShape(shape) {
        if (shape.length !== 2) throw rangeError('what an OrthogonalRegularizer is given', 'of 2 axes', shape);
    }

    /** @override @param {Float32Array} x @param {readonly number[]} shape */
    penalty(x, shape) {
        this.checkShape(shape);
        const [rows, columns] = shape;
        const byRows = this.options.mode === 'rows';
        const count = byRows ? rows : columns;
        const length = byRows ? columns : rows;
        const at = (/** @type {number} */ vector, /** @type {number} */ i) => (
            byRows ? x[vector * columns + i] : x[i * columns + vector]
        );
        const dot = (/** @type {number} */ a, /** @type {number} */ b) => {
            let sum = 0;
            for (let i = 0; i < length; i++) sum += at(a, i) * at(b, i);
            return sum;
        };
        const norms = Array.from({ length: count }, (_, vector) => Math.sqrt(dot(vector, vector)) || 1);
        let sum = 0;
        for (let a = 0; a < count; a++) {
            for (let b = 0; b < count; b++) if (a !== b) sum += Math.abs(dot(a, b) / (norms[a] * norms[b]));
        }
        return this.options.factor * 0.5 * sum / (count * (count - 1) / 2);
    }
}

/** @type {import('./serializable.js').Family} */
const FAMILY = {
    kind: 'a regularizer',
    module: 'keras.regularizers',
    base: Regularizer,
    classes: [L1, L2, L1L2, OrthogonalRegularizer],
    aliases: {},
};

/**
 * @param {string} argument its name
 * @param {unknown} identifier a name, `{ class_name, config }`, a Regularizer or null
 * @returns {Regularizer | null}
 */
export const resolveRegularizer = (argument, identifier) => (
    /** @type {Regularizer | null} */ (resolveIn(FAMILY, argument, identifier))
);

/** @param {Regularizer | null} regularizer */
export const serializeRegularizer = (regularizer) => serializeIn(FAMILY, regularizer);
