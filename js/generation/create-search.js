// From a sampler to the search that drives it.

import { BeamSearch } from './beam-search.js';
import { ContrastiveSearch } from './contrastive-search.js';
import { RowSearch } from './search.js';

/** @typedef {import('./samplers.js').BeamSampler} BeamSampler */
/** @typedef {import('./samplers.js').ContrastiveSampler} ContrastiveSampler */

/**
 * @param {import('./samplers.js').Sampler} sampler
 * @param {import('./search.js').Steps} steps
 * @param {import('./search.js').SearchStart} start
 * @returns {RowSearch | BeamSearch | ContrastiveSearch}
 */
export function createSearch(sampler, steps, start) {
    switch (sampler.kind) {
        case 'beam':
            return new BeamSearch(steps, start, /** @type {BeamSampler} */ (sampler));
        case 'contrastive':
            return new ContrastiveSearch(steps, start, /** @type {ContrastiveSampler} */ (sampler));
        default:
            return new RowSearch(steps, start, sampler);
    }
}
