// BLOOM (Le Scao et al. 2022): linear biases instead of positions, layer norms, the first of the embeddings, and biases.

import { attention, biases, block, layerNorm, model, readSizes } from './common.js';

/** Falcon's too, which has one norm for both sublayers, or two. @type {Record<string, string>} */
export const BLOOM_NAMES = {
    word_embeddings: 'token_embd', word_embeddings_layernorm: 'token_embd_norm', ln_f: 'output_norm', lm_head: 'output',
    'h.#.input_layernorm': 'blk.#.attn_norm',
    'h.#.self_attention.query_key_value': 'blk.#.attn_qkv',
    'h.#.self_attention.dense': 'blk.#.attn_output',
    'h.#.post_attention_layernorm': 'blk.#.ffn_norm',
    'h.#.mlp.dense_h_to_4h': 'blk.#.ffn_up',
    'h.#.mlp.dense_4h_to_h': 'blk.#.ffn_down',
};

/** @type {import('./common.js').Family} */
export const bloom = {
    name: 'bloom',
    types: ['bloom'],
    prefixes: ['transformer.'],
    names: BLOOM_NAMES,
    headByHead: true,
    describe(f) {
        const width = ['hidden_size', 'n_embed'];
        const spelling = {
            width, count: ['n_layer', 'num_hidden_layers'], heads: ['n_head', 'num_attention_heads'],
            context: ['seq_length', 'max_position_embeddings'],
        };
        const sizes = readSizes(f, { inner: 4 * f.count(width), context: 2048 }, spelling);
        const norm = layerNorm(f.positive(['layer_norm_epsilon', 'layer_norm_eps'], 1e-5));
        // How it was trained, and how exactly parts of matrices are added up.
        f.ignore('bias_dropout_fusion', 'masked_softmax_fusion', 'offset_alibi', 'skip_bias_add', 'skip_bias_add_qkv', 'slow_but_exact',
            'unk_token_id');
        const layer = block(
            attention(sizes, { before: norm, bias: biases(true), alibi: { most: 8 } }),
            { before: norm, width: sizes.inner, activation: 'gelu_tanh', gated: false, bias: true },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', true), embeddingNorm: norm });
    },
};
