// Arcee's AFM (Arcee AI 2025): a Llama whose feed-forward network squares a ReLU and has no gate.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, activationOf, attention, biases, block, feedForward, hasBias, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const arcee = {
    name: 'arcee',
    types: ['arcee'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-5));
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = hasBias(f, file, 'attention_bias', false, 'blk.0.attn_q.bias');
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased),
                rope: rope(scaling, sizes.keyDim, partial, file.format === 'gguf'),
            }),
            feedForward(f, sizes, {
                before: norm, gated: false, activation: activationOf(f, 'relu2'),
                bias: hasBias(f, file, 'mlp_bias', false, 'blk.0.ffn_up.bias'),
            }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
