// Rotary positions in spellings that the fixtures do not have: the last row of logits as transformers 5.24 computes it in float64 from
// the fixture's weights and the changed config, its first five numbers.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { testRuntime } from '../runtime.js';
import { json, readCases, weightsOf } from './golden.js';

const runtime = await testRuntime();
const cases = readCases();

/**
 * @param {string} name of a fixture @param {Record<string, any>} change of its config; undefined takes a field away
 * @param {number[]} expected
 */
function gives(name, change, expected) {
    return async () => {
        const entry = /** @type {import('./golden.js').Case} */ (cases.find((one) => one.name === name));
        const model = await loadModel(runtime, { config: json({ ...entry.config, ...change }), weights: weightsOf(name) });
        try {
            const { data } = await model.forward(entry.ids);
            const off = expected.map((value, i) => Math.abs(data[i] - value));
            assert.ok(Math.max(...off) < 2 * entry.tolerance.atol, `got ${data.slice(0, 5)}, want ${expected}`);
        } finally {
            model.dispose();
        }
    };
}

const NONE = { rope_parameters: undefined, rope_theta: undefined, partial_rotary_factor: undefined };

test('GPT-NeoX: of an odd number of elements one more is rotated', gives('gpt-neox-sequential',
    { rope_parameters: { rope_theta: 20000, partial_rotary_factor: 0.32, rope_type: 'default' } },
    [2.559618, 6.2149, 0.318048, 1.343942, 1.397045]));

test('Gemma 3: truncate of one kind of layers is not looked at', gives('gemma3-text', {
    rope_parameters: {
        sliding_attention: { rope_type: 'default', rope_theta: 10000 },
        full_attention: {
            rope_type: 'yarn', rope_theta: 10000, factor: 4, original_max_position_embeddings: 32, beta_fast: 1, beta_slow: 0.25, truncate: false,
        },
    },
}, [0.822426, -1.994872, 1.851109, -1.803498, 2.893936]));

test('a base within rope_scaling', gives('qwen2', { ...NONE, rope_scaling: { rope_type: 'default', rope_theta: 500 } },
    [-1.457903, -3.639917, 4.052717, 3.53101, -0.891118]));

test('a base and a part of each head within rope_scaling', gives('phi-qknorm',
    { ...NONE, rope_scaling: { rope_type: 'linear', factor: 2, rope_theta: 500, partial_rotary_factor: 0.75 } },
    [-1.054921, -4.538388, 3.954661, 8.690173, 3.775126]));

test('Phi 3 called longrope yarn', gives('phi3-longrope', {
    rope_parameters: {
        rope_type: 'yarn', rope_theta: 10000, original_max_position_embeddings: 32, partial_rotary_factor: 1,
        short_factor: [1, 1.05, 1.1, 1.2, 1.3, 1.5, 1.8, 2], long_factor: [1, 1.5, 2, 3, 5, 8, 12, 16],
    },
}, [0.07642, 0.323321, -2.099463, 4.199916, -5.791451]));
