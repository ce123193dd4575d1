// StarCoder 2 (Lozhkov et al. 2024): layer norms, biases and an ungated network around grouped queries, rotation and a window.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, activationOf, attention, biases, block, feedForward, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const starcoder2 = {
    name: 'starcoder2',
    types: ['starcoder2'],
    prefixes: ['model.'],
    names: { ...LLAMA_NAMES, 'layers.#.mlp.c_fc': 'blk.#.ffn_up', 'layers.#.mlp.c_proj': 'blk.#.ffn_down' },
    describe(f) {
        const sizes = readSizes(f, { kvHeads: 2 });
        const norm = layerNorm(f.positive(['norm_epsilon', 'layer_norm_eps'], 1e-5));
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = f.flag('use_bias', true);
        // Published files say so, and carry an epsilon that their norm has no use for.
        f.word('norm_type', { layer_norm: true }, 'layer_norm');
        f.word('mlp_type', { default: true }, 'default');
        f.ignore('rms_norm_eps');
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased), window: f.countOrNone('sliding_window'),
                rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm, gated: false, bias: biased, activation: activationOf(f, 'gelu_pytorch_tanh') }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};
