// Python's str() and repr(), and tojson as transformers has it: key order kept, HTML not escaped, non-ASCII kept.

import { compare } from './compare.js';
import {
    Attributes, Callable, Dict, Lazy, Markup, Range, TemplateError, Tuple, Undefined, View, truthy, typeName,
} from './values.js';

/** @param {number} value @returns {string} as repr(float): always with a point or an exponent */
export function floatText(value) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
    if (Object.is(value, -0)) return '-0.0';
    const [digits, power] = value.toExponential().split('e');
    const exponent = Number(power);
    if (value !== 0 && (exponent < -4 || exponent >= 16)) {
        return `${digits}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`;
    }
    // JavaScript switches to exponents below 1e-6 only, above 1e21 only: both beyond what comes here.
    const text = String(value);
    return text.includes('.') ? text : `${text}.0`;
}

const ESCAPES = new Map([['\\', '\\\\'], ['\n', '\\n'], ['\r', '\\r'], ['\t', '\\t']]);

/** @param {string} text @returns {string} quoted as Python quotes: single quotes unless only they occur inside */
function quoted(text) {
    const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
    const body = text.replaceAll(/[\\'"]|[\p{C}\p{Z}]/gu, (char) => {
        if (char === ' ' || (char !== quote && (char === "'" || char === '"'))) return char;
        if (char === quote) return `\\${char}`;
        const escape = ESCAPES.get(char);
        if (escape) return escape;
        return escaped(char);
    });
    return quote + body + quote;
}

/** @param {string} char @returns {string} as Python writes what it does not show */
function escaped(char) {
    const code = /** @type {number} */ (char.codePointAt(0));
    const [letter, digits] = code < 0x100 ? ['x', 2] : code < 0x10000 ? ['u', 4] : ['U', 8];
    return `\\${letter}${code.toString(16).padStart(Number(digits), '0')}`;
}

/** @param {string} text of repr() @returns {string} Python's ascii() */
export function ascii(text) {
    return text.replaceAll(/[^\0-\x7e]/gu, escaped);
}

/** @param {any} value @param {import('./limits.js').Limits} limits @returns {string} Python's str() */
export function str(value, limits) {
    if (typeof value === 'string') return value;
    if (value instanceof Undefined) return '';
    return value instanceof Markup ? value.text : repr(value, limits);
}

/** @param {any} value @param {import('./limits.js').Limits} limits @returns {string} Python's repr() */
export function repr(value, limits) {
    limits.spend();
    if (value === null) return 'None';
    if (typeof value === 'boolean') return value ? 'True' : 'False';
    if (typeof value === 'bigint') return String(value);
    if (typeof value === 'number') return floatText(value);
    if (typeof value === 'string') {
        limits.text(value.length * 2);
        return quoted(value);
    }
    limits.enter();
    const text = containerText(value, limits);
    limits.leave();
    return text;
}

/** @param {any} value @param {import('./limits.js').Limits} limits @returns {string} */
function containerText(value, limits) {
    const list = (/** @type {Iterable<any>} */ items) => joined(items, (item) => repr(item, limits), limits);
    const pairs = (/** @type {Dict} */ dict) => joined(dict.entries(), ([key, item]) => {
        return `${repr(key, limits)}: ${repr(item, limits)}`;
    }, limits);
    if (Array.isArray(value)) return `[${list(value)}]`;
    if (value instanceof Tuple) return `(${list(value.items)}${value.items.length === 1 ? ',' : ''})`;
    if (value instanceof Dict) return `{${pairs(value)}}`;
    if (value instanceof View) return `${value.typeName}([${list(value)}])`;
    if (value instanceof Range) {
        return `range(${value.start}, ${value.stop}${value.step === 1n ? '' : `, ${value.step}`})`;
    }
    if (value instanceof Markup) return `Markup(${quoted(value.text)})`;
    if (value instanceof Undefined) return 'Undefined';
    // What Python shows of these has addresses in it, which no template can mean.
    if (value instanceof Callable) return `<function ${value.name}>`;
    if (value instanceof Lazy) return '<generator object>';
    return `<${/** @type {Attributes} */ (value).typeName}>`;
}

/**
 * @template T
 * @param {Iterable<T>} items @param {(item: T) => string} body @param {import('./limits.js').Limits} limits
 * @param {string} [separator]
 * @returns {string}
 */
function joined(items, body, limits, separator = ', ') {
    const parts = [];
    let length = 0;
    for (const item of items) {
        const part = body(item);
        length += part.length + separator.length;
        limits.text(part.length, length);
        parts.push(part);
    }
    return parts.join(separator);
}

/**
 * @typedef {object} JsonStyle
 * @property {boolean} ascii
 * @property {string | null} indent of one level; null: all on one line
 * @property {string} comma
 * @property {string} colon
 * @property {boolean} sort
 */

/**
 * @param {any} value
 * @param {JsonStyle} style
 * @param {import('./limits.js').Limits} limits
 * @param {string} [margin] of the line it stands on
 * @returns {string} as Python's json.dumps()
 */
export function json(value, style, limits, margin = '') {
    limits.enter();
    const text = jsonText(value, style, limits, margin);
    limits.leave();
    return text;
}

/** @param {any} value @param {JsonStyle} style @param {import('./limits.js').Limits} limits @param {string} margin */
function jsonText(value, style, limits, margin) {
    if (value === null) return 'null';
    if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
    if (typeof value === 'number') return jsonFloat(value);
    if (typeof value === 'string' || value instanceof Markup) return jsonString(value, style, limits);
    const items = value instanceof Tuple ? value.items : value;
    const isDict = value instanceof Dict;
    if (!Array.isArray(items) && !isDict) {
        throw new TemplateError(`Object of type ${typeName(value)} is not JSON serializable`);
    }
    const [open, close] = isDict ? '{}' : '[]';
    if (!truthy(items)) return open + close;
    const inner = style.indent === null ? '' : margin + style.indent;
    const body = isDict ? joined(jsonEntries(value, style, limits), ([key, item]) => {
        return jsonString(key, style, limits) + style.colon + json(item, style, limits, inner);
    }, limits, separator(style, inner)) : joined(/** @type {any[]} */ (items), (item) => {
        return json(item, style, limits, inner);
    }, limits, separator(style, inner));
    return style.indent === null ? open + body + close : `${open}\n${inner}${body}\n${margin}${close}`;
}

/** @param {JsonStyle} style @param {string} inner */
function separator({ indent, comma }, inner) {
    return indent === null ? comma : `${comma}\n${inner}`;
}

/** @param {number} value */
function jsonFloat(value) {
    if (Number.isNaN(value)) return 'NaN';
    return Number.isFinite(value) ? floatText(value) : value > 0 ? 'Infinity' : '-Infinity';
}

/** @param {Dict} dict @param {JsonStyle} style @param {import('./limits.js').Limits} limits @returns {[string, any][]} with keys as json.dumps() spells them */
function jsonEntries(dict, { sort }, limits) {
    const all = [...dict.entries()];
    if (sort) all.sort(([a], [b]) => compare(a, b, '<', limits));
    return all.map(([key, value]) => {
        if (typeof key === 'string') return [key, value];
        if (key === null) return ['null', value];
        if (typeof key === 'number') return [jsonFloat(key), value];
        if (typeof key === 'boolean' || typeof key === 'bigint') return [String(key), value];
        throw new TemplateError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
    });
}

/** @param {string | Markup} value @param {JsonStyle} style @param {import('./limits.js').Limits} limits */
function jsonString(value, { ascii }, limits) {
    const plain = typeof value === 'string' ? value : value.text;
    limits.text(plain.length * 2);
    // JSON.stringify escapes lone surrogates, which Python keeps: no such text comes out of a template whole.
    const text = JSON.stringify(plain);
    if (!ascii) return text;
    return text.replaceAll(/[^\0-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
