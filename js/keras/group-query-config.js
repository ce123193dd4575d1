// Constructor arguments of CachedGroupQueryAttention: those of Keras's GroupQueryAttention (config in both directions,
// keras.io/api/layers/attention_layers/group_query_attention), and those of the cached layers of Keras Hub's models.

import { booleanOrBit, finiteNumber, plainObject, positiveInteger, positiveNumber, rangeError } from '../check.js';
import { OBJECTS, checkShared, readKerasConfig, readOptions, serializeBase, serializeShared } from './config.js';
import { readLongFactors, readSmoothing } from './rotary.js';
import { inSnakeCase } from './serializable.js';

/** @typedef {import('./config.js').CheckedConfig} CheckedConfig */
/** @typedef {import('./rotary.js').RotarySettings} RotarySettings */

/**
 * The constructor's arguments: Keras's, in camelCase, then those of Keras Hub's models.
 * @typedef {object} GroupQueryConfig
 * @property {number} headDim size of a head
 * @property {number} numQueryHeads a multiple of numKeyValueHeads; query head h reads key/value head h / (their ratio)
 * @property {number} numKeyValueHeads
 * @property {number} [dropout] rate, of attention probabilities, while training; default 0
 * @property {boolean | 0 | 1} [useBias] default true
 * @property {boolean | null} [flashAttention] true: scores and dropout are refused, as Keras's flash attention has neither
 * @property {number | null} [slidingWindow] W: query i sees key j where |i - j| < W, i counted from cacheUpdateIndex
 * @property {boolean | 0 | 1} [useGate] the heads' outputs are multiplied by the logistic of a projection of the query
 * @property {unknown} [kernelInitializer] a name, `{ class_name, config }`; default 'glorot_uniform'
 * @property {unknown} [biasInitializer] default 'zeros'
 * @property {unknown} [kernelRegularizer] a name, `{ class_name, config }` or null
 * @property {unknown} [biasRegularizer]
 * @property {unknown} [activityRegularizer] of what the projections give out
 * @property {unknown} [kernelConstraint] a name, `{ class_name, config }` or null
 * @property {unknown} [biasConstraint]
 * @property {number | null} [seed] of dropout
 * @property {string | null} [name] default 'grouped_query_attention', then with '_1', '_2' ...
 * @property {unknown} [dtype] name of a policy, or its serialized form; default 'float32'
 * @property {boolean} [trainable] default true
 * @property {boolean | 0 | 1 | null} [useOutputBias] of the output projection; default useBias (Qwen: false)
 * @property {number | null} [ropeMaxWavelength] queries and keys are rotated by their positions; null, the default:
 *   they are not
 * @property {number} [ropeScalingFactor] positions are divided by it; default 1
 * @property {number | null} [ropeFrequencyAdjustmentFactor] Llama 3.1, all four or none
 * @property {number | null} [ropeLowFreqFactor]
 * @property {number | null} [ropeHighFreqFactor]
 * @property {number | null} [ropePretrainingSequenceLength]
 * @property {'su' | null} [ropeScalingType] Phi-3: frequencies are divided by factors, chosen by the length of the call
 * @property {readonly number[] | null} [ropeScalingShortFactor] headDim / 2 factors
 * @property {readonly number[] | null} [ropeScalingLongFactor]
 * @property {number} [maxSequenceLength] 4096
 * @property {number} [pretrainingSequenceLength] 4096: longer calls take the long factors
 * @property {number | null} [logitSoftCap] c: logits x become c tanh(x / c), before the mask
 * @property {boolean | 0 | 1} [queryHeadDimNormalize] false: logits are divided by the root of features / heads, not of
 *   headDim
 * @property {{ epsilon?: number, offset?: number } | null} [queryKeyNorm] RMS norm of each head of queries and keys,
 *   before the rotation; epsilon 1e-6, offset (added to the scale) 0
 */

export const WHAT = 'CachedGroupQueryAttention';

/** Arguments of Keras's layer and their defaults, in the order of its config. */
const KERAS = {
    name: null,
    trainable: true,
    dtype: null,
    headDim: undefined,
    numQueryHeads: undefined,
    numKeyValueHeads: undefined,
    useBias: true,
    useGate: false,
    slidingWindow: null,
    dropout: 0,
    ...OBJECTS,
    seed: null,
};

/** Those of the models' layers; a config has them where they are not the default. */
const MODELS = {
    useOutputBias: null, ropeMaxWavelength: null, ropeScalingFactor: 1, ropeFrequencyAdjustmentFactor: null,
    ropeLowFreqFactor: null, ropeHighFreqFactor: null, ropePretrainingSequenceLength: null, ropeScalingType: null,
    ropeScalingShortFactor: null, ropeScalingLongFactor: null, maxSequenceLength: 4096, pretrainingSequenceLength: 4096,
    logitSoftCap: null, queryHeadDimNormalize: true, queryKeyNorm: null,
};

const SMOOTHING = [
    'ropeFrequencyAdjustmentFactor',
    'ropeLowFreqFactor',
    'ropeHighFreqFactor',
    'ropePretrainingSequenceLength',
];
const LONG = ['ropeScalingShortFactor', 'ropeScalingLongFactor'];

const DEFAULTS = Object.freeze({ ...KERAS, flashAttention: null, ...MODELS });

/**
 * @param {unknown} config
 * @returns {CheckedConfig & { models: Record<string, unknown> }} models: what is not the default of the models'
 *   arguments
 * @throws {TypeError | RangeError} naming the argument
 */
export function checkGroupQueryConfig(config) {
    const given = readOptions(WHAT, config, DEFAULTS);
    const headDim = positiveInteger('headDim', given.headDim);
    const numHeads = positiveInteger('numQueryHeads', given.numQueryHeads);
    const kvHeads = positiveInteger('numKeyValueHeads', given.numKeyValueHeads);
    if (numHeads % kvHeads !== 0)
        throw rangeError('numQueryHeads', `divisible by numKeyValueHeads, ${kvHeads}`, numHeads);
    const shared = checkShared(given);
    given.queryKeyNorm = checkNorm(given.queryKeyNorm);
    const rotary = checkRotary(given, headDim);
    return Object.freeze({
        ...shared,
        numHeads,
        kvHeads,
        keyDim: headDim,
        valueDim: headDim,
        outputShape: null,
        attentionAxes: null,
        attending: Object.freeze({
            // Keras's layers of models that rotate have no fused path: a query that may see nothing gives nothing
            // there.
            explicit: rotary !== null && !shared.flashAttention,
            gated: shared.useGate,
            window: shared.slidingWindow ?? 0,
            softcap: given.logitSoftCap === null ? 0 : positiveNumber('logitSoftCap', given.logitSoftCap),
            masks: true,
            outputBias: given.useOutputBias === null ? null : booleanOrBit('useOutputBias', given.useOutputBias),
            rotary,
            norm: given.queryKeyNorm,
            scaleByWidth: !booleanOrBit('queryHeadDimNormalize', given.queryHeadDimNormalize),
        }),
        models: modelsOf(given),
    });
}

/** @param {unknown} value */
function checkNorm(value) {
    if (value === null) return null;
    plainObject('queryKeyNorm', value);
    const { epsilon = 1e-6, offset = 0, ...others } = /** @type {Record<string, any>} */ (value);
    for (const key of Object.keys(others)) throw rangeError('queryKeyNorm', 'an object { epsilon, offset }', [key]);
    return {
        epsilon: positiveNumber('queryKeyNorm.epsilon', epsilon),
        offset: finiteNumber('queryKeyNorm.offset', offset),
    };
}

/** @param {Record<string, any>} given @param {number} headDim @returns {RotarySettings | null} */
function checkRotary(given, headDim) {
    const { ropeMaxWavelength } = given;
    if (ropeMaxWavelength === null) {
        const other = Object.keys(MODELS).find(
            (key) => /^rope|SequenceLength$/.test(key) && given[key] !== DEFAULTS[/** @type {keyof MODELS} */ (key)],
        );
        if (other !== undefined) throw rangeError(other, 'absent without ropeMaxWavelength', given[other]);
        return null;
    }
    if (headDim % 2 !== 0)
        throw rangeError('headDim', 'even with ropeMaxWavelength: a head is split into two halves', headDim);
    const smoothing = readSmoothing(SMOOTHING, given);
    const long = checkLong(given, headDim);
    if (smoothing && long) throw rangeError('ropeScalingType', `null with ${SMOOTHING[0]}`, given.ropeScalingType);
    return {
        maxWavelength: positiveNumber('ropeMaxWavelength', ropeMaxWavelength),
        scalingFactor: positiveNumber('ropeScalingFactor', given.ropeScalingFactor),
        smoothing,
        long,
    };
}

/** @param {Record<string, any>} given @param {number} headDim */
function checkLong(given, headDim) {
    const { ropeScalingType, maxSequenceLength: most, pretrainingSequenceLength: trained } = given;
    if (ropeScalingType !== null && ropeScalingType !== 'su')
        throw rangeError('ropeScalingType', 'null or "su"', ropeScalingType);
    if (ropeScalingType === 'su') return readLongFactors(LONG, given, { trained, most }, headDim / 2);
    const other = [...LONG, 'maxSequenceLength', 'pretrainingSequenceLength'].find(
        (name) => given[name] !== MODELS[/** @type {keyof MODELS} */ (name)],
    );
    if (other !== undefined) throw rangeError(other, 'absent without ropeScalingType', given[other]);
    return null;
}

/** @param {Record<string, any>} given @returns {Record<string, unknown>} */
function modelsOf(given) {
    return Object.fromEntries(
        Object.entries(MODELS)
            .filter(([key, value]) => given[key] !== value)
            .map(([key]) => [key, given[key]]),
    );
}

/**
 * @param {unknown} kerasConfig
 * @returns {GroupQueryConfig}
 */
export function fromGroupQueryKerasConfig(kerasConfig) {
    return /** @type {GroupQueryConfig} */ (readKerasConfig(WHAT, kerasConfig, DEFAULTS));
}

/**
 * @param {ReturnType<typeof checkGroupQueryConfig>} config
 * @param {string} name
 * @param {boolean} trainable
 * @returns {Record<string, any>} what Keras's `get_config()` gives, without flash_attention as there, and what a
 *   model's layer has beside it
 */
export function toGroupQueryKerasConfig(config, name, trainable) {
    const { keyDim: headDim, numHeads: numQueryHeads, kvHeads: numKeyValueHeads, useBias, useGate, slidingWindow, dropout } = config;
    return {
        ...serializeBase(config, name, trainable),
        ...inSnakeCase({ headDim, numQueryHeads, numKeyValueHeads, useBias, useGate, slidingWindow, dropout }),
        ...serializeShared(config),
        ...inSnakeCase(structuredClone(config.models)),
    };
}
