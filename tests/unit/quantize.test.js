// Quantizing a layer: the rounding by hand, what Keras computed where ../shared is there, and what is refused.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CachedMultiHeadAttention } from '../../js/index.js';
import { throughInt4, toInt8 } from '../../js/keras/quantize.js';
import { assertClose } from '../close.js';
import { KERAS, readTensors, skip } from '../files/shared.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

test('int8: a scale for each output, ties to even', () => {
    const { rows, scales } = toInt8(Float32Array.of(1, 0.5, 0, -2, 0.25, 0), 3);
    assert.deepEqual(Array.from(rows), [64, -127, 127, 63, 0, 0]); // 63.5, -127; a little below 127 and 63.5
    assert.equal(scales[0], 63.5);
    assert.ok(Math.abs(scales[1] - 254) < 1e-3 && Math.abs(scales[2] - 1.27e9) < 1e3);
});

test('int4: the range of a block, which has zero in it where it is not full, in 15 steps', () => {
    const near = (/** @type {ArrayLike<number>} */ got, /** @type {number[]} */ want) =>
        assertClose(Float32Array.from(got), Float32Array.from(want), { atol: 1e-6, rtol: 0 });
    near(throughInt4(Float32Array.of(-1, 0, 2, 0.33), 1), [-1, 0, 2, 0.4]); // 1.65 steps of 0.2 are 2
    near(throughInt4(Float32Array.of(1, 0.5), 1), [1, 7 / 15]); // 7.5 steps, but for the epsilon
    near(throughInt4(Float32Array.of(1, -3, 0.5, -1), 2), [1, -3, 7 / 15, -1]);
    const long = new Float32Array(129).fill(0.1);
    long[0] = 1.5;
    // Keras's own: a full block of one sign is 1.4 wide, not 1.5; the block that follows is one of its own.
    const got = throughInt4(long, 1);
    near([got[0], got[127], got[128]], [1.4, 1.4 / 15, 0.1]);
    const below = throughInt4(long.map((v) => -v), 1);
    near([below[0], below[127], below[128]], [-1.4, -1.4 / 15, -0.1]);
    near(throughInt4(new Float32Array(128).fill(1), 1).subarray(0, 1), [1e-7]); // Keras loses what all inputs share
});

const built = (/** @type {any} */ runtime) => {
    const kernelInitializer = { class_name: 'GlorotUniform', config: { seed: 1 } };
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 8, kernelInitializer });
    layer.build([1, null, 24], [1, null, 24]);
    return layer;
};

for (const mode of /** @type {const} */ (['int8', 'int4'])) {
    test(`${mode}: near the floats, weights read as what is left, and all of it is given back`, async () => {
        const runtime = await testRuntime();
        built(runtime).dispose();
        const { bytesInUse } = runtime.explain();
        const layer = built(runtime);
        const x = { shape: [1, 5, 24], data: floats(rng(3), 120) };
        const before = await layer.call(x, x);
        const kernel = layer.weights[0].data;
        layer.quantize(mode);
        const after = await layer.call(x, x);
        const { data } = after.attentionOutput;
        const worst = Math.max(...Array.from(before.attentionOutput.data, (v, i) => Math.abs(v - data[i])));
        assert.ok(worst > 1e-5 && worst < (mode === 'int8' ? 0.05 : 0.5), `${worst}`);
        const left = layer.weights[0].data;
        assert.notDeepEqual(left, kernel);
        assertClose(left, kernel, { atol: mode === 'int8' ? 0.003 : 0.05, rtol: 0 });
        assert.throws(() => layer.quantize(mode), /quantize must come once/);
        assert.throws(() => layer.setWeights(layer.getWeights()), new RegExp(`is quantized to ${mode}`));
        assert.throws(() => layer.applyConstraints(), new RegExp(`^Error: applyConstraints before quantize\\(\\): .* is quantized to ${mode}$`));
        for (const { attentionOutput } of [before, after]) attentionOutput.dispose();
        layer.dispose();
        assert.equal(runtime.explain().bytesInUse - bytesInUse < 2 ** 17, true, 'but for scratch');
    });
}

test('where the memory ends, all projections are quantized, or none', async () => {
    const runtime = await testRuntime({ workers: 0, maxMemory: 8 * 2 ** 20 });
    const { memory } = runtime;
    // Integers of a single output are padded to eight: the value's take more than its floats.
    const features = 40_000;
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 1 });
    layer.build([1, 1, 8], [1, 1, features]);
    const before = layer.getWeights().map(({ data }) => data);
    const held = [];
    for (let size = 2 ** 20; size >= 2 ** 10; size /= 2) {
        for (let address = memory.offer(size); address !== 0; address = memory.offer(size)) held.push(address);
    }
    memory.free(held[0]);
    const rest = memory.alloc(2 ** 20 - 5 * features - 256);
    assert.throws(() => layer.quantize('int8'), { name: 'RangeError', message: /^memory exhausted/ });
    assert.deepEqual(layer.getWeights().map(({ data }) => data), before);
    layer.setWeights(layer.getWeights());
    memory.free(rest);
    layer.quantize('int8');
    assert.notDeepEqual(layer.getWeights()[0].data, before[0]);
    runtime.dispose();
});

test('what is refused', async () => {
    const runtime = await testRuntime();
    assert.throws(() => new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 2 }).quantize('int8'), /built/);
    const layer = built(runtime);
    assert.throws(() => layer.quantize(/** @type {any} */ ('float8')), /mode must be 'int8' or 'int4', got "?float8/);
    layer.dispose();
    assert.throws(() => layer.quantize('int8'), /disposed/);
    const half = new CachedMultiHeadAttention(runtime, { numHeads: 1, keyDim: 2, dtype: 'float16' });
    half.build([1, null, 4], [1, null, 4]);
    assert.throws(() => half.quantize('int8'), /dtype must be float32/);
    half.dispose();
});

test("Keras's own", { skip }, async () => {
    const runtime = await testRuntime();
    const folder = new URL('quantized/', KERAS);
    const modes = /** @type {Record<string, 'int8' | 'int4'>} */ ({ int8: 'int8', int4_block128: 'int4' });
    const { layers } = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
    const mine = layers.filter((/** @type {any} */ l) => l.layer.endsWith('MultiHeadAttention') && modes[l.mode]);
    assert.equal(mine.length, 4);
    for (const { config, file, float_weights: list, mode, name, tolerance } of mine) {
        const t = readTensors(new URL(file, folder));
        const layer = CachedMultiHeadAttention.fromConfig(runtime, config);
        const [query, value] = [t['in/query'], t['in/value'] ?? t['in/query']];
        layer.build(query.shape, value.shape);
        layer.setWeights(list.map((/** @type {any} */ w) => t[w.tensor]));
        layer.quantize(modes[mode]);
        const { attentionOutput } = await layer.call(query, value);
        assertClose(attentionOutput.data, t['out/quantized'].data, tolerance, name);
        layer.dispose();
    }
});
