// The seam between Node and browsers: what this thread may do, and how a worker hears the thread that started it.
// Bundlers and browsers must never see Node's modules, so nothing imports those: they are asked for. How workers are
// started is in spawn.js, which a worker must not import: a bundler would see a worker that starts itself.

/** Node, and what behaves like it (Bun, Deno): has `process`, `node:` modules and files. What stands for it in pages is a plain object. */
export const isNode = typeof process === 'object' && String(process) === '[object process]' && Boolean(process.versions?.node)
    && /** @type {any} */ (process).type !== 'renderer';

/**
 * @param {string} name  of a built-in module, with its `node:` prefix
 * @returns {any}
 */
export function nodeModule(name) {
    // Not by the name alone, for which a bundler may put a copy of its own.
    return /** @type {any} */ (globalThis).process.getBuiltinModule(name);
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
export function processors() {
    if (isNode) {
        return Math.max(1, nodeModule('node:os').availableParallelism());
    }
    return Math.max(1, globalThis.navigator?.hardwareConcurrency ?? 1);
}

/** Lets the thread's other tasks (messages, timers, input) run. @returns {Promise<void>} */
export function otherTasks() {
    return new Promise((resolve) => {
        if (typeof setImmediate === 'function') {
            setImmediate(resolve);
            return;
        }
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
            port1.close();
            resolve();
        };
        port2.postMessage(null);
    });
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

/** @typedef {{ post: (message: any) => void, close: () => void }} Parent  the thread that started this one */

/**
 * The other end, inside a worker: hears what the parent posts. In a browser the handler is in place before the
 * script ends, so that no message comes too early.
 * @param {(message: any, parent: Parent) => void} handler
 */
export function listen(handler) {
    if (isNode) {
        const { parentPort } = nodeModule('node:worker_threads');
        const parent = {
            post: (/** @type {any} */ message) => parentPort.postMessage(message),
            close: () => parentPort.close?.(), // Deno's has none: there the pool ends the thread
        };
        parentPort.on('message', (/** @type {any} */ message) => handler(message, parent));
        return;
    }
    const scope = /** @type {any} */ (globalThis);
    const parent = {
        post: (/** @type {any} */ message) => scope.postMessage(message),
        close: () => scope.close(),
    };
    scope.onmessage = (/** @type {MessageEvent} */ event) => handler(event.data, parent);
}
