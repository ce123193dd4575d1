import { BeamSearch } from './beam-search.js';
import { ContrastiveSearch } from './contrastive-search.js';
import { RowSearch } from './search.js';

/**
 * @param {import('./samplers.js').Sampler} sampler
 * @param {import('./search.js').Steps} steps
 * @param {import('./search.js').SearchStart} start
 * @returns {RowSearch | BeamSearch | ContrastiveSearch}
 */
export function createSearch(sampler, steps, start) {
    switch (sampler.kind) {
        case 'beam':
            return new BeamSearch(steps, start, /** @type {import('./samplers.js').BeamSampler} */ (sampler));
        case 'contrastive':
            return new ContrastiveSearch(steps, start, /** @type {import('./samplers.js').ContrastiveSampler} */ (sampler));
        default:
            return new RowSearch(steps, start, sampler);
    }
}
