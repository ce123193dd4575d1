// What attention layers have in common: weights, calls, losses, and their life. The layers themselves say what their
// config means.

import { roundMode } from '../../engine/tensor.js';
import { checkRuntime, rangeError, typeError } from '../../check.js';
import { nextName } from '../../keras/names.js';
import { printAs } from '../../engine/print.js';
import { roundTo } from '../../keras/policy.js';
import { randomSeed, scramble } from '../../random.js';
import { AxesPlan, checkShape, checkKeyAgainstValue, projectionShapes, resolveAxes } from '../../keras/shapes.js';
import { recordAttention } from '../../blocks/attention.js';
import { AttentionJob, FUSED_PLAN } from './job.js';
import { quantizeLayer } from './quantize.js';
import { WeightSet } from './weights.js';

/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../engine/program.js').Program} Program */
/** @typedef {import('../../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../keras/config.js').CheckedConfig} CheckedConfig */
/** @typedef {import('../../keras/shapes.js').Shape} Shape */
/** @typedef {import('./arguments.js').CallOptions} CallOptions */
/** @typedef {import('../../blocks/attention.js').AttentionCall} AttentionCall */
/** @typedef {import('../../blocks/attention.js').AttentionParts} AttentionParts */
/** @typedef {import('./job.js').AttentionResult} AttentionResult */
/** @typedef {import('./weights.js').Weight} Weight */

/** An attention layer of Keras. */
export class AttentionLayer {
    /** Its class, for messages. @type {string} */
    static _what = '';
    /** Keras's name for one without a name. @type {string} */
    static _defaultName = '';
    /** The class of Keras whose attributes its weights have in files. @type {'MultiHeadAttention' | 'GroupQueryAttention'} */
    static _kerasName = 'MultiHeadAttention';

    /** @param {unknown} config @returns {CheckedConfig} @throws {TypeError | RangeError} */
    static _check(config) {
        throw typeError('config', 'of a kind of attention', config);
    }

    /**
     * @param {Runtime} runtime
     * @param {unknown} config
     * @throws {TypeError | RangeError} where Keras raises, naming the argument
     */
    constructor(runtime, config) {
        const { _what: what, _defaultName: defaultName, _check: check } = new.target;
        checkRuntime(runtime, what);
        this._what = what;
        this._runtime = runtime;
        this._config = check(config);
        this._name = this._config.name ?? nextName(runtime, defaultName);
        this._trainable = this._config.trainable;
        this._disposed = false;
        // From build on:
        /** @type {WeightSet | null} */
        this._weights = null;
        this._rank = 0;
        this._plan = FUSED_PLAN;
        this._inputs = { query: 0, key: 0, value: 0 };
        /** @type {readonly number[]} */
        this._outputAxes = [];
        /** @type {AttentionParts} */
        this._parts = /** @type {any} */ (null);
        /** What dropout is keyed by: this, and the number of the call. */
        this._seed = 0;
        this._dropoutCalls = 0;
        /** @type {number[]} */
        this._activityLosses = [];
        /** @type {AttentionJob[]} */
        this._spareJobs = [];
        /** The call that has built the layer, until another one begins: should it fail, the layer is as before. @type {AttentionJob | null} */
        this._builder = null;
    }

    get name() {
        return this._name;
    }

    get dropout() {
        return this._config.dropout;
    }

    get useBias() {
        return this._config.useBias;
    }

    get built() {
        return this._weights !== null;
    }

    /** How keys are rotated by their positions, for KVCache.remove(); null where they are not. */
    get rotation() {
        return this._makeRotation()?.turning ?? null;
    }

    /** Whether the weights are trainable; otherwise they add nothing to `losses`. */
    get trainable() {
        return this._trainable;
    }

    set trainable(value) {
        if (typeof value !== 'boolean') throw typeError('trainable', 'a boolean', value);
        this._trainable = value;
    }

    /**
     * Makes the weights. The first call does it if need be.
     * @param {Shape} queryShape [batch, axes, features]; null where a size is not known yet, the last must be
     * @param {Shape} valueShape
     * @param {Shape | null} [keyShape] default: valueShape
     * @throws {TypeError | RangeError} where Keras raises; RangeError too when the memory is exhausted
     */
    build(queryShape, valueShape, keyShape) {
        this._checkAlive();
        if (this.built) throw new RangeError(`build must come once, and before any call: ${this._name} is built`);
        const query = checkShape('queryShape', queryShape);
        const value = checkShape('valueShape', valueShape);
        const key = keyShape == null ? value : checkShape('keyShape', keyShape);
        checkKeyAgainstValue(value, key);
        const rank = query.length;
        if (rank < 2 || value.length !== rank) {
            throw new RangeError('queryShape and valueShape must have the same number of axes, at least 2: '
                + `got ${rank} and ${value.length}`);
        }
        const config = this._config;
        const { dropout, seed } = config;
        if (!(dropout >= 0 && dropout <= 1)) throw rangeError('dropout', 'between 0 and 1', dropout);
        if (dropout > 0 && seed !== null && !Number.isSafeInteger(seed)) throw typeError('seed', 'an integer', seed);
        const plan = new AxesPlan(rank, resolveAxes(config.attentionAxes, rank));
        const shapes = projectionShapes(config, query, value, key);
        const rotation = this._makeRotation();
        const weights = new WeightSet(this, this._runtime, config, shapes);
        const { projections } = weights;
        this._weights = weights;
        this._rank = rank;
        this._plan = plan;
        this._inputs = {
            query: projections.query.inputs, key: projections.key.inputs, value: projections.value.inputs,
        };
        this._outputAxes = config.outputShape ?? Object.freeze([this._inputs.query]);
        this._parts = this._makeParts(weights, rotation);
        this._seed = Number.isSafeInteger(seed) ? scramble(seed ^ scramble(Math.floor(seed / 2 ** 32))) : randomSeed();
    }

    /** How queries and keys turn, in the layers that have it. @returns {import('../../keras/rotary.js').RotaryAngles | null} */
    _makeRotation() {
        return null;
    }

    /** @param {WeightSet} weights @param {ReturnType<AttentionLayer['_makeRotation']>} rotation @returns {AttentionParts} */
    _makeParts({ projections, norms }, rotation) {
        const { policy, numHeads, kvHeads, keyDim, valueDim, attending } = this._config;
        const scale = 1 / Math.sqrt(attending.scaleByWidth ? Math.floor(projections.query.inputs / numHeads) : keyDim);
        return {
            query: projections.query,
            key: projections.key,
            value: projections.value,
            gate: attending.gated ? projections.gate : null,
            output: projections.attention_output,
            queryNorm: norms.query ?? null,
            keyNorm: norms.key ?? null,
            rotation, numHeads, kvHeads, keyDim, valueDim, scale,
            explicitScale: roundTo(scale, policy.compute),
            round: roundMode(policy.compute),
        };
    }

    /** As before `build`; frees the weights. */
    _unbuild() {
        this._weights?.dispose();
        this._weights = null;
        this._spareJobs.length = 0;
    }

    /**
     * Shape of the attention output.
     * @param {Shape} queryShape
     * @param {Shape} valueShape
     * @param {Shape | null} [keyShape]
     * @returns {(number | null)[]}
     */
    computeOutputShape(queryShape, valueShape, keyShape) {
        const query = checkShape('queryShape', queryShape);
        const value = checkShape('valueShape', valueShape);
        checkKeyAgainstValue(value, keyShape == null ? value : checkShape('keyShape', keyShape));
        return [...query.slice(0, -1), ...(this._config.outputShape ?? query.slice(-1))];
    }

    /** Every weight, in Keras's order: `{ path, name, shape, dtype, trainable, data }`. @returns {Weight[]} */
    get weights() {
        return this._weights === null ? [] : [...this._weights.list];
    }

    /** @returns {{ shape: readonly number[], dtype: string, data: Float32Array }[]} copies, in Keras's order */
    getWeights() {
        this._checkAlive();
        return this.weights.map(({ shape, dtype, data }) => ({ shape, dtype, data }));
    }

    /**
     * @param {readonly TensorLike[] | ReadonlyMap<string, TensorLike>} weights in Keras's order, or by their names
     *   ('query/kernel'); numbers are rounded to the variables' type
     * @throws {TypeError | RangeError} for a wrong number, name or shape; nothing is changed then
     */
    setWeights(weights) {
        this._checkAlive();
        if (this._weights === null) throw new RangeError('setWeights must come after build: the layer has no weights');
        this._runtime._assertIdle('setWeights');
        this._weights.set(weights);
        this._builder = null;
    }

    /**
     * Quantizes the projections as Keras's `model.quantize` does. In int8 a call also rounds the inputs of each projection, row by
     * row; in int4 only kernels are rounded, in blocks of 128 inputs. Afterwards weights read as the rounded values, and cannot be
     * set.
     * @param {'int8' | 'int4'} mode
     * @throws {RangeError} for a layer that is not built, is quantized already or does not compute in float32
     */
    quantize(mode) {
        quantizeLayer(this, mode);
        this._builder = null;
    }

    /**
     * Replaces the weights by those of a file that Keras saved, or none of them if something is wrong. The layer must be built
     * and, where the weights in the file are quantized, quantized alike, as in Keras.
     * @param {import('../../files/source.js').FileSource} source a `.weights.h5`,
     *   `.keras` or (a whole model's) `.h5` file: its URL, path (Node), bytes or stream
     * @param {{ layer?: string, signal?: AbortSignal | null }} [options] layer: which one, by its name in the model that was
     *   saved or the path of its group; not needed where the file holds but one attention layer
     * @throws {Error} (rejects) a FormatError for a damaged file, or one without such a layer; a TypeError or RangeError
     *   where the weights are not those of this layer
     */
    async loadWeights(source, options) {
        const files = await import('../weight-files.js');
        return files.loadWeights(this, source, options);
    }

    /**
     * The weights as Keras's `load_weights()` reads them, into a functional model that has the layer. Of a quantized layer they are
     * the floats that are left, to be loaded before quantizing: int8 then gives the same levels again.
     * @param {{ path?: string }} [options] path of the layer's group: 'layers/' and its class in snake case by default,
     *   to which Keras adds '_1', '_2', ... for further layers of the class
     * @returns {Promise<Uint8Array<ArrayBuffer>>} a `.weights.h5` file
     */
    async saveWeights(options) {
        const files = await import('../weight-files.js');
        return files.saveWeights(this, options);
    }

    /**
     * Regularization losses, as in Keras. With an activity regularizer there is one for the outputs of each projection that the
     * last call made (query, key, gate, value, output), divided by the batch size; a grouped layer has one for its output and, if
     * they were asked for, one for its scores before these. Then comes one for each regularized weight, while the layer is trainable.
     * @returns {number[]}
     */
    get losses() {
        this._checkAlive();
        const weights = this._trainable && this._weights !== null ? this._weights.penalties() : [];
        return [...this._activityLosses, ...weights];
    }

    /** Applies the constraints to the weights, as Keras's optimizers do after each step. */
    applyConstraints() {
        this._checkAlive();
        this._runtime._assertIdle('applyConstraints');
        this._weights?.constrain();
    }

    /**
     * @param {TensorLike} query [B, T, F], or with more axes as built
     * @param {TensorLike} value [B, S, F]
     * @param {CallOptions} [options]
     * @returns {Promise<AttentionResult>}
     * @throws {TypeError | RangeError} (rejects) for wrong arguments; nothing is changed then
     * @throws {Error} (rejects) after dispose(), or when workers fail
     */
    async call(query, value, options) {
        const job = this._begin();
        try {
            this._prepare(job, query, value, options);
            job.capture();
            return await this._runtime._run(job, job.signal);
        } catch (error) {
            if (this._builder === job) this._unbuild();
            throw error;
        } finally {
            this._end(job);
        }
    }

    /**
     * The same at once, where the thread may block.
     * @param {TensorLike} query
     * @param {TensorLike} value
     * @param {CallOptions} [options]
     * @returns {AttentionResult}
     * @throws as `call` rejects
     */
    callSync(query, value, options) {
        const job = this._begin();
        try {
            this._prepare(job, query, value, options);
            job.signal?.throwIfAborted();
            return this._runtime._runSync(job);
        } catch (error) {
            if (this._builder === job) this._unbuild();
            throw error;
        } finally {
            this._end(job);
        }
    }

    /** Frees the weights. The layer cannot be used after that. */
    dispose() {
        if (this._disposed) return;
        this._unbuild();
        this._disposed = true;
    }

    [Symbol.dispose]() {
        this.dispose();
    }

    /** @throws {Error} after dispose(), or when the runtime cannot be used */
    _checkAlive() {
        if (this._disposed) throw new Error(`${this._what}: ${this._name} has been disposed`);
        this._runtime._check(this._what);
    }

    /** @returns {AttentionJob} */
    _begin() {
        this._checkAlive();
        this._builder = null;
        return this._spareJobs.pop() ?? new AttentionJob(this);
    }

    /** @param {AttentionJob} job done with, one way or the other */
    _end(job) {
        job.release();
        if (this.built) this._spareJobs.push(job);
    }

    /**
     * @param {AttentionJob} job
     * @param {TensorLike} query
     * @param {TensorLike} value
     * @param {CallOptions | undefined} options
     */
    _prepare(job, query, value, options) {
        job.take(query, value, options);
        // What has been read may have run code of the caller's, which may have disposed of the layer, or built it.
        this._checkAlive();
        if (!this.built) {
            this.build(...job.shapes());
            this._builder = job;
        }
        job.prepare();
    }

    /**
     * What a call leaves behind.
     * @param {AttentionCall} call that has run
     * @param {Tensor} output
     * @param {Tensor | null} scores
     * @param {boolean} projected whether keys and values were given, not cached
     */
    _called(call, output, scores, projected) {
        if (call.dropout > 0) this._dropoutCalls++;
        const { activityRegularizer: regularizer, attending } = this._config;
        if (regularizer === null) return;
        const { memory } = this._runtime;
        const { query, key, value, gate } = this._parts;
        /** @type {number[]} */
        const losses = [];
        const add = (/** @type {number} */ address, /** @type {number} */ size, by = (/** @type {number} */ x) => x) =>
            losses.push(regularizer.penalty(memory.f32(address, size).map(by), []) / output.shape[0]);
        const queries = call.batch * call.t;
        const rows = call.batch * call.rows;
        // Keras's grouped layer has the regularizer itself, too: for all that it gives.
        if (attending.masks) {
            add(output._address, output.size);
            if (scores) add(scores._address, scores.size);
        }
        add(call.queryRows, queries * query.outputs);
        if (projected) add(call.keyRows, rows * key.outputs);
        if (gate) add(call.gateRows, queries * gate.outputs, (x) => 1 / (1 + Math.exp(-x)));
        if (projected) add(call.valueRows, rows * value.outputs);
        add(output._address, output.size);
        this._activityLosses = losses;
    }

    /**
     * Appends this layer's attention to a program: for layers that are made of attentions.
     * @param {Program} program
     * @param {AttentionCall} call checked and filled in by the caller
     */
    _record(program, call) {
        if (call.dropout > 0) {
            call.seed0 = this._seed;
            call.seed1 = this._dropoutCalls++;
        }
        recordAttention(program, this._parts, call);
    }
}

printAs(AttentionLayer, (layer) => /** @type {typeof AttentionLayer} */ (layer.constructor)._what, (layer) => (layer._disposed ? null : {
    name: layer.name, built: layer.built, weights: Object.fromEntries(layer.weights.map(({ path, shape }) => [path, shape])),
}));
