// The tokens that may be drawn and their probabilities: selecting or sorting the best of a vocabulary, and drawing one. Nothing is
// allocated per token.

import { softmax } from './softmax.js';

/** Up to so many tokens are selected with a heap; more are radix-sorted. */
const HEAP_MOST = 512;

/** The radix sort takes 11, 11 and 10 bits of a 32-bit key; the last digit has a float's sign, exponent and first fraction bit. */
const DIGIT = 11;
const DIGITS = 1 << DIGIT;
const LAST = 2 * DIGIT;

/**
 * Buffers of the radix sort, allocated when it is used for the first time.
 * @typedef {object} Room
 * @property {[Uint32Array, Uint32Array]} keys source and target of a round, in turn
 * @property {[Uint32Array, Uint32Array]} tokens of these keys
 * @property {Float32Array} floats the memory of keys[0] as floats
 * @property {Uint32Array} counts by digit
 * @property {Float64Array} sums by digit
 */

/**
 * Tokens to draw from, in arrays that are allocated once: `tokens[i]` has probability `probabilities[i]`, for i < count.
 */
export class Choice {
    /**
     * @param {number} vocabularySize
     * @param {import('./softmax.js').Softmax} [wholeSoftmax] the softmax that samplers use for the whole vocabulary
     */
    constructor(vocabularySize, wholeSoftmax = softmax) {
        this.count = 0;
        /** Whether the best comes first; otherwise tokens are in the vocabulary's order. */
        this.sorted = false;
        this.tokens = new Uint32Array(vocabularySize);
        this.probabilities = new Float32Array(vocabularySize);
        this.wholeSoftmax = wholeSoftmax;
        /** Allocated when a sampler asks for it. @type {Float32Array | null} */
        this._byToken = null;
        /** @type {Room | null} */
        this._room = null;
        /** Whether `tokens` is the whole vocabulary, in order. */
        this._whole = false;
    }

    /** Makes it all tokens, in the vocabulary's order; the caller writes the probabilities. */
    all() {
        const { tokens } = this;
        this.count = tokens.length;
        this.sorted = false;
        for (let i = 0; i < tokens.length && !this._whole; i++) {
            tokens[i] = i;
        }
        this._whole = true;
    }

    /** Makes it a single token, of probability 1. @param {number} token */
    only(token) {
        this.count = 1;
        this.sorted = true;
        this._whole = false;
        this.tokens[0] = token;
        this.probabilities[0] = 1;
    }

    /** @returns {Float32Array} [V], where a sampler may put probabilities by token */
    get byToken() {
        this._byToken ??= new Float32Array(this.tokens.length);
        return this._byToken;
    }

    /**
     * Makes it the k tokens with the largest values, best first, of equal ones the lower token first; `probabilities` are the values.
     * @param {Float32Array} values [V]
     * @param {number} k
     * @param {number} [least] tokens with smaller values may be left out, which saves time
     */
    top(values, k, least = -Infinity) {
        const { tokens, probabilities } = this;
        const most = Math.min(k, values.length);
        this._whole = false;
        const count = most > HEAP_MOST ? this._sort(values, most) : this._select(values, most, least);
        for (let i = 0; i < count; i++) {
            probabilities[i] = values[tokens[i]];
        }
        this.count = count;
        this.sorted = true;
    }

    /**
     * Estimates how many of the largest values add up to more than `sum`: never too few except by rounding, and seldom far too many.
     * @param {Float32Array} values [V], none below 0
     * @param {number} sum
     */
    reach(values, sum) {
        const { keys: [keys], counts, sums } = this._rank(values);
        sums.fill(0);
        for (let i = 0; i < values.length; i++) {
            sums[keys[i] >>> LAST] += values[i];
        }
        let count = 0;
        for (let digit = 0, total = 0; digit < DIGITS && total <= sum; digit++) {
            total += sums[digit];
            count += counts[digit];
        }
        return Math.min(count + 1, values.length);
    }

    /**
     * Makes a key for every value, an unsigned integer: ascending keys are descending values. Counts the keys by their last digit.
     * @param {Float32Array} values
     */
    _rank(values) {
        this._room ??= makeRoom(this.tokens.length);
        const { keys: [keys], floats, counts } = this._room;
        counts.fill(0);
        for (let i = 0; i < values.length; i++) {
            // Adding 0 makes -0 equal to 0.
            floats[i] = values[i] + 0;
            const bits = keys[i];
            const key = bits & 0x80000000 ? bits : bits ^ 0x7fffffff;
            keys[i] = key;
            counts[key >>> LAST]++;
        }
        return this._room;
    }

    /**
     * Radix sort of the tokens that may be among the best, in linear time. It is stable: of equal values the lower token comes first.
     * @param {Float32Array} values
     * @param {number} most
     * @returns {number} most
     */
    _sort(values, most) {
        const { keys, tokens, counts } = this._rank(values);
        let limit = 0;
        for (let reached = counts[0]; reached < most;) {
            limit++;
            reached += counts[limit];
        }
        let count = 0;
        for (let token = 0; token < values.length; token++) {
            const key = keys[0][token];
            if (key >>> LAST <= limit) {
                keys[0][count] = key;
                tokens[0][count] = token;
                count++;
            }
        }
        sortDigit(keys[0], tokens[0], keys[1], tokens[1], count, 0, counts);
        sortDigit(keys[1], tokens[1], keys[0], tokens[0], count, DIGIT, counts);
        sortDigit(keys[0], tokens[0], keys[1], this.tokens, count, LAST, counts);
        return most;
    }

    /**
     * Selects with a binary heap whose root is the worst token kept so far: most tokens take one comparison.
     * @param {Float32Array} values
     * @param {number} most
     * @param {number} least
     * @returns {number} how many were found
     */
    _select(values, most, least) {
        const { tokens } = this;
        let count = 0;
        let token = 0;
        for (; token < values.length && count < most; token++) {
            if (!(values[token] < least)) {
                tokens[count] = token;
                count++;
            }
        }
        for (let i = (count >> 1) - 1; i >= 0; i--) {
            sink(tokens, values, i, count);
        }
        let worst = values[tokens[0]];
        for (; token < values.length; token++) {
            if (values[token] > worst) {
                tokens[0] = token;
                sink(tokens, values, 0, count);
                worst = values[tokens[0]];
            }
        }
        for (let end = count - 1; end > 0; end--) {
            const worst = tokens[0];
            tokens[0] = tokens[end];
            tokens[end] = worst;
            sink(tokens, values, 0, end);
        }
        return count;
    }

    /**
     * Turns logits, which top() has put in `probabilities`, into softmax(logits / temperature) over these tokens.
     * @param {number} temperature
     */
    softmax(temperature) {
        const kept = this.probabilities.subarray(0, this.count);
        softmax(kept, temperature, kept);
    }

    /**
     * How many of the first `count` tokens, best first, have a probability above 0 and at least minP times that of the best one; the
     * best one always counts.
     * @param {number} count
     * @param {number} minP 0 to 1
     */
    likely(count, minP) {
        const { probabilities } = this;
        const least = leastOf(probabilities[0], minP);
        while (count > 1 && !(probabilities[count - 1] >= least && probabilities[count - 1] > 0)) {
            count--;
        }
        return count;
    }

    /**
     * Makes it the tokens whose values are at least minP times the largest, best first.
     * @param {Float32Array} values [V], none below 0
     * @param {number} minP above 0, to 1
     */
    above(values, minP) {
        const least = leastOf(values[argmax(values)], minP);
        let count = 0;
        for (let i = 0; i < values.length; i++) {
            count += Number(values[i] >= least);
        }
        this.top(values, Math.max(count, 1), least);
    }

    /** Keeps the first `count` tokens and makes their probabilities add up to 1. @param {number} count */
    keep(count) {
        let sum = 0;
        for (let i = 0; i < count; i++) {
            sum += this.probabilities[i];
        }
        for (let i = 0; i < count; i++) {
            this.probabilities[i] /= sum;
        }
        this.count = count;
    }

    /**
     * @param {number} u uniform in [0, 1)
     * @returns {number} the token at which the cumulative probability exceeds u
     */
    at(u) {
        let sum = 0;
        for (let i = 0; i < this.count; i++) {
            sum += this.probabilities[i];
        }
        let left = u * sum;
        for (let i = 0; i < this.count; i++) {
            left -= this.probabilities[i];
            if (left < 0) {
                return this.tokens[i];
            }
        }
        // Only rounding leads here: the last token that has a probability at all.
        let last = this.count - 1;
        while (last > 0 && this.probabilities[last] === 0) {
            last--;
        }
        return this.tokens[last];
    }
}

/**
 * Is token a worse than token b? Equal values: the later token is.
 * @param {Float32Array} values
 * @param {number} a
 * @param {number} b
 */
function isWorse(values, a, b) {
    return values[a] < values[b] || (values[a] === values[b] && a > b);
}

/**
 * Restores the heap (worst at the root) below `at`.
 * @param {Uint32Array} heap tokens
 * @param {Float32Array} values by token
 * @param {number} at
 * @param {number} count
 */
function sink(heap, values, at, count) {
    const token = heap[at];
    for (;;) {
        let child = 2 * at + 1;
        if (child >= count) {
            break;
        }
        if (child + 1 < count && isWorse(values, heap[child + 1], heap[child])) {
            child++;
        }
        if (!isWorse(values, heap[child], token)) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = token;
}

/**
 * The threshold of min-p, in float32 like the probabilities.
 * @param {number} best
 * @param {number} minP
 */
function leastOf(best, minP) {
    return Math.fround(best * Math.fround(minP));
}

/** @param {number} n @returns {Room} */
function makeRoom(n) {
    const keys = new Uint32Array(n);
    return {
        keys: [keys, new Uint32Array(n)],
        tokens: [new Uint32Array(n), new Uint32Array(n)],
        floats: new Float32Array(keys.buffer),
        counts: new Uint32Array(DIGITS),
        sums: new Float64Array(DIGITS),
    };
}

/**
 * One round of the radix sort: copies keys and tokens to other arrays, in the order of the digit that begins at bit `shift`.
 * @param {Uint32Array} keys
 * @param {Uint32Array} tokens
 * @param {Uint32Array} keysTo
 * @param {Uint32Array} tokensTo
 * @param {number} count
 * @param {number} shift
 * @param {Uint32Array} places [DIGITS], is overwritten
 */
function sortDigit(keys, tokens, keysTo, tokensTo, count, shift, places) {
    places.fill(0);
    for (let i = 0; i < count; i++) {
        places[(keys[i] >>> shift) & (DIGITS - 1)]++;
    }
    for (let digit = 0, place = 0; digit < DIGITS; digit++) {
        const next = place + places[digit];
        places[digit] = place;
        place = next;
    }
    for (let i = 0; i < count; i++) {
        const digit = (keys[i] >>> shift) & (DIGITS - 1);
        const place = places[digit];
        keysTo[place] = keys[i];
        tokensTo[place] = tokens[i];
        places[digit] = place + 1;
    }
}

/**
 * @param {ArrayLike<number>} values
 * @param {number} [begin]
 * @param {number} [end]
 * @returns {number} index of the largest value, of equal ones the first
 */
export function argmax(values, begin = 0, end = values.length) {
    let best = begin;
    let most = values[begin];
    for (let i = begin + 1; i < end; i++) {
        if (values[i] > most) {
            best = i;
            most = values[i];
        }
    }
    return best;
}
