// OLMo 2 (OLMo Team 2024): norms only behind the sublayers, and of all queries and keys together.

import { readRope } from '../rope.js';
import { SANDWICH_NAMES, attention, biases, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const olmo2 = {
    name: 'olmo2',
    types: ['olmo2'],
    prefixes: ['model.'],
    names: SANDWICH_NAMES,
    describe(f) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-5));
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = f.flag('attention_bias', false);
        const layer = block(
            attention(sizes, {
                after: norm, bias: biases(biased), headNorm: { norm, over: 'all', own: false },
                rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { after: norm }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
