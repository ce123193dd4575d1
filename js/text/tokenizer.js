import { rangeError, typeError } from '../check.js';
import { Tokenizer as Encoder } from '../vendor/tokenizers.js';
import { FormatError } from '../check.js';
import { isObject, parseJson } from '../files/json.js';

/** Ids above this do not occur in any real vocabulary; they would only make sparse tables. */
const MAX_TOKENS = 1 << 24;

/**
 * The byte that every letter of a byte-level vocabulary stands for: printable Latin-1 characters stand for themselves,
 * the other bytes, in order, for the characters from 256 on (Radford et al. 2019, "Language models are unsupervised
 * multitask learners", and its published encoder).
 * @type {Map<string, number>}
 */
const BYTE_OF = new Map();
for (let byte = 0, other = 256; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    BYTE_OF.set(String.fromCharCode(printable ? byte : other++), byte);
}

/**
 * Byte-level BPE as described by a Hugging Face `tokenizer.json`. Encoding is @huggingface/tokenizers' work; decoding
 * is done here, on bytes, because a token may hold a part of a character.
 */
export class Tokenizer {
    /**
     * @param {Uint8Array} bytes of tokenizer.json
     * @throws {FormatError} `tokenizer-not-json`, `tokenizer-invalid`, `tokenizer-unsupported`
     */
    constructor(bytes) {
        const { model, normalizer, preTokenizer, added } = checkTokenizer(parseJson(bytes, 'tokenizer').value);
        try {
            this._encoder = new Encoder({
                model, normalizer, pre_tokenizer: preTokenizer, post_processor: null, decoder: null,
                added_tokens: added,
            }, {});
        } catch (cause) {
            const { message } = /** @type {Error} */ (cause);
            throw new FormatError('tokenizer-invalid', `the tokenizer is refused: ${message}`, { cause });
        }
        /** @type {Map<string, number>} */
        this._ids = new Map(Object.entries(model.vocab));
        /** Bytes of every token. @type {(Uint8Array | undefined)[]} */
        this._bytes = [];
        for (const [token, id] of this._ids) {
            this._bytes[id] = bytesOf(token);
        }
        /** Ids that mark something instead of standing for text. @type {Set<number>} */
        this._special = new Set();
        for (const { content, id, special } of added) {
            this._ids.set(content, id);
            this._bytes[id] = new TextEncoder().encode(content);
            if (special) {
                this._special.add(id);
            }
        }
        /** One more than the largest id. */
        this.vocabularySize = this._bytes.length;
    }

    /**
     * @param {string} text
     * @returns {number[]} its tokens; no start or end token is added. Markers such as `<|endoftext|>` in the text
     *   become the tokens that they name
     */
    encode(text) {
        if (typeof text !== 'string') {
            throw typeError('text', 'a string', text);
        }
        /** @type {number[]} */
        const ids = [];
        for (const id of this._encoder.encode(text, { add_special_tokens: false }).ids) {
            // A letter without a token, in a vocabulary that lacks some bytes, and no token for the unknown: left out.
            if (id !== undefined) {
                ids.push(id);
            }
        }
        return ids;
    }

    /**
     * @param {ArrayLike<number>} ids
     * @param {{ skipSpecialTokens?: boolean }} [options]
     * @returns {string} their text; bytes that are no UTF-8 become U+FFFD
     * @throws {RangeError} for an id that is none
     */
    decode(ids, { skipSpecialTokens = false } = {}) {
        const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
        let text = '';
        for (let i = 0; i < ids.length; i++) {
            if (!(skipSpecialTokens && this._special.has(ids[i]))) {
                text += decoder.decode(this.bytes(ids[i]), { stream: true });
            }
        }
        return text + decoder.decode();
    }

    /**
     * @param {number} id
     * @returns {string} what this token alone looks like, for display: half a character shows as U+FFFD
     */
    piece(id) {
        return this.decode([id]);
    }

    /**
     * @param {number} id
     * @returns {Uint8Array} the UTF-8 bytes that it stands for, perhaps a part of a character
     * @throws {RangeError} for an id that is none
     */
    bytes(id) {
        if (!(Number.isInteger(id) && id >= 0 && id < this.vocabularySize)) {
            throw rangeError('token', `an id from 0 to ${this.vocabularySize - 1}`, id);
        }
        return this._bytes[id] ?? NO_BYTES;
    }

    /** @param {number} id @returns {boolean} whether it marks something, such as the end of a text */
    isSpecial(id) {
        return this._special.has(id);
    }

    /** @param {string} token as in tokenizer.json @returns {number | undefined} */
    idOf(token) {
        return this._ids.get(token);
    }
}

const NO_BYTES = new Uint8Array(0);

/** @param {string} token @returns {Uint8Array} */
function bytesOf(token) {
    const letters = Array.from(token);
    // A token with other letters than those of bytes is text as it stands, as the original decoder has it.
    return letters.every((letter) => BYTE_OF.has(letter))
        ? Uint8Array.from(letters, (letter) => BYTE_OF.get(letter) ?? 0) : new TextEncoder().encode(token);
}

/** @param {boolean} condition @param {string} message @returns {asserts condition} */
function valid(condition, message) {
    if (!condition) {
        throw new FormatError('tokenizer-invalid', `tokenizer.json: ${message}`);
    }
}

/** @param {boolean} condition @param {string} message @returns {asserts condition} */
function supported(condition, message) {
    if (!condition) {
        throw new FormatError('tokenizer-unsupported', `tokenizer.json: ${message}`);
    }
}

/**
 * @typedef {{ id: number, content: string, special: boolean }} AddedToken
 * @typedef {{ type: 'BPE', vocab: Record<string, number>, merges: (string | string[])[], ignore_merges: boolean,
 *   unk_token?: string }} BpeModel
 */

/**
 * Lets through what is understood and nothing else, so that the encoder only ever sees sound input.
 * @param {any} json
 * @returns {{ model: BpeModel, normalizer: object | null, preTokenizer: object, added: AddedToken[] }}
 */
function checkTokenizer(json) {
    valid(isObject(json) && isObject(json.model), 'an object with a model is expected');
    const { model, normalizer = null, pre_tokenizer: preTokenizer, decoder, added_tokens: added = [] } = json;
    // GPT-2's own file, older than the field, has no type.
    supported(model.type === 'BPE' || (model.type === undefined && Array.isArray(model.merges)),
        `the model is ${model.type}; only byte-level BPE is supported`);
    for (const option of ['dropout', 'byte_fallback', 'continuing_subword_prefix', 'end_of_word_suffix']) {
        supported(!model[option], `model.${option} is not supported`);
    }
    supported(isObject(preTokenizer) && preTokenizer.type === 'ByteLevel', 'the pre-tokenizer should be ByteLevel');
    supported(isObject(decoder) && decoder.type === 'ByteLevel', 'the decoder should be ByteLevel');
    supported(normalizer === null || (isObject(normalizer) && ['NFC', 'NFD', 'NFKC', 'NFKD'].includes(normalizer.type)),
        'the normalizer should be null or a Unicode normal form');
    const ids = checkVocabulary(model.vocab);
    checkMerges(model.merges, ids);
    checkAdded(added, ids);
    return {
        model: {
            type: 'BPE', vocab: model.vocab, merges: model.merges, ignore_merges: model.ignore_merges === true,
            ...(typeof model.unk_token === 'string' && ids.has(model.unk_token) ? { unk_token: model.unk_token } : {}),
        },
        normalizer: normalizer && { type: normalizer.type },
        preTokenizer: {
            type: 'ByteLevel',
            add_prefix_space: preTokenizer.add_prefix_space === true,
            use_regex: preTokenizer.use_regex !== false,
        },
        added,
    };
}

/** @param {any} vocab @returns {Map<string, number>} */
function checkVocabulary(vocab) {
    valid(isObject(vocab), 'model.vocab should be an object');
    const ids = new Map(Object.entries(vocab));
    const seen = new Set();
    for (const [token, id] of ids) {
        valid(Number.isInteger(id) && id >= 0 && id < MAX_TOKENS, `the id of '${token}' is no index`);
        valid(!seen.has(id), `two tokens have the id ${id}`);
        seen.add(id);
    }
    valid(ids.size > 0, 'model.vocab is empty');
    return ids;
}

/** @param {any} merges @param {Map<string, number>} ids */
function checkMerges(merges, ids) {
    valid(Array.isArray(merges), 'model.merges should be a list');
    const pairs = Array.isArray(merges[0]);
    for (const merge of merges) {
        const parts = pairs ? merge : typeof merge === 'string' ? merge.split(' ') : null;
        valid(Array.isArray(parts) && parts.length === 2 && parts.every((part) => ids.has(part)) &&
            ids.has(parts[0] + parts[1]), `the merge ${JSON.stringify(merge)} does not join two tokens into one`);
    }
}

/** @param {any} added @param {Map<string, number>} ids */
function checkAdded(added, ids) {
    valid(Array.isArray(added), 'added_tokens should be a list');
    const owners = new Map(Array.from(ids, ([token, id]) => [id, token]));
    for (const token of added) {
        valid(isObject(token) && typeof token.content === 'string' && token.content !== '',
            'an added token without content');
        const { id, content } = token;
        valid(Number.isInteger(id) && id >= 0 && id < MAX_TOKENS, `the id of '${content}' is no index`);
        valid((ids.get(content) ?? id) === id && (owners.get(id) ?? content) === content,
            `the added token '${content}' contradicts the vocabulary`);
        owners.set(id, content);
    }
}
