// Opens one file, wherever it is (URL, path, Blob, bytes, stream), as a ByteReader.

import { checkSignal, classOf, show, typeError } from '../check.js';
import { isNode, nodeModule } from '../engine/threads.js';
import { ByteReader, readAhead } from './byte-reader.js';

/**
 * Where a model's bytes come from.
 *
 * @typedef {string | URL | Blob | ArrayBufferLike | ArrayBufferView | ReadableStream<Uint8Array> |
 *   AsyncIterable<Uint8Array> | Response} FileSource one file; the last three can be read only once. Node's streams are such iterables
 */

/**
 * @typedef {object} FileSources the files of a model, each from anywhere
 * @property {FileSource | FileSource[]} weights
 * @property {FileSource} [config]
 * @property {FileSource} [tokenizer]
 * @property {FileSource} [tokenizerConfig]
 * @property {FileSource} [specialTokensMap]
 * @property {FileSource} [generationConfig]
 * @property {FileSource} [chatTemplate]
 */

/**
 * @typedef {FileSource | FileSources | import('./hugging-face.js').HuggingFaceModel | Iterable<File> | ArrayLike<File>} ModelSource
 */

/** What a source may be, for messages. */
export const SOURCES = 'a URL, path, Blob, ArrayBuffer, typed array, ReadableStream, async iterable of bytes, Response, ' +
    '{ config, weights, tokenizer }, a list of Files or huggingFace() of this package';

/** How many bytes of a file are read at a time. */
const PIECE_BYTES = 1 << 20;

/** HTTP statuses that mean: there is no such file, or not for you. */
const ABSENT = new Set([401, 403, 404, 410]);

/** The error of a file that cannot be read. */
export class SourceError extends Error {
    /**
     * @param {string} message
     * @param {'absent' | 'lost' | 'unreachable'} code it does not exist; the connection was lost while it was read; anything else
     * @param {ErrorOptions} [options]
     */
    constructor(message, code, options) {
        super(message, options);
        this.name = 'Error';
        this.code = code;
    }
}

/** A URL with headers for its request, such as an access token. */
export class Remote {
    /** @param {URL} url @param {Record<string, string>} headers */
    constructor(url, headers) {
        this.url = url;
        this.headers = headers;
    }
}

/**
 * @param {FileSource | Remote} source
 * @param {AbortSignal | null} [signal]
 * @returns {Promise<ByteReader>}
 */
export async function openFile(source, signal) {
    signal?.throwIfAborted();
    if (isBlob(source)) {
        return readerOfBlob(source, signal);
    }
    if (source instanceof Remote) {
        return readerOfUrl(source.url, signal, source.headers);
    }
    if (isResponse(source)) {
        return readerOfResponse(source, source.url === '' ? 'the Response' : nameOfUrl(new URL(source.url)), signal);
    }
    if (isStream(source)) {
        return readerOfStream(classOf(source) === 'ReadableStream' ? /** @type {ReadableStream} */ (source) : streamOf(source), null, signal);
    }
    if (isBytes(source)) {
        return readerOfBytes(source, signal);
    }
    const location = toLocation(source);
    return typeof location === 'string' || (isNode && location.protocol === 'file:')
        ? readerOfPath(location, signal) : readerOfUrl(location, signal);
}

/** Longest file that is read as a whole, so that an endless one is refused. */
const MAX_WHOLE_BYTES = 2 ** 32;

/**
 * @param {ByteReader} reader at the beginning of a file
 * @param {string} name for the message if it is too long
 * @returns {Promise<Uint8Array<ArrayBuffer>>} all of it; the reader is closed
 */
export async function readWhole(reader, name) {
    try {
        return reader.size === null || reader.size > MAX_WHOLE_BYTES ? await reader.rest(MAX_WHOLE_BYTES, name)
            : await reader.take(reader.size, name);
    } finally {
        reader.close();
    }
}

/** @param {any} source @param {AbortSignal | null} [signal] @returns {Promise<Uint8Array<ArrayBuffer>>} all bytes of a file */
export async function readFile(source, signal) {
    checkSignal(signal);
    return readWhole(await openFile(source, signal), 'the file');
}

/** @param {ArrayBuffer | ArrayBufferView} source @returns {Uint8Array} */
function bytesOf(source) {
    try {
        return ArrayBuffer.isView(source)
            ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : new Uint8Array(source);
    } catch (cause) {
        throw new TypeError('source must have its bytes, got an ArrayBuffer that is detached: they were transferred', { cause });
    }
}

/** @param {ArrayBuffer | ArrayBufferView} source @param {AbortSignal | null} [signal] */
function readerOfBytes(source, signal) {
    const bytes = bytesOf(source);
    // Shared memory is copied, piece by piece: others may write to it meanwhile, and TextDecoder refuses it.
    const isShared = !(bytes.buffer instanceof ArrayBuffer);
    return readerOfPieces(bytes.length, signal, (at) => (isShared ? bytes.slice(at, at + PIECE_BYTES) : bytes.subarray(at)));
}

/** @param {Blob} blob @param {AbortSignal | null} [signal] */
function readerOfBlob(blob, signal) {
    return readerOfPieces(blob.size, signal, async (at) => new Uint8Array(await blob.slice(at, at + PIECE_BYTES).arrayBuffer()));
}

/**
 * @param {number} size
 * @param {AbortSignal | null | undefined} signal
 * @param {(at: number) => Uint8Array | Promise<Uint8Array>} piece some of the bytes from a place on; none at the end
 */
function readerOfPieces(size, signal, piece) {
    let at = 0;
    const pull = async () => {
        const bytes = await piece(at);
        at += bytes.length;
        return bytes.length > 0 ? bytes : null;
    };
    return new ByteReader(pull, () => {}, size, signal, (position) => {
        at = position;
    });
}

/** @param {unknown} source @returns {source is ArrayBuffer | ArrayBufferView} */
export function isBytes(source) {
    return ArrayBuffer.isView(source) || /^(Shared)?ArrayBuffer$/.test(classOf(source));
}

/** @param {any} source @returns {source is Blob} by its methods: happy-dom's Blobs have no class name */
export const isBlob = (source) => typeof source?.slice === 'function' && typeof source.arrayBuffer === 'function';

/** @param {unknown} source @returns {source is Response} */
const isResponse = (source) => classOf(source) === 'Response';

/** @param {any} source @returns {source is ReadableStream | AsyncIterable<Uint8Array> | Response} what can be read only once; no handle of a folder */
export const isStream = (source) => classOf(source) === 'ReadableStream' || isResponse(source)
    || (typeof source?.[Symbol.asyncIterator] === 'function' && typeof source.getFileHandle !== 'function');

/** @param {unknown} source @returns {source is URL} */
export const isUrl = (source) => classOf(source) === 'URL';

/**
 * @param {unknown} source
 * @returns {string | URL} a string is a path, which Node alone has
 */
export function toLocation(source) {
    if (isUrl(source)) {
        return source.protocol === '' ? fromRoot(source) : source;
    }
    if (typeof source !== 'string') {
        throw typeError('source', SOURCES, source);
    }
    // One letter and a colon is a drive, not a scheme.
    if (isNode && !/^[a-z][a-z0-9+.-]+:/i.test(source)) {
        return source;
    }
    try {
        return new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href);
    } catch (cause) {
        throw new TypeError(`source must be a URL${isNode ? ' or a path' : ''}, got ${show(source)}`, { cause });
    }
}

/**
 * webpack may turn `new URL` into a relative URL: an object of class URL without an origin. In a page it is resolved against the page's.
 * @param {URL} url
 */
function fromRoot(url) {
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    if (base === undefined) {
        throw new Error(`cannot fetch ${show(url.href)}: the bundler has written an address without an origin, which is right in `
            + 'a page only; leave this package out of the server\'s bundle');
    }
    return new URL(url.href, base);
}

/** @param {string} name */
export function shortened(name) {
    return name.length > 120 ? `...${name.slice(-117)}` : name;
}

/** @param {URL} url @returns {string} its name in messages: without the query, which may have a signature, and without a data: URL's data */
export function nameOfUrl({ protocol, origin, pathname }) {
    return protocol === 'data:' ? 'the data: URL' : shortened((origin === 'null' ? protocol : origin) + pathname);
}

/** @param {AsyncIterable<Uint8Array>} iterable @returns {ReadableStream<Uint8Array>} the same bytes; cancelling it ends a pending read */
function streamOf(iterable) {
    const iterator = iterable[Symbol.asyncIterator]();
    return new ReadableStream({
        async pull(controller) {
            const { done, value } = await iterator.next();
            if (done) {
                controller.close();
            } else {
                controller.enqueue(value);
            }
        },
        async cancel(reason) {
            // A generator that waits, as that of Node's streams does, returns only when something has come.
            /** @type {{ destroy?: () => void }} */ (iterable).destroy?.();
            await iterator.return?.(reason);
        },
    }, { highWaterMark: 0 });
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {number | null} size
 * @param {AbortSignal | null | undefined} signal
 * @param {(pull: () => Promise<Uint8Array | null>) => () => Promise<Uint8Array | null>} [through]
 */
function readerOfStream(stream, size, signal, through = (pull) => pull) {
    if (stream.locked) {
        throw new TypeError('source must be a stream that nobody reads, got one that is locked');
    }
    const reader = stream.getReader();
    const pull = async () => {
        const { done, value } = await reader.read();
        if (done) {
            return null;
        }
        if (classOf(value) !== 'Uint8Array') {
            throw typeError('a stream as source', 'one of Uint8Arrays', value);
        }
        // A Buffer of Node's is one too, but what its slice() gives is no copy.
        return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    };
    // If the stream has failed, cancel() rejects with an error that read() reports anyway.
    return new ByteReader(through(pull), (reason) => reader.cancel(reason).catch(() => {}), size, signal);
}

/**
 * @param {URL} url
 * @param {AbortSignal | null} [signal]
 * @param {Record<string, string>} [headers]
 */
async function readerOfUrl(url, signal, headers) {
    let response;
    try {
        response = await fetch(url, { signal, headers });
    } catch (cause) {
        signal?.throwIfAborted();
        throw new Error(`cannot fetch ${nameOfUrl(url)}: ${/** @type {Error} */ (cause).message}`, { cause });
    }
    return readerOfResponse(response, nameOfUrl(url), signal);
}

/** @param {Response} response @param {string} name @param {AbortSignal | null} [signal] */
async function readerOfResponse({ ok, status, statusText, headers, body }, name, signal) {
    if (!ok || body === null) {
        await body?.cancel().catch(() => {});
        throw new SourceError(`cannot fetch ${name}: ${status} ${statusText}`, ABSENT.has(status) ? 'absent' : 'unreachable');
    }
    // Content-Length counts compressed bytes if the server compresses, so the size counts as unknown.
    return readerOfStream(body, null, signal, (pull) => readAhead(namingLoss(pull, name, headers)));
}

/**
 * Names the file and the place when a connection is lost: the platforms' own messages are only `terminated` or `network error`.
 * @param {() => Promise<Uint8Array | null>} pull
 * @param {string} name of the file
 * @param {Headers} headers
 */
function namingLoss(pull, name, headers) {
    let arrived = 0;
    return async () => {
        try {
            const piece = await pull();
            arrived += piece?.length ?? 0;
            return piece;
        } catch (cause) {
            const total = headers.has('content-encoding') ? 0 : Number(headers.get('content-length'));
            const of = total > arrived ? `${arrived} of ${total}` : arrived;
            throw new SourceError(`cannot fetch ${name}: the connection was lost after ${of} bytes: `
                + /** @type {Error} */ (cause).message, 'lost', { cause });
        }
    };
}

/** @param {string | URL} path @param {AbortSignal | null} [signal] */
async function readerOfPath(path, signal) {
    /** @type {typeof import('node:fs/promises')} */
    const promises = nodeModule('node:fs/promises');
    let file;
    try {
        file = await promises.open(path);
    } catch (cause) {
        const { code, message } = /** @type {NodeJS.ErrnoException} */ (cause);
        throw new SourceError(`cannot read ${path}: ${message}`, code === 'ENOENT' ? 'absent' : 'unreachable', { cause });
    }
    const stat = await file.stat();
    if (stat.isDirectory()) {
        await file.close();
        throw new Error(`cannot read ${path}: it is a folder`);
    }
    const size = stat.isFile() ? stat.size : null;
    /** @type {number | null} null reads on from where the file stands: pipes have no positions */
    let at = size === null ? null : 0;
    const pull = async () => {
        // What is handed out may be kept, so the next read must not overwrite it.
        const piece = new Uint8Array(size === null ? PIECE_BYTES : Math.min(PIECE_BYTES, size - Number(at) || 1));
        const { bytesRead } = await file.read(piece, 0, piece.length, at);
        at = at === null ? null : at + bytesRead;
        return bytesRead > 0 ? piece.subarray(0, bytesRead) : null;
    };
    const into = async (/** @type {Uint8Array} */ target) => {
        const { bytesRead } = await file.read(target, 0, target.length, at);
        at = at === null ? null : at + bytesRead;
        return bytesRead;
    };
    return new ByteReader(pull, () => file.close().catch(() => {}), size, signal, (position) => {
        at = position;
    }, into);
}
