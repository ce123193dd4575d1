// GPT2CausalLM: GPT-2 as Keras Hub builds it, out of TransformerDecoders.

import { finiteNumber, positiveInteger, rangeError, show } from '../check.js';
import { numbers } from './attention/inputs.js';
import { Projection } from '../blocks/projection.js';
import { EMBED } from '../engine/interface.js';
import { checkedSize } from '../engine/size.js';
import { asTensorLike, dtypeOf, sameShape } from '../engine/tensor.js';
import { createSearch } from '../generation/create-search.js';
import { TransformerDecoder, checkWeights } from './decoder.js';
import { LayerNorm } from '../blocks/layer-norm.js';
import { Session } from '../generation/session.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../blocks/cache.js').KVCache} KVCache */

/**
 * @typedef {object} GPT2Config the arguments of Keras Hub's GPT2Backbone
 * @property {number} vocabularySize V
 * @property {number} numLayers
 * @property {number} numHeads H
 * @property {number} hiddenDim F
 * @property {number} intermediateDim
 * @property {number} [dropout] 0.1; as in Keras it selects the explicit attention path, and does nothing else here
 * @property {number} [maxSequenceLength] positions, 1024
 * @property {number} [layerNormEpsilon] 1e-5
 * @property {'gelu_approximate' | 'gelu' | 'relu' | 'linear'} [activation] of the feed-forward networks
 * @property {boolean} [tieWeights] logits by the token embedding (true) or a matrix of their own
 * @property {unknown} [kernelInitializer] of everything, 'glorot_uniform': for weights that are set before use
 */

/**
 * GPT-2 as Keras Hub builds it: token embedding and learned positions, pre-norm decoders with tanh-GELU, a final
 * layer norm and logits by the transposed embedding (Radford et al. 2019). Every attention in it is a
 * CachedMultiHeadAttention, and one step of all of it is one program. Source:
 * https://keras.io/keras_hub/api/models/gpt2/
 */
export class GPT2CausalLM {
    /** @param {Runtime} runtime @param {GPT2Config} config */
    constructor(runtime, config) {
        const {
            vocabularySize, numLayers, numHeads, hiddenDim, intermediateDim, dropout = 0.1, maxSequenceLength = 1024,
            layerNormEpsilon = 1e-5, activation = 'gelu_approximate', tieWeights = true,
            kernelInitializer = 'glorot_uniform', ...others
        } = config;
        for (const name of Object.keys(others)) {
            throw new TypeError(`options of GPT2CausalLM must be those of Keras's GPT2Backbone, got ${show(name)}`);
        }
        runtime._check('GPT2CausalLM');
        this._runtime = runtime;
        this.vocabularySize = positiveInteger('vocabularySize', vocabularySize);
        this.numLayers = positiveInteger('numLayers', numLayers);
        this.numHeads = positiveInteger('numHeads', numHeads);
        this.hiddenDim = positiveInteger('hiddenDim', hiddenDim);
        this.intermediateDim = positiveInteger('intermediateDim', intermediateDim);
        this.maxSequenceLength = positiveInteger('maxSequenceLength', maxSequenceLength);
        this.dropout = finiteNumber('dropout', dropout);
        if (hiddenDim < numHeads) {
            throw rangeError('hiddenDim', `numHeads (${numHeads}) at least`, hiddenDim);
        }
        /** @type {{ dispose(): void }[]} */
        this._owned = [];
        /** Address of the positions, [maxSequenceLength][F]; 0 once disposed. */
        this._positions = 0;
        /** What call() reuses: blocks look at addresses only. */
        this._blockCall = { rows: 0, x: 0, out: 0, normed: 0, inner: 0, self: /** @type {any} */ (null), cross: null };
        try {
            const positions = checkedSize('positions', maxSequenceLength, hiddenDim);
            this._positions = runtime.memory.alloc(4 * positions);
            runtime.memory.f32(this._positions, positions).fill(0);
            /** [F][V]: the token embedding, packed as the matrix that gives logits. */
            this._embedding = this._own(new Projection(runtime, hiddenDim, vocabularySize, false));
            this._head = tieWeights ? this._embedding
                : this._own(new Projection(runtime, hiddenDim, vocabularySize, false));
            /** @type {TransformerDecoder[]} */
            this._decoders = [];
            for (let i = 0; i < numLayers; i++) {
                this._decoders.push(this._own(new TransformerDecoder(runtime, {
                    intermediateDim, numHeads, dropout, activation, layerNormEpsilon, kernelInitializer,
                    normalizeFirst: true,
                })));
                this._decoders[i].build([null, null, hiddenDim]);
            }
            this._norm = this._own(new LayerNorm(runtime, hiddenDim, layerNormEpsilon));
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /** @template {{ dispose(): void }} T @param {T} part @returns {T} */
    _own(part) {
        this._owned.push(part);
        return part;
    }

    /** D: the width of a head. */
    get headDim() {
        return Math.floor(this.hiddenDim / this.numHeads);
    }

    /** Number of weights. */
    get parameters() {
        return this._weightShapes().reduce((sum, shape) => sum + shape.reduce((product, n) => product * n, 1), 0);
    }

    /** Bytes of them, in float32. */
    get weightBytes() {
        return 4 * this.parameters;
    }

    /** Bytes of key/value cache that one position takes in all layers. */
    get cacheBytesPerToken() {
        return 2 * this.numLayers * this.numHeads * this.headDim * 4;
    }

    /** Shapes of the weights in Keras's order. @returns {readonly (readonly number[])[]} */
    _weightShapes() {
        const f = this.hiddenDim;
        return [
            [this.vocabularySize, f], [this.maxSequenceLength, f],
            ...this._decoders.flatMap((decoder) => decoder._weightShapes()), [f], [f],
            ...(this._head === this._embedding ? [] : [[this.vocabularySize, f]]),
        ];
    }

    /**
     * @param {readonly TensorLike[]} weights in Keras's order: token embedding [V, F], position embedding [P, F], the
     *   decoders' weights, gamma and beta of the final norm; without tied weights then the output matrix [V, F]
     * @throws {TypeError | RangeError} for a wrong number or shape; nothing is changed then
     */
    setWeights(weights) {
        this._check();
        this._runtime._assertIdle('setWeights');
        const given = checkWeights(weights, this._weightShapes());
        const data = given.map((weight) => numbers(this._runtime, weight));
        this._loadEmbedding(this._embedding, data[0], 0);
        this._loadPositions(data[1]);
        const each = this._decoders[0]._weightShapes().length;
        this._decoders.forEach((decoder, i) => decoder.setWeights(given.slice(2 + i * each, 2 + (i + 1) * each)));
        const after = 2 + this.numLayers * each;
        this._norm.load(data[after], data[after + 1]);
        if (this._head !== this._embedding) {
            this._loadEmbedding(this._head, data[after + 2], 0);
        }
    }

    /**
     * @param {Projection} target the embedding or the head
     * @param {ArrayLike<number>} rows [n][F], of tokens first, first + 1, ...
     * @param {number} first a multiple of 8
     */
    _loadEmbedding(target, rows, first) {
        target.loadColumns(rows, first, rows.length / this.hiddenDim, 1, this.hiddenDim);
    }

    /** @param {ArrayLike<number>} rows [maxSequenceLength][F] */
    _loadPositions(rows) {
        this._runtime.memory.f32(this._positions, rows.length).set(rows);
    }

    /**
     * The plain model, without a cache.
     * @param {TensorLike} tokenIds [B, T], Int32Array
     * @param {{ paddingMask?: TensorLike }} [options] [B, T]: 0 leaves a position out for all queries
     * @returns {Promise<{ logits: import('../engine/tensor.js').Tensor, hidden: import('../engine/tensor.js').Tensor }>} [B, T, V]
     *   and [B, T, F] after the final norm
     */
    async call(tokenIds, { paddingMask } = {}) {
        const ids = asTensorLike(tokenIds, 'tokenIds');
        const [batch, t] = this._checkTokens(ids, 0);
        let mask = null;
        if (paddingMask !== undefined) {
            const given = asTensorLike(paddingMask, 'paddingMask');
            if (!sameShape(given.shape, [batch, t])) {
                throw rangeError('paddingMask', `of shape [${batch}, ${t}]`, given);
            }
            mask = Uint8Array.from(numbers(this._runtime, given), (keep) => Number(keep !== 0));
        }
        return Session.callOnce(this, ids, null, 0, mask);
    }

    /**
     * @param {TensorLike} tokenIds [B, T], Int32Array
     * @param {readonly KVCache[]} caches one per layer, [B, 2, S, H, D]; updated
     * @param {number} cacheUpdateIndex position of the first token
     * @returns {Promise<{ logits: import('../engine/tensor.js').Tensor, hidden: import('../engine/tensor.js').Tensor }>}
     */
    async callWithCache(tokenIds, caches, cacheUpdateIndex) {
        const ids = asTensorLike(tokenIds, 'tokenIds');
        const [batch, t] = this._checkTokens(ids, cacheUpdateIndex);
        if (caches.length !== this.numLayers) {
            throw rangeError('caches', `a list of ${this.numLayers}`, caches);
        }
        for (const { shape } of caches) {
            if (shape[0] !== batch || shape[3] !== this.numHeads || shape[4] !== this.headDim ||
                cacheUpdateIndex + t > shape[2]) {
                throw rangeError('caches', `of shape [${batch}, 2, S, ${this.numHeads}, ${this.headDim}] with ` +
                    `S of ${cacheUpdateIndex + t} at least`, caches[0]);
            }
        }
        return Session.callOnce(this, ids, caches, cacheUpdateIndex, null);
    }

    /** @param {TensorLike} tokenIds @param {number} index @returns {readonly number[]} its shape */
    _checkTokens(tokenIds, index) {
        this._check();
        const { shape } = asTensorLike(tokenIds, 'tokenIds');
        if (shape.length !== 2 || dtypeOf(tokenIds) !== 'int32') {
            throw rangeError('tokenIds', '[B, T] in an Int32Array', tokenIds);
        }
        if (!Number.isInteger(index) || index < 0 || index + shape[1] > this.maxSequenceLength) {
            throw rangeError('tokenIds', `at positions below maxSequenceLength (${this.maxSequenceLength})`, tokenIds);
        }
        for (const id of Array.from(numbers(this._runtime, tokenIds))) {
            this._checkToken(id);
        }
        return shape;
    }

    /** @param {number} id */
    _checkToken(id) {
        if (!(Number.isInteger(id) && id >= 0 && id < this.vocabularySize)) {
            throw rangeError('token', `an id from 0 to ${this.vocabularySize - 1}`, id);
        }
    }

    /**
     * Continues a batch of prompts, as Keras Hub's `generate` does with tokens: starts at the end of the shortest,
     * keeps what is longer by its mask, and goes on to the last position or until every row has a stop token.
     * @param {{ tokens: Int32Array, mask: Uint8Array, batch: number }} prompt [B, L]: right-padded, mask 1 where given
     * @param {{ sampler: import('../generation/samplers.js').Sampler, stopTokens?: number[] }} options
     * @returns {Promise<Int32Array>} [B, L]
     */
    async generateTokens({ tokens, mask, batch }, { sampler, stopTokens = [] }) {
        this._check();
        const length = tokens.length / batch;
        let index = length;
        for (let row = 0; row < batch; row++) {
            const given = mask.subarray(row * length, (row + 1) * length).indexOf(0);
            index = Math.min(index, given < 0 ? length : given);
        }
        if (index < 1 || length > this.maxSequenceLength) {
            throw rangeError('prompt', `of 1 to ${this.maxSequenceLength} tokens`, tokens);
        }
        tokens.forEach((id) => this._checkToken(id));
        const session = new Session(this, batch, length);
        try {
            const size = batch * length * this.hiddenDim;
            const hidden = sampler.kind === 'contrastive' ? new Float32Array(size) : undefined;
            await session.prefill(tokens, length, index, { hidden });
            const search = createSearch(sampler, session, {
                tokens, mask, index, logits: session.logits(), hidden, stopTokens,
            });
            while (!search.done && !(await search.pick())) {
                await search.feed();
            }
            return search.tokens;
        } finally {
            session.dispose();
        }
    }

    /**
     * Appends a whole pass over some tokens to a program: embedding, decoders, final norm, logits.
     * @param {import('../engine/program.js').Program} program
     * @param {Pass} pass
     */
    _record(program, pass) {
        const width = this.hiddenDim;
        const rows = pass.batch * pass.t;
        const block = this._blockCall;
        block.rows = rows;
        block.x = program.scratch(rows * width * 4);
        block.normed = program.scratch(rows * width * 4);
        block.inner = program.scratch(rows * this.intermediateDim * 4);
        this._recordEmbedding(program, pass, block.x);
        for (let i = 0; i < this.numLayers; i++) {
            block.self = pass.calls[i];
            this._decoders[i]._record(program, block);
        }
        if (pass.hidden === 0) {
            return;
        }
        if (pass.all) {
            this._norm.record(program, rows, block.x, width, pass.hidden);
        } else {
            this._norm.record(program, pass.batch, block.x + (pass.t - 1) * width * 4, pass.t * width, pass.hidden);
        }
        if (pass.logits !== 0) {
            const every = pass.all && !pass.lastLogits;
            const first = pass.all && !every ? pass.hidden + (pass.t - 1) * width * 4 : pass.hidden;
            const stride = pass.all && !every ? pass.t * width : width;
            this._head.record(program, every ? rows : pass.batch, first, stride, pass.logits, this.vocabularySize, 0);
        }
    }

    /** @param {import('../engine/program.js').Program} program @param {Pass} pass @param {number} y */
    _recordEmbedding(program, pass, y) {
        const op = program.embed();
        const words = program.words;
        words[op + EMBED.tokens] = pass.tokens;
        words[op + EMBED.rows] = pass.batch * pass.t;
        words[op + EMBED.t] = pass.t;
        words[op + EMBED.index] = pass.index;
        words[op + EMBED.w] = this._embedding._panels;
        words[op + EMBED.k] = this.hiddenDim;
        words[op + EMBED.n] = this.vocabularySize;
        words[op + EMBED.positions] = this._positions;
        words[op + EMBED.y] = y;
    }

    _check() {
        this._runtime._check('GPT2CausalLM');
        if (this._positions === 0) {
            throw new Error('GPT2CausalLM has been disposed');
        }
    }

    /** Frees the weights. */
    dispose() {
        this._owned.forEach((part) => part.dispose());
        this._owned = [];
        this._runtime._free(this._positions);
        this._positions = 0;
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}

/**
 * One pass, by address.
 * @typedef {object} Pass
 * @property {number} tokens address of [B][t] ids
 * @property {number} batch
 * @property {number} t
 * @property {number} index position of each row's first token
 * @property {import('../blocks/attention.js').AttentionCall[]} calls one per layer
 * @property {boolean} all hidden states of every token, or of the last of each row
 * @property {boolean} lastLogits logits of the last token of each row even if `all`
 * @property {number} hidden address of [B * t][F] or [B][F]; 0: neither these nor logits are wanted
 * @property {number} logits address of [B * t][V] or [B][V]; 0: not wanted
 */
