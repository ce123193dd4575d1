// Slot tables of the structs in src/cmha.h, in 32-bit words, and the messages between a pool and its workers.
//
// A program is written by js/engine/program.js, run by src/program.c in every thread that joins, and dispatched by js/engine/pool.js.
// All three read these layouts; tests/unit/program.test.js derives them from the header again and compares.

/** Words of one cmha_op. Offsets in the tables below count from its first word. */
export const OP_WORDS = 40;

/** Fields that every operation starts with. `claim` and `done` are 64-bit: epoch in the upper word, a count below. */
export const OP = Object.freeze({ claim: 0, done: 2, kind: 4, flags: 5, tasks: 6, sleepers: 7 });

export const KIND = Object.freeze({ LINEAR: 1, ATTENTION: 2, LAYER_NORM: 3, EMBED: 4, ATTENTION_MERGE: 5 });

/** Flags of an operation: it may start before the ones ahead of it have completed. */
export const FLAG = Object.freeze({ CONCURRENT: 1 });

/** cmha_linear */
export const LINEAR = Object.freeze({
    x: 8, xStride: 9, rows: 10, k: 11, n: 12, w: 13, bias: 14, residual: 15, residualStride: 16, y: 17, yStride: 18,
    layout: 19, t: 20, index: 21, headDim: 22, headStride: 23, batchStride: 24, activation: 25, round: 26,
});

/** cmha_attention */
export const ATTENTION = Object.freeze({
    q: 8, qStride: 9, keys: 10, keysHeadStride: 11, keysBatchStride: 12, values: 13, valuesHeadStride: 14,
    valuesBatchStride: 15, mask: 16, maskB: 17, maskH: 18, maskT: 19, maskS: 20, out: 21, outStride: 22, scores: 23,
    scratch: 24, batch: 25, heads: 26, kvHeads: 27, t: 28, s: 29, d: 30, v: 31, scale: 32, flags: 33,
    causalOffset: 34, dropout: 35, seed0: 36, seed1: 37, round: 38,
});

/** cmha_norm */
export const NORM = Object.freeze({
    x: 8, xStride: 9, y: 10, yStride: 11, rows: 12, n: 13, gamma: 14, beta: 15, epsilon: 16,
});

/** cmha_embed */
export const EMBED = Object.freeze({
    tokens: 8, rows: 9, t: 10, index: 11, w: 12, k: 13, n: 14, positions: 15, y: 16,
});

export const LAYOUT = Object.freeze({ ROWS: 0, KEYS: 1, VALUES: 2 });
export const ACTIVATION = Object.freeze({ NONE: 0, RELU: 1, GELU_TANH: 2, GELU_ERF: 3 });
export const ROUND = Object.freeze({ NONE: 0, F16: 1, BF16: 2 });

/** Flags of an attention. */
export const ATTEND = Object.freeze({ CAUSAL: 1, EXPLICIT: 2 });

/** Columns of a weight panel, positions of a key panel. */
export const PANEL = 8;

/** cmha_control */
export const CONTROL = Object.freeze({
    epoch: 0, failed: 1, progress: 2, spin: 3, ops: 4, count: 5, threads: 6, sleepers: 7,
});
export const CONTROL_WORDS = 8;

/** control.epoch with this bit tells workers to end. */
export const SHUT_DOWN = 0x80000000;

/** What cmha_program_run returns. */
export const RUN = Object.freeze({ DONE: 0, LAST: 1, FAILED: -1, STALLED: -2 });

/** Stall detection by the clock: so many slices without one completed task, and the program is given up. */
export const SLICE_MS = 50;
export const STALL_SLICES = 16;

/**
 * A worker that traps leaves its reason here before it sets control.failed, because a dispatcher that blocks cannot
 * receive messages: word 0 is the length in bytes, UTF-8 text follows.
 */
export const REPORT_BYTES = 512;

/** Messages. A pool sends one START; a worker answers READY or FAILED, then DONE per program where asked to. */
export const MESSAGE = Object.freeze({
    START: 'cached-attention:start',
    READY: 'cached-attention:ready',
    DONE: 'cached-attention:done',
    FAILED: 'cached-attention:failed',
});
