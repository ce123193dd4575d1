// ERNIE 4.5 (Baidu 2025): a Llama that rotates elements next to each other.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, hasBias, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const ernie45 = {
    name: 'ernie4_5',
    types: ['ernie4_5'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f, { kvHeads: 2, keyDim: 128 });
        const norm = rms(f.positive('rms_norm_eps', 1e-5));
        const { scaling, partial } = readRope(f, sizes.context, { base: file.format === 'gguf' ? 1e4 : 5e5 });
        const biased = hasBias(f, file, 'use_bias', false, 'blk.0.attn_q.bias');
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased), rope: rope(scaling, sizes.keyDim, partial, true),
            }),
            feedForward(f, sizes, { before: norm, bias: biased }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};
