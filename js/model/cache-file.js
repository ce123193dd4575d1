// A ModelCache as a file, and back. The form is described in blocks/cache-bytes.js; a ModelCache's own header fields are
//
//   { model, dtype, capacity, sinks, batch, rows: [{ tokens, positions, cold, key, ring: { start, ahead, gone, trace } }] }
//
// and its pages follow text by text, layer by layer, in order; after those of a text whose ring has dropped tokens come the sinks' original
// keys. `model` is the fingerprint of the model that the cache belongs to. Nothing in a file is trusted: every number is checked before it
// is used, and damage is a FormatError.

import { checksum, packCache, unpackCache } from '../blocks/cache-bytes.js';
import { isKeptType, pageFor } from '../blocks/pages.js';
import { checkFormat } from '../check.js';
import { layerPageBytes, placesOf } from './cache-row.js';
import { MOST_AHEAD, sinkBytes } from './ring.js';

/** @typedef {import('./cache-row.js').CacheRow} CacheRow */
/** @typedef {import('./cache-row.js').RowState} RowState */
/** @typedef {import('./network.js').Network} Network */

const MAGIC = 'CMHACACH';
const VERSION = 3;
const WHAT = 'ModelCache';

/**
 * @typedef {object} Header
 * @property {number} model
 * @property {import('../blocks/pages.js').KeptType} dtype
 * @property {number} capacity
 * @property {number} sinks
 * @property {boolean} batch
 * @property {RowState[]} rows
 */

/** @type {WeakMap<Network, number>} */
const fingerprints = new WeakMap();

/**
 * Identifies a model, so that no other model uses its keys and values: a hash of its description and of a sample of its weights.
 * @param {Network} network
 * @returns {number}
 */
export function fingerprint(network) {
    const known = fingerprints.get(network);
    if (known !== undefined) {
        return known;
    }
    let hash = checksum(new TextEncoder().encode(JSON.stringify(network.description)));
    for (const slot of network.slots.values()) {
        if ('matrix' in slot) {
            hash = checksum(slot.matrix.sample(), hash);
        }
    }
    fingerprints.set(network, hash);
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
    const header = { model: fingerprint(network), dtype: type, capacity, sinks, batch, rows: rows.map(({ state }) => state) };
    return packCache(network.runtime.memory, MAGIC, VERSION, header, rows.flatMap((row) => row.pageList()));
}

/**
 * @param {Network} network
 * @param {Uint8Array} bytes
 * @returns {{ header: Header, body: Uint8Array }} checked
 * @throws {FormatError} `cache-invalid`, `cache-version`, `cache-model`, `cache-checksum`
 */
export function readCache(network, bytes) {
    const { header: given, body } = unpackCache(bytes, MAGIC, VERSION, WHAT);
    const header = /** @type {Header} */ (/** @type {unknown} */ (given));
    checkFormat(header.model === fingerprint(network), 'cache-model', 'the cache was saved from another model, or from other types of weights');
    checkHeader(network, header);
    const expected = bytesOf(network, header);
    checkFormat(expected === body.length, 'cache-invalid', `the saved cache must have ${expected} bytes of pages, got ${body.length}`);
    return { header, body };
}

/** @param {unknown} n @param {number} least @param {number} below */
const whole = (n, least, below) => Number.isInteger(n) && Number(n) >= least && Number(n) < below;

/** @param {RowState} row @param {number} capacity @param {number} sinks */
function isRing({ tokens, cold, ring }, capacity, sinks) {
    if (typeof ring !== 'object' || ring === null) return false;
    const { start, ahead, gone, trace } = ring;
    if (ahead === 0) return start === 0 && gone === 0 && trace === 0;
    return whole(ahead, 1, MOST_AHEAD + 1) && whole(gone, ahead, 2 ** 53) && whole(trace, 0, 2 ** 32) && cold === 0 && tokens.length >= sinks
        && whole(start, 0, tokens.length + 1 >= capacity ? capacity - sinks : 1);
}

/** @param {Network} network @param {Header} header */
function checkHeader({ fixed, description: { vocabulary, embedding: { positions: learned } } }, { dtype, capacity, sinks, batch, rows }) {
    const end = learned ?? 2 ** 31;
    const sound = isKeptType(dtype) && whole(capacity, 1, (learned ?? Infinity) + 1) && whole(sinks, -1, fixed === null ? capacity : 0)
        && Number.isSafeInteger(capacity - Math.max(0, sinks))
        && typeof batch === 'boolean' && Array.isArray(rows) && rows.length > 0 && rows.length <= (batch ? 65536 : 1) && rows.every((row) =>
        typeof row === 'object' && row !== null && Array.isArray(row.tokens) && row.tokens.length <= capacity
            && row.tokens.every((id) => whole(id, 0, vocabulary)) && whole(row.cold, 0, row.tokens.length + 1)
            && (row.positions === null || (Array.isArray(row.positions) && row.positions.length === row.tokens.length
                && row.positions.every((position) => whole(position, 0, end))))
            && whole(row.key, -1, 2 ** 53) && (sinks < 0 ? row.ring === null : isRing(row, capacity, sinks)));
    checkFormat(sound, 'cache-invalid', 'the header of the saved cache does not fit together');
}

/** @param {Network} network @param {Header} header @returns {number} bytes of its pages */
function bytesOf(network, { dtype, capacity, sinks, rows }) {
    const { layers } = network.description;
    const page = pageFor(capacity);
    const pages = rows.reduce((sum, row) => sum + Math.ceil(placesOf(row, capacity) / page), 0);
    const turned = rows.filter(({ ring }) => ring && ring.ahead > 0).length;
    return layers.reduce((sum, layer) => sum + pages * layerPageBytes(network, layer, dtype, page), turned * sinkBytes(network, sinks));
}

const PAGE_MAGIC = 'CMHAPAGE';
const PAGE_VERSION = 1;

/**
 * A page of a text's beginning as a file of its own: the keys and values of one page in every layer.
 * @param {CacheRow} row
 * @param {number} index of the page
 * @param {readonly number[]} tokens of the text, from its start to the last in the page
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function writePage({ network, type, capacity, caches }, index, tokens) {
    const header = { model: fingerprint(network), dtype: type, page: pageFor(capacity), tokens };
    return packCache(network.runtime.memory, PAGE_MAGIC, PAGE_VERSION, header, caches.map((cache) => cache.pageAt(index)));
}

/**
 * @param {CacheRow} row that the page is for
 * @param {Uint8Array} bytes
 * @returns {{ tokens: number[], body: Uint8Array }} checked, but for what the tokens are
 * @throws {FormatError} for damage, and for a page of other caches
 */
export function readPage({ network, type, capacity, caches }, bytes) {
    const { header: { model, dtype, page, tokens }, body } = unpackCache(bytes, PAGE_MAGIC, PAGE_VERSION, 'page');
    const fits = model === fingerprint(network) && dtype === type && page === pageFor(capacity);
    checkFormat(fits, 'cache-model', 'the page is of another model\'s cache');
    checkFormat(Array.isArray(tokens), 'cache-invalid', 'the page has no tokens');
    const expected = caches.reduce((sum, cache) => sum + cache.pageBytes, 0);
    checkFormat(body.length === expected, 'cache-invalid', `the page must have ${expected} bytes, got ${body.length}`);
    return { tokens, body };
}
