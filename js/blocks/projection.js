// Dense layers y = x W + b over packed weights that live in the runtime's memory.

import { LINEAR, PANEL, ROUND, WEIGHT } from '../engine/interface.js';
import { checkedSize } from '../engine/size.js';
import { recordProduct } from './product.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */

/** W: [inputs][outputs], packed once into the panels that the kernels stream, and b: [outputs] or none. */
export class Projection {
    /**
     * Allocates both, as zeros.
     * @param {Runtime} runtime
     * @param {number} inputs
     * @param {number} outputs
     * @param {boolean} useBias
     */
    constructor(runtime, inputs, outputs, useBias) {
        this.inputs = inputs;
        this.outputs = outputs;
        this._runtime = runtime;
        // C counts in 32 bits: what cannot be had is refused before.
        runtime.memory.require(4 * checkedSize('weights', inputs, Math.ceil(outputs / PANEL) * PANEL));
        const floats = runtime.wasm.cmha_packed_size(inputs, outputs) >>> 0;
        /** Address of the panels. */
        this._panels = runtime.memory.alloc(floats * 4);
        runtime.memory.f32(this._panels, floats).fill(0);
        /** Address of the bias, 0 without one. */
        this._bias = 0;
        /** Address of the scales of outputs, 0 as long as the kernel is floats. */
        this._scales = 0;
        if (!useBias) return;
        try {
            this._bias = runtime.memory.alloc(outputs * 4);
        } catch (error) {
            runtime._free(this._panels);
            throw error;
        }
        runtime.memory.f32(this._bias, outputs).fill(0);
    }

    get hasBias() {
        return this._bias !== 0;
    }

    /**
     * @param {ArrayLike<number>} values [inputs][outputs], row-major
     * @param {number} [round] of ROUND
     */
    loadKernel(values, round = ROUND.NONE) {
        if (this._scales !== 0) throw new Error('these weights are quantized: their kernel cannot be loaded');
        const { memory, wasm } = this._runtime;
        const source = memory.alloc(values.length * 4);
        memory.f32(source, values.length).set(values);
        if (round !== ROUND.NONE) wasm.cmha_round_f32(source, source, values.length, round);
        wasm.cmha_pack_f32(this._panels, source, this.inputs, this.outputs, 0, this.outputs, 1);
        memory.free(source);
    }

    /**
     * @param {ArrayLike<number>} values [outputs]
     * @param {number} [round] of ROUND
     */
    loadBias(values, round = ROUND.NONE) {
        const { memory, wasm } = this._runtime;
        memory.f32(this._bias, this.outputs).set(values);
        if (round !== ROUND.NONE) wasm.cmha_round_f32(this._bias, this._bias, this.outputs, round);
    }

    /** @returns {Float32Array} the kernel as loaded, [inputs][outputs], a copy */
    kernel() {
        if (this._panels === 0) throw new Error('these weights have been disposed of');
        const { memory, wasm } = this._runtime;
        const size = checkedSize('kernel', this.inputs, this.outputs);
        if (this._scales !== 0) return this._dequantized(size);
        const target = memory.alloc(size * 4);
        wasm.cmha_unpack_f32(target, this._panels, this.inputs, this.outputs, 0, this.outputs, 1);
        const values = memory.f32(target, size).slice();
        memory.free(target);
        return values;
    }

    /** @param {number} size @returns {Float32Array} */
    _dequantized(size) {
        const { memory, wasm } = this._runtime;
        const { inputs, outputs } = this;
        const values = new Float32Array(size);
        const row = memory.alloc(4 * inputs);
        for (let o = 0; o < outputs; o++) {
            wasm.cmha_weight_row(WEIGHT.I8.id, row, this._panels, inputs, o);
            const [scale] = memory.f32(this._scales + 4 * o, 1);
            memory.f32(row, inputs).forEach((q, i) => {
                values[i * outputs + o] = q / scale;
            });
        }
        memory.free(row);
        return values;
    }

    /**
     * Integers for takeIntegers(), packed; nothing has changed yet.
     * @param {Int8Array} rows [outputs][inputs]
     * @param {Float32Array} scales [outputs]: what the integers are to be divided by
     * @returns {number} their address
     * @throws {RangeError} where there is not as much memory
     */
    packIntegers(rows, scales) {
        const { memory, wasm } = this._runtime;
        const { inputs, outputs } = this;
        const bytes = wasm.cmha_weight_bytes(WEIGHT.I8.id, inputs, outputs);
        const staged = memory.alloc(rows.length);
        try {
            const panels = memory.alloc(bytes + 4 * outputs);
            memory.u8(staged, rows.length).set(new Uint8Array(rows.buffer, rows.byteOffset, rows.length));
            wasm.cmha_weight_pack(WEIGHT.I8.id, panels, WEIGHT.I8.id, staged, inputs, outputs, 0, outputs);
            memory.f32(panels + bytes, outputs).set(scales);
            return panels;
        } finally {
            memory.free(staged);
        }
    }

    /** Integers take the place of the kernel, and inputs are rounded from now on. @param {number} panels of packIntegers() */
    takeIntegers(panels) {
        const { wasm } = this._runtime;
        this._runtime._free(this._panels);
        this._panels = panels;
        this._scales = panels + wasm.cmha_weight_bytes(WEIGHT.I8.id, this.inputs, this.outputs);
    }

    /** @returns {Float32Array} a copy of the bias */
    bias() {
        if (this._bias === 0) throw new Error('these weights have been disposed of');
        return this._runtime.memory.f32(this._bias, this.outputs).slice();
    }

    /**
     * Appends y = x W + b to a program.
     * @param {Program} program
     * @param {number} rows
     * @param {number} x address of [rows][inputs]
     * @param {number} xStride floats from row to row
     * @param {number} y address of [rows][outputs]
     * @param {number} yStride
     * @param {number} flags of the operation
     * @returns {number} the operation, for whatever else it shall do (activation, residual, layout, rounding)
     */
    record(program, rows, x, xStride, y, yStride, flags) {
        const op = recordProduct(program, rows, this.inputs, x, xStride, this._scales, flags);
        const words = program.words;
        words[op + LINEAR.rows] = rows;
        words[op + LINEAR.k] = this.inputs;
        words[op + LINEAR.n] = this.outputs;
        words[op + LINEAR.w] = this._panels;
        words[op + LINEAR.type] = this._scales === 0 ? WEIGHT.F32.id : WEIGHT.I8.id;
        words[op + LINEAR.bias] = this._bias;
        words[op + LINEAR.y] = y;
        words[op + LINEAR.yStride] = yStride;
        return op;
    }

    /** Frees both. */
    dispose() {
        this._runtime._free(this._panels);
        this._runtime._free(this._bias);
        this._panels = 0;
        this._bias = 0;
        this._scales = 0;
    }
}
