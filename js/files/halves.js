// Half floats as the float32 numbers that they are.

/**
 * @param {'F16' | 'BF16'} type
 * @param {Uint8Array} bytes at the start of their buffer or aligned for the type
 * @returns {Float32Array<ArrayBuffer>} of a buffer of its own
 */
export function widen(type, bytes) {
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    const floats = new Float32Array(halves.length);
    const bits = new Uint32Array(floats.buffer);
    if (type === 'BF16') {
        for (let i = 0; i < halves.length; i++) {
            bits[i] = halves[i] << 16;
        }
        return floats;
    }
    for (let i = 0; i < halves.length; i++) {
        const half = halves[i];
        if ((half & 0x7c00) === 0x7c00) {
            bits[i] = 0x7f800000 | (half & 0x3ff) << 13;
        } else {
            // Exponents differ by 112; the product is exact, and turns a float's subnormal into the half's.
            bits[i] = (half & 0x7fff) << 13;
            floats[i] *= 2 ** 112;
        }
        bits[i] |= (half & 0x8000) << 16;
    }
    return floats;
}
