// The runtime of a test file about what neither kernels nor threads do: files, options, texts that are held to something, memory
// that runs out, calls that are cut short. `npm test` runs it with each binary (and on its version of Node) and with each number of
// workers, but not with every pair of them: SIMD128 without workers, relaxed SIMD with two.

export { WORKERS, testRuntime } from './runtime.js';
