// What initializers, regularizers and constraints have in common: kinds with named options, and Keras's serialized form
// `{ module, class_name, config, registered_name }`, read and written.

import { checkOptionNames, finiteNumber, typeError, rangeError, plainObject } from '../check.js';

/** @param {string} name camelCase @returns {string} snake_case */
export const toSnake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** @param {string} name snake_case @returns {string} camelCase */
export const toCamel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/** A list as it is now: whose it is may change it. @param {any} value an option @returns {any} */
export const copied = (value) => (Array.isArray(value) ? [...value] : value);

/** @param {Record<string, any>} options in camelCase @returns {Record<string, any>} copies of them, in snake_case */
export const inSnakeCase = (options) =>
    Object.fromEntries(Object.entries(options).map(([key, value]) => [toSnake(key), copied(value)]));

/**
 * @typedef {object} Serialized
 * @property {string} [module]
 * @property {string} class_name
 * @property {Record<string, any>} config
 * @property {string | null} [registered_name]
 */

/** Options, all of them, in camelCase. @typedef {Record<string, any>} Options */

/**
 * A kind of object, and what objects of it do with their options.
 * @template Act
 * @typedef {object} Kind
 * @property {Options} [defaults] Keras's
 * @property {readonly string[]} [required] options that Keras will not do without when it makes the object from a name or a config
 * @property {(options: Options, defaults: Options) => Options} [check] throws, or gives the options in the form in which they
 *   are kept; by default what is a number in the defaults must be one
 * @property {Act} act
 */

/** @param {Options} options @param {Options} defaults @returns {Options} */
export function checkNumbers(options, defaults) {
    for (const [key, usual] of Object.entries(defaults)) if (typeof usual === 'number') finiteNumber(key, options[key]);
    return options;
}

/** An object of some kind. @template Act */
export class Serializable {
    /**
     * @param {string} module Keras's
     * @param {string} className Keras's
     * @param {Kind<Act>} kind
     * @param {Options} options what is not given takes Keras's default
     */
    constructor(module, className, { defaults = {}, check = checkNumbers, act }, options) {
        checkOptionNames(className, options, Object.keys(defaults));
        this._module = module;
        this._className = className;
        this._act = act;
        /** @type {Readonly<Options>} */
        this.options = Object.freeze(check({ ...defaults, ...options }, defaults));
    }

    /** @returns {Serialized} as Keras's `serialize_keras_object` prints it */
    serialize() {
        return { module: this._module, class_name: this._className, config: inSnakeCase(this.options), registered_name: null };
    }
}

/**
 * @template {Serializable<any>} T
 * @typedef {object} Family
 * @property {string} what one of it is called in messages, with its article
 * @property {string} module Keras's
 * @property {new (module: string, className: string, kind: Kind<any>, options: Options) => T} Class
 * @property {Record<string, Kind<any>>} kinds known by these names, and by them in snake_case
 * @property {Record<string, string>} [aliases] further names by which Keras knows them
 */

/**
 * Turns what Keras accepts (a name, a serialized object) or an instance into an instance.
 * @template {Serializable<any>} T
 * @param {Family<T>} family
 * @param {string} argument name of the argument, for messages
 * @param {unknown} identifier
 * @returns {T | null} null for null
 */
export function resolve(family, argument, identifier) {
    if (identifier === null || identifier === undefined) return null;
    if (identifier instanceof family.Class) return identifier;
    if (typeof identifier === 'string') return make(family, argument, identifier, {});
    const { class_name: className, config = {} } = /** @type {Record<string, any>} */ (identifier);
    if (typeof identifier !== 'object' || typeof className !== 'string') {
        throw typeError(argument, `${family.what}: its name or { class_name, config }`, identifier);
    }
    plainObject(`${argument}.config`, config);
    const options = Object.fromEntries(Object.entries(config).map(([key, value]) => [toCamel(key), copied(value)]));
    return make(family, argument, className, options);
}

/**
 * @template {Serializable<any>} T
 * @param {Family<T>} family
 * @param {string} argument
 * @param {string} name
 * @param {Options} options
 * @returns {T}
 */
function make({ what, module, Class, kinds, aliases = {} }, argument, name, options) {
    const className = Object.hasOwn(aliases, name) ? aliases[name]
        : Object.keys(kinds).find((known) => name === known || name === known.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase());
    if (className === undefined) throw rangeError(argument, `the name of ${what} that Keras has`, name);
    const kind = kinds[className];
    for (const key of kind.required ?? []) {
        if (!Object.hasOwn(options, key)) throw rangeError(argument, `given with its config's ${key}`, className);
    }
    return new Class(module, className, kind, options);
}
