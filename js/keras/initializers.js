// Keras's initializers, with its distributions (keras.io/api/layers/initializers). An int seed decides the stream
// alone, so that, as in Keras, every kernel of a layer with a seeded initializer draws the same numbers; without a seed
// each draw differs.

import { checkedSize, sizeOf } from '../engine/size.js';
import { Random, randomSeed } from '../random.js';
import { Serializable, checkNumbers } from './serializable.js';
import { show, typeError, rangeError, finiteNumber } from '../check.js';

/** @typedef {import('./serializable.js').Options} Options */
/** @typedef {{ fanIn: number, fanOut: number }} Fans inputs per output of a kernel, and outputs per input */

/**
 * Row-major values of a shape. Fans: of a kernel, where the projection knows better than the shape does.
 * @typedef {(shape: readonly number[], options: Options, fans?: Fans) => Float32Array} Draw
 */

/** Standard deviation of a standard normal that is cut off at 2 standard deviations. */
const TRUNCATED_STDDEV = 0.87962566103423978;

/** @param {Options} options @returns {Random} at the start of its stream: another one at every draw where `seed` is null */
const stream = ({ seed }) => new Random(seed ?? randomSeed());

/**
 * @param {readonly number[]} shape
 * @param {() => number} next
 * @returns {Float32Array}
 */
function fill(shape, next) {
    const values = new Float32Array(sizeOf(shape));
    for (let i = 0; i < values.length; i++) values[i] = next();
    return values;
}

/**
 * @param {readonly number[]} shape
 * @param {number} low inclusive
 * @param {number} high exclusive, after rounding to float32 too, unless it is the same
 * @param {Random} random
 * @returns {Float32Array}
 */
function uniform(shape, low, high, random) {
    return fill(shape, () => {
        const value = Math.fround(low + (high - low) * random.uniform());
        return value < high ? value : low;
    });
}

/** @param {'normal' | 'truncatedNormal'} distribution the second: drawn again outside 2 standard deviations */
const normal = (distribution) => ({
    defaults: { seed: null, mean: 0, stddev: 0.05 },
    check: checkSeed,
    /** @type {Draw} */
    act(shape, options) {
        const random = stream(options);
        return fill(shape, () => options.mean + options.stddev * random[distribution]());
    },
});

/** @param {Options} options @param {Options} defaults @returns {Options} */
function checkSeed(options, defaults) {
    const { seed } = options;
    if (seed !== null && !Number.isSafeInteger(seed)) throw typeError('seed', 'an integer or null', seed);
    return checkNumbers(options, defaults);
}

const MODES = ['fan_in', 'fan_out', 'fan_avg'];
const DISTRIBUTIONS = ['truncated_normal', 'untruncated_normal', 'uniform'];

/** The axes that make up the fans; null leaves that to the projection. */
const AXES = { inputAxes: null, outputAxes: null };

/** @param {Options} options @param {Options} defaults @returns {Options} */
function checkAxes(options, defaults) {
    for (const key of Object.keys(AXES)) {
        const axes = options[key];
        if (axes !== null && !(Array.isArray(axes) && axes.every(Number.isInteger))) {
            throw typeError(key, 'an array of axes or null', axes);
        }
    }
    return checkSeed(options, defaults);
}

/** @param {Options} options @param {Options} defaults @returns {Options} */
function checkScaling(options, defaults) {
    const { scale, mode, distribution } = options;
    if (finiteNumber('scale', scale) <= 0) throw rangeError('scale', 'a positive number', scale);
    if (!MODES.includes(mode)) throw rangeError('mode', `one of ${show(MODES)}`, mode);
    const name = String(distribution).toLowerCase();
    const known = name === 'normal' ? 'truncated_normal' : name;
    if (!DISTRIBUTIONS.includes(known)) {
        throw rangeError('distribution', `one of ${show(DISTRIBUTIONS)}`, distribution);
    }
    return checkAxes({ ...options, distribution: known }, defaults);
}

/**
 * Spread so that signals keep their variance: scale / fan, by the fan of `mode`.
 * @type {Draw}
 */
function scaled(shape, options, fans) {
    const { scale, mode, distribution } = options;
    const { fanIn, fanOut } = fansOf(shape, options, fans);
    const fan = mode === 'fan_in' ? fanIn : mode === 'fan_out' ? fanOut : (fanIn + fanOut) / 2;
    const variance = scale / Math.max(1, fan);
    const random = stream(options);
    if (distribution === 'uniform') {
        const limit = Math.sqrt(3 * variance);
        return uniform(shape, -limit, limit, random);
    }
    if (distribution === 'untruncated_normal') return fill(shape, () => Math.sqrt(variance) * random.normal());
    const stddev = Math.sqrt(variance) / TRUNCATED_STDDEV;
    return fill(shape, () => stddev * random.truncatedNormal());
}

/**
 * @param {readonly number[]} shape
 * @param {Options} options
 * @param {Fans} [fans]
 * @returns {Fans}
 */
function fansOf(shape, { inputAxes, outputAxes }, fans = fansOfShape(shape)) {
    const along = (/** @type {string} */ name, /** @type {number[]} */ axes) => axes.reduce((fan, axis) => {
        const size = shape.at(axis);
        if (size === undefined) throw rangeError(name, `axes of shape [${shape}]`, axis);
        return fan * size;
    }, 1);
    return {
        fanIn: inputAxes === null ? fans.fanIn : along('inputAxes', inputAxes),
        fanOut: outputAxes === null ? fans.fanOut : along('outputAxes', outputAxes),
    };
}

/**
 * Keras's rule where nobody knows better: the last two axes, all others counting for both.
 * @param {readonly number[]} shape
 * @returns {Fans}
 */
function fansOfShape(shape) {
    if (shape.length === 0) return { fanIn: 1, fanOut: 1 };
    if (shape.length === 1) return { fanIn: shape[0], fanOut: shape[0] };
    const field = sizeOf(shape.slice(0, -2));
    return { fanIn: field * shape[shape.length - 2], fanOut: field * shape[shape.length - 1] };
}

/** With scale, mode and distribution fixed. @param {number} scale @param {string} mode @param {string} distribution */
const named = (scale, mode, distribution) => ({
    defaults: { seed: null, ...AXES },
    check: checkAxes,
    /** @type {Draw} */
    act: (shape, options, fans) => scaled(shape, { ...options, scale, mode, distribution }, fans),
});

/**
 * gain times a random orthogonal matrix [prod(shape[:-1])][shape[-1]] (Saxe et al. 2013).
 * @type {Draw}
 */
function orthogonal(shape, options) {
    if (shape.length < 2) throw rangeError('the shape of an Orthogonal initializer', 'of 2 axes or more', shape);
    const columns = shape[shape.length - 1];
    const rows = sizeOf(shape.slice(0, -1));
    const length = Math.max(rows, columns);
    const vectors = orthonormal(length, Math.min(rows, columns), stream(options));
    const values = new Float32Array(checkedSize('orthogonal', rows, columns));
    for (let i = 0; i < rows; i++) {
        for (let j = 0; j < columns; j++) {
            const value = rows < columns ? vectors[i * length + j] : vectors[j * length + i];
            values[i * columns + j] = options.gain * value;
        }
    }
    return values;
}

/**
 * The Q of the QR decomposition, with a positive diagonal of R, of a normal [length][count] matrix drawn row by row:
 * the columns made orthonormal in order (Gram-Schmidt, each twice so that rounding does no harm).
 * @param {number} length of each vector
 * @param {number} count of vectors, at most `length`
 * @param {Random} random
 * @returns {Float64Array} [count][length]
 */
function orthonormal(length, count, random) {
    const vectors = new Float64Array(count * length);
    for (let i = 0; i < length; i++) {
        for (let j = 0; j < count; j++) vectors[j * length + i] = random.normal();
    }
    for (let j = 0; j < count; j++) {
        const vector = vectors.subarray(j * length, (j + 1) * length);
        for (let pass = 0; pass < 2; pass++) {
            for (let k = 0; k < j; k++) {
                const other = vectors.subarray(k * length, (k + 1) * length);
                let dot = 0;
                for (let i = 0; i < length; i++) dot += vector[i] * other[i];
                for (let i = 0; i < length; i++) vector[i] -= dot * other[i];
            }
        }
        const norm = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
        for (let i = 0; i < length; i++) vector[i] /= norm;
    }
    return vectors;
}

/** @extends {Serializable<Draw>} */
export class Initializer extends Serializable {
    /**
     * @param {readonly number[]} shape
     * @param {Fans} [fans] of a kernel, where the projection knows better than the shape does
     * @returns {Float32Array} row-major values
     */
    draw(shape, fans) {
        return this._act(shape, this.options, fans);
    }
}

/** @type {import('./serializable.js').Family<Initializer>} */
export const INITIALIZERS = {
    what: 'an initializer',
    module: 'keras.initializers',
    Class: Initializer,
    /** @type {Record<string, import('./serializable.js').Kind<Draw>>} */
    kinds: {
        Constant: {
            defaults: { value: 0 },
            required: ['value'],
            check(options) {
                if (typeof options.value !== 'number') throw typeError('value', 'a number', options.value);
                return options;
            },
            act: (shape, { value }) => fill(shape, () => value),
        },
        Zeros: { act: (shape) => new Float32Array(sizeOf(shape)) },
        Ones: { act: (shape) => fill(shape, () => 1) },
        // gain times the identity matrix; of 2 axes only, so never a kernel of an attention.
        Identity: {
            defaults: { gain: 1 },
            act(shape, { gain }) {
                if (shape.length !== 2) throw rangeError('the shape of an Identity initializer', 'of 2 axes', shape);
                let i = 0;
                return fill(shape, () => (Math.floor(i / shape[1]) === i++ % shape[1] ? gain : 0));
            },
        },
        RandomUniform: {
            defaults: { seed: null, minval: -0.05, maxval: 0.05 },
            check: checkSeed,
            act(shape, options) {
                const { minval, maxval } = options;
                if (maxval < minval) throw rangeError('maxval', 'minval or more', maxval);
                return uniform(shape, minval, maxval, stream(options));
            },
        },
        RandomNormal: normal('normal'),
        TruncatedNormal: normal('truncatedNormal'),
        VarianceScaling: {
            defaults: { seed: null, scale: 1, mode: 'fan_in', distribution: 'truncated_normal', ...AXES },
            check: checkScaling,
            act: scaled,
        },
        // Glorot & Bengio 2010
        GlorotUniform: named(1, 'fan_avg', 'uniform'),
        GlorotNormal: named(1, 'fan_avg', 'truncated_normal'),
        // He et al. 2015
        HeUniform: named(2, 'fan_in', 'uniform'),
        HeNormal: named(2, 'fan_in', 'truncated_normal'),
        // LeCun et al. 1998
        LecunUniform: named(1, 'fan_in', 'uniform'),
        LecunNormal: named(1, 'fan_in', 'truncated_normal'),
        Orthogonal: { defaults: { seed: null, gain: 1 }, check: checkSeed, act: orthogonal },
    },
    aliases: {
        zero: 'Zeros', one: 'Ones', uniform: 'RandomUniform', normal: 'RandomNormal', IdentityInitializer: 'Identity',
        OrthogonalInitializer: 'Orthogonal',
    },
};
