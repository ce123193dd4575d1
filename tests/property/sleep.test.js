// A thread that has slept at a barrier goes on as if it had not. In a file of its own, so that the engine's first
// compiler has made the code: Node 20's loses 64-bit values across a wait.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { CONTROL, OP, OP_WORDS, RUN } from '../../js/engine/interface.js';
import { testRuntime } from '../binary.js';
import { Block } from './jobs.js';

/** Takes one off a word after a while, and wakes who waits for it. */
const LATE = `
    import { workerData, parentPort } from 'node:worker_threads';
    const words = new Int32Array(workerData.buffer);
    parentPort.once('message', ({ word, ms }) => {
        setTimeout(() => {
            Atomics.sub(words, word, 1);
            Atomics.notify(words, word);
        }, ms);
    });
    parentPort.postMessage('ready');
`;

test('the caller runs the rest of a program after it has waited for another thread', { timeout: 180_000 }, async () => {
    const runtime = await testRuntime({ workers: 0 });
    const { memory, wasm } = runtime;
    const block = new Block(runtime, { t: 9, heads: 2, d: 16 });
    const expected = runtime._runSync(block).data;
    const control = memory.alloc(64);
    memory.bytes.fill(0, control, control + 64);
    const helper = new Worker(new URL(`data:text/javascript,${encodeURIComponent(LATE)}`),
        { workerData: { buffer: memory.handle.buffer } });
    await new Promise((resolve) => { helper.once('message', resolve); });
    const job = {
        out: /** @type {any} */ (null),
        check() {},
        /** @param {import('../../js/engine/program.js').Program} program */
        record(program) {
            block.record(program);
            const { words, ints } = memory;
            const epoch = 77;
            // A task of the first operation that somebody else has claimed and not completed yet.
            wasm.cmha_program_begin(program.address, program.count, epoch);
            const done = program.address / 4 + OP.done;
            Atomics.add(ints, done, 1);
            const begin = performance.now(); // before the helper's clock, which may run while this thread gets no turn
            helper.postMessage({ word: done, ms: 150 });
            words[control / 4 + CONTROL.spin] = 10;
            words[control / 4 + CONTROL.ops] = program.address;
            words[control / 4 + CONTROL.count] = program.count;
            words[control / 4 + CONTROL.threads] = 1;
            const outcome = wasm.cmha_program_run(control, epoch, 0);
            assert.ok(performance.now() - begin > 100, 'it has waited');
            assert.equal(outcome, RUN.LAST);
            for (let i = 0; i < program.count; i++) {
                assert.equal(words[program.address / 4 + i * OP_WORDS + OP.done], 0);
                assert.equal(words[program.address / 4 + i * OP_WORDS + OP.claim], 0);
            }
            this.data = memory.f32(/** @type {any} */ (block.out)._address, 9 * 32).slice();
            program.count = 0; // it has been run
        },
        finish() {},
        data: new Float32Array(0),
    };
    runtime._runSync(job);
    assert.deepEqual(job.data, expected);
    await helper.terminate();
});
