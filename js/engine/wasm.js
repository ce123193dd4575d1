// Which variant runs, its instances and its memory. Workers import this module too, so it names no file and starts no thread:
// where the binaries lie is in binary.js.

import { isNode } from './threads.js';

/** @typedef {'relaxed' | 'simd128'} Variant */
/** @typedef {'auto' | Variant} SimdOption */

/**
 * The exports of a binary: the CMHA_API functions of src/cmha.h. Addresses and sizes are numbers; a size or an address
 * that is returned comes signed and wants `>>> 0`.
 * @typedef {Record<string, any>} Exports
 */

// (module (func (param v128 v128) (result v128) local.get 0 local.get 1 f32x4.add))
const PROBE_SIMD = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 123, 123, 1, 123, 3, 2, 1, 0,
    10, 11, 1, 9, 0, 32, 0, 32, 1, 253, 228, 1, 11,
];

// (module (func (export "f") (param f32 f32) (result f32) local.get 0 f32x4.splat local.get 0 f32x4.splat
//     local.get 1 f32x4.splat f32x4.relaxed_madd f32x4.extract_lane 0))
const PROBE_RELAXED = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 7, 1, 96, 2, 125, 125, 1, 125, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0,
    10, 22, 1, 20, 0, 32, 0, 253, 19, 32, 0, 253, 19, 32, 1, 253, 19, 253, 133, 2, 253, 31, 0, 11,
];

/**
 * The one place that decides which variant runs.
 *
 * 'auto' takes relaxed SIMD wherever the engine fuses its multiply-add, as it may, which is about a third faster; else SIMD128,
 * which rounds every operation and so gives the same bits on every machine. So the variant tells which bits come out.
 *
 * @param {SimdOption} simd
 * @returns {{ variant: Variant, reason: string, fallbacks: string[] }}
 * @throws {Error} when the engine cannot run what is asked for
 */
export function chooseVariant(simd) {
    if (!globalThis.WebAssembly?.validate(new Uint8Array(PROBE_SIMD))) {
        throw new Error('createRuntime: this engine has no WebAssembly SIMD, which every variant needs');
    }
    const relaxed = WebAssembly.validate(new Uint8Array(PROBE_RELAXED));
    if (simd === 'simd128') {
        return { variant: 'simd128', reason: "asked for by simd: 'simd128'", fallbacks: [] };
    }
    if (relaxed && simd === 'relaxed') {
        return { variant: 'relaxed', reason: "asked for by simd: 'relaxed'", fallbacks: [] };
    }
    if (relaxed && isFused()) {
        return { variant: 'relaxed', reason: 'the engine has relaxed SIMD and fuses its multiply-add', fallbacks: [] };
    }
    const hint = isNode ? ' (Node before 22 needs --experimental-wasm-relaxed-simd)' : '';
    if (simd === 'relaxed') {
        throw new Error(`createRuntime: simd: 'relaxed' was asked for, and this engine has no relaxed SIMD${hint}`);
    }
    const reason = relaxed ? "the engine has relaxed SIMD and does not fuse its multiply-add; simd: 'relaxed' takes it all the same"
        : `the engine does not validate relaxed SIMD${hint}`;
    return { variant: 'simd128', reason, fallbacks: [`simd128 instead of relaxed SIMD: ${reason}`] };
}

/** Whether the square of 1 + 2^-12 is rounded before something is added to it. */
function isFused() {
    try {
        const { exports: probe } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(PROBE_RELAXED)));
        return /** @type {any} */ (probe).f(1 + 2 ** -12, -1 - 2 ** -11) !== 0;
    } catch {
        return true; // a page's policy forbids it: the binary is refused in a moment, with a better message
    }
}

/**
 * One thread's instance. Every thread has its own stack: `__stack_pointer` is a global of the instance, not of the
 * memory, and must be set before any function is called.
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.Memory} memory
 * @returns {Promise<Exports>}
 */
export async function instantiate(module, memory) {
    // By another name than `exports`: worker.js holds this too, and tools that see that word there take it for CommonJS.
    const { exports: functions } = await WebAssembly.instantiate(module, { env: { memory } });
    return functions;
}

/** Bytes of a page of wasm memory. */
export const PAGE = 65536;

/**
 * A memory of `initial` pages that may grow to `maximum`, or null where the engine refuses to reserve that much.
 * @param {number} initial
 * @param {number} maximum
 * @param {boolean} shared
 */
export function createMemory(initial, maximum, shared) {
    try {
        return new WebAssembly.Memory({ initial, maximum, shared });
    } catch (error) {
        if (error instanceof RangeError) {
            return null;
        }
        throw error;
    }
}
