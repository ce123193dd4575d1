// What the machine allows, as a contestant: it "runs" by measuring, and its results are rates, not times.

import { Meters } from '../../../web/bench/meters.js';

/**
 * @param {{ simd: 'simd128' | 'relaxed', threads: number, reserve: number }} options reserve: the largest working set,
 *   bytes
 */
export async function create(options) {
    const meters = await Meters.create(options);
    return {
        name: `ceiling, ${options.simd}`,
        /**
         * @param {'flops' | 'bytes'} what
         * @param {number} bytes
         * @param {number} budgetMs
         * @returns {Promise<number>} per second
         */
        rate: (what, bytes, budgetMs) => meters.rate(what, bytes, budgetMs),
    };
}
