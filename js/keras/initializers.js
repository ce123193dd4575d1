// Keras's initializers, with its distributions (keras.io/api/layers/initializers). An int seed decides the stream
// alone, so that, as in Keras, every kernel of a layer with a seeded initializer draws the same numbers; without a seed
// each draw differs.

import { checkedSize, sizeOf } from '../engine/size.js';
import { Random, randomSeed } from '../random.js';
import { Serializable, resolve as resolveIn, serialize as serializeIn } from './serializable.js';
import { show, typeError, rangeError, finiteNumber } from '../check.js';

/** Standard deviation of a standard normal that is cut off at 2 standard deviations. */
const TRUNCATED_STDDEV = 0.87962566103423978;

/**
 * @param {number} size
 * @param {() => number} next
 * @returns {Float32Array}
 */
function fill(size, next) {
    const values = new Float32Array(size);
    for (let i = 0; i < size; i++) values[i] = next();
    return values;
}

/**
 * @param {number} size
 * @param {number} low inclusive
 * @param {number} high exclusive, after rounding to float32 too, unless it is the same
 * @param {Random} random
 * @returns {Float32Array}
 */
function uniform(size, low, high, random) {
    return fill(size, () => {
        const value = Math.fround(low + (high - low) * random.uniform());
        return value < high ? value : low;
    });
}

/** Base of all initializers. */
export class Initializer extends Serializable {
    /**
     * @param {readonly number[]} shape
     * @param {Fans} [_fans] of a kernel, where the projection knows better than the shape does
     * @returns {Float32Array} row-major values
     */
    draw(shape, _fans) {
        throw new TypeError(`an initializer must implement draw(), asked for shape ${show(shape)}`);
    }
}

/** @typedef {{ fanIn: number, fanOut: number }} Fans inputs per output of a kernel, and outputs per input */

/** Fills with one value. */
export class Constant extends Initializer {
    static className = 'Constant';
    static defaults = { value: 0 };
    static required = ['value'];

    /** @override @param {Record<string, any>} options */
    check(options) {
        if (typeof options.value !== 'number') throw typeError('value', 'a number', options.value);
        return options;
    }

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        return new Float32Array(sizeOf(shape)).fill(this.options.value);
    }
}

/** Fills with 0. */
export class Zeros extends Initializer {
    static className = 'Zeros';

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        return new Float32Array(sizeOf(shape));
    }
}

/** Fills with 1. */
export class Ones extends Initializer {
    static className = 'Ones';

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        return new Float32Array(sizeOf(shape)).fill(1);
    }
}

/** gain times the identity matrix; of 2 axes only, so never a kernel of this layer. */
export class Identity extends Initializer {
    static className = 'Identity';
    static defaults = { gain: 1 };

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        if (shape.length !== 2) throw rangeError('the shape of an Identity initializer', 'of 2 axes', shape);
        const values = new Float32Array(sizeOf(shape));
        for (let i = 0; i < Math.min(shape[0], shape[1]); i++) values[i * shape[1] + i] = this.options.gain;
        return values;
    }
}

/** Base of those that draw; `seed` is an integer, or null for another stream at every draw. */
class RandomInitializer extends Initializer {
    /** @override @param {Record<string, any>} options */
    check(options) {
        const { seed } = options;
        if (seed !== null && !Number.isSafeInteger(seed)) throw typeError('seed', 'an integer or null', seed);
        return super.check(options);
    }

    /** @returns {Random} at the start of its stream */
    stream() {
        return new Random(this.options.seed ?? randomSeed());
    }
}

/** Uniform in [minval, maxval). */
export class RandomUniform extends RandomInitializer {
    static className = 'RandomUniform';
    static defaults = { seed: null, minval: -0.05, maxval: 0.05 };

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        const { minval, maxval } = this.options;
        if (maxval < minval) throw rangeError('maxval', 'minval or more', maxval);
        return uniform(sizeOf(shape), minval, maxval, this.stream());
    }
}

/** Normal. */
export class RandomNormal extends RandomInitializer {
    static className = 'RandomNormal';
    static defaults = { seed: null, mean: 0, stddev: 0.05 };

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        const { mean, stddev } = this.options;
        const random = this.stream();
        return fill(sizeOf(shape), () => mean + stddev * random.normal());
    }
}

/** Normal, drawn again outside 2 standard deviations. */
export class TruncatedNormal extends RandomNormal {
    static className = 'TruncatedNormal';

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        const { mean, stddev } = this.options;
        const random = this.stream();
        return fill(sizeOf(shape), () => mean + stddev * random.truncatedNormal());
    }
}

const MODES = ['fan_in', 'fan_out', 'fan_avg'];
const DISTRIBUTIONS = ['truncated_normal', 'untruncated_normal', 'uniform'];

/**
 * Spread so that signals keep their variance: scale / fan, by the fan of `mode`. `inputAxes` and `outputAxes` name the
 * axes that make up the fans; null leaves that to the projection.
 */
export class VarianceScaling extends RandomInitializer {
    static className = 'VarianceScaling';
    /** @type {Record<string, any>} */
    static defaults = {
        seed: null, scale: 1, mode: 'fan_in', distribution: 'truncated_normal', inputAxes: null, outputAxes: null,
    };

    /** @override @param {Record<string, any>} options */
    check(options) {
        const { scale, mode, distribution, inputAxes, outputAxes } = { ...VarianceScaling.defaults, ...options };
        if (finiteNumber('scale', scale) <= 0) throw rangeError('scale', 'a positive number', scale);
        if (!MODES.includes(mode)) throw rangeError('mode', `one of ${show(MODES)}`, mode);
        const name = String(distribution).toLowerCase();
        const known = name === 'normal' ? 'truncated_normal' : name;
        if (!DISTRIBUTIONS.includes(known)) {
            throw rangeError('distribution', `one of ${show(DISTRIBUTIONS)}`, distribution);
        }
        for (const [key, axes] of Object.entries({ inputAxes, outputAxes })) {
            if (axes !== null && !(Array.isArray(axes) && axes.every(Number.isInteger))) {
                throw typeError(key, 'an array of axes or null', axes);
            }
        }
        return super.check(Object.hasOwn(options, 'distribution') ? { ...options, distribution: known } : options);
    }

    /** What of scale, mode and distribution is fixed by the class. @returns {Record<string, any>} */
    get kind() {
        return this.options;
    }

    /** @override @param {readonly number[]} shape @param {Fans} [fans] */
    draw(shape, fans) {
        const { scale, mode, distribution } = this.kind;
        const { fanIn, fanOut } = this._fans(shape, fans);
        const fan = mode === 'fan_in' ? fanIn : mode === 'fan_out' ? fanOut : (fanIn + fanOut) / 2;
        const variance = scale / Math.max(1, fan);
        const random = this.stream();
        const size = sizeOf(shape);
        if (distribution === 'uniform') {
            const limit = Math.sqrt(3 * variance);
            return uniform(size, -limit, limit, random);
        }
        if (distribution === 'untruncated_normal') return fill(size, () => Math.sqrt(variance) * random.normal());
        const stddev = Math.sqrt(variance) / TRUNCATED_STDDEV;
        return fill(size, () => stddev * random.truncatedNormal());
    }

    /**
     * @param {readonly number[]} shape
     * @param {Fans} [fans]
     * @returns {Fans}
     */
    _fans(shape, fans) {
        const rule = fans ?? fansOfShape(shape);
        const { inputAxes, outputAxes } = this.options;
        const along = (/** @type {string} */ name, /** @type {number[]} */ axes) => axes.reduce((fan, axis) => {
            const size = shape.at(axis);
            if (size === undefined) throw rangeError(name, `axes of shape [${shape}]`, axis);
            return fan * size;
        }, 1);
        return {
            fanIn: inputAxes === null ? rule.fanIn : along('inputAxes', inputAxes),
            fanOut: outputAxes === null ? rule.fanOut : along('outputAxes', outputAxes),
        };
    }
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

/**
 * @param {string} className
 * @param {number} scale
 * @param {string} mode
 * @param {string} distribution
 * @returns {typeof VarianceScaling} with scale, mode and distribution fixed
 */
function named(className, scale, mode, distribution) {
    const kind = Object.freeze({ scale, mode, distribution });
    return class extends VarianceScaling {
        static className = className;
        static defaults = { seed: null, inputAxes: null, outputAxes: null };

        /** @override */
        get kind() {
            return kind;
        }
    };
}

/** U[-L, L), L = sqrt(6 / (fan in + fan out)) (Glorot & Bengio 2010). */
export const GlorotUniform = named('GlorotUniform', 1, 'fan_avg', 'uniform');
/** Truncated normal of variance 2 / (fan in + fan out). */
export const GlorotNormal = named('GlorotNormal', 1, 'fan_avg', 'truncated_normal');
/** U[-L, L), L = sqrt(6 / fan in) (He et al. 2015). */
export const HeUniform = named('HeUniform', 2, 'fan_in', 'uniform');
/** Truncated normal of variance 2 / fan in. */
export const HeNormal = named('HeNormal', 2, 'fan_in', 'truncated_normal');
/** U[-L, L), L = sqrt(3 / fan in) (LeCun et al. 1998). */
export const LecunUniform = named('LecunUniform', 1, 'fan_in', 'uniform');
/** Truncated normal of variance 1 / fan in. */
export const LecunNormal = named('LecunNormal', 1, 'fan_in', 'truncated_normal');

/** gain times a random orthogonal matrix [prod(shape[:-1])][shape[-1]] (Saxe et al. 2013). */
export class Orthogonal extends RandomInitializer {
    static className = 'Orthogonal';
    static defaults = { seed: null, gain: 1 };

    /** @override @param {readonly number[]} shape */
    draw(shape) {
        if (shape.length < 2) throw rangeError('the shape of an Orthogonal initializer', 'of 2 axes or more', shape);
        const columns = shape[shape.length - 1];
        const rows = sizeOf(shape.slice(0, -1));
        const length = Math.max(rows, columns);
        const count = Math.min(rows, columns);
        const vectors = orthonormal(length, count, this.stream());
        const values = new Float32Array(checkedSize('orthogonal', rows, columns));
        for (let i = 0; i < rows; i++) {
            for (let j = 0; j < columns; j++) {
                const value = rows < columns ? vectors[i * length + j] : vectors[j * length + i];
                values[i * columns + j] = this.options.gain * value;
            }
        }
        return values;
    }
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

/** @type {import('./serializable.js').Family} */
const FAMILY = {
    kind: 'an initializer',
    module: 'keras.initializers',
    base: Initializer,
    classes: [
        Constant, Zeros, Ones, Identity, RandomUniform, RandomNormal, TruncatedNormal, VarianceScaling, GlorotUniform, GlorotNormal,
        HeUniform, HeNormal, LecunUniform, LecunNormal, Orthogonal,
    ],
    aliases: {
        zero: Zeros, one: Ones, uniform: RandomUniform, normal: RandomNormal, IdentityInitializer: Identity, OrthogonalInitializer: Orthogonal,
    },
};

/**
 * @param {string} argument its name
 * @param {unknown} identifier a name, `{ class_name, config }` or an Initializer
 * @returns {Initializer}
 */
export function resolveInitializer(argument, identifier) {
    const initializer = resolveIn(FAMILY, argument, identifier);
    if (initializer === null) throw typeError(argument, FAMILY.kind, identifier);
    return /** @type {Initializer} */ (initializer);
}

/** @param {Initializer} initializer */
export const serializeInitializer = (initializer) => serializeIn(FAMILY, initializer);
