// Byte pair encoding, by a list of merges (BPE) or by the scores of the merged tokens (SentencePiece's, as in GGUF). Both keep the candidate
// pairs in a heap, so that a word of n letters takes O(n log n).

import { byteToken, utf8 } from './bytes.js';
import { PairTable, invalid, unsupported } from './parts.js';
import { show } from '../check.js';

/** @typedef {import('./parts.js').Part} Part */
/** @typedef {(piece: string, ids: number[]) => void} Model appends the ids of a piece */

/** A candidate pair is one number: rank * PLACES + place. */
const PLACES = 2 ** 28;

/** Words come again and again, so their tokens are kept; long ones are not worth it. */
const CACHED_WORDS = 10_000;
const CACHED_LENGTH = 64;

/** A binary heap, smallest item first. */
class Heap {
    constructor() {
        /** @type {number[]} */
        this._items = [];
    }

    /** @param {number} item */
    push(item) {
        const items = this._items;
        let at = items.length;
        items.push(item);
        while (at > 0) {
            const parent = (at - 1) >> 1;
            if (items[parent] <= item) break;
            items[at] = items[parent];
            at = parent;
        }
        items[at] = item;
    }

    /** @returns {number} -1 when there is none */
    pop() {
        const items = this._items;
        if (items.length === 0) return -1;
        const top = items[0];
        const item = /** @type {number} */ (items.pop());
        const count = items.length;
        if (count === 0) return top;
        let at = 0;
        for (let child = 1; child < count; child = 2 * at + 1) {
            if (child + 1 < count && items[child + 1] < items[child]) child++;
            if (items[child] >= item) break;
            items[at] = items[child];
            at = child;
        }
        items[at] = item;
        return top;
    }
}

/**
 * Merges neighbours, the pair of lowest rank first, of equal ones the leftmost, until no pair can be merged.
 * @param {number} count of symbols
 * @param {(left: number, right: number) => number} rank of the pair at these places, -1 if it cannot be merged
 * @param {(left: number, right: number) => void} join puts both into `left`
 * @returns {Int32Array} the next place after each place, -1 at the end: from 0 on these are the symbols that are left
 */
function merge(count, rank, join) {
    const next = new Int32Array(count);
    const previous = new Int32Array(count);
    const gone = new Uint8Array(count);
    const heap = new Heap();
    for (let i = 0; i < count; i++) {
        next[i] = i + 1 < count ? i + 1 : -1;
        previous[i] = i - 1;
        if (i + 1 < count) {
            const found = rank(i, i + 1);
            if (found >= 0) heap.push(found * PLACES + i);
        }
    }
    for (let top = heap.pop(); top >= 0; top = heap.pop()) {
        const left = top % PLACES;
        const right = gone[left] ? -1 : next[left];
        // Meanwhile one of the two may have been merged with its other neighbour.
        if (right < 0 || rank(left, right) !== Math.floor(top / PLACES)) continue;
        join(left, right);
        gone[right] = 1;
        next[left] = next[right];
        if (next[left] >= 0) {
            previous[next[left]] = left;
            const found = rank(left, next[left]);
            if (found >= 0) heap.push(found * PLACES + left);
        }
        if (previous[left] >= 0) {
            const found = rank(previous[left], left);
            if (found >= 0) heap.push(found * PLACES + previous[left]);
        }
    }
    return next;
}

/** @param {Model} model @returns {Model} the same with a cache of short pieces */
export function remembering(model) {
    /** @type {Map<string, number[]>} */
    const known = new Map();
    return (piece, ids) => {
        if (piece.length > CACHED_LENGTH) return model(piece, ids);
        let found = known.get(piece);
        if (!found) {
            found = [];
            model(piece, found);
            if (known.size >= CACHED_WORDS) known.clear();
            known.set(piece, found);
        }
        for (let i = 0; i < found.length; i++) ids.push(found[i]);
    };
}

/**
 * @param {ReadonlyMap<string, number>} ids
 * @returns {(text: string) => number[] | null} the byte tokens of a text; null if one does not exist
 */
export function byteFallback(ids) {
    const tokens = Array.from({ length: 256 }, (_, byte) => ids.get(byteToken(byte)));
    return (text) => {
        const found = Array.from(utf8(text), (byte) => tokens[byte]);
        return found.some((id) => id === undefined) ? null : /** @type {number[]} */ (found);
    };
}

/**
 * @param {Part} part
 * @param {ReadonlyMap<string, number>} ids
 * @returns {Model}
 */
export function bpe(part, ids) {
    part.only(['vocab', 'merges', 'unk_token', 'continuing_subword_prefix', 'end_of_word_suffix', 'fuse_unk',
        'byte_fallback', 'ignore_merges', 'dropout']);
    if (part.get('dropout')) throw unsupported(`${part.where}.dropout is not supported`);
    const prefix = part.string('continuing_subword_prefix', '');
    const suffix = part.string('end_of_word_suffix', '');
    const fuse = part.boolean('fuse_unk', false);
    const whole = part.boolean('ignore_merges', false);
    const bytes = part.boolean('byte_fallback', false) ? byteFallback(ids) : null;
    const unknown = ids.get(part.string('unk_token', '')) ?? -1;
    const { ranks, results } = readMerges(part, ids, prefix.length);

    /** @param {string} piece @returns {number[]} the ids of its letters */
    const letters = (piece) => {
        /** @type {number[]} */
        const symbols = [];
        let pending = false;
        let at = 0;
        for (const letter of piece) {
            const start = at === 0 ? '' : prefix;
            at += letter.length;
            const text = start + letter + (at === piece.length ? suffix : '');
            const id = ids.get(text);
            if (id !== undefined) {
                if (pending) symbols.push(unknown);
                pending = false;
                symbols.push(id);
                continue;
            }
            const fallback = bytes?.(text);
            if (fallback) {
                symbols.push(...fallback);
            } else if (unknown >= 0) {
                if (pending && !fuse) symbols.push(unknown);
                pending = true;
            }
        }
        if (pending) symbols.push(unknown);
        return symbols;
    };

    return remembering((piece, out) => {
        const id = whole ? ids.get(piece) : undefined;
        if (id !== undefined) {
            out.push(id);
            return;
        }
        const symbols = letters(piece);
        const next = merge(symbols.length, (left, right) => ranks.get(symbols[left], symbols[right]), (left, right) => {
            symbols[left] = results[ranks.get(symbols[left], symbols[right])];
        });
        for (let i = symbols.length ? 0 : -1; i >= 0; i = next[i]) out.push(symbols[i]);
    });
}

/**
 * @param {Part} part
 * @param {ReadonlyMap<string, number>} ids
 * @param {number} skip length of the prefix that the second token loses when it is merged
 * @returns {{ ranks: PairTable, results: Int32Array }}
 */
function readMerges(part, ids, skip) {
    const merges = part.list('merges');
    const ranks = new PairTable(merges.length);
    const results = new Int32Array(merges.length);
    for (let i = 0; i < merges.length; i++) {
        const merge = merges[i];
        let left, right;
        if (typeof merge === 'string') {
            // A token may begin with a space, none holds one inside.
            const space = merge.indexOf(' ', 1);
            left = merge.slice(0, Math.max(space, 0));
            right = merge.slice(space + 1);
        } else if (Array.isArray(merge) && merge.length === 2) {
            [left, right] = merge;
        }
        const from = ids.get(left);
        const to = ids.get(right);
        const texts = typeof left === 'string' && typeof right === 'string';
        const result = texts ? ids.get(left + right.slice(skip)) : undefined;
        if (from === undefined || to === undefined || result === undefined) {
            throw invalid(`${part.where}.merges[${i}], ${show(merge)}, does not join two tokens into one`);
        }
        ranks.set(from, to, i);
        results[i] = result;
    }
    return { ranks, results };
}

/**
 * SentencePiece's BPE: two neighbours may be merged if the result is a token; the result with the best score comes first.
 * @param {Part} part `{ vocab: [text, score][], unk_id }`
 * @param {ReadonlyMap<string, number>} ids
 * @param {readonly number[]} scores
 * @returns {Model}
 */
export function spm(part, ids, scores) {
    part.only(['vocab', 'unk_id', 'skip', 'whole', 'fuse_unk']);
    const unknown = part.count('unk_id', 0);
    const fuse = part.boolean('fuse_unk', false);
    /** Ids that no text is encoded to, and those that only a whole piece is. */
    const skip = new Set(part.get('skip') == null ? [] : part.list('skip'));
    const whole = new Set(part.get('whole') == null ? [] : part.list('whole'));
    const bytes = byteFallback(ids);
    const order = new Map([...new Set(scores)].sort((a, b) => b - a).map((score, i) => [score, i]));
    const ranks = Int32Array.from(scores, (score) => order.get(score) ?? 0);
    let longest = 0;
    for (const text of ids.keys()) longest = Math.max(longest, text.length);

    return (piece, out) => {
        const own = ids.get(piece);
        if (own !== undefined && whole.has(own)) {
            out.push(own);
            return;
        }
        let unknownBefore = false;
        /** @type {number[]} */
        const starts = [];
        for (let at = 0; at < piece.length; at += (piece.codePointAt(at) ?? 0) > 0xFFFF ? 2 : 1) starts.push(at);
        const ends = starts.map((_, i) => starts[i + 1] ?? piece.length);
        /** @param {number} left @param {number} right @returns {number} */
        const rank = (left, right) => {
            if (ends[right] - starts[left] > longest) return -1;
            const id = ids.get(piece.slice(starts[left], ends[right]));
            return id === undefined || skip.has(id) || whole.has(id) ? -1 : ranks[id];
        };
        const next = merge(starts.length, rank, (left, right) => {
            ends[left] = ends[right];
        });
        for (let i = starts.length ? 0 : -1; i >= 0; i = next[i]) {
            const text = piece.slice(starts[i], ends[i]);
            const id = ids.get(text);
            const known = id !== undefined && !skip.has(id);
            if (known) out.push(id);
            else {
                const spelled = bytes(text);
                if (spelled || !(fuse && unknownBefore)) for (const byte of spelled ?? [unknown]) out.push(byte);
            }
            unknownBefore = !known;
        }
    };
}
