// One attention, q, k and v projections to output projection, as operations of a program. Addresses and sizes only:
// whoever fills in a call has checked them. Shape letters as in src/cmha.h.

import { LINEAR, ATTENTION, LAYOUT, ATTEND, FLAG, TRANSFER } from '../engine/interface.js';

/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('./cache.js').KVCache} KVCache */
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
        /** First position written. */
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
        /** Filled in by recordAttention: addresses of [B * T][H * D], [B * rows][H * D] and [B * rows][H * V]. */
        this.queryRows = 0;
        this.keyRows = 0;
        this.valueRows = 0;
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
     */
    setCache(cache) {
        this.cache = cache._address;
        this.s = cache.shape[2];
        this.cacheRound = cache._round;
        this.narrow = cache._pages.type !== 'float32';
    }
}

/**
 * @typedef {object} AttentionParts what is the layer's own in its attentions
 * @property {Projection} query
 * @property {Projection} key
 * @property {Projection} value
 * @property {Projection} output
 * @property {number} numHeads
 * @property {number} kvHeads of keys and values: each serves numHeads / kvHeads query heads
 * @property {number} keyDim
 * @property {number} valueDim
 * @property {number} scale 1 / sqrt(D)
 * @property {number} explicitScale the same as a number of the compute type, in which the explicit path multiplies
 * @property {number} round ROUND of the compute type
 */

/**
 * Appends the operations: query (which waits for all before it), key and value beside it, attention, output.
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
        const op = parts.query.record(
            program, queries, call.query, call.queryStride, call.queryRows, parts.query.outputs, flags,
        );
        program.words[op + LINEAR.round] = parts.round;
        flags = FLAG.CONCURRENT;
    }
    if (positions > 0) {
        if (!call.narrow) recordPositions(program, parts, call, flags);
        if (call.keepRows || call.narrow) recordRows(program, parts, call, call.narrow ? flags : FLAG.CONCURRENT);
        if (call.narrow) recordStore(program, parts, call);
    }
    if (queries === 0) return;
    recordScores(program, parts, call, mixed);
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
    const positions = call.batch * call.rows;
    const round = parts.round === 0 ? call.cacheRound : parts.round;
    let op = parts.key.record(program, positions, call.key, call.keyStride, 0, 0, flags);
    let words = program.words;
    words[op + LINEAR.layout] = LAYOUT.KEYS;
    words[op + LINEAR.t] = call.rows;
    words[op + LINEAR.index] = call.index;
    words[op + LINEAR.cache] = call.cache;
    words[op + LINEAR.round] = round;
    op = parts.value.record(program, positions, call.value, call.valueStride, 0, 0, FLAG.CONCURRENT);
    words = program.words;
    words[op + LINEAR.layout] = LAYOUT.VALUES;
    words[op + LINEAR.t] = call.rows;
    words[op + LINEAR.index] = call.index;
    words[op + LINEAR.cache] = call.cache;
    words[op + LINEAR.round] = round;
}

/**
 * The same projections row by row: once more, or for a cache that takes whole rows.
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} flags of the first of them
 */
function recordRows(program, parts, call, flags) {
    const positions = call.batch * call.rows;
    let op = parts.key.record(
        program, positions, call.key, call.keyStride, call.keyRows, parts.key.outputs, flags,
    );
    program.words[op + LINEAR.round] = parts.round;
    op = parts.value.record(
        program, positions, call.value, call.valueStride, call.valueRows, parts.value.outputs, FLAG.CONCURRENT,
    );
    program.words[op + LINEAR.round] = parts.round;
}

/**
 * Rows of keys and values to the cache.
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 */
function recordStore(program, parts, call) {
    const op = program.store();
    const words = program.words;
    words[op + TRANSFER.keys] = call.keyRows;
    words[op + TRANSFER.keysStride] = parts.key.outputs;
    words[op + TRANSFER.keysBatch] = call.rows * parts.key.outputs;
    words[op + TRANSFER.values] = call.valueRows;
    words[op + TRANSFER.valuesStride] = parts.value.outputs;
    words[op + TRANSFER.valuesBatch] = call.rows * parts.value.outputs;
    words[op + TRANSFER.cache] = call.cache;
    words[op + TRANSFER.batch] = call.batch;
    words[op + TRANSFER.t] = call.rows;
    words[op + TRANSFER.index] = call.index;
}

/**
 * @param {Program} program
 * @param {AttentionParts} parts
 * @param {AttentionCall} call
 * @param {number} out address of [B * T][H * V]
 */
function recordScores(program, parts, call, out) {
    const op = program.attention(0);
    const words = program.words;
    words[op + ATTENTION.q] = call.queryRows;
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
