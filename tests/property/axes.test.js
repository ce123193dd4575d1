// Attention along any axes of inputs of any rank against einsum in float64: masks of every form, static caches, scores.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose } from '../close.js';
import { einsum } from '../einsum.js';
import { testRuntime } from '../runtime.js';
import { functional, there } from '../there.js';
import { draw, randomLayer } from './cases.js';

/** @typedef {import('../there.js').Floats} Floats */

const runtime = await testRuntime();
const TOLERANCE = { atol: 1e-5, rtol: 1e-5 }; // the golden set's, for the same sizes
const CASES = 80;

const size = (/** @type {readonly number[]} */ shape) => shape.reduce((a, b) => a * b, 1);

/** @typedef {ReturnType<typeof randomCase>} Case */

/** @param {number} seed */
function randomCase(seed) {
    const { integer, chance, pick, tensor, booleans } = draw(seed);
    const rank = integer(3, 5);
    const all = Array.from({ length: rank - 2 }, (_, i) => i + 1);
    const chosen = all.filter(() => chance(0.6));
    const axes = chosen.length === 0 ? all : chance(0.3) ? chosen.reverse() : chosen;
    const sizes = Array.from({ length: rank - 1 }, () => integer(1, 4));
    const keySizes = sizes.map((length, axis) => (axes.includes(axis) ? integer(1, 4) : length));
    const [numHeads, keyDim] = [integer(1, 3), integer(1, 6)];
    const batchAxes = [...sizes.keys()].filter((axis) => !axes.includes(axis));
    const scores = [
        ...batchAxes.map((axis) => sizes[axis]), numHeads,
        ...axes.map((axis) => sizes[axis]), ...axes.map((axis) => keySizes[axis]),
    ];
    const full = scores.map((length) => pick([1, length, length]));
    const left = integer(0, batchAxes.length + 1);
    const maskShape = [...full.slice(0, left), ...full.slice(batchAxes.length + 1)];
    const staticCache = chance(0.3);
    return {
        axes, batchAxes, scores, left,
        config: {
            numHeads, keyDim, useBias: chance(0.5),
            attentionAxes: chance(0.5) ? axes : axes.map((axis) => axis - rank),
        },
        query: tensor([...sizes, 5]),
        value: tensor([...keySizes, 7]),
        cache: staticCache ? tensor([keySizes[0], 2, ...keySizes.slice(1), numHeads, keyDim]) : undefined,
        mask: chance(0.7) ? booleans(maskShape) : undefined,
        wantScores: chance(0.5),
    };
}

/**
 * Keeps for every score, by broadcasting: the first `left` axes against batch axes and heads, the rest at the end.
 * @param {{ shape: number[], data: Uint8Array }} mask
 * @param {number[]} scores shape
 * @param {number} left
 */
function kept(mask, scores, left) {
    const missing = new Array(scores.length - mask.shape.length).fill(1);
    const full = [...mask.shape.slice(0, left), ...missing, ...mask.shape.slice(left)];
    return Uint8Array.from({ length: size(scores) }, (_, element) => {
        let [rest, at, stride] = [element, 0, 1];
        for (let axis = scores.length - 1; axis >= 0; axis--) {
            if (full[axis] > 1) at += (rest % scores[axis]) * stride;
            stride *= full[axis];
            rest = Math.floor(rest / scores[axis]);
        }
        return mask.data[at];
    });
}

/**
 * The layer by letters: a.. batch axes, m.. the query's, x.. the key's, h heads, d key dim, f and w features.
 * @param {import('../../js/index.js').CachedMultiHeadAttention} layer
 * @param {Case} given
 */
function expected(layer, { axes, batchAxes, scores: shape, left, query, value, cache, mask }) {
    const { weights, useBias } = layer;
    const letters = (/** @type {string} */ first) => query.shape.slice(0, -1).map((_, axis) => (axes.includes(axis)
        ? String.fromCharCode(first.charCodeAt(0) + axes.indexOf(axis))
        : String.fromCharCode('a'.charCodeAt(0) + batchAxes.indexOf(axis)))).join('');
    const [m, x] = [letters('m'), letters('x')];
    const weight = (/** @type {number} */ i) => weights[useBias ? 2 * i : i];
    const bias = (/** @type {number} */ i) => (useBias ? weights[2 * i + 1] : undefined);
    const q = einsum(`${m}f,fhd->${m}hd`, query, weight(0), bias(0));
    const half = (/** @type {Floats} */ { shape: given, data: from }, /** @type {number} */ which) => {
        const [first, , ...rest] = given;
        const data = new Float32Array(first * size(rest));
        for (let b = 0; b < first; b++) {
            const at = (2 * b + which) * size(rest);
            data.set(from.subarray(at, at + size(rest)), b * size(rest));
        }
        return { shape: [first, ...rest], data };
    };
    const k = cache ? half(cache, 0) : einsum(`${x}f,fhd->${x}hd`, value, weight(1), bias(1));
    const v = cache ? half(cache, 1) : einsum(`${x}f,fhd->${x}hd`, value, weight(2), bias(2));
    const pick = (/** @type {string} */ term, /** @type {number[]} */ list) => list.map((axis) => term[axis]).join('');
    const s = `${pick(m, batchAxes)}h${pick(m, axes)}${pick(x, axes)}`;
    const scores = einsum(`${m}hd,${x}hd->${s}`, q, k);
    const keep = mask ? kept(mask, shape, left) : new Uint8Array(scores.data.length).fill(1);
    const length = axes.reduce((total, axis) => total * k.shape[axis], 1);
    for (let row = 0; row < scores.data.length; row += length) {
        const part = scores.data.subarray(row, row + length);
        part.forEach((z, j) => { part[j] = keep[row + j] ? Math.exp(z / Math.sqrt(layer.keyDim)) : 0; });
        const sum = part.reduce((a, b) => a + b, 0);
        part.forEach((e, j) => { part[j] = sum === 0 ? 0 : e / sum; });
    }
    const mixed = einsum(`${s},${x}hd->${m}hd`, scores, v);
    return { scores, output: einsum(`${m}hd,hdw->${m}w`, mixed, weight(3), bias(3)) };
}

for (let seed = 1; seed <= CASES; seed++) {
    const one = randomCase(seed);
    const { axes, config, query, value, cache, mask, wantScores, scores } = one;
    // Rank 3 without scores takes Keras's other path, where empty rows differ: the twin in twin.test.js knows it.
    const returnAttentionScores = wantScores || query.shape.length === 3;
    const what = `axes [${axes}] of [${query.shape}] against [${value.shape}]${cache ? ', static cache' : ''}`;
    test(`seed ${seed}: ${what}`, () => {
        const layer = randomLayer(runtime, config, query.shape, value.shape, seed);
        assert.deepEqual([...there(layer.attentionAxes)], axes);
        const result = layer.callSync(query, value, { cache, attentionMask: mask, returnAttentionScores });
        const want = expected(layer, one);
        assert.deepEqual([...result.attentionOutput.shape], query.shape);
        assertClose(result.attentionOutput.data, want.output.data, TOLERANCE, 'output');
        if (returnAttentionScores) {
            assert.deepEqual([...there(result.attentionScores).shape], scores);
            assertClose(there(result.attentionScores).data, want.scores.data, TOLERANCE, 'scores');
        }
        if (cache) assert.deepEqual(functional(result.cache).data, cache.data);
        layer.dispose();
    });
}

test('what Keras does not define for other axes is refused', () => {
    const { tensor } = draw(1);
    const image = tensor([2, 3, 4, 5]);
    const layer = randomLayer(runtime, { numHeads: 2, keyDim: 3, attentionAxes: 1 }, image.shape, image.shape, 1);
    const cache = tensor([2, 2, 6, 4, 2, 3]);
    assert.throws(() => layer.callSync(image, image, { cache, cacheUpdateIndex: 0 }), RangeError);
    assert.throws(() => layer.callSync(image, image, { cache: tensor([2, 2, 6, 2, 3]) }), RangeError);
    assert.throws(() => layer.callSync(image, image, { cache: tensor([2, 2, 6, 3, 2, 3]) }), RangeError);
    assert.ok(layer.callSync(image, image, { cache }).attentionOutput.data.every(Number.isFinite));
});
