// GPT-Neo (Black et al. 2021) and TinyStories (Eldan & Li 2023): a GPT-2 whose scores are not scaled, with windows in some layers.

import { activationOf, attention, block, feedForward, layerNorm, model, readSizes } from './common.js';

/** @type {import('./common.js').Family} */
export const gptNeo = {
    name: 'gpt_neo',
    types: ['gpt_neo'],
    prefixes: ['transformer.'],
    names: {
        wte: 'token_embd', wpe: 'position_embd', ln_f: 'output_norm', lm_head: 'output',
        'h.#.ln_1': 'blk.#.attn_norm',
        'h.#.attn.attention.q_proj': 'blk.#.attn_q',
        'h.#.attn.attention.k_proj': 'blk.#.attn_k',
        'h.#.attn.attention.v_proj': 'blk.#.attn_v',
        'h.#.attn.attention.out_proj': 'blk.#.attn_output',
        'h.#.ln_2': 'blk.#.ffn_norm',
        'h.#.mlp.c_fc': 'blk.#.ffn_up',
        'h.#.mlp.c_proj': 'blk.#.ffn_down',
    },
    describe(f) {
        const spelling = { count: ['num_layers', 'num_hidden_layers'], heads: ['num_heads', 'num_attention_heads'] };
        const sizes = readSizes(f, { inner: 4 * f.count('hidden_size') }, spelling);
        const norm = layerNorm(f.positive('layer_norm_epsilon', 1e-5));
        const feed = feedForward(f, sizes, { before: norm, activation: activationOf(f, 'gelu_new'), gated: false, bias: true });
        const window = f.count('window_size', 256);
        const layer = (/** @type {boolean} */ local) => block(
            attention(sizes, { before: norm, bias: { q: false, k: false, v: false, o: true }, scale: 1, window: local ? window : null }),
            feed,
        );
        const [global, local] = [layer(false), layer(true)];
        const layers = localLayers(f, sizes.count).map((is) => (is ? local : global));
        return model(sizes, layers, norm, { tied: f.flag('tie_word_embeddings', true), positions: sizes.context });
    },
};

/**
 * Which layers have the window.
 * @param {import('./common.js').Fields} f
 * @param {number} count
 * @returns {boolean[]} from lists of words, each with how many times it comes: [[['global', 'local'], 6]]
 */
function localLayers(f, count) {
    const types = f.any('attention_types') ?? [[['global', 'local'], 12]];
    const said = f.list('attention_layers', count);
    const wrong = () => f.refuse('attention_types', `[[words, times], ...] of ${count} layers, each 'global' or 'local'`, types);
    if (!Array.isArray(types) || !types.every((each) => Array.isArray(each) && Array.isArray(each[0]) && Number.isInteger(each[1]))) {
        return wrong();
    }
    /** @type {unknown[]} */
    const words = [];
    for (const [some, times] of types) {
        for (let i = 0; i < times && words.length <= count; i++) {
            words.push(...some);
        }
    }
    if (words.length !== count || !words.every((word) => word === 'global' || word === 'local')) {
        return wrong();
    }
    return said && said.some((word, i) => word !== words[i]) ? f.refuse('attention_layers', `${words}, as attention_types says`, said)
        : words.map((word) => word === 'local');
}
