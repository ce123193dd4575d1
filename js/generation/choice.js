import { softmax } from './softmax.js';

/** More tokens than this are sorted, not selected. */
const HEAP_MOST = 512;

/** A sort key has 53 bits, 32 of them for the value: so many tokens can be told apart. */
const SORT_MOST = 2 ** 21;

/**
 * Tokens to draw from, in preallocated arrays: `tokens[i]` with probability `probabilities[i]`, i < count.
 */
export class Choice {
    /**
     * @param {number} vocabularySize
     * @param {import('./softmax.js').Softmax} [wholeSoftmax] what samplers use for the whole vocabulary
     */
    constructor(vocabularySize, wholeSoftmax = softmax) {
        this.count = 0;
        /** Whether the best comes first; otherwise tokens are in the vocabulary's order. */
        this.sorted = false;
        this.tokens = new Uint32Array(vocabularySize);
        this.probabilities = new Float32Array(vocabularySize);
        this.wholeSoftmax = wholeSoftmax;
        /** Room for probabilities by token. @type {Float32Array | null} */
        this._byToken = null;
        /** What a long sort needs, made when there is one. @type {{ keys: Float64Array, bits: Uint32Array } | null} */
        this._room = null;
    }

    /** All tokens, in the vocabulary's order; the probabilities are still to be written. */
    all() {
        this.count = this.tokens.length;
        this.sorted = false;
        for (let i = 0; i < this.count; i++) {
            this.tokens[i] = i;
        }
    }

    /** A single token, for certain. @param {number} token */
    only(token) {
        this.count = 1;
        this.sorted = true;
        this.tokens[0] = token;
        this.probabilities[0] = 1;
    }

    /** @returns {Float32Array} [V], for a sampler to write probabilities by token to */
    get byToken() {
        this._byToken ??= new Float32Array(this.tokens.length);
        return this._byToken;
    }

    /**
     * The k tokens of the largest values, best first, the lower token first on ties; `probabilities` are the values.
     * @param {Float32Array} values [V]
     * @param {number} k
     * @param {number} [least] tokens of smaller values may be left out
     */
    top(values, k, least = -Infinity) {
        const { tokens } = this;
        const most = Math.min(k, values.length);
        let count = most;
        if (most > HEAP_MOST && values.length <= SORT_MOST) {
            this._sort(values);
        } else {
            count = this._select(values, most, least);
        }
        for (let i = 0; i < count; i++) {
            this.probabilities[i] = values[tokens[i]];
        }
        this.count = count;
        this.sorted = true;
    }

    /**
     * Sorts all of them: numbers that stand for value and token at once, by the engine's own sort.
     * @param {Float32Array} values
     */
    _sort(values) {
        const n = values.length;
        this._room ??= { keys: new Float64Array(n), bits: new Uint32Array(n) };
        const { keys, bits } = this._room;
        const floats = new Float32Array(bits.buffer);
        for (let token = 0; token < n; token++) {
            // Adding 0 makes -0 equal to 0; flipping bits makes floats sort as unsigned integers do.
            floats[token] = values[token] + 0;
            const rank = (bits[token] & 0x80000000 ? ~bits[token] : bits[token] | 0x80000000) >>> 0;
            keys[token] = rank * SORT_MOST + (SORT_MOST - 1 - token);
        }
        keys.sort();
        for (let i = 0; i < n; i++) {
            this.tokens[i] = SORT_MOST - 1 - keys[n - 1 - i] % SORT_MOST;
        }
    }

    /**
     * A binary heap whose root is the worst of those kept so far: most tokens are turned away by one comparison.
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
     * For logits in place of probabilities: softmax(logits / temperature) over these tokens.
     * @param {number} temperature
     */
    softmax(temperature) {
        const kept = this.probabilities.subarray(0, this.count);
        softmax(kept, temperature, kept);
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
     * @returns {number} a token, each as often as its probability says
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
 * First of the largest numbers.
 * @param {ArrayLike<number>} values
 * @param {number} [begin]
 * @param {number} [end]
 */
export function argmax(values, begin = 0, end = values.length) {
    let best = begin;
    for (let i = begin + 1; i < end; i++) {
        if (values[i] > values[best]) {
            best = i;
        }
    }
    return best;
}
