/**
 * Bytes that came from outside and are not what they should be. `code` is stable and meant for programs; the message is
 * meant for people and may change.
 *
 * Codes of a safetensors file: `truncated`, `header-too-short`, `header-too-large`, `header-not-utf8`,
 * `header-not-json`, `header-not-object`, `duplicate-name`, `bad-metadata`, `bad-entry`, `bad-dtype`, `bad-shape`,
 * `shape-overflow`, `bad-offsets`, `size-mismatch`, `tensor-overlap`, `tensor-gap`, `trailing-bytes`.
 * Codes of a model: `config-missing`, `config-not-json`, `config-invalid`, `config-unsupported`, `tokenizer-missing`,
 * `tokenizer-not-json`, `tokenizer-invalid`, `tokenizer-unsupported`, `tensor-missing`, `tensor-shape`, `tensor-dtype`.
 */
export class FormatError extends Error {
    /**
     * @param {string} code
     * @param {string} message
     * @param {ErrorOptions} [options]
     */
    constructor(code, message, options) {
        super(message, options);
        this.name = 'FormatError';
        /** @type {string} stable, one of the codes above */
        this.code = code;
    }
}

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
