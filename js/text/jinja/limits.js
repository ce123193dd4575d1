// What a template may use. Templates come with files from anywhere: one that loops forever, grows a string without end
// or nests without end is refused, within a second or so, by name of the limit. Steps are counted, not seconds, so the
// same template gives the same answer everywhere.

import { Markup, TemplateError } from './values.js';

/** Eight times what a thousand messages of two thousand characters take in the hungriest template known. */
const MAX_STEPS = 4_000_000;
/** Characters of one string, the text itself included. */
const MAX_TEXT = 2 ** 23;
/** Levels of evaluation within one another: a third of what the smallest stack of a browser's worker takes. */
const MAX_DEPTH = 900;
/** Characters that copying or searching goes through in the time of one step. */
const TEXT_PER_STEP = 64;

export class Limits {
    #steps = 0;
    #depth = 0;

    /** @param {number} [count] steps about to be taken */
    spend(count = 1) {
        this.#steps += count;
        if (this.#steps > MAX_STEPS) throw new TemplateError(`the chat template takes more than ${MAX_STEPS} steps`);
    }

    /** @param {number} length of a string about to be made, piece by piece or by appending, which copies nothing */
    size(length) {
        if (length > MAX_TEXT) {
            throw new TemplateError(`the chat template makes a text of more than ${MAX_TEXT} characters`);
        }
        this.spend();
    }

    /**
     * @param {number} copied characters that are gone through
     * @param {number} [length] of the string about to be made
     */
    text(copied, length = copied) {
        this.size(length);
        this.spend(copied / TEXT_PER_STEP);
    }

    /** @param {number} characters that are looked at one by one */
    walk(characters) {
        this.spend(1 + characters / 4);
    }

    /** @param {Iterable<any>} values handed over: whoever gets texts may go through them */
    weigh(values) {
        for (const value of values) {
            const text = value instanceof Markup ? value.text : value;
            if (typeof text === 'string') this.spend(text.length / TEXT_PER_STEP);
        }
    }

    /** @param {string} text @param {string} part searched for: engines may compare each of its characters everywhere */
    search(text, part) {
        this.spend(1 + text.length / TEXT_PER_STEP * Math.max(1, part.length / 8));
    }

    /** To be met by leave(), unless something is thrown: then the run is over. */
    enter() {
        if (++this.#depth > MAX_DEPTH) {
            throw new TemplateError(`the chat template nests more than ${MAX_DEPTH} levels deep`);
        }
        this.spend();
    }

    leave() {
        this.#depth--;
    }
}
