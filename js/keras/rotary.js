// Angles of rotary positions as Keras Hub computes them: in float32, whose steps are coarse at far positions, so that a
// float64 angle would be another number. Sources: Su et al. 2021 (RoFormer), Ding et al. 2024 (LongRoPE).

import { positiveInteger, positiveNumber, rangeError, typeError } from '../check.js';
import { roundTo } from './policy.js';

/** @typedef {import('./policy.js').FloatType} FloatType */

const f = Math.fround;

/**
 * @typedef {object} RotarySettings
 * @property {number} maxWavelength
 * @property {number} [scalingFactor] frequencies are divided by it
 * @property {number} [clamp] positions beyond it count as it
 * @property {(base: Float32Array, dims: number) => Float32Array} [rescale] frequencies in place of those of the wavelength
 * @property {number} [amplitude] cosines and sines are multiplied by it
 * @property {number | null} [denominatorDim] in place of the features in the exponents
 * @property {Smoothing | null} [smoothing] Llama 3.1
 * @property {LongFactors | null} [long] Phi-3
 *
 * @typedef {object} Smoothing long waves are stretched by `factor`, short ones stay
 * @property {number} factor
 * @property {number} lowFactor
 * @property {number} highFactor
 * @property {number} trained
 *
 * @typedef {object} LongFactors divisors of the frequencies, by the length of a call
 * @property {readonly number[]} shortFactors
 * @property {readonly number[]} longFactors
 * @property {number} trained calls of more positions take the long ones
 * @property {number} most positions that the model is made for
 */

/** @param {RotarySettings} settings @param {number} dims @throws {RangeError} for features that cannot turn so */
export function checkDims({ long }, dims) {
    if (dims % 2 !== 0) throw rangeError('the rotary dimension', 'even: it is split into two halves', dims);
    if (long && [long.shortFactors, long.longFactors].some(({ length }) => length !== dims / 2)) {
        throw rangeError('the rotary dimension', `twice the number of factors, ${long.shortFactors.length}`, dims);
    }
}

/** Cosines and sines for rows of positions. */
export class RotaryAngles {
    /**
     * @param {RotarySettings} settings
     * @param {number} dims even
     * @param {FloatType} [type] of cosines and sines
     */
    constructor(settings, dims, type = 'float32') {
        checkDims(settings, dims);
        const { long } = settings;
        this.settings = settings;
        this.dims = dims;
        this._type = type;
        this._amplitude = long ? longAmplitude(long) : f(settings.amplitude ?? 1);
        this._short = this._frequencies(false);
        this._long = settings.long ? this._frequencies(true) : this._short;
    }

    /**
     * @param {Float32Array} table [count][dims]: cosines, then sines
     * @param {number} count
     * @param {number} first position; the others follow it
     */
    write(table, count, first) {
        this.writeAt(table, count, (i) => first + i);
    }

    /**
     * @param {Float32Array} table [count][dims]
     * @param {number} count
     * @param {(i: number) => number} positionOf
     */
    writeAt(table, count, positionOf) {
        const { settings, dims, _type: type, _amplitude: size } = this;
        const half = dims / 2;
        const clamp = settings.clamp ?? Infinity;
        const frequencies = settings.long && count > settings.long.trained ? this._long : this._short;
        for (let i = 0, at = 0; i < count; i++, at += dims) {
            const position = Math.min(f(positionOf(i)), clamp);
            for (let j = 0; j < half; j++) {
                const angle = f(position * frequencies[j]);
                table[at + j] = roundTo(f(Math.cos(angle)) * size, type);
                table[at + half + j] = roundTo(f(Math.sin(angle)) * size, type);
            }
        }
    }

    /** How keys that were rotated so turn as their positions change, if no more than `most` positions were rotated at once. */
    get turning() {
        return { frequencies: Float64Array.from(this._short), most: this.settings.long?.trained ?? Infinity };
    }

    /** @param {boolean} isLong @returns {Float32Array} radians per position */
    _frequencies(isLong) {
        const { settings, dims } = this;
        const { maxWavelength, scalingFactor = 1, rescale, denominatorDim, smoothing, long } = settings;
        const base = baseFrequencies(maxWavelength, dims, denominatorDim ?? dims);
        if (long) return base.map((x, i) => x / f((isLong ? long.longFactors : long.shortFactors)[i]) / f(scalingFactor));
        const rescaled = smoothing ? base.map((x) => smoothed(smoothing, x)) : rescale ? rescale(base, dims) : base;
        return rescaled.map((x) => x / f(scalingFactor));
    }
}

/**
 * @param {number} maxWavelength
 * @param {number} dims
 * @param {number} divisor of the exponents
 * @returns {Float32Array} radians per position
 */
export function baseFrequencies(maxWavelength, dims, divisor) {
    return Float32Array.from({ length: dims / 2 }, (_, i) => 1 / f(maxWavelength ** f(2 * i / divisor)));
}

/** @param {LongFactors} settings @returns {number} */
function longAmplitude({ most, trained }) {
    return most > trained ? f(Math.sqrt(1 + Math.log(most / trained) / Math.log(trained))) : 1;
}

/** @param {Smoothing} settings @param {number} x a frequency @returns {number} */
function smoothed({ factor, lowFactor, highFactor, trained }, x) {
    const wavelength = f(2 * Math.PI / x);
    if (wavelength > trained / lowFactor) return f(x / factor);
    if (wavelength < trained / highFactor) return x;
    const part = f((f(trained / wavelength) - lowFactor) / (highFactor - lowFactor));
    return f((1 - part) * f(x / factor) + f(part * x));
}

/**
 * @param {readonly string[]} names of the options: factor, low, high, trained; all given, or none
 * @param {Record<string, any>} given
 * @returns {Smoothing | null}
 */
export function readSmoothing(names, given) {
    if (names.every((name) => given[name] === null)) return null;
    const missing = names.find((name) => given[name] === null);
    if (missing !== undefined) throw rangeError(missing, `given, as ${names.join(', ')} are all given or none`, null);
    const [factor, lowFactor, highFactor, trained] = names.map((name) => positiveNumber(name, given[name]));
    if (lowFactor === highFactor) throw rangeError(names[2], `another number than ${names[1]}`, highFactor);
    return { factor, lowFactor, highFactor, trained };
}

/**
 * @param {readonly string[]} names of the options: short and long factors
 * @param {Record<string, any>} given
 * @param {{ trained: number, most: number }} lengths
 * @param {number} [half] how many there must be, where that is known
 * @returns {LongFactors}
 */
export function readLongFactors(names, given, { trained, most }, half) {
    const [shortFactors, longFactors] = names.map((name) => {
        const factors = given[name];
        if (!Array.isArray(factors)) throw typeError(name, 'an array of numbers', factors);
        if (half !== undefined && factors.length !== half)
            throw rangeError(name, `of ${half} numbers, one for two features`, factors);
        return Object.freeze(factors.map((factor, i) => positiveNumber(`${name}[${i}]`, factor)));
    });
    positiveInteger('pretrainingSequenceLength', trained);
    positiveInteger('maxSequenceLength', most);
    return { shortFactors, longFactors, trained, most };
}
