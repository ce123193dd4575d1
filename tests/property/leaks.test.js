// Nothing adds up: bytes of wasm memory and of JavaScript heap stay where they are, however many calls are made.

import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { test } from 'node:test';
import vm from 'node:vm';
import { KVCache } from '../../js/blocks/cache.js';
import { Tensor } from '../../js/engine/tensor.js';
import { testRuntime } from '../paired.js';
import { Block } from './jobs.js';
import { noteWorkers } from './note-workers.js';

const timeout = 300_000;

setFlagsFromString('--expose-gc');
const collect = /** @type {() => void} */ (vm.runInNewContext('gc'));

/** Bytes of JavaScript heap, and of the buffers that hang on it, after a collection. */
function heap() {
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
}

/**
 * What `n` more steps add to the heap, in bytes a step.
 * @param {number} n
 * @param {(i: number) => void} step
 */
function growth(n, step) {
    for (let i = 0; i < n; i++) step(i); // warm: code, inline caches, the bound on unread results
    const before = heap();
    for (let i = 0; i < n; i++) step(i);
    return (heap() - before) / n;
}

test('100,000 calls whose results are dropped', { timeout }, async () => {
    const runtime = await testRuntime();
    const block = new Block(runtime, { t: 1, heads: 1, d: 16 });
    let reserved = 0;
    let peak = 0;
    const bytes = growth(50_000, (i) => {
        runtime._runSync(block);
        if (i === 49_999 && reserved === 0) {
            ({ reserved, peak } = runtime.memory);
        }
    });
    assert.equal(runtime.memory.reserved, reserved, 'the memory does not grow');
    assert.equal(runtime.memory.peak, peak, 'no more of it is ever in use');
    // 50,000 steps: a leak of one small object a step would be 1.6 MB or more.
    assert.ok(bytes < 16, `${bytes.toFixed(1)} bytes of heap a call`);
});

test('calls whose results are read, disposed of or passed on', { timeout }, async () => {
    const runtime = await testRuntime();
    const block = new Block(runtime, { t: 1, heads: 1, d: 16 });
    const { used } = runtime.memory;
    let sum = 0;
    const bytes = growth(10_000, (i) => {
        const result = runtime._runSync(block);
        if (i % 2) {
            sum += result.data[0];
        } else {
            result.dispose();
        }
    });
    assert.ok(Number.isFinite(sum));
    assert.ok(runtime.memory.used - used < 128 * 1024, 'but for scratch, all is free');
    assert.ok(bytes < 16, `${bytes.toFixed(1)} bytes of heap a call`);
});

test('a call leaves few bytes for the garbage collector', { timeout }, async () => {
    const runtime = await testRuntime();
    const block = new Block(runtime, { t: 1, heads: 1, d: 16 });
    // Recording as a layer does it, without the objects that Block makes for readability.
    const shape = Object.freeze([16]);
    const job = {
        out: /** @type {Tensor | null} */ (null),
        check() {},
        /** @param {import('../../js/engine/program.js').Program} program */
        record(program) {
            program.scratch(256);
            this.out = program.result(shape, 'float32');
        },
        finish() { return /** @type {Tensor} */ (this.out); },
    };
    runtime._runSync(block).dispose();
    const n = 100_000;
    for (let i = 0; i < n; i++) runtime._runSync(job).dispose();
    let least = Infinity;
    for (let attempt = 0; attempt < 5; attempt++) { // the engine may compile meanwhile
        collect();
        const before = process.memoryUsage().heapUsed;
        for (let i = 0; i < 2000; i++) runtime._runSync(job).dispose();
        least = Math.min(least, (process.memoryUsage().heapUsed - before) / 2000);
    }
    assert.ok(least < 200, `${least.toFixed(0)} bytes a call`);
});

test('tensors and caches that are made and disposed of', { timeout }, async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const data = new Float32Array(1000);
    let reserved = 0;
    const bytes = growth(20_000, () => {
        const tensor = new Tensor(runtime, { shape: [10, 100], data });
        const cache = new KVCache(runtime, { batch: 1, length: 100, numHeads: 2, keyDim: 8 });
        cache.toTensor().dispose();
        tensor.dispose();
        cache.dispose();
        reserved ||= runtime.memory.reserved;
    });
    assert.equal(runtime.memory.used, used);
    assert.equal(runtime.memory.reserved, reserved);
    assert.ok(bytes < 16, `${bytes.toFixed(1)} bytes of heap a step`);
});

for (const [workers, n] of [[0, 150], [2, 15]]) {
    test(`${2 * n} runtimes with ${workers} workers that are made and disposed of`, { timeout }, async () => {
        const step = async () => {
            const runtime = await testRuntime({ workers });
            runtime._runSync(new Block(runtime, { t: 2, heads: 2, d: 8 }));
            runtime.dispose();
        };
        const { started, end } = noteWorkers();
        /** Of `n` more, once their workers are gone. */
        const resident = async () => {
            for (let i = 0; i < n; i++) await step();
            while (started.length > 0) await new Promise((resolve) => { setTimeout(resolve, 10); });
            collect();
            // What a collection has found is given back by other threads.
            await new Promise((resolve) => { setTimeout(resolve, 100); });
            return process.memoryUsage().rss;
        };
        try {
            // Without workers: each reserves gigabytes of address space, more in all than an engine gives.
            const before = await resident();
            const grown = await resident() - before;
            assert.ok(grown < 100 * 2 ** 20, `${(grown / 2 ** 20).toFixed(0)} MiB more are resident`);
        } finally {
            end();
        }
    });
}
