// BioGPT (Luo et al. 2022): an OPT with a smooth activation and scaled embeddings.

import { activationOf, readSizes } from './common.js';
import { OPT_NAMES, describeOpt } from './opt.js';

/** @type {import('./common.js').Family} */
export const biogpt = {
    name: 'biogpt',
    types: ['biogpt'],
    prefixes: ['biogpt.'],
    names: { ...OPT_NAMES, layer_norm: 'output_norm', output_projection: 'output' },
    describe(f) {
        f.ignore('layer_norm_eps');     // which transformers does not read either
        return describeOpt(f, readSizes(f), { activation: activationOf(f, 'gelu'), scaled: true });
    },
};
