// What `value.name` and `value[index]` give: only what is listed here, as transformers' immutable sandbox has it.
// Whatever else JavaScript hangs on a value is out of reach.

import { bind } from './arguments.js';
import { equal } from './compare.js';
import { characters, hasPairs, lengthOf, listOf, plain } from './sequences.js';
import { STRING_METHODS, indexOf } from './strings.js';
import { repr } from './print.js';
import { Attributes, Callable, Dict, Group, Range, TemplateError, Tuple, Undefined, View, typeName } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */

/** Methods that would change what the caller handed over. */
const MUTATING = new Map([
    ['list', ['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove']],
    ['dict', ['clear', 'pop', 'popitem', 'setdefault', 'update']],
]);
/** What Python's objects have of their own, like `__class__`, and no template may have: `__proto__` is none of that. */
const INTERNAL = /^__(?!proto_)\w+__$/;

/** @typedef {(m: Machine, value: any, args: any[], kwargs: Map<string, any>) => any} Method */

/** @type {Map<string, Method>} */
const DICT_METHODS = new Map(/** @type {[string, Method][]} */ ([
    ['get', (_, dict, args, kwargs) => {
        const [key, fallback = null] = bind('get', ['key', 'default'], 1, args, kwargs);
        return dict.has(key) ? dict.get(key) : fallback;
    }],
    ['items', (_, dict, args, kwargs) => (bind('items', [], 0, args, kwargs), new View(dict, 'items'))],
    ['keys', (_, dict, args, kwargs) => (bind('keys', [], 0, args, kwargs), new View(dict, 'keys'))],
    ['values', (_, dict, args, kwargs) => (bind('values', [], 0, args, kwargs), new View(dict, 'values'))],
    ['copy', (m, dict) => (m.limits.spend(dict.size), new Dict(dict.entries()))],
]));

/** @type {Map<string, Method>} */
const LIST_METHODS = new Map(/** @type {[string, Method][]} */ ([
    ['index', (m, list, args, kwargs) => {
        const [wanted, start, stop] = bind('index', ['value', 'start', 'stop'], 1, args, kwargs);
        const items = listOf(list, m.limits);
        const [from, to] = bounds(start ?? null, stop ?? null, 1, items.length);
        for (let i = from; i < to; i++) if (equal(items[i], wanted, m.limits)) return BigInt(i);
        throw new TemplateError(`${repr(wanted, m.limits).slice(0, 60)} is not in list`);
    }],
    ['count', (m, list, args, kwargs) => {
        const [wanted] = bind('count', ['value'], 1, args, kwargs);
        return BigInt(listOf(list, m.limits).filter((item) => equal(item, wanted, m.limits)).length);
    }],
]));

/** @type {Map<string, Map<string, Method>>} */
const METHODS = new Map(/** @type {[string, Map<string, Method>][]} */ ([
    ['str', STRING_METHODS],
    ['dict', DICT_METHODS],
    ['list', new Map([...LIST_METHODS, ['copy', (m, list) => listOf(list, m.limits)]])],
    ['tuple', LIST_METHODS],
    ['int', new Map([
        ['bit_length', (_, value) => BigInt(value === 0n ? 0 : value.toString(2).replace('-', '').length)],
    ])],
    ['float', new Map([['is_integer', (_, value) => Number.isInteger(value)]])],
]));

/** @param {Machine} m @param {any} value @param {string} name @returns {any} undefined where it has none */
function own(m, value, name) {
    if (value instanceof Attributes) return value.attribute(name);
    if (value instanceof Group && ['grouper', 'list'].includes(name)) return value.items[Number(name === 'list')];
    const method = METHODS.get(typeName(value))?.get(name);
    return method && new Callable(name, (args, kwargs) => method(m, value, args, kwargs));
}

/** @param {any} value @param {string} name @returns {boolean} whether Python has it, and not for templates */
function isUnsafe(value, name) {
    return Boolean(MUTATING.get(typeName(value))?.includes(name)) || INTERNAL.test(name);
}

/** @param {Machine} m @param {any} value @param {any} name @returns {any} what is not there */
function missing(m, value, name) {
    const kind = value === null ? 'None' : `${typeName(value)} object`;
    return typeof name === 'string' ? new Undefined(`'${kind}' has no attribute '${name.slice(0, 60)}'`)
        : new Undefined(`'${kind}' has no element ${repr(name, m.limits).slice(0, 60)}`);
}

/**
 * @param {Machine} m
 * @param {any} object
 * @param {string} name
 * @returns {any} value.name: attributes first, then items
 */
export function getAttribute(m, object, name) {
    const value = plain(object);
    const result = getOwn(m, value, name);
    // The hint stands when there is no item either.
    return result instanceof Undefined && value instanceof Dict && !isUnsafe(value, name) && value.has(name)
        ? value.get(name) : result;
}

/** @param {Machine} m @param {any} object @param {string} name @returns {any} an attribute, never an item */
export function getOwn(m, object, name) {
    const value = plain(object);
    if (value instanceof Undefined) return value.fail();
    if (isUnsafe(value, name)) {
        return new Undefined(`access to attribute '${name}' of '${typeName(value)}' object is unsafe.`);
    }
    const result = own(m, value, name);
    return result === undefined ? missing(m, value, name) : result;
}

/**
 * @param {Machine} m
 * @param {any} object
 * @param {any} index
 * @returns {any} value[index]: items first, then attributes
 */
export function getItem(m, object, index) {
    const value = plain(object);
    const key = plain(index);
    m.limits.weigh([key]);
    m.limits.spend();
    if (value instanceof Undefined) return value.fail();
    if (value instanceof Dict) {
        const isHashable = !Array.isArray(key) && !(key instanceof Dict);
        if (isHashable && value.has(key)) return value.get(key);
    } else if (typeof key === 'bigint' || typeof key === 'boolean') {
        const item = at(m, value, Number(key));
        if (item !== undefined) return item;
    }
    if (typeof key !== 'string') return missing(m, value, key);
    return getOwn(m, value, key);
}

/** @param {Machine} m @param {any} value @param {number} index @returns {any} undefined where there is none */
function at(m, value, index) {
    if (typeof value === 'string') {
        m.limits.text(value.length);
        return hasPairs(value) ? characters(value, m.limits).at(index) : value.at(index);
    }
    if (value instanceof Range) {
        const place = index < 0 ? index + value.length : index;
        return place >= 0 && place < value.length ? value.at(place) : undefined;
    }
    if (value instanceof Tuple) return value.items.at(index);
    return Array.isArray(value) ? value.at(index) : undefined;
}

/** @param {any} start @param {any} stop @param {number} step @param {number} length @returns {[number, number]} */
function bounds(start, stop, step, length) {
    const [low, high] = step > 0 ? [0, length] : [-1, length - 1];
    const place = (/** @type {any} */ value, /** @type {number} */ fallback) => {
        const index = indexOf(value, NaN);
        if (Number.isNaN(index)) return fallback;
        return Math.min(high, Math.max(low, index < 0 ? index + length : index));
    };
    return step > 0 ? [place(start, low), place(stop, high)] : [place(start, high), place(stop, low)];
}

/** @param {Machine} m @param {any} object @param {any} start @param {any} stop @param {any} step @returns {any} */
export function getSlice(m, object, start, stop, step) {
    const value = plain(object);
    if (value instanceof Undefined) return value.fail();
    const isText = typeof value === 'string';
    if (!isText && !Array.isArray(value) && !(value instanceof Tuple) && !(value instanceof Range)) {
        throw new TemplateError(`'${typeName(value)}' object is not subscriptable`);
    }
    const width = indexOf(step, 1);
    if (width === 0) throw new TemplateError('slice step cannot be zero');
    if (isText && width === 1 && !hasPairs(value)) {
        m.limits.text(value.length);
        const [from, to] = bounds(start, stop, 1, value.length);
        return value.slice(from, Math.max(from, to));
    }
    if (value instanceof Range) {
        const [from, to] = bounds(start, stop, width, value.length);
        return new Range(value.at(from), value.at(to), BigInt(width) * value.step);
    }
    m.limits.spend(1 + lengthOf(value, m.limits));
    const all = value instanceof Tuple ? value.items : Array.from(/** @type {Iterable<any>} */ (value));
    const [from, to] = bounds(start, stop, width, all.length);
    const items = [];
    for (let i = from; width > 0 ? i < to : i > to; i += width) items.push(all[i]);
    if (isText) return items.join('');
    return value instanceof Tuple ? new Tuple(items) : items;
}
