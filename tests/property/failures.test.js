// Workers that fail to start: a clear error, as soon as there is one. Workers that trap, exit, hang or are ended from outside:
// the call at hand gets a WorkerLostError or its numbers, the next one works, and nothing hangs. That it is soon is told by the
// reason, which is another one where patience had to end; how long it takes is a matter of the machine.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { EventEmitter } from 'node:events';
import os from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { Memory } from '../../js/engine/memory.js';
import { Tensor } from '../../js/engine/tensor.js';
import { WorkerLostError } from '../../js/index.js';
import { rng } from '../rng.js';
import { createWithSwitches } from '../switches.js';
import { Block } from './jobs.js';
import { noteWorkers } from './note-workers.js';

/** Nothing takes so long by far, on whatever machine: what does hangs. */
const timeout = 60_000;
const HANG_MS = 40_000;

/** Large enough to be worth waking workers. */
const SIZES = { t: 64, heads: 4, d: 32 };

/**
 * The script of a worker that goes wrong; it takes over the environment as it is when it starts.
 * @param {string} how
 */
function saboteur(how) {
    process.env.CMHA_SABOTAGE = how;
    return new URL('./saboteur.js', import.meta.url);
}

/**
 * Workers that cannot be had are no error, whether their number was asked for or not: the calling thread does all.
 * @param {import('../../js/engine/options.js').RuntimeOptions} options @param {RegExp} reason
 */
async function goesOnAlone(options, reason) {
    const runtime = await createWithSwitches(options);
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
        await goesOnAlone(/** @type {any} */ ({ workers: 2, _test: { script: saboteur(how) } }), expected);
    });
}

test('a worker script that is missing', { timeout }, async () => {
    const script = new URL('./no-such-worker.js', import.meta.url);
    await goesOnAlone({ workers: 1, worker: script }, /worker 1 of 1 did not start: .*no-such-worker/);
});

/** @param {string} body of a script @returns {URL} */
const script = (body) => new URL(`data:text/javascript,${encodeURIComponent(body)}`);

/** What a server may answer in place of the script, or a script be that is another one. */
for (const [what, body, expected] of [
    ['a page that says 404', '<!doctype html><title>404</title>', /worker \d of 2 did not start: it failed: .*</],
    ['nothing', '', /worker \d of 2 did not start: it ended with exit code 0/],
    ['one that throws at the first message', `import { parentPort } from 'node:worker_threads';
        parentPort.on('message', () => { throw new Error('who are you?'); });`, /worker \d of 2 did not start: it failed: who are you\?/],
]) {
    test(`a worker script that is wrong: ${what}`, { timeout }, () => goesOnAlone(
        { workers: 2, worker: script(String(body)) }, /** @type {RegExp} */ (expected),
    ));
}

const WORKER = new URL('../../js/engine/worker.js', import.meta.url);

test('a worker that gets ready when nobody waits for it any more is not counted', { timeout }, async () => {
    class Late extends EventEmitter {
        isEnded = false;
        postMessage() {}
        unref() {}
        /** What it had sent before it was ended is heard afterwards. */
        terminate() {
            if (this.isEnded) return;
            this.isEnded = true;
            setImmediate(() => {
                this.emit('message', { type: 'cached-attention:ready' });
                this.emit('exit', 1);
            });
        }
    }
    /** @type {(Worker | Late)[]} */
    const made = [];
    const worker = () => {
        made.push(made.length === 2 ? new Late() : new Worker(WORKER, { execArgv: [] }));
        return made[made.length - 1];
    };
    const runtime = await createWithSwitches(/** @type {any} */ ({ workers: 2, worker, _test: { startTimeout: 5000 } }));
    await /** @type {Worker} */ (made[0]).terminate();
    const begin = performance.now();
    while (made.length < 4 || runtime.explain().workers < 2) {
        assert.ok(performance.now() - begin < HANG_MS, `${made.length} workers made, ${runtime.explain().workers} at work`);
        await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    await new Promise((resolve) => { setTimeout(resolve, 200); });
    assert.equal(made.length, 4, 'one in the place of the first, one in the place of the late one');
    assert.equal(runtime.explain().workers, 2);
    runtime.dispose();
});

test('a worker that does not get ready takes no call with it', { timeout }, async () => {
    let made = 0;
    const body = `WebAssembly.instantiate = async () => { throw new RangeError('no room'); }; import(${JSON.stringify(WORKER.href)});`;
    /** @type {Worker | undefined} */
    let first;
    const worker = () => {
        const one = new Worker(made++ < 2 ? WORKER : script(body), { execArgv: [] });
        first ??= one;
        return one;
    };
    const runtime = await createWithSwitches(/** @type {any} */ ({ workers: 2, worker, _test: { mayBlock: false } }));
    // So large that it is at work nearly all the time in which others start.
    const block = new Block(runtime, { t: 512, heads: 4, d: 64 });
    await first?.terminate();
    const begin = performance.now();
    while (!runtime.explain().fallbacks.some((text) => /a worker less: .*no room, and 4 more in its place/.test(text))) {
        assert.ok(performance.now() - begin < HANG_MS, `${made} workers made`);
        assert.ok((await runtime._run(block)).data.every(Number.isFinite));
    }
    assert.equal(made, 6);
    runtime.dispose();
});

test('workers that cannot be created take no memory', { timeout }, async () => {
    const worker = () => { throw new Error('no'); };
    const [alone, without] = [await createWithSwitches({ workers: 0 }), await createWithSwitches({ workers: 4, worker })];
    assert.match(without.explain().fallbacks.join(), /worker 1 of 4 did not start: it could not be created: no/);
    const more = without.explain().bytesInUse - alone.explain().bytesInUse;
    assert.ok(more < 2 ** 13, `${more} bytes are of workers that never were`);
    for (const runtime of [alone, without]) runtime.dispose();
});

test('one worker that does not start is enough, the others are not waited for', { timeout }, async () => {
    // Whoever waited for them would wait for weeks.
    const options = { workers: 3, _test: { script: saboteur('first-exits'), startTimeout: 2 ** 31 - 1 } };
    await goesOnAlone(/** @type {any} */ (options), /worker 1 of 3 did not start: it ended with exit code 5/);
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

/** What every block gives. */
const expected = await (async () => {
    const runtime = await createWithSwitches({ workers: 0 });
    const { data } = await runtime._run(new Block(runtime, SIZES));
    runtime.dispose();
    return data;
})();

/**
 * Whatever has happened to workers: calls work, and after a while there are as many workers as before, or explain()
 * says why not.
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {number} workers
 * @param {boolean} [healthy] whether those that are started from now on are
 */
async function assertGoesOn(runtime, workers, healthy = true) {
    if (healthy) process.env.CMHA_SABOTAGE = '';
    const block = new Block(runtime, SIZES);
    const missing = () => workers - runtime.explain().workers;
    const noted = () => runtime.explain().fallbacks.filter((text) => text.startsWith('a worker less: ')).length;
    const begin = performance.now();
    // A worker may be lost, or about to be, without anybody knowing yet: one call may go with each.
    for (let good = 0, lost = 0; good < 5 || missing() > noted();) {
        const outcome = await runtime._run(block).catch((/** @type {unknown} */ error) => error);
        if (outcome instanceof WorkerLostError) {
            good = 0;
            lost++;
        } else {
            assert.deepEqual(/** @type {Tensor} */ (outcome).data, expected);
            good++;
        }
        assert.ok(lost < 30, 'no end of lost calls');
        assert.ok(performance.now() - begin < HANG_MS, `${missing()} workers are missing, ${noted()} with a reason`);
        await new Promise((resolve) => { setTimeout(resolve, 20); });
    }
    runtime.dispose();
    runtime.dispose();
    await assert.rejects(runtime._run(block), /has been disposed/);
}

test('a worker that says it is ready, talks nonsense and never works', { timeout: 2 * timeout }, async () => {
    const worker = script(`import { parentPort } from 'node:worker_threads';
        parentPort.on('message', () => {
            const type = 'cached-attention:';
            const all = [null, 1, 'x', {}, [], { type: 5 }, { type: type + 'done', epoch: -1 }, { type: type + 'ready' }];
            all.concat(all).forEach((message) => parentPort.postMessage(message));
        });`);
    const runtime = await createWithSwitches(/** @type {any} */ ({ workers: 1, worker, _test: { mayBlock: false } }));
    const block = new Block(runtime, SIZES);
    const isOver = () => runtime.explain().fallbacks.some((text) => /a worker less: .*, and 4 more in its place/.test(text));
    // It and the four that follow it take a call each at most; in between, and afterwards, the calling thread does all.
    for (let lost = 0; !isOver();) {
        const outcome = await runtime._run(block).then(({ data }) => data, (error) => error);
        if (outcome instanceof WorkerLostError) lost++;
        else assert.deepEqual(outcome, expected);
        assert.ok(lost <= 5, `${lost} calls lost`);
        await new Promise((resolve) => { setTimeout(resolve, 50); });
    }
    assert.equal(runtime.explain().workers, 0);
    assert.deepEqual((await runtime._run(block)).data, expected);
    runtime.dispose();
});

for (const mayBlock of [true, false]) {
    const where = mayBlock ? 'the caller blocks' : 'the caller does not block';
    for (const [how, reason] of /** @type {[string, RegExp][]} */ ([
        ['trap', /worker \d: RuntimeError|worker \d of 2 failed: RuntimeError/],
        // Whatever is seen first: the event, or that nothing goes on.
        ['exit-holding', /worker \d of 2 ended with exit code 8|no task was completed for 800 ms/],
        ['hang-holding', /no task was completed for 800 ms/],
    ])) {
        const limit = { timeout: 2 * timeout };
        test(`${how} while ${where}: the call is lost, the next one works`, limit, async () => {
            const _test = { script: saboteur(how), mayBlock };
            const runtime = await createWithSwitches({ workers: 2, _test });
            const tensor = new Tensor(runtime, { shape: [3], data: new Float32Array([1, 2, 3]) });
            const block = new Block(runtime, SIZES);
            // A caller that blocks may be through before a worker has woken up: then try again.
            let failure = null;
            for (let i = 0; i < 500 && failure === null; i++) {
                failure = await runtime._run(block).then(({ data }) => {
                    assert.deepEqual(data, expected);
                    return null;
                }, (error) => error);
                // The event loop turns, as in a program that awaits something else as well.
                await new Promise((resolve) => { setImmediate(resolve); });
            }
            // A trap is seen where the worker was of no use any more: no call is lost with it then.
            if (how !== 'trap' || failure !== null) {
                assert.ok(failure instanceof WorkerLostError, String(failure));
                assert.equal(failure.name, 'WorkerLostError');
                assert.match(failure.message, reason);
            }
            assert.deepEqual(tensor.data, new Float32Array([1, 2, 3]), 'what lies in the memory can still be read');
            await assertGoesOn(runtime, 2);
        });
    }
}

test('what a worker says when it fails is its own matter: the others stay', { timeout: 2 * timeout }, async () => {
    const runtime = await createWithSwitches({ workers: 2, _test: { script: saboteur('says-stalled'), mayBlock: false } });
    const block = new Block(runtime, SIZES);
    let failure = null;
    // The other one may be through before it has woken up: then try again.
    for (let i = 0; i < 500 && failure === null; i++) {
        failure = await runtime._run(block).then(() => null, (error) => error);
        if (failure !== null) assert.ok(runtime.explain().workers > 0, 'the second worker is there');
        await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
    assert.ok(failure instanceof WorkerLostError, String(failure));
    assert.match(failure.message, /worker 1 of 2 failed: no task was completed/);
    await assertGoesOn(runtime, 2);
});

test('what a lost worker may still write to is nobody else\'s, though it is disposed of', { timeout: 2 * timeout }, async () => {
    const runtime = await createWithSwitches({ workers: 2, _test: { script: saboteur('hang-holding'), mayBlock: true } });
    const { memory } = runtime;
    const used = memory.used;
    const block = new Block(runtime, SIZES);
    let failure = null;
    for (let i = 0; i < 500 && failure === null; i++) {
        try {
            runtime._runSync(block).dispose();
            await new Promise((resolve) => { setImmediate(resolve); });
        } catch (error) {
            failure = error;
        }
    }
    assert.ok(failure instanceof WorkerLostError, String(failure));
    // Nothing has been heard of it yet: it may be anywhere in its task.
    const page = block.cache.pageAt(0);
    block.cache.dispose();
    const others = Array.from({ length: 8 }, () => memory.alloc(page.bytes - 64));
    for (const other of others) {
        assert.ok(other >= page.address + page.bytes || other + page.bytes <= page.address, 'what it writes to has been given away');
    }
    others.forEach((address) => memory.free(address));
    for (const address of [...block.weights, block.gamma]) runtime._free(address);
    process.env.CMHA_SABOTAGE = '';
    const small = new Tensor(runtime, { shape: [1] });
    const begin = performance.now();
    while (memory.used > used + 2 ** 18) {
        assert.ok(performance.now() - begin < HANG_MS, `${memory.used - used} bytes are not given back`);
        await new Promise((resolve) => { setTimeout(resolve, 20); });
        runtime._runSync({ check() {}, record() {}, finish() {} });
    }
    small.dispose();
    runtime.dispose();
});

test('where the memory ends in the middle of a start, nothing of it is left', { timeout: 2 * timeout }, async (t) => {
    const { started, end } = noteWorkers();
    try {
        const alone = await createWithSwitches({ workers: 0, maxMemory: 2 ** 20 });
        const { bytesInUse } = alone.explain();
        alone.dispose();
        const { alloc } = Memory.prototype;
        let refused = 0;
        for (let n = 0, over = false; !over; n++) {
            let left = n;
            const { mock } = t.mock.method(Memory.prototype, 'alloc', /** @this {Memory} */ function failing(/** @type {number} */ bytes) {
                if (left-- === 0) throw new RangeError('no memory, says the test');
                return alloc.call(this, bytes);
            });
            const runtime = await createWithSwitches({ workers: 2 }).catch((error) => {
                assert.match(String(error), /no memory, says the test/);
                refused++;
                return null;
            });
            mock.restore();
            over = left >= 0;
            assert.equal(runtime?.explain().workers ?? 2, 2);
            runtime?.dispose();
            const begin = performance.now();
            while (started.length > 0) {
                assert.ok(performance.now() - begin < HANG_MS, `request ${n}: ${started.length} workers live on`);
                await new Promise((resolve) => { setTimeout(resolve, 10); });
            }
        }
        assert.ok(refused > 3, `${refused} requests were refused`);
        // 'auto' does without them then, and has the room.
        t.mock.method(os, 'availableParallelism', () => 16);
        const runtime = await createWithSwitches({ workers: 'auto', maxMemory: 2 ** 20, _test: { mayBlock: true } });
        const { workers, fallbacks, bytesInUse: inUse } = runtime.explain();
        assert.equal(workers, 0);
        assert.match(fallbacks.join(), /workers 0: memory exhausted/);
        assert.ok(inUse < bytesInUse + 2 ** 13, `${inUse - bytesInUse} bytes are of workers that never were`);
        runtime.dispose();
    } finally {
        end();
    }
});

test('calls that wait in line behind one that is lost are served', { timeout: 2 * timeout }, async () => {
    const _test = { script: saboteur('exit-holding'), mayBlock: false };
    const runtime = await createWithSwitches({ workers: 2, _test });
    const block = new Block(runtime, SIZES);
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => runtime._run(block)));
    for (const outcome of outcomes) {
        if (outcome.status === 'rejected') assert.ok(outcome.reason instanceof WorkerLostError, String(outcome.reason));
        else assert.deepEqual(outcome.value.data, expected);
    }
    assert.equal(outcomes[0].status, 'rejected');
    assert.ok(outcomes.some(({ status }) => status === 'fulfilled'), 'not all are lost');
    await assertGoesOn(runtime, 2);
});

test('a worker that never gets to work is replaced a few times, then done without', { timeout }, async () => {
    const runtime = await createWithSwitches({ workers: 1, _test: { script: saboteur('exit-between') } });
    const block = new Block(runtime, SIZES);
    const begin = performance.now();
    // The event loop does not turn in here, so nothing can tell that the worker is gone; and no call waits for it.
    while (performance.now() - begin < 300) {
        assert.deepEqual(runtime._runSync(block).data, expected);
    }
    await assertGoesOn(runtime, 1, false);
});

/** So long workers are ended at most. */
const ENOUGH_MS = 60_000;

// A caller that blocks hears nothing meanwhile: a call that is lost takes it 0.8 seconds to give up.
for (const [mayBlock, kills] of /** @type {[boolean, number][]} */ ([[true, 30], [false, 200]])) {
    const what = `${kills} workers ended at any moment, mayBlock ${mayBlock}`;
    test(`${what}: right numbers or WorkerLostError, and it goes on`, { timeout: 400_000 }, async () => {
        const { started, end } = noteWorkers();
        try {
            const runtime = await createWithSwitches({ workers: 2, _test: { mayBlock } });
            const bystander = new Tensor(runtime, { shape: [20_000], data: new Float32Array(20_000).fill(7) });
            const random = rng(mayBlock ? 1 : 2);
            const block = new Block(runtime, SIZES);
            const { used } = runtime.memory;
            let lost = 0;
            let killed = 0;
            const noted = () => runtime.explain().fallbacks.filter((text) => text.startsWith('a worker less: ')).length;
            // A machine that gives workers no turn before they are ended gets fewer in the end, or none: then it is as many as there were,
            // and on a slow one as many as there is time for.
            const begin = performance.now();
            while (killed < kills && noted() < 2 && (killed < 10 || performance.now() - begin < ENOUGH_MS)) {
                // As the pool of a busy page: calls in line, or one after the other.
                const calls = Array.from({ length: mayBlock ? 1 : 4 }, () => runtime._run(block));
                if (random() < 0.5) await new Promise((resolve) => { setTimeout(resolve, random() * 4); });
                if (started.length > 0 && random() < 0.7) {
                    started[Math.floor(random() * started.length)].terminate();
                    killed++;
                }
                for (const outcome of await Promise.allSettled(calls)) {
                    if (outcome.status === 'fulfilled') {
                        assert.deepEqual(outcome.value.data, expected);
                    } else {
                        assert.ok(outcome.reason instanceof WorkerLostError, String(outcome.reason));
                        lost++;
                    }
                }
                // Until the others are at work again, and have worked enough to count as workers that work.
                let calm = 0;
                for (let i = 0; calm < 12 && i < 1000; i++) {
                    calm = runtime.explain().workers < 2 - noted() ? 0 : calm + 1;
                    await runtime._run(block).then((out) => out.dispose(), () => { lost++; });
                    await new Promise((resolve) => { setTimeout(resolve, 1); });
                }
            }
            assert.ok(bystander.data.every((value) => value === 7), 'nobody else is written to');
            assert.ok((killed >= 10 || noted() === 2) && lost < 1.5 * killed, `${killed} workers ended, ${lost} calls lost`);
            // The stack of a worker that was ended is free once it is gone, what its program needed with a later call.
            const last = performance.now() + HANG_MS;
            for (let left = Infinity; left >= 2 ** 20;) {
                assert.ok(performance.now() < last, `${left} bytes are not given back`);
                await new Promise((resolve) => { setTimeout(resolve, 20); });
                await runtime._run(block).then((out) => out.dispose(), (error) => assert.ok(error instanceof WorkerLostError, String(error)));
                left = runtime.memory.used - used;
            }
            await assertGoesOn(runtime, 2);
        } finally {
            end();
        }
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
    assert.throws(() => runtime.explain(), /Runtime: the runtime has been disposed/);
});

/**
 * @param {string} body  of a module in a process of its own
 * @returns {Promise<string>} what it prints; rejects when it does not end by itself
 */
async function processOf(body) {
    const entry = new URL('../../js/engine/create-runtime.js', import.meta.url).href;
    const { stdout } = await promisify(execFile)(process.execPath, [
        ...process.execArgv.filter((flag) => flag.includes('wasm')), '--input-type=module', '--eval',
        `import { createRuntime } from ${JSON.stringify(entry)};\n${body}`,
    ], { timeout: HANG_MS, cwd: fileURLToPath(new URL('./', import.meta.url)) });
    return stdout;
}

test('a process ends by itself, with and without dispose', { timeout: 2 * timeout }, async () => {
    const disposing = "const r = await createRuntime({ workers: 2 }); r.dispose(); console.log('end');";
    assert.equal(await processOf(disposing), 'end\n');
    assert.equal(await processOf(`await createRuntime({ workers: 2 }); console.log('end');`), 'end\n');
    assert.equal(await processOf(`{ using_(await createRuntime({ workers: 1 })); }
        function using_(r) { r[Symbol.dispose ?? 'dispose'](); } console.log('end');`), 'end\n');
});
