// GPT-2 (Radford et al. 2019): learned positions, layer norms, biases, matrices stored as [inputs, outputs].

import { ACTIVATIONS } from '../description.js';
import { checkFormat } from '../../check.js';
import { attention, biases, block, layerCount, layerNorm, model } from './common.js';

/** @type {import('./common.js').Family} */
export const gpt2 = {
    name: 'gpt2',
    types: ['gpt2'],
    prefixes: ['transformer.'],
    names: {
        wte: 'token_embd', wpe: 'position_embd', ln_f: 'output_norm', lm_head: 'output',
        'h.#.ln_1': 'blk.#.attn_norm',
        'h.#.attn.c_attn': 'blk.#.attn_qkv',
        'h.#.attn.c_proj': 'blk.#.attn_output',
        'h.#.ln_2': 'blk.#.ffn_norm',
        'h.#.mlp.c_fc': 'blk.#.ffn_up',
        'h.#.mlp.c_proj': 'blk.#.ffn_down',
    },
    addStart: true,     // as Keras Hub's preprocessor does
    transposed: /\.(attn_qkv|attn_output|ffn_up|ffn_down)\.weight$/,
    describe: (f) => describeGpt2(f, 'gelu_new', (heads) => {
        const kvHeads = f.count('num_key_value_heads', heads);
        checkFormat(kvHeads === heads, 'config-invalid', `${f.where}: a GPT-2 has as many key heads as query heads, got ${kvHeads}`);
        return kvHeads;
    }),
};

/**
 * @param {import('./common.js').Fields} f
 * @param {string} usual activation where nothing says it
 * @param {(heads: number) => number} kvHeadsOf number of key heads, by that of query heads
 * @returns {ReturnType<typeof model>}
 */
export function describeGpt2(f, usual, kvHeadsOf) {
    const sizes = readGpt2Sizes(f, kvHeadsOf);
    const { count, keyDim, context } = sizes;
    const norm = layerNorm(f.positive(['layer_norm_epsilon', 'layer_norm_eps'], 1e-5));
    const scaled = f.flag('scale_attn_weights', true) ? 1 / Math.sqrt(keyDim) : 1;
    const byLayer = f.flag('scale_attn_by_inverse_layer_idx', false);
    const activation = f.word(['activation_function', 'hidden_act'], ACTIVATIONS, usual);
    const layers = Array.from({ length: count }, (_, i) => block(
        attention(sizes, {
            before: norm, bias: biases(true), scale: byLayer ? scaled / (i + 1) : scaled,
        }),
        { before: norm, width: sizes.inner, activation, gated: false, bias: true },
    ));
    return model(sizes, layers, norm, { tied: f.flag('tie_word_embeddings', true), positions: context });
}

/**
 * @param {import('./common.js').Fields} f in GPT-2's spelling
 * @param {(heads: number) => number} [kvHeadsOf] default: as many
 * @returns {import('./common.js').Sizes}
 */
export function readGpt2Sizes(f, kvHeadsOf = (heads) => heads) {
    const width = f.count(['n_embd', 'hidden_size']);
    const heads = f.count(['n_head', 'num_attention_heads']);
    checkFormat(width % heads === 0, 'config-invalid', `${f.where}: n_embd must be a multiple of n_head ${heads}, got ${width}`);
    const context = f.count(['n_positions', 'n_ctx', 'max_position_embeddings']);
    const count = layerCount(f, ['n_layer', 'num_hidden_layers']);
    const kvHeads = kvHeadsOf(heads);
    const keyDim = width / heads;
    f.ignore('head_dim', 'v_head_dim');
    return {
        width, count, heads, kvHeads, keyDim, valueDim: keyDim, context, vocabulary: f.count('vocab_size'),
        inner: f.countOrNone(['n_inner', 'intermediate_size']) ?? 4 * width,
    };
}
