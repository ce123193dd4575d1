// Writes weights as Keras's `save_weights('x.weights.h5')` lays them out, so that Keras's `load_weights` reads them.

import { rangeError, typeError } from '../check.js';
import { isGroup, writeHdf5 } from './hdf5/writer.js';
import { TYPES } from './hdf5/values.js';

/**
 * @typedef {import('./hdf5/writer.js').Group} Group
 * @typedef {import('./hdf5/writer.js').Dataset} Dataset
 *
 * @typedef {object} KerasEntry
 * @property {string} path of the dataset: 'layers/dense/vars/0'
 * @property {readonly number[]} shape
 * @property {ArrayBufferView & ArrayLike<number | bigint>} data a typed array; for 'float16' and 'bfloat16' a
 *   Float32Array, which is rounded
 * @property {string} [dtype] Keras's name of the type where the array's own is not meant: 'float16', 'bfloat16', 'bool'
 */

/** By the name of a typed array's class: the type it stands for. @type {Record<string, string>} */
const OF_ARRAYS = {
    Float32Array: 'F32', Float64Array: 'F64',
    Int8Array: 'I8', Int16Array: 'I16', Int32Array: 'I32', BigInt64Array: 'I64',
    Uint8Array: 'U8', Uint16Array: 'U16', Uint32Array: 'U32', BigUint64Array: 'U64',
};

/** @type {Record<string, string>} Keras's names -> types */
const OF_NAMES = Object.fromEntries(Object.entries(TYPES).map(([type, { dtype }]) => [dtype, type]));

/**
 * @param {Iterable<KerasEntry>} entries
 * @param {Iterable<readonly [group: string, name: string]>} [names] of layers by the path of their group; Keras notes
 *   them, and does not read them
 * @returns {Uint8Array<ArrayBuffer>} a `.weights.h5` file
 * @throws {TypeError | RangeError} for what is no entry, or two entries in one place
 */
export function writeKerasWeights(entries, names = []) {
    const root = newGroup();
    for (const entry of entries) {
        const at = `entry ${entry?.path}`;
        const steps = pathOf(entry?.path, 'path of an entry');
        const name = /** @type {string} */ (steps.pop());
        const group = groupAt(root, steps, at);
        if (group.links.has(name)) {
            throw rangeError(`${at}: path`, 'one that no other entry has', entry.path);
        }
        group.links.set(name, datasetOf(entry, at));
    }
    for (const [path, name] of names) {
        if (typeof name !== 'string' || name === '') {
            throw typeError(`name of the group ${path}`, 'a text', name);
        }
        groupAt(root, [...pathOf(path, 'path of a group'), 'vars'], `group ${path}`).attributes.set('name', name);
    }
    return writeHdf5(root);
}

/** @returns {Group} */
function newGroup() {
    return { links: new Map(), attributes: new Map() };
}

/** @param {unknown} path @param {string} what @returns {string[]} */
function pathOf(path, what) {
    const steps = typeof path === 'string' ? path.split('/') : [];
    /** @param {string} step */
    const isName = (step) => step !== '' && step !== '.' && !step.includes('\0') && step.length < 256;
    if (steps.length === 0 || !steps.every(isName)) {
        throw typeError(what, "names joined by '/'", path);
    }
    return steps;
}

/** @param {Group} root @param {string[]} steps @param {string} what @returns {Group} made where it is not there */
function groupAt(root, steps, what) {
    let group = root;
    for (const step of steps) {
        const next = group.links.get(step) ?? newGroup();
        if (!isGroup(next)) {
            throw rangeError(`${what}: path`, 'one that is not within another entry', steps.join('/'));
        }
        group.links.set(step, next);
        group = next;
    }
    return group;
}

/** @param {KerasEntry} entry @param {string} what @returns {Dataset} */
function datasetOf({ shape, data, dtype }, what) {
    const own = ArrayBuffer.isView(data) ? OF_ARRAYS[data.constructor.name] : undefined;
    if (own === undefined) {
        throw typeError(`${what}: data`, 'a typed array', data);
    }
    if (!Array.isArray(shape) || shape.length > 32 || !shape.every((n) => Number.isSafeInteger(n) && n >= 0)) {
        throw typeError(`${what}: shape`, 'a list of at most 32 sizes', shape);
    }
    if (shape.reduce((a, b) => a * b, 1) !== data.length) {
        throw rangeError(`${what}: shape`, `one of ${data.length} values, as data has`, shape);
    }
    const type = dtype === undefined ? own : Object.hasOwn(OF_NAMES, dtype) ? OF_NAMES[dtype] : undefined;
    const rounds = own === 'F32' && (type === 'F16' || type === 'BF16');
    if (type === undefined || !(type === own || rounds || (type === 'BOOL' && own === 'U8'))) {
        throw rangeError(`${what}: dtype`, `what a ${data.constructor.name} can hold`, dtype);
    }
    return {
        shape: [...shape], type,
        bytes: rounds ? halves(/** @type {Float32Array} */ (/** @type {unknown} */ (data)), type === 'BF16')
            : new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
        attributes: new Map(type === 'BF16' ? [['dtype', 'bfloat16']] : []),
    };
}

/** @param {Float32Array} values @param {boolean} brain @returns {Uint8Array} rounded to the nearest, ties to even */
function halves(values, brain) {
    const words = new Uint32Array(values.slice().buffer);
    const own = new Uint16Array(words.length);
    for (let i = 0; i < words.length; i++) {
        own[i] = brain ? toBrain(words[i]) : toHalf(words[i]);
    }
    return new Uint8Array(own.buffer);
}

/** @param {number} word bits of a float32 @returns {number} of a bfloat16 */
function toBrain(word) {
    if ((word & 0x7fffffff) > 0x7f800000) {
        return word >>> 16 | 0x40;
    }
    return (word + 0x7fff + (word >>> 16 & 1)) >>> 16;
}

/** @param {number} word bits of a float32 @returns {number} of a float16 */
function toHalf(word) {
    const sign = word >>> 16 & 0x8000;
    const magnitude = word & 0x7fffffff;
    if (magnitude > 0x7f800000) {
        return sign | 0x7e00;
    }
    const exponent = magnitude >>> 23;
    if (exponent >= 113) {
        // Rounding may carry into the exponent, up to infinity, which is right.
        return sign | Math.min(0x7c00, (magnitude - (112 << 23) + 0xfff + (magnitude >>> 13 & 1)) >>> 13);
    }
    // A subnormal: the implied bit becomes a real one, and all moves down.
    const shift = 126 - exponent;
    if (shift > 24) {
        return sign;
    }
    const mantissa = magnitude & 0x7fffff | 0x800000;
    const half = 1 << shift - 1;
    return sign | (mantissa + half - 1 + (mantissa >>> shift & 1)) >>> shift;
}
