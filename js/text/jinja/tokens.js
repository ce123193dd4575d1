// Walking a list of tokens: what the parsers of expressions and statements share.

import { show } from '../../check.js';
import { invalid } from './errors.js';
import { tokenize } from './lexer.js';

/** @typedef {import('./lexer.js').Token} Token */

/** Brackets and blocks within one another; Python takes 200 and 20. */
const MAX_NESTING = 200;

const NAMES = new Map([['print-end', 'end of print statement'], ['block-end', 'end of statement block'],
    ['end', 'end of template']]);

export class Tokens {
    #list;
    #at = 0;
    #depth = 0;

    /** @param {string} source */
    constructor(source) {
        this.#list = tokenize(source);
    }

    get current() {
        return this.#list[this.#at];
    }

    get line() {
        return this.current.line;
    }

    /** @returns {Token} the current one, which is passed; the end stays */
    next() {
        const token = this.current;
        if (token.type !== 'end') this.#at++;
        return token;
    }

    /** @returns {Token} the one after the current one */
    peek() {
        return this.#list[Math.min(this.#at + 1, this.#list.length - 1)];
    }

    /** @param {string} value @returns {boolean} */
    isOperator(value) {
        return this.current.type === 'operator' && this.current.value === value;
    }

    /** @param {...string} values @returns {boolean} */
    isName(...values) {
        return this.current.type === 'name' && values.includes(this.current.value);
    }

    /** @param {string} value @returns {boolean} whether it stood there, and is passed */
    skipOperator(value) {
        const found = this.isOperator(value);
        if (found) this.next();
        return found;
    }

    /** @param {string} value @returns {boolean} whether it stood there, and is passed */
    skipName(value) {
        const found = this.isName(value);
        if (found) this.next();
        return found;
    }

    /** @param {string} value */
    expectOperator(value) {
        if (!this.skipOperator(value)) throw this.unexpected(`'${value}'`);
    }

    /** @returns {string} */
    expectName() {
        if (this.current.type !== 'name') throw this.unexpected('a name');
        return this.next().value;
    }

    /** @param {Token['type']} type */
    expectType(type) {
        if (this.current.type !== type) throw this.unexpected(NAMES.get(type) ?? type);
        this.next();
    }

    /** @param {string} expected @returns {import('../../check.js').FormatError} */
    unexpected(expected) {
        const { type, value, line } = this.current;
        return invalid(`expected ${expected}, got ${NAMES.get(type) ?? show(value)}`, line);
    }

    /**
     * @template T
     * @param {() => T} body of what opens here: bounded, so that a file cannot exhaust the stack
     * @returns {T}
     */
    nested(body) {
        if (++this.#depth > MAX_NESTING) throw invalid(`nested more than ${MAX_NESTING} deep`, this.line);
        const result = body();
        this.#depth--;
        return result;
    }
}
