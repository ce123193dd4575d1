// Reads each option once: a getter may return another value the next time, and what was checked must be what is used.

import { checkOptionNames } from '../check.js';

/**
 * @template {object} O
 * @param {string} owner of the options
 * @param {O} options
 * @param {readonly string[]} known
 * @returns {O} the options that are given, as own properties; an undefined one counts as not given
 * @throws {TypeError} unless it is an object of these names
 */
export function takeOptions(owner, options, known) {
    checkOptionNames(owner, options, known);
    /** @type {Record<string, unknown>} */
    const taken = {};
    for (const name of known) {
        const value = /** @type {Record<string, unknown>} */ (options)[name];
        if (value !== undefined) {
            taken[name] = value;
        }
    }
    return /** @type {O} */ (taken);
}
