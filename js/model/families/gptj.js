// GPT-J (Wang & Komatsuzaki 2021): attention and feed-forward network in parallel behind one norm, a part of each head rotated in pairs.

import { plainScaling } from '../rope.js';
import { checkFormat } from '../../check.js';
import { activationOf, attention, block, feedForward, layerNorm, model, rope } from './common.js';
import { readGpt2Sizes } from './gpt2.js';

/** @type {import('./common.js').Family} */
export const gptj = {
    name: 'gptj',
    types: ['gptj'],
    prefixes: ['transformer.'],
    names: {
        wte: 'token_embd', ln_f: 'output_norm', lm_head: 'output',
        'h.#.ln_1': 'blk.#.attn_norm',
        'h.#.attn.q_proj': 'blk.#.attn_q',
        'h.#.attn.k_proj': 'blk.#.attn_k',
        'h.#.attn.v_proj': 'blk.#.attn_v',
        'h.#.attn.qkv_proj': 'blk.#.attn_qkv',
        'h.#.attn.out_proj': 'blk.#.attn_output',
        'h.#.mlp.fc_in': 'blk.#.ffn_up',
        'h.#.mlp.fc_out': 'blk.#.ffn_down',
    },
    describe(f) {
        const sizes = readGpt2Sizes(f);
        const norm = layerNorm(f.positive('layer_norm_epsilon', 1e-5));
        const dims = f.countOrNone('rotary_dim', 64) ?? f.unsupported('rotary_dim', null);
        checkFormat(dims <= sizes.keyDim, 'config-invalid', `${f.where}: rotary_dim must be at most ${sizes.keyDim}, got ${dims}`);
        const layer = block(
            attention(sizes, { before: norm, rope: rope(plainScaling(1e4, sizes.context), dims, null, true) }),
            feedForward(f, sizes, { activation: activationOf(f, 'gelu_new'), gated: false, bias: true }),
            { parallel: true, sharedNorm: true },
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false), bias: true });
    },
};
