// What a pool and its workers say to each other, beside the structures of src/cmha.h (js/engine/interface.js).

/** control.epoch with this bit tells workers to end. */
export const SHUT_DOWN = 0x80000000;

/**
 * A worker that traps leaves its reason here before it sets control.failed, because a dispatcher that blocks cannot
 * receive messages: word 0 is the length in bytes, UTF-8 text follows.
 */
export const REPORT_BYTES = 512;

/**
 * What a pool and one worker say to each other in the memory: words of a block that is that worker's own.
 *
 * The worker writes the epoch that it is about to join to BUSY before it claims anything, and 0 when it claims nothing
 * any more; only then does it look at DISMISSED. So a pool that has dismissed a worker, and reads 0 in BUSY afterwards,
 * knows that it touches no program ever again, whether it lives or not. JOINED counts programs, for the pool to see
 * whether the worker works at all.
 */
export const LIFE = Object.freeze({ BUSY: 0, DISMISSED: 1, JOINED: 2 });
export const LIFE_BYTES = 12;

/** Messages. A pool sends one START; a worker answers READY or FAILED, then DONE per program where asked to. */
export const MESSAGE = Object.freeze({
    START: 'cached-attention:start',
    READY: 'cached-attention:ready',
    DONE: 'cached-attention:done',
    FAILED: 'cached-attention:failed',
});
