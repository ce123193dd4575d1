// Cursor: reads the numbers and bytes of a header one after the other. It waits only for bytes that have not arrived, and allocates nothing
// ahead of them.

import { FormatError } from '../check.js';

/** Most bytes of a header; the largest vocabularies take some 20 MB. */
const MAX_HEADER_BYTES = 1 << 28;

/** A length that goes beyond the file's end means a truncated file, up to this or to the file's own size; a larger one is a wrong number. */
const SMALL = 4096;

/** Reads values one after the other; waits only when it has run out of bytes. */
export class Cursor {
    /** @param {import('./byte-reader.js').ByteReader} reader @param {string} name */
    constructor(reader, name) {
        this._reader = reader;
        this._name = name;
        /** @type {Uint8Array} */
        this.bytes = new Uint8Array(0);
        this.view = new DataView(this.bytes.buffer);
        this.at = 0;
        this._begin = reader.position;
        /** How many arrays have been read, nested ones counted too. */
        this.arrays = 0;
    }

    /** Its position in the file. */
    get position() {
        return this._begin + this.at;
    }

    /** How many bytes may still come: up to the file's end, or the most that a header may have. */
    get left() {
        const { size } = this._reader;
        return (size === null ? MAX_HEADER_BYTES : Math.min(size, MAX_HEADER_BYTES)) - this.position;
    }

    /** @param {number} length @returns {boolean} whether so many bytes have arrived */
    has(length) {
        return this.bytes.length - this.at >= length;
    }

    /**
     * Waits for bytes.
     * @param {number} length
     * @param {string} what for messages
     */
    async need(length, what) {
        if (this.has(length)) {
            return;
        }
        this.claim(1, length, what);
        this.leave();
        this.bytes = await this._reader.peek(length);
        this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
        if (this.bytes.length < length) {
            throw this._truncated(what);
        }
    }

    /** Moves the reader to the cursor's position. */
    leave() {
        this._reader.advance(this.at);
        this._begin += this.at;
        this.bytes = this.bytes.subarray(this.at);
        this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
        this.at = 0;
    }

    /**
     * Checks a count before it is used.
     * @param {number} count of things that are said to follow
     * @param {number} least bytes that each takes at least
     * @param {string} what for messages
     * @throws {FormatError} if the file, or a header, has no room for them
     */
    claim(count, least, what) {
        // Beyond 2^53 the product is not exact, but far too large anyway.
        const bytes = count * least;
        const { size } = this._reader;
        if (bytes <= this.left) {
            return;
        }
        if (size !== null && this.position + bytes > size && bytes <= Math.max(size, SMALL)) {
            throw this._truncated(what);
        }
        throw new FormatError('too-large', `${this._name}: ${what} would take ${bytes} bytes or more, ` +
            (size !== null && bytes > size ? `in a file of ${size}` : `and a header at most ${MAX_HEADER_BYTES}`));
    }

    /** @param {string} what */
    _truncated(what) {
        return new FormatError('truncated', `${this._name} ends within ${what}, which begins at byte ${this.position}`);
    }

    /** Reads a number that has arrived. @returns {number} */
    u32() {
        this.at += 4;
        return this.view.getUint32(this.at - 4, true);
    }

    /** Reads a number that has arrived; above 2^53 it is not exact. @returns {number} */
    u64() {
        this.at += 8;
        return this.view.getUint32(this.at - 8, true) + this.view.getUint32(this.at - 4, true) * 2 ** 32;
    }

    /** Reads bytes that have arrived. @param {number} length */
    take(length) {
        this.at += length;
        return this.bytes.subarray(this.at - length, this.at);
    }
}
