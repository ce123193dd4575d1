// CachedMultiHeadAttention: Keras Hub's layer (keras.io/keras_hub/api/modeling_layers/cached_multi_head_attention).

import { roundMode } from '../../engine/tensor.js';
import { typeError } from '../../check.js';
import { checkConfig, fromKerasConfig, toKerasConfig } from '../../keras/config.js';
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
/** @typedef {import('../../keras/config.js').AttentionConfig} AttentionConfig */
/** @typedef {import('../../keras/shapes.js').Shape} Shape */
/** @typedef {import('./arguments.js').CallOptions} CallOptions */
/** @typedef {import('../../blocks/attention.js').AttentionCall} AttentionCall */
/** @typedef {import('../../blocks/attention.js').AttentionParts} AttentionParts */
/** @typedef {import('./job.js').AttentionResult} AttentionResult */
/** @typedef {import('./weights.js').Weight} Weight */

const WHAT = 'CachedMultiHeadAttention';
const DEFAULT_NAME = 'cached_multi_head_attention';

/** How many layers of a runtime have had a default name. @type {WeakMap<Runtime, number>} */
const named = new WeakMap();

/** @param {Runtime} runtime @returns {string} the next default name */
function defaultName(runtime) {
    const count = named.get(runtime) ?? 0;
    named.set(runtime, count + 1);
    return count === 0 ? DEFAULT_NAME : `${DEFAULT_NAME}_${count}`;
}

/**
 * Multi-head attention with a cache for the keys and values of past positions.
 *
 * - No cache: keys and values are projections of `key` (or `value`) and `value`.
 * - A cache without `cacheUpdateIndex`: keys and values are the cache's; those given are ignored.
 * - A cache with an index: the projections are written to the cache from that position on, and ALL of the cache is
 *   attended over, never written positions too unless a mask excludes them.
 *
 * With scores asked for, dropout configured or inputs of more than 3 axes, Keras takes another path than otherwise: a
 * query that may attend to nothing then gives the output bias; otherwise it gives the mean of all values.
 */
export class CachedMultiHeadAttention {
    /**
     * @param {Runtime} runtime
     * @param {AttentionConfig} config
     * @throws {TypeError | RangeError} where Keras raises, naming the argument
     */
    constructor(runtime, config) {
        if (typeof runtime?._check !== 'function') throw typeError('runtime', 'made by createRuntime()', runtime);
        runtime._check(WHAT);
        this._runtime = runtime;
        this._config = checkConfig(config);
        this._name = this._config.name ?? defaultName(runtime);
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
        this._pending = 0;
    }

    /**
     * @param {Runtime} runtime
     * @param {Record<string, any>} kerasConfig what Keras's `get_config()` gives
     * @returns {CachedMultiHeadAttention}
     */
    static fromConfig(runtime, kerasConfig) {
        return new CachedMultiHeadAttention(runtime, fromKerasConfig(kerasConfig));
    }

    /** What Keras's `get_config()` gives, snake_case. @returns {Record<string, any>} */
    getConfig() {
        return toKerasConfig(this._config, this._name, this._trainable, this.attentionAxes);
    }

    get name() {
        return this._name;
    }

    get numHeads() {
        return this._config.numHeads;
    }

    get keyDim() {
        return this._config.keyDim;
    }

    get valueDim() {
        return this._config.valueDim;
    }

    get dropout() {
        return this._config.dropout;
    }

    get useBias() {
        return this._config.useBias;
    }

    /** The axes attended over: once built all from 0 on, before as given. @returns {readonly number[] | null} */
    get attentionAxes() {
        return this.built ? this._plan.axes : this._config.attentionAxes;
    }

    get built() {
        return this._weights !== null;
    }

    /** Whether the weights count as trainable: without, they add nothing to `losses`. */
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
        const { dropout, seed, policy, numHeads, keyDim, valueDim } = config;
        if (!(dropout >= 0 && dropout <= 1)) throw new RangeError(`dropout must be between 0 and 1, got ${dropout}`);
        if (dropout > 0 && seed !== null && !Number.isSafeInteger(seed)) throw typeError('seed', 'an integer', seed);
        const plan = new AxesPlan(rank, resolveAxes(config.attentionAxes, rank));
        const weights = new WeightSet(this, this._runtime, config, projectionShapes(config, query, value, key));
        const { projections } = weights;
        this._weights = weights;
        this._rank = rank;
        this._plan = plan;
        this._inputs = {
            query: projections.query.inputs, key: projections.key.inputs, value: projections.value.inputs,
        };
        this._outputAxes = config.outputShape ?? Object.freeze([this._inputs.query]);
        const scale = 1 / Math.sqrt(keyDim);
        this._parts = {
            query: projections.query,
            key: projections.key,
            value: projections.value,
            output: projections.attention_output,
            numHeads, kvHeads: numHeads, keyDim, valueDim, scale,
            explicitScale: roundTo(scale, policy.compute),
            round: roundMode(policy.compute),
        };
        this._seed = seed === null ? randomSeed() : scramble(seed ^ scramble(Math.floor(seed / 2 ** 32)));
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
     * @param {readonly TensorLike[]} list in Keras's order; numbers are rounded to the variables' type
     * @throws {TypeError | RangeError} for a wrong number or shape; nothing is changed then
     */
    setWeights(list) {
        this._checkAlive();
        if (this._weights === null) throw new RangeError('setWeights must come after build: the layer has no weights');
        this._runtime._assertIdle('setWeights');
        this._weights.set(list);
    }

    /**
     * Quantizes the projections as Keras's `model.quantize` does. In int8 a call rounds what it projects too, row by
     * row; in int4 only kernels are rounded, in blocks of 128 inputs. Weights read as the values that are left, and
     * cannot be set.
     * @param {'int8' | 'int4'} mode
     * @throws {RangeError} for a layer that is not built, is quantized already or does not compute in float32
     */
    quantize(mode) {
        quantizeLayer(this, mode);
    }

    /**
     * Regularization: a term each for what query, key, value and output projections gave out in the last call, divided
     * by the batch size, then one for each regularized weight while trainable.
     * @returns {number[]}
     */
    get losses() {
        this._checkAlive();
        const weights = this._trainable && this._weights !== null ? this._weights.penalties() : [];
        return [...this._activityLosses, ...weights];
    }

    /** Projects weights as their constraints say: what an optimizer of Keras does after each of its steps. */
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
        let builtHere = false;
        try {
            builtHere = this._prepare(job, query, value, options);
            job.capture();
            return await this._runtime._run(job);
        } catch (error) {
            if (builtHere && this._pending === 1) this._unbuild();
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
        let builtHere = false;
        try {
            builtHere = this._prepare(job, query, value, options);
            return this._runtime._runSync(job);
        } catch (error) {
            if (builtHere) this._unbuild();
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
        if (this._disposed) throw new Error(`${WHAT}: ${this._name} has been disposed`);
        this._runtime._check(WHAT);
    }

    /** @returns {AttentionJob} */
    _begin() {
        this._checkAlive();
        this._pending++;
        return this._spareJobs.pop() ?? new AttentionJob(this);
    }

    /** @param {AttentionJob} job done with, one way or the other */
    _end(job) {
        this._pending--;
        job.release();
        if (this.built) this._spareJobs.push(job);
    }

    /**
     * @param {AttentionJob} job
     * @param {TensorLike} query
     * @param {TensorLike} value
     * @param {CallOptions | undefined} options
     * @returns {boolean} whether the layer was built for it
     */
    _prepare(job, query, value, options) {
        job.take(query, value, options);
        // What has been read may have run code of the caller's, which may have disposed of the layer, or built it.
        this._checkAlive();
        if (this.built) {
            job.prepare();
            return false;
        }
        this.build(...job.shapes());
        try {
            job.prepare();
        } catch (error) {
            this._unbuild();
            throw error;
        }
        return true;
    }

    /**
     * What a call leaves behind.
     * @param {AttentionCall} call that has run
     * @param {Tensor} output
     * @param {boolean} projected whether keys and values were given, not cached
     */
    _called(call, output, projected) {
        if (call.dropout > 0) this._dropoutCalls++;
        const regularizer = this._config.activityRegularizer;
        if (regularizer === null) return;
        const { memory } = this._runtime;
        const { query, key, value } = this._parts;
        const rows = call.batch * call.rows;
        const losses = [regularizer.penalty(memory.f32(call.queryRows, call.batch * call.t * query.outputs), [])];
        if (projected) {
            losses.push(
                regularizer.penalty(memory.f32(call.keyRows, rows * key.outputs), []),
                regularizer.penalty(memory.f32(call.valueRows, rows * value.outputs), []),
            );
        }
        losses.push(regularizer.penalty(memory.f32(output._address, output.size), []));
        this._activityLosses = losses.map((loss) => loss / output.shape[0]);
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
