// The layer's weights: projections with their Keras names, shapes and values.

import { sizeOf, formatShape, asTensorLike, dtypeOf, roundMode, sameShape } from '../../engine/tensor.js';
import { typeError } from '../../check.js';
import { roundTo } from '../../keras/policy.js';
import { Projection } from '../../blocks/projection.js';

/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../keras/config.js').CheckedConfig} CheckedConfig */
/** @typedef {import('../../keras/shapes.js').ProjectionShape} ProjectionShape */
/** @typedef {import('../../keras/regularizers.js').Regularizer} Regularizer */
/** @typedef {import('../../keras/constraints.js').Constraint} Constraint */

/** One weight, a tensor-like: its values are unpacked when `data` is read. */
export class Weight {
    #shape;

    /**
     * @param {WeightSet} set
     * @param {Projection} projection
     * @param {string} path 'query/kernel'
     * @param {readonly number[]} shape
     */
    constructor(set, projection, path, shape) {
        this._set = set;
        this._projection = projection;
        this._isKernel = path.endsWith('kernel');
        /** Values as they were set, where the kernels compute with rounded ones. @type {Float32Array | null} */
        this._exact = null;
        this._path = path;
        this.#shape = Object.freeze([...shape]);
    }

    /** @returns {readonly number[]} frozen */
    get shape() {
        return this.#shape;
    }

    /** `<layer name>/query/kernel`. */
    get path() {
        return `${this._set.layer.name}/${this._path}`;
    }

    /** `kernel` or `bias`. */
    get name() {
        return this._isKernel ? 'kernel' : 'bias';
    }

    /** The variable's type under the layer's policy. */
    get dtype() {
        return this._set.config.policy.variable;
    }

    get trainable() {
        return this._set.layer.trainable;
    }

    /** A copy of the values, row-major. */
    get data() {
        this._set.layer._checkAlive();
        if (this._exact !== null) return this._exact.slice();
        return this._isKernel ? this._projection.kernel() : this._projection.bias();
    }

    /** @param {Float32Array} values of the variable type */
    load(values) {
        const { variable, compute } = this._set.config.policy;
        if (variable !== compute) this._exact = values.slice();
        if (this._isKernel) this._projection.loadKernel(values, roundMode(compute));
        else this._projection.loadBias(values, roundMode(compute));
    }

    /** @returns {Regularizer | null} */
    get regularizer() {
        const { kernelRegularizer, biasRegularizer } = this._set.config;
        return this._isKernel ? kernelRegularizer : biasRegularizer;
    }

    /** @returns {Constraint | null} */
    get constraint() {
        const { kernelConstraint, biasConstraint } = this._set.config;
        return this._isKernel ? kernelConstraint : biasConstraint;
    }
}

/** All weights of a layer, in Keras's order. */
export class WeightSet {
    /**
     * Allocates and initializes them.
     * @param {import('./cached-multi-head-attention.js').CachedMultiHeadAttention} layer
     * @param {Runtime} runtime
     * @param {CheckedConfig} config
     * @param {ProjectionShape[]} shapes
     */
    constructor(layer, runtime, config, shapes) {
        this.layer = layer;
        this.config = config;
        this._runtime = runtime;
        /** @type {Record<string, Projection>} */
        this.projections = {};
        /** @type {Weight[]} */
        this.list = [];
        /** How the kernels are kept, once they are not as they were set. @type {'int8' | 'int4' | null} */
        this.quantized = null;
        try {
            for (const { name, kernel, bias, inputs, outputs } of shapes) {
                const projection = new Projection(runtime, inputs, outputs, config.useBias);
                this.projections[name] = projection;
                this.list.push(new Weight(this, projection, `${name}/kernel`, kernel));
                if (config.useBias) this.list.push(new Weight(this, projection, `${name}/bias`, bias));
            }
            for (const weight of this.list) weight.load(this._draw(weight));
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /**
     * @param {Weight} weight
     * @returns {Float32Array} first values
     */
    _draw(weight) {
        const { kernelInitializer, biasInitializer } = this.config;
        const { inputs, outputs } = weight._projection;
        const values = weight._isKernel
            ? kernelInitializer.draw(weight.shape, { fanIn: inputs, fanOut: outputs })
            : biasInitializer.draw(weight.shape);
        // An initializer may be of the user's own making.
        if (!(values instanceof Float32Array && values.length === sizeOf(weight.shape))) {
            throw typeError(`what initializes ${weight._path}`, `a Float32Array of ${sizeOf(weight.shape)}`, values);
        }
        return this._rounded(values);
    }

    /**
     * Replaces all values, or none if something is wrong.
     * @param {unknown} list tensor-likes in the order of the weights
     */
    set(list) {
        this._needFloats('setWeights');
        if (!Array.isArray(list)) throw typeError('weights', `an array of ${this.list.length} tensor-likes`, list);
        if (list.length !== this.list.length) {
            throw new RangeError(`weights must be ${this.list.length} tensor-likes, got ${list.length}`);
        }
        const values = this.list.map(({ shape, _path }, i) => {
            const given = asTensorLike(list[i], `weights[${i}]`);
            if (!sameShape(given.shape, shape)) {
                throw new RangeError(`weights[${i}] (${_path}) must have the shape ${formatShape(shape)}, `
                    + `got ${formatShape(given.shape)}`);
            }
            if (dtypeOf(given) === 'bool') throw new TypeError(`weights[${i}] (${_path}) must be numbers, got bool`);
            return given;
        });
        // Reading them may have run code of the caller's.
        this.layer._checkAlive();
        this._runtime._assertIdle('setWeights');
        this.reserve();
        this.list.forEach((weight, i) => weight.load(this._rounded(new Float32Array(values[i].data))));
    }

    /** Makes sure that loading, or quantizing, cannot run out of memory half-way. */
    reserve() {
        const { memory } = this._runtime;
        memory.free(memory.alloc(4 * Math.max(...this.list.map(({ shape }) => sizeOf(shape)))));
    }

    /** @param {string} what changes weights */
    _needFloats(what) {
        if (this.quantized !== null) throw new Error(`${what}: ${this.layer.name} is quantized to ${this.quantized}`);
    }

    /** Replaces every constrained weight by its projection. */
    constrain() {
        this._needFloats('constrain');
        const projected = this.list.map(({ constraint, data, shape }) => constraint?.project(data, shape));
        this.reserve();
        this.list.forEach((weight, i) => {
            const values = projected[i];
            if (values) weight.load(this._rounded(values));
        });
    }

    /** @param {Float32Array} values @returns {Float32Array} as numbers of the variable type */
    _rounded(values) {
        const { variable } = this.config.policy;
        return variable === 'float32' ? values : values.map((value) => roundTo(value, variable));
    }

    /** @returns {number[]} a penalty for every regularized weight */
    penalties() {
        const penalties = [];
        for (const { regularizer, data, shape } of this.list) {
            if (regularizer !== null) penalties.push(regularizer.penalty(data, shape));
        }
        return penalties;
    }

    /** Frees them. */
    dispose() {
        for (const projection of Object.values(this.projections)) projection.dispose();
    }
}
