// Python's way of calling: by position and by name.

import { TemplateError } from './values.js';

/**
 * @param {string} name of what is called
 * @param {string[]} parameters
 * @param {number} required how many of them must come
 * @param {any[]} args
 * @param {Map<string, any>} kwargs
 * @returns {any[]} a value per parameter, undefined where none came
 */
export function bind(name, parameters, required, args, kwargs) {
    if (args.length > parameters.length) {
        throw new TemplateError(`${name}() takes ${parameters.length} arguments but ${args.length} were given`);
    }
    const values = parameters.map((_, i) => args[i]);
    for (const [key, value] of kwargs) {
        const at = parameters.indexOf(key);
        if (at < 0) throw new TemplateError(`${name}() got an unexpected keyword argument '${key.slice(0, 40)}'`);
        if (at < args.length) throw new TemplateError(`${name}() got multiple values for argument '${key}'`);
        values[at] = value;
    }
    const missing = values.slice(0, required).findIndex((value) => value === undefined);
    if (missing >= 0) throw new TemplateError(`${name}() missing 1 required argument: '${parameters[missing]}'`);
    return values;
}

/**
 * @typedef {[name: string, parameters: string[], required: number, run: (m: any, value: any, ...args: any[]) => any]} Row of a
 *   table: how many of the parameters must come, and what is done with a value for each
 * @param {Row[]} table
 * @returns {[string, (m: any, value: any, args: any[], kwargs: Map<string, any>) => any][]}
 */
export function bound(table) {
    return table.map(([name, parameters, required, run]) => [
        name, (m, value, args, kwargs) => run(m, value, ...bind(name, parameters, required, args, kwargs)),
    ]);
}
