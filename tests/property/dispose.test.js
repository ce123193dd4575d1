// On a thread that must not block, things are disposed of, and inputs written to, while calls wait in line or run: every
// call gives what it gives alone, or rejects, and nobody else's memory is touched.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KVCache, Tensor } from '../../js/index.js';
import { TransformerDecoder, loadModel } from '../../js/generation/index.js';
import { tinyFiles } from '../generation/checkpoint.js';
import { testRuntime } from '../binary.js';
import { draw, randomLayer } from './cases.js';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */

const timeout = 180_000;
const makePage = () => testRuntime({ workers: 2, _test: { mayBlock: false } });
// Large enough that a call is worth waking the workers for: what is less is computed at once.
const config = { numHeads: 4, keyDim: 48 };
const WIDTH = 192;
const SHAPE = [1, 1, WIDTH];

/** Memory of somebody else's, in blocks of all sizes: what is freed too early is soon one of these. @param {Runtime} runtime */
function bystanders(runtime) {
    /** @type {Tensor[]} */
    const tensors = [];
    return {
        add() {
            for (let words = 16; words < 40_000; words *= 2) {
                const data = new Float32Array(words).fill(tensors.length + 1);
                tensors.push(new Tensor(runtime, { shape: [words], data }));
            }
        },
        check() {
            tensors.forEach(({ data }, i) => assert.ok(data.every((value) => value === i + 1), `bystander ${i} was written to`));
        },
    };
}

test('layer.dispose(), cache.dispose() and tensor.dispose() with calls in line', { timeout }, async () => {
    const page = await makePage();
    const others = bystanders(page);
    for (const victim of ['layer', 'cache', 'input', 'mask']) {
        const layer = randomLayer(page, config, SHAPE, SHAPE, 1);
        const cache = new KVCache(page, { batch: 1, length: 9, ...config });
        const input = new Tensor(page, draw(2).tensor([1, 9, WIDTH]));
        const mask = new Tensor(page, { shape: [9, 9], data: new Uint8Array(81).fill(1) });
        const options = { cache, cacheUpdateIndex: 0, attentionMask: mask };
        const alone = (await layer.call(input, input, options)).attentionOutput.data;
        const calls = Array.from({ length: 5 }, () => layer.call(input, input, options));
        /** @type {Record<string, { dispose(): void }>} */
        const named = { layer, cache, input, mask };
        assert.ok(page._busy);
        named[victim].dispose();
        others.add();
        const outcomes = await Promise.allSettled(calls);
        for (const [i, outcome] of outcomes.entries()) {
            if (outcome.status === 'fulfilled') assert.deepEqual(outcome.value.attentionOutput.data, alone, `${victim}, call ${i}`);
            else assert.match(String(outcome.reason), /disposed/);
        }
        // What a call in line was given has been captured; what it works on has not.
        const expected = victim === 'layer' || victim === 'cache' ? 'rejected' : 'fulfilled';
        assert.ok(outcomes.slice(1).every(({ status }) => status === expected), victim);
        others.check();
        for (const name of Object.keys(named)) named[name].dispose();
    }
});

test('runtime.dispose() with calls in line rejects them all', { timeout }, async () => {
    const page = await makePage();
    const layer = randomLayer(page, config, SHAPE, SHAPE, 1);
    const decoder = new TransformerDecoder(page, { intermediateDim: 256, numHeads: 4 });
    decoder.build(SHAPE);
    const x = draw(2).tensor([1, 9, WIDTH]);
    const calls = [layer.call(x, x), decoder.call(x), layer.call(x, x), decoder.call(x, null, { training: true }), decoder.call(x)];
    page.dispose();
    for (const { status, reason } of /** @type {any[]} */ (await Promise.allSettled(calls))) {
        assert.equal(status, 'rejected');
        assert.match(String(reason), /disposed/);
    }
});

test('runtime.dispose() before a call has been awaited rejects it, also where it has run by then', { timeout }, async () => {
    for (const runtime of [await makePage(), await testRuntime({ workers: 0 }), await testRuntime({ workers: 1 })]) {
        const layer = randomLayer(runtime, config, SHAPE, SHAPE, 1);
        const input = draw(2).tensor([1, 9, WIDTH]);
        const call = layer.call(input, input);
        runtime.dispose();
        await assert.rejects(call, /runtime has been disposed/);
    }
});

test('a decoder and its caches, with and without dropout', { timeout }, async () => {
    const page = await makePage();
    const others = bystanders(page);
    const x = draw(3).tensor([1, 5, WIDTH]);
    for (const dropout of [0, 0.5]) {
        for (const victim of ['decoder', 'cache']) {
            const decoder = new TransformerDecoder(page, { intermediateDim: 256, numHeads: 4, dropout });
            decoder.build(SHAPE);
            const cache = new KVCache(page, { batch: 1, length: 5, ...config });
            const options = { selfAttentionCache: cache, selfAttentionCacheUpdateIndex: 0, training: dropout > 0 };
            const alone = dropout > 0 ? null : (await decoder.call(x, null, options)).output.data;
            const calls = Array.from({ length: 4 }, () => decoder.call(x, null, options));
            // Training is many programs, between which anything may happen.
            if (dropout > 0) await new Promise((resolve) => { setImmediate(resolve); });
            (victim === 'decoder' ? decoder : cache).dispose();
            others.add();
            const outcomes = await Promise.allSettled(calls);
            for (const outcome of outcomes) {
                if (outcome.status === 'rejected') assert.match(String(outcome.reason), /disposed/);
                else if (alone) assert.deepEqual(outcome.value.output.data, alone);
            }
            if (dropout === 0) assert.equal(outcomes[3].status, 'rejected');
            others.check();
        }
    }
});

test('six texts begun and model.dispose(): nobody else\'s memory is written to', { timeout }, async () => {
    const page = await makePage();
    const size = { positions: 64, width: 192, heads: 4 };
    const single = await testRuntime({ workers: 0 });
    const reference = await loadModel(single, tinyFiles({ size }));
    const take = async (/** @type {AsyncIterable<any>} */ items) => {
        const tokens = [];
        for await (const { token } of items) tokens.push(token);
        return tokens;
    };
    const prompt = Array.from({ length: 40 }, (_, i) => 1 + i);
    const options = { sampler: 'greedy', maxNewTokens: 3 };
    const expected = await take(reference.generate(prompt, options));
    for (let wait = 0; wait < 4; wait++) {
        const others = bystanders(page);
        const model = await loadModel(page, tinyFiles({ size }));
        const texts = Array.from({ length: 6 }, () => take(model.generate(prompt, options)));
        for (let i = 0; i < wait; i++) await new Promise((resolve) => { setImmediate(resolve); });
        model.dispose();
        others.add();
        const outcomes = await Promise.allSettled(texts);
        for (const outcome of outcomes) {
            if (outcome.status === 'fulfilled') assert.deepEqual(outcome.value, expected);
            else assert.match(String(outcome.reason), /disposed/);
        }
        others.check();
    }
});

test('a Tensor that is written to once the call has been made: as plain data', { timeout }, async () => {
    const page = await makePage();
    const layer = randomLayer(page, config, SHAPE, SHAPE, 1);
    const plain = draw(4).tensor([1, 64, WIDTH]);
    const expected = (await layer.call(plain, plain)).attentionOutput.data;
    const keep = { shape: [64, 64], data: Uint8Array.from({ length: 64 * 64 }, (_, i) => Number(i % 3 > 0 || i % 65 === 0)) };
    const masked = (await layer.call(plain, plain, { attentionMask: keep })).attentionOutput.data;
    for (let round = 0; round < 5; round++) {
        const input = new Tensor(page, plain);
        const attentionMask = new Tensor(page, keep);
        assert.equal(page._busy, false, 'the first in line is the one that is read at once');
        const calls = [layer.call(input, input), layer.call(input, input)];
        const withMask = layer.call(input, input, { attentionMask });
        assert.ok(page._busy);
        input.data.fill(NaN);
        attentionMask.data.fill(0);
        for (const { attentionOutput } of await Promise.all(calls)) assert.deepEqual(attentionOutput.data, expected);
        assert.deepEqual((await withMask).attentionOutput.data, masked);
        input.dispose();
        attentionMask.dispose();
    }
});

test('what is freed while calls are in line comes back once they are through, or not wanted', { timeout }, async () => {
    const page = await makePage();
    const layer = randomLayer(page, config, SHAPE, SHAPE, 1);
    const x = draw(5).tensor([1, 9, WIDTH]);
    (await layer.call(x, x)).attentionOutput.dispose();
    const { used } = page.memory;
    for (let round = 0; round < 20; round++) {
        const mine = Array.from({ length: 4 }, () => new Tensor(page, x));
        const calls = mine.map((tensor) => layer.call(tensor, tensor));
        const controller = new AbortController();
        const last = layer.call(x, x, { signal: controller.signal });
        mine.forEach((tensor) => tensor.dispose());
        controller.abort();
        await assert.rejects(last, { name: 'AbortError' });
        for (const { attentionOutput } of await Promise.all(calls)) attentionOutput.dispose();
        assert.equal(page.memory.used, used);
    }
});

test('a large call does not keep what it needed from those after it', async () => {
    for (const workers of [0, 2]) {
        const runtime = await testRuntime({ workers, maxMemory: 100 * 2 ** 20 });
        const layer = randomLayer(runtime, { numHeads: 1, keyDim: 64 }, [1, 1, 64], [1, 1, 64], 1);
        const rows = 60_000;
        const shape = [1, 2, rows, 1, 64];
        const query = draw(6).tensor([1, 1, 64]);
        const before = layer.callSync(query, query).attentionOutput.data;
        const cache = { shape, data: new Float32Array(2 * rows * 64).fill(0.5) };
        layer.callSync(query, query, { cache }).attentionOutput.dispose();
        // Room that only the scratch of the large call has left.
        const free = runtime.memory.max - runtime.explain().bytesInUse - 2 ** 20;
        const large = new Tensor(runtime, { shape: [Math.floor(free / 4)] });
        for (let i = 0; i < 3; i++) assert.deepEqual(layer.callSync(query, query).attentionOutput.data, before);
        large.dispose();
        layer.callSync(query, query, { cache }).attentionOutput.dispose();
        assert.deepEqual(layer.callSync(query, query).attentionOutput.data, before);
    }
});

test('300 random mixtures of calls, writes and disposals', { timeout: 400_000 }, async () => {
    const page = await makePage();
    const others = bystanders(page);
    others.add();
    for (let seed = 1; seed <= 300; seed++) {
        const { integer, chance, tensor } = draw(seed);
        const layer = randomLayer(page, config, SHAPE, SHAPE, 1);
        const plain = tensor([1, integer(1, 6), WIDTH]);
        const cache = new KVCache(page, { batch: 1, length: 6, ...config });
        const options = chance(0.5) ? { cache, cacheUpdateIndex: 0, useCausalMask: true } : {};
        const alone = (await layer.call(plain, plain, options)).attentionOutput.data;
        const input = new Tensor(page, plain);
        const calls = Array.from({ length: integer(1, 5) }, () => layer.call(input, input, options));
        /** @type {(() => void)[]} */
        const deeds = [
            () => input.data.fill(9), () => input.dispose(), () => layer.dispose(), () => cache.dispose(),
            () => void new Tensor(page, { shape: [integer(1, 40_000)], data: undefined }).dispose(),
        ];
        if (chance(0.5)) await new Promise((resolve) => { setTimeout(resolve, integer(0, 2)); });
        const deed = deeds[integer(0, deeds.length - 1)];
        deed();
        const extra = new Tensor(page, { shape: [integer(1, 40_000)] });
        extra.data.fill(seed);
        for (const outcome of await Promise.allSettled(calls)) {
            if (outcome.status === 'fulfilled') assert.deepEqual(outcome.value.attentionOutput.data, alone, `seed ${seed}`);
            else assert.match(String(outcome.reason), /disposed/, `seed ${seed}`);
        }
        assert.ok(extra.data.every((value) => value === seed), `seed ${seed}`);
        for (const owned of [extra, input, cache, layer]) owned.dispose();
    }
    others.check();
});
