// The config of a Keras object as it is read: every key is asked for and checked, and one that nobody asked for is
// refused.

import { FormatError, show } from '../../check.js';
import { isObject } from '../json.js';

export class KerasConfig {
    /** @param {unknown} values @param {string} where names the object in messages */
    constructor(values, where) {
        if (!isObject(values)) {
            throw new FormatError('config-invalid', `${where}: config must be an object, got ${show(values)}`);
        }
        this._values = values;
        this._where = where;
        /** @type {Set<string>} */
        this._read = new Set();
    }

    /** @param {string} key @returns {any} null where it is absent */
    any(key) {
        this._read.add(key);
        return Object.hasOwn(this._values, key) ? this._values[key] : null;
    }

    /** @param {...string} keys that change nothing here */
    ignore(...keys) {
        keys.forEach((key) => this._read.add(key));
    }

    /** @param {string} key @param {string} expected @param {unknown} value @returns {never} */
    refuse(key, expected, value) {
        throw new FormatError('config-invalid', `${this._where}: ${key} must be ${expected}, got ${show(value)}`);
    }

    /** @param {string} key @param {unknown} value @returns {never} */
    unsupported(key, value) {
        throw new FormatError('config-unsupported', `${this._where}: ${key} ${show(value)} is not supported`);
    }

    /** @template T @param {string} key @param {T | null} value @returns {T} */
    _given(key, value) {
        if (value === null) {
            throw new FormatError('config-missing-key', `${this._where} has no ${key}`);
        }
        return value;
    }

    /** @param {string} key @returns {number | null} an integer from 1 to 2^31 - 1 */
    countOrNone(key) {
        const value = this.any(key);
        return value === null || (Number.isInteger(value) && value > 0 && value < 2 ** 31) ? value
            : this.refuse(key, 'a positive integer', value);
    }

    /** @param {string} key @returns {number} */
    count(key) {
        return this._given(key, this.countOrNone(key));
    }

    /** @param {string} key @returns {number | null} finite, above 0 */
    positiveOrNone(key) {
        const value = this.any(key);
        return value === null || (typeof value === 'number' && Number.isFinite(value) && value > 0) ? value
            : this.refuse(key, 'a number above 0', value);
    }

    /** @param {string} key @param {number} [usual] @returns {number} */
    positive(key, usual) {
        return this._given(key, this.positiveOrNone(key) ?? usual ?? null);
    }

    /** @param {string} key @param {boolean} usual @returns {boolean} */
    flag(key, usual) {
        const value = this.any(key) ?? usual;
        return typeof value === 'boolean' ? value : this.refuse(key, 'true or false', value);
    }

    /** @template T @param {string} key @param {T[]} words @returns {T} */
    word(key, words) {
        const value = this.any(key);
        return words.includes(value) ? value : this.unsupported(key, value);
    }

    /** @param {string} key @param {boolean | null} wanted the only value that can be had; also where it is absent */
    only(key, wanted) {
        const value = this.any(key);
        if (value !== null && value !== wanted) {
            this.unsupported(key, value);
        }
    }

    /** @throws {FormatError} `config-unknown` for a key that nobody asked for */
    finish() {
        const unknown = Object.keys(this._values).find((key) => !this._read.has(key));
        if (unknown !== undefined) {
            throw new FormatError('config-unknown', `${this._where}: nothing is known of the key ${show(unknown)} ` +
                `(${show(this._values[unknown])}), so it cannot be told whether it matters`);
        }
    }
}
