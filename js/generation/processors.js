// Logits processors: biases, penalties and bans, applied before a sampler sees the logits. One object accompanies one text and counts
// its tokens as they come, so that a step costs the number of different tokens, not the length of the text or the vocabulary.

import { finiteNumber, integerWithin, positiveInteger, rangeError, show, typeError } from '../check.js';
import { scramble } from '../random.js';

/**
 * @typedef {object} ProcessorOptions in the order in which they are applied
 * @property {Map<number, number> | Record<string, number> | Iterable<readonly [number, number]>} [logitBias] added to the logits of these
 *   tokens; -Infinity bans them
 * @property {number} [repetitionPenalty] default 1, none. For every token that prompt or text has: a logit above 0 is divided by it, one
 *   below is multiplied (Keskar et al. 2019, as in transformers)
 * @property {number} [frequencyPenalty] default 0, none. Subtracted from a token's logit once for each of its occurrences in the text
 *   written so far, the prompt not included (as in OpenAI's API)
 * @property {number} [presencePenalty] default 0, none. Subtracted once from the logits of the tokens that the text written so far has,
 *   the prompt not included (as in OpenAI's API)
 * @property {number} [noRepeatNgram] default 0, none. No sequence of this many tokens comes twice in prompt and text together
 *
 * @typedef {object} ProcessorSettings
 * @property {number} vocabularySize logits in a row
 * @property {number} [promptLength] number of the prompt's tokens, with which every history begins
 * @property {string} [kind] of the sampler: beam and contrastive search follow several texts at once, and have no penalties
 */

const PENALTIES = /** @type {const} */ (['repetitionPenalty', 'frequencyPenalty', 'presencePenalty', 'noRepeatNgram']);

/** The names of these options. */
export const PROCESSOR_OPTIONS = Object.freeze(['logitBias', ...PENALTIES]);

/** The largest float32: a penalty or a bias cannot make a logit infinite. */
const MOST = (2 - 2 ** -23) * 2 ** 127;

/**
 * @param {ProcessorOptions} options may have other properties
 * @param {ProcessorSettings} settings
 * @returns {Processors | null} null if there is nothing to do
 * @throws {TypeError | RangeError} for a wrong option, or one that this kind of search does not have
 */
export function createProcessors(options, settings) {
    const checked = checkOptions(options, settings);
    const { kind = 'row' } = settings;
    const penalty = PENALTIES.find((name) => checked[name] !== NONE[name]);
    if (penalty !== undefined && kind !== 'row') {
        throw new TypeError(`${penalty}: ${kind} search reads several texts at once, and has no penalties`);
    }
    return penalty === undefined && checked.bias.size === 0 ? null : new Processors(checked, settings);
}

/** Values that change nothing. */
const NONE = { repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0, noRepeatNgram: 0 };

/**
 * @typedef {object} Checked
 * @property {Map<number, number>} bias bans among them
 * @property {number} repetitionPenalty
 * @property {number} frequencyPenalty
 * @property {number} presencePenalty
 * @property {number} noRepeatNgram
 */

/** @param {ProcessorOptions} options @param {ProcessorSettings} settings @returns {Checked} */
function checkOptions(options, { vocabularySize }) {
    const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0, noRepeatNgram = 0 } = options;
    if (finiteNumber('repetitionPenalty', repetitionPenalty) <= 0) {
        throw rangeError('repetitionPenalty', 'greater than 0', repetitionPenalty);
    }
    finiteNumber('frequencyPenalty', frequencyPenalty);
    finiteNumber('presencePenalty', presencePenalty);
    if (noRepeatNgram !== 0) {
        positiveInteger('noRepeatNgram', noRepeatNgram);
    }
    const bias = checkBias(options.logitBias, vocabularySize);
    return { bias, repetitionPenalty, frequencyPenalty, presencePenalty, noRepeatNgram };
}

/**
 * @param {ProcessorOptions['logitBias']} given
 * @param {number} vocabularySize
 * @returns {Map<number, number>}
 */
function checkBias(given, vocabularySize) {
    /** @type {Map<number, number>} */
    const bias = new Map();
    for (const pair of biasPairs(given)) {
        if (!Array.isArray(pair) || pair.length !== 2) {
            throw typeError('logitBias', 'pairs of a token and a number', pair);
        }
        const [token, value] = pair;
        integerWithin('a token of logitBias', token, vocabularySize - 1);
        if (bias.has(token)) {
            throw new TypeError(`logitBias has token ${token} twice`);
        }
        if (value !== -Infinity) {
            finiteNumber(`logitBias of token ${token}`, value);
        }
        bias.set(token, value);
    }
    return bias;
}

/** @param {ProcessorOptions['logitBias']} given @returns {Iterable<readonly [number, number]>} not checked yet */
function biasPairs(given) {
    if (given === undefined) {
        return [];
    }
    if (typeof given === 'object' && given !== null && Symbol.iterator in given) {
        return /** @type {Iterable<[number, number]>} */ (given);
    }
    if (typeof given !== 'object' || given === null) {
        throw typeError('logitBias', 'a Map, an object or pairs, of tokens and numbers', given);
    }
    return Object.entries(given).map(([token, value]) => {
        if (!/^(0|[1-9][0-9]*)$/.test(token)) {
            throw new TypeError(`logitBias must have tokens for keys, got ${show(token)}`);
        }
        return [Number(token), value];
    });
}

/** Follows one text and changes its logits. */
export class Processors {
    /** @param {Checked} checked @param {ProcessorSettings} settings */
    constructor(checked, { vocabularySize, promptLength = 0 }) {
        this._checked = checked;
        this._promptLength = promptLength;
        this._biased = Uint32Array.from(checked.bias.keys());
        this._bias = Float64Array.from(checked.bias.values());
        const { repetitionPenalty, frequencyPenalty, presencePenalty, noRepeatNgram } = checked;
        this._all = repetitionPenalty === 1 ? null : new Tally(vocabularySize);
        this._written = frequencyPenalty === 0 && presencePenalty === 0 ? null : new Tally(vocabularySize);
        this._ngrams = noRepeatNgram === 0 ? null : new Ngrams(noRepeatNgram);
        this._keepsBooks = this._all !== null || this._written !== null || this._ngrams !== null;
        /** The history that has been counted: `_count` tokens. */
        this._seen = new Int32Array(this._keepsBooks ? Math.max(64, 2 * promptLength) : 0);
        this._count = 0;
    }

    /**
     * Changes the logits that follow a history. If it differs from the last one (a draft was rejected), the counts go back to where
     * they differ; finding that takes a comparison per token.
     * @param {Float32Array} logits [V], is changed
     * @param {ArrayLike<number>} history the prompt and the text so far
     * @param {number} length how many of its tokens count
     */
    apply(logits, history, length) {
        if (this._keepsBooks) {
            this._follow(history, length);
        }
        this._addBias(logits);
        if (this._all) {
            this._scale(logits, this._all);
        }
        if (this._written) {
            this._subtract(logits, this._written);
        }
        this._ngrams?.ban(logits, this._seen, this._count);
    }

    /** @param {Float32Array} logits */
    _addBias(logits) {
        for (let i = 0; i < this._biased.length; i++) {
            const token = this._biased[i];
            const bias = this._bias[i];
            logits[token] = bias === -Infinity ? bias : bounded(logits[token], logits[token] + bias);
        }
    }

    /** @param {Float32Array} logits @param {Tally} all */
    _scale(logits, { list, size }) {
        const { repetitionPenalty } = this._checked;
        for (let i = 0; i < size; i++) {
            const logit = logits[list[i]];
            logits[list[i]] = bounded(logit, logit < 0 ? logit * repetitionPenalty : logit / repetitionPenalty);
        }
    }

    /** @param {Float32Array} logits @param {Tally} written */
    _subtract(logits, { list, size, counts }) {
        const { frequencyPenalty, presencePenalty } = this._checked;
        for (let i = 0; i < size; i++) {
            const token = list[i];
            logits[token] = bounded(logits[token], logits[token] - counts[token] * frequencyPenalty - presencePenalty);
        }
    }

    /** Brings all counts to a history. @param {ArrayLike<number>} history @param {number} length */
    _follow(history, length) {
        let same = 0;
        for (const most = Math.min(length, this._count); same < most && this._seen[same] === history[same];) {
            same++;
        }
        while (this._count > same) {
            this._forget();
        }
        if (length > this._seen.length) {
            const seen = new Int32Array(2 * length);
            seen.set(this._seen);
            this._seen = seen;
        }
        while (this._count < length) {
            this._learn(history[this._count]);
        }
    }

    /** @param {number} token */
    _learn(token) {
        const at = this._count;
        this._seen[at] = token;
        this._count++;
        this._all?.add(token);
        if (at >= this._promptLength) {
            this._written?.add(token);
        }
        this._ngrams?.add(this._seen, at);
    }

    /** Undoes the last _learn(). */
    _forget() {
        this._count--;
        const at = this._count;
        this._ngrams?.remove(at);
        if (at >= this._promptLength) {
            this._written?.remove(this._seen[at]);
        }
        this._all?.remove(this._seen[at]);
    }
}

/** A ban stays a ban; all else stays finite, as a penalty, however large, bans nothing. @param {number} before @param {number} after */
function bounded(before, after) {
    return before === -Infinity ? before : Math.max(-MOST, Math.min(MOST, after));
}

/** Counts tokens. */
class Tally {
    /** @param {number} vocabularySize */
    constructor(vocabularySize) {
        this.counts = new Uint32Array(vocabularySize);
        /** The `size` different tokens, in the order of their first occurrence. */
        this.list = new Uint32Array(vocabularySize);
        this.size = 0;
    }

    /** @param {number} token */
    add(token) {
        if (this.counts[token]++ === 0) {
            this.list[this.size++] = token;
        }
    }

    /** The token added last is removed first, so one that is gone was the last of the list. @param {number} token */
    remove(token) {
        if (--this.counts[token] === 0) {
            this.size--;
        }
    }
}

/** Multiplier of the rolling hash: odd, with irregular bits. */
const STEP = 0x2c1b3c6d;

/** No position: the end of a chain. */
const NOWHERE = -1;

/** In place of a link: this position ends a sequence that occurred before. */
const REPEATED = -2;

/**
 * The different sequences of n tokens, each by the position of its last token, in two hash tables with chaining: one by the whole
 * sequence, to recognize it when it comes again; one by its first n - 1 tokens, to find what has followed these. A position is linked
 * into both, or, if its sequence occurred before, into neither: so a chain has no more links than there are tokens to ban.
 */
class Ngrams {
    /** @param {number} n */
    constructor(n) {
        this._n = n;
        /** STEP to the power n and n - 1. */
        this._whole = power(n);
        this._begun = power(n - 1);
        /** How many positions there is room for; a power of two. */
        this._positions = 64;
        /** Hash of the first i tokens. */
        this._hashes = new Int32Array(this._positions + 1);
        this._wholes = makeChains(this._positions);
        this._begins = makeChains(this._positions);
    }

    /** @param {Int32Array} tokens @param {number} count how many of them have been linked */
    _grow(tokens, count) {
        this._positions *= 2;
        this._hashes = new Int32Array(this._positions + 1);
        this._wholes = makeChains(this._positions);
        this._begins = makeChains(this._positions);
        for (let i = 0; i < count; i++) {
            this._link(tokens, i);
        }
    }

    /**
     * Hash table slot of the tokens from .. to - 1.
     * @param {number} from
     * @param {number} to
     * @param {number} by STEP to the power of their number
     */
    _slot(from, to, by) {
        return scramble(this._hashes[to] - Math.imul(this._hashes[from], by)) & (2 * this._positions - 1);
    }

    /** @param {Int32Array} tokens @param {number} at position of the newest */
    add(tokens, at) {
        if (at === this._positions) {
            this._grow(tokens, at);
        }
        this._link(tokens, at);
    }

    /** @param {Int32Array} tokens @param {number} at */
    _link(tokens, at) {
        this._hashes[at + 1] = Math.imul(this._hashes[at], STEP) + tokens[at] + 1;
        const from = at + 1 - this._n;
        if (from < 0) {
            return;
        }
        const { heads, next } = this._wholes;
        const slot = this._slot(from, at + 1, this._whole);
        for (let other = heads[slot]; other !== NOWHERE; other = next[other]) {
            if (areEqual(tokens, other, at, this._n)) {
                next[at] = REPEATED;
                return;
            }
        }
        next[at] = heads[slot];
        heads[slot] = at;
        const begin = this._slot(from, at, this._begun);
        this._begins.next[at] = this._begins.heads[begin];
        this._begins.heads[begin] = at;
    }

    /** Undoes the newest link. @param {number} at its position */
    remove(at) {
        const from = at + 1 - this._n;
        const { heads, next } = this._wholes;
        if (from >= 0 && next[at] !== REPEATED) {
            heads[this._slot(from, at + 1, this._whole)] = next[at];
            this._begins.heads[this._slot(from, at, this._begun)] = this._begins.next[at];
        }
    }

    /** @param {Float32Array} logits @param {Int32Array} tokens @param {number} count of them */
    ban(logits, tokens, count) {
        const begun = this._n - 1;
        const from = count - begun;
        if (from < 0) {
            return;
        }
        const { heads, next } = this._begins;
        for (let at = heads[this._slot(from, count, this._begun)]; at !== NOWHERE; at = next[at]) {
            if (areEqual(tokens, at - 1, count - 1, begun)) {
                logits[tokens[at]] = -Infinity;
            }
        }
    }
}

/**
 * Are the `many` tokens that end at two positions the same?
 * @param {Int32Array} tokens
 * @param {number} a
 * @param {number} b
 * @param {number} many
 */
function areEqual(tokens, a, b, many) {
    for (let i = 0; i < many; i++) {
        if (tokens[a - i] !== tokens[b - i]) {
            return false;
        }
    }
    return true;
}

/** An empty hash table, with twice as many slots as there may be links. @param {number} positions */
function makeChains(positions) {
    return { heads: new Int32Array(2 * positions).fill(NOWHERE), next: new Int32Array(positions) };
}

/** STEP to a power, modulo 2^32. @param {number} exponent */
function power(exponent) {
    let result = 1;
    let square = STEP;
    for (let left = exponent; left > 0; left = Math.floor(left / 2)) {
        if (left % 2 === 1) {
            result = Math.imul(result, square);
        }
        square = Math.imul(square, square);
    }
    return result;
}
