// What Python counts as white space: JavaScript's \s has one character more (U+FEFF) and five fewer.

export const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const LEADING = new RegExp(`^[${SPACE}]+`);
const ONE = new RegExp(`[${SPACE}]`);

/** @param {string} text @returns {string} */
export function trimStart(text) {
    return text.replace(LEADING, '');
}

/** @param {string} text @param {number} at */
function isSpace(text, at) {
    const code = text.charCodeAt(at);
    return code === 32 || ((code < 32 || code >= 0x85) && ONE.test(text[at]));
}

/**
 * @param {string} text
 * @returns {string} from the end, character by character: a pattern with $ would try everywhere
 */
export function trimEnd(text) {
    let end = text.length;
    while (end > 0 && isSpace(text, end - 1)) end--;
    return text.slice(0, end);
}
