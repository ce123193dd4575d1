// What can be walked and counted: Python's iteration and len(), and characters where JavaScript has halves of them.

import { Dict, Lazy, Markup, Range, TemplateError, Tuple, Undefined, View, typeName } from './values.js';

/** @typedef {import('./limits.js').Limits} Limits */

const ITERABLE = [Markup, Tuple, Dict, View, Range, Lazy, Undefined];

/** @param {any} value @returns {any} a string where it was an escaped one */
export function plain(value) {
    return value instanceof Markup ? value.text : value;
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
