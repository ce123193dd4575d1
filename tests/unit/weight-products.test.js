// Products of every type of weights against float64 on the decoded weights, for rows that are hard: numbers far apart, zeros,
// denormals, scales at the ends of a half's range, quants all at one end against activations that fill their byte.
//
// With activations as bytes, as models compute them, what is stated is: an activation is off by half a step, that is 1/254
// of the largest of its 32; and the sum of the runs, exact each, is rounded once or twice a run. Weights come as decoded,
// so that nothing but the product is measured.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { rng } from '../rng.js';
import { SIMD } from '../binary.js';
import { INT8, KIND, QUANTIZE } from '../../js/engine/interface.js';
import { WEIGHT } from '../../js/engine/weight-types.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

/** Where a block of ggml's has its halves; and its quants, if something is added to what they are scaled to.
 * @type {Record<string, { halves: number[], quants?: [number, number] }>} */
const LAYOUT = {
    F16: { halves: [0] },
    Q8_0: { halves: [0] },
    Q4_0: { halves: [0] },
    Q4_1: { halves: [0, 2], quants: [4, 20] },
    Q5_0: { halves: [0] },
    Q5_1: { halves: [0, 2], quants: [4, 24] },
    Q2_K: { halves: [80, 82], quants: [16, 80] },
    Q3_K: { halves: [108] },
    Q4_K: { halves: [0, 2], quants: [16, 144] },
    Q5_K: { halves: [0, 2], quants: [16, 176] },
    Q6_K: { halves: [208] },
    IQ4_NL: { halves: [0] },
    IQ4_XS: { halves: [0] },
};

/** V8's flag for an engine as processors without AVX-VNNI have it: dot.h then multiplies bytes another way. */
const WITHOUT = '--no-enable-avx-vnni';

const ONE = 0x3c00;
/** Zeros, the smallest denormals and the largest, the smallest normal number, the largest of both signs, usual ones. */
const HALVES = [0, 0x8000, 1, 0x8001, 0x03ff, 0x0400, 0x7bff, 0xfbff, ONE, 0x2e66, 0xa123];
/** @type {((i: number, random: () => number) => number)[]} bytes of quants and of scales, all at an end among them */
const FILLS = [
    () => 0, () => 0xff, (i) => (i % 2 ? 0xff : 0), (i) => (i % 2 ? 0x0f : 0xf0), () => 0x80, () => 0x7f, (_, random) => random() * 256,
];

/** Rows of weights, a row for every way to fill it. @param {any} type @param {number} depth @param {number[]} halves */
function rowsOf(type, depth, halves) {
    const random = rng(11);
    const pick = (/** @type {number[]} */ list) => list[Math.floor(random() * list.length)];
    const blocks = depth / type.block;
    const n = 3 * FILLS.length;
    const raw = new Uint8Array(n * blocks * type.bytes);
    const view = new DataView(raw.buffer);
    for (let at = 0, block = 0; at < raw.length; at += type.bytes, block++) {
        const fill = FILLS[Math.floor(block / blocks) % FILLS.length];
        for (let i = 0; i < type.bytes; i++) raw[at + i] = fill(i, random);
        for (const half of LAYOUT[type.name]?.halves ?? []) view.setUint16(at + half, pick(halves), true);
        if (type.name === 'F32') view.setFloat32(at, pick([0, 1e-40, 1e-20, 1e20, -1e20, random(), -random()]), true);
        if (type.name === 'BF16') view.setUint16(at, pick([0, 1, 0x8001, 0x007f, 0x6000, 0xe000, 0x3f80, 0xbe12]), true);
        if (type.name === 'I4') {
            view.setFloat32(at, pick([1e-15, 1e-3, 1, -1, 1e15]), true);
            view.setInt32(at + 4, pick([0, 128, 127, 256]), true); // zero points of 0, -128 and 127; scales that divide
        }
    }
    return { raw, n };
}

/** @param {any} type @param {Uint8Array} raw */
function decode(type, raw) {
    const n = raw.length / type.bytes * type.block;
    const y = k.room(4 * n, 4);
    k.call.cmha_weight_decode(type.id, y, k.put(raw, 1), n);
    return k.floats(y, n);
}

/** What is added to the scaled quants: what is left if they are all 0. @param {any} type @param {Uint8Array} raw */
function offsets(type, raw) {
    const quants = LAYOUT[type.name]?.quants;
    if (!quants) return null;
    const copy = raw.slice();
    for (let at = 0; at < copy.length; at += type.bytes) copy.fill(0, at + quants[0], at + quants[1]);
    return decode(type, copy);
}

/** Rows of activations. @param {number} depth */
function activations(depth) {
    const random = rng(5);
    const row = (/** @type {(i: number) => number} */ f) => Array.from({ length: depth }, (_, i) => f(i));
    const sign = () => (random() < 0.5 ? -1 : 1);
    const rows = [
        row(() => random() - 0.5),
        row((i) => (i === 77 ? 1e6 : 1e-3 * (random() - 0.5))),             // one huge value in the row
        row((i) => (i % 32 === 9 ? -1e8 : random() - 0.5)),                 // and one for every scale
        row(() => 0),
        row((i) => (Math.floor(i / 32) % 2 ? random() : 0)),
        row(() => 127), row(() => -127), row((i) => (i % 2 ? 127 : -127)), row((i) => (i % 4 < 2 ? 127 : -127)), row(() => 127 * sign()),
        row((i) => (i % 32 === 0 ? 127 : Math.floor(random() * 100) + 0.5)), // ties
        row(() => 1e-30 * random() * sign()),
        row((i) => (i % 3 ? 1e-40 * sign() : 0)),                           // too small for 127 over it
        row(() => 10 ** (random() * 12 - 6) * sign()),
        row(() => 1e15 * random() * sign()),
    ];
    return { x: Float32Array.from(rows.flat()), rows: rows.length };
}

/** The products, of all rows together, of some and of each alone, which must have the same bits.
 * @param {any} type @param {Uint8Array} raw @param {number} n @param {Float32Array} x @param {number} rows @param {boolean} asBytes */
function products(type, raw, n, x, rows, asBytes) {
    const depth = x.length / rows;
    const w = k.room(k.call.cmha_weight_bytes(type.id, depth, n));
    k.call.cmha_weight_pack(type.id, w, type.id, k.put(raw), depth, n, 0, n);
    const product = (/** @type {Float32Array} */ some, /** @type {number} */ m) => {
        const y = k.room(4 * m * n, 4);
        const at = k.put(some, 4);
        const fields = { rows: m, k: depth, n, w, type: type.id, y, yStride: n };
        if (asBytes) {
            const quantized = k.room(m * depth / INT8.INPUTS * INT8.BYTES);
            k.run(k.op(KIND.QUANTIZE, QUANTIZE, { x: at, xStride: depth, rows: m, k: depth, y: quantized }));
            k.run(k.linear({ ...fields, quantized }));
        } else {
            k.run(k.linear({ ...fields, x: at, xStride: depth }));
        }
        return k.floats(y, m * n);
    };
    const all = product(x, rows);
    for (let r = 0; r < rows; r++) {
        const alone = product(x.slice(r * depth, (r + 1) * depth), 1);
        assert.deepEqual(alone, all.subarray(r * n, (r + 1) * n), `row ${r} alone`);
    }
    // Every way to fill up the rows that share weights in registers.
    for (let m = 2; m < 8; m++) assert.deepEqual(product(x.slice(0, m * depth), m), all.subarray(0, m * n), `${m} rows`);
    k.checkGuards();
    return all;
}

/** Half a step of an activation's byte: of its 32 the largest over 254. Below 1e-36, where 127 over the largest is no number,
 * it may be all of that.
 * @param {Float32Array} x @param {number} i */
function halfStep(x, i) {
    const first = i - i % INT8.INPUTS;
    let most = 0;
    for (let j = first; j < first + INT8.INPUTS; j++) most = Math.max(most, Math.abs(x[j]));
    return most < 1e-36 ? most : most / 254 * (1 + 2 ** -18);
}

const types = Object.values(WEIGHT);
const withBytes = types.filter(({ block, name }) => block > 1 && name !== 'I4');

for (const type of types) {
    test(`${type.name}: hard rows and blocks, against float64`, (t) => {
        const depth = 512;
        const { x, rows } = activations(depth);
        const { raw, n } = rowsOf(type, depth, HALVES);
        for (const asBytes of withBytes.includes(type) ? [false, true] : [false]) {
            k.reset();
            const values = decode(type, raw);
            assert.ok(values.every(Number.isFinite));
            const added = asBytes ? offsets(type, raw) : null;
            const steps = Float64Array.from(x, (_, i) => (asBytes ? halfStep(x, i) : 0));
            const got = products(type, raw, n, x, rows, asBytes);
            // So many roundings: one or two for every run of 16 inputs or more, or for every input.
            const rounding = ((asBytes ? 2 * depth / 16 : depth) + 8) * 2 ** -24;
            let worst = 0;
            for (let r = 0; r < rows; r++) {
                for (let c = 0; c < n; c++) {
                    let [sum, size, off] = [0, 0, 0];
                    for (let j = 0; j < depth; j++) {
                        const [value, w] = [x[r * depth + j], values[c * depth + j]];
                        const offset = added ? added[c * depth + j] : 0;
                        sum += value * w;
                        off += steps[r * depth + j] * Math.abs(w);
                        size += (Math.abs(value) + steps[r * depth + j]) * (Math.abs(w - offset) + Math.abs(offset));
                    }
                    // And what is lost below the smallest float, once a rounding.
                    const bound = off + rounding * size + depth * 2 ** -148;
                    const error = Math.abs(got[r * n + c] - sum);
                    assert.ok(error <= bound, `row ${r}, output ${c}${asBytes ? ' of bytes' : ''}: ${got[r * n + c]}, not ${sum} within ${bound}`);
                    if (r === 0 && size > 0) worst = Math.max(worst, error / size);
                }
            }
            t.diagnostic(`${asBytes ? 'bytes' : 'floats'}: random activations are off by ${worst.toExponential(1)} of the sum of sizes at most`);
        }
    });
}

for (const type of withBytes) {
    test(`${type.name}: sums of integers are exact, whatever pairs of them come to`, () => {
        // With scales of 1, and numbers of one run at a time, every step is a whole number that a float holds: both binaries
        // give these, or one of them has saturated, or lost a bit.
        k.reset();
        const depth = 256;
        const { raw, n } = rowsOf(type, depth, [ONE]);
        const values = decode(type, raw);
        assert.ok(values.every(Number.isInteger));
        const run = 16;
        const random = rng(3);
        /** @type {((i: number) => number)[]} */
        const patterns = [
            () => 127, () => -127, (i) => (i % 2 ? 127 : -127), (i) => (i % 4 < 2 ? 127 : -127), () => Math.round(random() * 254 - 127),
        ];
        const rows = depth / run * patterns.length;
        const x = new Float32Array(rows * depth);
        for (let r = 0; r < rows; r++) {
            const first = r % (depth / run) * run;
            const pattern = patterns[Math.floor(r / (depth / run))];
            for (let i = 0; i < run; i++) x[r * depth + first + i] = i === 0 ? 127 : pattern(i);
        }
        const got = products(type, raw, n, x, rows, true);
        for (let r = 0; r < rows; r++) {
            for (let c = 0; c < n; c++) {
                let sum = 0;
                for (let j = 0; j < depth; j++) sum += x[r * depth + j] * values[c * depth + j];
                assert.equal(got[r * n + c] + 0, sum + 0, `row ${r}, output ${c}`);
            }
        }
    });
}

const isWithout = process.execArgv.includes(WITHOUT);
const isKnown = !isWithout && SIMD === 'relaxed' && spawnSync(process.execPath, [WITHOUT, '--version']).status === 0;
test('all of this on an engine that does not multiply four bytes at once', { skip: !isKnown && `no relaxed SIMD, or no ${WITHOUT}` }, () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout } = spawnSync(process.execPath, [WITHOUT, fileURLToPath(import.meta.url)], { env, encoding: 'utf8' });
    assert.equal(status, 0, stdout);
});
