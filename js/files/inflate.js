// Inflating in memory, by the platform.

import { FormatError } from '../check.js';

/**
 * @param {Uint8Array} data
 * @param {number} size what has to come out, exactly
 * @param {'deflate' | 'deflate-raw'} format
 * @param {(words: string, cause?: unknown) => never} fail words: what is wrong with it
 * @returns {Promise<Uint8Array>}
 */
export async function inflate(data, size, format, fail) {
    const unpacked = new Uint8Array(size);
    // Copied, as shared memory is no part of a Blob; the stream takes pieces as it needs them.
    const packed = new Blob([data.slice()]).stream();
    const reader = packed.pipeThrough(new DecompressionStream(format)).getReader();
    let at = 0;
    try {
        for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
            const piece = /** @type {Uint8Array} */ (value);
            if (piece.length > size - at) {
                fail(`becomes longer than the ${size} bytes that it should have`);
            }
            unpacked.set(piece, at);
            at += piece.length;
        }
    } catch (cause) {
        if (cause instanceof FormatError) {
            throw cause;
        }
        fail('cannot be inflated', cause);
    } finally {
        reader.cancel().catch(() => {});
    }
    return at === size ? unpacked : fail(`has only ${at} of its ${size} bytes`);
}
