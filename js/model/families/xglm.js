// XGLM (Lin et al. 2021): an OPT with sines and cosines of positions.

import { activationOf, readSizes } from './common.js';
import { OPT_NAMES, describeOpt } from './opt.js';

/** @type {import('./common.js').Family} */
export const xglm = {
    name: 'xglm',
    types: ['xglm'],
    prefixes: ['model.'],
    names: { ...OPT_NAMES, layer_norm: 'output_norm' },
    describe(f) {
        const sizes = readSizes(f, {}, { width: ['d_model'], count: ['num_layers'], heads: ['attention_heads'], inner: 'ffn_dim' });
        // transformers leaves out the row of this number, which no text has below 2.
        const padding = f.index('pad_token_id', 1);
        if (padding > 1) {
            f.unsupported('pad_token_id', padding);
        }
        return describeOpt(f, sizes, { activation: activationOf(f, 'gelu'), scaled: true, sinusoidal: true });
    },
};
