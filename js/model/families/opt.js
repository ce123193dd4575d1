// OPT (Zhang et al. 2022): learned positions, layer norms, biases, ReLU. The table of positions has two rows in front of the first's.

import { activationOf, attention, biases, block, feedForward, layerNorm, model, normedBehind, readSizes } from './common.js';

/** What came of Fairseq. @type {Record<string, string>} */
export const OPT_NAMES = {
    embed_tokens: 'token_embd', embed_positions: 'position_embd', final_layer_norm: 'output_norm', lm_head: 'output',
    'layers.#.self_attn_layer_norm': 'blk.#.attn_norm',
    'layers.#.self_attn.q_proj': 'blk.#.attn_q',
    'layers.#.self_attn.k_proj': 'blk.#.attn_k',
    'layers.#.self_attn.v_proj': 'blk.#.attn_v',
    'layers.#.self_attn.out_proj': 'blk.#.attn_output',
    'layers.#.final_layer_norm': 'blk.#.ffn_norm',
    'layers.#.fc1': 'blk.#.ffn_up',
    'layers.#.fc2': 'blk.#.ffn_down',
};

/** @type {import('./common.js').Family} */
export const opt = {
    name: 'opt',
    types: ['opt'],
    prefixes: ['model.decoder.', 'decoder.'],
    names: { ...OPT_NAMES, project_in: 'token_embd_in', project_out: 'output_dense' },
    describe(f) {
        const sizes = readSizes(f, {}, { inner: 'ffn_dim' });
        // OPT-350m alone has narrower embeddings, and its norms behind the residual additions.
        return describeOpt(f, sizes, {
            activation: activationOf(f, 'relu'), embedded: f.count('word_embed_proj_dim', sizes.width),
            normsFirst: f.flag('do_layer_norm_before', true), weighted: f.flag('layer_norm_elementwise_affine', true), biased: f.flag('enable_bias', true),
        });
    },
};

/**
 * @param {import('./common.js').Fields} f
 * @param {import('./common.js').Sizes} sizes
 * @param {object} others
 * @param {import('../description.js').Activation} others.activation
 * @param {number} [others.embedded] width of the embeddings
 * @param {boolean} [others.normsFirst] whether norms are before sublayers
 * @param {boolean} [others.weighted] whether norms have weights
 * @param {boolean} [others.biased] whether matrices have biases
 * @param {boolean} [others.scaled] whether embeddings may be scaled
 * @param {boolean} [others.sinusoidal]
 * @returns {ReturnType<typeof model>}
 */
export function describeOpt(f, sizes, others) {
    const { activation, embedded = sizes.width, normsFirst = true, weighted = true, biased = true, scaled = false, sinusoidal } = others;
    const norm = layerNorm(1e-5, weighted);
    const before = normsFirst ? norm : undefined;
    const attention_ = attention(sizes, { before, bias: biases(biased) });
    const feed = feedForward(f, sizes, { before, activation, gated: false, bias: biased });
    const [layers, final] = normsFirst ? [Array(sizes.count).fill(block(attention_, feed)), norm]
        : normedBehind(sizes.count, norm, attention_, feed);
    return model(sizes, layers, final, {
        embedded, dense: embedded === sizes.width ? undefined : { activation: 'linear', bias: false },
        tied: f.flag('tie_word_embeddings', true), positions: sizes.context, skipped: 2, sinusoidal,
        embeddingScale: scaled && f.flag('scale_embedding', true) ? Math.sqrt(sizes.width) : 1,
    });
}
