// What initializers, regularizers and constraints have in common: named options with defaults, and Keras's serialized
// form `{ module, class_name, config, registered_name }`, read and written.

import { checkOptionNames, finiteNumber, typeError, rangeError, plainObject } from '../check.js';

/** @param {string} name camelCase @returns {string} snake_case */
export const toSnake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** @param {string} name snake_case @returns {string} camelCase */
export const toCamel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/** A list as it is now: whose it is may change it. @param {any} value an option @returns {any} */
export const copied = (value) => (Array.isArray(value) ? [...value] : value);

/**
 * @typedef {object} Serialized
 * @property {string} [module]
 * @property {string} class_name
 * @property {Record<string, any>} config
 * @property {string | null} [registered_name]
 */

/** An object of named options. Sub-classes list them, in camelCase, with their defaults in `static defaults`. */
export class Serializable {
    /** @type {Record<string, any>} */
    static defaults = {};
    /** Keras's class name. @type {string} */
    static className = '';
    /** Options that Keras will not do without when it makes the object from a name or a config. @type {string[]} */
    static required = [];

    /** @param {Record<string, any>} [options] in camelCase; what is not given takes Keras's default */
    constructor(options = {}) {
        const { defaults, className } = /** @type {typeof Serializable} */ (this.constructor);
        checkOptionNames(className, options, Object.keys(defaults));
        /** @type {Readonly<Record<string, any>>} */
        this.options = Object.freeze(this.check({ ...defaults, ...options }));
    }

    /**
     * Checks the options and brings them into the form in which they are kept: what is a number by default must be one.
     * @param {Record<string, any>} options all of them
     * @returns {Record<string, any>}
     */
    check(options) {
        const { defaults } = /** @type {typeof Serializable} */ (this.constructor);
        for (const [key, usual] of Object.entries(defaults)) if (typeof usual === 'number') finiteNumber(key, options[key]);
        return options;
    }

    /** Keras's `get_config()`. @returns {Record<string, any>} */
    getConfig() {
        return Object.fromEntries(Object.entries(this.options).map(([key, value]) => [toSnake(key), copied(value)]));
    }
}

/**
 * @typedef {object} Family
 * @property {string} kind for messages, with its article
 * @property {string} module Keras's
 * @property {typeof Serializable} base
 * @property {(typeof Serializable)[]} classes known by their names, and by those in snake_case
 * @property {Record<string, typeof Serializable>} aliases further names by which Keras knows them
 */

/**
 * Turns what Keras accepts (a name, a serialized object) or an instance into an instance.
 * @param {Family} family
 * @param {string} argument name of the argument, for messages
 * @param {unknown} identifier
 * @returns {Serializable | null} null for null
 */
export function resolve(family, argument, identifier) {
    if (identifier === null || identifier === undefined) return null;
    if (identifier instanceof family.base) return identifier;
    if (typeof identifier === 'string') return make(lookUp(family, argument, identifier), argument, {});
    const expected = `${family.kind}: its name or { class_name, config }`;
    if (typeof identifier !== 'object') throw typeError(argument, expected, identifier);
    const { class_name: className, config = {} } = /** @type {Record<string, any>} */ (identifier);
    if (typeof className !== 'string') throw typeError(argument, expected, identifier);
    plainObject(`${argument}.config`, config);
    const options = Object.fromEntries(Object.entries(config).map(([key, value]) => [toCamel(key), copied(value)]));
    return make(lookUp(family, argument, className), argument, options);
}

/**
 * @param {typeof Serializable} Class
 * @param {string} argument
 * @param {Record<string, any>} options
 * @returns {Serializable}
 */
function make(Class, argument, options) {
    for (const key of Class.required) {
        if (!Object.hasOwn(options, key)) throw rangeError(argument, `given with its config's ${key}`, Class.className);
    }
    return new Class(options);
}

/**
 * @param {Family} family
 * @param {string} argument
 * @param {string} name
 * @returns {typeof Serializable}
 */
function lookUp({ kind, classes, aliases }, argument, name) {
    const found = Object.hasOwn(aliases, name) ? aliases[name]
        : classes.find(({ className }) => name === className || name === className.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase());
    if (found === undefined) throw rangeError(argument, `the name of ${kind} that Keras has`, name);
    return found;
}

/**
 * @param {Family} family
 * @param {Serializable | null} object
 * @returns {Serialized | null} as Keras's `serialize_keras_object` prints it
 */
export function serialize({ module }, object) {
    if (object === null) return null;
    const { className } = /** @type {typeof Serializable} */ (object.constructor);
    return { module, class_name: className, config: object.getConfig(), registered_name: null };
}
