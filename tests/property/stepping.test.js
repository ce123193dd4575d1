// Token by token, in chunks or at once: the same outputs, and the same cache.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVCache } from '../../js/index.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';
import { functional as functionalOf, inPlace as inPlaceOf, there } from '../there.js';
import { draw, randomLayer } from './cases.js';

const runtime = await testRuntime();

/** One row goes through another kernel than a block of rows: sums in another order, a few units in the last place. */
const TOLERANCE = { atol: 3e-6, rtol: 3e-6 };

/**
 * Keras's mask for positions [first, first + rows) of a cache: j <= i + first.
 * @param {number} first
 * @param {number} rows
 * @param {number} length
 */
function causalMask(first, rows, length) {
    const data = new Uint8Array(rows * length);
    for (let i = 0; i < rows; i++) data.fill(1, i * length, i * length + first + i + 1);
    return { shape: [rows, length], data };
}

/**
 * Rows [first, first + rows) of every batch entry.
 * @param {import('../there.js').Floats} x
 * @param {number} first
 * @param {number} rows
 */
function slice({ shape: [batch, t, features], data }, first, rows) {
    const part = new Float32Array(batch * rows * features);
    for (let b = 0; b < batch; b++) {
        part.set(data.subarray((b * t + first) * features, (b * t + first + rows) * features), b * rows * features);
    }
    return { shape: [batch, rows, features], data: part };
}

/**
 * @param {import('../../js/index.js').CachedMultiHeadAttention} layer
 * @param {import('../there.js').Floats} x
 * @param {KVCache | import('../there.js').Floats} cache
 * @param {number[]} chunks
 * @param {(first: number, rows: number) => import('../../js/layers/attention/arguments.js').CallOptions} options
 * @returns outputs of one call per chunk, put together as one sequence
 */
function inChunks(layer, x, cache, chunks, options) {
    const [batch, t] = x.shape;
    const parts = [];
    let first = 0;
    /** @type {KVCache | import('../../js/engine/tensor.js').TensorLike} */
    let last = cache;
    for (const rows of chunks) {
        const part = slice(x, first, rows);
        const result = layer.callSync(part, part, { ...options(first, rows), cache: last, cacheUpdateIndex: first });
        last = there(result.cache);
        parts.push({ first, rows, data: result.attentionOutput.data, width: result.attentionOutput.shape[2] });
        first += rows;
    }
    const width = parts[0].width;
    const data = new Float32Array(batch * t * width);
    for (const { first: from, rows, data: part } of parts) {
        for (let b = 0; b < batch; b++) {
            data.set(part.subarray(b * rows * width, (b + 1) * rows * width), (b * t + from) * width);
        }
    }
    return { data, cache: last };
}

for (const [seed, batch, t, length, numHeads, keyDim, features] of [
    [1, 1, 16, 16, 2, 4, 8], [2, 2, 13, 20, 3, 5, 7], [3, 1, 40, 64, 4, 16, 64], [4, 3, 9, 9, 1, 33, 11],
]) {
    test(`${t} positions of ${numHeads} x ${keyDim}, batch ${batch}, cache ${length}`, () => {
        const shape = [batch, t, features];
        const layer = randomLayer(runtime, { numHeads, keyDim }, shape, shape, seed);
        const x = draw(seed).tensor(shape);
        const atOnce = layer.callSync(x, x, { attentionMask: causalMask(0, t, t) });
        const expected = atOnce.attentionOutput.data;
        const cacheShape = [batch, 2, length, numHeads, keyDim];
        const zeros = () => ({ shape: cacheShape, data: new Float32Array(cacheShape.reduce((a, b) => a * b, 1)) });
        const kvCache = () => new KVCache(runtime, { batch, length, numHeads, keyDim });
        const masked = (/** @type {number} */ first, /** @type {number} */ rows) => ({ attentionMask: causalMask(first, rows, length) });
        const whole = inChunks(layer, x, zeros(), [t], masked);
        assertClose(whole.data, expected, TOLERANCE, 'prefill');

        const ones = new Array(t).fill(1);
        const chunks = [Math.floor(t / 2), 1, t - Math.floor(t / 2) - 1];
        for (const [name, sizes] of Object.entries({ steps: ones, chunks })) {
            const functional = inChunks(layer, x, zeros(), sizes, masked);
            assertClose(functional.data, expected, TOLERANCE, `${name}, functional`);
            assertClose(functionalOf(functional.cache).data, functionalOf(whole.cache).data, TOLERANCE, `${name}, cache`);
            const inPlace = inChunks(layer, x, kvCache(), sizes, masked);
            assert.deepEqual(inPlace.data, functional.data, `${name}, in place`);
            assert.deepEqual(inPlaceOf(inPlace.cache).toTensor().data, functionalOf(functional.cache).data);
            const causal = inChunks(layer, x, kvCache(), sizes, () => ({ useCausalMask: true }));
            assertClose(causal.data, expected, TOLERANCE, `${name}, useCausalMask`);
            assert.deepEqual(inPlaceOf(causal.cache).toTensor().data, functionalOf(functional.cache).data);
            inPlaceOf(inPlace.cache).dispose();
            inPlaceOf(causal.cache).dispose();
        }
        layer.dispose();
    });
}

test('a static cross-attention cache gives what the keys and values gave', () => {
    const { tensor } = draw(5);
    const [query, value] = [tensor([2, 3, 8]), tensor([2, 11, 10])];
    const layer = randomLayer(runtime, { numHeads: 2, keyDim: 5 }, query.shape, value.shape, 5);
    const cache = new KVCache(runtime, { batch: 2, length: 11, numHeads: 2, keyDim: 5 });
    const expected = layer.callSync(query, value).attentionOutput.data;
    assert.deepEqual(layer.callSync(query, value, { cache, cacheUpdateIndex: 0 }).attentionOutput.data, expected);
    assert.deepEqual(layer.callSync(query, tensor([2, 4, 10]), { cache }).attentionOutput.data, expected);
});
