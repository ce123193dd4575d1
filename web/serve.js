#!/usr/bin/env node
/**
 * A static server for the demo: `node web/serve.js [--port N] [--no-isolation]`.
 *
 * It serves web/ and dist/ of this repository and nothing else. By default it sends the two
 * headers that make a page cross-origin isolated, which shared memory (and so worker threads) needs; `--no-isolation`
 * leaves them out, to see the page as a host without them would show it. Files are revalidated by ETag: a second visit
 * downloads nothing.
 */
import { createServer } from 'node:http';
import { createReadStream, realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const FOLDERS = ['web', 'dist'];
const DEFAULT_PORT = 8080;
const PORTS_TO_TRY = 20;

/** @type {Record<string, string>} */
const TYPES = {
    '.css': 'text/css; charset=utf-8',
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.json': 'application/json',
    '.md': 'text/plain; charset=utf-8',
    '.mjs': 'text/javascript; charset=utf-8',
    '.png': 'image/png',
    '.svg': 'image/svg+xml',
    '.txt': 'text/plain; charset=utf-8',
    '.wasm': 'application/wasm',
    '.webmanifest': 'application/manifest+json'
};

const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; img-src 'self' data:; " +
    "connect-src 'self' https: http://localhost:* http://127.0.0.1:*; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * @typedef {object} ServeOptions
 * @property {number} [port] first port to try, 0 for any free one; the next ones are tried when it is taken
 * @property {boolean} [isolation] send COOP and COEP (default true)
 * @property {string} [host] address to listen on (default 127.0.0.1)
 * @property {string} [root] folder that holds web/ and dist/ (default: this repository)
 * @property {string[]} [folders] what is served of it (default: these)
 * @property {string} [policy] Content-Security-Policy (default: all from here, and models from a hub)
 */

/**
 * Starts the server.
 * @param {ServeOptions} [options]
 * @returns {Promise<{ url: string, port: number, close: () => Promise<void> }>} rejects when no port can be had
 */
export async function serve({ port = DEFAULT_PORT, isolation = true, host = '127.0.0.1', ...rest } = {}) {
    const { root = fileURLToPath(new URL('..', import.meta.url)), folders = FOLDERS, policy = POLICY } = rest;
    const site = { root, folders, policy, isolation };
    const server = createServer((request, response) => {
        answer(request, response, site).catch(error => {
            if (!response.headersSent) plain(response, 500, `Cannot read this file: ${error.code ?? error.message}`);
            else response.destroy();
        });
    });
    const taken = await listen(server, port, host);
    return {
        url: `http://${host === '127.0.0.1' ? 'localhost' : host}:${taken}/`,
        port: taken,
        close: () => new Promise(resolve => {
            server.close(() => resolve());
            server.closeAllConnections();
        })
    };
}

/**
 * @param {import('node:http').Server} server
 * @param {number} first
 * @param {string} host
 * @returns {Promise<number>} the port that it listens on
 */
async function listen(server, first, host) {
    for (let port = first; ; port++) {
        try {
            await new Promise((resolve, reject) => {
                server.once('error', reject);
                server.listen(port, host, () => {
                    server.off('error', reject);
                    resolve(undefined);
                });
            });
            return /** @type {import('node:net').AddressInfo} */ (server.address()).port;
        } catch (error) {
            const isTaken = ['EADDRINUSE', 'EACCES'].includes(/** @type {NodeJS.ErrnoException} */ (error).code ?? '');
            if (first === 0 || !isTaken || port - first === PORTS_TO_TRY) throw error;
        }
    }
}

/**
 * The file that a request's path names, or null when it is none of ours: only plain names below the folders served,
 * so no '..', no hidden files, no back slashes and no encoded separators.
 * @param {string} url
 * @param {string} root
 * @param {string[]} folders
 */
function fileOf(url, root, folders) {
    let path;
    try {
        path = decodeURIComponent(url.split('?', 1)[0]);
    } catch {
        return null;
    }
    const parts = path.split('/').slice(1);
    if (!folders.some(folder => parts.join('/').startsWith(`${folder}/`))) return null;
    if (parts.at(-1) === '') parts[parts.length - 1] = 'index.html';
    if (parts.some(part => part === '' || part.startsWith('.') || /[\\\0:]/.test(part))) return null;
    return join(root, ...parts);
}

/**
 * @param {import('node:http').IncomingMessage} request
 * @param {import('node:http').ServerResponse} response
 * @param {{ root: string, folders: string[], policy: string, isolation: boolean }} site
 */
async function answer(request, response, { root, folders, policy, isolation }) {
    response.setHeader('Content-Security-Policy', policy);
    response.setHeader('Cross-Origin-Resource-Policy', 'same-origin');
    response.setHeader('Referrer-Policy', 'no-referrer');
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (isolation) {
        response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
        response.setHeader('Cross-Origin-Embedder-Policy', 'require-corp');
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('Allow', 'GET, HEAD');
        return plain(response, 405, 'Only GET and HEAD are answered here.');
    }
    const url = request.url ?? '/';
    if (/^\/(web)?(\?|$)/.test(url)) {
        response.setHeader('Location', '/web/');
        return plain(response, 302, 'The page is at /web/.');
    }
    const file = fileOf(url, root, folders);
    const info = file ? await stat(file).catch(() => null) : null;
    if (!file || !info?.isFile()) return plain(response, 404, 'There is nothing here.');

    const etag = `W/"${info.size.toString(16)}-${Math.trunc(info.mtimeMs).toString(16)}"`;
    response.setHeader('Cache-Control', 'no-cache');
    response.setHeader('ETag', etag);
    if (request.headers['if-none-match']?.split(/\s*,\s*/).includes(etag)) {
        response.writeHead(304).end();
        return;
    }
    response.setHeader('Content-Type', TYPES[extname(file)] ?? 'application/octet-stream');
    response.setHeader('Content-Length', info.size);
    if (request.method === 'HEAD') {
        response.end();
        return;
    }
    // A client that goes away in the middle ends the pipeline with an error that concerns nobody.
    pipeline(createReadStream(file), response, () => {});
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {number} status
 * @param {string} text
 */
function plain(response, status, text) {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': text.length + 1 });
    response.end(response.req.method === 'HEAD' ? undefined : `${text}\n`);
}

const USAGE = `Usage: node web/serve.js [options]

  --port N         first port to try (default ${DEFAULT_PORT}); the next free one is taken
  --no-isolation   leave out COOP and COEP: no shared memory, no worker threads
  --help           this text
`;

async function main() {
    const { values } = parseArgs({
        options: { port: { type: 'string' }, 'no-isolation': { type: 'boolean' }, help: { type: 'boolean' } }
    });
    if (values.help) {
        process.stdout.write(USAGE);
        return;
    }
    const port = Number(values.port ?? DEFAULT_PORT);
    if (!Number.isInteger(port) || port < 0 || port > 65535) {
        throw new RangeError(`--port: expected a whole number from 0 to 65535, got '${values.port}'`);
    }
    const isolation = !values['no-isolation'];
    const server = await serve({ port, isolation });
    if (port !== 0 && server.port !== port) console.log(`Port ${port} is taken.`);
    console.log(`The demo is at ${server.url}${isolation ? '' : ' (not cross-origin isolated)'}. Ctrl-C ends it.`);
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => server.close());
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
    main().catch(error => {
        console.error(error.message);
        process.exitCode = 1;
    });
}
