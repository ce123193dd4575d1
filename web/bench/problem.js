// The layer that every contestant computes, and its cases. Weights and inputs come from a seeded generator, so each
// process makes the same ones by itself.
//
//   x [1][T][F] -> q, k, v = x W + b, k and v appended to a cache of S positions -> attention -> output projection
//   decode:  T = 1, the cache is full to S with the new token as its last position
//   prefill: S = T, causal, the cache starts empty

/** @typedef {{ id: string, title: string, kind: 'decode' | 'prefill', t: number, s: number }} Case */

export const DIM = 768;
export const HEADS = 12;
export const HEAD_DIM = DIM / HEADS;

/** @param {number} s @returns {Case} */
export const decodeCase = (s) => ({ id: `decode-${s}`, title: `decode S=${s}`, kind: 'decode', t: 1, s });
/** @param {number} t @returns {Case} */
export const prefillCase = (t) => ({ id: `prefill-${t}`, title: `prefill ${t}`, kind: 'prefill', t, s: t });

/** @param {number} threads */
export const threadsTitle = (threads) => `${threads} thread${threads > 1 ? 's' : ''}`;

export const LAYER_CASES = [decodeCase(64), decodeCase(1024), decodeCase(4096), prefillCase(512)];

/** Bytes that a case must read: weights, biases, the cache up to S, the input. @param {Case} c */
export function caseBytes(c) {
    return 4 * (4 * DIM * DIM + 4 * DIM + 2 * c.s * DIM + c.t * DIM);
}

/** Floating-point operations of a case; positions that causality rules out are not counted. @param {Case} c */
export function caseFlops(c) {
    const pairs = c.kind === 'prefill' ? (c.t * (c.t + 1)) / 2 : c.t * c.s;
    return 2 * c.t * 4 * DIM * DIM + 4 * pairs * DIM;
}

/** Uniform numbers in [-range, range), xorshift32. @param {number} n @param {number} range @param {number} seed */
export function randomFloats(n, range, seed) {
    const values = new Float32Array(n);
    let state = (Math.imul(seed, 2654435761) ^ 0x9e3779b9) | 1;
    for (let i = 0; i < n; i++) {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        values[i] = (state / 2147483648) * range;
    }
    return values;
}

/**
 * Weights [in][out] of the four projections and their biases. Large enough that the softmax is not uniform.
 * @returns {{ wq: Float32Array, wk: Float32Array, wv: Float32Array, wo: Float32Array,
 *     bq: Float32Array, bk: Float32Array, bv: Float32Array, bo: Float32Array }}
 */
export function makeWeights() {
    const matrix = (/** @type {number} */ seed) => randomFloats(DIM * DIM, 0.08, seed);
    const bias = (/** @type {number} */ seed) => randomFloats(DIM, 0.1, seed);
    return {
        wq: matrix(1),
        wk: matrix(2),
        wv: matrix(3),
        wo: matrix(4),
        bq: bias(5),
        bk: bias(6),
        bv: bias(7),
        bo: bias(8),
    };
}

/** The input of a case: [T][F]. @param {Case} c */
export const makeInput = (c) => randomFloats(c.t * DIM, 1, 100 + c.t);

/** The cache before the call: positions [S - T], heads, head dim, of keys and of values. @param {Case} c */
export function makePast(c) {
    const n = (c.s - c.t) * DIM;
    return { keys: randomFloats(n, 1, 200), values: randomFloats(n, 1, 201) };
}

/** [positions][H][D] -> [H][positions][D], as ONNX and tfjs want it. @param {Float32Array} rows */
export function headMajor(rows) {
    const positions = rows.length / DIM;
    const out = new Float32Array(rows.length);
    for (let s = 0; s < positions; s++) {
        for (let h = 0; h < HEADS; h++) {
            out.set(
                rows.subarray(s * DIM + h * HEAD_DIM, s * DIM + (h + 1) * HEAD_DIM),
                (h * positions + s) * HEAD_DIM,
            );
        }
    }
    return out;
}

/**
 * Query rows that are checked: all, or of many some 20, first and last among them, at every place of a register tile.
 * @param {Case} c
 */
function checkedRows(c) {
    const step = Math.max(1, Math.floor(c.t / 20)) | 1;
    return Array.from({ length: c.t }, (_, i) => i).filter((i) => i % step === 0 || i === c.t - 1);
}

/** The checked rows of the layer, in double precision, plainly. @param {Case} c @returns {Float64Array} [rows][F] */
export function reference(c) {
    const w = makeWeights();
    const x = makeInput(c);
    const past = makePast(c);
    const rows = checkedRows(c);
    const append = (/** @type {Float32Array} */ before, /** @type {Float64Array} */ added) => {
        const all = new Float64Array(c.s * DIM);
        all.set(before);
        all.set(added, before.length);
        return all;
    };
    const keys = append(past.keys, project(x, w.wk, w.bk));
    const values = append(past.values, project(x, w.wv, w.bv));
    const attended = new Float64Array(rows.length * DIM);
    for (const [r, i] of rows.entries()) {
        const q = project(x.subarray(i * DIM, (i + 1) * DIM), w.wq, w.bq);
        const kept = c.kind === 'prefill' ? i + 1 : c.s;
        for (let h = 0; h < HEADS; h++)
            attend(attended.subarray(r * DIM, (r + 1) * DIM), q, keys, values, h * HEAD_DIM, kept);
    }
    return project(attended, w.wo, w.bo);
}

/**
 * y [T][F] = x [T][F] W [F][F] + b.
 * @param {Float32Array | Float64Array} x @param {Float32Array} w @param {Float32Array} b
 */
function project(x, w, b) {
    const y = new Float64Array(x.length);
    for (let r = 0; r < x.length / DIM; r++) {
        const row = y.subarray(r * DIM, (r + 1) * DIM);
        row.set(b);
        for (let k = 0; k < DIM; k++) {
            const factor = x[r * DIM + k];
            for (let n = 0; n < DIM; n++) row[n] += factor * w[k * DIM + n];
        }
    }
    return y;
}

/**
 * One query row and head, at `head` in each row, over the first `kept` positions.
 * @param {Float64Array} out @param {Float64Array} q @param {Float64Array} keys @param {Float64Array} values
 * @param {number} head @param {number} kept
 */
function attend(out, q, keys, values, head, kept) {
    const p = new Float64Array(kept);
    let max = -Infinity;
    for (let s = 0; s < kept; s++) {
        for (let d = 0; d < HEAD_DIM; d++) p[s] += q[head + d] * keys[s * DIM + head + d];
        p[s] /= Math.sqrt(HEAD_DIM);
        max = Math.max(max, p[s]);
    }
    let sum = 0;
    for (let s = 0; s < kept; s++) {
        p[s] = Math.exp(p[s] - max);
        sum += p[s];
    }
    for (let s = 0; s < kept; s++) {
        for (let d = 0; d < HEAD_DIM; d++) out[head + d] += (p[s] / sum) * values[s * DIM + head + d];
    }
}

/**
 * Contestants compute in float32 over 768 to 4096 terms: a few 1e-7 of the largest output. A wrong kernel is off by
 * 1e-2.
 */
const TOLERANCE = 1e-5;

/**
 * @param {string} who
 * @param {Case} c
 * @param {ArrayLike<number>} got
 * @param {Float64Array} want
 * @param {number} [tolerance]
 * @returns {number} its relativeError
 * @throws {Error} when that is too much
 */
export function checkOutput(who, c, got, want, tolerance = TOLERANCE) {
    const error = relativeError(c, got, want);
    if (!(error <= tolerance)) throw new Error(`${who} is wrong on ${c.title}: error ${error}`);
    return error;
}

/**
 * Largest difference of an output [T][F] from the checked rows of the reference, over their largest magnitude.
 * @param {Case} c @param {ArrayLike<number>} got @param {Float64Array} want
 */
function relativeError(c, got, want) {
    if (got.length !== c.t * DIM) throw new Error(`${got.length} numbers, expected ${c.t * DIM}`);
    let difference = 0;
    let scale = 0;
    for (const [r, i] of checkedRows(c).entries()) {
        for (let n = 0; n < DIM; n++) {
            const expected = want[r * DIM + n];
            const error = Math.abs(got[i * DIM + n] - expected);
            // Written so that a NaN counts as infinitely wrong.
            if (!(error <= difference)) difference = error;
            scale = Math.max(scale, Math.abs(expected));
        }
    }
    return Number.isNaN(difference) ? Infinity : difference / scale;
}
