// Speculative decoding (Leviathan et al. 2023): a draft guesses some tokens, one pass reads them all, and guesses are kept as long as the
// sampler draws the same tokens from the model's own distribution. A guess is one token, not a distribution, so nothing has to be
// corrected when one is rejected: texts are the same tokens as without a draft, sampled ones too if the seed is the same.

import { PassJob } from '../model/pass-job.js';
import { read } from '../model/reader.js';
import { CacheRow } from '../model/cache-row.js';
import { argmax } from './choice.js';
import { DraftPace } from './draft-pace.js';
import { checkFinite } from './finite.js';
import { RowSearch } from './search.js';

/** @typedef {import('../model/network.js').Network} Network */
/** @typedef {import('./steps.js').ModelSteps} ModelSteps */

/**
 * @typedef {object} Draft
 * @property {(tokens: Int32Array, length: number) => number} look how confident it is of what follows the first `length` tokens, 0 to 2;
 *   -1: it has no guess
 * @property {(tokens: Int32Array, length: number, count: number) => Promise<number[]>} guess at most `count` tokens that may follow,
 *   after look()
 * @property {() => void} dispose
 */

/** Token-by-token search that reads guesses ahead. */
export class SpeculativeSearch extends RowSearch {
    /**
     * @param {ModelSteps} steps
     * @param {import('./search.js').SearchStart} start
     * @param {import('./samplers.js').Sampler} sampler
     * @param {Draft} draft
     * @param {import('./options.js').DraftTokens} draftTokens guessed at a time
     */
    constructor(steps, start, sampler, draft, { count, adapts }) {
        super(steps, start, sampler);
        this._model = steps;
        this._draft = draft;
        this._count = Math.min(count, this.length);
        this._pace = adapts ? new DraftPace() : null;
        /** How confident the draft was of its newest guesses, and how long reading them took; 0 ms: not measured, in the pass after the prompt. */
        this._sureness = 0;
        this._ms = 0;
        /** The newest guesses; all of them have been read. @type {number[]} */
        this._guessed = [];
        /** How many of them the text has taken. */
        this._taken = 0;
        /** Whether the newest token has been read already, being a guess or the prompt's last. */
        this.drafted = true;
        /** How many guesses were read, and how many of them the text has taken. */
        this.counts = { proposed: 0, accepted: 0 };
        /** Logits after the newest token, and after each guess: [count + 1][V]. */
        this._ahead = steps.room(this._count + 1);
    }

    /** Reads the first guesses, those of what follows the prompt. @returns {Promise<void>} */
    async begin() {
        await this._readAhead([], this._ahead + 4 * this._model.vocabularySize);
    }

    pick() {
        const guess = this._guessed[this._taken];
        const done = super.pick();
        this.drafted = guess === this._rows[this.index - 1];
        if (this.drafted) {
            this._taken++;
            this.counts.accepted++;
        } else {
            if (this._guessed.length > 0 && this._ms > 0) {
                this._pace?.guessed(this._sureness, this._guessed.length, this._taken, this._ms);
            }
            // The keys and values of rejected guesses are dropped.
            this._guessed = [];
            this._taken = 0;
            this.settle();
        }
        return done;
    }

    /** Reads the newest token, with guesses of what follows, unless it was a guess and so has been read. @returns {Promise<void>} */
    async feed() {
        if (!this.drafted) {
            await this._readAhead([this._rows[this.index - 1]], this._ahead);
        }
        this._logits.set(this._model.rowAt(this._ahead, this._taken));
        checkFinite(this._logits, this._where);
    }

    /**
     * Reads tokens, and guesses of what follows.
     * @param {number[]} ids
     * @param {number} address of the logits after each
     * @returns {Promise<void>}
     */
    async _readAhead(ids, address) {
        const start = performance.now();
        const guessed = await this._guess();
        await this._model.readAhead([...ids, ...guessed], address);
        this._guessed = guessed;
        this._ms = ids.length > 0 ? performance.now() - start : 0;
        this.counts.proposed += guessed.length;
        if (guessed.length === 0 && this._ms > 0) {
            this._pace?.alone(this._ms);
        }
    }

    /** @returns {Promise<number[]>} */
    async _guess() {
        const most = this._model.alike(this.index, Math.min(this._count, this.length - this.index - 1));
        const sureness = most > 0 ? this._draft.look(this._rows, this.index) : -1;
        const count = sureness < 0 ? 0 : Math.min(most, this._pace?.count(sureness) ?? most);
        this._sureness = sureness;
        return count > 0 ? this._draft.guess(this._rows, this.index, count) : [];
    }

    /** Drops from the cache what is not in the text. */
    settle() {
        this._model.truncate(this.drafted ? this.index : this.index - 1);
    }
}

/** Guesses with a smaller model, greedily. */
export class ModelDraft {
    /** @param {Network} network with the same vocabulary @param {number} length most positions @param {AbortSignal | null} [signal] */
    constructor(network, length, signal) {
        this._network = network;
        this._row = new CacheRow(network, length, 'float32');
        this._job = new PassJob(network);
        this._job.signal = signal;
        const { memory } = network.runtime;
        const { width, vocabulary } = network.description;
        this._vocabulary = vocabulary;
        this._hidden = this._logits = 0;
        try {
            this._hidden = memory.alloc(4 * width);
            this._logits = memory.alloc(4 * vocabulary);
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /** @returns {number} */
    look() {
        return 0;
    }

    /** @param {Int32Array} tokens @param {number} length @param {number} count @returns {Promise<number[]>} */
    async guess(tokens, length, count) {
        let same = 0;
        while (same < Math.min(this._row.length, length - 1) && this._row.tokens[same] === tokens[same]) {
            same++;
        }
        this._row.truncate(same);
        /** @type {number[]} */
        const guessed = [];
        // Its context may be shorter than the text.
        const most = Math.min(count, this._row.capacity - length + 1);
        let next = Array.from(tokens.subarray(same, length));
        while (guessed.length < most) {
            await read(this._job, [{ row: this._row, ids: next }], { logits: this._logits, hidden: this._hidden, every: false });
            this._network.check('generate'); // other tasks ran meanwhile
            const token = argmax(this._network.runtime.memory.f32(this._logits, this._vocabulary), 0, this._vocabulary);
            guessed.push(token);
            next = [token];
        }
        return guessed;
    }

    dispose() {
        this._row.dispose();
        this._network.runtime._free(this._hidden);
        this._network.runtime._free(this._logits);
    }
}

/** Confidence by the length of the match: how many of the last tokens stand earlier in the text too, at least. */
const RUNS = [2, 4, 8];

/** Guesses what followed the same tokens earlier in the text (prompt lookup decoding, Saxena 2023). */
export class PromptDraft {
    constructor() {
        /** Position of the tokens that it will guess. */
        this._next = 0;
    }

    /** @param {Int32Array} tokens @param {number} length @returns {number} */
    look(tokens, length) {
        const longest = RUNS[RUNS.length - 1];
        let best = 0;
        for (let at = length - 2; at >= 0 && best < longest; at--) {
            let n = 0;
            while (n < longest && n <= at && tokens[at - n] === tokens[length - 1 - n]) {
                n++;
            }
            if (n > best) {
                best = n;
                this._next = at + 1;
            }
        }
        return RUNS.findLastIndex((run) => best >= run);
    }

    /** @param {Int32Array} tokens @param {number} length @param {number} count @returns {Promise<number[]>} */
    async guess(tokens, length, count) {
        return Array.from(tokens.subarray(this._next, Math.min(this._next + count, length)));
    }

    dispose() {}
}
