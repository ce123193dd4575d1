// Default names of layers, as Keras counts them: the class in snake case, then with _1, _2, ...

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */

/** How many layers of a runtime have had a default name, by that name. @type {WeakMap<Runtime, Map<string, number>>} */
const named = new WeakMap();

/** @param {Runtime} runtime @param {string} name @returns {string} the next default name */
export function nextName(runtime, name) {
    const counts = named.get(runtime) ?? new Map();
    const count = counts.get(name) ?? 0;
    named.set(runtime, counts.set(name, count + 1));
    return count === 0 ? name : `${name}_${count}`;
}
