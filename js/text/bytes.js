// Bytes as letters (byte-level BPE) and as tokens (`<0x0A>`).

/**
 * The byte that every letter of a byte-level vocabulary stands for: printable Latin-1 characters stand for themselves,
 * the other bytes, in order, for the characters from 256 on (Radford et al. 2019, "Language models are unsupervised
 * multitask learners", and its published encoder).
 * @type {Map<string, number>}
 */
const BYTE_OF = new Map();
/** The letter of every byte. @type {string[]} */
const LETTER_OF = [];
for (let byte = 0, other = 256; byte < 256; byte++) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    LETTER_OF[byte] = String.fromCharCode(printable ? byte : other++);
    BYTE_OF.set(LETTER_OF[byte], byte);
}

const encoder = new TextEncoder();

/** @param {string} text @returns {Uint8Array} */
export function utf8(text) {
    return encoder.encode(text);
}

/** @param {string} text @returns {string} a letter for each of its bytes */
export function toLetters(text) {
    // Text that is its own spelling, as most words are.
    if (/^[!-~]*$/.test(text)) return text;
    const bytes = encoder.encode(text);
    let letters = '';
    for (let i = 0; i < bytes.length; i++) letters += LETTER_OF[bytes[i]];
    return letters;
}

/** @param {string} token @returns {Uint8Array} its bytes; a token with other letters is text as it stands */
export function fromLetters(token) {
    const bytes = new Uint8Array(token.length);
    for (let i = 0; i < token.length; i++) {
        const byte = BYTE_OF.get(token[i]);
        if (byte === undefined) return encoder.encode(token);
        bytes[i] = byte;
    }
    return bytes;
}

/** @param {number} byte @returns {string} */
export function byteToken(byte) {
    return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
}

/** @param {string} token @returns {number} the byte of `<0x0A>`, or -1 */
export function byteOfToken(token) {
    return token.length === 6 && /^<0x[0-9a-fA-F]{2}>$/.test(token) ? parseInt(token.slice(3, 5), 16) : -1;
}
