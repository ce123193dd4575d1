// Presets of Keras Hub compute what Keras computes: keras/make.py made the folders and the logits.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';

/** @type {{ name: string, quantized: 'int8' | 'int4', ids: number[], logits: number[] }[]} */
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
            assert.equal('I8' in model.explain().weights, quantized === 'int8');
        } finally {
            model.dispose();
        }
    });
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
