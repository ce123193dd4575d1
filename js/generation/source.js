import { typeError } from '../keras/check.js';
import { importNode, isNode } from '../threads.js';
import { FormatError } from './errors.js';

/**
 * Where a model's bytes come from, and one way to read them: in order, counted, abortable, never more than asked for.
 *
 * @typedef {string | URL | Blob | ArrayBuffer | ArrayBufferView | ReadableStream<Uint8Array>} FileSource one file
 * @typedef {{ config: FileSource, weights: FileSource, tokenizer: FileSource }} FileSources three files, each anywhere
 * @typedef {FileSource | FileSources | Iterable<File> | ArrayLike<File>} ModelSource
 */

/** A claimed length up to this is allocated at once; a longer one only as far as bytes really come. */
const TRUSTED_BYTES = 1 << 26;

/** Reads a file from its beginning to its end. */
export class ByteReader {
    /**
     * @param {() => Promise<Uint8Array | null>} pull the next piece, null at the end
     * @param {(reason?: unknown) => unknown} cancel gives up; a pending pull ends
     * @param {number | null} size bytes of the file where that is certain
     * @param {AbortSignal} [signal]
     */
    constructor(pull, cancel, size, signal) {
        this.size = size;
        this.position = 0;
        /** Bytes that have come in, used or not. */
        this.arrived = 0;
        /** @type {((bytes: number) => void) | null} called with the number of every few bytes that arrived */
        this.onBytes = null;
        this._pull = pull;
        this._cancel = cancel;
        this._signal = signal;
        /** Bytes that came and were not asked for yet. @type {Uint8Array} */
        this._piece = new Uint8Array(0);
        this._closed = false;
        this._abort = () => this._cancel(signal?.reason);
        signal?.addEventListener('abort', this._abort, { once: true });
    }

    /**
     * The bytes that are there, at most `limit` of them; waits only when there are none. Empty at the end.
     * @param {number} limit
     * @returns {Promise<Uint8Array>} never overwritten later
     */
    async some(limit) {
        while (this._piece.length === 0) {
            const piece = await this._next();
            if (piece === null) {
                return this._piece;
            }
            this._piece = piece;
            this.arrived += piece.length;
            this.onBytes?.(piece.length);
        }
        const part = this._piece.subarray(0, limit);
        this._piece = this._piece.subarray(part.length);
        this.position += part.length;
        return part;
    }

    /** @returns {Promise<Uint8Array | null>} */
    async _next() {
        this._signal?.throwIfAborted();
        try {
            return await this._pull();
        } finally {
            this._signal?.throwIfAborted();
        }
    }

    /**
     * @param {Uint8Array} target is filled completely
     * @param {string} what for the message when the file ends before
     */
    async fill(target, what) {
        for (let at = 0; at < target.length;) {
            const part = await this.some(target.length - at);
            if (part.length === 0) {
                throw this._truncated(what);
            }
            target.set(part, at);
            at += part.length;
        }
    }

    /**
     * @param {number} length
     * @param {string} what for the message when the file ends before
     * @returns {Promise<Uint8Array<ArrayBuffer>>} in a buffer of its own
     */
    async take(length, what) {
        if (length <= TRUSTED_BYTES || (this.size !== null && length <= this.size - this.position)) {
            const bytes = new Uint8Array(length);
            await this.fill(bytes, what);
            return bytes;
        }
        const bytes = await this._gather(length);
        if (bytes.length < length) {
            throw this._truncated(what);
        }
        return bytes;
    }

    /** @returns {Promise<Uint8Array<ArrayBuffer>>} everything up to the end */
    rest() {
        return this._gather(Infinity);
    }

    /** @param {number} limit @returns {Promise<Uint8Array<ArrayBuffer>>} */
    async _gather(limit) {
        const parts = [];
        let length = 0;
        while (length < limit) {
            const part = await this.some(limit - length);
            if (part.length === 0) {
                break;
            }
            parts.push(part);
            length += part.length;
        }
        const bytes = new Uint8Array(length);
        let at = 0;
        for (const part of parts) {
            bytes.set(part, at);
            at += part.length;
        }
        return bytes;
    }

    /** @param {number} length @param {string} what */
    async skip(length, what) {
        for (let left = length; left > 0;) {
            const part = await this.some(left);
            if (part.length === 0) {
                throw this._truncated(what);
            }
            left -= part.length;
        }
    }

    /** @param {string} what */
    _truncated(what) {
        return new FormatError('truncated', `the file ends after ${this.position} bytes, within ${what}`);
    }

    /** Lets go of the file. */
    close() {
        if (!this._closed) {
            this._closed = true;
            this._signal?.removeEventListener('abort', this._abort);
            this._cancel();
        }
    }
}

/**
 * @param {FileSource} source
 * @param {AbortSignal} [signal]
 * @returns {Promise<ByteReader>}
 */
export async function openFile(source, signal) {
    signal?.throwIfAborted();
    if (source instanceof Blob) {
        return readerOfStream(source.stream(), source.size, signal);
    }
    if (source instanceof ReadableStream) {
        return readerOfStream(source, null, signal);
    }
    if (isBytes(source)) {
        const bytes = ArrayBuffer.isView(source)
            ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength) : new Uint8Array(source);
        /** @type {Uint8Array | null} */
        let piece = bytes;
        const pull = async () => {
            const all = piece;
            piece = null;
            return all;
        };
        return new ByteReader(pull, () => {}, bytes.length, signal);
    }
    const location = toLocation(source);
    return typeof location === 'string' || location.protocol === 'file:'
        ? readerOfPath(location, signal) : readerOfUrl(location, signal);
}

/** @param {AbortSignal | undefined} signal an option; of any realm, so it is known by what it can do */
export function checkSignal(signal) {
    if (signal !== undefined && typeof signal?.throwIfAborted !== 'function') {
        throw typeError('signal', 'an AbortSignal', signal);
    }
}

/** @param {unknown} source @returns {source is ArrayBuffer | ArrayBufferView} */
export function isBytes(source) {
    return ArrayBuffer.isView(source) || source instanceof ArrayBuffer ||
        (typeof SharedArrayBuffer === 'function' && source instanceof SharedArrayBuffer);
}

/**
 * @param {unknown} source
 * @returns {string | URL} a string is a path, only in Node
 */
export function toLocation(source) {
    if (source instanceof URL) {
        return source;
    }
    if (typeof source !== 'string') {
        throw typeError('source', 'a URL, path, Blob, ArrayBuffer, typed array, ReadableStream, ' +
            '{ config, weights, tokenizer } or a list of Files', source);
    }
    // One letter and a colon is a drive, not a scheme.
    if (isNode) {
        return /^[a-z][a-z0-9+.-]+:/i.test(source) ? new URL(source) : source;
    }
    return new URL(source, globalThis.document?.baseURI ?? globalThis.location?.href);
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {number | null} size
 * @param {AbortSignal} [signal]
 */
function readerOfStream(stream, size, signal) {
    const reader = stream.getReader();
    const pull = async () => {
        const { done, value } = await reader.read();
        if (done) {
            return null;
        }
        if (!(value instanceof Uint8Array)) {
            throw new TypeError('source: a stream must deliver Uint8Arrays');
        }
        return value;
    };
    // The stream may have failed by itself; that error has been or will be seen by read().
    return new ByteReader(pull, (reason) => reader.cancel(reason).catch(() => {}), size, signal);
}

/** @param {URL} url @param {AbortSignal} [signal] */
async function readerOfUrl(url, signal) {
    let response;
    try {
        response = await fetch(url, { signal });
    } catch (cause) {
        signal?.throwIfAborted();
        throw new Error(`cannot fetch ${url.href}: ${/** @type {Error} */ (cause).message}`, { cause });
    }
    if (!response.ok || response.body === null) {
        throw new Error(`cannot fetch ${url.href}: ${response.status} ${response.statusText}`);
    }
    // Content-Length counts compressed bytes where the server compresses, so it is not believed.
    return readerOfStream(response.body, null, signal);
}

/** @param {string | URL} path @param {AbortSignal} [signal] */
async function readerOfPath(path, signal) {
    /** @type {typeof import('node:fs/promises')} */
    const promises = await importNode('node:fs/promises');
    let file;
    try {
        file = await promises.open(path);
    } catch (cause) {
        throw new Error(`cannot read ${path}: ${/** @type {Error} */ (cause).message}`, { cause });
    }
    const stat = await file.stat();
    const size = stat.isFile() ? stat.size : null;
    const buffer = new Uint8Array(1 << 20);
    const pull = async () => {
        const { bytesRead } = await file.read(buffer, 0, buffer.length);
        // What is handed out may be kept, so the next read must not overwrite it.
        return bytesRead > 0 ? buffer.slice(0, bytesRead) : null;
    };
    return new ByteReader(pull, () => file.close().catch(() => {}), size, signal);
}

/**
 * The files of a model.
 * @typedef {object} ModelFiles
 * @property {FileSource} weights
 * @property {FileSource | null} config
 * @property {FileSource | null} tokenizer
 * @property {boolean} single one file was given: what its own metadata says about config and tokenizer comes first
 */

/**
 * @param {ModelSource} source
 * @returns {Promise<ModelFiles>}
 */
export async function locate(source) {
    if (source instanceof Blob || source instanceof ReadableStream || isBytes(source)) {
        return { weights: source, config: null, tokenizer: null, single: true };
    }
    if (typeof source === 'object' && source !== null && !(source instanceof URL)) {
        return 'weights' in source ? fromParts(source) : fromFiles(source);
    }
    const location = toLocation(source);
    if (typeof location === 'string') {
        /** @type {typeof import('node:fs/promises')} */
        const promises = await importNode('node:fs/promises');
        const isFolder = (await promises.stat(location).catch(() => null))?.isDirectory() ?? false;
        const folder = isFolder ? `${location}/` : location.slice(0, location.search(/[^/\\]*$/));
        return inFolder((name) => folder + name, isFolder ? null : location);
    }
    if (location.protocol === 'blob:' || location.protocol === 'data:') {
        return { weights: location, config: null, tokenizer: null, single: true };
    }
    const isFile = location.pathname.endsWith('.safetensors');
    const folder = new URL(location);
    if (!isFile && !folder.pathname.endsWith('/')) {
        folder.pathname += '/';
    }
    return inFolder((name) => {
        const url = new URL(name, folder);
        url.search = location.search;
        return url;
    }, isFile ? location : null);
}

/** @param {(name: string) => FileSource} file @param {FileSource | null} weights given by name, or null */
function inFolder(file, weights) {
    return {
        weights: weights ?? file('model.safetensors'),
        config: file('config.json'),
        tokenizer: file('tokenizer.json'),
        single: weights !== null,
    };
}

/** @param {FileSources} parts @returns {ModelFiles} */
function fromParts({ config, weights, tokenizer }) {
    for (const [name, part] of Object.entries({ config, weights, tokenizer })) {
        if (part === undefined || part === null) {
            throw new TypeError(`source must be { config, weights, tokenizer }, ${name} is missing`);
        }
    }
    return { config, weights, tokenizer, single: false };
}

/** @param {Iterable<File> | ArrayLike<File>} list @returns {ModelFiles} */
function fromFiles(list) {
    const files = Array.from(list);
    if (files.length === 0 || !files.every((file) => file instanceof Blob && typeof file.name === 'string')) {
        throw new TypeError('source must be { config, weights, tokenizer } or a list of Files');
    }
    const weights = files.filter((file) => file.name.endsWith('.safetensors'));
    if (weights.length !== 1) {
        throw new TypeError(`source must have one .safetensors file in its list, got ${weights.length}`);
    }
    return {
        weights: weights[0],
        config: files.find((file) => file.name === 'config.json') ?? null,
        tokenizer: files.find((file) => file.name === 'tokenizer.json') ?? null,
        single: files.length === 1,
    };
}
