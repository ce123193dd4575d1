/**
 * The service worker: what comes from the page's own host is kept, and served when the host cannot be reached. Online the host
 * always answers, so what is kept is never older than the last visit. What other hosts send, the models of a hub, is left alone.
 * A classic script, because it takes in isolate.js, which sets the headers that threads need.
 */

// Here in the repository, and beside the page where it is published as one folder.
try {
    /** @type {any} */ (self).importScripts('../dist/isolate.js');
} catch {
    /** @type {any} */ (self).importScripts('isolate.js');
}

const KEPT = 'cached-attention';

self.addEventListener('install', () => /** @type {any} */ (self).skipWaiting());
// Nothing claims the page that is open: Firefox then waits for an answer of each of its threads, which sleep and give none, and
// until it comes every request hangs. Its next load is this worker's, and so is a reload.

self.addEventListener('message', (/** @type {any} */ event) => event.waitUntil(keep(event.data.keep)));

self.addEventListener('fetch', (/** @type {any} */ event) => {
    const { request } = event;
    // Models of a hub are kept by the page, in another place.
    if (request.method === 'GET' && isOwn(request.url) && request.cache !== 'no-store') event.respondWith(answer(request));
});

/** @param {string} url */
function isOwn(url) {
    return new URL(url).origin === location.origin;
}

/** @param {Request} request */
async function answer(request) {
    try {
        return await fetch(request);
    } catch (error) {
        const kept = await (await caches.open(KEPT)).match(withoutHash(request.url), { ignoreSearch: true });
        if (kept) return kept;
        throw error;
    }
}

/**
 * Keeps what a visit has loaded, when it is all there: one file after the other, since the page has better things to do. They come
 * from the browser's own cache; what fails, or finds no room, is kept another time.
 * @param {string[]} urls
 */
async function keep(urls) {
    const cache = await caches.open(KEPT);
    for (const url of new Set(urls.map(withoutHash).filter(isOwn))) {
        await keepOne(cache, url).catch(() => {});
    }
}

/** @param {Cache} cache @param {string} url */
async function keepOne(cache, url) {
    const response = await fetch(url, { cache: 'force-cache' });
    const tag = response.headers.get('ETag');
    const kept = tag === null ? undefined : await cache.match(url);
    if (response.ok && (!kept || kept.headers.get('ETag') !== tag)) await cache.put(url, response);
    else await response.body?.cancel();
}

/** @param {string} url */
function withoutHash(url) {
    return url.split('#', 1)[0];
}
