// Cross-origin isolation, which workers with shared memory need, where the server sends no headers for it (static hosts). One
// file for two places, a classic script in both:
//
//   in a page      <script src="isolate.js"></script>, a copy of this file beside the page or above it. It registers itself
//                  as the service worker of its folder and reloads the page once.
//   as a worker    sets Cross-Origin-Opener-Policy and Cross-Origin-Embedder-Policy on pages and workers of its folder, and
//                  leaves every other request alone.
//
// Where the folder has a service worker already, this one does not take its place: it says so in the console, and the other
// takes it in by importScripts('isolate.js') in its first line.

(() => {
    /** Remembers, in this tab, that the page has been reloaded. */
    const KEY = 'cached-attention: isolate';

    if (typeof document === 'undefined') {
        serve();
    } else if (globalThis.crossOriginIsolated) {
        remember(null);
        const channel = new BroadcastChannel(KEY);
        channel.postMessage(null);
        channel.close();
    } else {
        isolate(/** @type {HTMLScriptElement | null} */ (document.currentScript)?.src ?? '').catch((error) => tell(String(error)));
    }

    /** The worker's half. */
    function serve() {
        // Safari does not know credentialless; with require-corp a page cannot show what other origins do not offer to all.
        const agent = navigator.userAgent;
        const isSafari = /safari/i.test(agent) && !/chrom|android/i.test(agent);
        const policy = isSafari ? 'require-corp' : 'credentialless';
        const documents = ['document', 'iframe', 'frame', 'worker', 'sharedworker'];

        // What listeners of a worker that has imported this one answer.
        const { prototype } = /** @type {any} */ (globalThis).FetchEvent;
        const { respondWith } = prototype;
        /** @this {any} @param {any} answer */
        prototype.respondWith = function (answer) {
            const isOurs = documents.includes(this.request.destination);
            return respondWith.call(this, isOurs ? Promise.resolve(answer).then(withHeaders) : answer);
        };

        // What none of them answers: an answer ends the event, so this listener has to come last, after those that the rest of
        // the script adds. Browsers want to see one right away.
        const listener = (/** @type {any} */ event) => {
            if (documents.includes(event.request.destination)) {
                event.respondWith(fetch(event.request));
            }
        };
        addEventListener('fetch', listener);
        queueMicrotask(() => {
            removeEventListener('fetch', listener);
            addEventListener('fetch', listener);
        });

        /** @param {Response} response */
        function withHeaders(response) {
            // Those of other origins and redirects cannot be read, nor need they be.
            if (response.status === 0 || response.type === 'opaqueredirect' || response.type === 'error') {
                return response;
            }
            const headers = new Headers(response.headers);
            headers.set('Cross-Origin-Opener-Policy', 'same-origin');
            if (!headers.has('Cross-Origin-Embedder-Policy')) {
                headers.set('Cross-Origin-Embedder-Policy', policy);
            }
            const hasBody = ![101, 204, 205, 304].includes(response.status);
            const { status, statusText } = response;
            return new Response(hasBody ? response.body : null, { status, statusText, headers });
        }
    }

    /** The page's half. @param {string} script  this one's address */
    async function isolate(script) {
        if (!globalThis.isSecureContext || !navigator.serviceWorker) {
            tell('the page must come by https, or from localhost, in a browser with service workers');
            return;
        }
        if (script === '') {
            tell('it must be loaded by <script src="isolate.js">, not bundled or imported');
            return;
        }
        const folder = new URL('.', script).href;
        if (!location.href.startsWith(folder)) {
            tell(`${script} must lie in the folder of the page or above it`);
            return;
        }
        const present = await navigator.serviceWorker.getRegistration();
        const other = present && (present.active ?? present.waiting ?? present.installing)?.scriptURL;
        if (other && other !== script) {
            if (present.active && !recall()) {
                reload(); // perhaps that one has imported this, and took no part in the first load
            } else {
                tell(`${other} is the service worker here; its first line should be importScripts(${JSON.stringify(script)})`);
            }
            return;
        }
        const registration = await navigator.serviceWorker.register(script);
        const worker = registration.installing ?? registration.waiting ?? registration.active;
        await new Promise((resolve) => {
            const look = () => (worker?.state === 'activated' || worker?.state === 'redundant') && resolve(null);
            worker?.addEventListener('statechange', look);
            look();
        });
        if (recall()) {
            tell('the browser does not isolate the page, although its headers ask for it');
        } else {
            reload();
        }
    }

    function reload() {
        // Without a memory it could go on for ever.
        if (remember('reloaded')) {
            // Chromium keeps this page for going back, and gives it again, as it is, when the isolated one is reloaded. One that
            // gets a message meanwhile, which the isolated one sends, it drops.
            new BroadcastChannel(KEY).onmessage = () => {};
            addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
            location.reload();
        } else {
            tell('reload the page once: it will be isolated then');
        }
    }

    function recall() {
        try {
            return sessionStorage.getItem(KEY) !== null;
        } catch {
            return false;
        }
    }

    /** @param {string | null} value @returns {boolean} whether it could be kept */
    function remember(value) {
        try {
            if (value === null) {
                sessionStorage.removeItem(KEY);
            } else {
                sessionStorage.setItem(KEY, value);
            }
            return true;
        } catch {
            return false;
        }
    }

    /** @param {string} reason */
    function tell(reason) {
        console.warn(`isolate.js: this page stays without cross-origin isolation: ${reason}`);
    }
})();
