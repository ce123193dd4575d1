// CachedGroupQueryAttention: Keras's GroupQueryAttention (keras.io/api/layers/attention_layers/group_query_attention)
// with the cache, the rotation and the other ways of the attention layers in Keras Hub's models.

import {
    WHAT,
    checkGroupQueryConfig,
    fromGroupQueryKerasConfig,
    toGroupQueryKerasConfig,
} from '../../keras/group-query-config.js';
import { RotaryAngles } from '../../keras/rotary.js';
import { AttentionLayer } from './attention-layer.js';

/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../keras/group-query-config.js').GroupQueryConfig} GroupQueryConfig */

/**
 * Attention whose query heads share key/value heads, of inputs [batch, T, features] and with a cache [batch, 2, length,
 * numKeyValueHeads, headDim].
 *
 * Calls and the three ways of caching are CachedMultiHeadAttention's; there are `queryMask` [batch, T], `valueMask` and
 * `keyMask` [batch, S] too, ANDed with `attentionMask`. S is the cache's length, where there is one. With
 * `ropeMaxWavelength`, queries and new keys are rotated by their positions, from `cacheUpdateIndex` on, or from 0; a
 * cache holds rotated keys.
 *
 * A query that may attend to nothing gives the mean of all values, as in Keras's layer; with scores, dropout or rotation
 * it gives the output bias.
 */
export class CachedGroupQueryAttention extends AttentionLayer {
    static _what = WHAT;
    static _defaultName = 'grouped_query_attention';
    static _kerasName = /** @type {const} */ ('GroupQueryAttention');
    static _check = checkGroupQueryConfig;

    /**
     * @param {Runtime} runtime
     * @param {GroupQueryConfig} config
     * @throws {TypeError | RangeError} where Keras raises, naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /**
     * @param {Runtime} runtime
     * @param {Record<string, any>} kerasConfig what Keras's `get_config()` gives
     * @returns {CachedGroupQueryAttention}
     */
    static fromConfig(runtime, kerasConfig) {
        return new CachedGroupQueryAttention(runtime, fromGroupQueryKerasConfig(kerasConfig));
    }

    /** What Keras's `get_config()` gives, snake_case. @returns {Record<string, any>} */
    getConfig() {
        const config = /** @type {ReturnType<typeof checkGroupQueryConfig>} */ (this._config);
        return toGroupQueryKerasConfig(config, this._name, this._trainable);
    }

    /** @override */
    _makeRotation() {
        const { attending: { rotary }, keyDim, policy } = this._config;
        return rotary && new RotaryAngles(rotary, keyDim, policy.compute);
    }

    get headDim() {
        return this._config.keyDim;
    }

    get numQueryHeads() {
        return this._config.numHeads;
    }

    get numKeyValueHeads() {
        return this._config.kvHeads;
    }
}
