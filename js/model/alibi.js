// Attention with linear biases (ALiBi; Press et al. 2022): what each head takes off a logit for every position in between.

/** Of a double that is multiplied by it and comes back, the eight bits of a bfloat16 stay (Dekker 1971). */
const EIGHT_BITS = 2 ** 45 + 1;

/**
 * @param {import('./description.js').Alibi} alibi
 * @param {number} heads
 * @returns {Float32Array} the slope of each head: 2 ** (-most (h + 1) / heads) where their number is a power of two; else those of the
 *   largest power below, and then every other one of the next
 */
export function slopesOf({ most, scale = 1, half }, heads) {
    const whole = 2 ** (31 - Math.clz32(heads));
    return Float32Array.from({ length: heads }, (_, h) => {
        const slope = 2 ** (-most / whole * (h < whole ? h + 1 : h - whole + 0.5));
        const large = slope * EIGHT_BITS;
        return scale * (half ? large - (large - slope) : slope);
    });
}
