// What Node's console shows of this package's objects: what they are, not what they are made of. And what they say that
// they are: Vue makes Proxies of everything that calls itself a plain object, which no private field survives.

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** Of an array so many are shown. */
const SHOWN = 8;

/**
 * @template T
 * @param {{ prototype: T }} Class
 * @param {string} name of it, whatever a bundler has made of that
 * @param {(object: T) => object | null} facts null: it has been disposed of
 */
export function printAs(Class, name, facts) {
    Object.defineProperty(Class.prototype, Symbol.toStringTag, { value: name });
    Object.defineProperty(Class.prototype, INSPECT, {
        /**
         * @this {T}
         * @param {number} _depth
         * @param {object} options
         * @param {(value: unknown, options: object) => string} inspect
         */
        value(_depth, options, inspect) {
            if (this === Class.prototype) return `${name}.prototype`;
            const shown = facts(this);
            return shown === null ? `${name} (disposed)` : `${name} ${inspect(shown, { ...options, maxArrayLength: SHOWN })}`;
        },
    });
}
