// A ModelCache as a file, and back.
//
//   bytes 0-7    'CMHACACH'
//   8-11         length of the header in bytes, little endian
//   12-15        checksum of all bytes behind the header
//   16-          the header, JSON in UTF-8, padded with spaces to a multiple of 16:
//                { version, interface, model, dtype, capacity, sinks, batch, rows: [{ tokens, positions }] }
//   behind it    pages as they lie in memory: for each text and each layer those that it has, in order of position
//
// `interface` is the fingerprint of src/cmha.h, which says how a page is laid out; `model` that of the model, whose keys and values
// these are. Nothing in a file is believed: every number is checked before it is used, damage is a FormatError.

import { isKeptType } from '../blocks/pages.js';
import { INTERFACE } from '../engine/interface.js';
import { check } from './fields.js';

/** @typedef {import('./cache.js').CacheRow} CacheRow */
/** @typedef {import('./network.js').Network} Network */

const MAGIC = 'CMHACACH';
const VERSION = 1;
const START = 16;

/** Headers list tokens; more than this is no text that fits into a memory. */
const MOST_HEADER = 1 << 28;

/**
 * @typedef {object} Header
 * @property {number} version
 * @property {number} interface
 * @property {number} model
 * @property {import('../blocks/pages.js').KeptType} dtype
 * @property {number} capacity
 * @property {number} sinks
 * @property {boolean} batch
 * @property {{ tokens: number[], positions: number[] | null }[]} rows
 */

/**
 * Fowler, Noll and Vo's hash over 32-bit words (FNV-1a), which finds damage, not forgery.
 * @param {Uint8Array} bytes @param {number} [hash]
 * @returns {number}
 */
function checksum(bytes, hash = 0x811c9dc5) {
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
 * What tells one model's keys and values from another's: its description, and a sample of its weights.
 * @param {Network} network
 * @returns {number}
 */
function fingerprint(network) {
    let hash = checksum(new TextEncoder().encode(JSON.stringify(network.description)));
    for (const slot of network.slots.values()) {
        if ('matrix' in slot) {
            hash = checksum(slot.matrix.sample(), hash);
        }
    }
    return hash;
}

/**
 * @param {Network} network
 * @param {readonly CacheRow[]} rows
 * @param {boolean} batch
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writeCache(network, rows, batch) {
    const [{ type, capacity, sinks }] = rows;
    /** @type {Header} */
    const header = {
        version: VERSION, interface: INTERFACE, model: fingerprint(network), dtype: type, capacity, sinks, batch,
        rows: rows.map((row) => ({ tokens: row.tokens, positions: row.positions })),
    };
    let text = JSON.stringify(header);
    text += ' '.repeat((16 - text.length % 16) % 16);   // ASCII all of it
    const pages = rows.flatMap((row) => row.caches.flatMap((cache) => cache.pageList()));
    const bytes = new Uint8Array(START + text.length + pages.reduce((sum, page) => sum + page.bytes, 0));
    bytes.set(new TextEncoder().encode(MAGIC + '\0'.repeat(8) + text));
    let at = START + text.length;
    for (const page of pages) {
        bytes.set(network.runtime.memory.u8(page.address, page.bytes), at);
        at += page.bytes;
    }
    const view = new DataView(bytes.buffer);
    view.setUint32(8, text.length, true);
    view.setUint32(12, checksum(bytes.subarray(START + text.length)), true);
    return bytes;
}

/**
 * @param {Network} network
 * @param {Uint8Array} bytes
 * @returns {{ header: Header, body: Uint8Array }} checked
 * @throws {FormatError} `cache-invalid`, `cache-version`, `cache-model`, `cache-checksum`
 */
export function readCache(network, bytes) {
    check(bytes.length >= START && new TextDecoder().decode(bytes.subarray(0, 8)) === MAGIC, 'cache-invalid', 'this is no saved ModelCache');
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const length = view.getUint32(8, true);
    check(length <= MOST_HEADER && START + length <= bytes.length, 'cache-invalid', 'the saved cache ends within its header');
    const header = parseHeader(bytes.subarray(START, START + length));
    check(header.version === VERSION && header.interface === INTERFACE, 'cache-version',
        'the cache was saved by another version of this library, which lays pages out otherwise');
    check(header.model === fingerprint(network), 'cache-model', 'the cache was saved from another model, or from other types of weights');
    checkRows(network, header);
    const body = bytes.subarray(START + length);
    check(checksum(body) === view.getUint32(12, true), 'cache-checksum', 'the saved cache is damaged: its checksum is another');
    return { header, body };
}

/** @param {Uint8Array} bytes @returns {Header} */
function parseHeader(bytes) {
    let value;
    try {
        value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    } catch {
        check(false, 'cache-invalid', 'the header of the saved cache is damaged');
    }
    check(typeof value === 'object' && value !== null && Array.isArray(value.rows), 'cache-invalid', 'the header of the saved cache is damaged');
    return value;
}

/** @param {Network} network @param {Header} header */
function checkRows({ description: { vocabulary } }, { dtype, capacity, sinks, batch, rows }) {
    const whole = (/** @type {unknown} */ n, /** @type {number} */ least, /** @type {number} */ below) =>
        Number.isInteger(n) && Number(n) >= least && Number(n) < below;
    const sound = isKeptType(dtype) && whole(capacity, 1, 2 ** 31) && whole(sinks, -1, capacity)
        && typeof batch === 'boolean' && rows.length > 0 && rows.length <= 65536 && rows.every((row) =>
        typeof row === 'object' && row !== null && Array.isArray(row.tokens) && row.tokens.length <= capacity
            && row.tokens.every((id) => whole(id, 0, vocabulary))
            && (row.positions === null || (Array.isArray(row.positions) && row.positions.length === row.tokens.length
                && row.positions.every((position) => whole(position, 0, 2 ** 31)))));
    check(sound, 'cache-invalid', 'the header of the saved cache does not fit together');
}

/**
 * Copies saved pages into empty rows.
 * @param {Network} network
 * @param {readonly CacheRow[]} rows with tokens, and with room for them
 * @param {Uint8Array} body
 * @throws {FormatError} `cache-invalid`
 */
export function restorePages({ runtime: { memory } }, rows, body) {
    const pages = rows.flatMap((row) => row.caches.flatMap((cache) => cache.pageList()));
    const total = pages.reduce((sum, page) => sum + page.bytes, 0);
    check(total === body.length, 'cache-invalid', `the saved cache must have ${total} bytes of pages, got ${body.length}`);
    let at = 0;
    for (const page of pages) {
        memory.u8(page.address, page.bytes).set(body.subarray(at, at + page.bytes));
        at += page.bytes;
    }
}
