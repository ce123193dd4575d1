// Python's operators on a template's values.

import { formatPercent } from './format.js';
import {
    Attributes, Callable, Dict, Lazy, Markup, Range, TemplateError, Tuple, Undefined, View, typeName,
} from './values.js';

/** @typedef {import('./limits.js').Limits} Limits */

/** More than any template counts to, and all arithmetic within takes no time. */
const MAX_INT = 1n << 1024n;
const ITERABLE = [Markup, Tuple, Dict, View, Range, Lazy, Undefined];
const ESCAPED = new Map([['&', '&amp;'], ['<', '&lt;'], ['>', '&gt;'], ['"', '&#34;'], ["'", '&#39;']]);

/** @param {string} text @param {Limits} limits */
export function escapeHtml(text, limits) {
    limits.text(text.length * 5);
    return text.replaceAll(/[&<>"']/g, (char) => /** @type {string} */ (ESCAPED.get(char)));
}

/** @param {any} value @returns {any} a string where it was an escaped one */
export function plain(value) {
    return value instanceof Markup ? value.text : value;
}

/** @param {any} value @returns {value is bigint | number | boolean} */
export function isNumber(value) {
    return typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
}

/** @param {any} value @returns {bigint | number} */
function numeric(value) {
    return typeof value === 'boolean' ? BigInt(value) : value;
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

/** @param {any} a @param {any} b @param {Limits} limits @returns {boolean} Python's == */
export function equal(a, b, limits) {
    const x = plain(a);
    const y = plain(b);
    // Values that are the same object are equal without looking, in containers also NaN.
    if (typeof x === 'string' && typeof y === 'string' && x.length === y.length) limits.text(x.length);
    if (x === y) return true;
    // 1 == 1.0 == True: across bigint and number the loose comparison is the exact one.
    // eslint-disable-next-line eqeqeq
    if (isNumber(x) && isNumber(y)) return numeric(x) == numeric(y);
    if (x instanceof Undefined) return y instanceof Undefined;
    if (x === null || y === null || typeof x !== 'object' || typeof y !== 'object') return false;
    limits.enter();
    const same = equalContainers(x, y, limits);
    limits.leave();
    return same;
}

/** @param {any} x @param {any} y @param {Limits} limits @returns {boolean} */
function equalContainers(x, y, limits) {
    if (x instanceof Dict && y instanceof Dict) {
        if (x.size !== y.size) return false;
        for (const [key, value] of x.entries()) {
            limits.spend();
            if (!y.has(key) || !equal(value, y.get(key), limits)) return false;
        }
        return true;
    }
    const [left, right] = [x, y].map((value) => {
        if (value instanceof Tuple) return value.items;
        return value instanceof Range ? [...value] : value;
    });
    if (typeName(x) !== typeName(y) || !Array.isArray(left) || !Array.isArray(right)) return false;
    limits.spend(1 + Math.min(left.length, right.length));
    return left.length === right.length && left.every((value, i) => equal(value, right[i], limits));
}

/**
 * @param {string} a
 * @param {string} b
 * @returns {number} by code points, as Python orders; JavaScript's < goes by halves
 */
function compareText(a, b) {
    if (a === b) return 0;
    const end = Math.min(a.length, b.length);
    let i = 0;
    while (i < end && a.charCodeAt(i) === b.charCodeAt(i)) i++;
    if (i === end) return a.length - b.length;
    const [x, y] = [a, b].map((text) => {
        const unit = text.charCodeAt(i);
        // Halves of the pairs stand for characters beyond all others.
        return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit;
    });
    return x - y;
}

/**
 * @param {any} a
 * @param {any} b
 * @param {string} operator for messages
 * @param {Limits} limits
 * @returns {number} -, 0, +
 */
export function compare(a, b, operator, limits) {
    const x = plain(a);
    const y = plain(b);
    limits.spend();
    if (isNumber(x) && isNumber(y)) return numeric(x) < numeric(y) ? -1 : numeric(x) > numeric(y) ? 1 : 0;
    if (typeof x === 'string' && typeof y === 'string') {
        limits.text(Math.min(x.length, y.length));
        return compareText(x, y);
    }
    for (const value of [x, y]) if (value instanceof Undefined) value.fail();
    const [left, right] = [x, y].map((value) => (value instanceof Tuple ? value.items : value));
    if (typeName(x) !== typeName(y) || !Array.isArray(left) || !Array.isArray(right)) {
        throw new TemplateError(
            `'${operator}' not supported between instances of '${typeName(x)}' and '${typeName(y)}'`);
    }
    limits.enter();
    let result = left.length - right.length;
    for (let i = 0; i < Math.min(left.length, right.length); i++) {
        if (equal(left[i], right[i], limits)) continue;
        result = compare(left[i], right[i], operator, limits);
        break;
    }
    limits.leave();
    return result;
}

/** @param {string} operator @param {any} a @param {any} b @param {Limits} limits @returns {boolean} */
export function comparison(operator, a, b, limits) {
    switch (operator) {
        case '==': return equal(a, b, limits);
        case '!=': return !equal(a, b, limits);
        case 'in': return contains(b, a, limits);
        case 'not in': return !contains(b, a, limits);
        default:
    }
    // Nothing is less than NaN, and NaN than nothing.
    if ([a, b].some((value) => typeof value === 'number' && Number.isNaN(value)) && isNumber(a) && isNumber(b)) {
        return false;
    }
    const order = compare(a, b, operator, limits);
    if (operator === '<') return order < 0;
    if (operator === '<=') return order <= 0;
    return operator === '>' ? order > 0 : order >= 0;
}

/** @param {any} container @param {any} item @param {Limits} limits @returns {boolean} */
export function contains(container, item, limits) {
    const inside = plain(container);
    const wanted = plain(item);
    limits.weigh([wanted]);
    if (typeof inside === 'string') {
        if (wanted instanceof Undefined) wanted.fail();
        if (typeof wanted !== 'string') {
            throw new TemplateError(`'in <string>' requires string as left operand, not ${typeName(wanted)}`);
        }
        limits.search(inside, wanted);
        return inside.includes(wanted);
    }
    if (inside instanceof Dict) return inside.has(wanted);
    if (inside instanceof View && inside.part === 'keys') return inside.dict.has(wanted);
    if (!isIterable(inside)) throw new TemplateError(`argument of type '${typeName(inside)}' is not iterable`);
    for (const value of iterate(inside, limits)) if (equal(value, wanted, limits)) return true;
    return false;
}

/** @param {any} value @returns {boolean} */
export function isIterable(value) {
    return typeof value === 'string' || Array.isArray(value) || ITERABLE.some((type) => value instanceof type);
}

/** @param {any} value @param {Limits} limits @returns {Generator<any, void, void>} what a for loop meets */
export function* iterate(value, limits) {
    if (!isIterable(value)) throw new TemplateError(`'${typeName(value)}' object is not iterable`);
    /** @type {Iterable<any>} */
    let items = plain(value);
    if (value instanceof Undefined) return;
    if (value instanceof Tuple) items = value.items;
    else if (value instanceof Dict) items = new View(value, 'keys');
    else if (value instanceof Lazy) items = { [Symbol.iterator]: () => value.iterator };
    for (const item of items) {
        limits.spend();
        yield item;
    }
}

/** @param {any} value @param {Limits} limits @returns {any[]} all it has, in a new array */
export function listOf(value, limits) {
    return Array.from(iterate(value, limits));
}

/** @param {any} value @param {Limits} limits @returns {number} Python's len() */
export function lengthOf(value, limits) {
    if (typeof value === 'string') return textLength(value, limits);
    if (value instanceof Markup) return textLength(value.text, limits);
    if (Array.isArray(value)) return value.length;
    if (value instanceof Tuple) return value.items.length;
    if (value instanceof Dict) return value.size;
    if (value instanceof View) return value.dict.size;
    if (value instanceof Range) return value.length;
    if (value instanceof Undefined) return 0;
    throw new TemplateError(`object of type '${typeName(value)}' has no len()`);
}

/** @param {string} text @returns {boolean} whether characters and JavaScript's halves of them are not the same */
export function hasPairs(text) {
    return /[\ud800-\udbff]/.test(text);
}

/** @param {string} text @param {Limits} limits @returns {number} characters, of which JavaScript counts some twice */
export function textLength(text, limits) {
    limits.text(text.length);
    if (!hasPairs(text)) return text.length;
    limits.walk(text.length);
    let length = 0;
    for (const _ of text) length++;
    return length;
}

/** @param {string} text @param {Limits} limits @returns {string[]} its characters */
export function characters(text, limits) {
    limits.walk(text.length);
    return Array.from(text);
}

/** @param {any} value @returns {boolean} */
export function isCallable(value) {
    if (value instanceof Attributes) return value.call !== null;
    return value instanceof Callable || value instanceof Undefined;
}
