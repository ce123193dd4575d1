// A worker of a pool: starts its instance on the shared memory, then waits for programs and joins them until told to
// end.
//
// It never returns to its event loop in between: it sleeps inside wasm, on control->epoch. All it says afterwards is
// DONE (where the dispatcher cannot block, and only by the thread that completed the last task) or FAILED.

import { CONTROL, RUN } from './interface.js';
import { LIFE, LIFE_BYTES, MESSAGE, REPORT_BYTES, SHUT_DOWN } from './protocol.js';
import { listen } from './threads.js';
import { instantiate } from './wasm.js';

/**
 * @typedef {object} StartMessage
 * @property {string} type  MESSAGE.START
 * @property {WebAssembly.Module} module
 * @property {WebAssembly.Memory} memory
 * @property {number} stackTop
 * @property {number} control  address of the control block
 * @property {number} life  address of the words that are this worker's own (LIFE)
 * @property {number} report  address of the text that a trap leaves
 * @property {number} thread  1 for the first worker; 0 is the dispatcher
 * @property {boolean} reportsDone  whether the dispatcher waits for a message
 */

listen(async (/** @type {StartMessage} */ message, parent) => {
    if (message?.type !== MESSAGE.START) {
        return;
    }
    let isReady = false;
    try {
        const functions = await instantiate(message.module, message.memory);
        functions.__stack_pointer.value = message.stackTop;
        parent.post({ type: MESSAGE.READY });
        isReady = true;
        work(message, functions, parent);
    } catch (error) {
        const reason = String(error);
        // One that never got ready has no part in what the others run.
        if (isReady) leaveReport(message, reason);
        parent.post({ type: MESSAGE.FAILED, reason });
    }
    parent.close();
});

/**
 * @param {StartMessage} start
 * @param {import('./wasm.js').Exports} functions
 * @param {import('./threads.js').Parent} parent
 */
function work({ memory, control, life, thread, reportsDone }, functions, parent) {
    const words = new Int32Array(memory.buffer, life, LIFE_BYTES / 4);
    let epoch = 0;
    for (;;) {
        epoch = functions.cmha_worker_wait(control, epoch) >>> 0;
        if (epoch >= SHUT_DOWN) {
            return;
        }
        const outcome = join(words, functions, control, epoch, thread);
        if (outcome === DISMISSED) {
            return;
        }
        // FAILED and STALLED reach the dispatcher by itself.
        if (outcome === RUN.LAST && reportsDone) {
            parent.post({ type: MESSAGE.DONE, epoch });
        }
    }
}

/** What join() returns beside RUN. */
const DISMISSED = -100;

/**
 * Takes part in a program, saying so (see LIFE).
 * @param {Int32Array} words
 * @param {import('./wasm.js').Exports} functions
 * @param {number} control
 * @param {number} epoch
 * @param {number} thread
 * @returns {number}
 */
function join(words, functions, control, epoch, thread) {
    Atomics.store(words, LIFE.BUSY, epoch);
    try {
        return Atomics.load(words, LIFE.DISMISSED) === 0
            ? functions.cmha_program_run(control, epoch, thread) : DISMISSED;
    } finally {
        Atomics.add(words, LIFE.JOINED, 1);
        Atomics.store(words, LIFE.BUSY, 0);
    }
}

/**
 * Text first, then the flag that everybody looks at.
 * @param {StartMessage} start
 * @param {string} reason
 */
function leaveReport({ memory, control, report, thread }, reason) {
    const text = new TextEncoder().encode(`worker ${thread}: ${reason}`).subarray(0, REPORT_BYTES - 4);
    const words = new Int32Array(memory.buffer);
    new Uint8Array(memory.buffer).set(text, report + 4);
    words[report / 4] = text.length;
    Atomics.store(words, control / 4 + CONTROL.failed, thread);
}
