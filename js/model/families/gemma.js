// Gemma (Gemma Team 2024): norms times 1 + weight, embeddings times the root of the width, heads of a size of their own.

import { ACTIVATIONS } from '../description.js';
import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const gemma = {
    name: 'gemma',
    types: ['gemma'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        // GGUF has the 1 in its weights.
        const norm = rms(f.positive('rms_norm_eps', 1e-6), file.format === 'gguf' ? 0 : 1);
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = f.flag('attention_bias', false);
        const layer = block(
            attention(sizes, {
                before: norm, bias: { q: biased, k: biased, v: biased, o: biased }, rope: rope(scaling, sizes.keyDim, partial),
            }),
            gemmaFeedForward(f, sizes, { before: norm }),
        );
        // Keras's blocks never get the epsilon of the config, so a preset has two.
        const final = { ...norm, epsilon: f.positive('final_norm_eps', norm.epsilon) };
        return model(sizes, Array(sizes.count).fill(layer), final, {
            tied: f.flag('tie_word_embeddings', true), embeddingScale: Math.fround(Math.sqrt(sizes.width)),
        });
    },
};

/**
 * transformers reads `hidden_activation`, and takes the tanh form where only the older `hidden_act` is given.
 * @param {import('./common.js').Fields} f
 * @param {import('./common.js').Sizes} sizes
 * @param {Partial<import('./common.js').FeedForward>} norms
 * @returns {import('./common.js').FeedForward}
 */
export function gemmaFeedForward(f, sizes, norms) {
    f.ignore('hidden_act');
    const activation = f.word('hidden_activation', ACTIVATIONS, 'gelu_pytorch_tanh');
    return { width: sizes.inner, activation, gated: true, bias: false, ...norms };
}
