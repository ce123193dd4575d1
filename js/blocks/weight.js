// PackedWeight: a matrix y = x W + b as the kernels stream it, made empty and filled from a file's rows as they arrive.

import { FLAG, LINEAR, PANEL } from '../engine/interface.js';
import { ACTIVATIONS } from './activations.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */

/** W: [outputs][inputs], of some type, and b: [outputs] or none. */
export class PackedWeight {
    /**
     * @param {Runtime} runtime
     * @param {string} type
     * @param {number} inputs
     * @param {number} outputs
     * @param {{ bias?: boolean }} [options]
     */
    constructor(runtime, type, inputs, outputs, { bias = false } = {}) {
        this._runtime = runtime;
        this.type = type;
        this.typeId = 0;
        this.inputs = inputs;
        this.outputs = outputs;
        this.bytes = PackedWeight.bytesOf(runtime, type, inputs, outputs);
        this.address = runtime.memory.alloc(this.bytes);
        runtime.memory.u8(this.address, this.bytes).fill(0);
        this._bias = 0;
        if (bias) {
            this._bias = runtime.memory.alloc(4 * outputs);
            runtime.memory.f32(this._bias, outputs).fill(0);
        }
    }

    static bytesOf(_runtime, _type, inputs, outputs) {
        return 4 * inputs * Math.ceil(outputs / PANEL) * PANEL;
    }

    load(bytes, fileType, first, count) {
        const values = widen(fileType, bytes);
        this._scatter(values, first, count, 1, this.inputs);
    }

    loadColumns(bytes, fileType, { firstInput, inputs: rows, columns: total, from, to, count }) {
        const values = widen(fileType, bytes);
        const { floats } = this._runtime.memory;
        for (let i = 0; i < rows; i++) {
            for (let j = 0; j < count; j++) {
                const n = to + j;
                floats[this.address / 4 + (Math.floor(n / PANEL) * this.inputs + firstInput + i) * PANEL + n % PANEL] = values[i * total + from + j];
            }
        }
    }

    _scatter(values, first, count) {
        const { floats } = this._runtime.memory;
        for (let j = 0; j < count; j++) {
            const n = first + j;
            const at = this.address / 4 + Math.floor(n / PANEL) * PANEL * this.inputs + n % PANEL;
            for (let i = 0; i < this.inputs; i++) {
                floats[at + i * PANEL] = values[j * this.inputs + i];
            }
        }
    }

    loadBias(values, row) {
        this._runtime.memory.f32(this._bias + 4 * row, values.length).set(values);
    }

    record(program, rows, x, xStride, y, yStride, { concurrent = false, activation = 'linear', residual = 0, scale = 1, softcap = null } = {}) {
        const op = program.linear(concurrent ? FLAG.CONCURRENT : 0);
        const { words, floats } = program;
        words[op + LINEAR.x] = x;
        words[op + LINEAR.xStride] = xStride;
        words[op + LINEAR.rows] = rows;
        words[op + LINEAR.k] = this.inputs;
        words[op + LINEAR.n] = this.outputs;
        words[op + LINEAR.w] = this.address;
        words[op + LINEAR.bias] = this._bias;
        words[op + LINEAR.y] = y;
        words[op + LINEAR.yStride] = yStride;
        words[op + LINEAR.residual] = residual;
        words[op + LINEAR.residualStride] = yStride;
        words[op + LINEAR.activation] = ACTIVATIONS[activation];
        floats[op + LINEAR.scale] = scale === 1 ? 0 : scale;
        floats[op + LINEAR.softcap] = softcap ?? 0;
        return op;
    }

    dispose() {
        this._runtime._free(this.address);
        this._runtime._free(this._bias);
        this.address = 0;
        this._bias = 0;
    }
}

function widen(type, bytes) {
    const copy = bytes.slice().buffer;
    if (type === 'F32') return new Float32Array(copy);
    const half = new Uint16Array(copy);
    const out = new Float32Array(half.length);
    const u = new Uint32Array(out.buffer);
    for (let i = 0; i < half.length; i++) {
        if (type === 'BF16') u[i] = half[i] << 16;
        else {
            const e = half[i] >> 10 & 31, m = half[i] & 1023, s = half[i] >> 15 ? -1 : 1;
            out[i] = s * (e === 0 ? m * 2 ** -24 : e === 31 ? (m ? NaN : Infinity) : (1 + m / 1024) * 2 ** (e - 15));
        }
    }
    return out;
}

export function decodeBlocks(_runtime, type, bytes) {
    return widen(type, bytes);
}
