// How Keras quantizes a kernel, in float32, operation by operation.

const f = Math.fround;

/** Keras's epsilon, which keeps scales finite. */
const EPSILON = f(1e-7);

/** Inputs that share a scale in int4. */
const BLOCK = 128;

/** @param {number} value @returns {number} the nearest integer, ties to even */
function rounded(value) {
    const floor = Math.floor(value);
    const above = value - floor;
    return above > 0.5 || (above === 0.5 && floor % 2 !== 0) ? floor + 1 : floor;
}

/**
 * @param {ArrayLike<number>} kernel [inputs][outputs]
 * @param {number} outputs
 * @returns {{ rows: Int8Array, scales: Float32Array }} [outputs][inputs] integers, and what they are to be divided by
 */
export function toInt8(kernel, outputs) {
    const inputs = kernel.length / outputs;
    const most = new Float32Array(outputs);
    for (let i = 0; i < kernel.length; i++) most[i % outputs] = Math.max(most[i % outputs], Math.abs(kernel[i]));
    const scales = most.map((m) => f(127 / f(m + EPSILON)));
    const rows = new Int8Array(kernel.length);
    for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) {
            const q = rounded(f(kernel[i * outputs + o] * scales[o]));
            rows[o * inputs + i] = Math.min(127, Math.max(-127, q));
        }
    }
    return { rows, scales };
}

/**
 * @param {Float32Array} kernel [inputs][outputs]
 * @param {number} outputs
 * @returns {Float32Array} the values that int4 in blocks of inputs leaves of it
 */
export function throughInt4(kernel, outputs) {
    const values = new Float32Array(kernel.length);
    const inputs = kernel.length / outputs;
    for (let first = 0; first < inputs; first += BLOCK) {
        const end = Math.min(inputs, first + BLOCK);
        for (let o = 0; o < outputs; o++) {
            // Keras fills the last block up with zeros; that of a full one need not have zero in its range.
            let [low, high] = first + BLOCK > inputs ? [0, 0] : [Infinity, -Infinity];
            for (let i = first; i < end; i++) {
                low = Math.min(low, kernel[i * outputs + o]);
                high = Math.max(high, kernel[i * outputs + o]);
            }
            const scale = f(f(f(high - low) + EPSILON) / 15);
            const zero = Math.min(7, Math.max(-8, rounded(f(-low / scale)) - 8));
            for (let i = first; i < end; i++) {
                const q = rounded(f(kernel[i * outputs + o] / scale)) + zero;
                values[i * outputs + o] = f((Math.min(7, Math.max(-8, q)) - zero) * scale);
            }
        }
    }
    return values;
}
