// The rotation of rotary positions as an operation (Su et al. 2021): cosines and sines come in a table that others fill
// in.

import { FLAG, KIND, PAIRING, ROPE } from '../engine/interface.js';

/** @typedef {import('../engine/program.js').Program} Program */

/**
 * @typedef {object} Rotated
 * @property {number} x address of [rows][heads * dim]
 * @property {number} rows
 * @property {number} heads
 * @property {number} dim
 * @property {{ dims: number, pairing: 'halves' | 'pairs' }} rope so many elements of each head turn, the first ones
 * @property {number} table address of [rows][dims]: cosines, then sines
 */

/**
 * Rotates the first elements of every head, in place.
 * @param {Program} program
 * @param {Rotated & { concurrent: boolean, round?: number }} args round: of ROUND
 */
export function recordRope(program, { concurrent, ...rotated }) {
    const op = program.append(KIND.ROPE, concurrent ? FLAG.CONCURRENT : 0);
    writeRope(program.words, op, { ...rotated, tableStride: rotated.rope.dims });
}

/**
 * @param {Uint32Array} words
 * @param {number} op
 * @param {Rotated & { tableStride: number, round?: number }} args tableStride 0: all rows turn alike
 */
export function writeRope(words, op, { x, rows, heads, dim, rope, table, tableStride, round = 0 }) {
    words[op + ROPE.x] = x;
    words[op + ROPE.xStride] = heads * dim;
    words[op + ROPE.rows] = rows;
    words[op + ROPE.heads] = heads;
    words[op + ROPE.d] = dim;
    words[op + ROPE.half] = rope.dims / 2;
    words[op + ROPE.table] = table;
    words[op + ROPE.tableStride] = tableStride;
    words[op + ROPE.pairing] = rope.pairing === 'pairs' ? PAIRING.ADJACENT : PAIRING.HALVES;
    words[op + ROPE.round] = round;
}
