// Gemma 2 (Gemma Team 2024): norms on both sides of each sublayer, soft-capped logits, a window in every other layer.

import { readRope } from '../rope.js';
import { SANDWICH_NAMES, attention, biases, block, model, readSizes, rms, rope, slidingLayers } from './common.js';
import { gemmaFeedForward } from './gemma.js';

/** Widths of the Gemma 2 and 3 whose attention is not scaled by its heads' size. */
const WIDTHS_27B = [4608, 5376];

/** @type {import('./common.js').Family} */
export const gemma2 = {
    name: 'gemma2',
    types: ['gemma2'],
    prefixes: ['model.'],
    names: SANDWICH_NAMES,
    describe: (f, file) => describeGemma2(f, file, normsBehind),
};

/**
 * @param {import('./common.js').Fields} f @param {import('./common.js').ModelFile} file
 * @param {typeof normsBehind} behind which sublayers have a norm behind them
 * @returns {ReturnType<typeof model>}
 */
export function describeGemma2(f, file, behind) {
    const sizes = readSizes(f, { kvHeads: 4, keyDim: 256 });
    const norm = rms(f.positive('rms_norm_eps', 1e-6), file.format === 'gguf' ? 0 : 1);
    const { scaling, partial } = readRope(f, sizes.context);
    const biased = f.flag('attention_bias', false);
    const window = f.countOrNone('sliding_window', 4096);
    const softcap = f.positiveOrNone('attn_logit_softcapping', 50);
    const [afterAttention, afterFeedForward] = behind(f, norm);
    const layer = (/** @type {boolean} */ windowed) => block(
        attention(sizes, {
            before: norm, ...afterAttention, bias: biases(biased), scale: scaleOf(f, file, sizes), softcap,
            window: windowed ? window : null, rope: rope(scaling, sizes.keyDim, partial),
        }),
        gemmaFeedForward(f, sizes, { before: norm, ...afterFeedForward }),
    );
    const [full, windowed] = [layer(false), layer(true)];
    const layers = slidingLayers(f, sizes.count, window, (i) => i % 2 === 0).map((slides) => (slides ? windowed : full));
    // Keras's blocks never get the epsilon of the config, so a preset has two.
    const final = { ...norm, epsilon: f.positive('final_norm_eps', norm.epsilon) };
    return model(sizes, layers, final, {
        tied: f.flag('tie_word_embeddings', true), embeddingScale: Math.fround(Math.sqrt(sizes.width)),
        softcap: f.positiveOrNone('final_logit_softcapping', 30),
    });
}

/**
 * @param {import('./common.js').Fields} f @param {import('./common.js').ModelFile} file @param {import('./common.js').Sizes} sizes
 * @returns {number} of scores; GGUF does not keep it
 */
export function scaleOf(f, file, { width, heads, keyDim }) {
    const lost = WIDTHS_27B.includes(width) ? width / heads : keyDim;
    return 1 / Math.sqrt(f.positive('query_pre_attn_scalar', file.format === 'gguf' ? lost : 256));
}

/**
 * Blocks of Keras may lack either.
 * @param {import('./common.js').Fields} f
 * @param {import('./common.js').Norm} norm
 * @returns {{ after?: import('./common.js').Norm }[]} of the attention and of the feed-forward network
 */
export function normsBehind(f, norm) {
    return ['post_attention_norm', 'post_feedforward_norm'].map((field) => (f.flag(field, true) ? { after: norm } : {}));
}
