// Llama (Touvron et al. 2023) and what shares its shape: grouped queries, RMS norm, rotary positions, gated SiLU.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, hasBias, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const llama = {
    name: 'llama',
    types: ['llama'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-6));
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = hasBias(f, file, 'attention_bias', false, 'blk.0.attn_q.bias');
        const layer = block(
            attention(sizes, {
                before: norm,
                bias: { q: biased, k: biased, v: biased, o: f.flag('attention_bias', false) || file.has('blk.0.attn_output.bias') },
                rope: rope(scaling, sizes.keyDim, partial, file.format === 'gguf'),
            }),
            feedForward(f, sizes, { before: norm, bias: hasBias(f, file, 'mlp_bias', false, 'blk.0.ffn_up.bias') }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
