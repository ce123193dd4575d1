import { Choice, argmax } from './samplers.js';

/**
 * Keras Hub's sampling loops, for every sampler, over anything that predicts.
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
 * @property {(parents: Uint32Array, from: number, to: number) => void} reorder row r continues as row parents[r] did at
 *   positions from .. to - 1; a row that another one continues keeps its own
 *
 * @typedef {object} SearchStart
 * @property {Int32Array} tokens [batch][length], begun by the prompts; is filled in
 * @property {Uint8Array} mask [batch][length], 1 where a token belongs to a prompt and stays
 * @property {number} index first position to fill; the model has been fed the ones before it
 * @property {Float32Array} logits [batch][vocabularySize] after position index - 1
 * @property {Float32Array} [hidden] [batch][length][width] of positions 0 .. index - 1, for contrastive search
 * @property {number[]} stopTokens ids that end a row when they stand outside its prompt
 */

/** What all searches share: tokens, masks and when to stop. */
class Search {
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
        this._logits = new Float32Array(start.logits);
        this._probabilities = new Float32Array(vocabulary);
        /** The tokens to feed, one per row. */
        this._next = new Uint32Array(this.batch * copies);
        this._parents = new Uint32Array(this.batch * copies);
        this.choice = new Choice(vocabulary);
        if (copies > 1) {
            steps.expand(copies);
        }
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
        return this.index >= this.length || this._stops.every((count) => count > 0);
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

    /** Feeds the tokens just picked; `logits` are the next position's afterwards. @returns {unknown} maybe a promise */
    feed() {
        const fed = this._steps.step(this._next, this.index - 1);
        if (fed instanceof Promise) {
            return fed.then(() => this._logits.set(this._steps.logits()));
        }
        this._logits.set(this._steps.logits());
        return undefined;
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
class RowSearch extends Search {
    /** @param {Steps} steps @param {SearchStart} start @param {import('./samplers.js').Sampler} sampler */
    constructor(steps, start, sampler) {
        super(steps, start, 1);
        this._sampler = sampler;
    }

    pick() {
        const vocabulary = this._probabilities.length;
        for (let row = 0; row < this.batch; row++) {
            const logits = this._logits.subarray(row * vocabulary, (row + 1) * vocabulary);
            this._sampler.probabilities(logits, this._probabilities);
            this._sampler.choose(this._probabilities, this.choice);
            this._write(row, this._sampler.draw(this.choice));
        }
        this.index++;
        return this.done;
    }
}

/** Beam search: every prompt has numBeams rows. */
class BeamSearch extends Search {
    /** @param {Steps} steps @param {SearchStart} start @param {import('./samplers.js').BeamSampler} sampler */
    constructor(steps, start, sampler) {
        const beams = sampler.numBeams;
        super(steps, start, beams);
        this._sampler = sampler;
        this._prompt = start.tokens;
        const vocabulary = steps.vocabularySize;
        // Every beam starts as a copy of its prompt, so all but the first are put out of the running.
        this.logProbs = new Float32Array(this.batch * beams).fill(-1e9);
        const first = this._logits;
        this._logits = new Float32Array(this.batch * beams * vocabulary);
        for (let row = 0; row < this.batch * beams; row++) {
            const prompt = Math.floor(row / beams) * vocabulary;
            this._logits.set(first.subarray(prompt, prompt + vocabulary), row * vocabulary);
        }
        for (let prompt = 0; prompt < this.batch; prompt++) {
            this.logProbs[prompt * beams] = 0;
        }
        this._scores = new Float32Array(beams * vocabulary);
        this._best = new Choice(beams * vocabulary);
        this._tokenOf = new Uint32Array(beams);
        this._scoreOf = new Float32Array(beams);
    }

    pick() {
        for (let prompt = 0; prompt < this.batch; prompt++) {
            this._score(prompt);
            this._best.top(this._scores, this._copies);
            this._seat(prompt);
        }
        this._steps.reorder(this._parents, 0, this.index);
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

    /** Log-probability of every continuation of every beam of a prompt. @param {number} prompt */
    _score(prompt) {
        const vocabulary = this._probabilities.length;
        for (let beam = 0; beam < this._copies; beam++) {
            const row = prompt * this._copies + beam;
            const logits = this._logits.subarray(row * vocabulary, (row + 1) * vocabulary);
            this._sampler.probabilities(logits, this._probabilities);
            const sofar = this.logProbs[row];
            for (let token = 0; token < vocabulary; token++) {
                this._scores[beam * vocabulary + token] = Math.fround(Math.log(this._probabilities[token])) + sofar;
            }
        }
    }

    /**
     * Gives every winner a row: the first one of a beam stays in that beam's, the others take the rows of beams that
     * nobody continues. So a cache is only ever copied from a row that stays to one that ends.
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

    /** What all beams have in common is what every result begins with. */
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

    /**
     * All beams, the most probable first.
     * @returns {{ tokens: Int32Array, logProbs: Float32Array }} [batch][numBeams][length] and [batch][numBeams]
     */
    get beams() {
        const tokens = new Int32Array(this._rows.length);
        const logProbs = new Float32Array(this.logProbs.length);
        const order = Array.from(logProbs.keys()).sort((a, b) =>
            Math.floor(a / this._copies) - Math.floor(b / this._copies) || this.logProbs[b] - this.logProbs[a] || a - b);
        order.forEach((row, i) => {
            tokens.set(this._rows.subarray(row * this.length, (row + 1) * this.length), i * this.length);
            logProbs[i] = this.logProbs[row];
        });
        return { tokens, logProbs };
    }
}

/** Contrastive search: every prompt has k rows, which differ in the newest token only. */
class ContrastiveSearch extends Search {
    /** @param {Steps} steps @param {SearchStart} start @param {import('./samplers.js').ContrastiveSampler} sampler */
    constructor(steps, start, sampler) {
        const k = Math.min(sampler.k, steps.vocabularySize);
        super(steps, start, k);
        if (!start.hidden) {
            throw new TypeError('contrastive search needs the hidden states of the prompt');
        }
        this._sampler = sampler;
        this._width = steps.width;
        /** Hidden states so far, [batch][length][width], each divided by its length. */
        this._directions = new Float32Array(start.hidden);
        for (let i = 0; i < this._directions.length; i += this._width) {
            normalize(this._directions.subarray(i, i + this._width));
        }
        this._candidates = new Float32Array(this.batch * k);
    }

    async pick() {
        const vocabulary = this._probabilities.length;
        const k = this._copies;
        for (let prompt = 0; prompt < this.batch; prompt++) {
            const logits = this._logits.subarray(prompt * vocabulary, (prompt + 1) * vocabulary);
            this._sampler.probabilities(logits, this._probabilities);
            this.choice.top(this._probabilities, k);
            this._candidates.set(this.choice.probabilities.subarray(0, k), prompt * k);
            for (let i = 0; i < k; i++) {
                this._write(prompt * k + i, this.choice.tokens[i]);
            }
        }
        await this._steps.step(this._next, this.index);
        const logits = this._steps.logits();
        const hidden = this._steps.hidden();
        for (let prompt = 0; prompt < this.batch; prompt++) {
            const row = this._best(prompt, hidden);
            this._parents.fill(row, prompt * k, (prompt + 1) * k);
            this._logits.set(logits.subarray(row * vocabulary, (row + 1) * vocabulary), prompt * vocabulary);
            const at = (prompt * this.length + this.index) * this._width;
            this._directions.set(hidden.subarray(row * this._width, (row + 1) * this._width), at);
            normalize(this._directions.subarray(at, at + this._width));
            const token = this._rows[row * this.length + this.index];
            for (let i = 0; i < k; i++) {
                this._write(prompt * k + i, token);
            }
        }
        this._steps.reorder(this._parents, this.index, this.index + 1);
        this.index++;
        return this.done;
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
        const { alpha } = this._sampler;
        let best = -1;
        let bestScore = -Infinity;
        for (let row = prompt * this._copies; row < (prompt + 1) * this._copies; row++) {
            const state = hidden.slice(row * width, (row + 1) * width);
            normalize(state);
            let closest = -1;
            for (let i = 0; i < this.index; i++) {
                const at = (prompt * this.length + i) * width;
                let cosine = 0;
                for (let j = 0; j < width; j++) {
                    cosine += this._directions[at + j] * state[j];
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

/** Divides a vector by its length; a zero vector stays. @param {Float32Array} v */
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

/**
 * @param {import('./samplers.js').Sampler} sampler
 * @param {Steps} steps
 * @param {SearchStart} start
 * @returns {RowSearch | BeamSearch | ContrastiveSearch}
 */
export function createSearch(sampler, steps, start) {
    switch (sampler.kind) {
        case 'beam':
            return new BeamSearch(steps, start, /** @type {import('./samplers.js').BeamSampler} */ (sampler));
        case 'contrastive':
            return new ContrastiveSearch(steps, start, /** @type {import('./samplers.js').ContrastiveSampler} */ (sampler));
        default:
            return new RowSearch(steps, start, sampler);
    }
}
