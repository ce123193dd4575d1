// Granite 3 (IBM 2024): a Llama with four multipliers.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, hasBias, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const granite = {
    name: 'granite',
    types: ['granite'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe: (f, file) => describeGranite(f, file),
};

/**
 * @param {import('./common.js').Fields} f @param {import('./common.js').ModelFile} file
 * @param {{ rotates?: boolean, inner?: string }} [others] whether there are rotary positions, and which field has the network's width
 * @returns {ReturnType<typeof model>}
 */
export function describeGranite(f, file, { rotates = true, inner } = {}) {
    const isGguf = file.format === 'gguf';
    const sizes = readSizes(f, {}, { inner });
    const norm = rms(f.positive('rms_norm_eps', 1e-6));
    const { scaling, partial } = readRope(f, sizes.context);
    const biased = hasBias(f, file, 'attention_bias', false, 'blk.0.attn_q.bias');
    const layer = block(
        attention(sizes, {
            before: norm, bias: biases(biased),
            scale: f.positive('attention_multiplier', isGguf ? sizes.keyDim ** -0.5 : 1),
            rope: rotates ? rope(scaling, sizes.keyDim, partial, isGguf) : null,
        }),
        feedForward(f, sizes, { before: norm, bias: hasBias(f, file, 'mlp_bias', false, 'blk.0.ffn_up.bias') }),
        { residualScale: f.positive('residual_multiplier', 1) },
    );
    return model(sizes, Array(sizes.count).fill(layer), norm, {
        tied: f.flag('tie_word_embeddings', false), embeddingScale: f.positive('embedding_multiplier', 1),
        scale: 1 / f.positive('logits_scaling', 1),
    });
}
