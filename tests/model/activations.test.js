// The activations that configs name, beside those of Hugging Face transformers in float64 (activations.py).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ACTIVATIONS as NUMBERS } from '../../js/blocks/activations.js';
import { ACTIVATIONS } from '../../js/model/description.js';
import { assertClose } from '../close.js';
import { loadKernels } from '../unit/kernels.js';

/** @type {Record<string, number[]>} */
const { x: inputs, ...expected } = JSON.parse(readFileSync(new URL('fixtures/transformers-activations.json', import.meta.url), 'utf8'));
const k = await loadKernels();
const x = Float32Array.from(inputs);

test('every name has its numbers', () => {
    assert.deepEqual(Object.keys(ACTIVATIONS).sort(), Object.keys(expected).sort());
});

for (const [name, y] of Object.entries(expected)) {
    test(name, () => {
        const got = k.apply(x, (to, from) => k.call.cmha_activation_f32(to, from, x.length, NUMBERS[ACTIVATIONS[name]]));
        // Float32's exponential of arguments up to 30 is off by as many of its roundings; 1e-9: transformers takes tanh and erf from
        // one, which far out leaves nothing.
        assertClose(got, y, { rtol: 4e-6, atol: 1e-9 });
    });
}
