// A KVCache as a file, and back: loaded when it is first wanted. The form is described in cache-bytes.js; a KVCache's own
// header fields are `shape`, [batch, 2, length, numHeads, keyDim], and `dtype`, and its pages stand batch entry by batch entry,
// in order of position.

import { FormatError } from '../check.js';
import { isNode } from '../engine/threads.js';
import { readFile } from '../files/source.js';
import { damaged, packCache, restorePages, unpackCache } from './cache-bytes.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('./cache.js').KVCache} KVCache */
/** @typedef {typeof import('./cache.js').KVCache} CacheClass */

const MAGIC = 'CMHAKEYS';
const VERSION = 1;

/**
 * @param {KVCache} cache
 * @returns {Blob | Uint8Array<ArrayBuffer>}
 */
export function saveCache(cache) {
    const { shape, dtype, _runtime: { memory }, _pages: pages } = cache;
    const bytes = packCache(memory, MAGIC, VERSION, { shape, dtype }, pages.pageList());
    return isNode ? bytes : new Blob([bytes]);
}

/**
 * @param {CacheClass} Cache
 * @param {Runtime} runtime
 * @param {import('../files/source.js').FileSource} source
 * @returns {Promise<KVCache>}
 */
export async function loadCache(Cache, runtime, source) {
    const { header, body } = unpackCache(await readFile(source), MAGIC, VERSION, 'KVCache');
    const cache = new Cache(runtime, optionsOf(Cache, header, body.length));
    restorePages(runtime.memory, cache._pages.pageList(), body);
    return cache;
}

/** @param {CacheClass} Cache @param {Record<string, unknown>} header @param {number} bytes of pages @returns {import('./cache.js').CacheOptions} */
function optionsOf(Cache, { shape, dtype }, bytes) {
    if (!Array.isArray(shape) || shape.length !== 5 || shape[1] !== 2) throw damaged('KVCache');
    const [batch, , length, numHeads, keyDim] = shape;
    const options = { batch, length, numHeads, keyDim, dtype: /** @type {any} */ (dtype) };
    let expected;
    try {
        expected = Cache.estimateBytes(options);
    } catch {
        throw damaged('KVCache');
    }
    if (expected !== bytes) {
        throw new FormatError('cache-invalid', `the saved KVCache must have ${expected} bytes of pages, got ${bytes}`);
    }
    return options;
}
