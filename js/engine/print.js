// What Node's console and JSON.stringify() show of this package's objects: what they are, not what they are made of, which is
// the whole memory of a runtime. And what they say that they are: Vue makes Proxies of everything that calls itself a plain
// object, which no private field survives.

const INSPECT = Symbol.for('nodejs.util.inspect.custom');

/** Of an array so many are shown. */
const SHOWN = 8;

/**
 * @template T
 * @param {{ prototype: T }} Class
 * @param {string | ((object: T) => string)} name of it, whatever a bundler has made of that; for a class whose sub-classes have others,
 *   which need not be told here (nothing is called for them, so a bundler drops those that are not used): what tells it
 * @param {(object: T) => object | null} facts null: it has been disposed of
 */
export function printAs(Class, name, facts) {
    const nameOf = typeof name === 'string' ? () => name : name;
    Object.defineProperties(Class.prototype, {
        [Symbol.toStringTag]: {
            /** @this {T} */
            get() {
                return nameOf(this);
            },
        },
        [INSPECT]: {
            /**
             * @this {T}
             * @param {number} _depth
             * @param {object} options
             * @param {(value: unknown, options: object) => string} inspect
             */
            value(_depth, options, inspect) {
                const own = nameOf(this);
                if (Object.hasOwn(/** @type {object} */ (this), 'constructor')) return `${own}.prototype`;
                const shown = facts(this);
                return shown === null ? `${own} (disposed)` : `${own} ${inspect(shown, { ...options, maxArrayLength: SHOWN })}`;
            },
        },
        toJSON: {
            value: /** @type {any} */ (Class.prototype).toJSON ?? /** @this {T} */ function toJSON() {
                return facts(this);
            },
        },
    });
}
