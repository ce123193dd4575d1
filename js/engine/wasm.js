// Which binary runs, and how it is loaded. Nothing else in the package names WebAssembly.

import { importNode, isNode } from './threads.js';

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

// (module (func (param v128 v128 v128) (result v128) local.get 0 local.get 1 local.get 2 f32x4.relaxed_madd))
const PROBE_RELAXED = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0,
    10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11,
];

/**
 * The one place that decides which variant runs.
 *
 * 'auto' takes relaxed SIMD (fused multiply-add, about a third faster) wherever the engine validates it, else SIMD128,
 * which rounds every operation and so gives the same bits on every machine.
 *
 * @param {SimdOption} simd
 * @returns {{ variant: Variant, reason: string, fallbacks: string[] }}
 * @throws {Error} when the engine cannot run what is asked for
 */
export function chooseVariant(simd) {
    if (!WebAssembly.validate(new Uint8Array(PROBE_SIMD))) {
        throw new Error('createRuntime: this engine has no WebAssembly SIMD, which every variant needs');
    }
    const relaxed = WebAssembly.validate(new Uint8Array(PROBE_RELAXED));
    if (simd === 'simd128') {
        return { variant: 'simd128', reason: "asked for by simd: 'simd128'", fallbacks: [] };
    }
    if (relaxed) {
        const reason = simd === 'relaxed' ? "asked for by simd: 'relaxed'" : 'the engine validates relaxed SIMD';
        return { variant: 'relaxed', reason, fallbacks: [] };
    }
    const hint = isNode ? ' (Node before 22 needs --experimental-wasm-relaxed-simd)' : '';
    if (simd === 'relaxed') {
        throw new Error(`createRuntime: simd: 'relaxed' was asked for, and this engine has no relaxed SIMD${hint}`);
    }
    const reason = `the engine does not validate relaxed SIMD${hint}`;
    return { variant: 'simd128', reason, fallbacks: [`simd128 instead of relaxed SIMD: ${reason}`] };
}

/**
 * Address of a variant's binary. Both are spelled out, because bundlers copy what a literal `new URL` names.
 * @param {Variant} variant
 */
function binaryUrl(variant) {
    return variant === 'relaxed'
        ? new URL('../wasm/cmha-relaxed.wasm', import.meta.url)
        : new URL('../wasm/cmha-simd128.wasm', import.meta.url);
}

/**
 * @param {URL} url
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function readBinary(url) {
    if (isNode && url.protocol === 'file:') {
        const fs = await importNode('node:fs/promises');
        try {
            return new Uint8Array(await fs.readFile(url));
        } catch (error) {
            const hint = 'build it with `npm run build`';
            throw new Error(`createRuntime: cannot read ${url.pathname} (${hint})`, { cause: error });
        }
    }
    let response;
    try {
        response = await fetch(url);
    } catch (error) {
        throw new Error(`createRuntime: cannot fetch ${url.href}`, { cause: error });
    }
    if (!response.ok) {
        throw new Error(`createRuntime: cannot fetch ${url.href}: HTTP ${response.status}`);
    }
    return new Uint8Array(await response.arrayBuffer());
}

/**
 * Unsigned LEB128.
 * @param {Uint8Array} bytes
 * @param {number} at
 * @returns {[value: number, next: number]}
 */
function readLeb(bytes, at) {
    let value = 0;
    let factor = 1;
    for (;;) {
        const byte = bytes[at++];
        value += (byte & 0x7f) * factor;
        if (byte < 0x80) {
            return [value, at];
        }
        factor *= 128;
    }
}

/**
 * Offset of the limits' flag byte of the imported memory: bit 0 = has a maximum, bit 1 = shared.
 * The module is one of ours and has been linked with exactly that one import, but its place is not taken for granted.
 * @param {Uint8Array} bytes
 */
function memoryFlagOffset(bytes) {
    const IMPORT_SECTION = 2;
    const MEMORY_IMPORT = 2;
    let at = 8; // magic number and version
    while (at < bytes.length) {
        const id = bytes[at++];
        const [size, start] = readLeb(bytes, at);
        if (id !== IMPORT_SECTION) {
            at = start + size;
            continue;
        }
        const [imports, first] = readLeb(bytes, start);
        at = first;
        for (let i = 0; i < imports; i++) {
            for (let name = 0; name < 2; name++) { // module, field
                const [length, text] = readLeb(bytes, at);
                at = text + length;
            }
            if (bytes[at++] === MEMORY_IMPORT) {
                return at;
            }
            throw new Error('createRuntime: the wasm binary imports something else than a memory');
        }
    }
    throw new Error('createRuntime: the wasm binary imports no memory');
}

/**
 * The same binary for a memory that is not shared: the import's `shared` flag is cleared in a copy. Atomic
 * instructions validate on any memory, and nothing waits where there are no workers.
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function withPrivateMemory(bytes) {
    const SHARED = 2;
    const copy = bytes.slice();
    copy[memoryFlagOffset(copy)] &= ~SHARED;
    return copy;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @returns {Promise<WebAssembly.Module>}
 */
async function compile(bytes) {
    try {
        return await WebAssembly.compile(bytes);
    } catch (error) {
        const hint = isNode ? '' : "; a Content Security Policy must allow 'wasm-unsafe-eval'";
        const message = `createRuntime: the engine does not compile the wasm binary (${error}${hint})`;
        throw new Error(message, { cause: error });
    }
}

/** @type {Map<string, Promise<WebAssembly.Module>>} */
const compiled = new Map();

/**
 * Reads and compiles a variant; once per variant and kind of memory, however many runtimes are made.
 * @param {Variant} variant
 * @param {boolean} shared
 * @returns {Promise<WebAssembly.Module>}
 */
export function loadModule(variant, shared) {
    const key = `${variant} ${shared}`;
    let module = compiled.get(key);
    if (!module) {
        module = readBinary(binaryUrl(variant)).then((bytes) => {
            return compile(shared ? bytes : withPrivateMemory(bytes));
        });
        compiled.set(key, module);
        // A download that failed may work next time.
        module.catch(() => compiled.delete(key));
    }
    return module;
}

/**
 * One thread's instance. Every thread has its own stack: `__stack_pointer` is a global of the instance, not of the
 * memory, and must be set before any function is called.
 *
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.Memory} memory
 * @param {number} stackTop  address just past the thread's stack, a multiple of 16; 0 keeps the one linked in
 * @returns {Promise<Exports>}
 */
export async function instantiate(module, memory, stackTop) {
    const { exports } = await WebAssembly.instantiate(module, { env: { memory } });
    if (stackTop !== 0) {
        /** @type {WebAssembly.Global} */ (exports.__stack_pointer).value = stackTop;
    }
    return exports;
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
