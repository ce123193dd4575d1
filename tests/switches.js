// createRuntime() with the switches that only tests have, for files that do not run on every binary and worker count.

import { createRuntime } from '../js/engine/create-runtime.js';

/** @typedef {import('../js/engine/options.js').RuntimeOptions} RuntimeOptions */
/** @typedef {import('../js/engine/options.js').TestSwitches} TestSwitches */

/** @type {(options: RuntimeOptions & { _test?: TestSwitches }) => Promise<import('../js/engine/runtime.js').Runtime>} */
export const createWithSwitches = createRuntime;
