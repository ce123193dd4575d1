// SinePositionEncoding and AlibiBias: Keras Hub's layers (keras.io/keras_hub/api/modeling_layers).

import { checkOptionNames, positiveInteger, positiveNumber, rangeError } from '../check.js';
import { roundTo } from '../keras/policy.js';
import { PlainLayer, positionsOf } from './plain-layer.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('./plain-layer.js').LayerConfig} LayerConfig */

/** @typedef {LayerConfig & { maxWavelength?: number }} SinePositionEncodingConfig maxWavelength: 10000 */
/** @typedef {LayerConfig & { alibiBiasMax?: number }} AlibiBiasConfig alibiBiasMax: slopes go down to 2 ** -alibiBiasMax; 8 */

/**
 * Sines and cosines of positions (Vaswani et al. 2017, section 3.5), for inputs [..., B, T, F]: the encoding alone, not the
 * sum. Angles are of the compute type, as in Keras. Source:
 * https://keras.io/keras_hub/api/modeling_layers/sine_position_encoding/
 * @extends {PlainLayer<import('./plain-layer.js').PositionOptions>}
 */
export class SinePositionEncoding extends PlainLayer {
    static _what = 'SinePositionEncoding';
    static _defaultName = 'sine_position_encoding';
    static _defaults = { maxWavelength: 10000 };

    /**
     * @param {Runtime} runtime
     * @param {SinePositionEncodingConfig} [config]
     * @throws {TypeError | RangeError} naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /** @param {Record<string, any>} own @returns {Record<string, any>} */
    _checkConfig(own) {
        positiveNumber('maxWavelength', own.maxWavelength);
        return own;
    }

    /** @param {Held} inputs @param {Record<string, any>} options */
    _makeJob(inputs, options) {
        checkOptionNames(`a call of ${this._what}`, options, ['startIndex', 'positions']);
        const { shape } = inputs;
        if (shape.length < 3) throw rangeError('inputs', 'of shape [B, ..., T, F]', inputs);
        const [entries, count, features] = shape.slice(-3);
        const places = positionsOf(options, entries, count, this._policy.compute);
        const rounded = (/** @type {number} */ x) => roundTo(x, this._policy.compute);
        const least = rounded(1 / this._config.maxWavelength);
        const frequencies = Float32Array.from(
            { length: shape.includes(0) ? 0 : features },
            (_, i) => rounded(least ** rounded(rounded(2 * Math.floor(i / 2)) / rounded(features))),
        );
        return this._fill(inputs, (out) => {
            for (let b = 0, at = 0; at < out.length; b++) {
                const positionOf = places(b % entries);
                for (let t = 0; t < count; t++) {
                    for (let i = 0; i < features; i++, at++) {
                        const angle = rounded(rounded(positionOf(t)) * frequencies[i]);
                        out[at] = i % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
                    }
                }
            }
        });
    }
}

/**
 * Attention with linear biases (Press et al. 2022): scores [B, H, T, S] plus slope * (j - (S - 1)), counted from the
 * last key for every query, as in Keras. Source: https://keras.io/keras_hub/api/modeling_layers/alibi_bias/
 * @extends {PlainLayer<{}>}
 */
export class AlibiBias extends PlainLayer {
    static _what = 'AlibiBias';
    static _defaultName = 'alibi_bias';
    static _defaults = { alibiBiasMax: 8 };

    /**
     * @param {Runtime} runtime
     * @param {AlibiBiasConfig} [config]
     * @throws {TypeError | RangeError} naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /** @param {Record<string, any>} own @returns {Record<string, any>} */
    _checkConfig(own) {
        positiveInteger('alibiBiasMax', own.alibiBiasMax);
        return own;
    }

    /** @param {Held} inputs attention scores @param {Record<string, any>} options */
    _makeJob(inputs, options) {
        checkOptionNames(`a call of ${this._what}`, options, []);
        const { shape } = inputs;
        if (shape.length !== 4) throw rangeError('attentionScores', 'of shape [batch, heads, T, S]', inputs);
        const [, heads, t, s] = shape;
        const slopes = slopesOf(shape.includes(0) ? 0 : heads, this._config.alibiBiasMax);
        const rounded = (/** @type {number} */ x) => roundTo(x, this._policy.compute);
        return this._fill(inputs, (out, values) => {
            for (let row = 0, i = 0; i < out.length; row++) {
                const slope = rounded(slopes[Math.floor(row / t) % heads]);
                for (let j = 1 - s; j <= 0; j++, i++) out[i] = values[i] + rounded(slope * rounded(j));
            }
        });
    }
}

/**
 * A geometric row for a power of two of heads; for other numbers, that of the next lower one and every other of the
 * next higher.
 * @param {number} heads
 * @param {number} most
 * @returns {number[]}
 */
function slopesOf(heads, most) {
    if (heads === 0) return [];
    const power = 2 ** Math.floor(Math.log2(heads));
    const row = (/** @type {number} */ n) => Array.from({ length: n }, (_, i) => 2 ** (-most * (i + 1) / n));
    return [...row(power), ...row(2 * power).filter((_, i) => i % 2 === 0).slice(0, heads - power)];
}
