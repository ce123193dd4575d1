// Beam search: the most probable whole text among several that are followed at once.

import { Choice, argmax } from './choice.js';
import { checkLeft } from './samplers.js';
import { Search } from './search.js';

/** @typedef {import('./search.js').Steps} Steps */
/** @typedef {import('./search.js').SearchStart} SearchStart */

/** Beam search: every prompt has numBeams rows. */
export class BeamSearch extends Search {
    /** @param {Steps} steps @param {SearchStart} start @param {import('./samplers.js').BeamSampler} sampler */
    constructor(steps, start, sampler) {
        const beams = sampler.numBeams;
        super(steps, start, beams);
        this._sampler = sampler;
        const vocabulary = steps.vocabularySize;
        // All beams start as copies of the prompt; all but the first get a score so low that they are not continued.
        this.logProbs = new Float32Array(this.batch * beams);
        const first = this._logits;
        this._logits = new Float32Array(this.batch * beams * vocabulary);
        for (let row = 0; row < this.batch * beams; row++) {
            const prompt = Math.floor(row / beams) * vocabulary;
            this._logits.set(first.subarray(prompt, prompt + vocabulary), row * vocabulary);
            this.logProbs[row] = row % beams === 0 ? 0 : -1e9;
        }
        this._scores = new Float32Array(beams * vocabulary);
        this._best = new Choice(beams * vocabulary);
    }

    pick() {
        this._collect();
        for (let prompt = 0; prompt < this.batch; prompt++) {
            this._score(prompt);
            this._best.top(this._scores, this._copies);
            checkLeft(this._best.probabilities[0] > -Infinity);
            this._seat(prompt);
        }
        this._steps.reorder(this._parents);
        for (let row = 0; row < this._parents.length; row++) {
            const parent = this._parents[row];
            if (parent !== row) {
                this._rows.copyWithin(row * this.length, parent * this.length, (parent + 1) * this.length);
                this._stops[row] = this._stops[parent];
            }
        }
        for (let row = 0; row < this._parents.length; row++) {
            this._write(row, this._next[row]);
        }
        this.index++;
        return this.done;
    }

    /** A beam whose continuations are all banned has the score -Infinity: it counts as ended. */
    get done() {
        return this.index >= this.length || this._stops.every((count, row) => count > 0 || this.logProbs[row] === -Infinity);
    }

    /** Log-probability of every continuation of every beam of a prompt. @param {number} prompt */
    _score(prompt) {
        const vocabulary = this._probabilities.length;
        for (let beam = 0; beam < this._copies; beam++) {
            const row = prompt * this._copies + beam;
            const logits = this._logits.subarray(row * vocabulary, (row + 1) * vocabulary);
            const sofar = this.logProbs[row];
            const ways = this._scores.subarray(beam * vocabulary, (beam + 1) * vocabulary);
            this._edit(logits, row);
            if (sofar === -Infinity || !(logits[argmax(logits)] > -Infinity)) {
                ways.fill(-Infinity);
                continue;
            }
            this._sampler.probabilities(logits, this._probabilities, this.choice.wholeSoftmax);
            for (let token = 0; token < vocabulary; token++) {
                ways[token] = Math.fround(Math.log(this._probabilities[token])) + sofar;
            }
        }
    }

    /**
     * Gives every winner a row: the first winner of a beam keeps that beam's row, the others get the rows of beams that have no winner.
     * So a cache is copied only from a row that stays to one that ends.
     * @param {number} prompt
     */
    _seat(prompt) {
        const beams = this._copies;
        const vocabulary = this._probabilities.length;
        const { tokens, probabilities: scores } = this._best;
        const taken = new Uint8Array(beams);
        const waiting = [];
        for (let i = 0; i < beams; i++) {
            const beam = Math.floor(tokens[i] / vocabulary);
            if (taken[beam]) {
                waiting.push(i);
            } else {
                taken[beam] = 1;
                this._place(prompt * beams + beam, prompt * beams + beam, tokens[i] % vocabulary, scores[i]);
            }
        }
        for (let beam = 0; beam < beams; beam++) {
            if (!taken[beam]) {
                const i = /** @type {number} */ (waiting.pop());
                const parent = prompt * beams + Math.floor(tokens[i] / vocabulary);
                this._place(prompt * beams + beam, parent, tokens[i] % vocabulary, scores[i]);
            }
        }
    }

    /** @param {number} row @param {number} parent @param {number} token @param {number} logProb */
    _place(row, parent, token, logProb) {
        this._parents[row] = parent;
        this._next[row] = token;
        this.logProbs[row] = logProb;
    }

    /** Every result begins with the tokens that all beams have in common. */
    get settled() {
        for (let i = 0; i < this.index; i++) {
            for (let beam = 1; beam < this._copies; beam++) {
                if (this._rows[beam * this.length + i] !== this._rows[i]) {
                    return i;
                }
            }
        }
        return this.index;
    }

    /** @returns {Int32Array} [batch][length], the most probable beam of each prompt */
    get tokens() {
        const best = new Int32Array(this.batch * this.length);
        for (let prompt = 0; prompt < this.batch; prompt++) {
            const row = argmax(this.logProbs, prompt * this._copies, (prompt + 1) * this._copies);
            best.set(this._rows.subarray(row * this.length, (row + 1) * this.length), prompt * this.length);
        }
        return best;
    }
}
