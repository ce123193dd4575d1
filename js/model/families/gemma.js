// Gemma (Gemma Team 2024): norms times 1 + weight, embeddings times the root of the width, heads of a size of their own.

import { ACTIVATIONS } from '../description.js';
import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const gemma = {
    name: 'gemma',
    types: ['gemma'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f, { keyDim: 256 });
        // GGUF has the 1 in its weights.
        const norm = rms(f.positive('rms_norm_eps', 1e-6), file.format === 'gguf' ? 0 : 1);
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = f.flag('attention_bias', false);
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased), rope: rope(scaling, sizes.keyDim, partial),
            }),
            gemmaFeedForward(f, sizes, { before: norm }, 'hidden_act'),
        );
        // Keras's blocks never get the epsilon of the config, so a preset has two.
        const final = { ...norm, epsilon: f.positive('final_norm_eps', norm.epsilon) };
        return model(sizes, Array(sizes.count).fill(layer), final, {
            tied: f.flag('tie_word_embeddings', true), embeddingScale: Math.fround(Math.sqrt(sizes.width)),
        });
    },
};

/** Published files of the first Gemma say `gelu` and mean its tanh form. */
const GEMMA_ACTIVATIONS = { ...ACTIVATIONS, gelu: ACTIVATIONS.gelu_pytorch_tanh };

/**
 * Files carry both fields. transformers reads `hidden_act` for the first Gemma, `hidden_activation` for the later ones.
 * @param {import('./common.js').Fields} f
 * @param {import('./common.js').Sizes} sizes
 * @param {Partial<import('./common.js').FeedForward>} norms
 * @param {'hidden_act' | 'hidden_activation'} [field]
 * @returns {import('./common.js').FeedForward}
 */
export function gemmaFeedForward(f, sizes, norms, field = 'hidden_activation') {
    f.ignore('hidden_act', 'hidden_activation');
    const activation = f.word(field, field === 'hidden_act' ? GEMMA_ACTIVATIONS : ACTIVATIONS, 'gelu_pytorch_tanh');
    return { width: sizes.inner, activation, gated: true, bias: false, ...norms };
}
