// Reader of the GGUF format, versions 2 and 3: magic, version, number of tensors, number of metadata pairs; the pairs;
// the tensors' names, dimensions, types and offsets; padding; the tensors' bytes. Numbers are little-endian.
// Nothing in such a file is trusted: a count or length is compared with what is left of the file before it is used, and if the file's size
// is not known, nothing is allocated before its bytes have arrived.
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

import { FormatError, show } from '../check.js';
import { Cursor } from './cursor.js';
import { ggmlType } from './ggml-types.js';
import { tensorInfo } from './tensor-source.js';

/** Most metadata pairs, tensors, arrays: each takes far more memory than bytes of the file. */
const MAX_COUNT = 1 << 16;

/** Depth of arrays within arrays. */
const MAX_DEPTH = 4;

const MAX_DIMENSIONS = 4;

/** Most bytes of a tensor's name, as in ggml. */
const MAX_NAME_BYTES = 64;

const MAX_ALIGNMENT = 1 << 20;

/** Fewest bytes of a pair: length of an empty key, type, a value of one byte. */
const LEAST_PAIR = 8 + 4 + 1;

/** Fewest bytes of a tensor's info: length of an empty name, number of dimensions, one dimension, type, offset. */
const LEAST_TENSOR = 8 + 4 + 8 + 4 + 8;

/**
 * A scalar type: its name, its size, how one is read, and the typed array for many.
 * @typedef {object} Scalar
 * @property {string} name
 * @property {number} bytes
 * @property {(view: DataView, at: number) => number | bigint | boolean} read
 * @property {new (buffer: ArrayBuffer) => ArrayLike<number | bigint>} array
 */

/** By id. @type {(Scalar | undefined)[]} */
const SCALARS = [
    { name: 'u8', bytes: 1, read: (view, at) => view.getUint8(at), array: Uint8Array },
    { name: 'i8', bytes: 1, read: (view, at) => view.getInt8(at), array: Int8Array },
    { name: 'u16', bytes: 2, read: (view, at) => view.getUint16(at, true), array: Uint16Array },
    { name: 'i16', bytes: 2, read: (view, at) => view.getInt16(at, true), array: Int16Array },
    { name: 'u32', bytes: 4, read: (view, at) => view.getUint32(at, true), array: Uint32Array },
    { name: 'i32', bytes: 4, read: (view, at) => view.getInt32(at, true), array: Int32Array },
    { name: 'f32', bytes: 4, read: (view, at) => view.getFloat32(at, true), array: Float32Array },
    { name: 'bool', bytes: 1, read: (view, at) => view.getUint8(at) !== 0, array: Uint8Array },
    undefined, undefined,
    { name: 'u64', bytes: 8, read: (view, at) => small(view.getBigUint64(at, true)), array: BigUint64Array },
    { name: 'i64', bytes: 8, read: (view, at) => small(view.getBigInt64(at, true)), array: BigInt64Array },
    { name: 'f64', bytes: 8, read: (view, at) => view.getFloat64(at, true), array: Float64Array },
];
const BOOL = 7;
const STRING = 8;
const ARRAY = 9;

/**
 * @typedef {object} Pair one value of the metadata
 * @property {string} type 'u32', 'f32', 'string', 'array of string', ...
 * @property {any} value
 *
 * @typedef {object} GgufHeader
 * @property {number} version
 * @property {Map<string, Pair>} pairs
 * @property {import('./tensor-source.js').Entry[]} entries in the order of their bytes
 * @property {number} end position after the last tensor
 */

/** @param {bigint} value @returns {number | bigint} a number where that is exact */
function small(value) {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
}

/**
 * Reads and checks everything before the tensors' bytes.
 * @param {import('./byte-reader.js').ByteReader} reader at the beginning of the file; afterwards after the tensor infos
 * @param {string} name of the file, for messages
 * @returns {Promise<GgufHeader>}
 * @throws {FormatError} `truncated`, `wrong-file`, `version`, `too-large`, `bad-type`, `bad-value`, `duplicate-name`,
 *   `bad-tensor`, `bad-offsets`
 */
export async function readGguf(reader, name) {
    const cursor = new Cursor(reader, name);
    await cursor.need(8, 'the version');
    if (cursor.u32() !== 0x46554747) {
        throw new FormatError('wrong-file', `${name} is not a GGUF file`);
    }
    const version = cursor.u32();
    checkVersion(version, name);
    await cursor.need(16, 'the number of tensors');
    const tensorCount = cursor.u64();
    const pairCount = cursor.u64();
    cursor.claim(pairCount, LEAST_PAIR, counted(pairCount, 'metadata pairs', name));
    cursor.claim(tensorCount, LEAST_TENSOR, counted(tensorCount, 'tensors', name));
    const pairs = await readPairs(cursor, pairCount, name);
    const alignment = alignmentOf(pairs, name);
    const infos = await readInfos(cursor, tensorCount, name);
    const data = Math.ceil(cursor.position / alignment) * alignment;
    cursor.leave();
    return { version, pairs, ...place(infos, data, alignment, reader.size, name) };
}

/** @param {number} count @param {string} what @param {string} name */
function counted(count, what, name) {
    if (count > MAX_COUNT) {
        throw new FormatError('too-large', `${name} has ${count} ${what} or more; at most ${MAX_COUNT} are read`);
    }
    return `${count} ${what}`;
}

/** @param {number} version @param {string} name */
function checkVersion(version, name) {
    if (version === 2 || version === 3) {
        return;
    }
    // A small version with its bytes in the other order has a low half of zero.
    if (version !== 0 && (version & 0xffff) === 0) {
        throw new FormatError('version', `${name} is big-endian GGUF; little-endian is read`);
    }
    throw new FormatError('version', `${name} is GGUF version ${version}; 2 and 3 are read`);
}

/** @param {Cursor} cursor @param {number} count @param {string} name @returns {Promise<Map<string, Pair>>} */
async function readPairs(cursor, count, name) {
    /** @type {Map<string, Pair>} */
    const pairs = new Map();
    for (let i = 0; i < count; i++) {
        const keyBytes = await readString(cursor, `the key of metadata pair ${i}`);
        const key = decode(keyBytes);
        if (key === null) {
            throw new FormatError('bad-value', `${name}: the key of metadata pair ${i} is not UTF-8`);
        }
        if (pairs.has(key)) {
            throw new FormatError('duplicate-name', `${name} has the key ${show(key)} twice`);
        }
        if (!cursor.has(4)) {
            await cursor.need(4, `the type of ${show(key)}`);
        }
        pairs.set(key, await readValue(cursor, cursor.u32(), key, name, 0));
    }
    return pairs;
}

/**
 * @param {Cursor} cursor
 * @param {number} type its id
 * @param {string} key
 * @param {string} name
 * @param {number} depth arrays around it
 * @returns {Promise<Pair>}
 */
async function readValue(cursor, type, key, name, depth) {
    const scalar = SCALARS[type];
    if (scalar !== undefined) {
        if (!cursor.has(scalar.bytes)) {
            await cursor.need(scalar.bytes, `the value of ${show(key)}`);
        }
        const value = scalar.read(cursor.view, cursor.at);
        if (type === BOOL && cursor.bytes[cursor.at] > 1) {
            throw new FormatError('bad-value', `${name}: ${show(key)} is a boolean of ${cursor.bytes[cursor.at]}`);
        }
        cursor.at += scalar.bytes;
        return { type: scalar.name, value };
    }
    if (type === STRING) {
        return { type: 'string', value: text(await readString(cursor, `the value of ${show(key)}`), key, name) };
    }
    if (type !== ARRAY) {
        throw new FormatError('bad-type', `${name}: ${show(key)} has the unknown type ${type}`);
    }
    if (depth === MAX_DEPTH) {
        throw new FormatError('bad-type', `${name}: ${show(key)} has arrays nested deeper than ${MAX_DEPTH}`);
    }
    await cursor.need(12, `the array ${show(key)}`);
    return readArray(cursor, key, name, depth);
}

/** @param {Cursor} cursor @param {string} key @param {string} name @param {number} depth @returns {Promise<Pair>} */
async function readArray(cursor, key, name, depth) {
    counted(++cursor.arrays, 'arrays', name);
    const type = cursor.u32();
    const count = cursor.u64();
    const what = `the array ${show(key)} of ${count}`;
    const scalar = SCALARS[type];
    if (scalar !== undefined) {
        cursor.claim(count, scalar.bytes, what);
        await cursor.need(count * scalar.bytes, what);
        // A copy, because the array must be aligned and outlives the piece.
        const bytes = cursor.take(count * scalar.bytes).slice();
        return { type: `array of ${scalar.name}`, value: new scalar.array(bytes.buffer) };
    }
    /** @type {any[]} */
    const values = [];
    if (type === STRING) {
        cursor.claim(count, 8, what);
        for (let i = 0; i < count; i++) {
            const bytes = stringAtHand(cursor) ?? await readString(cursor, what);
            values.push(text(bytes, key, name));
        }
        return { type: 'array of string', value: values };
    }
    if (type !== ARRAY) {
        throw new FormatError('bad-type', `${name}: ${show(key)} is an array of the unknown type ${type}`);
    }
    cursor.claim(count, 12, counted(count, 'arrays', name));
    for (let i = 0; i < count; i++) {
        values.push((await readValue(cursor, ARRAY, key, name, depth + 1)).value);
    }
    return { type: 'array of array', value: values };
}

/** @param {Cursor} cursor @param {string} what @returns {Promise<Uint8Array>} */
async function readString(cursor, what) {
    if (!cursor.has(8)) {
        await cursor.need(8, what);
    }
    const length = cursor.u64();
    if (!cursor.has(length)) {
        await cursor.need(length, what);
    }
    return cursor.take(length);
}

/** A string that has arrived completely, or null. @param {Cursor} cursor @returns {Uint8Array | null} */
function stringAtHand(cursor) {
    if (!cursor.has(8)) {
        return null;
    }
    const length = cursor.u64();
    if (!cursor.has(length)) {
        cursor.at -= 8;
        return null;
    }
    return cursor.take(length);
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const lenient = new TextDecoder('utf-8', { ignoreBOM: true });

/** Up to so many bytes of ASCII are faster without TextDecoder. */
const SHORT = 16;

/** @param {Uint8Array} bytes @returns {string | null} null where they are not UTF-8 */
function decode(bytes) {
    if (bytes.length <= SHORT) {
        let short = '';
        let i = 0;
        for (; i < bytes.length && bytes[i] < 0x80; i++) {
            short += String.fromCharCode(bytes[i]);
        }
        if (i === bytes.length) {
            return short;
        }
    }
    try {
        return strict.decode(bytes);
    } catch {
        return null;
    }
}

/**
 * Invalid UTF-8 does no harm in a description, but would change a token.
 * @param {Uint8Array} bytes
 * @param {string} key
 * @param {string} name
 */
function text(bytes, key, name) {
    const value = decode(bytes);
    if (value === null && key.startsWith('tokenizer.')) {
        throw new FormatError('bad-value', `${name}: ${show(key)} holds bytes that are not UTF-8`);
    }
    return value ?? lenient.decode(bytes);
}

/** @param {Map<string, Pair>} pairs @param {string} name */
function alignmentOf(pairs, name) {
    const { type, value } = pairs.get('general.alignment') ?? { type: 'u32', value: 32 };
    if (type !== 'u32') {
        throw new FormatError('bad-type', `${name}: general.alignment must be u32, got ${type}`);
    }
    if (value === 0 || (value & value - 1) !== 0 || value > MAX_ALIGNMENT) {
        throw new FormatError('bad-value', `${name}: general.alignment must be a power of 2, got ${value}`);
    }
    return value;
}

/**
 * @typedef {object} Info a tensor before it is known where it lies in the file
 * @property {import('./tensor-source.js').TensorInfo} info
 * @property {number} offset
 */

/** @param {Cursor} cursor @param {number} count @param {string} name @returns {Promise<Info[]>} */
async function readInfos(cursor, count, name) {
    const infos = [];
    const names = new Set();
    for (let i = 0; i < count; i++) {
        const bytes = await readString(cursor, `the name of tensor ${i}`);
        const tensor = decode(bytes);
        if (tensor === null || bytes.length > MAX_NAME_BYTES) {
            throw new FormatError('bad-tensor',
                `${name}: the name of tensor ${i} must be UTF-8 of at most ${MAX_NAME_BYTES} bytes, got ${bytes.length}`);
        }
        if (names.has(tensor)) {
            throw new FormatError('duplicate-name', `${name} has the tensor ${show(tensor)} twice`);
        }
        names.add(tensor);
        const what = `the info of tensor ${show(tensor)}`;
        if (!cursor.has(4)) {
            await cursor.need(4, what);
        }
        const dimensions = cursor.u32();
        if (dimensions < 1 || dimensions > MAX_DIMENSIONS) {
            throw new FormatError('bad-tensor',
                `${name}: tensor ${show(tensor)} has ${dimensions} dimensions; 1 to ${MAX_DIMENSIONS} are possible`);
        }
        if (!cursor.has(dimensions * 8 + 12)) {
            await cursor.need(dimensions * 8 + 12, what);
        }
        infos.push(readInfo(cursor, tensor, dimensions));
    }
    return infos;
}

/** @param {Cursor} cursor @param {string} tensor @param {number} dimensions @returns {Info} */
function readInfo(cursor, tensor, dimensions) {
    const shape = [];
    let size = 1;
    for (let i = 0; i < dimensions; i++) {
        shape.unshift(cursor.u64());
        size *= shape[0];
    }
    // Each is at most the product, so all are exact.
    if (size === 0 || size > Number.MAX_SAFE_INTEGER) {
        throw new FormatError('bad-tensor',
            `tensor ${show(tensor)} has the shape ${show(shape)}: ${size ? 'too many numbers' : 'none'}`);
    }
    const { name, block, bytes } = ggmlType(cursor.u32(), tensor);
    const offset = cursor.u64();
    const row = shape[dimensions - 1];
    const all = size / block * bytes;
    if (row % block !== 0 || all > Number.MAX_SAFE_INTEGER) {
        throw new FormatError('bad-tensor',
            `tensor ${show(tensor)}: rows of ${row} are no whole number of ${name}'s blocks of ${block}`);
    }
    return { info: tensorInfo(tensor, shape, name, all), offset };
}

/**
 * @param {Info[]} infos
 * @param {number} data where the tensors' bytes begin
 * @param {number} alignment
 * @param {number | null} size of the file
 * @param {string} name
 */
function place(infos, data, alignment, size, name) {
    const needed = infos.reduce((sum, { info }) => sum + info.bytes, 0);
    if (size !== null && infos.length > 0 && data + needed > size) {
        throw new FormatError('truncated', `${name} has ${size} bytes; its tensors end at ${data + needed} or later`);
    }
    const entries = infos.map(({ info, offset }) => ({ info, begin: data + offset, end: data + offset + info.bytes }));
    entries.sort((a, b) => a.begin - b.begin);
    let end = data;
    for (const entry of entries) {
        const offset = entry.begin - data;
        const what = `${name}: tensor ${show(entry.info.name)} at offset ${offset}`;
        if (offset % alignment !== 0) {
            throw new FormatError('bad-offsets', `${what}, no multiple of ${alignment}`);
        }
        if (entry.begin < end) {
            throw new FormatError('bad-offsets', `${what} lies over the one before, which ends at ${end - data}`);
        }
        if (entry.end > (size ?? Number.MAX_SAFE_INTEGER)) {
            throw new FormatError('bad-offsets', `${what} ends beyond the file`);
        }
        end = entry.end;
    }
    return { entries, end: entries.length > 0 ? end : 0 };
}
