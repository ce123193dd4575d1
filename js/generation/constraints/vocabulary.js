// The tokens of a tokenizer as byte strings, sorted, so that a common beginning is followed once.

/** @typedef {import('../../text/tokenizer.js').Tokenizer} Tokenizer */

/** Tokenizers whose tokens are not pieces of the text that they become. */
const OTHERS = ['WordPiece', 'WordLevel'];

export class TokenBytes {
    /**
     * @param {Tokenizer} tokenizer
     * @param {number} size number of tokens of the model
     * @param {readonly number[]} [endTokens] left out, whatever their text is
     */
    constructor(tokenizer, size, endTokens = []) {
        /** Number of tokens of the model. */
        this.size = size;
        /** @type {number[]} */
        const ids = [];
        /** Their bytes, each as a character: strings are compared and looked up ten times as fast. @type {string[]} */
        const texts = [];
        const ends = new Set(endTokens);
        for (let id = 0; id < Math.min(size, tokenizer.vocabularySize); id++) {
            const text = tokenizer.isSpecial(id) || ends.has(id) ? '' : letters(tokenizer.bytes(id));
            if (text !== '') {
                ids.push(id);
                texts.push(text);
            }
        }
        const order = Uint32Array.from(ids.keys()).sort((a, b) => (texts[a] < texts[b] ? -1 : Number(texts[a] > texts[b])));
        this.ids = order.map((i) => ids[i]);
        /** Where in `bytes` each begins, and where the last ends. */
        this.starts = new Uint32Array(ids.length + 1);
        order.forEach((from, i) => {
            this.starts[i + 1] = this.starts[i] + texts[from].length;
        });
        this.bytes = new Uint8Array(this.starts[ids.length]);
        /** How many first bytes each has in common with the one before. */
        this.common = new Uint16Array(ids.length);
        /** Length of the longest, in bytes. */
        this.longest = 0;
        /** 1 for each byte that is a token by itself. */
        this.alphabet = new Uint8Array(256);
        const space = tokenizer.idOf('▁');
        /** How many of three spaces at its beginning a text loses when it is decoded: 0, 1 or all. */
        this.lost = space === undefined ? 0 : 3 - tokenizer.decode([space, space, space]).length;
        /** All of them, a character for each byte. */
        this.pieces = new Set(texts);
        order.forEach((from, i) => this._add(i, texts[from], i === 0 ? '' : texts[order[i - 1]]));
        /** Index in this order by id, or -1. */
        this._indexOf = new Int32Array(size).fill(-1);
        this.ids.forEach((id, i) => {
            this._indexOf[id] = i;
        });
    }

    /** @param {number} i @param {string} text @param {string} before */
    _add(i, text, before) {
        for (let at = 0; at < text.length; at++) {
            this.bytes[this.starts[i] + at] = text.charCodeAt(at);
        }
        const most = Math.min(text.length, before.length, 0xffff);
        let common = 0;
        while (common < most && text.charCodeAt(common) === before.charCodeAt(common)) {
            common++;
        }
        this.common[i] = common;
        this.longest = Math.max(this.longest, text.length);
        if (text.length === 1) {
            this.alphabet[text.charCodeAt(0)] = 1;
        }
    }

    /** @param {number} id @returns {Uint8Array | null} its bytes; null for a token without text */
    of(id) {
        const i = this._indexOf[id] ?? -1;
        return i < 0 ? null : this.bytes.subarray(this.starts[i], this.starts[i + 1]);
    }
}

/** How many tokens joins() tries. */
const TRIED = 1000;

/** @param {Tokenizer} tokenizer @returns {boolean} whether decoding puts tokens together as they are, without spaces between or ends of words */
function joins(tokenizer) {
    const ids = [];
    for (let id = 0; id < tokenizer.vocabularySize && ids.length < TRIED; id++) {
        if (!tokenizer.isSpecial(id) && /^[!-~]+$/.test(tokenizer.piece(id))) ids.push(id);
    }
    return tokenizer.decode(ids) === ids.map((id) => tokenizer.piece(id)).join('');
}

/** How many characters are made at once: arguments of a call are limited. */
const AT_ONCE = 4096;

/** @param {Uint8Array} bytes @returns {string} for each byte the character with its number */
export function letters(bytes) {
    let text = '';
    for (let at = 0; at < bytes.length; at += AT_ONCE) {
        text += String.fromCharCode.apply(null, /** @type {any} */ (bytes.subarray(at, at + AT_ONCE)));
    }
    return text;
}

/** @type {WeakMap<Tokenizer, TokenBytes>} */
const MADE = new WeakMap();

/**
 * @param {Tokenizer} tokenizer
 * @param {number} size tokens of the model
 * @param {readonly number[]} [endTokens] of the model
 * @returns {TokenBytes} made once
 * @throws {TypeError} for a tokenizer whose tokens are words
 */
export function tokenBytes(tokenizer, size, endTokens) {
    let made = MADE.get(tokenizer);
    if (made?.size !== size) {
        if (OTHERS.includes(tokenizer.kind) || !joins(tokenizer)) {
            throw new TypeError(`constraint: not with a tokenizer of kind ${tokenizer.kind}, whose tokens are not pieces of a text`);
        }
        made = new TokenBytes(tokenizer, size, endTokens);
        MADE.set(tokenizer, made);
    }
    return made;
}
