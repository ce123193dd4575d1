// The binary that a test file runs on: `npm test` runs each file that imports this with both. Workers are what the file says;
// one that leaves them to `npm test` imports runtime.js.

import { after } from 'node:test';
import { createRuntime } from '../js/engine/create-runtime.js';

/** @typedef {import('../js/engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../js/engine/options.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('../js/engine/options.js').TestSwitches} TestSwitches */

/** Which one the environment asks for; the best there is where it is silent. */
export const SIMD = /** @type {'auto' | 'relaxed' | 'simd128'} */ (process.env.CMHA_TEST_SIMD ?? 'auto');

/**
 * A runtime that is disposed of when the test, or the file, that made it has ended.
 * @param {RuntimeOptions & { workers: number | 'auto', _test?: TestSwitches }} options
 * @returns {Promise<Runtime>}
 */
export async function testRuntime(options) {
    const runtime = await createRuntime({ simd: SIMD, ...options });
    after(() => runtime.dispose());
    return runtime;
}
