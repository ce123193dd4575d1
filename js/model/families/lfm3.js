// LFM3 (Liquid AI 2026): LFM2 with norms behind the sublayers, windows in some layers, and gated heads.

import { readRope } from '../rope.js';
import { attention, biases, block, feedForward, model, readSizes, rms, rope } from './common.js';
import { convolution, lfm2 } from './lfm2.js';

/** @typedef {import('../fields.js').Fields} Fields */
/** @typedef {import('../rope.js').Scaling} Scaling */

/** @type {import('./common.js').Family} */
export const lfm3 = {
    ...lfm2,
    name: 'lfm3',
    types: ['lfm3'],
    names: {
        ...lfm2.names,
        'layers.#.self_attn.o_proj': 'blk.#.attn_output',
        'layers.#.self_attn.q_norm': 'blk.#.attn_q_norm',
        'layers.#.self_attn.k_norm': 'blk.#.attn_k_norm',
        'layers.#.self_attn.gate_proj': 'blk.#.attn_gate',
        'layers.#.post_operator_norm': 'blk.#.post_attention_norm',
        'layers.#.post_ffn_norm': 'blk.#.post_ffw_norm',
    },
    describe(f, file) {
        // How such files are made is not known yet.
        if (file.format === 'gguf') f.unsupported('general.architecture', 'lfm3');
        const sizes = readSizes(f, { kvHeads: 4, keyDim: 128 });
        const norm = rms(f.positive(['norm_eps', 'rms_norm_eps'], 1e-5));
        const norms = { before: norm, ...f.flag('use_sandwich_norm', true) && { after: norm } };
        const feed = feedForward(f, sizes, norms);
        const [gated, bias] = [f.flag('use_attention_gate', true), f.flag('attention_bias', false)];
        const window = f.countOrNone('sliding_window', 256);
        const attentive = (/** @type {number | null} */ within, /** @type {Scaling} */ scaling) => block(attention(sizes, {
            ...norms, bias: biases(bias), window: within, headNorm: { norm, over: 'head', own: false }, gated,
            rope: rope(scaling, sizes.keyDim, null),
        }), feed);
        const blocks = {
            conv: block(undefined, feed, { convolution: { ...convolution(f, sizes.width, 7), ...norms } }),
            full_attention: attentive(null, turning(f, sizes.context, 'full_attention')),
            sliding_attention: attentive(window, turning(f, sizes.context, 'sliding_attention')),
        };
        const usual = (/** @type {number} */ i) => (i % 4 === 2 ? 'full_attention' : i % 4 === 0 && i > 0 ? 'sliding_attention' : 'conv');
        const types = f.list('layer_types', sizes.count) ?? Array.from({ length: sizes.count }, (_, i) => usual(i));
        const layers = types.map((type) =>
            (Object.hasOwn(blocks, type) ? blocks[/** @type {keyof blocks} */ (type)] : f.unsupported('layer_types', type)));
        if (!layers.some((layer) => layer.attention)) f.unsupported('layer_types', types);
        if (window === null && types.includes('sliding_attention')) f.refuse('sliding_window', 'a width, as layers have a window', null);
        return model(sizes, layers, norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};

/** @param {Fields} f @param {number} context @param {'full_attention' | 'sliding_attention'} part @returns {Scaling} */
function turning(f, context, part) {
    const isFull = part === 'full_attention';
    const { scaling: read, partial } = readRope(f, context, { base: isFull ? 1e6 : 1e4, part, partly: true });
    const unsaid = isFull && f.any('rope_parameters') === undefined;
    /** @type {Scaling} transformers looks for YaRN's `truncate` outside of the kinds of layers, where it never is. */
    const scaling = { ...read, truncate: true, ...unsaid && { type: 'proportional', share: 0.5 } };
    return scaling.type === 'proportional' || partial === null || partial === 1 ? scaling : f.unsupported('partial_rotary_factor', partial);
}
