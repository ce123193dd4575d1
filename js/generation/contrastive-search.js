// Contrastive search (Su et al. 2022): probable tokens whose hidden state is unlike those before.

import { argmax } from './choice.js';
import { checkFinite } from './finite.js';
import { checkLeft } from './samplers.js';
import { Search } from './search.js';

/** @typedef {import('./search.js').Steps} Steps */
/** @typedef {import('./search.js').SearchStart} SearchStart */

/** Contrastive search: every prompt has k rows, which differ in the newest token only. */
export class ContrastiveSearch extends Search {
    /** @param {Steps} steps @param {SearchStart} start @param {import('./samplers.js').ContrastiveSampler} sampler */
    constructor(steps, start, sampler) {
        const k = Math.min(sampler.k, steps.vocabularySize);
        super(steps, start, k);
        const { hidden } = start;
        if (!hidden) {
            throw new TypeError('contrastive search needs the hidden states of the prompt');
        }
        this._sampler = sampler;
        this._width = steps.width;
        const each = hidden.length / this.batch;
        /** For each prompt the hidden states so far, [positions][width], each scaled to length 1. The arrays grow with the text. */
        this._directions = Array.from({ length: this.batch }, (_, prompt) =>
            hidden.slice(prompt * each, prompt * each + start.index * this._width));
        for (const states of this._directions) {
            for (let i = 0; i < states.length; i += this._width) {
                normalize(states.subarray(i, i + this._width));
            }
        }
        this._candidates = new Float32Array(this.batch * k);
    }

    async pick() {
        const vocabulary = this._probabilities.length;
        const k = this._copies;
        for (let prompt = 0; prompt < this.batch; prompt++) {
            const logits = this._logits.subarray(prompt * vocabulary, (prompt + 1) * vocabulary);
            this._edit(logits, prompt * k);
            checkLeft(logits[argmax(logits)] > -Infinity);
            this._sampler.probabilities(logits, this._probabilities, this.choice.wholeSoftmax);
            this.choice.top(this._probabilities, k);
            this._candidates.set(this.choice.probabilities.subarray(0, k), prompt * k);
            for (let i = 0; i < k; i++) {
                this._write(prompt * k + i, this.choice.tokens[i]);
            }
        }
        await this._steps.step(this._next, this.index);
        const logits = this._steps.logits();
        checkFinite(logits, this._where);
        const hidden = this._steps.hidden();
        for (let prompt = 0; prompt < this.batch; prompt++) {
            const row = this._best(prompt, hidden);
            this._parents.fill(row, prompt * k, (prompt + 1) * k);
            this._logits.set(logits.subarray(row * vocabulary, (row + 1) * vocabulary), prompt * vocabulary);
            this._keep(prompt, hidden.subarray(row * this._width, (row + 1) * this._width));
            const token = this._rows[row * this.length + this.index];
            for (let i = 0; i < k; i++) {
                this._write(prompt * k + i, token);
            }
        }
        this._steps.reorder(this._parents);
        this.index++;
        return this.done;
    }

    /** @param {number} prompt @param {Float32Array} state of position `index` */
    _keep(prompt, state) {
        const at = this.index * this._width;
        if (this._directions[prompt].length === at) {
            const grown = new Float32Array(Math.min(2 * this.index, this.length) * this._width);
            grown.set(this._directions[prompt]);
            this._directions[prompt] = grown;
        }
        this._directions[prompt].set(state, at);
        normalize(this._directions[prompt].subarray(at, at + this._width));
    }

    /** The logits that pick() needs came with the candidates. */
    feed() {}

    /**
     * @param {number} prompt
     * @param {Float32Array} hidden [batch][k][width] of the candidates
     * @returns {number} the winner's row
     */
    _best(prompt, hidden) {
        const width = this._width;
        const directions = this._directions[prompt];
        const { alpha } = this._sampler;
        let best = -1;
        let bestScore = -Infinity;
        for (let row = prompt * this._copies; row < (prompt + 1) * this._copies; row++) {
            // Candidates are sorted; if fewer than k tokens are allowed, the last ones have the probability 0 and do not count.
            if (best >= 0 && this._candidates[row] === 0) {
                break;
            }
            const state = hidden.slice(row * width, (row + 1) * width);
            normalize(state);
            let closest = -1;
            for (let i = 0; i < this.index; i++) {
                let cosine = 0;
                for (let j = 0; j < width; j++) {
                    cosine += directions[i * width + j] * state[j];
                }
                closest = Math.max(closest, cosine);
            }
            const score = (1 - alpha) * this._candidates[row] - alpha * closest;
            if (best < 0 || score > bestScore) {
                best = row;
                bestScore = score;
            }
        }
        return best;
    }

    /** @returns {Int32Array} [batch][length] */
    get tokens() {
        const tokens = new Int32Array(this.batch * this.length);
        for (let prompt = 0; prompt < this.batch; prompt++) {
            const row = prompt * this._copies * this.length;
            tokens.set(this._rows.subarray(row, row + this.length), prompt * this.length);
        }
        return tokens;
    }
}

/** Scales a vector to length 1; a zero vector stays as it is. @param {Float32Array} v */
function normalize(v) {
    let sum = 0;
    for (let i = 0; i < v.length; i++) {
        sum += v[i] * v[i];
    }
    const scale = sum > 0 ? 1 / Math.sqrt(sum) : 0;
    for (let i = 0; i < v.length; i++) {
        v[i] *= scale;
    }
}
