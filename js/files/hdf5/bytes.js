// Checked access to the bytes of an HDF5 file: every read is bounds-checked, and the bytes of all structures that are followed are counted.
// Together they must not exceed a small multiple of the file's length, so files with addresses that loop or overlap are refused.

import { FormatError, show } from '../../check.js';

/** "No address": all bits set. */
const UNDEFINED_HALF = 0xffffffff;

/** How many times the file's length all structures, names and values together may have; a sound file needs less than two. */
const WORTH = 4;

/** Weights shrink by a few per cent, zeros to a thousandth. A higher ratio than this is refused as a decompression bomb. */
export const MAX_RATIO = 64;

/** @param {string} message @returns {never} */
export function invalid(message) {
    throw new FormatError('hdf5-invalid', `HDF5: ${message}`);
}

/** @param {string} feature @param {string} where @returns {never} */
export function unsupported(feature, where) {
    throw new FormatError('hdf5-unsupported', `HDF5: not supported: ${feature} (${where})`);
}

/** Reads little-endian numbers from a part of the file that has been claimed. */
export class Cursor {
    /**
     * @param {DataView} view of the file
     * @param {number} at
     * @param {number} end not behind the view's end
     * @param {string} what for messages
     */
    constructor(view, at, end, what) {
        this._view = view;
        this.at = at;
        this.end = end;
        this.what = what;
    }

    get left() {
        return this.end - this.at;
    }

    /** @param {number} bytes @returns {number} where they begin */
    skip(bytes) {
        if (bytes > this.end - this.at) {
            invalid(`${this.what} ends within a field`);
        }
        const at = this.at;
        this.at += bytes;
        return at;
    }

    u8() {
        return this._view.getUint8(this.skip(1));
    }

    /** @param {number} least @param {number} most @param {string} of @param {string} where @returns {number} a byte that must be known */
    version(least, most, of, where) {
        const version = this.u8();
        return version >= least && version <= most ? version : unsupported(`version ${version} of ${of}`, where);
    }

    u16() {
        return this._view.getUint16(this.skip(2), true);
    }

    u32() {
        return this._view.getUint32(this.skip(4), true);
    }

    /** @returns {number} a count or length of 8 bytes, which no file of today needs 53 bits of */
    u64() {
        const at = this.skip(8);
        const high = this._view.getUint32(at + 4, true);
        if (high >= 1 << 21) {
            invalid(`${this.what} holds a number beyond 2^53`);
        }
        return high * 2 ** 32 + this._view.getUint32(at, true);
    }

    /** @returns {number | null} an address; null for the undefined one */
    address() {
        const isUndefined = this.left >= 8 && this._view.getUint32(this.at, true) === UNDEFINED_HALF &&
            this._view.getUint32(this.at + 4, true) === UNDEFINED_HALF;
        if (isUndefined) {
            this.skip(8);
            return null;
        }
        return this.u64();
    }

    /** @param {number} width bytes @returns {number} a number of as many */
    sized(width) {
        const value = this.bytes(width).reduceRight((sum, byte) => sum * 256 + byte, 0);
        return Number.isSafeInteger(value) ? value : invalid(`${this.what} holds a number beyond 2^53`);
    }

    /** @param {number} bytes @returns {Uint8Array} a view */
    bytes(bytes) {
        const at = this.skip(bytes);
        return new Uint8Array(this._view.buffer, this._view.byteOffset + at, bytes);
    }

    /** @param {number} bytes @param {string} [what] @returns {Cursor} over the next bytes, which are passed */
    part(bytes, what = this.what) {
        const at = this.skip(bytes);
        return new Cursor(this._view, at, at + bytes, what);
    }

    /** @param {string} signature of four letters */
    expect(signature) {
        const found = String.fromCharCode(...this.bytes(4));
        if (found !== signature) {
            invalid(`${this.what} must begin with ${signature}, got ${show(found)}`);
        }
    }
}

/** An HDF5 file whose superblock has been read. */
export class Hdf5Bytes {
    /** @param {Uint8Array} bytes */
    constructor(bytes) {
        this.bytes = bytes;
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        this._left = WORTH * bytes.length;
        this._room = MAX_RATIO * bytes.length;
        /** Addresses that may be reached only once, and have been. @type {Set<number>} */
        this._reached = new Set();
    }

    /**
     * Counts bytes that the file makes the reader go through. Structures of a sound file do not overlap, so it stays below the limit.
     * @param {number} bytes
     * @param {string} what
     */
    spend(bytes, what) {
        this._left -= bytes;
        if (this._left < 0) {
            invalid(`its structures overlap: together they are longer than the file (at ${what})`);
        }
    }

    /**
     * Counts bytes that are unpacked or filled, and so are not in the file.
     * @param {number} bytes
     * @param {string} what
     * @returns {number} the same number
     */
    makeRoom(bytes, what) {
        this._room -= bytes;
        return this._room < 0 ? invalid(`what it packs becomes more than ${MAX_RATIO} times as long as the file (at ${what})`) : bytes;
    }

    /**
     * @param {number | null} address
     * @param {number} length
     * @param {string} what
     * @returns {Cursor}
     */
    claim(address, length, what) {
        if (address === null) {
            invalid(`${what} has no address`);
        }
        if (address > this.bytes.length || length > this.bytes.length - address) {
            throw new FormatError('hdf5-truncated', `HDF5: ${what} (${length} bytes at ${address}) lies behind the ` +
                `end of the file's ${this.bytes.length} bytes`);
        }
        this.spend(length, what);
        return new Cursor(this.view, address, address + length, what);
    }

    /**
     * The same for a structure that ends with a checksum.
     * @param {number | null} address
     * @param {number} length with the checksum
     * @param {string} what
     * @returns {Cursor}
     */
    claimChecked(address, length, what) {
        const part = this.claim(address, length, what);
        this.checkSum(part.at, part.end, what);
        return part;
    }

    /** @param {number} begin @param {number} end behind the checksum @param {string} what @throws {FormatError} where it is wrong */
    checkSum(begin, end, what) {
        if (checksum(this.bytes.subarray(begin, end - 4)) !== this.view.getUint32(end - 4, true)) {
            invalid(`the checksum of ${what} is wrong`);
        }
    }

    /**
     * Groups and B-trees that contain themselves are refused here, and so are hard links, which look the same.
     * @param {number | null} address
     * @param {string} what
     */
    reachOnce(address, what) {
        if (address !== null && this._reached.has(address)) {
            unsupported('two links to one place, or a cycle', `${what} at ${address}`);
        }
        if (address !== null) {
            this._reached.add(address);
        }
    }
}

/**
 * @param {Uint8Array} bytes
 * @param {string} what
 * @returns {string} UTF-8
 */
export function text(bytes, what) {
    try {
        // A copy, because browsers decode no shared memory.
        return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.slice());
    } catch {
        return invalid(`${what} is not UTF-8`);
    }
}

/** @param {Uint8Array} bytes @returns {Uint8Array} up to the first zero */
export function untilZero(bytes) {
    const end = bytes.indexOf(0);
    return end < 0 ? bytes : bytes.subarray(0, end);
}

/**
 * Bob Jenkins's lookup3, the checksum of newer structures.
 * @param {Uint8Array} bytes
 * @returns {number} 32 bits
 */
export function checksum(bytes) {
    const n = bytes.length;
    let a = (0xdeadbeef + n) | 0;
    let b = a;
    let c = a;
    /** @param {number} at @returns {number} four bytes, zeros behind the end */
    const word = (at) => (bytes[at] ?? 0) | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0) << 16 |
        (bytes[at + 3] ?? 0) << 24;
    /** @param {number} x @param {number} k */
    const turn = (x, k) => x << k | x >>> (32 - k);
    let at = 0;
    for (; n - at > 12; at += 12) {
        a = (a + word(at)) | 0;
        b = (b + word(at + 4)) | 0;
        c = (c + word(at + 8)) | 0;
        a = ((a - c) ^ turn(c, 4)) | 0;
        c = (c + b) | 0;
        b = ((b - a) ^ turn(a, 6)) | 0;
        a = (a + c) | 0;
        c = ((c - b) ^ turn(b, 8)) | 0;
        b = (b + a) | 0;
        a = ((a - c) ^ turn(c, 16)) | 0;
        c = (c + b) | 0;
        b = ((b - a) ^ turn(a, 19)) | 0;
        a = (a + c) | 0;
        c = ((c - b) ^ turn(b, 4)) | 0;
        b = (b + a) | 0;
    }
    if (at === n) {
        return c >>> 0;
    }
    a = (a + word(at)) | 0;
    b = (b + word(at + 4)) | 0;
    c = (c + word(at + 8)) | 0;
    c = ((c ^ b) - turn(b, 14)) | 0;
    a = ((a ^ c) - turn(c, 11)) | 0;
    b = ((b ^ a) - turn(a, 25)) | 0;
    c = ((c ^ b) - turn(b, 16)) | 0;
    a = ((a ^ c) - turn(c, 4)) | 0;
    b = ((b ^ a) - turn(a, 14)) | 0;
    c = ((c ^ b) - turn(b, 24)) | 0;
    return c >>> 0;
}
