// What a decoder is made of beside matrices and norms, written down as operations: look-up, rotation, storing, attention, gates.
// Checks nothing and knows no model: addresses in, operations out.

import {
    ATTEND, ATTENTION, CACHE, CACHE_WORDS, EMBED, FLAG, KIND, LINEAR, OP, OP_WORDS, ROPE_TABLE, TRANSFER,
} from '../engine/interface.js';
import { ACTIVATIONS } from './activations.js';
import { placeConvolution } from './convolution.js';
import { writeGate } from './gate.js';

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
    const op = embedding.recordLookup(program, rows, tokens, y);
    const { words } = program;
    words[op + EMBED.table] = table;
    words[op + EMBED.positions] = positions;
    program.floats[op + EMBED.scale] = scale;
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
    words[op + ROPE_TABLE.pairs] = half;
    words[op + ROPE_TABLE.table] = table;
    program.floats[op + ROPE_TABLE.factor] = scale;
}

/**
 * Keys and values of t positions, from `index` on, into a cache of one text.
 * @param {Program} program
 * @param {{ address: number, round?: number }} cache round: of ROUND, where its pages do not round by themselves
 * @param {{ k: number, v: number, keys: number, values: number, t: number, index: number, concurrent: boolean }} args k: address
 *   of [t][keys]; v: of [t][values]
 */
export function recordStore(program, cache, { k, v, keys, values, t, index, concurrent }) {
    const op = program.append(KIND.STORE, flagsOf(concurrent));
    const { words } = program;
    words[op + TRANSFER.keys] = k;
    words[op + TRANSFER.keysStride] = keys;
    words[op + TRANSFER.values] = v;
    words[op + TRANSFER.valuesStride] = values;
    words[op + TRANSFER.cache] = cache.address;
    words[op + TRANSFER.batch] = 1;
    words[op + TRANSFER.t] = t;
    words[op + TRANSFER.index] = index;
    words[op + TRANSFER.round] = cache.round ?? 0;
}

/**
 * Attention of t queries over a cache of one text, which holds their own keys and values already. Where scores are wanted of a
 * streaming softmax, which has none, they come from an operation of their own ahead of it: whoever looks on changes no bit.
 * @param {Program} program
 * @param {{ address: number }} cache
 * @param {{ attention: import('../model/description.js').Attention, q: number, out: number, t: number, index: number,
 *   mask: number, slopes: number, places: number, scores: number, concurrent: boolean }} args q: address of [t][heads * keyDim]; out: of
 *   [t][heads * valueDim]; scores: of [heads][t][index + t], 0 if they are not wanted; mask: of [index + t] bytes, 0 for none; slopes: of
 *   [heads] linear biases, 0 for none; places: of [index + t] positions of keys, on the scale on which the first query's is index, 0: their
 *   indices
 */
export function recordAttend(program, cache, args) {
    const { attention: { explicit = false }, scores, concurrent } = args;
    const apart = scores !== 0 && !explicit;
    if (apart) {
        writeAttend(program, cache, args, true, concurrent);
    }
    // Both write to `out`, this one last.
    writeAttend(program, cache, apart ? { ...args, scores: 0 } : args, explicit, concurrent && !apart);
}

/**
 * @param {Program} program
 * @param {{ address: number }} cache
 * @param {Parameters<typeof recordAttend>[2]} args
 * @param {boolean} explicit
 * @param {boolean} concurrent
 */
function writeAttend(program, cache, { attention: a, q, out, t, index, mask, slopes, places, scores }, explicit, concurrent) {
    const op = program.append(KIND.ATTENTION, flagsOf(concurrent));
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
    words[op + ATTENTION.slopes] = slopes;
    words[op + ATTENTION.places] = places;
    words[op + ATTENTION.flags] = ATTEND.CAUSAL | (explicit ? ATTEND.EXPLICIT : 0);
    words[op + ATTENTION.causalOffset] = index;
    words[op + ATTENTION.window] = a.window ?? 0;
    floats[op + ATTENTION.scale] = a.scale;
    floats[op + ATTENTION.softcap] = a.softcap ?? 0;
    program.attentionDone(op);
}

/**
 * The stores, attentions and convolutions of a program that was recorded for some texts, at later positions of the same
 * texts. How pages and scratch are used must not change: the same t, and ends in the same pages.
 * @param {Program} program every layer has an operation of a kind for each text, in their order, or none
 * @param {readonly { index: number, slot: number, t: number, past: readonly number[] }[]} texts
 * @param {number} y where the last operation, a product, puts its result; 0: it stays
 */
export function moveOn({ words, address, count }, texts, y) {
    let stored = 0;
    let attended = 0;
    let convolved = 0;
    for (let op = address / 4, end = op + count * OP_WORDS; op < end; op += OP_WORDS) {
        const kind = words[op + OP.kind];
        if (kind === KIND.STORE) {
            words[op + TRANSFER.index] = texts[stored++ % texts.length].slot;
        } else if (kind === KIND.ATTENTION || kind === KIND.ATTENTION_MERGE) {
            // A merge follows the attention that it belongs to.
            attended += Number(kind === KIND.ATTENTION);
            const { index, t } = texts[(attended - 1) % texts.length];
            words[op + ATTENTION.s] = index + t;
            words[op + ATTENTION.causalOffset] = index;
        } else if (kind === KIND.CONVOLVE) {
            const { slot, past } = texts[convolved++ % texts.length];
            placeConvolution(words, op, slot, past);
        }
    }
    if (y !== 0) {
        words[address / 4 + (count - 1) * OP_WORDS + LINEAR.y] = y;
    }
}

/**
 * y = activation(a) * b
 * @param {Program} program
 * @param {{ a: number, b: number, y: number, rows: number, n: number, stride?: number, each?: number, activation: Activation }} args
 *   addresses of [rows][n], row stride of a and b `stride` or n; y may be a or b; each: a is [rows][n / each]
 */
export function recordGate(program, { activation, ...args }) {
    writeGate(program.words, program.append(KIND.GATE), { ...args, activation: ACTIVATIONS[activation] });
}

/**
 * Takes positions [from, to) out of a text's caches: what follows moves down to them. The calling thread does it all.
 * @param {import('../model/network.js').Network} network
 * @param {readonly PagedCache[]} caches one per layer
 * @param {number} from
 * @param {number} to
 * @param {number} length positions held
 * @param {((rope: import('../model/description.js').Rope) => Float64Array) | null} turn frequencies of a layer's rotation, where
 *   keys are to be turned to their new positions
 * @throws {RangeError} when the memory is exhausted; nothing has moved then
 */
export function removePositions(network, caches, from, to, length, turn) {
    const { layers } = network.description;
    const rest = length - to;
    caches.forEach((cache) => cache.makeWritable(from, from + rest));
    const turner = network.makeTurner();
    layers.forEach(({ attention }, i) => {
        const cache = caches[i];
        const rope = attention?.rope;
        cache.move(to, from, rest);
        if (turn && rope) {
            const { pairing } = rope;
            turner.turn({ cache: cache.address, batch: 1, from, to: from + rest, by: from - to, frequencies: turn(rope), pairing });
        }
    });
    turner.dispose();
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
