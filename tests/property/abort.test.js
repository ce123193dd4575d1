// A call that is cut short leaves what there was: a KVCache its bits, a ModelCache whole tokens, the memory its bytes; and what
// comes after it gives the bits that it gives without. How long it takes is no test's affair, but what happens is: an abort is
// heard in the middle of a program.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { CachedMultiHeadAttention, KVCache } from '../../js/index.js';
import { TransformerDecoder } from '../../js/layers/index.js';
import { rng } from '../rng.js';
import { WORKERS, testRuntime } from '../paired.js';
import { draw, randomLayer } from './cases.js';

const inline = await testRuntime();
const page = await testRuntime({ workers: 2, _test: { mayBlock: false } });
const config = { numHeads: 4, keyDim: 64 };
/** So much that a call takes several times the milliseconds after which its thread lets others have a turn. */
const [LENGTH, ROWS, FEATURES] = [1000, 900, 256];

const turn = () => new Promise((resolve) => setImmediate(resolve));

/**
 * How often a call may be over before this thread gets a turn in the middle of it: alone it does no more than a part of one, but
 * while a busy machine gives it nothing, workers may be through with all.
 */
const QUICKER = WORKERS === 0 ? 0 : 100;

/** What the first page of a cache holds now, while a call may be writing to it. @param {KVCache} cache */
function firstPage({ _pages: pages, _runtime: { memory } }) {
    const { address, bytes } = pages.pageAt(0);
    return Buffer.from(memory.u8(address, bytes).slice());
}

/** @param {number} turns after which it is aborted @param {unknown} [reason] */
async function abortAfter(turns, reason) {
    const controller = new AbortController();
    const done = (async () => {
        for (let i = 0; i < turns; i++) await turn();
        controller.abort(reason);
    })();
    return { signal: controller.signal, done };
}

for (const [name, runtime] of /** @type {const} */ ([['a thread that takes part', inline], ['a page', page]])) {
    const layer = randomLayer(runtime, config, [1, 1, FEATURES], [1, 1, FEATURES], 1);
    const x = draw(2).tensor([1, ROWS, FEATURES]);

    test(`${name}: a call that is cut short leaves a KVCache as it was`, async () => {
        for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
            const cache = new KVCache(runtime, { batch: 1, length: LENGTH, ...config, dtype });
            cache.set(draw(3).tensor(cache.shape));
            const before = Float32Array.from(cache.toTensor().data);
            const options = { cache, cacheUpdateIndex: 50, useCausalMask: true };
            // The first time takes scratch that is kept.
            const whole = (await layer.call(x, x, { ...options, signal: new AbortController().signal })).attentionOutput.data;
            cache.set({ shape: cache.shape, data: before });
            const again = Float32Array.from(cache.toTensor().data);
            const { used } = runtime.memory;
            const reason = new Error('enough');
            let inside = 0;
            for (const turns of [0, 1, 2, 3, 1, 2]) {
                const { signal, done } = await abortAfter(turns, reason);
                const outcome = await layer.call(x, x, { ...options, signal }).then(({ attentionOutput }) => {
                    attentionOutput.dispose(); // it was quicker
                    return null;
                }, (error) => error);
                await done;
                if (outcome === null) {
                    cache.set({ shape: cache.shape, data: before });
                } else {
                    assert.equal(outcome, reason);
                    inside += turns > 0 ? 1 : 0;
                }
                assert.deepEqual(cache.toTensor().data, again);
                assert.equal(runtime.memory.used, used);
            }
            assert.ok(inside > 0, 'no abort came in the middle of a call');
            // And once when it has been written to already.
            const untouched = firstPage(cache);
            const controller = new AbortController();
            let outcome = null;
            const ended = layer.call(x, x, { ...options, signal: controller.signal })
                .then(() => { outcome = 'quicker'; }, (error) => { outcome = error; });
            while (outcome === null && firstPage(cache).equals(untouched)) await turn();
            controller.abort(reason);
            await ended;
            if (outcome === 'quicker' && (WORKERS > 0 || runtime === page)) cache.set({ shape: cache.shape, data: before });
            else assert.equal(outcome, reason);
            assert.deepEqual(cache.toTensor().data, again);
            assert.equal(runtime.memory.used, used);
            assert.deepEqual((await layer.call(x, x, options)).attentionOutput.data, whole);
            cache.dispose();
        }
    });

    test(`${name}: aborted before it begins, in line, and twice`, async () => {
        const { signal } = await abortAfter(0, 'now');
        const later = new AbortController();
        const first = layer.call(x, x, { signal: new AbortController().signal });
        const second = layer.call(x, x, { signal: later.signal });
        const third = layer.call(x, x);
        later.abort();
        later.abort();
        const outcomes = await Promise.allSettled([first, second, third, layer.call(x, x, { signal })]);
        // Where the thread takes part, the third call had it done before it was aborted.
        const status = runtime === page ? 'rejected' : 'fulfilled';
        assert.deepEqual(outcomes.map((outcome) => outcome.status), ['fulfilled', status, 'fulfilled', 'rejected']);
        assert.equal(/** @type {PromiseRejectedResult} */ (outcomes[3]).reason, 'now');
    });

    test(`${name}: what is no signal is refused`, async () => {
        await assert.rejects(layer.call(x, x, { signal: /** @type {any} */ ({}) }), { name: 'TypeError', message: /signal must be an AbortSignal/ });
    });
}

for (const [name, runtime] of /** @type {const} */ ([['a thread that takes part', inline], ['a page', page]])) {
    test(`${name}: a signal that throws where it can: its call is settled, and others go on`, async () => {
        const layer = randomLayer(runtime, config, [1, 1, FEATURES], [1, 1, FEATURES], 1);
        const x = draw(2).tensor([1, ROWS, FEATURES]);
        const { data } = (await layer.call(x, x)).attentionOutput;
        const thrown = new Error('the signal\'s own');
        for (const bad of ['throwIfAborted', 'addEventListener', 'removeEventListener', 'aborted', 'reason']) {
            for (const [turns, ahead] of [[-1, false], [0, false], [1, false], [0, true]]) {
                const controller = new AbortController();
                const signal = new Proxy(controller.signal, {
                    get(target, name) {
                        if (name === bad) throw thrown;
                        const value = Reflect.get(target, name, target);
                        return typeof value === 'function' ? value.bind(target) : value;
                    },
                });
                const first = ahead ? layer.call(x, x, { signal: new AbortController().signal }) : null;
                const call = layer.call(x, x, { signal }).then((result) => result.attentionOutput.data, (error) => error);
                for (let i = 0; i < Number(turns); i++) await turn();
                if (Number(turns) >= 0) controller.abort('stop');
                const outcome = await call;
                if (outcome instanceof Float32Array) assert.deepEqual(outcome, data);
                else assert.ok(outcome === thrown || outcome === 'stop' || /aborted/.test(outcome.message), outcome.stack);
                if (first) assert.deepEqual((await first).attentionOutput.data, data);
                assert.deepEqual((await layer.call(x, x)).attentionOutput.data, data, `${bad}, after ${turns} turns`);
            }
        }
        layer.dispose();
    });
}

test('a runtime that is disposed of in the middle of a call', async () => {
    for (const mayBlock of [true, false]) {
        const runtime = await testRuntime({ workers: 2, _test: { mayBlock } });
        const layer = randomLayer(runtime, config, [1, 1, FEATURES], [1, 1, FEATURES], 1);
        const x = draw(2).tensor([1, ROWS, FEATURES]);
        const controller = new AbortController();
        const call = layer.call(x, x, { signal: controller.signal });
        runtime.dispose();
        controller.abort();
        await assert.rejects(call, /disposed|AbortError|aborted/);
    }
});

test('calls with signals wait for each other, and read what they were given', async () => {
    const layer = randomLayer(inline, config, [1, 1, FEATURES], [1, 1, FEATURES], 1);
    const x = draw(2).tensor([1, ROWS, FEATURES]);
    const expected = layer.callSync(x, x).attentionOutput.data;
    const given = { shape: x.shape, data: Float32Array.from(x.data) };
    const controllers = [0, 1, 2].map(() => new AbortController());
    const calls = controllers.map(({ signal }) => layer.call(given, given, { signal }));
    given.data.fill(NaN);
    await turn();
    controllers[1].abort();
    await assert.rejects(calls[1], { name: 'AbortError' });
    for (const i of [0, 2]) assert.deepEqual((await calls[i]).attentionOutput.data, expected, `call ${i}`);
});

test('what is called meanwhile is served at once, and the call goes on', async () => {
    const layer = randomLayer(inline, config, [1, 1, FEATURES], [1, 1, FEATURES], 1);
    const x = draw(2).tensor([1, ROWS, FEATURES]);
    const expected = layer.callSync(x, x).attentionOutput.data;
    const { signal } = new AbortController();
    const small = draw(5).tensor([1, 2, FEATURES]);
    for (let quicker = 0, inside = false; !inside; quicker++) {
        assert.ok(quicker <= QUICKER, 'the thread was let go in the middle of the call');
        let settled = false;
        const given = { shape: x.shape, data: Float32Array.from(x.data) };
        const call = layer.call(given, given, { signal }).finally(() => { settled = true; });
        await turn();
        inside = !settled;
        given.data.fill(NaN);
        assert.ok(layer.callSync(small, small).attentionOutput.data.every(Number.isFinite));
        assert.deepEqual((await call).attentionOutput.data, expected);
    }
});

test('a decoder that is cut short leaves its cache as it was', async () => {
    const decoder = new TransformerDecoder(inline, { intermediateDim: 512, numHeads: 4 });
    const x = draw(2).tensor([1, ROWS, FEATURES]);
    const cache = new KVCache(inline, { batch: 1, length: LENGTH, ...config });
    const options = { selfAttentionCache: cache, selfAttentionCacheUpdateIndex: 0 };
    const expected = (await decoder.call(x, null, options)).output.data;
    for (let quicker = 0, error = null; error === null; quicker++) {
        assert.ok(quicker <= QUICKER, 'it was cut short');
        cache.truncate(0);
        const { signal } = await abortAfter(1);
        error = await decoder.call(x, null, { ...options, signal }).then(() => null, (reason) => reason);
        assert.equal(error?.name ?? 'AbortError', 'AbortError');
    }
    assert.ok(cache.toTensor().data.every((y) => y === 0));
    assert.deepEqual((await decoder.call(x, null, options)).output.data, expected);
    decoder.dispose();
    cache.dispose();
});

test('a first call that is aborted takes back no weights that another call, setWeights or quantize has come to since', async () => {
    const x = draw(2).tensor([1, ROWS, FEATURES]);
    /** @type {((layer: CachedMultiHeadAttention) => unknown)[]} */
    const uses = [(layer) => layer.callSync(x, x), (layer) => layer.setWeights(layer.getWeights()), (layer) => layer.quantize('int8')];
    for (const use of [null, ...uses]) {
        const layer = new CachedMultiHeadAttention(inline, config);
        const controller = new AbortController();
        const first = layer.call(x, x, { signal: controller.signal });
        controller.abort('now');
        use?.(layer);
        const weights = layer.getWeights();
        await assert.rejects(first, (reason) => reason === 'now');
        assert.equal(layer.built, use !== null);
        if (use) assert.deepEqual(layer.getWeights(), weights);
        layer.dispose();
    }
});

test('1,000 aborts of a model at random times: whole tokens, no bytes lost, and the same bits afterwards', async () => {
    const model = await loadModel(inline);
    const random = rng(7);
    const ids = Array.from({ length: 240 }, () => Math.floor(random() * model.vocabularySize));
    const expected = (await model.forward(ids)).data;
    const cache = model.createCache();
    let used = 0;
    let aborted = 0;
    for (let round = 0; round < 1000; round++) {
        const start = cache.length;
        const { signal, done } = await abortAfter(Math.floor(random() * 3));
        const part = ids.slice(start, start + 1 + Math.floor(random() * 200));
        let error = null;
        try {
            if (round % 3) (await model.forward(part, { cache, signal })).dispose();
            else for await (const _ of model.generate(ids.slice(0, start + part.length), { cache, signal, maxNewTokens: 2 }));
        } catch (caught) {
            error = /** @type {Error} */ (caught);
        }
        await done;
        assert.ok(error === null || error.name === 'AbortError', String(error));
        aborted += error ? 1 : 0;
        assert.ok(cache.length >= Math.min(start, ids.length - 1) && cache.length <= start + part.length + 2);
        cache.truncate(Math.min(cache.length, ids.length));
        while (cache.length > 0 && !cache.tokens.every((id, i) => id === ids[i])) cache.truncate(cache.length - 1);
        if (round % 100 === 99) {
            cache.truncate(Math.min(cache.length, ids.length - 1));
            assert.deepEqual((await model.forward(ids.slice(cache.length), { cache })).data, expected, `after ${aborted} aborts`);
            cache.truncate(0);
            // A worker that a busy machine keeps from leaving in time is given up, and with it the operations of its program, 17 kB. What
            // an abort itself left would be as much each time.
            const { bytesInUse } = inline.explain();
            used ||= bytesInUse;
            assert.ok(bytesInUse - used < 200_000, `${bytesInUse - used} bytes after ${aborted} aborts`);
        }
        if (cache.length > 200) cache.truncate(Math.floor(random() * 20));
    }
    assert.ok(aborted > 300, `${aborted} aborts`);
    model.dispose();
});
