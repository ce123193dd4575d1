// What small layers have in common: one input, one output, a Keras config, and weights that lie in JavaScript's own
// memory.

import { printAs } from '../engine/print.js';
import { Tensor, asTensorLike, roundMode } from '../engine/tensor.js';
import { checkRuntime, checkSignal, rangeError, typeError } from '../check.js';
import { readKerasConfig, readOptions } from '../keras/config.js';
import { nextName } from '../keras/names.js';
import { resolvePolicy, roundTo, serializePolicy } from '../keras/policy.js';
import { inSnakeCase } from '../keras/serializable.js';
import { floatInput } from './attention/inputs.js';
import { checkWeights } from './check-weights.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../keras/regularizers.js').Regularizer} Regularizer */
/** @typedef {import('../keras/constraints.js').Constraint} Constraint */
/** @typedef {{ record(program: Program): void, finish(): Tensor }} Work */
/** @typedef {Work & { check(): void }} Job */

/**
 * @typedef {object} PlainWeight
 * @property {string} path
 * @property {readonly number[]} shape
 * @property {Float32Array} data
 * @property {Regularizer | null} regularizer
 * @property {Constraint | null} constraint
 */

/**
 * What every layer takes, before its own.
 * @typedef {object} LayerConfig
 * @property {string | null} [name] default: the class in snake case, then with '_1', '_2' ...
 * @property {boolean} [trainable] default true
 * @property {unknown} [dtype] name of a policy, or its serialized form; default 'float32'
 */

/** @typedef {{ signal?: AbortSignal | null }} SignalOption of `call`: cuts it short within milliseconds */

/**
 * Where the rows of a call stand.
 * @typedef {object} PositionOptions
 * @property {number | null} [startIndex] position of the first row, 0
 * @property {TensorLike | null} [positions] [T] or [B, T], in place of startIndex
 */

const COMMON = { name: null, trainable: true, dtype: null };

/**
 * A layer of one input.
 * @template {object} [Options={}] of its calls
 */
export class PlainLayer {
    /** Its class, for messages. @type {string} */
    static _what = '';
    /** Keras's name for one without a name. @type {string} */
    static _defaultName = '';
    /** Its own options and their defaults, in the order of Keras's config. @type {Record<string, any>} */
    static _defaults = {};

    /**
     * @param {Runtime} runtime
     * @param {object} [config]
     * @throws {TypeError | RangeError} naming the argument
     */
    constructor(runtime, config = {}) {
        const { _what: what, _defaultName: defaultName, _defaults: defaults } = new.target;
        checkRuntime(runtime, what);
        const { name, trainable, dtype, ...own } = readOptions(what, config, { ...COMMON, ...defaults });
        if (name !== null && typeof name !== 'string') throw typeError('name', 'a string', name);
        if (typeof trainable !== 'boolean') throw typeError('trainable', 'a boolean', trainable);
        this._what = what;
        this._runtime = runtime;
        this._policy = resolvePolicy(dtype);
        this._config = this._checkConfig(own);
        /** @type {string} */
        this.name = name ?? nextName(runtime, defaultName);
        /** @type {boolean} */
        this.trainable = trainable;
        /** @type {PlainWeight[]} */
        this._weights = [];
        this._disposed = false;
    }

    /**
     * @param {Record<string, any>} own options
     * @returns {Record<string, any>} the same, checked
     */
    _checkConfig(own) {
        return own;
    }

    /**
     * @template {typeof PlainLayer} Class
     * @this {Class}
     * @param {Runtime} runtime
     * @param {Record<string, any>} kerasConfig what Keras's `get_config()` gives
     * @returns {InstanceType<Class>}
     */
    static fromConfig(runtime, kerasConfig) {
        const config = readKerasConfig(this._what, kerasConfig, { ...COMMON, ...this._defaults });
        return /** @type {InstanceType<Class>} */ (new this(runtime, config));
    }

    /** What Keras's `get_config()` gives, snake_case. @returns {Record<string, any>} */
    getConfig() {
        return {
            name: this.name,
            trainable: this.trainable,
            dtype: serializePolicy(this._policy),
            ...inSnakeCase(this._ownConfig()),
        };
    }

    /** @returns {Record<string, any>} its own options as a config shows them */
    _ownConfig() {
        return this._config;
    }

    /** @returns {{ path: string, shape: readonly number[], data: Float32Array }[]} copies, in Keras's order */
    getWeights() {
        this._checkAlive();
        return this._weights.map(({ path, shape, data }) => ({
            path: `${this.name}/${path}`,
            shape,
            data: data.slice(),
        }));
    }

    /**
     * @param {readonly TensorLike[]} list in Keras's order
     * @throws {TypeError | RangeError} for a wrong number or shape; nothing is changed then
     * @throws {Error} after dispose(), and on a page's main thread while calls are pending
     */
    setWeights(list) {
        this._checkAlive();
        const values = checkWeights(this._runtime, list, this._weights);
        this._checkAlive();
        this._weights.forEach((weight, i) => {
            weight.data = this._rounded(new Float32Array(values[i].data));
        });
        this._loaded();
    }

    /** After the weights have changed. */
    _loaded() {}

    /** @param {Float32Array} values @returns {Float32Array} as numbers of the variables' type */
    _rounded(values) {
        const { variable } = this._policy;
        return variable === 'float32' ? values : values.map((value) => roundTo(value, variable));
    }

    /** A term for each regularized weight while trainable. @returns {number[]} */
    get losses() {
        if (!this.trainable) return [];
        return this._weights.flatMap(({ regularizer, data, shape }) =>
            regularizer ? [regularizer.penalty(data, shape)] : [],
        );
    }

    /** Projects weights as their constraints say. */
    applyConstraints() {
        this._checkAlive();
        this._runtime._assertIdle('applyConstraints');
        // All of them before any is changed: a constraint may not be for such a weight.
        const projected = this._weights.map(({ constraint, data, shape }) => constraint?.project(data, shape) ?? data);
        this._weights.forEach((weight, i) => { weight.data = this._rounded(projected[i]); });
        this._loaded();
    }

    /**
     * @param {TensorLike} inputs of the shape that the layer is for
     * @param {Options & SignalOption} [options]
     * @returns {Promise<Tensor>} of the shape of the inputs
     * @throws {TypeError | RangeError} (rejects) for wrong arguments
     * @throws {Error} (rejects) after dispose(), when workers fail, when aborted (the signal's reason)
     */
    async call(inputs, options) {
        if (typeof options !== 'object' || options === null) return this._runtime._run(this._prepare(inputs, options));
        const { signal, ...own } = options;
        checkSignal(signal);
        return this._runtime._run(this._prepare(inputs, own), signal);
    }

    /**
     * The same at once, where the thread may block.
     * @param {TensorLike} inputs
     * @param {Options} [options]
     * @returns {Tensor}
     * @throws as `call` rejects
     */
    callSync(inputs, options) {
        return this._runtime._runSync(this._prepare(inputs, options));
    }

    /**
     * @param {TensorLike} inputs
     * @param {Record<string, any>} [options]
     * @returns {Job}
     */
    _prepare(inputs, options = {}) {
        this._checkAlive();
        const given = asTensorLike(inputs, 'inputs');
        // Reading it may have run code of the caller's.
        this._checkAlive();
        const captured = this._runtime._capture(given);
        return {
            ...this._makeJob(captured, options),
            check: () => {
                this._checkAlive();
                captured._check('inputs');
            },
        };
    }

    /**
     * @param {Held} _inputs
     * @param {Record<string, any>} _options
     * @returns {Work}
     */
    _makeJob(_inputs, _options) {
        throw new Error(`${this._what} computes nothing`);
    }

    /**
     * A job that the calling thread does by itself.
     * @param {Held} inputs of the output's shape
     * @param {(out: Float32Array, values: Float32Array) => void} fill
     * @returns {Work}
     */
    _fill(inputs, fill) {
        const {
            _runtime: runtime,
            _policy: { compute },
        } = this;
        /** @type {Tensor} */
        let output;
        return {
            record: (program) => {
                output = program.result(Object.freeze([...inputs.shape]), compute);
                const values = floatInput(runtime, program, inputs, compute, roundMode(compute));
                const { memory } = runtime;
                fill(memory.f32(output._address, output.size), memory.f32(values, output.size));
                this._round(output);
            },
            finish: () => output,
        };
    }

    /** @param {Tensor} output */
    _round({ _address: address, size }) {
        const round = roundMode(this._policy.compute);
        if (round !== 0) this._runtime.wasm.cmha_round_f32(address, address, size, round);
    }

    /** @throws {Error} after dispose(), or when the runtime cannot be used */
    _checkAlive() {
        if (this._disposed) throw new Error(`${this._what}: ${this.name} has been disposed`);
        this._runtime._check(this._what);
    }

    /** Frees its weights. The layer cannot be used after that. */
    dispose() {
        this._disposed = true;
        this._weights = [];
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}

printAs(PlainLayer, ({ _what }) => _what, (layer) => (layer._disposed ? null : layer.getConfig()));

/**
 * Positions of a call: given ones, or those from startIndex on.
 * @param {{ startIndex?: number | null, positions?: TensorLike | null }} options
 * @param {number} batch
 * @param {number} count
 * @param {import('../keras/policy.js').FloatType} type that Keras casts floats to
 * @returns {(b: number) => (i: number) => number} position i of entry b
 */
export function positionsOf({ startIndex, positions }, batch, count, type) {
    if (positions === undefined || positions === null) {
        const start = startIndex ?? 0;
        if (typeof start !== 'number' || !Number.isInteger(start)) throw typeError('startIndex', 'an integer', start);
        return () => (i) => start + i;
    }
    const { shape, data, dtype } = asTensorLike(positions, 'positions');
    const [rows, columns] = shape.length === 1 ? [1, ...shape] : shape;
    const fits = shape.length < 3 && (rows === 1 || rows === batch) && (columns === 1 || columns === count);
    if (!fits) throw rangeError('positions', `of shape [${count}] or [${batch}, ${count}], or 1 for any size`, positions);
    const given = Float32Array.from(data, (x) => roundTo(x, dtype === 'int32' ? 'float32' : type));
    return (b) => (i) => given[(rows === 1 ? 0 : b * columns) + (columns === 1 ? 0 : i)];
}
