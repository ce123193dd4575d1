// Where the files lie that modules load as they run: the binaries and the model. Each is a literal `new URL` beside
// import.meta.url, because bundlers take along what such an expression names; and each is evaluated only when it is needed,
// because in a CommonJS bundle import.meta.url is empty. This module stands at the top, so that a bundle of one file finds
// them beside itself.

/**
 * @typedef {object} Assets
 * @property {() => URL} relaxed
 * @property {() => URL} simd128
 * @property {() => URL} model
 */

/** @type {Assets} */
let assets = {
    relaxed: () => new URL('./wasm/cmha-relaxed.wasm', import.meta.url),
    simd128: () => new URL('./wasm/cmha-simd128.wasm', import.meta.url),
    model: () => new URL('./embedded/model.gguf', import.meta.url),
};
let moved = false;
/** @type {Promise<Assets | null> | null} */
let search = null;

/** @returns {Assets} */
export function shippedAssets() {
    return assets;
}

/** @returns {URL} of the model that comes with the package @throws {Error} in a bundle that does not know where it lies */
export function modelAddress() {
    try {
        return assets.model();
    } catch (cause) {
        throw new Error('loadModel: this bundle does not say where it lies, so the model of the package is not found; '
            + 'give its address, or that of another model, as source', { cause });
    }
}

/** Whether these modules were moved away from the files beside them, as assetsWhereTheyWere() has found out. */
export function areModulesMoved() {
    return moved;
}

/**
 * For when an address above does not give what it should. The development server of Vite 5 to 7 moves the modules of a
 * package to a folder of its own and leaves the rest behind; .jsx files it leaves where they are, and there the same
 * expressions are right.
 * @returns {Promise<Assets | null>} null where there is no other place to look in
 */
export function assetsWhereTheyWere() {
    search ??= look();
    return search;
}

/** @returns {Promise<Assets | null>} */
async function look() {
    try {
        // @ts-ignore: the query is for Vite, which then leaves the file alone; to everybody else it means nothing
        const unmoved = await import('./unmoved.jsx?unmoved');
        if (unmoved.assets.model().href === assets.model().href) {
            return null;
        }
        ({ assets } = unmoved);
    } catch {
        return null; // not taken along by this bundle, or this context imports no modules: a service worker
    }
    moved = true;
    return assets;
}
