// One call of the layer: its arguments checked and measured (prepare), written down as operations (record), and what it
// returns put together (finish). Jobs are used again and again: a call leaves nothing on the heap but its results.

import { KVCache, asCache } from '../../blocks/cache.js';
import { Tensor, asTensorLike, sizeOf } from '../../engine/tensor.js';
import { AxesPlan } from '../../keras/shapes.js';
import { AttentionCall, recordAttention } from '../../blocks/attention.js';
import { checkSignal, rangeError } from '../../check.js';
import { floatInput } from './inputs.js';
import { CallMask } from './mask.js';
import { reorder, storeAxesCache } from './axes.js';
import {
    NO_CACHE, STATIC_CACHE, UPDATED_CACHE, checkBatch, checkCache, checkFlag, checkIndex, checkInput, checkKeys,
    checkOptions, checkRoom, sizesOf,
} from './arguments.js';

/** @typedef {import('../../engine/program.js').Program} Program */
/** @typedef {import('../../engine/tensor.js').Held} Held */
/** @typedef {import('../../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('./attention-layer.js').AttentionLayer} AttentionLayer */
/**
 * @typedef {object} AttentionResult
 * @property {Tensor} attentionOutput [batch, query axes, output axes]
 * @property {Tensor} [attentionScores] [batch, heads, query axes, key axes], if asked for
 * @property {TensorLike | KVCache} [cache] if one was given: the KVCache itself, or what a tensor-like has become: a new Tensor
 *   where it was updated
 */

/** Inputs of rank 3 along their sequence: what Keras's fused path attends over, whatever the axes. */
export const FUSED_PLAN = new AxesPlan(3, Object.freeze([1]));

/** @param {readonly number[]} cache shape @returns {number[]} the shape of its keys: without the axis of 2 */
const cacheAxes = (cache) => [cache[0], ...cache.slice(2)];

/** @type {readonly number[]} */
const NO_SHAPE = Object.freeze([]);

/** A call of a layer. */
export class AttentionJob {
    /** @param {AttentionLayer} layer */
    constructor(layer) {
        this._layer = layer;
        this._call = new AttentionCall();
        /** Shapes of the last results, kept while they stay the same; the query's then, and the output's size. */
        this._outputShape = NO_SHAPE;
        /** @type {number[]} */
        this._queryShape = [];
        this._outputSize = 0;
        this._scoresShape = NO_SHAPE;
        this._mode = NO_CACHE;
        this._wantScores = false;
        this._training = false;
        /** First position to write; -1: none. */
        this._index = -1;
        this._plan = layer._plan;
        // What the call was given.
        /** @type {Held | null} */
        this._query = null;
        /** @type {Held | null} */
        this._value = null;
        /** @type {Held | null} */
        this._key = null;
        this._mask = new CallMask();
        /** @type {Held | KVCache | null} */
        this._cache = null;
        /** The same, never a copy. @type {Held | KVCache | null} */
        this._cacheGiven = null;
        // What record leaves to finish.
        /** @type {Tensor | null} */
        this._output = null;
        /** @type {Tensor | null} */
        this._scores = null;
        /** @type {Held | KVCache | null} */
        this._cacheOut = null;
        /** Cuts the call short. @type {AbortSignal | null | undefined} */
        this.signal = undefined;
        /** Pages of the KVCache as they were. @type {import('../../blocks/pages.js').PagedCache | null} */
        this._before = null;
    }

    /** Forgets what the call was given and what it returned. */
    release() {
        this._query = null;
        this._value = null;
        this._key = null;
        this._mask.release();
        this._cache = null;
        this._cacheGiven = null;
        this._before?.dispose();
        this._before = null;
        this.signal = undefined;
        this._output = null;
        this._scores = null;
        this._cacheOut = null;
    }

    /**
     * Reads what the call is given, each property once: an object of the caller's may answer differently the next time,
     * and what it does meanwhile is done before anything is checked against it.
     * @param {unknown} query
     * @param {unknown} value
     * @param {unknown} options
     */
    take(query, value, options) {
        this._query = asTensorLike(query, 'query');
        this._value = value === query ? this._query : asTensorLike(value, 'value');
        const { masks } = this._layer._config.attending;
        const checked = checkOptions(options, masks);
        const key = checked?.key ?? null;
        this._key = key === null || key === value ? this._value
            : key === query ? this._query : asTensorLike(key, 'key');
        const cache = checked?.cache ?? null;
        this._cache = cache === null ? null : asCache(cache, 'cache');
        this._cacheGiven = this._cache;
        const mask = checked?.attentionMask ?? null;
        this._mask.given = mask === null ? null : asTensorLike(mask, 'attentionMask');
        if (masks) this._mask.takeRows(checked);
        this._index = checkIndex(checked?.cacheUpdateIndex);
        this._training = checkFlag('training', checked?.training);
        this.signal = checked?.signal;
        checkSignal(this.signal);
        this._wantScores = checkFlag('returnAttentionScores', checked?.returnAttentionScores);
        this._call.causal = checkFlag('useCausalMask', checked?.useCausalMask);
    }

    /** @returns {[query: readonly number[], value: readonly number[], key: readonly number[]]} of what was given */
    shapes() {
        const shape = (/** @type {Held | null} */ given) => /** @type {Held} */ (given).shape;
        return [shape(this._query), shape(this._value), shape(this._key)];
    }

    /** As a job: whatever was given may have been disposed of since. */
    check() {
        this._layer._checkAlive();
        this._query?._check('query');
        if (this._mode !== STATIC_CACHE) {
            if (this._value !== this._query) this._value?._check('value');
            if (this._key !== this._value) this._key?._check('key');
        }
        this._cache?._check('cache');
        this._mask.check();
    }

    /** Checks all arguments against each other and the layer; throws without having changed anything. */
    prepare() {
        const layer = this._layer;
        const call = this._call;
        const query = /** @type {Held} */ (this._query);
        const index = this._index;
        const { numHeads, kvHeads, keyDim, valueDim, dropout, flashAttention, activityRegularizer, attending } =
            layer._config;
        const rank = layer._rank;
        if (flashAttention && this._wantScores) {
            throw rangeError('returnAttentionScores', 'false with flashAttention: it has no scores', true);
        }
        checkInput('query', query, rank, layer._inputs.query);
        // Keras's grouped layer is written for batch, sequence and features.
        if (attending.masks ? rank !== 3 : rank < 3) throw rangeError('query', `of ${attending.masks ? '' : 'at least '}3 axes`, query);
        call.explicit = attending.explicit || dropout > 0 || this._wantScores || rank !== 3;
        this._plan = call.explicit ? layer._plan : FUSED_PLAN;
        call.batch = this._plan.batch(query.shape);
        call.t = this._plan.sequence(query.shape);
        call.dropout = this._training ? dropout : 0;
        call.keepRows = activityRegularizer !== null;
        this._prepareKeys(this._cache, index);
        if (call.s === 0) throw new RangeError('value must have at least one position to attend to, got none');
        if (call.causal && this._plan.axes.length !== 1) {
            throw rangeError('useCausalMask', `false unless there is a single attention axis, not [${this._plan.axes}]`, true);
        }
        call.causalOffset = index > 0 ? index : 0;
        call.softcap = attending.softcap;
        // Keras makes booleans of a mask that comes with another one.
        this._mask.half = call.explicit && !call.causal && attending.window === 0 && this._mask.rows.length === 0;
        this._prepareWindow(attending.window);
        if (this._plan.standard) this._mask.prepare(call, numHeads);
        else this._mask.prepareAxes(call, this._scoresSizes(), this._plan.axes.length);
        this._mask.prepareRows(call);
        activityRegularizer?.checkShape([call.batch, call.t, kvHeads, Math.min(keyDim, valueDim)]);
    }

    /**
     * Keeps |i + offset - j| < window. A window of the kernels reaches back only, so where causality does not end it,
     * it is moved ahead by what it reaches forward.
     * @param {number} window 0: none
     */
    _prepareWindow(window) {
        const call = this._call;
        call.window = 0;
        if (window === 0 || window >= Math.max(call.causalOffset + call.t, call.s)) return;
        call.window = call.causal ? window : 2 * window - 1;
        if (!call.causal) call.causalOffset += window - 1;
        call.causal = true;
    }

    /**
     * Where keys and values come from, and how many there are.
     * @param {Held | KVCache | null} cache
     * @param {number} index -1: none
     */
    _prepareKeys(cache, index) {
        const call = this._call;
        const plan = this._plan;
        const query = /** @type {Held} */ (this._query).shape;
        this._mode = cache === null ? NO_CACHE : index < 0 ? STATIC_CACHE : UPDATED_CACHE;
        if (cache === null) {
            if (index >= 0) throw rangeError('cacheUpdateIndex', 'absent without a cache', index);
            call.noCache();
        } else {
            checkCache(this._layer, cache);
        }
        call.rows = 0;
        call.index = 0;
        if (this._mode !== STATIC_CACHE) {
            const key = /** @type {Held} */ (this._key);
            checkKeys(plan, this._layer._inputs, query, /** @type {Held} */ (this._value), key);
            call.rows = plan.sequence(key.shape);
            call.s = call.rows;
        }
        if (cache === null) return;
        const shape = sizesOf(cache);
        if (!plan.standard) {
            this._prepareAxesCache(cache, query);
            return;
        }
        if (shape[0] !== query[0]) {
            throw rangeError('cache', `of the query's batch size, ${query[0]}`, shape);
        }
        call.s = shape[2];
        if (this._mode !== UPDATED_CACHE) return;
        checkRoom(index, call.rows, shape[2]);
        call.index = index;
    }

    /**
     * A cache for attention along other axes than the second of three.
     * @param {Held | KVCache} cache
     * @param {readonly number[]} query shape
     */
    _prepareAxesCache(cache, query) {
        const { rank, axes } = this._plan;
        const where = `inputs of rank ${rank} and attention axes [${axes}]`;
        if (cache instanceof KVCache) throw new TypeError(`cache must be a tensor-like for ${where}, got a KVCache`);
        if (this._mode === UPDATED_CACHE) {
            throw new RangeError(`cacheUpdateIndex must be absent for ${where}: Keras defines it for rank 3 alone`);
        }
        const sizes = cacheAxes(cache.shape);
        checkBatch(this._plan, 'cache', query, sizes);
        this._call.s = this._plan.sequence(sizes);
    }

    /** Keeps what the call was given as it is now, for the time when its turn comes. */
    capture() {
        const { _runtime } = this._layer;
        if (!_runtime._busy) return;
        const query = /** @type {Held} */ (this._query);
        const value = /** @type {Held} */ (this._value);
        const key = /** @type {Held} */ (this._key);
        this._query = _runtime._capture(query);
        if (this._mode !== STATIC_CACHE) {
            this._value = value === query ? this._query : _runtime._capture(value);
            this._key = key === value ? this._value : key === query ? this._query : _runtime._capture(key);
        }
        this._mask.capture(_runtime);
        if (this._cache !== null && !(this._cache instanceof KVCache)) this._cache = _runtime._capture(this._cache);
    }

    /** @param {Program} program */
    record(program) {
        const layer = this._layer;
        const call = this._call;
        const query = /** @type {Held} */ (this._query);
        const output = program.result(this._outputSizes(query.shape), layer._config.policy.compute, this._outputSize);
        this._output = output;
        if (this._wantScores) {
            this._scores = program.result(this._scoresSizes(), layer._config.policy.compute);
        }
        this._recordInputs(program);
        this._recordCache(program);
        this._mask.record(layer._runtime, program, call, layer._config.policy.compute);
        call.scores = this._scores === null ? 0 : this._scores._address;
        call.out = this._plan.direct ? output._address : program.scratch(output.byteLength);
        call.outStride = layer._parts.output.outputs;
        if (call.dropout > 0) {
            call.seed0 = layer._seed;
            call.seed1 = layer._dropoutCalls;
        }
        recordAttention(program, layer._parts, call);
        this._recordCacheOut(program);
    }

    /** @param {Program} program */
    _recordInputs(program) {
        const call = this._call;
        const { query: queryWidth, key: keyWidth, value: valueWidth } = this._layer._inputs;
        call.query = this._rows(program, /** @type {Held} */ (this._query), queryWidth);
        call.queryStride = queryWidth;
        if (call.rows === 0) return;
        call.value = this._value === this._query
            ? call.query : this._rows(program, /** @type {Held} */ (this._value), valueWidth);
        call.valueStride = valueWidth;
        call.key = this._key === this._value
            ? call.value : this._rows(program, /** @type {Held} */ (this._key), keyWidth);
        call.keyStride = keyWidth;
    }

    /**
     * @param {Program} program
     * @param {Held} tensor
     * @param {number} width
     * @returns {number} address of its rows in the order of the plan
     */
    _rows(program, tensor, width) {
        const { _runtime, _config, _parts } = this._layer;
        const address = floatInput(_runtime, program, tensor, _config.policy.compute, _parts.round);
        return this._plan.direct ? address : reorder(_runtime, program, this._plan, address, tensor.shape, width);
    }

    /** @param {Program} program */
    _recordCache(program) {
        const call = this._call;
        const cache = this._cache;
        this._cacheOut = this._cacheGiven;
        if (cache === null) {
            call.noCache();
            return;
        }
        if (cache instanceof KVCache) {
            const pages = cache._pages;
            if (this.signal) this._before = pages.fork();
            pages.makeWritable(call.index, call.index + call.rows);
            call.setCache(cache, pages);
            return;
        }
        const { _runtime, _config, _parts } = this._layer;
        const { compute } = _config.policy;
        const source = floatInput(_runtime, program, cache, compute, _parts.round);
        if (this._plan.standard) {
            call.copyCache(program, source, cache.shape);
        } else {
            storeAxesCache(_runtime, program, this._plan, cache.shape, source, call);
        }
        if (this._mode === STATIC_CACHE && this._cacheGiven instanceof Tensor && cache.dtype === compute) return;
        const out = program.result(Object.freeze([...cache.shape]), compute);
        this._cacheOut = out;
        // The rest of the cache passes through as it is, or as the compute type rounds it.
        if (this._mode === STATIC_CACHE) {
            const { memory } = _runtime;
            memory.f32(out._address, out.size).set(memory.f32(source, out.size));
        }
    }

    /** A functional cache, updated, becomes a new tensor. @param {Program} program */
    _recordCacheOut(program) {
        if (this._mode !== UPDATED_CACHE || this._cache instanceof KVCache) return;
        this._call.readCache(program, /** @type {Tensor} */ (this._cacheOut));
    }

    /** What a KVCache held, should the call be cut short. */
    undo() {
        const cache = this._cache;
        if (this._before !== null && cache instanceof KVCache && !cache.disposed) cache._pages.takeBack(this._before);
    }

    /** @returns {AttentionResult} */
    finish() {
        const layer = this._layer;
        const call = this._call;
        const output = /** @type {Tensor} */ (this._output);
        const { memory } = layer._runtime;
        if (!this._plan.direct) {
            const shape = /** @type {Held} */ (this._query).shape;
            const [to, from] = [memory.f32(output._address, output.size), memory.f32(call.out, output.size)];
            this._plan.permute(to, from, shape, call.outStride, true);
        }
        layer._called(call, output, this._scores, this._mode !== STATIC_CACHE);
        if (this._cacheOut === null) {
            if (this._scores === null) return { attentionOutput: output };
            return { attentionOutput: output, attentionScores: this._scores };
        }
        if (this._scores === null) return { attentionOutput: output, cache: this._cacheOut };
        return { attentionOutput: output, attentionScores: this._scores, cache: this._cacheOut };
    }

    /**
     * @param {readonly number[]} query shape
     * @returns {readonly number[]} the output's, the same array as long as it stays the same
     */
    _outputSizes(query) {
        const last = this._queryShape;
        for (let i = 0; i < query.length; i++) {
            if (last[i] === query[i]) continue;
            this._queryShape = [...query];
            this._outputShape = Object.freeze([...query.slice(0, -1), ...this._layer._outputAxes]);
            this._outputSize = sizeOf(this._outputShape, 'the result');
            break;
        }
        return this._outputShape;
    }

    /** @returns {readonly number[]} the scores' shape, the same array as long as it stays the same */
    _scoresSizes() {
        const call = this._call;
        const { numHeads } = this._layer._config;
        const query = /** @type {Held} */ (this._query).shape;
        const last = this._scoresShape;
        if (this._plan.standard) {
            if (last[0] !== query[0] || last[2] !== query[1] || last[3] !== call.s) {
                this._scoresShape = Object.freeze([query[0], numHeads, query[1], call.s]);
            }
            return this._scoresShape;
        }
        const cache = this._cache?.shape;
        const keys = cache ? cacheAxes(cache) : /** @type {Held} */ (this._key).shape;
        this._scoresShape = Object.freeze(this._plan.scoresShape(query, keys, numHeads));
        return this._scoresShape;
    }
}
