// SentencePiece's precompiled normalization rules: a double-array trie over UTF-8 bytes, then the replacements, each ended by a zero byte.

import { utf8 } from './bytes.js';
import { invalid } from './parts.js';

/**
 * Most bytes of a string and of its replacement; the longest of Unicode take 33. Without the limit a malicious table could take quadratic
 * time: without zero bytes, or with a trie that leads back to itself.
 */
const MOST_BYTES = 256;

/**
 * @param {unknown} source base64, or the bytes
 * @param {boolean} longest whether the longest match at each place is replaced, as in llama.cpp; otherwise text is replaced grapheme by
 *   grapheme, as in Hugging Face's tokenizers
 * @param {string} where
 * @returns {(text: string) => string}
 */
export function charsmap(source, longest, where) {
    if (source === undefined || source === null || source === '') return (text) => text;
    const bytes = source instanceof Uint8Array ? source : fromBase64(source, where);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const size = bytes.length >= 4 ? view.getUint32(0, true) : bytes.length;
    if (size % 4 !== 0 || size + 4 > bytes.length) throw invalid(`${where}.precompiled_charsmap is cut short`);
    const units = new Uint32Array(size / 4);
    for (let i = 0; i < units.length; i++) units[i] = view.getUint32(4 + i * 4, true);
    const table = new Table(units, bytes.subarray(4 + size));
    return longest ? (text) => byLongest(table, text) : (text) => byGrapheme(table, text);
}

/** @param {unknown} text @param {string} where @returns {Uint8Array} */
function fromBase64(text, where) {
    try {
        return Uint8Array.from(atob(/** @type {string} */ (text)), (c) => c.charCodeAt(0));
    } catch {
        throw invalid(`${where}.precompiled_charsmap is not base64`);
    }
}

class Table {
    /** @param {Uint32Array} units @param {Uint8Array} texts */
    constructor(units, texts) {
        this._units = units;
        this._texts = texts;
        this._decoder = new TextDecoder('utf-8', { ignoreBOM: true });
    }

    /**
     * @param {Uint8Array} key
     * @param {number} from
     * @param {boolean} longest else the shortest
     * @returns {{ length: number, text: string } | null}
     */
    find(key, from, longest) {
        let found = null;
        let node = offset(this._units[0] ?? 0);
        for (let i = from; i < Math.min(key.length, from + MOST_BYTES) && key[i] !== 0; i++) {
            node ^= key[i];
            const unit = this._units[node];
            if (unit === undefined || (unit & 0x800000FF) >>> 0 !== key[i]) break;
            node ^= offset(unit);
            if ((unit >>> 8) & 1) {
                found = { length: i + 1 - from, at: (this._units[node] ?? 0) & 0x7FFFFFFF };
                if (!longest) break;
            }
        }
        if (!found) return null;
        const rest = this._texts.subarray(found.at, found.at + MOST_BYTES);
        const end = rest.indexOf(0);
        const text = this._decoder.decode(rest.subarray(0, end < 0 ? undefined : end));
        return { length: found.length, text };
    }
}

/** @param {number} unit @returns {number} */
function offset(unit) {
    return ((unit >>> 10) << ((unit & 0x200) >>> 6)) >>> 0;
}

/** @param {Table} table @param {string} text @returns {string} */
function byGrapheme(table, text) {
    let result = '';
    for (const { segment } of new Intl.Segmenter('en', { granularity: 'grapheme' }).segment(text)) {
        const bytes = utf8(segment);
        const whole = bytes.length < 6 ? table.find(bytes, 0, false) : null;
        if (whole) {
            result += whole.text;
        } else {
            for (const letter of segment) result += table.find(utf8(letter), 0, false)?.text ?? letter;
        }
    }
    return result;
}

/** @param {Table} table @param {string} text @returns {string} */
function byLongest(table, text) {
    const bytes = utf8(text);
    let result = '';
    for (let at = 0, unit = 0; at < bytes.length;) {
        const found = table.find(bytes, at, true);
        const letter = String.fromCodePoint(text.codePointAt(unit) ?? 0xFFFD);
        result += found ? found.text : letter;
        const end = at + (found ? found.length : utf8(letter).length);
        while (at < end) {
            const next = String.fromCodePoint(text.codePointAt(unit) ?? 0xFFFD);
            at += utf8(next).length;
            unit += next.length;
        }
    }
    return result;
}
