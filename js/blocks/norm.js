// Normalization with its weights in the runtime's memory: layer norm, RMS norm, and either per head.

import { rangeError } from '../check.js';
import { FLAG, KIND, NORM, NORMALIZE } from '../engine/interface.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */

const KINDS = Object.freeze({ layer: NORMALIZE.LAYER, rms: NORMALIZE.RMS });

/** y = z * (gamma + offset) + beta, z normalised over each group of a row by itself: [groups][width]. */
export class NormWeights {
    #runtime;
    /** Addresses of both, [groups or 1][width] each, beta behind gamma; 0: there is none, or they have been disposed of. */
    #gamma = 0;
    #beta = 0;

    /**
     * Starts with gamma 1 - offset and beta 0.
     * @param {Runtime} runtime
     * @param {object} options
     * @param {'layer' | 'rms'} options.kind by mean and variance, or by the mean square
     * @param {number} options.width of a group
     * @param {number} options.epsilon
     * @param {number} [options.groups] of a row, 1
     * @param {boolean} [options.own] whether every group has weights of its own
     * @param {number} [options.offset] added to gamma
     * @param {boolean} [options.bias] whether there is a beta, false
     */
    constructor(runtime, { kind, width, epsilon, groups = 1, own = false, offset = 0, bias = false }) {
        this.kind = kind;
        this.width = width;
        this.epsilon = epsilon;
        this.groups = groups;
        this.own = own;
        this.offset = offset;
        /** Numbers of gamma, and of beta. */
        this.size = own ? groups * width : width;
        this.#runtime = runtime;
        this.#gamma = runtime.memory.alloc(4 * this.size * (bias ? 2 : 1));
        runtime.memory.f32(this.#gamma, this.size).fill(1 - offset);
        if (bias) {
            this.#beta = this.#gamma + 4 * this.size;
            runtime.memory.f32(this.#beta, this.size).fill(0);
        }
    }

    /** @param {ArrayLike<number>} values of groups from `first` on @param {number} [first] */
    loadWeight(values, first = 0) {
        this.#load(this.#gamma, values, first);
    }

    /** @param {ArrayLike<number>} values of groups from `first` on @param {number} [first] */
    loadBias(values, first = 0) {
        this.#load(this.#beta, values, first);
    }

    /** @returns {Float32Array} a copy of gamma */
    readWeight() {
        return this.#view(this.#gamma).slice();
    }

    /** @returns {Float32Array} a copy of beta */
    readBias() {
        return this.#view(this.#beta).slice();
    }

    /** @param {number} address @returns {Float32Array} gamma or beta where it lies */
    #view(address) {
        if (address === 0) throw new Error('this normalization has no such weights, or they have been disposed of');
        return this.#runtime.memory.f32(address, this.size);
    }

    /** @param {number} address @param {ArrayLike<number>} values @param {number} first */
    #load(address, values, first) {
        const view = this.#view(address);
        const at = first * this.width;
        if (at + values.length > this.size) {
            throw rangeError("a normalization's weights", `${this.size} numbers`, at + values.length);
        }
        view.set(values, at);
    }

    /**
     * Appends y = norm(x), or y = residual + norm(x).
     * @param {Program} program
     * @param {number} rows
     * @param {number} x address of [rows][groups][width]
     * @param {number} xStride floats from row to row
     * @param {number} y address of [rows][groups][width], may be x
     * @param {number} [yStride]
     * @param {{ concurrent?: boolean, residual?: number }} [options] residual: address, stride as y's; may be y itself
     * @returns {number} y
     */
    record(program, rows, x, xStride, y, yStride = this.groups * this.width, { concurrent = false, residual = 0 } = {}) {
        const op = program.append(KIND.LAYER_NORM, concurrent ? FLAG.CONCURRENT : 0);
        const { words, floats } = program;
        words[op + NORM.x] = x;
        words[op + NORM.xStride] = xStride;
        words[op + NORM.y] = y;
        words[op + NORM.yStride] = yStride;
        words[op + NORM.rows] = rows;
        words[op + NORM.n] = this.width;
        words[op + NORM.gamma] = this.#gamma;
        words[op + NORM.beta] = this.#beta;
        words[op + NORM.kind] = KINDS[this.kind];
        words[op + NORM.groups] = this.groups;
        words[op + NORM.groupStride] = this.own ? this.width : 0;
        words[op + NORM.residual] = residual;
        words[op + NORM.residualStride] = yStride;
        floats[op + NORM.epsilon] = this.epsilon;
        floats[op + NORM.offset] = this.offset;
        return y;
    }

    /** Frees the memory. */
    dispose() {
        this.#runtime._free(this.#gamma);
        this.#gamma = 0;
        this.#beta = 0;
    }
}
