// EXAONE 4 (LG AI Research 2025): norms only behind the sublayers and of each head; where some layers have a window, the others
// rotate nothing.

import { readRope } from '../rope.js';
import { SANDWICH_NAMES, attention, block, feedForward, model, readSizes, rms, rope, slidingLayers } from './common.js';

/** @type {import('./common.js').Family} */
export const exaone4 = {
    name: 'exaone4',
    types: ['exaone4'],
    prefixes: ['model.'],
    names: SANDWICH_NAMES,
    describe(f, file) {
        const sizes = readSizes(f);
        const norm = rms(f.positive('rms_norm_eps', 1e-5));
        const { scaling, partial } = readRope(f, sizes.context);
        const window = f.countOrNone('sliding_window', file.format === 'gguf' ? null : 4096);
        const turn = rope(scaling, sizes.keyDim, partial);
        const feed = feedForward(f, sizes, { after: norm });
        const layer = (/** @type {boolean} */ slides) => block(
            attention(sizes, {
                after: norm, headNorm: { norm, over: 'head', own: false }, window: slides ? window : null,
                rope: slides || window === null ? turn : null,
            }),
            feed,
        );
        const [full, windowed] = [layer(false), layer(true)];
        // Files have the list of layers, whatever they say of the pattern ('LLLG'), and older ones the pattern alone, a number.
        const slides = (/** @type {number} */ i) => window !== null && (i + 1) % f.count('sliding_window_pattern', 4) !== 0;
        const layers = slidingLayers(f, sizes.count, window, slides);
        f.ignore('sliding_window_pattern');
        return model(sizes, layers.map((is) => (is ? windowed : full)), norm, { tied: f.flag('tie_word_embeddings', false) });
    },
};
