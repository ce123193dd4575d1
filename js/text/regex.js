// Regular expressions of tokenizer.json (Oniguruma's and Rust's syntax) as JavaScript's. Classes are Unicode's: `\s` is
// White_Space (JavaScript's has U+FEFF and lacks U+0085). What has no equal here is refused by name.

import { show } from '../check.js';
import { invalid, unsupported } from './parts.js';

const MAX_LENGTH = 20_000;
const MAX_DEPTH = 50;

const WORDS = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}';
/** Outside of brackets `\w` has of other numbers than digits those of Latin-1. */
const WORD = `${WORDS}\\u{b2}\\u{b3}\\u{b9}\\u{bc}-\\u{be}`;

/** Classes by their letter: what stands between brackets. @type {Record<string, string>} */
const LETTER_CLASSES = { s: '\\p{White_Space}', d: '\\p{Nd}', w: WORDS, h: '0-9a-fA-F' };

/** @type {Record<string, string>} */
const NAMED_CLASSES = {
    alpha: '\\p{Alphabetic}', digit: '\\p{Nd}', space: '\\p{White_Space}', upper: '\\p{Uppercase}',
    lower: '\\p{Lowercase}', punct: '\\p{P}', alnum: '\\p{Alphabetic}\\p{Nd}', word: WORDS,
    xdigit: '0-9a-fA-F', cntrl: '\\p{Cc}', blank: '\\p{Zs}\\t',
};

/** @type {Record<string, number>} */
const CONTROLS = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };

/**
 * Real patterns whose repeated group holds a repetition and which are known not to explode; in JavaScript they are written the
 * same way.
 */
const KNOWN_SAFE = ['(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+'];

/**
 * @param {string} source
 * @param {string} where
 * @returns {RegExp} global
 */
export function translateRegex(source, where) {
    if (source.length > MAX_LENGTH) throw invalid(`${where} is a pattern of ${source.length} characters`);
    const reader = new Translator(source, where);
    const text = reader.run();
    try {
        return new RegExp(text, reader.nested ? 'gv' : 'gu');
    } catch {
        throw unsupported(`${where}: the pattern ${show(source)} cannot be written in JavaScript's syntax`);
    }
}

/** @param {string} text @returns {RegExp} global: the text itself, an empty one before and behind each character */
export function literalRegex(text) {
    return new RegExp(Array.from(text, (c) => escape(/** @type {number} */ (c.codePointAt(0)))).join(''), 'gu');
}

/**
 * @param {string} text
 * @param {RegExp} regex global
 * @returns {number[]} where each match begins and ends, one after the other; none in an empty text
 */
export function matchesIn(text, regex) {
    const found = [];
    let last = -1;
    regex.lastIndex = 0;
    for (let match = text === '' ? null : regex.exec(text); match; match = regex.exec(text)) {
        const { index: start } = match;
        const end = start + match[0].length;
        // One of nothing right behind another is none, nor is one in the middle of a character, where engines find some.
        if (end > start || (start !== last && (text.charCodeAt(start) & 0xFC00) !== 0xDC00)) found.push(start, last = end);
        // The search goes on behind it.
        if (end === start) regex.lastIndex += (text.codePointAt(end) ?? 0) > 0xFFFF ? 2 : 1;
    }
    return found;
}

/** @param {string} text @param {RegExp} regex global @param {string} content @returns {string} with it in place of each match */
export function replaced(text, regex, content) {
    const found = matchesIn(text, regex);
    let result = '';
    let at = 0;
    for (let i = 0; i < found.length; i += 2) {
        result += text.slice(at, found[i]) + content;
        at = found[i + 1];
    }
    return result + text.slice(at);
}

/** @param {number} code @returns {string} */
function escape(code) {
    const letter = String.fromCodePoint(code);
    return /[A-Za-z0-9]/.test(letter) ? letter : `\\u{${code.toString(16)}}`;
}

class Translator {
    /** @param {string} source @param {string} where */
    constructor(source, where) {
        this._source = source;
        this._chars = Array.from(source);
        this._at = 0;
        this._where = where;
        this._atomic = 0;
        /** Whether a class lies within a class, which only the flag v knows. */
        this.nested = false;
    }

    /** @param {string} what @returns {Error} */
    _refuse(what) {
        return unsupported(`${this._where}: ${what} in the pattern ${show(this._source)} is not supported`);
    }

    /** @returns {Error} */
    _broken() {
        return invalid(`${this._where}: the pattern ${show(this._source)} is malformed at character ${this._at}`);
    }

    /** @returns {string} */
    run() {
        const { text } = this._alternatives(false, 0);
        if (this._at < this._chars.length) throw this._broken();
        return text;
    }

    /** @param {string} text @returns {boolean} whether that comes next; it is taken */
    _take(text) {
        const found = this._chars.slice(this._at, this._at + text.length).join('') === text;
        if (found) this._at += text.length;
        return found;
    }

    /** @param {boolean} fold @param {number} depth @returns {{ text: string, forks: boolean }} */
    _alternatives(fold, depth) {
        if (depth > MAX_DEPTH) throw this._refuse(`more than ${MAX_DEPTH} groups within each other`);
        let text = '';
        let forks = false;
        let ignoring = fold;
        while (this._at < this._chars.length && this._chars[this._at] !== ')') {
            if (this._take('|')) {
                text += '|';
                forks = true;
                continue;
            }
            const known = KNOWN_SAFE.find((each) => this._take(each));
            if (known !== undefined) {
                text += known;
                forks = true;
                continue;
            }
            if (this._take('(?i)')) {
                ignoring = true;
                continue;
            }
            const atom = this._atom(ignoring, depth);
            const quantified = this._quantified(atom);
            text += quantified.text;
            forks ||= quantified.forks;
        }
        return { text, forks };
    }

    /**
     * @param {{ text: string, forks: boolean, fixed?: boolean }} atom
     * @returns {{ text: string, forks: boolean }}
     */
    _quantified({ text, forks, fixed = false }) {
        const quantifier = this._quantifier();
        if (quantifier === null) return { text, forks };
        if (fixed) throw this._refuse('a repeated assertion');
        // What can go on in two ways, again and again, may take exponential time on a text that does not match.
        if (forks && quantifier.most > 1) throw this._refuse('a repetition or a choice within a repeated group');
        let result = text + quantifier.text;
        // Where a group that may be left out matches nothing, JavaScript looks for another way to match it; the reference takes it so.
        const leaves = quantifier.text === '?' && text.startsWith('(?:');
        if (leaves) result = `(?:${text}|)`;
        if (this._take('?')) {
            result = leaves ? `(?:|${text})` : `${result}?`;
        } else if (quantifier.text.length === 1 && this._take('+')) {
            const name = `a${this._atomic++}`;
            result = `(?=(?<${name}>${result}))\\k<${name}>`;
        }
        if (/^[*+?]$/.test(this._chars[this._at] ?? '')) throw this._refuse('a repeated repetition');
        return { text: result, forks: forks || quantifier.forks };
    }

    /** @returns {{ text: string, most: number, forks: boolean } | null} forks: not always as often */
    _quantifier() {
        for (const sign of ['*', '+', '?']) {
            if (this._take(sign)) return { text: sign, most: sign === '?' ? 1 : Infinity, forks: true };
        }
        if (this._chars[this._at] !== '{') return null;
        const match = /^\{(\d{0,5})(,?)(\d{0,5})\}/.exec(this._chars.slice(this._at, this._at + 14).join(''));
        if (!match || (match[1] === '' && match[3] === '')) return null;
        this._at += match[0].length;
        const [, from, comma, to] = match;
        const most = comma === '' ? from : to;
        return { text: `{${from || 0}${comma}${to}}`, most: most === '' ? Infinity : Number(most), forks: comma !== '' && from !== to };
    }

    /** @param {boolean} fold @param {number} depth @returns {{ text: string, forks: boolean, fixed?: boolean }} */
    _atom(fold, depth) {
        const char = this._chars[this._at];
        if (char === '(') return this._group(fold, depth);
        if (char === '[') return { text: this._class(fold, 0), forks: false };
        this._at++;
        switch (char) {
            case '\\': return this._escape(fold);
            case '.': return { text: '[^\\n]', forks: false };
            // Oniguruma's anchors are those of lines.
            case '^': return { text: '(?:^|(?<=\\n)(?!$))', forks: false, fixed: true };
            case '$': return { text: '(?=\\n|$)', forks: false, fixed: true };
            case '*': case '+': case '?': throw this._broken();
            default: return { text: this._literal(/** @type {number} */ (char.codePointAt(0)), fold), forks: false };
        }
    }

    /** @param {number} code @param {boolean} fold @returns {string} */
    _literal(code, fold) {
        return fold ? `[${folded(code)}]` : escape(code);
    }

    /** @param {boolean} fold @param {number} depth @returns {{ text: string, forks: boolean, fixed?: boolean }} */
    _group(fold, depth) {
        const heads = ['(?:', '(?=', '(?!', '(?<=', '(?<!', '(?>', '(?i:', '(?-i:'];
        const head = heads.find((text) => this._take(text));
        if (!head && this._chars[this._at + 1] === '?') {
            throw this._refuse(`the group ${this._chars.slice(this._at, this._at + 4).join('')}`);
        }
        if (!head) this._at++;
        const { text, forks } = this._alternatives(head === '(?i:' || (fold && head !== '(?-i:'), depth + 1);
        if (!this._take(')')) throw this._broken();
        if (head === '(?>') {
            const name = `a${this._atomic++}`;
            return { text: `(?:(?=(?<${name}>${text}))\\k<${name}>)`, forks };
        }
        const assertion = head !== undefined && /[=!]$/.test(head);
        return { text: `${assertion ? head : '(?:'}${text})`, forks: forks && !assertion, fixed: assertion };
    }

    /** @param {boolean} fold @returns {{ text: string, forks: boolean, fixed?: boolean }} */
    _escape(fold) {
        const letter = this._chars[this._at];
        const edge = `(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}])`;
        const fixed = { b: `(?:${edge})`, B: `(?!${edge})`, A: '^', z: '$', Z: '(?=\\n?$)' }[letter];
        if (fixed) {
            this._at++;
            return { text: fixed, forks: false, fixed: true };
        }
        const item = this._item();
        const inside = item === WORDS ? WORD : letter === 'W' ? `^${WORD}` : item;
        return { text: typeof inside === 'number' ? this._literal(inside, fold) : `[${inside}]`, forks: false };
    }

    /** After a backslash. @returns {string | number} what stands between brackets, or one code point */
    _item() {
        const letter = this._chars[this._at++];
        if (letter === undefined) throw this._broken();
        const small = letter.toLowerCase();
        if (small === 'p') return this._property(letter === 'P');
        if (Object.hasOwn(LETTER_CLASSES, small)) {
            const inside = LETTER_CLASSES[small];
            if (letter === small) return inside;
            if (/^\\p\{\w+\}$/.test(inside)) return inside.replace('p', 'P');
            this.nested = true;
            return `[^${inside}]`;
        }
        if (Object.hasOwn(CONTROLS, letter)) return CONTROLS[letter];
        if (letter === 'x' || letter === 'u') return this._hex(letter === 'u' ? 4 : 2);
        if (/[A-Za-z0-9]/.test(letter)) throw this._refuse(`\\${letter}`);
        return /** @type {number} */ (letter.codePointAt(0));
    }

    /** @param {number} digits @returns {number} */
    _hex(digits) {
        const rest = this._chars.slice(this._at, this._at + 10).join('');
        const match = /^\{([0-9a-fA-F]{1,6})\}/.exec(rest) ?? new RegExp(`^([0-9a-fA-F]{${digits}})`).exec(rest);
        const code = match ? parseInt(match[1], 16) : 0x110000;
        if (!match || code > 0x10FFFF) throw this._broken();
        this._at += match[0].length;
        return code;
    }

    /** @param {boolean} negative @returns {string} */
    _property(negative) {
        const end = this._chars.indexOf('}', this._at);
        if (this._chars[this._at] !== '{' || end < 0 || end - this._at > 60) throw this._broken();
        const [, caret, name] = /** @type {RegExpExecArray} */ (/^(\^?)(.*)$/s.exec(this._chars.slice(this._at + 1, end).join('')));
        this._at = end + 1;
        const negated = negative !== (caret !== '');
        const key = name.toLowerCase();
        if (Object.hasOwn(NAMED_CLASSES, key)) {
            this.nested ||= negated;
            return negated ? `[^${NAMED_CLASSES[key]}]` : NAMED_CLASSES[key];
        }
        for (const spelling of [name, `Script=${name}`]) {
            try {
                new RegExp(`\\p{${spelling}}`, 'u');
                return `\\${negated ? 'P' : 'p'}{${spelling}}`;
            } catch { /* the next spelling */ }
        }
        throw this._refuse(`the class \\p{${name}}`);
    }

    /** @param {boolean} fold @param {number} depth @returns {string} */
    _class(fold, depth) {
        if (depth > MAX_DEPTH) throw this._refuse('classes within classes');
        this._at++;
        let text = this._take('^') ? '[^' : '[';
        let first = true;
        while (first || this._chars[this._at] !== ']') {
            if (this._at >= this._chars.length) throw this._broken();
            if (this._take('&&')) {
                this.nested = true;
                // Operands have to be classes of their own.
                text = `${text.replace(/^\[\^?/, '$&[')}]&&[`;
                while (this._chars[this._at] !== ']') text += this._member(fold, depth);
                this._at++;
                return `${text}]]`;
            }
            text += this._member(fold, depth);
            first = false;
        }
        this._at++;
        return `${text}]`;
    }

    /** @param {boolean} fold @param {number} depth @returns {string} one letter, range or class in a class */
    _member(fold, depth) {
        if (this._at >= this._chars.length) throw this._broken();
        const posix = /^\[:(\^?[a-z]+):\]/.exec(this._chars.slice(this._at, this._at + 14).join(''));
        if (posix) {
            if (!Object.hasOwn(NAMED_CLASSES, posix[1])) throw this._refuse(posix[0]);
            this._at += posix[0].length;
            // Between brackets symbols count as punctuation, in braces they do not.
            return NAMED_CLASSES[posix[1]] + (posix[1] === 'punct' ? '\\p{S}' : '');
        }
        if (this._chars[this._at] === '[') {
            this.nested = true;
            return this._class(fold, depth + 1);
        }
        const from = this._classItem();
        if (typeof from === 'string') return from;
        const next = this._chars[this._at + 1];
        if (this._chars[this._at] !== '-' || next === ']' || next === undefined) {
            return fold ? folded(from) : escape(from);
        }
        this._at++;
        const to = this._classItem();
        if (typeof to === 'string') return `${escape(from)}\\u{2d}${to}`;
        if (to < from) throw this._broken();
        return fold ? folded(from, to) : rangeOf(from, to);
    }

    /** @returns {string | number} */
    _classItem() {
        const char = this._chars[this._at++];
        if (char === undefined) throw this._broken();
        return char === '\\' ? (this._chars[this._at] === 'b' ? (this._at++, 8) : this._item())
            : /** @type {number} */ (char.codePointAt(0));
    }
}

/** All letters that have a case, which come before this one. @type {string | null} */
let cased = null;
const BEHIND_CASED = 0x1E944;

/** @param {number} from @param {number} to @returns {string} as it stands in brackets */
const rangeOf = (from, to) => (from === to ? escape(from) : `${escape(from)}-${escape(to)}`);

/** @param {number} from @param {number} [to] @returns {string} these letters, with what differs from one of them in its case alone */
function folded(from, to = from) {
    const range = rangeOf(from, to);
    cased ??= lettersWithCase();
    const others = Array.from(cased.match(new RegExp(`[${range}]`, 'giu')) ?? [], (letter) => /** @type {number} */ (letter.codePointAt(0)))
        .filter((code) => code < from || code > to);
    return range + others.map(escape).join('');
}

/** @returns {string} one after another: not from a list of all letters, which would take a megabyte */
function lettersWithCase() {
    let letters = '';
    for (let code = 0; code < BEHIND_CASED; code++) {
        const letter = String.fromCodePoint(code);
        if (/\p{Changes_When_Casemapped}/u.test(letter)) letters += letter;
    }
    return letters;
}
