// What a model is, as plain data: nothing else says it. Families make descriptions (families/), the network computes what one
// says (network.js), and neither knows of the other.

/**
 * @typedef {object} Norm y = (x - mean?) / sqrt(variance or mean square + epsilon) * (weight + offset) + bias
 * @property {'rms' | 'layer'} kind Zhang & Sennrich 2019, Ba et al. 2016
 * @property {number} epsilon
 * @property {number} [offset] added to the weight as stored; 0
 * @property {boolean} [bias]
 *
 * @typedef {object} Rope rotary positions (Su et al. 2021)
 * @property {number} dims so many of each head's elements are rotated, from the first on; even
 * @property {'halves' | 'pairs'} pairing element i with i + dims / 2, or 2 i with 2 i + 1
 * @property {import('./rope.js').Scaling} scaling
 *
 * @typedef {object} Attention
 * @property {Norm} [before] of what it reads
 * @property {Norm} [after] of what it gives, before that is added
 * @property {number} heads of queries
 * @property {number} kvHeads of keys and values; heads is a multiple
 * @property {number} keyDim
 * @property {number} valueDim
 * @property {{ q: boolean, k: boolean, v: boolean, o: boolean }} bias
 * @property {number} scale of q . k
 * @property {number | null} softcap logits become softcap * tanh(logit / softcap)
 * @property {number | null} window a query sees the last so many positions, itself included
 * @property {{ norm: Norm, over: 'head' | 'all', own: boolean } | null} headNorm of queries and keys before they are rotated;
 *   over each head or over all together; own: each head has weights of its own
 * @property {Rope | null} rope
 * @property {boolean} [explicit] whole rows of probabilities instead of a streaming softmax: Keras's path with dropout. The
 *   same numbers up to rounding
 *
 * @typedef {object} FeedForward
 * @property {Norm} [before]
 * @property {Norm} [after]
 * @property {number} width
 * @property {Activation} activation
 * @property {boolean} gated activation(gate(x)) * up(x) instead of activation(up(x))
 * @property {boolean} bias
 *
 * @typedef {'silu' | 'gelu_tanh' | 'gelu_erf' | 'relu' | 'linear' | 'sigmoid' | 'tanh' | 'quick_gelu' | 'relu2' | 'mish'} Activation
 *
 * @typedef {object} Block
 * @property {Attention} attention
 * @property {FeedForward} feedForward
 * @property {boolean} parallel both read the same x, and both are added to it
 * @property {boolean} sharedNorm with parallel: the feed-forward network reads what attention.before gives
 * @property {number} residualScale of what is added
 *
 * @typedef {object} ModelDescription
 * @property {string} family
 * @property {number} width
 * @property {number} vocabulary
 * @property {number} context positions it was made for
 * @property {{ scale: number, positions: number | null }} embedding positions: how many learned ones there are
 * @property {Block[]} layers the same object again where layers are alike
 * @property {Norm} finalNorm
 * @property {{ bias: boolean, scale: number, softcap: number | null, tied: boolean | null }} head logits times scale; tied:
 *   what the config says, null where a file decides by having a head or not
 */

/** @type {Record<string, Activation>} as Hugging Face spells them: `gelu` is exact */
export const ACTIVATIONS = {
    silu: 'silu', swish: 'silu', gelu: 'gelu_erf', gelu_new: 'gelu_tanh', gelu_fast: 'gelu_tanh', gelu_pytorch_tanh: 'gelu_tanh',
    gelu_python: 'gelu_erf', gelu_python_tanh: 'gelu_tanh', gelu_accurate: 'gelu_tanh', quick_gelu: 'quick_gelu', relu: 'relu', relu2: 'relu2',
    linear: 'linear', sigmoid: 'sigmoid', tanh: 'tanh', mish: 'mish',
};

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
