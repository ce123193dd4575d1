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

self.addEventListener('message', (/** @type {any} */ event) => {
    const own = [...new Set(/** @type {string[]} */ (event.data.keep))].filter(isOwn);
    event.waitUntil(caches.open(KEPT).then(cache => Promise.all(own.map(async url => {
        // What the browser has in its own cache costs nothing; what fails is kept another time.
        if (!await cache.match(url, { ignoreSearch: true })) await cache.add(url).catch(() => {});
    }))));
});

self.addEventListener('fetch', (/** @type {any} */ event) => {
    const { request } = event;
    // Models of a hub are kept by the page, in another place.
    if (request.method === 'GET' && isOwn(request.url) && request.cache !== 'no-store') event.respondWith(answer(event));
});

/** @param {string} url */
function isOwn(url) {
    return new URL(url).origin === location.origin;
}

/** @param {any} event */
async function answer(event) {
    const { request } = event;
    const cache = await caches.open(KEPT);
    try {
        const response = await fetch(request);
        // The page does not wait for it, and does without where there is no room.
        if (response.status === 200) event.waitUntil(keep(cache, request, response.clone()).catch(() => {}));
        return response;
    } catch (error) {
        const kept = await cache.match(withoutHash(request.url), { ignoreSearch: true });
        if (kept) return kept;
        throw error;
    }
}

/**
 * @param {Cache} cache
 * @param {Request} request
 * @param {Response} response
 */
async function keep(cache, { url }, response) {
    const tag = response.headers.get('ETag');
    const kept = tag === null ? undefined : await cache.match(withoutHash(url));
    if (kept?.headers.get('ETag') === tag && tag !== null) await response.body?.cancel();
    else await cache.put(withoutHash(url), response);
}

/** @param {string} url */
function withoutHash(url) {
    return url.split('#', 1)[0];
}
