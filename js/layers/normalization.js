// RMSNormalization and LayerNormalization: Keras's layers (keras.io/api/layers/normalization_layers).

import { roundMode, sizeOf } from '../engine/tensor.js';
import { booleanOrBit, checkOptionNames, finiteNumber, rangeError, typeError } from '../check.js';
import { NormWeights } from '../blocks/norm.js';
import { resolveObjects, serializeObjects } from '../keras/objects.js';
import { roundTo } from '../keras/policy.js';
import { AxesPlan, checkShape } from '../keras/shapes.js';
import { floatInput } from './attention/inputs.js';
import { PlainLayer } from './plain-layer.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('../keras/shapes.js').Shape} Shape */
/** @typedef {import('./plain-layer.js').LayerConfig} LayerConfig */

/**
 * @typedef {object} RMSNormalizationOwn
 * @property {number | number[]} [axis] the last axes, in order; -1
 * @property {number} [epsilon] is added to the mean of squares; 1e-6
 * @property {number} [offset] is added to the scale; 0, and 1 in Gemma
 *
 * @typedef {LayerConfig & RMSNormalizationOwn} RMSNormalizationConfig
 */

/**
 * Objects of Keras's are a name, `{ class_name, config }` or null.
 * @typedef {object} LayerNormalizationOwn
 * @property {number | number[]} [axis] -1
 * @property {number} [epsilon] is added to the variance; 1e-3
 * @property {boolean | 0 | 1} [center] whether there is a beta; true
 * @property {boolean | 0 | 1} [scale] whether there is a gamma; true
 * @property {boolean | 0 | 1} [rmsScaling] divides by the root of the variance and takes no mean off; false
 * @property {unknown} [betaInitializer] 'zeros'
 * @property {unknown} [gammaInitializer] 'ones'
 * @property {unknown} [betaRegularizer]
 * @property {unknown} [gammaRegularizer]
 * @property {unknown} [betaConstraint]
 * @property {unknown} [gammaConstraint]
 *
 * @typedef {LayerConfig & LayerNormalizationOwn} LayerNormalizationConfig
 */

/**
 * A norm over some axes of its input, with weights of their sizes.
 * @extends {PlainLayer<{}>}
 */
class Normalization extends PlainLayer {
    /** Gamma and beta where the kernels read them; null before build. @type {NormWeights | null} */
    _norm = null;
    /** Of the axes normed together, in the order of the weights' axes; known once it is built. @type {readonly number[]} */
    _sizes = [];

    /** @param {Record<string, any>} own @returns {Record<string, any>} */
    _checkConfig(own) {
        const { axis } = own;
        if (!(Array.isArray(axis) ? axis.length > 0 && axis.every(Number.isInteger) : Number.isInteger(axis))) {
            throw typeError('axis', 'an integer or an array of integers', axis);
        }
        if (!(finiteNumber('epsilon', own.epsilon) >= 0))
            throw rangeError('epsilon', 'a number from 0 on', own.epsilon);
        return own;
    }

    get built() {
        return this._norm !== null;
    }

    /**
     * Makes the weights. The first call does it if need be.
     * @param {Shape} shape of inputs
     */
    build(shape) {
        this._checkAlive();
        if (this.built) throw new RangeError(`build must come once, and before any call: ${this.name} is built`);
        // Keras sorts them as they were given, negative ones first.
        const axis = [this._config.axis].flat().sort((a, b) => a - b);
        const axes = this._axesOf(axis, checkShape('shape', shape));
        const sizes = axes.map((each) => {
            const size = shape[each];
            if (size === null || size === 0)
                throw rangeError('shape', `of known sizes above 0 on the axes [${axes}]`, shape);
            return size;
        });
        // What can fail comes first: a layer that could not be built is as it was.
        const weights = this._makeWeights(Object.freeze(sizes));
        this._norm = this._makeNorm(sizes.reduce((a, b) => a * b, 1));
        this._config.axis = axis;
        this._sizes = sizes;
        this._weights = weights;
        for (const weight of this._weights) weight.data = this._rounded(weight.data);
        this._loaded();
    }

    /** @param {number} _n elements that are normed together @returns {NormWeights} */
    _makeNorm(_n) {
        throw new Error(`${this._what} has no norm of its own`);
    }

    /** @param {readonly number[]} _shape @returns {import('./plain-layer.js').PlainWeight[]} */
    _makeWeights(_shape) {
        return [];
    }

    /** What inputs and weights are cast to. */
    get _cast() {
        return this._policy.compute;
    }

    _loaded() {
        const { _cast: cast } = this;
        for (const { path, data } of this._weights) {
            const values = data.map((value) => roundTo(value, cast));
            if (path === 'beta') this._norm?.loadBias(values);
            else this._norm?.loadWeight(values);
        }
    }

    /** @param {number[]} given @param {Shape} shape of inputs @returns {number[]} from 0 on, in the same order */
    _axesOf(given, { length: rank }) {
        const axes = given.map((axis) => (axis < 0 ? axis + rank : axis));
        const valid = axes.every((axis, i) => axis >= 0 && axis < rank && axes.indexOf(axis) === i);
        if (!valid) throw rangeError('axis', `different axes of inputs of rank ${rank}`, given);
        return axes;
    }

    /** @param {Held} inputs @param {Record<string, any>} options */
    _makeJob(inputs, options) {
        checkOptionNames(`a call of ${this._what}`, options, []);
        if (!this.built) this.build(inputs.shape);
        const { shape } = inputs;
        const axes = this._axesOf(this._config.axis, shape);
        const { _sizes: sizes } = this;
        if (axes.some((axis, i) => shape[axis] !== sizes[i])) {
            throw rangeError('inputs', `of sizes [${sizes}] on the axes [${axes}], as built`, inputs);
        }
        // Weights lie in the order of the inputs' axes, whatever the order of their own: Keras reshapes them.
        axes.sort((a, b) => a - b);
        // Each number is a row of its own.
        return this._job(inputs, new AxesPlan(shape.length + 1, axes), sizes.reduce((a, b) => a * b, 1));
    }

    /**
     * @param {Held} inputs
     * @param {AxesPlan} plan puts the axes that are normed together last
     * @param {number} n elements normed together
     * @returns {import('./plain-layer.js').Work}
     */
    _job(inputs, plan, n) {
        const { _runtime: runtime, _cast: cast, _policy: { compute } } = this;
        const { memory } = runtime;
        const { shape } = inputs;
        const size = sizeOf(shape);
        /** @type {import('../engine/tensor.js').Tensor} */
        let output;
        let rows = 0;
        return {
            record: (program) => {
                output = program.result(Object.freeze([...shape]), compute);
                let x = floatInput(runtime, program, inputs, cast, roundMode(cast));
                rows = output._address;
                if (!plan.direct) {
                    rows = program.scratch(4 * size);
                    plan.permute(memory.f32(rows, size), memory.f32(x, size), shape, 1, false);
                    x = rows;
                }
                this._record(program, size / n, x, n, rows);
            },
            finish: () => {
                if (!plan.direct) plan.permute(memory.f32(output._address, size), memory.f32(rows, size), shape, 1, true);
                this._round(output);
                return output;
            },
        };
    }

    /**
     * @param {import('../engine/program.js').Program} program
     * @param {number} rows
     * @param {number} x address of [rows][n]
     * @param {number} n
     * @param {number} y address of [rows][n]
     */
    _record(program, rows, x, n, y) {
        if (rows > 0) this._norm?.record(program, rows, x, n, y, n);
    }

    /** Frees the weights. */
    dispose() {
        this._norm?.dispose();
        this._norm = null;
        super.dispose();
    }
}

/**
 * x / sqrt(mean of squares + epsilon) * (scale + offset), inputs of any shape. With offset 1 it is Keras Hub's RMSNormalization
 * (Gemma). Source: https://keras.io/api/layers/normalization_layers/rms_normalization/
 */
export class RMSNormalization extends Normalization {
    static _what = 'RMSNormalization';
    static _defaultName = 'rms_normalization';
    static _defaults = { axis: -1, epsilon: 1e-6, offset: 0 };

    /**
     * @param {Runtime} runtime
     * @param {RMSNormalizationConfig} [config]
     * @throws {TypeError | RangeError} naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /** @param {Record<string, any>} own @returns {Record<string, any>} */
    _checkConfig(own) {
        finiteNumber('offset', own.offset);
        return super._checkConfig(own);
    }

    /** @returns {Record<string, any>} */
    _ownConfig() {
        const { axis, epsilon, offset } = this._config;
        return { axis, epsilon, ...offset !== 0 && { offset } };
    }

    /** @override @param {number[]} given @param {Shape} shape @returns {number[]} */
    _axesOf(given, shape) {
        const axes = super._axesOf(given, shape);
        // Keras multiplies by the scale along the last axes, whichever it has normed.
        const first = shape.length - axes.length;
        const isLast = axes.every((axis, i) => axis === first + i);
        if (!isLast && axes.some((axis) => shape[axis] !== 1)) throw rangeError('axis', 'the last axes, in order', given);
        return axes;
    }

    /** @param {number} n @returns {NormWeights} */
    _makeNorm(n) {
        const { epsilon, offset } = this._config;
        return new NormWeights(this._runtime, { kind: 'rms', width: n, epsilon, offset });
    }

    /** @param {readonly number[]} shape @returns {import('./plain-layer.js').PlainWeight[]} */
    _makeWeights(shape) {
        const data = new Float32Array(sizeOf(shape)).fill(1 - this._config.offset);
        return [{ path: 'scale', shape, data, regularizer: null, constraint: null }];
    }
}

/** Objects, of beta and of gamma. */
const OBJECTS = {
    betaInitializer: 'zeros',
    gammaInitializer: 'ones',
    betaRegularizer: null,
    gammaRegularizer: null,
    betaConstraint: null,
    gammaConstraint: null,
};

/**
 * (x - mean) / sqrt(variance + epsilon) * gamma + beta, inputs of any shape. With rmsScaling x / sqrt(variance + epsilon) * gamma:
 * Keras's, and not RMS normalization. Source: https://keras.io/api/layers/normalization_layers/layer_normalization/
 */
export class LayerNormalization extends Normalization {
    static _what = 'LayerNormalization';
    static _defaultName = 'layer_normalization';
    static _defaults = {
        axis: -1,
        epsilon: 1e-3,
        center: true,
        scale: true,
        rmsScaling: false,
        ...OBJECTS,
    };

    /**
     * @param {Runtime} runtime
     * @param {LayerNormalizationConfig} [config]
     * @throws {TypeError | RangeError} naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /** @param {Record<string, any>} own @returns {Record<string, any>} */
    _checkConfig(own) {
        return {
            ...super._checkConfig(own),
            center: booleanOrBit('center', own.center),
            scale: booleanOrBit('scale', own.scale),
            rmsScaling: booleanOrBit('rmsScaling', own.rmsScaling),
            ...resolveObjects(Object.keys(OBJECTS), own),
        };
    }

    /** @returns {Record<string, any>} */
    _ownConfig() {
        const c = this._config;
        return { ...c, ...serializeObjects(Object.keys(OBJECTS), c) };
    }

    /** Keras casts nothing of this layer but what it gives. @returns {import('../keras/policy.js').FloatType} */
    get _cast() {
        return 'float32';
    }

    /** @param {number} n @returns {NormWeights} */
    _makeNorm(n) {
        return new NormWeights(this._runtime, { kind: 'layer', width: n, epsilon: this._config.epsilon, bias: true });
    }

    /** @param {readonly number[]} shape @returns {import('./plain-layer.js').PlainWeight[]} */
    _makeWeights(shape) {
        const c = this._config;
        /** @type {import('./plain-layer.js').PlainWeight[]} */
        const weights = [];
        if (c.scale || c.rmsScaling) {
            const data = c.gammaInitializer.draw(shape);
            weights.push({
                path: 'gamma',
                shape,
                data,
                regularizer: c.gammaRegularizer,
                constraint: c.gammaConstraint,
            });
        }
        if (c.center && !c.rmsScaling) {
            const data = c.betaInitializer.draw(shape);
            weights.push({ path: 'beta', shape, data, regularizer: c.betaRegularizer, constraint: c.betaConstraint });
        }
        return weights;
    }

    /**
     * @param {import('../engine/program.js').Program} program
     * @param {number} rows
     * @param {number} x
     * @param {number} n
     * @param {number} y
     */
    _record(program, rows, x, n, y) {
        if (!this._config.rmsScaling) {
            super._record(program, rows, x, n, y);
            return;
        }
        const { memory } = this._runtime;
        scale(memory.f32(y, rows * n), memory.f32(x, rows * n), n, this._weights[0].data, this._config.epsilon);
    }
}

/**
 * y = x / sqrt(variance + epsilon) * gamma, in rows of n.
 * @param {Float32Array} y
 * @param {Float32Array} x
 * @param {number} n
 * @param {Float32Array} gamma
 * @param {number} epsilon
 */
function scale(y, x, n, gamma, epsilon) {
    for (let row = 0; row < x.length; row += n) {
        const part = x.subarray(row, row + n);
        const mean = part.reduce((a, b) => a + b, 0) / n;
        const variance = part.reduce((a, b) => a + (b - mean) ** 2, 0) / n;
        part.forEach((value, i) => { y[row + i] = value / Math.sqrt(variance + epsilon) * gamma[i]; });
    }
}
