import { rangeError, typeError } from '../check.js';

/**
 * Tokens in, text out, as early as possible and never to be taken back: bytes are held until they make up characters,
 * and text that may be the beginning of a stop string until it is clear whether it is.
 */
export class TextStream {
    /**
     * @param {import('./tokenizer.js').Tokenizer} tokenizer
     * @param {readonly string[]} stops
     */
    constructor(tokenizer, stops) {
        this._tokenizer = tokenizer;
        this._stops = stops;
        this._decoder = new TextDecoder('utf-8', { ignoreBOM: true });
        this._held = '';
        /** Whether a stop string has been found; everything from it on is left out. */
        this.stopped = false;
    }

    /**
     * @param {number} token
     * @returns {string} the text that is certain now, perhaps none
     */
    push(token) {
        if (this.stopped || this._tokenizer.isSpecial(token) || token >= this._tokenizer.vocabularySize) {
            return '';
        }
        this._held += this._decoder.decode(this._tokenizer.bytes(token), { stream: true });
        const found = this._find();
        if (found >= 0) {
            this.stopped = true;
            return this._release(found);
        }
        return this._release(this._held.length - this._doubtful());
    }

    /** @returns {string} what was held back; bytes that never became a character are dropped */
    end() {
        return this.stopped ? '' : this._release(this._held.length);
    }

    /** @returns {number} where the first stop string begins in the held text, or -1 */
    _find() {
        let first = -1;
        for (let i = 0; i < this._stops.length; i++) {
            const at = this._held.indexOf(this._stops[i]);
            if (at >= 0 && (first < 0 || at < first)) {
                first = at;
            }
        }
        return first;
    }

    /** @returns {number} length of the longest end of the held text that a stop string begins with */
    _doubtful() {
        let longest = 0;
        for (let i = 0; i < this._stops.length; i++) {
            const stop = this._stops[i];
            for (let n = Math.min(stop.length - 1, this._held.length); n > longest; n--) {
                if (this._held.endsWith(stop.slice(0, n))) {
                    longest = n;
                }
            }
        }
        return longest;
    }

    /** @param {number} length @returns {string} */
    _release(length) {
        const text = this._held.slice(0, length);
        this._held = this._held.slice(length);
        return text;
    }
}

/**
 * @param {unknown} stop the option of generate()
 * @returns {string[]}
 */
export function checkStops(stop) {
    const stops = stop === undefined ? [] : Array.isArray(stop) ? stop : [stop];
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
