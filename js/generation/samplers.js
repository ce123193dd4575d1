// How the next token is chosen from logits: the samplers, and the options that name them.

import { Random, randomSeed } from '../random.js';
import { checkOptionNames, finiteNumber, positiveInteger, rangeError, show, typeError } from '../check.js';
import { argmax } from './choice.js';
import { softmax } from './softmax.js';

/** @typedef {import('./choice.js').Choice} Choice */

/**
 * Keras Hub's samplers: how the next token is chosen from a model's logits.
 * Source: https://keras.io/keras_hub/api/samplers/; their numbers are those of Keras Hub 0.31 up to the random stream,
 * which is this project's own (js/random.js): one draw of `uniform()` per token, inverted through the cumulative
 * distribution. Min-p is not Keras's but transformers'.
 */

/**
 * Temperatures beyond these count as these: their inverses stay within float32, times log2(e) as well. No two logits of
 * a model are so near each other, or so far apart, that a temperature beyond would make a difference: the limits,
 * greedy and uniform, are reached long before.
 */
const COLDEST = 1e-38;
const HOTTEST = 1e38;

/** What is common to all of them: the temperature and the probabilities. */
export class Sampler {
    /** Names of the options. @type {readonly string[]} */
    static _options = ['temperature'];

    /** @param {{ temperature?: number }} [options] temperature > 0 divides the logits */
    constructor(options = {}) {
        checkOptionNames(new.target.name, options, new.target._options);
        const { temperature = 1 } = options;
        if (finiteNumber('temperature', temperature) <= 0) {
            throw rangeError('temperature', 'greater than 0', temperature);
        }
        this.temperature = Math.min(Math.max(temperature, COLDEST), HOTTEST);
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
     * @param {Float32Array} logits [V], finite (checkFinite) but for tokens banned since, which are -Infinity
     * @param {Choice} choice is filled
     * @throws {Error} when every token is banned
     */
    choose(logits, choice) {
        choice.all();
        this.probabilities(logits, choice.probabilities, choice.wholeSoftmax);
        // Without a largest logit there is nothing to subtract: all of them are NaN.
        checkLeft(choice.probabilities[0] >= 0);
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
        const best = argmax(logits);
        checkLeft(logits[best] > -Infinity);
        choice.only(best);
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    explain(logits, choice) {
        super.choose(logits, choice);
    }
}

/** @param {boolean} isLeft whether a token can be chosen */
export function checkLeft(isLeft) {
    if (!isLeft) {
        throw new Error('no token is left to choose: all are banned (logitBias, noRepeatNgram, allowed, end of the tokenizer)');
    }
}

/**
 * Draws from the whole vocabulary, or with `minP` (Nguyen et al. 2024) from the tokens that are at least so probable
 * times the most probable one.
 */
export class RandomSampler extends Sampler {
    static _options = [...Sampler._options, 'minP', 'seed'];

    /**
     * @param {{ minP?: number, temperature?: number, seed?: number }} [options] without a seed every sampler draws its
     *   own
     */
    constructor(options = {}) {
        super(options);
        const { minP = 0, seed } = options;
        this.minP = fraction('minP', minP);
        checkSeed(seed);
        this.seed = seed ?? randomSeed();
        this._random = new Random(this.seed);
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        if (this.minP === 0) {
            super.choose(logits, choice);
            return;
        }
        const { byToken } = choice;
        this.probabilities(logits, byToken, choice.wholeSoftmax);
        choice.above(byToken, this.minP);
        this._keep(choice, choice.count);
    }

    /**
     * Of the first `count` tokens, best first, leaves those that min-p allows and that have a probability at all. It
     * comes last, as in transformers; being a matter of ratios, it would leave the same tokens if it came first.
     * @param {Choice} choice
     * @param {number} count
     */
    _keep(choice, count) {
        checkLeft(choice.probabilities[0] > 0);
        choice.keep(choice.likely(count, this.minP));
    }

    /** @param {Choice} choice */
    draw(choice) {
        return choice.at(this._random.uniform());
    }
}

/** Draws from the k most probable tokens. */
export class TopKSampler extends RandomSampler {
    static _options = [...RandomSampler._options, 'k'];

    /** @param {{ k?: number, minP?: number, temperature?: number, seed?: number }} [options] */
    constructor(options = {}) {
        super(options);
        const { k = 5 } = options;
        this.k = positiveInteger('k', k);
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        choice.top(logits, this.k);
        choice.softmax(this.temperature);
        checkLeft(choice.probabilities[0] > 0);
        const kept = choice.likely(choice.count, this.minP);
        if (this.minP > 0) {
            choice.keep(kept);
        }
        // Without min-p only tokens of probability 0 go, and dividing by a sum of 1 would round once more.
        choice.count = kept;
    }
}

/**
 * Nucleus sampling (Holtzman et al. 2019): draws from the most probable tokens up to and including the one with which
 * their probabilities exceed p; with `k`, from the k most probable of all at most.
 */
export class TopPSampler extends RandomSampler {
    static _options = [...RandomSampler._options, 'p', 'k'];

    /**
     * @param {{ p?: number, k?: number | null, minP?: number, temperature?: number, seed?: number }} [options]
     */
    constructor(options = {}) {
        super(options);
        const { p = 0.1, k = null } = options;
        this.p = fraction('p', p);
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
        let wanted = Math.min(64, most);
        choice.top(byToken, wanted, least);
        let kept = nucleus(choice, this.p);
        // As long as all that were wanted are in it, more may be: 512, then as many as an estimate says.
        while (kept === wanted && wanted < most) {
            const more = wanted === 512 ? choice.reach(byToken, this.p) : 0;
            wanted = Math.min(Math.max(more, 8 * wanted), most);
            choice.top(byToken, wanted, least);
            kept = nucleus(choice, this.p);
        }
        this._keep(choice, kept);
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
    static _options = [...Sampler._options, 'numBeams'];

    /** @param {{ numBeams?: number, temperature?: number }} [options] */
    constructor(options = {}) {
        super(options);
        const { numBeams = 5 } = options;
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
    static _options = [...Sampler._options, 'k', 'alpha'];

    /** @param {{ k?: number, alpha?: number, temperature?: number }} [options] */
    constructor(options = {}) {
        super(options);
        const { k = 5, alpha = 0.6 } = options;
        this.k = positiveInteger('k', k);
        this.alpha = fraction('alpha', alpha);
    }

    get kind() {
        return 'contrastive';
    }
}

/**
 * Speculative decoding: generate()'s `draft` guesses `numSpeculativeTokens` at a time, the base sampler decides, greedy where
 * there is none. Temperature and seed are the base sampler's; Keras Hub overwrites its temperature.
 */
export class SpeculativeSampler extends Sampler {
    static _options = ['numSpeculativeTokens', 'baseSampler'];

    /** @param {{ numSpeculativeTokens?: number, baseSampler?: Sampler | null }} [options] */
    constructor(options = {}) {
        checkOptionNames(new.target.name, options, new.target._options);
        const { numSpeculativeTokens = 5, baseSampler = null } = options;
        if (baseSampler !== null && !(baseSampler instanceof Sampler && baseSampler.kind === 'row')) {
            throw typeError('baseSampler', 'a sampler that chooses token by token', baseSampler);
        }
        const base = baseSampler ?? new GreedySampler();
        super();
        this.temperature = base.temperature;
        this.numSpeculativeTokens = positiveInteger('numSpeculativeTokens', numSpeculativeTokens);
        this.baseSampler = base;
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        this.baseSampler.choose(logits, choice);
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    explain(logits, choice) {
        this.baseSampler.explain(logits, choice);
    }

    /** @param {Choice} choice */
    draw(choice) {
        return this.baseSampler.draw(choice);
    }
}

/**
 * @param {string} argument
 * @param {number} value
 * @returns {number} the value, from 0 to 1
 */
function fraction(argument, value) {
    if (!(finiteNumber(argument, value) >= 0 && value <= 1)) {
        throw rangeError(argument, 'from 0 to 1', value);
    }
    return value;
}

/**
 * @typedef {object} SamplerOptions
 * @property {string | Sampler} [sampler] 'greedy', 'top_k', 'top_p', 'random', 'beam', 'contrastive', their camelCase
 *   forms, or a sampler
 * @property {number} [temperature] 0 is greedy
 * @property {number} [topK] draw from so many tokens
 * @property {number} [topP] draw from the tokens that make up so much of the probability
 * @property {number} [minP] draw from the tokens at least so probable times the most probable one
 * @property {number} [numBeams] texts that beam search keeps
 * @property {number} [seed]
 */

/** @param {unknown} seed */
function checkSeed(seed) {
    if (seed !== undefined && !Number.isSafeInteger(seed)) {
        throw typeError('seed', 'an integer', seed);
    }
}

/** Which options the samplers have beside temperature and seed. @type {Record<string, string[]>} */
const HAVE = {
    greedy: [],
    random: ['minP'],
    top_k: ['topK', 'topP', 'minP'],
    top_p: ['topK', 'topP', 'minP'],
    beam: ['numBeams'],
    contrastive: ['topK'],
};

/**
 * The sampler that options describe. Without a name: `beam` if numBeams is given; else `top_p` if topP is; else
 * `random` if minP is and topK is not; else `top_k`, Keras Hub's default, with its k = 5 unless topK says otherwise.
 * topK and topP together: the nucleus of the topK most probable, and minP of what is left. Temperature 0 turns every
 * drawing sampler greedy.
 * @param {SamplerOptions} options
 * @returns {Sampler}
 * @throws {TypeError | RangeError} for an unknown name, an option out of range or one that the sampler does not have
 */
export function getSampler(options) {
    const { sampler, temperature = 1 } = options;
    if (sampler instanceof Sampler) {
        checkNoneBeside(options);
        return sampler;
    }
    if (finiteNumber('temperature', temperature) < 0) {
        throw rangeError('temperature', '0 or more', temperature);
    }
    const name = samplerName(options);
    checkHas(name, options);
    const made = makeSampler(name, options);
    return temperature === 0 && made.kind === 'row' ? new GreedySampler() : made;
}

/** @param {SamplerOptions} options with a sampler object */
function checkNoneBeside({ temperature = 1, topK, topP, minP, numBeams, seed }) {
    if (temperature !== 1 || [topK, topP, minP, numBeams, seed].some((value) => value !== undefined)) {
        throw new TypeError(
            'sampler: temperature, topK, topP, minP, numBeams and seed belong to the sampler object given');
    }
}

/** @param {SamplerOptions} options @returns {string} a key of HAVE */
function samplerName({ sampler, topK, topP, minP, numBeams }) {
    if (sampler === undefined) {
        return numBeams !== undefined ? 'beam' : topP !== undefined ? 'top_p'
            : minP !== undefined && topK === undefined ? 'random' : 'top_k';
    }
    const name = sampler === 'topK' ? 'top_k' : sampler === 'topP' ? 'top_p' : sampler;
    if (typeof name !== 'string' || !Object.hasOwn(HAVE, name)) {
        throw typeError('sampler', `a Sampler or one of ${Object.keys(HAVE).join(', ')}`, sampler);
    }
    return name;
}

/** @param {string} name @param {SamplerOptions} options */
function checkHas(name, options) {
    // What draws nothing gives the same text for the same seed all the same, so a seed is right with every sampler.
    checkSeed(options.seed);
    for (const option of /** @type {const} */ (['topK', 'topP', 'minP', 'numBeams'])) {
        if (options[option] !== undefined && !HAVE[name].includes(option)) {
            throw new TypeError(`${option}: the sampler ${show(name)} has none`);
        }
    }
}

/** @param {string} name @param {SamplerOptions} options @returns {Sampler} */
function makeSampler(name, { temperature = 1, topK, topP, minP = 0, numBeams, seed }) {
    const draws = { temperature: temperature || 1, minP: fraction('minP', minP), seed };
    const k = topK === undefined ? {} : { k: positiveInteger('topK', topK) };
    const p = topP === undefined ? {} : { p: fraction('topP', topP) };
    switch (name) {
        case 'greedy':
            return new GreedySampler({ temperature: temperature || 1 });
        case 'random':
            return new RandomSampler(draws);
        case 'top_k':
            return topP === undefined ? new TopKSampler({ ...draws, ...k }) : new TopPSampler({ ...draws, ...k, ...p });
        case 'top_p':
            return new TopPSampler({ ...draws, ...k, ...p });
        case 'beam':
            return new BeamSampler({ temperature, numBeams });
        default:
            return new ContrastiveSampler({ temperature, ...k });
    }
}
