// Writes HDF5 as versions since 1.8 read it: superblock 2, groups as lists of links, arrays one after the other. Every
// structure is measured first and placed next, so a file is written into bytes of just its size.

import { rangeError } from '../../check.js';
import { checksum } from './bytes.js';

/**
 * @typedef {object} Dataset
 * @property {number[]} shape
 * @property {string} type a key of DATATYPES
 * @property {Uint8Array} bytes row-major, little-endian
 * @property {Map<string, string>} attributes
 *
 * @typedef {object} Group
 * @property {Map<string, Group | Dataset>} links
 * @property {Map<string, string>} attributes
 *
 * @typedef {object} Placed an object of the file with its place
 * @property {Group | Dataset} object
 * @property {number} header its address
 * @property {number} data address of a dataset's values
 */

const encoder = new TextEncoder();

/** @param {...number} values @returns {number[]} two bytes each */
const u16 = (...values) => values.flatMap((value) => [value & 255, value >> 8]);
/** @param {number} value @returns {number[]} */
const u32 = (value) => [value & 255, value >>> 8 & 255, value >>> 16 & 255, value >>> 24];
/** @param {number} value @returns {number[]} */
const u64 = (value) => [...u32(value >>> 0), ...u32(Math.floor(value / 2 ** 32))];
const UNDEFINED = Array(8).fill(255);

/** @param {number} size @param {boolean} signed @returns {number[]} */
const integer = (size, signed) => [0x10, signed ? 8 : 0, 0, 0, ...u32(size), ...u16(0, size * 8)];

/**
 * @param {number} size
 * @param {number} exponent its bits
 * @returns {number[]}
 */
function float(size, exponent) {
    const mantissa = size * 8 - exponent - 1;
    // 0x20: the first bit of the mantissa is implied.
    return [0x11, 0x20, size * 8 - 1, 0, ...u32(size), ...u16(0, size * 8), mantissa, exponent, 0, mantissa,
        ...u32(2 ** (exponent - 1) - 1)];
}

/** Messages that say how a value is stored. @type {Record<string, number[]>} */
const DATATYPES = {
    F32: float(4, 8), F64: float(8, 11), F16: float(2, 5),
    // Two bytes without a meaning: an attribute says beside them what they are.
    BF16: [0x15, 0, 0, 0, ...u32(2)],
    I8: integer(1, true), I16: integer(2, true), I32: integer(4, true), I64: integer(8, true),
    U8: integer(1, false), U16: integer(2, false), U32: integer(4, false), U64: integer(8, false),
    BOOL: [0x38, 2, 0, 0, ...u32(1), ...integer(1, true), ...encoder.encode('FALSE\0TRUE\0'), 0, 1],
};

/** A string of any length, UTF-8, in a heap. */
const STRING = [0x19, 1, 1, 0, ...u32(16), ...integer(1, false)];
const ONE_VALUE = [2, 0, 0, 0];

/** HDF5 makes no heap smaller than this. */
const HEAP_BYTES = 4096;

/** They are numbered in two bytes. */
const MAX_STRINGS = 0xffff;

/** All strings of a file's attributes, each once. */
class Heap {
    constructor() {
        /** @type {Map<string, { index: number, bytes: Uint8Array }>} */
        this._strings = new Map();
        this._used = 16;
        this.address = 0;
    }

    /** @param {string} text */
    add(text) {
        if (!this._strings.has(text)) {
            const bytes = encoder.encode(text);
            this._strings.set(text, { index: this._strings.size + 1, bytes });
            this._used += 16 + align(bytes.length);
        }
        if (this._strings.size === MAX_STRINGS) {
            throw rangeError('entries', `of at most ${MAX_STRINGS - 1} different names`, this._strings.size);
        }
    }

    /** @returns {number} with room for the object that says where the free space begins */
    get length() {
        return this._strings.size === 0 ? 0 : Math.max(HEAP_BYTES, this._used + 16);
    }

    /** @param {string} text @returns {number[]} what an attribute has instead of it */
    reference(text) {
        const { index, bytes } = /** @type {{ index: number, bytes: Uint8Array }} */ (this._strings.get(text));
        return [...u32(bytes.length), ...u64(this.address), ...u32(index)];
    }

    /** @param {Uint8Array} file */
    write(file) {
        let at = this.address;
        /** @param {ArrayLike<number>} bytes */
        const put = (bytes) => {
            file.set(bytes, at);
            at += align(bytes.length);
        };
        put([...encoder.encode('GCOL'), 1, 0, 0, 0, ...u64(this.length)]);
        for (const { index, bytes } of this._strings.values()) {
            put([...u16(index, 1), 0, 0, 0, 0, ...u64(bytes.length)]);
            put(bytes);
        }
        put([0, 0, 0, 0, 0, 0, 0, 0, ...u64(this.address + this.length - at)]);
    }
}

/** @param {number} length @returns {number} the next multiple of eight */
function align(length) {
    return Math.ceil(length / 8) * 8;
}

/** @param {Group | Dataset} object @returns {object is Group} */
export function isGroup(object) {
    return 'links' in object;
}

/**
 * @param {Group} root
 * @returns {Uint8Array<ArrayBuffer>} a file
 */
export function writeHdf5(root) {
    const heap = new Heap();
    /** @type {Map<Group | Dataset, Placed>} */
    const placed = new Map();
    let end = 48;
    /** @param {Group | Dataset} object */
    const place = (object) => {
        object.attributes.forEach((text) => heap.add(text));
        placed.set(object, { object, header: end, data: 0 });
        end += align(headerLength(object));
        if (isGroup(object)) {
            object.links.forEach(place);
        }
    };
    place(root);
    heap.address = end;
    end += heap.length;
    for (const each of placed.values()) {
        if (!isGroup(each.object)) {
            each.data = end;
            end += align(each.object.bytes.length);
        }
    }
    const file = new Uint8Array(end);
    writeSuperblock(file, end, /** @type {Placed} */ (placed.get(root)).header);
    for (const { object, header, data } of placed.values()) {
        const addressOf = (/** @type {Group | Dataset} */ child) => /** @type {Placed} */ (placed.get(child)).header;
        const messages = isGroup(object) ? groupMessages(object, heap, addressOf) : datasetMessages(object, heap, data);
        writeHeader(file, header, messages);
        if (!isGroup(object)) {
            file.set(object.bytes, data);
        }
    }
    if (heap.length > 0) {
        heap.write(file);
    }
    return file;
}

/** @param {Uint8Array} file @param {number} end @param {number} root */
function writeSuperblock(file, end, root) {
    const block = [0x89, ...encoder.encode('HDF\r\n\x1a\n'), 2, 8, 8, 0,
        ...u64(0), ...UNDEFINED, ...u64(end), ...u64(root)];
    file.set(block);
    file.set(u32(checksum(file.subarray(0, block.length))), block.length);
}

/** @typedef {[type: number, body: number[]]} Message */

/** @param {Group | Dataset} object @returns {number} bytes of its header; addresses do not change it */
function headerLength(object) {
    const messages = isGroup(object) ? groupMessages(object, null, () => 0) : datasetMessages(object, null, 0);
    return 14 + messages.reduce((sum, [, body]) => sum + 4 + body.length, 0);
}

/**
 * @param {Uint8Array} file
 * @param {number} address
 * @param {Message[]} messages
 */
function writeHeader(file, address, messages) {
    const body = messages.flatMap(([type, bytes]) => [type, ...u16(bytes.length), 0, ...bytes]);
    // 2: its length takes four bytes.
    file.set([...encoder.encode('OHDR'), 2, 2, ...u32(body.length)], address);
    file.set(body, address + 10);
    file.set(u32(checksum(file.subarray(address, address + 10 + body.length))), address + 10 + body.length);
}

/** @param {Map<string, string>} attributes @param {Heap | null} heap null to measure @returns {Message[]} */
function attributeMessages(attributes, heap) {
    return Array.from(attributes, ([key, text]) => {
        const name = encoder.encode(`${key}\0`);
        const value = heap === null ? Array(16).fill(0) : heap.reference(text);
        const lengths = u16(name.length, STRING.length, ONE_VALUE.length);
        return [0x0c, [3, 0, ...lengths, 1, ...name, ...STRING, ...ONE_VALUE, ...value]];
    });
}

/**
 * @param {Group} group
 * @param {Heap | null} heap
 * @param {(child: Group | Dataset) => number} addressOf
 * @returns {Message[]}
 */
function groupMessages({ links, attributes }, heap, addressOf) {
    /** @type {Message[]} */
    const messages = [[0x02, [0, 0, ...UNDEFINED, ...UNDEFINED]], [0x0a, [0, 0]]];
    for (const [name, child] of links) {
        const bytes = encoder.encode(name);
        messages.push([0x06, [1, 0x11, 1, ...u16(bytes.length), ...bytes, ...u64(addressOf(child))]]);
    }
    return [...messages, ...attributeMessages(attributes, heap)];
}

/** @param {Dataset} dataset @param {Heap | null} heap @param {number} data @returns {Message[]} */
function datasetMessages({ shape, type, bytes, attributes }, heap, data) {
    return [
        [0x01, [2, shape.length, 0, shape.length === 0 ? 0 : 1, ...shape.flatMap(u64)]],
        [0x03, DATATYPES[type]],
        // No value to fill with: all are there.
        [0x05, [3, 0x0a]],
        [0x08, [3, 1, ...(bytes.length === 0 ? UNDEFINED : u64(data)), ...u64(bytes.length)]],
        ...attributeMessages(attributes, heap),
    ];
}
