// Packing: panels of columns, and back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { floats, rng } from '../rng.js';
import { around, loadKernels } from './kernels.js';

const k = await loadKernels();

test('packed weights: column c of row j at panel c / 8, and zeros past the last column', () => {
    for (const n of [...around(8), 24, 29]) {
        for (const depth of [1, 3, 10]) {
            k.reset();
            const w = floats(rng(n * depth), depth * n);
            const size = k.call.cmha_packed_size(depth, n);
            assert.equal(size, Math.ceil(n / 8) * 8 * depth);
            const packed = k.room(4 * size);
            k.call.cmha_pack_f32(packed, k.put(w, 4), depth, n, 0, n, 1);
            const back = k.room(4 * depth * n, 4);
            k.call.cmha_unpack_f32(back, packed, depth, n, 0, n, 1);
            k.checkGuards();
            const panels = k.floats(packed, size);
            for (let i = 0; i < size; i++) {
                const [column, row] = [Math.floor(i / (8 * depth)) * 8 + i % 8, Math.floor(i / 8) % depth];
                assert.equal(panels[i], column < n ? w[row * n + column] : 0);
            }
            assert.deepEqual(k.floats(back, depth * n), w);
        }
    }
});

test('a tied embedding packs transposed, and columns pack in pieces', () => {
    const [depth, n] = [5, 21];
    k.reset();
    const e = floats(rng(3), n * depth);
    const at = k.put(e, 8);
    const size = k.call.cmha_packed_size(depth, n);
    const [whole, pieces] = [k.room(4 * size), k.room(4 * size)];
    k.call.cmha_pack_f32(whole, at, depth, n, 0, 1, depth);
    for (const [n0, count] of [[16, 5], [0, 8], [8, 8]]) {
        k.call.cmha_pack_f32(pieces, at + 4 * n0 * depth, depth, count, n0, 1, depth);
    }
    const back = k.room(4 * n * depth);
    k.call.cmha_unpack_f32(back, whole, depth, n, 0, 1, depth);
    k.checkGuards();
    assert.deepEqual(k.floats(back, n * depth), e);
    assert.deepEqual(k.floats(pieces, size), k.floats(whole, size));
});
