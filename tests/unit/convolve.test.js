// The short convolution against float64, from caches of every type, whatever lies in front of its first row.

import { test } from 'node:test';
import { assertClose } from '../close.js';
import { floats, rng } from '../rng.js';
import { CONVOLVE, KEPT, KIND } from '../../js/engine/interface.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

/**
 * @param {number[][]} rows what comes before the first row, then the rows themselves
 * @param {number} t @param {Float32Array} w [taps][n] @param {Float32Array} bias @param {Float32Array} gate [t][n]
 */
function reference(rows, t, w, bias, gate) {
    const n = bias.length;
    const taps = w.length / n;
    const before = rows.length - t;
    return Float64Array.from({ length: t * n }, (_, at) => {
        const [r, c] = [Math.floor(at / n), at % n];
        let sum = bias[c];
        for (let i = 0; i < taps; i++) sum += w[i * n + c] * (rows[before + r - taps + 1 + i]?.[c] ?? 0);
        return sum * gate[at];
    });
}

for (const [name, type] of Object.entries(KEPT)) {
    test(`gate * (bias + w * x), kept as ${name}`, () => {
        for (const [heads, d, v, taps, index, t] of [[1, 1, 1, 1, 0, 1], [1, 3, 3, 3, 0, 7], [2, 4, 4, 3, 1, 1], [3, 64, 64, 3, 250, 20],
            [2, 5, 7, 4, 256, 1], [1, 30, 30, 7, 2, 300], [2, 33, 34, 7, 300, 9]]) {
            const n = heads * (d + v);
            const random = rng(n + index);
            const s = index + t;
            k.reset();
            const stored = k.cache({ batch: 1, s, heads, d, v, type }, floats(random, s * heads * d), floats(random, s * heads * v));
            const [keys, values] = [stored.keys(), stored.values()];
            const [w, bias, gate] = [floats(random, taps * n), floats(random, n), floats(random, t * (n + 3))];
            const rows = Array.from({ length: s }, (_, i) =>
                [...keys.subarray(i * heads * d, (i + 1) * heads * d), ...values.subarray(i * heads * v, (i + 1) * heads * v)]);
            const gates = gate.filter((_, i) => i % (n + 3) < n);
            const out = k.room(4 * t * n, 4);
            const known = Math.min(index, taps - 1);
            const fields = {
                cache: stored.address, t, index, taps, w: k.put(w), bias: k.put(bias), gate: k.put(gate, 4), gateStride: n + 3, out, outStride: n,
            };
            /** @param {number[]} past @param {number} bias_ */
            const convolve = (past, bias_) => {
                k.run(k.op(KIND.CONVOLVE, CONVOLVE, { ...fields, bias: bias_, known: past.length, past: k.put(Uint32Array.from(past)) }));
                k.checkGuards();
                return k.floats(out, t * n);
            };
            const tolerance = { atol: 1e-5, rtol: 1e-5 };   // seven products of numbers about 1, rounded to 24 bits each
            const inOrder = Array.from({ length: known }, (_, i) => index - 1 - i);
            const got = convolve(inOrder, fields.bias);
            assertClose(got, reference(rows, t, w, bias, gates), tolerance, `${n} channels from ${index}`);
            assertClose(convolve(inOrder, 0), reference(rows, t, w, new Float32Array(n), gates), tolerance, 'without bias');
            // In a ring what comes before lies anywhere, and at a text's start nowhere.
            const elsewhere = inOrder.map((_, i) => (i * 7 + 3) % s);
            const moved = [...elsewhere.map((place) => rows[place]).reverse(), ...rows.slice(index)];
            assertClose(convolve(elsewhere, fields.bias), reference(moved, t, w, bias, gates), tolerance, 'from elsewhere');
            assertClose(convolve([], fields.bias), reference(rows.slice(index), t, w, bias, gates), tolerance, 'from nothing');
        }
    });
}
