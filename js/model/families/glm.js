// GLM-4 and GLM-Edge (GLM Team 2024): fused gate and up, a half of each head rotated, elements next to each other.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, hasBias, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const glm = {
    name: 'glm',
    types: ['glm', 'chatglm'],
    prefixes: ['model.'],
    names: { ...LLAMA_NAMES, 'layers.#.mlp.gate_up_proj': 'blk.#.ffn_gate_up' },
    describe(f, file) {
        const sizes = readSizes(f, { kvHeads: 2, keyDim: 128 });
        const norm = rms(f.positive('rms_norm_eps', 1.5625e-7));
        const { scaling, partial } = readRope(f, sizes.context, { partly: true });
        const biased = hasBias(f, file, 'attention_bias', file.format !== 'gguf', 'blk.0.attn_q.bias');
        const layer = block(
            attention(sizes, {
                before: norm, bias: { q: biased, k: biased, v: biased, o: false },
                rope: rope(scaling, sizes.keyDim, partial ?? 0.5, true, true),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
