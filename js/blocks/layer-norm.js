// Layer normalisation with its two weights.

import { NORM } from '../engine/interface.js';

/** y = (x - mean) / sqrt(variance + epsilon) * gamma + beta over the last axis (Ba et al. 2016), as Keras has it. */
export class LayerNorm {
    /**
     * Starts with gamma 1 and beta 0.
     * @param {import('../engine/runtime.js').Runtime} runtime
     * @param {number} width
     * @param {number} epsilon
     */
    constructor(runtime, width, epsilon) {
        this.width = width;
        this.epsilon = epsilon;
        this._runtime = runtime;
        /** Address of gamma, with beta behind it. */
        this._address = runtime.memory.alloc(2 * width * 4);
        runtime.memory.f32(this._address, width).fill(1);
        runtime.memory.f32(this._address + 4 * width, width).fill(0);
    }

    /**
     * @param {ArrayLike<number>} gamma [width]
     * @param {ArrayLike<number>} beta [width]
     */
    load(gamma, beta) {
        this.loadGamma(gamma);
        this.loadBeta(beta);
    }

    /** @param {ArrayLike<number>} values [width] */
    loadGamma(values) {
        this._runtime.memory.f32(this._address, this.width).set(values);
    }

    /** @param {ArrayLike<number>} values [width] */
    loadBeta(values) {
        this._runtime.memory.f32(this._address + 4 * this.width, this.width).set(values);
    }

    /** @returns {Float32Array[]} copies of gamma and beta */
    weights() {
        const both = this._runtime.memory.f32(this._address, 2 * this.width);
        return [both.slice(0, this.width), both.slice(this.width)];
    }

    /**
     * Appends the operation to a program.
     * @param {import('../engine/program.js').Program} program
     * @param {number} rows
     * @param {number} x address of [rows][width]
     * @param {number} xStride floats from row to row
     * @param {number} y address of [rows][width], may be x
     */
    record(program, rows, x, xStride, y) {
        const op = program.layerNorm();
        const words = program.words;
        words[op + NORM.x] = x;
        words[op + NORM.xStride] = xStride;
        words[op + NORM.y] = y;
        words[op + NORM.yStride] = this.width;
        words[op + NORM.rows] = rows;
        words[op + NORM.n] = this.width;
        words[op + NORM.groups] = 1;
        words[op + NORM.gamma] = this._address;
        words[op + NORM.beta] = this._address + 4 * this.width;
        program.floats[op + NORM.epsilon] = this.epsilon;
    }

    dispose() {
        this._runtime._free(this._address);
        this._address = 0;
    }
}
