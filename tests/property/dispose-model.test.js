// A model, its caches and its runtime are disposed of while forward() and generate() wait in line or run, on a thread
// that must not block: everything gives what it gives alone, or rejects, and nothing is written to memory that is
// somebody else's by then.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tensor } from '../../js/index.js';
import { loadModel } from '../../js/generation/index.js';
import { tinyFiles } from '../generation/checkpoint.js';
import { testRuntime } from '../binary.js';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../js/generation/index.js').LanguageModel} LanguageModel */
/** @typedef {import('../../js/generation/index.js').ModelCache} ModelCache */

const timeout = 400_000;
const makePage = () => testRuntime({ workers: 2, _test: { mayBlock: false } });

// Large enough that a pass is worth waking the workers for; a prompt of several passes.
const SIZE = { positions: 400, width: 192, heads: 4 };
const FILES = tinyFiles({ size: SIZE });
const IDS = Array.from({ length: 300 }, (_, i) => (i * 37) % 266);

const turn = () => new Promise((resolve) => { setImmediate(resolve); });

/** Takes all of the memory that has been freed, in blocks of all sizes, and watches it. @param {Runtime} runtime */
function bystanders(runtime) {
    /** @type {Tensor[]} */
    const tensors = [];
    return {
        add() {
            for (let round = 0; round < 6; round++) {
                for (let words = 16; words < 200_000; words *= 2) {
                    const data = new Float32Array(words).fill(tensors.length + 1);
                    tensors.push(new Tensor(runtime, { shape: [words], data }));
                }
            }
        },
        check() {
            for (const [i, { data }] of tensors.entries()) {
                assert.ok(data.every((value) => value === i + 1), `bystander ${i} was written to`);
            }
            tensors.forEach((tensor) => tensor.dispose());
        },
    };
}

/** @param {LanguageModel} model @param {ModelCache} [cache] */
async function written(model, cache) {
    const tokens = [];
    const options = { sampler: 'greedy', maxNewTokens: 4, ...(cache && { cache }) };
    for await (const { token } of model.generate(IDS, options)) tokens.push(token);
    return tokens;
}

const reference = await (async () => {
    const single = await testRuntime({ workers: 0 });
    const model = await loadModel(single, FILES);
    const logits = (await model.forward(IDS)).data.slice();
    const all = (await model.forward(IDS, { positions: 'all' })).data.slice();
    return { logits, all, tokens: await written(model) };
})();

/**
 * Calls of every kind, each on caches of its own.
 * @param {LanguageModel} model
 * @param {ModelCache[]} caches three
 */
function calls(model, caches) {
    return [
        model.forward(IDS, { cache: caches[0] }).then(({ data }) => assert.deepEqual(data, reference.logits)),
        written(model, caches[1]).then((tokens) => assert.deepEqual(tokens, reference.tokens)),
        model.forward(IDS, { positions: 'all' }).then(({ data }) => assert.deepEqual(data, reference.all)),
        written(model).then((tokens) => assert.deepEqual(tokens, reference.tokens)),
        model.forward(IDS, { cache: caches[2], positions: 'all' })
            .then(({ data }) => assert.deepEqual(data, reference.all)),
    ];
}

/** @param {PromiseSettledResult<unknown>[]} outcomes @param {string} what */
function checkOutcomes(outcomes, what) {
    for (const outcome of outcomes) {
        if (outcome.status === 'rejected') {
            assert.ok(!(outcome.reason instanceof assert.AssertionError), `${what}: ${outcome.reason.message}`);
            assert.match(String(outcome.reason), /disposed/, what);
        }
    }
    return outcomes.filter(({ status }) => status === 'rejected').length;
}

test('model.dispose() with calls in line', { timeout }, async () => {
    const page = await makePage();
    let most = 0;
    for (let wait = 0; wait < 8; wait++) {
        const others = bystanders(page);
        const model = await loadModel(page, FILES);
        const caches = [model.createCache(), model.createCache(), model.createCache()];
        const begun = calls(model, caches);
        for (let i = 0; i < wait; i++) await turn();
        model.dispose();
        others.add();
        most = Math.max(most, checkOutcomes(await Promise.allSettled(begun), `after ${wait} turns`));
        others.check();
        assert.ok(caches.every(({ disposed }) => disposed));
        await assert.rejects(model.forward([1]), /disposed/);
        assert.throws(() => caches[0].tokens, /disposed/);
    }
    assert.ok(most >= 4, `${most} calls rejected at most: nothing was tried`);
});

test('all that a model took comes back, whatever was in line', { timeout }, async () => {
    const page = await makePage();
    // Once alone, so that the scratch of passes has its size.
    const first = await loadModel(page, FILES);
    await Promise.all(calls(first, [first.createCache(), first.createCache(), first.createCache()]));
    first.dispose();
    const before = page.memory.used;
    for (let wait = 0; wait < 6; wait++) {
        const model = await loadModel(page, FILES);
        const begun = calls(model, [model.createCache(), model.createCache(), model.createCache()]);
        for (let i = 0; i < wait; i++) await turn();
        model.dispose();
        await Promise.allSettled(begun);
        await turn();
        assert.equal(page.memory.used, before, `after ${wait} turns`);
    }
});

test('cache.dispose() with calls in line: the others go on', { timeout }, async () => {
    const page = await makePage();
    const model = await loadModel(page, FILES);
    for (let wait = 0; wait < 6; wait++) {
        const others = bystanders(page);
        const caches = [model.createCache(), model.createCache(), model.createCache()];
        const begun = calls(model, caches);
        for (let i = 0; i < wait; i++) await turn();
        caches.forEach((cache) => cache.dispose());
        others.add();
        const outcomes = await Promise.allSettled(begun);
        checkOutcomes(outcomes, `after ${wait} turns`);
        assert.equal(outcomes[2].status, 'fulfilled', 'has a cache of its own');
        assert.equal(outcomes[3].status, 'fulfilled', 'has a cache of its own');
        others.check();
    }
    assert.deepEqual(await written(model), reference.tokens);
    model.dispose();
});

test('a cache that is being read into lets nobody else', { timeout }, async () => {
    const page = await makePage();
    const model = await loadModel(page, FILES);
    const cache = model.createCache();
    const call = model.forward(IDS, { cache });
    for (const deed of [
        () => cache.truncate(0), () => cache.reuse(IDS), () => cache.fork(), () => cache.remove(0, 0),
        () => cache.reorder([0]),
    ]) {
        assert.throws(deed, /being read into/);
    }
    await assert.rejects(model.forward([1], { cache }), /being read into/);
    await assert.rejects(cache.save(), /being read into/);
    const items = model.generate(IDS, { cache });
    await assert.rejects(items.next(), /being read into/);
    assert.deepEqual((await call).data, reference.logits);
    assert.deepEqual(cache.tokens, IDS);
    cache.truncate(0);
});

test('runtime.dispose() with calls in line rejects them all', { timeout }, async () => {
    for (let wait = 0; wait < 4; wait++) {
        const page = await makePage();
        const model = await loadModel(page, FILES);
        const begun = calls(model, [model.createCache(), model.createCache(), model.createCache()]);
        for (let i = 0; i < wait; i++) await turn();
        page.dispose();
        const rejected = checkOutcomes(await Promise.allSettled(begun), `after ${wait} turns`);
        assert.ok(wait > 0 || rejected === begun.length, `${rejected} of ${begun.length} reject`);
        await assert.rejects(model.forward([1]), /disposed/);
        model.dispose();
    }
});
