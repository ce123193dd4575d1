// JSON from outside: decoded and parsed, with a FormatError that names the file.

import { FormatError } from '../check.js';

/** Far more than any file of a model needs, far less than what exhausts a stack. */
const MAX_DEPTH = 128;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Of { and, but for the bit 0x20, of [. */
const OPENING = 0x7b;
/** Of } and, but for the bit 0x20, of ]. */
const CLOSING = 0x7d;

/** A parser's message quotes the text, which may hold anything. */
const MESSAGE_LENGTH = 200;

/**
 * @param {Uint8Array} bytes
 * @param {string} what names the text in codes: 'header', 'config', 'tokenizer'
 * @param {string} [name] names it in messages
 * @returns {{ text: string, value: any }}
 */
export function parseJson(bytes, what, name = `the ${what}`) {
    let text;
    try {
        text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
        const code = what === 'header' ? 'header-not-utf8' : `${what}-not-json`;
        throw new FormatError(code, `${name} is not UTF-8 text`, { cause });
    }
    checkDepth(bytes, what, name);
    try {
        return { text, value: JSON.parse(text) };
    } catch (cause) {
        const message = /** @type {Error} */ (cause).message.slice(0, MESSAGE_LENGTH);
        throw new FormatError(`${what}-not-json`, `${name} is not JSON: ${message}`, { cause });
    }
}

/**
 * Whoever walks through the value later may recurse.
 * @param {Uint8Array} bytes UTF-8, in which no byte of a longer character looks like one of these
 * @param {string} what
 * @param {string} name
 */
function checkDepth(bytes, what, name) {
    let depth = 0;
    for (let i = 0; i < bytes.length; i++) {
        const byte = bytes[i];
        if (byte === QUOTE) {
            for (i++; i < bytes.length && bytes[i] !== QUOTE; i++) {
                i += bytes[i] === BACKSLASH ? 1 : 0;
            }
        } else if ((byte | 0x20) === OPENING) {
            if (++depth > MAX_DEPTH) {
                throw new FormatError(`${what}-not-json`, `${name} is nested deeper than ${MAX_DEPTH}`);
            }
        } else if ((byte | 0x20) === CLOSING) {
            depth--;
        }
    }
}

/** @param {unknown} value @returns {value is Record<string, any>} */
export function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}
