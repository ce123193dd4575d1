// Falcon (Almazrouei et al. 2023): rotary positions or linear biases, sublayers in parallel or in turn, one key head, some, or all.

import { readRope } from '../rope.js';
import { ACTIVATIONS } from '../description.js';
import { BLOOM_NAMES } from './bloom.js';
import { attention, biases, block, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const falcon = {
    name: 'falcon',
    types: ['falcon'],
    prefixes: ['transformer.'],
    names: { ...BLOOM_NAMES, 'h.#.ln_attn': 'blk.#.attn_norm', 'h.#.ln_mlp': 'blk.#.ffn_norm' },
    headByHead: true,
    describe(f) {
        const width = ['hidden_size', 'n_embed'];
        const heads = f.count('num_attention_heads');
        // The later architecture has precedence over what two flags say.
        const later = f.flag('new_decoder_architecture', false);
        const shared = f.flag('multi_query', true);
        const inTurn = !f.flag('parallel_attn', true) && !later;
        const kvHeads = later ? f.count('num_kv_heads', heads) : shared ? 1 : heads;
        const norms = later ? f.count('num_ln_in_parallel_attn', 2) : 1;
        f.ignore('num_kv_heads', 'num_ln_in_parallel_attn');
        const spelling = { width, inner: ['ffn_hidden_size', 'intermediate_size'] };
        const sizes = readSizes(f, { kvHeads, inner: 4 * f.count(width), context: 2048 }, spelling);
        const norm = layerNorm(f.positive(['layer_norm_epsilon', 'layer_norm_eps'], 1e-5));
        const bias = f.flag('bias', false);
        const layer = block(
            attention(sizes, { before: norm, bias: biases(bias), ...positions(f, sizes) }),
            { before: norm, width: sizes.inner, activation: f.word('activation', ACTIVATIONS, 'gelu'), gated: false, bias },
            { parallel: !inTurn, sharedNorm: !inTurn && norms !== 2 },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};

/** @param {import('./common.js').Fields} f @param {import('./common.js').Sizes} sizes @returns {Partial<import('./common.js').Attention>} */
function positions(f, { keyDim, context }) {
    if (!f.flag('alibi', false)) {
        const { scaling, partial } = readRope(f, context);
        return { rope: rope(scaling, keyDim, partial) };
    }
    f.ignore('rope_parameters', 'rope_scaling', 'rope_theta');
    // The biases are scaled with the products.
    return { alibi: { most: 8, scale: 1 / Math.sqrt(keyDim), half: true } };
}
