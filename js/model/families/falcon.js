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
        const heads = f.count('num_attention_heads');
        // The later architecture has precedence over what two flags say.
        const later = f.flag('new_decoder_architecture', false);
        const shared = f.flag('multi_query', true);
        const inTurn = !f.flag('parallel_attn', true) && !later;
        const groups = f.count('num_kv_heads', heads);
        const twoNorms = f.count('num_ln_in_parallel_attn', 2) === 2 && later;
        const sizes = readSizes(f, { kvHeads: later ? groups : shared ? 1 : heads, inner: 4 * f.count('hidden_size'), context: 2048 },
            { inner: ['ffn_hidden_size', 'intermediate_size'] });
        const norm = layerNorm(f.positive(['layer_norm_epsilon', 'layer_norm_eps'], 1e-5));
        const bias = f.flag('bias', false);
        const { scaling, partial } = readRope(f, sizes.context);
        // Linear biases are scaled with the products here. transformers rounds them to bfloat16 as well, counted from the text's start: of
        // more than eight heads, or beyond 256 positions, distances are then told apart less and less. Here they are exact.
        const positions = f.flag('alibi', false) ? { alibi: { most: 8, scale: 1 / Math.sqrt(sizes.keyDim), half: true } }
            : { rope: rope(scaling, sizes.keyDim, partial) };
        const layer = block(
            attention(sizes, { before: norm, bias: biases(bias), ...positions }),
            { before: norm, width: sizes.inner, activation: f.word('activation', ACTIVATIONS, 'gelu'), gated: false, bias },
            { parallel: !inTurn, sharedNorm: !inTurn && !twoNorms },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};
