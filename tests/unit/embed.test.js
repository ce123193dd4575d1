// Token plus position embeddings from packed weights.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { embed } from '../reference.js';
import { floats, integers, rng } from '../rng.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

test('columns of the packed matrix, positions per row of a batch entry', () => {
    const cases = [[1, 1, 5, 9, 0], [2, 3, 16, 40, 4], [1, 30, 7, 8, 2], [3, 1, 33, 17, 11]];
    for (const [batch, t, depth, n, index] of cases) {
        for (const positioned of [true, false]) {
            k.reset();
            const random = rng(depth);
            const rows = batch * t;
            const [e, positions] = [floats(random, n * depth), floats(random, (index + t) * depth)];
            const tokens = integers(random, rows, n);
            const w = k.room(4 * k.call.cmha_packed_size(depth, n));
            k.call.cmha_pack_f32(w, k.put(e), depth, n, 0, 1, depth);
            const y = k.room(4 * rows * depth, 4);
            k.run(k.embed({
                tokens: k.put(tokens), rows, t, index, w, k: depth, n, y,
                table: positioned ? k.put(positions, 4) : 0,
            }));
            k.checkGuards();
            // One float32 addition: its rounding is the reference's.
            const expected = embed(tokens, e, positioned ? positions : null, depth, t, index);
            assert.deepEqual(k.floats(y, rows * depth), Float32Array.from(expected));
        }
    }
});
