// Normalization against the float64 reference.

import { test } from 'node:test';
import { assertClose } from '../close.js';
import { layerNorm, norm } from '../reference.js';
import { floats, rng } from '../rng.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

test('every length, strides, in place, with and without beta', () => {
    for (const n of [1, 2, 3, 4, 5, 7, 8, 17, 64, 97, 768]) {
        for (const rows of [0, 1, 3, 40]) {
            for (const withBeta of [true, false]) {
                k.reset();
                const random = rng(n * rows + 1);
                const [x, gamma, beta] = [floats(random, rows * n, 3), floats(random, n), floats(random, n)];
                const expected = layerNorm(x, gamma, withBeta ? beta : null, rows, n, 1e-5);
                const shared = { rows, n, gamma: k.put(gamma, 4), beta: withBeta ? k.put(beta, 8) : 0, epsilon: 1e-5 };
                const [from, to] = [k.put(x, 4), k.room(4 * rows * n, 4)];
                // n = 2 with near-equal numbers divides by a small deviation: the error of x - mean is magnified.
                const tolerance = { atol: 1e-5, rtol: 1e-5 };
                k.run(k.norm({ ...shared, x: from, xStride: n, y: to, yStride: n }));
                assertClose(k.floats(to, rows * n), expected, tolerance, `n ${n}, rows ${rows}`);
                k.run(k.norm({ ...shared, x: from, xStride: n, y: from, yStride: n }));
                k.checkGuards();
                assertClose(k.floats(from, rows * n), expected, tolerance, `n ${n}, rows ${rows}, in place`);
            }
        }
    }
});

test('a large common offset does not cancel the variance', () => {
    const n = 64;
    k.reset();
    // Multiples of 1/16 around 4096 are exact in float32, so that the input itself is not rounded.
    const x = floats(rng(2), n, 8).map((v) => 4096 + Math.round(v * 16) / 16);
    const gamma = new Float32Array(n).fill(1);
    const y = k.room(4 * n);
    k.run(k.norm({ x: k.put(x), xStride: n, y, yStride: n, rows: 1, n, gamma: k.put(gamma), epsilon: 1e-5 }));
    assertClose(k.floats(y, n), layerNorm(x, gamma, null, 1, n, 1e-5), { atol: 1e-3 });
});

test('by the mean square, per head, offsets, residuals, without weights', () => {
    for (const n of [1, 3, 4, 17, 64]) {
        for (const [rms, groups, own, weight, bias, offset, added] of /** @type {const} */ ([
            [1, 1, 0, 1, 0, 0, 0], [1, 1, 0, 1, 0, 1, 0], [1, 5, 0, 1, 0, 0, 0], [0, 3, 1, 1, 0, 0, 0], [0, 3, 1, 1, 1, 0, 1],
            [0, 1, 0, 0, 0, 0, 0], [1, 2, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0, 1],
        ])) {
            k.reset();
            const [rows, width, random] = [4, groups * n, rng(n + groups)];
            const size = own ? width : n;
            const [x, gamma, beta] = [floats(random, rows * width, 3), floats(random, size), floats(random, size)];
            const residual = floats(random, rows * width);
            const expected = norm({
                x, rows, n, groups, rms: rms === 1, epsilon: 1e-5, gamma: weight ? gamma : null, beta: bias ? beta : null,
                offset, residual: added ? residual : null,
            });
            const fields = {
                x: k.put(x, 4), xStride: width, rows, n, gamma: weight ? k.put(gamma, 4) : 0, beta: bias ? k.put(beta, 8) : 0,
                epsilon: 1e-5, kind: rms, offset, groups, groupStride: own ? n : 0, residualStride: width,
            };
            const name = `n ${n}, groups ${groups}, rms ${rms}`;
            const tolerance = { atol: 2e-5, rtol: 1e-5 };
            const y = k.room(4 * rows * width, 12);
            k.run(k.norm({ ...fields, y, yStride: width, residual: added ? k.put(residual, 8) : 0 }));
            assertClose(k.floats(y, rows * width), expected, tolerance, name);
            const same = added ? k.put(residual, 8) : fields.x;
            k.run(k.norm({ ...fields, y: same, yStride: width, residual: added ? same : 0 }));
            k.checkGuards();
            assertClose(k.floats(same, rows * width), expected, tolerance, `${name}, in place`);
        }
    }
});
