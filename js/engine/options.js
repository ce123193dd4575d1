// The options of createRuntime(): checked, and turned into a number of workers.

import { classOf, integerWithin, rangeError, typeError, unknownOption } from '../check.js';
import { isWasmOption } from './binary.js';
import { MAX_PAGES } from './memory.js';
import { PAGE } from './wasm.js';

/** @typedef {import('./binary.js').WasmOption} WasmOption */
/** @typedef {import('./spawn.js').WorkerSource} WorkerSource */

/**
 * @typedef {object} RuntimeOptions
 * @property {number | 'auto'} [workers]  how many workers compute beside the calling thread; 0: it computes alone. 'auto', the
 *   default: one for each processor but one, at most 15; on a page's main thread, which must not block and so takes no part, one
 *   for each processor, at most 8.
 * @property {'auto' | 'relaxed' | 'simd128'} [simd]  'auto', the default: relaxed SIMD where the engine fuses its
 *   multiply-add. 'simd128': the same bits on every machine. explain() says which it is, and why.
 * @property {number} [maxMemory]  bytes that the runtime's memory may grow to, at least 1 MiB; by default what the
 *   engine allows, 4 GiB at most. Not reserved, only allowed.
 * @property {WasmOption} [wasm]  where the WebAssembly binary is, when it is not where the package has it: the address of
 *   one of the files of dist/wasm, or of a folder with both (it ends in '/'); bytes; a WebAssembly.Module; or
 *   `{ relaxed, simd128 }`, of which the one that fits the engine is used. Strings are relative to the page, in Node paths.
 * @property {WorkerSource} [worker]  what workers run, when dist/worker.js is not where the package has it: the address of that
 *   file, or a function that makes a module Worker of it.
 */

/**
 * Switches for the tests of this package.
 * @typedef {object} TestSwitches
 * @property {boolean} [shared]  false: as in a page without cross-origin isolation
 * @property {boolean} [mayBlock]  false: as on a page's main thread
 * @property {WorkerSource} [script]  started instead of js/engine/worker.js
 * @property {number} [startTimeout]  ms that a worker may take to get ready
 */

const OPTION_NAMES = ['workers', 'simd', 'maxMemory', 'wasm', 'worker'];
const LEAST_MEMORY = 1024 * 1024;
const MOST_WORKERS = 255;
const AUTO_WORKERS = 15;
const AUTO_WORKERS_PAGE = 8;

/**
 * @param {any} options
 * @returns {{ workers: number | 'auto', simd: 'auto' | 'relaxed' | 'simd128', maxMemory: number, wasm?: WasmOption,
 *   worker?: WorkerSource, test: TestSwitches }}
 */
export function checkOptions(options) {
    if (typeof options !== 'object' || options === null) {
        throw typeError('the options of createRuntime', 'an object', options);
    }
    const { workers = 'auto', simd = 'auto', maxMemory = MAX_PAGES * PAGE, wasm, worker, _test: test = {} } = options;
    for (const name of Object.keys(options)) {
        if (!OPTION_NAMES.includes(name) && name !== '_test') {
            throw unknownOption('createRuntime', name, OPTION_NAMES);
        }
    }
    if (workers !== 'auto' && typeof workers !== 'number') {
        throw typeError('workers', "a number or 'auto'", workers);
    }
    if (workers !== 'auto') integerWithin('workers', workers, MOST_WORKERS);
    if (simd !== 'auto' && simd !== 'relaxed' && simd !== 'simd128') {
        throw typeError('simd', "'auto', 'relaxed' or 'simd128'", simd);
    }
    if (typeof maxMemory !== 'number') {
        throw typeError('maxMemory', 'a number of bytes', maxMemory);
    }
    if (!(Number.isInteger(maxMemory) && maxMemory >= LEAST_MEMORY)) {
        throw rangeError('maxMemory', `an integer of at least ${LEAST_MEMORY} bytes`, maxMemory);
    }
    if (wasm !== undefined && !isWasmOption(wasm)) {
        throw typeError('wasm', 'a URL, bytes, a WebAssembly.Module or { relaxed, simd128 } of these', wasm);
    }
    if (worker !== undefined && typeof worker !== 'function' && classOf(worker) !== 'URL'
        && (typeof worker !== 'string' || worker === '')) {
        throw typeError('worker', 'a URL or a function that returns a Worker', worker);
    }
    return { workers, simd, maxMemory, wasm, worker, test };
}

/**
 * The one place that decides how many workers there are.
 * @param {number | 'auto'} asked
 * @param {boolean} shared
 * @param {boolean} blocks  whether the calling thread takes part
 * @param {number} cores
 * @param {string[]} fallbacks
 */
export function countWorkers(asked, shared, blocks, cores, fallbacks) {
    const auto = blocks ? Math.min(cores - 1, AUTO_WORKERS) : Math.min(cores, AUTO_WORKERS_PAGE);
    const wanted = asked === 'auto' ? auto : asked;
    if (wanted > 0 && !shared) {
        // WebKit's port for GTK isolates a page and has nothing to share all the same: headers would not help.
        const isLacking = globalThis.crossOriginIsolated && typeof SharedArrayBuffer !== 'function';
        fallbacks.push(isLacking ? 'workers 0: this engine has no SharedArrayBuffer, so memory cannot be shared with workers'
            : 'workers 0: this context is not cross-origin isolated, so memory cannot be shared with workers; '
            + 'the page must be sent with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: '
            + 'require-corp (or credentialless)');
        return 0;
    }
    return wanted;
}
