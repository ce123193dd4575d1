// Products as Keras's int8 has them: weights are integers with a scale for each output, and a row of x is rounded to
// integers too before it meets them.

import { KIND, LINEAR, ROUND_ROWS } from '../engine/interface.js';

/** @typedef {import('../engine/program.js').Program} Program */

/**
 * Appends a projection of what is rounded first, so it waits for all operations ahead of it.
 * @param {Program} program
 * @param {number} rows
 * @param {number} inputs
 * @param {number} x address of [rows][inputs]
 * @param {number} xStride floats from row to row
 * @param {number} scales address of the scales of the outputs
 * @returns {number} the projection, whose x and divisors are set
 */
export function recordRounded(program, rows, inputs, x, xStride, scales) {
    const rounded = program.scratch(4 * rows * inputs);
    const rowScales = program.scratch(4 * rows);
    const first = program.append(KIND.ROUND_ROWS, 0);
    let { words } = program;
    words[first + ROUND_ROWS.x] = x;
    words[first + ROUND_ROWS.xStride] = xStride;
    words[first + ROUND_ROWS.rows] = rows;
    words[first + ROUND_ROWS.k] = inputs;
    words[first + ROUND_ROWS.y] = rounded;
    words[first + ROUND_ROWS.scales] = rowScales;
    const op = program.append(KIND.LINEAR);
    ({ words } = program);
    words[op + LINEAR.x] = rounded;
    words[op + LINEAR.xStride] = inputs;
    words[op + LINEAR.divisors] = scales;
    words[op + LINEAR.rowDivisors] = rowScales;
    return op;
}
