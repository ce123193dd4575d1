// Hunyuan's dense models (Tencent 2025): a Llama whose queries and keys are normalized after they are rotated.

import { checkFormat } from '../../check.js';
import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, hasBias, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const hunyuan = {
    name: 'hunyuan_v1_dense',
    types: ['hunyuan_v1_dense', 'hunyuan-dense'],
    prefixes: ['model.'],
    names: {
        ...LLAMA_NAMES,
        'layers.#.self_attn.query_layernorm': 'blk.#.attn_q_norm',
        'layers.#.self_attn.key_layernorm': 'blk.#.attn_k_norm',
    },
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-5));
        const { scaling, partial } = stretched(f, sizes);
        const biased = hasBias(f, file, 'attention_bias', false, 'blk.0.attn_q.bias');
        // Published files carry along what other models of Tencent have.
        f.word('norm_type', { rms: true }, 'rms');
        if (!f.flag('use_qk_norm', true)) {
            f.unsupported('use_qk_norm', false);
        }
        f.ignore('attention_head_dim', 'cla_share_factor', 'class_num', 'dense_list', 'eod_token_id', 'im_end_id', 'im_newline_id',
            'im_start_id', 'mask_init_id', 'num_media_embeds', 'org_vocab_size', 'pad_id', 'pool_type', 'text_end_id', 'text_start_id');
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(biased),
                headNorm: { norm, over: 'head', own: false, turned: true }, rope: rope(scaling, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};

/**
 * Rotary positions. "dynamic" with an alpha does not depend on the length: the base is multiplied once.
 * @param {import('./common.js').Fields} f
 * @param {import('./common.js').Sizes} sizes
 */
function stretched(f, { context, keyDim }) {
    const inner = ['rope_scaling', 'rope_parameters'].map((name) => f.object(name)).find((each) => each && !each.isEmpty);
    const alpha = inner?.positiveOrNone('alpha') ?? null;
    const { scaling, partial } = readRope(f, context);
    if (alpha === null || scaling.type !== 'dynamic') {
        return { scaling, partial };
    }
    checkFormat(keyDim > 2, 'config-invalid', `${f.where}: head_dim must be above 2 where rotary positions have an alpha, got ${keyDim}`);
    inner?.ignore('beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim');
    const base = scaling.base * alpha ** (keyDim / (keyDim - 2));
    return { scaling: { ...scaling, type: /** @type {const} */ ('default'), base }, partial };
}
