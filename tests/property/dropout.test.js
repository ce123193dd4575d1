// Dropout: which probabilities it drops, how many, and that nothing but seed and number of the call decides it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedMultiHeadAttention } from '../../js/index.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';
import { floatsOf } from '../there.js';
import { draw } from './cases.js';

const runtime = await testRuntime();
const [BATCH, T, S, HEADS] = [2, 40, 50, 2];

/**
 * A layer whose output shows every probability after dropout: each head's values are the unit vectors of its positions,
 * and the output projection passes them on.
 * @param {Partial<import('../../js/keras/config.js').AttentionConfig>} config
 */
function showing(config) {
    const layer = new CachedMultiHeadAttention(runtime, {
        numHeads: HEADS, keyDim: 3, valueDim: S, outputShape: [HEADS, S], useBias: false, ...config,
    });
    layer.build([BATCH, T, 4], [BATCH, S, S]);
    const { tensor } = draw(1);
    layer.setWeights(layer.weights.map(({ path, shape }) => {
        const weight = tensor([...shape]);
        if (path.includes('query') || path.includes('key')) return weight;
        weight.data.fill(0);
        for (let head = 0; head < HEADS; head++) {
            for (let j = 0; j < S; j++) {
                if (path.includes('value')) weight.data[(j * HEADS + head) * S + j] = 1;
                else weight.data[((head * S + j) * HEADS + head) * S + j] = 1;
            }
        }
        return weight;
    }));
    return layer;
}

const query = draw(2).tensor([BATCH, T, 4]);
const value = { shape: [BATCH, S, S], data: new Float32Array(BATCH * S * S) };
for (let b = 0; b < BATCH; b++) for (let j = 0; j < S; j++) value.data[(b * S + j) * S + j] = 1;

/**
 * Probabilities [B, T, H, S] before and after dropout.
 * @param {CachedMultiHeadAttention} layer
 * @param {import('../../js/layers/attention/arguments.js').CallOptions} options
 */
function probabilities(layer, options = {}) {
    const result = layer.callSync(query, value, { returnAttentionScores: true, training: true, ...options });
    const before = new Float32Array(BATCH * T * HEADS * S);
    for (let b = 0; b < BATCH; b++) for (let h = 0; h < HEADS; h++) for (let i = 0; i < T; i++) {
        const from = ((b * HEADS + h) * T + i) * S;
        before.set(floatsOf(result.attentionScores).subarray(from, from + S), ((b * T + i) * HEADS + h) * S);
    }
    return { before, after: floatsOf(result.attentionOutput) };
}

for (const rate of [0.1, 0.5, 0.9]) {
    test(`rate ${rate}: dropped or scaled by 1 / (1 - rate), independently`, () => {
        const layer = showing({ dropout: rate, seed: 7 });
        const { before, after } = probabilities(layer);
        const n = before.length;
        const dropped = after.map((p) => Number(p === 0));
        const scaled = after.filter((p) => p !== 0);
        const kept = [...before].filter((_, i) => after[i] !== 0);
        assertClose(scaled, kept.map((p) => p / (1 - rate)), { rtol: 1e-5, atol: 1e-9 });
        // 5 standard deviations: once in 2 million draws of a right generator; the seed is fixed.
        const bound = 5 * Math.sqrt(rate * (1 - rate) / n);
        const share = dropped.reduce((a, b) => a + b, 0) / n;
        assert.ok(Math.abs(share - rate) < bound, `dropped ${share}`);
        for (const lag of [1, 2, S, HEADS * S, T * HEADS * S]) {
            let both = 0;
            for (let i = lag; i < n; i++) both += (dropped[i] - rate) * (dropped[i - lag] - rate);
            const correlation = both / (n - lag) / (rate * (1 - rate));
            assert.ok(Math.abs(correlation) < 5 / Math.sqrt(n - lag), `correlation ${correlation} at distance ${lag}`);
        }
    });
}

test('the seed decides the stream, and every call draws anew', () => {
    const [first, same, other, none] = [{ seed: 3 }, { seed: 3 }, { seed: 4 }, {}].map(
        (seed) => showing({ dropout: 0.5, ...seed }),
    );
    const one = probabilities(first).after;
    const two = probabilities(first).after;
    assert.notDeepEqual(one, two);
    assert.deepEqual(probabilities(same).after, one);
    assert.deepEqual(probabilities(same).after, two);
    assert.notDeepEqual(probabilities(other).after, one);
    assert.notDeepEqual(probabilities(none).after, one);
    assert.notDeepEqual(probabilities(none).after, probabilities(showing({ dropout: 0.5 })).after);
});

test('a call that fails, and one that does not train, draw nothing', () => {
    const [one, two] = [showing({ dropout: 0.5, seed: 3 }), showing({ dropout: 0.5, seed: 3 })];
    assert.throws(() => one.callSync(query, value, { training: true, cacheUpdateIndex: 0 }), RangeError);
    const quiet = probabilities(one, { training: false });
    assertClose(quiet.after, quiet.before, { atol: 1e-7 });
    assert.deepEqual(probabilities(one).after, probabilities(two).after);
});

test('scores are those before dropout, with and without it', () => {
    const { before } = probabilities(showing({ dropout: 0.5, seed: 3 }));
    assert.deepEqual(before, probabilities(showing({})).before);
});

test('rate 0.99999 gives what zero probabilities give (Keras Hub: test_training_propagation)', () => {
    const layer = showing({ dropout: 0.99999, seed: 1 });
    const { after } = probabilities(layer);
    const zeros = after.filter((p) => p === 0).length;
    assert.ok(zeros >= after.length - 3, `${after.length - zeros} of ${after.length} are left`);
});

test('training without dropout is inference, bit for bit', () => {
    const layer = showing({});
    const trained = layer.callSync(query, value, { training: true }).attentionOutput.data;
    assert.deepEqual(trained, layer.callSync(query, value).attentionOutput.data);
});
