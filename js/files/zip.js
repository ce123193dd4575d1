// Reads members of a zip file as Keras writes it: stored or deflated, below 4 GiB. They are found by the central directory; sizes are
// compared with the file's before anything is unpacked, and checksums are checked.
//
// Codes: `zip-truncated`, `zip-invalid`, `zip-unsupported`.

import { FormatError, show } from '../check.js';
import { inflate } from './inflate.js';

/**
 * @typedef {object} ZipMember
 * @property {string} name
 * @property {number} method 0 stored, 8 deflated
 * @property {number} crc of the unpacked bytes
 * @property {number} packed bytes in the file
 * @property {number} size bytes when unpacked
 * @property {number} at of its local header
 */

const END_BYTES = 22;
const CENTRAL_BYTES = 46;
const LOCAL_BYTES = 30;

/** A comment follows the end record, of at most so many bytes. */
const MAX_COMMENT = 0xffff;

/** Weights shrink by a few per cent, zeros to a thousandth. A higher ratio than this is refused as a decompression bomb. */
const MAX_RATIO = 64;

const END = 0x06054b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;

/** @param {Uint8Array} bytes @returns {boolean} whether they begin as a zip file with members does */
export function isZip(bytes) {
    return bytes[0] === 0x50 && bytes[1] === 0x4b && bytes[2] === 3 && bytes[3] === 4;
}

/** @param {string} message @returns {never} */
function invalid(message) {
    throw new FormatError('zip-invalid', `zip: ${message}`);
}

/** @param {string} feature @returns {never} */
function unsupported(feature) {
    throw new FormatError('zip-unsupported', `zip: not supported: ${feature}`);
}

/**
 * @param {Uint8Array} bytes a whole zip file
 * @returns {Map<string, ZipMember>} by name
 */
export function readZipDirectory(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const end = findEnd(view);
    const count = view.getUint16(end + 10, true);
    const length = view.getUint32(end + 12, true);
    const begin = view.getUint32(end + 16, true);
    if (view.getUint32(end + 4, true) !== 0 || view.getUint16(end + 8, true) !== count) {
        unsupported('an archive in several parts');
    }
    if (count === 0xffff || length === 0xffffffff || begin === 0xffffffff) {
        unsupported('zip64');
    }
    if (begin + length > end) {
        invalid('the directory does not lie before its end record');
    }
    /** @type {Map<string, ZipMember>} */
    const members = new Map();
    let at = begin;
    for (let i = 0; i < count; i++) {
        const { member, next } = readMember(bytes, view, at, begin + length);
        if (members.has(member.name)) {
            invalid(`two members are called ${show(member.name)}`);
        }
        members.set(member.name, member);
        at = next;
    }
    return members;
}

/** @param {DataView} view @returns {number} where the end record is: the last place that fits */
function findEnd(view) {
    const last = view.byteLength - END_BYTES;
    for (let at = last; at >= Math.max(0, last - MAX_COMMENT); at--) {
        if (view.getUint32(at, true) === END && view.getUint16(at + 20, true) === last - at) {
            return at;
        }
    }
    throw new FormatError('zip-truncated', 'zip: the end record is missing: the file is cut off');
}

/**
 * @param {Uint8Array} bytes
 * @param {DataView} view
 * @param {number} at
 * @param {number} end of the directory
 * @returns {{ member: ZipMember, next: number }}
 */
function readMember(bytes, view, at, end) {
    if (at + CENTRAL_BYTES > end || view.getUint32(at, true) !== CENTRAL) {
        invalid('the directory has less entries than its end record says');
    }
    const [name, extra, comment] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const next = at + CENTRAL_BYTES + name + extra + comment;
    if (next > end) {
        invalid('an entry of the directory goes on behind it');
    }
    const member = {
        name: nameOf(bytes.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + name)),
        method: view.getUint16(at + 10, true),
        crc: view.getUint32(at + 16, true),
        packed: view.getUint32(at + 20, true),
        size: view.getUint32(at + 24, true),
        at: view.getUint32(at + 42, true),
    };
    if (view.getUint16(at + 8, true) & 1) {
        unsupported('encryption');
    }
    if ([member.packed, member.size, member.at].includes(0xffffffff)) {
        unsupported('zip64');
    }
    return { member, next };
}

/** @param {Uint8Array} bytes @returns {string} */
function nameOf(bytes) {
    try {
        return new TextDecoder('utf-8', { fatal: true }).decode(bytes.slice());
    } catch {
        return invalid('the name of a member is not UTF-8');
    }
}

/**
 * @param {Uint8Array} bytes the zip file
 * @param {ZipMember} member
 * @returns {Promise<Uint8Array>} its bytes: a view of the file where they are stored
 */
export async function readZipMember(bytes, member) {
    const { name, method, size, packed } = member;
    if (method !== 0 && method !== 8) {
        unsupported(`the compression method ${method} of ${show(name)}`);
    }
    if (method === 0 ? size !== packed : size > packed * MAX_RATIO) {
        invalid(`the member ${show(name)} has ${packed} bytes and should become ${size}`);
    }
    const data = locate(bytes, member);
    const unpacked = method === 0 ? data : await inflate(data, size, 'deflate-raw', (words, cause) => {
        throw new FormatError('zip-invalid', `zip: the member ${show(name)} ${words}`, { cause });
    });
    if (crc32(unpacked) !== member.crc) {
        invalid(`the checksum of the member ${show(name)} is wrong`);
    }
    return unpacked;
}

/** @param {Uint8Array} bytes @param {ZipMember} member @returns {Uint8Array} */
function locate(bytes, { name, at, packed }) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (at + LOCAL_BYTES > bytes.length || view.getUint32(at, true) !== LOCAL) {
        invalid(`the header of the member ${show(name)} is not where the directory says`);
    }
    const begin = at + LOCAL_BYTES + view.getUint16(at + 26, true) + view.getUint16(at + 28, true);
    if (begin + packed > bytes.length) {
        throw new FormatError('zip-truncated', `zip: the member ${show(name)} goes on behind the end of the file`);
    }
    return bytes.subarray(begin, begin + packed);
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) {
        n = n & 1 ? 0xedb88320 ^ n >>> 1 : n >>> 1;
    }
    return n;
});

/** @param {Uint8Array} bytes @returns {number} */
function crc32(bytes) {
    let crc = ~0;
    for (let i = 0; i < bytes.length; i++) {
        crc = CRC_TABLE[(crc ^ bytes[i]) & 255] ^ crc >>> 8;
    }
    return ~crc >>> 0;
}
