// CachedMultiHeadAttention: Keras Hub's layer (keras.io/keras_hub/api/modeling_layers/cached_multi_head_attention).

import { checkConfig, fromKerasConfig, toKerasConfig } from '../../keras/config.js';
import { AttentionLayer } from './attention-layer.js';

/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../keras/config.js').AttentionConfig} AttentionConfig */

/**
 * Multi-head attention with a cache for the keys and values of past positions.
 *
 * - No cache: keys and values are projections of `key` (or `value`) and `value`.
 * - A cache without `cacheUpdateIndex`: keys and values are the cache's; those given are ignored.
 * - A cache with an index: the projections are written to the cache from that position on, and ALL of the cache is
 *   attended over: also positions that were never written, unless a mask excludes them.
 *
 * A query that may attend to nothing gives the mean of all values. Where scores are asked for, dropout is configured or inputs
 * have more than 3 axes, Keras takes another path, on which such a query gives the output bias.
 */
export class CachedMultiHeadAttention extends AttentionLayer {
    static _what = 'CachedMultiHeadAttention';
    static _defaultName = 'cached_multi_head_attention';
    static _check = checkConfig;

    /**
     * @param {Runtime} runtime
     * @param {AttentionConfig} config
     * @throws {TypeError | RangeError} where Keras raises, naming the argument
     */
    constructor(runtime, config) {
        super(runtime, config);
    }

    /**
     * @param {Runtime} runtime
     * @param {Record<string, any>} kerasConfig what Keras's `get_config()` gives
     * @returns {CachedMultiHeadAttention}
     */
    static fromConfig(runtime, kerasConfig) {
        return new CachedMultiHeadAttention(runtime, fromKerasConfig(kerasConfig));
    }

    /** What Keras's `get_config()` gives, snake_case. @returns {Record<string, any>} */
    getConfig() {
        return toKerasConfig(this._config, this._name, this._trainable, this.attentionAxes);
    }

    get numHeads() {
        return this._config.numHeads;
    }

    get keyDim() {
        return this._config.keyDim;
    }

    get valueDim() {
        return this._config.valueDim;
    }

    /** The axes attended over: as given until the layer is built, then resolved, each from 0 on. @returns {readonly number[] | null} */
    get attentionAxes() {
        return this.built ? Object.freeze([...this._plan.axes]) : this._config.attentionAxes;
    }
}
