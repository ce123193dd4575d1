// A GGUF file's metadata in Hugging Face's terms: one table of keys for all architectures. What the keys mean is said
// in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; whether a model needs one, and whether its tensors
// agree, the model says.

import { FormatError, checkFormat, show } from '../check.js';

/**
 * @typedef {import('./gguf.js').Pair} Pair
 * @typedef {'count' | 'counts' | 'size' | 'number' | 'positive' | 'boolean' | 'string' | 'pattern'} Kind
 *   count: an integer above 0; counts: one, or one from 0 up for each layer; size: an integer from 0 up, 0 for none;
 *   positive: a finite number above 0; pattern: a count, or a boolean for each layer
 */

/** After `<architecture>.`: the field of config.json. @type {Record<string, [string, Kind]>} */
const KEYS = {
    'context_length': ['max_position_embeddings', 'count'],
    'embedding_length': ['hidden_size', 'count'],
    'block_count': ['num_hidden_layers', 'count'],
    'feed_forward_length': ['intermediate_size', 'counts'],
    'vocab_size': ['vocab_size', 'count'],
    'use_parallel_residual': ['use_parallel_residual', 'boolean'],
    'final_logit_softcapping': ['final_logit_softcapping', 'number'],
    'attn_logit_softcapping': ['attn_logit_softcapping', 'number'],
    'logit_scale': ['logit_scale', 'number'],
    'embedding_scale': ['embedding_multiplier', 'number'],
    'residual_scale': ['residual_multiplier', 'number'],
    'attention.scale': ['attention_multiplier', 'number'],
    'attention.head_count': ['num_attention_heads', 'counts'],
    'attention.head_count_kv': ['num_key_value_heads', 'counts'],
    'attention.key_length': ['head_dim', 'count'],
    'attention.value_length': ['v_head_dim', 'count'],
    'attention.layer_norm_rms_epsilon': ['rms_norm_eps', 'positive'],
    'attention.layer_norm_epsilon': ['layer_norm_eps', 'positive'],
    'attention.sliding_window': ['sliding_window', 'size'],
    'attention.sliding_window_pattern': ['sliding_window_pattern', 'pattern'],
    'attention.clamp_kqv': ['clip_qkv', 'number'],
    'attention.max_alibi_bias': ['alibi_bias_max', 'number'],
    'attention.causal': ['is_causal', 'boolean'],
    'rope.freq_base': ['rope_theta', 'positive'],
    'rope.freq_base_swa': ['rope_local_base_freq', 'positive'],
    'rope.dimension_count': ['rotary_dims', 'size'],
    'shortconv.l_cache': ['conv_L_cache', 'count'],
    'expert_count': ['num_local_experts', 'size'],
    'expert_used_count': ['num_experts_per_tok', 'size'],
    'expert_feed_forward_length': ['moe_intermediate_size', 'size'],
    'expert_shared_feed_forward_length': ['shared_expert_intermediate_size', 'size'],
    'expert_weights_norm': ['norm_topk_prob', 'boolean'],
};

/** Fields that an architecture's config.json spells otherwise. @type {Record<string, Record<string, string>>} */
const SPELLINGS = {
    granite: { logit_scale: 'logits_scaling' },
    gpt2: {
        max_position_embeddings: 'n_positions', hidden_size: 'n_embd', num_hidden_layers: 'n_layer',
        num_attention_heads: 'n_head', intermediate_size: 'n_inner', layer_norm_eps: 'layer_norm_epsilon',
    },
    gptneox: { partial_rotary_factor: 'rotary_pct', rope_theta: 'rotary_emb_base' },
    starcoder2: { layer_norm_eps: 'norm_epsilon' },
};

/** After `<architecture>.rope.scaling.`: the field within rope_scaling. @type {Record<string, [string, Kind]>} */
const ROPE_SCALING = {
    'type': ['rope_type', 'string'],
    'factor': ['factor', 'number'],
    'original_context_length': ['original_max_position_embeddings', 'count'],
    'attn_factor': ['magnitude', 'number'],
    'yarn_ext_factor': ['extrapolation_factor', 'number'],
    'yarn_attn_factor': ['attention_factor', 'number'],
    'yarn_beta_fast': ['beta_fast', 'positive'],
    'yarn_beta_slow': ['beta_slow', 'positive'],
};

/** Of tokens; a text ends at any of the last four, of which Ollama has lists. @type {Record<string, string>} */
const TOKENS = {
    bos_token_id: 'bos_token_id', padding_token_id: 'pad_token_id',
    eos_token_id: 'eos_token_id', eos_token_ids: 'eos_token_id', eot_token_id: 'eos_token_id', eom_token_id: 'eos_token_id',
};

const ID = /^[ui]\d+$/;

/**
 * Of the vocabulary, which becomes a tokenizer elsewhere: the type that each has to have.
 * @type {Record<string, RegExp>}
 */
const VOCABULARY = {
    model: /^string$/, pre: /^string$/,
    tokens: /^array of string$/, merges: /^array of string$/,
    scores: /^array of f(32|64)$/, token_type: /^array of [ui](8|16|32)$/,
    precompiled_charsmap: /^array of [ui]8$/,
    add_bos_token: /^bool$/, add_eos_token: /^bool$/, add_sep_token: /^bool$/, add_space_prefix: /^bool$/,
    remove_extra_whitespaces: /^bool$/, escape_whitespaces: /^bool$/,
    bos_token_id: ID, eos_token_id: ID, eos_token_ids: /^array of [ui](8|16|32)$/, eot_token_id: ID, eom_token_id: ID, unknown_token_id: ID, seperator_token_id: ID,
    separator_token_id: ID, padding_token_id: ID, cls_token_id: ID, mask_token_id: ID, fim_pad_token_id: ID, fim_rep_token_id: ID,
    fim_sep_token_id: ID,
};

/**
 * After `general.sampling.`, how its maker draws texts: the field of generation_config.json. What llama.cpp has besides (XTC,
 * Mirostat, penalties of the last tokens, an order of samplers) is set aside.
 * @type {Record<string, [string, Kind]>}
 */
const SAMPLING = {
    temp: ['temperature', 'number'], top_k: ['top_k', 'number'], top_p: ['top_p', 'number'], min_p: ['min_p', 'number'],
};

/** One template, or one of several. */
const TEMPLATE = /^tokenizer\.chat_template(?:\.(.+))?$/;

/** Keys that say nothing about what a model computes: how the file came about, what it is called, tasks beside text. */
const HARMLESS = [
    /^general\.(?!architecture$)/, /^split\./, /^quantize\.imatrix\./, /^imatrix\./,
    /^tokenizer\.huggingface\.json$/, /^tokenizer\.chat_templates$/,
    /^tokenizer\.ggml\.(prefix|suffix|middle|fim_(pre|suf|mid))_token_id$/, /^tokenizer\.ggml\.token_type_count$/,
    /^[^.]+\.(pooling_type|tensor_data_layout|source\.[^.]+|rope\.scaling\.finetuned)$/,
];

/** Architectures that usually rotate a part of each head; a file that does not say which rotates all of it. */
const PARTIAL = ['gptneox', 'phi2', 'stablelm'];

/** What every model of text has to say. */
const REQUIRED = ['context_length', 'embedding_length', 'block_count', 'feed_forward_length', 'attention.head_count'];

/** What those of an architecture have to say besides. @type {Map<string, string[]>} */
const ALSO = new Map([['gptneox', ['use_parallel_residual']], ['granite', ['logit_scale']]]);

/**
 * @param {Map<string, Pair>} pairs
 * @param {string} name of the file, for messages
 * @returns {string} general.architecture
 */
export function architectureOf(pairs, name) {
    const pair = pairs.get('general.architecture');
    if (pair === undefined) {
        throw new FormatError('missing-key', `${name} lacks the key general.architecture`);
    }
    if (pair.type !== 'string') {
        throw new FormatError('bad-type', `${name}: general.architecture must be a string, got ${pair.type}`);
    }
    return pair.value;
}

/**
 * What becomes of every key.
 * @param {Map<string, Pair>} pairs
 * @param {string} architecture
 * @returns {import('./tensor-source.js').Fields}
 */
export function fieldsOf(pairs, architecture) {
    /** @type {import('./tensor-source.js').Fields} */
    const fields = { used: [], harmless: [], unknown: [] };
    for (const key of pairs.keys()) {
        const isUsed = key === 'general.architecture' || TEMPLATE.test(key) ||
            known(VOCABULARY, 'tokenizer.ggml.', key) || known(KEYS, `${architecture}.`, key) ||
            known(SAMPLING, 'general.sampling.', key) ||
            known(ROPE_SCALING, `${architecture}.rope.scaling.`, key) || key === `${architecture}.rope.scale_linear`;
        const kind = isUsed ? 'used' : HARMLESS.some((pattern) => pattern.test(key)) ? 'harmless' : 'unknown';
        fields[kind].push(key);
    }
    return fields;
}

/** @param {object} table @param {string} prefix @param {string} key */
function known(table, prefix, key) {
    return key.startsWith(prefix) && Object.hasOwn(table, key.slice(prefix.length));
}

/**
 * @param {Map<string, Pair>} pairs
 * @param {Map<string, import('./tensor-source.js').TensorInfo>} tensors
 * @param {string} name of the file, for messages
 * @returns {Record<string, any>} what config.json would say
 * @throws {FormatError} `missing-key`, `bad-type`, `bad-value`
 */
export function configOf(pairs, tensors, name) {
    const architecture = architectureOf(pairs, name);
    requireKeys(pairs, architecture, name);
    /** @type {Record<string, any>} */
    const config = { model_type: architecture };
    // Of this architecture alone it says something: that there are none.
    checkFormat(architecture !== 'granite' || pairs.get('granite.rope.scaling.finetuned')?.value !== false, 'config-unsupported',
        `${name}: "granite.rope.scaling.finetuned" false, without rotary positions, is not supported`);
    const layers = pairs.get(`${architecture}.block_count`)?.value;
    // Every layer has a tensor at least, so a list of layers is no longer than that of tensors.
    checkFormat(typeof layers !== 'number' || layers <= tensors.size, 'bad-value',
        `${name}: ${show(`${architecture}.block_count`)} is ${show(layers)}, with ${tensors.size} tensors`);
    for (const [key, [field, kind]] of Object.entries(KEYS)) {
        const value = valueOf(pairs, `${architecture}.${key}`, kind, layers, name);
        if (value !== undefined) {
            config[field] = value;
        }
    }
    headsOf(config, name);
    windowsOf(config);
    rotationOf(config, pairs, tensors, architecture, name);
    config.vocab_size ??= pairs.get('tokenizer.ggml.tokens')?.value.length ??
        tensors.get('token_embd.weight')?.shape[0];
    Object.assign(config, tokensOf(pairs, name));
    config.tie_word_embeddings = !tensors.has('output.weight');
    return respelt(config, architecture);
}

/**
 * @param {Map<string, Pair>} pairs
 * @param {string} name of the file, for messages
 * @returns {Record<string, any> | null} what generation_config.json would say; null: nothing
 * @throws {FormatError} `bad-type`, `bad-value`
 */
export function generationOf(pairs, name) {
    /** @type {Record<string, any>} */
    const generation = {};
    for (const [key, [field, kind]] of Object.entries(SAMPLING)) {
        const value = valueOf(pairs, `general.sampling.${key}`, kind, 0, name);
        if (value !== undefined) {
            generation[field] = value;
            generation.do_sample = true;
        }
    }
    return generation.do_sample ? generation : null;
}

/** @param {Record<string, any>} config @param {string} architecture @returns {Record<string, any>} */
function respelt(config, architecture) {
    const spelling = Object.hasOwn(SPELLINGS, architecture) ? SPELLINGS[architecture] : {};
    return Object.fromEntries(Object.entries(config).map(([field, value]) =>
        [Object.hasOwn(spelling, field) ? spelling[field] : field, value]));
}

/** @param {Map<string, Pair>} pairs @param {string} architecture @param {string} name */
function requireKeys(pairs, architecture, name) {
    for (const key of [...REQUIRED, ...ALSO.get(architecture) ?? []]) {
        checkFormat(pairs.has(`${architecture}.${key}`), 'missing-key', `${name} lacks the key ${show(`${architecture}.${key}`)}`);
    }
    const norms = ['attention.layer_norm_rms_epsilon', 'attention.layer_norm_epsilon'];
    checkFormat(norms.some((key) => pairs.has(`${architecture}.${key}`)), 'missing-key',
        `${name} lacks the key ${show(`${architecture}.${norms[0]}`)}`);
}

/**
 * @param {Map<string, Pair>} pairs
 * @param {string} key
 * @param {Kind} kind
 * @param {any} layers how many there are
 * @param {string} name
 * @returns {any} undefined where there is no such key
 */
function valueOf(pairs, key, kind, layers, name) {
    const pair = pairs.get(key);
    if (pair === undefined) {
        return undefined;
    }
    const { type, value } = pair;
    /** @param {string} code @param {string} wanted */
    const wrong = (code, wanted) => new FormatError(code,
        `${name}: ${show(key)} must be ${wanted}, got ${code === 'bad-type' ? type : show(value)}`);
    const perLayer = type.startsWith('array') && (kind === 'counts' || kind === 'pattern');
    const [wanted, is, words] = KINDS[kind];
    if (!wanted.test(perLayer ? type.replace('array of ', '') : type)) {
        throw wrong('bad-type', kind);
    }
    if (perLayer) {
        if (value.length !== layers) {
            throw wrong('bad-value', `of length ${layers}, the number of layers`);
        }
        const list = type === 'array of bool' ? Array.from(value, Boolean) : Array.from(value);
        if (kind === 'counts' && !list.every((n) => Number.isSafeInteger(n) && n >= 0)) {
            throw wrong('bad-value', 'of whole numbers from 0 up');
        }
        // A field of equal entries says no more than one of them.
        return list.every((n) => n === list[0]) && list[0] !== 0 && kind === 'counts' ? list[0] : list;
    }
    if (!is(value)) {
        throw wrong('bad-value', words);
    }
    return kind === 'size' && value === 0 ? null : value;
}

const INTEGER = /^[ui](8|16|32|64)$/;
const NUMBER = /^[uif](8|16|32|64)$/;

/** @param {any} value */
const isCount = (value) => Number.isSafeInteger(value) && value > 0 && value < 2 ** 31;

/** Types that a kind may have, what its values are, and in words. @type {Record<Kind, [type: RegExp, is: (value: any) => boolean, words: string]>} */
const KINDS = {
    count: [INTEGER, isCount, 'a whole number from 1 up'], counts: [INTEGER, isCount, 'a whole number from 1 up'],
    size: [INTEGER, (value) => value === 0 || isCount(value), 'a whole number from 0 up'],
    number: [NUMBER, Number.isFinite, 'a finite number'],
    positive: [NUMBER, (value) => Number.isFinite(value) && value > 0, 'a number above 0'],
    boolean: [/^bool$/, () => true, ''], string: [/^string$/, () => true, ''],
    pattern: [/^(bool|[ui](8|16|32|64))$/, isCount, 'a whole number from 1 up'],
};

/**
 * What follows from one field for another, and what cannot be.
 * @param {Record<string, any>} config
 * @param {string} name
 */
function headsOf(config, name) {
    const { hidden_size: width, num_attention_heads: heads } = config;
    /** @param {string} what @param {number} value @param {string} of @param {number} count */
    const whole = (what, value, of, count) =>
        checkFormat(value % count === 0, 'bad-value', `${name}: ${what} ${value} is no multiple of attention.head_count${of} ${count}`);
    const kv = kvHeadsOf(config) ?? heads;
    config.num_key_value_heads = kv;
    if (typeof heads === 'number') {
        config.v_head_dim ??= Math.floor(width / heads);
        if (config.head_dim === undefined) {
            whole('embedding_length', width, '', heads);
        }
        config.head_dim ??= width / heads;
        if (typeof kv === 'number') {
            whole('attention.head_count', heads, '_kv', kv);
        }
    }
    if (config.v_head_dim === config.head_dim) {
        delete config.v_head_dim;
    }
}

/**
 * In models with convolutions none in a layer means that it has no attention.
 * @param {Record<string, any>} config
 */
function kvHeadsOf(config) {
    const { num_key_value_heads: heads, conv_L_cache: taps } = config;
    if (taps === undefined || !Array.isArray(heads)) return heads;
    config.layer_types = heads.map((n) => (n === 0 ? 'conv' : 'full_attention'));
    const counts = [...new Set(heads)].filter((n) => n > 0);
    return counts.length === 1 ? counts[0] : heads;
}

/**
 * Which layers slide: one flag for each, or every so many-th does not.
 * @param {Record<string, any>} config
 */
function windowsOf(config) {
    const { sliding_window_pattern: pattern, num_hidden_layers: count } = config;
    delete config.sliding_window_pattern;
    // Only Gemma 2 has a window where the file does not say so.
    if (pattern !== undefined && (config.sliding_window || config.model_type === 'gemma2')) {
        config.layer_types = Array.from({ length: count }, (_, i) => (pattern[i] ?? (i + 1) % pattern ? 'sliding_attention' : 'full_attention'));
    }
}

/**
 * @param {Record<string, any>} config
 * @param {Map<string, Pair>} pairs
 * @param {Map<string, import('./tensor-source.js').TensorInfo>} tensors
 * @param {string} architecture
 * @param {string} name
 */
function rotationOf(config, pairs, tensors, architecture, name) {
    const { rotary_dims: dims, head_dim: width } = config;
    if (dims !== undefined && dims !== null) {
        checkFormat(dims % 2 === 0 && dims <= width, 'bad-value', `${name}: rope.dimension_count must be even and at most ${width}, got ${dims}`);
        config.partial_rotary_factor = dims / width;
    } else if (PARTIAL.includes(architecture)) {
        config.partial_rotary_factor = 1;
    }
    /** @type {Record<string, any>} */
    const scaling = {};
    for (const [key, [field, kind]] of Object.entries(ROPE_SCALING)) {
        const value = valueOf(pairs, `${architecture}.rope.scaling.${key}`, kind, undefined, name);
        if (value !== undefined) {
            scaling[field] = value;
        }
    }
    // The older spelling of a factor; 0 and none are 1, as llama.cpp reads them.
    scaling.factor = (scaling.factor ?? valueOf(pairs, `${architecture}.rope.scale_linear`, 'number', undefined, name)) || 1;
    const { rope_type: said = 'linear', factor, magnitude, ...others } = scaling;
    const type = tensors.has('rope_factors_long.weight') ? 'longrope' : said === 'linear' && factor === 1 ? 'none' : said;
    checkFormat(type !== 'longrope' || factor === 1, 'config-unsupported',
        `${name}: rope.scaling.factor ${factor} beside LongRoPE is not supported`);
    if (magnitude !== undefined) {
        // Of YaRN's it is another factor; where it cannot be, it is refused.
        others.attention_factor = magnitude * (type === 'yarn' ? others.attention_factor ?? 1 + Math.log(Math.max(factor, 1)) / 10 : 1);
    }
    config.rope_scaling = type !== 'none' || others.attention_factor ? { ...others, factor, rope_type: type } : null;
}

/** @param {Map<string, Pair>} pairs @param {string} name */
function tokensOf(pairs, name) {
    checkVocabulary(pairs, name);
    /** @type {Record<string, any>} */
    const tokens = {};
    for (const [key, field] of Object.entries(TOKENS)) {
        const id = pairs.get(`tokenizer.ggml.${key}`)?.value;
        if (field !== 'eos_token_id') {
            tokens[field] = id ?? null;
        } else {
            const ids = typeof id === 'object' ? id : id === undefined ? [] : [id];
            tokens.eos_token_id = [...new Set([...tokens.eos_token_id ?? [], ...ids])];
        }
    }
    return tokens;
}

/** @param {Map<string, Pair>} pairs @returns {boolean} whether there is any of it: files may say that they have none */
export function hasVocabulary(pairs) {
    const parts = ['model', 'tokens', 'merges', 'scores', 'token_type', 'pre'];
    return parts.some((part) => pairs.has(`tokenizer.ggml.${part}`)) &&
        !['none', 'no_vocab'].includes(pairs.get('tokenizer.ggml.model')?.value);
}

/**
 * A vocabulary is whole or not there at all.
 * @param {Map<string, Pair>} pairs
 * @param {string} name
 */
function checkVocabulary(pairs, name) {
    for (const [key, type] of Object.entries(VOCABULARY)) {
        const pair = pairs.get(`tokenizer.ggml.${key}`);
        checkFormat(pair === undefined || type.test(pair.type), 'bad-type', `${name}: tokenizer.ggml.${key} is ${show(pair?.type)}`);
    }
    if (hasVocabulary(pairs)) {
        for (const part of ['model', 'tokens']) {
            checkFormat(pairs.has(`tokenizer.ggml.${part}`), 'missing-key', `${name} lacks the key tokenizer.ggml.${part}`);
        }
        const { length } = pairs.get('tokenizer.ggml.tokens')?.value ?? [];
        for (const part of ['scores', 'token_type']) {
            const list = pairs.get(`tokenizer.ggml.${part}`)?.value;
            checkFormat(list === undefined || list.length === length, 'tokenizer-invalid',
                `${name}: tokenizer.ggml.${part} has ${list?.length} entries for ${length} tokens`);
        }
    }
}

/**
 * @param {Map<string, Pair>} pairs
 * @param {string} name
 * @returns {string | Map<string, string> | null} the template of tokenizer.chat_template, or all by name
 */
export function templatesOf(pairs, name) {
    /** @type {Map<string, string>} */
    const templates = new Map();
    for (const [key, { type, value }] of pairs) {
        const match = TEMPLATE.exec(key);
        if (match) {
            if (type !== 'string') {
                throw new FormatError('bad-type', `${name}: ${show(key)} must be a string, got ${type}`);
            }
            templates.set(match[1] ?? 'default', value);
        }
    }
    return templates.size > 1 ? templates : templates.values().next().value ?? null;
}
