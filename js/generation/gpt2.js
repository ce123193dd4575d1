// GPT2CausalLM: a GPT-2 with Keras Hub's interface, on the same network that loaded models run on.

import { KVCache } from '../blocks/cache.js';
import { booleanOrBit, checkOptionNames, classOf, checkRuntime, finiteNumber, positiveInteger, rangeError, typeError } from '../check.js';
import { WEIGHT } from '../engine/weight-types.js';
import { printAs } from '../engine/print.js';
import { asTensorLike, formatShape } from '../engine/tensor.js';
import { numbers } from '../layers/attention/inputs.js';
import { checkWeights, ensureRoom } from '../layers/check-weights.js';
import { makeRows } from '../model/cache-row.js';
import { firstAttention, freeze } from '../model/description.js';
import { MOST_LAYERS } from '../model/families/common.js';
import { Network } from '../model/network.js';
import { checkIds } from '../model/reader.js';
import { createSearch } from './create-search.js';
import { CallJob } from './gpt2-call.js';
import { Sampler, SpeculativeSampler } from './samplers.js';
import { ModelSteps } from './steps.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../model/description.js').ModelDescription} ModelDescription */

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
 */

/** @type {Record<string, import('../model/description.js').Activation>} */
const ACTIVATIONS = { gelu_approximate: 'gelu_tanh', gelu: 'gelu_erf', relu: 'relu', linear: 'linear' };

const ARGUMENTS = [
    'vocabularySize', 'numLayers', 'numHeads', 'hiddenDim', 'intermediateDim', 'dropout', 'maxSequenceLength', 'layerNormEpsilon',
    'activation', 'tieWeights',
];

/** Roles of a decoder's weights, in Keras's order. */
const DECODER = /** @type {const} */ ([
    'attn_q.weight', 'attn_q.bias', 'attn_k.weight', 'attn_k.bias', 'attn_v.weight', 'attn_v.bias', 'attn_output.weight',
    'attn_output.bias', 'attn_norm.weight', 'attn_norm.bias', 'ffn_up.weight', 'ffn_up.bias', 'ffn_down.weight', 'ffn_down.bias',
    'ffn_norm.weight', 'ffn_norm.bias',
]);

/**
 * GPT-2 as Keras Hub builds it: token embedding and learned positions, pre-norm decoders with tanh-GELU, a final layer norm and
 * logits by the transposed embedding (Radford et al. 2019). Its weights start as zeros. Source:
 * https://keras.io/keras_hub/api/models/gpt2/
 */
export class GPT2CausalLM {
    #network;
    #runtime;

    /**
     * @param {Runtime} runtime
     * @param {GPT2Config} config
     * @throws {TypeError | RangeError} for wrong arguments, and when the memory is exhausted
     */
    constructor(runtime, config) {
        checkRuntime(runtime, 'GPT2CausalLM');
        this.#runtime = runtime;
        this.#network = new Network(runtime, freeze(describe(config)), () => 'F32');
    }

    get vocabularySize() {
        return this.#network.description.vocabulary;
    }

    get numLayers() {
        return this.#network.description.layers.length;
    }

    get numHeads() {
        return firstAttention(this.#network.description).heads;
    }

    get hiddenDim() {
        return this.#network.description.width;
    }

    get maxSequenceLength() {
        return this.#network.description.context;
    }

    /** D: the width of a head. */
    get headDim() {
        return firstAttention(this.#network.description).keyDim;
    }

    /** Number of weights. */
    get parameters() {
        return this.#network.parameters;
    }

    /**
     * @param {readonly TensorLike[]} weights in Keras's order: token embedding [V, F], position embedding [P, F], the
     *   decoders' weights, gamma and beta of the final norm; if weights are not tied, the output matrix [V, F]
     * @throws {TypeError | RangeError} for a wrong number or shape; nothing is changed then
     */
    setWeights(weights) {
        this._check();
        const places = this._places();
        const held = checkWeights(this.#runtime, weights, places);
        this._check();
        ensureRoom(this.#runtime, places);
        places.forEach(({ role, shape, kernel }, i) => {
            const values = Float32Array.from(numbers(this.#runtime, held[i]));
            const slot = this.#network.slots.get(role);
            if (slot && 'floats' in slot) {
                slot.floats(values, 0);
                return;
            }
            const bytes = new Uint8Array(values.buffer);
            const { matrix } = /** @type {{ matrix: import('../blocks/weight.js').PackedWeight }} */ (slot);
            if (kernel) {
                matrix.load(bytes, WEIGHT.F32, 0, matrix.inputs, { orientation: 'columns' });
            } else {
                matrix.load(bytes, WEIGHT.F32, 0, shape[0]);
            }
        });
    }

    /** @returns {{ role: string, shape: number[], kernel: boolean }[]} where the weights of Keras's order go */
    _places() {
        const { description } = this.#network;
        const { width: f, vocabulary: v, context, layers, head } = description;
        const { heads: h, keyDim: d } = firstAttention(description);
        const inner = layers[0].feedForward.width;
        const attention = [[f, h, d], [h, d], [f, h, d], [h, d], [f, h, d], [h, d], [h, d, f], [f]];
        const shapes = [...attention, [f], [f], [f, inner], [inner], [inner, f], [f], [f], [f]];
        const plain = (/** @type {string} */ role, /** @type {number[]} */ shape) => ({ role, shape, kernel: false });
        return [
            plain('token_embd.weight', [v, f]), plain('position_embd.weight', [context, f]),
            ...layers.flatMap((_, i) => DECODER.map((role, j) =>
                ({ role: `blk.${i}.${role}`, shape: shapes[j], kernel: role.endsWith('.weight') && !role.includes('norm') }))),
            plain('output_norm.weight', [f]), plain('output_norm.bias', [f]),
            ...(head.tied ? [] : [plain('output.weight', [v, f])]),
        ];
    }

    /**
     * The plain model, without a cache.
     * @param {TensorLike} tokenIds [B, T], Int32Array
     * @param {{ paddingMask?: TensorLike }} [options] [B, T]: 0 leaves a position out for all queries
     * @returns {Promise<{ logits: Tensor, hidden: Tensor }>} [B, T, V] and [B, T, F] after the final norm
     */
    async call(tokenIds, options = {}) {
        checkOptionNames('call', options, ['paddingMask']);
        const { paddingMask } = options;
        const given = this._checkTokens(tokenIds, 0);
        const [batch, t] = given.shape;
        let mask = null;
        if (paddingMask !== undefined) {
            const padding = asTensorLike(paddingMask, 'paddingMask');
            if (formatShape(padding.shape) !== formatShape([batch, t])) {
                throw rangeError('paddingMask', `of shape [${batch}, ${t}]`, paddingMask);
            }
            mask = Uint8Array.from(numbers(this.#runtime, padding), (keep) => Number(keep !== 0));
        }
        return this.#runtime._run(new CallJob(this.#network, given, null, 0, mask));
    }

    /**
     * @param {TensorLike} tokenIds [B, T], Int32Array
     * @param {readonly KVCache[]} caches one per layer, [B, 2, S, H, D]; updated
     * @param {number} cacheUpdateIndex position of the first token
     * @returns {Promise<{ logits: Tensor, hidden: Tensor }>}
     */
    async callWithCache(tokenIds, caches, cacheUpdateIndex) {
        const given = this._checkTokens(tokenIds, cacheUpdateIndex);
        const [batch, t] = given.shape;
        const list = this._checkCaches(caches, batch, cacheUpdateIndex + t);
        return this.#runtime._run(new CallJob(this.#network, given, list, cacheUpdateIndex, null));
    }

    /**
     * @param {readonly KVCache[]} caches
     * @param {number} batch
     * @param {number} positions that each has at least
     * @returns {KVCache[]} a copy
     */
    _checkCaches(caches, batch, positions) {
        if (!Array.isArray(caches) || caches.length !== this.numLayers) {
            throw rangeError('caches', `a list of ${this.numLayers}`, caches);
        }
        const list = Array.from(caches);
        list.forEach((cache, i) => {
            if (!(cache instanceof KVCache)) throw typeError(`caches[${i}]`, 'a KVCache', cache);
            cache._check(`caches[${i}]`);
            if (cache._runtime !== this.#runtime) throw typeError(`caches[${i}]`, 'of the model\'s own runtime', cache);
            const { shape } = cache;
            if (shape[0] !== batch || shape[3] !== this.numHeads || shape[4] !== this.headDim || positions > shape[2]) {
                throw rangeError(`caches[${i}]`, `of shape [${batch}, 2, S, ${this.numHeads}, ${this.headDim}] with ` +
                    `S of ${positions} at least`, cache);
            }
        });
        if (new Set(list).size < list.length) throw new TypeError('caches: every layer needs one of its own, got one twice');
        return list;
    }

    /**
     * @param {TensorLike} tokenIds
     * @param {number} index
     * @returns {import('../engine/tensor.js').Held} a copy: rows of a table are looked up by what has been checked
     */
    _checkTokens(tokenIds, index) {
        this._check();
        const given = asTensorLike(tokenIds, 'tokenIds');
        const { shape } = given;
        if (shape.length !== 2 || shape[1] === 0 || given.dtype !== 'int32') {
            throw rangeError('tokenIds', '[B, T] in an Int32Array, T of 1 at least', tokenIds);
        }
        if (!Number.isSafeInteger(index) || index < 0) {
            throw rangeError('cacheUpdateIndex', 'an integer of 0 or more', index);
        }
        if (index + shape[1] > this.maxSequenceLength) {
            throw rangeError('tokenIds', `at positions below maxSequenceLength (${this.maxSequenceLength})`, tokenIds);
        }
        const ids = Int32Array.from(numbers(this.#runtime, given));
        ids.forEach((id) => this._checkToken(id));
        return asTensorLike({ shape, data: ids }, 'tokenIds');
    }

    /** @param {number} id */
    _checkToken(id) {
        if (!(Number.isInteger(id) && id >= 0 && id < this.vocabularySize)) {
            throw rangeError('token', `an id from 0 to ${this.vocabularySize - 1}`, id);
        }
    }

    /**
     * Continues a batch of prompts, as Keras Hub's `generate` does with tokens: it begins at the end of the shortest prompt, keeps the
     * tokens of longer ones by the mask, and goes on to the last position or until every row has a stop token.
     * @param {{ tokens: Int32Array, mask: Uint8Array, batch: number }} prompt [B, L]: right-padded, mask 1 where given
     * @param {{ sampler: Sampler, stopTokens?: number[] }} options
     * @returns {Promise<Int32Array>} [B, L]
     */
    async generateTokens(prompt, options) {
        this._check();
        const { tokens, mask, batch, length } = this._checkPrompt(prompt);
        const { sampler, stopTokens } = this._checkSampling(options);
        let index = length;
        for (let row = 0; row < batch; row++) {
            const given = mask.subarray(row * length, (row + 1) * length).indexOf(0);
            index = Math.min(index, given < 0 ? length : given);
        }
        if (index < 1 || length > this.maxSequenceLength) {
            throw rangeError('prompt', `of 1 to ${this.maxSequenceLength} tokens`, tokens);
        }
        const rows = makeRows(this.#network, batch, () => length, 'float32');
        const steps = new ModelSteps(this.#network, rows, true);
        try {
            const texts = rows.map((_, row) => tokens.subarray(row * length, row * length + index));
            const hidden = sampler.kind === 'contrastive' ? await steps.prefillWithHidden(texts) : undefined;
            if (!hidden) {
                await steps.prefill(texts);
            }
            const search = createSearch(sampler, steps, {
                tokens, mask, index, logits: steps.logits(), hidden, stopTokens,
            });
            while (!search.done && !(await search.pick())) {
                await search.feed();
            }
            return search.tokens;
        } finally {
            steps.dispose();
        }
    }

    /**
     * @param {{ tokens: Int32Array, mask: Uint8Array, batch: number }} prompt
     * @returns {{ tokens: Int32Array, mask: Uint8Array, batch: number, length: number }} copies, as the caller may write to its own
     */
    _checkPrompt(prompt) {
        checkOptionNames('generateTokens: prompt', prompt, ['tokens', 'mask', 'batch']);
        const { tokens: given, mask: givenMask, batch } = prompt;
        if (!(given instanceof Int32Array)) throw typeError('prompt.tokens', 'an Int32Array', given);
        if (classOf(givenMask) !== 'Uint8Array') throw typeError('prompt.mask', 'a Uint8Array', givenMask);
        const [tokens, mask] = [Int32Array.from(given), Uint8Array.from(givenMask)];
        const length = tokens.length / positiveInteger('prompt.batch', batch);
        if (!Number.isInteger(length)) throw rangeError('prompt.tokens', `of ${batch} rows of the same length`, given);
        if (mask.length !== tokens.length) throw rangeError('prompt.mask', `of ${tokens.length} like the tokens`, givenMask);
        tokens.forEach((id) => this._checkToken(id));
        return { tokens, mask, batch, length };
    }

    /** @param {{ sampler: Sampler, stopTokens?: number[] }} options @returns {{ sampler: Sampler, stopTokens: number[] }} */
    _checkSampling(options) {
        checkOptionNames('generateTokens', options, ['sampler', 'stopTokens']);
        const { sampler, stopTokens = [] } = options;
        if (!(sampler instanceof Sampler)) throw typeError('sampler', 'a Sampler', sampler);
        if (sampler instanceof SpeculativeSampler) {
            throw new TypeError('sampler: a SpeculativeSampler needs a draft, which generate() of a loaded model takes');
        }
        if (!Array.isArray(stopTokens)) throw typeError('stopTokens', 'a list of token ids', stopTokens);
        return { sampler, stopTokens: Array.from(checkIds('stopTokens', stopTokens, this.vocabularySize)) };
    }

    /** @throws {Error} after dispose() */
    _check() {
        this.#network.check('GPT2CausalLM');
    }

    /** Frees the weights. */
    dispose() {
        this.#network.dispose();
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}

/** @param {GPT2Config} config @returns {ModelDescription} */
function describe(config) {
    checkOptionNames('GPT2CausalLM', config, ARGUMENTS);
    const {
        vocabularySize, numLayers, numHeads, hiddenDim, intermediateDim, dropout = 0.1, maxSequenceLength = 1024,
        layerNormEpsilon = 1e-5, activation = 'gelu_approximate', tieWeights = true,
    } = config;
    const width = positiveInteger('hiddenDim', hiddenDim);
    const heads = positiveInteger('numHeads', numHeads);
    if (width < heads) {
        throw rangeError('hiddenDim', `numHeads (${heads}) at least`, hiddenDim);
    }
    if (typeof activation !== 'string' || !Object.hasOwn(ACTIVATIONS, activation)) {
        throw rangeError('activation', `one of ${Object.keys(ACTIVATIONS).join(', ')}`, activation);
    }
    const keyDim = Math.floor(width / heads);
    const context = positiveInteger('maxSequenceLength', maxSequenceLength);
    const count = positiveInteger('numLayers', numLayers);
    if (count > MOST_LAYERS) throw rangeError('numLayers', `at most ${MOST_LAYERS}`, count);
    /** @type {import('../model/description.js').Norm} */
    const norm = { kind: 'layer', epsilon: finiteNumber('layerNormEpsilon', layerNormEpsilon), bias: true };
    /** @type {import('../model/description.js').Block} */
    const layer = {
        attention: {
            before: norm, heads, kvHeads: heads, keyDim, valueDim: keyDim, bias: { q: true, k: true, v: true, o: true },
            scale: 1 / Math.sqrt(keyDim), softcap: null, window: null, headNorm: null, rope: null,
            explicit: finiteNumber('dropout', dropout) > 0,
        },
        feedForward: {
            before: norm, width: positiveInteger('intermediateDim', intermediateDim), activation: ACTIVATIONS[activation],
            gated: false, bias: true,
        },
        parallel: false, sharedNorm: false, residualScale: 1,
    };
    return {
        family: 'gpt2', width, vocabulary: positiveInteger('vocabularySize', vocabularySize), context,
        embedding: { scale: 1, positions: context, skipped: 0 }, layers: Array(count).fill(layer),
        finalNorm: norm, head: { tied: booleanOrBit('tieWeights', tieWeights), bias: false, scale: 1, softcap: null },
    };
}

printAs(GPT2CausalLM, 'GPT2CausalLM', ({ vocabularySize, numLayers, numHeads, hiddenDim, maxSequenceLength }) =>
    ({ vocabularySize, numLayers, numHeads, hiddenDim, maxSequenceLength }));
