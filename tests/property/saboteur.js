// A worker that goes wrong in the way that the environment names (Node drops the query of a worker's URL).
// Everything else is js/engine/worker.js.

import { parentPort } from 'node:worker_threads';
import { CONTROL, OP, OP_WORDS } from '../../js/engine/interface.js';
import { MESSAGE } from '../../js/engine/protocol.js';

const how = process.env.CMHA_SABOTAGE;
const real = WebAssembly.instantiate;

/**
 * Takes a task of the running program, from its end, and never completes it.
 * @param {WebAssembly.Memory} memory
 * @param {number} control
 */
function claimOne(memory, control) {
    const words = new Uint32Array(memory.buffer);
    const longs = new BigUint64Array(memory.buffer);
    const first = words[control / 4 + CONTROL.ops] / 8;
    for (let i = words[control / 4 + CONTROL.count] - 1; i >= 0; i--) {
        const claim = first + (i * OP_WORDS + OP.claim) / 2;
        const seen = Atomics.load(longs, claim);
        if ((seen & 0xffffffffn) > 0n && Atomics.compareExchange(longs, claim, seen, seen - 1n) === seen) {
            return true;
        }
    }
    return false;
}

/** @param {any} exports @param {WebAssembly.Memory} memory */
function sabotage(exports, memory) {
    let waits = 0;
    return {
        ...exports,
        cmha_worker_wait: (/** @type {number} */ control, /** @type {number} */ seen) => {
            if (how === 'exit-between' && waits++ === 1) {
                process.exit(7);
            }
            return exports.cmha_worker_wait(control, seen);
        },
        /** @param {number} control @param {number} epoch @param {number} thread */
        cmha_program_run: (control, epoch, thread) => {
            if (how === 'trap') {
                return exports.cmha_program_run(0xfffffff0, epoch, thread);
            }
            if (how === 'says-stalled' && thread === 1 && claimOne(memory, control)) {
                parentPort?.postMessage({ type: MESSAGE.FAILED, reason: 'no task was completed for 800 ms: a worker died or was stopped in the middle of one' });
                // It leaves the program in time.
                Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
            }
            if ((how === 'exit-holding' || how === 'hang-holding') && claimOne(memory, control)) {
                if (how === 'exit-holding') {
                    process.exit(8);
                }
                Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
            }
            return exports.cmha_program_run(control, epoch, thread);
        },
    };
}

if (how === 'exit-at-start') {
    process.exit(3);
}
if (how === 'throw-at-start') {
    throw new Error('no thanks');
}
if (how === 'silent') {
    parentPort?.on('message', () => {});
} else if (how === 'first-exits') {
    parentPort?.on('message', ({ thread }) => thread === 1 && process.exit(5));
} else {
    WebAssembly.instantiate = /** @type {any} */ (async (/** @type {WebAssembly.Module} */ module, /** @type {any} */ imports) => {
        if (how === 'no-instance') {
            throw new RangeError('no room for an instance');
        }
        const instance = await real(/** @type {WebAssembly.Module} */ (module), imports);
        return { exports: sabotage(instance.exports, imports.env.memory) };
    });
    // Not awaited: the V8 of Node 20 falls over a module that is ended while it waits.
    void import('../../js/engine/worker.js');
}
