// All activations over their whole range, at every length; soft caps.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACTIVATION } from '../../js/engine/interface.js';
import { assertClose } from '../close.js';
import { activations } from '../reference.js';
import { floats, rng } from '../rng.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();
const { TANH, QUICK_GELU, RELU2, MISH } = ACTIVATION;

/** @param {Float32Array} x @param {number} activation */
function run(x, activation) {
    return k.apply(x, (to, from) => k.call.cmha_activation_f32(to, from, x.length, activation));
}

test('dense sweep', () => {
    const sweep = Float32Array.from({ length: 40001 }, (_, i) => (i - 20000) / 1500);
    const near = sweep.map((x) => x / 13);
    for (const activation of activations.keys()) {
        // The exponential's argument, up to 90 in the wide sweep, is the result of several roundings; below 1e-30 results
        // may be flushed to zero. ReLU is exact, its square rounded once. Mish squares its exponential, and tanh takes it from one.
        const [wide, narrow] = activation > 1 ? [4e-5, activation === TANH || activation === MISH ? 7e-7 : 5e-7] : [0, 0];
        const exact = activations[activation];
        assertClose(run(sweep, activation), sweep.map(exact), { atol: 1e-30, rtol: wide });
        assertClose(run(near, activation), near.map(exact), { atol: 1e-30, rtol: narrow });
    }
});

test('the logistic function: far out, zero and NaN', () => {
    const [low, zero, high, nan] = run(Float32Array.of(-1e30, 0, Infinity, NaN), 5);
    assert.ok(low >= 0 && low < 1e-37);
    assert.deepEqual([zero, high], [0.5, 1]);
    assert.ok(Number.isNaN(nan));
});

test('far out, zero, infinity and NaN', () => {
    for (const activation of [1, 2, 3, 4, QUICK_GELU, MISH]) {
        const ends = Float32Array.of(-50, -1e30, 0, 1e30, Infinity, NaN);
        const [low, lower, zero, high, infinite, nan] = run(ends, activation);
        assert.ok(Math.abs(low) < (activation === 4 || activation === MISH ? 1e-19 : 1e-30) && Math.abs(lower) < 1e-6, 'left of everything');
        assert.equal(zero, 0, 'zero');
        assert.equal(high, Math.fround(1e30), 'high');
        assert.equal(infinite, Infinity, 'infinity');
        assert.ok(Number.isNaN(nan), 'NaN');
    }
});

test('tanh and the square of ReLU: far out, zero, infinity and NaN', () => {
    const ends = Float32Array.of(-Infinity, -1e30, 0, 1e15, Infinity, NaN);
    assert.deepEqual(run(ends, TANH), Float32Array.of(-1, -1, 0, 1, 1, NaN));
    assert.deepEqual(run(ends, RELU2), Float32Array.of(0, 0, 0, Math.fround(1e15) ** 2, Infinity, NaN));
});

test('every length', () => {
    for (let n = 0; n < 20; n++) {
        const x = floats(rng(n), n, 4);
        for (const activation of activations.keys()) {
            assertClose(run(x, activation), x.map((v) => activations[activation](v)), { atol: 1e-7, rtol: 1e-6 });
        }
    }
});

test('soft caps: near zero, far out, every length', () => {
    for (const cap of [1, 30, 50]) {
        const x = Float32Array.from({ length: 20001 }, (_, i) => (i - 10000) / 1000 * cap);
        const softcap = (/** @type {Float32Array} */ values) =>
            k.apply(values, (to, from) => k.call.cmha_softcap_f32(to, from, values.length, cap));
        const exact = (/** @type {number} */ v) => cap * Math.tanh(v / cap);
        assertClose(softcap(x), Float64Array.from(x, exact), { rtol: 6e-7 });
        const near = x.map((v) => v / 40);
        assertClose(softcap(near), Float64Array.from(near, exact), { rtol: 6e-7 });
        for (let n = 0; n < 10; n++) assert.deepEqual(softcap(x.subarray(9, 9 + n)), softcap(x).subarray(9, 9 + n));
        const ends = softcap(Float32Array.of(-Infinity, -1e30, 0, 1e30, Infinity, NaN));
        assert.deepEqual(ends, Float32Array.of(-cap, -cap, 0, cap, cap, NaN));
    }
});
