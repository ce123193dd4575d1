// Tensor: typed, shaped data in a runtime's memory; and what every tensor-like argument must look like.

import { checkOptionNames, checkRuntime, show, typeError, wrappedError } from '../check.js';
import { arrayOn, bytesPerElement, checkDtype, fits, formatShape, roundMode, sameShape } from './dtype.js';
import { Given, readShape } from './given.js';
import { ROUND } from './interface.js';
import { printAs } from './print.js';
import { checkedSize, sizeOf } from './size.js';

export { bytesPerElement, formatShape, roundMode, sameShape, sizeOf };

/** @typedef {import('./runtime.js').Runtime} Runtime */
/** @typedef {import('./dtype.js').DType} DType */
/** @typedef {import('./dtype.js').TensorData} TensorData */
/** @typedef {import('./dtype.js').TensorLike} TensorLike */
/** What asTensorLike() gives: shape, dtype and data, and _check(), which throws once it has been disposed of. @typedef {Tensor | Given} Held */

/**
 * Checks an argument at the door. The data of a Tensor is not touched: reading a result moves it (see Tensor).
 *
 * @param {any} value
 * @param {string} name  of the argument
 * @returns {Held} to be used from here on instead of the value, whose answers may change
 * @throws {TypeError} naming the argument, what was expected and what came
 * @throws {Error} when it is a Tensor that has been disposed
 */
export function asTensorLike(value, name) {
    if (value instanceof Tensor) {
        value._check(name);
        return value;
    }
    if (value instanceof Given) {
        return value;
    }
    checkHasShape(value, name);
    return Given.read(value.shape, value.data, name);
}

/**
 * @param {any} value
 * @param {string} name  of the argument
 * @throws {TypeError} for what is no tensor-like at all: an array alone, a promise that was not awaited, all that a call gave
 */
function checkHasShape(value, name) {
    if (Array.isArray(value) || ArrayBuffer.isView(value)) {
        const kind = Array.isArray(value) ? Array.isArray(value[0]) ? 'nested arrays' : 'an array' : show(value);
        throw new TypeError(`${name} must be a tensor-like { shape, data }, all its numbers in one typed array, got ${kind} alone`);
    }
    if (typeof value !== 'object' || value === null || !('shape' in value)) {
        throw typeError(name, 'a tensor-like { shape, data }', value);
    }
}

// The states of a tensor.
const OWNED = 0;    // made by the user: in the memory until dispose()
const RESULT = 1;   // of a call, not read yet: in the memory, listed by the keeper of results (results.js)
const MOVED = 2;    // read: #store is its own typed array
const BATCHED = 3;  // moved out of the memory unread: #store is a Uint32Array that it shares with others, its numbers at #offset
const DISPOSED = 4;

/** Words up to which copying one by one leaves less behind than a view would, and costs little more. */
const BY_HAND = 1024;

/** How _result() talks to the constructor: one object for all, so that a result leaves nothing but itself behind. */
const RESIDENT = {
    shape: /** @type {readonly number[]} */ ([]),
    dtype: /** @type {DType} */ ('float32'),
    address: 0,
};

/**
 * A row-major array in the memory of a runtime. Passing one to a layer of the same runtime copies nothing.
 *
 * There are two kinds, with different lives:
 *
 * - **Made by you**, `new Tensor(runtime, { shape, dtype, data })`. It stays in the runtime's memory until dispose().
 *   `data` is a live view: what you write there is what the next call reads. Take it from the tensor each time; when
 *   the memory grows, views taken before no longer show it.
 *
 * - **A result**, returned by a call. It lies in the runtime's memory until `data` is read for the first time; that
 *   moves it out into an array of its own, which is yours and which nothing here ever writes to again. So results need
 *   not be disposed of: those that are passed on unread (as the input of the next layer, say) cost no copy, those that
 *   are read cost one, and those that are never looked at are moved out in batches when they add up (to 1 MB, or twice
 *   the largest of them), which cannot be told from the outside. dispose() frees one at once.
 *
 * Reading `data` of a tensor that has been disposed, or whose runtime has been, is an Error; arrays that were taken out
 * of results before stay as they are.
 *
 * Two tensors are not deeply equal, whatever they hold: a test compares their `shape` and `data`.
 */
export class Tensor {
    #state = OWNED;
    /** @type {readonly number[]} */
    #shape;
    /** @type {DType} */
    #dtype;
    /** OWNED: the last view made. MOVED, BATCHED: see there. @type {TensorData | Uint32Array | null} */
    #store = null;
    #offset = 0;
    /** Neighbours among the unread results, older and younger. @type {Tensor | null} */
    _older = null;
    /** @type {Tensor | null} */
    _younger = null;
    /** Serial number of the last program that was given the address. */
    _usedBy = 0;

    /**
     * @param {Runtime} runtime
     * @param {{ shape: readonly number[], dtype?: DType, data?: TensorData | Float64Array }} init
     *   dtype: what `data` stands for if absent ('float32' without data). data: is copied; zeros if absent. Numbers for
     *   float16 and bfloat16 are rounded to the nearest that the type has, those of a Float64Array to float32 first.
     * @throws {TypeError | RangeError} for a wrong shape, dtype or data; RangeError too when the memory is exhausted
     */
    constructor(runtime, init) {
        /** @type {Runtime} */
        this._runtime = runtime;
        if (/** @type {any} */ (init) === RESIDENT) {
            this.#state = RESULT;
            this.#shape = RESIDENT.shape;
            this.#dtype = RESIDENT.dtype;
            /** Where the elements are; 0 once they have left the memory. */
            this._address = RESIDENT.address;
            return;
        }
        const { shape, dtype, given } = readInit(runtime, init);
        this.#shape = Object.freeze(shape);
        this.#dtype = dtype;
        const { memory } = runtime;
        this._address = memory.alloc(this.byteLength);
        if (given === null) {
            this.data.fill(0);
        } else {
            given.write(memory, this._address);
            roundInPlace(runtime, dtype, this._address, this.size);
        }
    }

    /**
     * @param {Runtime} runtime
     * @param {readonly number[]} shape  frozen
     * @param {DType} dtype
     * @param {number} address  of a block that the tensor owns from now on
     * @returns {Tensor}
     */
    static _result(runtime, shape, dtype, address) {
        RESIDENT.shape = shape;
        RESIDENT.dtype = dtype;
        RESIDENT.address = address;
        return new Tensor(runtime, RESIDENT);
    }

    /**
     * What a tensor-like holds now, safe from later changes.
     * @param {Runtime} runtime
     * @param {Held} source
     * @returns {Tensor}
     */
    static _snapshot(runtime, source) {
        const copy = Tensor._result(runtime, source.shape, source.dtype, 0);
        copy.#state = MOVED;
        copy.#store = source instanceof Tensor && source._address !== 0 ? Tensor.#copy(source) : source.data.slice();
        return copy;
    }

    /** @returns {readonly number[]} frozen */
    get shape() {
        return this.#shape;
    }

    /** @returns {DType} */
    get dtype() {
        return this.#dtype;
    }

    /** Number of elements. */
    get size() {
        return sizeOf(this.#shape);
    }

    /** Bytes of `data`. */
    get byteLength() {
        return checkedSize('Tensor', sizeOf(this.#shape, 'Tensor.shape'), bytesPerElement(this.#dtype));
    }

    /** Whether its user can write to its numbers in the memory at any time. */
    get _live() {
        return this.#state === OWNED;
    }

    /** Whether dispose() has been called, here or on the runtime. */
    get disposed() {
        return this.#state === DISPOSED || this._runtime.disposed;
    }

    /**
     * The elements, row-major: a Float32Array for the float types, an Int32Array for int32, a Uint8Array for bool.
     * See the class for what it means to read them.
     * @returns {TensorData}
     * @throws {Error} after dispose()
     */
    get data() {
        this._check('Tensor');
        if (this.#state === OWNED) {
            const store = this.#store;
            if (store === null || store.buffer !== this._runtime.memory.bytes.buffer) {
                this.#store = Tensor.#view(this);
            }
        } else if (this.#state === RESULT) {
            const array = Tensor.#copy(this);
            Tensor.#leaveMemory(this);
            this.#store = array;
            this.#state = MOVED;
        } else if (this.#state === BATCHED) {
            // An own copy, so that one tensor that is kept does not keep the whole batch.
            const batch = /** @type {Uint32Array} */ (this.#store);
            this.#store = arrayOn(this.dtype, batch.buffer, this.#offset, this.size).slice();
            this.#state = MOVED;
        }
        return /** @type {TensorData} */ (this.#store);
    }

    /** What JSON.stringify() makes of it. @returns {{ shape: number[], dtype: DType, data: number[] }} */
    toJSON() {
        return { shape: [...this.#shape], dtype: this.#dtype, data: Array.from(this.data) };
    }

    /** The elements where they lie, for reading at once: unlike `data`, this moves nothing. @returns {TensorData} */
    _peek() {
        switch (this.#state) {
            case RESULT: return Tensor.#view(this);
            case BATCHED: return arrayOn(this.dtype, /** @type {Uint32Array} */ (this.#store).buffer, this.#offset, this.size);
            default: return this.data;
        }
    }

    /** Frees what the tensor holds. A second time does nothing. */
    dispose() {
        if (this.#state === DISPOSED) {
            return;
        }
        if (this._address !== 0 && !this._runtime.disposed) {
            Tensor.#leaveMemory(this);
        }
        this.#store = null;
        this.#state = DISPOSED;
    }

    /** For `using`. */
    [Symbol.dispose]() {
        this.dispose();
    }

    /**
     * @param {string} name  how the caller knows this tensor
     * @throws {Error} after dispose()
     */
    _check(name) {
        if (!(#state in this)) {
            throw wrappedError(name);
        }
        if (this.#state === DISPOSED) {
            throw new Error(`${name}: this Tensor has been disposed`);
        }
        if (this._runtime.disposed) {
            throw new Error(`${name}: the runtime of this Tensor has been disposed`);
        }
    }

    /**
     * Moves an unread result out of the memory, into a batch with others. The caller takes it off the list.
     * @param {Uint32Array} batch
     * @param {number} word  where it goes
     */
    _moveTo(batch, word) {
        const { words } = this._runtime.memory;
        const from = this._address / 4;
        const n = Math.ceil(this.byteLength / 4);
        if (n > BY_HAND) {
            batch.set(words.subarray(from, from + n), word);
        } else {
            for (let i = 0; i < n; i++) {
                batch[word + i] = words[from + i];
            }
        }
        // At once: it is moved out to make room, and never while a program that was given the address is on its way.
        this._runtime.memory.free(this._address);
        this._address = 0;
        this.#store = batch;
        this.#offset = 4 * word;
        this.#state = BATCHED;
    }

    // Static, because private methods of instances would cost every tensor a word.

    /** @param {Tensor} tensor */
    static #leaveMemory(tensor) {
        if (tensor.#state === RESULT) {
            tensor._runtime._results.remove(tensor);
        }
        tensor._runtime._free(tensor._address);
        tensor._address = 0;
    }

    /** @param {Tensor} tensor */
    static #view(tensor) {
        const { memory } = tensor._runtime;
        return arrayOn(tensor.dtype, memory.bytes.buffer, tensor._address, tensor.size);
    }

    /**
     * Taken straight from the memory: a view in between would be as large as a small result.
     * @param {Tensor} tensor
     */
    static #copy(tensor) {
        const { memory } = tensor._runtime;
        const first = tensor._address;
        const end = first + tensor.byteLength;
        switch (tensor.dtype) {
            case 'bool': return memory.bytes.slice(first, end);
            case 'int32': return memory.ints.slice(first / 4, end / 4);
            default: return memory.floats.slice(first / 4, end / 4);
        }
    }
}

printAs(Tensor, 'Tensor', (tensor) => (tensor.disposed ? null
    : { shape: tensor.shape, dtype: tensor.dtype, data: tensor._peek() }));

/**
 * Rounds floats in the memory to what a half-precision type can hold.
 * @param {Runtime} runtime
 * @param {DType} dtype
 * @param {number} address
 * @param {number} n
 */
function roundInPlace(runtime, dtype, address, n) {
    const mode = roundMode(dtype);
    if (mode !== ROUND.NONE) {
        runtime.wasm.cmha_round_f32(address, address, n, mode);
    }
}

/**
 * Reads what a Tensor is to be made of, each property once.
 * @param {any} runtime
 * @param {any} init
 * @returns {{ shape: readonly number[], dtype: DType, given: Given | null }}
 */
function readInit(runtime, init) {
    checkRuntime(runtime, 'Tensor');
    checkHasShape(init, 'Tensor');
    // Objects of classes are tensor-likes with more to them; of plain ones a name that nobody knows is a slip. `type` is what
    // readWeights() adds.
    if (Object.getPrototypeOf(init) === Object.prototype) checkOptionNames('Tensor', init, ['shape', 'dtype', 'data', 'type']);
    const { shape, dtype: asked, data } = init;
    const given = data === undefined ? null : Given.read(shape, data, 'Tensor');
    const dtype = checkDtype(asked ?? (given === null ? 'float32' : given.dtype));
    if (given !== null && !fits(dtype, given.dtype)) {
        throw typeError('Tensor.data', `what holds dtype '${dtype}'`, data);
    }
    const copy = given === null ? readShape(shape, 'Tensor') : given.shape;
    // Last: reading may have run code of the caller's, which may have done anything.
    runtime._check('Tensor');
    return { shape: copy, dtype, given };
}
