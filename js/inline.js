// The entry `cached-attention/inline`: the main one, with the binaries and the worker's script in it instead of in files
// beside it. For a bundle that is one file, and wherever files of a package are not found.

import { createRuntime as create } from './engine/create-runtime.js';
import { workerAt } from './engine/spawn.js';
import { WORKER_TEXT, addressOfText } from './engine/text-worker.js';
import { RELAXED, SIMD128 } from './inlined/binaries.js';

export * from './index.js';

/** @typedef {import('./engine/options.js').RuntimeOptions} RuntimeOptions */

/** @type {Promise<{ relaxed: ArrayBuffer, simd128: ArrayBuffer }> | null} */
let binaries = null;

async function unpack() {
    const [relaxed, simd128] = await Promise.all([inflate(RELAXED), inflate(SIMD128)]);
    return { relaxed, simd128 };
}

/** @param {string} base64  of what gzip has made */
function inflate(base64) {
    const packed = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    // The Blob of jsdom, where pages are tested, has no stream.
    const { body } = new Response(packed);
    return new Response(/** @type {ReadableStream} */ (body).pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

/**
 * As createRuntime() of the main entry, and needs no file beside this module.
 * @param {RuntimeOptions} [options]
 * @returns {Promise<import('./engine/runtime.js').Runtime>}
 */
export async function createRuntime(options = {}) {
    if (typeof options !== 'object' || options === null) {
        return create(options); // which refuses it
    }
    const { wasm = await (binaries ??= unpack()), worker = () => workerAt(addressOfText(WORKER_TEXT)), ...others } = options;
    return create({ wasm, worker, ...others });
}
