// One branch, activated, times another.

import { GATE } from '../engine/interface.js';

/**
 * y = activation(a) * b
 * @param {Uint32Array} words
 * @param {number} op
 * @param {{ a: number, b: number, y: number, rows: number, n: number, stride?: number, each?: number, activation: number, round?: number }}
 *   args addresses of [rows][n], row stride of a and b `stride` or n; y may be a or b; each: a is [rows][n / each], for so many of b in a
 *   row; activation of ACTIVATION, round of ROUND
 */
export function writeGate(words, op, { a, b, y, rows, n, stride = n, each = 1, activation, round = 0 }) {
    words[op + GATE.a] = a;
    words[op + GATE.aStride] = stride / each;
    words[op + GATE.each] = each === 1 ? 0 : each;
    words[op + GATE.b] = b;
    words[op + GATE.bStride] = stride;
    words[op + GATE.y] = y;
    words[op + GATE.yStride] = n;
    words[op + GATE.rows] = rows;
    words[op + GATE.n] = n;
    words[op + GATE.activation] = activation;
    words[op + GATE.round] = round;
}
