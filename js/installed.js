// Where the package is installed, for a bundle that runs in Node and has left its files behind. Only loaded there.

import { nodeModule } from './engine/threads.js';

/** @typedef {import('./assets.js').Assets} Assets */

/**
 * The files of the package as these modules, the program or the folder that it runs in have it installed.
 * @param {Assets} current that were looked for first
 * @returns {Assets | null} null where it is not installed, or those are its files
 * @throws {Error} where Node is too old to read any file of ours, which is why they are looked for
 */
export function installedAssets(current) {
    const { getBuiltinModule, version } = /** @type {any} */ (globalThis).process;
    if (!getBuiltinModule) throw new Error(`Node must be 20.16 or newer, got ${version}`);
    const { createRequire } = nodeModule('node:module');
    const { pathToFileURL } = nodeModule('node:url');
    const { argv, cwd } = nodeModule('node:process');
    // The folder that it runs in may be gone, or not to be asked for.
    for (const asker of [() => import.meta.url, () => argv[1], () => `${cwd()}/`]) {
        try {
            const folder = pathToFileURL(createRequire(asker()).resolve('cached-attention/package.json'));
            const at = (/** @type {string} */ name) => () => new URL(`dist/${name}`, folder);
            const found = { relaxed: at('wasm/cmha-relaxed.wasm'), simd128: at('wasm/cmha-simd128.wasm'), model: at('embedded/model.gguf') };
            return found.model().href === hrefOf(current.model) ? null : found;
        } catch {
            // it is not installed for that one
        }
    }
    return null;
}

/** @param {() => URL} address @returns {string | undefined} undefined in a bundle that does not say where it lies */
function hrefOf(address) {
    try {
        return address().href;
    } catch {
        return undefined;
    }
}
