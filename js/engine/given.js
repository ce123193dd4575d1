// Plain data as it came in at the door. What a caller's object answers may change from one question to the next, by a
// getter, a proxy or a subclass: each of its properties is asked for once, and only the numbers are still the caller's.

import { rangeError, typeError } from '../check.js';
import { arrayOn, bytesPerElement, dtypeOfKind, formatShape, tagOf } from './dtype.js';
import { isDetachable } from './memory.js';
import { sizeOf } from './size.js';

/** @typedef {import('./memory.js').Memory} Memory */
/** @typedef {import('./dtype.js').DType} DType */
/** @typedef {import('./dtype.js').TensorData} TensorData */

// What a typed array says of itself may be overridden. What these say is so.
const TYPED_ARRAY = Object.getPrototypeOf(Float32Array.prototype);
const lengthOf = getter('length');
const offsetOf = getter('byteOffset');
const bufferOf = getter('buffer');

/** Far more than anybody has; an array's length may be a lie. */
const MOST_AXES = 64;

/** @param {string} name @returns {() => any} */
function getter(name) {
    return /** @type {() => any} */ (Object.getOwnPropertyDescriptor(TYPED_ARRAY, name)?.get);
}

/**
 * A copy of a shape as it is now.
 * @param {any} shape
 * @param {string} name  of what it belongs to
 * @returns {readonly number[]}
 * @throws {TypeError} unless it is an array of sizes
 */
export function readShape(shape, name) {
    if (!Array.isArray(shape)) {
        throw typeError(`${name}.shape`, 'an array of integers >= 0', shape);
    }
    const { length } = shape;
    if (!(length <= MOST_AXES)) {
        throw typeError(`${name}.shape`, `of at most ${MOST_AXES} axes`, length);
    }
    // Without holes, as nearly all shapes are: engines are quick with arrays of few kinds.
    /** @type {number[]} */
    const copy = [];
    for (let i = 0; i < length; i++) {
        const size = shape[i];
        if (!Number.isSafeInteger(size) || size < 0) {
            throw typeError(`${name}.shape[${i}]`, 'an integer >= 0', size);
        }
        copy.push(size);
    }
    return copy;
}

/** Numbers up to which copying one by one is quicker than asking for an array's buffer, which the engine may have to make first. */
const BY_HAND = 64;

/**
 * @param {any} array a typed array
 * @returns {boolean} whether it is a view of a runtime's memory, as a Tensor's data is, and gone when that grows
 */
const liesInMemory = (array) => offsetOf.call(array) > 0 && isDetachable(bufferOf.call(array));

/** @param {DType} dtype @param {any} array a typed array @returns {TensorData} its numbers in one of our own */
function copyOf(dtype, array) {
    const Kind = dtype === 'bool' ? Uint8Array : dtype === 'int32' ? Int32Array : Float32Array;
    return new Kind(array);
}

/** A tensor-like of the caller's, read once. */
export class Given {
    #shape;
    #dtype;
    #size;
    /** @type {any} the caller's own array: only to be looked at through what is above */
    #array;
    /** A view of our own of the same numbers, made when it is asked for. @type {TensorData | null} */
    #view = null;

    /**
     * As small as it is, engines make its objects where they are asked for: see read().
     * @param {readonly number[]} shape
     * @param {DType} dtype
     * @param {number} size
     * @param {any} array
     */
    constructor(shape, dtype, size, array) {
        this.#shape = shape;
        this.#dtype = dtype;
        this.#size = size;
        this.#array = array;
    }

    /**
     * @param {any} given
     * @param {any} data
     * @param {string} name  of the argument
     * @returns {Given}
     * @throws {TypeError | RangeError} naming the argument, what was expected and what came
     */
    static read(given, data, name) {
        const shape = readShape(given, name);
        const kind = tagOf(data);
        const dtype = dtypeOfKind(kind);
        if (dtype === null) {
            throw typeError(`${name}.data`, 'a Float32Array (or Float16Array, Float64Array), an Int32Array or a Uint8Array', data);
        }
        let size = 1;
        for (let i = 0; i < shape.length; i++) size *= shape[i];
        if (!Number.isSafeInteger(size)) size = sizeOf(shape, `${name}.shape`);
        const length = lengthOf.call(data);
        if (length !== size) {
            throw rangeError(`${name}.data`, `of ${size} elements, as shape ${formatShape(shape)} has`, length);
        }
        // Floats that are narrower or wider than ours become ours.
        const isOther = dtype === 'float32' && kind !== 'Float32Array';
        return new Given(shape, dtype, size, isOther || liesInMemory(data) ? copyOf(dtype, data) : data);
    }

    /**
     * As a Tensor's.
     * @param {string} [_name] how the caller knows it
     * @throws {RangeError} when the array's buffer has been resized or given away since it came in
     */
    _check(_name) {
        this.#checkLength();
    }

    get shape() {
        return this.#shape;
    }

    /** @returns {DType} */
    get dtype() {
        return this.#dtype;
    }

    get byteLength() {
        return this.#size * bytesPerElement(this.#dtype);
    }

    /**
     * The numbers as they are now, exactly as many as the shape has.
     * @returns {TensorData}
     * @throws {RangeError} when the array's buffer has been resized or given away since it came in
     */
    get data() {
        if (this.#view === null) {
            this.#checkLength();
            // An empty one is not on the buffer, which may be detached.
            this.#view = this.#size === 0
                ? arrayOn(this.#dtype, new ArrayBuffer(0), 0, 0)
                : arrayOn(this.#dtype, bufferOf.call(this.#array), offsetOf.call(this.#array), this.#size);
        } else if (this.#view.length !== this.#size) {
            this.#checkLength();
        }
        return this.#view;
    }

    /**
     * Copies the numbers.
     * @param {Memory} memory
     * @param {number} address
     */
    write(memory, address) {
        this.#checkLength();
        if (this.#size <= BY_HAND) {
            this.#writeByHand(memory, address);
            return;
        }
        // A shared buffer may be grown by another thread at any moment: then our view is copied, which does not grow.
        const data = bufferOf.call(this.#array) instanceof ArrayBuffer ? this.#array : this.data;
        switch (this.#dtype) {
            case 'bool': memory.bytes.set(data, address); break;
            case 'int32': memory.ints.set(data, address / 4); break;
            default: memory.floats.set(data, address / 4);
        }
    }

    /** @param {Memory} memory @param {number} address */
    #writeByHand(memory, address) {
        const data = this.#array;
        const size = this.#size;
        const target = this.#dtype === 'float32' ? memory.floats : this.#dtype === 'int32' ? memory.ints : memory.bytes;
        const at = this.#dtype === 'bool' ? address : address / 4;
        for (let i = 0; i < size; i++) {
            target[at + i] = data[i];
        }
    }

    #checkLength() {
        const length = lengthOf.call(this.#array);
        if (length !== this.#size) {
            throw new RangeError(`data must stay as long as shape ${formatShape(this.#shape)} says until it has been `
                + `read, got ${length} elements`);
        }
    }
}
