// StableLM 2 (Bellagente et al. 2024): layer norms, a part of each head rotated, sublayers in parallel or in turn, norms per head.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, hasBias, layerNorm, model, readSizes, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const stablelm = {
    name: 'stablelm',
    types: ['stablelm', 'stablelm_epoch'],
    prefixes: ['model.'],
    names: {
        ...LLAMA_NAMES,
        'layers.#.self_attn.q_layernorm.norms.#': 'blk.#.attn_q_norm[#]',
        'layers.#.self_attn.k_layernorm.norms.#': 'blk.#.attn_k_norm[#]',
    },
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = layerNorm(f.positive(['layer_norm_eps', 'norm_eps'], 1e-5));
        const { scaling, partial } = readRope(f, sizes.context, { partly: true });
        const biased = hasBias(f, file, 'use_qkv_bias', false, 'blk.0.attn_q.bias');
        const normed = f.flag('qk_layernorm', false) || file.has('blk.0.attn_q_norm.weight');
        const parallel = f.flag('use_parallel_residual', false) || !file.has('blk.0.ffn_norm.weight');
        const layer = block(
            attention(sizes, {
                before: norm, bias: { q: biased, k: biased, v: biased, o: false },
                headNorm: normed ? { norm: { ...norm, bias: false }, over: 'head', own: true } : null,
                rope: rope(scaling, sizes.keyDim, partial ?? 0.25),
            }),
            feedForward(f, sizes, parallel ? {} : { before: norm }),
            { parallel, sharedNorm: parallel },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
