// What a decoder is made of beside matrices and norms, written down as operations: look-up, rotation, storing, attention, gates.
// Checks nothing and knows no model: addresses in, operations out.

import { ATTEND, ATTENTION, EMBED, FLAG, GATE, KIND, PAIRING, ROPE, ROPE_TABLE, TRANSFER } from '../engine/interface.js';
import { ACTIVATIONS } from './activations.js';

/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../model/description.js').Activation} Activation */
/** @typedef {import('./pages.js').PagedCache} PagedCache */
/** @typedef {import('./weight.js').PackedWeight} PackedWeight */

/** @param {boolean | undefined} concurrent */
const flagsOf = (concurrent) => (concurrent ? FLAG.CONCURRENT : 0);

/**
 * y[r] = scale * row tokens[r] of the embedding (+ learned positions)
 * @param {Program} program
 * @param {PackedWeight} embedding [vocabulary][width]
 * @param {number} tokens address of [rows]
 * @param {number} rows
 * @param {number} y address of [rows][width]
 * @param {number} scale
 * @param {number} table address of [length][width] learned positions, 0 without
 * @param {number} positions address of [rows]
 */
export function recordLookup(program, embedding, tokens, rows, y, scale, table, positions) {
    const op = program.embed();
    const { words } = program;
    words[op + EMBED.tokens] = tokens;
    words[op + EMBED.rows] = rows;
    words[op + EMBED.w] = embedding.address;
    words[op + EMBED.k] = embedding.inputs;
    words[op + EMBED.n] = embedding.outputs;
    words[op + EMBED.table] = table;
    words[op + EMBED.positions] = positions;
    words[op + EMBED.y] = y;
    program.floats[op + EMBED.scale] = scale === 1 ? 0 : scale;
}

/**
 * Cosines and sines of positions * frequencies, times a factor.
 * @param {Program} program
 * @param {{ rows: number, positions: number, half: number, frequencies: number, scale: number, table: number }} args addresses of
 *   positions [rows], frequencies [half] doubles, and table [rows][2 * half]: cosines, then sines
 */
export function recordRopeTable(program, { rows, positions, half, frequencies, scale, table }) {
    const op = program.append(KIND.ROPE_TABLE);
    const { words } = program;
    words[op + ROPE_TABLE.positions] = positions;
    words[op + ROPE_TABLE.rows] = rows;
    words[op + ROPE_TABLE.frequencies] = frequencies;
    words[op + ROPE_TABLE.half] = half;
    words[op + ROPE_TABLE.table] = table;
    program.floats[op + ROPE_TABLE.scale] = scale;
}

/**
 * Rotates the first elements of every head, in place.
 * @param {Program} program
 * @param {{ x: number, rows: number, heads: number, dim: number, rope: import('../model/description.js').Rope, table: number,
 *   concurrent: boolean }} args x: address of [rows][heads * dim]
 */
export function recordRope(program, { x, rows, heads, dim, rope, table, concurrent }) {
    const op = program.append(KIND.ROPE, flagsOf(concurrent));
    const { words } = program;
    words[op + ROPE.x] = x;
    words[op + ROPE.xStride] = heads * dim;
    words[op + ROPE.rows] = rows;
    words[op + ROPE.heads] = heads;
    words[op + ROPE.d] = dim;
    words[op + ROPE.half] = rope.dims / 2;
    words[op + ROPE.table] = table;
    words[op + ROPE.tableStride] = rope.dims;
    words[op + ROPE.pairing] = rope.pairing === 'pairs' ? PAIRING.ADJACENT : PAIRING.HALVES;
}

/**
 * Keys and values of t positions, from `index` on, into a cache of one text.
 * @param {Program} program
 * @param {PagedCache} cache
 * @param {{ k: number, v: number, keys: number, values: number, t: number, index: number, concurrent: boolean }} args k: address
 *   of [t][keys]; v: of [t][values]
 */
export function recordStore(program, cache, { k, v, keys, values, t, index, concurrent }) {
    const op = program.store(flagsOf(concurrent));
    const { words } = program;
    words[op + TRANSFER.keys] = k;
    words[op + TRANSFER.keysStride] = keys;
    words[op + TRANSFER.values] = v;
    words[op + TRANSFER.valuesStride] = values;
    words[op + TRANSFER.cache] = cache.address;
    words[op + TRANSFER.batch] = 1;
    words[op + TRANSFER.t] = t;
    words[op + TRANSFER.index] = index;
}

/**
 * Attention of t queries over a cache of one text, which holds their own keys and values already.
 * @param {Program} program
 * @param {PagedCache} cache
 * @param {{ attention: import('../model/description.js').Attention, q: number, out: number, t: number, index: number,
 *   scores: number, concurrent: boolean }} args q: address of [t][heads * keyDim]; out: of [t][heads * valueDim]; scores: of
 *   [heads][t][index + t], 0 if they are not wanted
 */
export function recordAttend(program, cache, { attention: a, q, out, t, index, scores, concurrent }) {
    const op = program.attention(flagsOf(concurrent));
    const { words, floats } = program;
    words[op + ATTENTION.q] = q;
    words[op + ATTENTION.qStride] = a.heads * a.keyDim;
    words[op + ATTENTION.cache] = cache.address;
    words[op + ATTENTION.out] = out;
    words[op + ATTENTION.outStride] = a.heads * a.valueDim;
    words[op + ATTENTION.scores] = scores;
    words[op + ATTENTION.batch] = 1;
    words[op + ATTENTION.heads] = a.heads;
    words[op + ATTENTION.t] = t;
    words[op + ATTENTION.s] = index + t;
    words[op + ATTENTION.flags] = ATTEND.CAUSAL | (scores === 0 ? 0 : ATTEND.EXPLICIT);
    words[op + ATTENTION.causalOffset] = index;
    words[op + ATTENTION.window] = a.window ?? 0;
    floats[op + ATTENTION.scale] = a.scale;
    floats[op + ATTENTION.softcap] = a.softcap ?? 0;
    program.attentionDone(op);
}

/**
 * y = activation(a) * b
 * @param {Program} program
 * @param {{ a: number, b: number, y: number, rows: number, n: number, activation: Activation }} args addresses of [rows][n]; y
 *   may be a or b
 */
export function recordGate(program, { a, b, y, rows, n, activation }) {
    const op = program.append(KIND.GATE);
    const { words } = program;
    words[op + GATE.a] = a;
    words[op + GATE.aStride] = n;
    words[op + GATE.b] = b;
    words[op + GATE.bStride] = n;
    words[op + GATE.y] = y;
    words[op + GATE.yStride] = n;
    words[op + GATE.rows] = rows;
    words[op + GATE.n] = n;
    words[op + GATE.activation] = ACTIVATIONS[activation];
}
