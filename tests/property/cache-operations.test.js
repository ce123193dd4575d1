// Caches under operations in random order, sharing pages, with allocations that fail: against lists of positions, and an
// attention in float64 over them. OPERATIONS=1000000 node --test tests/property/cache-operations.test.js runs a million of them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CACHE } from '../../js/engine/interface.js';
import { ModelCache, loadModel } from '../../js/generation/index.js';
import { CachedGroupQueryAttention, KVCache } from '../../js/index.js';
import { firstLayer, json, readCases, weightsOf } from '../model/golden.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { draw } from './cases.js';

/** @typedef {import('../../js/blocks/pages.js').PagedCache} PagedCache */

const OPERATIONS = Number(process.env.OPERATIONS ?? 10_000);
const SEED = Number(process.env.SEED ?? 1);
const runtime = await testRuntime();
const { memory } = runtime;

// One layer: keys and values depend on a token and its position alone, so that what is left after a removal is what a cold run
// of the rest gives.
const { config } = there(readCases().find(({ name }) => name === 'llama-mqa-f16'));
const model = await loadModel(runtime, { config: json(config), weights: firstLayer(weightsOf('llama-mqa-f16')) }, { contextLength: 2000 });

/** What a test expects to see thrown. */
const FULL = 'memory exhausted: by this test';

/**
 * Does something while the allocation after so many fails.
 * @template T
 * @param {number} after Infinity: none does
 * @param {() => T} body
 * @returns {T | null} null: it has failed
 */
function withFailure(after, body) {
    let left = after;
    memory.alloc = (bytes) => {
        if (left-- <= 0) throw new RangeError(FULL);
        return Object.getPrototypeOf(memory).alloc.call(memory, bytes);
    };
    try {
        return body();
    } catch (error) {
        if (!(error instanceof RangeError && error.message === FULL)) throw error;
        return null;
    } finally {
        delete (/** @type {any} */ (memory).alloc);
    }
}

/**
 * Bytes that caches take: each page once, whoever shares it, their tables and descriptions.
 * @param {readonly PagedCache[]} caches
 * @param {readonly { address: number }[]} [others] what they keep beside
 */
function bytesOf(caches, others = []) {
    const blocks = new Set([...caches.flatMap((cache) => cache.pageList()), ...others].map(({ address }) => address));
    for (const { address } of caches) {
        blocks.add(address);
        const table = memory.words[address / 4 + CACHE.pages];
        if (table !== 0) blocks.add(table);
    }
    return [...blocks].reduce((sum, address) => sum + memory.sizeOf(address), 0);
}

const used = () => runtime.explain().bytesInUse;

// ------------------------------------------------------------------------------------------------ KVCache

const [BATCH, HEADS, DIM, FEATURES] = [2, 2, 4, 6];
const FREQUENCIES = [1, 1 / 10];
const random = draw(SEED);

/**
 * One position of one head: what was stored, in float64, and how often it has been rounded.
 * @typedef {{ key: number[], value: number[], rounded: number }} Held
 */
/** Positions of batch entries, of heads. @typedef {(Held | null)[][][]} Entries */

/** What a rounding makes wrong at most, of numbers up to 4. */
const STEPS = { float32: 2e-6, float16: 2e-3, bfloat16: 2e-2, int8: 2e-2 };
/** And an angle of up to 27, a float32 as in Keras, of numbers up to 4: half its last place, and 270 times what a tenth is off. */
const ANGLE = 4 * (2 ** -20 + 270 * 2e-9);
/** @type {(keyof typeof STEPS)[]} */
const DTYPES = ['float32', 'float16', 'bfloat16', 'int8'];

const layer = new CachedGroupQueryAttention(runtime, {
    headDim: DIM, numQueryHeads: HEADS, numKeyValueHeads: HEADS, ropeMaxWavelength: 100, useBias: false,
});
layer.build([BATCH, null, FEATURES], [BATCH, null, FEATURES]);
layer.setWeights(layer.weights.map(({ shape }) => random.tensor(shape, 0.5)));
const [WQ, WK, WV, WO] = layer.getWeights().map(({ data }) => data);

/**
 * x times a kernel of [inputs][outputs], the columns of one head.
 * @param {ArrayLike<number>} x
 * @param {Float32Array} w
 * @param {number} outputs
 * @param {number} from
 * @param {number} n
 */
const project = (x, w, outputs, from, n) => Array.from({ length: n }, (_, c) => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += x[i] * w[i * outputs + from + c];
    return sum;
});

/** @param {number[]} row @param {number} by positions */
const turned = (row, by) => {
    const out = [...row];
    FREQUENCIES.forEach((frequency, i) => {
        const [c, s, p, q] = [Math.cos(by * frequency), Math.sin(by * frequency), row[i], row[i + DIM / 2]];
        out[i] = p * c - q * s;
        out[i + DIM / 2] = q * c + p * s;
    });
    return out;
};

/** @param {ArrayLike<number>} x @param {number} h @param {(Held | null)[]} past all that it sees @param {number} position */
function attend(x, h, past, position) {
    const query = turned(project(x, WQ, HEADS * DIM, h * DIM, DIM), position);
    const logits = past.map((held) => (held ? held.key.reduce((sum, k, i) => sum + k * query[i], 0) : 0) / Math.sqrt(DIM));
    const most = Math.max(...logits);
    const powers = logits.map((logit) => Math.exp(logit - most));
    const total = powers.reduce((a, b) => a + b);
    return Array.from({ length: DIM }, (_, e) => past.reduce((sum, held, j) => sum + (held ? held.value[e] : 0) * powers[j], 0) / total);
}

/** A cache and what it should hold. */
class Pair {
    /** @param {KVCache} cache @param {Entries} entries */
    constructor(cache, entries) {
        this.cache = cache;
        this.entries = entries;
    }

    /** @returns {Entries} */
    copy() {
        return this.entries.map((heads) => heads.map((positions) => [...positions]));
    }

    /** Every number. */
    check() {
        const [, , length] = this.cache.shape;
        const { data } = this.cache.toTensor();
        const step = STEPS[/** @type {keyof typeof STEPS} */ (this.cache.dtype)];
        let at = 0;
        for (const heads of this.entries) {
            for (const part of /** @type {const} */ (['key', 'value'])) {
                for (let s = 0; s < length; s++) {
                    for (const positions of heads) {
                        const held = positions[s];
                        for (let e = 0; e < DIM; e++, at++) {
                            const error = Math.abs(data[at] - (held ? held[part][e] : 0));
                            const allowed = (held?.rounded ?? 0) * (part === 'key' ? step + ANGLE : step);
                            assert.ok(error <= allowed, `${this.cache.dtype} ${part} ${s}: wrong by ${error}`);
                        }
                    }
                }
            }
        }
    }
}

/**
 * Each gives what undoes nothing but a failure: null where it has failed, with the pair as it was.
 * @type {Record<string, (pair: Pair, fail: number) => void | Pair | null>}
 */
const KV_OPERATIONS = {
    write(pair, fail) {
        const { cache } = pair;
        const [, , length] = cache.shape;
        const rows = random.integer(1, 3);
        const index = random.integer(0, length - rows);
        const x = random.tensor([BATCH, rows, FEATURES]);
        const result = withFailure(fail, () => layer.callSync(x, x, { cache, cacheUpdateIndex: index, useCausalMask: true }));
        if (result === null) return;
        const entries = pair.copy();
        const rowOf = (/** @type {number} */ b, /** @type {number} */ r) => x.data.subarray((b * rows + r) * FEATURES, (b * rows + r + 1) * FEATURES);
        for (let b = 0; b < BATCH; b++) {
            for (let r = 0; r < rows; r++) {
                for (let h = 0; h < HEADS; h++) {
                    entries[b][h][index + r] = {
                        key: turned(project(rowOf(b, r), WK, HEADS * DIM, h * DIM, DIM), index + r),
                        value: project(rowOf(b, r), WV, HEADS * DIM, h * DIM, DIM), rounded: 1,
                    };
                }
            }
        }
        pair.entries = entries;
        const output = result.attentionOutput.data;
        const tolerance = 20 * STEPS[/** @type {keyof typeof STEPS} */ (cache.dtype)];
        for (let b = 0; b < BATCH; b++) {
            const r = random.integer(0, rows - 1);
            const heads = entries[b].flatMap((positions, h) => attend(rowOf(b, r), h, positions.slice(0, index + r + 1), index + r));
            const worst = entries[b].flat().reduce((most, held) => Math.max(most, held?.rounded ?? 0), 1);
            project(heads, WO, FEATURES, 0, FEATURES).forEach((y, i) => {
                const error = Math.abs(output[(b * rows + r) * FEATURES + i] - y);
                assert.ok(error <= worst * tolerance, `${cache.dtype}: attention wrong by ${error}`);
            });
        }
    },
    truncate(pair, fail) {
        const [, , length] = pair.cache.shape;
        const n = random.integer(0, length);
        if (withFailure(fail, () => (pair.cache.truncate(n), true)) === null) return;
        pair.entries = pair.copy().map((heads) => heads.map((positions) => positions.map((held, s) => (s < n ? held : null))));
    },
    remove(pair, fail) {
        const [, , length] = pair.cache.shape;
        const from = random.integer(0, length);
        const to = Math.min(length, from + random.integer(0, 20));
        const rope = random.chance(0.5) ? layer : null;
        if (withFailure(fail, () => (pair.cache.remove(from, to, { rope }), true)) === null) return;
        pair.entries = pair.copy().map((heads) => heads.map((positions) => {
            const rest = positions.slice(to).map((held) => held && rope && to > from
                ? { ...held, key: turned(held.key, from - to), rounded: held.rounded + 1 } : held);
            return [...positions.slice(0, from), ...rest, ...new Array(to - from).fill(null)];
        }));
    },
    reorder(pair, fail) {
        const rows = [random.integer(0, 1), random.integer(0, 1)];
        if (withFailure(fail, () => (pair.cache.reorder(rows), true)) === null) return;
        const copy = pair.copy();
        pair.entries = rows.map((row) => copy[row].map((positions) => [...positions]));
    },
    fork(pair, fail) {
        const cache = withFailure(fail, () => pair.cache.fork());
        return cache && new Pair(cache, pair.copy());
    },
};

/** @param {number} length @param {typeof DTYPES[number]} dtype */
function emptyPair(length, dtype) {
    const cache = new KVCache(runtime, { batch: BATCH, length, numHeads: HEADS, keyDim: DIM, dtype });
    const entries = Array.from({ length: BATCH }, () => Array.from({ length: HEADS }, () => new Array(length).fill(null)));
    return new Pair(cache, entries);
}

test(`KVCache: ${OPERATIONS / 2} operations, seed ${SEED}`, async () => {
    const x = random.tensor([BATCH, 3, FEATURES]);
    const start = emptyPair(40, 'float32');
    layer.callSync(x, x, { cache: start.cache, cacheUpdateIndex: 0, useCausalMask: true });
    start.cache.dispose();
    const before = used();
    /** @type {Pair[]} */
    let pairs = [];
    for (let i = 0; i < OPERATIONS / 2; i++) {
        if (pairs.length === 0 || (pairs.length < 6 && random.chance(0.05))) {
            // A page, and two of them.
            pairs.push(emptyPair(random.chance(0.8) ? 40 : 270, random.pick(DTYPES)));
        }
        const pair = random.pick(pairs);
        const name = random.pick(Object.keys(KV_OPERATIONS));
        const made = KV_OPERATIONS[name](pair, random.chance(0.2) ? random.integer(0, 3) : Infinity);
        if (made) pairs.push(made);
        if (random.chance(0.005)) {
            const saved = /** @type {Uint8Array<ArrayBuffer>} */ (await pair.cache.save());
            pairs.push(new Pair(await KVCache.load(runtime, saved), pair.copy()));
        }
        if (random.chance(i % 20 ? 0.1 : 1)) random.pick(pairs).check();
        if (pairs.length > 8) pairs.splice(random.integer(0, 8), 1)[0].cache.dispose();
        if (i % 50 === 0) assert.equal(used() - before, bytesOf(pairs.map(({ cache }) => cache._pages)), `after operation ${i}, ${name}`);
        if (random.chance(0.002)) {
            pairs.forEach(({ cache }) => cache.dispose());
            pairs = [];
            assert.equal(used(), before);
        }
    }
    pairs.forEach(({ cache }) => cache.dispose());
    assert.equal(used(), before);
});

// ------------------------------------------------------------------------------------------------ ModelCache

const ids = (/** @type {number} */ n) => Array.from({ length: n }, () => random.integer(0, 30));

/**
 * A cache, and for each text its tokens; `gaps`: positions are not places any more.
 * @typedef {{ cache: ModelCache, texts: number[][], gaps: boolean, rounded: number }} Texts
 */

/** @param {Texts} one @returns {number[][]} */
const tokensOf = ({ cache }) => /** @type {number[][]} */ (cache.batch === 1 ? [cache.tokens] : cache.tokens);

/** @param {Texts} one @param {number} most positions of a ring */
function drop(one, most) {
    const { sinks } = one.cache._rows[0];
    if (sinks < 0) return;
    for (const text of one.texts) {
        if (text.length > most) {
            text.splice(sinks, text.length - most);
            one.rounded = Math.max(1, one.rounded);
        }
    }
}

/** @type {Record<string, (one: Texts, fail: number) => void | Texts | null>} */
const MODEL_OPERATIONS = {
    forward(one, fail) {
        const more = one.texts.map(() => ids(random.integer(1, 4)));
        const [row] = one.cache._rows;
        if (row.sinks < 0 && one.texts.some((text, i) => text.length + more[i].length > row.capacity)) return;
        if (row.sinks >= 0) more.forEach((list) => list.splice(1));
        const result = withFailure(fail, () => model.forwardSync(more.length === 1 ? more[0] : more, { cache: one.cache }));
        // A ring that is full makes room first, which stays so if the call fails then.
        if (result === null) {
            if (row.sinks >= 0 && tokensOf(one)[0].length < one.texts[0].length) drop(one, row.capacity - 1);
            return;
        }
        one.texts.forEach((text, i) => text.push(...more[i]));
        drop(one, row.capacity);
        if (one.gaps || random.chance(0.7)) return;
        const { data } = result;
        const tolerance = { float32: 2e-4, float16: 3e-2, int8: 0.3 }[row.type] * (1 + one.rounded / 4);
        one.texts.forEach((text, i) => {
            const cold = model.forwardSync(text).data;
            cold.forEach((y, v) => {
                const error = Math.abs(data[i * cold.length + v] - y);
                assert.ok(error <= tolerance, `${row.type}: logits wrong by ${error} after ${one.rounded} turns`);
            });
        });
    },
    truncate(one, fail) {
        const n = random.integer(0, one.cache.length);
        if (withFailure(fail, () => (one.cache.truncate(n), true)) === null) return;
        one.texts = one.texts.map((text) => text.slice(0, n));
    },
    remove(one, fail) {
        if (one.texts.length > 1) return;
        const [text] = one.texts;
        const from = random.integer(0, text.length);
        const to = random.integer(from, Math.min(text.length, from + 9));
        const shift = random.chance(0.8);
        if (withFailure(fail, () => (one.cache.remove(from, to, { shift }), true)) === null) return;
        text.splice(from, to - from);
        one.gaps ||= !shift && to > from;
        one.rounded += to > from ? 1 : 0;
    },
    reuse(one, fail) {
        if (one.texts.length > 1 || one.gaps) return;
        const [text] = one.texts;
        const n = random.integer(0, text.length);
        const next = [...text.slice(0, n), 31, 31];
        if (withFailure(fail, () => one.cache.reuse(next)) === null) return;
        one.texts = [text.slice(0, n)];
    },
    reorder(one, fail) {
        const rows = one.texts.map(() => random.integer(0, one.texts.length - 1));
        if (withFailure(fail, () => (one.cache.reorder(rows), true)) === null) return;
        one.texts = rows.map((row) => [...one.texts[row]]);
    },
    fork(one, fail) {
        const cache = withFailure(fail, () => one.cache.fork());
        return cache && { ...one, cache, texts: one.texts.map((text) => [...text]) };
    },
};

test(`ModelCache: ${OPERATIONS / 2} operations, seed ${SEED}`, async () => {
    model.forwardSync(ids(40)).dispose();
    model.forwardSync([ids(4), ids(4)]).dispose();
    const make = () => {
        const dtype = /** @type {const} */ (['float32', 'float16', 'int8'])[random.integer(0, 2)];
        const kind = random.pick(/** @type {const} */ ([{ length: 60 }, { length: 600 }, { length: 60, batch: 2 }, { sinks: 2, window: 6 }]));
        const cache = model.createCache({ dtype, ...kind });
        return { cache, texts: Array.from({ length: cache.batch }, () => /** @type {number[]} */ ([])), gaps: false, rounded: 0 };
    };
    const before = used();
    const turner = model.network.makeTurner();
    const turnerBytes = used() - before;
    turner.dispose();
    /** @type {Texts[]} */
    let all = [];
    for (let i = 0; i < OPERATIONS / 2; i++) {
        if (all.length === 0 || (all.length < 6 && random.chance(0.05))) all.push(make());
        const one = random.pick(all);
        const name = random.chance(0.4) ? 'forward' : random.pick(Object.keys(MODEL_OPERATIONS));
        const made = MODEL_OPERATIONS[name](one, random.chance(0.2) ? random.integer(0, 3) : Infinity);
        if (made) all.push(made);
        assert.deepEqual(tokensOf(one), one.texts, name);
        if (random.chance(0.005)) {
            const cache = await ModelCache.load(model, /** @type {Uint8Array<ArrayBuffer>} */ (await one.cache.save()));
            all.push({ ...one, cache, texts: one.texts.map((text) => [...text]) });
        }
        if (all.length > 8) all.splice(random.integer(0, 8), 1)[0].cache.dispose();
        if (i % 50 === 0) {
            const rows = all.flatMap(({ cache }) => cache._rows);
            const kept = rows.flatMap(({ ring }) => ring?.kept ?? []);
            const bytes = bytesOf(rows.flatMap(({ caches }) => caches), kept) + kept.length * turnerBytes;
            assert.equal(used() - before, bytes, `after operation ${i}, ${name}`);
        }
        if (random.chance(0.002)) {
            all.forEach(({ cache }) => cache.dispose());
            all = [];
            assert.equal(used(), before);
        }
    }
    all.forEach(({ cache }) => cache.dispose());
    assert.equal(used(), before);
});

test('1,000 forks, all alive: no page of their own, and memory as at the start', async () => {
    const cache = model.createCache();
    (await model.forward(ids(1000), { cache })).dispose();
    const before = used();
    const forks = Array.from({ length: 1000 }, () => cache.fork());
    const pages = (/** @type {ModelCache} */ one) => one._rows[0].pageList().map(({ address }) => address);
    for (const fork of forks) assert.deepEqual(pages(fork), pages(cache));
    assert.ok(used() - before < 1000 * 4 * 512, 'a fork takes tables alone');
    forks.forEach((fork, i) => { if (i % 100 === 0) model.forwardSync([i % 30], { cache: fork }).dispose(); });
    forks.forEach((fork) => fork.dispose());
    assert.equal(used(), before);
    cache.dispose();
});

test(`${10 * OPERATIONS} tokens through a ring: the memory that it took when it was full`, async () => {
    for (const dtype of /** @type {const} */ (['float32', 'int8'])) {
        const cache = model.createCache({ sinks: 4, window: 28, dtype });
        const first = ids(4);
        for (const id of first) model.forwardSync([id], { cache }).dispose();
        let full = 0;
        /** @type {number[]} */
        let last = [];
        for (let i = 4; i < 5 * OPERATIONS; i++) {
            last = [...last.slice(-27), i % 31];
            model.forwardSync([i % 31], { cache }).dispose();
            if (i === 100) full = used();
            if (i > 100 && i % 500 === 0) assert.equal(used(), full, `after ${i} tokens`);
        }
        assert.deepEqual(cache.tokens, [...first, ...last]);
        assert.equal(cache.length, 32);
        cache.dispose();
    }
});
