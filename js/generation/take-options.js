// Options, read once: getters may answer otherwise the next time, and what has been checked is what is used.

import { checkOptionNames } from '../check.js';

/**
 * @template {object} O
 * @param {string} owner of the options
 * @param {O} options
 * @param {readonly string[]} known
 * @returns {O} those that are given; an undefined one is not
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
