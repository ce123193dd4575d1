// The product x W of a layer, of x as it is, or as Keras's int8 has it: weights are integers with a scale for each output, and a
// row of x is rounded to integers too before it meets them.

import { INT8, KIND, LINEAR, QUANTIZE } from '../engine/interface.js';

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
    const quantized = program.scratch(rows * Math.ceil(inputs / INT8.INPUTS) * INT8.BYTES);
    const rowScales = program.scratch(4 * rows);
    const first = program.append(KIND.QUANTIZE, 0);
    let { words } = program;
    words[first + QUANTIZE.x] = x;
    words[first + QUANTIZE.xStride] = xStride;
    words[first + QUANTIZE.rows] = rows;
    words[first + QUANTIZE.k] = inputs;
    words[first + QUANTIZE.y] = quantized;
    words[first + QUANTIZE.scales] = rowScales;
    const op = program.append(KIND.LINEAR);
    ({ words } = program);
    words[op + LINEAR.quantized] = quantized;
    words[op + LINEAR.divisors] = scales;
    words[op + LINEAR.rowDivisors] = rowScales;
    return op;
}
