// Every type of weights: what ggml's blocks decode to, packing in any pieces, rows, and products.
//
// weight.safetensors beside this file holds, for each type, T.raw, blocks of eight rows (four that ggml quantized, four of
// arbitrary bits), and T.values, what they mean: ggml's dequantization and that of the gguf package, which agree to the
// bit. They are the first 256 inputs of rows 0, 1, 4, 5, 6, 7, 8 and 9 of shared/models/gguf/quants, which is tested
// whole where it lies beside the repository.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { assertSame } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { embed as embedding, linear } from '../reference.js';
import { floats, integers, rng } from '../rng.js';
import { WEIGHT } from '../../js/engine/interface.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();
const fixture = readTensors(new URL('./', import.meta.url), 'weight.safetensors');
const shared = ['../../../shared/', '../../../../shared/']
    .map((path) => new URL(`${path}models/gguf/quants/`, import.meta.url)).find((url) => existsSync(url));

/** @param {any} tensors @param {{ name: string }} type @returns {{ raw: Uint8Array, values: Float32Array, n: number, depth: number }} */
function blocks(tensors, { name }) {
    const { data: raw, shape: [n] } = tensors[`${name === 'I8' ? 'F32' : name}.raw`];
    // Any bytes will do, which are their own values.
    if (name === 'I8') return { raw, values: Float32Array.from(new Int8Array(raw.slice().buffer)), n, depth: raw.length / n };
    const { data: values, shape: [, depth] } = tensors[`${name}.values`];
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
