// LFM2 (Liquid AI 2025): gated short convolutions in most layers, attention with normed heads in the others.

import { readRope } from '../rope.js';
import { attention, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @typedef {import('../fields.js').Fields} Fields */

/** @type {import('./common.js').Family} */
export const lfm2 = {
    name: 'lfm2',
    types: ['lfm2'],
    prefixes: ['model.'],
    names: {
        embed_tokens: 'token_embd', embedding_norm: 'output_norm', lm_head: 'output',
        'layers.#.operator_norm': 'blk.#.attn_norm',
        'layers.#.conv.in_proj': 'blk.#.shortconv.in_proj',
        'layers.#.conv.conv': 'blk.#.shortconv.conv',
        'layers.#.conv.out_proj': 'blk.#.shortconv.out_proj',
        'layers.#.self_attn.q_proj': 'blk.#.attn_q',
        'layers.#.self_attn.k_proj': 'blk.#.attn_k',
        'layers.#.self_attn.v_proj': 'blk.#.attn_v',
        'layers.#.self_attn.out_proj': 'blk.#.attn_output',
        'layers.#.self_attn.q_layernorm': 'blk.#.attn_q_norm',
        'layers.#.self_attn.k_layernorm': 'blk.#.attn_k_norm',
        'layers.#.ffn_norm': 'blk.#.ffn_norm',
        'layers.#.feed_forward.w1': 'blk.#.ffn_gate',
        'layers.#.feed_forward.w3': 'blk.#.ffn_up',
        'layers.#.feed_forward.w2': 'blk.#.ffn_down',
    },
    gguf: { 'token_embd_norm.weight': 'output_norm.weight' },
    describe(f, file) {
        // Of two spellings in one file the first counts.
        const sizes = readSizes(f, { kvHeads: 8 }, { inner: f.any('block_ff_dim') === undefined ? 'intermediate_size' : 'block_ff_dim' });
        f.ignore('intermediate_size', 'num_heads');
        const { width } = sizes;
        const norm = rms(f.positive(['norm_eps', 'rms_norm_eps'], 1e-5));
        const { scaling } = readRope(f, sizes.context, { base: f.positive('theta', 1e6) });
        for (const name of ['block_dim', 'conv_dim', 'conv_dim_out']) {
            const size = f.count(name, width);
            if (size !== width) f.unsupported(name, size);
        }
        const feed = feedForward(f, { ...sizes, inner: file.format === 'gguf' ? sizes.inner : adjusted(f, sizes.inner) }, { before: norm });
        const attentive = block(attention(sizes, {
            before: norm, headNorm: { norm, over: 'head', own: false }, rope: rope(scaling, sizes.keyDim, null),
        }), feed);
        const convolving = block(undefined, feed, { convolution: { ...convolution(f, width, 3), before: norm } });
        const layers = kinds(f, sizes.count).map((attends) => (attends ? attentive : convolving));
        return model(sizes, layers, norm, { tied: f.flag('tie_word_embeddings', f.flag('tie_embedding', true)) });
    },
};

/** The width that a config means. @param {Fields} f @param {number} inner */
function adjusted(f, inner) {
    const [multiplier, multiple] = [f.positiveOrNone('block_ffn_dim_multiplier', 1), f.count('block_multiple_of', 256)];
    if (!f.flag('block_auto_adjust_ff_dim', true)) return inner;
    const part = Math.floor(2 * inner / 3);
    return multiplier === null ? part : Math.ceil(Math.floor(multiplier * part) / multiple) * multiple;
}

/** Which layers have attention. @param {Fields} f @param {number} count @returns {boolean[]} */
function kinds(f, count) {
    const types = f.list('layer_types', count);
    const places = f.any('full_attn_idxs') ?? null;
    if (places !== null && !Array.isArray(places)) f.refuse('full_attn_idxs', 'a list', places);
    const found = Array.from({ length: count }, (_, i) => (types === null ? places?.includes(i) ?? true
        : types[i] === 'full_attention' || (types[i] !== 'conv' && f.unsupported('layer_types', types[i]))));
    return found.includes(true) ? found : f.unsupported('layer_types', types ?? places);
}

/**
 * A convolution, without norms; in its cache the channels lie in heads of 64 or fewer.
 * @param {Fields} f @param {number} width @param {number} usual taps where the config does not say how many
 * @returns {import('../description.js').Convolution}
 */
export function convolution(f, width, usual) {
    if (width % 2 !== 0) f.unsupported('hidden_size', width);
    let dim = Math.min(64, width / 2);
    while (width / 2 % dim !== 0) dim--;
    return {
        taps: f.count('conv_L_cache', usual), bias: f.flag('conv_bias', false), kvHeads: width / 2 / dim, keyDim: dim, valueDim: dim,
    };
}
