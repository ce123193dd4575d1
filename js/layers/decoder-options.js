// What a TransformerDecoder is made of and called with, in Keras Hub's terms: read once, and checked.

import { booleanOrBit, checkOptionNames, checkSignal, finiteNumber, positiveInteger, rangeError, typeError } from '../check.js';
import { ACTIVATION } from '../engine/interface.js';
import { checkFlag } from './attention/arguments.js';

/** @typedef {import('../blocks/cache.js').KVCache} KVCache */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */

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
 * @typedef {object} DecoderOptions the call arguments of Keras Hub's TransformerDecoder; null is as good as absent
 * @property {TensorLike | null} [decoderPaddingMask] [B, S]: 0 leaves a position out for all queries
 * @property {TensorLike | null} [decoderAttentionMask] [B, T, S] or [T, S], any axis may be 1
 * @property {TensorLike | null} [encoderPaddingMask] [B, S of the encoder]
 * @property {TensorLike | null} [encoderAttentionMask] [B, T, S of the encoder]
 * @property {KVCache | TensorLike | null} [selfAttentionCache] [B, 2, S, H, D]
 * @property {number | null} [selfAttentionCacheUpdateIndex] first position to write; absent: the cache stays as it is
 * @property {KVCache | TensorLike | null} [crossAttentionCache] [B, 2, S of the encoder, H, D]
 * @property {number | null} [crossAttentionCacheUpdateIndex] 0 on the first step, then absent
 * @property {boolean | null} [useCausalMask] keep position j for query i when j <= i + update index, true
 * @property {boolean | null} [training] apply dropout, false
 * @property {AbortSignal | null} [signal] cuts the call short within milliseconds; a KVCache then holds what it held before. Not with dropout
 *
 * @typedef {{ [Name in keyof DecoderOptions]: Exclude<DecoderOptions[Name], null> }} Given what was given of them
 *
 * @typedef {object} DecoderResult
 * @property {Tensor} output [B, T, F]
 * @property {KVCache | TensorLike} [selfAttentionCache] if one was given: the KVCache itself, updated, or a new Tensor
 * @property {KVCache | TensorLike} [crossAttentionCache] the same
 */

/** What C calls them, by Keras's name. @type {Readonly<Record<string, number>>} */
export const ACTIVATIONS = Object.freeze({
    linear: ACTIVATION.NONE, relu: ACTIVATION.RELU, gelu: ACTIVATION.GELU_ERF, gelu_approximate: ACTIVATION.GELU_TANH,
});

const ARGUMENTS = Object.freeze([
    'intermediateDim', 'numHeads', 'dropout', 'activation', 'layerNormEpsilon', 'kernelInitializer', 'biasInitializer',
    'normalizeFirst',
]);

/** @param {DecoderConfig} config @throws {TypeError | RangeError} naming the argument */
export function readConfig(config) {
    checkOptionNames('TransformerDecoder', config, ARGUMENTS);
    const {
        intermediateDim, numHeads, dropout = 0, activation = 'relu', layerNormEpsilon = 1e-5,
        kernelInitializer = 'glorot_uniform', biasInitializer = 'zeros', normalizeFirst = false,
    } = config;
    if (activation !== null && !(typeof activation === 'string' && Object.hasOwn(ACTIVATIONS, activation))) {
        throw typeError('activation', `one of ${Object.keys(ACTIVATIONS).join(', ')} or null`, activation);
    }
    if (!(finiteNumber('dropout', dropout) >= 0 && dropout <= 1)) {
        throw rangeError('dropout', 'from 0 to 1', dropout);
    }
    if (!(finiteNumber('layerNormEpsilon', layerNormEpsilon) >= 0)) {
        throw rangeError('layerNormEpsilon', 'a number from 0 on', layerNormEpsilon);
    }
    return {
        intermediateDim: positiveInteger('intermediateDim', intermediateDim),
        numHeads: positiveInteger('numHeads', numHeads),
        dropout,
        activation,
        layerNormEpsilon,
        kernelInitializer,
        biasInitializer,
        normalizeFirst: booleanOrBit('normalizeFirst', normalizeFirst),
    };
}

const OPTIONS = Object.freeze([
    'decoderPaddingMask', 'decoderAttentionMask', 'encoderPaddingMask', 'encoderAttentionMask', 'selfAttentionCache',
    'selfAttentionCacheUpdateIndex', 'crossAttentionCache', 'crossAttentionCacheUpdateIndex', 'useCausalMask',
    'training', 'signal',
]);

/**
 * @param {unknown} options
 * @returns {Given} a plain copy: each was read once
 */
export function readOptions(options) {
    checkOptionNames('a call', options, OPTIONS);
    const copy = { .../** @type {Record<string, any>} */ (options) };
    for (const name in copy) copy[name] ??= undefined;
    checkFlag('training', copy.training);
    checkFlag('useCausalMask', copy.useCausalMask);
    checkSignal(copy.signal);
    return copy;
}
