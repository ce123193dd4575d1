// A token of the layer as layer.quantize() leaves it, on a short cache.

import { compareWays } from '../lib/kept.js';

/** What 127 levels or 7 take off, five times. */
const WAYS = {
    float32: { options: {} },
    int8: { options: { quantize: 'int8' }, tolerance: 5 / 254, bar: 2 },
    int4: { options: { quantize: 'int4' }, tolerance: 5 / 14, bar: 2 },
};

/** @param {import('../lib/line-up.js').Context} context */
export const run = (context) => compareWays(context, 64, WAYS, (mode) => `a layer in ${mode} beside its float32 self`);
