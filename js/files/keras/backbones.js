// Keras Hub's backbones in Hugging Face's terms: for each class, its config, and where its weights are. A preset
// computes as Keras does: what a config says and Keras's layers never get is not passed on, and `notes` tell of it.

import { FormatError } from '../../check.js';
import { KerasConfig } from './config.js';

/**
 * @typedef {'norm' | 'kernel' | 'output' | 'heads first' | 'stored kernel' | 'stored output'} Kind how a layer's
 *   variables become a weight and a bias: a kernel has one axis of inputs, an output projection (heads, size)
 * @typedef {[groups: string | string[], kind: Kind]} Place several groups stand beside each other
 *
 * @typedef {object} Backbone
 * @property {string} type model_type
 * @property {string} block class of a block, in snake case
 * @property {string} norm class of the last norm
 * @property {string} blocks what Hugging Face calls a block; # is its number
 * @property {{ table: string, norm: string, positions?: string }} names of what is not in a block
 * @property {(config: Record<string, any>) => Record<string, Place>} places within a block, by Hugging Face's name
 * @property {(k: KerasConfig, notes: string[]) => Record<string, any>} config
 */

/** Keras's models with rotary positions know no greatest length; caches grow only as far as a text does. */
const ANY_LENGTH = 131072;

/** @type {Record<string, Place>} */
const LLAMA_BLOCK = {
    'input_layernorm': ['_self_attention_layernorm', 'norm'],
    'self_attn.q_proj': ['_self_attention_layer/_query_dense', 'kernel'],
    'self_attn.k_proj': ['_self_attention_layer/_key_dense', 'kernel'],
    'self_attn.v_proj': ['_self_attention_layer/_value_dense', 'kernel'],
    'self_attn.o_proj': ['_self_attention_layer/_output_dense', 'output'],
    'post_attention_layernorm': ['_feedforward_layernorm', 'norm'],
    'mlp.gate_proj': ['_feedforward_gate_dense', 'kernel'],
    'mlp.up_proj': ['_feedforward_intermediate_dense', 'kernel'],
    'mlp.down_proj': ['_feedforward_output_dense', 'kernel'],
};

/** @type {Record<string, Place>} */
const QWEN3_BLOCK = {
    ...LLAMA_BLOCK,
    'self_attn.q_norm': ['_self_attention_layer/_query_dense_layer_norm', 'norm'],
    'self_attn.k_norm': ['_self_attention_layer/_key_dense_layer_norm', 'norm'],
};

/** @type {Record<string, Place>} */
const PHI3_BLOCK = {
    'input_layernorm': ['pre_attention_layernorm', 'norm'],
    'self_attn.q_proj': ['attention/query_dense', 'kernel'],
    'self_attn.k_proj': ['attention/key_dense', 'kernel'],
    'self_attn.v_proj': ['attention/value_dense', 'kernel'],
    'self_attn.o_proj': ['attention/output_dense', 'output'],
    'post_attention_layernorm': ['post_attention_layernorm', 'norm'],
    'mlp.gate_proj': ['feedforward_gate_dense', 'kernel'],
    'mlp.up_proj': ['feedforward_intermediate_dense', 'kernel'],
    'mlp.down_proj': ['feedforward_output_dense', 'kernel'],
};

/** @type {Record<string, Place>} */
const GEMMA_BLOCK = {
    'input_layernorm': ['pre_attention_norm', 'norm'],
    'self_attn.q_proj': ['attention/query_dense', 'heads first'],
    'self_attn.k_proj': ['attention/key_dense', 'heads first'],
    'self_attn.v_proj': ['attention/value_dense', 'heads first'],
    'self_attn.o_proj': ['attention/output_dense', 'output'],
    'mlp.gate_proj': ['gating_ffw', 'kernel'],
    'mlp.up_proj': ['gating_ffw_2', 'kernel'],
    'mlp.down_proj': ['ffw_linear', 'kernel'],
    'post_attention_layernorm': ['pre_ffw_norm', 'norm'],
};

/** @type {Record<string, Place>} */
const GEMMA2_BLOCK = {
    ...GEMMA_BLOCK,
    'post_attention_layernorm': ['post_attention_norm', 'norm'],
    'pre_feedforward_layernorm': ['pre_ffw_norm', 'norm'],
    'post_feedforward_layernorm': ['post_ffw_norm', 'norm'],
};

/** @type {Record<string, Place>} */
const GEMMA3_BLOCK = {
    ...GEMMA2_BLOCK,
    'self_attn.q_norm': ['attention/query_norm', 'norm'],
    'self_attn.k_norm': ['attention/key_norm', 'norm'],
};

/** Norms that a block of Gemma may lack, by the field that says so. @type {Record<string, string[]>} */
const LACKING = {
    post_attention_norm: ['post_attention_layernorm'],
    post_feedforward_norm: ['post_feedforward_layernorm'],
    query_key_norm: ['self_attn.q_norm', 'self_attn.k_norm'],
};

/** @param {Record<string, Place>} places @param {Record<string, any>} config @returns {Record<string, Place>} */
function without(places, config) {
    const lacking = Object.keys(LACKING).flatMap((field) => (config[field] === false ? LACKING[field] : []));
    return Object.fromEntries(Object.entries(places).filter(([name]) => !lacking.includes(name)));
}

/** @type {Record<string, Place>} */
const GPT2_BLOCK = {
    'ln_1': ['_self_attention_layer_norm', 'norm'],
    'attn.c_attn': [['query', 'key', 'value'].map((part) => `_self_attention_layer/${part}_dense`), 'stored kernel'],
    'attn.c_proj': ['_self_attention_layer/output_dense', 'stored output'],
    'ln_2': ['_feedforward_layer_norm', 'norm'],
    'mlp.c_fc': ['_feedforward_intermediate_dense', 'stored kernel'],
    'mlp.c_proj': ['_feedforward_output_dense', 'stored kernel'],
};

/** Lists have an entry for each, so a small file must not ask for many. */
const MOST_LAYERS = 1024;

const NAMES = { table: 'model.embed_tokens', norm: 'model.norm' };
const BLOCKS = 'model.layers.#';

/** Gemma's blocks never get the config's epsilon. */
const GEMMA_EPSILON = 1e-6;

/** @param {KerasConfig} k what all models with rotary positions say @returns {Record<string, any>} */
function common(k) {
    const layers = k.count('num_layers');
    if (layers > MOST_LAYERS) {
        k.refuse('num_layers', `at most ${MOST_LAYERS}`, layers);
    }
    return {
        vocab_size: k.count('vocabulary_size'), num_hidden_layers: layers,
        num_attention_heads: k.count('num_query_heads'), num_key_value_heads: k.count('num_key_value_heads'),
        hidden_size: k.count('hidden_dim'), intermediate_size: k.count('intermediate_dim'),
        max_position_embeddings: ANY_LENGTH,
    };
}

/** @param {KerasConfig} k @param {number} width @param {number} heads @returns {number} where the config has none */
function headSize(k, width, heads) {
    return width < heads ? k.refuse('hidden_dim', `num_query_heads, ${heads}, or more`, width) : Math.floor(width / heads);
}

/** @param {KerasConfig} k @returns {Record<string, any>} rope_parameters of Llama, Mistral, Qwen */
function linear(k) {
    const factor = k.positive('rope_scaling_factor');
    return {
        rope_theta: k.positive('rope_max_wavelength'),
        ...factor !== 1 && { rope_scaling: { rope_type: 'linear', factor } },
    };
}

/** @param {KerasConfig} k @param {string[]} notes @returns {Record<string, any>} */
function llama(k, notes) {
    const config = common(k);
    if (k.positive('rope_position_scaling_factor', 1) !== 1) {
        notes.push('rope_position_scaling_factor is set aside: it has no effect in Keras');
    }
    const keys = ['rope_frequency_adjustment_factor', 'rope_low_freq_factor', 'rope_high_freq_factor',
        'rope_pretraining_sequence_length'];
    const given = keys.map((key) => k.positiveOrNone(key));
    const [factor, low, high, trained] = given;
    if (given.includes(null) && given.some((value) => value !== null)) {
        k.refuse(keys[given.indexOf(null)], 'given as the other three are', null);
    }
    return {
        ...config, head_dim: headSize(k, config.hidden_size, config.num_attention_heads),
        rms_norm_eps: k.positive('layer_norm_epsilon'), rope_theta: k.positive('rope_max_wavelength'),
        ...factor !== null && {
            rope_scaling: {
                rope_type: 'llama3', factor, low_freq_factor: low, high_freq_factor: high,
                original_max_position_embeddings: trained,
            },
        },
    };
}

/** @param {KerasConfig} k @param {boolean} enabled @returns {Record<string, any>} a window in every layer, or none */
function windowOfAll(k, enabled) {
    const size = k.countOrNone('sliding_window_size');
    return enabled && size !== null ? { use_sliding_window: true, sliding_window: size, max_window_layers: 0 }
        : { use_sliding_window: false, sliding_window: null };
}

/** @param {KerasConfig} k @param {number} epsilon of the blocks @returns {Record<string, any>} */
function gemmaNorms(k, epsilon) {
    const last = k.positive('layer_norm_epsilon');
    return { rms_norm_eps: epsilon, ...last !== epsilon && { final_norm_eps: last } };
}

/** @param {KerasConfig} k @param {string[]} notes @returns {Record<string, any>} what Gemma 1 to 3 share */
function gemmaCommon(k, notes) {
    /** @type {Record<string, any>} */
    const config = {
        ...common(k), head_dim: k.count('head_dim'), hidden_activation: 'gelu_pytorch_tanh',
        ...gemmaNorms(k, GEMMA_EPSILON),
    };
    if (config.final_norm_eps !== undefined) {
        notes.push(`layer_norm_epsilon is that of the last norm alone: Keras's blocks always have ${GEMMA_EPSILON}`);
    }
    if (!k.flag('query_head_dim_normalize', true)) {
        notes.push("query_head_dim_normalize is set aside: Keras's blocks always scale by the head's size");
    }
    return config;
}

/**
 * @param {KerasConfig} k
 * @param {boolean} usual
 * @returns {Record<string, any>} which of a block's two last norms there are not
 */
function lackingNorms(k, usual) {
    return {
        ...!k.flag('use_post_attention_norm', usual) && { post_attention_norm: false },
        ...!k.flag('use_post_ffw_norm', usual) && { post_feedforward_norm: false },
    };
}

/** @param {KerasConfig} k @param {string[]} notes @returns {Record<string, any>} */
function gemma(k, notes) {
    const config = gemmaCommon(k, notes);
    const inner = Math.floor(config.intermediate_size / 2);
    const caps = { attn_logit_softcapping: k.positiveOrNone('attention_logit_soft_cap'),
        final_logit_softcapping: k.positiveOrNone('final_logit_soft_cap') };
    const size = k.countOrNone('sliding_window_size');
    const window = k.flag('use_sliding_window_attention', false) ? size : null;
    const lacks = lackingNorms(k, false);
    const base = { ...config, intermediate_size: inner, rope_theta: 10000, tie_word_embeddings: true };
    if (window === null && Object.values(caps).every((cap) => cap === null) && Object.keys(lacks).length === 2) {
        return { model_type: 'gemma', ...base };
    }
    return {
        model_type: 'gemma2', ...base, ...caps, ...lacks, query_pre_attn_scalar: config.head_dim,
        sliding_window: window, layer_types: layerTypes(config, (i) => window !== null && i % 2 === 0),
    };
}

/** @param {Record<string, any>} config @param {(layer: number) => boolean} slides @returns {string[]} */
function layerTypes(config, slides) {
    const type = (/** @type {number} */ i) => (slides(i) ? 'sliding_attention' : 'full_attention');
    return Array.from({ length: config.num_hidden_layers }, (_, i) => type(i));
}

/** @param {number} base @param {number} factor @returns {Record<string, any>} */
function scaled(base, factor) {
    return factor === 1 ? { rope_type: 'default', rope_theta: base }
        : { rope_type: 'linear', rope_theta: base, factor };
}

/** @param {KerasConfig} k @param {string[]} notes @returns {Record<string, any>} */
function gemma3(k, notes) {
    const config = gemmaCommon(k, notes);
    for (const [key, wanted] of /** @type {[string, any][]} */ ([
        ['vision_encoder', null], ['is_embedding_model', false], ['use_bidirectional_attention', false],
    ])) {
        k.only(key, wanted);
    }
    // Of images and of embedding models.
    k.ignore('image_size', 'pooling_intermediate_dim', 'embedding_dim');
    const window = k.count('sliding_window_size');
    const slides = k.flag('use_sliding_window_attention', false);
    return {
        ...config, ...lackingNorms(k, true), ...!k.flag('use_query_key_norm', true) && { query_key_norm: false },
        attention_logit_soft_cap: k.positiveOrNone('attention_logit_soft_cap'),
        final_logit_softcapping: k.positiveOrNone('final_logit_soft_cap'), query_pre_attn_scalar: config.head_dim,
        sliding_window: window, layer_types: layerTypes(config, (i) => slides && i % 6 < 5), tie_word_embeddings: true,
        rope_parameters: {
            sliding_attention: scaled(1e4, k.positive('local_rope_scaling_factor', 1)),
            full_attention: scaled(1e6, k.positive('global_rope_scaling_factor', 1)),
        },
    };
}

/** @param {KerasConfig} k @param {string[]} notes @returns {Record<string, any>} */
function phi3(k, notes) {
    const config = common(k);
    const [longest, trained] = [k.count('max_sequence_length'), k.count('pretraining_sequence_length')];
    const type = k.word('rope_scaling_type', [null, 'su']);
    const factors = {
        short_factor: k.any('rope_scaling_short_factor'), long_factor: k.any('rope_scaling_long_factor'),
    };
    if (type === 'su') {
        notes.push('rope_scaling su: Keras chooses the factors by the length of each call, here by that of the text');
    }
    return {
        ...config, head_dim: headSize(k, config.hidden_size, config.num_attention_heads),
        max_position_embeddings: longest,
        rms_norm_eps: k.positive('layer_norm_epsilon'), rope_theta: k.positive('rope_max_wavelength'),
        ...type === 'su' && {
            original_max_position_embeddings: trained, rope_scaling: { rope_type: 'longrope', ...factors },
        },
    };
}

/** @type {Record<string, Backbone>} */
const BACKBONES = {
    GPT2Backbone: {
        type: 'gpt2', block: 'transformer_decoder', norm: 'layer_normalization', blocks: 'transformer.h.#',
        names: { table: 'transformer.wte', norm: 'transformer.ln_f', positions: 'transformer.wpe' },
        places: () => GPT2_BLOCK,
        config: (k) => ({
            vocab_size: k.count('vocabulary_size'), n_layer: k.count('num_layers'), n_head: k.count('num_heads'),
            n_embd: k.count('hidden_dim'), n_inner: k.count('intermediate_dim'),
            n_positions: k.count('max_sequence_length'),
            layer_norm_epsilon: 1e-5, activation_function: 'gelu_new',
        }),
    },
    LlamaBackbone: {
        type: 'llama', block: 'llama_transformer_decoder', norm: 'llama_layer_norm', blocks: BLOCKS, names: NAMES,
        places: () => LLAMA_BLOCK, config: llama,
    },
    MistralBackbone: {
        type: 'mistral', block: 'mistral_transformer_decoder', norm: 'mistral_layer_normalization', blocks: BLOCKS,
        names: NAMES, places: () => LLAMA_BLOCK,
        config: (k) => {
            const config = common(k);
            return {
                ...config, ...linear(k), rms_norm_eps: k.positive('layer_norm_epsilon'),
                sliding_window: k.countOrNone('sliding_window'),
                head_dim: k.countOrNone('head_dim') ?? headSize(k, config.hidden_size, config.num_attention_heads),
            };
        },
    },
    QwenBackbone: {
        type: 'qwen2', block: 'qwen_transformer_decoder', norm: 'qwen_layer_norm', blocks: BLOCKS, names: NAMES,
        places: () => LLAMA_BLOCK,
        config: (k) => {
            const config = common(k);
            k.ignore('tie_word_embeddings');
            return {
                ...config, ...linear(k), rms_norm_eps: k.positive('layer_norm_epsilon'),
                head_dim: headSize(k, config.hidden_size, config.num_attention_heads),
                ...windowOfAll(k, k.flag('use_sliding_window_attention', false)),
            };
        },
    },
    Qwen3Backbone: {
        type: 'qwen3', block: 'qwen3_transformer_decoder', norm: 'qwen3_layer_norm', blocks: BLOCKS, names: NAMES,
        places: () => QWEN3_BLOCK,
        config: (k, notes) => {
            const config = common(k);
            const epsilon = k.positive('layer_norm_epsilon');
            k.ignore('tie_word_embeddings');
            if (epsilon !== 1e-5) {
                notes.push('layer_norm_epsilon does not reach the norms of queries and keys: theirs is 1e-5 in Keras');
            }
            return {
                ...config, ...linear(k), rms_norm_eps: epsilon, ...epsilon !== 1e-5 && { qk_norm_eps: 1e-5 },
                head_dim: k.countOrNone('head_dim') ?? headSize(k, config.hidden_size, config.num_attention_heads),
                ...windowOfAll(k, true),
            };
        },
    },
    Phi3Backbone: {
        type: 'phi3', block: 'phi3_decoder', norm: 'phi3_layer_norm', blocks: BLOCKS, names: NAMES,
        places: () => PHI3_BLOCK, config: phi3,
    },
    GemmaBackbone: {
        type: 'gemma', block: 'gemma_decoder_block', norm: 'rms_normalization', blocks: BLOCKS, names: NAMES,
        places: (config) => (config.model_type === 'gemma2' ? without(GEMMA2_BLOCK, config) : GEMMA_BLOCK), config: gemma,
    },
    Gemma3Backbone: {
        type: 'gemma3_text', block: 'gemma3_decoder_block', norm: 'rms_normalization', blocks: BLOCKS, names: NAMES,
        places: (config) => without(GEMMA3_BLOCK, config), config: gemma3,
    },
};
BACKBONES.Llama3Backbone = BACKBONES.LlamaBackbone;

/**
 * @param {any} config of config.json
 * @returns {{ backbone: Backbone, config: Record<string, any>, dtype: any, notes: string[] }} config in Hugging
 *   Face's terms
 * @throws {FormatError} `architecture`, `config-invalid`, `config-missing-key`, `config-unknown`, `config-unsupported`
 */
export function readBackbone(config) {
    const name = config.class_name;
    if (typeof name !== 'string' || !Object.hasOwn(BACKBONES, name)) {
        const words = typeof name === 'string' ? JSON.stringify(name.slice(0, 60)) : 'without a class name';
        throw new FormatError('architecture',
            `Keras presets of ${words} are not supported; these are: ${Object.keys(BACKBONES).join(', ')}`);
    }
    const backbone = BACKBONES[name];
    const k = new KerasConfig(config.config, name);
    /** @type {string[]} */
    const notes = [];
    const dtype = k.any('dtype');
    k.ignore('name', 'trainable', 'dropout');
    /** @type {Record<string, any>} */
    const found = { model_type: backbone.type, ...backbone.config(k, notes) };
    k.finish();
    if (found.max_position_embeddings === ANY_LENGTH) {
        notes.push(`the preset names no greatest length: ${ANY_LENGTH} is taken`);
    }
    return { backbone, config: found, dtype, notes };
}
