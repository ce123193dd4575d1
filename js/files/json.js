// JSON from outside: decoded and parsed, with a FormatError that names the file.

import { FormatError } from '../check.js';

/**
 * @param {Uint8Array} bytes
 * @param {string} what names the text in messages and codes: 'header', 'config', 'tokenizer'
 * @returns {{ text: string, value: any }}
 */
export function parseJson(bytes, what) {
    let text;
    try {
        text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
        const code = what === 'header' ? 'header-not-utf8' : `${what}-not-json`;
        throw new FormatError(code, `the ${what} is not UTF-8 text`, { cause });
    }
    try {
        return { text, value: JSON.parse(text) };
    } catch (cause) {
        const { message } = /** @type {Error} */ (cause);
        throw new FormatError(`${what}-not-json`, `the ${what} is not JSON: ${message}`, { cause });
    }
}

/** @param {unknown} value @returns {value is Record<string, any>} */
export function isObject(value) {
    return typeof value === 'object' && value !== null && !Array.isArray(value);
}
