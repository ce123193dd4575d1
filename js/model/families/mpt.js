// MPT (MosaicML 2023): linear biases instead of positions, layer norms without biases, an ungated network.

import { attention, block, model, readSizes } from './common.js';

/** @type {import('./common.js').Family} */
export const mpt = {
    name: 'mpt',
    types: ['mpt'],
    prefixes: ['transformer.'],
    names: {
        wte: 'token_embd', norm_f: 'output_norm', lm_head: 'output',
        'blocks.#.norm_1': 'blk.#.attn_norm',
        'blocks.#.attn.Wqkv': 'blk.#.attn_qkv',
        'blocks.#.attn.out_proj': 'blk.#.attn_output',
        'blocks.#.norm_2': 'blk.#.ffn_norm',
        'blocks.#.ffn.up_proj': 'blk.#.ffn_up',
        'blocks.#.ffn.down_proj': 'blk.#.ffn_down',
    },
    describe(f, { format }) {
        const width = ['d_model', 'hidden_size'];
        const spelling = {
            width, count: ['n_layers', 'num_hidden_layers'], heads: ['n_heads', 'num_attention_heads'],
            context: ['max_seq_len', 'max_position_embeddings'],
        };
        const sizes = readSizes(f, { inner: f.count('expansion_ratio', 4) * f.count(width), context: 2048 }, spelling);
        /** @type {import('./common.js').Norm} */
        const norm = { kind: 'layer', epsilon: f.positive(['layer_norm_epsilon', 'layer_norm_eps'], 1e-5) };
        f.word('norm_type', { low_precision_layernorm: true, layernorm: true }, 'layernorm');
        // How it was trained. Positions are learned by models without linear biases alone.
        f.ignore('embedding_fraction', 'init_config', 'init_device', 'learned_pos_emb', 'tokenizer_name', 'verbose');
        // GGUF has these beside the others.
        const a = f.object('attn_config') ?? f;
        if (!a.flag('alibi', true)) {
            a.unsupported('alibi', false);
        }
        // The object says the last of them too, of nothing.
        a.ignore('attn_impl', 'attn_uses_sequence_id', 'tie_word_embeddings');
        const scale = a.positiveOrNone('softmax_scale') ?? 1 / Math.sqrt(sizes.keyDim);
        // A GGUF file that does not say it has no biases.
        const most = a.positive('alibi_bias_max', format === 'gguf' ? undefined : 8);
        const layer = block(
            attention(sizes, { before: norm, scale, alibi: { most } }),
            { before: norm, width: sizes.inner, activation: 'gelu_erf', gated: false, bias: false },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};
