/**
 * A run as the page knows it: its tokens, what each looked at, and what might have come instead.
 *
 * Positions count from the start token, 0. Position q is a query: its row says how much each head looked back at
 * positions 0..q, and its candidates are what could follow it at position q + 1. The last token that was drawn has
 * neither yet: the model has not read it.
 */

/** @import { TokenEntry, Candidate } from './messages.js' */

export class Trace {
    constructor() {
        /** @type {TokenEntry[]} */
        this.tokens = [];
        /** @type {Float32Array[]} */
        this.rows = [];
        /** @type {Map<number, Candidate[]>} by position of the query */
        this.candidates = new Map();
        this.promptLength = 0;
        this.layer = 0;
        /** Counts the times that rows were replaced, not only added. */
        this.version = 0;
    }

    /**
     * @param {TokenEntry[]} prompt
     * @param {number} layer
     */
    begin(prompt, layer) {
        this.tokens = [...prompt];
        this.rows = [];
        this.candidates = new Map();
        this.promptLength = prompt.length;
        this.layer = layer;
        this.version++;
    }

    /**
     * Forgets the rows, for those of another layer to come.
     * @param {number} layer
     */
    look(layer) {
        this.rows = [];
        this.layer = layer;
        this.version++;
    }

    /**
     * @param {TokenEntry[]} tokens
     * @param {(Candidate[] | null)[]} candidates
     */
    append(tokens, candidates) {
        candidates.forEach((list, i) => list && this.candidates.set(this.tokens.length + i - 1, list));
        this.tokens.push(...tokens);
    }

    /** Number of tokens that the model wrote. */
    get written() {
        return this.tokens.length - this.promptLength;
    }

    /** Ids of the tokens that have a row, the start token included. */
    get readIds() {
        return this.tokens.slice(0, Math.max(this.rows.length, this.promptLength)).map(entry => entry.token);
    }

    /**
     * Weight that lane 0 (the mean of the heads) or head lane - 1 of query q gives to position k, 0..1; undefined
     * where there is none: the future, or a token that was not read yet.
     * @param {number} lane
     * @param {number} q
     * @param {number} k
     */
    weight(lane, q, k) {
        return k <= q ? this.rows[q]?.[lane * (q + 1) + k] : undefined;
    }

    /**
     * The positions that q looked at most.
     * @param {number} lane
     * @param {number} q
     * @param {number} count
     */
    strongest(lane, q, count) {
        const row = this.rows[q]?.subarray(lane * (q + 1), (lane + 1) * (q + 1));
        if (!row) return [];
        return Array.from(row, (weight, position) => ({ position, weight }))
            .sort((a, b) => b.weight - a.weight || b.position - a.position).slice(0, count);
    }

    /**
     * How to write a token by itself, with marks for what cannot be seen.
     * @param {number} position
     */
    name(position) {
        const entry = this.tokens[position];
        return entry.start ? 'start' : entry.ended ? 'the end' : visible(entry.name);
    }
}

/**
 * A token's text with visible white space: `·` for a space, `↵` for a line break.
 * @param {string} text
 */
export function visible(text) {
    return text.replaceAll(' ', '·').replaceAll('\n', '↵').replaceAll('\t', '⇥') || '∅';
}
