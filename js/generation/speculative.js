// Speculative decoding (Leviathan et al. 2023): a draft guesses some tokens, one pass reads them all, and those that the model
// would have drawn anyway are kept. A draft is a guess for certain, so a token drawn from the model's own distribution either
// is the guess or ends it: greedy texts are the same tokens as without a draft, and drawn ones have the same distribution, with
// the same seed even the same tokens.

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
 * @property {(tokens: Int32Array, length: number) => number} look how sure it is of what follows the first `length` tokens, 0 to 2;
 *   -1: it has no guess
 * @property {(tokens: Int32Array, length: number, count: number) => Promise<number[]>} guess at most `count` tokens that may follow,
 *   after look()
 * @property {() => void} dispose
 */

/** Row search that reads ahead. */
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
        /** How sure the draft was of its newest guesses, and what the pass took that read them; 0: it read the prompt. */
        this._sureness = 0;
        this._ms = 0;
        /** Tokens guessed from `index` on that have been read already. @type {number[]} */
        this._guessed = [];
        /** How many of them have come true. */
        this._taken = 0;
        /** Whether the newest token was a guess, and so has been read; the prompt has been, too. */
        this.drafted = true;
        /** How many tokens have been guessed and read, and how many of them have become the text. */
        this.counts = { proposed: 0, accepted: 0 };
        /** Logits after the newest token, and after each guess: [count + 1][V]. */
        this._ahead = steps.room(this._count + 1);
    }

    /** Guesses from the prompt on. @returns {Promise<void>} */
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
            // What was read of guesses that did not come true is taken back.
            this._guessed = [];
            this._taken = 0;
            this.settle();
        }
        return done;
    }

    /** Reads the newest token and guesses of what follows, unless it was a guess itself. @returns {Promise<void>} */
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

    /** Leaves nothing in the cache that is not in the text. */
    settle() {
        this._model.truncate(this.drafted ? this.index : this.index - 1);
    }
}

/** Guesses by a smaller model, which reads what the text has become. */
export class ModelDraft {
    /** @param {Network} network with the same vocabulary @param {number} length most positions @param {AbortSignal} [signal] */
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
        // It may have fewer positions than the text.
        const most = Math.min(count, this._row.capacity - length + 1);
        let next = Array.from(tokens.subarray(same, length));
        while (guessed.length < most) {
            await read(this._job, [{ row: this._row, ids: next }], { logits: this._logits, hidden: this._hidden, every: false });
            this._network.check('generate'); // others had their turn
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

/** Of how many of the last tokens the same have to stand earlier in the text, by how sure that makes of what followed. */
const RUNS = [2, 4, 8];

/** Guesses by what followed the same tokens earlier in the text (prompt look-up, Saxena 2023). */
export class PromptDraft {
    constructor() {
        /** Where the tokens stand that may follow. */
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
