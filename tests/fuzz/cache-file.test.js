// Saved caches whose headers have seeded damage, with lengths that fit again: each either loads, and then goes on, or
// is refused with a FormatError. Nothing else is thrown, nothing hangs, nothing stays allocated.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError, ModelCache, loadModel } from '../../js/generation/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { rng } from '../rng.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 600);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** Longer than anything that works takes. */
const LIMIT_MS = 1000;

/** Where the header begins, behind magic, its length and a checksum of what follows it: cache-file.js. */
const START = 16;

const runtime = await testRuntime({ maxMemory: 64 * 2 ** 20 });
const random = rng(SEED);
const below = (/** @type {number} */ n) => Math.floor(random() * n);

/** @template T @param {readonly T[]} list @returns {T} */
const pick = (list) => list[below(list.length)];

const VALUES = [
    null, 0, -1, 1, 2, 3, 1e9, 2 ** 31, 2 ** 53, 1.5, '', 'float16', 'int8', [], [1], [-1], [1e9], [[1]], {}, true,
    false, { tokens: [], positions: null }, { tokens: [1], positions: [5] }, new Array(1000).fill(0),
];

/** A copy of a JSON value in which one value, somewhere, is another. @param {any} value @returns {any} */
function bend(value) {
    const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
    if (keys.length === 0 || random() < 0.1) return pick(VALUES);
    const copy = Array.isArray(value) ? [...value] : { ...value };
    const key = pick(keys);
    if (random() >= 0.15) copy[key] = bend(copy[key]);
    else if (Array.isArray(copy)) copy.splice(Number(key), 1);
    else delete copy[key];
    return copy;
}

/** @param {Uint8Array} saved @returns {{ text: string, bytes: Uint8Array<ArrayBuffer> }} */
function damaged(saved) {
    const length = new DataView(saved.buffer, saved.byteOffset).getUint32(8, true);
    const bent = JSON.stringify(bend(JSON.parse(new TextDecoder().decode(saved.subarray(START, START + length)))));
    const text = bent.padEnd(Math.ceil(bent.length / START) * START);
    const parts = [saved.subarray(0, START), Buffer.from(text), saved.subarray(START + length)];
    const bytes = new Uint8Array(Buffer.concat(parts));
    new DataView(bytes.buffer).setUint32(8, text.length, true);
    return { text: bent, bytes };
}

test(`${ROUNDS} damaged caches, seed ${SEED}`, async () => {
    const { name, config } = there(readCases().find((entry) => entry.name === 'llama-mqa-f16'));
    const model = await loadModel(runtime, { config: json(config), weights: weightsOf(name) });
    const batch = model.createCache({ batch: 2 });
    (await model.forward([[1, 2, 3], [4, 5]], { cache: batch })).dispose();
    const holes = model.createCache();
    (await model.forward([1, 2, 3, 4, 5], { cache: holes })).dispose();
    holes.remove(1, 3, { shift: false });
    const saves = /** @type {Uint8Array[]} */ ([await batch.save(), await holes.save()]);
    const before = runtime.memory.used;
    /** @type {Set<string>} */
    const seen = new Set();
    for (let round = 0; round < ROUNDS; round++) {
        const { text, bytes } = damaged(pick(saves));
        const what = `round ${round}: ${text.slice(0, 500)}`;
        const start = performance.now();
        try {
            const cache = await ModelCache.load(model, bytes);
            try {
                const next = cache.batch === 1 ? [1] : Array.from({ length: cache.batch }, () => [1]);
                (await model.forward(next, { cache })).dispose();
            } finally {
                cache.dispose();
            }
            seen.add('loads');
        } catch (error) {
            assert.ok(error instanceof FormatError, `${what}: ${error instanceof Error ? error.stack : error}`);
            seen.add(error.code);
        }
        assert.ok(performance.now() - start < LIMIT_MS, `${what}: took ${performance.now() - start} ms`);
        assert.equal(runtime.memory.used, before, `${what}: bytes stay allocated`);
    }
    assert.ok(seen.has('loads') && seen.has('cache-invalid'), [...seen].join());
});
