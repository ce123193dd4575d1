// What a call costs beyond its arithmetic: callSync on a layer so small that nothing else is left, and the garbage that
// a decoded token leaves. Wants --expose-gc, and a young generation that is not collected during a count.

import { CachedMultiHeadAttention, KVCache, createRuntime } from '../../../js/index.js';
import { DIM, HEADS, HEAD_DIM, makeInput, prefillCase, randomFloats } from '../../../web/bench/problem.js';
import { makeLayer } from '../../../web/bench/layer.js';

const SMALL = { dim: 16, s: 16 };

/** @typedef {'dispose' | 'read' | 'drop'} Use what becomes of an output that has been used */

/** @param {{ simd: 'relaxed' | 'simd128', workers: number }} options */
export async function create({ simd, workers }) {
    const runtime = await createRuntime({ simd, workers });
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: SMALL.dim });
    layer.build([1, null, SMALL.dim], [1, null, SMALL.dim]);
    const cache = new KVCache(runtime, { batch: 1, length: SMALL.s, numHeads: 1, keyDim: SMALL.dim });
    cache.set({ shape: [1, 2, SMALL.s, 1, SMALL.dim], data: randomFloats(2 * SMALL.s * SMALL.dim, 1, 1) });
    const one = { shape: [1, 1, SMALL.dim], data: randomFloats(SMALL.dim, 1, 2) };
    const all = { shape: [1, SMALL.s, SMALL.dim], data: randomFloats(SMALL.s * SMALL.dim, 1, 3) };

    const decode = () => layer.callSync(one, one, { cache, cacheUpdateIndex: SMALL.s - 1 }).attentionOutput.data;
    const whole = () => layer.callSync(all, all).attentionOutput.data;
    return {
        name: 'cached-attention',
        /**
         * Microseconds of a call, its output read: the median of batches.
         * @param {'decode' | 'whole'} what
         * @param {number} budgetMs
         */
        micros: (what, budgetMs) => micros(what === 'decode' ? decode : whole, budgetMs),
        /** @param {Use} use @param {number} tokens */
        garbage: (use, tokens) => garbage(runtime, use, tokens),
    };
}

/** @param {() => unknown} call @param {number} budgetMs */
function micros(call, budgetMs) {
    const batch = 50;
    const times = [];
    const end = performance.now() + budgetMs;
    do {
        const start = performance.now();
        for (let i = 0; i < batch; i++) call();
        times.push(((performance.now() - start) * 1000) / batch);
    } while (performance.now() < end);
    return times.sort((a, b) => a - b)[times.length >> 1];
}

/**
 * Decodes tokens with the layer of dim 768, each output the next input, and counts what is left behind per token: bytes
 * of JavaScript heap, of array buffers outside it, and of the runtime's memory.
 * @param {import('../../../js/engine/runtime.js').Runtime} runtime @param {Use} use @param {number} tokens
 */
function garbage(runtime, use, tokens) {
    const length = 64;
    const layer = makeLayer(runtime);
    const cache = new KVCache(runtime, { batch: 1, length, numHeads: HEADS, keyDim: HEAD_DIM });
    const first = { shape: [1, 1, DIM], data: makeInput(prefillCase(1)) };
    const options = { cache, cacheUpdateIndex: 0, useCausalMask: true };
    const sink = new Float32Array(1);
    const decode = (/** @type {number} */ n) => {
        /** @type {any} */
        let x = first;
        for (let i = 0; i < n; i++) {
            options.cacheUpdateIndex = i % length;
            const y = layer.callSync(x, x, options).attentionOutput;
            if (use === 'read') sink[0] += y.data[0];
            if (use === 'dispose' && x !== first) x.dispose();
            x = i % length === length - 1 ? first : y;
        }
    };
    decode(10_000); // by then the engine has optimized, and unread results have filled what they may fill
    globalThis.gc?.();
    const before = { ...process.memoryUsage(), ...runtime.explain() };
    decode(tokens);
    const after = { ...process.memoryUsage(), ...runtime.explain() };
    globalThis.gc?.();
    const kept = process.memoryUsage().heapUsed - before.heapUsed;
    cache.dispose();
    return {
        heap: (after.heapUsed - before.heapUsed) / tokens,
        outside: (after.arrayBuffers - before.arrayBuffers) / tokens,
        wasm: after.bytesInUse - before.bytesInUse,
        reserved: after.bytesReserved - before.bytesReserved,
        kept: kept / tokens,
    };
}
