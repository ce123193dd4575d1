// RotaryEmbedding: Keras Hub's layer (keras.io/keras_hub/api/modeling_layers/rotary_embedding), and what its Llama and
// Phi-3 add.

import { checkOptionNames, positiveInteger, positiveNumber, rangeError, typeError } from '../check.js';
import { RotaryAngles, baseFrequencies, checkDims, readLongFactors, readSmoothing } from '../keras/rotary.js';
import { PlainLayer, positionsOf } from './plain-layer.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('../keras/rotary.js').RotarySettings} RotarySettings */
/** @typedef {import('./plain-layer.js').LayerConfig} LayerConfig */

/**
 * @typedef {object} RotaryEmbeddingOwn
 * @property {number} [maxWavelength] 10000
 * @property {number} [scalingFactor] what it divides, `ropeType` says; 1
 * @property {'linear' | 'dynamic' | 'yarn'} [ropeType] 'linear', the default: positions are divided by scalingFactor; 'dynamic':
 *   frequencies, by a power of it
 * @property {number} [betaFast] of 'yarn', 32
 * @property {number} [betaSlow] of 'yarn', 1
 * @property {number} [originalMaxPositionEmbeddings] of 'yarn', 4096
 * @property {boolean} [truncate] of 'yarn', false
 * @property {number} [sequenceAxis] 1
 * @property {number} [featureAxis] -1
 * @property {number | null} [denominatorDim] in place of the number of features in the exponents
 * @property {number | null} [frequencyAdjustmentFactor] Llama 3.1, all four or none
 * @property {number | null} [lowFreqFactor]
 * @property {number | null} [highFreqFactor]
 * @property {number | null} [pretrainingSequenceLength] of Phi-3 too: longer calls take the long factors; 4096
 * @property {readonly number[] | null} [inverseFreqShortFactor] Phi-3: a divisor for each pair of features
 * @property {readonly number[] | null} [inverseFreqLongFactor]
 * @property {number | null} [maxSequenceLength] Phi-3, 4096
 *
 * @typedef {LayerConfig & RotaryEmbeddingOwn} RotaryEmbeddingConfig
 */

const SMOOTHING = /** @type {const} */ ([
    'frequencyAdjustmentFactor',
    'lowFreqFactor',
    'highFreqFactor',
    'pretrainingSequenceLength',
]);
const LONG = /** @type {const} */ (['inverseFreqShortFactor', 'inverseFreqLongFactor']);
/** Of Llama's layer and of Phi-3's; a config has them where they are given. */
const MODELS = {
    frequencyAdjustmentFactor: null, lowFreqFactor: null, highFreqFactor: null, pretrainingSequenceLength: null,
    inverseFreqShortFactor: null, inverseFreqLongFactor: null, maxSequenceLength: null,
};

/**
 * What `scalingFactor` means, by `ropeType`.
 * @type {Record<'linear' | 'dynamic' | 'yarn', (own: Record<string, any>) => Partial<RotarySettings>>}
 */
const SCALED = {
    linear: ({ scalingFactor }) => ({ scalingFactor }),
    dynamic: ({ scalingFactor }) => ({
        rescale: (base, dims) => base.map((x) => x / Math.fround(scalingFactor ** (dims / Math.max(1, dims - 2)))),
    }),
    yarn: (own) => ({
        rescale: (_, dims) => yarn(own, dims),
        amplitude: 0.1 * Math.log(own.scalingFactor) + 1,
        ...(own.truncate && { clamp: own.originalMaxPositionEmbeddings }),
    }),
};

/**
 * Waves that turn often within the trained positions stay, those that hardly do are stretched (Peng et al. 2023). Keras
 * sets denominatorDim aside here, and ends the ramp at the last pair of features, not at the last feature.
 * @param {Record<string, any>} own
 * @param {number} dims
 * @returns {Float32Array}
 */
function yarn(own, dims) {
    const { maxWavelength, scalingFactor, betaFast, betaSlow, originalMaxPositionEmbeddings: trained, truncate } = own;
    const dimension = (/** @type {number} */ turns) =>
        (dims * Math.log(trained / (turns * 2 * Math.PI))) / (2 * Math.log(maxWavelength));
    const [low, high] = truncate
        ? [Math.floor(dimension(betaFast)), Math.ceil(dimension(betaSlow))]
        : [dimension(betaFast), dimension(betaSlow)];
    const [from, to] = [Math.max(low, 0), Math.min(high, dims / 2 - 1)];
    return baseFrequencies(maxWavelength, dims, dims).map((x, i) => {
        const ramp = Math.min(Math.max((i - from) / Math.max(to - from, 0.001), 0), 1);
        return x * (1 - ramp) + (x / scalingFactor) * ramp;
    });
}

/**
 * Turns pairs of features by their position: feature i with i + half; inputs of 3 axes or more. Source:
 * https://keras.io/keras_hub/api/modeling_layers/rotary_embedding/
 * @extends {PlainLayer<import('./plain-layer.js').PositionOptions>}
 */
export class RotaryEmbedding extends PlainLayer {
    static _what = 'RotaryEmbedding';
    static _defaultName = 'rotary_embedding';
    static _defaults = {
        maxWavelength: 10000,
        scalingFactor: 1,
        ropeType: 'linear',
        betaFast: 32,
        betaSlow: 1,
        originalMaxPositionEmbeddings: 4096,
        truncate: false,
        sequenceAxis: 1,
        featureAxis: -1,
        denominatorDim: null,
        ...MODELS,
    };

    /**
     * @param {Runtime} runtime
     * @param {RotaryEmbeddingConfig} [config]
     * @throws {TypeError | RangeError} naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /** @param {Record<string, any>} own @returns {Record<string, any>} */
    _checkConfig(own) {
        for (const name of [
            'maxWavelength',
            'scalingFactor',
            'betaFast',
            'betaSlow',
            'originalMaxPositionEmbeddings',
        ]) {
            positiveNumber(name, own[name]);
        }
        for (const name of ['sequenceAxis', 'featureAxis']) {
            if (!Number.isInteger(own[name])) throw typeError(name, 'an integer', own[name]);
        }
        if (typeof own.ropeType !== 'string' || !Object.hasOwn(SCALED, own.ropeType))
            throw rangeError('ropeType', '"linear", "dynamic" or "yarn"', own.ropeType);
        if (typeof own.truncate !== 'boolean') throw typeError('truncate', 'a boolean', own.truncate);
        if (own.denominatorDim !== null) positiveInteger('denominatorDim', own.denominatorDim);
        const isLong = LONG.some((name) => own[name] !== null);
        if (!isLong && own.maxSequenceLength !== null)
            throw rangeError('maxSequenceLength', `absent without ${LONG.join(', ')}`, own.maxSequenceLength);
        const smoothing = isLong ? null : readSmoothing(SMOOTHING, own);
        if ((isLong || smoothing) && own.ropeType !== 'linear')
            throw rangeError('ropeType', '"linear" with the frequencies of Llama or Phi-3', own.ropeType);
        const lengths = { trained: own.pretrainingSequenceLength ?? 4096, most: own.maxSequenceLength ?? 4096 };
        /** @type {RotarySettings} */
        this._settings = {
            maxWavelength: own.maxWavelength,
            denominatorDim: own.denominatorDim,
            ...SCALED[/** @type {keyof SCALED} */ (own.ropeType)](own),
            smoothing,
            long: isLong ? readLongFactors(LONG, own, lengths) : null,
        };
        return own;
    }

    /** @returns {Record<string, any>} */
    _ownConfig() {
        return Object.fromEntries(
            Object.entries(this._config).filter(([key, value]) => value !== null || !Object.hasOwn(MODELS, key)),
        );
    }

    /** @param {Held} inputs @param {Record<string, any>} options */
    _makeJob(inputs, options) {
        checkOptionNames(`a call of ${this._what}`, options, ['startIndex', 'positions']);
        const { shape } = inputs;
        const rank = shape.length;
        const axisOf = (/** @type {string} */ name) => {
            const axis = this._config[name];
            if (axis < -rank || axis >= rank) throw rangeError(name, `an axis of inputs of rank ${rank}`, axis);
            return axis < 0 ? axis + rank : axis;
        };
        const [sequence, feature] = [axisOf('sequenceAxis'), axisOf('featureAxis')];
        if (sequence === feature)
            throw rangeError('sequenceAxis', 'another axis than featureAxis', this._config.sequenceAxis);
        const batch = shape.findIndex((_, axis) => axis !== sequence && axis !== feature);
        if (batch < 0) throw rangeError('inputs', 'of 3 axes or more', inputs);
        const dims = shape[feature];
        const settings = /** @type {RotarySettings} */ (this._settings);
        checkDims(settings, dims);
        const places = positionsOf(options, shape[batch], shape[sequence], this._policy.compute);
        // The tables are as long as the axes are, also of inputs without an element.
        if (shape.includes(0)) return this._fill(inputs, () => {});
        const angles = new RotaryAngles(settings, dims, this._policy.compute);
        const tables = Array.from({ length: options.positions == null ? 1 : shape[batch] }, (_, b) => {
            const table = new Float32Array(shape[sequence] * dims);
            angles.writeAt(table, shape[sequence], places(b));
            return table;
        });
        const rows = rowsOf(shape, feature);
        return this._fill(inputs, (out, values) =>
            turn(out, values, rows, tables, { batch, sequence, dims, stride: strideOf(shape, feature) }),
        );
    }
}

/** @param {readonly number[]} shape @param {number} axis @returns {number} */
const strideOf = (shape, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1);

/**
 * Every row along an axis: where it starts, and its place on the other axes.
 * @param {readonly number[]} shape
 * @param {number} axis
 * @returns {Iterable<{ at: number, index: number[] }>}
 */
function* rowsOf(shape, axis) {
    const count = shape.reduce((a, b, i) => (i === axis ? a : a * b), 1);
    const index = shape.map(() => 0);
    for (let row = 0, at = 0; row < count; row++) {
        yield { at, index };
        for (let i = shape.length - 1; i >= 0; i--) {
            if (i === axis) continue;
            at += strideOf(shape, i);
            if (++index[i] < shape[i]) break;
            at -= strideOf(shape, i) * shape[i];
            index[i] = 0;
        }
    }
}

/**
 * @param {Float32Array} out
 * @param {ArrayLike<number>} values
 * @param {Iterable<{ at: number, index: number[] }>} rows
 * @param {Float32Array[]} tables cosines and sines of each position: one for all, or one per batch entry
 * @param {{ batch: number, sequence: number, dims: number, stride: number }} axes
 */
function turn(out, values, rows, tables, { batch, sequence, dims, stride }) {
    const half = dims / 2;
    for (const { at, index } of rows) {
        const table = tables[tables.length === 1 ? 0 : index[batch]];
        const row = index[sequence] * dims;
        for (let j = 0; j < half; j++) {
            const a = at + j * stride;
            const b = a + half * stride;
            const [cosine, sine] = [table[row + j], table[row + half + j]];
            out[a] = values[a] * cosine - values[b] * sine;
            out[b] = values[b] * cosine + values[a] * sine;
        }
    }
}
