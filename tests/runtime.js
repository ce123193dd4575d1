// The runtime that a test file runs on: `npm test` runs each file that imports this with every binary and worker count.

import { after } from 'node:test';
import { createRuntime } from '../js/engine/create-runtime.js';

/** @typedef {import('../js/engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../js/engine/options.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('../js/engine/options.js').TestSwitches} TestSwitches */

/** Which binary and how many workers the environment asks for; the best there is and none where it is silent. */
export const SIMD = /** @type {'auto' | 'relaxed' | 'simd128'} */ (process.env.CMHA_TEST_SIMD ?? 'auto');
export const WORKERS = Number(process.env.CMHA_TEST_WORKERS ?? 0);

/**
 * A runtime that is disposed of when the test, or the file, that made it has ended.
 * @param {RuntimeOptions & { _test?: TestSwitches }} [options]
 * @returns {Promise<Runtime>}
 */
export async function testRuntime(options = {}) {
    const runtime = await createRuntime({ simd: SIMD, workers: WORKERS, ...options });
    after(() => runtime.dispose());
    return runtime;
}
