// How a runtime comes about: the binary, its memory, the threads that can be had.

import { instantiateHere, loadModule } from './binary.js';
import { INTERFACE } from './interface.js';
import { STACK_BYTES } from './member.js';
import { Memory } from './memory.js';
import { checkOptions, countWorkers } from './options.js';
import { Pool } from './pool.js';
import { Runtime } from './runtime.js';
import { canShareMemory, mayBlock, processors } from './threads.js';
import { PAGE, chooseVariant } from './wasm.js';

/** @typedef {import('./options.js').RuntimeOptions} RuntimeOptions */

/**
 * Makes a runtime: everything else is made on one.
 *
 * @param {RuntimeOptions} [options]
 * @returns {Promise<Runtime>}
 * @throws {TypeError | RangeError} (rejects) for wrong options
 * @throws {Error} (rejects) when the engine has no WebAssembly SIMD, or not the variant asked for; when the binary
 *   cannot be loaded. Workers that cannot be had, because memory cannot be shared or one does not start, are no error,
 *   also where their number was asked for: everything runs on the calling thread then, and explain() says why.
 */
export async function createRuntime(options = {}) {
    const { workers, simd, maxMemory, wasm: source, worker, test } = checkOptions(options);
    const choice = chooseVariant(simd);
    const canShare = test.shared ?? canShareMemory();
    const { module, variant, shared } = await loadModule(choice.variant, canShare, source);
    const reason = reasonOf(variant, simd, choice);
    const fallbacks = variant === choice.variant ? choice.fallbacks : [];
    const memory = new Memory(maxMemory, shared);
    if (memory.refusedPages > 0) {
        const refused = memory.refusedPages * PAGE;
        fallbacks.push(`maxMemory ${memory.max}: the engine refuses to reserve ${refused} bytes more`);
    }
    const wasm = await instantiateHere(module, memory.handle);
    if (wasm.cmha_interface() >>> 0 !== INTERFACE) {
        throw new Error('createRuntime: the wasm binary and the JavaScript are of different versions of the package');
    }
    memory.open(wasm.__heap_base.value >>> 0);
    wasm.__stack_pointer.value = memory.alloc(STACK_BYTES) + STACK_BYTES;

    const blocks = test.mayBlock ?? (canShare && mayBlock());
    const cores = processors();
    const wanted = countWorkers(workers, canShare, blocks, cores, fallbacks);
    const { script = worker, startTimeout } = test;
    const common = { memory, module, wasm, processors: cores, mayBlock: blocks, script, startTimeout };
    let pool = new Pool({ ...common, workers: wanted });
    try {
        await pool.start();
    } catch (error) {
        if (workers !== 'auto' && error instanceof RangeError) {
            throw error; // no room for the stacks of so many
        }
        fallbacks.push(`workers 0: ${/** @type {Error} */ (error).message}`);
        pool = new Pool({ ...common, workers: 0 });
    }
    try {
        return new Runtime({ memory, wasm, pool, variant, reason, fallbacks });
    } catch (error) {
        pool.dispose(); // no room: nobody would end its workers
        throw error;
    }
}

/**
 * Why this variant runs. A binary that the user gave is the variant that it is.
 * @param {import('./wasm.js').Variant} variant
 * @param {import('./wasm.js').SimdOption} simd
 * @param {ReturnType<typeof chooseVariant>} choice
 */
function reasonOf(variant, simd, choice) {
    if (variant === choice.variant) {
        return choice.reason;
    }
    if (simd !== 'auto') {
        throw new RangeError(`wasm must be the ${simd} binary, as simd asks, got the ${variant} one`);
    }
    return 'it is the binary given as wasm';
}
