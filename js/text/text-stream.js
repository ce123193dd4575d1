// TextStream: from tokens to text, as early as possible, and nothing is ever taken back. Text is held back while later tokens may still change
// it, or while it may be the beginning of a stop string.

import { rangeError, typeError } from '../check.js';

export class TextStream {
    /**
     * @param {import('./tokenizer.js').Tokenizer} tokenizer
     * @param {readonly string[]} [stops]
     * @param {{ skipSpecialTokens?: boolean }} [options] whether special tokens are left out (default: true); stop strings find them anyway
     */
    constructor(tokenizer, stops = [], { skipSpecialTokens = true } = {}) {
        this._tokenizer = tokenizer;
        this._skip = skipSpecialTokens;
        this._decoder = tokenizer.decodeStream();
        this._matchers = stops.map((stop) => new Matcher(stop));
        /** Text that is held back, in pieces that are to be shown or not. @type {{ text: string, shown: boolean }[]} */
        this._held = [];
        this._heldLength = 0;
        /** Whether a stop string has been found; the text ends before it. */
        this.stopped = false;
    }

    /**
     * Makes the text go on from another one: some decoders drop a space at the beginning of a text, and keep one within a text. After a
     * special token a text begins.
     * @param {Uint32Array} ids the last tokens of the other text
     */
    follow(ids) {
        const decoder = this._tokenizer.decodeStream();
        if (this._tokenizer.isSpecial(ids[ids.length - 1])) return;
        // Only if the decoder holds nothing back, which would come out with this text.
        if (Array.from(ids, decoder.push).join('') === this._tokenizer.decode(ids)) this._decoder = decoder;
    }

    /**
     * @param {number} token
     * @returns {string} the text that has become certain, perhaps none
     */
    push(token) {
        if (this.stopped) return '';
        return this._skip && this._tokenizer.isSpecial(token)
            ? this._add(this._tokenizer.tokenOf(token), false)
            : this._add(this._decoder.push(token), true);
    }

    /** @returns {string} the text held back; bytes of an incomplete character become U+FFFD */
    end() {
        if (this.stopped) return '';
        const text = this._add(this._decoder.end(), true);
        return this.stopped ? text : text + this._release(this._heldLength);
    }

    /** @param {string} text @param {boolean} shown @returns {string} */
    _add(text, shown) {
        if (text === '') return '';
        if (this._matchers.length === 0) return shown ? text : '';
        const before = this._heldLength;
        this._held.push({ text, shown });
        this._heldLength += text.length;
        for (let i = 0; i < text.length; i++) {
            const code = text.charCodeAt(i);
            let longest = 0;
            for (let k = 0; k < this._matchers.length; k++) {
                const matcher = this._matchers[k];
                if (matcher.step(code)) longest = Math.max(longest, matcher.length);
            }
            if (longest > 0) {
                this.stopped = true;
                return this._release(before + i + 1 - longest);
            }
        }
        let doubtful = 0;
        for (const { matched } of this._matchers) doubtful = Math.max(doubtful, matched);
        return this._release(this._heldLength - doubtful);
    }

    /** @param {number} length @returns {string} */
    _release(length) {
        let result = '';
        let left = length;
        let done = 0;
        while (left > 0) {
            const piece = this._held[done];
            const text = piece.text.slice(0, left);
            if (piece.shown) result += text;
            left -= text.length;
            if (text.length < piece.text.length) piece.text = piece.text.slice(text.length);
            else done++;
        }
        this._held.splice(0, done);
        this._heldLength -= length;
        return result;
    }
}

/** Finds a string in a text that comes character by character, in linear time (Knuth, Morris and Pratt). */
class Matcher {
    /** @param {string} text */
    constructor(text) {
        this.length = text.length;
        /** How many of its first characters the text so far ends with. */
        this.matched = 0;
        this._text = text;
        this._fallback = new Int32Array(text.length + 1);
        for (let i = 1, k = 0; i < text.length; i++) {
            while (k > 0 && text[i] !== text[k]) k = this._fallback[k];
            if (text[i] === text[k]) k++;
            this._fallback[i + 1] = k;
        }
    }

    /** @param {number} code @returns {boolean} whether it is found now */
    step(code) {
        while (this.matched > 0 && this._text.charCodeAt(this.matched) !== code) {
            this.matched = this._fallback[this.matched];
        }
        if (this._text.charCodeAt(this.matched) === code) this.matched++;
        return this.matched === this.length;
    }
}

/**
 * @param {unknown} stop the option of generate()
 * @returns {string[]} a copy
 */
export function checkStops(stop) {
    const stops = stop === undefined ? [] : Array.isArray(stop) ? Array.from(stop) : [stop];
    for (const text of stops) {
        if (typeof text !== 'string') {
            throw typeError('stop', 'a string or a list of strings', stop);
        }
        if (text === '') {
            throw rangeError('stop', 'without empty strings', stop);
        }
    }
    return stops;
}
