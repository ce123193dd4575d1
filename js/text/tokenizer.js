// Tokenizer: text to tokens and back, as a Hugging Face `tokenizer.json` describes it; vocabularies of GGUF files are converted to one
// (gguf-vocabulary.js). The stages of encoding: added tokens that are looked for in the text as it is, normalizer, added tokens that are
// looked for in the normalized text, pre-tokenizer, model, post-processor.

import { printAs } from '../engine/print.js';
import { booleanOrBit, checkOptionNames, rangeError, show, typeError } from '../check.js';
import { isObject, parseJson } from '../files/json.js';
import { AddedTokenSplitter, readAddedTokens } from './added-tokens.js';
import { byteOfToken, fromLetters, utf8 } from './bytes.js';
import { decoder, spaced } from './decoders.js';
import { model } from './models.js';
import { normalizer } from './normalizers.js';
import { Part, invalid, unsupported } from './parts.js';
import { postProcessor } from './post-processors.js';
import { preTokenizer } from './pre-tokenizers.js';

/** Names of special tokens in tokenizer_config.json. */
const SPECIAL = /^(bos|eos|unk|sep|pad|cls|mask)_token$/;

export class Tokenizer {
    /**
     * @param {object | Uint8Array} json tokenizer.json, its bytes or the parsed object
     * @param {object | null} [config] tokenizer_config.json: names of special tokens, and more added tokens; a Map has the names alone
     * @throws {FormatError} `tokenizer-not-json`, `tokenizer-invalid`, `tokenizer-unsupported`
     */
    constructor(json, config = null) {
        const value = json instanceof Uint8Array ? parseJson(json, 'tokenizer').value : json;
        const file = new Part(value, 'tokenizer.json');
        file.only(['added_tokens', 'normalizer', 'pre_tokenizer', 'post_processor', 'decoder', 'model']);
        /** @template T @param {string} name @param {(part: Part) => T} make @returns {T | null} */
        const optional = (name, make) => {
            const part = file.get(name);
            return part === undefined || part === null ? null : make(new Part(part, name));
        };
        const { ids, kind, encode } = model(new Part(file.get('model'), 'model'));
        this._model = encode;
        this._normalize = optional('normalizer', normalizer);
        this._split = optional('pre_tokenizer', preTokenizer);
        this._post = optional('post_processor', postProcessor);
        this._decoder = optional('decoder', decoder) ?? spaced;
        this._byteLevel = hasByteLevel(value.decoder);
        // The model works with `ids`, without the added tokens, which it would find within words.
        this._ids = new Map(ids);
        /** The token of each id; ids without one are holes. @type {(string | undefined)[]} */
        this._tokens = [];
        for (const [token, id] of ids) this._tokens[id] = token;
        const added = readAddedTokens(file.get('added_tokens'), ids, config);
        /** Ids of special tokens, which mark something instead of standing for text. @type {Set<number>} */
        this._special = new Set();
        /** @type {Set<number>} */
        this._added = new Set();
        const normalize = this._normalize ?? ((/** @type {string} */ text) => text);
        for (const { content, id, normalized } of added) {
            this._ids.set(content, id);
            // A token that is looked for in normalized text is decoded to its normalized form.
            this._tokens[id] = normalized ? normalize(content) : content;
            this._added.add(id);
        }
        // By their text, as in the reference implementation: so one that normalizing changes is never skipped when decoding.
        const marks = new Set(added.filter(({ special }) => special).map(({ content }) => content));
        for (const id of this._added) {
            if (marks.has(/** @type {string} */ (this._tokens[id]))) this._special.add(id);
        }
        const sought = added.filter(({ inText }) => inText);
        this._inText = new AddedTokenSplitter(sought.filter((token) => !token.normalized), (content) => content);
        this._inNormalized = new AddedTokenSplitter(sought.filter((token) => token.normalized), normalize);
        /** One more than the largest id. */
        this.vocabularySize = this._tokens.length;
        /** The kind of tokenizer, for people. */
        this.kind = kind === 'BPE' ? (this._byteLevel ? 'BPE byte-level' : value.model.byte_fallback === true
            ? 'SentencePiece BPE' : 'BPE') : kind;
        /** Texts of special tokens by their names in the config, such as `eos_token`. @type {Map<string, string>} */
        this.specialTokens = readSpecialTokens(config);
    }

    /**
     * @param {string} text
     * @param {{ addSpecialTokens?: boolean }} [options] whether to add the start and end tokens that the file asks for; default: true
     * @returns {number[]} its tokens. The text of a special token, such as `<|endoftext|>`, becomes that token
     */
    encode(text, options = {}) {
        checkOptionNames('encode', options, ['addSpecialTokens']);
        const addSpecialTokens = booleanOrBit('addSpecialTokens', options.addSpecialTokens ?? true);
        if (typeof text !== 'string') {
            throw typeError('text', 'a string', text);
        }
        /** @type {number[]} */
        const ids = [];
        const given = wellFormed(text);
        let first = this._keepsFirst(given);
        for (const raw of this._inText.split(given)) {
            const pieces = typeof raw === 'number' ? [raw] : this._inNormalized.split(this._normalize?.(raw) ?? raw);
            for (const piece of pieces) {
                if (typeof piece === 'number') ids.push(piece);
                else this._encodePiece(piece, first, ids);
                first = false;
            }
        }
        return addSpecialTokens && this._post ? this._post(ids) : ids;
    }

    /** @param {string} text @returns {boolean} whether normalizing leaves its first letter; without that no piece counts as its first */
    _keepsFirst([letter = '']) {
        const normalize = this._normalize;
        return normalize === null || normalize(`${letter}a`) !== normalize('a');
    }

    /** @param {string} piece @param {boolean} first @param {number[]} ids */
    _encodePiece(piece, first, ids) {
        if (piece === '') return;
        if (!this._split) {
            this._model(piece, ids);
            return;
        }
        for (const word of this._split(piece, first)) {
            if (word !== '') this._model(word, ids);
        }
    }

    /**
     * @param {ArrayLike<number>} ids unknown ones are skipped
     * @param {{ skipSpecialTokens?: boolean }} [options] default: false
     * @returns {string} their text; bytes that are not UTF-8 become U+FFFD
     * @throws {RangeError} for what is not an id
     */
    decode(ids, options = {}) {
        checkOptionNames('decode', options, ['skipSpecialTokens']);
        const skipSpecialTokens = booleanOrBit('skipSpecialTokens', options.skipSpecialTokens ?? false);
        if (typeof ids !== 'object' || !Number.isInteger(ids?.length)) {
            throw typeError('ids', 'a list of ids', ids);
        }
        const stream = this.decodeStream();
        const pieces = [];
        for (let i = 0; i < ids.length; i++) {
            if (!(skipSpecialTokens && this._special.has(ids[i]))) pieces.push(stream.push(ids[i]));
        }
        pieces.push(stream.end());
        return pieces.join('');
    }

    /**
     * @returns {{ push: (id: number) => string, end: () => string }} decodes token by token: each call returns the text that has become certain
     */
    decodeStream() {
        const machine = this._decoder();
        /**
         * An array that becomes empty gives up its memory and would allocate it again with every token: so the first chunk stays.
         * @type {import('./decoders.js').Chunk[]}
         */
        const out = [{ text: '', start: false, end: false }];
        return {
            push: (id) => {
                const token = this._token(id);
                if (token === undefined) return '';
                machine.push({ text: token, start: true, end: true }, out);
                let text = '';
                while (out.length > 1) text = /** @type {import('./decoders.js').Chunk} */ (out.pop()).text + text;
                return text;
            },
            end: () => {
                machine.end(out);
                return out.map(({ text }) => text).join('');
            },
        };
    }

    /** @param {number} id @returns {string | undefined} as in tokenizer.json @throws {RangeError} */
    _token(id) {
        if (!Number.isInteger(id) || id < 0) {
            throw rangeError('token', 'an id', id);
        }
        return this._tokens[id];
    }

    /**
     * @param {number} id
     * @returns {string} the text of this token alone, for display; part of a character shows as U+FFFD
     */
    piece(id) {
        const token = this._token(id) ?? '';
        if (this._added.has(id)) return token;
        if (this._byteLevel || byteOfToken(token) >= 0) {
            return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.bytes(id));
        }
        return token.replaceAll('▁', ' ');
    }

    /**
     * @param {number} id
     * @returns {Uint8Array} the UTF-8 bytes that it stands for, perhaps only part of a character
     */
    bytes(id) {
        const token = this._token(id) ?? '';
        if (this._byteLevel) return fromLetters(token);
        const byte = byteOfToken(token);
        return byte >= 0 ? Uint8Array.of(byte) : utf8(token.replaceAll('▁', ' '));
    }

    /** @param {number} id @returns {boolean} whether it is a special token, such as the end of a text */
    isSpecial(id) {
        return this._special.has(id);
    }

    /** @param {string} token as in tokenizer.json @returns {number | undefined} */
    idOf(token) {
        return this._ids.get(token);
    }

    /** @param {number} id @returns {string} the token as in tokenizer.json; empty if there is none */
    tokenOf(id) {
        return this._token(id) ?? '';
    }
}

printAs(Tokenizer, 'Tokenizer', ({ kind, vocabularySize }) => ({ kind, vocabularySize }));

/** Replaces lone surrogates by U+FFFD, as encoding to UTF-8 does. @param {string} text @returns {string} */
function wellFormed(text) {
    return /\p{Cs}/u.test(text) ? text.replace(/\p{Cs}/gu, '\uFFFD') : text;
}

/** @param {any} part @returns {boolean} */
function hasByteLevel(part) {
    return isObject(part) && (part.type === 'ByteLevel' || (Array.isArray(part.decoders) && part.decoders.some(
        (/** @type {any} */ one) => isObject(one) && one.type === 'ByteLevel')));
}

/** @param {unknown} config @returns {Map<string, string>} */
function readSpecialTokens(config) {
    /** @type {Map<string, string>} */
    const tokens = new Map(config instanceof Map ? config : []);
    if (!isObject(config ?? {})) throw invalid(`tokenizer_config.json must be an object, got ${show(config)}`);
    for (const [name, value] of Object.entries(config ?? {})) {
        // With it special tokens in a text would be encoded as plain text.
        if (name === 'split_special_tokens' && value) throw unsupported(name);
        const text = isObject(value) ? value.content : value;
        if (SPECIAL.test(name) && typeof text === 'string') tokens.set(name, text);
    }
    return tokens;
}
