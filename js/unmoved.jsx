// The addresses of assets.js once more, in a module that stays where it is; assets.js says why. Plain JavaScript.

/** @type {import('./assets.js').Assets} */
export const assets = {
    relaxed: () => new URL('./wasm/cmha-relaxed.wasm', import.meta.url),
    simd128: () => new URL('./wasm/cmha-simd128.wasm', import.meta.url),
    model: () => new URL('./embedded/model.gguf', import.meta.url),
};
