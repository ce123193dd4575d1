// TransformerDecoder: Keras Hub's layer (keras.io/keras_hub/api/modeling_layers/transformer_decoder).

import { CachedMultiHeadAttention } from './attention/cached-multi-head-attention.js';
import { checkRuntime, rangeError, typeError } from '../check.js';
import { resolveInitializer } from '../keras/objects.js';
import { Random, randomSeed } from '../random.js';
import { numbers } from './attention/inputs.js';
import { Projection } from '../blocks/projection.js';
import { LINEAR } from '../engine/interface.js';
import { printAs } from '../engine/print.js';
import { asTensorLike } from '../engine/tensor.js';
import { checkWeights, ensureRoom } from './check-weights.js';
import { DecoderJob } from './decoder-job.js';
import { ACTIVATIONS, readConfig, readOptions } from './decoder-options.js';
import { TrainingCall } from './decoder-training.js';
import { NormWeights } from '../blocks/norm.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('./decoder-options.js').DecoderConfig} DecoderConfig */
/** @typedef {import('./decoder-options.js').DecoderOptions} DecoderOptions */
/** @typedef {import('./decoder-options.js').DecoderResult} DecoderResult */

/**
 * A decoder block in Keras Hub's terms: causal self-attention, with an encoder sequence also cross-attention, and a
 * feed-forward network, each with a residual connection and a layer norm. Every attention is a CachedMultiHeadAttention
 * with head size floor(F / numHeads). Source: https://keras.io/keras_hub/api/modeling_layers/transformer_decoder/
 */
export class TransformerDecoder {
    /** @param {Runtime} runtime @param {DecoderConfig} config */
    constructor(runtime, config) {
        checkRuntime(runtime, 'TransformerDecoder');
        const {
            intermediateDim, numHeads, dropout, activation, layerNormEpsilon, kernelInitializer, biasInitializer, normalizeFirst,
        } = readConfig(config);
        this.intermediateDim = intermediateDim;
        this.numHeads = numHeads;
        this.dropout = dropout;
        this.activation = activation;
        this.layerNormEpsilon = layerNormEpsilon;
        this.normalizeFirst = normalizeFirst;
        this._runtime = runtime;
        this._kernelInitializer = resolveInitializer('kernelInitializer', kernelInitializer);
        this._biasInitializer = resolveInitializer('biasInitializer', biasInitializer);
        this._initializers = { kernelInitializer, biasInitializer };
        /** Decides what dropout drops. */
        this._random = new Random(randomSeed());
        /** F, known once it is built. */
        this.hiddenDim = 0;
        this._disposed = false;
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
        return this.built && this._parts.cross !== null;
    }

    /**
     * Makes the weights.
     * @param {readonly (number | null)[]} decoderShape [B, T, F]; B and T may be null
     * @param {readonly (number | null)[] | null} [encoderShape] [B, S, F]: with cross-attention
     */
    build(decoderShape, encoderShape = null) {
        this._checkAlive();
        if (this.built) {
            throw new Error('build must come once, and before any call: the TransformerDecoder is built');
        }
        const width = Array.isArray(decoderShape) && decoderShape.length === 3 ? decoderShape[2] : null;
        if (width === null || !Number.isInteger(width) || width < this.numHeads) {
            throw rangeError('decoderShape', `[B, T, F] with F of numHeads (${this.numHeads}) at least`, decoderShape);
        }
        if (encoderShape !== null && !(Array.isArray(encoderShape) && encoderShape.length === 3 && encoderShape[2] > 0)) {
            throw rangeError('encoderShape', '[B, S, F] with F known, or null', encoderShape);
        }
        try {
            this._parts = this._makeParts(width, decoderShape, encoderShape);
        } catch (error) {
            this._unbuild();
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
        const kernels = (/** @type {CachedMultiHeadAttention | null} */ layer) => (layer ? layer.weights.map(({ data }) => data) : []);
        const data = [
            ...kernels(self), ...normWeights(selfNorm), ...kernels(cross), ...normWeights(crossNorm),
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
        const expected = this._weightShapes().map((shape) => ({ shape }));
        const given = checkWeights(this._runtime, weights, expected);
        this._check();
        ensureRoom(this._runtime, expected);
        const { self, selfNorm, cross, crossNorm, intermediate, output, norm } = this._parts;
        let at = 0;
        const next = () => numbers(this._runtime, given[at++]);
        /** @param {NormWeights | null} layerNorm */
        const setNorm = (layerNorm) => {
            layerNorm?.loadWeight(next());
            layerNorm?.loadBias(next());
        };
        self.setWeights(given.slice(0, at = 8));
        setNorm(selfNorm);
        cross?.setWeights(given.slice(at, at += 8));
        setNorm(crossNorm);
        for (const dense of [intermediate, output]) {
            dense.loadKernel(next());
            dense.loadBias(next());
        }
        setNorm(norm);
    }

    /** Of the weights, in the order of getWeights(). @returns {readonly (readonly number[])[]} */
    _weightShapes() {
        const { hiddenDim: f, intermediateDim: inner, _parts: { self, cross } } = this;
        const attention = (/** @type {CachedMultiHeadAttention | null} */ layer) =>
            (layer ? [...layer.weights.map(({ shape }) => shape), [f], [f]] : []);
        return [...attention(self), ...attention(cross), [f, inner], [inner], [inner, f], [f], [f], [f]];
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
        const encoder = encoderSequence === null ? null : asTensorLike(encoderSequence, 'encoderSequence');
        const given = readOptions(options);
        const drops = given.training && this.dropout > 0;
        if (drops && given.signal) throw typeError('signal', 'absent while dropout is applied', given.signal);
        const job = this._makeJob(sequence, encoder, given);
        return drops ? new TrainingCall(this, job).run() : this._runtime._run(job, given.signal);
    }

    /**
     * Builds the layer if need be. Arguments that do not fit leave it as it was.
     * @param {Held} sequence
     * @param {Held | null} encoder
     * @param {import('./decoder-options.js').Given} options
     */
    _makeJob(sequence, encoder, options) {
        this._checkAlive();
        const isNew = !this.built;
        if (isNew) this.build(sequence.shape, encoder && encoder.shape);
        try {
            return new DecoderJob(this, sequence, encoder, options);
        } catch (error) {
            if (isNew) this._unbuild();
            throw error;
        }
    }

    /**
     * Appends the block to a program: `x` is transformed in place.
     * @param {import('../engine/program.js').Program} program
     * @param {BlockCall} call
     */
    _record(program, call) {
        this._recordSelf(program, call);
        this._recordCross(program, call);
        this._recordFeedForward(program, call);
    }

    /** @param {import('../engine/program.js').Program} program @param {BlockCall} call */
    _recordSelf(program, call) {
        const { self, selfNorm } = this._parts;
        const { self: io } = call;
        this._recordSublayer(program, call, selfNorm, (input, residual) => {
            io.key = input;
            io.keyStride = this.hiddenDim;
            io.value = input;
            io.valueStride = this.hiddenDim;
            this._recordAttention(program, call, self, io, input, residual);
        });
    }

    /** @param {import('../engine/program.js').Program} program @param {BlockCall} call */
    _recordCross(program, call) {
        const { cross, crossNorm } = this._parts;
        const { cross: io } = call;
        if (cross && crossNorm && io) {
            this._recordSublayer(program, call, crossNorm, (input, residual) => {
                this._recordAttention(program, call, cross, io, input, residual);
            });
        }
    }

    /** @param {import('../engine/program.js').Program} program @param {BlockCall} call */
    _recordFeedForward(program, call) {
        const { intermediate, output, norm } = this._parts;
        const { rows, inner, out } = call;
        const [width, innerWidth] = [this.hiddenDim, this.intermediateDim];
        this._recordSublayer(program, call, norm, (input, residual) => {
            const up = intermediate.record(program, rows, input, width, inner, innerWidth, 0);
            program.words[up + LINEAR.activation] = ACTIVATIONS[this.activation ?? 'linear'];
            const down = output.record(program, rows, inner, innerWidth, out, width, 0);
            program.words[down + LINEAR.residual] = residual;
            program.words[down + LINEAR.residualStride] = width;
        });
    }

    /**
     * x + sublayer(norm(x)), or norm(x + sublayer(x)); where `out` is not x, what the sublayer alone gives.
     * @param {import('../engine/program.js').Program} program
     * @param {BlockCall} call
     * @param {NormWeights} norm
     * @param {(input: number, residual: number) => void} record appends the sublayer: addresses of its input and of what it
     *   adds, 0 for nothing
     */
    _recordSublayer(program, { rows, x, out, normed }, norm, record) {
        const width = this.hiddenDim;
        const input = this.normalizeFirst ? norm.record(program, rows, x, width, normed) : x;
        record(input, out === x ? x : 0);
        if (!this.normalizeFirst && out === x) norm.record(program, rows, x, width, x);
    }

    /**
     * @param {import('../engine/program.js').Program} program
     * @param {BlockCall} call
     * @param {CachedMultiHeadAttention} layer
     * @param {import('../blocks/attention.js').AttentionCall} io what differs from call to call is set already
     * @param {number} query address
     * @param {number} residual address
     */
    _recordAttention(program, call, layer, io, query, residual) {
        io.query = query;
        io.residual = residual;
        io.out = call.out;
        io.queryStride = io.residualStride = io.outStride = this.hiddenDim;
        layer._record(program, io);
    }

    /** @throws {Error} after dispose(), or when the runtime cannot be used */
    _checkAlive() {
        if (this._disposed) throw new Error('TransformerDecoder has been disposed');
        this._runtime._check('TransformerDecoder');
    }

    /** @throws {Error} too before it is built */
    _check() {
        this._checkAlive();
        if (!this.built) throw new Error('TransformerDecoder is not built');
    }

    /** As before `build`; frees the weights. */
    _unbuild() {
        this._owned.forEach((part) => part.dispose());
        this._owned = [];
        this.hiddenDim = 0;
    }

    /** Frees its weights. It cannot be used after that. */
    dispose() {
        this._unbuild();
        this._disposed = true;
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}

/** @param {NormWeights | null} norm @returns {Float32Array[]} copies of gamma and beta */
const normWeights = (norm) => (norm ? [norm.readWeight(), norm.readBias()] : []);

printAs(TransformerDecoder, 'TransformerDecoder', (decoder) => (decoder._disposed ? null : {
    intermediateDim: decoder.intermediateDim, numHeads: decoder.numHeads, built: decoder.built,
}));

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
