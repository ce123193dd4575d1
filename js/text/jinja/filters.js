// Jinja's filters, with transformers' tojson.

import { bound } from './arguments.js';
import { getOwn } from './attributes.js';
import { isNumber } from './compare.js';
import { LIST_FILTERS } from './list-filters.js';
import { fixed, formatPercent } from './format.js';
import { escapeHtml, toFloat } from './operators.js';
import { json, str } from './print.js';
import { characters, lengthOf } from './sequences.js';
import { capitalize, indexOf, justify, replace, splitLines, strip } from './strings.js';
import { Dict, Markup, TemplateError, Tuple, Undefined, View, truthy, typeName } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */
/** @typedef {(m: Machine, value: any, args: any[], kwargs: Map<string, any>) => any} Filter */

/** @param {Machine} m @param {any} value @param {any} [fallback] @param {any} [base] */
function toInt(m, value, fallback = 0n, base = 10n) {
    if (value instanceof Undefined) value.fail();
    if (typeof value === 'string') {
        const text = strip(m, walked(m, value), null, true, true).replaceAll(/(?<=\w)_(?=\w)/g, '');
        if (text.length > 300) throw new TemplateError('a number of more than 300 digits');
        return parseInteger(text, indexOf(base, 10)) ?? truncated(parseFloatText(text)) ?? fallback;
    }
    return isNumber(value) ? truncated(value) ?? fallback : fallback;
}

/** @param {bigint | number | boolean | null} value @returns {bigint | null} */
function truncated(value) {
    if (value === null || (typeof value === 'number' && !Number.isFinite(value))) return null;
    return typeof value === 'number' ? BigInt(Math.trunc(value)) : BigInt(value);
}

/** @param {string} text @param {number} base @returns {bigint | null} */
function parseInteger(text, base) {
    const [, sign, prefix, digits] = /^([-+]?)(0[xob])?([\da-z]+)$/i.exec(text) ?? [];
    const named = prefix && { x: 16, o: 8, b: 2 }[/** @type {'x' | 'o' | 'b'} */ (prefix[1].toLowerCase())];
    if (digits === undefined || (named && base !== 0 && named !== base)) return null;
    const radix = base === 0 ? Number(named ?? 10) : base;
    let value = 0n;
    for (const digit of digits) {
        const place = parseInt(digit, 36);
        if (place >= radix) return null;
        value = value * BigInt(radix) + BigInt(place);
    }
    return sign === '-' ? -value : value;
}

/** @param {string} text @returns {number | null} */
function parseFloatText(text) {
    const named = /^([-+]?)(inf|infinity|nan)$/i.exec(text);
    if (named) return named[2].toLowerCase() === 'nan' ? NaN : named[1] === '-' ? -Infinity : Infinity;
    return /^[-+]?(\d+(\.\d*)?|\.\d+)(e[-+]?\d+)?$/i.test(text) ? Number(text) : null;
}

/** @param {Machine} m @param {any} value @param {any} [fallback] */
function toFloatFilter(m, value, fallback = 0) {
    if (value instanceof Undefined) value.fail();
    if (isNumber(value)) return toFloat(typeof value === 'boolean' ? BigInt(value) : value);
    const text = typeof value === 'string' ? strip(m, walked(m, value), null, true, true).replaceAll(/(?<=\d)_(?=\d)/g, '') : '';
    return parseFloatText(text) ?? fallback;
}

/** @param {Machine} m @param {any} value @param {any} [precision] @param {any} [method] */
function round(m, value, precision = 0n, method = 'common') {
    const digits = indexOf(precision, 0);
    if (!isNumber(value)) throw new TemplateError(`type ${typeName(value)} doesn't define __round__ method`);
    if (method === 'ceil' || method === 'floor') {
        const result = Math[/** @type {'ceil' | 'floor'} */ (method)](Number(value) * 10 ** digits);
        // Python's ceil gives an int: without decimals it is divided by an int all the same, and that is a float.
        return result / 10 ** digits;
    }
    if (method !== 'common') throw new TemplateError('method must be common, ceil or floor');
    if (typeof value !== 'number') return roundInt(BigInt(value), digits);
    if (!Number.isFinite(value)) return value;
    if (digits >= 0) return Number(fixed(value, Math.min(digits, 100)));
    return Number(roundInt(BigInt(Math.round(value)), digits));
}

/** @param {bigint} value @param {number} digits @returns {bigint} half to even */
function roundInt(value, digits) {
    if (digits >= 0) return value;
    const unit = 10n ** BigInt(Math.min(-digits, 400));
    const rest = ((value % unit) + unit) % unit;
    const down = value - rest;
    if (rest * 2n === unit) return (down / unit) % 2n === 0n ? down : down + unit;
    return rest * 2n > unit ? down + unit : down;
}

/** @param {Machine} m @param {any} width spaces, or the text itself @returns {string} */
function margins(m, width) {
    if (typeof width === 'string') return width;
    const spaces = Math.max(0, indexOf(width, 0));
    m.limits.text(spaces);
    return ' '.repeat(spaces);
}

/**
 * @param {Machine} m
 * @param {any} value
 * @param {any} [ascii]
 * @param {any} [indent]
 * @param {any} [separators]
 * @param {any} [sort]
 */
function toJson(m, value, ascii = false, indent = null, separators = null, sort = false) {
    const pretty = indent !== null;
    let [comma, colon] = [pretty ? ',' : ', ', ': '];
    if (separators !== null) {
        const pair = separators instanceof Tuple ? separators.items : separators;
        if (!Array.isArray(pair) || pair.length !== 2 || pair.some((one) => typeof one !== 'string')) {
            throw new TemplateError('tojson: separators must be two strings');
        }
        [comma, colon] = pair;
    }
    const one = pretty ? margins(m, indent) : null;
    return json(value, { ascii: truthy(ascii), indent: one, comma, colon, sort: truthy(sort) }, m.limits);
}

/** @param {Machine} m @param {any} value @param {any} [width] @param {any} [first] @param {any} [blank] */
function indentFilter(m, value, width = 4n, first = false, blank = false) {
    if (value instanceof Undefined) value.fail();
    if (typeof value !== 'string') {
        throw new TemplateError(`unsupported operand type(s) for +=: '${typeName(value)}' and 'str'`);
    }
    const margin = margins(m, width);
    const text = value;
    const lines = splitLines(m, `${text}\n`);
    m.limits.text(text.length + lines.length * margin.length);
    const rest = lines.slice(1).map((line) => (line === '' && !truthy(blank) ? line : margin + line));
    return (truthy(first) ? margin : '') + [lines[0], ...rest].join('\n');
}

/**
 * @param {Machine} m
 * @param {any} value
 * @param {any} [length]
 * @param {any} [kill]
 * @param {any} [end]
 * @param {any} [leeway]
 */
function truncate(m, value, length = 255n, kill = false, end = '...', leeway = 5n) {
    if (lengthOf(value, m.limits) <= indexOf(length, 255)) return value;
    const text = soft(m, value);
    const all = characters(text, m.limits);
    const most = indexOf(length, 255);
    const room = most - lengthOf(end, m.limits);
    if (room < 0) throw new TemplateError(`truncate() to ${most} characters leaves no room for its end`);
    if (all.length <= most + indexOf(leeway, 5)) return text;
    const cut = all.slice(0, room).join('');
    const space = cut.lastIndexOf(' ');
    return (truthy(kill) || space < 0 ? cut : cut.slice(0, space)) + end;
}

/** @param {Machine} m @param {any} value @returns {string} what filters on text make of it first */
function soft(m, value) {
    const text = str(value, m.limits);
    m.limits.text(text.length);
    return text;
}

/** @param {Machine} m @param {any} value @returns {string} about to be looked at letter by letter */
function walked(m, value) {
    const text = soft(m, value);
    m.limits.walk(text.length);
    return text;
}

/** @param {Machine} m @param {any} value */
function title(m, value) {
    return walked(m, value).split(/([-\s({[<]+)/).map((part) => {
        const [first = ''] = part;
        return first.toUpperCase() + part.slice(first.length).toLowerCase();
    }).join('');
}

/** @param {Machine} m @param {any} value @param {any} [binary] */
function fileSize(m, value, binary = false) {
    const bytes = toFloatFilter(m, value, NaN);
    if (Number.isNaN(bytes)) throw new TemplateError(`could not convert to float: '${typeName(value)}'`);
    const base = truthy(binary) ? 1024 : 1000;
    if (bytes === 1) return '1 Byte';
    if (bytes < base) return `${Math.trunc(bytes)} Bytes`;
    const prefixes = [...'kMGTPEZY'];
    const found = prefixes.findIndex((_, i) => bytes < base ** (i + 2));
    const at = found < 0 ? prefixes.length - 1 : found;
    const unit = truthy(binary) ? `${prefixes[at].toUpperCase()}iB` : `${prefixes[at]}B`;
    return `${fixed(base * bytes / base ** (at + 2), 1)} ${unit}`;
}

/** @param {Machine} m @param {any} value */
function stripTags(m, value) {
    let rest = walked(m, value);
    for (const [open, close] of [['<!--', '-->'], ['<', '>']]) {
        const parts = [];
        let at = 0;
        for (;;) {
            const start = rest.indexOf(open, at);
            const end = start < 0 ? -1 : rest.indexOf(close, start);
            if (end < 0) break;
            parts.push(rest.slice(at, start));
            at = end + close.length;
        }
        rest = parts.join('') + rest.slice(at);
    }
    return rest.replaceAll(/\s+/g, ' ').trim().replaceAll(/&(?:lt|gt|quot|#34|#39|amp);/g, (entity) => {
        return /** @type {Record<string, string>} */ ({
            '&lt;': '<', '&gt;': '>', '&quot;': '"', '&#34;': '"', '&#39;': "'", '&amp;': '&',
        })[entity];
    });
}

/** @param {Machine} m @param {any} value */
function urlEncode(m, value) {
    const quote = (/** @type {any} */ part, /** @type {boolean} */ query) => {
        // Half a character has no bytes to encode.
        const whole = walked(m, part).replaceAll(/\p{Cs}/gu, '\ufffd');
        const text = encodeURIComponent(whole).replaceAll(/[!'()*]/g, (char) => {
            return `%${char.charCodeAt(0).toString(16).toUpperCase()}`;
        });
        return query ? text.replaceAll('%20', '+') : text.replaceAll('%2F', '/');
    };
    const pairs = value instanceof Dict ? new View(value, 'items') : value;
    if (typeof pairs === 'string' || isNumber(pairs) || pairs === null) return quote(pairs, false);
    return Array.from(m.iterate(pairs), (pair) => m.list(pair).map((part) => quote(part, true)).join('=')).join('&');
}

/** @type {import('./arguments.js').Row[]} */
const TABLE = [
    ['abs', [], 0, (_, value) => {
        if (value instanceof Undefined) value.fail();
        if (!isNumber(value)) throw new TemplateError(`bad operand type for abs(): '${typeName(value)}'`);
        return typeof value === 'number' ? Math.abs(value) : BigInt(value) < 0n ? -BigInt(value) : BigInt(value);
    }],
    ['attr', ['name'], 1, (m, value, name) => getOwn(m, value, soft(m, name))],
    ['capitalize', [], 0, (m, value) => capitalize(soft(m, value))],
    ['center', ['width'], 0, (m, value, width = 80n) => justify(m, soft(m, value), width)],
    ['default', ['default_value', 'boolean'], 0, (_, value, fallback = '', boolean = false) => {
        return value instanceof Undefined || (truthy(boolean) && !truthy(value)) ? fallback : value;
    }],
    ['escape', [], 0, (m, value) => {
        return value instanceof Markup ? value : new Markup(escapeHtml(soft(m, value), m.limits));
    }],
    ['forceescape', [], 0, (m, value) => new Markup(escapeHtml(soft(m, value), m.limits))],
    ['filesizeformat', ['binary'], 0, fileSize],
    ['float', ['default'], 0, toFloatFilter],
    ['indent', ['width', 'first', 'blank'], 0, indentFilter],
    ['int', ['default', 'base'], 0, toInt],
    ['length', [], 0, (m, value) => BigInt(lengthOf(value, m.limits))],
    ['lower', [], 0, (m, value) => soft(m, value).toLowerCase()],
    ['replace', ['old', 'new', 'count'], 2, (m, value, from, to, count) => {
        return replace(m, soft(m, value), soft(m, from), soft(m, to), count);
    }],
    ['round', ['precision', 'method'], 0, round],
    ['safe', [], 0, (m, value) => new Markup(soft(m, value))],
    ['string', [], 0, (m, value) => (value instanceof Markup ? value : soft(m, value))],
    ['striptags', [], 0, stripTags],
    ['title', [], 0, title],
    ['tojson', ['ensure_ascii', 'indent', 'separators', 'sort_keys'], 0, toJson],
    ['trim', ['chars'], 0, (m, value, chars) => strip(m, soft(m, value), chars, true, true)],
    ['truncate', ['length', 'killwords', 'end', 'leeway'], 0, truncate],
    ['upper', [], 0, (m, value) => soft(m, value).toUpperCase()],
    ['urlencode', [], 0, urlEncode],
    ['wordcount', [], 0, (m, value) => BigInt(walked(m, value).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0)],
];

/** @type {Map<string, Filter>} */
export const FILTERS = new Map([...bound(TABLE), ...LIST_FILTERS]);
FILTERS.set('format', (m, value, args, kwargs) => {
    if (args.length > 0 && kwargs.size > 0) {
        throw new TemplateError("can't handle positional and keyword arguments at once");
    }
    return formatPercent(soft(m, value), kwargs.size > 0 ? new Dict(kwargs) : new Tuple(args), m.limits);
});
for (const [alias, name] of [['d', 'default'], ['e', 'escape'], ['count', 'length']]) {
    FILTERS.set(alias, /** @type {Filter} */ (FILTERS.get(name)));
}
