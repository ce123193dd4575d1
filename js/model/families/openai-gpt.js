// GPT (Radford et al. 2018): a GPT-2 with norms behind the residual additions.

import { attention, biases, layerNorm, model, normedBehind } from './common.js';
import { gpt2, readGpt2Sizes } from './gpt2.js';

/** @type {import('./common.js').Family} */
export const openaiGpt = {
    name: 'openai-gpt',
    types: ['openai-gpt'],
    prefixes: ['transformer.'],
    names: { ...gpt2.names, tokens_embed: 'token_embd', positions_embed: 'position_embd' },
    transposed: gpt2.transposed,
    describe(f) {
        const sizes = readGpt2Sizes(f);
        const norm = layerNorm(f.positive('layer_norm_epsilon', 1e-5));
        /** @type {Record<string, import('../description.js').Activation>} */
        const activations = { gelu: 'gelu_tanh', relu: 'relu', silu: 'silu', swish: 'silu' };
        const activation = f.word('afn', activations, 'gelu');
        f.ignore('n_special', 'predict_special_tokens');
        const feed = { width: 4 * sizes.width, activation, gated: false, bias: true };
        const [layers, final] = normedBehind(sizes.count, norm, attention(sizes, { bias: biases(true) }), feed);
        return model(sizes, layers, final, { tied: f.flag('tie_word_embeddings', true), positions: sizes.context });
    },
};
