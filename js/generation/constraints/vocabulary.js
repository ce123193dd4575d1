// The tokens of a tokenizer as bytes, sorted, so that those with the same beginning are looked at once.

/** @typedef {import('../../text/tokenizer.js').Tokenizer} Tokenizer */

/** Tokenizers whose tokens are not pieces of the text that they become. */
const OTHERS = ['WordPiece', 'WordLevel'];

export class TokenBytes {
    /**
     * @param {Tokenizer} tokenizer
     * @param {number} size tokens of the model
     */
    constructor(tokenizer, size) {
        /** Tokens of the model. */
        this.size = size;
        /** @type {{ id: number, bytes: Uint8Array }[]} */
        const all = [];
        for (let id = 0; id < Math.min(size, tokenizer.vocabularySize); id++) {
            const bytes = tokenizer.isSpecial(id) ? [] : tokenizer.bytes(id);
            if (bytes.length > 0) {
                all.push({ id, bytes: /** @type {Uint8Array} */ (bytes) });
            }
        }
        all.sort((a, b) => compare(a.bytes, b.bytes));
        this.ids = Uint32Array.from(all, ({ id }) => id);
        /** Where the bytes of each begin, and the end. */
        this.starts = new Uint32Array(all.length + 1);
        all.forEach(({ bytes }, i) => {
            this.starts[i + 1] = this.starts[i] + bytes.length;
        });
        this.bytes = new Uint8Array(this.starts[all.length]);
        /** Bytes that each has in common with the one before. */
        this.common = new Uint16Array(all.length);
        /** Of the longest, in bytes. */
        this.longest = 0;
        /** 1 for each byte that is a token by itself. */
        this.alphabet = new Uint8Array(256);
        const space = tokenizer.idOf('▁');
        /** Of three spaces that a text begins with, how many it loses when it is decoded. */
        this.lost = space === undefined ? 0 : 3 - tokenizer.decode([space, space, space]).length;
        /** All of them, a letter for each byte. @type {Set<string>} */
        this.pieces = new Set();
        all.forEach(({ bytes }, i) => this._add(i, bytes, i === 0 ? bytes.subarray(0, 0) : all[i - 1].bytes));
        /** By id, where each is in this order. */
        this._indexOf = new Int32Array(size).fill(-1);
        this.ids.forEach((id, i) => {
            this._indexOf[id] = i;
        });
    }

    /** @param {number} i @param {Uint8Array} bytes @param {Uint8Array} before */
    _add(i, bytes, before) {
        this.bytes.set(bytes, this.starts[i]);
        const most = Math.min(bytes.length, before.length, 0xffff);
        let common = 0;
        while (common < most && bytes[common] === before[common]) {
            common++;
        }
        this.common[i] = common;
        this.longest = Math.max(this.longest, bytes.length);
        this.pieces.add(letters(bytes));
        if (bytes.length === 1) {
            this.alphabet[bytes[0]] = 1;
        }
    }

    /** @param {number} id @returns {Uint8Array | null} null: a token without text */
    of(id) {
        const i = this._indexOf[id] ?? -1;
        return i < 0 ? null : this.bytes.subarray(this.starts[i], this.starts[i + 1]);
    }
}

/** Tokens that are tried. */
const TRIED = 1000;

/** @param {Tokenizer} tokenizer @returns {boolean} whether decoding puts tokens together as they are, without spaces between or ends of words */
function joins(tokenizer) {
    const ids = [];
    for (let id = 0; id < tokenizer.vocabularySize && ids.length < TRIED; id++) {
        if (!tokenizer.isSpecial(id) && /^[!-~]+$/.test(tokenizer.piece(id))) ids.push(id);
    }
    return tokenizer.decode(ids) === ids.map((id) => tokenizer.piece(id)).join('');
}

const LETTERS = new TextDecoder('latin1');

/** @param {Uint8Array} bytes however many @returns {string} a letter for each, another one for every byte */
export function letters(bytes) {
    return LETTERS.decode(bytes);
}

/** @param {Uint8Array} a @param {Uint8Array} b */
function compare(a, b) {
    const n = Math.min(a.length, b.length);
    for (let i = 0; i < n; i++) {
        if (a[i] !== b[i]) {
            return a[i] - b[i];
        }
    }
    return a.length - b.length;
}

/** @type {WeakMap<Tokenizer, TokenBytes>} */
const MADE = new WeakMap();

/**
 * @param {Tokenizer} tokenizer
 * @param {number} size tokens of the model
 * @returns {TokenBytes} made once
 * @throws {TypeError} for a tokenizer whose tokens are words
 */
export function tokenBytes(tokenizer, size) {
    let made = MADE.get(tokenizer);
    if (made?.size !== size) {
        if (OTHERS.includes(tokenizer.kind) || !joins(tokenizer)) {
            throw new TypeError(`constraint: not with a tokenizer of kind ${tokenizer.kind}, whose tokens are not pieces of a text`);
        }
        made = new TokenBytes(tokenizer, size);
        MADE.set(tokenizer, made);
    }
    return made;
}
