// What a caller holds a text to, with seeded damage: JSON Schemas and regular expressions. Each is refused by its name, or every text
// that is written by it is one that JSON.parse and a validator, or RegExp, take; and what RegExp takes can be written.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Automaton } from '../../js/generation/constraints/automaton.js';
import { jsonBySchema } from '../../js/generation/constraints/json-schema.js';
import { pattern } from '../../js/generation/constraints/pattern.js';
import { TokenBytes } from '../../js/generation/constraints/vocabulary.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { tinyTokenizer } from '../generation/checkpoint.js';
import { PATTERNS, SCHEMAS, isValid } from '../generation/schemas.js';
import { damage } from './damage.js';

/** @typedef {import('../../js/generation/constraints/automaton.js').State} State */

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 4000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
/** Of a message; a schema's own names are in it. */
const LONGEST_MESSAGE = 1000;
/** That a text which is written here may have to have. */
const MOST_TOKENS = 1000;

const { random, below, pick, bend, spoil } = damage(SEED);
const tokenizer = new Tokenizer(/** @type {any} */ (tinyTokenizer()), {});
const tokens = new TokenBytes(tokenizer, tokenizer.vocabularySize);

/**
 * A text that an automaton lets through, drawn a token at a time; towards its end once it is long.
 * @param {Automaton} automaton @param {number} long tokens
 * @returns {string | null} null: it has none, or none that is short
 */
function textOf(automaton, long) {
    const { fewest, worst } = automaton.start;
    if (fewest === Infinity || worst > MOST_TOKENS) return null;
    /** @type {number[]} */
    const bytes = [];
    let state = automaton.start;
    for (let n = 0; !(state.accepts && (n >= long || !state.goesOn || random() < 0.1)); n++) {
        const room = n < long ? 1e6 : state.fewest;
        const bits = automaton.allowed(state, room);
        const ids = Array.from(tokens.ids).filter((id) => (bits[id >>> 5] >>> (id & 31)) & 1);
        assert.ok(ids.length > 0, `a dead end after ${Buffer.from(bytes)}`);
        const id = pick(ids);
        bytes.push(.../** @type {Uint8Array} */ (tokens.of(id)));
        const next = automaton.after(state, id);
        assert.ok(next !== null && (n < long || next.fewest < state.fewest), 'no step towards the end');
        state = next;
    }
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** @param {Automaton} automaton @param {string} text @returns {boolean} */
function takes(automaton, text) {
    /** @type {State | null} */
    let state = automaton.start;
    for (const byte of new TextEncoder().encode(text)) state = state && automaton.step(state, byte);
    return state !== null && state.accepts;
}

/** @param {string} what @param {() => Automaton} make @param {string} named @param {Map<string, number>} seen @returns {Automaton | null} */
function made(what, make, named, seen) {
    try {
        const automaton = make();
        seen.set('taken', (seen.get('taken') ?? 0) + 1);
        return automaton;
    } catch (error) {
        const { name, message, stack } = /** @type {Error} */ (error);
        assert.ok(/^(Type|Range)Error$/.test(name) && message.startsWith(named) && message.length < LONGEST_MESSAGE, `${stack}\n${what}`);
        const kind = (/followed: (.*?) at /.exec(message)?.[1] ?? message.slice(named.length)).replaceAll(/[^a-z ]+/gi, '').slice(0, 24);
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
        return null;
    }
}

/** @param {string} name @param {(seen: Map<string, number>) => () => string} prepare gives what is done in a round, which gives what was damaged */
function fuzz(name, prepare) {
    const seen = new Map();
    const round = prepare(seen);
    let slowest = { ms: 0, what: '' };
    let failure = null;
    for (let i = 0; i < ROUNDS && failure === null; i++) {
        const begin = performance.now();
        let what = '';
        try {
            what = round();
        } catch (error) {
            failure = new Error(`round ${i}, seed ${SEED}: ${/** @type {Error} */ (error).message}`, { cause: error });
        }
        const ms = performance.now() - begin;
        if (ms > slowest.ms) slowest = { ms, what };
    }
    test(`${ROUNDS} damaged ${name}, seed ${SEED}`, () => {
        if (failure !== null) throw failure;
        const most = `slowest ${slowest.ms.toFixed(1)} ms: ${slowest.what.slice(0, 300)}`;
        console.log(`${name}: ${seen.size} kinds of outcome, ${seen.get('taken')} taken; ${most}`);
        assert.ok(seen.size > 5 && seen.get('taken') > ROUNDS / 20, JSON.stringify([...seen]));
    });
}

/** @param {string} source @returns {RegExp | null} null: JavaScript has no such expression with characters, not units, as letters */
function regExp(source) {
    try {
        return new RegExp(`^(?:${source})$`, 'u');
    } catch {
        return null;
    }
}

const WORDS = [
    '(', ')', '|', '*', '+', '?', '{2}', '{0,3}', '{1,}', '{0}', '[', ']', '^', '$', '.', '-', '\\', '\\d', '\\W', '\\s', '\\S', '\\n', '\\.',
    '\\x41', '\\u0062', '\\u{1f600}', 'é', '😀', '(?:', '(?=', '[^a-c]', '[a-z\\d]', '[^]', '[]', '*?', 'a', 'b', '{65536}', '{1000,65536}',
    '((((', '))))', 'a|b|c', '(a|b)*a(a|b){9}',
];
const LETTERS = 'abcde.-]19é\n';

fuzz('regular expressions', (seen) => () => {
    let source = pick(PATTERNS);
    for (let i = below(4); i >= 0; i--) source = spoil(source, WORDS);
    const automaton = made(source, () => new Automaton(tokens, (e) => pattern(e, source)), 'pattern ', seen);
    if (automaton === null) return source;
    const expected = /\d{4}/.test(source) ? null : regExp(source);
    // RegExp may take a time that doubles with each letter, or goes with large counts: short texts alone.
    for (let i = 0; i < 3; i++) {
        const text = textOf(automaton, below(8));
        if (text === null) break;
        assert.ok(takes(automaton, text), `${source} and its own ${JSON.stringify(text)}`);
        if (expected && text.length < 24) assert.match(text, expected, source);
    }
    for (let i = 0; expected && i < 8; i++) {
        const text = Array.from({ length: below(6) }, () => pick(LETTERS)).join('');
        assert.equal(takes(automaton, text), expected.test(text), `${source} and ${JSON.stringify(text)}`);
    }
    return source;
});

/** @type {any[]} */
const SCHEMA_VALUES = [
    null, 0, 1, -1, 3, 7, 17, 300, 4097, 65536, 1e9, 0.5, 2 ** 53, '', 'a', 'é"\\', '\ud800', '^a{2}$', '^[^"]+$', '^(', [], {}, [null], true, false,
    'string', 'object', 'array', 'integer', 'number', 'boolean', 'null', ['string', 'null'], ['a', 1, { b: null }], '#/$defs/point',
    '#/$defs/none', { type: 'string' }, { type: 'integer', minimum: -5, maximum: 1234 }, { type: 'number', maximum: -3 },
    { type: 'array', items: { type: 'boolean' }, minItems: 1 }, { enum: [1.5, -0, 1e21] }, { $ref: '#/$defs/point' },
    { type: 'object', properties: { __proto__x: { type: 'null' } } }, { anyOf: [{ type: 'null' }, { const: 'x' }] },
];

fuzz('schemas', (seen) => {
    const schemas = Object.values(SCHEMAS);
    return () => {
        let schema = pick(schemas);
        if (random() < 0.3) {
            const { $defs } = schema;
            schema = { type: 'object', required: ['k'], properties: { k: schema, l: pick(schemas) }, ...($defs && { $defs }) };
        }
        for (let i = below(3) - 1; i >= 0; i--) schema = bend(schema, SCHEMA_VALUES);
        const what = JSON.stringify(schema);
        const automaton = made(what, () => new Automaton(tokens, (e) => jsonBySchema(e, schema)), 'json', seen);
        for (let i = 0; automaton && i < 2; i++) {
            const text = textOf(automaton, below(40));
            if (text === null) break;
            assert.ok(isValid(schema, JSON.parse(text)), `${what} and ${text}`);
        }
        return what;
    };
});
