// Phi 3 and 4 mini (Abdin et al. 2024): a Llama with fused projections, windows and LongRoPE.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const phi3 = {
    name: 'phi3',
    types: ['phi3'],
    prefixes: ['model.'],
    names: {
        ...LLAMA_NAMES,
        'layers.#.self_attn.qkv_proj': 'blk.#.attn_qkv',
        'layers.#.mlp.gate_up_proj': 'blk.#.ffn_gate_up',
    },
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-5));
        // The one family whose config has a length of training without saying so.
        const { scaling, partial } = readRope(f, sizes.context, { trained: file.format === 'safetensors' ? 4096 : undefined, partly: true });
        const layer = block(
            attention(sizes, { before: norm, window: f.countOrNone('sliding_window'), rope: rope(scaling, sizes.keyDim, partial, false, true) }),
            feedForward(f, sizes, { before: norm }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
