// OLMo (Groeneveld et al. 2024): a Llama whose layer norms have no weights.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, hasBias, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const olmo = {
    name: 'olmo',
    types: ['olmo'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = layerNorm(f.positive('layer_norm_eps', 1e-5), false);
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = hasBias(f, file, 'attention_bias', false, 'blk.0.attn_q.bias');
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased),
                rope: rope(scaling, sizes.keyDim, partial, file.format === 'gguf'),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
