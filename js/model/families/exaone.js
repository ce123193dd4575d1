// EXAONE 3 (LG AI Research 2024): a Llama in GPT-Neo's words.

import { readRope } from '../rope.js';
import { attention, biases, block, feedForward, model, readSizes, rms, rope } from './common.js';
import { gptNeo } from './gpt-neo.js';

/** @type {import('./common.js').Family} */
export const exaone = {
    name: 'exaone',
    types: ['exaone'],
    prefixes: ['transformer.'],
    names: { ...gptNeo.names, 'h.#.mlp.c_fc_0': 'blk.#.ffn_gate', 'h.#.mlp.c_fc_1': 'blk.#.ffn_up' },
    describe(f) {
        const sizes = readSizes(f, { kvHeads: 8 }, { count: ['num_hidden_layers', 'num_layers'] });
        const norm = rms(f.positive(['rms_norm_eps', 'layer_norm_epsilon'], 1e-5));
        f.ignore('layer_norm_eps');     // which llama.cpp's converter writes too
        const { scaling, partial } = readRope(f, sizes.context, { base: 5e5 });
        const layer = block(
            attention(sizes, { before: norm, bias: biases(f.flag('attention_bias', false)), rope: rope(scaling, sizes.keyDim, partial) }),
            feedForward(f, sizes, { before: norm, bias: f.flag('mlp_bias', false) }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
