// The Python values a template computes with. None, bool, int, float, str and list are null, boolean, bigint, number,
// string and Array here (a bigint and a number tell 1 from 1.0); everything else has a class below. No object of the
// caller's gets in: fromJs() copies, so no prototype and no constructor is in a template's reach.

import { show, typeError } from '../../check.js';

/** What a template's run throws: wrong types, undefined values, what raise_exception() says. */
export class TemplateError extends Error {
    /** @param {string} message @param {ErrorOptions} [options] */
    constructor(message, options) {
        super(message, options);
        this.name = 'TemplateError';
    }
}

/** A name, attribute or item that is not there. Printing gives nothing; most other uses throw. */
export class Undefined {
    typeName = 'Undefined';

    /** @param {string} hint what using it says */
    constructor(hint) {
        this.hint = hint;
    }

    /** @returns {never} */
    fail() {
        throw new TemplateError(this.hint);
    }
}

export class Tuple {
    typeName = 'tuple';

    /** @param {any[]} items */
    constructor(items) {
        this.items = items;
    }
}

/** What groupby gives: (grouper, list), by name too. */
export class Group extends Tuple {}

/** A string that has been escaped: adding to it escapes what is added. */
export class Markup {
    typeName = 'Markup';

    /** @param {string} text */
    constructor(text) {
        this.text = text;
    }
}

/** Keys keep their order; 1, 1.0 and True are the same key. */
export class Dict {
    typeName = 'dict';
    /** @type {Map<any, [any, any]>} */
    #entries = new Map();

    /** @param {Iterable<[any, any]>} [entries] */
    constructor(entries = []) {
        for (const [key, value] of entries) this.set(key, value);
    }

    get size() {
        return this.#entries.size;
    }

    /** @param {any} key @param {any} value the first spelling of a key stays, as in Python */
    set(key, value) {
        const id = keyOf(key);
        const entry = this.#entries.get(id);
        if (entry) entry[1] = value;
        else this.#entries.set(id, [key, value]);
    }

    /** @param {any} key */
    has(key) {
        return this.#entries.has(keyOf(key));
    }

    /** @param {any} key @returns {any} undefined where there is none */
    get(key) {
        return this.#entries.get(keyOf(key))?.[1];
    }

    /** @returns {IterableIterator<[any, any]>} */
    entries() {
        return this.#entries.values();
    }
}

/** What keys(), values() and items() give: always what the dict holds now. */
export class View {
    /** @param {Dict} dict @param {'keys' | 'values' | 'items'} part */
    constructor(dict, part) {
        this.dict = dict;
        this.part = part;
        this.typeName = `dict_${part}`;
    }

    /** @returns {IterableIterator<any>} */
    * [Symbol.iterator]() {
        for (const [key, value] of this.dict.entries()) {
            yield this.part === 'keys' ? key : this.part === 'values' ? value : new Tuple([key, value]);
        }
    }
}

/** The numbers of range(), at most as many as transformers' sandbox lets through. */
export class Range {
    typeName = 'range';

    /** @param {bigint} start @param {bigint} stop @param {bigint} step */
    constructor(start, stop, step) {
        if (step === 0n) throw new TemplateError('range() arg 3 must not be zero');
        const span = step > 0n ? stop - start : start - stop;
        const size = step > 0n ? step : -step;
        const length = span > 0n ? (span + size - 1n) / size : 0n;
        if (length > 100000n) throw new TemplateError('Range too big: a template may count to 100000');
        this.start = start;
        this.stop = stop;
        this.step = step;
        this.length = Number(length);
    }

    /** @param {number} index */
    at(index) {
        return this.start + BigInt(index) * this.step;
    }

    /** @returns {IterableIterator<bigint>} */
    * [Symbol.iterator]() {
        for (let i = 0; i < this.length; i++) yield this.at(i);
    }
}

/** A generator: it can be walked once. */
export class Lazy {
    typeName = 'generator';

    /** @param {Iterator<any>} iterator */
    constructor(iterator) {
        this.iterator = iterator;
    }
}

/** Something to call: a global function, a method bound to its value, a macro, recursive loops. */
export class Callable {
    typeName = 'function';

    /** @param {string} name @param {(args: any[], kwargs: Map<string, any>) => any} call */
    constructor(name, call) {
        this.name = name;
        this.call = call;
    }
}

/** Objects whose attributes are a fixed list: loop, namespace(), cycler(), joiner(), macros. */
export class Attributes {
    /** @type {((args: any[], kwargs: Map<string, any>) => any) | null} what calling it does, where it can be called */
    call = null;

    /** @param {string} typeName @param {Map<string, any>} [values] */
    constructor(typeName, values = new Map()) {
        this.typeName = typeName;
        this.values = values;
    }

    /** @param {string} name @returns {any} undefined where there is none */
    attribute(name) {
        return this.values.get(name);
    }
}

/** What {% set ns.x = ... %} may write to. */
export class Namespace extends Attributes {
    constructor() {
        super('Namespace');
    }

    /** @param {any} name @param {any} value */
    set(name, value) {
        if (/^_/.test(name)) throw new TemplateError(`a namespace has no '${name}': names in it do not begin with _`);
        this.values.set(name, value);
    }
}

const MAX_KEY = 16000;

/** @param {any} key @returns {any} the same for equal keys; throws for what Python cannot hash */
function keyOf(key) {
    if (typeof key === 'string') {
        // Engines hash longer ones by their length alone.
        if (key.length > MAX_KEY) throw new TemplateError(`a key of a dict has more than ${MAX_KEY} characters`);
        return `s${key}`;
    }
    if (typeof key === 'boolean') return `n${Number(key)}`;
    if (typeof key === 'bigint') return `n${key}`;
    if (typeof key === 'number') return Number.isInteger(key) ? `n${BigInt(key)}` : `f${key}`;
    if (key === null) return 'None';
    if (key instanceof Markup) return keyOf(key.text);
    if (key instanceof Tuple) return `t${JSON.stringify(key.items.map(hashable))}`;
    if (key instanceof Undefined) return 'u';
    if (Array.isArray(key) || key instanceof Dict || key instanceof View) {
        throw new TemplateError(`unhashable type: '${typeName(key)}'`);
    }
    return key;
}

/** @param {any} item of a tuple that is a key; tuples of tuples end here, so that depth is bounded @returns {string} */
function hashable(item) {
    const key = item instanceof Tuple ? null : keyOf(item);
    if (typeof key !== 'string') throw new TemplateError(`unhashable in a tuple: '${typeName(item)}'`);
    return key;
}

/** @param {any} value @returns {string} Python's name of its type */
export function typeName(value) {
    if (value === null) return 'NoneType';
    if (Array.isArray(value)) return 'list';
    switch (typeof value) {
        case 'boolean': return 'bool';
        case 'bigint': return 'int';
        case 'number': return 'float';
        case 'string': return 'str';
        default: return value.typeName;
    }
}

/** @param {any} value @returns {boolean} what `if` makes of it */
export function truthy(value) {
    if (value === null || value instanceof Undefined) return false;
    if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string') return Boolean(value);
    if (typeof value === 'boolean') return value;
    if (value instanceof Markup) return value.text !== '';
    if (Array.isArray(value)) return value.length > 0;
    if (value instanceof Tuple) return value.items.length > 0;
    if (value instanceof Dict) return value.size > 0;
    if (value instanceof View) return value.dict.size > 0;
    if (value instanceof Range) return value.length > 0;
    return true;
}

/** Deeper than any tool's schema, and a cycle ends here. */
const MAX_NESTING = 100;

/** Longer than any conversation; a Proxy may say that it is longer still. */
const MAX_ITEMS = 2 ** 20;

/**
 * @param {unknown} value the caller's: what JSON can say, and Maps and bigints
 * @param {string} where for messages
 * @param {number} [depth]
 * @returns {any} a copy as the template's own values; integers become int
 */
export function fromJs(value, where, depth = 0) {
    if (depth > MAX_NESTING) throw new RangeError(`${where.slice(0, 60)}... is nested more than ${MAX_NESTING} deep`);
    if (value === null || typeof value === 'string' || typeof value === 'boolean' || typeof value === 'bigint') {
        return value;
    }
    if (typeof value === 'number') return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
    if (Array.isArray(value)) {
        if (value.length > MAX_ITEMS) throw new RangeError(`${where.slice(0, 100)} has more than ${MAX_ITEMS} items`);
        // A hole is undefined, which is named.
        return Array.from(value, (item, i) => fromJs(item, `${where}[${i}]`, depth + 1));
    }
    const plain = typeof value === 'object' && value !== null && [Object.prototype, null].includes(
        Object.getPrototypeOf(value));
    if (!plain && !(value instanceof Map)) {
        const expected = 'made of plain objects, arrays, strings, numbers, booleans and null';
        throw typeError(where.slice(0, 100), expected, value);
    }
    const dict = new Dict();
    for (const [key, item] of value instanceof Map ? value : Object.entries(/** @type {object} */ (value))) {
        if (typeof key !== 'string') throw new TypeError(`a key of ${where} must be a string, got ${show(key)}`);
        // As JSON does: what is undefined is not there.
        if (item !== undefined) dict.set(key, fromJs(item, `${where}.${key}`, depth + 1));
    }
    return dict;
}
