// Jinja's tests: what may stand behind `is`.

import { bind } from './arguments.js';
import { comparison, contains, equal, isNumber } from './compare.js';
import { FILTERS } from './filters.js';
import { binary } from './operators.js';
import { str } from './print.js';
import { isIterable, plain } from './sequences.js';
import { Attributes, Callable, Dict, Markup, Tuple, Undefined, typeName } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */
/** @typedef {(m: Machine, value: any, args: any[], kwargs: Map<string, any>) => boolean} Test */

/** @param {any} value @param {any} divisor @param {Machine} m */
function remainder(value, divisor, m) {
    return Number(binary('%', value, divisor, m.limits));
}

/** @param {Machine} m @param {any} value @param {RegExp} wanted @param {RegExp} unwanted */
function cased(m, value, wanted, unwanted) {
    const text = str(value, m.limits);
    m.limits.walk(text.length);
    return wanted.test(text) && !unwanted.test(text);
}

/** @param {any} value @returns {boolean} */
function isCallable(value) {
    if (value instanceof Attributes) return value.call !== null;
    return value instanceof Callable || value instanceof Undefined;
}

/**
 * Name, parameters, all of which must come.
 * @type {[string, string[], (m: Machine, value: any, other: any) => boolean][]}
 */
const TABLE = [
    ['boolean', [], (_, value) => typeof value === 'boolean'],
    ['callable', [], (_, value) => isCallable(value)],
    ['defined', [], (_, value) => !(value instanceof Undefined)],
    ['divisibleby', ['num'], (m, value, other) => remainder(value, other, m) === 0],
    ['escaped', [], (_, value) => value instanceof Markup],
    ['even', [], (m, value) => remainder(value, 2n, m) === 0],
    ['false', [], (_, value) => value === false],
    ['filter', [], (_, value) => FILTERS.has(value)],
    ['float', [], (_, value) => typeof value === 'number'],
    ['integer', [], (_, value) => typeof value === 'bigint'],
    ['iterable', [], (_, value) => isIterable(value)],
    ['lower', [], (m, value) => cased(m, value, /\p{Lowercase}/u, /\p{Lu}|\p{Lt}/u)],
    ['mapping', [], (_, value) => value instanceof Dict],
    ['none', [], (_, value) => value === null],
    ['number', [], (_, value) => isNumber(value)],
    ['odd', [], (m, value) => remainder(value, 2n, m) === 1],
    ['sameas', ['other'], (_, value, other) => value === other],
    ['sequence', [], (_, value) => {
        return ['str', 'list', 'tuple', 'dict', 'range', 'Markup', 'Undefined'].includes(typeName(value))
            || value instanceof Tuple;
    }],
    ['string', [], (_, value) => typeof plain(value) === 'string'],
    ['test', [], (_, value) => TESTS.has(value)],
    ['true', [], (_, value) => value === true],
    ['undefined', [], (_, value) => value instanceof Undefined],
    ['upper', [], (m, value) => cased(m, value, /\p{Uppercase}/u, /\p{Ll}|\p{Lt}/u)],
    ['in', ['seq'], (m, value, other) => contains(other, value, m.limits)],
    ['eq', ['other'], (m, value, other) => equal(value, other, m.limits)],
    ['ne', ['other'], (m, value, other) => !equal(value, other, m.limits)],
    ['lt', ['other'], (m, value, other) => comparison('<', value, other, m.limits)],
    ['le', ['other'], (m, value, other) => comparison('<=', value, other, m.limits)],
    ['gt', ['other'], (m, value, other) => comparison('>', value, other, m.limits)],
    ['ge', ['other'], (m, value, other) => comparison('>=', value, other, m.limits)],
];

const ALIASES = [['==', 'eq'], ['equalto', 'eq'], ['!=', 'ne'], ['<', 'lt'], ['lessthan', 'lt'], ['<=', 'le'],
    ['>', 'gt'], ['greaterthan', 'gt'], ['>=', 'ge']];

/** @type {Map<string, Test>} */
export const TESTS = new Map(TABLE.map(([name, parameters, run]) => [name, (m, value, args, kwargs) => {
    const [other] = bind(name, parameters, parameters.length, args, kwargs);
    return run(m, value, other);
}]));
for (const [alias, name] of ALIASES) TESTS.set(alias, /** @type {Test} */ (TESTS.get(name)));

