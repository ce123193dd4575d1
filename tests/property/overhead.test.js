// A decoded token leaves next to nothing behind: no byte of wasm memory, a result and its tensor on the heap.

import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { test } from 'node:test';
import vm from 'node:vm';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { testRuntime } from '../runtime.js';

setFlagsFromString('--expose-gc');
const collect = /** @type {() => void} */ (vm.runInNewContext('gc'));

const runtime = await testRuntime();
const layer = new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 16 });
layer.build([1, null, 16], [1, null, 16]);
const cache = new KVCache(runtime, { batch: 1, length: 16, numHeads: 1, keyDim: 16 });
const x = new Tensor(runtime, { shape: [1, 1, 16], data: new Float32Array(16).fill(0.1) });
const mask = new Tensor(runtime, { shape: [1, 16], data: new Uint8Array(16).fill(1) });

/** @type {Record<string, import('../../js/layers/attention/arguments.js').CallOptions>} */
const WAYS = {
    'with a mask': { cache, cacheUpdateIndex: 3, attentionMask: mask },
    'causal': { cache, cacheUpdateIndex: 3, useCausalMask: true },
    'without a cache': {},
};

for (const [name, options] of Object.entries(WAYS)) {
    test(`a step ${name}: under 200 bytes of garbage, no wasm memory`, () => {
        const step = () => layer.callSync(x, x, options).attentionOutput.dispose();
        for (let i = 0; i < 50_000; i++) step();
        const { used, reserved } = runtime.memory;
        const n = 2000;
        let least = Infinity;
        for (let attempt = 0; attempt < 5; attempt++) { // the engine may compile meanwhile
            collect();
            const before = process.memoryUsage().heapUsed;
            for (let i = 0; i < n; i++) step();
            least = Math.min(least, (process.memoryUsage().heapUsed - before) / n);
        }
        assert.ok(least < 200, `${least.toFixed(0)} bytes a call`);
        assert.deepEqual([runtime.memory.used, runtime.memory.reserved], [used, reserved]);
    });
}
