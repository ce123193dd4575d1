/**
 * The page without its server: a service worker keeps what was loaded, so that a later visit works offline, and asks for the
 * isolation that threads need where the host sends no headers for it. That takes one reload, on the first visit.
 */

const RELOADED = 'cached-attention: reloaded';
const PATIENCE_MS = 5000;

/** @returns {Promise<ServiceWorker | null>} null where the browser has none, or does not want to */
async function serviceWorker() {
    if (!navigator.serviceWorker || !isSecureContext) return null;
    try {
        const registration = await navigator.serviceWorker.register('sw.js');
        const late = new Promise(resolve => setTimeout(resolve, PATIENCE_MS, null));
        return registration.active ?? await Promise.race([activated(registration), late]);
    } catch {
        return null;
    }
}

/** @returns {Promise<boolean>} whether the page is about to be loaded once more, isolated then */
export async function isolate() {
    // Chromium keeps the page that is reloaded here for going back, and gives it again, as it is, when the visitor reloads the
    // isolated one. One that gets a message meanwhile it drops.
    const channel = new BroadcastChannel(RELOADED);
    if (crossOriginIsolated) channel.postMessage(null);
    if (crossOriginIsolated || navigator.serviceWorker?.controller || !await serviceWorker() || !remember()) {
        channel.close();
        return false;
    }
    channel.onmessage = () => {};
    addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
    location.reload();
    return true;
}

/** Keeps what was loaded, here and in the worker. @param {string[]} others addresses that this page does not know of */
export async function keepPage(others) {
    const worker = await serviceWorker();
    const here = performance.getEntriesByType('resource').map(entry => entry.name);
    worker?.postMessage({ keep: [location.href.split('#', 1)[0], ...here, ...others] });
}

/** @param {ServiceWorkerRegistration} registration @returns {Promise<ServiceWorker | null>} */
function activated(registration) {
    const worker = registration.installing ?? registration.waiting;
    return new Promise(resolve => {
        const look = () => ['activated', 'redundant'].includes(worker?.state ?? 'redundant') && resolve(worker);
        worker?.addEventListener('statechange', look);
        look();
    });
}

/** @returns {boolean} whether this tab has not been reloaded yet, and will remember it */
function remember() {
    try {
        if (sessionStorage.getItem(RELOADED) !== null) return false;
        sessionStorage.setItem(RELOADED, 'yes');
        return true;
    } catch {
        return false;
    }
}
