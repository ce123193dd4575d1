// What can be done to a ModelCache, against cold runs of the same tokens; and, where ../shared is there, against
// transformers.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ModelCache, loadModel } from '../../js/generation/index.js';
import { checksum } from '../../js/blocks/cache-bytes.js';
import { assertClose } from '../close.js';
import { assertTensor, readTensors } from '../golden/golden.js';
import { rng } from '../rng.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { sharedFolder } from '../shared.js';
import { firstLayer, json, readCases, weightsOf } from './golden.js';

/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */

const runtime = await testRuntime();
const cases = new Map(readCases().map((entry) => [entry.name, entry]));

/** @param {string} name @param {import('../../js/generation/load.js').LoadOptions} [options] */
const load = (name, options) =>
    loadModel(runtime, { config: json(there(cases.get(name)).config), weights: weightsOf(name) }, options);

const model = await load('llama-rope-llama3', { contextLength: 2000 });
const learned = await load('gpt2-unscaled-inner');
const random = rng(3);
const draw = (/** @type {number} */ n) => Array.from({ length: n }, () => Math.floor(random() * 30));

/** @param {LanguageModel} target @param {number[]} ids */
const cold = async (target, ids) => (await target.forward(ids, { positions: 'all' })).data;

/** @param {LanguageModel} target @param {ModelCache} cache @param {number[]} ids */
const feed = async (target, cache, ids) => (await target.forward(ids, { cache, positions: 'all' })).data;

/**
 * The logits of the last `n` of some ids, read cold.
 * @param {LanguageModel} target @param {number[]} ids @param {number} n
 */
const lastCold = async (target, ids, n) => (await cold(target, ids)).slice(-n * target.vocabularySize);

/**
 * What a body allocates it must free: the second time, when the scratch of passes has its size.
 * @param {(caches: ModelCache[]) => Promise<void>} body
 */
async function withCaches(body) {
    let before = 0;
    for (let round = 0; round < 2; round++) {
        before = runtime.memory.used;
        /** @type {ModelCache[]} */
        const caches = [];
        await body(caches);
        caches.forEach((cache) => cache.dispose());
    }
    assert.equal(runtime.memory.used, before, 'bytes stay allocated');
}

/** Two pages and a bit. */
const LONG = draw(530);

describe('a cache', () => {
    test('knows what it holds', () => withCaches(async (caches) => {
        const cache = model.createCache({ length: 600 });
        caches.push(cache);
        const { tokens, length, capacity, batch, byteLength } = cache;
        assert.deepEqual([tokens, length, capacity, batch, byteLength], [[], 0, 600, 1, 0]);
        await feed(model, cache, LONG);
        assert.deepEqual([cache.tokens, cache.length], [LONG, 530]);
        assert.equal(cache.byteLength, 3 * 256 * model.cacheBytesPerToken, 'three pages of each layer');
        await assert.rejects(model.forward(draw(71), { cache }),
            { name: 'RangeError', message: /530 of 600.*71 more/ });
        assert.deepEqual(cache.tokens, LONG, 'a refused call leaves it as it was');
        assert.deepEqual(await feed(model, cache, [5]), await lastCold(model, [...LONG, 5], 1));
    }));

    for (const n of [0, 1, 255, 256, 257, 512, 529, 530]) {
        test(`truncate(${n}), then other tokens: the bits of a cold run`, () => withCaches(async (caches) => {
            const cache = model.createCache();
            caches.push(cache);
            await feed(model, cache, LONG);
            cache.truncate(n);
            assert.deepEqual(cache.tokens, LONG.slice(0, n));
            const more = draw(9);
            assert.deepEqual(await feed(model, cache, more), await lastCold(model, [...LONG.slice(0, n), ...more], 9));
        }));
    }

    test('reuse() keeps the common beginning, at most all but the last', () => withCaches(async (caches) => {
        const cache = model.createCache();
        caches.push(cache);
        await feed(model, cache, LONG);
        assert.equal(cache.reuse(LONG), 529);
        assert.equal(cache.length, 529);
        const other = [...LONG.slice(0, 300), (LONG[300] + 1) % 30, 4, 5];
        assert.equal(cache.reuse(other), 300);
        assert.deepEqual(await feed(model, cache, other.slice(300)), await lastCold(model, other, 3));
        assert.equal(cache.reuse([(LONG[0] + 1) % 30]), 0);
        assert.equal(cache.length, 0);
    }));

    test('fork(): both go their own way', () => withCaches(async (caches) => {
        const cache = model.createCache();
        await feed(model, cache, LONG);
        const fork = cache.fork();
        caches.push(cache, fork);
        const [a, b] = [draw(20), draw(20)];
        for (let i = 0; i < 20; i++) {
            const [one, two] = [await feed(model, cache, [a[i]]), await feed(model, fork, [b[i]])];
            if (i === 19) {
                assert.deepEqual(one, await lastCold(model, [...LONG, ...a], 1));
                assert.deepEqual(two, await lastCold(model, [...LONG, ...b], 1));
            }
        }
        assert.deepEqual([cache.tokens, fork.tokens], [[...LONG, ...a], [...LONG, ...b]]);
        fork.truncate(100);
        cache.dispose();
        assert.deepEqual(await feed(model, fork, [3]), await lastCold(model, [...LONG.slice(0, 100), 3], 1));
    }));

    test('a fork that is saved shows nothing of what the memory held before', () => withCaches(async (caches) => {
        const used = model.createCache();
        await feed(model, used, LONG);
        used.dispose();
        const cache = model.createCache();
        const fork = cache.fork();
        caches.push(cache, fork);
        for (const each of caches) await feed(model, each, [1, 2, 3]);
        assert.deepEqual(await fork.save(), await cache.save());
    }));

    test('as much room as may be asked for is saved and loaded, and none of it taken ahead', () => withCaches(async (caches) => {
        const most = Number.MAX_SAFE_INTEGER;
        for (const options of [{ length: most }, { sinks: most, window: most }]) {
            const cache = model.createCache(options);
            caches.push(cache);
            await feed(model, cache, [1, 2, 3]);
            const loaded = await ModelCache.load(model, /** @type {Uint8Array<ArrayBuffer>} */ (await cache.save()));
            caches.push(loaded);
            assert.deepEqual([loaded.capacity, loaded.tokens], [cache.capacity, [1, 2, 3]]);
            const writing = model.generate([1, 2, 3, 4], { cache });
            await writing.next();
            await writing.return();
            assert.equal(cache.length, 4);
        }
    }));

    test('a batch of texts of different lengths: each as if alone; reorder()', () => withCaches(async (caches) => {
        const cache = model.createCache({ batch: 3 });
        caches.push(cache);
        const texts = [draw(300), draw(2), draw(40)];
        const first = await model.forward(texts, { cache });
        assert.deepEqual(first.shape, [3, model.vocabularySize]);
        const alone = async (/** @type {number[][]} */ all) => {
            const rows = [];
            for (const text of all) rows.push(...await lastCold(model, text, 1));
            return rows;
        };
        assert.deepEqual([...first.data], await alone(texts));
        assert.deepEqual(cache.tokens, texts);
        assert.equal(cache.length, 300);
        cache.reorder([2, 0, 0]);
        const more = [[1], [2, 3, 4], [5]];
        const after = [texts[2], texts[0], texts[0]].map((text, i) => [...text, ...more[i]]);
        assert.deepEqual([...(await model.forward(more, { cache })).data], await alone(after));
        assert.deepEqual(cache.tokens, after);
        for (const wrong of [[0, 1], [0, 1, 3], [0, 1, -1], [0, 1, 0.5]]) {
            assert.throws(() => cache.reorder(wrong), RangeError);
        }
        await assert.rejects(model.forward([1], { cache }), { name: 'RangeError', message: /ids/ });
        assert.throws(() => cache.reuse([1]), RangeError);
        assert.deepEqual(cache.tokens, after);
    }));

    test('remove() of nothing, of the end, of everything', () => withCaches(async (caches) => {
        for (const shift of [true, false]) {
            const cache = model.createCache();
            caches.push(cache);
            await feed(model, cache, LONG.slice(0, 300));
            cache.remove(10, 10, { shift });
            assert.equal(cache.length, 300);
            cache.remove(290, 300, { shift });
            assert.deepEqual(cache.tokens, LONG.slice(0, 290));
            if (shift) {
                const all = [...LONG.slice(0, 290), 7];
                assert.deepEqual(await feed(model, cache, [7]), await lastCold(model, all, 1));
            }
            cache.remove(0, cache.length, { shift });
            assert.deepEqual(cache.tokens, []);
            if (shift) assert.deepEqual(await feed(model, cache, [7, 8]), await lastCold(model, [7, 8], 2));
        }
    }));

    // In one layer keys and values depend on the token and its position alone, and scores on distances alone. So what a
    // cold run of the rest gives, but for rounding, is had by moving keys down, or by taking out the beginning without.
    // nanochat rotates the other way round, and normalizes what it has rotated.
    const nanochat = 'nanochat-2815-0';
    for (const [from, to, shift, name = 'llama-mqa-f16'] of /** @type {[number, number, boolean, string?][]} */ ([
        [5, 17, true], [0, 12, true], [0, 12, false], [5, 17, true, nanochat],
    ])) {
        test(`one layer of ${name}, remove(${from}, ${to}, ${shift})`, async () => {
            const { config } = there(cases.get(name));
            const weights = firstLayer(weightsOf(name));
            const single = await loadModel(runtime, { config: json(config), weights });
            // It draws none, so that the tests behind it draw what they did.
            const ids = name === nanochat ? Array.from({ length: 40 }, (_, i) => (i * i) % single.vocabularySize) : draw(40);
            const cache = single.createCache();
            await feed(single, cache, ids);
            cache.remove(from, to, { shift });
            const rest = [...ids.slice(0, from), ...ids.slice(to)];
            assert.deepEqual(cache.tokens, rest);
            const more = [3, 4, 5];
            const expected = await lastCold(single, [...rest, ...more], 3);
            assertClose(await feed(single, cache, more), expected, { atol: 1e-4, rtol: 1e-4 });
            single.dispose();
        });
    }

    test('sinks: a full ring loses the oldest after them', () => withCaches(async (caches) => {
        const cache = model.createCache({ sinks: 2, window: 6 });
        caches.push(cache);
        assert.equal(cache.capacity, 8);
        for (const [i, id] of LONG.slice(0, 30).entries()) {
            const all = LONG.slice(0, i + 1);
            const logits = await feed(model, cache, [id]);
            if (i < 8) assert.deepEqual(logits, await lastCold(model, all, 1), 'not full yet');
            assert.deepEqual(cache.tokens, i < 8 ? all : [...all.slice(0, 2), ...all.slice(-6)]);
        }
        assert.equal(cache.length, 8);
    }));

    // Before each token the oldest after the sinks is taken out of a cache that has room for more: its keys move and turn one by one.
    for (const [name, sinks, window] of /** @type {const} */ ([
        ['llama-rope-llama3', 2, 6], ['llama-mqa-f16', 0, 5], ['smollm3', 3, 9], ['gemma2', 4, 21], ['gemma3-text', 3, 14],
        ['gemma3-text', 1, 16], ['phi3-longrope', 2, 1], ['bloom-8386-0', 3, 9], ['falcon-10975-0', 0, 7], ['lfm2-72-22', 2, 6], ['lfm2-72-22', 1, 2],
    ])) {
        test(`sinks: ${name}, ${sinks} + ${window}, beside a cache whose oldest tokens are removed`, async () => {
            const target = await load(name);
            const capacity = sinks + window;
            const attention = { layers: target.network.description.layers.flatMap((layer, i) => (layer.attention ? i : [])) };
            const pair = { ring: target.createCache({ sinks, window }), list: target.createCache() };
            /** @param {typeof pair} of @param {number[]} ids */
            const both = async ({ ring, list }, ids) => {
                for (const id of ids) {
                    if (list.length === capacity) list.remove(sinks, sinks + 1);
                    const [got, expected] = await Promise.all([ring, list].map((cache) => target.forward([id], { cache, attention })));
                    assertClose(got.logits.data, [...expected.logits.data], { atol: 1e-4, rtol: 1e-4 });
                    [expected.attention].flat().forEach((one, i) => {
                        const seen = there([got.attention].flat()[i]);
                        assert.deepEqual(seen.shape, there(one).shape);
                        assertClose(seen.data, [...there(one).data], { atol: 1e-5, rtol: 1e-4 });
                    });
                }
                assert.deepEqual(ring.tokens, list.tokens);
            };
            const some = (/** @type {number} */ n) => draw(n).map((id) => id % Math.min(29, target.vocabularySize));
            // Far on, all keys are turned back: here it comes early.
            for (const { ring } of pair.ring._rows) there(ring).most = 7;
            await both(pair, some(3 * capacity + 2));
            const fork = { ring: pair.ring.fork(), list: pair.list.fork() };
            for (const n of [capacity - 1, sinks + 1, sinks, Math.max(0, sinks - 1), 0]) {
                for (const cache of Object.values(pair)) cache.truncate(n);
                await both(pair, some(2 * capacity + 3));
            }
            for (const [from, to] of [[sinks, sinks + 1], [0, 1], [Math.max(0, sinks - 1), capacity - 1], [capacity - 1, capacity]]) {
                for (const cache of Object.values(pair)) cache.remove(from, to);
                await both(pair, some(capacity + 3));
            }
            const saved = /** @type {Uint8Array<ArrayBuffer>} */ (await fork.ring.save());
            const loaded = await ModelCache.load(target, saved);
            const ids = some(capacity + 2);
            for (const id of ids) assert.deepEqual(await feed(target, loaded, [id]), await feed(target, fork.ring, [id]));
            fork.ring.dispose();
            await both({ ring: await ModelCache.load(target, saved), list: fork.list }, ids);
            target.dispose();
        });
    }

    test('sinks: reuse() keeps a ring that is what reading the ids leaves', () => withCaches(async (caches) => {
        const make = () => {
            const cache = model.createCache({ sinks: 3, window: 7 });
            caches.push(cache);
            return cache;
        };
        /** @param {number[]} ids */
        const fresh = async (ids) => (await feed(model, make(), ids)).slice(-model.vocabularySize);
        const text = draw(40);
        const [first] = [make()];
        await feed(model, first, text.slice(0, 30));
        const loaded = await ModelCache.load(model, /** @type {Uint8Array<ArrayBuffer>} */ (await first.save()));
        caches.push(loaded);
        for (const cache of [first.fork(), loaded]) {
            caches.push(cache);
            assert.equal(cache.reuse(text), 30);
            assert.equal(cache.length, 10);
            assert.deepEqual((await feed(model, cache, text.slice(30))).slice(-model.vocabularySize), await fresh(text));
            assert.equal(cache.reuse(text), 39, 'all but the last');
            // A cut puts the places in order, in which sums are of another order then.
            assertClose(await feed(model, cache, text.slice(39)), [...await fresh(text)], { atol: 1e-4, rtol: 1e-4 });
        }
        // One id is another: among the sinks, among those that are gone, in the window.
        for (const [at, kept] of [[1, 1], [12, 3], [27, 3]]) {
            const cache = first.fork();
            caches.push(cache);
            const other = text.map((id, i) => (i === at ? (id + 1) % 30 : id));
            // By chance more of what it holds may be the beginning of the text.
            const held = /** @type {number[]} */ (cache.tokens);
            const common = held.findIndex((id, i) => id !== other[i]);
            assert.ok(common >= kept && common < 9);
            assert.equal(cache.reuse(other), common);
            assert.deepEqual(cache.tokens, held.slice(0, common));
            await feed(model, cache, other.slice(common));
            assert.deepEqual(cache.tokens, [...other.slice(0, 3), ...other.slice(-7)]);
        }
        const cut = first.fork();
        caches.push(cut);
        cut.remove(0, 1);
        assert.ok(cut.reuse(text) < 3, 'the sinks are others');
    }));

    test('sinks: generate() reads of a longer text what the ring has not read', () => withCaches(async (caches) => {
        const cache = model.createCache({ sinks: 3, window: 27 });
        caches.push(cache);
        const prompt = draw(50);
        const options = /** @type {const} */ ({ temperature: 0, maxNewTokens: 12 });
        const tokens = [];
        for await (const { token } of model.generate(prompt, { ...options, cache })) tokens.push(token);
        const next = [...prompt, ...tokens, ...draw(8)];
        const [done, texts] = [/** @type {number[]} */ ([]), /** @type {number[][]} */ ([[], []])];
        const onProgress = (/** @type {{ done: number }} */ progress) => { done.push(progress.done); };
        for await (const { token } of model.generate(next, { ...options, cache, onProgress })) texts[0].push(token);
        // The last token of the first text is chosen, not read.
        assert.deepEqual(done, Array.from({ length: 9 }, (_, i) => 62 + i));
        const other = model.createCache({ sinks: 3, window: 27 });
        caches.push(other);
        for await (const { token } of model.generate(next, { ...options, cache: other })) texts[1].push(token);
        assert.deepEqual(texts[0], texts[1]);
    }));

    test('sinks: a key is rounded when it is stored, not again at every token', () => withCaches(async (caches) => {
        for (const dtype of /** @type {const} */ (['float16', 'int8'])) {
            const pair = [dtype, /** @type {const} */ ('float32')].map((type) => model.createCache({ sinks: 2, window: 62, dtype: type }));
            caches.push(...pair);
            const errors = [];
            for (const id of draw(20 * 64)) {
                const [got, expected] = await Promise.all(pair.map((cache) => feed(model, cache, [id])));
                errors.push(Math.max(...got.map((y, i) => Math.abs(y - expected[i]))));
            }
            const [first, last] = [errors.slice(0, 64), errors.slice(-64)].map((some) => Math.max(...some));
            assert.ok(last < 2 * first, `${dtype}: wrong by ${last} after twenty windows, by ${first} in the first`);
        }
    }));

    for (const name of ['llama-rope-dynamic', 'phi3-longrope']) {
        test(`sinks: ${name} turns a ring that is shorter than its training as a short text, whatever comes`, async () => {
            const target = await load(name, { contextLength: 200 });
            const [whole, parts] = [0, 1].map(() => target.createCache({ sinks: 2, window: 16 }));
            const expected = [];
            for (const id of LONG.slice(0, 90)) expected.push(...await feed(target, parts, [id]));
            assert.deepEqual([...await feed(target, whole, LONG.slice(0, 60)), ...await feed(target, whole, LONG.slice(60, 90))], expected);
            target.dispose();
        });
    }

    test('LongRoPE: a text that becomes a long one, or a short one again, is as if it had always been one', async () => {
        const target = await load('phi3-longrope');
        const all = draw(60);
        const last = (/** @type {number} */ n) => lastCold(target, all.slice(0, n), 1);
        const cache = target.createCache();
        await feed(target, cache, all.slice(0, 30));
        for (let n = 31; n < 36; n++) {
            const { logits, attention } = await target.forward([all[n - 1]], { cache, attention: 0 });
            assert.deepEqual(logits.data, await last(n), `token ${n}`);
            assert.deepEqual([attention].flat().map((one) => there(one).shape), [[target.heads, 1, n]]);
        }
        assert.deepEqual(cache.tokens, all.slice(0, 35));
        const loaded = await ModelCache.load(target, /** @type {Uint8Array<ArrayBuffer>} */ (await cache.save()));
        for (const one of [cache.fork(), loaded, cache]) {
            one.truncate(28);
            assert.deepEqual((await feed(target, one, [all[28]])), await last(29));
            assert.deepEqual((await feed(target, one, all.slice(29, 50))).slice(-target.vocabularySize), await last(50));
        }
        const batch = target.createCache({ batch: 2 });
        (await target.forward([all.slice(0, 31), all.slice(0, 20)], { cache: batch })).dispose();
        for (let n = 32; n < 36; n++) {
            const { data } = target.forwardSync([[all[n - 1]], [all[n - 12]]], { cache: batch });
            assert.deepEqual(data, Float32Array.of(...await last(n), ...await last(n - 11)));
        }
        const aborted = target.createCache();
        await feed(target, aborted, all.slice(0, 32));
        await assert.rejects(target.forward([all[32]], { cache: aborted, signal: AbortSignal.abort(new Error('enough')) }), /enough/);
        assert.deepEqual(aborted.tokens, all.slice(0, aborted.length));
        await feed(target, aborted, all.slice(aborted.length, 40));
        assert.deepEqual(await feed(target, aborted, [all[40]]), await last(41));
        target.dispose();
    });

    test('save() and load(): the same bits go on', () => withCaches(async (caches) => {
        for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
            const cache = model.createCache({ dtype });
            await feed(model, cache, LONG);
            const saved = /** @type {Uint8Array<ArrayBuffer>} */ (await cache.save());
            const loaded = await ModelCache.load(model, saved.slice().buffer);
            caches.push(cache, loaded);
            assert.deepEqual(loaded.tokens, LONG);
            assert.deepEqual(await feed(model, loaded, [1, 2, 3]), await feed(model, cache, [1, 2, 3]));
            await assert.rejects(ModelCache.load(learned, saved), { name: 'FormatError', code: 'cache-model' });
            for (const at of [0, 9, 17, saved.length >> 1, saved.length - 1]) {
                const broken = saved.slice();
                broken[at] ^= 4;
                const refused = { name: 'FormatError', code: /^cache-/ };
                await assert.rejects(ModelCache.load(model, broken), refused, `byte ${at}`);
                await assert.rejects(ModelCache.load(model, saved.slice(0, at)), refused, `${at} bytes`);
            }
        }
    }));

    test('save() after a reading that failed has pages for the tokens alone', () => withCaches(async (caches) => {
        const cache = model.createCache();
        caches.push(cache);
        await feed(model, cache, LONG.slice(0, 250));
        const signal = AbortSignal.abort();
        cache._rows[0].prepare(100);
        await assert.rejects(model.forward(LONG, { cache, signal }), { name: 'AbortError' });
        const loaded = await ModelCache.load(model, /** @type {Uint8Array<ArrayBuffer>} */ (await cache.save()));
        caches.push(loaded);
        assert.deepEqual(loaded.tokens, LONG.slice(0, 250));
        assert.deepEqual(await feed(model, loaded, [1, 2]), await feed(model, cache, [1, 2]));
    }));

    test('arguments of the wrong kind are refused, and nothing has changed', () => withCaches(async (caches) => {
        const cache = model.createCache();
        caches.push(cache);
        await feed(model, cache, [1, 2, 3]);
        for (const n of [-1, 4, 1.5, '1', undefined]) {
            assert.throws(() => cache.truncate(/** @type {any} */ (n)), RangeError);
        }
        for (const [from, to] of [[-1, 2], [2, 1], [0, 4], [0.5, 2]]) {
            assert.throws(() => cache.remove(from, to), RangeError);
        }
        assert.throws(() => cache.remove(0, 1, { shift: /** @type {any} */ (1) }), TypeError);
        for (const options of [
            { batch: 0 }, { length: 0 }, { dtype: 'int4' }, { sinks: -1, window: 4 }, { sinks: 1.5, window: 4 }, { sinks: 1, window: 0 },
        ]) {
            assert.throws(() => model.createCache(/** @type {any} */ (options)), RangeError, JSON.stringify(options));
        }
        for (const options of [{ sinks: 1 }, { window: 1 }, { made: 1 }, 7]) {
            assert.throws(() => model.createCache(/** @type {any} */ (options)), TypeError, JSON.stringify(options));
        }
        await assert.rejects(learned.forward([1], { cache }), TypeError);
        const positions = learned.createCache();
        caches.push(positions);
        await feed(learned, positions, [1, 2, 3]);
        assert.throws(() => positions.remove(0, 1), { name: 'RangeError', message: /learned positions/ });
        assert.deepEqual([cache.tokens, positions.tokens], [[1, 2, 3], [1, 2, 3]]);
        cache.dispose();
        cache.dispose();
        assert.throws(() => cache.tokens, /disposed/);
        assert.throws(() => cache.truncate(0), /disposed/);
        await assert.rejects(model.forward([1], { cache }), /disposed/);
    }));

    test('what convolutions have seen is cut, shared, reordered and saved with the rest', async () => {
        const target = await load('lfm2-72-22', { contextLength: 400 });
        const some = (/** @type {number} */ n) => draw(n).map((id) => id % 26);
        const [long, more, other] = [some(300), some(9), some(5)];
        const cache = target.createCache();
        await feed(target, cache, long);
        for (const n of [299, 257, 256, 3, 2, 1, 0]) {
            const fork = cache.fork();
            fork.truncate(n);
            assert.deepEqual(await feed(target, fork, more), await lastCold(target, [...long.slice(0, n), ...more], 9));
            fork.dispose();
        }
        const batch = target.createCache({ batch: 3 });
        await target.forward([long.slice(0, 2), long.slice(0, 270), more], { cache: batch });
        batch.reorder([1, 0, 1]);
        const { data } = await target.forward([[3], other, [4, 5]], { cache: batch });
        const [V, texts] = [target.vocabularySize, [[...long.slice(0, 270), 3], [...long.slice(0, 2), ...other], [...long.slice(0, 270), 4, 5]]];
        for (const [i, text] of texts.entries()) assert.deepEqual(data.slice(i * V, (i + 1) * V), await lastCold(target, text, 1));
        for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
            const [whole, parts] = [target.createCache({ dtype }), target.createCache({ dtype })];
            const expected = await feed(target, whole, [...long, ...more]);
            await feed(target, parts, long);
            const loaded = await ModelCache.load(target, /** @type {Uint8Array<ArrayBuffer>} */ (await parts.save()));
            for (const [i, id] of more.entries()) {
                const at = (300 + i) * V;
                for (const each of [parts, loaded]) assert.deepEqual(await feed(target, each, [id]), expected.slice(at, at + V));
            }
        }
        const { layers } = target.network.description;
        assert.equal(target.cacheBytesPerToken, 4 * layers.reduce((sum, { attention: a }) =>
            sum + (a ? a.kvHeads * (a.keyDim + a.valueDim) : target.network.description.width), 0));
        await assert.rejects(target.forward([1], { attention: [0] }), {
            name: 'RangeError', message: /^attention\.layers must be layers that have attention, got \[0\]/,
        });
        target.dispose();
    });

    // In the first layer keys do not know their positions: what tokens that stay are looked at by is what they were looked at before, in
    // proportion, unless they move.
    test('linear biases count the positions that tokens have, or move to', async () => {
        for (const name of ['bloom-8386-0', 'falcon-10975-0', 'mpt-16228-0']) {
            const target = await load(name, { contextLength: 400 });
            const { vocabularySize: V, heads } = target;
            const some = (/** @type {number} */ n) => draw(n).map((id) => id % V);
            const [ids, more] = [some(270), some(40)];
            /** @param {ModelCache} cache @param {number} id @returns {Promise<number[][]>} of each head */
            const look = async (cache, id) => {
                const { attention } = await target.forward([id], { cache, attention: { layers: [0] } });
                const { data } = there([attention].flat()[0]);
                return Array.from({ length: heads }, (_, h) => [...data.slice(h * cache.length, (h + 1) * cache.length)]);
            };
            const whole = target.createCache();
            await feed(target, whole, ids);
            const [apart, moved, cold] = [whole.fork(), whole.fork(), target.createCache()];
            apart.remove(3, 15, { shift: false });
            apart.remove(250, 255, { shift: false });
            moved.remove(3, 15);
            await feed(target, cold, [...ids.slice(0, 3), ...ids.slice(15)]);
            for (const id of more) {
                const all = await look(whole, id);
                const left = all.map((row) => row.filter((_, j) => (j < 3 || j >= 15) && (j < 262 || j >= 267)));
                const expected = left.map((row) => row.map((p) => p / row.reduce((sum, q) => sum + q, 0)));
                assertClose((await look(apart, id)).flat(), expected.flat(), { atol: 1e-6, rtol: 1e-4 }, `${name}, apart`);
                assertClose((await look(moved, id)).flat(), (await look(cold, id)).flat(), { atol: 1e-6, rtol: 1e-4 }, `${name}, moved`);
            }
            for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
                const [parts, cache] = [0, 1].map(() => target.createCache({ dtype }));
                await feed(target, parts, ids);
                parts.remove(3, 15, { shift: false });
                const loaded = await ModelCache.load(target, /** @type {Uint8Array<ArrayBuffer>} */ (await parts.save()));
                const expected = await feed(target, parts, more);
                // A step may run what was recorded for the one before.
                await target.forward(ids.slice(0, -1), { cache });
                await target.forward(ids.slice(-1), { cache });
                cache.remove(3, 15, { shift: false });
                for (const each of [cache, loaded]) {
                    for (const [i, id] of more.entries()) {
                        assert.deepEqual((await target.forward([id], { cache: each })).data, expected.slice(i * V, (i + 1) * V));
                    }
                }
            }
            target.dispose();
        }
    });

    test('keys that are normalized after their rotation stay where they are', async () => {
        const turned = await load('hunyuan_v1_dense-2811-35');
        const cache = turned.createCache();
        await feed(turned, cache, [1, 2, 3, 4]);
        const saying = { name: 'RangeError', message: /this model has keys that are normalized after their rotation and cannot be shifted/ };
        assert.throws(() => cache.remove(0, 1), saying);
        assert.throws(() => turned.createCache({ sinks: 1, window: 4 }), saying);
        cache.remove(3, 4);
        assert.deepEqual(await feed(turned, cache, [5]), await lastCold(turned, [1, 2, 3, 5], 1));
        turned.dispose();
    });

    test('sinusoidal positions stay where they are', async () => {
        const fixed = await load('xglm-2815-114');
        const cache = fixed.createCache();
        await feed(fixed, cache, [1, 2, 3, 4]);
        assert.throws(() => cache.remove(0, 1), { name: 'RangeError', message: /this model has sinusoidal positions, which lie in its keys and values/ });
        fixed.dispose();
    });

    test('learned positions end where the model has none', () => withCaches(async (caches) => {
        const all = Array.from({ length: learned.contextLength }, (_, i) => i % 30);
        for (const [options, message] of /** @type {const} */ ([
            [{ length: all.length + 1 }, /^length must be at most 128, the positions that this model has embeddings of, got 129/],
            [{ sinks: 2, window: 6 }, /^sinks: this model has learned positions/],
        ])) {
            assert.throws(() => learned.createCache(options), { name: 'RangeError', message });
        }
        const cache = learned.createCache();
        caches.push(cache);
        await feed(learned, cache, all);
        cache.remove(3, 10, { shift: false });
        const tokens = cache.tokens;
        await assert.rejects(feed(learned, cache, [1]), { name: 'RangeError', message: /it holds 121 of 121 positions, got 1 more/ });
        assert.deepEqual(cache.tokens, tokens);
        const finishes = [];
        const written = learned.generate([.../** @type {number[]} */ (tokens), 1], { cache, temperature: 0, maxNewTokens: 1 });
        for await (const { finish } of written) finishes.push(finish);
        assert.deepEqual(finishes, ['length'], 'what has moved is read again');
        // A file may say what it likes.
        cache.truncate(20);
        cache.remove(3, 10, { shift: false });
        const saved = /** @type {Uint8Array<ArrayBuffer>} */ (await cache.save());
        const text = new TextDecoder('latin1').decode(saved);
        const nothing = '{"tokens":[],"positions":null,"cold":0,"key":0,"ring":null}';
        const many = `"batch":true,"rows":[${`${nothing},`.repeat(65535)}`;
        for (const [from, to] of [['19],', '129],'], ['"capacity":128', '"capacity":129'], ['"sinks":-1', '"sinks":20'],
            ['"batch":false,"rows":[', `"batch":false,"rows":[${nothing},`], ['"batch":false,"rows":[', many]]) {
            assert.ok(text.includes(from));
            const header = text.slice(16, 16 + new DataView(saved.buffer).getUint32(8, true)).replace(from, to);
            const padded = header.trimEnd().padEnd(16 * Math.ceil(header.trimEnd().length / 16));
            const pages = saved.subarray(16 + new DataView(saved.buffer).getUint32(8, true));
            const forged = new Uint8Array(16 + padded.length + pages.length);
            forged.set(new TextEncoder().encode(text.slice(0, 8)));
            forged.set(new TextEncoder().encode(padded), 16);
            forged.set(pages, 16 + padded.length);
            new DataView(forged.buffer).setUint32(8, padded.length, true);
            new DataView(forged.buffer).setUint32(12, checksum(forged.subarray(16)), true);
            const refused = to === many ? { name: 'RangeError', message: /^memory exhausted/ } : { name: 'FormatError', code: 'cache-invalid' };
            await assert.rejects(ModelCache.load(learned, forged), refused, to.slice(0, 80));
        }
    }));

    test('generate() into a cache, left early, and again', () => withCaches(async (caches) => {
        const options = { sampler: 'greedy', maxNewTokens: 12 };
        const write = async (/** @type {number[]} */ prompt, /** @type {object} */ more, most = Infinity) => {
            /** @type {number[]} */
            const tokens = [];
            for await (const { token } of model.generate(prompt, { ...options, ...more })) {
                tokens.push(token);
                if (tokens.length === most) break;
            }
            return tokens;
        };
        const prompt = draw(280);
        const expected = await write(prompt, {});
        const cache = model.createCache();
        caches.push(cache);
        for (const most of [1, 3, Infinity]) {
            const tokens = await write(prompt, { cache }, most);
            assert.deepEqual(tokens, expected.slice(0, most));
            const held = /** @type {number[]} */ (cache.tokens);
            assert.deepEqual(held, [...prompt, ...expected].slice(0, held.length));
            assert.ok(held.length >= prompt.length + tokens.length - 1);
        }
        // What it says it holds it holds.
        const held = /** @type {number[]} */ (cache.tokens);
        assert.deepEqual(await feed(model, cache, [4]), await lastCold(model, [...held, 4], 1));
        // And a part of the prompt is not read again.
        const progress = /** @type {number[]} */ ([]);
        /** @param {{ done: number }} event */
        const onProgress = ({ done }) => progress.push(done);
        await write([...prompt, 1, 2], { cache, onProgress });
        assert.deepEqual(progress, [282]);
    }));
});

const SHARED = sharedFolder('models/cache/');

describe('as transformers has it', { skip: SHARED === undefined && 'there is no ../shared/models/cache' }, () => {
    if (SHARED === undefined) return;
    const { operations, models, tolerance } = JSON.parse(readFileSync(new URL('cache.json', SHARED), 'utf8'));
    const expected = readTensors(SHARED, 'expected.safetensors');
    const every = new Set(['chunks', 'window', 'window-chunks', 'sinks']);
    for (const { name, model: which, steps, logits } of operations) {
        test(`${which}, ${name}`, async () => {
            const target = await loadModel(runtime, fileURLToPath(new URL(models[which], SHARED)));
            const [first] = steps;
            /** @type {Record<string, ModelCache>} */
            const caches = {
                main: target.createCache(first.op === 'sinks' ? { sinks: first.sink, window: first.window }
                    : first.batch ? { batch: first.batch.length } : {}),
            };
            /** @type {import('../../js/index.js').Tensor[]} */
            const results = [];
            for (const step of steps) {
                const cache = caches[step.cache ?? 'main'];
                const positions = /** @type {const} */ ('all');
                switch (step.op) {
                    case 'sinks': break;
                    case 'feed':
                        results.push(await (step.batch ? target.forward(step.batch, { cache })
                            : target.forward(step.ids, { cache, positions })));
                        break;
                    case 'reuse': {
                        const kept = cache.reuse(step.ids);
                        assert.equal(kept, step.expect_reused);
                        results.push(await target.forward(step.ids.slice(kept), { cache, positions }));
                        break;
                    }
                    case 'truncate': cache.truncate(step.length); break;
                    case 'remove': cache.remove(step.from, step.to, { shift: step.shift }); break;
                    case 'reorder': cache.reorder(step.indices); break;
                    case 'fork': caches[step.as] = cache.fork(); break;
                    default: assert.fail(`nothing is known of ${step.op}`);
                }
            }
            const taken = every.has(name) ? results : results.slice(-1);
            const data = Float32Array.from(taken.flatMap((tensor) => [...tensor.data]));
            const rows = taken.reduce((sum, { shape }) => sum + shape[0], 0);
            assertTensor({ shape: [rows, target.vocabularySize], data }, expected[logits], tolerance, name);
            target.dispose();
        });
    }
});
