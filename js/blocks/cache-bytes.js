// Caches as files: what a KVCache and a ModelCache have in common.
//
//   bytes 0-7    who wrote it: 8 ASCII letters
//   8-11         length of the header in bytes, little endian
//   12-15        checksum of all bytes from 16 on
//   16-          the header, JSON in ASCII, padded with spaces to a multiple of 16; `version`: of the form of the file,
//                `pages`: of theirs, CMHA_PAGE_FORM in src/cmha.h; the rest is the owner's
//   behind it    pages as they lie in memory, one after the other
//
// Nothing in a file is believed: whoever opens one checks what the header says before anything is made of it.

import { FormatError, checkFormat } from '../check.js';
import { PAGE_FORM } from '../engine/interface.js';

/** @typedef {{ address: number, bytes: number }} Place */

const START = 16;

/** A header lists what a cache is of: longer than this is no text that fits into a memory. */
const MOST_HEADER = 1 << 28;

/**
 * Fowler, Noll and Vo's hash over 32-bit words (FNV-1a), which finds damage, not forgery.
 * @param {Uint8Array} bytes
 * @param {number} [hash]
 * @returns {number}
 */
export function checksum(bytes, hash = 0x811c9dc5) {
    const words = bytes.length >>> 2;
    const view = bytes.byteOffset % 4 === 0 ? new Uint32Array(bytes.buffer, bytes.byteOffset, words)
        : new Uint32Array(bytes.slice(0, 4 * words).buffer);
    for (let i = 0; i < words; i++) {
        hash = Math.imul(hash ^ view[i], 0x01000193);
    }
    for (let i = 4 * words; i < bytes.length; i++) {
        hash = Math.imul(hash ^ bytes[i], 0x01000193);
    }
    return hash >>> 0;
}

/**
 * @param {import('../engine/memory.js').Memory} memory
 * @param {string} magic
 * @param {number} version
 * @param {object} header of ASCII alone
 * @param {readonly Place[]} pages
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function packCache(memory, magic, version, header, pages) {
    const json = JSON.stringify({ version, pages: PAGE_FORM, ...header });
    const text = json.padEnd(Math.ceil(json.length / 16) * 16);
    let at = START + text.length;
    const bytes = new Uint8Array(at + sizeOf(pages));
    bytes.set(new TextEncoder().encode(magic + '\0'.repeat(8) + text));
    for (const page of pages) {
        bytes.set(memory.u8(page.address, page.bytes), at);
        at += page.bytes;
    }
    const view = new DataView(bytes.buffer);
    view.setUint32(8, text.length, true);
    view.setUint32(12, checksum(bytes.subarray(START)), true);
    return bytes;
}

/**
 * @param {Uint8Array} bytes
 * @param {string} magic
 * @param {number} version
 * @param {string} what it should be
 * @returns {{ header: Record<string, unknown>, body: Uint8Array }} as they were written; what they mean is not checked
 * @throws {FormatError} `cache-invalid`, `cache-version`, `cache-checksum`
 */
export function unpackCache(bytes, magic, version, what) {
    const { start } = lengthOf(bytes, magic, what);
    checkFormat(start <= bytes.length, 'cache-invalid', `the saved ${what} ends within its header`);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    checkFormat(checksum(bytes.subarray(START)) === view.getUint32(12, true), 'cache-checksum',
        `the saved ${what} is damaged: its checksum is another`);
    return { header: readHeader(bytes.subarray(START, start), version, what), body: bytes.subarray(start) };
}

/**
 * @param {Uint8Array} bytes
 * @param {string} magic
 * @param {string} what
 */
function lengthOf(bytes, magic, what) {
    // Byte by byte, as decoders skip marks.
    const begins = bytes.length >= START && [...magic].every((letter, i) => bytes[i] === letter.charCodeAt(0));
    checkFormat(begins, 'cache-invalid', `this is no saved ${what}`);
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true);
    checkFormat(length <= MOST_HEADER, 'cache-invalid', `the header of the saved ${what} is too long`);
    return { start: START + length };
}

/**
 * @param {Uint8Array} bytes
 * @param {number} version
 * @param {string} what
 * @returns {Record<string, unknown>}
 */
function readHeader(bytes, version, what) {
    let header;
    try {
        header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
        throw damaged(what);
    }
    if (typeof header !== 'object' || header === null) throw damaged(what);
    checkFormat(header.version === version && header.pages === PAGE_FORM, 'cache-version',
        `the ${what} was saved by another version of this library, which lays pages out otherwise`);
    return header;
}

/**
 * Copies a file's pages to where they belong.
 * @param {import('../engine/memory.js').Memory} memory
 * @param {readonly Place[]} pages
 * @param {Uint8Array} body of their size
 */
export function restorePages(memory, pages, body) {
    let at = 0;
    for (const page of pages) {
        memory.u8(page.address, page.bytes).set(body.subarray(at, at + page.bytes));
        at += page.bytes;
    }
}

/** @param {readonly Place[]} pages */
const sizeOf = (pages) => pages.reduce((sum, page) => sum + page.bytes, 0);

/** @param {string} what */
export const damaged = (what) => new FormatError('cache-invalid', `the header of the saved ${what} does not fit together`);
