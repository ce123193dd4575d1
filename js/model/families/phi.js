// Phi 1 to 2 (Gunasekar et al. 2023): attention and feed-forward network in parallel behind one norm, a part of each head rotated.

import { readRope } from '../rope.js';
import { activationOf, attention, biases, block, feedForward, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const phi = {
    name: 'phi',
    types: ['phi', 'phi2'],
    prefixes: ['model.'],
    names: {
        embed_tokens: 'token_embd', final_layernorm: 'output_norm', lm_head: 'output',
        'layers.#.input_layernorm': 'blk.#.attn_norm',
        'layers.#.self_attn.q_proj': 'blk.#.attn_q',
        'layers.#.self_attn.k_proj': 'blk.#.attn_k',
        'layers.#.self_attn.v_proj': 'blk.#.attn_v',
        'layers.#.self_attn.dense': 'blk.#.attn_output',
        'layers.#.self_attn.q_layernorm': 'blk.#.attn_q_norm',
        'layers.#.self_attn.k_layernorm': 'blk.#.attn_k_norm',
        'layers.#.mlp.fc1': 'blk.#.ffn_up',
        'layers.#.mlp.fc2': 'blk.#.ffn_down',
    },
    describe(f) {
        const sizes = readSizes(f);
        const norm = layerNorm(f.positive('layer_norm_eps', 1e-5));
        const { scaling, partial } = readRope(f, sizes.context, { partly: true });
        const headNorm = f.flag('qk_layernorm', false) ? { norm, over: /** @type {const} */ ('head'), own: false } : null;
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(true), headNorm, rope: rope(scaling, sizes.keyDim, partial ?? 0.5),
            }),
            feedForward(f, sizes, { gated: false, bias: true, activation: activationOf(f, 'gelu_new') }),
            { parallel: true, sharedNorm: true },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false), bias: true });
    },
};
