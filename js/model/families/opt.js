// OPT (Zhang et al. 2022): learned positions, layer norms, biases, ReLU. The table of positions has two rows in front of the first's.

import { activationOf, attention, biases, block, feedForward, layerNorm, model, readSizes } from './common.js';

/** @type {import('./common.js').Family} */
export const opt = {
    name: 'opt',
    types: ['opt'],
    prefixes: ['model.decoder.', 'decoder.'],
    names: {
        embed_tokens: 'token_embd', embed_positions: 'position_embd', final_layer_norm: 'output_norm', lm_head: 'output',
        'layers.#.self_attn_layer_norm': 'blk.#.attn_norm',
        'layers.#.self_attn.q_proj': 'blk.#.attn_q',
        'layers.#.self_attn.k_proj': 'blk.#.attn_k',
        'layers.#.self_attn.v_proj': 'blk.#.attn_v',
        'layers.#.self_attn.out_proj': 'blk.#.attn_output',
        'layers.#.final_layer_norm': 'blk.#.ffn_norm',
        'layers.#.fc1': 'blk.#.ffn_up',
        'layers.#.fc2': 'blk.#.ffn_down',
    },
    describe(f) {
        const sizes = readSizes(f, {}, { inner: 'ffn_dim' });
        // OPT-350m alone has narrower embeddings, and its norms behind the residual additions.
        const embedded = f.count('word_embed_proj_dim', sizes.width);
        if (embedded !== sizes.width) {
            f.unsupported('word_embed_proj_dim', embedded);
        }
        const norm = layerNorm(1e-5, f.flag('layer_norm_elementwise_affine', true));
        const biased = f.flag('enable_bias', true);
        const layer = block(
            attention(sizes, { before: norm, bias: biases(biased) }),
            feedForward(f, sizes, { before: norm, activation: activationOf(f, 'relu'), gated: false, bias: biased }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, {
            tied: f.flag('tie_word_embeddings', true), positions: sizes.context, skipped: 2,
        });
    },
};
