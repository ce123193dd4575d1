// Weights y = x W + b of any type, packed as the kernels stream them, in the runtime's memory.

import { rangeError } from '../check.js';
import { EMBED, FLAG, KIND, LINEAR, NOT_GGML } from '../engine/interface.js';
import { WEIGHT } from '../engine/weight-types.js';
import { ACTIVATIONS } from './activations.js';
import { recordProduct } from './product.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {{ readonly name: string, readonly id: number, readonly block: number, readonly bytes: number,
 *   readonly ggml: number }} WeightType an entry of WEIGHT */

/** Bytes of a file that are in memory beside the packed weights, at most, but for a row that is longer. */
const STAGING = 1 << 20;

/** Number of whole bytes, exact or refused. @param {number} value @param {string} what */
function counted(value, what) {
    if (!Number.isSafeInteger(value) || value < 0) throw rangeError(what, 'a whole number', value);
    return value;
}

/**
 * W: [inputs][outputs] of one type, and b: [outputs] or none. Made empty (zeros); a file loads it in pieces of whole rows
 * of W^T: [outputs][inputs], which is how files keep weights, or of W.
 *
 * Those of I8 are integers and compute as Keras does in int8: a weight is its integer divided by the scale of its output, and
 * x is rounded to integers first, by a scale for each row.
 */
export class PackedWeight {
    #runtime;
    /** Address of the packed weights, the bias behind them; 0 once disposed of. */
    #address = 0;
    #bias = 0;
    #scales = 0;

    /**
     * @param {Runtime} runtime
     * @param {WeightType} type
     * @param {number} inputs K, a multiple of the type's block, or any of I8
     * @param {number} outputs N
     * @param {{ bias?: boolean }} [options]
     * @throws {RangeError} where there is not as much memory; nothing has been taken then
     */
    constructor(runtime, type, inputs, outputs, { bias = false } = {}) {
        const isScaled = type === WEIGHT.I8;
        if (counted(inputs, 'inputs') % type.block !== 0 && !isScaled) {
            throw rangeError('inputs', `a multiple of ${type.block} for weights of type ${type.name}`, inputs);
        }
        this.type = type;
        this.inputs = inputs;
        this.outputs = counted(outputs, 'outputs');
        this.#runtime = runtime;
        const weights = runtime.wasm.cmha_weight_bytes(type.id, inputs, outputs);
        const behind = Math.ceil(weights / 64) * 64;
        /** Bytes of both in memory. */
        this.bytes = behind + (bias ? 4 * outputs : 0) + (isScaled ? 4 * outputs : 0);
        this.#address = runtime.memory.alloc(this.bytes);
        // A shared memory's bytes are filled one by one, its words are not.
        runtime.memory.f32(this.#address, this.bytes / 4).fill(0);
        if (bias) this.#bias = this.#address + behind;
        if (isScaled) this.#scales = this.#address + this.bytes - 4 * outputs;
    }

    /** Whether these weights are to be multiplied with activations as bytes: inputs share scales in blocks, as ggml has them. */
    get inBlocks() {
        return this.type.block > 1 && this.type.ggml !== NOT_GGML;
    }

    /** Whether these weights are integers, with a scale for each output. */
    get isScaled() {
        return this.#scales !== 0;
    }

    get hasBias() {
        return this.#bias !== 0;
    }

    /** Bytes of one row of W^T in a file of some type. @param {WeightType} type */
    rowBytes(type) {
        return this.inputs / type.block * type.bytes;
    }

    /**
     * Loads rows of W^T, or of W where the orientation is 'columns'.
     * @param {Uint8Array} bytes of the rows, whole ones
     * @param {WeightType} fileType this weight's own, or any where this one is F32
     * @param {number} firstRow
     * @param {number} rows
     * @param {{ orientation?: 'rows' | 'columns', columns?: number, firstColumn?: number }} [options] with 'columns' a row
     *   of the file is one input's weights for `columns` outputs (this weight's number), of which those from
     *   `firstColumn` on are this weight's
     */
    load(bytes, fileType, firstRow, rows, { orientation = 'rows', columns = this.outputs, firstColumn = 0 } = {}) {
        this.#check();
        if (fileType !== this.type && this.type !== WEIGHT.F32) {
            throw rangeError('fileType', `${this.type.name}, the type of these weights`, fileType.name);
        }
        const across = orientation === 'columns';
        const last = across ? this.inputs : this.outputs;
        if (counted(firstRow, 'firstRow') + counted(rows, 'rows') > last) {
            throw rangeError('rows', `within the ${last} that there are`, `${firstRow} to ${firstRow + rows}`);
        }
        if (across && ((fileType.block !== 1 && !this.isScaled) || counted(firstColumn, 'firstColumn') + this.outputs > columns)) {
            throw rangeError('columns', `${this.outputs} of those of a file of single numbers`, columns);
        }
        const numberBytes = fileType.bytes / fileType.block;
        const rowBytes = across ? columns * numberBytes : this.rowBytes(fileType);
        if (bytes.length !== rows * rowBytes) throw rangeError('bytes', `${rows * rowBytes} bytes`, bytes.length);
        const shift = across ? firstColumn * numberBytes : 0;
        this.#stage(bytes, rowBytes, rows, (at, row, count) => {
            const { wasm } = this.#runtime;
            if (across) {
                wasm.cmha_weight_pack_inputs(this.type.id, this.#address, fileType.id, at + shift, columns, this.inputs,
                    this.outputs, firstRow + row, count);
            } else {
                wasm.cmha_weight_pack(this.type.id, this.#address, fileType.id, at, this.inputs, this.outputs,
                    firstRow + row, count);
            }
        });
    }

    /**
     * Brings rows into memory, some at a time.
     * @param {Uint8Array} bytes
     * @param {number} rowBytes
     * @param {number} rows
     * @param {(address: number, row: number, count: number) => void} pack
     */
    #stage(bytes, rowBytes, rows, pack) {
        if (rows === 0 || rowBytes === 0) return;
        const { memory } = this.#runtime;
        const most = Math.min(rows, Math.max(1, Math.floor(STAGING / rowBytes)));
        const address = memory.alloc(most * rowBytes);
        for (let row = 0; row < rows; row += most) {
            const count = Math.min(most, rows - row);
            memory.bytes.set(bytes.subarray(row * rowBytes, (row + count) * rowBytes), address);
            pack(address, row, count);
        }
        memory.free(address);
    }

    /**
     * @param {ArrayLike<number>} values of the outputs from `first` on
     * @param {number} [first]
     */
    loadBias(values, first = 0) {
        this.#loadOutputs('bias', this.#bias, values, first);
    }

    /**
     * @param {ArrayLike<number>} values of the outputs from `first` on
     * @param {number} [first]
     */
    loadScales(values, first = 0) {
        this.#loadOutputs('scales', this.#scales, values, first);
    }

    /**
     * @param {string} what
     * @param {number} address of [outputs]; 0: there are none
     * @param {ArrayLike<number>} values
     * @param {number} first
     */
    #loadOutputs(what, address, values, first) {
        this.#check();
        if (address === 0 || counted(first, 'first') + values.length > this.outputs) {
            throw rangeError(what, address === 0 ? 'absent' : `within ${this.outputs} numbers`, `${first} to ${first + values.length}`);
        }
        this.#runtime.memory.f32(address + 4 * first, values.length).set(values);
    }

    /** Whether all weights are finite; reads every one of them. */
    isFinite() {
        for (let output = 0; output < this.outputs; output++) {
            if (!this.row(output).every(Number.isFinite)) return false;
        }
        return true;
    }

    /** A few of its bytes, a copy: enough to tell it from another's. @returns {Uint8Array} */
    sample() {
        this.#check();
        return this.#runtime.memory.u8(this.#address, Math.min(this.bytes, 4096)).slice();
    }

    /** @param {number} output @returns {Float32Array} its weights for every input, a copy */
    row(output) {
        this.#check();
        const { memory, wasm } = this.#runtime;
        const address = memory.alloc(4 * this.inputs);
        wasm.cmha_weight_row(this.type.id, address, this.#address, this.inputs, output);
        const values = memory.f32(address, this.inputs).slice();
        memory.free(address);
        if (this.#scales === 0) return values;
        const [scale] = memory.f32(this.#scales + 4 * output, 1);
        return values.map((value) => value / scale);
    }

    /**
     * Appends y = softcap(scale * activation(x W + b)) + residual to a program.
     * @param {Program} program
     * @param {number} rows
     * @param {number} x address of [rows][inputs]
     * @param {number} xStride floats from row to row
     * @param {number} y address of [rows][outputs]
     * @param {number} yStride
     * @param {{ quantized?: number, concurrent?: boolean, activation?: import('../model/description.js').Activation,
     *   residual?: number, scale?: number, softcap?: number | null }} [options] quantized: address of the same x as
     *   recordQuantize() makes it, for weights in blocks; residual: address, stride as y's; may be y itself
     */
    record(program, rows, x, xStride, y, yStride, options = {}) {
        const { quantized = 0, concurrent = false, activation = 'linear', residual = 0, scale = 1, softcap = null } = options;
        const op = recordProduct(program, rows, this.inputs, x, xStride, this.#scales, concurrent ? FLAG.CONCURRENT : 0);
        const { words, floats } = program;
        if (this.inBlocks) words[op + LINEAR.quantized] = quantized;
        words[op + LINEAR.rows] = rows;
        words[op + LINEAR.k] = this.inputs;
        words[op + LINEAR.n] = this.outputs;
        words[op + LINEAR.w] = this.#address;
        words[op + LINEAR.type] = this.type.id;
        words[op + LINEAR.bias] = this.#bias;
        words[op + LINEAR.y] = y;
        words[op + LINEAR.yStride] = yStride;
        words[op + LINEAR.residual] = residual;
        words[op + LINEAR.residualStride] = yStride;
        words[op + LINEAR.activation] = ACTIVATIONS[activation];
        floats[op + LINEAR.scale] = scale;
        floats[op + LINEAR.softcap] = softcap ?? 0;
    }

    /**
     * Appends y[r] = the weights of output tokens[r]: the look-up of a token embedding [outputs][inputs].
     * @param {Program} program
     * @param {number} rows
     * @param {number} tokens address of [rows] ids, each below outputs
     * @param {number} y address of [rows][inputs]
     * @returns {number} the operation, for scale and learned positions
     */
    recordLookup(program, rows, tokens, y) {
        const op = program.append(KIND.EMBED);
        const words = program.words;
        words[op + EMBED.tokens] = tokens;
        words[op + EMBED.rows] = rows;
        words[op + EMBED.t] = 1;
        words[op + EMBED.w] = this.#address;
        words[op + EMBED.type] = this.type.id;
        words[op + EMBED.divisors] = this.#scales;
        words[op + EMBED.k] = this.inputs;
        words[op + EMBED.n] = this.outputs;
        words[op + EMBED.y] = y;
        return op;
    }

    #check() {
        if (this.#address === 0) throw new Error('these weights have been disposed of');
    }

    /** Frees the memory. */
    dispose() {
        this.#runtime._free(this.#address);
        this.#address = 0;
        this.#bias = 0;
        this.#scales = 0;
    }
}

/**
 * @param {string} name as files have it: 'F16', 'Q4_K'
 * @returns {WeightType}
 * @throws {RangeError} where it is none that can be computed with
 */
export function weightType(name) {
    if (!Object.hasOwn(WEIGHT, name)) {
        throw rangeError('type', `one of ${Object.keys(WEIGHT).join(', ')}`, name);
    }
    return WEIGHT[/** @type {keyof typeof WEIGHT} */ (name)];
}

/**
 * Bytes that a matrix takes in memory, exact.
 * @param {Runtime} runtime @param {WeightType} type @param {number} inputs @param {number} outputs
 * @returns {number}
 */
export function packedBytes(runtime, type, inputs, outputs) {
    return runtime.wasm.cmha_weight_bytes(type.id, inputs, outputs);
}

/**
 * Numbers of a file's blocks.
 * @param {Runtime} runtime
 * @param {WeightType} type
 * @param {Uint8Array} bytes whole blocks
 * @returns {Float32Array}
 */
export function decodeBlocks({ memory, wasm }, type, bytes) {
    const blocks = bytes.length / type.bytes;
    const values = new Float32Array(blocks * type.block);
    const most = Math.max(1, Math.min(blocks, Math.floor(STAGING / type.bytes)));
    const from = memory.alloc(most * type.bytes);
    try {
        const to = memory.alloc(4 * most * type.block);
        for (let at = 0; at < bytes.length; at += most * type.bytes) {
            const part = bytes.subarray(at, at + most * type.bytes);
            const count = part.length / type.bytes * type.block;
            memory.bytes.set(part, from);
            wasm.cmha_weight_decode(type.id, to, from, count);
            values.set(memory.f32(to, count), at / type.bytes * type.block);
        }
        memory.free(to);
    } finally {
        memory.free(from);
    }
    return values;
}
