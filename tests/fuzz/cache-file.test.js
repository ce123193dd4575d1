// Saved caches whose headers have seeded damage, with lengths and checksums that fit again: each either loads, and then goes
// on, or is refused with a FormatError; damage that nobody covers up is always refused. Nothing else is thrown, nothing hangs,
// nothing stays allocated.

import { Costs } from './costs.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FormatError, ModelCache, loadModel } from '../../js/generation/index.js';
import { KVCache } from '../../js/index.js';
import { json, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../paired.js';
import { there } from '../there.js';
import { damage } from './damage.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 600);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a damaged file may take whatever its size: the pages of a cache are whole ones. */
const BASE_BYTES = 2 ** 17;

/** Where the header begins, behind magic, its length and a checksum of the rest: blocks/cache-bytes.js. */
const START = 16;

/** FNV-1a over words, little endian, then bytes. @param {Uint8Array} bytes @returns {number} */
function checksum(bytes) {
    let hash = 0x811c9dc5n;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length;) {
        const word = at + 4 <= bytes.length ? view.getUint32(at, true) : bytes[at];
        hash = ((hash ^ BigInt(word)) * 0x01000193n) & 0xffffffffn;
        at += at + 4 <= bytes.length ? 4 : 1;
    }
    return Number(hash);
}

const runtime = await testRuntime({ maxMemory: 64 * 2 ** 20 });
const { random, below, pick, bend } = damage(SEED);

const VALUES = [
    null, 0, -1, 1, 2, 3, 1e9, 2 ** 31, 2 ** 53, 1.5, '', 'float16', 'int8', [], [1], [-1], [1e9], [[1]], {}, true,
    false, { tokens: [], positions: null }, { tokens: [1], positions: [5] }, new Array(1000).fill(0),
];

/** @param {Uint8Array} saved @returns {{ text: string, bytes: Uint8Array<ArrayBuffer> }} */
function damaged(saved) {
    const length = new DataView(saved.buffer, saved.byteOffset).getUint32(8, true);
    const bent = JSON.stringify(bend(JSON.parse(new TextDecoder().decode(saved.subarray(START, START + length))), VALUES));
    const text = bent.padEnd(Math.ceil(bent.length / START) * START);
    const parts = [saved.subarray(0, START), Buffer.from(text), saved.subarray(START + length)];
    const bytes = new Uint8Array(Buffer.concat(parts));
    new DataView(bytes.buffer).setUint32(8, text.length, true);
    new DataView(bytes.buffer).setUint32(12, checksum(bytes.subarray(START)), true);
    return { text: bent, bytes };
}

/** A copy with one bit, or the end, changed. @param {Uint8Array} saved */
function spoiled(saved) {
    const bytes = new Uint8Array(saved);
    if (random() < 0.2) return bytes.slice(0, below(bytes.length));
    const most = random() < 0.5 ? Math.min(bytes.length, 400) : bytes.length;
    bytes[below(most)] ^= 1 << below(8);
    return bytes;
}

/**
 * Loads damaged files.
 * @param {readonly Uint8Array[]} saves
 * @param {(bytes: Uint8Array) => Promise<void>} load and use
 * @returns {Promise<Map<string, number>>} what came of them, and how often
 */
async function fuzz(saves, load) {
    const before = runtime.memory.used;
    /** @type {Map<string, number>} */
    const seen = new Map();
    const costs = new Costs(SEED, { base: BASE_BYTES, runtime });
    for (let round = 0; round < ROUNDS; round++) {
        const open = round % 3 === 0;
        const { text, bytes } = open ? { text: 'spoiled', bytes: spoiled(pick(saves)) } : damaged(pick(saves));
        const what = `round ${round}: ${text.slice(0, 500)}`;
        let outcome = 'loads';
        costs.begin();
        try {
            await load(bytes);
            assert.ok(!open, `${what}: loads`);
        } catch (error) {
            assert.ok(error instanceof FormatError, `${what}: ${error instanceof Error ? error.stack : error}`);
            outcome = error.code;
        }
        costs.end(bytes.length, what);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
        assert.equal(runtime.memory.used, before, `${what}: bytes stay allocated`);
    }
    costs.tell(ROUNDS, seen);
    return seen;
}

test(`${ROUNDS} damaged caches, seed ${SEED}`, async () => {
    const { name, config } = there(readCases().find((entry) => entry.name === 'llama-mqa-f16'));
    const model = await loadModel(runtime, { config: json(config), weights: weightsOf(name) });
    const batch = model.createCache({ batch: 2 });
    (await model.forward([[1, 2, 3], [4, 5]], { cache: batch })).dispose();
    const holes = model.createCache();
    (await model.forward([1, 2, 3, 4, 5], { cache: holes })).dispose();
    holes.remove(1, 3, { shift: false });
    const ring = model.createCache({ sinks: 2, window: 5 });
    (await model.forward([1, 2, 3, 4, 5, 6, 7, 8, 9], { cache: ring })).dispose();
    const saves = /** @type {Uint8Array[]} */ ([await batch.save(), await holes.save(), await ring.save()]);
    const seen = await fuzz(saves, async (bytes) => {
        const cache = await ModelCache.load(model, bytes);
        try {
            const next = cache.batch === 1 ? [1] : Array.from({ length: cache.batch }, () => [1]);
            (await model.forward(next, { cache })).dispose();
            cache.fork().dispose();
            if (cache.batch > 1) return;
            (await model.forward([1, 2, 3], { cache })).dispose();
            cache.remove(2, 3);
            cache.truncate(1);
        } finally {
            cache.dispose();
        }
    });
    for (const code of ['loads', 'cache-invalid', 'cache-checksum', 'cache-version', 'cache-model']) assert.ok(seen.has(code), code);
});

test(`${ROUNDS} damaged KVCaches, seed ${SEED}`, async () => {
    /** @type {Uint8Array[]} */
    const saves = [];
    for (const dtype of /** @type {const} */ (['float32', 'float16', 'bfloat16', 'int8'])) {
        const cache = new KVCache(runtime, { batch: 2, length: 20, numHeads: 2, keyDim: 4, dtype });
        saves.push(/** @type {Uint8Array<ArrayBuffer>} */ (await cache.save()));
        cache.dispose();
    }
    const seen = await fuzz(saves, async (bytes) => {
        const cache = await KVCache.load(runtime, bytes);
        cache.truncate(1);
        cache.dispose();
    });
    for (const code of ['loads', 'cache-invalid', 'cache-checksum', 'cache-version']) assert.ok(seen.has(code), code);
});
