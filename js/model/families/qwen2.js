// Qwen 2 and 2.5 (Yang et al. 2024): a Llama with biases on queries, keys and values, and windows in its later layers if asked.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, block, feedForward, model, readSizes, rms, rope, slidingLayers } from './common.js';

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
        const slides = f.flag('use_sliding_window', false);
        const window = f.any('sliding_window') ? f.countOrNone('sliding_window') : null;
        const first = f.any('max_window_layers') ?? sizes.count;
        const sliding = slidingLayers(f, sizes.count, (i) => slides && i >= first);
        const layer = (/** @type {boolean} */ windowed) => block(
            attention(sizes, {
                before: norm, bias: { q: true, k: true, v: true, o: false }, window: slides && windowed ? window : null,
                rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        const [full, windowed] = [layer(false), layer(true)];
        return model(sizes, sliding.map((slide) => (slide ? windowed : full)), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
