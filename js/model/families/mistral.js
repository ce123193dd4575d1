// Mistral (Jiang et al. 2023): a Llama whose layers see a window of positions.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const mistral = {
    name: 'mistral',
    types: ['mistral'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f) {
        const sizes = readSizes(f, { kvHeads: 8 });
        const norm = rms(f.positive('rms_norm_eps', 1e-6));
        const { scaling, partial } = readRope(f, sizes.context);
        const layer = block(
            attention(sizes, {
                before: norm, window: f.countOrNone('sliding_window', 4096), rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
