// How a binary is had: from beside this package, or from what createRuntime({ wasm }) names.

import { assetsWhereTheyWere, shippedAssets } from '../assets.js';
import { classOf } from '../check.js';
import { isNode, nodeModule } from './threads.js';
import { instantiate } from './wasm.js';

/** @typedef {import('./wasm.js').Variant} Variant */

/** A WebAssembly.Module, for which a project without a browser's types has no name. @typedef {object} WasmModule */

/**
 * One binary: its address, its bytes, or compiled.
 * @typedef {string | URL | ArrayBuffer | ArrayBufferView | WasmModule} WasmSource
 */

/** What createRuntime({ wasm }) takes. @typedef {WasmSource | { relaxed: WasmSource, simd128: WasmSource }} WasmOption */

/** What a user whose binary is not found can do. */
const ADVICE = 'say where it is with createRuntime({ wasm }), or import createRuntime from \'cached-attention/inline\'';

/** The section in which a binary says its variant; src/build/check-wasm.js writes it. */
const SECTION = 'cached-attention';

/** The import of the memory, with which binaries are linked; behind it are its limits, flags first. */
const MEMORY_IMPORT = new TextEncoder().encode('\x03env\x06memory\x02');
const SHARED = 2;

/** @type {Map<string, Promise<WebAssembly.Module>>} */
const compiled = new Map();

/**
 * Reads and compiles a binary. One that comes with the package is compiled once per variant and kind of memory, however many
 * runtimes are made.
 * @param {Variant} variant  wanted
 * @param {boolean} canShare  whether memory can be shared with workers
 * @param {WasmOption} [wasm]
 * @returns {Promise<{ module: WebAssembly.Module, variant: Variant, shared: boolean }>} with the variant that it is, and the kind of
 *   memory that it takes
 */
export async function loadModule(variant, canShare, wasm) {
    const given = wasm === undefined ? null : pick(wasm, variant);
    // One that is compiled cannot be changed any more. Most engines make it its memory all the same, for one thread.
    const shared = canShare || classOf(given) === 'WebAssembly.Module';
    const module = await (given === null ? loadShipped(variant, shared) : loadGiven(given, shared));
    const [section] = WebAssembly.Module.customSections(module, SECTION);
    const name = section === undefined ? '' : new TextDecoder().decode(section);
    if (name !== 'relaxed' && name !== 'simd128') {
        throw foreignError();
    }
    return { module, variant: name, shared };
}

/** @param {Variant} variant @param {boolean} shared */
function loadShipped(variant, shared) {
    const key = `${variant} ${shared}`;
    let module = compiled.get(key);
    if (!module) {
        module = readShipped(variant).then((bytes) => compile(bytes, shared));
        compiled.set(key, module);
        // A download that failed may work next time.
        module.catch(() => compiled.delete(key));
    }
    return module;
}

/** @param {Variant} variant @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function readShipped(variant) {
    try {
        return await readBinary(addressOf(shippedAssets()[variant]));
    } catch (error) {
        const assets = await assetsWhereTheyWere();
        if (assets === null) {
            throw error;
        }
        return readBinary(assets[variant]());
    }
}

/** @param {() => URL} address @returns {URL} */
function addressOf(address) {
    try {
        return address();
    } catch (error) {
        throw new Error(`createRuntime: this bundle does not say where it lies, so its wasm binary is not found; ${ADVICE}`,
            { cause: error });
    }
}

/** @param {WasmOption} wasm @param {Variant} variant @returns {WasmSource} */
function pick(wasm, variant) {
    if (isPair(wasm)) {
        return wasm[variant];
    }
    const isFolder = /^(String|URL)$/.test(classOf(wasm)) && /\/$/.test(String(wasm));
    return isFolder ? `${wasm}cmha-${variant}.wasm` : wasm;
}

/** @param {any} wasm @returns {wasm is { relaxed: WasmSource, simd128: WasmSource }} */
function isPair(wasm) {
    return typeof wasm === 'object' && 'relaxed' in wasm && 'simd128' in wasm;
}

/** @param {any} source @returns {source is WasmSource} */
function isWasmSource(source) {
    return (typeof source === 'string' && source !== '') || ArrayBuffer.isView(source)
        || /^(URL|ArrayBuffer|WebAssembly.Module)$/.test(classOf(source));
}

/** @param {any} wasm @returns {wasm is WasmOption} */
export function isWasmOption(wasm) {
    return isWasmSource(wasm)
        || (typeof wasm === 'object' && wasm !== null && isPair(wasm)
            && isWasmSource(wasm.relaxed) && isWasmSource(wasm.simd128));
}

/** @param {WasmSource} source @param {boolean} shared @returns {Promise<WebAssembly.Module>} */
async function loadGiven(source, shared) {
    const kind = classOf(source);
    if (kind === 'WebAssembly.Module') {
        return /** @type {WebAssembly.Module} */ (source);
    }
    if (kind === 'String' || kind === 'URL') {
        return compile(await readBinary(await toUrl(/** @type {string | URL} */ (source))), shared);
    }
    // A copy: nobody can write to it meanwhile.
    const bytes = new Uint8Array(ArrayBuffer.isView(source)
        ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : new Uint8Array(/** @type {ArrayBuffer} */ (source)));
    checkMagic(bytes, 'wasm', null);
    return compile(bytes, shared);
}

/**
 * @param {string | URL} location  a string: in pages and workers relative to the page, in Node a path or a URL
 * @returns {Promise<URL>}
 */
export async function toUrl(location) {
    if (typeof location !== 'string' && location.protocol !== '') {
        return location;
    }
    // webpack's `new URL` may give an object that says it is a URL and has no origin.
    if (typeof location !== 'string') {
        return new URL(location.href, globalThis.document?.baseURI ?? globalThis.location?.href);
    }
    if (isNode && !/^[a-z][a-z0-9+.-]+:/i.test(location)) {
        return nodeModule('node:url').pathToFileURL(location);
    }
    return new URL(location, globalThis.document?.baseURI ?? globalThis.location?.href);
}

/**
 * @param {URL} url
 * @returns {Promise<Uint8Array<ArrayBuffer>>}
 */
async function readBinary(url) {
    if (isNode && url.protocol === 'file:') {
        const fs = nodeModule('node:fs/promises');
        let bytes;
        try {
            bytes = new Uint8Array(await fs.readFile(url));
        } catch (error) {
            throw new Error(`createRuntime: cannot read ${url.pathname}, the wasm binary; ${ADVICE}`, { cause: error });
        }
        return checkMagic(bytes, url.pathname, null);
    }
    let response;
    try {
        response = await fetch(url);
    } catch (error) {
        throw new Error(`createRuntime: cannot fetch ${url.href}, the wasm binary; ${ADVICE}`, { cause: error });
    }
    if (!response.ok) {
        throw new Error(`createRuntime: cannot fetch ${url.href}, the wasm binary: HTTP ${response.status}; ${ADVICE}`);
    }
    return checkMagic(new Uint8Array(await response.arrayBuffer()), url.href, response.headers.get('content-type'));
}

/**
 * A server that does not find the file often answers with a page and says that all is well.
 * @param {Uint8Array<ArrayBuffer>} bytes @param {string} name  of where they come from @param {string | null} type
 */
function checkMagic(bytes, name, type) {
    if (bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) {
        const start = JSON.stringify(String.fromCharCode(...bytes.subarray(0, 24)));
        const got = bytes.length === 0 ? 'nothing' : `${type === null ? '' : `${type.slice(0, 60)}, `}${start} ...`;
        throw new Error(`createRuntime: ${name} must be a wasm binary, got ${got}; ${ADVICE}`);
    }
    return bytes;
}

/**
 * @param {Uint8Array<ArrayBuffer>} bytes
 * @param {boolean} shared
 * @returns {Promise<WebAssembly.Module>}
 */
async function compile(bytes, shared) {
    const image = shared ? bytes : withPrivateMemory(bytes);
    try {
        return await WebAssembly.compile(image);
    } catch (error) {
        throw refusal('compile', error, isNode ? ADVICE : POLICY);
    }
}

/**
 * The calling thread's instance, of which workers get the module.
 * @param {WebAssembly.Module} module
 * @param {WebAssembly.Memory} memory
 * @returns {Promise<import('./wasm.js').Exports>}
 */
export async function instantiateHere(module, memory) {
    try {
        return await instantiate(module, memory);
    } catch (error) {
        // WebKit compiles what a page's policy forbids, and refuses here.
        if (/unsafe-eval|Content Security/i.test(String(error))) {
            throw refusal('instantiate', error, POLICY);
        }
        // A module that was given compiled cannot be changed to take a memory that is not shared.
        if (error instanceof WebAssembly.LinkError) {
            throw refusal('instantiate', error, 'where memory cannot be shared, wasm must be an address or bytes, not a WebAssembly.Module');
        }
        throw error;
    }
}

const POLICY = "a Content Security Policy must allow 'wasm-unsafe-eval', or wasm be a WebAssembly.Module";

/** @param {string} what the engine does not do @param {unknown} cause @param {string} hint */
function refusal(what, cause, hint) {
    return new Error(`createRuntime: the engine does not ${what} the wasm binary (${cause}); ${hint}`, { cause });
}

/**
 * The same binary for a memory that is not shared: the import's `shared` flag is cleared in a copy. Atomic
 * instructions validate on any memory, and nothing waits where there are no workers.
 * @param {Uint8Array<ArrayBuffer>} bytes
 */
function withPrivateMemory(bytes) {
    const at = bytes.findIndex((_, start) => MEMORY_IMPORT.every((byte, i) => byte === bytes[start + i]));
    if (at < 0) throw foreignError();
    const copy = bytes.slice();
    copy[at + MEMORY_IMPORT.length] &= ~SHARED;
    return copy;
}

/** @returns {Error} for a module that is not one of the package's */
function foreignError() {
    return new Error('createRuntime: wasm must be a binary of this package (dist/wasm), got another WebAssembly module');
}
