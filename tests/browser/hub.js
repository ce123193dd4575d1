// A hub of models, as the page meets one: on the page's own origin, with connections that can be lost.

import { createReadStream, statSync } from 'node:fs';
import { createServer, request as ask } from 'node:http';
import { fileURLToPath } from 'node:url';

/**
 * @typedef {(path: string, request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse) => void} Hub
 */

const MODEL = fileURLToPath(new URL('../../js/embedded/model.gguf', import.meta.url));
const SENT = 2_000_000;

/**
 * A server in front of the page's, which answers below /hub/ itself.
 * @param {{ url: string, close: () => Promise<void> }} behind
 * @param {Hub} hub
 */
export async function inFront(behind, hub) {
    const server = createServer((request, response) => {
        const path = decodeURIComponent(request.url ?? '/');
        if (path.startsWith('/hub/')) return hub(path.slice('/hub/'.length), request, response);
        const { method, headers } = request;
        const forwarded = ask(new URL(request.url ?? '/', behind.url), { method, headers }, answer => {
            response.writeHead(answer.statusCode ?? 500, answer.headers);
            answer.pipe(response);
        });
        forwarded.on('error', () => response.destroy());
        forwarded.end();
    });
    await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(null)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const close = async () => {
        server.closeAllConnections();
        await new Promise(resolve => server.close(resolve));
        await behind.close();
    };
    return { url: `http://localhost:${port}/`, close };
}

/** In the page: whether some of a model is there. A browser drops what it has not read yet when a connection breaks. */
export function hasBegun() {
    return /(Downloading|Reading): [1-9]/.test(document.getElementById('model-status')?.textContent ?? '');
}

/** @typedef {{ isLost: boolean, lose: () => void, ranges: (string | undefined)[] }} Losing */

/**
 * A hub that has one model, someone/small: for as long as `isLost` says so it sends a part of it, until `lose` breaks the connection.
 * @returns {{ hub: Hub, state: Losing }}
 */
export function losingHub() {
    const { size } = statSync(MODEL);
    /** @type {Losing} */
    const state = { isLost: true, lose: () => {}, ranges: [] };
    return { state, hub: (path, request, response) => {
        if (path !== 'someone/small/resolve/main/model.gguf') return void response.writeHead(404).end();
        const { range } = request.headers;
        state.ranges.push(range);
        const { isLost } = state;
        state.lose = () => response.destroy();
        const start = range ? Number(/bytes=(\d+)-/.exec(range)?.[1]) : 0;
        response.writeHead(range ? 206 : 200, { 'Content-Length': size - start, 'Content-Type': 'application/octet-stream' });
        createReadStream(MODEL, { start, end: isLost ? SENT : size - 1 })
            .on('end', () => isLost || response.end()).pipe(response, { end: false });
    } };
}

/** In the page: asks a hub for a model. @param {string} endpoint @param {string} [name] */
export function askHub(endpoint, name = 'someone/small/model.gguf') {
    const fill = (/** @type {string} */ id, /** @type {string} */ value) => {
        /** @type {HTMLInputElement} */ (document.getElementById(id)).value = value;
    };
    fill('hub-name', name);
    fill('hub-endpoint', endpoint);
    /** @type {HTMLFormElement} */ (document.getElementById('hub-form')).requestSubmit();
}
