// A short causal convolution, each channel by itself, over what a cache holds, with its weights in the runtime's memory.

import { CONVOLVE, FLAG, KIND } from '../engine/interface.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */

export class ConvolutionWeights {
    #runtime;
    /** Address of [taps][channels], the oldest position first, and behind it of the bias. */
    #address;

    /**
     * @param {Runtime} runtime
     * @param {{ channels: number, taps: number, bias: boolean }} options
     * @throws {RangeError} where there is not as much memory
     */
    constructor(runtime, { channels, taps, bias }) {
        this.channels = channels;
        this.taps = taps;
        this.bias = bias;
        this.#runtime = runtime;
        const size = channels * (taps + Number(bias));
        this.#address = runtime.memory.alloc(4 * size);
        runtime.memory.f32(this.#address, size).fill(0);
    }

    /** @param {ArrayLike<number>} values [some channels][taps], as files have them @param {number} first channel */
    loadWeight(values, first) {
        const view = this.#runtime.memory.f32(this.#address, this.channels * this.taps);
        for (let i = 0; i < values.length; i++) {
            view[i % this.taps * this.channels + first + Math.floor(i / this.taps)] = values[i];
        }
    }

    /** @param {ArrayLike<number>} values [channels] */
    loadBias(values) {
        this.#runtime.memory.f32(this.#biasAt, this.channels).set(values);
    }

    get #biasAt() {
        return this.#address + 4 * this.taps * this.channels;
    }

    /**
     * Appends out = gate * (the convolution of t positions, from `index` on).
     * @param {Program} program
     * @param {{ address: number }} cache of one text, which holds them already
     * @param {{ t: number, index: number, past: readonly number[], gate: number, gateStride: number, out: number, concurrent: boolean }} args
     *   past: where in the cache the positions before the first lie, the last of them first, as many as there are;
     *   addresses of gate, row stride gateStride, and of out [t][channels]
     */
    record(program, cache, { t, index, past, gate, gateStride, out, concurrent }) {
        const list = program.scratch(4 * this.taps);
        const op = program.append(KIND.CONVOLVE, concurrent ? FLAG.CONCURRENT : 0);
        const { words } = program;
        words[op + CONVOLVE.cache] = cache.address;
        words[op + CONVOLVE.t] = t;
        words[op + CONVOLVE.taps] = this.taps;
        words[op + CONVOLVE.past] = list;
        words[op + CONVOLVE.w] = this.#address;
        words[op + CONVOLVE.bias] = this.bias ? this.#biasAt : 0;
        words[op + CONVOLVE.gate] = gate;
        words[op + CONVOLVE.gateStride] = gateStride;
        words[op + CONVOLVE.out] = out;
        words[op + CONVOLVE.outStride] = this.channels;
        placeConvolution(words, op, index, past);
    }

    dispose() {
        this.#runtime._free(this.#address);
    }
}

/**
 * Where a recorded convolution finds its inputs.
 * @param {Uint32Array} words of the memory
 * @param {number} op its first word
 * @param {number} index
 * @param {readonly number[]} past
 */
export function placeConvolution(words, op, index, past) {
    const known = Math.min(past.length, words[op + CONVOLVE.taps] - 1);
    words[op + CONVOLVE.index] = index;
    words[op + CONVOLVE.known] = known;
    for (let i = 0; i < known; i++) words[words[op + CONVOLVE.past] / 4 + i] = past[i];
}
