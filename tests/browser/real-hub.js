// A hub as Hugging Face answers a page of another origin: large files by a redirect to another host, small ones by one to itself,
// a listing of what a model has, and no leave for requests that browsers have to ask it for.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const MODEL = readFileSync(new URL('../../js/embedded/model.gguf', import.meta.url));
const COMMIT = '0123456789abcdef0123456789abcdef01234567';
const EXPOSED = 'X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,'
    + 'X-Linked-Size,X-Linked-ETag,X-Xet-Hash';
/** Of the files' host: it has no answer to a preflight. */
const CDN_EXPOSED = 'ETag,Accept-Ranges,Content-Range,Content-Length';

/**
 * @typedef {object} State
 * @property {number} pause milliseconds between two pieces of a file, of which only the first few are large: while it lasts none ends
 * @property {number} cut bytes after which no more are sent, 0: all are
 * @property {() => void} lose breaks the connection over which a file is sent
 * @property {string} tag of the version of the files that there is
 * @property {boolean} isWholeOnly whether the host of the files lets nobody ask for a part of one
 * @property {{ method: string, path: string, range?: string }[]} asked of both hosts
 */

/** @param {import('node:http').RequestListener} listener */
async function listen(listener) {
    const server = createServer(listener);
    await new Promise(resolve => server.listen(0, '127.0.0.1', () => resolve(null)));
    const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
    const close = () => {
        server.closeAllConnections();
        server.close();
    };
    return { url: `http://localhost:${port}`, close };
}

/**
 * The models that it has: someone/sizes with three GGUF files, one of them in a folder, and what is not a model; someone/gated.
 * @param {import('node:test').TestContext} t closes it
 * @returns {Promise<{ url: string, state: State }>}
 */
export async function realHub(t) {
    const size = MODEL.length;
    /** @type {State} */
    const state = { pause: 0, cut: 0, lose: () => {}, tag: '"first"', isWholeOnly: false, asked: [] };
    const note = (/** @type {import('node:http').IncomingMessage} */ { method = '', url = '', headers: { range } }) =>
        state.asked.push({ method, path: decodeURIComponent(url.split('?')[0]), ...(range && { range }) });

    const cdn = await listen((request, response) => {
        note(request);
        if (request.method !== 'GET') return void response.writeHead(403).end();
        if (state.isWholeOnly && request.headers.range) return void response.destroy();
        const start = Number(/bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
        const headers = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': CDN_EXPOSED, ETag: state.tag };
        if (start >= size) return void response.writeHead(416, { ...headers, 'Content-Range': `bytes */${size}` }).end();
        response.writeHead(start > 0 ? 206 : 200, {
            ...headers, 'Accept-Ranges': 'bytes', 'Content-Length': size - start, 'Content-Type': 'application/octet-stream',
            ...(start > 0 && { 'Content-Range': `bytes ${start}-${size - 1}/${size}` })
        });
        send(response, start, state);
    });
    t.after(cdn.close);

    const hub = await listen((request, response) => {
        note(request);
        const { origin = '' } = request.headers;
        const common = {
            'Access-Control-Allow-Origin': origin, Vary: 'Origin', 'Access-Control-Expose-Headers': EXPOSED, 'X-Repo-Commit': COMMIT
        };
        const path = decodeURIComponent((request.url ?? '').split('?')[0]);
        const refuse = (/** @type {number} */ status, /** @type {string} */ code) =>
            void response.writeHead(status, { ...common, 'X-Error-Code': code, 'Content-Type': 'text/plain' }).end(code);
        const [, listed] = /^\/api\/models\/someone\/(sizes|gated)\/revision\/main$/.exec(path) ?? [];
        if (listed) {
            const files = { 'README.md': 10, 'big.Q8_0.gguf': size, 'sub/small.Q4_0.gguf': size - 1, 'mmproj-f16.gguf': 7,
                'huge-00001-of-00002.gguf': size };
            const siblings = Object.entries(files).map(([rfilename, bytes]) => ({ rfilename, size: bytes }));
            response.writeHead(200, { ...common, 'Content-Type': 'application/json' });
            return void response.end(JSON.stringify({ id: `someone/${listed}`, gated: listed === 'gated' && 'manual', siblings }));
        }
        const [, repository, file] = /^\/(someone\/\w+)\/resolve\/main\/(.+)$/.exec(path) ?? [];
        if (repository === 'someone/gated') return refuse(401, 'GatedRepo');
        if (repository !== 'someone/sizes') return refuse(401, 'RepoNotFound');
        if (!['big.Q8_0.gguf', 'sub/small.Q4_0.gguf'].includes(file)) return refuse(404, 'EntryNotFound');
        response.writeHead(302, {
            ...common, Location: `${cdn.url}/xet-bridge/${encodeURIComponent(file)}?Expires=1`, 'Accept-Ranges': 'bytes',
            ETag: state.tag, 'X-Linked-Size': size, 'X-Linked-ETag': state.tag
        }).end('Found');
    });
    t.after(hub.close);
    return { url: hub.url, state };
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {number} start
 * @param {State} state
 */
async function send(response, start, state) {
    state.lose = () => response.destroy();
    for (let at = start; at < MODEL.length;) {
        if (response.destroyed) return;
        const piece = MODEL.subarray(at, at + pieceSize(at - start, state.pause > 0));
        response.write(piece);
        at += piece.length;
        if (state.cut > 0 && at - start >= state.cut) return;
        if (state.pause > 0) await new Promise(resolve => setTimeout(resolve, state.pause));
    }
    response.end();
}

/** @param {number} sent bytes so far @param {boolean} isSlow so that there is time to look at it @returns {number} bytes of the next piece */
export function pieceSize(sent, isSlow) {
    return isSlow && sent >= 500_000 ? 2000 : 100_000;
}
