// Python's comparisons: ==, <, in.

import { isIterable, iterate, plain } from './sequences.js';
import { Dict, Range, TemplateError, Tuple, Undefined, View, typeName } from './values.js';

/** @typedef {import('./limits.js').Limits} Limits */

/** @param {any} value @returns {value is bigint | number | boolean} */
export function isNumber(value) {
    return typeof value === 'bigint' || typeof value === 'number' || typeof value === 'boolean';
}

/** @param {any} value @returns {bigint | number} */
export function numeric(value) {
    return typeof value === 'boolean' ? BigInt(value) : value;
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
