// A SentencePiece model: the protocol buffer that `vocabulary.spm` or `tokenizer.model` is, as far as it says how text becomes tokens.
// The message's fields are those of sentencepiece_model.proto; one that changes tokens and is not known is refused.

import { FormatError, show } from '../../check.js';

/**
 * @typedef {object} SentencePiece
 * @property {'bpe' | 'unigram'} model
 * @property {string[]} pieces by id
 * @property {Float32Array} scores
 * @property {Uint8Array} types 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte: as in GGUF
 * @property {boolean} addDummyPrefix a space is put before the text
 * @property {boolean} removeExtraWhitespaces
 * @property {boolean} escapeWhitespaces a space becomes U+2581
 * @property {boolean} whitespaceAsSuffix
 * @property {Uint8Array | null} charsmap a normalizer's precompiled rules
 * @property {string} unknownSurface what an unknown token is decoded to
 */

/** What a sound vocabulary has at most: far more than any model. */
const MAX_PIECES = 1 << 21;

/** Of a piece: its text, score and type. */
const PIECE = ['', 'bytes', 'bytes', 'number'];

const PIECES = 1;
const TRAINER = 2;
const NORMALIZER = 3;
const DENORMALIZER = 5;

/** Of the trainer: model type, whitespace as suffix, what unknown tokens look like. The rest is how it was trained. */
const MODEL_TYPE = 3;
const AS_SUFFIX = 24;
const UNKNOWN_SURFACE = 44;

/** @param {string} message @returns {never} */
function invalid(message) {
    throw new FormatError('tokenizer-invalid', `SentencePiece model: ${message}`);
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** @param {Uint8Array} bytes @returns {string} */
function text(bytes) {
    try {
        return UTF8.decode(bytes);
    } catch {
        return invalid('a text is not UTF-8');
    }
}

/**
 * The fields of a protocol buffer's message, each once or several times.
 * @param {Uint8Array} bytes
 * @param {(key: number, value: number | Uint8Array) => void} visit numbers of up to 53 bits, others as 0xfff...
 */
function eachField(bytes, visit) {
    let at = 0;
    const number = () => {
        let value = 0;
        for (let shift = 1; ; shift *= 128) {
            if (at >= bytes.length || shift > 2 ** 63) {
                invalid('a number is cut off');
            }
            const byte = bytes[at++];
            value += (byte & 127) * shift;
            if (byte < 128) {
                return value;
            }
        }
    };
    while (at < bytes.length) {
        const key = number();
        const wire = key % 8;
        if (wire === 0) {
            visit(Math.floor(key / 8), number());
            continue;
        }
        const length = wire === 2 ? number() : wire === 5 ? 4 : wire === 1 ? 8
            : invalid(`a field has the wire type ${wire}`);
        if (length > bytes.length - at) {
            invalid('a field goes on behind the end');
        }
        at += length;
        visit(Math.floor(key / 8), bytes.subarray(at - length, at));
    }
}

/**
 * @param {Uint8Array} bytes
 * @param {string[]} what is expected of each field: 'bytes' or 'number', by number; others are passed over
 * @returns {any[]} the last value of each
 */
function message(bytes, what) {
    /** @type {any[]} */
    const found = [];
    eachField(bytes, (key, value) => {
        if (what[key] !== undefined) {
            if ((typeof value === 'number') !== (what[key] === 'number')) {
                invalid(`the field ${key} is not ${what[key]}`);
            }
            found[key] = value;
        }
    });
    return found;
}

/**
 * @param {Uint8Array} bytes
 * @returns {SentencePiece}
 * @throws {FormatError} `tokenizer-invalid`, `tokenizer-unsupported`
 */
export function readSentencePiece(bytes) {
    /** @type {string[]} */
    const pieces = [];
    /** @type {number[]} */
    const scores = [];
    /** @type {number[]} */
    const types = [];
    let trainer = new Uint8Array(0);
    let normalizer = new Uint8Array(0);
    // A copy, as TextDecoder takes no shared memory.
    eachField(bytes.slice(), (key, value) => {
        if (typeof value === 'number') {
            return;
        }
        if (key === PIECES) {
            const [, piece, score, type = 1] = message(value, PIECE);
            if (piece === undefined || piece.length === 0 || type < 1 || type > 6 || pieces.length === MAX_PIECES) {
                invalid(`the piece ${pieces.length} is not one`);
            }
            if (score !== undefined && score.length !== 4) {
                invalid(`the score of the piece ${pieces.length} is no float`);
            }
            pieces.push(text(piece));
            scores.push(score === undefined ? 0 : new DataView(score.buffer, score.byteOffset, 4).getFloat32(0, true));
            types.push(type);
        } else if (key === TRAINER) {
            trainer = /** @type {any} */ (value);
        } else if (key === NORMALIZER) {
            normalizer = /** @type {any} */ (value);
        } else if (key === DENORMALIZER && message(value, ['', '', 'bytes'])[2]?.length > 0) {
            throw new FormatError('tokenizer-unsupported', 'SentencePiece model: a denormalizer is not supported');
        }
    });
    return {
        pieces, scores: Float32Array.from(scores), types: checkTypes(types, pieces),
        ...rules(trainer, normalizer),
    };
}

/** @param {number[]} types @param {string[]} pieces */
function checkTypes(types, pieces) {
    const unknown = types.filter((type) => type === 2).length;
    if (unknown !== 1) {
        invalid(`it must have one unknown piece, got ${unknown}`);
    }
    if (new Set(pieces).size !== pieces.length) {
        invalid('a piece is there twice');
    }
    return Uint8Array.from(types);
}

/** @param {Uint8Array} trainer @param {Uint8Array} normalizer */
function rules(trainer, normalizer) {
    const numbers = [];
    numbers[MODEL_TYPE] = 'number';
    numbers[AS_SUFFIX] = 'number';
    numbers[UNKNOWN_SURFACE] = 'bytes';
    const trained = message(trainer, numbers);
    const type = trained[MODEL_TYPE] ?? 1;
    if (type !== 1 && type !== 2) {
        const name = show(['', '', '', 'word', 'char'][type] ?? type);
        throw new FormatError('tokenizer-unsupported', `SentencePiece model: models by ${name} are not supported`);
    }
    const [, , charsmap, dummy = 1, extra = 1, escape = 1] =
        message(normalizer, ['', '', 'bytes', 'number', 'number', 'number']);
    return {
        model: /** @type {'bpe' | 'unigram'} */ (type === 2 ? 'bpe' : 'unigram'),
        addDummyPrefix: dummy !== 0, removeExtraWhitespaces: extra !== 0, escapeWhitespaces: escape !== 0,
        whitespaceAsSuffix: (trained[AS_SUFFIX] ?? 0) !== 0,
        charsmap: charsmap?.length > 0 ? charsmap : null,
        unknownSurface: trained[UNKNOWN_SURFACE] === undefined ? ' \u2047 ' : text(trained[UNKNOWN_SURFACE]),
    };
}

/** No character: an unknown token until the spaces ahead of the text are off, for its own stay. */
const UNKNOWN_MARK = '\ufffe';

/** Types of pieces. */
export const NORMAL = 1;
export const UNKNOWN = 2;
export const CONTROL = 3;
export const USER_DEFINED = 4;
const UNUSED = 5;
export const BYTE = 6;

/** @param {{ String: string } | { Regex: string }} pattern @param {string} content of tokenizer.json */
export const replace = (pattern, content) => ({ type: 'Replace', pattern, content });

/**
 * The same as a tokenizer.json, with two additions of this package. Its model SPM merges by score, as SentencePiece
 * does (and GGUF files of Llama); of the model, `skip` are ids that text never becomes, `whole` those that it becomes
 * only as a whole, and `fuse_unk` makes one of unknown letters in a row. An added token with `in_text: false` is not looked
 * for in texts: control pieces, whose names in a text are but letters to SentencePiece.
 * @param {SentencePiece} piece
 * @param {Record<string, any> | null} postProcessor
 * @returns {Record<string, any>}
 * @throws {FormatError} `tokenizer-unsupported`
 */
export function sentencePieceJson(piece, postProcessor) {
    const { model, pieces, scores, types, whitespaceAsSuffix, escapeWhitespaces, removeExtraWhitespaces } = piece;
    /** @param {...number} wanted @returns {number[]} */
    const idsOf = (...wanted) => Array.from(types.keys()).filter((id) => wanted.includes(types[id]));
    const whole = idsOf(USER_DEFINED);
    for (const [feature, there] of /** @type {[string, boolean][]} */ ([
        ['white space as suffix', whitespaceAsSuffix], ['white space that is not escaped', !escapeWhitespaces],
        ['a unigram model with user-defined pieces', model === 'unigram' && whole.length > 0],
        ['a user-defined piece with spaces where extra ones go', removeExtraWhitespaces && whole.some((id) => pieces[id].includes(' '))],
    ])) {
        if (there) {
            throw new FormatError('tokenizer-unsupported', `SentencePiece model: ${feature} is not supported`);
        }
    }
    const [unknown] = idsOf(UNKNOWN);
    const common = { vocab: pieces.map((text, id) => [text, scores[id]]), unk_id: unknown };
    const skip = idsOf(UNKNOWN, CONTROL, UNUSED, BYTE);
    return {
        version: '1.0', truncation: null, padding: null, normalizer: normalizerOf(piece), post_processor: postProcessor,
        added_tokens: idsOf(CONTROL).map((id) => ({
            id, content: pieces[id], single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
            in_text: false,
        })),
        pre_tokenizer: whole.length === 0 ? null : {
            type: 'Split', pattern: { Regex: alternatives(whole.map((id) => pieces[id])) },
            behavior: 'Isolated', invert: false,
        },
        decoder: decoderOf(piece, pieces[unknown]),
        model: model === 'bpe' ? { type: 'SPM', ...common, skip, whole, fuse_unk: true }
            : { type: 'Unigram', ...common, skip, byte_fallback: types.includes(BYTE) },
    };
}

/** @param {string[]} texts @returns {string} a regex; where two fit, the longer one counts */
export function alternatives(texts) {
    return texts.sort((a, b) => b.length - a.length)
        .map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&')).join('|');
}

/** @param {SentencePiece} piece @returns {Record<string, any>} */
function normalizerOf({ charsmap, removeExtraWhitespaces, addDummyPrefix }) {
    return {
        type: 'Sequence', normalizers: [
            ...charsmap === null ? []
                : [{ type: 'Precompiled', precompiled_charsmap: base64(charsmap), longest: true }],
            ...removeExtraWhitespaces ? [replace({ Regex: '(?<![ \u2581])[ \u2581]+\\z|\\A +' }, ''), replace({ Regex: ' {2,}' }, ' ')] : [],
            ...addDummyPrefix ? [{ type: 'Prepend', prepend: '\u2581' }] : [],
            replace({ String: ' ' }, '\u2581'),
        ],
    };
}

/** @param {SentencePiece} piece @param {string} unknown @returns {Record<string, any>} */
function decoderOf({ addDummyPrefix, removeExtraWhitespaces, unknownSurface }, unknown) {
    return {
        type: 'Sequence', decoders: [
            replace({ String: unknown }, UNKNOWN_MARK),
            replace({ String: '\u2581' }, ' '),
            { type: 'ByteFallback' }, { type: 'Fuse' },
            { type: 'Strip', content: ' ', start: removeExtraWhitespaces ? MAX_PIECES : Number(addDummyPrefix), stop: 0 },
            replace({ String: UNKNOWN_MARK }, unknownSurface),
        ],
    };
}

/** @param {Uint8Array} bytes @returns {string} */
export function base64(bytes) {
    let letters = '';
    for (const byte of bytes) {
        letters += String.fromCharCode(byte);
    }
    return btoa(letters);
}
