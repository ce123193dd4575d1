// Keras's regularizers (keras.io/api/layers/regularizers): penalties on weights and on what projections give out.

import { Serializable } from './serializable.js';
import { typeError, rangeError } from '../check.js';

/** @typedef {import('./serializable.js').Options} Options */

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

/** @param {readonly number[]} shape of what an OrthogonalRegularizer is given */
function checkMatrix(shape) {
    if (shape.length !== 2) throw rangeError('what an OrthogonalRegularizer is given', 'of 2 axes', shape);
}

/**
 * factor / 2 times the sum over pairs of |cosine| between rows (or columns) of a matrix, per pair. Of 2 axes only, so
 * that on this layer it throws as soon as `losses` is read, as in Keras.
 * @type {Penalty}
 */
function alikeness(x, shape, { factor: share, mode }) {
    checkMatrix(shape);
    const [rows, columns] = shape;
    const byRows = mode === 'rows';
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
    return share * 0.5 * sum / (count * (count - 1) / 2);
}

/**
 * @typedef {(x: Float32Array, shape: readonly number[], options: Options) => number} Penalty
 * @extends {Serializable<Penalty>}
 */
export class Regularizer extends Serializable {
    /**
     * Throws where Keras cannot regularize a tensor of so many axes.
     * @param {readonly number[]} shape
     */
    checkShape(shape) {
        if (this._act === alikeness) checkMatrix(shape);
    }

    /**
     * @param {Float32Array} x
     * @param {readonly number[]} shape
     * @returns {number} the penalty
     */
    penalty(x, shape) {
        return this._act(x, shape, this.options);
    }
}

/** @type {import('./serializable.js').Family<Regularizer>} */
export const REGULARIZERS = {
    what: 'a regularizer',
    module: 'keras.regularizers',
    Class: Regularizer,
    /** @type {Record<string, import('./serializable.js').Kind<Penalty>>} */
    kinds: {
        // Keras keeps the factor as a float32.
        L1: {
            defaults: { l1: 0.01 },
            check: ({ l1 }) => ({ l1: Math.fround(factor('l1', l1 ?? 0.01)) }),
            act: (x, _, { l1 }) => l1 * sumOfAbsolutes(x),
        },
        L2: {
            defaults: { l2: 0.01 },
            check: ({ l2 }) => ({ l2: factor('l2', l2 ?? 0.01) }),
            act: (x, _, { l2 }) => l2 * sumOfSquares(x),
        },
        L1L2: {
            defaults: { l1: 0, l2: 0 },
            check: ({ l1, l2 }) => ({ l1: factor('l1', l1 ?? 0), l2: factor('l2', l2 ?? 0) }),
            act: (x, _, { l1, l2 }) => (l1 > 0 ? l1 * sumOfAbsolutes(x) : 0) + (l2 > 0 ? l2 * sumOfSquares(x) : 0),
        },
        OrthogonalRegularizer: {
            defaults: { factor: 0.01, mode: 'rows' },
            check({ factor: share, mode }) {
                if (mode !== 'rows' && mode !== 'columns') throw rangeError('mode', '"rows" or "columns"', mode);
                return { factor: Math.fround(factor('factor', share)), mode };
            },
            act: alikeness,
        },
    },
};
