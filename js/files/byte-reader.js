// ByteReader: reads a file from its beginning to its end, wherever it comes from.

import { FormatError } from '../check.js';

/** If a file's size is unknown, a length that the file claims is allocated at once only up to this, or up to what has arrived already. */
const TRUSTED_BYTES = 1 << 16;

/** How many bytes of a response are buffered before they are asked for. */
const AHEAD_BYTES = 1 << 23;

/** Reads a file in order; counts bytes, can be aborted, and reads no further than asked. */
export class ByteReader {
    /**
     * @param {() => Promise<Uint8Array | null>} pull the next piece, null at the end
     * @param {(reason?: unknown) => unknown} cancel gives up; a pending pull ends
     * @param {number | null} size bytes of the file, null if that is not certain
     * @param {AbortSignal | null} [signal]
     * @param {(position: number) => void} [jump] makes the next pull begin at a position; only for files of known size
     * @param {(target: Uint8Array) => Promise<number>} [into] reads directly into a buffer; returns how many bytes
     */
    constructor(pull, cancel, size, signal, jump, into) {
        this.size = size;
        this.position = 0;
        /** Bytes that have arrived or were skipped by a jump. */
        this.arrived = 0;
        /** Called whenever bytes have arrived. @type {((bytes: number) => void) | null} */
        this.onBytes = null;
        this._pull = pull;
        this._cancel = cancel;
        this._signal = signal;
        this._jump = jump;
        this._into = into;
        /** Buffer of view(), for what did not arrive in one piece. */
        this._scratch = new Uint8Array(0);
        /** Bytes that have arrived and were not asked for yet. @type {Uint8Array} */
        this._piece = new Uint8Array(0);
        this._closed = false;
        this._abort = () => this._cancel(signal?.reason);
        signal?.addEventListener('abort', this._abort, { once: true });
    }

    /**
     * Takes bytes that have arrived, at most `limit`; waits only if there are none.
     * @param {number} limit
     * @returns {Promise<Uint8Array>} empty at the end; never overwritten later
     */
    async some(limit) {
        while (this._piece.length === 0) {
            const piece = await this._next();
            if (piece === null) {
                return this._piece;
            }
            this._piece = piece;
        }
        const part = this._piece.subarray(0, limit);
        this.advance(part.length);
        return part;
    }

    /** @returns {Promise<Uint8Array | null>} */
    async _next() {
        this._signal?.throwIfAborted();
        let piece;
        try {
            piece = await this._pull();
        } finally {
            this._signal?.throwIfAborted();
        }
        this._count(piece?.length ?? 0);
        return piece;
    }

    /** @param {number} bytes that arrived */
    _count(bytes) {
        this.arrived += bytes;
        if (bytes > 0) {
            this.onBytes?.(bytes);
        }
    }

    /**
     * Shows the next bytes without taking them: all that have arrived, at least `length` unless the file ends before.
     * @param {number} length
     * @returns {Promise<Uint8Array>} never overwritten later
     */
    async peek(length) {
        if (this._piece.length < length) {
            const parts = this._piece.length > 0 ? [this._piece] : [];
            let there = this._piece.length;
            while (there < length) {
                const piece = await this._next();
                if (piece === null) {
                    break;
                }
                parts.push(piece);
                there += piece.length;
            }
            // A file in memory is one piece, which need not be copied.
            this._piece = parts.length === 1 ? parts[0] : join(parts, there);
        }
        return this._piece;
    }

    /** Takes bytes that peek() has shown. @param {number} length */
    advance(length) {
        this._piece = this._piece.subarray(length);
        this.position += length;
    }

    /**
     * @param {number} length
     * @param {string} what for the message when the file ends before
     * @returns {Promise<Uint8Array>} valid until the next call, at any alignment
     */
    async view(length, what) {
        if (length <= this._piece.length) {
            const part = this._piece.subarray(0, length);
            this.advance(length);
            return part;
        }
        if (!this._isTrusted(length)) {
            return this.take(length, what);
        }
        if (this._scratch.length < length) {
            this._scratch = new Uint8Array(length);
        }
        const part = this._scratch.subarray(0, length);
        await this.fill(part, what);
        return part;
    }

    /** Whether so much memory may be allocated before the bytes have arrived. @param {number} length */
    _isTrusted(length) {
        return this.size === null ? length <= Math.max(TRUSTED_BYTES, this.arrived) : length <= this.size - this.position;
    }

    /**
     * @param {Uint8Array} target is filled completely
     * @param {string} what for the message when the file ends before
     */
    async fill(target, what) {
        for (let at = 0; at < target.length;) {
            const n = this._into && this._piece.length === 0 ? await this._straight(target.subarray(at)) : await this._copied(target, at);
            if (n === 0) {
                throw this._truncated(what);
            }
            at += n;
        }
    }

    /** @param {Uint8Array} target @param {number} at @returns {Promise<number>} bytes that were there */
    async _copied(target, at) {
        const part = await this.some(target.length - at);
        target.set(part, at);
        return part.length;
    }

    /** @param {Uint8Array} target @returns {Promise<number>} bytes that were read */
    async _straight(target) {
        this._signal?.throwIfAborted();
        const n = await /** @type {(target: Uint8Array) => Promise<number>} */ (this._into)(target);
        this._signal?.throwIfAborted();
        this._count(n);
        this.position += n;
        return n;
    }

    /**
     * @param {number} length
     * @param {string} what for the message when the file ends before
     * @returns {Promise<Uint8Array<ArrayBuffer>>} in a buffer of its own
     */
    async take(length, what) {
        if (this._isTrusted(length)) {
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

    /**
     * @param {number} [limit] a longer rest is refused, so that an endless file is
     * @param {string} [what] for that message
     * @returns {Promise<Uint8Array<ArrayBuffer>>} all bytes up to the end
     */
    async rest(limit = Infinity, what = 'the file') {
        const bytes = await this._gather(limit + 1);
        if (bytes.length > limit) {
            throw new FormatError('too-large', `${what} has more than ${limit} bytes`);
        }
        return bytes;
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
        return join(parts, length);
    }

    /** @param {number} length @param {string} what */
    async skip(length, what) {
        if (this._jump && this.size !== null && length > this._piece.length) {
            if (length > this.size - this.position) {
                throw this._truncated(what);
            }
            this._count(length - this._piece.length);
            this._piece = this._piece.subarray(this._piece.length);
            this.position += length;
            this._jump(this.position);
            return;
        }
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

    /** Closes the file. */
    close() {
        if (!this._closed) {
            this._closed = true;
            this._signal?.removeEventListener('abort', this._abort);
            this._cancel();
        }
    }
}

/** @param {Uint8Array[]} parts @param {number} length of all */
function join(parts, length) {
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
    }
    return bytes;
}

/**
 * Buffers what arrives before it is asked for, up to a limit. That saves time, and it avoids a crash of Node 24: if a response waits to be
 * read while its connection closes, `fetch` throws where nothing can catch it (https://github.com/nodejs/undici/issues/5360).
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
