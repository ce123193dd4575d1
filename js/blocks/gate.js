// One branch, activated, times another.

import { GATE } from '../engine/interface.js';

/**
 * y = activation(a) * b
 * @param {Uint32Array} words
 * @param {number} op
 * @param {{ a: number, b: number, y: number, rows: number, n: number, activation: number, round?: number }} args
 *   addresses of [rows][n]; y may be a or b; activation of ACTIVATION, round of ROUND
 */
export function writeGate(words, op, { a, b, y, rows, n, activation, round = 0 }) {
    words[op + GATE.a] = a;
    words[op + GATE.aStride] = n;
    words[op + GATE.b] = b;
    words[op + GATE.bStride] = n;
    words[op + GATE.y] = y;
    words[op + GATE.yStride] = n;
    words[op + GATE.rows] = rows;
    words[op + GATE.n] = n;
    words[op + GATE.activation] = activation;
    words[op + GATE.round] = round;
}
