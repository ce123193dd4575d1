// The safetensors reader: one malformed file per code, and numbers of every type.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FormatError } from '../../js/generation/index.js';
import { widen } from '../../js/files/halves.js';
import { readHeader } from '../../js/files/safetensors.js';
import { openFile } from '../../js/files/source.js';
import { withHeader } from './checkpoint.js';

const read = async (/** @type {any} */ source) => readHeader(await openFile(source));

/** A file with such a header and so many bytes behind it. @param {unknown} header @param {number} bytes */
const file = (header, bytes) =>
    withHeader(typeof header === 'string' ? header : JSON.stringify(header), [new Uint8Array(bytes)]);

/** @param {string} dtype @param {number[]} shape @param {number} begin @param {number} end */
const entry = (dtype, shape, begin, end) => ({ dtype, shape, data_offsets: [begin, end] });
const F32 = entry('F32', [2], 0, 8);

test('a good file: every field, in the order of the bytes', async () => {
    const header = await read(file({
        __metadata__: { format: 'pt', note: 'é' },
        b: entry('F16', [2, 3], 8, 20), a: entry('F32', [2], 0, 8), empty: entry('BF16', [0, 7], 20, 20),
        scalar: entry('I64', [], 20, 28),
    }, 28));
    assert.deepEqual(Object.fromEntries(header.metadata), { format: 'pt', note: 'é' });
    assert.deepEqual(header.tensors.map(({ name, size, begin, end }) => [name, size, begin, end]),
        [['a', 2, 0, 8], ['b', 6, 8, 20], ['empty', 0, 20, 20], ['scalar', 1, 20, 28]]);
    assert.equal(header.dataBytes, 28);
});

test('a header padded with spaces, as writers do for alignment', async () => {
    assert.equal((await read(file(`${JSON.stringify({ a: F32 })}     `, 8))).tensors.length, 1);
});

test('as the reference reads them: null for no metadata, fields that nobody knows', async () => {
    const { metadata, tensors } = await read(file({ __metadata__: null, a: { ...F32, sparse: true } }, 8));
    assert.equal(metadata.size, 0);
    assert.equal(tensors.length, 1);
});

test('names that objects have by themselves', async () => {
    const { tensors } = await read(file('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' +
        '"constructor":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', 2));
    assert.deepEqual(tensors.map(({ name }) => name), ['__proto__', 'constructor']);
});

/** Eight bytes that claim a header of so many. @param {number | bigint} length */
const prefix = (length) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
    return bytes;
};

/** @type {[string, string, Uint8Array][]} */
const MALFORMED = [
    ['truncated', 'no length', new Uint8Array(7)],
    ['truncated', 'no header', prefix(100)],
    ['truncated', 'no tensors', file({ a: F32 }, 7)],
    ['header-too-short', 'of nothing', prefix(0)],
    ['header-too-short', 'of one byte', new Uint8Array([...prefix(1), 0x7b])],
    ['header-too-large', 'beyond the cap', prefix(100_000_001)],
    ['header-too-large', 'of 2^64 - 1', prefix(2n ** 64n - 1n)],
    ['header-not-utf8', '', withHeader(Uint8Array.of(0x7b, 0xff, 0x7d), [])],
    ['header-not-json', '', file('{"a":}', 0)],
    ['header-not-json', 'with something behind it', file('{}x', 0)],
    ['header-not-json', 'nested too deep to be one', file('['.repeat(200000), 0)],
    ['header-not-object', 'a list', file('[]', 0)],
    ['header-not-object', 'null', file('null', 0)],
    ['duplicate-name', 'a tensor', file(`{"a":${JSON.stringify(F32)},"a":${JSON.stringify(F32)}}`, 8)],
    ['duplicate-name', 'spelt differently',
        file(`{"a":${JSON.stringify(F32)},"\\u0061"${' '.repeat(40)}:${JSON.stringify(F32)}}`, 8)],
    ['duplicate-name', 'a field', file('{"a":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', 8)],
    ['duplicate-name', 'in the metadata', file('{"__metadata__":{"x":"1","x":"2"}}', 0)],
    ['bad-metadata', 'not an object', file({ __metadata__: ['x'] }, 0)],
    ['bad-metadata', 'not strings', file({ __metadata__: { x: 1 } }, 0)],
    ['bad-entry', 'not an object', file({ a: 1 }, 0)],
    ['bad-entry', 'a field missing', file({ a: { dtype: 'F32', shape: [2] } }, 8)],
    ['bad-dtype', 'unknown', file({ a: { ...F32, dtype: 'F31' } }, 8)],
    ['bad-dtype', 'of objects', file({ a: { ...F32, dtype: 'toString' } }, 8)],
    ['bad-dtype', 'not a string', file({ a: { ...F32, dtype: 4 } }, 8)],
    ['bad-shape', 'negative', file({ a: { ...F32, shape: [-2] } }, 8)],
    ['bad-shape', 'broken', file({ a: { ...F32, shape: [0.5, 4] } }, 8)],
    ['bad-shape', 'not a list', file({ a: { ...F32, shape: 2 } }, 8)],
    ['bad-shape', 'beyond exact numbers', file('{"a":{"dtype":"F32","shape":[1e300],"data_offsets":[0,8]}}', 8)],
    ['shape-overflow', 'a product too large', file({ a: { ...F32, shape: [2 ** 30, 2 ** 30] } }, 8)],
    ['shape-overflow', 'hidden by a zero', file({ a: entry('F32', [2 ** 40, 2 ** 40, 0], 0, 0) }, 0)],
    ['bad-offsets', 'the wrong way round', file({ a: entry('F32', [2], 8, 0) }, 8)],
    ['bad-offsets', 'three of them', file({ a: { ...F32, data_offsets: [0, 4, 8] } }, 8)],
    ['bad-offsets', 'negative', file({ a: entry('F32', [2], -8, 0) }, 8)],
    ['size-mismatch', 'too small', file({ a: entry('F32', [2], 0, 4) }, 4)],
    ['size-mismatch', 'another type', file({ a: entry('F16', [2], 0, 8) }, 8)],
    ['tensor-overlap', 'the same bytes twice', file({ a: F32, b: F32 }, 8)],
    ['tensor-overlap', 'by some bytes', file({ a: F32, b: entry('F32', [2], 4, 12) }, 12)],
    ['tensor-gap', 'at the beginning', file({ a: entry('F32', [2], 4, 12) }, 12)],
    ['tensor-gap', 'between two', file({ a: F32, b: entry('F32', [1], 12, 16) }, 16)],
    ['trailing-bytes', '', file({ a: F32 }, 9)],
];

describe('malformed', () => {
    for (const [code, what, bytes] of MALFORMED) {
        test(`${code} ${what}`, async () => {
            await assert.rejects(read(bytes),
                (error) => error instanceof FormatError && error.code === code && error.message !== '');
        });
    }
});

test('a stream of unknown length with a huge claim allocates no more than comes', async () => {
    const bytes = file({ a: entry('F32', [2 ** 40], 0, 2 ** 42) }, 64);
    const reader = await openFile(new Blob([bytes]).stream());
    const { tensors } = await readHeader(reader);
    await assert.rejects(reader.take(tensors[0].end, 'a'), { code: 'truncated' });
});

describe('numbers', () => {
    test('all 65,536 of F16: sign, exponent, fraction by the definition', () => {
        const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
        const values = widen('F16', new Uint8Array(bits.buffer));
        bits.forEach((half) => {
            const sign = half & 0x8000 ? -1 : 1;
            const exponent = (half >> 10) & 31;
            const fraction = (half & 0x3ff) / 1024;
            const value = exponent === 31 ? (fraction ? NaN : Infinity)
                : exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
            assert.ok(Object.is(values[half], sign * value) || (Number.isNaN(value) && Number.isNaN(values[half])),
                `${half}`);
        });
    });

    test('all 65,536 of BF16: the upper half of a float', () => {
        const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
        const values = widen('BF16', new Uint8Array(bits.buffer));
        const expected = new DataView(new ArrayBuffer(4));
        bits.forEach((half) => {
            expected.setUint32(0, half * 65536);
            assert.ok(Object.is(values[half], expected.getFloat32(0)), `${half}`);
        });
    });
});
