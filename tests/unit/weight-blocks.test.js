// PackedWeight and NormWeights: loading in pieces, what they record, what they refuse, what they give back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertClose, assertSame } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { linear, norm } from '../reference.js';
import { floats, rng } from '../rng.js';
import { NormWeights } from '../../js/blocks/norm.js';
import { PackedWeight } from '../../js/blocks/weight.js';
import { EMBED } from '../../js/engine/interface.js';
import { WEIGHT } from '../../js/engine/weight-types.js';
import { testRuntime } from '../runtime.js';

const fixture = readTensors(new URL('./', import.meta.url), 'weight.safetensors');

/** Runs a program that writes [size] floats. @param {any} runtime @param {number} size
 * @param {(program: any, y: number) => void} record @returns {Float32Array} */
function run(runtime, size, record) {
    /** @type {any} */
    let out;
    return runtime._runSync({
        check() {},
        /** @param {any} program */
        record(program) {
            out = program.result(Object.freeze([size]), 'float32');
            record(program, out._address);
        },
        finish() {
            const data = out.data.slice();
            out.dispose();
            return data;
        },
    });
}

/** A runtime whose program has its scratch already. */
async function warmRuntime() {
    const runtime = await testRuntime();
    runtime._runSync({ check() {}, record: (program) => void program.scratch(1), finish() {} });
    return runtime;
}

/** @param {Float32Array} data */
const input = (data) => ({ shape: [data.length], data });

for (const [name, target] of /** @type {const} */ ([['Q4_K', 'Q4_K'], ['Q4_K', 'F32'], ['Q8_0', 'Q8_0'], ['BF16', 'BF16'],
    ['F16', 'F32']])) {
    test(`${name} loaded as ${target}, in pieces: products and look-ups`, async () => {
        const runtime = await warmRuntime();
        const { used } = runtime.memory;
        const raw = /** @type {Uint8Array} */ (fixture[`${name}.raw`].data);
        const values = /** @type {Float32Array} */ (fixture[`${name}.values`].data);
        const [n, rows] = [4, 3]; // ggml's rows
        const depth = fixture[`${name}.values`].shape[1];
        const weight = new PackedWeight(runtime, WEIGHT[target], depth, n, { bias: true });
        assert.equal(weight.bytes, 8 * depth / WEIGHT[target].block * WEIGHT[target].bytes + 4 * n);
        assert.deepEqual(weight.row(1).map((v) => v + 0), new Float32Array(depth), 'made empty');
        const row = raw.length / fixture[`${name}.raw`].shape[0];
        weight.load(raw.subarray(2 * row, 4 * row), WEIGHT[name], 2, 2);
        weight.load(raw.subarray(0, 2 * row), WEIGHT[name], 0, 2);
        const bias = floats(rng(1), n);
        weight.loadBias(bias);
        for (let i = 0; i < n; i++) assertSame(weight.row(i), values.subarray(i * depth, (i + 1) * depth));
        const x = floats(rng(2), rows * depth);
        const got = run(runtime, rows * n, (program, y) => {
            const at = program.input(input(x));
            weight.record(program, rows, at, depth, y, n, { scale: 2 });
        });
        const w = Float32Array.from({ length: depth * n }, (_, i) => values[i % n * depth + Math.floor(i / n)]);
        const plain = linear(x, w, bias, rows, depth, n);
        assertClose(got, plain.map((v) => 2 * v), { atol: 2e-4, rtol: 1e-5 });
        const looked = run(runtime, 2 * depth, (program, y) => {
            const tokens = program.input({ shape: [2], data: Int32Array.of(3, 1) });
            const op = weight.recordLookup(program, 2, tokens, y);
            program.floats[op + EMBED.scale] = 4;
        });
        assertSame(looked.subarray(depth).map((v) => v / 4), values.subarray(depth, 2 * depth));
        weight.dispose();
        assert.throws(() => weight.row(0), /disposed/);
        assert.throws(() => weight.load(raw.subarray(0, row), WEIGHT[name], 0, 1), /disposed/);
        assert.equal(runtime.memory.used, used, 'all of it is given back');
    });
}

test('a matrix kept [inputs][outputs], fused with others, more of it than is staged at a time', async () => {
    const runtime = await testRuntime();
    const [inputs, outputs, columns, first] = [700, 300, 1000, 200];
    const fused = floats(rng(4), inputs * columns);
    const bytes = new Uint8Array(fused.buffer);
    const weight = new PackedWeight(runtime, WEIGHT.F32, inputs, outputs);
    const { used } = runtime.memory;
    const cut = 500;
    const options = { orientation: /** @type {const} */ ('columns'), columns, firstColumn: first };
    weight.load(bytes.subarray(0, 4 * cut * columns), WEIGHT.F32, 0, cut, options);
    weight.load(bytes.subarray(4 * cut * columns), WEIGHT.F32, cut, inputs - cut, options);
    assert.equal(runtime.memory.used, used);
    assert.ok(runtime.memory.peak - used < 1.1 * 2 ** 20, 'staging is bounded');
    for (const output of [0, 1, 7, 8, 299]) {
        const expected = Float32Array.from({ length: inputs }, (_, j) => fused[j * columns + first + output]);
        assertSame(weight.row(output), expected);
    }
});

test('what cannot be is refused', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    assert.throws(() => new PackedWeight(runtime, WEIGHT.Q4_K, 128, 8), /inputs must be a multiple of 256/);
    assert.throws(() => new PackedWeight(runtime, WEIGHT.F32, 2 ** 20, 2 ** 20), /memory exhausted/);
    assert.throws(() => new PackedWeight(runtime, WEIGHT.F32, 2 ** 50, 2 ** 50), /memory exhausted/);
    assert.throws(() => new PackedWeight(runtime, WEIGHT.F32, 1.5, 3), /inputs must be a whole number/);
    assert.equal(runtime.memory.used, used);
    const weight = new PackedWeight(runtime, WEIGHT.Q8_0, 32, 4);
    const row = new Uint8Array(34);
    assert.throws(() => weight.load(row, WEIGHT.Q4_0, 0, 1), /fileType must be "?Q8_0/);
    assert.throws(() => weight.load(row, WEIGHT.Q8_0, 4, 1), /rows must be within the 4/);
    assert.throws(() => weight.load(row, WEIGHT.Q8_0, -1, 1), /firstRow must be/);
    assert.throws(() => weight.load(row, WEIGHT.Q8_0, 0, 2), /bytes must be 68 bytes/);
    assert.throws(() => weight.load(row, WEIGHT.Q8_0, 0, 1, { orientation: 'columns' }), /columns must be/);
    assert.throws(() => weight.loadBias([1, 2, 3, 4]), /bias must be absent/);
    weight.dispose();
});

test('norms: per head, with an offset, without a bias', async () => {
    const runtime = await warmRuntime();
    for (const { kind, groups, own, bias, offset } of /** @type {const} */ ([
        { kind: 'rms', groups: 1, own: false, bias: false, offset: 1 },
        { kind: 'rms', groups: 3, own: false, bias: false, offset: 0 },
        { kind: 'layer', groups: 3, own: true, bias: true, offset: 0 },
        { kind: 'layer', groups: 1, own: false, bias: false, offset: 0 },
    ])) {
        const { used } = runtime.memory;
        const [rows, width] = [4, 10];
        const made = new NormWeights(runtime, { kind, width, epsilon: 1e-5, groups, own, offset, bias });
        const [x, gamma, beta] = [floats(rng(1), rows * groups * width), floats(rng(2), made.size), floats(rng(3), made.size)];
        const record = () => run(runtime, x.length, (program, y) => {
            const at = program.input(input(x));
            made.record(program, rows, at, groups * width, y, undefined, { residual: at });
        });
        const expected = { x, rows, n: width, groups, rms: kind === 'rms', epsilon: 1e-5, residual: x };
        assertClose(record(), norm(expected), { atol: 1e-5, rtol: 1e-5 }, 'as made');
        made.loadWeight(gamma);
        if (bias) made.loadBias(beta);
        else assert.throws(() => made.loadBias(beta), /no such weights/);
        assertClose(record(), norm({ ...expected, gamma, beta: bias ? beta : null, offset }),
            { atol: 1e-5, rtol: 1e-5 }, 'loaded');
        made.dispose();
        assert.equal(runtime.memory.used, used);
    }
});

/** Keras's rounding of a row, float by float. @param {ArrayLike<number>} row */
function roundedRow(row) {
    const f = Math.fround;
    const most = Array.from(row).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const scale = f(127 / f(most + f(1e-7)));
    const even = (/** @type {number} */ v) => (Math.abs(v % 1) === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));
    return { scale, values: Array.from(row, (v) => Math.min(127, Math.max(-127, even(f(v * scale))))) };
}

test('scaled weights: inputs are rounded too, products and look-ups divided', async () => {
    const runtime = await warmRuntime();
    const { used } = runtime.memory;
    const [inputs, outputs, rows] = [19, 11, 5];
    const random = rng(7);
    const whole = Int8Array.from({ length: outputs * inputs }, () => Math.floor(random() * 255) - 127);
    const scales = Float32Array.from({ length: outputs }, () => 50 + 400 * random());
    const bias = floats(random, outputs);
    const x = floats(random, rows * inputs, 3);
    x.fill(0, inputs, 2 * inputs);
    x[2 * inputs] = 127; // the scale becomes 1, and there are ties
    x.set([0.5, 1.5, -2.5], 2 * inputs + 1);
    x[3 * inputs + 4] = NaN;
    const weight = new PackedWeight(runtime, WEIGHT.I8, inputs, outputs, { bias: true });
    weight.load(new Uint8Array(whole.buffer), WEIGHT.I8, 0, outputs);
    weight.loadScales(scales.subarray(0, 4));
    weight.loadScales(scales.subarray(4), 4);
    weight.loadBias(bias);
    const got = run(runtime, rows * outputs, (program, y) =>
        weight.record(program, rows, program.input(input(x)), inputs, y, outputs, { concurrent: true }));
    const expected = Float32Array.from({ length: rows * outputs }, (_, i) => {
        const [r, c] = [Math.floor(i / outputs), i % outputs];
        if (r === 3) return NaN;
        const { scale, values } = roundedRow(x.subarray(r * inputs, (r + 1) * inputs));
        const sum = values.reduce((total, v, j) => total + v * whole[c * inputs + j], 0);
        return Math.fround(Math.fround(sum / Math.fround(scale * scales[c])) + bias[c]);
    });
    assertSame(got, expected);
    const plain = (/** @type {number} */ c) => Float32Array.from(whole.subarray(c * inputs, (c + 1) * inputs), (q) => q / scales[c]);
    const looked = run(runtime, 2 * inputs, (program, y) =>
        void weight.recordLookup(program, 2, program.input({ shape: [2], data: Int32Array.of(10, 3) }), y));
    assertSame(looked, Float32Array.of(...plain(10), ...plain(3)));
    assertSame(weight.row(6), plain(6));
    assert.throws(() => weight.loadScales(scales, 1), /scales must be within 11/);
    weight.dispose();
    assert.equal(runtime.memory.used, used, 'all of it is given back');
});
