// Attention with linear biases (ALiBi; Press et al. 2022): what each head takes off a logit for every position in between.

/**
 * @param {import('./description.js').Alibi} alibi
 * @param {number} heads
 * @returns {Float32Array} the slope of each head: 2 ** (-most (h + 1) / heads) where their number is a power of two; else those of the
 *   largest power below, and then every other one of the next
 */
export function slopesOf({ most, scale = 1, half = false }, heads) {
    const whole = 2 ** (31 - Math.clz32(heads));
    const slopes = Float32Array.from({ length: heads }, (_, h) => 2 ** (-most / whole * (h < whole ? h + 1 : h - whole + 0.5)));
    if (half) {
        const bits = new Uint32Array(slopes.buffer);
        bits.forEach((word, i) => { bits[i] = (word + 0x7fff + (word >>> 16 & 1)) & 0xffff0000; });
    }
    return slopes.map((slope) => scale * slope);
}
