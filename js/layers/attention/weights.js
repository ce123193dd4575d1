// The layer's weights: projections with their Keras names, shapes and values.

import { printAs } from '../../engine/print.js';
import { roundMode } from '../../engine/tensor.js';
import { show } from '../../check.js';
import { roundTo } from '../../keras/policy.js';
import { NormWeights } from '../../blocks/norm.js';
import { Projection } from '../../blocks/projection.js';
import { checkWeights, ensureRoom } from '../check-weights.js';

/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../keras/config.js').CheckedConfig} CheckedConfig */
/** @typedef {import('../../keras/shapes.js').ProjectionShape} ProjectionShape */
/** @typedef {import('../../keras/regularizers.js').Regularizer} Regularizer */
/** @typedef {import('../../keras/constraints.js').Constraint} Constraint */

/** One weight, a tensor-like: its values are unpacked when `data` is read. */
export class Weight {
    #shape;

    /**
     * @param {WeightSet} set
     * @param {string} path 'query/kernel'
     * @param {readonly number[]} shape
     * @param {Projection | NormWeights} owner a projection of a kernel or bias, or norms of a scale
     */
    constructor(set, path, shape, owner) {
        this._set = set;
        this._owner = owner;
        /** Values as they were set, where the kernels compute with rounded ones. @type {Float32Array | null} */
        this._exact = null;
        this._path = path;
        this.#shape = Object.freeze([...shape]);
    }

    /** @returns {readonly number[]} frozen */
    get shape() {
        return this.#shape;
    }

    /** `kernel`, `bias` or `scale`. */
    get name() {
        return this._path.slice(this._path.lastIndexOf('/') + 1);
    }

    /** `<layer name>/query/kernel`. */
    get path() {
        return `${this._set.layer.name}/${this._path}`;
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
        if (this._owner instanceof NormWeights) return this._owner.readWeight();
        return this.name === 'kernel' ? this._owner.kernel() : this._owner.bias();
    }

    /** @param {Float32Array} values become numbers of the variable type */
    _load(values) {
        const { variable, compute } = this._set.config.policy;
        if (this._owner instanceof NormWeights) {
            this._owner.loadWeight(values.map((value) => roundTo(value, variable)));
            return;
        }
        if (variable !== compute) this._exact = values.slice();
        if (this.name === 'kernel') this._owner.loadKernel(values, roundMode(compute));
        else this._owner.loadBias(values, roundMode(compute));
    }

    /** @returns {Float32Array} first values */
    _draw() {
        const { kernelInitializer, biasInitializer } = this._set.config;
        if (this._owner instanceof NormWeights) return this._owner.readWeight(); // as it has them
        const { inputs, outputs } = this._owner;
        return this.name === 'kernel'
            ? kernelInitializer.draw(this.shape, { fanIn: inputs, fanOut: outputs })
            : biasInitializer.draw(this.shape);
    }

    /** @returns {Regularizer | null} */
    get _regularizer() {
        return /** @type {Record<string, any>} */ (this._set.config)[`${this.name}Regularizer`] ?? null;
    }

    /** @returns {Constraint | null} */
    get _constraint() {
        return /** @type {Record<string, any>} */ (this._set.config)[`${this.name}Constraint`] ?? null;
    }
}

printAs(Weight, 'Weight', ({ path, shape, dtype }) => ({ path, shape, dtype }));

/** All weights of a layer, in Keras's order. */
export class WeightSet {
    /**
     * Allocates and initializes them.
     * @param {import('./attention-layer.js').AttentionLayer} layer
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
        /** By the projection that they follow. @type {Record<string, NormWeights>} */
        this.norms = {};
        /** @type {Weight[]} */
        this.list = [];
        /** How the kernels are kept, once they are not as they were set. @type {'int8' | 'int4' | null} */
        this.quantized = null;
        try {
            for (const shape of shapes) this._add(shape);
            for (const weight of this.list) weight._load(weight._draw());
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /** @param {ProjectionShape} shape */
    _add({ name, kernel, bias, inputs, outputs, norm }) {
        const projection = new Projection(this._runtime, inputs, outputs, bias !== null);
        this.projections[name] = projection;
        this.list.push(new Weight(this, `${name}/kernel`, kernel, projection));
        if (bias !== null) this.list.push(new Weight(this, `${name}/bias`, bias, projection));
        const settings = this.config.attending.norm;
        if (norm === null || settings === null) return;
        const norms = new NormWeights(this._runtime, { kind: 'rms', ...settings, width: norm.dim, groups: norm.heads });
        this.norms[name] = norms;
        this.list.push(new Weight(this, `${norm.name}/scale`, [norm.dim], norms));
    }

    /**
     * Replaces all values, or none if something is wrong.
     * @param {unknown} given tensor-likes in the order of the weights, or a Map of them by name
     */
    set(given) {
        this._needFloats('setWeights');
        const list = given instanceof Map ? this._inOrder(given) : given;
        const values = checkWeights(this._runtime, list, this.list);
        this.layer._checkAlive();
        ensureRoom(this._runtime, this.list);
        this.list.forEach((weight, i) => weight._load(new Float32Array(values[i].data)));
    }

    /**
     * @param {Map<unknown, unknown>} named by 'query/kernel', with the layer's name before it or without
     * @returns {unknown[]}
     */
    _inOrder(named) {
        const left = new Set(named.keys());
        const list = this.list.map(({ path, _path }) => {
            const name = named.has(_path) ? _path : path;
            if (!left.delete(name))
                throw new RangeError(`weights must have a tensor-like by the name ${show(_path)}, got none`);
            return named.get(name);
        });
        for (const name of left)
            throw new RangeError(`weights must be the layer's own, got one by the name ${show(name)}`);
        return list;
    }

    /** @param {string} what changes weights */
    _needFloats(what) {
        if (this.quantized !== null) throw new Error(`${what} before quantize(): ${this.layer.name} is quantized to ${this.quantized}`);
    }

    /** Replaces every constrained weight by its projection. */
    constrain() {
        this._needFloats('applyConstraints');
        const projected = this.list.map(({ _constraint, data, shape }) => _constraint?.project(data, shape));
        ensureRoom(this._runtime, this.list);
        this.list.forEach((weight, i) => {
            const values = projected[i];
            if (values) weight._load(values);
        });
    }

    /** @returns {number[]} a penalty for every regularized weight */
    penalties() {
        const penalties = [];
        for (const { _regularizer: regularizer, data, shape } of this.list) {
            if (regularizer !== null) penalties.push(regularizer.penalty(data, shape));
        }
        return penalties;
    }

    /** Frees them. */
    dispose() {
        for (const projection of Object.values(this.projections)) projection.dispose();
        for (const norms of Object.values(this.norms)) norms.dispose();
    }
}
