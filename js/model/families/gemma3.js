// Gemma 3, its text decoder (Gemma Team 2025): five layers with a window to one without, each kind with its own rotation; norms
// of queries and keys.

import { readRope } from '../rope.js';
import { SANDWICH_NAMES, attention, biases, block, model, readSizes, rms, rope, slidingLayers } from './common.js';
import { gemmaFeedForward } from './gemma.js';
import { normsBehind, scaleOf } from './gemma2.js';

/** @type {import('./common.js').Family} */
export const gemma3 = {
    name: 'gemma3',
    types: ['gemma3_text', 'gemma3'],
    prefixes: ['language_model.model.', 'model.language_model.', 'model.'],
    names: SANDWICH_NAMES,
    describe(f, file) {
        const sizes = readSizes(f, { kvHeads: 4, keyDim: 256 });
        const norm = rms(f.positive('rms_norm_eps', 1e-6), file.format === 'gguf' ? 0 : 1);
        const biased = f.flag('attention_bias', false);
        const pattern = f.count(['sliding_window_pattern', '_sliding_window_pattern'], 6);
        // GGUF has none where it says none.
        const isGguf = file.format === 'gguf';
        const window = f.countOrNone('sliding_window', isGguf ? null : 4096);
        // Keras's blocks cap their scores. transformers and llama.cpp do not, whatever a config of theirs says.
        const softcap = f.positiveOrNone('attention_logit_soft_cap');
        f.ignore('attn_logit_softcapping');
        const local = { base: 10000, part: 'sliding_attention', scaled: false };
        const far = readRope(f, sizes.context, { base: isGguf ? 1e4 : 1e6, part: 'full_attention' });
        const near = readRope(f, sizes.context, local);
        // The older spelling has one base for each kind, and its scaling is meant for the full layers.
        const base = f.positiveOrNone('rope_local_base_freq');
        const nearScaling = f.any('rope_parameters') === undefined
            ? { ...near.scaling, base: base ?? 10000 } : near.scaling;
        const [afterAttention, afterFeedForward] = normsBehind(f, norm);
        const headNorm = f.flag('query_key_norm', true) ? { norm, over: /** @type {const} */ ('head'), own: false } : null;
        const layer = (/** @type {boolean} */ windowed) => block(
            attention(sizes, {
                before: norm, ...afterAttention, bias: biases(biased), scale: scaleOf(f, file, sizes), softcap,
                window: windowed ? window : null, headNorm,
                // transformers looks for YaRN's `truncate` outside of the kinds of layers, where it never is.
                rope: rope({ ...windowed ? nearScaling : far.scaling, truncate: true }, sizes.keyDim, null),
            }),
            gemmaFeedForward(f, sizes, { before: norm, ...afterFeedForward }),
        );
        const [full, windowed] = [layer(false), layer(true)];
        const slides = (/** @type {number} */ i) => (i + 1) % pattern !== 0 && !(isGguf && window === null);
        const layers = slidingLayers(f, sizes.count, window, slides).map((sliding) => (sliding ? windowed : full));
        // Keras's blocks never get the epsilon of the config, so a preset has two.
        const final = { ...norm, epsilon: f.positive('final_norm_eps', norm.epsilon) };
        return model(sizes, layers, final, {
            tied: f.flag('tie_word_embeddings', true), embeddingScale: Math.fround(Math.sqrt(sizes.width)),
            softcap: f.positiveOrNone('final_logit_softcapping'),
        });
    },
};
