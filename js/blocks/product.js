// The product x W of a layer, of x as it is, or as Keras's int8 has it: weights are integers with a scale for each output, and a
// row of x is rounded to integers too before it meets them.

import { KIND, LINEAR } from '../engine/interface.js';
import { quantizedBytes, recordQuantize } from './quantize.js';

/** @typedef {import('../engine/program.js').Program} Program */

/**
 * Appends the operation, x written down; the weights are the caller's to fill in.
 * @param {Program} program
 * @param {number} rows
 * @param {number} inputs
 * @param {number} x address of [rows][inputs]
 * @param {number} xStride floats from row to row
 * @param {number} scales address of the scales of the outputs; 0: x is taken as it is
 * @param {number} flags of an operation that takes x as it is; one that rounds it first waits for all ahead of it
 * @returns {number} the operation
 */
export function recordProduct(program, rows, inputs, x, xStride, scales, flags) {
    if (scales !== 0) return recordRounded(program, rows, inputs, x, xStride, scales);
    const op = program.append(KIND.LINEAR, flags);
    const { words } = program;
    words[op + LINEAR.x] = x;
    words[op + LINEAR.xStride] = xStride;
    return op;
}

/**
 * @param {Program} program
 * @param {number} rows
 * @param {number} inputs
 * @param {number} x
 * @param {number} xStride
 * @param {number} scales
 * @returns {number}
 */
function recordRounded(program, rows, inputs, x, xStride, scales) {
    const quantized = program.scratch(quantizedBytes(rows, inputs));
    const rowScales = program.scratch(4 * rows);
    recordQuantize(program, rows, x, xStride, inputs, quantized, rowScales);
    const op = program.append(KIND.LINEAR);
    const { words } = program;
    words[op + LINEAR.quantized] = quantized;
    words[op + LINEAR.divisors] = scales;
    words[op + LINEAR.rowDivisors] = rowScales;
    return op;
}
