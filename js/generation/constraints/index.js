// Constrained generation: a text may have only the ids that a function allows, or must be JSON by a schema, one of some choices, or a
// match of a regular expression. Each becomes an object that sets the logits of all other tokens to -Infinity.

import { integerWithin, rangeError, show, typeError } from '../../check.js';
import { Automaton } from './automaton.js';
import { jsonBySchema } from './json-schema.js';
import { pattern } from './pattern.js';
import { tokenBytes } from './vocabulary.js';

/** @typedef {import('../language-model.js').LanguageModel} LanguageModel */
/** @typedef {import('./automaton.js').State} State */

/**
 * @typedef {object} ConstraintOptions at most one of these
 * @property {(tokens: Int32Array) => Iterable<number> | null | undefined} [allowed] called before each token with those written so far,
 *   without the prompt's; returns the ids that may come next, or null for any
 * @property {Record<string, any>} [json] a JSON Schema: the text is valid JSON by it. Types object (all required properties and any of
 *   the others, in the schema's order), array, string, integer, number, boolean, null; enum, const, anyOf, $ref to $defs; minItems,
 *   maxItems (default 16), minLength, maxLength (default 256), pattern from ^ to $, minimum and maximum as integers. Any other keyword is
 *   refused
 * @property {readonly string[]} [choices] the text is one of these
 * @property {string} [pattern] source of a regular expression that the whole text matches; no lookaround, no back-references
 *
 * @typedef {object} Constraint
 * @property {(logits: Float32Array, tokens: Int32Array, from: number, to: number) => void} apply sets the logits of the tokens that must
 *   not follow tokens [from, to), the text so far, to -Infinity
 * @property {(tokens: Int32Array, from: number, to: number) => boolean} isOver whether the text is complete in a model without end tokens,
 *   where no token can say so
 */

/** The names of these options. @type {readonly (keyof ConstraintOptions)[]} */
export const CONSTRAINT_OPTIONS = Object.freeze(['allowed', 'json', 'choices', 'pattern']);

/** An automaton with more states than this is built anew, so that it does not grow for ever. */
const MOST_STATES = 20000;

/**
 * @param {LanguageModel} model
 * @param {ConstraintOptions} options may have other properties
 * @param {{ room: number, kind: string }} settings room: how many tokens the text may have; kind: of the search
 * @returns {Constraint | null} null if there is none
 * @throws {TypeError | RangeError} for what is not supported, or has no text that short
 */
export function createConstraint(model, options, { room, kind }) {
    const given = CONSTRAINT_OPTIONS.filter((name) => options[name] !== undefined);
    if (given.length === 0) {
        return null;
    }
    if (given.length > 1) {
        throw new TypeError(`${given.join(' and ')}: a text can be held to one of them`);
    }
    const [name] = given;
    if (options.allowed !== undefined) {
        if (typeof options.allowed !== 'function') {
            throw typeError('allowed', 'a function from tokens to ids', options.allowed);
        }
        return new AllowedTokens(options.allowed, model.vocabularySize);
    }
    if (kind === 'beam' && model.endTokens.length === 0) {
        throw new TypeError(`${name}: beam search needs an end token, which this model has not`);
    }
    const automaton = automatonOf(model, name, options[name]);
    const { fewest } = automaton.start;
    if (fewest === Infinity) {
        throw rangeError(name, 'something that the tokens of this model can write', options[name]);
    }
    if (fewest > room) {
        const what = `something that can be written with the ${room} tokens there is room for; the shortest takes ${fewest}`;
        throw rangeError(name, what, options[name]);
    }
    return new Following(automaton, model.endTokens, room);
}

/**
 * The automata used last, by tokenizer: the states they have found are worth keeping for the next text.
 * @type {WeakMap<import('./vocabulary.js').TokenBytes, Map<string, Automaton>>}
 */
const USED = new WeakMap();
const MOST_USED = 8;

/** @param {LanguageModel} model @param {string} name @param {unknown} value @returns {Automaton} */
function automatonOf(model, name, value) {
    const tokens = tokenBytes(model._needTokenizer(name), model.vocabularySize, model.endTokens);
    /** @type {Map<string, Automaton>} */
    const used = USED.get(tokens) ?? new Map();
    USED.set(tokens, used);
    const text = jsonText(name, value);
    const key = `${name} ${text}`;
    let automaton = used.get(key);
    if (!automaton || automaton.size > MOST_STATES) {
        // Built from the JSON that is the key: a getter of the caller's may return something else the next time.
        const own = JSON.parse(text);
        automaton = new Automaton(tokens, (expressions) => {
            if (name === 'json') {
                return jsonBySchema(expressions, own);
            }
            return name === 'pattern' ? pattern(expressions, own)
                : expressions.either(checkChoices(own).map((choice) => expressions.text(choice)));
        });
    }
    used.delete(key);
    used.set(key, automaton);
    if (used.size > MOST_USED) {
        used.delete([...used.keys()][0]);
    }
    return automaton;
}

/**
 * The JSON of a value, which must lose nothing by it: values with the same JSON are the same constraint.
 * @param {string} name of the option
 * @param {unknown} value
 * @returns {string}
 */
function jsonText(name, value) {
    const expected = EXPECTED[name];
    let other = value;
    try {
        const text = JSON.stringify(value, /** @this {unknown} */ function checked(_, part) {
            other = part;
            const isOther = ['bigint', 'function', 'symbol'].includes(typeof part) || (part === undefined && Array.isArray(this))
                || (typeof part === 'number' && !Number.isFinite(part))
                // A RegExp, a Set or a Map would be an object without keys.
                || (typeof part === 'object' && !/ (Object|Array|Null)]/.test(Object.prototype.toString.call(part)));
            if (isOther) {
                if (name !== 'json') other = value;
                throw NO_JSON;
            }
            return part;
        });
        if (text !== undefined) {
            return text;
        }
    } catch (cause) {
        // The other cases: a value that contains itself, and a getter of the caller's that throws.
        throw cause === NO_JSON ? typeError(name, expected, other) : new TypeError(`${name} must be ${expected}, got ${show(value)}`, { cause });
    }
    throw typeError(name, expected, value);
}

const NO_JSON = new Error('what JSON has not');

/** @type {Record<string, string>} */
const EXPECTED = { json: 'made of what JSON has', choices: 'a list of strings', pattern: 'a string, the source of a regular expression' };

/** @param {unknown} choices @returns {string[]} */
function checkChoices(choices) {
    if (!Array.isArray(choices) || choices.length === 0 || !choices.every((text) => typeof text === 'string' && !/\p{Cs}/u.test(text))) {
        throw typeError('choices', EXPECTED.choices, choices);
    }
    return choices;
}

/** Asks the caller's function. */
class AllowedTokens {
    /** @param {NonNullable<ConstraintOptions['allowed']>} ask @param {number} size */
    constructor(ask, size) {
        this._ask = ask;
        this._bits = new Uint32Array(Math.ceil(size / 32));
        this._size = size;
    }

    /** @param {Float32Array} logits @param {Int32Array} tokens @param {number} from @param {number} to */
    apply(logits, tokens, from, to) {
        const ids = this._ask(tokens.slice(from, to));
        if (ids === null || ids === undefined) {
            return;
        }
        if (typeof ids !== 'object' || !(Symbol.iterator in ids)) {
            throw typeError('what allowed() gives', 'ids, or null for any', ids);
        }
        this._bits.fill(0);
        for (const id of ids) {
            integerWithin('what allowed() gives', id, this._size - 1);
            this._bits[id >>> 5] |= 1 << (id & 31);
        }
        keepOnly(logits, this._bits, []);
    }

    isOver() {
        return false;
    }
}

/** A text that follows an automaton. */
class Following {
    /** @param {Automaton} automaton @param {readonly number[]} endTokens @param {number} room */
    constructor(automaton, endTokens, room) {
        this._automaton = automaton;
        this._endTokens = endTokens;
        this._room = room;
        /** The tokens of the last time. @type {number[]} */
        this._tokens = [];
        /** The state before each of them, and after the last; null: after an end token, or one that was not allowed. @type {(State | null)[]} */
        this._states = [automaton.start];
    }

    /** @param {Int32Array} tokens @param {number} from @param {number} to @returns {State | null} the state after them */
    _follow(tokens, from, to) {
        let same = 0;
        while (same < this._tokens.length && from + same < to && tokens[from + same] === this._tokens[same]) {
            same++;
        }
        this._tokens.length = same;
        this._states.length = same + 1;
        for (let i = same; from + i < to; i++) {
            const token = tokens[from + i];
            const state = this._states[i];
            this._tokens.push(token);
            this._states.push(state && !this._endTokens.includes(token) ? this._automaton.after(state, token) : null);
        }
        return this._states[to - from];
    }

    /** @param {Float32Array} logits @param {Int32Array} tokens @param {number} from @param {number} to */
    apply(logits, tokens, from, to) {
        const state = this._follow(tokens, from, to);
        // After an end token a beam goes on, and everything is allowed.
        if (state !== null) {
            keepOnly(logits, this._automaton.allowed(state, this._room - (to - from)), state.accepts ? this._endTokens : []);
        }
    }

    /** @param {Int32Array} tokens @param {number} from @param {number} to */
    isOver(tokens, from, to) {
        return this._endTokens.length === 0 && this._follow(tokens, from, to)?.goesOn === false;
    }
}

/**
 * @param {Float32Array} logits
 * @param {Uint32Array} bits a bit for each token, 1 if it stays allowed
 * @param {readonly number[]} also tokens that stay allowed too
 */
function keepOnly(logits, bits, also) {
    const kept = also.map((token) => logits[token]);
    for (let word = 0; word < bits.length; word++) {
        const some = bits[word];
        if (some === 0) {
            logits.fill(-Infinity, 32 * word, 32 * word + 32);
        } else if (some !== 0xffffffff) {
            for (let i = 0, at = 32 * word; i < 32 && at < logits.length; i++, at++) {
                if ((some & (1 << i)) === 0) {
                    logits[at] = -Infinity;
                }
            }
        }
    }
    also.forEach((token, i) => {
        logits[token] = kept[i];
    });
}
