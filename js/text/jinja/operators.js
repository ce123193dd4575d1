// Python's operators on a template's values.

import { isNumber, numeric } from './compare.js';
import { formatPercent } from './format.js';
import { plain } from './sequences.js';
import { Markup, TemplateError, Tuple, Undefined, typeName } from './values.js';

/** @typedef {import('./limits.js').Limits} Limits */

/** More than any template counts to, and all arithmetic within takes no time. */
const MAX_INT = 1n << 1024n;
const ESCAPED = new Map([['&', '&amp;'], ['<', '&lt;'], ['>', '&gt;'], ['"', '&#34;'], ["'", '&#39;']]);

/** @param {string} text @param {Limits} limits */
export function escapeHtml(text, limits) {
    limits.text(text.length * 5);
    return text.replaceAll(/[&<>"']/g, (char) => /** @type {string} */ (ESCAPED.get(char)));
}

/** @param {bigint | number} value @returns {number} */
export function toFloat(value) {
    const result = Number(value);
    if (typeof value === 'bigint' && !Number.isFinite(result)) {
        throw new TemplateError('int too large to convert to float');
    }
    return result;
}

/** @param {bigint} value */
function checkInt(value) {
    if (value > MAX_INT || value < -MAX_INT) {
        throw new TemplateError('the chat template makes a number of more than 1024 bits');
    }
    return value;
}

/** @param {string} what @param {any} a @param {any} b @returns {never} */
function unsupportedOperands(what, a, b) {
    for (const value of [a, b]) if (value instanceof Undefined) value.fail();
    if (what === '+' && typeof a === 'string') {
        throw new TemplateError(`can only concatenate str (not "${typeName(b)}") to str`);
    }
    throw new TemplateError(`unsupported operand type(s) for ${what}: '${typeName(a)}' and '${typeName(b)}'`);
}

/** @param {any} a @param {any} b @param {Limits} limits @returns {any} */
function add(a, b, limits) {
    if (a instanceof Markup || b instanceof Markup) return addMarkup(a, b, limits);
    if (typeof a === 'string' && typeof b === 'string') {
        limits.size(a.length + b.length);
        return a + b;
    }
    if (Array.isArray(a) && Array.isArray(b)) {
        limits.spend(a.length + b.length);
        return [...a, ...b];
    }
    if (a instanceof Tuple && b instanceof Tuple) {
        limits.spend(a.items.length + b.items.length);
        return new Tuple([...a.items, ...b.items]);
    }
    return arithmetic('+', a, b);
}

/** @param {any} a @param {any} b @param {Limits} limits */
function addMarkup(a, b, limits) {
    const [left, right] = [a, b].map((value) => {
        if (value instanceof Markup) return value.text;
        return typeof value === 'string' ? escapeHtml(value, limits) : unsupportedOperands('+', a, b);
    });
    limits.size(left.length + right.length);
    return new Markup(left + right);
}

/** @param {any} a @param {any} b @param {Limits} limits @returns {any} */
function multiply(a, b, limits) {
    const [sequence, count] = isNumber(a) ? [b, a] : [a, b];
    const times = typeof count === 'boolean' ? BigInt(count) : count;
    const isText = typeof sequence === 'string';
    if (typeof times !== 'bigint' || !(isText || Array.isArray(sequence) || sequence instanceof Tuple)) {
        return arithmetic('*', a, b);
    }
    const items = sequence instanceof Tuple ? sequence.items : sequence;
    const repeats = Number(times < 0n ? 0n : times);
    if (isText) {
        limits.text(sequence.length * repeats);
        return sequence === '' ? '' : sequence.repeat(repeats);
    }
    limits.spend(items.length * repeats);
    const length = items.length === 0 ? 0 : items.length * repeats;
    const list = Array.from({ length }, (_, i) => items[i % items.length]);
    return sequence instanceof Tuple ? new Tuple(list) : list;
}

/** @param {string} operator @param {any} a @param {any} b @returns {bigint | number} */
function arithmetic(operator, a, b) {
    if (!isNumber(a) || !isNumber(b)) return unsupportedOperands(operator === '**' ? '** or pow()' : operator, a, b);
    const x = numeric(a);
    const y = numeric(b);
    if (typeof x === 'bigint' && typeof y === 'bigint') return integers(operator, x, y);
    return floats(operator, toFloat(x), toFloat(y));
}

/** @param {string} operator @param {bigint} x @param {bigint} y @returns {bigint | number} */
function integers(operator, x, y) {
    switch (operator) {
        case '+': return checkInt(x + y);
        case '-': return checkInt(x - y);
        case '*': return checkInt(x * y);
        case '**': return power(x, y);
        default:
    }
    if (y === 0n) throw new TemplateError(operator === '/' ? 'division by zero' : 'integer division or modulo by zero');
    if (operator === '/') return toFloat(x) / toFloat(y);
    // Python rounds down and the remainder has the divisor's sign; JavaScript rounds towards zero.
    const remainder = x % y;
    const off = remainder !== 0n && (remainder < 0n) !== (y < 0n);
    if (operator === '%') return off ? remainder + y : remainder;
    return off ? x / y - 1n : x / y;
}

/** @param {bigint} x @param {bigint} y */
function power(x, y) {
    if (y < 0n) return floats('**', toFloat(x), toFloat(y));
    if (x >= -1n && x <= 1n) return x ** (y % 2n === 0n && y > 0n ? 2n : y > 0n ? 1n : 0n);
    const bits = BigInt(x.toString(2).length - (x < 0n ? 2 : 1));
    // Checked before it is computed: the result has at least that many bits.
    if ((bits - 1n) * y > 1024n) return checkInt(MAX_INT * 2n);
    return checkInt(x ** y);
}

/** @param {string} operator @param {number} x @param {number} y @returns {number} */
function floats(operator, x, y) {
    switch (operator) {
        case '+': return x + y;
        case '-': return x - y;
        case '*': return x * y;
        case '**':
            if (x === 0 && y < 0) throw new TemplateError('0.0 cannot be raised to a negative power');
            if (x < 0 && !Number.isInteger(y)) {
                throw new TemplateError('a negative number to a broken power is complex');
            }
            if (Number.isFinite(x) && Number.isFinite(y) && !Number.isFinite(x ** y)) throw new TemplateError('a power is too large for a float');
            return x ** y;
        default:
    }
    if (y === 0) throw new TemplateError(operator === '%' ? 'float modulo' : 'float division by zero');
    if (operator === '/') return x / y;
    const remainder = x % y;
    const off = remainder !== 0 && (remainder < 0) !== (y < 0);
    const signed = remainder === 0 ? Math.sign(y) * 0 : off ? remainder + y : remainder;
    return operator === '%' ? signed : Math.round((x - signed) / y);
}

/** @param {string} operator @param {any} a @param {any} b @param {Limits} limits @returns {any} */
export function binary(operator, a, b, limits) {
    if (operator === '+') return add(a, b, limits);
    const left = plain(a);
    const right = plain(b);
    if (operator === '*') return multiply(left, right, limits);
    if (operator === '%' && typeof left === 'string') return formatPercent(left, right, limits);
    return arithmetic(operator, left, right);
}

/** @param {string} sign @param {any} value @returns {bigint | number} */
export function unary(sign, value) {
    if (value instanceof Undefined) value.fail();
    if (!isNumber(value)) throw new TemplateError(`bad operand type for unary ${sign}: '${typeName(value)}'`);
    const number = numeric(value);
    return sign === '-' ? -number : number;
}
