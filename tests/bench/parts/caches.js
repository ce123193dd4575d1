// A token of the layer on a long cache, which is kept in floats, halves or bytes.

import { compareWays } from '../lib/kept.js';

/** What a half or 127 levels take off, five times. */
const WAYS = {
    float32: { options: {} },
    float16: { options: { dtype: 'float16' }, tolerance: 5 * 2 ** -11, bar: 1.6 },
    int8: { options: { dtype: 'int8' }, tolerance: 5 / 254, bar: 2.5 },
};

/** @param {import('../lib/line-up.js').Context} context */
export const run = (context) => compareWays(context, 4096, WAYS, (dtype) => `a cache of ${dtype} beside one of float32`);
