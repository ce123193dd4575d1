// The kernel benches in a process of their own.

/** @param {{ simd: 'relaxed' | 'simd128' }} options */
export async function create({ simd }) {
    return {
        name: 'kernels',
        /** @param {string} stem file name in tests/bench */
        bench: async (stem) => (await import(`../${stem}.js`)).bench({ variant: simd }),
    };
}
