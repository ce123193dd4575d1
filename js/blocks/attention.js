// One attention, q, k and v projections to output projection, as operations of a program. Addresses and sizes only:
// whoever fills in a call has checked them. Shape letters as in src/cmha.h.

import { ACTIVATION, ATTEND, ATTENTION, FLAG, KIND, LAYOUT, LINEAR, TRANSFER } from '../engine/interface.js';
import { writeGate } from './gate.js';
import { writeTransfer } from './pages.js';
import { recordRope } from './rope.js';

/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('./cache.js').KVCache} KVCache */
/** @typedef {import('./norm.js').NormWeights} NormWeights */
/** @typedef {import('./projection.js').Projection} Projection */

/** Arguments of one attention. Made once and filled in again and again; addresses are in bytes, strides in elements. */
export class AttentionCall {
    constructor() {
        this.batch = 0;
        /** T: query rows per batch entry. */
        this.t = 0;
        /** Address of [B * T][Fq]. */
        this.query = 0;
        this.queryStride = 0;
        /** New keys and values per batch entry; 0: nothing is projected. */
        this.rows = 0;
        /** Address of [B * rows][Fk]. */
        this.key = 0;
        this.keyStride = 0;
        /** Address of [B * rows][Fv]. */
        this.value = 0;
        this.valueStride = 0;
        /** Address of the cache; 0: none, S = rows. */
        this.cache = 0;
        /** S: positions attended over, with a cache. */
        this.s = 0;
        /** First position written; where queries and new keys are rotated, the position of the first of them. */
        this.index = 0;
        /** Whether the cache keeps narrow numbers: projections then go there by way of rows. */
        this.narrow = false;
        /** How a cache rounds what is stored in it (ROUND), where the layer itself does not round. */
        this.cacheRound = 0;
        this.causal = false;
        /** Position of the first query, for causality and the window. */
        this.causalOffset = 0;
        /** Positions that a query sees, itself included, 0: all. */
        this.window = 0;
        /** Logits are capped to it, 0: they are not. */
        this.softcap = 0;
        /** Address of the mask's bytes, nonzero = keep; 0: none. */
        this.mask = 0;
        this.maskB = 0;
        this.maskH = 0;
        this.maskT = 0;
        this.maskS = 0;
        this.explicit = false;
        /** Address of [B][H][T][S], or 0. */
        this.scores = 0;
        /** Dropout rate, 0 unless training, and what its random numbers are keyed by. */
        this.dropout = 0;
        this.seed0 = 0;
        this.seed1 = 0;
        /** Address of [B * T][O] to be added to the output, or 0; may be `out`. */
        this.residual = 0;
        this.residualStride = 0;
        /** Address of [B * T][O]. */
        this.out = 0;
        this.outStride = 0;
        /** Whether projected keys and values are also wanted row by row (activity regularizers). */
        this.keepRows = false;
        /**
         * Filled in by recordAttention: addresses of [B * T][H * D], [B * rows][G * D], [B * rows][G * V] and
         * [B * T][H * V].
         */
        this.queryRows = 0;
        this.keyRows = 0;
        this.valueRows = 0;
        this.gateRows = 0;
    }

    /** No cache: attend over the new keys and values. */
    noCache() {
        this.cache = 0;
        this.index = 0;
        this.cacheRound = 0;
        this.narrow = false;
    }

    /**
     * Attend over all of a cache, and write to it what is new from `index` on.
     * @param {KVCache} cache
     * @param {import('./pages.js').PagedCache} pages of it
     */
    setCache(cache, pages) {
        this.cache = pages.address;
        this.s = cache._sizes[2];
        this.cacheRound = cache._round;
        this.narrow = pages.type !== 'float32';
    }

    /**
     * Attend over a copy of a cache, in scratch, and write to that what is new.
     * @param {Program} program
     * @param {number} source address of its numbers
     * @param {readonly number[]} shape [B, 2, S, G, D]
     * @returns {number} the operation that copies them
     */
    copyCache(program, source, shape) {
        const [batch, , length, heads, dim] = shape;
        this.cache = program.cache(batch, length, heads, dim, dim);
        this.s = length;
        this.cacheRound = 0;
        this.narrow = false;
        const op = program.append(KIND.STORE);
        writeTransfer(program.words, op, this.cache, source, shape, 0, length);
        return op;
    }

    /** @param {Program} program @param {Tensor} result gets what that copy has become */
    readCache(program, { _address: address, shape }) {
        const op = program.append(KIND.LOAD);
        writeTransfer(program.words, op, this.cache, address, shape, 0, shape[2]);
    }
}

/**
 * @typedef {object} Rotation of queries and keys
 * @property {number} dims elements of a head that turn, all of them halves apart
 * @property {(table: Float32Array, count: number, first: number) => void} write cosines, then sines, of `count`
 *   positions from `first` on: [count][dims]
 */

/**
 * @typedef {object} AttentionParts what is the layer's own in its attentions
 * @property {Projection} query
 * @property {Projection} key
 * @property {Projection} value
 * @property {Projection | null} gate of the query; its logistic multiplies what the heads give
 * @property {Projection} output
 * @property {NormWeights | null} queryNorm of each head, before it turns
 * @property {NormWeights | null} keyNorm
 * @property {Rotation | null} rotation
 * @property {number} numHeads H
 * @property {number} kvHeads G
 * @property {number} keyDim
 * @property {number} valueDim
 * @property {number} scale 1 / sqrt(D)
 * @property {number} explicitScale the same as a number of the compute type, in which the explicit path multiplies
 * @property {number} round ROUND of the compute type
 */

/**
 * Appends the operations: query (which waits for all before it), key, value and gate beside it, norms and rotation,
 * attention, output.
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 */
export function recordAttention(program, parts, call) {
    const queries = call.batch * call.t;
    const positions = call.batch * call.rows;
    const inner = parts.numHeads * parts.valueDim;
    call.queryRows = program.scratch(queries * parts.query.outputs * 4);
    const mixed = program.scratch(queries * inner * 4);
    if (call.cache === 0) {
        call.s = call.rows;
        call.cache = program.cache(call.batch, call.s, parts.kvHeads, parts.keyDim, parts.valueDim);
    }
    if (call.keepRows || call.narrow) {
        call.keyRows = program.scratch(positions * parts.key.outputs * 4);
        call.valueRows = program.scratch(positions * parts.value.outputs * 4);
    }
    let flags = 0;
    if (queries > 0) {
        recordRows(program, parts.query, queries, call.query, call.queryStride, call.queryRows, parts.round, flags);
        flags = FLAG.CONCURRENT;
        if (parts.gate !== null) {
            call.gateRows = program.scratch(queries * inner * 4);
            recordRows(program, parts.gate, queries, call.query, call.queryStride, call.gateRows, parts.round, flags);
        }
    }
    // Whether queries and keys are changed between projection and attention.
    const turns = parts.rotation !== null || parts.queryNorm !== null;
    const attending = turns ? recordTurned(program, parts, call, flags) : call.queryRows;
    if (positions > 0) {
        const byRows = call.narrow && !turns;
        if (!call.narrow && !turns) recordPositions(program, parts, call, flags);
        if (call.keepRows || byRows) {
            const { key, value, round } = parts;
            recordRows(program, key, positions, call.key, call.keyStride, call.keyRows, round, byRows ? flags : FLAG.CONCURRENT);
            // Where keys turn on their way to a narrow cache, its values are there row by row already.
            if (byRows || !call.narrow) {
                recordRows(program, value, positions, call.value, call.valueStride, call.valueRows, round, FLAG.CONCURRENT);
            }
        }
        if (byRows) recordStore(program, parts, call, call.keyRows);
    }
    if (queries === 0) return;
    recordScores(program, parts, call, attending, mixed);
    if (parts.gate !== null) {
        writeGate(program.words, program.append(KIND.GATE), {
            a: call.gateRows,
            b: mixed,
            y: mixed,
            rows: queries,
            n: inner,
            activation: ACTIVATION.SIGMOID,
            round: parts.round,
        });
    }
    const op = parts.output.record(program, queries, mixed, inner, call.out, call.outStride, 0);
    const words = program.words;
    words[op + LINEAR.residual] = call.residual;
    words[op + LINEAR.residualStride] = call.residualStride;
    words[op + LINEAR.round] = parts.round;
}

/**
 * Key and value projections into the cache.
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} flags of the first of them
 */
function recordPositions(program, parts, call, flags) {
    const op = parts.key.record(program, call.batch * call.rows, call.key, call.keyStride, 0, 0, flags);
    writePlace(program.words, op, LAYOUT.KEYS, parts, call);
    recordValues(program, parts, call, FLAG.CONCURRENT);
}

/**
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} flags
 */
function recordValues(program, parts, call, flags) {
    const op = parts.value.record(program, call.batch * call.rows, call.value, call.valueStride, 0, 0, flags);
    writePlace(program.words, op, LAYOUT.VALUES, parts, call);
}

/** @param {AttentionParts} parts @param {AttentionCall} call @returns {number} ROUND of what goes to the cache */
const cacheRound = (parts, call) => (parts.round === 0 ? call.cacheRound : parts.round);

/**
 * Where in the cache a projection goes.
 * @param {Uint32Array} words
 * @param {number} op
 * @param {number} layout
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 */
function writePlace(words, op, layout, parts, call) {
    words[op + LINEAR.layout] = layout;
    words[op + LINEAR.t] = call.rows;
    words[op + LINEAR.index] = call.index;
    words[op + LINEAR.cache] = call.cache;
    words[op + LINEAR.round] = cacheRound(parts, call);
}

/**
 * Keys, normed and turned, into the cache, values beside them; and queries, likewise, in rows of their own where what
 * the projection gave is still wanted.
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} flags of the first operation
 * @returns {number} address of the queries
 */
function recordTurned(program, parts, call, flags) {
    const { query, key, round } = parts;
    const queries = call.batch * call.t;
    const positions = call.batch * call.rows;
    let turned = call.queryRows;
    if (call.keepRows && queries > 0) {
        turned = program.scratch(queries * query.outputs * 4);
        recordRows(program, query, queries, call.query, call.queryStride, turned, round, flags);
    }
    const keys = program.scratch(positions * key.outputs * 4);
    if (positions > 0) {
        recordRows(program, key, positions, call.key, call.keyStride, keys, round, flags);
        if (call.narrow) {
            const { value } = parts;
            recordRows(program, value, positions, call.value, call.valueStride, call.valueRows, round, FLAG.CONCURRENT);
        } else {
            recordValues(program, parts, call, FLAG.CONCURRENT);
        }
    }
    parts.queryNorm?.record(program, queries, turned, query.outputs, turned, query.outputs);
    parts.keyNorm?.record(program, positions, keys, key.outputs, keys, key.outputs, { concurrent: true });
    recordRotation(program, parts, call, turned, keys);
    if (positions > 0) recordStore(program, parts, call, keys);
    return turned;
}

/**
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} queries address of [B * T][H * D]
 * @param {number} keys address of [B * rows][G * D]
 */
function recordRotation(program, { rotation, round, numHeads, kvHeads, keyDim }, call, queries, keys) {
    if (rotation === null) return;
    const rope = { dims: rotation.dims, pairing: /** @type {const} */ ('halves') };
    /** @param {number} count positions of each entry */
    const angles = (count) => {
        const size = count * rotation.dims;
        const table = program.scratch(call.batch * size * 4);
        const { floats } = program;
        rotation.write(floats.subarray(table / 4, table / 4 + size), count, call.index);
        for (let b = 1; b < call.batch; b++) floats.copyWithin(table / 4 + b * size, table / 4, table / 4 + size);
        return table;
    };
    const table = angles(call.t);
    recordRope(program, {
        x: queries, rows: call.batch * call.t, heads: numHeads, dim: keyDim, rope, table, round, concurrent: false,
    });
    if (call.rows === 0) return;
    recordRope(program, {
        x: keys, rows: call.batch * call.rows, heads: kvHeads, dim: keyDim, rope, round, concurrent: true,
        table: call.rows === call.t ? table : angles(call.rows),
    });
}

/**
 * Rows of keys to the cache, and those of values where it takes whole rows.
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} keys address of [B * rows][G * D]
 */
function recordStore(program, parts, call, keys) {
    const op = program.append(KIND.STORE);
    const { words } = program;
    words[op + TRANSFER.keys] = keys;
    words[op + TRANSFER.keysStride] = parts.key.outputs;
    words[op + TRANSFER.keysBatch] = call.rows * parts.key.outputs;
    if (call.narrow) {
        words[op + TRANSFER.values] = call.valueRows;
        words[op + TRANSFER.valuesStride] = parts.value.outputs;
        words[op + TRANSFER.valuesBatch] = call.rows * parts.value.outputs;
    } else {
        words[op + TRANSFER.round] = cacheRound(parts, call);
    }
    words[op + TRANSFER.cache] = call.cache;
    words[op + TRANSFER.batch] = call.batch;
    words[op + TRANSFER.t] = call.rows;
    words[op + TRANSFER.index] = call.index;
}

/**
 * A projection row by row.
 * @param {Program} program
 * @param {Projection} projection
 * @param {number} rows
 * @param {number} x address
 * @param {number} xStride
 * @param {number} y address of [rows][outputs]
 * @param {number} round
 * @param {number} flags
 */
function recordRows(program, projection, rows, x, xStride, y, round, flags) {
    const op = projection.record(program, rows, x, xStride, y, projection.outputs, flags);
    program.words[op + LINEAR.round] = round;
}

/**
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} queries address of [B * T][H * D]
 * @param {number} out address of [B * T][H * V]
 */
function recordScores(program, parts, call, queries, out) {
    const op = program.append(KIND.ATTENTION);
    const words = program.words;
    words[op + ATTENTION.q] = queries;
    words[op + ATTENTION.qStride] = parts.query.outputs;
    words[op + ATTENTION.cache] = call.cache;
    words[op + ATTENTION.mask] = call.mask;
    words[op + ATTENTION.maskB] = call.maskB;
    words[op + ATTENTION.maskH] = call.maskH;
    words[op + ATTENTION.maskT] = call.maskT;
    words[op + ATTENTION.maskS] = call.maskS;
    words[op + ATTENTION.out] = out;
    words[op + ATTENTION.outStride] = parts.numHeads * parts.valueDim;
    words[op + ATTENTION.scores] = call.scores;
    words[op + ATTENTION.batch] = call.batch;
    words[op + ATTENTION.heads] = parts.numHeads;
    words[op + ATTENTION.t] = call.t;
    words[op + ATTENTION.s] = call.s;
    words[op + ATTENTION.flags] = (call.causal ? ATTEND.CAUSAL : 0) | (call.explicit ? ATTEND.EXPLICIT : 0);
    words[op + ATTENTION.causalOffset] = call.causalOffset;
    words[op + ATTENTION.window] = call.window;
    words[op + ATTENTION.seed0] = call.seed0;
    words[op + ATTENTION.seed1] = call.seed1;
    words[op + ATTENTION.round] = parts.round;
    const floats = program.floats;
    floats[op + ATTENTION.scale] = call.explicit ? parts.explicitScale : parts.scale;
    floats[op + ATTENTION.softcap] = call.softcap;
    floats[op + ATTENTION.dropout] = call.dropout;
    program.attentionDone(op);
}
