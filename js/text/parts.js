// Reading the parts of a tokenizer.json: checked fields, errors that name the part and its place, and the tables that models use.

import { FormatError, show } from '../check.js';
import { isObject } from '../files/json.js';

/** Limit of ids: far above any real vocabulary; larger ones would make sparse tables. */
export const MAX_TOKENS = 1 << 24;

/** Depth of sequences within sequences: real files have two levels. */
const MAX_DEPTH = 16;

/** Fields that change no id and no text: offsets, versions, padding and truncation of batches. */
const HARMLESS = new Set(['type', 'trim_offsets', 'version', 'truncation', 'padding']);

/** Parts of a tokenizer.json that may have such fields. In the others names of fields are tokens. */
const STEPS = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'];

/**
 * The harmless fields that a tokenizer.json has: `truncation`, `decoder.trim_offsets`.
 * @param {Record<string, any>} json of a tokenizer that has been read
 * @returns {string[]}
 */
export function harmlessOf(json) {
    /** @param {unknown} value @param {string} where @returns {string[]} */
    const within = (value, where) => {
        if (Array.isArray(value)) return value.flatMap((each, i) => within(each, `${where}[${i}]`));
        return isObject(value) ? Object.entries(value).flatMap(([name, inner]) => (name === 'type' ? []
            : HARMLESS.has(name) ? `${where}.${name}` : within(inner, `${where}.${name}`))) : [];
    };
    const whole = Object.keys(json).filter((name) => HARMLESS.has(name) && json[name] !== null);
    return [...whole, ...STEPS.flatMap((name) => within(json[name], name))];
}

/** @param {string} message @returns {FormatError} */
export function invalid(message) {
    return new FormatError('tokenizer-invalid', `tokenizer: ${message}`);
}

/** @param {string} message @returns {FormatError} */
export function unsupported(message) {
    return new FormatError('tokenizer-unsupported', `tokenizer: ${message}`);
}

/** A part of the file, with its place for messages. */
export class Part {
    /** @param {unknown} value @param {string} where @param {number} [depth] */
    constructor(value, where, depth = 0) {
        if (!isObject(value)) throw invalid(`${where} must be an object, got ${show(value)}`);
        if (depth > MAX_DEPTH) throw invalid(`${where} is nested more than ${MAX_DEPTH} deep`);
        this.value = value;
        this.where = where;
        this.depth = depth;
        /** @type {string} */
        this.type = typeof value.type === 'string' ? value.type : '';
    }

    /** Refuses, by name, fields that are not known. @param {readonly string[]} known */
    only(known) {
        for (const name of Object.keys(this.value)) {
            const value = this.value[name];
            if (!known.includes(name) && !HARMLESS.has(name) && value !== null && value !== false) {
                throw unsupported(`${this.where} has a field ${show(name)} that is not known`);
            }
        }
    }

    /** @param {string} name @returns {any} undefined if absent; inherited properties are no fields */
    get(name) {
        return Object.hasOwn(this.value, name) ? this.value[name] : undefined;
    }

    /** @param {string} name @param {boolean} otherwise @returns {boolean} */
    boolean(name, otherwise) {
        const value = this.get(name) ?? otherwise;
        if (typeof value !== 'boolean') throw this.wrong(name, 'true or false', value);
        return value;
    }

    /** @param {string} name @param {string} [otherwise] @returns {string} */
    string(name, otherwise) {
        const value = this.get(name) ?? otherwise;
        if (typeof value !== 'string') throw this.wrong(name, 'a string', value);
        return value;
    }

    /** @param {string} name @param {number} [otherwise] @returns {number} an integer that may be an index */
    count(name, otherwise) {
        const value = this.get(name) ?? otherwise;
        if (!Number.isInteger(value) || value < 0 || value >= MAX_TOKENS) throw this.wrong(name, 'an index', value);
        return value;
    }

    /** @param {string} name @returns {any[]} */
    list(name) {
        const value = this.get(name);
        if (!Array.isArray(value)) throw this.wrong(name, 'a list', value);
        // A copy has no holes, which map() would skip.
        return Array.from(value);
    }

    /** @param {string} name @returns {Part[]} */
    parts(name) {
        return this.list(name).map((value, i) => new Part(value, `${this.where}.${name}[${i}]`, this.depth + 1));
    }

    /** @param {string} name @param {string} expected @param {unknown} value @returns {FormatError} */
    wrong(name, expected, value) {
        return invalid(`${this.where}.${name} must be ${expected}, got ${show(value)}`);
    }

    /** @returns {FormatError} */
    unknown() {
        return unsupported(`${this.where} has the type ${show(this.value.type)}, which is not supported`);
    }
}

/** A hash table from pairs of integers to integers, in typed arrays: edges of a trie, merges of a BPE. */
export class PairTable {
    /** @param {number} expected number of pairs; the table grows if there are more */
    constructor(expected) {
        this.size = 0;
        const capacity = 1 << Math.max(4, Math.ceil(Math.log2(expected * 2 + 1)));
        this._mask = capacity - 1;
        this._left = new Int32Array(capacity).fill(-1);
        this._right = new Int32Array(capacity);
        this._value = new Int32Array(capacity);
    }

    /** @param {number} left @param {number} right @returns {number} the slot of the pair, or the free one for it */
    _slot(left, right) {
        let hash = Math.imul(left, 0x9E3779B1) ^ Math.imul(right, 0x85EBCA77);
        hash = Math.imul(hash ^ (hash >>> 15), 0x2C1B3C6D);
        let slot = (hash ^ (hash >>> 13)) & this._mask;
        while (this._left[slot] >= 0 && (this._left[slot] !== left || this._right[slot] !== right)) {
            slot = (slot + 1) & this._mask;
        }
        return slot;
    }

    /** @param {number} left @param {number} right @returns {number} -1 if the pair is not there */
    get(left, right) {
        const slot = this._slot(left, right);
        return this._left[slot] < 0 ? -1 : this._value[slot];
    }

    /** @param {number} left @param {number} right @param {number} value */
    set(left, right, value) {
        let slot = this._slot(left, right);
        if (this._left[slot] < 0) {
            if ((this.size + 1) * 2 > this._mask) {
                this._grow();
                slot = this._slot(left, right);
            }
            this.size++;
        }
        this._left[slot] = left;
        this._right[slot] = right;
        this._value[slot] = value;
    }

    _grow() {
        const { _left: left, _right: right, _value: value } = this;
        const capacity = left.length * 2;
        this._mask = capacity - 1;
        this._left = new Int32Array(capacity).fill(-1);
        this._right = new Int32Array(capacity);
        this._value = new Int32Array(capacity);
        for (let i = 0; i < left.length; i++) {
            if (left[i] >= 0) {
                const slot = this._slot(left[i], right[i]);
                this._left[slot] = left[i];
                this._right[slot] = right[i];
                this._value[slot] = value[i];
            }
        }
    }
}

/** Most characters of a string in a trie, which bounds how far each search goes. Real tokens have up to a hundred. */
const MOST_LETTERS = 1024;

/** A trie: strings to numbers. */
export class Trie {
    constructor() {
        this._edges = new PairTable(64);
        this._nodes = 1;
        /** Value of each node, -1 if no string ends there. @type {number[]} */
        this._values = [-1];
    }

    /** @param {string} text @param {number} value @throws {FormatError} if the text is too long */
    add(text, value) {
        if (text.length > MOST_LETTERS) {
            throw invalid(`a token has ${text.length} characters, at most ${MOST_LETTERS} are read`);
        }
        let node = 0;
        for (let i = 0; i < text.length; i++) {
            let next = this._edges.get(node, text.charCodeAt(i));
            if (next < 0) {
                next = this._nodes++;
                this._values.push(-1);
                this._edges.set(node, text.charCodeAt(i), next);
            }
            node = next;
        }
        this._values[node] = value;
    }

    /** @param {number} node @param {number} code @returns {number} the next node, or -1 */
    step(node, code) {
        return this._edges.get(node, code);
    }

    /** @param {number} node @returns {number} -1 if no string ends there */
    value(node) {
        return this._values[node];
    }
}
