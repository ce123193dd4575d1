// Presets of Keras Hub compute what Keras computes: keras/make.py made the folders and the logits.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';

/** @type {{ name: string, quantized: 'int8' | 'int4' | null, ids: number[], logits: number[] }[]} */
const cases = JSON.parse(readFileSync(new URL('keras/cases.json', import.meta.url), 'utf8'));
const runtime = await testRuntime();

/** Logits are up to 30, in float32 on both sides; measured 3e-6. */
const TOLERANCE = { atol: 3e-5, rtol: 0 };

for (const { name, quantized, ids, logits } of cases) {
    test(name, async () => {
        const model = await loadModel(runtime, new URL(`keras/${name}/`, import.meta.url));
        try {
            const { data } = await model.forward(ids, { positions: 'all' });
            assertClose(data, logits, TOLERANCE);
            const { weights, bytes } = model.explain();
            assert.equal('I8' in weights, quantized === 'int8');
            assert.equal('I4' in weights, name.startsWith('llama-int4'));
            if ('I4' in weights) await checkFloats(name, ids, data, bytes.weights);
        } finally {
            model.dispose();
        }
    });
}

/**
 * Integers of four bits take little memory and compute as floats do.
 * @param {string} name @param {number[]} ids @param {ArrayLike<number>} logits @param {number} bytes
 */
async function checkFloats(name, ids, logits, bytes) {
    const model = await loadModel(runtime, new URL(`keras/${name}/`, import.meta.url), { weights: 'float32' });
    assert.deepEqual((await model.forward(ids, { positions: 'all' })).data, logits);
    assert.ok(bytes < model.explain().bytes.weights / 6.5);
    model.dispose();
}

test('heads that do not fit the quantized kernels are refused', async () => {
    const file = (/** @type {string} */ name) => readFileSync(new URL(`keras/gemma-int8/${name}`, import.meta.url));
    const config = JSON.parse(file('config.json').toString());
    const weights = new File([file('model.weights.h5')], 'model.weights.h5');
    for (const changes of [{ head_dim: 7 }, { hidden_dim: 10 }]) {
        const bent = JSON.stringify({ ...config, config: { ...config.config, ...changes } });
        await assert.rejects(loadModel(runtime, [new File([bent], 'config.json'), weights]), { name: 'FormatError', code: 'tensor-shape' });
    }
});
