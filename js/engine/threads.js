// The seam between Node and browsers: how a thread is started, heard and ended, and what this one may do.
// Bundlers and browsers must never see Node's modules, so those are imported by a name that is not a literal.

/** Node, and what behaves like it (Bun, Deno): has `process`, `node:` modules and files. */
export const isNode = typeof process === 'object' && Boolean(process.versions?.node)
    && /** @type {any} */ (process).type !== 'renderer';

/**
 * @param {string} name  of a built-in module, with its `node:` prefix
 * @returns {Promise<any>}
 */
export function importNode(name) {
    return import(/* webpackIgnore: true */ /* @vite-ignore */ name);
}

/** Can a memory be shared with workers here? In pages and their workers only with cross-origin isolation. */
export function canShareMemory() {
    if (typeof SharedArrayBuffer !== 'function') {
        return false;
    }
    return isNode || globalThis.crossOriginIsolated === true;
}

/**
 * May this thread block? Node's threads and dedicated workers may, a page's main thread may not: there a wait throws.
 * @returns {boolean}
 */
export function mayBlock() {
    try {
        // Compares 0 with 1, so it never sleeps: it only throws where sleeping is forbidden.
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
        return true;
    } catch {
        return false;
    }
}

/** Logical processors, at least 1. */
export async function processors() {
    if (isNode) {
        const os = await importNode('node:os');
        return Math.max(1, os.availableParallelism());
    }
    return Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1);
}

/**
 * A started thread, whatever it is made of.
 * @typedef {object} Thread
 * @property {(message: any) => void} post
 * @property {() => void} idle  lets the process end while the thread lives (Node); nothing elsewhere
 * @property {() => void} end
 */

/**
 * What becomes of a thread. `onEnd`: it failed to start, threw or ended, by itself or because it was ended. `onGone`:
 * it certainly runs no more; browsers never say so.
 * @typedef {object} ThreadEvents
 * @property {(message: any) => void} onMessage
 * @property {(reason: string) => void} onEnd
 * @property {() => void} onGone
 */

/**
 * Starts js/engine/worker.js, or `script` where a test brings its own.
 * @param {ThreadEvents} events
 * @param {URL | undefined} script
 * @returns {Promise<Thread>}
 */
export function spawn(events, script) {
    return isNode ? spawnNode(events, script) : Promise.resolve(spawnBrowser(events, script));
}

/**
 * @param {ThreadEvents} events
 * @param {URL | undefined} script
 * @returns {Promise<Thread>}
 */
async function spawnNode(events, script) {
    const { Worker: NodeWorker } = await importNode('node:worker_threads');
    const here = import.meta.url;
    // Without execArgv a worker inherits flags such as --input-type that only make sense for the main script.
    const worker = new NodeWorker(script ?? new URL('worker.js', here), { execArgv: [], name: 'cached-attention' });
    worker.on('message', events.onMessage);
    worker.on('messageerror', () => events.onEnd('sent a message that cannot be read'));
    worker.on('error', (/** @type {any} */ error) => events.onEnd(`failed: ${error?.message ?? error}`));
    worker.on('exit', (/** @type {number} */ code) => {
        events.onEnd(`ended with exit code ${code}`);
        events.onGone();
    });
    return {
        post: (message) => worker.postMessage(message),
        idle: () => worker.unref(),
        end: () => void worker.terminate(),
    };
}

/**
 * @param {ThreadEvents} events
 * @param {URL | undefined} script
 * @returns {Thread}
 */
function spawnBrowser(events, script) {
    // Bundlers recognise exactly this expression and bundle the worker with what it imports.
    const worker = script
        ? new Worker(script, { type: 'module' })
        : new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = (event) => events.onMessage(event.data);
    worker.onmessageerror = () => events.onEnd('sent a message that cannot be read');
    worker.onerror = (event) => {
        event.preventDefault();
        // A script that is missing, forbidden by the page's policy or broken gives an event without a message.
        events.onEnd(event.message
            ? `failed: ${event.message}`
            : 'could not be loaded (script missing, or forbidden by the Content Security Policy)');
    };
    return {
        post: (message) => worker.postMessage(message),
        idle: () => {},
        end: () => worker.terminate(),
    };
}

/** @typedef {{ post: (message: any) => void, close: () => void }} Parent  the thread that started this one */

/**
 * The other end, inside a worker: hears what the parent posts. In a browser the handler is in place before the
 * script ends, so that no message comes too early.
 * @param {(message: any, parent: Parent) => void} handler
 */
export function listen(handler) {
    if (isNode) {
        importNode('node:worker_threads').then(({ parentPort }) => {
            const parent = {
                post: (/** @type {any} */ message) => parentPort.postMessage(message),
                close: () => parentPort.close(),
            };
            parentPort.on('message', (/** @type {any} */ message) => handler(message, parent));
        });
        return;
    }
    const scope = /** @type {any} */ (globalThis);
    const parent = {
        post: (/** @type {any} */ message) => scope.postMessage(message),
        close: () => scope.close(),
    };
    scope.onmessage = (/** @type {MessageEvent} */ event) => handler(event.data, parent);
}
