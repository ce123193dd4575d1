import { Random, randomSeed } from '../keras/random.js';
import { finiteNumber, positiveInteger, rangeError, show, typeError } from '../keras/check.js';

/**
 * Keras Hub's samplers: how the next token is chosen from a model's logits.
 * Source: https://keras.io/keras_hub/api/samplers/; their numbers are those of Keras Hub 0.31 up to the random stream,
 * which is this project's own (js/keras/random.js): one draw of `uniform()` per token, inverted through the
 * cumulative distribution.
 */

/** What is common to all of them: the temperature and the probabilities. */
export class Sampler {
    /** @param {{ temperature?: number }} [options] temperature > 0 divides the logits */
    constructor({ temperature = 1 } = {}) {
        if (finiteNumber('temperature', temperature) <= 0) {
            throw rangeError('temperature', 'greater than 0', temperature);
        }
        this.temperature = temperature;
    }

    /** What a search has to do for this sampler: one row at a time, beams, or looking one token ahead. */
    get kind() {
        return 'row';
    }

    /**
     * softmax(logits / temperature), as Keras Hub computes it.
     * @param {Float32Array} logits [V]
     * @param {Float32Array} out [V], may be `logits`
     */
    probabilities(logits, out) {
        let max = -Infinity;
        for (let i = 0; i < logits.length; i++) {
            max = Math.max(max, logits[i]);
        }
        let sum = 0;
        for (let i = 0; i < logits.length; i++) {
            out[i] = Math.exp((logits[i] - max) / this.temperature);
            sum += out[i];
        }
        for (let i = 0; i < logits.length; i++) {
            out[i] /= sum;
        }
    }

    /**
     * The tokens that may be drawn and their probabilities, best first where only some are kept.
     * @param {Float32Array} probabilities [V]
     * @param {Choice} choice is filled
     */
    choose(probabilities, choice) {
        choice.all(probabilities);
    }

    /**
     * @param {Choice} choice as choose() left it
     * @returns {number} a token
     */
    draw(choice) {
        return choice.tokens[0];
    }
}

/**
 * Tokens to draw from, in preallocated arrays: `tokens[i]` with probability `probabilities[i]`, i < count.
 */
export class Choice {
    /** @param {number} vocabularySize */
    constructor(vocabularySize) {
        this.count = 0;
        /** Whether the best comes first; otherwise tokens are in the vocabulary's order. */
        this.sorted = false;
        this.tokens = new Uint32Array(vocabularySize);
        this.probabilities = new Float32Array(vocabularySize);
    }

    /** @param {Float32Array} probabilities all tokens, in the vocabulary's order */
    all(probabilities) {
        this.count = probabilities.length;
        this.sorted = false;
        for (let i = 0; i < this.count; i++) {
            this.tokens[i] = i;
        }
        this.probabilities.set(probabilities);
    }

    /**
     * The k most probable tokens, best first, the lower token first on ties; not renormalised.
     * A binary heap whose root is the worst of those kept so far: most tokens are turned away by one comparison.
     * @param {Float32Array} values [V]
     * @param {number} k
     */
    top(values, k) {
        const { tokens } = this;
        const count = Math.min(k, values.length);
        for (let i = 0; i < count; i++) {
            tokens[i] = i;
        }
        for (let i = (count >> 1) - 1; i >= 0; i--) {
            sink(tokens, values, i, count);
        }
        for (let i = count; i < values.length; i++) {
            if (values[i] > values[tokens[0]]) {
                tokens[0] = i;
                sink(tokens, values, 0, count);
            }
        }
        for (let end = count - 1; end > 0; end--) {
            const worst = tokens[0];
            tokens[0] = tokens[end];
            tokens[end] = worst;
            sink(tokens, values, 0, end);
        }
        for (let i = 0; i < count; i++) {
            this.probabilities[i] = values[tokens[i]];
        }
        this.count = count;
        this.sorted = true;
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

/** Always the most probable token, the lower one on ties. The temperature changes nothing but the probabilities shown. */
export class GreedySampler extends Sampler {
    /** @param {Choice} choice */
    draw(choice) {
        return choice.tokens[argmax(choice.probabilities, 0, choice.count)];
    }
}

/** Draws from the whole vocabulary. */
export class RandomSampler extends Sampler {
    /** @param {{ temperature?: number, seed?: number }} [options] without a seed every sampler draws its own */
    constructor({ seed, ...options } = {}) {
        super(options);
        if (seed !== undefined && !Number.isSafeInteger(seed)) {
            throw typeError('seed', 'an integer', seed);
        }
        this.seed = seed ?? randomSeed();
        this._random = new Random(this.seed);
    }

    /** @param {Choice} choice */
    draw(choice) {
        return choice.at(this._random.uniform());
    }
}

/** Draws from the k most probable tokens. */
export class TopKSampler extends RandomSampler {
    /** @param {{ k?: number, temperature?: number, seed?: number }} [options] */
    constructor({ k = 5, ...options } = {}) {
        super(options);
        this.k = positiveInteger('k', k);
    }

    /** @param {Float32Array} probabilities @param {Choice} choice */
    choose(probabilities, choice) {
        choice.top(probabilities, this.k);
        choice.keep(choice.count);
    }
}

/**
 * Nucleus sampling (Holtzman et al. 2019): draws from the most probable tokens up to and including the one with which
 * their probabilities exceed p; with `k`, from the k most probable of all at most.
 */
export class TopPSampler extends RandomSampler {
    /** @param {{ p?: number, k?: number | null, temperature?: number, seed?: number }} [options] */
    constructor({ p = 0.1, k = null, ...options } = {}) {
        super(options);
        if (!(finiteNumber('p', p) >= 0 && p <= 1)) {
            throw rangeError('p', 'from 0 to 1', p);
        }
        this.p = p;
        this.k = k === null ? null : positiveInteger('k', k);
    }

    /** @param {Float32Array} probabilities @param {Choice} choice */
    choose(probabilities, choice) {
        const most = Math.min(this.k ?? Infinity, probabilities.length);
        // The nucleus is small as a rule, so only as many tokens are sorted as it turns out to need.
        for (let sorted = Math.min(64, most); ; sorted = Math.min(8 * sorted, most)) {
            choice.top(probabilities, sorted);
            const kept = nucleus(choice, this.p);
            if (kept < sorted || sorted === most) {
                choice.keep(kept);
                return;
            }
        }
    }
}

/**
 * How many of the sorted tokens have a predecessor up to which the probabilities add up to p at most; the first always
 * counts. Keras adds up in float32, and so decides at the border.
 * @param {Choice} choice
 * @param {number} p
 */
function nucleus(choice, p) {
    const limit = Math.fround(p);
    let kept = 1;
    for (let sum = choice.probabilities[0]; kept < choice.count && sum <= limit; kept++) {
        sum = Math.fround(sum + choice.probabilities[kept]);
    }
    return kept;
}

/**
 * Beam search: keeps the `numBeams` most probable continuations. No length penalty; finished beams go on, as in Keras Hub.
 */
export class BeamSampler extends Sampler {
    /** @param {{ numBeams?: number, temperature?: number }} [options] */
    constructor({ numBeams = 5, ...options } = {}) {
        super(options);
        this.numBeams = positiveInteger('numBeams', numBeams);
    }

    get kind() {
        return 'beam';
    }
}

/**
 * Contrastive search (Su et al. 2022): of the k most probable tokens the one with the largest
 * (1 - alpha) * probability - alpha * (largest cosine between its hidden state and those before it).
 */
export class ContrastiveSampler extends Sampler {
    /** @param {{ k?: number, alpha?: number, temperature?: number }} [options] */
    constructor({ k = 5, alpha = 0.6, ...options } = {}) {
        super(options);
        this.k = positiveInteger('k', k);
        if (!(finiteNumber('alpha', alpha) >= 0 && alpha <= 1)) {
            throw rangeError('alpha', 'from 0 to 1', alpha);
        }
        this.alpha = alpha;
    }

    get kind() {
        return 'contrastive';
    }
}

/**
 * @typedef {object} SamplerOptions
 * @property {string | Sampler} [sampler] 'greedy', 'top_k', 'top_p', 'random', 'beam', 'contrastive', their camelCase
 *   forms, or a sampler
 * @property {number} [temperature] 0 is greedy
 * @property {number} [topK] draw from so many tokens
 * @property {number} [topP] draw from the tokens that make up so much of the probability
 * @property {number} [seed]
 */

/**
 * The sampler that options describe. Without a name: `top_p` if topP is given, else `top_k`, Keras Hub's default, with its
 * k = 5 unless topK says otherwise. topK and topP together: the nucleus of the topK most probable. Temperature 0 turns
 * every drawing sampler greedy.
 * @param {SamplerOptions} options
 * @returns {Sampler}
 * @throws {TypeError | RangeError} for an unknown name, an option out of range or one that the sampler does not have
 */
export function getSampler({ sampler, temperature = 1, topK, topP, seed }) {
    if (sampler instanceof Sampler) {
        if (temperature !== 1 || topK !== undefined || topP !== undefined || seed !== undefined) {
            throw new TypeError('sampler: temperature, topK, topP and seed belong to the sampler object given');
        }
        return sampler;
    }
    if (finiteNumber('temperature', temperature) < 0) {
        throw rangeError('temperature', '0 or more', temperature);
    }
    const name = sampler ?? (topP === undefined ? 'top_k' : 'top_p');
    const hasK = ['top_k', 'topK', 'top_p', 'topP', 'contrastive'].includes(/** @type {string} */ (name));
    const hasP = hasK && name !== 'contrastive';
    if ((topK !== undefined && !hasK) || (topP !== undefined && !hasP)) {
        throw new TypeError(`${topK !== undefined && !hasK ? 'topK' : 'topP'}: the sampler ${show(name)} has none`);
    }
    const draws = { temperature: temperature || 1, seed };
    const k = topK === undefined ? {} : { k: positiveInteger('topK', topK) };
    const p = topP === undefined ? {} : { p: checkTopP(topP) };
    const make = {
        greedy: () => new GreedySampler({ temperature: temperature || 1 }),
        random: () => new RandomSampler(draws),
        top_k: () => (topP === undefined ? new TopKSampler({ ...draws, ...k }) : new TopPSampler({ ...draws, ...k, ...p })),
        top_p: () => new TopPSampler({ ...draws, ...k, ...p }),
        beam: () => new BeamSampler({ temperature }),
        contrastive: () => new ContrastiveSampler({ temperature, ...k }),
    };
    const key = name === 'topK' ? 'top_k' : name === 'topP' ? 'top_p' : name;
    if (typeof key !== 'string' || !Object.hasOwn(make, key)) {
        throw typeError('sampler', `a Sampler or one of ${Object.keys(make).join(', ')}`, name);
    }
    const made = make[/** @type {keyof typeof make} */ (key)]();
    return temperature === 0 && made.kind === 'row' ? new GreedySampler() : made;
}

/** @param {number} topP */
function checkTopP(topP) {
    if (!(finiteNumber('topP', topP) >= 0 && topP <= 1)) {
        throw rangeError('topP', 'from 0 to 1', topP);
    }
    return topP;
}
