// Reads the header of a safetensors file.

import { FormatError, show } from '../check.js';
import { isObject, parseJson } from './json.js';

/**
 * Reader of the safetensors format: eight bytes (little-endian length of the header), a JSON header
 * `name -> { dtype, shape, data_offsets }` plus `__metadata__`, then the tensors' bytes without holes or overlaps.
 * Nothing in such a file is trusted: every number is checked before it is used.
 * Source: https://huggingface.co/docs/safetensors, section Format.
 */

/** The same cap as the reference implementation's. */
const MAX_HEADER_BYTES = 100_000_000;

/** Bits of one element. @type {Record<string, number>} */
const DTYPE_BITS = {
    BOOL: 8, U8: 8, I8: 8, U16: 16, I16: 16, U32: 32, I32: 32, U64: 64, I64: 64,
    F16: 16, BF16: 16, F32: 32, F64: 64, C64: 64, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8,
    F8_E5M2FNUZ: 8, F8_E4M3FNUZ: 8, F6_E2M3: 6, F6_E3M2: 6, F4: 4,
};

/**
 * @typedef {object} TensorInfo one tensor of a file
 * @property {string} name
 * @property {string} dtype as in the file: 'F32', 'F16', 'BF16', ...
 * @property {number[]} shape
 * @property {number} size number of elements
 * @property {number} begin first byte, counted from the end of the header
 * @property {number} end one past the last byte
 */

/**
 * @typedef {object} SafetensorsHeader
 * @property {Map<string, string>} metadata `__metadata__`
 * @property {TensorInfo[]} tensors in the order of their bytes
 * @property {number} headerBytes bytes before the first tensor's
 * @property {number} dataBytes bytes of all tensors together
 */

/**
 * Reads and checks the header at a reader's position, which afterwards is that of the first tensor.
 * @param {import('./byte-reader.js').ByteReader} reader
 * @returns {Promise<SafetensorsHeader>}
 * @throws {FormatError}
 */
export async function readHeader(reader) {
    const prefix = new Uint8Array(8);
    await reader.fill(prefix, 'the length of the header');
    const view = new DataView(prefix.buffer);
    const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
    if (length < 2) {
        throw new FormatError('header-too-short', `the header is said to have ${length} bytes; 2 is the least`);
    }
    if (length > MAX_HEADER_BYTES) {
        throw new FormatError('header-too-large',
            `the header is said to have ${length} bytes; at most ${MAX_HEADER_BYTES} are read`);
    }
    if (reader.size !== null && reader.size < 8 + length) {
        throw new FormatError('truncated',
            `the file has ${reader.size} bytes; its header alone should take ${8 + length}`);
    }
    const header = parseHeader(await reader.take(length, 'the header'));
    const total = header.headerBytes + header.dataBytes;
    if (reader.size !== null && reader.size !== total) {
        throw new FormatError(reader.size < total ? 'truncated' : 'trailing-bytes',
            `the file has ${reader.size} bytes; its header describes ${total}`);
    }
    return header;
}

/**
 * @param {Uint8Array} bytes the header's JSON
 * @returns {SafetensorsHeader}
 * @throws {FormatError}
 */
function parseHeader(bytes) {
    const { text, value } = parseJson(bytes, 'header');
    if (!isObject(value)) {
        throw new FormatError('header-not-object', `the header is JSON, but not an object: ${show(text.slice(0, 60))}`);
    }
    refuseDuplicates(text);
    const metadata = parseMetadata(value);
    /** @type {TensorInfo[]} */
    const tensors = [];
    for (const [name, entry] of Object.entries(value)) {
        if (name !== '__metadata__') {
            tensors.push(parseEntry(name, entry));
        }
    }
    tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
    let end = 0;
    for (const tensor of tensors) {
        if (tensor.begin !== end) {
            throw new FormatError(tensor.begin < end ? 'tensor-overlap' : 'tensor-gap',
                `tensor ${show(tensor.name)} begins at byte ${tensor.begin}; the one before it ends at ${end}`);
        }
        end = tensor.end;
    }
    return { metadata, tensors, headerBytes: 8 + bytes.length, dataBytes: end };
}

/** @param {Record<string, any>} header @returns {Map<string, string>} */
function parseMetadata(header) {
    const metadata = new Map();
    // As the reference implementation, which reads null as no metadata.
    if (Object.hasOwn(header, '__metadata__') && header.__metadata__ !== null) {
        if (!isObject(header.__metadata__)) {
            throw new FormatError('bad-metadata', '__metadata__ is not an object');
        }
        for (const [name, text] of Object.entries(header.__metadata__)) {
            if (typeof text !== 'string') {
                throw new FormatError('bad-metadata', `__metadata__ ${show(name)} is not a string`);
            }
            metadata.set(name, text);
        }
    }
    return metadata;
}

/** @param {string} name @param {unknown} entry @returns {TensorInfo} */
function parseEntry(name, entry) {
    // Other fields are let be, as the reference implementation does.
    if (!isObject(entry) || !['data_offsets', 'dtype', 'shape'].every((field) => Object.hasOwn(entry, field))) {
        throw new FormatError('bad-entry', `tensor ${show(name)} must have dtype, shape and data_offsets, got ${show(entry)}`);
    }
    const { dtype, shape, data_offsets: offsets } = entry;
    if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BITS, dtype)) {
        throw new FormatError('bad-dtype', `tensor ${show(name)} has the unknown dtype ${show(dtype)}`);
    }
    if (!Array.isArray(shape) || !shape.every(isCount)) {
        throw new FormatError('bad-shape', `tensor ${show(name)}: shape must be a list of whole numbers from 0 up, got ${show(shape)}`);
    }
    // The largest partial product counts, whatever zeros follow it.
    const bound = shape.reduce((product, n) => product * Math.max(n, 1), DTYPE_BITS[dtype]);
    if (bound > Number.MAX_SAFE_INTEGER) {
        throw new FormatError('shape-overflow', `tensor ${show(name)}: the shape ${show(shape)} has too many elements`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
        throw new FormatError('bad-offsets',
            `tensor ${show(name)}: data_offsets must be [begin, end], begin <= end, got ${show(offsets)}`);
    }
    const size = shape.reduce((product, n) => product * n, 1);
    if ((offsets[1] - offsets[0]) * 8 !== size * DTYPE_BITS[dtype]) {
        throw new FormatError('size-mismatch',
            `tensor ${show(name)}: ${dtype} ${show(shape)} does not fill ${offsets[1] - offsets[0]} bytes`);
    }
    return { name, dtype, shape, size, begin: offsets[0], end: offsets[1] };
}

/** @param {unknown} value */
function isCount(value) {
    return Number.isSafeInteger(value) && /** @type {number} */ (value) >= 0;
}

/**
 * JSON.parse lets the last of two equal names win; a file that says two things about one tensor is refused.
 * @param {string} text valid JSON
 */
function refuseDuplicates(text) {
    /** @type {(Set<string> | null)[]} the names so far of every open object, null for an open array */
    const open = [];
    const colon = /\s*:/y;
    for (let i = 0; i < text.length; i++) {
        const c = text[i];
        if (c === '{' || c === '[') {
            open.push(c === '{' ? new Set() : null);
        } else if (c === '}' || c === ']') {
            open.pop();
        } else if (c === '"') {
            const start = i;
            do {
                i += text[i] === '\\' ? 2 : 1;
            } while (text[i] !== '"');
            const names = open.at(-1);
            colon.lastIndex = i + 1;
            if (names && colon.test(text)) {
                addName(names, JSON.parse(text.slice(start, i + 1)));
            }
        }
    }
}

/** @param {Set<string>} names @param {string} name */
function addName(names, name) {
    if (names.has(name)) {
        throw new FormatError('duplicate-name', `the header names ${show(name)} twice`);
    }
    names.add(name);
}
