// Presets of Keras Hub as files by their paths: tiny ones, of seeded weights, that load and write nonsense.

import { writeKerasWeights } from '../../js/files/keras-writer.js';
import { floats, rng } from '../rng.js';

const encoder = new TextEncoder();
const json = (/** @type {any} */ value) => encoder.encode(JSON.stringify(value));
const size = (/** @type {number[]} */ shape) => shape.reduce((a, b) => a * b, 1);

/** @param {string} className @param {object} values @param {object} [others] */
const config = (className, values, others = {}) => json({
    module: `keras_hub.src.models.${className}`, class_name: className, config: values,
    registered_name: `keras_hub>${className}`, ...others,
});

/** Seeded weights for paths below layers/. @param {Record<string, number[]>} shapes */
function drawn(shapes) {
    const random = rng(5);
    return Object.entries(shapes).map(([path, shape]) =>
        ({ path: `layers/${path}`, shape, data: /** @type {any} */ (floats(random, size(shape), 0.5)) }));
}

/**
 * A field of a protocol buffer: text, bytes, a float or a number.
 * @param {number} number
 * @param {number | string | Float32Array | Uint8Array | number[]} value
 * @returns {number[]}
 */
export function field(number, value) {
    /** @type {(n: number) => number[]} */
    const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
    if (typeof value === 'number') return [...varint(number * 8), ...varint(value)];
    if (value instanceof Float32Array) return [...varint(number * 8 + 5), ...new Uint8Array(value.buffer)];
    const bytes = typeof value === 'string' ? encoder.encode(value) : value;
    return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

/** @param {[text: string, score: number, type: number][]} pieces @returns {Uint8Array<ArrayBuffer>} a SentencePiece model by BPE */
export const sentencePiece = (pieces) => Uint8Array.from([
    ...pieces.flatMap(([text, score, type]) =>
        field(1, [...field(1, text), ...field(2, Float32Array.of(score)), ...field(3, type)])),
    ...field(2, field(3, 2)), ...field(3, [...field(3, 1), ...field(4, 0), ...field(5, 1)]),
]);

/** Pieces that make 'ab abba' three or more tokens. */
const PIECES = /** @type {[string, number, number][]} */ ([
    ['<unk>', 0, 2], ['<s>', 0, 3], ['</s>', 0, 3], ['<|user|>', 0, 4],
    ['\u2581a', -1, 1], ['ab', -2, 1], ['\u2581', -3, 1], ['a', -4, 1], ['b', -5, 1],
]);

/** @param {any[]} entries as Keras quantizes them to int8: kernels and tables, with a scale for each output */
function toInt8(entries) {
    return entries.flatMap((entry) => {
        const { path, shape, data } = entry;
        if (shape.length === 1) return [entry];
        const isTable = path.endsWith('embedding/vars/0');
        const outputs = isTable ? shape[0] : path.includes('output_dense') ? shape.at(-1) : size(shape.slice(1));
        const of = (/** @type {number} */ i) => (isTable ? Math.floor(i / shape[1]) : i % outputs);
        const most = new Float32Array(outputs);
        data.forEach((/** @type {number} */ v, /** @type {number} */ i) => { most[of(i)] = Math.max(most[of(i)], Math.abs(v)); });
        const scale = most.map((m) => 127 / (m + 1e-7));
        const q = Int8Array.from(data, (v, i) => Math.round(v * scale[of(i)]));
        return [{ path, shape, data: q }, { path: path.replace(/0$/, '1'), shape: [outputs], data: scale }];
    });
}

/** @param {any[]} entries as Keras packs them in four bits, in groups of 128 inputs, with zero points */
function toInt4(entries) {
    const random = rng(6);
    const bytes = (/** @type {number[]} */ shape, most = 128) =>
        ({ shape, data: Int8Array.from({ length: size(shape) }, () => Math.floor((2 * random() - 1) * most)) });
    return entries.flatMap((entry) => {
        const { path, shape } = entry;
        if (shape.length === 1) return [entry];
        const isTable = path.endsWith('embedding/vars/0');
        const outputs = isTable ? shape[0] : path.includes('output_dense') ? shape.at(-1) : size(shape.slice(1));
        const inputs = size(shape) / outputs;
        const groups = Math.ceil(inputs / 128);
        const beside = isTable ? [outputs, groups] : [groups, outputs];
        return [
            bytes(isTable ? [outputs, inputs / 2] : [inputs, Math.ceil(outputs / 2)]),
            { shape: beside, data: floats(random, outputs * groups, 0.05) },
            bytes(beside, 8),
            { shape: [inputs], data: Float32Array.from({ length: inputs }, (_, i) => Math.floor(i / 128)) },
        ].map((variable, i) => ({ ...variable, path: path.replace(/0$/, String(i)) }));
    });
}

const QUANTIZE = { float32: (/** @type {any[]} */ entries) => entries, int8: toInt8, int4: toInt4 };

/** @param {keyof typeof QUANTIZE} [kind] of int4 in blocks that the core has @returns {Record<string, Uint8Array>} */
export function llamaPreset(kind = 'float32') {
    const at = 'llama_transformer_decoder';
    const [width, inner] = kind === 'int4' ? [128, 128] : [8, 6];
    const part = width / 4;
    const entries = drawn({
        'reversible_embedding/vars/0': [PIECES.length, width],
        'llama_layer_norm/vars/0': [width],
        [`${at}/_feedforward_gate_dense/vars/0`]: [width, inner],
        [`${at}/_feedforward_intermediate_dense/vars/0`]: [width, inner],
        [`${at}/_feedforward_layernorm/vars/0`]: [width],
        [`${at}/_feedforward_output_dense/vars/0`]: [inner, width],
        [`${at}/_self_attention_layer/_key_dense/vars/0`]: [width, 2, part],
        [`${at}/_self_attention_layer/_output_dense/vars/0`]: [4, part, width],
        [`${at}/_self_attention_layer/_query_dense/vars/0`]: [width, 4, part],
        [`${at}/_self_attention_layer/_value_dense/vars/0`]: [width, 2, part],
        [`${at}/_self_attention_layernorm/vars/0`]: [width],
    });
    return {
        'config.json': config('LlamaBackbone', {
            name: 'llama', trainable: true, dtype: 'float32', vocabulary_size: PIECES.length, num_layers: 1, num_query_heads: 4,
            hidden_dim: width, intermediate_dim: inner, rope_max_wavelength: 10000, rope_position_scaling_factor: 1,
            rope_frequency_adjustment_factor: null, rope_low_freq_factor: null, rope_high_freq_factor: null,
            rope_pretraining_sequence_length: null, num_key_value_heads: 2, layer_norm_epsilon: 1e-6, dropout: 0,
        }),
        'model.weights.h5': writeKerasWeights(QUANTIZE[kind](entries)),
        'tokenizer.json': config('LlamaTokenizer', { name: 'tokenizer', proto: null, add_bos: false, add_eos: false }),
        'preprocessor.json': config('LlamaCausalLMPreprocessor', { add_start_token: true, add_end_token: true }),
        'assets/tokenizer/vocabulary.spm': sentencePiece(PIECES),
    };
}

/** @returns {Record<string, Uint8Array>} in two shards */
export function gpt2Preset() {
    const at = 'transformer_decoder';
    const vocabulary = { a: 0, b: 1, '\u0120': 2, ab: 3, '\u0120ab': 4, '<|endoftext|>': 5 };
    const attention = ['key', 'query', 'value'].flatMap((part) => /** @type {[string, number[]][]} */ ([
        [`${at}/_self_attention_layer/${part}_dense/vars/0`, [4, 2, 2]],
        [`${at}/_self_attention_layer/${part}_dense/vars/1`, [2, 2]],
    ]));
    const norms = ['self_attention', 'feedforward'].flatMap((part) =>
        [0, 1].map((i) => /** @type {[string, number[]]} */ ([`${at}/_${part}_layer_norm/vars/${i}`, [4]])));
    const entries = drawn({
        'reversible_embedding/vars/0': [6, 4],
        'position_embedding/vars/0': [12, 4],
        'layer_normalization/vars/0': [4],
        'layer_normalization/vars/1': [4],
        ...Object.fromEntries(attention), ...Object.fromEntries(norms),
        [`${at}/_self_attention_layer/output_dense/vars/0`]: [2, 2, 4],
        [`${at}/_self_attention_layer/output_dense/vars/1`]: [4],
        [`${at}/_feedforward_intermediate_dense/vars/0`]: [4, 3],
        [`${at}/_feedforward_intermediate_dense/vars/1`]: [3],
        [`${at}/_feedforward_output_dense/vars/0`]: [3, 4],
        [`${at}/_feedforward_output_dense/vars/1`]: [4],
    });
    const shards = [entries.slice(0, 4), entries.slice(4)];
    const nameOf = (/** @type {number} */ i) => `model_0000${i}.weights.h5`;
    return {
        'config.json': config('GPT2Backbone', {
            vocabulary_size: 6, num_layers: 1, num_heads: 2, hidden_dim: 4, intermediate_dim: 3, dropout: 0.1,
            max_sequence_length: 12,
        }),
        'model.weights.json': json({
            metadata: { total_size: 1 },
            weight_map: Object.fromEntries(shards.flatMap((part, i) =>
                part.map(({ path }) => [`/${path.replace(/\/\d$/, '')}`, nameOf(i)]))),
        }),
        ...Object.fromEntries(shards.map((part, i) => [nameOf(i), writeKerasWeights(part)])),
        'tokenizer.json': config('GPT2Tokenizer', { add_prefix_space: false, unsplittable_tokens: ['<|endoftext|>'] }),
        'assets/tokenizer/vocabulary.json': json(vocabulary),
        'assets/tokenizer/merges.txt': encoder.encode('#version: 0.2\na b\n\u0120 ab\n'),
    };
}
