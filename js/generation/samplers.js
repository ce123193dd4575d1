import { Random, randomSeed } from '../random.js';
import { finiteNumber, positiveInteger, rangeError, show, typeError } from '../check.js';
import { argmax } from './choice.js';
import { softmax } from './softmax.js';

/** @typedef {import('./choice.js').Choice} Choice */

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
     * @param {import('./softmax.js').Softmax} [by]
     */
    probabilities(logits, out, by = softmax) {
        by(logits, this.temperature, out);
    }

    /**
     * The tokens that may be drawn and their probabilities, best first where only some are kept.
     * @param {Float32Array} logits [V]
     * @param {Choice} choice is filled
     */
    choose(logits, choice) {
        choice.all();
        this.probabilities(logits, choice.probabilities, choice.wholeSoftmax);
    }

    /**
     * Makes a choice fit to be shown, where choose() left out what drawing does not need.
     * @param {Float32Array} _logits [V]
     * @param {Choice} _choice as choose() left it
     */
    explain(_logits, _choice) {}

    /**
     * @param {Choice} choice as choose() left it
     * @returns {number} a token
     */
    draw(choice) {
        return choice.tokens[0];
    }
}

/**
 * Always the most probable token, the lower one on ties. The temperature changes nothing but the probabilities shown.
 */
export class GreedySampler extends Sampler {
    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        choice.only(argmax(logits));
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    explain(logits, choice) {
        super.choose(logits, choice);
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

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        choice.top(logits, this.k);
        choice.softmax(this.temperature);
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

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        const { byToken } = choice;
        this.probabilities(logits, byToken, choice.wholeSoftmax);
        const most = Math.min(this.k ?? Infinity, logits.length);
        // All tokens below this together make up less than 1 - p, with room for rounding: none is in the nucleus.
        const least = (1 - this.p) / logits.length - 2 ** -22;
        // The nucleus is small as a rule, so only as many tokens are sorted as it turns out to need.
        for (let wanted = Math.min(64, most); ; wanted = Math.min(8 * wanted, most)) {
            choice.top(byToken, wanted, least);
            const kept = nucleus(choice, this.p);
            if (kept < wanted || wanted === most) {
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
 * Beam search: keeps the `numBeams` most probable continuations. No length penalty; finished beams go on, as in Keras
 * Hub.
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
 * The sampler that options describe. Without a name: `top_p` if topP is given, else `top_k`, Keras Hub's default,
 * with its k = 5 unless topK says otherwise. topK and topP together: the nucleus of the topK most probable.
 * Temperature 0 turns every drawing sampler greedy.
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
        top_k: () => (topP === undefined ? new TopKSampler({ ...draws, ...k }) : make.top_p()),
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
