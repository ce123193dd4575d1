// The runtime that a test file runs on: `npm test` runs each file that imports this with both binaries and worker counts.

import { testRuntime as runtimeWith } from './binary.js';

/** How many workers the environment asks for; none where it is silent. */
export const WORKERS = Number(process.env.CMHA_TEST_WORKERS ?? 0);

/**
 * A runtime that is disposed of when the test, or the file, that made it has ended.
 * @param {Partial<Parameters<typeof runtimeWith>[0]>} [options]
 */
export function testRuntime(options = {}) {
    return runtimeWith({ workers: WORKERS, ...options });
}
