// Granite 3 (IBM 2024): a Llama with four multipliers.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const granite = {
    name: 'granite',
    types: ['granite'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-6));
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = f.flag('attention_bias', false);
        const layer = block(
            attention(sizes, {
                before: norm, bias: { q: biased, k: biased, v: biased, o: biased }, scale: f.positive('attention_multiplier', 1),
                rope: rope(scaling, sizes.keyDim, partial, file.format === 'gguf'),
            }),
            feedForward(f, sizes, { before: norm, bias: f.flag('mlp_bias', false) }),
            { residualScale: f.positive('residual_multiplier', 1) },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, {
            tied: f.flag('tie_word_embeddings', false), embeddingScale: f.positive('embedding_multiplier', 1),
            scale: 1 / f.positive('logits_scaling', 1),
        });
    },
};
