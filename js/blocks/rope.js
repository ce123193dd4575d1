// The rotation of rotary positions as an operation (Su et al. 2021): cosines and sines come in a table that others fill
// in.

import { FLAG, KIND, PAIRING, ROPE } from '../engine/interface.js';

/** @typedef {import('../engine/program.js').Program} Program */

/** What a rotation turns together. */
export const PAIRINGS = Object.freeze({ halves: PAIRING.HALVES, pairs: PAIRING.PAIRS });

/**
 * Rotates the first elements of every head, in place.
 * @param {Program} program
 * @param {object} args
 * @param {number} args.x address of [rows][heads * dim]
 * @param {number} args.rows
 * @param {number} args.heads
 * @param {number} args.dim
 * @param {{ dims: number, pairing: 'halves' | 'pairs' }} args.rope so many elements of each head turn, the first ones
 * @param {number} args.table address of [rows][dims]: cosines, then sines
 * @param {boolean} args.concurrent
 * @param {number} [args.round] of ROUND
 */
export function recordRope(program, { x, rows, heads, dim, rope, table, concurrent, round = 0 }) {
    const op = program.append(KIND.ROPE, concurrent ? FLAG.CONCURRENT : 0);
    const { words } = program;
    words[op + ROPE.x] = x;
    words[op + ROPE.xStride] = heads * dim;
    words[op + ROPE.rows] = rows;
    words[op + ROPE.heads] = heads;
    words[op + ROPE.headDim] = dim;
    words[op + ROPE.pairs] = rope.dims / 2;
    words[op + ROPE.table] = table;
    words[op + ROPE.pairing] = PAIRINGS[rope.pairing];
    words[op + ROPE.round] = round;
}
