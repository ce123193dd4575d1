// Regular expressions over bytes, matched by derivatives (Brzozowski 1964, Antimirov 1996): the derivative by a byte, which says what may
// follow it, is an expression again. So a count like {0,256} stays a number and is not unrolled. Equal expressions are one object.
//
// Each expression knows how few tokens can write a match of it, counting a token for each byte except in fixed texts. That avoids dead
// ends: a text may go on only while this number is finite and not larger than the number of tokens that may still come. From every state
// with such a number some token leads to a state with a smaller one.

import { utf8 } from '../../text/bytes.js';
import { letters } from './vocabulary.js';

/**
 * @typedef {object} Expression
 * @property {number} id
 * @property {'nothing' | 'bytes' | 'text' | 'then' | 'either' | 'repeat'} kind
 * @property {number} fewest number of tokens that can write a match; 0: it matches the empty text; Infinity: the vocabulary cannot write one
 * @property {number} worst the largest finite `fewest` of all its derivatives
 * @property {Uint8Array} [set] kind bytes: [256], 1 for each byte that matches
 * @property {Text} [text] kind text
 * @property {number} [at] kind text: where in `text` it begins
 * @property {Expression[]} [parts] kinds then (two), either, and repeat (one)
 * @property {number} [min] kind repeat
 * @property {number} [max] kind repeat, perhaps Infinity
 *
 * @typedef {{ key: string, bytes: Uint8Array, fewest: Float64Array, worst: Float64Array }} Text a fixed text; fewest and worst of its rest from
 *   each byte on
 */

/** From so many alternatives on they are indexed by their first byte. */
const MANY = 64;
const OTHERS = 256;

/** @param {number} n */
const finite = (n) => (n === Infinity ? 0 : n);

/** Behind so many parts in common ways are left as they are. */
const DEEPEST = 64;

/** @param {Expression} expression @returns {Expression[]} its alternatives */
export function waysOf(expression) {
    return expression.kind === 'either' ? /** @type {Expression[]} */ (expression.parts) : [expression];
}

/** @param {Expression} expression @returns {[Expression, number, number]} what it repeats, how often at least and at most */
function counted(expression) {
    const { kind, parts = [], min = 0, max = 0 } = expression;
    return kind === 'repeat' ? [parts[0], min, max] : [expression, 1, 1];
}

/**
 * @template K, V
 * @param {Map<K, V[]>} lists
 * @param {K} key
 * @returns {V[]} its list, to be added to
 */
function listIn(lists, key) {
    const list = lists.get(key) ?? [];
    lists.set(key, list);
    return list;
}

/** @param {number[][]} counts from, to @returns {number[][]} the same numbers, in as few as can be */
function joined(counts) {
    /** @type {number[][]} */
    const result = [];
    for (const [min, max] of counts.sort((a, b) => a[0] - b[0])) {
        const last = result.at(-1);
        if (last && min <= last[1] + 1) {
            last[1] = Math.max(last[1], max);
        } else {
            result.push([min, max]);
        }
    }
    return result;
}

export class Expressions {
    /** @param {import('./vocabulary.js').TokenBytes} tokens */
    constructor({ alphabet, pieces, longest }) {
        this._alphabet = alphabet;
        this._pieces = pieces;
        this._longest = longest;
        /** @type {Map<string, Expression>} */
        this._made = new Map();
        /** Results of within(), by id. @type {Map<number, Expression>} */
        this._cut = new Map();
        /** Index of leading(): fixed texts by their first byte, and all others. @type {WeakMap<Expression[], Expression[][]>} */
        this._led = new WeakMap();
        /** The empty text. */
        this.nothing = this._make('', () => ({ kind: 'nothing', fewest: 0, worst: 0 }));
    }

    /**
     * @param {string} key
     * @param {() => Omit<Expression, 'id'>} make
     * @returns {Expression}
     */
    _make(key, make) {
        let expression = this._made.get(key);
        if (!expression) {
            expression = { id: this._made.size, ...make() };
            this._made.set(key, expression);
        }
        return expression;
    }

    /** @param {Uint8Array} set [256] @returns {Expression} one of these bytes */
    bytes(set) {
        const writable = set.some((is, byte) => is && this._alphabet[byte]);
        return this._make(`b${set.join('')}`, () => ({ kind: 'bytes', set, fewest: writable ? 1 : Infinity, worst: 1 }));
    }

    /** @param {number} first @param {number} [last] @returns {Expression} one of the bytes from the first to the last */
    range(first, last = first) {
        return this.bytes(new Uint8Array(256).fill(1, first, last + 1));
    }

    /** @param {string} text @returns {Expression} this text */
    text(text) {
        const bytes = utf8(text);
        const all = letters(bytes);
        const fewest = new Float64Array(bytes.length + 1);
        const worst = new Float64Array(bytes.length + 1);
        for (let at = bytes.length - 1; at >= 0; at--) {
            fewest[at] = Infinity;
            for (let n = 1; n <= Math.min(this._longest, bytes.length - at); n++) {
                if (fewest[at + n] + 1 < fewest[at] && this._pieces.has(all.slice(at, at + n))) {
                    fewest[at] = fewest[at + n] + 1;
                }
            }
            worst[at] = Math.max(worst[at + 1], finite(fewest[at]));
        }
        return this._textFrom({ key: JSON.stringify(text), bytes, fewest, worst }, 0);
    }

    /** @param {Text} text @param {number} at @returns {Expression} */
    _textFrom(text, at) {
        if (at === text.bytes.length) {
            return this.nothing;
        }
        return this._make(`t${at}${text.key}`, () => ({ kind: 'text', text, at, fewest: text.fewest[at], worst: text.worst[at] }));
    }

    /** @param {...Expression} parts @returns {Expression} one after the other */
    then(...parts) {
        return parts.reduceRight((rest, first) => this._then(first, rest), this.nothing);
    }

    /** @param {Expression} first @param {Expression} rest @returns {Expression} */
    _then(first, rest) {
        if (first.kind === 'nothing') {
            return rest;
        }
        if (rest.kind === 'nothing') {
            return first;
        }
        if (first.kind === 'then') {
            const [a, b] = /** @type {Expression[]} */ (first.parts);
            return this._then(a, this._then(b, rest));
        }
        return this._make(`s${first.id},${rest.id}`, () => ({
            kind: 'then', parts: [first, rest], fewest: first.fewest + rest.fewest,
            worst: Math.max(first.worst + finite(rest.fewest), rest.worst),
        }));
    }

    /** @param {Expression[]} parts @returns {Expression} one of them */
    either(parts) {
        const all = [...new Set(parts.flatMap(waysOf))].sort((a, b) => a.id - b.id);
        if (all.length === 1) {
            return all[0];
        }
        return this._make(`e${all.map(({ id }) => id).join()}`, () => ({
            kind: 'either', parts: all,
            fewest: all.reduce((least, { fewest }) => Math.min(least, fewest), Infinity),
            worst: all.reduce((most, { worst }) => Math.max(most, worst), 0),
        }));
    }

    /** @param {Expression} part @returns {Expression} it or nothing */
    optional(part) {
        return this.either([part, this.nothing]);
    }

    /** @param {Expression} part @param {number} min @param {number} max perhaps Infinity @returns {Expression} it, so many times */
    repeat(part, min, max) {
        if (max === 0 || part.kind === 'nothing') {
            return this.nothing;
        }
        if (min === 1 && max === 1) {
            return part;
        }
        // Nested counts become one where they leave no gap: otherwise every byte would multiply the number of ways to match.
        const [inner, least, most] = counted(part);
        if (part.kind === 'repeat' && (min === max || least <= 1 || min * (most - least) >= least - 1)) {
            return this.repeat(inner, least * min, most * max);
        }
        const fewest = min === 0 ? 0 : min * part.fewest;
        return this._make(`r${part.id},${min},${max}`, () => ({
            kind: 'repeat', parts: [part], min, max, fewest,
            worst: Math.max(finite(fewest), part.worst + Math.max(0, min - 1) * finite(part.fewest)),
        }));
    }

    /**
     * The derivative: what may follow after a byte.
     * @param {Expression} expression
     * @param {number} byte
     * @param {Map<number, Expression>} out gets the alternatives, by id
     * @param {Set<Expression>} [seen] expressions that have been followed already: a common end is followed once
     */
    derive(expression, byte, out, seen = new Set()) {
        const add = (/** @type {Expression} */ next) => {
            waysOf(next).forEach((one) => out.set(one.id, one));
        };
        for (let next = expression; !seen.has(next);) {
            seen.add(next);
            const { kind, set, text, at = 0, parts = [], min = 0, max = 0 } = next;
            if (kind === 'bytes') {
                if (set?.[byte]) {
                    add(this.nothing);
                }
            } else if (kind === 'text') {
                if (text?.bytes[at] === byte) {
                    add(this._textFrom(text, at + 1));
                }
            } else if (kind === 'either') {
                this.leading(parts, byte).forEach((part) => this.derive(part, byte, out, seen));
            } else if (kind === 'then') {
                this._deriveFirst(parts[0], byte, parts[1], add);
                if (parts[0].fewest === 0) {
                    [, next] = parts;
                }
            } else if (kind === 'repeat') {
                this._deriveFirst(parts[0], byte, this.repeat(parts[0], Math.max(0, min - 1), max - 1), add);
            }
        }
    }

    /**
     * Of many alternatives those that may begin with a byte, as of thousands of fixed texts few begin with the same one.
     * @param {Expression[]} ways
     * @param {number} byte
     * @returns {Expression[]}
     */
    leading(ways, byte) {
        if (ways.length < MANY) {
            return ways;
        }
        let led = this._led.get(ways);
        if (!led) {
            led = [];
            for (const way of ways) {
                const { text, at = 0 } = way.kind === 'then' ? /** @type {Expression[]} */ (way.parts)[0] : way;
                (led[text?.bytes[at] ?? OTHERS] ??= []).push(way);
            }
            this._led.set(ways, led);
        }
        return [...led[OTHERS] ?? [], ...led[byte] ?? []];
    }

    /**
     * The same ways, those that differ in one count alone as one with all of these counts: of nested counts a text may have as many ways
     * as the counts multiplied, and nearly all of them differ so.
     * @param {Expression[]} ways
     * @param {number} [depth] how many of their parts are the same
     * @returns {Expression[]}
     */
    united(ways, depth = 0) {
        if (ways.length === 1 || depth === DEEPEST) {
            return ways;
        }
        /** The rests by what stands before them. @type {Map<Expression, Expression[]>} */
        const rests = new Map();
        for (const way of ways) {
            const [head, rest] = way.kind === 'then' ? /** @type {Expression[]} */ (way.parts) : [way, this.nothing];
            listIn(rests, head).push(rest);
        }
        /** Those that differ in their first count alone. @type {Map<string, [part: Expression, min: number, max: number, rest: Expression][]>} */
        const alike = new Map();
        rests.forEach((list, head) => {
            const [part, min, max] = counted(head);
            for (const rest of this.united(list, depth + 1)) listIn(alike, `${part.id},${rest.id}`).push([part, min, max, rest]);
        });
        return [...alike.values()].flatMap((list) => {
            const [[part, , , rest]] = list;
            return joined(list.map(([, min, max]) => [min, max])).map(([min, max]) => this._then(this.repeat(part, min, max), rest));
        });
    }

    /** @param {Expression} first @param {number} byte @param {Expression} rest @param {(next: Expression) => void} add */
    _deriveFirst(first, byte, rest, add) {
        /** @type {Map<number, Expression>} */
        const begun = new Map();
        this.derive(first, byte, begun);
        begun.forEach((one) => add(this._then(one, rest)));
    }

    /**
     * An expression that no single token can tell from this one: larger counts are cut. So most states within a long text become one.
     * @param {Expression} expression
     * @param {number} length bytes of the longest token, always the same
     * @returns {Expression}
     */
    within(expression, length) {
        const cut = this._cut;
        const chain = [expression];
        for (const { id, kind, parts = [] } of chain) {
            if (kind === 'then' && !cut.has(id)) chain.push(parts[1]);
        }
        // From its end on, so that a long chain takes no recursion.
        for (const one of chain.reverse()) {
            if (!cut.has(one.id)) cut.set(one.id, this._within(one, length));
        }
        return /** @type {Expression} */ (cut.get(expression.id));
    }

    /** @param {Expression} expression @param {number} length @returns {Expression} */
    _within(expression, length) {
        const { kind, parts = [], min = 0, max = 0 } = expression;
        const cut = parts.map((part) => this.within(part, length));
        return kind === 'then' ? this.then(...cut) : kind === 'either' ? this.either(cut)
            : kind === 'repeat' ? this.repeat(cut[0], Math.min(min, length + 1), max === Infinity ? max : Math.min(max, length + 1)) : expression;
    }
}
