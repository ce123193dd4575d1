// The gate of feed-forward networks, at every length, in place and out of one fused row.

import { test } from 'node:test';
import { assertClose } from '../close.js';
import { activations } from '../reference.js';
import { floats, rng } from '../rng.js';
import { GATE, KIND } from '../../js/engine/interface.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

test('a number for several of b in a row', () => {
    for (const [rows, n, each] of [[1, 1, 1], [3, 12, 3], [2, 512, 64], [5, 600, 200], [1, 300, 300]]) {
        const [a, b] = [floats(rng(n), rows * n / each, 3), floats(rng(rows + n), rows * n)];
        k.reset();
        const [x, own] = [k.put(a, 4), k.put(b, 8)];
        k.run(k.op(KIND.GATE, GATE, { a: x, aStride: n / each, each, b: own, bStride: n, y: own, yStride: n, rows, n, activation: 5 }));
        k.checkGuards();
        assertClose(k.floats(own, rows * n), b.map((v, i) => v / (1 + Math.exp(-a[Math.floor(i / each)]))), { atol: 1e-6, rtol: 1e-6 });
    }
});

test('activation(a) * b', () => {
    for (const n of [1, 2, 3, 4, 5, 8, 31, 255, 256, 257, 1000]) {
        for (const rows of [0, 1, 3, 20]) {
            for (const activation of [0, 1, 2, 3, 4]) {
                const [fused, b] = [floats(rng(n), rows * 2 * n, 3), floats(rng(rows + n), rows * n)];
                const right = (/** @type {number} */ i) => fused[Math.floor(i / n) * 2 * n + n + i % n];
                const left = (/** @type {number} */ i) => activations[activation](fused[Math.floor(i / n) * 2 * n + i % n]);
                const expected = b.map((_, i) => left(i) * right(i));
                k.reset();
                const [at, y] = [k.put(fused, 4), k.room(4 * rows * n, 8)];
                const fields = { a: at, aStride: 2 * n, b: at + 4 * n, bStride: 2 * n, rows, n, activation };
                k.run(k.op(KIND.GATE, GATE, { ...fields, y, yStride: n }));
                const tolerance = { atol: 1e-6, rtol: 1e-6 };
                assertClose(k.floats(y, rows * n), expected, tolerance, `${rows} x ${n}`);
                const own = k.put(b, 4); // y is b
                k.run(k.op(KIND.GATE, GATE, { ...fields, b: own, bStride: n, y: own, yStride: n }));
                assertClose(k.floats(own, rows * n), b.map((v, i) => left(i) * v), tolerance, 'in place of b');
                k.run(k.op(KIND.GATE, GATE, { ...fields, y: at, yStride: 2 * n })); // y is a
                k.checkGuards();
                const inPlace = k.floats(at, fused.length);
                assertClose(expected.map((_, i) => inPlace[Math.floor(i / n) * 2 * n + i % n]), expected, tolerance, 'of a');
            }
        }
    }
});
