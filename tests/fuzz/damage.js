// Damage to values, texts and bytes, drawn from a seed: what the fuzzers have in common.

import { rng } from '../rng.js';

/** @type {any[]} */
export const VALUES = [
    null, 0, -1, 1, 2, 3, 7, 8, 64, 0.5, 1e9, 2 ** 31, 2 ** 53, 1e300, '', 'x', 'a b', '\ud800', '▁', 'F32', 'BPE', 'yarn', 'float16',
    '(a|b)+', [], [1], [[]], ['a', 'b'], {}, { type: 'Sequence' }, true, false,
];

/** Bytes of which much depends: ends of ranges, and what JSON has between its values. */
const TELLING = Buffer.from('\0\x01\x04"\\,:[]{}09\x7f\x80\xff', 'latin1');

/** @param {number} seed */
export function damage(seed) {
    const random = rng(seed);
    const below = (/** @type {number} */ n) => Math.floor(random() * n);
    /** @template T @param {ArrayLike<T>} list @returns {T} */
    const pick = (list) => list[below(list.length)];

    /** A copy of a JSON value in which one value, somewhere, is another. @param {any} value @param {any[]} [values] @returns {any} */
    function bend(value, values = VALUES) {
        const keys = typeof value === 'object' && value !== null ? Object.keys(value) : [];
        if (keys.length === 0 || random() < 0.1) return pick(values);
        const copy = Array.isArray(value) ? [...value] : { ...value };
        const key = pick(keys);
        const chance = random();
        if (chance < 0.1 && Array.isArray(copy)) copy.splice(Number(key), 1);
        else if (chance < 0.1) delete copy[key];
        else if (chance < 0.15 && !Array.isArray(copy)) {
            // Its own, whatever its name: as JSON.parse() makes it.
            const name = pick(['__proto__', `${key}x`, pick(keys)]);
            Object.defineProperty(copy, name, { value: copy[key], enumerable: true, configurable: true, writable: true });
        }
        else copy[key] = bend(copy[key], values);
        return copy;
    }

    /** A text of which a little is other, away, or there twice. @param {string} text @param {readonly string[]} words that matter in it */
    function spoil(text, words) {
        const at = below(text.length);
        const to = at + 1 + below(12);
        switch (below(5)) {
            case 0: return text.slice(0, at) + text.slice(to);
            case 1: return text.slice(0, to) + text.slice(at);
            case 2: return text.slice(0, at) + pick(words) + text.slice(at);
            case 3: return text.slice(0, at) + pick(words) + text.slice(to);
            default: return text.slice(0, at) + String.fromCharCode(below(128)) + text.slice(at + 1);
        }
    }

    /** The same for bytes, within the first `limit`. @param {Uint8Array} bytes @returns {Uint8Array} */
    function spoilBytes(bytes, limit = bytes.length) {
        const copy = bytes.slice();
        const at = below(limit);
        switch (below(5)) {
            case 0:
                for (let i = 0; i <= below(4); i++) copy[below(limit)] ^= 1 << below(8);
                return copy;
            case 1:
                copy[at] = pick(TELLING);
                return copy;
            case 2: return copy.subarray(0, at);
            case 3: return new Uint8Array(Buffer.concat([copy.subarray(0, at), copy.subarray(at + 1 + below(8))]));
            default: return new Uint8Array(Buffer.concat([copy.subarray(0, at + 1 + below(40)), copy.subarray(at)]));
        }
    }
    return { random, below, pick, bend, spoil, spoilBytes };
}
