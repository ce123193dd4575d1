// A config as it is read: every field is asked for by name and checked, and what nobody asked for is known at the end.
// So nothing of a file is dropped: a field is used, known to be harmless, or refused by name.

import { FormatError, show } from '../check.js';

/**
 * Fields that say nothing about a text that is read or written: provenance, training, other tasks, hints to a library.
 * The only list of its kind; explain() tells which of them a file has.
 */
const HARMLESS = new Set([
    '_attn_implementation', '_attn_implementation_autoset', '_commit_hash', '_name_or_path', 'architectures', 'auto_map',
    'attention_dropout', 'attn_dropout', 'attn_pdrop', 'attention_probs_dropout_prob', 'classifier_dropout', 'cache_implementation',
    'chunk_size_feed_forward', 'dropout', 'dtype', 'embd_pdrop', 'embedding_dropout', 'exponential_decay_length_penalty',
    'finetuning_task', 'gradient_checkpointing', 'hidden_dropout', 'hidden_dropout_prob', 'id2label', 'initializer_range',
    'initializer_factor', 'is_decoder', 'is_llama_config', 'keys_to_ignore_at_inference', 'label2id', 'max_length',
    'mlp_dropout', 'model_type', 'num_labels', 'output_attentions', 'output_hidden_states', 'output_scores', 'pad_token_id',
    'pretraining_tp', 'problem_type', 'pruned_heads', 'reorder_and_upcast_attn', 'resid_pdrop', 'residual_dropout', 'return_dict',
    'return_dict_in_generate', 'rope_interleaved', 'rope_ratio', 'sep_token_id', 'summary_activation', 'summary_first_dropout',
    'summary_proj_to_labels', 'summary_type', 'summary_use_proj', 'task_specific_params', 'tokenizer_class', 'torch_dtype', 'torchscript', 'transformers.js_config',
    'transformers_version', 'unsloth_fixed', 'unsloth_version', 'use_bfloat16', 'use_cache', 'decoder_start_token_id', 'prefix',
    'tf_legacy_loss', 'use_return_dict', 'tie_encoder_decoder', 'bad_words_ids', 'begin_suppress_tokens', 'suppress_tokens', 'forced_bos_token_id',
    'forced_eos_token_id', 'max_window_layers', 'qkv_bias', 'add_bos_token', 'mup_base_width', 'name',
    'general_architecture', 'pad_token', 'type_vocab_size', 'tokenizer_type',
]);

/** Fields of generation with their neutral values, which older configs carry along. @type {Record<string, unknown[]>} */
const NEUTRAL = {
    do_sample: [false, true], early_stopping: [false, true], diversity_penalty: [0], length_penalty: [1], min_length: [0],
    no_repeat_ngram_size: [0], encoder_no_repeat_ngram_size: [0], num_beams: [1], num_beam_groups: [1], num_return_sequences: [1], remove_invalid_values: [false],
    repetition_penalty: [1], temperature: [1], top_k: [50], top_p: [1], typical_p: [1], is_encoder_decoder: [false],
    add_cross_attention: [false], cross_attention_hidden_size: [], quantization_config: [], use_bidirectional_attention: [false],
    attention_chunk_size: [], mtp_num_layers: [0], output_router_logits: [false], scale_attn_weights: [true],
};

/** @param {boolean} condition @param {string} code @param {string} message @returns {asserts condition} */
export function check(condition, code, message) {
    if (!condition) {
        throw new FormatError(code, message);
    }
}

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
        /** Objects within, which are asked in their turn. @type {Map<string, Fields>} */
        this._inner = new Map();
    }

    /**
     * The first of some fields that is there and not null: spellings of one thing, the newest first.
     * @param {...string} names
     * @returns {any} undefined if none is
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
     * A field's name is wrong, or what it asks for cannot be done.
     * @param {string} name @param {unknown} value
     * @returns {never}
     */
    unsupported(name, value) {
        throw new FormatError('config-unsupported', `${this.where}: ${name} ${show(value)} is not supported`);
    }

    /**
     * @param {string | string[]} names spellings
     * @param {number} [usual] where it is absent; without, it must be there
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

    /** @param {string | string[]} names @returns {number | null} a positive integer, or null where absent */
    countOrNone(names) {
        const value = this.any(...[names].flat());
        return value === undefined ? null : this.count(names);
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

    /** @param {string | string[]} names @returns {number | null} above 0, or null where absent */
    positiveOrNone(names) {
        return this.any(...[names].flat()) === undefined ? null : this.positive(names);
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

    /** Fields that this family knows and that change nothing in it. @param {...string} names */
    ignore(...names) {
        names.forEach((name) => this._read.add(name));
    }

    /**
     * Asks for nothing more.
     * @returns {string[]} the fields that were set aside as harmless
     * @throws {FormatError} `config-unknown` for one that nobody knows
     */
    finish() {
        const harmless = [];
        for (const [name, value] of Object.entries(this._values)) {
            if (this._read.has(name)) {
                continue;
            }
            const neutral = value === null || (Object.hasOwn(NEUTRAL, name) && NEUTRAL[name].includes(value));
            if (!neutral && Object.hasOwn(NEUTRAL, name)) {
                this.unsupported(name, value);
            }
            if (!neutral && !HARMLESS.has(name)) {
                throw new FormatError('config-unknown', `${this.where}: nothing is known of the field ${show(name)} ` +
                    `(${show(value)}), so it cannot be told whether it matters`);
            }
            harmless.push(name);
        }
        this._inner.forEach((inner, name) => harmless.push(...inner.finish().map((field) => `${name}.${field}`)));
        return harmless;
    }
}
