// Command R7B and Tiny Aya (Cohere 2024): both sublayers in parallel behind one norm; every fourth layer has no window and rotates nothing.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, layerNorm, model, readSizes, rope, slidingLayers } from './common.js';

/** @type {import('./common.js').Family} */
export const cohere2 = {
    name: 'cohere2',
    types: ['cohere2'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f) {
        const sizes = readSizes(f);
        const norm = { ...layerNorm(f.positive('layer_norm_eps', 1e-5)), bias: false };
        const { scaling, partial } = readRope(f, sizes.context);
        // Published files say what all of them have, and how the embedding is laid out where it was trained.
        f.word('position_embedding_type', { rope_gptj: true }, 'rope_gptj');
        f.ignore('use_embedding_sharing', 'use_parallel_embedding');
        const window = f.countOrNone('sliding_window', 4096);
        const bias = biases(f.flag('attention_bias', false));
        const turn = rope(scaling, sizes.keyDim, partial, true);
        const feed = feedForward(f, sizes, {});
        const layer = (/** @type {boolean} */ slides) => block(
            attention(sizes, { before: norm, bias, window: slides ? window : null, rope: slides ? turn : null }), feed,
            { parallel: true, sharedNorm: true },
        );
        const [full, windowed] = [layer(false), layer(true)];
        const pattern = f.count(['sliding_window_pattern', '_sliding_window_pattern', 'layer_switch'], 4);
        const layers = slidingLayers(f, sizes.count, window, (i) => (i + 1) % pattern !== 0).map((slides) => (slides ? windowed : full));
        return model(sizes, layers, norm, { tied: f.flag('tie_word_embeddings', true), scale: f.positive('logit_scale', 0.0625) });
    },
};
