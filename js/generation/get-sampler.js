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
 * @property {number} [topK] draw from so many tokens
 * @property {number} [topP] draw from the tokens that make up so much of the probability
 * @property {number} [minP] draw from the tokens at least so probable times the most probable one
 * @property {number} [numBeams] texts that beam search keeps
 * @property {number} [seed]
 */

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
 * The sampler that options describe. Without a name: `beam` if numBeams is given; else `top_k` if topK is; else `top_p` if
 * topP is; else `random` if minP is; else `top_k`, Keras Hub's default, with its k = 5. topP of `top_k`: the nucleus of the
 * topK most probable, as if there were no others; topK of `top_p`: as Keras does, so many of the nucleus of all at most. minP
 * is of what is left. Temperature 0 turns every drawing sampler greedy.
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
            return new TopKSampler({ ...draws, ...k, ...p });
        case 'top_p':
            return new TopPSampler({ ...draws, ...k, ...p });
        case 'beam':
            return new BeamSampler({ temperature, numBeams });
        default:
            return new ContrastiveSampler({ temperature, ...k });
    }
}
