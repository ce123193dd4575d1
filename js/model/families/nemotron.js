// Nemotron and Minitron (NVIDIA 2024): layer norms around 1, a part of each head rotated, a squared ReLU without a gate.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, activationOf, attention, biases, block, feedForward, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const nemotron = {
    name: 'nemotron',
    types: ['nemotron'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const isGguf = file.format === 'gguf';
        const sizes = readSizes(f);
        const norm = { ...layerNorm(f.positive(isGguf ? 'layer_norm_eps' : 'norm_eps', 1e-5)), offset: isGguf ? 0 : 1 };
        f.ignore('rms_norm_eps');       // which llama.cpp's converter writes too
        const { scaling, partial } = readRope(f, sizes.context, { partly: true });
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(f.flag('attention_bias', false)), rope: rope(scaling, sizes.keyDim, partial ?? (isGguf ? 1 : 0.5)),
            }),
            feedForward(f, sizes, { before: norm, activation: activationOf(f, 'relu2'), gated: false, bias: f.flag('mlp_bias', false) }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
