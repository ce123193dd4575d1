// How the next token is chosen from logits: the samplers.

import { printAs } from '../engine/print.js';
import { Random, randomSeed } from '../random.js';
import { checkOptionNames, finiteNumber, positiveInteger, rangeError, typeError } from '../check.js';
import { argmax } from './choice.js';
import { softmax } from './softmax.js';

/** @typedef {import('./choice.js').Choice} Choice */

/**
 * Keras Hub's samplers. Source: https://keras.io/keras_hub/api/samplers/. Their probabilities are those of Keras Hub 0.31; the random
 * numbers are this package's own (js/random.js): one `uniform()` per token, looked up in the cumulative distribution. Min-p is not
 * Keras's but transformers'.
 */

/**
 * Temperatures are clamped to these limits, so that 1 / temperature, also times log2(e), stays within float32. Long before them a model's
 * probabilities have become those of greedy choice or of a uniform distribution.
 */
const COLDEST = 1e-38;
const HOTTEST = 1e38;

/**
 * Base class of the samplers: the temperature and the probabilities. One of your own extends it: choose() says what may be
 * drawn, and draw() takes a token of that.
 */
export class Sampler {
    /** Name of the class, for messages: minifying renames classes. */
    static _what = 'Sampler';
    /** Names of the options. @type {readonly string[]} */
    static _options = ['temperature'];

    /** @param {{ temperature?: number }} [options] temperature: above 0, divides the logits; 1 */
    constructor(options = {}) {
        checkOptionNames(new.target._what, options, new.target._options);
        const { temperature = 1 } = options;
        /** @type {number} */
        this.temperature = temperature;
    }

    /** Which search drives this sampler: 'row', one token after the other; 'beam'; or 'contrastive', which looks one token ahead. */
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
     * Fills a choice with the tokens that may be drawn and their probabilities; if it is not the whole vocabulary, best first.
     * @param {Float32Array} logits [V], finite except those of banned tokens, which are -Infinity
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
     * Completes a choice for display, if choose() left out what drawing does not need.
     * @param {Float32Array} _logits [V]
     * @param {Choice} _choice as choose() left it
     */
    explain(_logits, _choice) {}

    /**
     * @param {Choice} choice as choose() left it
     * @returns {number} a token of it; here the most probable one
     */
    draw({ tokens, probabilities, count }) {
        return tokens[argmax(probabilities, 0, count)];
    }
}

printAs(Sampler, (sampler) => /** @type {typeof Sampler} */ (sampler.constructor)._what, (sampler) => Object.fromEntries(
    /** @type {typeof Sampler} */ (sampler.constructor)._options.map((name) => [name, /** @type {any} */ (sampler)[name]])));

/**
 * Defines options as properties that are checked whenever they are set, by the constructor or later.
 * @param {Function} Kind of sampler
 * @param {Record<string, (argument: string, value: any) => unknown>} checks by option: each returns the value to keep
 */
function keepChecked(Kind, checks) {
    for (const [name, check] of Object.entries(checks)) {
        const kept = Symbol(name);
        Object.defineProperty(Kind.prototype, name, {
            get() {
                return this[kept];
            },
            set(value) {
                this[kept] = check(name, value);
            },
        });
    }
}

keepChecked(Sampler, {
    temperature(argument, value) {
        if (finiteNumber(argument, value) <= 0) {
            throw rangeError(argument, 'greater than 0', value);
        }
        return Math.min(Math.max(value, COLDEST), HOTTEST);
    },
});

/**
 * Always the most probable token; of equal ones that with the lower id. The temperature changes only the probabilities of `candidates`.
 */
export class GreedySampler extends Sampler {
    static _what = 'GreedySampler';
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
        throw new Error('no token is left to choose: all are banned (logitBias, noRepeatNgram, allowed)');
    }
}

/**
 * Samples from the whole vocabulary, or with `minP` (Nguyen et al. 2024) from the tokens that are at least minP times as probable as the
 * most probable one.
 */
export class RandomSampler extends Sampler {
    static _what = 'RandomSampler';
    static _options = [...Sampler._options, 'minP', 'seed'];

    /**
     * @param {{ minP?: number, temperature?: number, seed?: number }} [options] minP: 0, all tokens; seed: a
     *   random one
     */
    constructor(options = {}) {
        super(options);
        const { minP = 0, seed } = options;
        /** @type {number} */
        this.minP = minP;
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
     * Keeps those of the first `count` tokens, best first, that min-p allows and that have a probability above 0. Min-p comes last, as
     * in transformers; as it compares ratios, it would keep the same tokens if it came first.
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

keepChecked(RandomSampler, { minP: fraction });

/**
 * Samples from the k most probable tokens. With `p`, from the nucleus of these k, whose probabilities are made to add up to 1 first: top-k
 * before top-p, as in transformers and llama.cpp. Keras's TopPSampler with `k` differs: its nucleus is that of all tokens.
 */
export class TopKSampler extends RandomSampler {
    static _what = 'TopKSampler';
    static _options = [...RandomSampler._options, 'k', 'p'];

    /** @param {{ k?: number, p?: number, minP?: number, temperature?: number, seed?: number }} [options] k: 5; p: 1, all k */
    constructor(options = {}) {
        super(options);
        const { k = 5, p = 1 } = options;
        /** @type {number} */
        this.k = k;
        /** @type {number} */
        this.p = p;
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        choice.top(logits, this.k);
        choice.softmax(this.temperature);
        checkLeft(choice.probabilities[0] > 0);
        const kept = choice.likely(nucleus(choice, this.p), this.minP);
        if (this.minP > 0 || this.p < 1) {
            choice.keep(kept);
        }
        // Without p and minP only tokens of probability 0 are left out: the others need no new division, which would round once more.
        choice.count = kept;
    }
}

keepChecked(TopKSampler, { k: positiveInteger, p: fraction });

/**
 * Nucleus sampling (Holtzman et al. 2019): samples from the most probable tokens, up to and including the one with which their
 * probabilities exceed p; with `k`, from at most k of them.
 */
export class TopPSampler extends RandomSampler {
    static _what = 'TopPSampler';
    static _options = [...RandomSampler._options, 'p', 'k'];

    /**
     * @param {{ p?: number, k?: number | null, minP?: number, temperature?: number, seed?: number }} [options] p: 0.1, as in
     *   Keras Hub; k: null, no limit
     */
    constructor(options = {}) {
        super(options);
        const { p = 0.1, k = null } = options;
        /** @type {number} */
        this.p = p;
        /** @type {number | null} */
        this.k = k;
    }

    /** @param {Float32Array} logits @param {Choice} choice */
    choose(logits, choice) {
        const { byToken } = choice;
        this.probabilities(logits, byToken, choice.wholeSoftmax);
        const most = Math.min(this.k ?? Infinity, logits.length);
        // All tokens below this probability together make up less than 1 - p (with room for rounding), so none is in the nucleus.
        const least = (1 - this.p) / logits.length - 2 ** -22;
        // The nucleus is usually small, so at first only a few tokens are sorted.
        let wanted = Math.min(64, most);
        choice.top(byToken, wanted, least);
        let kept = nucleus(choice, this.p);
        // While all of them are in the nucleus it may be larger: next 512 tokens are sorted, then as many as an estimate says.
        while (kept === wanted && wanted < most) {
            const more = wanted === 512 ? choice.reach(byToken, this.p) : 0;
            wanted = Math.min(Math.max(more, 8 * wanted), most);
            choice.top(byToken, wanted, least);
            kept = nucleus(choice, this.p);
        }
        this._keep(choice, kept);
    }
}

keepChecked(TopPSampler, { p: fraction, k: (argument, value) => (value === null ? null : positiveInteger(argument, value)) });

/**
 * How many of the sorted tokens are in the nucleus: those before which the probabilities add up to at most p, the first one always. Sums
 * are rounded to float32 as in Keras, which decides at the border; with p = 1 all tokens are in it, whatever the rounding.
 * @param {Choice} choice
 * @param {number} p
 */
function nucleus(choice, p) {
    const limit = p < 1 ? Math.fround(p) : Infinity;
    let kept = 1;
    for (let sum = choice.probabilities[0]; kept < choice.count && sum <= limit; kept++) {
        sum = Math.fround(sum + choice.probabilities[kept]);
    }
    return kept;
}

/**
 * Beam search: keeps the `numBeams` most probable continuations. As in Keras Hub there is no length penalty, and a beam that has an end
 * token goes on.
 */
export class BeamSampler extends Sampler {
    static _what = 'BeamSampler';
    static _options = [...Sampler._options, 'numBeams'];

    /** @param {{ numBeams?: number, temperature?: number }} [options] numBeams: 5 */
    constructor(options = {}) {
        super(options);
        const { numBeams = 5 } = options;
        /** @type {number} */
        this.numBeams = numBeams;
    }

    get kind() {
        return 'beam';
    }
}

keepChecked(BeamSampler, { numBeams: positiveInteger });

/**
 * Contrastive search (Su et al. 2022): of the k most probable tokens the one with the largest
 * (1 - alpha) * probability - alpha * (largest cosine between its hidden state and those before it).
 */
export class ContrastiveSampler extends Sampler {
    static _what = 'ContrastiveSampler';
    static _options = [...Sampler._options, 'k', 'alpha'];

    /** @param {{ k?: number, alpha?: number, temperature?: number }} [options] k: 5; alpha: 0.6 */
    constructor(options = {}) {
        super(options);
        const { k = 5, alpha = 0.6 } = options;
        /** @type {number} */
        this.k = k;
        /** @type {number} */
        this.alpha = alpha;
    }

    get kind() {
        return 'contrastive';
    }
}

keepChecked(ContrastiveSampler, { k: positiveInteger, alpha: fraction });

/**
 * Speculative decoding: the `draft` of generate() guesses `numSpeculativeTokens` at a time, and the base sampler, by default a greedy one,
 * chooses. Temperature and seed are the base sampler's own; Keras Hub overwrites its temperature.
 */
export class SpeculativeSampler extends Sampler {
    static _what = 'SpeculativeSampler';
    static _options = ['numSpeculativeTokens', 'baseSampler'];

    /** @param {{ numSpeculativeTokens?: number, baseSampler?: Sampler | null }} [options] numSpeculativeTokens: 5 */
    constructor(options = {}) {
        checkOptionNames(new.target._what, options, new.target._options);
        const { numSpeculativeTokens = 5, baseSampler = null } = options;
        if (baseSampler !== null && !(baseSampler instanceof Sampler && baseSampler.kind === 'row')) {
            throw typeError('baseSampler', 'a sampler that chooses token by token', baseSampler);
        }
        const base = baseSampler ?? new GreedySampler();
        super();
        this.temperature = base.temperature;
        /** @type {number} */
        this.numSpeculativeTokens = numSpeculativeTokens;
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

keepChecked(SpeculativeSampler, { numSpeculativeTokens: positiveInteger });

/**
 * @param {string} argument
 * @param {number} value
 * @returns {number} the value, from 0 to 1
 */
export function fraction(argument, value) {
    if (!(finiteNumber(argument, value) >= 0 && value <= 1)) {
        throw rangeError(argument, 'from 0 to 1', value);
    }
    return value;
}

/** @param {unknown} seed */
export function checkSeed(seed) {
    if (seed !== undefined && !Number.isSafeInteger(seed)) {
        throw typeError('seed', 'an integer of 53 bits at most', seed);
    }
}
