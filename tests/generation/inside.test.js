// Looking inside: hidden states, attention and probabilities, against a float64 computation of the same weights.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { assertClose } from '../close.js';
import { json as toJson, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { referenceInside, tinyConfig, tinyFiles, tinyWeights } from './checkpoint.js';

const SIZE = { positions: 200 };
const runtime = await testRuntime();
const model = await loadModel(runtime, tinyFiles({ size: SIZE }));
const IDS = Array.from({ length: 150 }, (_, i) => (i * 37) % 266);
const reference = referenceInside(tinyWeights(SIZE), tinyConfig(SIZE), IDS);

/** @param {Float64Array[]} rows */
const flat = (rows) => rows.flatMap((row) => [...row]);
const tolerance = { atol: 2e-4, rtol: 2e-4 };

describe('forward', () => {
    test('hidden states after layers and after the last norm, over several passes', async () => {
        const { logits, hiddenStates = [] } = await model.forward(IDS, { hiddenStates: [1, 'final', 0] });
        assert.deepEqual(hiddenStates.map(({ shape }) => shape), [[150, 24], [150, 24], [150, 24]]);
        assertClose(hiddenStates[0].data, flat(reference.states[1]), tolerance);
        assertClose(hiddenStates[1].data, flat(reference.final), tolerance);
        assertClose(hiddenStates[2].data, flat(reference.states[0]), tolerance);
        assert.deepEqual(logits.data, (await model.forward(IDS)).data);
        const last = model.forwardSync(IDS.slice(0, 3), { hiddenStates: ['final'], positions: 'all' });
        assertClose(there(last.hiddenStates)[0].data, flat(reference.final.slice(0, 3)), tolerance);
        assert.deepEqual(last.logits.shape, [3, 300]);
    });

    test('what each layer would have said, from its hidden states', async () => {
        const [first, last] = there((await model.forward(IDS, { hiddenStates: [0, 1] })).hiddenStates);
        // The same weights with the layers after it left out.
        const { logits } = referenceInside(tinyWeights(SIZE), { ...tinyConfig(SIZE), n_layer: 1 }, IDS);
        assertClose((await model.readOut(first)).data, flat(logits), tolerance);
        assertClose((await model.readOut(last)).data, flat(reference.logits), tolerance);
        const row = { shape: [1, 24], data: first.data.slice(24, 48) };
        assert.deepEqual((await model.readOut(row)).shape, [1, 300]);
        assertClose((await model.readOut(row)).data, [...logits[1]], tolerance);
        for (const wrong of [{ shape: [24], data: row.data }, { shape: [2, 12], data: row.data }, { shape: [1, 24], data: new Int32Array(24) }]) {
            await assert.rejects(model.readOut(wrong), /^TypeError: states must be float32 of shape \[n, 24\], got /);
        }
        last.dispose();
        await assert.rejects(model.readOut(last), /^Error: states/);
    });

    test('attention of layers and heads', async () => {
        const { attention, hiddenStates } = await model.forward(IDS, { attention: { layers: [1, 0], heads: [2, 0] } });
        assert.equal(hiddenStates, undefined);
        assert.ok(Array.isArray(attention));
        attention.forEach(({ layer, start, shape, data }, i) => {
            assert.deepEqual([layer, start, shape], [1 - i, 0, [2, 150, 150]]);
            [2, 0].forEach((head, h) => assertClose(data.subarray(h * 150 * 150, (h + 1) * 150 * 150),
                flat(reference.attention[layer][head]), tolerance));
        });
    });

    test('whoever looks on changes no bit, whatever the weights', async () => {
        const quantized = await loadModel(runtime);
        for (const [looked, layers] of /** @type {const} */ ([[model, [0, 1]], [quantized, [3]]])) {
            const [plain, watched] = [looked.createCache(), looked.createCache()];
            for (const ids of [IDS.slice(0, 100), IDS.slice(100, 103), [IDS[103]]]) {
                const expected = await looked.forward(ids, { cache: plain, positions: 'all' });
                const { logits } = await looked.forward(ids, { cache: watched, positions: 'all', attention: [...layers] });
                assert.deepEqual(logits.data, expected.data);
            }
            plain.dispose();
            watched.dispose();
        }
        quantized.dispose();
    });

    test('into a cache: only what is read, and afterwards nothing is looked at any more', async () => {
        const cache = model.createCache();
        await model.forward(IDS.slice(0, 100), { cache });
        const { attention, hiddenStates = [] } = await model.forward(IDS.slice(100), { cache, attention: 1, hiddenStates: [0] });
        assert.ok(attention && !Array.isArray(attention));
        assert.deepEqual([attention.start, attention.shape], [100, [3, 50, 150]]);
        assertClose(attention.data, reference.attention[1].flatMap((rows) => flat(rows.slice(100))), tolerance);
        assertClose(hiddenStates[0].data, flat(reference.states[0].slice(100)), tolerance);
        cache.truncate(149);
        const tensor = await model.forward([IDS[149]], { cache });
        assertClose(tensor.data, [...reference.logits[149]], tolerance);
        assert.equal(cache._passes.watch, null);
        cache.dispose();
    });

    test('a full ring: a row for each token, over the places that there are', async () => {
        const { name, config } = there(readCases().find((one) => one.name === 'llama-rope-llama3'));
        const rotary = await loadModel(runtime, { config: toJson(config), weights: weightsOf(name) });
        const ids = IDS.slice(0, 20).map((id) => id % 32);
        const [whole, parts] = [0, 1].map(() => rotary.createCache({ sinks: 2, window: 6 }));
        const { attention: all } = await rotary.forward(ids, { cache: whole, attention: 0 });
        assert.ok(all && !Array.isArray(all));
        const [heads, rows, positions] = all.shape;
        assert.deepEqual([all.start, rows, positions], [0, 20, 8]);
        for (const [row, id] of ids.entries()) {
            const { attention: one } = await rotary.forward([id], { cache: parts, attention: 0 });
            assert.ok(one && !Array.isArray(one));
            for (let head = 0; head < heads; head++) {
                const at = (head * rows + row) * positions;
                const width = one.shape[2];
                assertClose(all.data.subarray(at, at + width), [...one.data.subarray(head * width, (head + 1) * width)], tolerance);
            }
        }
        rotary.dispose();
    });

    test('what it takes is given back', async () => {
        const look = async () => {
            const { logits, hiddenStates = [] } = await model.forward(IDS, { hiddenStates: [0, 1], attention: [0, 1] });
            [logits, ...hiddenStates].forEach((tensor) => tensor.dispose());
        };
        await look();
        const before = runtime.explain().bytesInUse;
        await look();
        const signal = AbortSignal.abort(new Error('no'));
        await assert.rejects(model.forward(IDS, { hiddenStates: [0], signal }), /no/);
        assert.equal(runtime.explain().bytesInUse, before);
    });

    for (const [options, message] of /** @type {[any, RegExp][]} */ ([
        [{ hiddenStates: 1 }, /^hiddenStates must be a list/], [{ hiddenStates: [] }, /^hiddenStates must be/],
        [{ hiddenStates: [2] }, /^hiddenStates must be 'final' or a layer from 0 to 1, got 2/],
        [{ hiddenStates: [0, 0] }, /^hiddenStates must be 'final' or a layer each once/],
        [{ hiddenStates: ['final', 'final'] }, /^hiddenStates must be .* each once/],
        [{ hiddenStates: [0, 'final', 'final'] }, /^hiddenStates must be .* each once/],
        [{ hiddenStates: ['last'] }, /^hiddenStates must be 'final' or a layer from 0 to 1, got "last"/],
        [{ attention: 2 }, /^attention must be a layer from 0 to 1/],
        [{ attention: { layers: [0], heads: [3] } }, /^attention\.heads must be a head from 0 to 2/],
        [{ attention: { layers: [0], head: 1 } }, /^attention must be/],
        [{ attention: [] }, /^attention\.layers/], [{ attention: 'all' }, /^attention/],
    ])) {
        test(`${JSON.stringify(options)} is refused`, async () => {
            await assert.rejects(model.forward([1], options), { message });
            if (options.attention !== undefined) assert.throws(() => model.generate([1], options), { message });
        });
    }

    test('of a batch it is refused', async () => {
        await assert.rejects(model.forward([[1], [2]], { hiddenStates: [0] }), { name: 'RangeError', message: /^hiddenStates/ });
        await assert.rejects(model.forward([[1], [2]], { attention: 0 }), { name: 'RangeError', message: /^attention/ });
        for (const ids of [[], [[]], [[1], []]]) {
            await assert.rejects(model.forward(ids), { name: 'RangeError', message: /^ids must be at least one token for each text/ });
        }
    });
});

test('every family: logits follow from the last hidden states', async () => {
    for (const { name, config, ids } of readCases()) {
        const other = await loadModel(runtime, { config: toJson(config), weights: weightsOf(name) });
        const layers = Array.from({ length: other.layers }, (_, i) => i);
        const { hiddenStates = [], logits } = await other.forward(ids.slice(0, 9), { hiddenStates: [...layers, 'final'], positions: 'all' });
        const final = there(hiddenStates.at(-1)).data;
        const { width, vocabulary, head } = other.network.description;
        const weight = other.network.head;
        // Where another layer lies between, tests/model compares the logits.
        for (let token = 0; token < vocabulary && !head.dense; token += 7) {
            const row = weight.row(token);
            for (let t = 0; t < 9; t++) {
                let sum = 0;
                for (let i = 0; i < width; i++) sum += row[i] * final[t * width + i];
                let expected = sum * head.scale;
                if (head.softcap) expected = head.softcap * Math.tanh(expected / head.softcap);
                if (!weight.hasBias) assertClose([logits.data[t * vocabulary + token]], [expected], { atol: 2e-4, rtol: 2e-4 }, name);
            }
        }
        other.dispose();
    }
});

test('generate: attention of several layers, with each token', async () => {
    const ids = IDS.slice(0, 140);
    let at = 0;
    for await (const { token, attention } of model.generate(ids, { sampler: 'greedy', maxNewTokens: 3, attention: { layers: [0, 1], heads: [1] } })) {
        const inside = referenceInside(tinyWeights(SIZE), tinyConfig(SIZE), ids);
        assert.ok(Array.isArray(attention));
        attention.forEach(({ layer, data, start }) => {
            assert.equal(start, at);
            assertClose(data, flat(inside.attention[layer][1].slice(start)), tolerance);
        });
        at = ids.length;
        ids.push(token);
    }
    assert.equal(at, 142);
});

describe('score', () => {
    test('each token with its own: together the whole', async () => {
        const text = 'the thing in a café';
        const ids = there(model.tokenizer).encode(text);
        const { logits } = referenceInside(tinyWeights(SIZE), tinyConfig(SIZE), [0, ...ids.slice(0, -1)]);
        const { nats, each = [] } = await model.score(text, { each: true, candidates: 4 });
        assert.deepEqual(each.map(({ token }) => token), ids);
        assert.ok(Math.abs(each.reduce((sum, { nats: own }) => sum + own, 0) - nats) < 1e-9);
        assert.deepEqual(Object.keys(await model.score(text)), ['nats', 'tokens', 'bytes']);
        each.forEach((told, i) => {
            const powers = [...logits[i]].map(Math.exp);
            const sum = powers.reduce((total, x) => total + x, 0);
            assertClose([told.probability], [powers[ids[i]] / sum], { rtol: 1e-3, atol: 1e-7 });
            assertClose([told.nats], [-Math.log(powers[ids[i]] / sum)], tolerance);
            const best = [...powers.keys()].sort((a, b) => powers[b] - powers[a]).slice(0, 4);
            assert.deepEqual(there(told.candidates).map(({ token }) => token), best);
            const probabilities = there(told.candidates).map(({ probability }) => probability);
            assertClose(probabilities, best.map((token) => powers[token] / sum), { rtol: 1e-3, atol: 0 });
        });
    });

    test('a text is read as a whole, also where angles depend on its length', async () => {
        const { config } = there(readCases().find(({ name }) => name === 'llama-rope-dynamic'));
        const letters = [...'abcdefghijklmnopqrstuvwxyz'];
        const vocab = Object.fromEntries(letters.map((letter, id) => [letter, id]));
        const tokenizer = {
            version: '1.0', added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null,
            model: { type: 'BPE', unk_token: null, fuse_unk: false, vocab, merges: [] },
        };
        const files = { config: toJson({ ...config, bos_token_id: 30 }), weights: weightsOf('llama-rope-dynamic'), tokenizer: toJson(tokenizer) };
        const target = await loadModel(runtime, files, { contextLength: 300 });
        const ids = Array.from({ length: 290 }, (_, i) => (i * i + (i >> 3)) % 26);
        const { data, shape } = await target.forward([30, ...ids.slice(0, -1)], { positions: 'all' });
        const expected = ids.reduce((sum, id, i) => {
            const row = [...data.subarray(i * shape[1], (i + 1) * shape[1])];
            return sum + Math.log(row.reduce((total, x) => total + Math.exp(x - row[id]), 0));
        }, 0);
        const { nats, tokens } = await target.score(ids.map((id) => letters[id]).join(''));
        assert.equal(tokens, ids.length);
        assertClose([nats], [expected], { rtol: 1e-9 });
        target.dispose();
    });

    test('what is not asked for right is refused', async () => {
        await assert.rejects(model.score('a', { each: /** @type {any} */ (1) }), { name: 'TypeError', message: /^each/ });
        await assert.rejects(model.score('a', { each: true, candidates: 0 }), { name: 'RangeError', message: /^candidates/ });
        await assert.rejects(model.score('a', { candidates: 2 }), { name: 'TypeError', message: /^candidates belong to each/ });
        await assert.rejects(model.score('a', { onProgress: /** @type {any} */ (1) }), { name: 'TypeError', message: /^onProgress/ });
    });
});
