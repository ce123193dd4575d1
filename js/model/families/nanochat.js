// nanochat (Karpathy 2025): norms without weights, of the embeddings too; positions are rotated the other way round.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, activationOf, attention, biases, block, feedForward, model, readSizes, rms, rope } from './common.js';

/** @type {import('./common.js').Family} */
export const nanochat = {
    name: 'nanochat',
    types: ['nanochat'],
    prefixes: ['model.'],
    names: { ...LLAMA_NAMES, 'layers.#.mlp.fc1': 'blk.#.ffn_up', 'layers.#.mlp.fc2': 'blk.#.ffn_down' },
    describe(f) {
        const sizes = readSizes(f);
        const norm = { ...rms(f.positive('rms_norm_eps', 1e-6)), weight: false };
        const { scaling, partial } = readRope(f, sizes.context);
        if (scaling.type !== 'default') {
            f.unsupported('rope_type', scaling.type);
        }
        const layer = block(
            attention(sizes, {
                before: norm, bias: biases(f.flag('attention_bias', false)),
                // Queries and keys are normalized after they are rotated, which without weights is the same as before: then keys can move.
                headNorm: { norm, over: 'head', own: false }, rope: rope({ ...scaling, type: 'linear', factor: -1 }, sizes.keyDim, partial),
            }),
            feedForward(f, sizes, { before: norm, activation: activationOf(f, 'relu2'), gated: false }),
        );
        return model(sizes, Array(sizes.count).fill(layer), norm, {
            tied: f.flag('tie_word_embeddings', false), embeddingNorm: norm, softcap: f.positiveOrNone('final_logit_softcapping', 15),
        });
    },
};
