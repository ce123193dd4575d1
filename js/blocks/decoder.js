// What a decoder is made of beside matrices and norms, written down as operations: look-up, rotation, storing, attention, gates.
// Checks nothing and knows no model: addresses in, operations out.

import { ATTEND, ATTENTION, CACHE, CACHE_WORDS, EMBED, FLAG, KIND, OP_WORDS, ROPE, ROPE_TABLE, TRANSFER } from '../engine/interface.js';
import { ACTIVATIONS } from './activations.js';
import { writeGate } from './gate.js';
import { writeRope } from './rope.js';

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
 * Keys and values of t positions, from `index` on, into a cache of one text.
 * @param {Program} program
 * @param {{ address: number }} cache
 * @param {{ k: number, v: number, keys: number, values: number, t: number, index: number, concurrent: boolean }} args k: address
 *   of [t][keys]; v: of [t][values]
 */
export function recordStore(program, cache, { k, v, keys, values, t, index, concurrent }) {
    writeTransferOf(program.words, program.store(flagsOf(concurrent)), cache.address, { k, v, keys, values, t }, index);
}

/**
 * @param {Uint32Array} words
 * @param {number} op
 * @param {number} cache address
 * @param {{ k: number, v: number, keys: number, values: number, t: number }} rows
 * @param {number} index
 */
function writeTransferOf(words, op, cache, { k, v, keys, values, t }, index) {
    words[op + TRANSFER.keys] = k;
    words[op + TRANSFER.keysStride] = keys;
    words[op + TRANSFER.values] = v;
    words[op + TRANSFER.valuesStride] = values;
    words[op + TRANSFER.cache] = cache;
    words[op + TRANSFER.first] = 0;
    words[op + TRANSFER.batch] = 1;
    words[op + TRANSFER.t] = t;
    words[op + TRANSFER.index] = index;
    words[op + TRANSFER.round] = 0;
}

/**
 * Attention of t queries over a cache of one text, which holds their own keys and values already.
 * @param {Program} program
 * @param {{ address: number }} cache
 * @param {{ attention: import('../model/description.js').Attention, q: number, out: number, t: number, index: number,
 *   mask: number, scores: number, concurrent: boolean }} args q: address of [t][heads * keyDim]; out: of [t][heads * valueDim]; scores: of
 *   [heads][t][index + t], 0 if they are not wanted; mask: of [index + t] bytes, 0 for none
 */
export function recordAttend(program, cache, { attention: a, q, out, t, index, mask, scores, concurrent }) {
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
    words[op + ATTENTION.mask] = mask;
    words[op + ATTENTION.maskS] = mask === 0 ? 0 : 1;
    words[op + ATTENTION.flags] = ATTEND.CAUSAL | (scores === 0 && !a.explicit ? 0 : ATTEND.EXPLICIT);
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
    writeGate(program.words, program.append(KIND.GATE), { a, b, y, rows, n, activation: ACTIVATIONS[activation] });
}

/**
 * Takes positions [from, to) out of a text's caches: what follows moves down to them. The calling thread does it all.
 * @param {import('../model/network.js').Network} network
 * @param {readonly PagedCache[]} caches one per layer, writable
 * @param {number} from
 * @param {number} to
 * @param {number} length positions held
 * @param {((rope: import('../model/description.js').Rope) => Float64Array) | null} turn frequencies of a layer's rotation, where
 *   keys are to be turned to their new positions
 */
export function removePositions({ runtime, description }, caches, from, to, length, turn) {
    const { memory, wasm } = runtime;
    /** @type {number[]} */
    const blocks = [];
    const room = (/** @type {number} */ bytes) => {
        blocks.push(memory.alloc(bytes));
        return /** @type {number} */ (blocks.at(-1));
    };
    const widest = Math.max(...description.layers.map(({ attention: a }) => a.kvHeads * Math.max(a.keyDim, a.valueDim)));
    try {
        const [keys, values] = [room(4 * MOVED * widest), room(4 * MOVED * widest)];
        const [op, rotation] = [room(4 * OP_WORDS), room(4 * OP_WORDS)];
        const table = room(4 * Math.max(2, ...description.layers.map(({ attention: a }) => a.rope?.dims ?? 0)));
        description.layers.forEach(({ attention: a }, i) => {
            if (turn && a.rope) {
                writeTurn(memory.f32(table, a.rope.dims), turn(a.rope), from - to);
            }
            for (let at = to; at < length; at += MOVED) {
                const t = Math.min(MOVED, length - at);
                const args = { k: keys, v: values, keys: a.kvHeads * a.keyDim, values: a.kvHeads * a.valueDim, t };
                writeTransferOf(memory.words, op / 4 - TRANSFER.keys, caches[i].address, args, at);
                wasm.cmha_cache_load(op);
                if (turn && a.rope) {
                    writeRope(memory.words, rotation / 4 - ROPE.x, { x: keys, rows: t, heads: a.kvHeads, dim: a.keyDim, rope: a.rope, table, tableStride: 0 });
                    wasm.cmha_rope_f32(rotation, 0, t);
                }
                writeTransferOf(memory.words, op / 4 - TRANSFER.keys, caches[i].address, args, at - (to - from));
                wasm.cmha_cache_store(op);
            }
        });
    } finally {
        blocks.forEach((address) => memory.free(address));
    }
}

/** Positions that are moved at a time. */
const MOVED = 64;

/** Cosines and sines of a turn by some positions. @param {Float32Array} table @param {Float64Array} frequencies @param {number} by */
function writeTurn(table, frequencies, by) {
    const half = frequencies.length;
    for (let i = 0; i < half; i++) {
        table[i] = Math.cos(by * frequencies[i]);
        table[half + i] = Math.sin(by * frequencies[i]);
    }
}

/**
 * One row of a cache with a batch as a cache of its own, for as long as a program runs.
 * @param {Program} program
 * @param {number} cache address
 * @param {number} row
 * @returns {number} address
 */
export function copyCacheRow(program, cache, row) {
    const address = program.scratch(4 * CACHE_WORDS);
    const { words } = program;
    words.copyWithin(address / 4, cache / 4, cache / 4 + CACHE_WORDS);
    words[address / 4 + CACHE.pages] += 4 * row * words[cache / 4 + CACHE.rowPages];
    return address;
}
