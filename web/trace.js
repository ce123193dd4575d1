/**
 * A text as the page knows it: its tokens, what each looked at, and what might have come instead.
 *
 * Positions count from the start token, 0. Position q is a query: its row says how much each head looked back at
 * positions 0..q, and its candidates are what could follow it at position q + 1. The last token that was drawn has
 * neither yet: the model has not read it. Rows grow with the square of a text, so the oldest of a long one are dropped.
 */

/** @import { TokenEntry, Candidate, Cost, Prompt, RunOptions } from './messages.js' */
/** @import { Settings } from './settings.js' */

/** @typedef {{ prompt: Prompt, settings: Settings, options: Partial<RunOptions> }} Origin */

const MOST_ROW_BYTES = 96 * 2 ** 20;

export class Trace {
    constructor() {
        /** @type {TokenEntry[]} */
        this.tokens = [];
        /** Those that are known. @type {(Float32Array | undefined)[]} */
        this.rows = [];
        this.oldest = 0;
        this.rowBytes = 0;
        /** @type {Map<number, Candidate[]>} by position of the query */
        this.candidates = new Map();
        /** What tokens cost. @type {Cost[]} */
        this.costs = [];
        /** The model's own probability of each token; null while nobody asked. @type {Float32Array | null} */
        this.probabilities = null;
        this.promptLength = 0;
        /** Tokens that there were when the command began that writes now. */
        this.base = 0;
        this.layer = 0;
        /** What its last part was written from, and how. @type {Origin | null} */
        this.origin = null;
        /** Counts the times that rows were replaced, not only added. */
        this.version = 0;
    }

    /**
     * Begins anew, with what it has in common with the new prompt kept.
     * @param {TokenEntry[]} prompt
     * @param {number} layer
     * @param {number} held positions that the model has read already
     */
    begin(prompt, layer, held) {
        const { tokens, rows } = this;
        let common = layer === this.layer ? Math.min(held, tokens.length) : 0;
        for (let i = 0; i < common; i++) if (tokens[i].token !== prompt[i]?.token) common = i;
        this.tokens = [...prompt];
        this.forget();
        this.candidates = new Map();
        this.costs = [];
        this.probabilities = null;
        this.promptLength = this.base = prompt.length;
        this.layer = layer;
        this.addRows(0, rows.slice(0, common));
    }

    /**
     * Another text with the same beginning.
     * @param {number} length tokens that both have
     * @returns {Trace}
     */
    fork(length) {
        const other = new Trace();
        other.tokens = this.tokens.slice(0, length);
        other.addRows(0, this.rows.slice(0, length));
        other.candidates = new Map([...this.candidates].filter(([q]) => q < length));
        other.costs = this.costs.filter(({ position }) => position < length);
        other.probabilities = this.probabilities?.slice(0, length) ?? null;
        other.promptLength = Math.min(this.promptLength, length);
        other.base = length;
        other.layer = this.layer;
        return other;
    }

    /** Forgets the rows. */
    forget() {
        this.rows = [];
        this.oldest = this.rowBytes = 0;
        this.version++;
    }

    /**
     * Forgets the rows, for those of another layer to come.
     * @param {number} layer
     */
    look(layer) {
        this.forget();
        this.layer = layer;
    }

    /**
     * @param {number} start position of the first
     * @param {(Float32Array | undefined)[]} rows
     */
    addRows(start, rows) {
        rows.forEach((row, i) => {
            this.rowBytes += (row?.byteLength ?? 0) - (this.rows[start + i]?.byteLength ?? 0);
            this.rows[start + i] = row;
        });
        for (; this.rowBytes > MOST_ROW_BYTES && this.oldest < this.rows.length; this.oldest++) {
            this.rowBytes -= this.rows[this.oldest]?.byteLength ?? 0;
            this.rows[this.oldest] = undefined;
        }
    }

    /**
     * @param {TokenEntry[]} tokens
     * @param {(Candidate[] | null)[]} candidates
     */
    append(tokens, candidates) {
        candidates.forEach((list, i) => list && this.candidates.set(this.tokens.length + i - 1, list));
        this.tokens.push(...tokens);
    }

    /** Number of tokens that the model wrote since it was last asked to. */
    get written() {
        return this.tokens.length - this.base;
    }

    /** Whether the model itself ended the text. */
    get hasEnded() {
        return Boolean(this.tokens.at(-1)?.ended);
    }

    /** Ids of the text, without the end token that may close it. */
    get ids() {
        return (this.hasEnded ? this.tokens.slice(0, -1) : this.tokens).map(entry => entry.token);
    }

    /** Ids of the tokens that the model has read, the start token included. */
    get readIds() {
        return this.tokens.slice(0, Math.max(this.rows.length, this.promptLength)).map(entry => entry.token);
    }

    /** @param {readonly number[]} ids @returns {boolean} whether these are its first tokens: a trace may begin anew */
    beginsWith(ids) {
        return ids.every((id, i) => this.tokens[i]?.token === id);
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
     * The positions that q looked at most, or with `forward` those that looked most at q.
     * @param {number} lane
     * @param {number} q
     * @param {number} count
     * @param {boolean} [forward]
     */
    strongest(lane, q, count, forward = false) {
        const found = [];
        for (let other = forward ? q : 0; forward ? other < this.rows.length : other <= q; other++) {
            const weight = forward ? this.weight(lane, other, q) : this.weight(lane, q, other);
            if (weight !== undefined) found.push({ position: other, weight });
        }
        return found.sort((a, b) => b.weight - a.weight || b.position - a.position).slice(0, count);
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
