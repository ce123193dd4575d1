// Converts the vocabulary in a GGUF file's metadata to a tokenizer.json. It follows what llama.cpp does: defaults that depend on the model,
// tokens that are special because of their text, a name of the model that changes how spaces are treated.

import { show } from '../check.js';
import { surrounded } from '../files/byte-level.js';
import { GGUF_PRE_TOKENIZERS } from './gguf-pre-tokenizers.js';
import { invalid, unsupported } from './parts.js';

/** `tokenizer.ggml.token_type` */
const UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, BYTE = 6;

/** Tokens that end turns: llama.cpp takes them for control tokens, whatever their type is. */
const END_OF_TURN = ['<|eot_id|>', '<|im_end|>', '<|end|>', '<|return|>', '<|call|>', '<|flush|>', '<|calls|>',
    '<end_of_turn>', '<|endoftext|>', '</s>', '<|eom_id|>', '<EOT>', '_<EOT>', '[EOT]', '[EOS]', '<|end_of_text|>',
    '<end_of_utterance>', '<eos>', '<turn|>', '<|tool_response>', '<｜end▁of▁sentence｜>', '[e~['];

/** The same for tokens of fill-in-the-middle prompts: the first one that exists of each kind. */
const FILL_IN = [
    ['<|fim_prefix|>', '<fim-prefix>', '<fim_prefix>', '<｜fim▁begin｜>', '<PRE>', '▁<PRE>',
        '<|code_prefix|>', '<|prefix|>'],
    ['<|fim_suffix|>', '<fim-suffix>', '<fim_suffix>', '<｜fim▁hole｜>', '<SUF>', '▁<SUF>',
        '<|code_suffix|>', '<|suffix|>'],
    ['<|fim_middle|>', '<fim-middle>', '<fim_middle>', '<｜fim▁end｜>', '<MID>', '▁<MID>',
        '<|code_middle|>', '<|middle|>'],
    ['<|fim_pad|>', '<fim-pad>', '<fim_pad>', '<PAD>', '[PAD]'],
    ['<|fim_repo|>', '<|repo_name|>', '<fim-repo>', '<REPO>', '<reponame>'],
    ['<|file_sep|>'],
];

/** Control tokens of gpt-oss that are decoded to their texts. */
const SHOWN = ['<|channel|>', '<|message|>', '<|start|>', '<|constrain|>'];

/** Tokens that keep the spaces after them in a model named phi-3; its other special tokens take them along. */
const PHI3_PLAIN = new Set(['<unk>', '<s>', '<|endoftext|>']);

/** Ids of special tokens that the file does not have, by tokenizer.ggml.model. @type {Map<string, Record<string, number>>} */
const DEFAULTS = new Map(Object.entries({
    llama: { bos: 1, eos: 2, unk: 0 },
    gpt2: { bos: 11, eos: 11, unk: -1 },
    t5: { bos: -1, eos: 1, unk: 2 },
    bert: { bos: 101, eos: -1, unk: 100 },
}));

const NAMES = { bos: 'bos', eos: 'eos', unk: 'unknown', sep: 'seperator', pad: 'padding', mask: 'mask' };

/**
 * @param {ReadonlyMap<string, any>} metadata keys as in the file, lists as arrays or typed arrays
 * @returns {{ json: object, config: Map<string, string>, endTokens: number[] }} tokenizer.json, names of special tokens, and the ids of
 *   the tokens that end a text
 * @throws {FormatError} `tokenizer-invalid`, `tokenizer-unsupported`
 */
export function tokenizerFromGguf(metadata) {
    const vocabulary = new Vocabulary(metadata);
    const makers = { llama: sentencePiece, gpt2: byteLevel, t5: unigram, bert: wordPiece };
    const make = makers[/** @type {keyof typeof makers} */ (vocabulary.model)];
    return { json: make(vocabulary), config: vocabulary.config(), endTokens: vocabulary.endTokens() };
}

class Vocabulary {
    /** @param {ReadonlyMap<string, any>} metadata */
    constructor(metadata) {
        this._metadata = metadata;
        this.model = this.string('model', '');
        const defaults = DEFAULTS.get(this.model);
        if (!defaults) {
            throw unsupported(`tokenizer.ggml.model is ${show(metadata.get('tokenizer.ggml.model'))}; ` +
                `known are ${[...DEFAULTS.keys()].join(', ')}`);
        }
        this.defaults = defaults;
        this.tokens = this._readTokens();
        /** @type {Map<string, number>} */
        this.ids = new Map(this.tokens.map((token, id) => [token, id]));
        if (this.ids.size !== this.tokens.length) throw invalid('tokenizer.ggml.tokens holds a token twice');
        this.types = this._types();
    }

    /** @param {string} name @returns {any} */
    get(name) {
        return this._metadata.get(`tokenizer.ggml.${name}`);
    }

    /** @param {string} name @param {string} otherwise @returns {string} */
    string(name, otherwise) {
        const value = this.get(name) ?? otherwise;
        if (typeof value !== 'string') throw invalid(`tokenizer.ggml.${name} must be a text, got ${show(value)}`);
        return value;
    }

    /** @param {string} name @param {boolean} otherwise @returns {boolean} */
    boolean(name, otherwise) {
        const value = this.get(name) ?? otherwise;
        if (typeof value !== 'boolean') throw invalid(`tokenizer.ggml.${name} must be a boolean, got ${show(value)}`);
        return value;
    }

    /** @param {string} name @param {string} type @returns {ArrayLike<any> | null} */
    list(name, type) {
        const value = this.get(name);
        if (value === undefined) return null;
        const items = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
        if (!items || Array.prototype.some.call(value, (item) => typeof item !== type)) {
            throw invalid(`tokenizer.ggml.${name} must be a list (each a ${type}), got ${show(value)}`);
        }
        return /** @type {ArrayLike<any>} */ (/** @type {unknown} */ (value));
    }

    /** @returns {string[]} */
    _readTokens() {
        const tokens = this.list('tokens', 'string');
        if (!tokens || tokens.length === 0) throw invalid('tokenizer.ggml.tokens is missing');
        return Array.from(tokens, (token, id) => (token === '' ? `[EMPTY_${id}]` : token));
    }

    /** @param {string} name @returns {ArrayLike<number> | null} a number for each token, at least */
    _numbers(name) {
        const list = this.list(name, 'number');
        if (list && list.length < this.tokens.length) {
            throw invalid(`tokenizer.ggml.${name} has ${list.length} entries for ${this.tokens.length} tokens`);
        }
        return list;
    }

    /** @returns {number[]} */
    scores() {
        const scores = this._numbers('scores');
        return this.tokens.map((_, id) => {
            const score = scores ? scores[id] : 0;
            if (!Number.isFinite(score)) throw invalid(`tokenizer.ggml.scores[${id}] is ${show(score)}`);
            return score;
        });
    }

    /** @returns {number[]} the types of the tokens: those of the file, changed where llama.cpp goes by a token's text */
    _types() {
        const given = this._numbers('token_type');
        const types = this.tokens.map((_, id) => (given ? given[id] : 1));
        const control = (/** @type {string} */ text) => {
            const id = this.ids.get(text);
            if (id !== undefined) types[id] = CONTROL;
            return id !== undefined;
        };
        for (const text of END_OF_TURN) control(text);
        for (const texts of FILL_IN) texts.some(control);
        for (const text of SHOWN) if (control(text)) types[/** @type {number} */ (this.ids.get(text))] = USER_DEFINED;
        // In gpt-oss and Solar <|end|> does not end a turn, and in Gemma 4 </s> is an ordinary token.
        const has = (/** @type {string} */ text) => this.ids.has(text);
        const end = this.ids.get('<|end|>');
        const calls = has('<|call|>') || has('<|calls|>');
        if (end !== undefined && calls && (has('<|return|>') || has('<|flush|>'))) types[end] = USER_DEFINED;
        const word = this.ids.get('</s>');
        if (word !== undefined && has('<|tool_response>')) types[word] = 1;
        return types;
    }

    /** @param {'bos' | 'eos' | 'unk' | 'sep' | 'pad' | 'mask'} name @returns {number} -1 where there is none */
    special(name) {
        const otherwise = this.defaults[name] ?? -1;
        const id = this.get(`${NAMES[name]}_token_id`) ?? (name === 'sep' ? this.get('separator_token_id') : undefined);
        // An id beyond the vocabulary counts as absent.
        const known = Number.isInteger(id) && id >= 0 && id < this.tokens.length;
        return known ? id : otherwise < this.tokens.length ? otherwise : -1;
    }

    /** @returns {number[]} the file's end token or the default, those for files and padding, and control tokens that end turns */
    endTokens() {
        const fillIn = ['pad', 'rep', 'sep'].map((name, i) =>
            this.get(`fim_${name}_token_id`) ?? this.ids.get(FILL_IN[i + 3].find((text) => this.ids.has(text)) ?? ''));
        const control = END_OF_TURN.map((text) => this.ids.get(text) ?? -1).filter((id) => this.types[id] === CONTROL);
        return [...new Set([this.special('eos'), ...fillIn, ...control])].filter((id) => Number.isInteger(id) && id >= 0);
    }

    /** @returns {object[]} */
    added() {
        const name = this._metadata.get('general.name');
        const phi3 = typeof name === 'string' && /phi-?3/i.test(name);
        const added = [];
        for (const [id, content] of this.tokens.entries()) {
            const type = this.types[id];
            const special = type === CONTROL || type === UNKNOWN;
            if (special || type === USER_DEFINED) {
                added.push({
                    id, content, special, normalized: false, single_word: false, lstrip: false,
                    rstrip: phi3 && !PHI3_PLAIN.has(content),
                });
            }
        }
        return added;
    }

    /** @param {boolean} addBos unless the file says @param {boolean} addEos @returns {object | null} */
    template(addBos, addEos) {
        /** @param {boolean} isWanted @param {number} id @returns {[string, number][]} */
        const token = (isWanted, id) => (isWanted && id >= 0 ? [[this.tokens[id], id]] : []);
        const [bos, eos, sep] = [this.special('bos'), this.special('eos'), this.special('sep')];
        return surrounded(token(this.boolean('add_bos_token', addBos), bos), [
            ...token(this.boolean('add_eos_token', addEos), eos),
            ...token(this.model === 'bert' && this.boolean('add_sep_token', true), sep),
        ]);
    }

    /** @returns {Map<string, string>} */
    config() {
        const names = /** @type {('bos' | 'eos' | 'unk' | 'sep' | 'pad' | 'mask')[]} */ (Object.keys(NAMES));
        const known = names.filter((name) => this.special(name) >= 0);
        return new Map(known.map((name) => [`${name}_token`, this.tokens[this.special(name)]]));
    }
}

const REPLACE_SPACES = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };

/** @param {boolean} space whether encoding puts a space before the text @returns {object} */
function metaspaceDecoder(space) {
    const decoders = [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' },
        { type: 'Fuse' }];
    return {
        type: 'Sequence',
        decoders: space ? [...decoders, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : decoders,
    };
}

/** @param {Vocabulary} vocabulary @returns {object} */
function sentencePiece(vocabulary) {
    const space = vocabulary.boolean('add_space_prefix', true);
    const scores = vocabulary.scores();
    return {
        added_tokens: vocabulary.added(),
        normalizer: space ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, REPLACE_SPACES] }
            : REPLACE_SPACES,
        pre_tokenizer: null,
        post_processor: vocabulary.template(true, false),
        decoder: metaspaceDecoder(space),
        model: {
            type: 'SPM', vocab: vocabulary.tokens.map((token, id) => [token, scores[id]]),
            unk_id: Math.max(0, vocabulary.special('unk')),
        },
    };
}

/** @param {Vocabulary} vocabulary @returns {object} */
function byteLevel(vocabulary) {
    const name = vocabulary.string('pre', 'default');
    const pre = GGUF_PRE_TOKENIZERS.get(name);
    if (!pre) throw unsupported(`tokenizer.ggml.pre is ${show(name)}, which is not known`);
    const merges = vocabulary.list('merges', 'string');
    if (!merges) throw invalid('tokenizer.ggml.merges is missing');
    const splits = pre.patterns.map((regex) =>
        ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false }));
    return {
        added_tokens: vocabulary.added(),
        normalizer: null,
        pre_tokenizer: {
            type: 'Sequence',
            pretokenizers: [...splits, { type: 'ByteLevel', add_prefix_space: false, use_regex: false }],
        },
        post_processor: vocabulary.template(pre.addBos === true, false),
        decoder: { type: 'ByteLevel' },
        model: {
            type: 'BPE', vocab: Object.fromEntries(vocabulary.ids), merges: Array.from(merges),
            ignore_merges: pre.whole === true,
        },
    };
}

/** @param {Vocabulary} vocabulary @returns {object} */
function unigram(vocabulary) {
    const scores = vocabulary.scores();
    const space = vocabulary.boolean('add_space_prefix', false);
    const map = vocabulary.list('precompiled_charsmap', 'number');
    /** @type {object[]} */
    const normalizers = [];
    if (map) {
        normalizers.push({ type: 'Precompiled', precompiled_charsmap: Uint8Array.from(map), longest: true });
    }
    if (vocabulary.boolean('remove_extra_whitespaces', false)) {
        normalizers.push({ type: 'Replace', pattern: { Regex: '(?<! ) +\\z|\\A +' }, content: '' },
            { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' });
    }
    if (space) normalizers.push({ type: 'Prepend', prepend: '▁' });
    normalizers.push(REPLACE_SPACES);
    const { types } = vocabulary;
    const skip = [...types.keys()].filter((id) => [UNKNOWN, CONTROL, BYTE].includes(types[id]));
    return {
        added_tokens: vocabulary.added(),
        normalizer: { type: 'Sequence', normalizers },
        pre_tokenizer: null,
        post_processor: vocabulary.template(false, true),
        decoder: metaspaceDecoder(space),
        model: {
            type: 'Unigram', vocab: vocabulary.tokens.map((token, id) => [token, scores[id]]), skip,
            unk_id: vocabulary.special('unk') < 0 ? null : vocabulary.special('unk'),
            byte_fallback: types.includes(BYTE),
        },
    };
}

/** GGUF marks the tokens that begin a word, tokenizer.json those that continue one. @param {Vocabulary} vocabulary @returns {object} */
function wordPiece(vocabulary) {
    const lowercase = vocabulary.boolean('normalizer.lowercase', true);
    /** @type {[string, number][]} */
    const entries = vocabulary.tokens.map((token, id) => [vocabulary.types[id] !== 1 ? token
        : token.startsWith('▁') ? token.slice(1) : `##${token}`, id]);
    if (new Set(entries.map(([token]) => token)).size !== entries.length) {
        throw invalid('tokenizer.ggml.tokens: two tokens are one once their marks are read');
    }
    return {
        added_tokens: vocabulary.added(),
        normalizer: {
            type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, lowercase,
            strip_accents: vocabulary.boolean('normalizer.strip_accents', lowercase),
        },
        pre_tokenizer: { type: 'BertPreTokenizer' },
        post_processor: vocabulary.template(true, false),
        decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
        model: {
            type: 'WordPiece', vocab: Object.fromEntries(entries), continuing_subword_prefix: '##',
            unk_token: vocabulary.tokens[vocabulary.special('unk')] ?? '', max_input_chars_per_word: 1000,
        },
    };
}
