// Qwen 2 and 2.5 (Yang et al. 2024): a Llama with biases on queries, keys and values, and windows in its later layers if asked.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, laterWindows, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const qwen2 = {
    name: 'qwen2',
    types: ['qwen2'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-6));
        const { scaling, partial } = readRope(f, sizes.context);
        const { window: width, sliding } = laterWindows(f, sizes.count);
        const layer = (/** @type {number | null} */ window) => block(
            attention(sizes, {
                before: norm, bias: { q: true, k: true, v: true, o: false }, window,
                rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        const [full, windowed] = [layer(null), layer(width)];
        return model(sizes, sliding.map((slide) => (slide ? windowed : full)), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
