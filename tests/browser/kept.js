// What the demo's service worker has kept, asked in the page.

/** Whether all is there that a visit without the server needs: it is kept one by one, and this comes last. */
export async function isKept() {
    const cache = await caches.open('cached-attention');
    const names = (await cache.keys()).map(({ url }) => url);
    return ['model.gguf', 'vendor/markdown.js'].every(name => names.some(url => url.endsWith(name)));
}
