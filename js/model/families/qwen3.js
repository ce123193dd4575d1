// Qwen 3 (Yang et al. 2025): queries and keys are normed head by head before they are rotated.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, hasBias, laterWindows, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const qwen3 = {
    name: 'qwen3',
    types: ['qwen3'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-6));
        // Keras's queries and keys never get the epsilon of the config.
        const headNorm = rms(f.positive('qk_norm_eps', norm.epsilon));
        const { scaling, partial } = readRope(f, sizes.context);
        const biased = hasBias(f, file, 'attention_bias', false, 'blk.0.attn_q.bias');
        const { window: width, sliding } = laterWindows(f, sizes.count);
        const layer = (/** @type {number | null} */ window) => block(
            attention(sizes, {
                before: norm, bias: biases(biased), window,
                headNorm: { norm: headNorm, over: 'head', own: false }, rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        const [full, windowed] = [layer(null), layer(width)];
        return model(sizes, sliding.map((slide) => (slide ? windowed : full)), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
