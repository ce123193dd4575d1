// How a worker is started and heard, in Node and in browsers. Workers never import this module.

import { areModulesMoved } from '../assets.js';
import { typeError } from '../check.js';
import { toUrl } from './binary.js';
import { isNode, nodeModule } from './threads.js';

/** @typedef {import('./threads.js').Thread} Thread */
/** @typedef {import('./threads.js').ThreadEvents} ThreadEvents */
/**
 * What of a Worker is used: a browser's, or one of Node's worker_threads, without Node's types.
 * @typedef {{ postMessage(message: any): void, terminate(): any }} WorkerLike
 */

/** Where the script is, or what makes a Worker of it. @typedef {string | URL | (() => WorkerLike | Promise<WorkerLike>)} WorkerSource */

/**
 * Starts js/engine/worker.js, or what the user has given in its place.
 * @param {ThreadEvents} events
 * @param {WorkerSource | undefined} source
 * @returns {Promise<Thread>}
 */
export async function spawn(events, source) {
    const worker = await makeWorker(typeof source === 'string' ? await toUrl(source) : source);
    return typeof worker.on === 'function' ? nodeThread(worker, events) : browserThread(worker, events);
}

/** @param {URL | (() => any) | undefined} source @returns {Promise<any>} */
function makeWorker(source) {
    if (typeof source === 'function') {
        return makeBy(source);
    }
    return isNode ? startNode(source) : startBrowser(source);
}

/** @param {() => any} make */
async function makeBy(make) {
    const worker = await make();
    if (typeof worker?.postMessage !== 'function' || typeof worker.terminate !== 'function') {
        throw typeError('worker', 'a function that returns a Worker, or the promise of one', worker);
    }
    return worker;
}

/** @param {URL | undefined} url @returns {Promise<any>} one of node:worker_threads */
async function startNode(url) {
    const { Worker: NodeWorker } = nodeModule('node:worker_threads');
    // Without execArgv a worker inherits flags such as --input-type that only make sense for the main script.
    const options = { execArgv: [], name: 'cached-attention' };
    if (url) {
        return new NodeWorker(url, options);
    }
    // The text in the bundle is of its version, whatever is installed.
    return areModulesMoved() ? startText(null) : new NodeWorker(new URL('./worker.js', import.meta.url), options);
}

/** @param {URL | undefined} url @returns {Promise<Worker>} */
async function startBrowser(url) {
    if (url) {
        const text = `import ${JSON.stringify(url.href)};`;
        if (isElsewhere(url)) {
            return startText(null, text);
        }
        try {
            return new Worker(url, { type: 'module' });
        } catch (error) {
            return startText(error, text);
        }
    }
    if (areModulesMoved() || isElsewhere(new URL(import.meta.url))) {
        return startText(null);
    }
    try {
        // Bundlers recognise exactly this expression and take the worker along.
        return new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    } catch (error) {
        return startText(error);
    }
}

/**
 * Whether a browser refuses a worker from there, which Firefox tells by nothing but a worker that fails. Of a bundle the address
 * may be that of a file on the machine that made it, which says nothing about where the bundle lies.
 * @param {URL} url
 */
function isElsewhere({ protocol, origin }) {
    return /^https?:$/.test(protocol) && origin !== globalThis.origin;
}

/**
 * Starts a worker from text. Only where the browser does not take the file itself, because it lies on another origin, as on a CDN, or
 * because it wants a trusted address; a page whose Content Security Policy forbids `blob:` and that serves the package itself
 * never comes here.
 * @param {unknown} refusal
 * @param {string} [text]  by default that of worker.js
 * @returns {Promise<any>}
 */
async function startText(refusal, text) {
    const isRefused = /** @type {any} */ (refusal)?.name === 'SecurityError';
    if (refusal !== null && !isRefused && !(refusal instanceof TypeError && 'trustedTypes' in globalThis)) {
        throw refusal;
    }
    const { WORKER_TEXT, addressOfText } = await import('./text-worker.js');
    return workerAt(addressOfText(text ?? WORKER_TEXT));
}

/** @param {any} address of text-worker.js @returns {Promise<any>} a Worker of the platform */
export async function workerAt(address) {
    return isNode ? startNode(address) : new Worker(address, { type: 'module' });
}

/** @param {import('node:worker_threads').Worker} worker @param {ThreadEvents} events @returns {Thread} */
function nodeThread(worker, events) {
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

/** @param {Worker} worker @param {ThreadEvents} events @returns {Thread} */
function browserThread(worker, events) {
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
