// A SentencePiece model: the protocol buffer that `vocabulary.spm` is, as far as it says how text becomes tokens.
// The message's fields are those of sentencepiece_model.proto; one that changes tokens and is not known is refused.

import { FormatError, show } from '../../check.js';

/**
 * @typedef {object} SentencePiece
 * @property {'spm'} kind
 * @property {Uint8Array} bytes the file
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
    throw new FormatError('tokenizer-invalid', `vocabulary.spm: ${message}`);
}

/** @param {Uint8Array} bytes @returns {string} */
function text(bytes) {
    try {
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.slice());
    } catch {
        return invalid('a text is not UTF-8');
    }
}

/**
 * The fields of a protocol buffer's message, each once or several times.
 * @param {Uint8Array} bytes
 * @returns {Generator<[number: number, value: number | Uint8Array]>} numbers of up to 53 bits, others as 0xfff...
 */
function* fields(bytes) {
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
            yield [Math.floor(key / 8), number()];
            continue;
        }
        const length = wire === 2 ? number() : wire === 5 ? 4 : wire === 1 ? 8 : invalid(`a field has the wire type ${wire}`);
        if (length > bytes.length - at) {
            invalid('a field goes on behind the end');
        }
        at += length;
        yield [Math.floor(key / 8), bytes.subarray(at - length, at)];
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
    for (const [key, value] of fields(bytes)) {
        if (what[key] !== undefined) {
            if ((typeof value === 'number') !== (what[key] === 'number')) {
                invalid(`the field ${key} is not ${what[key]}`);
            }
            found[key] = value;
        }
    }
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
    for (const [key, value] of fields(bytes)) {
        if (typeof value === 'number') {
            continue;
        }
        if (key === PIECES) {
            const [, piece, score, type = 1] = message(value, ['', 'bytes', 'bytes', 'number']);
            if (piece === undefined || piece.length === 0 || type < 1 || type > 6 || pieces.length === MAX_PIECES) {
                invalid(`the piece ${pieces.length} is not one`);
            }
            pieces.push(text(piece));
            scores.push(score === undefined ? 0 : new DataView(score.buffer, score.byteOffset, 4).getFloat32(0, true));
            types.push(type);
        } else if (key === TRAINER) {
            trainer = /** @type {any} */ (value);
        } else if (key === NORMALIZER) {
            normalizer = /** @type {any} */ (value);
        } else if (key === DENORMALIZER && message(value, ['', '', 'bytes'])[2]?.length > 0) {
            throw new FormatError('tokenizer-unsupported', 'vocabulary.spm: a denormalizer is not supported');
        }
    }
    return { kind: 'spm', bytes, pieces, scores: Float32Array.from(scores), types: checkTypes(types, pieces), ...rules(trainer, normalizer) };
}

/** @param {number[]} types @param {string[]} pieces */
function checkTypes(types, pieces) {
    if (types.filter((type) => type === 2).length !== 1) {
        invalid('it should have one unknown piece');
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
        throw new FormatError('tokenizer-unsupported', `vocabulary.spm: models by ${show(['', '', '', 'word', 'char'][type] ?? type)} ` +
            'are not supported');
    }
    const [, , charsmap, dummy = 1, extra = 1, escape = 1] = message(normalizer, ['', '', 'bytes', 'number', 'number', 'number']);
    return {
        model: /** @type {'bpe' | 'unigram'} */ (type === 2 ? 'bpe' : 'unigram'),
        addDummyPrefix: dummy !== 0, removeExtraWhitespaces: extra !== 0, escapeWhitespaces: escape !== 0,
        whitespaceAsSuffix: (trained[AS_SUFFIX] ?? 0) !== 0,
        charsmap: charsmap?.length > 0 ? charsmap : null,
        unknownSurface: trained[UNKNOWN_SURFACE] === undefined ? ' \u2047 ' : text(trained[UNKNOWN_SURFACE]),
    };
}
