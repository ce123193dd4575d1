// Sets of characters as expressions over the bytes of UTF-8.

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Expressions} Expressions */
/** @typedef {[number, number][]} Ranges code points from .. to, both included */

export const LAST = 0x10ffff;

/** Surrogates, which are no characters. @type {Ranges} */
const SURROGATES = [[0xd800, 0xdfff]];

/** By number of bytes: the last code point, and the leading bits of the first byte. */
const LENGTHS = [[0x7f, 0], [0x7ff, 0xc0], [0xffff, 0xe0], [LAST, 0xf0]];

/** @param {Ranges} ranges @returns {Ranges} sorted and merged */
function sorted(ranges) {
    /** @type {Ranges} */
    const result = [];
    for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
        const last = result.at(-1);
        if (last && from <= last[1] + 1) {
            last[1] = Math.max(last[1], to);
        } else {
            result.push([from, to]);
        }
    }
    return result;
}

/** @param {Ranges} ranges @returns {Ranges} all others */
export function inverted(ranges) {
    /** @type {Ranges} */
    const result = [];
    let next = 0;
    for (const [from, to] of sorted(ranges)) {
        if (from > next) {
            result.push([next, from - 1]);
        }
        next = to + 1;
    }
    return next > LAST ? result : [...result, [next, LAST]];
}

/** @param {Ranges} ranges @param {Ranges} others @returns {Ranges} without those */
export function without(ranges, others) {
    return inverted([...inverted(ranges), ...others]);
}

/** @param {Expressions} e @param {Ranges} ranges @returns {Expression | null} one of these characters; null where there is none */
export function characters(e, ranges) {
    /** @type {Expression[]} */
    const ways = [];
    for (const [from, to] of without(ranges, SURROGATES)) {
        let first = from;
        LENGTHS.forEach(([last, lead], more) => {
            if (first <= Math.min(to, last)) {
                ways.push(...sequences(e, first, Math.min(to, last), more, lead));
                first = last + 1;
            }
        });
    }
    return ways.length === 0 ? null : e.either(merged(e, ways));
}

/**
 * @param {Expressions} e
 * @param {number} from
 * @param {number} to of the same length in UTF-8
 * @param {number} more bytes after the first
 * @param {number} lead bits of the first
 * @returns {Expression[]}
 */
function sequences(e, from, to, more, lead) {
    if (more === 0) {
        return [e.range(lead | from, lead | to)];
    }
    const shift = 6 * more;
    const all = 2 ** shift - 1;
    const [first, last] = [Math.floor(from / (all + 1)), Math.floor(to / (all + 1))];
    if (first === last) {
        return sequences(e, from & all, to & all, more - 1, 0x80).map((rest) => e.then(e.range(lead | first), rest));
    }
    /** @type {Expression[]} */
    const ways = [];
    let [low, high] = [first, last];
    if ((from & all) !== 0) {
        ways.push(...sequences(e, from, first * (all + 1) + all, more, lead));
        low++;
    }
    if ((to & all) !== all) {
        ways.push(...sequences(e, last * (all + 1), to, more, lead));
        high--;
    }
    if (low <= high) {
        ways.push(e.then(e.range(lead | low, lead | high), ...new Array(more).fill(e.range(0x80, 0xbf))));
    }
    return ways;
}

/** Merges single bytes into one set. @param {Expressions} e @param {Expression[]} ways @returns {Expression[]} */
function merged(e, ways) {
    const sets = ways.filter(({ kind }) => kind === 'bytes');
    if (sets.length < 2) {
        return ways;
    }
    const set = new Uint8Array(256);
    sets.forEach((one) => one.set?.forEach((is, byte) => {
        set[byte] |= is;
    }));
    return [e.bytes(set), ...ways.filter(({ kind }) => kind !== 'bytes')];
}
