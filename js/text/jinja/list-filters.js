// Jinja's filters on lists and other things to walk.

import { bind, bound } from './arguments.js';
import { compare, equal } from './compare.js';
import { binary } from './operators.js';
import { str } from './print.js';
import { characters, isIterable, plain } from './sequences.js';
import { indexOf } from './strings.js';
import { Dict, Group, Lazy, TemplateError, Tuple, Undefined, View, truthy, typeName } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */
/** @typedef {(m: Machine, value: any, args: any[], kwargs: Map<string, any>) => any} Filter */

/** @param {Iterable<any>} items walked when the result is */
function lazy(items) {
    return new Lazy(items[Symbol.iterator]());
}

/** @param {any} attribute 'a.0.b', a number, or null for the value itself @returns {any[]} */
function attributeParts(attribute) {
    if (attribute === undefined || attribute === null) return [];
    if (typeof attribute !== 'string') return [attribute];
    return attribute.split('.').map((part) => (/^\d{1,15}$/.test(part) ? BigInt(part) : part));
}

/**
 * @param {Machine} m
 * @param {any} attribute
 * @param {any} [fallback] for what is not there
 * @returns {(item: any) => any}
 */
function getter(m, attribute, fallback = null) {
    if (typeof attribute === 'string') m.limits.walk(attribute.length);
    const parts = attributeParts(attribute);
    return (item) => {
        let value = item;
        for (const part of parts) {
            value = m.item(value, part);
            if (fallback !== null && value instanceof Undefined) value = fallback;
        }
        return value;
    };
}

/** @param {Machine} m @param {any} value @param {any} caseSensitive */
function ignoreCase(m, value, caseSensitive) {
    const text = plain(value);
    m.limits.weigh([text]);
    return typeof text === 'string' && !truthy(caseSensitive) ? text.toLowerCase() : value;
}

/** Keeps the order of equal ones, backwards too, as Python does.
 *  @param {Machine} m @param {any[]} items @param {(item: any) => any} keyOf @param {any} reverse @returns {any[]} */
function sorted(m, items, keyOf, reverse) {
    const keyed = items.map((item) => ({ item, key: keyOf(item) }));
    const sign = truthy(reverse) ? -1 : 1;
    keyed.sort((a, b) => sign * compare(a.key, b.key, '<', m.limits));
    return keyed.map(({ item }) => item);
}

/**
 * @param {Machine} m
 * @param {any} value
 * @param {any} [reverse]
 * @param {any} [caseSensitive]
 * @param {any} [attribute]
 */
function sort(m, value, reverse = false, caseSensitive = false, attribute = null) {
    const several = typeof attribute === 'string' ? attribute.split(',') : [attribute];
    const getters = several.map((one) => getter(m, one));
    const keyOf = (/** @type {any} */ item) => getters.map((get) => ignoreCase(m, get(item), caseSensitive));
    return sorted(m, m.list(value), keyOf, reverse);
}

/** @param {Machine} m @param {any} value @param {any} [caseSensitive] @param {any} [by] @param {any} [reverse] */
function dictSort(m, value, caseSensitive = false, by = 'key', reverse = false) {
    if (by !== 'key' && by !== 'value') throw new TemplateError('You can only sort by either "key" or "value"');
    if (!(value instanceof Dict)) throw new TemplateError(`dictsort needs a dict, not ${typeName(value)}`);
    const keyOf = (/** @type {Tuple} */ pair) => ignoreCase(m, pair.items[by === 'key' ? 0 : 1], caseSensitive);
    return sorted(m, m.list(new View(value, 'items')), keyOf, reverse);
}

/** @param {Machine} m @param {any} value @param {any} attribute @param {any} [fallback] @param {any} [caseSensitive] */
function groupBy(m, value, attribute, fallback = null, caseSensitive = false) {
    const get = getter(m, attribute, fallback);
    const keyOf = (/** @type {any} */ item) => ignoreCase(m, get(item), caseSensitive);
    /** @type {{ key: any, items: any[] }[]} */
    const groups = [];
    for (const item of sorted(m, m.list(value), keyOf, false)) {
        const key = keyOf(item);
        const last = groups.at(-1);
        if (last && equal(last.key, key, m.limits)) last.items.push(item);
        else groups.push({ key, items: [item] });
    }
    return groups.map(({ items }) => new Group([get(items[0]), items]));
}

/**
 * @param {number} wanted the sign of what is taken
 * @returns {(m: Machine, value: any, ...args: any[]) => any} min or max
 */
function extreme(wanted) {
    return (m, value, caseSensitive = false, attribute = null) => {
        const get = getter(m, attribute);
        let best = new Undefined('No aggregated item, sequence was empty.');
        let bestKey;
        for (const item of m.iterate(value)) {
            const key = ignoreCase(m, get(item), caseSensitive);
            const order = bestKey === undefined ? wanted : compare(key, bestKey, wanted < 0 ? '<' : '>', m.limits);
            if (order * wanted <= 0) continue;
            best = item;
            bestKey = key;
        }
        return best;
    };
}

/** @param {Machine} m @param {any} value @param {any} [caseSensitive] @param {any} [attribute] */
function* unique(m, value, caseSensitive = false, attribute = null) {
    const get = getter(m, attribute);
    const seen = new Dict();
    for (const item of m.iterate(value)) {
        const key = ignoreCase(m, get(item), caseSensitive);
        if (seen.has(key)) continue;
        seen.set(key, true);
        yield item;
    }
}

/** @param {Machine} m @param {any} value @param {any} count @param {any} [fill] */
function* batch(m, value, count, fill = null) {
    const size = indexOf(count, 1);
    /** @type {any[]} */
    let part = [];
    for (const item of m.iterate(value)) {
        if (part.length === size) {
            yield part;
            part = [];
        }
        part.push(item);
    }
    if (part.length === 0) return;
    m.limits.spend(Math.max(0, fill === null ? 0 : size - part.length));
    while (fill !== null && part.length < size) part.push(fill);
    yield part;
}

/** @param {Machine} m @param {any} value @param {any} count @param {any} [fill] */
function* slices(m, value, count, fill = null) {
    const items = m.list(value);
    const parts = indexOf(count, 1);
    if (parts === 0) throw new TemplateError('integer division or modulo by zero');
    const size = Math.floor(items.length / parts);
    const longer = items.length % parts;
    for (let i = 0, start = 0; i < parts; i++) {
        m.limits.spend();
        const end = start + size + Number(i < longer);
        yield fill !== null && i >= longer ? [...items.slice(start, end), fill] : items.slice(start, end);
        start = end;
    }
}

/** @param {Machine} m @param {any} value @param {any} [separator] @param {any} [attribute] */
function join(m, value, separator = '', attribute = null) {
    const get = getter(m, attribute);
    const between = str(separator, m.limits);
    const parts = [];
    let length = 0;
    for (const item of m.iterate(value)) {
        const text = str(get(item), m.limits);
        length += text.length + between.length;
        m.limits.text(text.length, length);
        parts.push(text);
    }
    return parts.join(between);
}

/** @param {Machine} m @param {any} value @param {any} [attribute] @param {any} [start] */
function sum(m, value, attribute = null, start = 0n) {
    const get = getter(m, attribute);
    let total = start;
    for (const item of m.iterate(value)) total = binary('+', total, get(item), m.limits);
    return total;
}

/** @param {Machine} m @param {any} value */
function reverse(m, value) {
    const text = plain(value);
    if (typeof text === 'string') {
        return characters(text, m.limits).reverse().join('');
    }
    if (!isIterable(value)) throw new TemplateError('argument must be iterable');
    const items = m.list(value).reverse();
    return value instanceof Lazy ? items : lazy(items);
}

/** @param {Machine} m @param {any} value */
function last(m, value) {
    if (value instanceof Lazy) throw new TemplateError("'generator' object is not reversible");
    const items = m.list(value);
    return items.length > 0 ? items[items.length - 1] : new Undefined('No last item, sequence was empty.');
}

/** @param {Machine} m @param {any} value */
function first(m, value) {
    const { value: item, done } = m.iterate(value).next();
    return done ? new Undefined('No first item, sequence was empty.') : item;
}

/** @param {Machine} m @param {any} value */
function items(m, value) {
    if (value instanceof Undefined) return [];
    if (!(value instanceof Dict)) throw new TemplateError('Can only get item pairs from a mapping.');
    return lazy(new View(value, 'items'));
}

/** @type {Filter} */
function* map(m, value, args, kwargs) {
    const named = new Map(kwargs);
    let apply;
    if (args.length === 0 && named.has('attribute')) {
        const [attribute, fallback] = bind('map', ['attribute', 'default'], 1, [], named);
        apply = getter(m, attribute, fallback);
    } else {
        if (args.length === 0) throw new TemplateError('map requires a filter argument');
        apply = (/** @type {any} */ item) => m.filter(args[0], item, args.slice(1), named);
    }
    // Nothing at all, None say, is nothing to walk.
    if (truthy(value)) for (const item of m.iterate(value)) yield apply(item);
}

/** @param {boolean} wanted @param {boolean} byAttribute @returns {Filter} select and its three relatives */
function selecting(wanted, byAttribute) {
    return function* select(m, value, args, kwargs) {
        const [attribute, ...others] = byAttribute ? args : [null, ...args];
        if (attribute === undefined) throw new TemplateError('Missing parameter for attribute name');
        const get = getter(m, attribute);
        const [test, ...rest] = others;
        if (!truthy(value)) return;
        for (const item of m.iterate(value)) {
            const subject = get(item);
            const passes = test === undefined ? truthy(subject) : m.test(test, subject, rest, kwargs);
            if (passes === wanted) yield item;
        }
    };
}

/** @type {import('./arguments.js').Row[]} */
const TABLE = [
    ['batch', ['linecount', 'fill_with'], 1, (m, value, count, fill) => lazy(batch(m, value, count, fill))],
    ['dictsort', ['case_sensitive', 'by', 'reverse'], 0, dictSort],
    ['first', [], 0, first],
    ['groupby', ['attribute', 'default', 'case_sensitive'], 1, groupBy],
    ['items', [], 0, items],
    ['join', ['d', 'attribute'], 0, join],
    ['last', [], 0, last],
    ['list', [], 0, (m, value) => m.list(value)],
    ['max', ['case_sensitive', 'attribute'], 0, extreme(1)],
    ['min', ['case_sensitive', 'attribute'], 0, extreme(-1)],
    ['reverse', [], 0, reverse],
    ['slice', ['slices', 'fill_with'], 1, (m, value, count, fill) => lazy(slices(m, value, count, fill))],
    ['sort', ['reverse', 'case_sensitive', 'attribute'], 0, sort],
    ['sum', ['attribute', 'start'], 0, sum],
    ['unique', ['case_sensitive', 'attribute'], 0, (m, value, ...args) => lazy(unique(m, value, ...args))],
];

/** @type {Map<string, Filter>} */
export const LIST_FILTERS = new Map(bound(TABLE));
for (const [name, walk] of /** @type {[string, Filter][]} */ ([
    ['map', map], ['select', selecting(true, false)], ['reject', selecting(false, false)],
    ['selectattr', selecting(true, true)], ['rejectattr', selecting(false, true)],
])) {
    LIST_FILTERS.set(name, (...call) => lazy(walk(...call)));
}

