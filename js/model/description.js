// ModelDescription: what a model is, as plain data. The families (families/) make descriptions from configs, the network (network.js)
// computes what a description says, and neither knows of the other.

/**
 * @typedef {object} Norm y = (x - mean?) / sqrt(variance or mean square + epsilon) * (weight + offset) + bias
 * @property {'rms' | 'layer'} kind Zhang & Sennrich 2019, Ba et al. 2016
 * @property {number} epsilon
 * @property {number} [offset] added to the stored weight; default: 0
 * @property {boolean} [weight] false: it is 1, and no file has it; default: true
 * @property {boolean} [bias]
 *
 * @typedef {object} Rope rotary positions (Su et al. 2021)
 * @property {number} dims how many of each head's elements are rotated, the first ones; even
 * @property {'halves' | 'pairs'} pairing element i with i + dims / 2, or 2 i with 2 i + 1
 * @property {import('./rope.js').Scaling} scaling
 *
 * @typedef {object} Alibi linear biases (Press et al. 2022): a logit gets its head's slope times the key's position less the query's
 * @property {number} most the least slope is 2 ** -most
 * @property {number} [scale] factor of the slopes
 * @property {boolean} [half] slopes are rounded to bfloat16 before
 *
 * @typedef {object} Attention
 * @property {Norm} [before] norm of its input
 * @property {Norm} [after] norm of its output, before the residual addition
 * @property {Norm} [sum] in place of `before`: norm of what the residual addition gives, which later layers read and add to
 * @property {number} heads number of query heads, a multiple of kvHeads
 * @property {number} kvHeads number of key and value heads
 * @property {number} keyDim
 * @property {number} valueDim
 * @property {{ q: boolean, k: boolean, v: boolean, o: boolean }} bias
 * @property {number} scale of q . k
 * @property {number | null} softcap logits become softcap * tanh(logit / softcap)
 * @property {number | null} window sliding window: a query sees this many positions, its own and those before it; null: all
 * @property {{ norm: Norm, over: 'head' | 'all', own: boolean, turned?: boolean } | null} headNorm of queries and keys before they are
 *   rotated, or, turned, after it; over each head or over all together; own: each head has weights of its own
 * @property {Rope | null} rope
 * @property {boolean} [gated] what comes out of a head is multiplied by the sigmoid of a number of its own, projected from the layer's input
 * @property {Alibi} [alibi] of logits that are scaled and capped
 * @property {boolean} [explicit] whole rows of probabilities instead of a streaming softmax: Keras's path with dropout. The
 *   same numbers up to rounding
 *
 * @typedef {object} Convolution a gated short convolution in the place of attention (LFM2: Liquid AI 2025): of the three parts a, b, c of
 *   a projection, b times the convolution of a * c, projected again. What it convolves stands in the cache, one half of the channels as
 *   keys, the other as values
 * @property {Norm} [before]
 * @property {Norm} [after]
 * @property {number} taps positions that it sees, its own and those before it
 * @property {boolean} bias of both projections and of the convolution
 * @property {number} kvHeads
 * @property {number} keyDim kvHeads * (keyDim + valueDim) is the width
 * @property {number} valueDim
 *
 * @typedef {object} FeedForward
 * @property {Norm} [before]
 * @property {Norm} [after]
 * @property {Norm} [sum]
 * @property {number} width
 * @property {Activation} activation
 * @property {boolean} gated activation(gate(x)) * up(x) instead of activation(up(x))
 * @property {boolean} bias
 *
 * @typedef {'silu' | 'gelu_tanh' | 'gelu_erf' | 'relu' | 'linear' | 'sigmoid' | 'tanh' | 'quick_gelu' | 'relu2' | 'mish'} Activation
 *
 * @typedef {object} Block
 * @property {Attention} [attention] this, or
 * @property {Convolution} [convolution]
 * @property {FeedForward} feedForward
 * @property {boolean} parallel attention and feed-forward network read the same x, and both outputs are added to it
 * @property {boolean} sharedNorm with parallel: the feed-forward network reads what attention.before gives
 * @property {number} residualScale factor of both outputs before they are added
 *
 * @typedef {{ activation: Activation, bias: boolean, norm?: Norm }} Dense norm?(activation(W x + b)), as wide as the embeddings
 *
 * @typedef {object} ModelDescription
 * @property {string} family
 * @property {number} width
 * @property {number} vocabulary
 * @property {number} context length that the model was trained for
 * @property {{ width?: number, scale: number, norm?: Norm, positions: number | null, skipped: number, sinusoidal?: boolean }} embedding
 *   width: that of the embeddings of tokens, and of what the head reads, if it is not the model's: a matrix is between; scale: factor of the
 *   embeddings; norm: of their sum with the positions'; positions: number of position embeddings, null: none; skipped: rows of their
 *   table in front of the first; sinusoidal: they are not learned, and no file has them
 * @property {Block[]} layers equal layers are the same object
 * @property {Norm & { role?: string }} finalNorm role: that of its weights, if they are not the output_norm
 * @property {{ bias: boolean, scale: number, softcap: number | null, tied: boolean | null, dense?: Dense }} head scale: factor of the
 *   logits; tied: whether the head is the embedding, null: the file decides, by having a head or not; dense: what comes before it
 */

/** @type {Record<string, Activation>} as Hugging Face spells them: `gelu` is exact */
export const ACTIVATIONS = {
    silu: 'silu', swish: 'silu', gelu: 'gelu_erf', gelu_new: 'gelu_tanh', gelu_fast: 'gelu_tanh', gelu_pytorch_tanh: 'gelu_tanh',
    gelu_python: 'gelu_erf', gelu_python_tanh: 'gelu_tanh', gelu_accurate: 'gelu_tanh', quick_gelu: 'quick_gelu', relu: 'relu', relu2: 'relu2',
    linear: 'linear', sigmoid: 'sigmoid', tanh: 'tanh', mish: 'mish',
};

/**
 * What of a layer mixes positions; its kvHeads, keyDim and valueDim are those of the layer's cache.
 * @param {Block} layer
 */
export const mixerOf = ({ attention, convolution }) => /** @type {Attention | Convolution} */ (attention ?? convolution);

/**
 * The first layer's that has attention: one has, whatever the family.
 * @param {Pick<ModelDescription, 'layers'>} description
 */
export const firstAttention = ({ layers }) =>
    /** @type {Attention} */ (layers.find(({ attention }) => attention !== undefined)?.attention);

/**
 * Freezes a description all through.
 * @template T
 * @param {T} value
 * @returns {T}
 */
export function freeze(value) {
    if (typeof value === 'object' && value !== null && !Object.isFrozen(value) && !ArrayBuffer.isView(value)) {
        Object.values(Object.freeze(value)).forEach(freeze);
    }
    return value;
}
