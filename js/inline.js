// The entry `cached-attention/inline`: the main one, with the binaries and the worker's script in it instead of in files
// beside it. For a bundle that is one file, and wherever files of a package are not found.

import { createRuntime as create } from './engine/runtime.js';
import { workerOfText } from './engine/spawn.js';
import { RELAXED, SIMD128 } from './inlined/binaries.js';
import { WORKER_TEXT } from './inlined/worker-text.js';

export * from './index.js';

/** @typedef {import('./engine/options.js').RuntimeOptions} RuntimeOptions */

/** Decoded when one of them is read. */
const wasm = {
    get relaxed() {
        return decode(RELAXED);
    },
    get simd128() {
        return decode(SIMD128);
    },
};

/** @param {string} base64 @returns {Uint8Array} */
function decode(base64) {
    return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/**
 * As createRuntime() of the main entry, and needs no file beside this module.
 * @param {RuntimeOptions} [options]
 * @returns {Promise<import('./engine/runtime.js').Runtime>}
 */
export function createRuntime(options = {}) {
    if (typeof options !== 'object' || options === null) {
        return create(options); // which refuses it
    }
    return create({ wasm, worker: () => workerOfText(WORKER_TEXT), ...options });
}
