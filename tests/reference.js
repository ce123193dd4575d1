// The executable specification: every kernel of src/cmha.h, naive, in float64. Arrays are flat and row-major.

/** @typedef {ArrayLike<number>} Numbers */

const sum = (/** @type {number} */ n, /** @type {(i: number) => number} */ term) => {
    let total = 0;
    for (let i = 0; i < n; i++) total += term(i);
    return total;
};

/** y[r, c] = sum_j x[r, j] w[j, c] + bias[c]. x: [rows, K], w: [K, N]. @param {Numbers} x @param {Numbers} w
 * @param {Numbers | null} bias @param {number} rows @param {number} k @param {number} n */
export function linear(x, w, bias, rows, k, n) {
    const y = new Float64Array(rows * n);
    for (let r = 0; r < rows; r++) {
        for (let c = 0; c < n; c++) y[r * n + c] = sum(k, (j) => x[r * k + j] * w[j * n + c]) + (bias ? bias[c] : 0);
    }
    return y;
}

/**
 * q: [B, T, H, D], keys: [B, S, G, D], values: [B, S, G, V]; keep(b, h, i, j) says whether mask and causality keep a
 * position; bias(h, i, j) is added to a logit; drop(b, h, i, j) is the factor that dropout applies to a probability (0 or 1 / (1 - rate)).
 * @param {{ q: Numbers, keys: Numbers, values: Numbers, batch: number, heads: number, kvHeads: number, t: number,
 *   s: number, d: number, v: number, scale: number, softcap?: number, explicit?: boolean, masked?: number,
 *   bias?: (h: number, i: number, j: number) => number,
 *   keep?: (b: number, h: number, i: number, j: number) => boolean,
 *   drop?: (b: number, h: number, i: number, j: number) => number }} a
 * @returns {{ out: Float64Array, scores: Float64Array }} out: [B, T, H, V], scores: [B, H, T, S] before dropout
 */
export function attention(a) {
    const { q, keys, values, batch, heads, kvHeads, t, s, d, v } = a;
    const keep = a.keep ?? (() => true);
    const bias = a.bias ?? (() => 0);
    const cap = (/** @type {number} */ x) => (a.softcap ? a.softcap * Math.tanh(x / a.softcap) : x);
    const masked = a.masked ?? (a.explicit ? -1e9 : -2.37267197e38);
    const out = new Float64Array(batch * t * heads * v);
    const scores = new Float64Array(batch * heads * t * s);
    for (let b = 0; b < batch; b++) {
        for (let h = 0; h < heads; h++) {
            const g = Math.floor(h / (heads / kvHeads));
            for (let i = 0; i < t; i++) {
                const dot = (/** @type {number} */ j) => sum(d, (e) =>
                    q[((b * t + i) * heads + h) * d + e] * keys[((b * s + j) * kvHeads + g) * d + e]);
                const logits = Array.from({ length: s }, (_, j) =>
                    (keep(b, h, i, j) ? cap(a.scale * dot(j)) + bias(h, i, j) : masked));
                const p = softmax(logits).map((e, j) => (a.explicit && !keep(b, h, i, j) ? 0 : e));
                scores.set(p, ((b * heads + h) * t + i) * s);
                for (let c = 0; c < v; c++) {
                    out[((b * t + i) * heads + h) * v + c] = sum(s, (j) => p[j] * (a.drop ? a.drop(b, h, i, j) : 1)
                        * values[((b * s + j) * kvHeads + g) * v + c]);
                }
            }
        }
    }
    return { out, scores };
}

/** @param {Numbers} x */
export function softmax(x) {
    let top = -Infinity;
    for (let i = 0; i < x.length; i++) top = Math.max(top, x[i]);
    const exps = Float64Array.from(x, (value) => Math.exp(value - top));
    const total = sum(x.length, (i) => exps[i]);
    return exps.map((e) => e / total);
}

/** @param {Numbers} x [rows, n] @param {Numbers} gamma @param {Numbers | null} beta @param {number} rows
 * @param {number} n @param {number} epsilon */
export function layerNorm(x, gamma, beta, rows, n, epsilon) {
    return norm({ x, gamma, beta, rows, n, epsilon });
}

/** x: [rows, groups, n], each group by itself; gamma and beta: [n], or [groups, n] where each group has its own.
 * @param {{ x: Numbers, rows: number, n: number, groups?: number, rms?: boolean, epsilon: number, gamma?: Numbers | null,
 *   beta?: Numbers | null, offset?: number, residual?: Numbers | null }} a */
export function norm({ x, rows, n, groups = 1, rms = false, epsilon, gamma, beta, offset = 0, residual }) {
    return Float64Array.from({ length: rows * groups * n }, (_, i) => {
        const first = i - i % n;
        const mean = rms ? 0 : sum(n, (j) => x[first + j]) / n;
        const variance = sum(n, (j) => (x[first + j] - mean) ** 2) / n;
        const z = (x[i] - mean) / Math.sqrt(variance + epsilon);
        const at = (/** @type {Numbers} */ weights) => weights[i % weights.length];
        return (residual ? residual[i] : 0) + z * (gamma ? at(gamma) + offset : 1) + (beta ? at(beta) : 0);
    });
}

/** x: [rows, heads, headDim]; pairs (i, i + pairs) or (2 i, 2 i + 1) of a head turned by positions[row] * frequencies[i].
 * @param {Numbers} x @param {Numbers} positions [rows] @param {Numbers} frequencies [pairs] @param {number} heads
 * @param {number} headDim @param {boolean} neighbours @param {number} [factor] */
export function rope(x, positions, frequencies, heads, headDim, neighbours, factor = 1) {
    const y = Float64Array.from(x);
    const pairs = frequencies.length;
    for (let head = 0; head < y.length / headDim; head++) {
        for (let i = 0; i < pairs; i++) {
            const [p, q] = [head * headDim + (neighbours ? 2 * i : i), head * headDim + (neighbours ? 2 * i + 1 : i + pairs)];
            const angle = positions[Math.floor(head / heads)] * frequencies[i];
            const [c, s] = [factor * Math.cos(angle), factor * Math.sin(angle)];
            y[p] = x[p] * c - x[q] * s;
            y[q] = x[q] * c + x[p] * s;
        }
    }
    return y;
}

/** erfc(x), x >= 0: series below 2, continued fraction above; both to about 1e-15. @param {number} x */
function erfc(x) {
    if (x < 2) {
        let term = x;
        let total = x;
        for (let n = 1; Math.abs(term) > 1e-18; n++) {
            term *= -x * x / n;
            total += term / (2 * n + 1);
        }
        return 1 - 2 / Math.sqrt(Math.PI) * total;
    }
    let f = 0;
    for (let n = 120; n > 0; n--) f = n / 2 / (x + f);
    return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + f);
}

/** By the numbers of CMHA_ACTIVATION_*: none, ReLU, GELU by tanh, GELU by erf, SiLU, the logistic function. */
export const activations = [
    (/** @type {number} */ x) => x,
    (/** @type {number} */ x) => Math.max(x, 0),
    // x / 2 (1 + tanh u) = x / (1 + e^(-2 u)) without the cancellation
    (/** @type {number} */ x) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    (/** @type {number} */ x) => (x < 0 ? x / 2 * erfc(-x / Math.SQRT2) : x - x / 2 * erfc(x / Math.SQRT2)),
    (/** @type {number} */ x) => x / (1 + Math.exp(-x)),
    (/** @type {number} */ x) => 1 / (1 + Math.exp(-x)),
    (/** @type {number} */ x) => Math.tanh(x),
    (/** @type {number} */ x) => x / (1 + Math.exp(-1.702 * x)),
    (/** @type {number} */ x) => Math.max(x, 0) ** 2,
    // log(1 + e^x), without an overflow
    (/** @type {number} */ x) => x * Math.tanh(Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
];

/** Token plus position embeddings. e: [N, K], positions: [length, K] or null. @param {Numbers} tokens
 * @param {Numbers} e @param {Numbers | null} positions @param {number} k @param {number} t @param {number} index */
export function embed(tokens, e, positions, k, t, index) {
    const y = new Float64Array(tokens.length * k);
    for (let i = 0; i < y.length; i++) {
        const row = Math.floor(i / k);
        y[i] = e[tokens[row] * k + i % k] + (positions ? positions[(index + row % t) * k + i % k] : 0);
    }
    return y;
}

/** The nearest number with `digits` significant bits and exponents in [low, high], ties to even; beyond: infinity.
 * binary16: roundTo(x, 11, -14, 15), bfloat16: roundTo(x, 8, -126, 127).
 * @param {number} x @param {number} digits @param {number} low @param {number} high */
export function roundTo(x, digits, low, high) {
    if (x === 0 || !Number.isFinite(x)) return x;
    let exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), low);
    if (exponent > low && 2 ** exponent > Math.abs(x)) exponent--;
    if (2 ** (exponent + 1) <= Math.abs(x)) exponent++;
    const unit = 2 ** (exponent - digits + 1);
    const scaled = Math.abs(x) / unit;
    const floor = Math.floor(scaled);
    const up = scaled - floor > 0.5 || (scaled - floor === 0.5 && floor % 2 === 1);
    const y = (floor + (up ? 1 : 0)) * unit;
    return (x < 0 ? -1 : 1) * (y >= 2 ** (high + 1) ? Infinity : y);
}

/** Threefry-2x32, 20 rounds, as in Salmon et al. 2011. @param {Numbers} key @param {number} x0 @param {number} x1 */
export function threefry(key, x0, x1) {
    const turn = [13, 15, 26, 6, 17, 29, 16, 24];
    const schedule = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd11bda];
    let a = (x0 + schedule[0]) >>> 0;
    let b = (x1 + schedule[1]) >>> 0;
    for (let round = 0; round < 20; round++) {
        a = (a + b) >>> 0;
        const r = turn[round % 8];
        b = (((b << r) | (b >>> (32 - r))) ^ a) >>> 0;
        if (round % 4 === 3) {
            const k = (round + 1) / 4;
            a = (a + schedule[k % 3]) >>> 0;
            b = (b + schedule[(k + 1) % 3] + k) >>> 0;
        }
    }
    return [a, b];
}
