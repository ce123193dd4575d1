import { FormatError } from '../check.js';

/** A claimed length up to this is allocated at once; a longer one only as far as bytes really come. */
const TRUSTED_BYTES = 1 << 26;

/** So much of a response is taken in ahead of its use. */
const AHEAD_BYTES = 1 << 23;

/** Reads a file from its beginning to its end: in order, counted, abortable, never more than is asked for. */
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
 * Takes in what comes before it is asked for, within a limit. That saves time, and it keeps Node 24 alive: when a
 * response waits to be read while its connection closes, its `fetch` throws where nobody can catch it
 * (https://github.com/nodejs/undici/issues/5360).
 * @param {() => Promise<Uint8Array | null>} pull
 * @returns {() => Promise<Uint8Array | null>}
 */
export function readAhead(pull) {
    /** @type {Uint8Array[]} */
    const pieces = [];
    let bytes = 0;
    let ended = false;
    /** @type {unknown} */
    let failure = null;
    let arrived = () => {};
    let used = () => {};
    const pump = async () => {
        try {
            for (let piece = await pull(); piece !== null; piece = await pull()) {
                pieces.push(piece);
                bytes += piece.length;
                arrived();
                if (bytes > AHEAD_BYTES) {
                    await new Promise((resolve) => {
                        used = () => resolve(undefined);
                    });
                }
            }
        } catch (error) {
            failure = error;
        }
        ended = true;
        arrived();
    };
    pump();
    return async () => {
        if (pieces.length === 0 && !ended) {
            await new Promise((resolve) => {
                arrived = () => resolve(undefined);
            });
        }
        const piece = pieces.shift();
        if (piece === undefined && failure !== null) {
            throw failure;
        }
        bytes -= piece?.length ?? 0;
        if (bytes <= AHEAD_BYTES) {
            used();
        }
        return piece ?? null;
    };
}
