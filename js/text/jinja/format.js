// Python's two ways of putting values into a text: '%s' % x, and '{}'.format(x).

import { ascii, floatText, repr, str } from './print.js';
import { characters, textLength } from './sequences.js';
import { Dict, TemplateError, Tuple, typeName } from './values.js';

/** @typedef {import('./limits.js').Limits} Limits */

const PERCENT = /%(?:\(([^)]*)\))?([-+ 0#]*)(\*|[1-9]\d*)?(?:\.(\d+))?([a-zA-Z%])/y;
const FIELD = /^([^.[!:]*(?:\.[^.[!:]+|\[[^\]]+\])*)(?:!([rsa]))?(?::(.*))?$/s;
const SPEC = /^(?:(.)?([<>=^]))?([-+ ]?)(0)?(\d+)?(,)?(?:\.(\d+))?([a-zA-Z%]?)$/su;

/**
 * @param {number} value
 * @param {number} precision
 * @returns {string} rounded half to even on the exact value, as C does
 */
export function fixed(value, precision) {
    if (!Number.isFinite(value)) return floatText(value);
    if (precision > 100) throw new TemplateError('a precision of more than 100 digits');
    // toFixed() takes the larger of two equally near, on the exact value; and gives up beyond 1e21, where all is whole.
    if (Math.abs(value) >= 1e21) return BigInt(value) + (precision > 0 ? `.${'0'.repeat(precision)}` : '');
    const text = value.toFixed(precision);
    if (!isTie(value, precision)) return Object.is(value, -0) ? `-${text}` : text;
    const digits = BigInt(text.replace(/[-.]/g, ''));
    const even = digits % 2n === 0n ? digits : digits - 1n;
    const padded = String(even).padStart(precision + 1, '0');
    const body = precision === 0 ? padded : `${padded.slice(0, -precision)}.${padded.slice(-precision)}`;
    return value < 0 ? `-${body}` : body;
}

/** @param {number} value @param {number} precision @returns {boolean} whether it lies midway between two texts */
function isTie(value, precision) {
    const exact = Math.abs(value).toFixed(Math.min(precision + 30, 100));
    return /^50*$/.test(exact.slice(exact.indexOf('.') + 1 + precision));
}

/** @param {any} value @param {string} code @returns {number} */
function floatOf(value, code) {
    if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return Number(value);
    throw new TemplateError(`%${code} format: a real number is required, not ${typeName(value)}`);
}

/** @param {any} value @param {string} code @returns {bigint} */
function intOf(value, code) {
    if (typeof value === 'bigint' || typeof value === 'boolean') return BigInt(value);
    if (typeof value === 'number' && Number.isFinite(value)) return BigInt(Math.trunc(value));
    throw new TemplateError(`%${code} format: a number is required, not ${typeName(value)}`);
}

/** @param {any} value @param {string} code @param {number | undefined} precision @returns {string} without padding */
function numberText(value, code, precision) {
    switch (code.toLowerCase()) {
        case 'd': case 'i': case 'u': return String(intOf(value, code));
        case 'c': return character(value, code);
        case 'x': return intOf(value, code).toString(16);
        case 'o': return intOf(value, code).toString(8);
        case 'b': return intOf(value, code).toString(2);
        case 'f': return fixed(floatOf(value, code), precision ?? 6);
        case 'e': return exponential(floatOf(value, code), precision ?? 6);
        case 'g': return general(floatOf(value, code), precision ?? 6);
        case '%': return `${fixed(floatOf(value, code) * 100, precision ?? 6)}%`;
        default: throw new TemplateError(`unsupported format character '${code}'`);
    }
}

/** @param {any} value one character, or its number @param {string} code @returns {string} */
function character(value, code) {
    const point = typeof value === 'string' ? BigInt(value.codePointAt(0) ?? -1) : intOf(value, code);
    const text = point >= 0n && point <= 0x10ffffn ? String.fromCodePoint(Number(point)) : '';
    if (text === '' || (typeof value === 'string' && value !== text)) throw new TemplateError('%c requires the number of a character, or one');
    return text;
}

/** @param {number} value @param {number} precision */
function exponential(value, precision) {
    if (!Number.isFinite(value)) return floatText(value);
    return value.toExponential(Math.min(precision, 100)).replace(/e([-+])(\d)$/, 'e$10$2');
}

/** @param {number} value @param {number} precision */
function general(value, precision) {
    if (!Number.isFinite(value)) return floatText(value);
    const digits = Math.max(1, Math.min(precision, 100));
    const exponent = value === 0 ? 0 : Number(value.toExponential(digits - 1).split('e')[1]);
    if (exponent < -4 || exponent >= digits) {
        return exponential(value, digits - 1).replace(/\.?0+e/, 'e');
    }
    const text = value.toFixed(Math.max(0, Math.min(100, digits - 1 - exponent)));
    return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** @param {string} text @param {number} width @param {string} align @param {string} fill @param {Limits} limits */
function pad(text, width, align, fill, limits) {
    const missing = width - textLength(text, limits);
    if (missing <= 0) return text;
    limits.text(width);
    const left = align === '<' ? 0 : align === '^' ? Math.floor(missing / 2) : missing;
    if (align === '=' && /^[-+ ]/.test(text)) return text[0] + fill.repeat(missing) + text.slice(1);
    return fill.repeat(left) + text + fill.repeat(missing - left);
}

/** @param {string} format @param {any} values a tuple, a dict for %(names), or one value @param {Limits} limits */
export function formatPercent(format, values, limits) {
    const items = values instanceof Tuple ? values.items : [values];
    let used = 0;
    const next = () => {
        if (used >= items.length) throw new TemplateError('not enough arguments for format string');
        return items[used++];
    };
    let result = '';
    let named = false;
    limits.weigh([format]);
    for (let at = 0; at < format.length;) {
        const percent = format.indexOf('%', at);
        result += format.slice(at, percent < 0 ? undefined : percent);
        if (percent < 0) break;
        PERCENT.lastIndex = percent;
        const found = PERCENT.exec(format);
        if (!found) throw new TemplateError('incomplete format');
        const name = found[1];
        named ||= name !== undefined;
        const width = found[3] === '*' ? next() : found[3];
        if (found[5] === '%') result += '%';
        else result += percentItem(found, width, name === undefined ? next() : namedItem(values, name), limits);
        limits.size(result.length);
        at = PERCENT.lastIndex;
    }
    // Python lets pass what could be looked into by name.
    const isLookup = !(values instanceof Tuple) && typeof values === 'object' && values !== null;
    if (used < items.length && !named && !isLookup) {
        throw new TemplateError('not all arguments converted during string formatting');
    }
    return result;
}

/** @param {any} values @param {string} name */
function namedItem(values, name) {
    if (!(values instanceof Dict)) throw new TemplateError('format requires a mapping');
    if (!values.has(name)) throw new TemplateError(`KeyError: ${name}`);
    return values.get(name);
}

/** @param {any} value @param {string} conversion s, r or a @param {Limits} limits @returns {string} by str(), repr() or ascii() */
function converted(value, conversion, limits) {
    return conversion === 's' ? str(value, limits) : conversion === 'r' ? repr(value, limits) : ascii(repr(value, limits));
}

/** @param {RegExpExecArray} found @param {any} width @param {any} value @param {Limits} limits */
function percentItem([, , flags, , digits, code], width, value, limits) {
    const precision = digits === undefined ? undefined : Number(digits);
    const isText = 'sra'.includes(code);
    let text = isText ? converted(value, code, limits) : numberText(value, code, precision);
    if (isText && precision !== undefined) text = characters(text, limits).slice(0, precision).join('');
    if (flags.includes('#') && 'xXo'.includes(code)) text = text.replace(/^-?/, `$&0${code}`);
    if (!isText && 'XEFG'.includes(code)) text = text.toUpperCase();
    if (!isText && !text.startsWith('-') && /[+ ]/.test(flags)) text = (flags.includes('+') ? '+' : ' ') + text;
    const zero = flags.includes('0') && !isText && !flags.includes('-');
    return pad(text, Number(width ?? 0), flags.includes('-') ? '<' : zero ? '=' : '>', zero ? '0' : ' ', limits);
}

/** @param {any} value @param {string} spec @param {Limits} limits @returns {string} Python's format(value, spec) */
function formatSpec(value, spec, limits) {
    if (spec === '') return str(value, limits);
    const found = SPEC.exec(spec);
    if (!found) throw new TemplateError(`Invalid format specifier '${spec.slice(0, 40)}'`);
    const [, fill, align, sign, zero, width, comma, digits, code] = found;
    const precision = digits === undefined ? undefined : Number(digits);
    const isText = typeof value === 'string';
    let text = isText ? value : numberSpec(value, code, precision, limits);
    if (isText && precision !== undefined) text = characters(text, limits).slice(0, precision).join('');
    if (comma && isText) throw new TemplateError("Cannot specify ',' with 's'.");
    if (comma) text = text.replace(/^-?\d+/, (whole) => whole.replaceAll(/\B(?=(?:\d{3})+$)/g, ','));
    if (!isText && (sign === '+' || sign === ' ') && !text.startsWith('-')) text = sign + text;
    const side = align ?? (zero ? '=' : isText ? '<' : '>');
    return pad(text, Number(width ?? 0), side, fill ?? (zero ? '0' : ' '), limits);
}

/** @param {any} value @param {string} code @param {number | undefined} precision @param {Limits} limits */
function numberSpec(value, code, precision, limits) {
    if (code === '' && precision === undefined) return str(value, limits);
    if (code === '' || (code !== '%' && !'dxobfeg'.includes(code.toLowerCase()))) {
        throw new TemplateError(`Unknown format code '${code}' for object of type '${typeName(value)}'`);
    }
    if (code === 'd' && typeof value === 'number') {
        throw new TemplateError("Unknown format code 'd' for object of type 'float'");
    }
    const text = numberText(value, code, precision);
    return code === code.toLowerCase() ? text : text.toUpperCase();
}

/**
 * @param {string} format
 * @param {any[]} args
 * @param {Map<string, any>} kwargs
 * @param {(value: any, name: any, isItem: boolean) => any} member reads an attribute or an item of a field
 * @param {Limits} limits
 */
export function formatBraces(format, args, kwargs, member, limits) {
    let automatic = 0n;
    let length = 0;
    limits.weigh([format]);
    return format.replaceAll(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (all, field) => {
        if (all === '{{' || all === '}}') return all[0];
        if (field === undefined) throw new TemplateError(`Single '${all}' encountered in format string`);
        const found = FIELD.exec(field) ?? [];
        const [, path, conversion, spec] = /** @type {string[]} */ (found);
        if (path === undefined) throw new TemplateError('Invalid format field');
        const parts = path.match(/^[^.[]*|\.[^.[]+|\[[^\]]+\]/g) ?? [''];
        const first = parts[0] === '' ? String(automatic++) : parts[0];
        let value = /^\d+$/.test(first) ? args[Number(first)] : kwargs.get(first);
        if (value === undefined) throw new TemplateError(`no argument '${first.slice(0, 40)}' for the format string`);
        for (const part of parts.slice(1)) {
            const name = part.startsWith('.') ? part.slice(1) : part.slice(1, -1);
            const isItem = part.startsWith('[');
            value = member(value, isItem && /^\d{1,15}$/.test(name) ? BigInt(name) : name, isItem);
        }
        if (conversion) value = converted(value, conversion, limits);
        const text = formatSpec(value, spec ?? '', limits);
        length += text.length;
        limits.text(text.length, length);
        return text;
    });
}
