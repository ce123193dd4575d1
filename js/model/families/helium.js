// Helium 1 (Kyutai 2025): a Llama that rotates elements next to each other.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const helium = {
    name: 'helium',
    types: ['helium'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f) {
        const sizes = readSizes(f, { keyDim: 128 });
        const norm = rms(f.positive('rms_norm_eps', 1e-8));
        const { scaling, partial } = readRope(f, sizes.context, { base: 1e5 });
        const biased = f.flag('attention_bias', false);
        const layer = block(
            attention(sizes, {
                before: norm, bias: { q: biased, k: biased, v: biased, o: false }, rope: rope(scaling, sizes.keyDim, partial, true),
            }),
            feedForward(f, sizes, { before: norm, bias: f.flag('mlp_bias', false) }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
