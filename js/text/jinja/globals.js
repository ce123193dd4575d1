// The functions every template has: Jinja's own and the two that transformers adds.

import { bind } from './arguments.js';
import { str } from './print.js';
import { listOf } from './sequences.js';
import { strftime } from './strftime.js';
import { Attributes, Callable, Dict, Namespace, Range, TemplateError, Tuple, View, typeName } from './values.js';

/** @typedef {import('./limits.js').Limits} Limits */

/** Longest message of raise_exception() that is passed on. */
const MAX_MESSAGE = 1000;

/** What raise_exception() throws. */
export class RaisedError extends TemplateError {}

/** @param {any} value @returns {bigint} */
function integer(value) {
    if (typeof value === 'bigint') return value;
    if (typeof value === 'boolean') return BigInt(value);
    throw new TemplateError(`'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** @param {any[]} args @param {Map<string, any>} kwargs */
function range(args, kwargs) {
    const [a, b, c] = bind('range', ['start', 'stop', 'step'], 1, args, kwargs);
    const [start, stop] = b === undefined ? [0n, integer(a)] : [integer(a), integer(b)];
    return new Range(start, stop, c === undefined ? 1n : integer(c));
}

/**
 * @param {any[]} args
 * @param {Map<string, any>} kwargs
 * @param {Limits} limits
 * @returns {Dict} of a dict or pairs, and names
 */
function dict(args, kwargs, limits) {
    if (args.length > 1) throw new TemplateError(`dict expected at most 1 argument, got ${args.length}`);
    const source = args[0] instanceof Dict ? new View(args[0], 'items') : args[0] ?? [];
    const result = new Dict();
    for (const entry of listOf(source, limits)) {
        const pair = entry instanceof Tuple ? entry.items : listOf(entry, limits);
        if (pair.length !== 2) throw new TemplateError('dictionary update sequence element has not length 2');
        result.set(pair[0], pair[1]);
    }
    for (const [name, value] of kwargs) result.set(name, value);
    return result;
}

/** @param {any[]} args @param {Map<string, any>} kwargs @param {Limits} limits */
function namespace(args, kwargs, limits) {
    const result = new Namespace();
    for (const [name, value] of dict(args, kwargs, limits).entries()) result.set(name, value);
    return result;
}

/** @param {any[]} items @returns {Attributes} next() goes round them */
function cycler(items) {
    if (items.length === 0) throw new TemplateError('at least one item has to be provided');
    const result = new Attributes('Cycler');
    let at = 0;
    const show = () => result.values.set('current', items[at]);
    show();
    result.values.set('next', new Callable('next', () => {
        const item = items[at];
        at = (at + 1) % items.length;
        show();
        return item;
    }));
    result.values.set('reset', new Callable('reset', () => {
        at = 0;
        show();
        return null;
    }));
    return result;
}

/** @param {any[]} args @param {Map<string, any>} kwargs @returns {Attributes} nothing at first, then what joins */
function joiner(args, kwargs) {
    const [separator = ', '] = bind('joiner', ['sep'], 0, args, kwargs);
    const result = new Attributes('Joiner');
    let used = false;
    result.call = () => {
        const text = used ? separator : '';
        used = true;
        return text;
    };
    return result;
}

/**
 * @param {Limits} limits
 * @returns {Map<string, Callable>}
 */
export function globals(limits) {
    /** @type {[string, (args: any[], kwargs: Map<string, any>) => any][]} */
    const functions = [
        ['range', range],
        ['dict', (args, kwargs) => dict(args, kwargs, limits)],
        ['namespace', (args, kwargs) => namespace(args, kwargs, limits)],
        ['cycler', (args) => cycler(args)],
        ['joiner', joiner],
        ['raise_exception', (args, kwargs) => {
            const [message] = bind('raise_exception', ['message'], 1, args, kwargs);
            throw new RaisedError(str(message, limits).slice(0, MAX_MESSAGE));
        }],
        ['strftime_now', (args, kwargs) => {
            const [format] = bind('strftime_now', ['format'], 1, args, kwargs);
            if (typeof format !== 'string') throw new TemplateError('strftime_now() takes a text');
            limits.text(format.length * 30);
            return strftime(new Date(), format);
        }],
    ];
    return new Map(functions.map(([name, call]) => [name, new Callable(name, call)]));
}
