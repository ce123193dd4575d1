// The search loop, independent of what computes the logits: the base class, and token-by-token search.

import { integerWithin } from '../check.js';
import { Choice } from './choice.js';
import { checkFinite } from './finite.js';

/**
 * Keras Hub's sampling loops, over anything that computes logits.
 *
 * A search owns `tokens`, [batch][length], and fills it from position `index` on. It is driven in turns:
 *   await search.pick()   chooses the tokens of position `index`; index + 1; true when nothing is left to do
 *   await search.feed()   runs the model on them
 * so that a caller can show a token before the model works on the next one.
 *
 * @typedef {object} Steps what a search needs of a model
 * @property {number} vocabularySize
 * @property {number} width floats of a hidden state
 * @property {(rows: number) => void} expand every row of the batch becomes so many, one after the other
 * @property {(tokens: Uint32Array, position: number) => unknown} step feeds one token per row at `position`; where it
 *   returns a promise, the results are there when that has resolved
 * @property {() => Float32Array} logits [rows][vocabularySize] of the last step, valid until the next
 * @property {() => Float32Array} hidden [rows][width] of the last step, valid until the next
 * @property {import('./softmax.js').Softmax} [softmax] of [vocabularySize] logits; default: softmax.js
 * @property {(parents: Uint32Array) => void} reorder row r continues as row parents[r] did; a row that other rows continue must be its
 *   own parent
 *
 * @typedef {object} SearchStart
 * @property {Int32Array} tokens [batch][length], begun by the prompts; is filled in
 * @property {Uint8Array} mask [batch][length], 1 where a token belongs to a prompt and stays
 * @property {number} index first position to fill; the model has been fed the ones before it
 * @property {Float32Array} logits [batch][vocabularySize] after position index - 1
 * @property {Float32Array} [hidden] [batch][index or more][width] of positions 0 .. index - 1, for contrastive search
 * @property {number[]} stopTokens ids that end a row when they stand outside its prompt
 * @property {import('./processors.js').Processors | null} [processors] biases and penalties; penalties follow a single row
 * @property {import('./constraints/index.js').Constraint | null} [constraint] what may be written from position `index` on
 * @property {() => string} [where] says, for an error, where logits that are not finite may come from
 */

/** What all searches share: tokens, masks, and when to stop. */
export class Search {
    /**
     * @param {Steps} steps
     * @param {SearchStart} start
     * @param {number} copies rows per prompt
     */
    constructor(steps, start, copies) {
        const vocabulary = steps.vocabularySize;
        this.batch = start.logits.length / vocabulary;
        this.length = start.tokens.length / this.batch;
        this.index = start.index;
        this._steps = steps;
        this._copies = copies;
        this._mask = start.mask;
        this._stopTokens = new Set(start.stopTokens);
        /** Logits after the tokens so far, of every row. */
        this._logits = new Float32Array(start.logits);
        this._where = start.where;
        this._processors = start.processors ?? null;
        this._constraint = start.constraint ?? null;
        this._begin = start.index;
        checkFinite(this._logits, this._where);
        if (copies > 1) {
            steps.expand(copies);
        }
        /** Whether feed() has run since the logits were copied. */
        this._fed = false;
        this._probabilities = new Float32Array(vocabulary);
        /** The tokens to feed, one per row. */
        this._next = new Uint32Array(this.batch * copies);
        this._parents = new Uint32Array(this.batch * copies);
        this.choice = new Choice(vocabulary, steps.softmax);
        /** Tokens of every row, [batch][copies][length]. */
        this._rows = new Int32Array(this.batch * copies * this.length);
        for (let row = 0; row < this.batch * copies; row++) {
            const prompt = Math.floor(row / copies) * this.length;
            this._rows.set(start.tokens.subarray(prompt, prompt + this.length), row * this.length);
        }
        /** Stop tokens outside the prompt, per row. */
        this._stops = new Uint32Array(this.batch * copies);
        for (let row = 0; row < this._stops.length; row++) {
            for (let i = 0; i < this.length; i++) {
                this._stops[row] += this._isStop(row, i);
            }
        }
    }

    /** Is nothing left to do: no room, or a stop token in every row? */
    get done() {
        return this.index >= this.length || !this._stops.includes(0);
    }

    /** @param {number} row @param {number} position @returns {number} 0 or 1 */
    _isStop(row, position) {
        const prompt = Math.floor(row / this._copies);
        return Number(this._mask[prompt * this.length + position] === 0 &&
            this._stopTokens.has(this._rows[row * this.length + position]));
    }

    /** Writes a token of position `index` unless a prompt has one there. @param {number} row @param {number} token */
    _write(row, token) {
        const prompt = Math.floor(row / this._copies);
        const at = row * this.length + this.index;
        if (this._mask[prompt * this.length + this.index] === 0) {
            this._stops[row] -= this._isStop(row, this.index);
            this._rows[at] = token;
            this._stops[row] += this._isStop(row, this.index);
        }
        this._next[row] = this._rows[at];
    }

    /** Applies biases, penalties and the constraint to the logits that follow a row. @param {Float32Array} logits [V] @param {number} row */
    _edit(logits, row) {
        if (this._processors === null && this._constraint === null) {
            return;
        }
        const tokens = this._rows.length === this.length ? this._rows : this._rows.subarray(row * this.length, (row + 1) * this.length);
        this._processors?.apply(logits, tokens, this.index);
        this._constraint?.apply(logits, tokens, this._begin, this.index);
    }

    /** Feeds the tokens just picked. @returns {unknown} maybe a promise */
    feed() {
        this._fed = true;
        return this._steps.step(this._next, this.index - 1);
    }

    /** Copies the logits of the step that feed() began. */
    _collect() {
        if (this._fed) {
            this._logits.set(this._steps.logits());
            checkFinite(this._logits, this._where);
            this._fed = false;
        }
    }

    /** @returns {Choice} what the newest token of the last row was chosen from, to be shown to people; before feed(), and not of beams */
    explain() {
        return this.choice;
    }

    /** How many leading tokens of the first prompt's row will not change any more. */
    get settled() {
        return this.index;
    }

    /** @returns {Int32Array} [batch][length], the result */
    get tokens() {
        return this._rows;
    }
}

/** Greedy, random, top-k and top-p: every row by itself, one draw each. */
export class RowSearch extends Search {
    /** @param {Steps} steps @param {SearchStart} start @param {import('./samplers.js').Sampler} sampler */
    constructor(steps, start, sampler) {
        super(steps, start, 1);
        this._sampler = sampler;
    }

    pick() {
        this._collect();
        for (let row = 0; row < this.batch; row++) {
            this._edit(this._rowLogits(row), row);
            this._sampler.choose(this._rowLogits(row), this.choice);
            // The sampler may be a subclass that the caller wrote.
            this._write(row, integerWithin("the sampler's token", this._sampler.draw(this.choice), this._probabilities.length - 1));
        }
        this.index++;
        return this.done;
    }

    explain() {
        this._sampler.explain(this._rowLogits(this.batch - 1), this.choice);
        return this.choice;
    }

    /** @param {number} row @returns {Float32Array} [V] */
    _rowLogits(row) {
        const vocabulary = this._probabilities.length;
        return this.batch === 1 ? this._logits : this._logits.subarray(row * vocabulary, (row + 1) * vocabulary);
    }
}
