// Rotary positions against the float64 reference, at any position.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose } from '../close.js';
import { rope } from '../reference.js';
import { floats, integers, rng } from '../rng.js';
import { KIND, PAIRING, ROPE, ROPE_TABLE } from '../../js/engine/interface.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

/** @param {Uint32Array} positions @param {Float64Array} frequencies @param {number} [factor] @returns {number} address */
function table(positions, frequencies, factor = 1) {
    const [rows, pairs] = [positions.length, frequencies.length];
    const address = k.room(8 * rows * pairs, 4);
    const bytes = new Uint8Array(frequencies.buffer);
    k.run(k.op(KIND.ROPE_TABLE, ROPE_TABLE, {
        positions: k.put(positions), frequencies: k.put(bytes), table: address, rows, pairs, factor,
    }));
    return address;
}

/** @param {number} pairs @param {number} base */
const wavelengths = (pairs, base) => Float64Array.from({ length: pairs }, (_, i) => base ** (-i / pairs));

test('angles: cosine and sine to the last bit or so, up to a position of 2^22', () => {
    for (const base of [10, 1e4, 5e5]) {
        k.reset();
        const frequencies = wavelengths(33, base);
        const positions = Uint32Array.from([0, 1, 2, 3, 7, 100, 4095, 131071, 2 ** 20 - 1, 2 ** 22, ...integers(rng(1), 500, 2 ** 20)]);
        const got = k.floats(table(positions, frequencies, 1), positions.length * 66);
        const expected = Float64Array.from(got, (_, i) => {
            const angle = positions[Math.floor(i / 66)] * frequencies[i % 33];
            return i % 66 < 33 ? Math.cos(angle) : Math.sin(angle);
        });
        assertClose(got, expected, { atol: 2e-9, rtol: 6e-8 });
        k.checkGuards();
    }
});

test('heads are turned in place, by halves and by pairs, and the rest of a head stays', () => {
    for (const neighbours of [false, true]) {
        for (const [rows, heads, headDim, pairs] of [[1, 1, 2, 1], [3, 2, 8, 4], [5, 3, 22, 5], [2, 1, 64, 32], [40, 4, 96, 48], [2, 2, 7, 3]]) {
            k.reset();
            const random = rng(headDim);
            const stride = heads * headDim + 3;
            const x = floats(random, rows * stride);
            const positions = integers(random, rows, 5000);
            const frequencies = wavelengths(pairs, 1e4);
            const at = k.put(x, 4);
            k.run(k.op(KIND.ROPE, ROPE, {
                x: at, xStride: stride, rows, heads, headDim, pairs, table: table(positions, frequencies, 1.25),
                pairing: neighbours ? PAIRING.PAIRS : PAIRING.HALVES,
            }));
            k.checkGuards();
            const got = k.floats(at, x.length);
            for (let r = 0; r < rows; r++) {
                const end = r * stride + heads * headDim;
                const row = x.subarray(r * stride, end);
                const expected = rope(row, [positions[r]], frequencies, heads, headDim, neighbours, 1.25);
                assertClose(got.subarray(r * stride, end), expected, { atol: 3e-7 }, `${rows} x ${heads} x ${headDim}`);
                assert.deepEqual(got.subarray(end, (r + 1) * stride), x.subarray(end, (r + 1) * stride), 'between rows');
            }
        }
    }
});
