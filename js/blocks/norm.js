// Weights of a normalization, and its operation.

import { FLAG, KIND, NORM, NORMALIZE } from '../engine/interface.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */

/** Gamma and beta of groups of n elements. Made with gamma 1 and beta 0. */
export class NormWeights {
    /**
     * @param {Runtime} runtime
     * @param {import('../model/description.js').Norm} norm
     * @param {number} n
     * @param {{ groups?: number, own?: boolean }} [options] groups in a row; own: each has weights of its own
     * @throws {RangeError} when the memory is exhausted
     */
    constructor(runtime, norm, n, { groups = 1, own = false } = {}) {
        this._runtime = runtime;
        this._norm = norm;
        this._n = n;
        this._groups = groups;
        this._stride = own ? n : 0;
        const size = own ? groups * n : n;
        /** Address of gamma, with beta behind it; 0 without weights. */
        this._gamma = 0;
        this._beta = 0;
        if (norm.weight === false) {
            return;
        }
        this._gamma = runtime.memory.alloc((norm.bias ? 2 : 1) * size * 4);
        runtime.memory.f32(this._gamma, size).fill(1);
        if (norm.bias) {
            this._beta = this._gamma + 4 * size;
            runtime.memory.f32(this._beta, size).fill(0);
        }
    }

    /** @param {Float32Array} values of groups from `row` on @param {number} row */
    loadGamma(values, row) {
        this._runtime.memory.f32(this._gamma + 4 * row * this._n, values.length).set(values);
    }

    /** @returns {Float32Array} a copy of gamma */
    gamma() {
        if (this._gamma === 0) throw new Error('these weights have been disposed of');
        return this._runtime.memory.f32(this._gamma, this._stride === 0 ? this._n : this._groups * this._n).slice();
    }

    /** @param {Float32Array} values of groups from `row` on @param {number} row */
    loadBeta(values, row) {
        this._runtime.memory.f32(this._beta + 4 * row * this._n, values.length).set(values);
    }

    /**
     * Appends y = norm(x), or y = norm(x) * scale + residual.
     * @param {Program} program
     * @param {number} rows
     * @param {number} x address of [rows][groups * n]
     * @param {number} xStride floats from row to row
     * @param {number} y address, may be x
     * @param {number} yStride
     * @param {{ concurrent?: boolean, residual?: number, scale?: number }} [options] residual: address, strides as y
     * @returns {number} y
     */
    record(program, rows, x, xStride, y, yStride, { concurrent = false, residual = 0, scale = 1 } = {}) {
        const op = program.append(KIND.NORM, concurrent ? FLAG.CONCURRENT : 0);
        const { words, floats } = program;
        words[op + NORM.x] = x;
        words[op + NORM.xStride] = xStride;
        words[op + NORM.y] = y;
        words[op + NORM.yStride] = yStride;
        words[op + NORM.rows] = rows;
        words[op + NORM.n] = this._n;
        words[op + NORM.gamma] = this._gamma;
        words[op + NORM.beta] = this._beta;
        words[op + NORM.kind] = this._norm.kind === 'rms' ? NORMALIZE.RMS : NORMALIZE.LAYER;
        words[op + NORM.groups] = this._groups;
        words[op + NORM.gammaStride] = this._stride;
        words[op + NORM.residual] = residual;
        words[op + NORM.residualStride] = yStride;
        floats[op + NORM.epsilon] = this._norm.epsilon;
        floats[op + NORM.offset] = this._norm.offset ?? 0;
        floats[op + NORM.scale] = scale;
        return y;
    }

    dispose() {
        this._runtime._free(this._gamma);
        this._gamma = 0;
    }
}
