// Activations as bytes, which weights in blocks and Keras's integers are multiplied with.

import { INT8, KIND, QUANTIZE } from '../engine/interface.js';

/** @typedef {import('../engine/program.js').Program} Program */

/**
 * Appends the operation.
 * @param {Program} program
 * @param {number} rows
 * @param {number} x address of [rows][k]
 * @param {number} xStride floats from row to row
 * @param {number} k a multiple of 32, or any with scales
 * @param {number} y address of quantizedBytes(rows, k)
 * @param {number} [scales] address of [rows], for a scale to a row as Keras's int8 has it; 0: one for every 32 numbers, in y
 */
export function recordQuantize(program, rows, x, xStride, k, y, scales = 0) {
    const op = program.append(KIND.QUANTIZE);
    const { words } = program;
    words[op + QUANTIZE.x] = x;
    words[op + QUANTIZE.xStride] = xStride;
    words[op + QUANTIZE.rows] = rows;
    words[op + QUANTIZE.k] = k;
    words[op + QUANTIZE.y] = y;
    words[op + QUANTIZE.scales] = scales;
}

/** @param {number} rows @param {number} k @returns {number} bytes that activations take as bytes */
export const quantizedBytes = (rows, k) => rows * Math.ceil(k / INT8.INPUTS) * INT8.BYTES;
