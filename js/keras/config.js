// Constructor arguments of the layer: Keras's checks, and its config in both directions (`get_config()`,
// keras.io/api/layers/attention_layers/multi_head_attention).

import { typeError, rangeError, positiveInteger, booleanOrBit, plainObject, unknownOption } from '../check.js';
import { resolveInitializer, serializeInitializer } from './initializers.js';
import { resolveRegularizer, serializeRegularizer } from './regularizers.js';
import { resolveConstraint, serializeConstraint } from './constraints.js';
import { resolvePolicy, serializePolicy } from './policy.js';
import { toCamel, toSnake } from './serializable.js';

/**
 * The constructor's arguments: Keras's, in camelCase.
 * @typedef {object} AttentionConfig
 * @property {number} numHeads
 * @property {number} keyDim size of a head's queries and keys
 * @property {number | null} [valueDim] size of a head's values; default keyDim
 * @property {number} [dropout] rate, of attention probabilities, while training; default 0
 * @property {boolean | 0 | 1} [useBias] default true
 * @property {number | readonly number[] | null} [outputShape] axes of the output behind batch and sequence; default:
 *   the query's features
 * @property {number | readonly number[] | null} [attentionAxes] default: all but batch and features
 * @property {boolean | null} [flashAttention] true: the streaming softmax, or an error
 * @property {number | null} [slidingWindow] kept, and without effect, as in Keras's cached layer
 * @property {boolean | 0 | 1} [useGate] makes the gate's weights, which are without effect, as in Keras's cached layer
 * @property {unknown} [kernelInitializer] a name, `{ class_name, config }`; default 'glorot_uniform'
 * @property {unknown} [biasInitializer] default 'zeros'
 * @property {unknown} [kernelRegularizer] a name, `{ class_name, config }` or null
 * @property {unknown} [biasRegularizer]
 * @property {unknown} [activityRegularizer] of what the four projections give out
 * @property {unknown} [kernelConstraint] a name, `{ class_name, config }` or null
 * @property {unknown} [biasConstraint]
 * @property {number | null} [seed] of dropout
 * @property {string | null} [name] default 'cached_multi_head_attention', then with '_1', '_2' ...
 * @property {unknown} [dtype] name of a policy, or its serialized form; default 'float32'
 * @property {boolean} [trainable] default true
 */

/** Arguments and defaults, in the order of Keras's config. numHeads and keyDim have none. */
const DEFAULTS = Object.freeze({
    name: null,
    trainable: true,
    dtype: null,
    numHeads: undefined,
    keyDim: undefined,
    valueDim: null,
    dropout: 0,
    useBias: true,
    useGate: false,
    outputShape: null,
    attentionAxes: null,
    slidingWindow: null,
    flashAttention: null,
    kernelInitializer: 'glorot_uniform',
    biasInitializer: 'zeros',
    kernelRegularizer: null,
    biasRegularizer: null,
    activityRegularizer: null,
    kernelConstraint: null,
    biasConstraint: null,
    seed: null,
});

/**
 * @param {unknown} value
 * @returns {readonly number[] | null}
 */
function checkOutputShape(value) {
    if (value === null || value === 0) return null;
    const sizes = typeof value === 'number' ? [value] : Array.isArray(value) && Array.from(value);
    if (!sizes) throw typeError('outputShape', 'an integer or an array of integers', value);
    for (const size of sizes) {
        if (typeof size !== 'number') throw typeError('outputShape', 'an integer or an array of integers', value);
        if (!Number.isSafeInteger(size) || size <= 0) throw rangeError('outputShape', 'positive integers', value);
    }
    return sizes.length === 0 ? null : Object.freeze(sizes);
}

/**
 * @param {unknown} value
 * @returns {readonly number[] | null}
 */
function checkAttentionAxes(value) {
    if (value === null) return null;
    const axes = typeof value === 'number' ? [value] : Array.isArray(value) && Array.from(value);
    if (!axes || !axes.every(Number.isInteger)) {
        throw typeError('attentionAxes', 'an integer or an array of integers', value);
    }
    return Object.freeze(axes);
}

/**
 * @param {Record<string, any>} given
 * @returns what is of one's own in the config: everything but initializers, regularizers and constraints
 */
function checkPlain(given) {
    const numHeads = positiveInteger('numHeads', given.numHeads);
    const keyDim = positiveInteger('keyDim', given.keyDim);
    const { dropout, name, trainable, flashAttention } = given;
    if (typeof dropout !== 'number') throw typeError('dropout', 'a number', dropout);
    if (name !== null && typeof name !== 'string') throw typeError('name', 'a string', name);
    if (name?.includes('/')) throw rangeError('name', 'a string without "/"', name);
    if (typeof trainable !== 'boolean') throw typeError('trainable', 'a boolean', trainable);
    if (flashAttention !== null && typeof flashAttention !== 'boolean') {
        throw typeError('flashAttention', 'a boolean or null', flashAttention);
    }
    if (flashAttention && dropout > 0) {
        throw rangeError('dropout', '0 with flashAttention, which cannot drop probabilities', dropout);
    }
    return {
        name: /** @type {string | null} */ (name),
        trainable,
        policy: resolvePolicy(given.dtype),
        numHeads,
        keyDim,
        valueDim: given.valueDim === null ? keyDim : positiveInteger('valueDim', given.valueDim),
        dropout,
        useBias: booleanOrBit('useBias', given.useBias),
        useGate: booleanOrBit('useGate', given.useGate),
        outputShape: checkOutputShape(given.outputShape),
        attentionAxes: checkAttentionAxes(given.attentionAxes),
        slidingWindow: given.slidingWindow === null ? null : positiveInteger('slidingWindow', given.slidingWindow),
        flashAttention: Boolean(flashAttention),
        seed: given.seed,
    };
}

/**
 * Checks the constructor's arguments as Keras does.
 * @param {unknown} config
 * @returns the config with every default filled in, objects in place of names
 * @throws {TypeError | RangeError} naming the argument
 */
export function checkConfig(config) {
    plainObject('the config of CachedMultiHeadAttention', config);
    /** @type {Record<string, any>} */
    const given = { ...DEFAULTS };
    for (const [key, value] of Object.entries(/** @type {object} */ (config))) {
        if (!Object.hasOwn(DEFAULTS, key)) throw unknownOption('CachedMultiHeadAttention', key, Object.keys(DEFAULTS));
        if (value !== undefined) given[key] = value;
    }
    return Object.freeze({
        ...checkPlain(given),
        kernelInitializer: resolveInitializer('kernelInitializer', given.kernelInitializer),
        biasInitializer: resolveInitializer('biasInitializer', given.biasInitializer),
        kernelRegularizer: resolveRegularizer('kernelRegularizer', given.kernelRegularizer),
        biasRegularizer: resolveRegularizer('biasRegularizer', given.biasRegularizer),
        activityRegularizer: resolveRegularizer('activityRegularizer', given.activityRegularizer),
        kernelConstraint: resolveConstraint('kernelConstraint', given.kernelConstraint),
        biasConstraint: resolveConstraint('biasConstraint', given.biasConstraint),
    });
}

/** @typedef {ReturnType<typeof checkConfig>} CheckedConfig */

/**
 * Keras's config (snake_case) as constructor arguments.
 * @param {unknown} kerasConfig what Keras's `get_config()` gives
 * @returns {AttentionConfig}
 */
export function fromKerasConfig(kerasConfig) {
    plainObject('kerasConfig', kerasConfig);
    const known = Object.keys(DEFAULTS).map(toSnake);
    const entries = Object.entries(/** @type {object} */ (kerasConfig)).map(([key, value]) => {
        if (!known.includes(key)) throw unknownOption('CachedMultiHeadAttention', key, known);
        return [toCamel(key), value];
    });
    return Object.fromEntries(entries);
}

/**
 * @param {CheckedConfig} config
 * @param {string} name
 * @param {boolean} trainable
 * @param {readonly number[] | null} attentionAxes as given, or resolved once built
 * @returns {Record<string, any>} what Keras's `get_config()` gives; flash_attention is missing there, and here
 */
export function toKerasConfig(config, name, trainable, attentionAxes) {
    return {
        name,
        trainable,
        dtype: serializePolicy(config.policy),
        num_heads: config.numHeads,
        key_dim: config.keyDim,
        value_dim: config.valueDim,
        dropout: config.dropout,
        use_bias: config.useBias,
        use_gate: config.useGate,
        output_shape: config.outputShape && [...config.outputShape],
        attention_axes: attentionAxes && [...attentionAxes],
        sliding_window: config.slidingWindow,
        kernel_initializer: serializeInitializer(config.kernelInitializer),
        bias_initializer: serializeInitializer(config.biasInitializer),
        kernel_regularizer: serializeRegularizer(config.kernelRegularizer),
        bias_regularizer: serializeRegularizer(config.biasRegularizer),
        activity_regularizer: serializeRegularizer(config.activityRegularizer),
        kernel_constraint: serializeConstraint(config.kernelConstraint),
        bias_constraint: serializeConstraint(config.biasConstraint),
        seed: config.seed,
    };
}
