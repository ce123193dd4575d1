// The models of tokenizer.json: from a piece of text to ids.

import { byteFallback, bpe, remembering, spm } from './bpe.js';
import { MAX_TOKENS, Trie, invalid } from './parts.js';
import { isObject } from '../files/json.js';
import { show } from '../check.js';

/** @typedef {import('./parts.js').Part} Part */
/** @typedef {{ ids: Map<string, number>, kind: string, encode: import('./bpe.js').Model }} ModelPart */

/** @param {Part} part @returns {ModelPart} */
export function model(part) {
    // GPT-2's own file, older than the field, has no type.
    const type = part.type === '' && Array.isArray(part.get('merges')) ? 'BPE' : part.type;
    switch (type) {
        case 'BPE': {
            const ids = vocabulary(part);
            return { ids, kind: 'BPE', encode: bpe(part, ids) };
        }
        case 'Unigram': {
            const { ids, scores } = scored(part);
            return { ids, kind: 'Unigram', encode: unigram(part, ids, scores) };
        }
        case 'SPM': {
            const { ids, scores } = scored(part);
            return { ids, kind: 'SentencePiece BPE', encode: spm(part, ids, scores) };
        }
        case 'WordPiece': {
            const ids = vocabulary(part);
            return { ids, kind: 'WordPiece', encode: wordPiece(part, ids) };
        }
        case 'WordLevel': {
            const ids = vocabulary(part);
            return { ids, kind: 'WordLevel', encode: wordLevel(part, ids) };
        }
        default: throw part.unknown();
    }
}

/** @param {Part} part @returns {Map<string, number>} */
function vocabulary(part) {
    const vocab = part.get('vocab');
    if (!isObject(vocab)) throw part.wrong('vocab', 'an object', vocab);
    /** @type {Map<string, number>} */
    const ids = new Map();
    /** @type {Set<number>} */
    const seen = new Set();
    for (const token of Object.keys(vocab)) {
        const id = vocab[token];
        if (!Number.isInteger(id) || id < 0 || id >= MAX_TOKENS) {
            throw invalid(`${part.where}.vocab: the id of ${show(token)} is no index`);
        }
        if (seen.has(id)) throw invalid(`${part.where}.vocab: two tokens have the id ${id}`);
        seen.add(id);
        ids.set(token, id);
    }
    if (ids.size === 0) throw invalid(`${part.where}.vocab is empty`);
    return ids;
}

/** @param {Part} part @returns {{ ids: Map<string, number>, scores: number[] }} */
function scored(part) {
    /** @type {Map<string, number>} */
    const ids = new Map();
    /** @type {number[]} */
    const scores = [];
    const vocab = part.list('vocab');
    if (vocab.length === 0 || vocab.length >= MAX_TOKENS) {
        throw invalid(`${part.where}.vocab has ${vocab.length} tokens`);
    }
    for (const [i, entry] of vocab.entries()) {
        if (!Array.isArray(entry) || typeof entry[0] !== 'string' || !Number.isFinite(entry[1])) {
            throw invalid(`${part.where}.vocab[${i}] must be a text and a score, got ${show(entry)}`);
        }
        ids.set(entry[0], i);
        scores.push(entry[1]);
    }
    return { ids, scores };
}

/** By how much the score of an unknown letter is below that of the worst token. */
const UNKNOWN_PENALTY = 10;

/**
 * Finds the most probable segmentation of a piece into tokens (Viterbi).
 * @param {Part} part
 * @param {ReadonlyMap<string, number>} ids
 * @param {readonly number[]} scores
 * @returns {import('./bpe.js').Model}
 */
function unigram(part, ids, scores) {
    part.only(['vocab', 'unk_id', 'byte_fallback', 'skip']);
    const unknown = part.get('unk_id') == null ? -1 : part.count('unk_id');
    const isUnknown = (/** @type {number} */ id) => id < 0 || id === unknown;
    const bytes = part.boolean('byte_fallback', false) ? byteFallback(ids) : null;
    // Tokens that text is never cut into, such as control tokens of a GGUF file.
    const skip = new Set(part.get('skip') == null ? [] : part.list('skip'));
    const trie = new Trie();
    for (const [text, id] of ids) {
        if (text !== '' && !skip.has(id)) trie.add(text, id);
    }
    const worst = scores.reduce((least, score, id) => (skip.has(id) ? least : Math.min(least, score)), Infinity);

    return remembering((piece, out) => {
        const from = bestPath(piece, trie, scores, worst - UNKNOWN_PENALTY);
        /** @type {{ start: number, end: number, id: number }[]} */
        const pieces = [];
        for (let end = piece.length; end > 0; end = from.start[end]) {
            const id = from.id[end];
            const last = pieces.at(-1);
            // Unknown letters in a row become one unknown token; the unknown token's own text counts as unknown, too.
            if (last && isUnknown(id) && isUnknown(last.id)) Object.assign(last, { start: from.start[end], id: -1 });
            else pieces.push({ start: from.start[end], end, id });
        }
        for (const { start, end, id } of pieces.reverse()) {
            if (id >= 0) out.push(id);
            else for (const one of bytes?.(piece.slice(start, end)) ?? (unknown < 0 ? [] : [unknown])) out.push(one);
        }
    });
}

/**
 * @param {string} piece
 * @param {Trie} trie
 * @param {readonly number[]} scores
 * @param {number} unknownScore
 * @returns {{ start: Int32Array, id: Int32Array }} the best token that ends at each place: where it starts, and its id
 */
function bestPath(piece, trie, scores, unknownScore) {
    const { length } = piece;
    const best = new Float64Array(length + 1);
    const start = new Int32Array(length + 1).fill(-1);
    const id = new Int32Array(length + 1).fill(-1);
    /** @param {number} at @param {number} end @param {number} score @param {number} token */
    const offer = (at, end, score, token) => {
        if (start[end] < 0 || score > best[end]) {
            best[end] = score;
            start[end] = at;
            id[end] = token;
        }
    };
    for (let at = 0; at < length;) {
        const step = (piece.codePointAt(at) ?? 0) > 0xFFFF ? 2 : 1;
        let single = false;
        for (let node = 0, i = at; i < length;) {
            node = trie.step(node, piece.charCodeAt(i++));
            if (node < 0) break;
            const token = trie.value(node);
            if (token >= 0) {
                offer(at, i, best[at] + scores[token], token);
                single ||= i === at + step;
            }
        }
        if (!single) offer(at, at + step, best[at] + unknownScore, -1);
        at += step;
    }
    return { start, id };
}

/** @param {Part} part @param {ReadonlyMap<string, number>} ids @returns {import('./bpe.js').Model} */
function wordPiece(part, ids) {
    part.only(['vocab', 'unk_token', 'continuing_subword_prefix', 'max_input_chars_per_word']);
    const unknown = ids.get(part.string('unk_token', '[UNK]'));
    const prefix = part.string('continuing_subword_prefix', '##');
    const most = part.count('max_input_chars_per_word', 100);
    let longest = 0;
    for (const text of ids.keys()) longest = Math.max(longest, text.length);

    /** @param {string} piece @returns {number[] | null} */
    const cut = (piece) => {
        if (piece.length > most && Array.from(piece).length > most) return null;
        /** @type {number[]} */
        const found = [];
        for (let start = 0; start < piece.length;) {
            let end = Math.min(piece.length, start + longest);
            let id;
            while (end > start && id === undefined) {
                id = ids.get((start > 0 ? prefix : '') + piece.slice(start, end));
                if (id === undefined) end--;
            }
            if (id === undefined) return null;
            found.push(id);
            start = end;
        }
        return found;
    };
    return (piece, out) => {
        for (const id of cut(piece) ?? (unknown === undefined ? [] : [unknown])) out.push(id);
    };
}

/** @param {Part} part @param {ReadonlyMap<string, number>} ids @returns {import('./bpe.js').Model} */
function wordLevel(part, ids) {
    part.only(['vocab', 'unk_token']);
    const unknown = ids.get(part.string('unk_token', ''));
    return (piece, out) => {
        const id = ids.get(piece) ?? unknown;
        if (id !== undefined) out.push(id);
    };
}
