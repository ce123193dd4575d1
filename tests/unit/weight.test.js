// Every type of weights: what ggml's blocks decode to, packing in any pieces, rows, and products.
//
// weight.safetensors beside this file holds, for each type, T.raw, blocks of eight rows (four that ggml quantized, four of
// arbitrary bits), and T.values, what they mean: ggml's dequantization and that of the gguf package, which agree to the
// bit. They are the first 256 inputs of rows 0, 1, 4, 5, 6, 7, 8 and 9 of shared/models/gguf/quants, which is tested
// whole where it lies beside the repository.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertSame } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { embed as embedding, linear } from '../reference.js';
import { floats, integers, rng } from '../rng.js';
import { INT8, KIND, QUANTIZE } from '../../js/engine/interface.js';
import { WEIGHT } from '../../js/engine/weight-types.js';
import { sharedFolder } from '../shared.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();
const fixture = readTensors(new URL('./', import.meta.url), 'weight.safetensors');
const shared = sharedFolder('models/gguf/quants/');

/** @param {any} tensors @param {{ name: string }} type @returns {{ raw: Uint8Array, values: Float32Array, n: number, depth: number }} */
function blocks(tensors, { name }) {
    const { data: raw, shape: [n] } = tensors[`${name === 'I8' || name === 'I4' ? 'F32' : name}.raw`];
    // Any bytes will do, which are their own values.
    if (name === 'I8') return { raw, values: Float32Array.from(new Int8Array(raw.slice().buffer)), n, depth: raw.length / n };
    if (name === 'I4') return fourBits();
    const { data: values, shape: [, depth] } = tensors[`${name}.values`];
    return { raw, values, n, depth };
}

/** What Keras means by its integers: every one of them, scales that multiply and that divide, any zero point. */
function fourBits() {
    const [n, depth] = [8, 256];
    const random = rng(9);
    const raw = new Uint8Array(n * depth / 128 * 72);
    const values = new Float32Array(n * depth);
    const view = new DataView(raw.buffer);
    for (let block = 0; block < n * depth / 128; block++) {
        const divides = block % 3 === 1;
        const scale = Math.fround((random() - 0.5) * (divides ? 200 : 0.2));
        const zero = divides ? 0 : integers(random, 1, 256)[0] - 128;
        view.setFloat32(72 * block, scale, true);
        view.setInt32(72 * block + 4, (zero & 255) + (divides ? 256 : 0), true);
        integers(random, 128, 16).forEach((bits, i) => {
            const q = bits < 8 ? bits : bits - 16;
            raw[72 * block + 8 + (i >> 1)] |= bits << i % 2 * 4;
            values[128 * block + i] = divides ? q / scale : (q - zero) * scale;
        });
    }
    return { raw, values, n, depth };
}

/** Packs rows in pieces. @param {any} type @param {any} from @param {Uint8Array} raw @param {number} depth @param {number} n
 * @param {[number, number][]} [pieces] */
function pack(type, from, raw, depth, n, pieces = [[0, n]]) {
    const packed = k.room(k.call.cmha_weight_bytes(type.id, depth, n));
    const row = raw.length / n;
    for (const [n0, count] of pieces) {
        const piece = k.put(raw.slice(n0 * row, (n0 + count) * row), 2);
        k.call.cmha_weight_pack(type.id, packed, from.id, piece, depth, n, n0, count);
    }
    return packed;
}

/** Blocks of arbitrary bits whose scales are finite and small. @param {any} type @param {number} count */
function arbitrary(type, count, seed = 1) {
    const { raw } = blocks(fixture, type);
    const random = rng(seed);
    const own = raw.length / type.bytes;
    const made = new Uint8Array(count * type.bytes);
    for (let i = 0; i < count; i++) {
        const block = Math.floor(random() * own / 2); // of ggml's rows
        made.set(raw.subarray(block * type.bytes, (block + 1) * type.bytes), i * type.bytes);
    }
    return made;
}

/** @param {any} type @param {Uint8Array} raw */
function decode(type, raw) {
    const n = raw.length / type.bytes * type.block;
    const y = k.room(4 * n, 4);
    k.call.cmha_weight_decode(type.id, y, k.put(raw, 1), n);
    return k.floats(y, n);
}

for (const type of Object.values(WEIGHT)) {
    test(`${type.name}: the values of its blocks, exactly`, () => {
        const { raw, values } = blocks(fixture, type);
        assertSame(decode(type, raw), values);
        for (const count of [0, 1, 7, 9]) { // any number of blocks
            k.reset();
            assertSame(decode(type, raw.subarray(0, count * type.bytes)), values.subarray(0, count * type.block));
            k.checkGuards();
        }
    });

    test(`${type.name}: all of shared/models/gguf/quants`, { skip: shared ? false : 'no ../shared' }, () => {
        k.reset();
        const { raw, values } = blocks(readTensors(/** @type {URL} */ (shared), 'quants.safetensors'), type);
        assertSame(decode(type, raw), values);
    });

    test(`${type.name}: rows come back from any pieces, and no padding is left`, () => {
        for (const n of [1, 7, 8, 13]) {
            k.reset();
            const depth = 2 * type.block * (type.block === 1 ? 67 : 1);
            const raw = arbitrary(type, n * depth / type.block);
            const values = decode(type, raw);
            const cut = Math.floor(n / 2);
            const packed = pack(type, type, raw, depth, n, [[cut, n - cut], [0, cut]]);
            const size = Math.ceil(n / 8) * 8 * depth / type.block * type.bytes;
            assert.equal(k.call.cmha_weight_bytes(type.id, depth, n), size);
            const y = k.room(4 * depth, 4);
            for (let row = 0; row < Math.ceil(n / 8) * 8; row++) {
                k.call.cmha_weight_row(type.id, y, packed, depth, row);
                const zeros = new Float32Array(depth);
                const got = k.floats(y, depth);
                if (row < n) assertSame(got, values.subarray(row * depth, (row + 1) * depth), `row ${row}`);
                else assert.deepEqual(got.map((v) => v + 0), zeros, `row ${row} pads`);
            }
            const decoded = pack(WEIGHT.F32, type, raw, depth, n, [[0, cut], [cut, n - cut]]);
            for (let row = 0; row < n; row++) {
                k.call.cmha_weight_row(WEIGHT.F32.id, y, decoded, depth, row);
                assertSame(k.floats(y, depth), values.subarray(row * depth, (row + 1) * depth), `row ${row} in F32`);
            }
            k.checkGuards();
        }
    });

    test(`${type.name}: a product has the bits of the same weights in float32`, () => {
        for (const [rows, n] of [[1, 1], [1, 8], [1, 40], [2, 33], [5, 24], [7, 9], [13, 45], [120, 20], [205, 17]]) {
            k.reset();
            const depth = type.block === 1 ? 131 : type.block === 32 ? 32 * 9 : 768;
            const random = rng(rows + n);
            const raw = arbitrary(type, n * depth / type.block, n);
            const [x, bias] = [floats(random, rows * depth), floats(random, n)];
            const fields = { x: k.put(x, 4), xStride: depth, rows, k: depth, n, bias: k.put(bias), yStride: n };
            const results = [type, WEIGHT.F32].map((to) => {
                const y = k.room(4 * rows * n, 4);
                k.run(k.linear({ ...fields, w: pack(to, type, raw, depth, n), type: to.id, y }));
                return k.floats(y, rows * n);
            });
            k.checkGuards();
            assertSame(results[0], results[1], `${rows} x ${depth} x ${n}`);
        }
    });

    test(`${type.name}: an embedding`, () => {
        k.reset();
        const [depth, n, rows] = [type.block === 1 ? 37 : type.block, 11, 6];
        const raw = arbitrary(type, n * depth / type.block);
        const values = decode(type, raw);
        const tokens = integers(rng(5), rows, n);
        const table = floats(rng(6), 20 * depth);
        const positions = integers(rng(7), rows, 20);
        const y = k.room(4 * rows * depth, 4);
        k.run(k.embed({
            tokens: k.put(tokens), rows, w: pack(type, type, raw, depth, n), type: type.id, scale: 0.5, k: depth, n, y,
            table: k.put(table, 4), positions: k.put(positions),
        }));
        k.checkGuards();
        const plain = embedding(tokens, values.map((v) => v / 2), null, depth, rows, 0);
        const expected = Float32Array.from(plain, (v, i) => v + table[positions[Math.floor(i / depth)] * depth + i % depth]);
        assert.deepEqual(k.floats(y, rows * depth), expected);
    });
}

test('matrices kept [K][N], a slice of their columns, in any pieces', () => {
    const [depth, columns, first, n] = [19, 30, 5, 13];
    for (const from of [WEIGHT.F32, WEIGHT.F16, WEIGHT.BF16]) {
        for (const to of new Set([from, WEIGHT.F32])) {
            k.reset();
            const raw = arbitrary(from, depth * columns);
            const values = decode(from, raw);
            const packed = k.room(k.call.cmha_weight_bytes(to.id, depth, n));
            for (const [k0, count] of [[7, 12], [0, 7]]) {
                const start = (k0 * columns + first) * from.bytes;
                const piece = k.put(raw.slice(start, ((k0 + count - 1) * columns + first + n) * from.bytes), 2);
                k.call.cmha_weight_pack_inputs(to.id, packed, from.id, piece, columns, depth, n, k0, count);
            }
            const y = k.room(4 * depth);
            for (let row = 0; row < n; row++) {
                k.call.cmha_weight_row(to.id, y, packed, depth, row);
                const expected = Float32Array.from({ length: depth }, (_, j) => values[j * columns + first + row]);
                assertSame(k.floats(y, depth), expected);
            }
            k.checkGuards();
        }
    }
});

test('scale and soft cap of a product', () => {
    const [rows, depth, n] = [3, 20, 11];
    k.reset();
    const [x, w] = [floats(rng(1), rows * depth, 9), floats(rng(2), n * depth)];
    const packed = pack(WEIGHT.F32, WEIGHT.F32, new Uint8Array(w.buffer), depth, n);
    const transposed = Float32Array.from({ length: n * depth }, (_, i) => w[i % n * depth + Math.floor(i / n)]);
    const plain = linear(x, transposed, null, rows, depth, n);
    for (const [scale, softcap] of [[0.25, 0], [0, 5], [3, 2], [0.01, 4]]) {
        const y = k.room(4 * rows * n);
        k.run(k.linear({
            x: k.put(x), xStride: depth, rows, k: depth, n, w: packed, y, yStride: n, scale, softcap,
        }));
        const expected = plain.map((v) => {
            const scaled = v * (scale || 1);
            return softcap ? softcap * Math.tanh(scaled / softcap) : scaled;
        });
        k.floats(y, rows * n).forEach((v, i) => assert.ok(Math.abs(v - expected[i]) < 1e-5 * Math.max(1, scale),
            `${v}, not ${expected[i]}`));
    }
});

/** x rounded to signed bytes by blocks of 32, as numbers. @param {Float32Array} x */
function quantized(x) {
    const y = new Float64Array(x.length);
    for (let first = 0; first < x.length; first += 32) {
        const most = x.subarray(first, first + 32).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
        const scale = Math.fround(127 / most);
        for (let i = first; i < first + 32; i++) {
            const scaled = most > 0 ? Math.fround(x[i] * scale) : 0;
            let q = Math.floor(scaled);
            const rest = scaled - q;
            if (rest > 0.5 || (rest === 0.5 && q % 2 !== 0)) q++;
            y[i] = q * Math.fround(most / 127);
        }
    }
    return y;
}

/** The address of x as blocks of bytes. @param {Float32Array} x @param {number} rows */
function quantize(x, rows) {
    const y = k.room(x.length / INT8.INPUTS * INT8.BYTES);
    const depth = x.length / rows;
    k.run(k.op(KIND.QUANTIZE, QUANTIZE, { x: k.put(x, 4), xStride: depth, rows, k: depth, y }));
    return y;
}

test('I4: a row by itself, whose weights are multiplied where they lie, has the bits of the same weights in float32', () => {
    const [n, depth, type] = [41, 384, WEIGHT.I4];
    const random = rng(4);
    for (const [scale, how] of [[0.01, 0], [2 ** -120, 0], [0.01, 0x100]]) {
        k.reset();
        const raw = Uint8Array.from({ length: n * depth / type.block * type.bytes }, () => random() * 256);
        const view = new DataView(raw.buffer);
        for (let at = 0; at < raw.length; at += type.bytes) {
            view.setFloat32(at, (random() - 0.5) / 50, true);
            view.setUint32(at + 4, Math.floor(random() * 16 - 8) & 0xff, true);
        }
        // One that is out of a nibble's reach, or that divides, is enough.
        view.setFloat32(0, scale, true);
        view.setUint32(4, how, true);
        const fields = { x: k.put(floats(random, depth), 4), xStride: depth, rows: 1, k: depth, n, yStride: n };
        const [own, plain] = [type, WEIGHT.F32].map((to) => {
            const y = k.room(4 * n, 4);
            k.run(k.linear({ ...fields, w: pack(to, type, raw, depth, n), type: to.id, y }));
            return k.floats(y, n);
        });
        k.checkGuards();
        assertSame(own, plain, `${scale}, ${how}`);
    }
});

for (const type of Object.values(WEIGHT).filter(({ block, name }) => block > 1 && name !== 'I4')) {
    test(`${type.name}: products with activations as bytes, the same bits for any number of rows`, () => {
        const depth = type.block === 32 ? 32 * 27 : 768;
        const n = 45;
        k.reset();
        // Arbitrary bits among them: every quant and scale that there is. As large as these make the sums is the error.
        const { raw: all, n: count } = blocks(fixture, type);
        const random = rng(7);
        const raw = new Uint8Array(n * depth / type.block * type.bytes);
        for (let at = 0; at < raw.length; at += type.bytes) {
            const block = Math.floor(random() * all.length / type.bytes);
            raw.set(all.subarray(block * type.bytes, (block + 1) * type.bytes), at);
        }
        assert.equal(count, 8);
        const values = decode(type, raw);
        const rows = 11;
        const x = floats(random, rows * depth);
        x.set(x.subarray(0, 64).map((v) => v * 100), 64);
        x.fill(0, 128, 160);
        const w = k.room(k.call.cmha_weight_bytes(type.id, depth, n));
        k.call.cmha_weight_pack(type.id, w, type.id, k.put(raw), depth, n, 0, n);
        const y = k.room(4 * rows * n, 4);
        const fields = { k: depth, n, w, type: type.id, yStride: n };
        const bytes = quantize(x, rows);
        k.run(k.linear({ ...fields, rows, quantized: bytes, y }));
        k.checkGuards();
        const got = k.floats(y, rows * n);
        const rounded = quantized(x);
        for (let r = 0; r < rows; r++) {
            for (let c = 0; c < n; c++) {
                let [sum, size] = [0, 0];
                for (let j = 0; j < depth; j++) {
                    sum += rounded[r * depth + j] * values[c * depth + j];
                    size += Math.abs(rounded[r * depth + j] * values[c * depth + j]);
                }
                // Minima are taken off whole runs: what cancels there may be several times the sum of the products.
                assert.ok(Math.abs(got[r * n + c] - sum) <= 4e-6 * size, `${r}, ${c}: ${got[r * n + c]}, not ${sum}`);
            }
        }
        for (const m of [1, 2, 3, 4, 5, 7]) { // of the rows from the second on
            const part = k.room(4 * m * n);
            k.run(k.linear({ ...fields, rows: m, quantized: quantize(x.slice(depth, (m + 1) * depth), m), y: part }));
            assertSame(k.floats(part, m * n), got.subarray(n, (m + 1) * n), `${m} rows`);
        }
        const second = k.room(4 * 120 * n);
        k.run(k.linear({ ...fields, rows: 120, quantized: quantize(Float32Array.from({ length: 120 * depth },
            (_, i) => x[i % (rows * depth)]), 120), y: second }));
        assertSame(k.floats(second + 4 * 110 * n, 10 * n), got.subarray(0, 10 * n), 'the last of 120 rows');
    });
}

test('activations that are not finite are not lost', () => {
    k.reset();
    const type = WEIGHT.Q8_0;
    const raw = arbitrary(type, 8);
    const w = pack(type, type, raw, 32, 8);
    for (const wrong of [NaN, Infinity, -Infinity]) {
        const x = floats(rng(1), 32);
        x[17] = wrong;
        const y = k.room(4 * 8);
        k.run(k.linear({ rows: 1, k: 32, n: 8, w, type: type.id, quantized: quantize(x, 1), y, yStride: 8 }));
        assert.ok(k.floats(y, 8).every((v) => !Number.isFinite(v)));
    }
});
