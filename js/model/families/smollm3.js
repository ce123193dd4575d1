// SmolLM 3 (Hugging Face 2025): a Llama in which some layers, every fourth by default, have no rotary positions.

import { readRope } from '../rope.js';
import { LLAMA_NAMES, attention, biases, block, feedForward, model, readSizes, rms, rope, slidingLayers } from './common.js';

/** @type {import('./common.js').Family} */
export const smollm3 = {
    name: 'smollm3',
    types: ['smollm3'],
    prefixes: ['model.'],
    names: LLAMA_NAMES,
    describe(f, file) {
        const sizes = readSizes(f, { kvHeads: 4 });
        const norm = rms(f.positive('rms_norm_eps', 1e-6));
        const { scaling, partial } = readRope(f, sizes.context, { base: file.format === 'gguf' ? 1e4 : 2e6 });
        const biased = f.flag('attention_bias', false);
        const window = f.flag('use_sliding_window', false) ? f.countOrNone('sliding_window') : null;
        f.ignore('sliding_window');
        const interval = f.count('no_rope_layer_interval', 4);
        const rotated = f.list('no_rope_layers', sizes.count);     // 1 where there IS rotation
        if (rotated?.some((turns) => turns !== 0 && turns !== 1)) {
            f.refuse('no_rope_layers', 'a list of 0 and 1', rotated);
        }
        const turns = Array.from({ length: sizes.count }, (_, i) => (rotated ? rotated[i] === 1 : (i + 1) % interval !== 0));
        // A window is of the layers without rotation, where nothing else is said.
        const sliding = slidingLayers(f, sizes.count, window, (i) => window !== null && !turns[i]);
        const turn = rope(scaling, sizes.keyDim, partial, file.format === 'gguf');
        const feed = feedForward(f, sizes, { before: norm, bias: f.flag('mlp_bias', false) });
        const layers = sliding.map((slides, i) => block(
            attention(sizes, {
                before: norm, bias: biases(biased), window: slides ? window : null,
                rope: turns[i] ? turn : null,
            }),
            feed,
        ));
        return model(sizes, layers, norm, { tied: f.flag('tie_word_embeddings', true) });
    },
};
