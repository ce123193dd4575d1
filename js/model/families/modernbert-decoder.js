// ModernBERT's decoder, Ettin (Weller et al. 2025): norms of the embeddings and none before the first attention, windows in two layers of
// three, a dense layer before the head.

import { ACTIVATIONS } from '../description.js';
import { readRope } from '../rope.js';
import { activationOf, attention, biases, block, feedForward, layerNorm, model, readSizes, rope, slidingLayers } from './common.js';

/** @type {import('./common.js').Family} */
export const modernBertDecoder = {
    name: 'modernbert-decoder',
    types: ['modernbert-decoder'],
    prefixes: ['model.'],
    names: {
        'embeddings.tok_embeddings': 'token_embd', 'embeddings.norm': 'token_embd_norm', final_norm: 'output_norm',
        'lm_head.dense': 'output_dense', 'lm_head.norm': 'output_dense_norm', decoder: 'output',
        'layers.#.attn_norm': 'blk.#.attn_norm',
        'layers.#.attn.q_proj': 'blk.#.attn_q',
        'layers.#.attn.k_proj': 'blk.#.attn_k',
        'layers.#.attn.v_proj': 'blk.#.attn_v',
        'layers.#.attn.Wo': 'blk.#.attn_output',
        'layers.#.mlp_norm': 'blk.#.ffn_norm',
        'layers.#.mlp.Wi': 'blk.#.ffn_gate_up',
        'layers.#.mlp.Wo': 'blk.#.ffn_down',
    },
    describe(f) {
        const sizes = readSizes(f);
        const norm = { ...layerNorm(f.positive('norm_eps', 1e-5)), bias: f.flag('norm_bias', false) };
        const biased = f.flag('attention_bias', false);
        const feed = feedForward(f, sizes, { before: norm, activation: activationOf(f, 'gelu'), bias: f.flag('mlp_bias', false) });
        // What the encoder sees to both sides.
        const window = Math.floor(f.count('local_attention', 128) / 2);
        const every = f.count('global_attn_every_n_layers', 3);
        // transformers looks for YaRN's `truncate` outside of the kinds of layers, where it never is.
        const turn = (/** @type {string} */ part, /** @type {number} */ base) =>
            rope({ ...readRope(f, sizes.context, { base, part }).scaling, truncate: true }, sizes.keyDim, null);
        const near = turn('sliding_attention', f.positive('local_rope_theta', 1e4));
        const far = turn('full_attention', f.positive('global_rope_theta', 16e4));
        const layer = (/** @type {boolean} */ slides, /** @type {import('./common.js').Norm | undefined} */ before) =>
            block(attention(sizes, { before, bias: biases(biased), window: slides ? window : null, rope: slides ? near : far }), feed);
        const [full, windowed] = [layer(false, norm), layer(true, norm)];
        const layers = slidingLayers(f, sizes.count, window || null, (i) => i % every !== 0)
            .map((slides, i) => (i === 0 ? layer(slides, undefined) : slides ? windowed : full));
        f.ignore('sliding_window', 'classifier_pooling', 'cls_token_id', 'deterministic_flash_attn', 'initializer_cutoff_factor', 'layer_norm_eps',
            'position_embedding_type', 'reference_compile', 'repad_logits_with_grad', 'sparse_pred_ignore_index', 'sparse_prediction');
        const dense = { activation: f.word('classifier_activation', ACTIVATIONS, 'gelu'), bias: f.flag('classifier_bias', false), norm };
        return model(sizes, layers, norm, {
            tied: f.flag('tie_word_embeddings', true), embeddingNorm: norm, bias: f.flag('decoder_bias', true), dense,
        });
    },
};
