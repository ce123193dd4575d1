// From options to the sampler that they name.

import { finiteNumber, positiveInteger, rangeError, show, typeError } from '../check.js';
import {
    BeamSampler, ContrastiveSampler, GreedySampler, RandomSampler, Sampler, TopKSampler, TopPSampler, checkSeed, fraction,
} from './samplers.js';

/**
 * @typedef {object} SamplerOptions
 * @property {string | Sampler} [sampler] 'greedy', 'top_k', 'top_p', 'random', 'beam', 'contrastive', their camelCase
 *   forms, or a sampler
 * @property {number} [temperature] 0 is greedy
 * @property {number} [topK] sample from the topK most probable tokens
 * @property {number} [topP] sample from the most probable tokens that make up this much of the probability
 * @property {number} [minP] sample from the tokens at least minP times as probable as the most probable one
 * @property {number} [numBeams] number of beams
 * @property {number} [seed]
 */

/** The options of each sampler beside temperature and seed. @type {Record<string, string[]>} */
const HAVE = {
    greedy: [],
    random: ['minP'],
    top_k: ['topK', 'topP', 'minP'],
    top_p: ['topK', 'topP', 'minP'],
    beam: ['numBeams'],
    contrastive: ['topK'],
};

/**
 * The sampler that options describe. If they do not name it: `beam` if numBeams is given; else `top_k` if topK is; else `top_p` if topP
 * is; else `random` if minP is; else `top_k` with k = 5, Keras Hub's default. `top_k` with topP takes the nucleus of the topK most probable
 * tokens, as if there were no others; `top_p` with topK takes at most topK tokens of the nucleus of all, as Keras does. minP applies to
 * what these leave. With temperature 0 every sampler that chooses token by token is greedy.
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
    if (temperature === 0 && ['beam', 'contrastive'].includes(name)) {
        throw rangeError('temperature', `above 0 with the sampler ${show(name)}: 0 is greedy, another sampler`, temperature);
    }
    const made = makeSampler(name, options);
    return temperature === 0 ? new GreedySampler() : made;
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
        return numBeams !== undefined ? 'beam' : topK !== undefined ? 'top_k' : topP !== undefined ? 'top_p'
            : minP !== undefined ? 'random' : 'top_k';
    }
    const name = sampler === 'topK' ? 'top_k' : sampler === 'topP' ? 'top_p' : sampler;
    if (typeof name !== 'string' || !Object.hasOwn(HAVE, name)) {
        throw typeError('sampler', `a Sampler of this package or one of ${Object.keys(HAVE).join(', ')}`, sampler);
    }
    return name;
}

/** @param {string} name @param {SamplerOptions} options */
function checkHas(name, options) {
    // A seed is accepted with every sampler: one that draws nothing gives the same text for the same seed anyway.
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
            return new TopKSampler({ ...draws, ...k, ...p });
        case 'top_p':
            return new TopPSampler({ ...draws, ...k, ...p });
        case 'beam':
            return new BeamSampler({ temperature, numBeams });
        default:
            return new ContrastiveSampler({ temperature, ...k });
    }
}
