// A few of the operations of `npm run soak` (tests/soak), in every run of the tests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { json, readCases, weightsOf } from '../model/golden.js';
import { there } from '../there.js';
import { Operations } from '../soak/operations.js';

const { config } = there(readCases().find(({ name }) => name === 'llama-mqa-f16'));

test('3,000 operations in any order do what plain arrays say', { timeout: 400_000 }, async () => {
    const operations = await Operations.create({ config: json(config), weights: weightsOf('llama-mqa-f16') }, 2);
    const { bytes } = operations;
    for (let i = 0; i < 3000; i++) await operations.step();
    assert.ok(operations.bytes < bytes + 4096);
    operations.end();
});
