// A folder's `tokenizer.model`, SentencePiece's own file, as a tokenizer.json: what models were published with before there were any.
// Of the three ways that transformers reads it the folder's config chooses one: Llama's and Gemma's tokenizers take pieces
// alone and have rules of their own, and for all others the rules of the file count.

import { FormatError, show } from '../check.js';
import { surrounded } from './byte-level.js';
import { isObject, parseJson } from './json.js';
import { BYTE, CONTROL, NORMAL, UNKNOWN, USER_DEFINED, alternatives, base64, readSentencePiece, replace } from './keras/sentencepiece.js';

/**
 * @typedef {import('./keras/sentencepiece.js').SentencePiece} SentencePiece
 * @typedef {Record<string, any>} Json
 * @typedef {'llama' | 'gemma' | 'file'} Route
 */

const CLASSES = /^(?:(?:LLaMA|Llama|CodeLlama|Gemma)Tokenizer|PreTrainedTokenizer|TokenizersBackend)(?:Fast)?$/;

/** Families whose folders name Llama's tokenizer, or Gemma's, and do not mean it. */
const BY_FILE = /^(?:mistral|phi3|olmo2|granite|stablelm|qwen2)$/;

/**
 * @param {Uint8Array} bytes tokenizer.model
 * @param {Uint8Array | null} addedTokens added_tokens.json
 * @param {Json | null} config config.json
 * @param {Json | null} named tokenizer_config.json, filled up from special_tokens_map.json
 * @param {Json | null} own the same without
 * @returns {{ json: Json, config: Json }}
 * @throws {FormatError} `tokenizer-invalid`, `tokenizer-unsupported`
 */
export function readTokenizerModel(bytes, addedTokens, config, named, own) {
    const route = routeOf(config, named);
    if (bytes[0] !== 10) {
        throw unsupported('a file that is no SentencePiece model');
    }
    const model = readSentencePiece(bytes);
    if (model.whitespaceAsSuffix) {
        throw unsupported('white space as suffix');
    }
    const listed = listedTokens(addedTokens, named, route);
    rename(model, listed);
    const names = { ...defaultNames(model, route), ...named };
    // A list of tokenizer_config.json takes the place of what the file says of its pieces.
    const marked = specialLists(own).length > 0 ? [] : markedPieces(model, route);
    const added = addedOf(marked, listed, names);
    return {
        json: {
            version: '1.0', truncation: null, padding: null, added_tokens: added,
            post_processor: surroundings(model, added, names),
            ...route === 'file' ? byFile(model, names) : byClass(model, names, route),
        },
        config: names,
    };
}

/** @param {string} what @returns {FormatError} */
function unsupported(what) {
    return new FormatError('tokenizer-unsupported', `tokenizer.model: ${what} is not supported`);
}

/** @param {Json | null} config @param {Json | null} named @returns {Route} */
function routeOf(config, named) {
    const kind = named?.tokenizer_class ?? config?.tokenizer_class ?? null;
    if (kind !== null && !(typeof kind === 'string' && CLASSES.test(kind))) {
        throw unsupported(`a tokenizer_class of ${show(kind)}`);
    }
    const family = String(config?.model_type);
    if (BY_FILE.test(family)) {
        return 'file';
    }
    return /^Gemma/.test(kind) || (kind === null && /^gemma/.test(family)) ? 'gemma'
        : /llama/i.test(kind) ? 'llama' : 'file';
}

/** @param {SentencePiece} model @param {Route} route @returns {Json} names of tokens, where the folder says none */
function defaultNames({ pieces, types }, route) {
    const names = route === 'gemma'
        ? { bos_token: '<bos>', eos_token: '<eos>', pad_token: '<pad>', mask_token: '<mask>' }
        : { bos_token: '<s>', eos_token: '</s>' };
    const there = Object.entries(names).filter(([, token]) => pieces.includes(token));
    return { ...Object.fromEntries(there), unk_token: pieces[types.indexOf(UNKNOWN)] };
}

/**
 * @param {Uint8Array | null} file added_tokens.json: texts and ids
 * @param {Json | null} named its added_tokens_decoder counts more, as it says what the tokens are like
 * @param {Route} route
 * @returns {Map<number, Json>}
 */
function listedTokens(file, named, route) {
    const older = file === null ? {} : parseJson(file, 'tokenizer', 'added_tokens.json').value;
    if (!isObject(older)) {
        throw new FormatError('tokenizer-invalid', `added_tokens.json must be an object of ids, got ${show(older)}`);
    }
    const tokens = new Map(Object.entries(older).map(([content, id]) => [id, /** @type {Json} */ ({ id, content })]));
    const decoder = named?.added_tokens_decoder;
    for (const [id, token] of Object.entries(isObject(decoder) ? decoder : {})) {
        // By the file's rules each text between two tokens begins with a space of its own.
        tokens.set(Number(id), { ...token, ...route === 'file' && { normalized: false }, id: Number(id) });
    }
    return tokens;
}

/** Pieces that were kept free for later tokens get their texts. @param {SentencePiece} model @param {Map<number, Json>} listed */
function rename({ pieces }, listed) {
    const known = new Set(pieces);
    for (const [id, { content }] of listed) {
        if (id < pieces.length && typeof content === 'string' && !known.has(content)) {
            pieces[id] = content;
        }
    }
}

/** @param {Json | null} named @returns {unknown[]} */
function specialLists(named) {
    return [named?.additional_special_tokens, named?.extra_special_tokens].filter(Array.isArray).flat();
}

/** @param {SentencePiece} model @param {Route} route @returns {Json[]} pieces that are looked for before anything else */
function markedPieces({ pieces, types }, route) {
    return pieces.map((content, id) => ({ id, content, special: types[id] === CONTROL, normalized: false }))
        .filter(({ id, special }) => special || (types[id] === USER_DEFINED && route !== 'file'));
}

/** @param {Json[]} marked @param {Map<number, Json>} listed @param {Json} names @returns {Json[]} */
function addedOf(marked, listed, names) {
    const tokens = new Map([...marked.map((token) => /** @type {const} */ ([token.id, token])), ...listed]);
    const named = Object.keys(names).filter((name) => name.endsWith('_token')).map((name) => names[name]);
    const special = new Set([...specialLists(names), ...named].map(contentOf));
    return Array.from(tokens.values(), (token) =>
        (special.has(token.content) ? { normalized: false, ...token, special: true } : token));
}

/** @param {unknown} token a text, or an object with one @returns {unknown} */
function contentOf(token) {
    return isObject(token) ? token.content : token;
}

/**
 * What stands around texts. Where the folder does not say, they begin with the start token: so it is documented for these
 * classes, and so the models were trained.
 * @param {SentencePiece} model
 * @param {Json[]} added
 * @param {Json} names
 * @returns {object | null}
 */
function surroundings({ pieces }, added, names) {
    /** @param {'bos' | 'eos'} name @param {boolean} otherwise @returns {[string, number][]} */
    const around = (name, otherwise) => {
        const content = contentOf(names[`${name}_token`]);
        if ((names[`add_${name}_token`] ?? otherwise) !== true || typeof content !== 'string' || content === '') {
            return [];
        }
        const place = pieces.indexOf(content);
        const known = place >= 0 ? place : added.find((token) => token.content === content)?.id;
        const id = known ?? added.reduce((most, token) => Math.max(most, token.id + 1), pieces.length);
        if (known === undefined) {
            added.push({ id, content, special: true, normalized: false });
        }
        return [[content, id]];
    };
    return surrounded(around('bos', true), around('eos', false));
}

const SPACES = replace({ String: ' ' }, '\u2581');

/** @param {string} scheme @returns {Json} */
const metaspace = (scheme) => ({ type: 'Metaspace', replacement: '\u2581', prepend_scheme: scheme, split: false });

/** @param {boolean} strips the space that was put before the text @param {boolean} bytes @returns {Json} */
function decoderOf(strips, bytes) {
    return {
        type: 'Sequence', decoders: [
            replace({ String: '\u2581' }, ' '), ...bytes ? [{ type: 'ByteFallback' }] : [], { type: 'Fuse' },
            ...strips ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [],
        ],
    };
}

/**
 * Pairs of pieces that make another one.
 * @param {readonly string[]} pieces
 * @param {readonly number[]} ids of those that may be joined, the best first
 * @returns {[string, string][]}
 */
function mergesOf(pieces, ids) {
    const known = new Set(ids.map((id) => pieces[id]));
    const sieve = new Sieve(known);
    /** @type {[string, string][]} */
    const merges = [];
    for (const id of ids) {
        const piece = pieces[id];
        sieve.begin(piece);
        for (let at = 1; at < piece.length; at++) {
            if (sieve.mayCut(at)) {
                const [left, right] = [piece.slice(0, at), piece.slice(at)];
                if (known.has(left) && known.has(right)) {
                    merges.push([left, right]);
                }
            }
        }
    }
    return merges;
}

/** Tells cheaply of nearly all places in a text that they do not cut it into two known ones. Hashes are polynomials modulo 2^32. */
class Sieve {
    /** @param {ReadonlySet<string>} known */
    constructor(known) {
        const longest = Array.from(known).reduce((most, { length }) => Math.max(most, length), 0);
        this._marked = new Uint8Array(2 ** SIEVE_BITS);
        this._powers = new Int32Array(longest + 1).fill(1);
        for (let i = 1; i <= longest; i++) {
            this._powers[i] = Math.imul(this._powers[i - 1], FACTOR);
        }
        /** Of the text's beginnings, by length. */
        this._hashes = new Int32Array(longest + 1);
        this._length = 0;
        known.forEach((text) => {
            this.begin(text);
            this._marked[placeOf(this._hashes[text.length])] = 1;
        });
    }

    /** @param {string} text that the next places are in; one of the known */
    begin(text) {
        const hashes = this._hashes;
        this._length = text.length;
        for (let i = 0; i < text.length; i++) {
            hashes[i + 1] = Math.imul(hashes[i], FACTOR) + text.charCodeAt(i);
        }
    }

    /** @param {number} at @returns {boolean} whether the text's parts before and from this place may both be known */
    mayCut(at) {
        const left = this._hashes[at];
        return this._marked[placeOf(left)] === 1
            && this._marked[placeOf(this._hashes[this._length] - Math.imul(left, this._powers[this._length - at]))] === 1;
    }
}

const SIEVE_BITS = 22;
const FACTOR = 0x01000193;

/** @param {number} hash @returns {number} its upper bits, scrambled */
const placeOf = (hash) => Math.imul(hash, 0x9e3779b1) >>> (32 - SIEVE_BITS);

/** @param {readonly string[]} pieces @param {readonly number[]} ids @param {Json} options @returns {Json} */
const bytePairs = (pieces, ids, options) => ({
    type: 'BPE', vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])), merges: mergesOf(pieces, ids),
    fuse_unk: true, ...options,
});

/** @param {SentencePiece} model @param {Json} names @param {'llama' | 'gemma'} route @returns {Json} */
function byClass({ pieces }, names, route) {
    // A piece that comes first is joined first, whatever its score.
    const model = bytePairs(pieces, [...pieces.keys()], {
        byte_fallback: true, unk_token: route === 'gemma' ? contentOf(names.unk_token) : null,
    });
    if (route === 'gemma') {
        return { normalizer: SPACES, pre_tokenizer: null, decoder: decoderOf(false, true), model };
    }
    const prefix = (names.add_prefix_space ?? true) === true;
    return {
        normalizer: null, decoder: decoderOf(prefix, true), model,
        pre_tokenizer: metaspace(!prefix ? 'never' : names.legacy === true ? 'always' : 'first'),
    };
}

/** @param {SentencePiece} model @param {Json} names @returns {Json} */
function byFile(model, names) {
    const { pieces, scores, types, addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces, charsmap } = model;
    const legacy = names.legacy ?? true;
    const idsOf = (/** @type {number} */ type) => [...pieces.keys()].filter((id) => types[id] === type);
    const whole = idsOf(USER_DEFINED).map((id) => pieces[id]);
    const bytes = types.includes(BYTE);
    const normalizers = [
        ...charsmap === null ? [] : [{ type: 'Precompiled', precompiled_charsmap: base64(charsmap) }],
        ...removeExtraWhitespaces ? [replace({ Regex: '(?<! ) +\\z|\\A +' }, ''), replace({ Regex: ' {2,}' }, ' ')] : [],
        ...escapeWhitespaces ? [SPACES] : [],
        // A text that begins with a space gets one more: the pre-tokenizer would not put it there.
        ...addDummyPrefix && legacy ? [replace({ Regex: '\\A\u2581' }, '\u2581\u2581')] : [],
    ];
    const splits = [
        ...addDummyPrefix ? [metaspace(legacy ? 'always' : 'first')] : [],
        ...whole.length > 0
            ? [{ type: 'Split', pattern: { Regex: alternatives(whole) }, behavior: 'Isolated', invert: false }] : [],
    ];
    return {
        normalizer: { type: 'Sequence', normalizers },
        pre_tokenizer: { type: 'Sequence', pretokenizers: splits },
        decoder: decoderOf(addDummyPrefix, bytes),
        model: model.model === 'bpe'
            ? bytePairs(pieces, idsOf(NORMAL).sort((a, b) => scores[b] - scores[a] || a - b), {
                byte_fallback: bytes, ignore_merges: whole.length > 0, unk_token: pieces[types.indexOf(UNKNOWN)],
            })
            : {
                type: 'Unigram', vocab: pieces.map((piece, id) => [piece, scores[id]]), unk_id: types.indexOf(UNKNOWN),
                byte_fallback: bytes,
            },
    };
}
