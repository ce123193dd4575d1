/** What a browser needs for this page, tried without loading anything. */

// (func (drop (v128.const 0))): one SIMD instruction in the smallest module that holds it.
const SIMD_MODULE = new Uint8Array([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 23, 1, 21, 0, 253, 12,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 26, 11
]);

/** @returns {string[]} what is missing, in words; empty when everything is there */
export function missingFeatures() {
    const missing = [];
    if (typeof WebAssembly !== 'object') missing.push('WebAssembly');
    else if (!WebAssembly.validate(SIMD_MODULE)) missing.push('WebAssembly SIMD');
    if (typeof Worker !== 'function') missing.push('web workers');
    return missing;
}

/**
 * A module worker. A browser that knows them reads the option `type`; others would run the file as a classic script.
 * @param {URL} url
 * @returns {Worker}
 */
export function moduleWorker(url) {
    let known = false;
    const worker = new Worker(url, {
        get type() {
            known = true;
            return /** @type {'module'} */ ('module');
        }
    });
    if (!known) {
        worker.terminate();
        throw new Error('This browser does not have module workers.');
    }
    return worker;
}
