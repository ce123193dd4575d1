// What a pool and its workers say to each other, beside the structures of src/cmha.h (js/engine/interface.js).

/** control.epoch with this bit tells workers to end. */
export const SHUT_DOWN = 0x80000000;

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
