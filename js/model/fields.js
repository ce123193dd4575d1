// Reading a config: every field is asked for by name and checked, and the fields that nobody asked for are known at the end. So no field of
// a file is dropped silently: it is used, known to be harmless, or refused by name.

import { FormatError, show } from '../check.js';

/**
 * Fields that change no text: provenance, training, other tasks, hints to a library. explain() lists those that a file has.
 */
const HARMLESS = new Set([
    '_attn_implementation', '_attn_implementation_autoset', '_commit_hash', '_name_or_path', 'architectures', 'auto_map',
    'cache_implementation', 'chunk_size_feed_forward', 'dtype', 'finetuning_task', 'gradient_checkpointing', 'id2label', 'init_std',
    'initializer_range', 'initializer_factor', 'is_decoder', 'is_llama_config', 'keys_to_ignore_at_inference', 'label2id',
    'max_length', 'max_new_tokens', 'max_time', 'model_type', 'num_labels', 'output_attentions', 'output_hidden_states', 'output_scores',
    'pad_token_id', 'pretraining_tp', 'problem_type', 'pruned_heads', 'reorder_and_upcast_attn', 'return_dict', 'return_dict_in_generate',
    'rope_interleaved', 'rope_ratio', 'sep_token_id', 'task_specific_params', 'tokenizer_class', 'torch_dtype', 'torchscript',
    'transformers.js_config', 'transformers_version', 'unsloth_fixed', 'unsloth_version', 'use_bfloat16', 'use_cache',
    'decoder_start_token_id', 'prefix', 'tf_legacy_loss', 'use_return_dict', 'tie_encoder_decoder', 'max_window_layers', 'qkv_bias',
    'add_bos_token', 'mup_base_width', 'name', 'general_architecture', 'pad_token', 'type_vocab_size', 'tokenizer_type', '_num_labels',
    'attn_implementation', 'block_mlp_init_scale', 'block_norm_eps', 'block_out_init_scale', 'block_use_xavier_init',
    'conv_use_xavier_init', 'trust_remote_code', 'model_max_length', 'tokenizer_model_max_length', 'tokenizer_padding_side',
    'attention_softmax_in_fp32', 'scale_attention_softmax_in_fp32',
    // Of generation_config.json: how a library computes, and what it uses to be fast.
    '_from_model_config', 'assistant_confidence_threshold', 'assistant_early_exit', 'assistant_ensemble_weight',
    'assistant_lookbehind', 'cache_config', 'chat_format', 'compile_config', 'continuous_batching_config', 'disable_compile',
    'is_assistant', 'low_memory', 'max_cache_len', 'max_matching_ngram_size', 'max_window_size', 'num_assistant_tokens',
    'num_assistant_tokens_schedule', 'output_logits', 'prefill_chunk_size', 'prompt_lookup_num_tokens', 'renormalize_logits',
    'speculation_type', 'target_lookbehind', 'use_mtp',
]);

/** Harmless too: rates of dropout, and the head that summarizes a text. */
const TRAINING = /drop(out)?(_prob)?$|^summary_/;

/**
 * Fields that would change a text, with the values for which they do not, beside null and empty ones.
 * @type {Record<string, unknown[]>}
 */
const NEUTRAL = {
    // Of a model.
    // In quotation marks, as what begins with _ gets a short name otherwise.
    '_remove_final_layer_norm': [false],
    add_classification_head: [false], add_cross_attention: [false], alibi_bias_max: [0],
    apply_residual_connection_post_layernorm: [false], attention_bias: [false], attention_chunk_size: [], attention_factor: [1],
    attn_type: ['multihead_attention'], block_use_swiglu: [true], clip_qkv: [0], cross_attention_hidden_size: [],
    extrapolation_factor: [1], full_attn_mod: [1], interpolate_factor: [1], is_causal: [true], is_encoder_decoder: [false],
    lm_head_bias: [false], logit_scale: [], mlp_bias: [false], mtp_num_layers: [0], no_bias: [true],
    order_of_interleaved_layers: ['local_attn_first'], output_router_logits: [false], prefix_lm: [false], qk_layernorm: [false],
    qk_ln: [false], quantization_config: [], rotary: [true], scale_attn_weights: [true], use_bidirectional_attention: [false],
    use_cla: [false], use_gated_activation: [true], use_mrope: [false], use_parallel_block: [true], use_pos_enc: [true],
    use_qk_norm: [false], use_rotary_pos_emb: [true], use_sliding_window: [false],
    // Of generation; older configs carry them along.
    bad_words_ids: [], begin_suppress_tokens: [], constraints: [], diversity_penalty: [0], do_sample: [false, true],
    dola_layers: [], early_stopping: [false, true], encoder_no_repeat_ngram_size: [0], encoder_repetition_penalty: [1],
    epsilon_cutoff: [0], eta_cutoff: [0], exponential_decay_length_penalty: [], force_words_ids: [], forced_bos_token_id: [],
    forced_eos_token_id: [], generation_kwargs: [], guidance_scale: [1], length_penalty: [1], min_length: [0], min_new_tokens: [0],
    no_repeat_ngram_size: [0], num_beam_groups: [1], num_beams: [1], num_return_sequences: [1], penalty_alpha: [0],
    remove_invalid_values: [false], repetition_penalty: [1], sequence_bias: [], suppress_tokens: [], temperature: [1],
    token_healing: [false], top_h: [], top_k: [50], top_p: [1], typical_p: [1], watermarking_config: [],
};

/** @param {unknown} value of a field */
const isEmpty = (value) => value === null || (typeof value === 'object' && Object.keys(value).length === 0);

/** The fields of one object of a config. */
export class Fields {
    /**
     * @param {Record<string, any>} values
     * @param {string} where names the object in messages: 'config.json'
     */
    constructor(values, where) {
        this.where = where;
        this._values = values;
        /** @type {Set<string>} */
        this._read = new Set();
        /** Objects in it that are read as fields themselves. @type {Map<string, Fields>} */
        this._inner = new Map();
    }

    get isEmpty() {
        return Object.keys(this._values).length === 0;
    }

    /**
     * The first field of some that is present and not null: spellings of one thing, the newest first.
     * @param {...string} names
     * @returns {any} undefined if there is none
     */
    any(...names) {
        let found;
        for (const name of names) {
            this._read.add(name);
            if (found === undefined && Object.hasOwn(this._values, name)) {
                found = this._values[name] ?? undefined;
            }
        }
        return found;
    }

    /**
     * @param {string} name @param {string} expected @param {unknown} value
     * @returns {never}
     */
    refuse(name, expected, value) {
        throw new FormatError('config-invalid', `${this.where}: ${name} must be ${expected}, got ${show(value)}`);
    }

    /**
     * Refuses a field that asks for something not supported.
     * @param {string} name @param {unknown} value
     * @returns {never}
     */
    unsupported(name, value) {
        throw new FormatError('config-unsupported', `${this.where}: ${name} ${show(value)} is not supported`);
    }

    /**
     * @param {string | string[]} names spellings
     * @param {number} [usual] value if it is absent or null; without, it must be present
     * @returns {number} an integer from 1 to 2^31 - 1
     */
    count(names, usual) {
        const [name] = [names].flat();
        const value = this.any(...[names].flat()) ?? usual;
        if (value === undefined) {
            throw new FormatError('config-missing-key', `${this.where} has no ${name}`);
        }
        return Number.isInteger(value) && value > 0 && value < 2 ** 31 ? value
            : this.refuse(name, 'a positive integer', value);
    }

    /**
     * @param {string | string[]} names @param {number | null} [usual] value if they are absent; a null in the file means none
     * @returns {number | null} a positive integer; null: none
     */
    countOrNone(names, usual = null) {
        const value = this.any(...[names].flat());
        return value === undefined ? this._unsaid(names, usual) : this.count(names);
    }

    /** @param {string} name @param {number} usual where it is absent @returns {number} an integer from 0 on */
    index(name, usual) {
        const value = this.any(name) ?? usual;
        return Number.isSafeInteger(value) && value >= 0 ? value : this.refuse(name, 'an integer from 0 on', value);
    }

    /** @param {string | string[]} names @param {number | null} usual @returns {number | null} null if the file says null */
    _unsaid(names, usual) {
        return [names].flat().some((name) => Object.hasOwn(this._values, name)) ? null : usual;
    }

    /** @param {string | string[]} names @param {number} [usual] @returns {number} finite */
    number(names, usual) {
        const [name] = [names].flat();
        const value = this.any(...[names].flat()) ?? usual;
        if (value === undefined) {
            throw new FormatError('config-missing-key', `${this.where} has no ${name}`);
        }
        return typeof value === 'number' && Number.isFinite(value) ? value : this.refuse(name, 'a finite number', value);
    }

    /** @param {string | string[]} names @param {number} [usual] @returns {number} above 0 */
    positive(names, usual) {
        const value = this.number(names, usual);
        return value > 0 ? value : this.refuse([names].flat()[0], 'above 0', value);
    }

    /**
     * @param {string | string[]} names @param {number | null} [usual] value if they are absent; a null in the file means none
     * @returns {number | null} above 0; null: none
     */
    positiveOrNone(names, usual = null) {
        return this.any(...[names].flat()) === undefined ? this._unsaid(names, usual) : this.positive(names);
    }

    /** @param {string} name @param {boolean} usual @returns {boolean} */
    flag(name, usual) {
        const value = this.any(name) ?? usual;
        return typeof value === 'boolean' ? value : this.refuse(name, 'true or false', value);
    }

    /**
     * One of some words.
     * @template T
     * @param {string | string[]} names @param {Record<string, T>} words @param {string} [usual]
     * @returns {T}
     */
    word(names, words, usual) {
        const [name] = [names].flat();
        const value = this.any(...[names].flat()) ?? usual;
        return typeof value === 'string' && Object.hasOwn(words, value) ? words[value] : this.unsupported(name, value);
    }

    /**
     * @param {string} name @param {number} length @returns {any[] | null} a list of that length, or null where absent
     */
    list(name, length) {
        const value = this.any(name);
        if (value === undefined) {
            return null;
        }
        return Array.isArray(value) && value.length === length ? value : this.refuse(name, `a list of ${length}`, value);
    }

    /** @param {string} name @returns {Fields | null} an object within, or null where absent */
    object(name) {
        const value = this.any(name);
        if (value === undefined) {
            return null;
        }
        if (typeof value !== 'object' || Array.isArray(value)) {
            return this.refuse(name, 'an object', value);
        }
        const inner = this._inner.get(name) ?? new Fields(value, `${this.where}: ${name}`);
        this._inner.set(name, inner);
        return inner;
    }

    /** Marks fields as read that this family has and that change nothing in it. @param {...string} names */
    ignore(...names) {
        names.forEach((name) => this._read.add(name));
    }

    ignoreAll() {
        this.ignore(...Object.keys(this._values));
    }

    /**
     * Ends the reading.
     * @returns {string[]} the fields that were set aside as harmless
     * @throws {FormatError} `config-unknown` for a field that nothing is known of, `config-unsupported` for one that would change a text
     */
    finish() {
        const harmless = [];
        for (const [name, value] of Object.entries(this._values)) {
            if (this._read.has(name)) {
                continue;
            }
            const neutral = isEmpty(value) || (Object.hasOwn(NEUTRAL, name) && NEUTRAL[name].includes(value));
            if (!neutral && Object.hasOwn(NEUTRAL, name)) {
                this.unsupported(name, value);
            }
            if (!neutral && !HARMLESS.has(name) && !TRAINING.test(name)) {
                throw new FormatError('config-unknown', `${this.where}: nothing is known of the field ${show(name)} ` +
                    `(${show(value)}), so it cannot be told whether it matters`);
            }
            harmless.push(name);
        }
        this._inner.forEach((inner, name) => harmless.push(...inner.finish().map((field) => `${name}.${field}`)));
        return harmless;
    }
}
