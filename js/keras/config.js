// Constructor arguments of the layer: Keras's checks, and its config in both directions (`get_config()`,
// keras.io/api/layers/attention_layers/multi_head_attention).

import { typeError, rangeError, positiveInteger, booleanOrBit, plainObject, unknownOption } from '../check.js';
import { resolveObjects, serializeObjects } from './objects.js';
import { resolvePolicy, serializePolicy } from './policy.js';
import { copied, inSnakeCase, toCamel, toSnake } from './serializable.js';

/** @typedef {import('./objects.js').Constraint} Constraint */
/** @typedef {import('./objects.js').Initializer} Initializer */
/** @typedef {import('./objects.js').Regularizer} Regularizer */

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
 * @property {boolean | null} [flashAttention] true: scores and dropout are refused, as Keras's flash attention has neither
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

/** What all attention layers end with, but for a seed. */
export const OBJECTS = {
    kernelInitializer: 'glorot_uniform',
    biasInitializer: 'zeros',
    kernelRegularizer: null,
    biasRegularizer: null,
    activityRegularizer: null,
    kernelConstraint: null,
    biasConstraint: null,
};

/**
 * @typedef {object} Objects
 * @property {Initializer} kernelInitializer
 * @property {Initializer} biasInitializer
 * @property {Regularizer | null} kernelRegularizer
 * @property {Regularizer | null} biasRegularizer
 * @property {Regularizer | null} activityRegularizer
 * @property {Constraint | null} kernelConstraint
 * @property {Constraint | null} biasConstraint
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
    ...OBJECTS,
    seed: null,
});

/**
 * How an attention departs from plain multi-head attention.
 * @typedef {object} Attending
 * @property {boolean} explicit always Keras's explicit path, with scores and dropout or without
 * @property {boolean} gated the gate takes part
 * @property {number} window a query sees so many positions on either side, its own counted; 0: all
 * @property {number} softcap 0: none
 * @property {boolean} masks the layer is Keras's grouped one: calls take masks of queries, values and keys
 * @property {boolean | null} outputBias null: as useBias
 * @property {import('./rotary.js').RotarySettings | null} rotary
 * @property {{ epsilon: number, offset: number } | null} norm of each head of queries and keys, before the rotation
 * @property {boolean} scaleByWidth logits are divided by the root of features / heads, not of keyDim
 */

/** @type {Readonly<Attending>} */
const PLAIN = Object.freeze({
    explicit: false,
    gated: false,
    window: 0,
    softcap: 0,
    masks: false,
    outputBias: null,
    rotary: null,
    norm: null,
    scaleByWidth: false,
});

/**
 * @param {unknown} value
 * @returns {readonly number[] | null}
 */
function checkOutputShape(value) {
    if (value === null || value === 0) return null;
    const sizes = typeof value === 'number' ? [value] : value;
    if (!Array.isArray(sizes) || sizes.some((size) => typeof size !== 'number')) {
        throw typeError('outputShape', 'an integer or an array of integers', value);
    }
    if (!sizes.every((size) => Number.isSafeInteger(size) && size > 0)) throw rangeError('outputShape', 'positive integers', value);
    return sizes.length === 0 ? null : Object.freeze(sizes);
}

/**
 * @param {unknown} value
 * @returns {readonly number[] | null}
 */
function checkAttentionAxes(value) {
    if (value === null) return null;
    const axes = typeof value === 'number' ? [value] : value;
    if (!Array.isArray(axes) || !axes.every(Number.isInteger)) {
        throw typeError('attentionAxes', 'an integer or an array of integers', value);
    }
    return Object.freeze(axes);
}

/**
 * The arguments that all attention layers have.
 * @param {Record<string, any>} given
 */
export function checkShared(given) {
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
        dropout,
        useBias: booleanOrBit('useBias', given.useBias),
        useGate: booleanOrBit('useGate', given.useGate),
        slidingWindow: given.slidingWindow === null ? null : positiveInteger('slidingWindow', given.slidingWindow),
        flashAttention: Boolean(flashAttention),
        seed: given.seed,
        .../** @type {Objects} */ (resolveObjects(Object.keys(OBJECTS), given)),
    };
}

/**
 * Checks the constructor's arguments as Keras does.
 * @param {unknown} config
 * @returns {CheckedConfig} the config with every default filled in, objects in place of names
 * @throws {TypeError | RangeError} naming the argument
 */
export function checkConfig(config) {
    const given = readOptions('CachedMultiHeadAttention', config, DEFAULTS);
    const numHeads = positiveInteger('numHeads', given.numHeads);
    const keyDim = positiveInteger('keyDim', given.keyDim);
    return Object.freeze({
        ...checkShared(given),
        numHeads,
        kvHeads: numHeads,
        keyDim,
        valueDim: given.valueDim === null ? keyDim : positiveInteger('valueDim', given.valueDim),
        outputShape: checkOutputShape(given.outputShape),
        attentionAxes: checkAttentionAxes(given.attentionAxes),
        attending: PLAIN,
    });
}

/**
 * What a config comes to; `attending` is what kinds of layers differ in.
 * @typedef {Readonly<ReturnType<typeof checkShared> & {
 *     numHeads: number, kvHeads: number, keyDim: number, valueDim: number, outputShape: readonly number[] | null,
 *     attentionAxes: readonly number[] | null, attending: Readonly<Attending>,
 * }>} CheckedConfig
 */

/**
 * @param {string} what the layer, for messages
 * @param {unknown} config
 * @param {Record<string, unknown>} defaults by name, of all options
 * @returns {Record<string, any>} all options, as given or by default; lists are copies
 */
export function readOptions(what, config, defaults) {
    plainObject(`the config of ${what}`, config);
    /** @type {Record<string, any>} */
    const given = { ...defaults };
    for (const [key, value] of Object.entries(/** @type {object} */ (config))) {
        if (!Object.hasOwn(defaults, key)) throw unknownOption(what, key, Object.keys(defaults));
        if (value !== undefined) given[key] = copied(value);
    }
    return given;
}

/**
 * Keras's config (snake_case) as constructor arguments.
 * @param {unknown} kerasConfig what Keras's `get_config()` gives
 * @returns {AttentionConfig}
 */
export function fromKerasConfig(kerasConfig) {
    return /** @type {AttentionConfig} */ (readKerasConfig('CachedMultiHeadAttention', kerasConfig, DEFAULTS));
}

/**
 * @param {string} what
 * @param {unknown} kerasConfig
 * @param {Record<string, unknown>} defaults
 * @returns {Record<string, any>}
 */
export function readKerasConfig(what, kerasConfig, defaults) {
    plainObject('kerasConfig', kerasConfig);
    const known = Object.keys(defaults).map(toSnake);
    const entries = Object.entries(/** @type {object} */ (kerasConfig)).map(([key, value]) => {
        if (!known.includes(key)) throw unknownOption(what, key, known);
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
    const { numHeads, keyDim, valueDim, dropout, useBias, useGate, outputShape, slidingWindow } = config;
    return {
        ...serializeBase(config, name, trainable),
        ...inSnakeCase({ numHeads, keyDim, valueDim, dropout, useBias, useGate, outputShape, attentionAxes, slidingWindow }),
        ...serializeShared(config),
    };
}

/** @param {CheckedConfig} config @param {string} name @param {boolean} trainable what all layers' configs begin with */
export const serializeBase = ({ policy }, name, trainable) => ({ name, trainable, dtype: serializePolicy(policy) });

/** @param {CheckedConfig} config @returns {Record<string, any>} the config's objects, and the seed */
export const serializeShared = (config) => ({ ...inSnakeCase(serializeObjects(Object.keys(OBJECTS), config)), seed: config.seed });
