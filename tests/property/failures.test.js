// Workers that fail to start, trap, exit, hang or are ended from outside: a clear error in under a second, for every
// call that is pending and every later one, and nothing hangs.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Tensor } from '../../js/engine/tensor.js';
import { createWithSwitches } from '../switches.js';
import { Block } from './jobs.js';

const timeout = 20_000;

/** Large enough to be worth waking workers. */
const SIZES = { t: 64, heads: 4, d: 32 };

/** What a healthy start takes here and now: how far this machine stretches every time below. */
const begun = performance.now();
(await createWithSwitches({ workers: 2 })).dispose();
const usual = performance.now() - begun;

/** "In under a second", and what a loaded machine adds to it. */
const SOON = 1000 + 10 * usual;

/**
 * The script of a worker that goes wrong; it takes over the environment as it is when it starts.
 * @param {string} how
 */
function saboteur(how) {
    process.env.CMHA_SABOTAGE = how;
    return new URL('./saboteur.js', import.meta.url);
}

/** @param {number} since */
function assertSoon(since) {
    const took = performance.now() - since;
    assert.ok(took < SOON, `took ${took.toFixed(0)} ms, where a healthy start takes ${usual.toFixed(0)} ms`);
}

/**
 * Workers that cannot be had are no error, whether their number was asked for or not: the calling thread does all.
 * @param {import('../../js/engine/options.js').RuntimeOptions} options @param {RegExp} reason
 */
async function goesOnAlone(options, reason) {
    const runtime = await createRuntime(options);
    const { workers, threads, fallbacks } = runtime.explain();
    assert.equal(workers, 0);
    assert.equal(threads, 1);
    assert.match(fallbacks.join('\n'), reason);
    runtime.dispose();
}

for (const [how, expected] of /** @type {[string, RegExp][]} */ ([
    ['exit-at-start', /worker \d of 2 did not start: it ended with exit code 3/],
    ['throw-at-start', /worker \d of 2 did not start: it failed: no thanks/],
    ['no-instance', /worker \d of 2 did not start: it failed: RangeError: no room for an instance/],
])) {
    test(`a worker that does not start: ${how}`, { timeout }, async () => {
        const begin = performance.now();
        await goesOnAlone(/** @type {any} */ ({ workers: 2, _test: { script: saboteur(how) } }), expected);
        assertSoon(begin);
    });
}

test('a worker script that is missing', { timeout }, async () => {
    const begin = performance.now();
    const script = new URL('./no-such-worker.js', import.meta.url);
    await goesOnAlone({ workers: 1, worker: script }, /worker 1 of 1 did not start: .*no-such-worker/);
    assertSoon(begin);
});

test('one worker that does not start is enough, the others are not waited for', { timeout }, async () => {
    const begin = performance.now();
    const options = { workers: 3, worker: saboteur('first-exits') };
    await goesOnAlone(options, /worker 1 of 3 did not start: it ended with exit code 5/);
    assertSoon(begin);
});

test('a worker that never answers', { timeout }, async () => {
    const options = { workers: 1, _test: { script: saboteur('silent'), startTimeout: 200 } };
    await goesOnAlone(/** @type {any} */ (options), /worker 1 of 1 did not start: it was silent for 200 ms/);
});

test("workers: 'auto' falls back to none, and says why", { timeout }, async () => {
    const _test = { script: saboteur('exit-at-start'), mayBlock: false };
    const runtime = await createWithSwitches({ workers: 'auto', _test });
    const { workers, threads, fallbacks } = runtime.explain();
    assert.equal(workers, 0);
    assert.equal(threads, 1);
    assert.match(fallbacks.join('\n'), /workers 0: .*did not start: it ended with exit code 3/);
    const out = await runtime._run(new Block(runtime, SIZES));
    assert.ok(out.data.every(Number.isFinite));
    runtime.dispose();
});

/**
 * How a failure must look from outside, wherever it comes from.
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {Promise<any>[]} pending
 * @param {RegExp} expected
 */
async function assertFailed(runtime, pending, expected) {
    for (const outcome of await Promise.allSettled(pending)) {
        assert.equal(outcome.status, 'rejected');
        assert.match(outcome.reason.message, expected);
    }
    const block = { check() {}, record() { assert.fail('recorded after the failure'); }, finish() {} };
    await assert.rejects(runtime._run(block), expected);
    assert.throws(() => new Tensor(runtime, { shape: [2] }), expected);
    runtime.dispose();
    runtime.dispose();
    await assert.rejects(runtime._run(block), /has been disposed/);
}

for (const mayBlock of [true, false]) {
    const where = mayBlock ? 'the caller blocks' : 'the caller does not block';
    for (const [how, expected] of /** @type {[string, RegExp][]} */ ([
        ['trap', /worker \d: RuntimeError|worker \d of 2 failed: RuntimeError/],
        // Whatever is seen first: the event, or that nothing goes on.
        ['exit-holding', /worker \d of 2 ended with exit code 8|no task was completed for 800 ms/],
        ['hang-holding', /no task was completed for 800 ms/],
    ])) {
        test(`${how} while ${where}`, { timeout }, async () => {
            const runtime = await createWithSwitches({ workers: 2, _test: { script: saboteur(how), mayBlock } });
            const tensor = new Tensor(runtime, { shape: [3], data: new Float32Array([1, 2, 3]) });
            const begin = performance.now();
            // A caller that blocks may be through before a worker has woken up: then try again.
            const pending = [];
            let failed = false;
            for (let i = 0; i < 500 && !failed; i++) {
                const call = runtime._run(new Block(runtime, SIZES));
                pending.push(call);
                failed = await call.then(() => false, () => true);
            }
            assert.ok(failed, 'a program went wrong');
            if (!mayBlock) {
                assertSoon(begin);
            }
            assert.deepEqual(tensor.data, new Float32Array([1, 2, 3]), 'what lies in the memory can still be read');
            await assertFailed(runtime, pending.slice(-1), expected);
        });
    }
}

test('all calls that wait in line are settled when a worker traps', { timeout }, async () => {
    const runtime = await createWithSwitches({ workers: 2, _test: { script: saboteur('trap'), mayBlock: false } });
    const begin = performance.now();
    const pending = Array.from({ length: 20 }, () => runtime._run(new Block(runtime, SIZES)));
    await Promise.allSettled(pending);
    assertSoon(begin);
    await assertFailed(runtime, pending, /RuntimeError/);
});

test('a worker that exits between two calls: no call waits for it, then the runtime says so', { timeout }, async () => {
    const runtime = await createWithSwitches({ workers: 1, _test: { script: saboteur('exit-between') } });
    const block = new Block(runtime, SIZES);
    const first = runtime._runSync(block).data;
    const begin = performance.now();
    // The event loop does not turn in here, so nothing can tell that the worker is gone.
    while (performance.now() - begin < 300) {
        assert.deepEqual(runtime._runSync(block).data, first);
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    await assertFailed(runtime, [], /worker 1 of 1 ended with exit code 7/);
});

for (const mayBlock of [true, false]) {
    test(`a worker that is ended from outside, mayBlock ${mayBlock}`, { timeout }, async () => {
        const threads = createRequire(import.meta.url)('node:worker_threads');
        const { Worker } = threads;
        /** @type {import('node:worker_threads').Worker[]} */
        const started = [];
        threads.Worker = class extends Worker {
            constructor(/** @type {any[]} */ ...args) {
                super(...args);
                started.push(/** @type {import('node:worker_threads').Worker} */ (/** @type {unknown} */ (this)));
            }
        };
        syncBuiltinESMExports();
        let runtime;
        try {
            runtime = await createWithSwitches({ workers: 2, _test: { mayBlock } });
        } finally {
            threads.Worker = Worker;
            syncBuiltinESMExports();
        }
        const block = new Block(runtime, SIZES);
        const before = (await runtime._run(block)).data;
        assert.ok(before.every(Number.isFinite));
        const begin = performance.now();
        const call = mayBlock ? null : runtime._run(block);
        started[1].terminate();
        // It may have been through; it must not hang.
        await call?.catch(() => {});
        assertSoon(begin);
        await new Promise((resolve) => setTimeout(resolve, 200));
        await assertFailed(runtime, [], /worker 2 of 2 ended with exit code 1/);
    });
}

test('dispose rejects what is pending, and a second time does nothing', { timeout }, async () => {
    const runtime = await createWithSwitches({ workers: 2, _test: { mayBlock: false } });
    const pending = Array.from({ length: 5 }, () => runtime._run(new Block(runtime, SIZES)));
    runtime.dispose();
    runtime.dispose();
    for (const outcome of await Promise.allSettled(pending)) {
        assert.equal(outcome.status, 'rejected');
        assert.match(outcome.reason.message, /disposed/);
    }
    assert.throws(() => runtime.explain(), /Runtime: its runtime has been disposed|disposed/);
});

/**
 * @param {string} body  of a module in a process of its own
 * @returns {Promise<string>} what it prints; rejects when it does not end by itself
 */
async function processOf(body) {
    const entry = new URL('../../js/engine/runtime.js', import.meta.url).href;
    const { stdout } = await promisify(execFile)(process.execPath, [
        ...process.execArgv.filter((flag) => flag.includes('wasm')), '--input-type=module', '--eval',
        `import { createRuntime } from ${JSON.stringify(entry)};\n${body}`,
    ], { timeout: 10_000, cwd: fileURLToPath(new URL('./', import.meta.url)) });
    return stdout;
}

test('a process ends by itself, with and without dispose', { timeout }, async () => {
    const disposing = "const r = await createRuntime({ workers: 2 }); r.dispose(); console.log('end');";
    assert.equal(await processOf(disposing), 'end\n');
    assert.equal(await processOf(`await createRuntime({ workers: 2 }); console.log('end');`), 'end\n');
    assert.equal(await processOf(`{ using_(await createRuntime({ workers: 1 })); }
        function using_(r) { r[Symbol.dispose ?? 'dispose'](); } console.log('end');`), 'end\n');
});
