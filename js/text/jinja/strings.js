// The methods of Python's str. Positions and lengths count characters, where JavaScript's count some characters twice.

import { bind } from './arguments.js';
import { formatBraces } from './format.js';
import { characters, iterate, plain, textLength } from './sequences.js';
import { SPACE, trimEnd, trimStart } from './space.js';
import { TemplateError, Tuple, typeName } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */

const WORDS = new RegExp(`[^${SPACE}]+`, 'g');
const LINE_ENDS = /\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g;

/** @param {any} value @param {string} method @returns {string} */
function textOf(value, method) {
    if (typeof value !== 'string') throw new TemplateError(`${method}() argument must be str, not ${typeName(value)}`);
    return value;
}

/** @param {any} value @param {number} fallback @returns {number} a whole number near which all lengths lie */
export function indexOf(value, fallback) {
    if (value === undefined || value === null) return fallback;
    if (typeof value !== 'bigint' && typeof value !== 'boolean') {
        throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
    }
    return Number(value);
}

/**
 * @param {Machine} m
 * @param {string} text
 * @param {any} chars null: space
 * @param {boolean} left
 * @param {boolean} right
 */
export function strip(m, text, chars, left, right) {
    if (chars === undefined || chars === null) {
        const start = left ? trimStart(text) : text;
        return right ? trimEnd(start) : start;
    }
    m.limits.walk(textOf(chars, 'strip').length);
    const set = new Set(chars);
    const all = characters(text, m.limits);
    let start = 0;
    let end = all.length;
    while (left && start < end && set.has(all[start])) start++;
    while (right && end > start && set.has(all[end - 1])) end--;
    return all.slice(start, end).join('');
}

/** @param {Machine} m @param {string} text @param {string} separator */
function checkSeparator(m, text, separator) {
    if (separator === '') throw new TemplateError('empty separator');
    m.limits.search(text, separator);
}

/** @param {Machine} m @param {string} text @param {any} separator @param {any} limit @param {boolean} fromRight */
function split(m, text, separator, limit, fromRight) {
    const most = indexOf(limit, -1);
    m.limits.text(text.length * 2);
    if (separator === undefined || separator === null) return splitSpace(text, most, fromRight);
    checkSeparator(m, text, textOf(separator, 'split'));
    const parts = text.split(separator);
    m.limits.spend(parts.length);
    if (most < 0 || parts.length <= most + 1) return parts;
    const cut = fromRight ? parts.length - most : most;
    return fromRight ? [parts.slice(0, cut).join(separator), ...parts.slice(cut)]
        : [...parts.slice(0, cut), parts.slice(cut).join(separator)];
}

/** @param {string} text @param {number} most @param {boolean} fromRight */
function splitSpace(text, most, fromRight) {
    const words = [...text.matchAll(WORDS)];
    if (most < 0 || words.length <= most) return words.map(([word]) => word);
    if (fromRight) {
        const cut = words.length - most;
        const end = cut > 0 ? words[cut - 1].index + words[cut - 1][0].length : 0;
        const rest = trimStart(text.slice(0, end)) && text.slice(0, end);
        return [...rest ? [rest] : [], ...words.slice(cut).map(([word]) => word)];
    }
    const rest = words[most] ? trimStart(text.slice(words[most].index)) : '';
    return [...words.slice(0, most).map(([word]) => word), ...rest ? [rest] : []];
}

/** @param {Machine} m @param {string} text @param {any} keepEnds */
export function splitLines(m, text, keepEnds = false) {
    m.limits.text(text.length * 2);
    const lines = [];
    let at = 0;
    for (const end of text.matchAll(LINE_ENDS)) {
        lines.push(text.slice(at, end.index + (keepEnds ? end[0].length : 0)));
        at = end.index + end[0].length;
    }
    if (at < text.length) lines.push(text.slice(at));
    m.limits.spend(lines.length);
    return lines;
}

/** @param {Machine} m @param {string} text @param {any} from @param {any} to @param {any} [count] */
export function replace(m, text, from, to, count) {
    const most = indexOf(count, -1);
    const old = textOf(from, 'replace');
    const fresh = textOf(to, 'replace');
    const parts = old === '' ? ['', ...text, ''] : (m.limits.search(text, old), text.split(old));
    m.limits.spend(parts.length);
    const replaced = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
    m.limits.text(text.length + replaced * Math.max(0, fresh.length - old.length));
    if (replaced === parts.length - 1) return parts.join(fresh);
    return parts.slice(0, replaced + 1).join(fresh) + old + parts.slice(replaced + 1).join(old);
}

/**
 * @param {Machine} m
 * @param {string} text
 * @param {any} part
 * @param {any} start
 * @param {any} end
 * @param {boolean} last
 */
function find(m, text, part, start, end, last) {
    const wanted = textOf(part, 'find');
    m.limits.search(text, wanted);
    const [from, window] = slice(m, text, start, end);
    if (from < 0) return -1n;
    const at = last ? window.lastIndexOf(wanted) : window.indexOf(wanted);
    return at < 0 ? -1n : BigInt(from + textLength(window.slice(0, at), m.limits));
}

/**
 * @param {Machine} m
 * @param {string} text
 * @param {any} start
 * @param {any} end
 * @returns {[number, string]} -1 where start lies behind the end
 */
function slice(m, text, start, end) {
    if ((start ?? null) === null && (end ?? null) === null) return [0, text];
    const all = characters(text, m.limits);
    const bound = (/** @type {number} */ at) => Math.max(0, at < 0 ? at + all.length : at);
    const from = bound(indexOf(start, 0));
    return from > all.length ? [-1, ''] : [from, all.slice(from, bound(indexOf(end, all.length))).join('')];
}

/**
 * @param {Machine} m
 * @param {string} text
 * @param {any} part
 * @param {any} start
 * @param {any} end
 * @param {'startsWith' | 'endsWith'} how
 */
function matches(m, text, part, start, end, how) {
    const [from, window] = slice(m, text, start, end);
    const parts = part instanceof Tuple ? part.items : [part];
    m.limits.spend(parts.length);
    return from >= 0 && parts.some((one) => window[how](textOf(one, how.toLowerCase())));
}

/** @param {string} text @returns {string} each word's first letter raised, where anything but a letter ends a word */
function title(text) {
    let inWord = false;
    return Array.from(text, (char) => {
        const cased = /\p{Ll}|\p{Lu}|\p{Lt}/u.test(char);
        const result = inWord ? char.toLowerCase() : char.toUpperCase();
        inWord = cased;
        return result;
    }).join('');
}

/** @param {string} text */
export function capitalize(text) {
    const [first = ''] = text;
    return first.toUpperCase() + text.slice(first.length).toLowerCase();
}

/**
 * @param {Machine} m
 * @param {string} text
 * @param {any} width
 * @param {any} fill
 * @param {'left' | 'right' | 'center'} where
 */
export function justify(m, text, width, fill = ' ', where = 'center') {
    const missing = indexOf(width, 0) - textLength(text, m.limits);
    if (Array.from(textOf(fill, 'fill')).length !== 1) {
        throw new TemplateError('The fill character must be one character long');
    }
    if (missing <= 0) return text;
    m.limits.text(text.length + missing * fill.length);
    // As CPython rounds: the odd one goes left where the width is odd.
    const half = Math.floor(missing / 2) + (missing & indexOf(width, 0) & 1);
    const before = where === 'left' ? 0 : where === 'right' ? missing : half;
    return fill.repeat(before) + text + fill.repeat(missing - before);
}

/** @param {Machine} m @param {string} separator @param {any} items */
function join(m, separator, items) {
    const parts = [];
    let length = 0;
    for (const item of iterate(items, m.limits)) {
        const text = plain(item);
        if (typeof text !== 'string') {
            throw new TemplateError(`sequence item ${parts.length}: expected str instance, ${typeName(item)} found`);
        }
        length += text.length + separator.length;
        m.limits.text(text.length, length);
        parts.push(text);
    }
    return parts.join(separator);
}

/** @param {Machine} m @param {string} text @param {any} separator @param {boolean} last */
function partition(m, text, separator, last) {
    const wanted = textOf(separator, 'partition');
    checkSeparator(m, text, wanted);
    const at = last ? text.lastIndexOf(wanted) : text.indexOf(wanted);
    if (at < 0) return new Tuple(last ? ['', '', text] : [text, '', '']);
    return new Tuple([text.slice(0, at), wanted, text.slice(at + wanted.length)]);
}

/** @param {Machine} m @param {string} text @param {any} width */
function zeroFill(m, text, width) {
    const missing = Math.max(0, indexOf(width, 0) - textLength(text, m.limits));
    m.limits.text(text.length + missing);
    const sign = /^[-+]/.test(text) ? text[0] : '';
    return sign + '0'.repeat(missing) + text.slice(sign.length);
}

/** @param {bigint} at @param {string} what */
function found(at, what = 'substring not found') {
    if (at < 0n) throw new TemplateError(what);
    return at;
}

/** @param {Machine} m @param {number} length so far @param {number} size @returns {number} size, once there is room */
function tabWidth(m, length, size) {
    m.limits.text(size, length + size);
    return size;
}

/** @param {Machine} m @param {string} text @param {any} tabs */
function expandTabs(m, text, tabs) {
    const size = Math.max(0, indexOf(tabs, 8));
    let column = 0;
    let length = 0;
    return characters(text, m.limits).map((char) => {
        const result = char !== '\t' ? char : size === 0 ? '' : ' '.repeat(tabWidth(m, length, size) - column % size);
        column = /[\n\r]/.test(char) ? 0 : column + result.length;
        length += result.length;
        return result;
    }).join('');
}

/** @param {RegExp} pattern @returns {(m: Machine, text: string) => boolean} */
function all(pattern) {
    return (_, text) => text !== '' && pattern.test(text);
}

/** @param {RegExp} wanted @param {RegExp} unwanted @returns {(m: Machine, text: string) => boolean} */
function cased(wanted, unwanted) {
    return (_, text) => wanted.test(text) && !unwanted.test(text);
}

/** @param {string} text */
function isTitle(text) {
    return /\p{Lu}|\p{Lt}|\p{Ll}/u.test(text) && title(text) === text;
}

/**
 * Name, parameters, how many of them must come.
 * @type {[string, string[], number, (m: Machine, text: string, ...args: any[]) => any][]}
 */
const TABLE = [
    ['capitalize', [], 0, (_, text) => capitalize(text)],
    ['casefold', [], 0, (_, text) => text.toLowerCase().replaceAll('ß', 'ss')],
    ['center', ['width', 'fillchar'], 1, (m, text, width, fill) => justify(m, text, width, fill, 'center')],
    ['ljust', ['width', 'fillchar'], 1, (m, text, width, fill) => justify(m, text, width, fill, 'left')],
    ['rjust', ['width', 'fillchar'], 1, (m, text, width, fill) => justify(m, text, width, fill, 'right')],
    ['zfill', ['width'], 1, zeroFill],
    ['count', ['sub', 'start', 'end'], 1, (m, text, part, start, end) => {
        const wanted = textOf(part, 'count');
        m.limits.search(text, wanted);
        const [from, window] = slice(m, text, start, end);
        if (from < 0) return 0n;
        return BigInt(wanted === '' ? textLength(window, m.limits) + 1 : window.split(wanted).length - 1);
    }],
    ['startswith', ['prefix', 'start', 'end'], 1, (m, text, part, start, end) => {
        return matches(m, text, part, start, end, 'startsWith');
    }],
    ['endswith', ['suffix', 'start', 'end'], 1, (m, text, part, start, end) => {
        return matches(m, text, part, start, end, 'endsWith');
    }],
    ['expandtabs', ['tabsize'], 0, expandTabs],
    ['find', ['sub', 'start', 'end'], 1, (m, text, part, start, end) => find(m, text, part, start, end, false)],
    ['rfind', ['sub', 'start', 'end'], 1, (m, text, part, start, end) => find(m, text, part, start, end, true)],
    ['index', ['sub', 'start', 'end'], 1, (m, text, part, start, end) => found(find(m, text, part, start, end, false))],
    ['rindex', ['sub', 'start', 'end'], 1, (m, text, part, start, end) => found(find(m, text, part, start, end, true))],
    ['isalnum', [], 0, all(/^[\p{L}\p{N}]+$/u)],
    ['isalpha', [], 0, all(/^\p{L}+$/u)],
    ['isascii', [], 0, (_, text) => /^[\0-\x7f]*$/.test(text)],
    ['isdecimal', [], 0, all(/^\p{Nd}+$/u)],
    ['isdigit', [], 0, all(/^[\p{Nd}\u00b2\u00b3\u00b9\u2070\u2074-\u2079\u2080-\u2089]+$/u)],
    ['isnumeric', [], 0, all(/^\p{N}+$/u)],
    ['isidentifier', [], 0, all(/^[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*$/u)],
    ['isprintable', [], 0, (_, text) => !/[\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u.test(text)],
    ['isspace', [], 0, all(new RegExp(`^[${SPACE}]+$`))],
    ['islower', [], 0, cased(/\p{Lowercase}/u, /\p{Lu}|\p{Lt}/u)],
    ['isupper', [], 0, cased(/\p{Uppercase}/u, /\p{Ll}|\p{Lt}/u)],
    ['istitle', [], 0, (m, text) => (m.limits.walk(text.length * 4), isTitle(text))],
    ['join', ['iterable'], 1, join],
    ['lower', [], 0, (_, text) => text.toLowerCase()],
    ['upper', [], 0, (_, text) => text.toUpperCase()],
    ['swapcase', [], 0, (m, text) => (m.limits.walk(text.length * 4), characters(text, m.limits)).map((char) => {
        return char === char.toLowerCase() ? char.toUpperCase() : char.toLowerCase();
    }).join('')],
    ['title', [], 0, (m, text) => (m.limits.walk(text.length * 4), title(text))],
    ['strip', ['chars'], 0, (m, text, chars) => strip(m, text, chars, true, true)],
    ['lstrip', ['chars'], 0, (m, text, chars) => strip(m, text, chars, true, false)],
    ['rstrip', ['chars'], 0, (m, text, chars) => strip(m, text, chars, false, true)],
    ['partition', ['sep'], 1, (m, text, separator) => partition(m, text, separator, false)],
    ['rpartition', ['sep'], 1, (m, text, separator) => partition(m, text, separator, true)],
    ['removeprefix', ['prefix'], 1, (_, text, part) => {
        return text.startsWith(textOf(part, 'removeprefix')) ? text.slice(part.length) : text;
    }],
    ['removesuffix', ['suffix'], 1, (_, text, part) => {
        return part !== '' && text.endsWith(textOf(part, 'removesuffix')) ? text.slice(0, -part.length) : text;
    }],
    ['replace', ['old', 'new', 'count'], 2, replace],
    ['split', ['sep', 'maxsplit'], 0, (m, text, separator, limit) => split(m, text, separator, limit, false)],
    ['rsplit', ['sep', 'maxsplit'], 0, (m, text, separator, limit) => split(m, text, separator, limit, true)],
    ['splitlines', ['keepends'], 0, splitLines],
];

/** @typedef {(m: Machine, text: string, args: any[], kwargs: Map<string, any>) => any} StringMethod */

/** @type {Map<string, StringMethod>} */
export const STRING_METHODS = new Map();
for (const [name, parameters, required, run] of TABLE) {
    STRING_METHODS.set(name, (m, text, args, kwargs) => {
        m.limits.text(text.length);
        return run(m, text, ...bind(name, parameters, required, args.map(plain), kwargs));
    });
}
STRING_METHODS.set('format', (m, text, args, kwargs) => {
    const member = (/** @type {any} */ value, /** @type {any} */ name, /** @type {boolean} */ isItem) => {
        return isItem ? m.item(value, name) : m.attribute(value, name);
    };
    return formatBraces(text, args, kwargs, member, m.limits);
});
