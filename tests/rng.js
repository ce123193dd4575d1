// Seeded random numbers for tests and benches: the same on every machine.

/**
 * Mulberry32.
 * @param {number} seed
 * @returns {() => number} uniform in [0, 1)
 */
export function rng(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let z = state;
        z = Math.imul(z ^ (z >>> 15), z | 1);
        z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
        return ((z ^ (z >>> 14)) >>> 0) / 4294967296;
    };
}

/**
 * Uniform floats in [-scale, scale).
 * @param {() => number} random
 * @param {number} n
 * @param {number} [scale]
 */
export function floats(random, n, scale = 1) {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = (2 * random() - 1) * scale;
    return out;
}

/**
 * Bytes that are nonzero (any value) with probability p.
 * @param {() => number} random
 * @param {number} n
 * @param {number} [p]
 */
export function bytes(random, n, p = 0.5) {
    const out = new Uint8Array(n);
    for (let i = 0; i < n; i++) out[i] = random() < p ? 1 + Math.floor(random() * 255) : 0;
    return out;
}

/**
 * Integers in [0, limit).
 * @param {() => number} random
 * @param {number} n
 * @param {number} limit
 */
export function integers(random, n, limit) {
    const out = new Uint32Array(n);
    for (let i = 0; i < n; i++) out[i] = Math.floor(random() * limit);
    return out;
}
