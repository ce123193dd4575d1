// Normalizers of tokenizer.json: text to text.

import { show } from '../check.js';
import { toLetters } from './bytes.js';
import { charsmap } from './charsmap.js';
import { invalid } from './parts.js';
import { literalRegex, replaced, translateRegex } from './regex.js';

/** @typedef {import('./parts.js').Part} Part */
/** @typedef {(text: string) => string} Normalizer */

/** @param {Part} part @returns {Normalizer} */
export function normalizer(part) {
    const make = NORMALIZERS.get(part.type);
    if (!make) throw part.unknown();
    return make(part);
}

/** Letter by letter: no final sigma. @param {string} text @returns {string} */
function lowercase(text) {
    return text.includes('Σ') ? text.split('Σ').map((piece) => piece.toLowerCase()).join('σ') : text.toLowerCase();
}

/**
 * `{ String }` or `{ Regex }`, as Replace and Split have it.
 * @param {Part} part
 * @returns {RegExp} global
 */
export function pattern(part) {
    const value = part.get('pattern');
    const where = `${part.where}.pattern`;
    const literal = typeof value === 'string' ? value : value?.String;
    if (typeof literal === 'string') return literalRegex(literal);
    if (typeof value?.Regex === 'string') return translateRegex(value.Regex, where);
    throw invalid(`${where} must be { String } or { Regex }, got ${show(value)}`);
}

/** @param {'NFC' | 'NFD' | 'NFKC' | 'NFKD'} form @returns {(part: Part) => Normalizer} */
function unicodeForm(form) {
    return (part) => {
        part.only([]);
        return (text) => text.normalize(form);
    };
}

/** @type {Map<string, (part: Part) => Normalizer>} */
const NORMALIZERS = new Map(Object.entries({
    Sequence(part) {
        part.only(['normalizers']);
        const all = part.parts('normalizers').map(normalizer);
        return (text) => all.reduce((result, one) => one(result), text);
    },
    NFC: unicodeForm('NFC'),
    NFD: unicodeForm('NFD'),
    NFKC: unicodeForm('NFKC'),
    NFKD: unicodeForm('NFKD'),
    Lowercase(part) {
        part.only([]);
        return lowercase;
    },
    Strip(part) {
        part.only(['strip_left', 'strip_right']);
        const left = part.boolean('strip_left', true);
        const right = part.boolean('strip_right', true);
        return (text) => {
            const start = left ? text.replace(/^\p{White_Space}+/u, '') : text;
            return right ? trimEnd(start) : start;
        };
    },
    StripAccents(part) {
        part.only([]);
        return (text) => text.replace(/\p{M}+/gu, '');
    },
    Replace(part) {
        part.only(['pattern', 'content']);
        const from = pattern(part);
        const to = part.string('content');
        return (text) => replaced(text, from, to);
    },
    Prepend(part) {
        part.only(['prepend']);
        const start = part.string('prepend');
        return (text) => (text === '' ? '' : start + text);
    },
    Precompiled(part) {
        part.only(['precompiled_charsmap', 'longest']);
        return charsmap(part.get('precompiled_charsmap'), part.boolean('longest', false), part.where);
    },
    BertNormalizer: bert,
    Nmt(part) {
        part.only([]);
        return (text) => text
            .replace(/[\u0001-\u0008\u000B\u000E-\u001F\u007F\u008F\u009F]/g, '')
            .replace(/[\t\n\f\r\u1680\u200B-\u200F\u2028\u2029\u2581\uFEFF\uFFFD]/g, ' ');
    },
    ByteLevel(part) {
        part.only(['add_prefix_space', 'use_regex']);
        return toLetters;
    },
}));

/** From the end on: a pattern for the end alone takes quadratic time. @param {string} text @returns {string} */
function trimEnd(text) {
    let end = text.length;
    while (end > 0 && /\p{White_Space}/u.test(text[end - 1])) end--;
    return text.slice(0, end);
}

const IDEOGRAPHS = new RegExp('[\\u4E00-\\u9FFF\\u3400-\\u4DBF\\u{20000}-\\u{2A6DF}\\u{2A700}-\\u{2B73F}' +
    '\\u{2B740}-\\u{2B81F}\\u{2B920}-\\u{2CEAF}\\uF900-\\uFAFF\\u{2F800}-\\u{2FA1F}]', 'gu');

/** @param {Part} part @returns {Normalizer} */
function bert(part) {
    part.only(['clean_text', 'handle_chinese_chars', 'strip_accents', 'lowercase']);
    const clean = part.boolean('clean_text', true);
    const ideographs = part.boolean('handle_chinese_chars', true);
    const lower = part.boolean('lowercase', true);
    const accents = part.boolean('strip_accents', lower);
    return (text) => {
        let result = text;
        if (clean) {
            result = result.replace(/(?![\t\n\r])[\0\uFFFD\p{Cc}\p{Cf}\p{Co}]/gu, '').replace(/\p{White_Space}/gu, ' ');
        }
        if (ideographs) result = result.replace(IDEOGRAPHS, ' $& ');
        if (accents) result = result.normalize('NFD').replace(/\p{Mn}+/gu, '');
        return lower ? lowercase(result) : result;
    };
}
