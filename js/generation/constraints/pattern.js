// A regular expression in JavaScript's syntax as an expression over bytes: characters, classes, groups, alternatives, quantifiers.
// Lookaround, back-references and Unicode properties are refused.

import { rangeError, show, typeError } from '../../check.js';
import { LAST, characters, inverted } from './utf8.js';

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Expressions} Expressions */
/** @typedef {import('./utf8.js').Ranges} Ranges */
/** @typedef {(ranges: Ranges) => Expression | null} Writer makes the expression of one character of a set; null for an empty set */

/** Most characters of a pattern, depth of its groups, and largest number in a quantifier. */
const MOST_LETTERS = 4096;
const MOST_GROUPS = 64;
const MOST_TIMES = 65536;

/** @type {Ranges} */
const DIGITS = [[48, 57]];
/** @type {Ranges} */
const WORD = [[48, 57], [65, 90], [95, 95], [97, 122]];
/** @type {Ranges} */
const SPACE = [[9, 13], [32, 32], [160, 160], [0x1680, 0x1680], [0x2000, 0x200a], [0x2028, 0x2029], [0x202f, 0x202f], [0x205f, 0x205f],
    [0x3000, 0x3000], [0xfeff, 0xfeff]];
/** @type {Ranges} */
const LINE_ENDS = [[10, 10], [13, 13], [0x2028, 0x2029]];

/** @type {Record<string, Ranges>} */
const CLASSES = {
    d: DIGITS, D: inverted(DIGITS), w: WORD, W: inverted(WORD), s: SPACE, S: inverted(SPACE),
};
/** Behind a first \\u. */
const SURROGATES = /^d[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}/i;
/** @type {Record<string, number>} */
const LETTERS = { n: 10, r: 13, t: 9, v: 11, f: 12, 0: 0 };

/**
 * @param {Expressions} expressions
 * @param {unknown} source the whole text has to match; `^` and `$` may stand at its ends
 * @param {{ name?: string, write?: Writer }} [options] name: of the option, for messages
 * @returns {Expression}
 */
export function pattern(expressions, source, { name = 'pattern', write = (ranges) => characters(expressions, ranges) } = {}) {
    if (typeof source !== 'string') {
        throw typeError(name, 'a string, the source of a regular expression', source);
    }
    if (source.length > MOST_LETTERS) {
        throw rangeError(name, `of at most ${MOST_LETTERS} characters`, source);
    }
    return new Parser(expressions, source, name, write).whole();
}

class Parser {
    /** @param {Expressions} expressions @param {string} source @param {string} name @param {Writer} write */
    constructor(expressions, source, name, write) {
        this._e = expressions;
        this._source = source;
        this._letters = Array.from(source);
        this._at = 0;
        this._depth = 0;
        this._name = name;
        this._write = write;
    }

    /** @param {string} what @returns {Error} */
    _refuse(what) {
        return rangeError(this._name, `a regular expression that can be followed: ${what} at character ${this._at}`, this._source);
    }

    /** @param {string} letter */
    _take(letter) {
        const is = this._letters[this._at] === letter;
        this._at += Number(is);
        return is;
    }

    whole() {
        this._take('^');
        const result = this._either();
        if (this._at < this._letters.length) {
            throw this._refuse(`no ${show(this._letters[this._at])}`);
        }
        return result;
    }

    /** @returns {Expression} */
    _either() {
        const ways = [this._sequence()];
        while (this._take('|')) {
            ways.push(this._sequence());
        }
        return this._e.either(ways);
    }

    /** @returns {Expression} */
    _sequence() {
        /** @type {Expression[]} */
        const parts = [];
        while (this._at < this._letters.length && this._letters[this._at] !== '|' && this._letters[this._at] !== ')') {
            if (this._letters[this._at] === '$' && this._at === this._letters.length - 1) {
                this._at++;
                break;
            }
            parts.push(this._times(this._one()));
        }
        return this._e.then(...parts);
    }

    /** @param {Expression} part @returns {Expression} it with the quantifier that follows, if any */
    _times(part) {
        const next = this._letters[this._at];
        let [min, max] = [1, 1];
        if (next === '*' || next === '+' || next === '?') {
            this._at++;
            [min, max] = next === '*' ? [0, Infinity] : next === '+' ? [1, Infinity] : [0, 1];
        } else if (next === '{') {
            const [all, from, comma, to] = /^\{(\d+)(,?)(\d*)\}/.exec(this._letters.slice(this._at).join('')) ?? [];
            if (all === undefined || (comma === '' && to !== '')) {
                throw this._refuse('a count such as {2,3}');
            }
            this._at += all.length;
            [min, max] = [Number(from), comma === '' ? Number(from) : to === '' ? Infinity : Number(to)];
            if (min > max || min > MOST_TIMES || (max > MOST_TIMES && max !== Infinity)) {
                throw this._refuse(`a count up to ${MOST_TIMES}`);
            }
        } else {
            return part;
        }
        // A lazy quantifier matches the same texts.
        this._take('?');
        if ('*+?{'.includes(this._letters[this._at] ?? ' ')) {
            throw this._refuse('one count');
        }
        return this._e.repeat(part, min, max);
    }

    /** @returns {Expression} */
    _one() {
        const letter = this._letters[this._at++];
        switch (letter) {
            case '(':
                return this._group();
            case '[':
                return this._character(this._class());
            case '.':
                return this._character(inverted(LINE_ENDS));
            case '\\':
                return this._character(this._escape());
            case '^': case '$':
                throw this._refuse('anchors at its ends');
            case '*': case '+': case '?': case '{': case '}': case ']':
                throw this._refuse(`something before ${show(letter)}`);
            default:
                return this._character([[/** @type {number} */ (letter.codePointAt(0)), /** @type {number} */ (letter.codePointAt(0))]]);
        }
    }

    /** @returns {Expression} */
    _group() {
        if (this._take('?') && !this._take(':')) {
            throw this._refuse('plain groups');
        }
        this._depth++;
        if (this._depth > MOST_GROUPS) {
            throw this._refuse(`groups ${MOST_GROUPS} deep`);
        }
        const inner = this._either();
        this._depth--;
        if (!this._take(')')) {
            throw this._refuse('a closing parenthesis');
        }
        return inner;
    }

    /** @param {Ranges} ranges @returns {Expression} */
    _character(ranges) {
        const one = this._write(ranges);
        if (one === null) {
            throw this._refuse('a set with characters');
        }
        return one;
    }

    /** @returns {Ranges} of an escape, after its backslash */
    _escape() {
        const letter = this._letters[this._at++];
        if (letter === undefined) {
            throw this._refuse('something behind the backslash');
        }
        if (Object.hasOwn(CLASSES, letter)) {
            return CLASSES[letter];
        }
        const point = this._escapedPoint(letter);
        return [[point, point]];
    }

    /** @param {string} letter after the backslash @returns {number} code point */
    _escapedPoint(letter) {
        if (letter === 'x' || letter === 'u') {
            const rest = this._letters.slice(this._at).join('');
            // The two halves of a character, as JavaScript and JSON write those beyond \uffff, are one.
            const [pair] = (letter === 'u' && SURROGATES.exec(rest)) || [];
            if (pair !== undefined) {
                this._at += pair.length;
                return JSON.parse(`"\\u${pair}"`).codePointAt(0);
            }
            const [all, digits] = (letter === 'x' ? /^([0-9a-f]{2})/i : /^(?:\{([0-9a-f]{1,6})\}|([0-9a-f]{4}))/i).exec(rest) ?? [];
            const point = all === undefined ? Infinity : parseInt(digits ?? all, 16);
            if (point > LAST) {
                throw this._refuse('the number of a character');
            }
            this._at += /** @type {string} */ (all).length;
            return point;
        }
        if (Object.hasOwn(LETTERS, letter) && !(letter === '0' && /\d/.test(this._letters[this._at] ?? ''))) {
            return LETTERS[letter];
        }
        if (/[A-Za-z0-9]/.test(letter)) {
            throw this._refuse(`no ${show(`\\${letter}`)}`);
        }
        return /** @type {number} */ (letter.codePointAt(0));
    }

    /** @returns {Ranges} of a character class, after its bracket */
    _class() {
        const not = this._take('^');
        /** @type {Ranges} */
        const ranges = [];
        while (!this._take(']')) {
            const from = this._classMember();
            if (this._letters[this._at] === '-' && this._letters[this._at + 1] !== ']' && from.length === 1 && from[0][0] === from[0][1]) {
                this._at++;
                const to = this._classMember();
                if (to.length !== 1 || to[0][0] !== to[0][1] || to[0][0] < from[0][0]) {
                    throw this._refuse('the end of a range');
                }
                ranges.push([from[0][0], to[0][0]]);
            } else {
                ranges.push(...from);
            }
        }
        return not ? inverted(ranges) : ranges;
    }

    /** @returns {Ranges} */
    _classMember() {
        const letter = this._letters[this._at++];
        if (letter === undefined) {
            throw this._refuse('a closing bracket');
        }
        if (letter === '\\') {
            // In a class \b is a backspace, elsewhere a word boundary.
            return this._take('b') ? [[8, 8]] : this._escape();
        }
        const point = /** @type {number} */ (letter.codePointAt(0));
        return [[point, point]];
    }
}
