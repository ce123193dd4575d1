// Masks of every rank against broadcasting written out, and dtype rounding in JavaScript.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MaskPlan, alignMask, keepBytes } from '../../js/keras/mask.js';
import { roundTo } from '../../js/keras/policy.js';
import { rng } from '../rng.js';

const size = (/** @type {readonly number[]} */ shape) => shape.reduce((a, b) => a * b, 1);

/** Row-major index of `at` in a shape whose sizes of 1 broadcast. */
const offset = (/** @type {number[]} */ shape, /** @type {number[]} */ at) => shape.reduce(
    (sum, length, axis) => sum * length + (length === 1 ? 0 : at[axis]), 0,
);

test('alignment: axes are inserted before the last 2n', () => {
    assert.deepEqual(alignMask([4, 6], [2, 3, 4, 6], 1), [1, 1, 4, 6]);
    assert.deepEqual(alignMask([2, 4, 6], [2, 3, 4, 6], 1), [2, 1, 4, 6]);
    assert.deepEqual(alignMask([2, 3, 4, 6], [2, 3, 4, 6], 1), [2, 3, 4, 6]);
    assert.deepEqual(alignMask([2, 4, 6], [2, 5, 3, 4, 6], 1), [2, 1, 1, 4, 6]);
    assert.deepEqual(alignMask([2, 3, 4, 3, 4], [2, 7, 3, 4, 3, 4], 2), [2, 1, 3, 4, 3, 4]);
    for (const [mask, scores, n] of /** @type {[number[], number[], number][]} */ ([
        [[6], [2, 3, 4, 6], 1], [[1, 1, 1, 4, 6], [2, 3, 4, 6], 1], [[3, 6], [2, 3, 4, 6], 1],
        [[2, 5], [2, 3, 4, 6], 1], [[4, 4], [2, 3, 4, 4], 2], [[3, 4, 6], [2, 3, 4, 6], 1],
    ])) assert.throws(() => alignMask(mask, scores, n), RangeError, `[${mask}]`);
});

test('strides and written-out masks find the element that broadcasting finds', () => {
    const random = rng(1);
    for (let round = 0; round < 200; round++) {
        const n = 1 + Math.floor(random() * 3);
        const batchAxes = 1 + Math.floor(random() * 3);
        const scores = Array.from({ length: batchAxes + 1 + 2 * n }, () => 1 + Math.floor(random() * 3));
        const aligned = scores.map((length) => (random() < 0.5 ? 1 : length));
        const plan = new MaskPlan(aligned, scores, n);
        const source = Uint8Array.from({ length: size(aligned) }, (_, i) => i);
        const bytes = plan.mixed ? new Uint8Array(size(plan.sizes)) : source;
        if (plan.mixed) plan.expand(bytes, source);
        const queries = batchAxes + 1;
        const groups = [[0, batchAxes], [batchAxes, queries], [queries, queries + n], [queries + n]];
        for (let element = 0; element < size(scores); element++) {
            let rest = element;
            const at = [...scores].reverse().map((length) => {
                const position = rest % length;
                rest = Math.floor(rest / length);
                return position;
            }).reverse();
            const flat = groups.map(([from, to]) => offset(scores.slice(from, to), at.slice(from, to)));
            const found = bytes[offset(plan.sizes, flat)];
            assert.equal(found, source[offset(aligned, at)], `[${aligned}] for scores [${scores}] at [${at}]`);
        }
    }
});

test('the two predicates', () => {
    const values = [0, 1, 0.3, 0.5, 0.50001, -1, 2, -0, NaN];
    const keep = (/** @type {boolean} */ explicit, /** @type {any} */ type) => {
        const bytes = new Uint8Array(values.length);
        keepBytes(bytes, values, explicit, type);
        return [...bytes];
    };
    assert.deepEqual(keep(false, 'float32'), [0, 1, 1, 1, 1, 1, 1, 0, 1]);
    assert.deepEqual(keep(true, 'float32'), [0, 1, 0, 0, 1, 0, 1, 0, 0]);
    assert.deepEqual(keep(true, 'float16'), [0, 1, 0, 0, 0, 0, 1, 0, 0], '0.50001 is 0.5 in float16');
});

test('rounding to float16 and bfloat16: ties to even, subnormals, overflow', () => {
    for (const [value, half, brain] of [
        [0, 0, 0], [-0, -0, -0], [1, 1, 1], [1 + 2 ** -11, 1, 1], [1 + 3 * 2 ** -11, 1 + 2 ** -9, 1],
        [1 + 2 ** -8, 1 + 2 ** -8, 1], [1 + 3 * 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -6], [65504, 65504, 65536],
        [65519.99, 65504, 65536], [65520, Infinity, 65536], [-1e6, -Infinity, -999424], [2 ** -24, 2 ** -24, 2 ** -24],
        [2 ** -25, 0, 2 ** -25], [3 * 2 ** -25, 2 ** -23, 3 * 2 ** -25], [2 ** -14 - 2 ** -25, 2 ** -14, 2 ** -14],
        [3.4e38, Infinity, Infinity], [Infinity, Infinity, Infinity], [-Infinity, -Infinity, -Infinity],
        [NaN, NaN, NaN],
    ]) {
        assert.deepEqual([roundTo(value, 'float16'), roundTo(value, 'bfloat16')], [half, brain], `of ${value}`);
    }
});
