// A template's text into tokens: data, and between the delimiters names, operators, strings and numbers. Whitespace as
// transformers' environment has it: trim_blocks, lstrip_blocks, one newline at the very end dropped, line ends made \n.

import { invalid, unsupported } from './errors.js';
import { trimEnd } from './space.js';

/**
 * @typedef {object} Token
 * @property {'data' | 'print' | 'print-end' | 'block' | 'block-end' | 'name' | 'string' | 'integer' | 'float'
 *     | 'operator' | 'end'} type
 * @property {any} value text; a bigint or a number for numbers
 * @property {number} line
 */

const OPERATORS = ['**', '//', '==', '!=', '<=', '>=', '+', '-', '*', '/', '%', '~', '<', '>', '=', '(', ')', '[', ']',
    '{', '}', '.', ',', ':', '|'];
const CLOSERS = new Map([['(', ')'], ['[', ']'], ['{', '}']]);
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}]*/uy;
const FLOAT = /(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const SPACE = /\s+/y;
const RAW = /\{%([-+]?)\s*raw\s*(-?)%\}/y;
const END_RAW = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;
const ESCAPE = /\\(?:\n|([\\'"abfnrtv])|x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3}))/g;
const SIMPLE = new Map([['\\', '\\'], ["'", "'"], ['"', '"'], ['a', '\x07'], ['b', '\b'], ['f', '\f'], ['n', '\n'],
    ['r', '\r'], ['t', '\t'], ['v', '\v']]);

class Lexer {
    /** @type {Token[]} */
    tokens = [];
    at = 0;
    line = 1;
    /** Whether what stands at `at` begins a line, as far as lstrip_blocks is concerned. */
    lineStarting = true;

    /** @param {string} source */
    constructor(source) {
        const text = source.replaceAll(/\r\n?/g, '\n');
        this.source = text.endsWith('\n') ? text.slice(0, -1) : text;
    }

    /** @returns {Token[]} */
    run() {
        while (this.at < this.source.length) this.outside();
        this.push('end', '');
        return this.tokens;
    }

    /** @param {Token['type']} type @param {any} value */
    push(type, value) {
        this.tokens.push({ type, value, line: this.line });
    }

    /** Moves on, counting lines. @param {number} to */
    advance(to) {
        for (let i = this.at; i < to; i++) if (this.source.charCodeAt(i) === 10) this.line++;
        this.lineStarting = to > this.at ? this.source[to - 1] === '\n' : this.lineStarting;
        this.at = to;
    }

    /** Text up to the next delimiter, and what that opens. */
    outside() {
        let open = this.at;
        do {
            open = this.source.indexOf('{', open);
        } while (open >= 0 && !'{%#'.includes(this.source[open + 1] ?? ' ') && ++open);
        if (open < 0) {
            this.push('data', this.source.slice(this.at));
            this.advance(this.source.length);
            return;
        }
        const kind = this.source[open + 1];
        const sign = this.source[open + 2];
        this.data(this.source.slice(this.at, open), sign, kind !== '{');
        this.advance(open);
        RAW.lastIndex = open;
        const raw = RAW.exec(this.source);
        if (raw) this.raw(raw);
        else if (kind === '#') this.comment();
        else this.inside(kind === '{', open + (sign === '-' || sign === '+' ? 3 : 2));
    }

    /**
     * @param {string} text
     * @param {string | undefined} sign
     * @param {boolean} isBlock blocks and comments, not prints
     */
    data(text, sign, isBlock) {
        let kept = text;
        if (sign === '-') {
            kept = trimEnd(text);
        } else if (sign !== '+' && isBlock) {
            const start = text.lastIndexOf('\n') + 1;
            if ((start > 0 || this.lineStarting) && /^\s*$/.test(text.slice(start))) kept = text.slice(0, start);
        }
        if (kept !== '') this.push('data', kept);
    }

    /** Past what follows an end delimiter: all space after '-', one newline after a block. @param {number} to
     *  @param {string} sign @param {boolean} trims */
    close(to, sign, trims) {
        let end = to;
        if (sign === '-') {
            SPACE.lastIndex = to;
            end += SPACE.exec(this.source)?.[0].length ?? 0;
        } else if (trims && sign !== '+' && this.source[to] === '\n') {
            end++;
        }
        this.advance(end);
    }

    /** @param {RegExpExecArray} begin */
    raw(begin) {
        this.close(begin.index + begin[0].length, begin[2], false);
        END_RAW.lastIndex = this.at;
        const end = END_RAW.exec(this.source);
        if (!end) throw invalid('Missing end of raw directive', this.line);
        this.data(this.source.slice(this.at, end.index), end[1], true);
        this.advance(end.index);
        this.close(end.index + end[0].length, end[2], true);
    }

    comment() {
        const end = this.source.indexOf('#}', this.at + 2);
        if (end < 0) throw invalid('Missing end of comment tag', this.line);
        this.close(end + 2, end > this.at + 1 ? this.source[end - 1] : '', true);
    }

    /** The tokens of an expression or a statement. @param {boolean} isPrint @param {number} start */
    inside(isPrint, start) {
        this.push(isPrint ? 'print' : 'block', '');
        this.advance(start);
        /** @type {string[]} the closers of what is open: a '}}' inside a dict ends the dict */
        const open = [];
        for (;;) {
            this.skipSpace();
            if (this.at >= this.source.length) {
                throw invalid(`unexpected end of template: a ${isPrint ? '{{' : '{%'} is not closed`, this.line);
            }
            if (open.length === 0 && this.closes(isPrint)) return;
            this.token(open);
        }
    }

    skipSpace() {
        SPACE.lastIndex = this.at;
        const space = SPACE.exec(this.source);
        if (space) this.advance(this.at + space[0].length);
    }

    /** @param {boolean} isPrint @returns {boolean} whether the tag ends here */
    closes(isPrint) {
        const delimiter = isPrint ? '}}' : '%}';
        const sign = this.source[this.at];
        const signed = sign === '-' || (sign === '+' && !isPrint);
        if (!this.source.startsWith(delimiter, this.at + Number(signed))) return false;
        this.push(isPrint ? 'print-end' : 'block-end', '');
        this.close(this.at + 2 + Number(signed), signed ? sign : '', !isPrint);
        return true;
    }

    /** @param {string[]} open */
    token(open) {
        const quote = this.source[this.at];
        if (quote === "'" || quote === '"') return this.string(quote);
        if (this.match(FLOAT, 'float', (text) => Number(text.replaceAll('_', '')))) return undefined;
        if (this.match(INTEGER, 'integer', (text) => BigInt(text.replaceAll('_', '')))) return undefined;
        if (this.match(NAME, 'name', (text) => text.normalize('NFKC'))) return undefined;
        const operator = OPERATORS.find((text) => this.source.startsWith(text, this.at));
        if (operator === undefined) {
            const char = String.fromCodePoint(/** @type {number} */ (this.source.codePointAt(this.at)));
            throw invalid(`unexpected char ${JSON.stringify(char)}`, this.line);
        }
        const closer = CLOSERS.get(operator);
        if (closer) {
            open.push(closer);
        } else if (')]}'.includes(operator) && open.pop() !== operator) {
            throw invalid(`unexpected '${operator}'`, this.line);
        }
        this.push('operator', operator);
        this.advance(this.at + operator.length);
        return undefined;
    }

    /** @param {RegExp} pattern @param {Token['type']} type @param {(text: string) => any} value */
    match(pattern, type, value) {
        pattern.lastIndex = this.at;
        const found = pattern.exec(this.source);
        if (!found) return false;
        if (type !== 'name' && found[0].length > 300) throw invalid('a number of more than 300 digits', this.line);
        // `x.1.2` is two items, not an item 1.2.
        if (type === 'float' && this.source[this.at - 1] === '.') return false;
        this.push(type, value(found[0]));
        this.advance(this.at + found[0].length);
        return true;
    }

    /** @param {string} quote */
    string(quote) {
        let end = this.at + 1;
        while (end < this.source.length && this.source[end] !== quote) end += this.source[end] === '\\' ? 2 : 1;
        if (end >= this.source.length) throw invalid('a string is not closed', this.line);
        this.push('string', unescape(this.source.slice(this.at + 1, end), this.line));
        this.advance(end + 1);
    }
}

/** @param {string} text @param {number} line @returns {string} with Python's escapes taken */
function unescape(text, line) {
    if (!text.includes('\\')) return text;
    if (/\\N\{/.test(text)) throw unsupported('the escape \\N{...}', line);
    return text.replaceAll(ESCAPE, (_, simple, hex2, hex4, hex8, octal) => {
        if (simple) return /** @type {string} */ (SIMPLE.get(simple));
        const hex = hex2 ?? hex4 ?? hex8;
        if (hex === undefined && octal === undefined) return '';
        const code = hex === undefined ? parseInt(octal, 8) : parseInt(hex, 16);
        if (code > 0x10ffff) throw invalid('an escape beyond the last character', line);
        return String.fromCodePoint(code);
    });
}

/** @param {string} source @returns {Token[]} the last one is of type 'end' */
export function tokenize(source) {
    return new Lexer(source).run();
}
