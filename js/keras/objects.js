// The options of layers that are objects of Keras: which they are is told by the option's name.

import { typeError } from '../check.js';
import { CONSTRAINTS } from './constraints.js';
import { INITIALIZERS } from './initializers.js';
import { REGULARIZERS } from './regularizers.js';
import { resolve } from './serializable.js';

/** @typedef {import('./constraints.js').Constraint} Constraint */
/** @typedef {import('./initializers.js').Initializer} Initializer */
/** @typedef {import('./regularizers.js').Regularizer} Regularizer */

/**
 * @param {string} argument its name
 * @param {unknown} identifier a name, `{ class_name, config }` or an Initializer
 * @returns {Initializer}
 */
export function resolveInitializer(argument, identifier) {
    const initializer = resolve(INITIALIZERS, argument, identifier);
    if (initializer === null) throw typeError(argument, INITIALIZERS.what, identifier);
    return initializer;
}

/**
 * @param {readonly string[]} names of options: `...Initializer`, `...Regularizer` or `...Constraint`
 * @param {Record<string, any>} given a name, `{ class_name, config }` or an object of each; null for none
 * @returns {Record<string, any>} objects by these names
 */
export const resolveObjects = (names, given) => Object.fromEntries(names.map((name) => [
    name,
    name.endsWith('Initializer') ? resolveInitializer(name, given[name])
        : name.endsWith('Regularizer') ? resolve(REGULARIZERS, name, given[name]) : resolve(CONSTRAINTS, name, given[name]),
]));

/**
 * @param {readonly string[]} names
 * @param {Record<string, any>} objects
 * @returns {Record<string, any>} as Keras serializes them, by these names
 */
export const serializeObjects = (names, objects) =>
    Object.fromEntries(names.map((name) => [name, objects[name]?.serialize() ?? null]));
