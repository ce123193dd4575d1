// Runs one case of the layers around Keras's models: each Keras layer said as ours, given its weights, called as it
// was.

import assert from 'node:assert/strict';
import { CachedGroupQueryAttention, KVCache, Tensor } from '../../js/index.js';
import {
    AlibiBias,
    LayerNormalization,
    RMSNormalization,
    RotaryEmbedding,
    SinePositionEncoding,
} from '../../js/layers/index.js';
import { assertClose } from '../close.js';
import { assertTensor, camel, readTensors } from './golden.js';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../js/engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('./cases.js').Way} Way */
/** @typedef {import('../there.js').Floats} Floats */
/** @typedef {Record<string, any>} Entry a case of the manifest, or an object of it */

/**
 * @typedef {object} Call what a call's arguments are read from
 * @property {any} call of the manifest
 * @property {number} number
 * @property {Record<string, TensorLike>} tensors
 * @property {Record<string, any>[]} results of the calls before
 * @property {Way} way
 * @property {boolean} gemma
 */

/** @param {Entry} object */
const camelAll = (object) => Object.fromEntries(Object.entries(object).map(([key, value]) => [camel(key), value]));
/** @param {Entry} object @param {string[]} names */
const pick = (object, names) =>
    Object.fromEntries(names.filter((name) => name in object).map((name) => [camel(name), object[name]]));

/** What every attention layer of a model has. @param {any} entry @param {Entry} [others] @returns {any} */
function rotary({ constructor: c, build }, others = {}) {
    const heads = { numQueryHeads: c.num_query_heads, numKeyValueHeads: c.num_key_value_heads };
    const width = Array.isArray(build) ? build[0].at(-1) : 0;
    return {
        ...heads,
        headDim: c.head_dim ?? width / c.num_query_heads,
        useBias: false,
        ropeMaxWavelength: c.rope_max_wavelength ?? 10000,
        ...pick(c, ['dtype']),
        ...others,
    };
}

/** @param {any} c */
const window = (c) => (c.use_sliding_window_attention ? { slidingWindow: c.sliding_window_size } : {});
const LLAMA = [
    'rope_frequency_adjustment_factor',
    'rope_low_freq_factor',
    'rope_high_freq_factor',
    'rope_pretraining_sequence_length',
];
const PHI3 = [
    'rope_scaling_type',
    'rope_scaling_short_factor',
    'rope_scaling_long_factor',
    'max_sequence_length',
    'pretraining_sequence_length',
];

/**
 * Keras's attention layers as configs of CachedGroupQueryAttention. Arguments that do nothing there are not said.
 * @type {Record<string, (entry: any) => any>}
 */
const ATTENTION = {
    'keras.layers.GroupQueryAttention': ({ constructor: c }) => camelAll(c),
    'keras_hub.CachedMistralAttention': (e) => rotary(e, pick(e.constructor, ['rope_scaling_factor'])),
    'keras_hub.LlamaAttention': (e) => rotary(e, pick(e.constructor, LLAMA)),
    'keras_hub.QwenAttention': (e) => rotary(e, { useBias: true, useOutputBias: false, ...window(e.constructor) }),
    'keras_hub.Qwen3Attention': (e) =>
        rotary(e, {
            queryKeyNorm: { epsilon: 1e-5 },
            slidingWindow: e.constructor.sliding_window_size,
            ...pick(e.constructor, ['rope_scaling_factor']),
        }),
    'keras_hub.Phi3Attention': (e) => rotary(e, pick(e.constructor, PHI3)),
    'keras_hub.CachedGemmaAttention': (e) =>
        rotary(e, { ...pick(e.constructor, ['logit_soft_cap', 'query_head_dim_normalize']), ...window(e.constructor) }),
};

/** @param {Entry} object @param {...string} names */
const without = (object, ...names) =>
    Object.fromEntries(Object.entries(object).filter(([key]) => !names.includes(key)));
/** Names of Phi-3's factors, as Keras spells them. @type {Record<string, string>} */
const SU = { inverese_freq_short_factor: 'inverseFreqShortFactor', inverese_freq_long_factor: 'inverseFreqLongFactor' };

/** @type {Record<string, (runtime: Runtime, entry: any) => any>} */
const PLAIN = {
    'keras_hub.RotaryEmbedding': (runtime, { constructor: c }) => new RotaryEmbedding(runtime, camelAll(c)),
    'keras_hub.LlamaRotaryEmbedding': (runtime, { constructor: c }) =>
        new RotaryEmbedding(runtime, camelAll(without(c, 'position_scaling_factor'))),
    'keras_hub.Phi3SuScaledRotaryEmbedding': (runtime, { constructor: c }) =>
        new RotaryEmbedding(
            runtime,
            Object.fromEntries(Object.entries(c).map(([key, value]) => [SU[key] ?? camel(key), value])),
        ),
    'keras_hub.SinePositionEncoding': (runtime, { constructor: c }) => new SinePositionEncoding(runtime, camelAll(c)),
    'keras_hub.AlibiBias': (runtime, { constructor: c }) => new AlibiBias(runtime, camelAll(c)),
    'keras.RMSNormalization': (runtime, { constructor: c }) => new RMSNormalization(runtime, camelAll(c)),
    'keras_hub.RMSNormalization': (runtime, { constructor: c }) =>
        new RMSNormalization(runtime, { ...camelAll(c), offset: 1 }),
    'keras_hub.MistralLayerNormalization': (runtime, { constructor: c }) => new RMSNormalization(runtime, camelAll(c)),
    'keras_hub.Qwen3LayerNorm': (runtime, { constructor: c }) => new RMSNormalization(runtime, camelAll(c)),
    'keras.LayerNormalization': (runtime, { constructor: c }) => new LayerNormalization(runtime, camelAll(c)),
};

/** What our layers say: no blocks of models, no embeddings; and errors that are Python's own. @param {any} entry */
export const isSaid = ({ layer, name }) =>
    (layer in ATTENTION || layer in PLAIN) && name !== 'gqa_error_window_2' && name !== 'gqa_error_window_3';
const PYTHON_ALONE = /unexpected keyword argument 'cache'|Flash attention is not supported in numpy/;

/** @param {unknown} error */
const isError = (error) => error instanceof TypeError || error instanceof RangeError;

/**
 * @param {Runtime} runtime
 * @param {URL} directory
 * @param {any} entry of the manifest
 * @param {Way} way
 * @returns {Promise<number>} calls that were compared
 */
export async function runLayerCase(runtime, directory, entry, way) {
    if (entry.raises) {
        assert.throws(() => make(runtime, entry), isError);
        return 1;
    }
    const tensors = readTensors(directory, entry.file);
    let layer;
    try {
        layer = make(runtime, entry);
    } catch (error) {
        // Ours may come earlier than Keras's.
        assert.ok(isError(error) && entry.calls.every((/** @type {any} */ { raises }) => raises), String(error));
        return entry.calls.length;
    }
    const gemma = entry.layer === 'keras_hub.CachedGemmaAttention';
    const swap = (/** @type {string} */ path) => gemma && /^(query|key|value)\/kernel/.test(path);
    layer.setWeights(
        (entry.weights ?? []).map((/** @type {any} */ { path, tensor }) => (swap(path) ? headsSecond(tensors[tensor]) : tensors[tensor])),
    );
    checkConfig(entry, layer);
    /** @type {Record<string, any>[]} */
    const results = [];
    let compared = 0;
    for (const [number, call] of entry.calls.entries()) {
        results.push({});
        if (call.depends_on_backend || PYTHON_ALONE.test(call.raises?.message)) continue;
        compared++;
        results[number] = await runCall(runtime, layer, entry, { call, number, tensors, results, way, gemma });
    }
    layer.dispose();
    return compared;
}

/** @param {Runtime} runtime @param {any} entry @returns {any} the layer */
function make(runtime, entry) {
    const layer =
        entry.layer in PLAIN
            ? PLAIN[entry.layer](runtime, entry)
            : new CachedGroupQueryAttention(runtime, ATTENTION[entry.layer](entry));
    if (!entry.build || layer.build === undefined) return layer;
    const { query_shape: query, value_shape: value, key_shape: key } = entry.build;
    if (!Array.isArray(entry.build)) layer.build(query, value, key);
    else if (entry.layer in PLAIN) layer.build(entry.build[0]);
    else layer.build(entry.build[0], entry.build[0]);
    return layer;
}

/** Classes of Keras whose config is that of ours. */
const SAME_CONFIG = [
    'keras.layers.GroupQueryAttention',
    'keras_hub.RotaryEmbedding',
    'keras_hub.AlibiBias',
    'keras_hub.SinePositionEncoding',
    'keras.RMSNormalization',
    'keras.LayerNormalization',
];

/** @param {any} entry @param {any} layer */
function checkConfig({ layer: name, config }, layer) {
    if (!config || !SAME_CONFIG.includes(name)) return;
    const { name: _, ...got } = layer.getConfig();
    const { name: __, ...expected } = config;
    assert.deepEqual(got, expected);
    const { name: ___, ...again } = layer.constructor.fromConfig(layer._runtime, config).getConfig();
    assert.deepEqual(again, expected);
}

/** @param {Runtime} runtime @param {any} layer @param {any} entry @param {Call} read @returns {Promise<Record<string, any>>} */
async function runCall(runtime, layer, entry, read) {
    const { call, number, tensors, way, gemma } = read;
    /** @type {Record<string, any>} */
    const given = {};
    for (const [key, source] of Object.entries(call.args)) {
        given[key] = readArgument(runtime, source, { ...read, given, key, entry });
    }
    const {
        hidden_states: hidden,
        x = hidden,
        'inputs (positional)': inputs,
        query = x,
        value = query,
        ...rest
    } = given;
    const options = camelAll(rest);
    const args = inputs ? [inputs, options] : [query, value, options];
    const run = async () => (way.sync ? layer.callSync(...args) : layer.call(...args));
    if (call.raises) {
        await assert.rejects(run, isError);
        return {};
    }
    const result = await run();
    if (call.losses) {
        assert.equal(layer.losses.length, call.losses.length);
        assertClose(layer.losses, call.losses, entry.tolerance, `losses of call ${number}`);
    }
    /** @type {Record<string, any>} */
    const named = inputs
        ? { output: result }
        : { attention_output: result.attentionOutput, attention_scores: result.attentionScores, cache: result.cache };
    for (const { name, tensor } of call.returns) {
        const got = named[name] instanceof KVCache ? named[name].toTensor() : named[name];
        const expected = gemma && name === 'cache' ? inHalves(tensors[tensor]) : tensors[tensor];
        assertTensor(
            { shape: got.shape, data: got.data.slice() },
            expected,
            entry.tolerance,
            `${name} of call ${number}`,
        );
    }
    return named;
}

/**
 * @param {Runtime} runtime
 * @param {any} source of the argument, in the manifest
 * @param {Call & { given: Record<string, any>, key: string, entry: any }} others the arguments before it, its name, the case
 */
function readArgument(runtime, source, { tensors, given, results, way, gemma, key, entry }) {
    if (typeof source !== 'object' || source === null) return source;
    if (source.same_as) return given[source.same_as];
    if (source.from_call !== undefined) return results[source.from_call][source.output];
    /** @type {number[] | undefined} */
    const zeros = source.zeros;
    let plain = zeros
        ? { shape: zeros, data: new Float32Array(zeros.reduce((a, b) => a * b, 1)) }
        : tensors[source.tensor];
    if (gemma && key === 'cache') plain = inHalves(plain);
    if (key === 'cache' && way.kvCache) {
        const [batch, , length, numHeads, keyDim] = plain.shape;
        const cache = new KVCache(runtime, { batch, length, numHeads, keyDim, ...pick(entry.constructor, ['dtype']) });
        cache.set(plain);
        return cache;
    }
    return way.tensors ? new Tensor(runtime, { shape: plain.shape, data: plain.data }) : plain;
}

/** [heads, features, dim] as [features, heads, dim]. @param {TensorLike} tensor @returns {Floats} */
function headsSecond({ shape: [h, m, d], data }) {
    const out = new Float32Array(data.length);
    for (let i = 0; i < h; i++) {
        for (let j = 0; j < m; j++) for (let k = 0; k < d; k++) out[(j * h + i) * d + k] = data[(i * m + j) * d + k];
    }
    return { shape: [m, h, d], data: out };
}

/**
 * Gemma keeps the two halves of a rotated key element by element in turn; nothing but the cache shows it.
 * @param {TensorLike} tensor
 * @returns {TensorLike} with the halves one after the other
 */
function inHalves({ shape, data }) {
    const [batch, , length, heads, d] = shape;
    const out = data.slice();
    for (let row = 0; row < batch * 2 * length * heads; row++) {
        if (Math.floor(row / (length * heads)) % 2 === 1) continue;
        for (let i = 0; i < d; i++) {
            const turned = i % 2 === 0 ? i / 2 : d / 2 + (i - 1) / 2;
            out[row * d + turned] = data[row * d + i];
        }
    }
    return { shape, data: out };
}
