// The same bits however a text is cut into calls: whatever the lengths, the masks and the number of threads.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention, KVCache } from '../../js/index.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();

const CASES = 1000;
/** Past three pages of 256 positions now and then, mostly shorter: a case costs its length squared. */
const LENGTHS = [30, 70, 257, 300, 520, 800, 1100];

/** @param {() => number} random @param {readonly any[]} list */
const pick = (random, list) => list[Math.floor(random() * list.length)];

/**
 * Rows [first, first + rows) of every batch entry.
 * @param {{ shape: readonly number[], data: Float32Array }} x @param {number} first @param {number} rows
 */
function part({ shape: [batch, t, width], data }, first, rows) {
    const out = new Float32Array(batch * rows * width);
    for (let b = 0; b < batch; b++) {
        out.set(data.subarray((b * t + first) * width, (b * t + first + rows) * width), b * rows * width);
    }
    return { shape: [batch, rows, width], data: out };
}

/**
 * Which keys each query keeps, [B or 1, T, S]: at random, by whole blocks, or all of the past.
 * @param {() => number} random @param {number} batch @param {number} t @param {number} s
 */
function makeMask(random, batch, t, s) {
    const shape = [pick(random, [1, batch]), t, s];
    const density = pick(random, [0.02, 0.5, 0.98]);
    const block = pick(random, [1, 1, 64, 300]);
    const data = new Uint8Array(shape[0] * t * s);
    for (let i = 0; i < data.length; i += block) data.fill(Number(random() < density), i, i + block);
    return { shape, data };
}

/** @param {{ shape: number[], data: Uint8Array }} mask @param {number} first @param {number} rows */
function maskRows({ shape: [batch, t, s], data }, first, rows) {
    const out = new Uint8Array(batch * rows * s);
    for (let b = 0; b < batch; b++) {
        out.set(data.subarray((b * t + first) * s, (b * t + first + rows) * s), b * rows * s);
    }
    return { shape: [batch, rows, s], data: out };
}

/** Sizes of calls that make up t rows. @param {() => number} random @param {number} t */
function cut(random, t) {
    const kind = pick(random, ['ones', 'few', 'any']);
    const sizes = [];
    for (let left = t; left > 0; left -= sizes[sizes.length - 1]) {
        const most = kind === 'ones' ? 1 : kind === 'few' ? 7 : left;
        sizes.push(Math.min(left, 1 + Math.floor(random() * most)));
    }
    return sizes;
}

/** @param {number} seed */
function check(seed) {
    const random = rng(seed);
    const batch = pick(random, [1, 1, 2]);
    const numHeads = pick(random, [1, 2, 3]);
    const keyDim = pick(random, [1, 4, 7, 16]);
    const width = pick(random, [3, 8]);
    const length = pick(random, LENGTHS) + Math.floor(random() * 40);
    const past = Math.floor(random() * length * 0.9);
    const t = Math.min(length - past, pick(random, [3, 12, 40, 300]));
    const layer = new CachedMultiHeadAttention(runtime, { numHeads, keyDim });
    layer.build([batch, null, width], [batch, null, width]);
    layer.setWeights(layer.weights.map(({ shape }) => {
        const size = shape.reduce((product, n) => product * n, 1);
        return { shape: [...shape], data: floats(random, size, 2) };
    }));
    const cache = new KVCache(runtime, { batch, length, numHeads, keyDim });
    const before = { shape: [...cache.shape], data: floats(random, batch * 2 * length * numHeads * keyDim, 2) };
    const x = { shape: [batch, t, width], data: floats(random, batch * t * width, 2) };
    const mask = random() < 0.5 ? makeMask(random, batch, t, length) : null;
    const useCausalMask = random() < 0.7;
    const returnAttentionScores = random() < 0.2;
    const read = (/** @type {number[]} */ sizes) => {
        cache.set(before);
        // Without causality, or where nothing is kept, a row sees positions that later calls write.
        if (!useCausalMask || mask) layer.callSync(x, x, { cache, cacheUpdateIndex: past });
        const out = new Float32Array(batch * t * width);
        let first = 0;
        for (const rows of sizes) {
            const rest = part(x, first, rows);
            const { attentionOutput, attentionScores } = layer.callSync(rest, rest, {
                cache, cacheUpdateIndex: past + first, useCausalMask,
                attentionMask: mask && maskRows(mask, first, rows), returnAttentionScores,
            });
            for (let b = 0; b < batch; b++) {
                const data = attentionOutput.data.subarray(b * rows * width, (b + 1) * rows * width);
                out.set(data, (b * t + first) * width);
            }
            attentionOutput.dispose();
            attentionScores?.dispose();
            first += rows;
        }
        return out;
    };
    const whole = read([t]);
    const sizes = cut(random, t);
    const cutUp = read(sizes);
    for (let i = 0; i < whole.length; i++) {
        assert.ok(Object.is(whole[i], cutUp[i]), `case ${seed}: [${i}] is ${cutUp[i]}, at once ${whole[i]}, with `
            + `length ${length}, past ${past}, mask ${mask?.shape}, causal ${useCausalMask}, `
            + `scores ${returnAttentionScores}, calls of ${sizes}`);
    }
    cache.dispose();
    layer.dispose();
    return { long: length > 768, masked: mask !== null };
}

test(`${CASES} texts, at once and cut up`, () => {
    const seen = { long: 0, masked: 0 };
    for (let seed = 1; seed <= CASES; seed++) {
        const { long, masked } = check(seed);
        seen.long += Number(long);
        seen.masked += Number(masked);
    }
    assert.ok(seen.long > CASES / 5 && seen.masked > CASES / 3, JSON.stringify(seen));
});
