// TransformerDecoder: Keras Hub's layer (keras.io/keras_hub/api/modeling_layers/transformer_decoder).

import { CachedMultiHeadAttention } from './attention/cached-multi-head-attention.js';
import { KVCache } from '../blocks/cache.js';
import { checkSignal, finiteNumber, plainObject, positiveInteger, rangeError, typeError, unknownOption } from '../check.js';
import { resolveInitializer } from '../keras/initializers.js';
import { Random, randomSeed } from '../random.js';
import { checkFlag } from './attention/arguments.js';
import { numbers } from './attention/inputs.js';
import { Projection } from '../blocks/projection.js';
import { ACTIVATION, LINEAR } from '../engine/interface.js';
import { asTensorLike, formatShape, sameShape } from '../engine/tensor.js';
import { DecoderJob } from './decoder-job.js';
import { TrainingCall } from './decoder-training.js';
import { NormWeights } from '../blocks/norm.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */

/** @type {Record<string, number>} */
const ACTIVATIONS = {
    linear: ACTIVATION.NONE, relu: ACTIVATION.RELU, gelu: ACTIVATION.GELU_ERF, gelu_approximate: ACTIVATION.GELU_TANH,
};

/**
 * @typedef {object} DecoderConfig the arguments of Keras Hub's TransformerDecoder
 * @property {number} intermediateDim width of the feed-forward network
 * @property {number} numHeads
 * @property {number} [dropout] rate, 0
 * @property {'relu' | 'gelu' | 'gelu_approximate' | 'linear' | null} [activation] of the feed-forward network, 'relu'.
 *   'gelu' is exact, as in Keras; 'gelu_approximate' is Keras Hub's tanh form, GPT-2's
 * @property {number} [layerNormEpsilon] 1e-5
 * @property {unknown} [kernelInitializer] 'glorot_uniform'
 * @property {unknown} [biasInitializer] 'zeros'
 * @property {boolean} [normalizeFirst] layer norm before each block instead of after it, false
 *
 * @typedef {object} DecoderOptions the call arguments of Keras Hub's TransformerDecoder
 * @property {TensorLike} [decoderPaddingMask] [B, S]: 0 leaves a position out for all queries
 * @property {TensorLike} [decoderAttentionMask] [B, T, S] or [T, S], any axis may be 1
 * @property {TensorLike} [encoderPaddingMask] [B, S of the encoder]
 * @property {TensorLike} [encoderAttentionMask] [B, T, S of the encoder]
 * @property {KVCache | TensorLike} [selfAttentionCache] [B, 2, S, H, D]
 * @property {number | null} [selfAttentionCacheUpdateIndex] first position to write; absent: the cache stays as it is
 * @property {KVCache | TensorLike} [crossAttentionCache] [B, 2, S of the encoder, H, D]
 * @property {number | null} [crossAttentionCacheUpdateIndex] 0 on the first step, then absent
 * @property {boolean} [useCausalMask] keep position j for query i when j <= i + update index, true
 * @property {boolean} [training] apply dropout, false
 * @property {AbortSignal} [signal] cuts the call short within milliseconds; a KVCache then holds what it held before. Not with dropout
 *
 * @typedef {object} DecoderResult
 * @property {Tensor} output [B, T, F]
 * @property {KVCache | TensorLike} [selfAttentionCache] if one was given: the KVCache itself, updated, or a new Tensor
 * @property {KVCache | TensorLike} [crossAttentionCache] the same
 */

/**
 * A decoder block in Keras Hub's terms: causal self-attention, with an encoder sequence also cross-attention, and a
 * feed-forward network, each with a residual connection and a layer norm. Every attention is a CachedMultiHeadAttention
 * with head size floor(F / numHeads). Source: https://keras.io/keras_hub/api/modeling_layers/transformer_decoder/
 */
export class TransformerDecoder {
    /** @param {Runtime} runtime @param {DecoderConfig} config */
    constructor(runtime, config) {
        if (typeof runtime?._check !== 'function') throw typeError('runtime', 'made by createRuntime()', runtime);
        runtime._check('TransformerDecoder');
        plainObject('the config of TransformerDecoder', config);
        const {
            intermediateDim, numHeads, dropout = 0, activation = 'relu', layerNormEpsilon = 1e-5,
            kernelInitializer = 'glorot_uniform', biasInitializer = 'zeros', normalizeFirst = false, ...others
        } = config;
        for (const name of Object.keys(others)) {
            throw unknownOption('TransformerDecoder', name, ARGUMENTS);
        }
        if (activation !== null && !(typeof activation === 'string' && Object.hasOwn(ACTIVATIONS, activation))) {
            throw typeError('activation', `one of ${Object.keys(ACTIVATIONS).join(', ')} or null`, activation);
        }
        if (!(finiteNumber('dropout', dropout) >= 0 && dropout <= 1)) {
            throw rangeError('dropout', 'from 0 to 1', dropout);
        }
        this.intermediateDim = positiveInteger('intermediateDim', intermediateDim);
        this.numHeads = positiveInteger('numHeads', numHeads);
        this.dropout = dropout;
        this.activation = activation;
        this.layerNormEpsilon = finiteNumber('layerNormEpsilon', layerNormEpsilon);
        this.normalizeFirst = Boolean(normalizeFirst);
        this._runtime = runtime;
        this._kernelInitializer = resolveInitializer('kernelInitializer', kernelInitializer);
        this._biasInitializer = resolveInitializer('biasInitializer', biasInitializer);
        this._initializers = { kernelInitializer, biasInitializer };
        /** Decides what dropout drops. */
        this._random = new Random(randomSeed());
        /** F, known once it is built. */
        this.hiddenDim = 0;
        /** What has to be freed. @type {{ dispose(): void }[]} */
        this._owned = [];
        /** The same by name; there once it is built. @type {DecoderParts} */
        this._parts = /** @type {any} */ (null);
    }

    get built() {
        return this.hiddenDim !== 0;
    }

    /** Whether it was built with an encoder sequence. */
    get hasCrossAttention() {
        return this._parts.cross !== null;
    }

    /**
     * Makes the weights.
     * @param {readonly (number | null)[]} decoderShape [B, T, F]; B and T may be null
     * @param {readonly (number | null)[] | null} [encoderShape] [B, S, F]: with cross-attention
     */
    build(decoderShape, encoderShape = null) {
        if (this.built) {
            throw new Error('build must come once, and before any call: the TransformerDecoder is built');
        }
        const width = Array.isArray(decoderShape) && decoderShape.length === 3 ? decoderShape[2] : null;
        if (width === null || !Number.isInteger(width) || width < this.numHeads) {
            throw rangeError('decoderShape', `[B, T, F] with F of numHeads (${this.numHeads}) at least`, decoderShape);
        }
        try {
            this._parts = this._makeParts(width, decoderShape, encoderShape);
        } catch (error) {
            this.dispose();
            throw error;
        }
        this.hiddenDim = width;
    }

    /**
     * @param {number} width
     * @param {readonly (number | null)[]} decoderShape
     * @param {readonly (number | null)[] | null} encoderShape
     * @returns {DecoderParts}
     */
    _makeParts(width, decoderShape, encoderShape) {
        return {
            self: this._attention(width, decoderShape, decoderShape),
            selfNorm: this._layerNorm(width),
            cross: encoderShape && this._attention(width, decoderShape, encoderShape),
            crossNorm: encoderShape && this._layerNorm(width),
            intermediate: this._dense(width, this.intermediateDim),
            output: this._dense(this.intermediateDim, width),
            norm: this._layerNorm(width),
        };
    }

    /** @template {{ dispose(): void }} T @param {T} part @returns {T} */
    _own(part) {
        this._owned.push(part);
        return part;
    }

    /** @param {number} width */
    _layerNorm(width) {
        const epsilon = this.layerNormEpsilon;
        return this._own(new NormWeights(this._runtime, { kind: 'layer', width, epsilon, bias: true }));
    }

    /**
     * @param {number} width
     * @param {readonly (number | null)[]} queryShape
     * @param {readonly (number | null)[]} valueShape
     */
    _attention(width, queryShape, valueShape) {
        const layer = this._own(new CachedMultiHeadAttention(this._runtime, {
            numHeads: this.numHeads, keyDim: Math.floor(width / this.numHeads), dropout: this.dropout,
            ...this._initializers,
        }));
        layer.build(queryShape, valueShape);
        return layer;
    }

    /** @param {number} inputs @param {number} outputs */
    _dense(inputs, outputs) {
        const dense = this._own(new Projection(this._runtime, inputs, outputs, true));
        dense.loadKernel(this._kernelInitializer.draw([inputs, outputs]));
        dense.loadBias(this._biasInitializer.draw([outputs]));
        return dense;
    }

    /**
     * Weights in Keras's order: self-attention, its norm, cross-attention, its norm (if there is one), feed-forward
     * intermediate and output kernel and bias, its norm; a norm is gamma, beta.
     * @returns {{ shape: readonly number[], data: Float32Array }[]} copies
     */
    getWeights() {
        this._check();
        const { self, selfNorm, cross, crossNorm, intermediate, output, norm } = this._parts;
        const data = [
            ...self.getWeights().map((weight) => weight.data), ...normWeights(selfNorm),
            ...(cross?.getWeights().map((weight) => weight.data) ?? []), ...(crossNorm ? normWeights(crossNorm) : []),
            intermediate.kernel(), intermediate.bias(), output.kernel(), output.bias(), ...normWeights(norm),
        ];
        return this._weightShapes().map((shape, i) => ({ shape, data: data[i] }));
    }

    /**
     * @param {readonly TensorLike[]} weights in the order of getWeights()
     * @throws {TypeError | RangeError} for a wrong number or shape; nothing is changed then
     */
    setWeights(weights) {
        this._check();
        this._runtime._assertIdle('setWeights');
        const given = checkWeights(weights, this._weightShapes());
        this._check();
        const { self, selfNorm, cross, crossNorm, intermediate, output, norm } = this._parts;
        let at = 0;
        const next = () => numbers(this._runtime, given[at++]);
        /** @param {CachedMultiHeadAttention} layer @param {NormWeights} layerNorm */
        const setAttention = (layer, layerNorm) => {
            layer.setWeights(given.slice(at, at + 8));
            at += 8;
            layerNorm.loadWeight(next());
            layerNorm.loadBias(next());
        };
        setAttention(self, selfNorm);
        if (cross && crossNorm) {
            setAttention(cross, crossNorm);
        }
        for (const dense of [intermediate, output]) {
            dense.loadKernel(next());
            dense.loadBias(next());
        }
        norm.loadWeight(next());
        norm.loadBias(next());
    }

    /** Of the weights, in the order of getWeights(). @returns {readonly (readonly number[])[]} */
    _weightShapes() {
        const f = this.hiddenDim;
        const h = this.numHeads;
        const d = Math.floor(f / h);
        const attention = [[f, h, d], [h, d], [f, h, d], [h, d], [f, h, d], [h, d], [h, d, f], [f], [f], [f]];
        return [
            ...attention, ...(this.hasCrossAttention ? attention : []),
            [f, this.intermediateDim], [this.intermediateDim], [this.intermediateDim, f], [f], [f], [f],
        ];
    }

    /**
     * @param {TensorLike} decoderSequence [B, T, F]
     * @param {TensorLike | null} [encoderSequence] [B, S, F of the encoder]; exactly when it was built with one
     * @param {DecoderOptions} [options]
     * @returns {Promise<DecoderResult>}
     * @throws {TypeError | RangeError} (as rejections) for wrong arguments; caches are unchanged then
     */
    async call(decoderSequence, encoderSequence = null, options = {}) {
        // Everything is read once, here: the caller's objects may answer differently the next time.
        const sequence = asTensorLike(decoderSequence, 'decoderSequence');
        const encoder = encoderSequence && asTensorLike(encoderSequence, 'encoderSequence');
        const given = readOptions(options);
        if (!this.built) {
            this.build(sequence.shape, encoder && encoder.shape);
        }
        this._check();
        const job = new DecoderJob(this, sequence, encoder, given);
        if (!(given.training && this.dropout > 0)) return this._runtime._run(job, given.signal);
        if (given.signal) throw typeError('signal', 'absent while dropout is applied', given.signal);
        return new TrainingCall(this, job).run();
    }

    /**
     * Appends the block to a program: `x` is transformed in place.
     * @param {import('../engine/program.js').Program} program
     * @param {BlockCall} call
     */
    _record(program, call) {
        call.out = call.x;
        this._recordSelf(program, call);
        if (call.cross) {
            this._recordCross(program, call);
        }
        this._recordFeedForward(program, call);
    }

    /** @param {import('../engine/program.js').Program} program @param {BlockCall} call */
    _recordSelf(program, call) {
        const { self, selfNorm } = this._parts;
        const { self: io } = call;
        io.key = this.normalizeFirst ? call.normed : call.x;
        io.keyStride = this.hiddenDim;
        io.value = io.key;
        io.valueStride = this.hiddenDim;
        this._recordAttention(program, call, self, selfNorm, io);
    }

    /** @param {import('../engine/program.js').Program} program @param {BlockCall} call */
    _recordCross(program, call) {
        const { cross, crossNorm } = this._parts;
        if (cross && crossNorm && call.cross) {
            this._recordAttention(program, call, cross, crossNorm, call.cross);
        }
    }

    /**
     * @param {import('../engine/program.js').Program} program
     * @param {BlockCall} call
     * @param {CachedMultiHeadAttention} layer
     * @param {NormWeights} norm
     * @param {import('../blocks/attention.js').AttentionCall} io what differs from call to call is set already
     */
    _recordAttention(program, call, layer, norm, io) {
        const width = this.hiddenDim;
        if (this.normalizeFirst) {
            norm.record(program, call.rows, call.x, width, call.normed);
        }
        io.query = this.normalizeFirst ? call.normed : call.x;
        io.queryStride = width;
        io.residual = call.out === call.x ? call.x : 0;
        io.residualStride = width;
        io.out = call.out;
        io.outStride = width;
        layer._record(program, io);
        if (!this.normalizeFirst && call.out === call.x) {
            norm.record(program, call.rows, call.x, width, call.x);
        }
    }

    /**
     * @param {import('../engine/program.js').Program} program
     * @param {BlockCall} call
     */
    _recordFeedForward(program, call) {
        const { intermediate, output, norm } = this._parts;
        const width = this.hiddenDim;
        const inner = this.intermediateDim;
        if (this.normalizeFirst) {
            norm.record(program, call.rows, call.x, width, call.normed);
        }
        const input = this.normalizeFirst ? call.normed : call.x;
        const up = intermediate.record(program, call.rows, input, width, call.inner, inner, 0);
        program.words[up + LINEAR.activation] = ACTIVATIONS[this.activation ?? 'linear'];
        const down = output.record(program, call.rows, call.inner, inner, call.out, width, 0);
        program.words[down + LINEAR.residual] = call.out === call.x ? call.x : 0;
        program.words[down + LINEAR.residualStride] = width;
        if (!this.normalizeFirst && call.out === call.x) {
            norm.record(program, call.rows, call.x, width, call.x);
        }
    }

    _check() {
        this._runtime._check('TransformerDecoder');
        if (!this.built) {
            throw new Error('TransformerDecoder is not built, or has been disposed');
        }
    }

    /** Frees its weights. */
    dispose() {
        this._owned.forEach((part) => part.dispose());
        this._owned = [];
        this.hiddenDim = 0;
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}

/** @param {NormWeights} norm @returns {Float32Array[]} copies of gamma and beta */
const normWeights = (norm) => [norm.readWeight(), norm.readBias()];

/**
 * @param {readonly TensorLike[]} weights
 * @param {readonly (readonly number[])[]} shapes
 * @returns {TensorLike[]} to be used from here on
 * @throws {TypeError | RangeError} when there is not one for each shape
 */
export function checkWeights(weights, shapes) {
    if (!Array.isArray(weights)) {
        throw typeError('weights', 'a list of tensor-likes', weights);
    }
    if (weights.length !== shapes.length) {
        throw rangeError('weights', `a list of ${shapes.length}`, weights);
    }
    return shapes.map((expected, i) => {
        const given = asTensorLike(weights[i], `weights[${i}]`);
        if (!sameShape(given.shape, expected)) {
            throw rangeError(`weights[${i}]`, `of shape ${formatShape(expected)}`, given);
        }
        return given;
    });
}

const ARGUMENTS = Object.freeze([
    'intermediateDim', 'numHeads', 'dropout', 'activation', 'layerNormEpsilon', 'kernelInitializer', 'biasInitializer',
    'normalizeFirst',
]);

const OPTIONS = Object.freeze([
    'decoderPaddingMask', 'decoderAttentionMask', 'encoderPaddingMask', 'encoderAttentionMask', 'selfAttentionCache',
    'selfAttentionCacheUpdateIndex', 'crossAttentionCache', 'crossAttentionCacheUpdateIndex', 'useCausalMask',
    'training', 'signal',
]);

/**
 * @param {unknown} options
 * @returns {DecoderOptions} a plain copy: each was read once
 */
function readOptions(options) {
    plainObject('options', options);
    const copy = { .../** @type {Record<string, any>} */ (options) };
    for (const name of Object.keys(copy)) {
        if (!OPTIONS.includes(name)) {
            throw unknownOption('a call', name, OPTIONS);
        }
    }
    checkFlag('training', copy.training);
    checkFlag('useCausalMask', copy.useCausalMask);
    checkSignal(copy.signal);
    return copy;
}

/**
 * What a block needs to know of a call, by address. Filled in again and again.
 * @typedef {object} BlockCall
 * @property {number} rows B * T
 * @property {number} x address of [rows][F], the input
 * @property {number} out address of [rows][F]. The same as x: the residual is added and, after the block, normalized;
 *   another one: neither, it gets what the sublayer alone gives
 * @property {number} normed address of [rows][F] for its own use
 * @property {number} inner address of [rows][intermediateDim] for its own use
 * @property {import('../blocks/attention.js').AttentionCall} self
 * @property {import('../blocks/attention.js').AttentionCall | null} cross
 *
 * @typedef {object} DecoderParts
 * @property {CachedMultiHeadAttention} self
 * @property {NormWeights} selfNorm
 * @property {CachedMultiHeadAttention | null} cross
 * @property {NormWeights | null} crossNorm
 * @property {Projection} intermediate
 * @property {Projection} output
 * @property {NormWeights} norm of the feed-forward network
 */
