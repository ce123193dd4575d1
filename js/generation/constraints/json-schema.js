// JSON by a schema, as an expression over bytes. Every match is JSON that the schema allows: with properties in the schema's order, at most
// one space after a colon or a comma, and strings, numbers and arrays of limited length. Keywords that are not supported are refused by
// name, and so is a schema that does not say what may come.

import { integerWithin, plainObject, rangeError, show, typeError } from '../../check.js';
import { LARGEST, anyNumber, integers, numbers } from './numbers.js';
import { pattern } from './pattern.js';
import { LAST, characters, without } from './utf8.js';

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Expressions} Expressions */
/** @typedef {import('./utf8.js').Ranges} Ranges */
/** @typedef {Record<string, any>} Schema */

/** Limits for characters of a string and items of an array: if the schema has none, and the largest that it may have. */
const USUAL_LETTERS = 256;
const MOST_LETTERS = 65536;
const USUAL_ITEMS = 16;
const MOST_ITEMS = 4096;
/** Depth of schemas within schemas. */
const MOST_DEPTH = 32;
const MOST_PROPERTIES = 1000;

/** Keywords that do not restrict the text. */
const NOTES = [
    'title', 'description', 'default', 'examples', '$schema', '$comment', '$defs', 'definitions', 'deprecated', 'readOnly', 'writeOnly',
];

/** Keywords by type. @type {Record<string, string[]>} */
const KEYWORDS = {
    object: ['properties', 'required', 'additionalProperties'],
    array: ['items', 'minItems', 'maxItems'],
    string: ['minLength', 'maxLength', 'pattern'],
    integer: ['minimum', 'maximum'],
    number: ['minimum', 'maximum'],
    boolean: [],
    null: [],
};

/** @param {Expressions} expressions @param {unknown} schema @returns {Expression} */
export function jsonBySchema(expressions, schema) {
    return new Compiler(expressions, schema).value(schema, 'json', 0);
}

class Compiler {
    /** @param {Expressions} e @param {unknown} root */
    constructor(e, root) {
        this._e = e;
        this._root = root;
        /** Expressions of named schemas, by reference; null: being built. @type {Map<string, Expression | null>} */
        this._named = new Map();
        this._comma = e.then(e.text(','), e.optional(e.text(' ')));
        this._colon = e.then(e.text(':'), e.optional(e.text(' ')));
    }

    /**
     * @param {unknown} schema
     * @param {string} at where it stands, for messages
     * @param {number} depth
     * @returns {Expression}
     */
    value(schema, at, depth) {
        if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
            throw typeError(at, 'a JSON Schema, an object', schema);
        }
        if (depth > MOST_DEPTH) {
            throw rangeError(at, `nested at most ${MOST_DEPTH} deep`, schema);
        }
        const given = /** @type {Schema} */ (schema);
        const whole = ['$ref', 'anyOf', 'const', 'enum'].find((name) => given[name] !== undefined);
        if (whole !== undefined) {
            checkKeywords(given, at, whole === 'enum' || whole === 'const' ? [whole, 'type'] : [whole]);
            if (whole === '$ref') return this._reference(given, at, depth);
            return whole === 'anyOf' ? this._anyOf(given, at, depth) : this._fixed(given, at);
        }
        if (given.type === undefined) {
            throw rangeError(at, 'a schema with a type, anyOf, enum, const or $ref', given);
        }
        const types = Array.isArray(given.type) ? given.type : [given.type];
        if (types.length === 0 || !types.every((type) => typeof type === 'string' && Object.hasOwn(KEYWORDS, type))) {
            throw rangeError(`${at}.type`, `of ${Object.keys(KEYWORDS).join(', ')}`, given.type);
        }
        checkKeywords(given, at, ['type', ...types.flatMap((type) => KEYWORDS[type])]);
        return this._e.either(types.map((type) => this._ofType(type, given, at, depth)));
    }

    /** @param {string} type @param {Schema} schema @param {string} at @param {number} depth @returns {Expression} */
    _ofType(type, schema, at, depth) {
        switch (type) {
            case 'object':
                return this._object(schema, at, depth);
            case 'array':
                return this._array(schema, at, depth);
            case 'string':
                return this._string(schema, at);
            case 'integer': case 'number':
                return this._number(type, schema, at);
            case 'boolean':
                return this._e.either([this._e.text('true'), this._e.text('false')]);
            default:
                return this._e.text('null');
        }
    }

    /** @param {Schema} schema @param {string} at @param {number} depth @returns {Expression} */
    _reference({ $ref }, at, depth) {
        const [, kind, name] = /^#\/(\$defs|definitions)\/([^/~%]+)$/.exec(typeof $ref === 'string' ? $ref : '') ?? [];
        const all = /** @type {Schema} */ (this._root)[kind];
        if (kind === undefined || typeof all !== 'object' || all === null || !Object.hasOwn(all, name)) {
            throw rangeError(`${at}.$ref`, "the name of a schema here, '#/$defs/name'", $ref);
        }
        const known = this._named.get($ref);
        if (known === null) {
            throw rangeError(`${at}.$ref`, 'no schema that this one is a part of', $ref);
        }
        if (known !== undefined) {
            return known;
        }
        this._named.set($ref, null);
        const made = this.value(all[name], `json.${kind}.${name}`, depth + 1);
        this._named.set($ref, made);
        return made;
    }

    /** @param {Schema} schema @param {string} at @param {number} depth @returns {Expression} */
    _anyOf({ anyOf }, at, depth) {
        if (!Array.isArray(anyOf) || anyOf.length === 0) {
            throw typeError(`${at}.anyOf`, 'a list of schemas', anyOf);
        }
        return this._e.either(anyOf.map((one, i) => this.value(one, `${at}.anyOf[${i}]`, depth + 1)));
    }

    /** @param {Schema} schema @param {string} at @returns {Expression} */
    _fixed(schema, at) {
        const values = schema.enum === undefined ? [schema.const] : schema.enum;
        if (!Array.isArray(values) || values.length === 0) {
            throw typeError(`${at}.enum`, 'a list of values', values);
        }
        const types = schema.type === undefined ? null : [schema.type].flat();
        for (const value of values) {
            if (types && !types.some((type) => isOfType(type, value))) {
                throw typeError(`${at}.enum`, `of type ${types}`, value);
            }
        }
        return this._e.either(values.map((value) => this._e.text(JSON.stringify(value))));
    }

    /** @param {Schema} schema @param {string} at @param {number} depth @returns {Expression} */
    _object({ properties = {}, required = [], additionalProperties = false }, at, depth) {
        plainObject(`${at}.properties`, properties);
        const names = Object.keys(properties);
        if (typeof additionalProperties !== 'boolean') {
            throw typeError(`${at}.additionalProperties`, 'false, or true, and then there are none either', additionalProperties);
        }
        if (!Array.isArray(required) || !required.every((name) => typeof name === 'string' && Object.hasOwn(properties, name))) {
            throw rangeError(`${at}.required`, 'a list of names of properties', required);
        }
        if (names.length > MOST_PROPERTIES) {
            throw rangeError(`${at}.properties`, `at most ${MOST_PROPERTIES}`, names.length);
        }
        const e = this._e;
        // From the last property to the first: what may follow after another property, and what if this is the first one.
        let [more, first] = [e.nothing, e.nothing];
        for (const name of names.reverse()) {
            const pair = e.then(e.text(JSON.stringify(name)), this._colon, this.value(properties[name], `${at}.${name}`, depth + 1));
            const [next, begun] = [e.then(this._comma, pair, more), e.then(pair, more)];
            [more, first] = required.includes(name) ? [next, begun] : [e.either([next, more]), e.either([begun, first])];
        }
        return e.then(e.text('{'), first, e.text('}'));
    }

    /** @param {Schema} schema @param {string} at @param {number} depth @returns {Expression} */
    _array({ items, minItems, maxItems }, at, depth) {
        const [min, max] = bounds(at, { minItems, maxItems }, USUAL_ITEMS, MOST_ITEMS);
        const e = this._e;
        const one = this.value(items, `${at}.items`, depth + 1);
        const list = max === 0 ? e.nothing : e.then(one, e.repeat(e.then(this._comma, one), Math.max(0, min - 1), max - 1));
        return e.then(e.text('['), min === 0 ? e.optional(list) : list, e.text(']'));
    }

    /** @param {Schema} schema @param {string} at @returns {Expression} */
    _string(schema, at) {
        const e = this._e;
        const quote = e.text('"');
        const { minLength, maxLength } = schema;
        if (schema.pattern !== undefined) {
            if (minLength !== undefined || maxLength !== undefined) {
                throw rangeError(`${at}.pattern`, 'without minLength and maxLength: it says how many characters there are', schema.pattern);
            }
            // A $ after an odd number of backslashes is a character.
            if (typeof schema.pattern !== 'string' || !schema.pattern.startsWith('^') || !/(?<!\\)(?:\\\\)*\$$/.test(schema.pattern)) {
                throw rangeError(`${at}.pattern`, 'of the whole string, from ^ to $', schema.pattern);
            }
            const inner = pattern(e, schema.pattern, { name: `${at}.pattern`, write: (ranges) => inString(e, ranges) });
            return e.then(quote, inner, quote);
        }
        const [min, max] = bounds(at, { minLength, maxLength }, USUAL_LETTERS, MOST_LETTERS);
        const letter = /** @type {Expression} */ (inString(e, [[32, LAST], [8, 10], [12, 13]]));
        return e.then(quote, e.repeat(letter, min, max), quote);
    }

    /** @param {string} type @param {Schema} schema @param {string} at @returns {Expression} */
    _number(type, { minimum, maximum }, at) {
        if (type === 'number' && minimum === undefined && maximum === undefined) {
            return anyNumber(this._e);
        }
        for (const [name, limit] of Object.entries({ minimum, maximum })) {
            if (limit !== undefined && !Number.isSafeInteger(limit)) {
                throw rangeError(`${at}.${name}`, 'an integer', limit);
            }
        }
        const [low, high] = [minimum ?? Math.min(-LARGEST, maximum ?? 0), maximum ?? Math.max(LARGEST, minimum ?? 0)];
        if (low > high) {
            throw rangeError(`${at}.minimum`, `at most the maximum ${high}`, low);
        }
        return type === 'integer' ? integers(this._e, low, high) : numbers(this._e, low, high);
    }
}

/** Characters with a short escape in JSON, and its letter. @type {[number, string][]} */
const ESCAPES = [[8, 'b'], [9, 't'], [10, 'n'], [12, 'f'], [13, 'r'], [34, '"'], [92, '\\']];
/** Characters that must be escaped in a string. @type {Ranges} */
const ESCAPED = [[0, 31], [34, 34], [92, 92]];

/** @param {Expressions} e @param {Ranges} ranges @returns {Expression | null} one of these characters as a string of JSON has it */
function inString(e, ranges) {
    const escapes = ESCAPES.filter(([point]) => ranges.some(([from, to]) => from <= point && point <= to));
    const plain = characters(e, without(ranges, ESCAPED));
    const ways = plain ? [plain] : [];
    if (escapes.length > 0) {
        const letters = new Uint8Array(256);
        escapes.forEach(([, letter]) => {
            letters[letter.charCodeAt(0)] = 1;
        });
        ways.push(e.then(e.text('\\'), e.bytes(letters)));
    }
    return ways.length === 0 ? null : e.either(ways);
}

/** @param {Schema} schema @param {string} at @param {string[]} known */
function checkKeywords(schema, at, known) {
    // Within other schemas an $id would change what references mean.
    const other = Object.keys(schema).find((name) => schema[name] !== undefined && !known.includes(name) && !NOTES.includes(name)
        && (name !== '$id' || at !== 'json'));
    if (other !== undefined) {
        throw new TypeError(`${at}.${other}: this keyword is not supported here; ${known.join(', ')} are (got ${show(schema[other])})`);
    }
}

/**
 * @param {string} at
 * @param {Record<string, unknown>} limits minimum and maximum, by their keywords
 * @param {number} usual maximum if the schema has none
 * @param {number} most largest limit allowed
 * @returns {[number, number]}
 */
function bounds(at, limits, usual, most) {
    for (const [name, limit] of Object.entries(limits)) {
        if (limit !== undefined) {
            integerWithin(`${at}.${name}`, limit, most);
        }
    }
    const [[, least = 0], [name, greatest]] = /** @type {[string, number | undefined][]} */ (Object.entries(limits));
    const max = greatest ?? Math.max(usual, least);
    if (max < least) {
        throw rangeError(`${at}.${name}`, `at least ${least}`, max);
    }
    return [least, max];
}

/** @param {unknown} type @param {unknown} value */
function isOfType(type, value) {
    const actual = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
    return type === actual || (type === 'integer' && Number.isInteger(value));
}
