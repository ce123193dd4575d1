// Attention scores are probabilities, whatever comes in, and asking for them changes nothing else.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';
import { floatsOf, there } from '../there.js';
import { draw, randomLayer } from './cases.js';

const runtime = await testRuntime();

for (let seed = 1; seed <= 40; seed++) {
    const { integer, pick, tensor, booleans } = draw(seed);
    const [batch, t, s] = [integer(1, 3), integer(1, 9), integer(1, 70)];
    const [numHeads, keyDim] = [integer(1, 4), integer(1, 12)];
    const scale = pick([1e-20, 1, 30]);
    test(`rows sum to 1 where something is kept: ${JSON.stringify({ batch, t, s, numHeads, keyDim, scale })}`, () => {
        const [query, value] = [tensor([batch, t, 6], scale), tensor([batch, s, 5], scale)];
        const mask = booleans([batch, t, s], 0.6);
        const layer = randomLayer(runtime, { numHeads, keyDim }, query.shape, value.shape, seed);
        const options = { attentionMask: mask };
        const given = { ...options, returnAttentionScores: true };
        const { attentionScores, attentionOutput } = layer.callSync(query, value, given);
        assert.deepEqual([...there(attentionScores).shape], [batch, numHeads, t, s]);
        const data = floatsOf(attentionScores);
        const emptyRows = new Set();
        for (let row = 0; row < batch * numHeads * t; row++) {
            const [b, i] = [Math.floor(row / (numHeads * t)), row % t];
            const kept = mask.data.subarray((b * t + i) * s, (b * t + i + 1) * s);
            const part = data.subarray(row * s, (row + 1) * s);
            part.forEach((p, j) => {
                assert.ok(p >= 0 && p <= 1 && (kept[j] || Object.is(p, 0)), `p = ${p}, kept ${kept[j]}`);
            });
            const sum = part.reduce((total, p) => total + p, 0);
            const any = kept.some(Boolean);
            if (!any) emptyRows.add(b * t + i);
            assert.ok(Math.abs(sum - Number(any)) < 1e-5, `row ${row} sums to ${sum}`); // Keras Hub's own bound
        }
        // The paths agree but for rows that keep nothing: there one gives the output bias, the other the mean value.
        const fused = layer.callSync(query, value, options).attentionOutput.data;
        const width = attentionOutput.shape[2];
        // Rounding of logits of order scale^2, which an exponential makes relative, on values of order scale.
        const tolerance = { atol: 2e-5 * Math.max(scale, 1), rtol: 1e-5 };
        for (let row = 0; row < batch * t; row++) {
            const [from, to] = [row * width, (row + 1) * width];
            const explicit = attentionOutput.data.subarray(from, to);
            if (emptyRows.has(row)) assert.deepEqual(explicit, layer.getWeights()[7].data);
            else assertClose(fused.subarray(from, to), explicit, tolerance, `row ${row}`);
        }
        layer.dispose();
    });
}
