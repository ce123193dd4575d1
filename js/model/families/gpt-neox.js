// GPT-NeoX and Pythia (Black et al. 2022): layer norms, biases, a part of each head rotated, sublayers in parallel or in turn.

import { readRope } from '../rope.js';
import { activationOf, attention, biases, block, feedForward, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const gptNeox = {
    name: 'gpt_neox',
    types: ['gpt_neox', 'gptneox'],
    prefixes: ['gpt_neox.'],
    names: {
        embed_in: 'token_embd', final_layer_norm: 'output_norm', embed_out: 'output',
        'layers.#.input_layernorm': 'blk.#.attn_norm',
        'layers.#.attention.query_key_value': 'blk.#.attn_qkv',
        'layers.#.attention.dense': 'blk.#.attn_output',
        'layers.#.post_attention_layernorm': 'blk.#.ffn_norm',
        'layers.#.mlp.dense_h_to_4h': 'blk.#.ffn_up',
        'layers.#.mlp.dense_4h_to_h': 'blk.#.ffn_down',
    },
    headByHead: true,
    describe(f) {
        const sizes = readSizes(f);
        const norm = layerNorm(f.positive('layer_norm_eps', 1e-5));
        const { scaling, partial } = readRope(f, sizes.context, { partly: true });
        const biased = f.flag('attention_bias', true);
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased), rope: rope(scaling, sizes.keyDim, partial ?? 0.25, false, true),
            }),
            feedForward(f, sizes, { before: norm, gated: false, bias: true, activation: activationOf(f, 'gelu') }),
            { parallel: f.flag('use_parallel_residual', true) },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
