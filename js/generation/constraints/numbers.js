// Numbers as JSON writes them, within limits, as expressions.

/** @typedef {import('./expressions.js').Expression} Expression */
/** @typedef {import('./expressions.js').Expressions} Expressions */

/** Most digits of an integer without limits: all of them are exact in a double. */
const DIGITS = 15;
/** Most digits after the point, and of an exponent, so that the number is finite. */
const FRACTION = 15;
const EXPONENT = 2;

/** The largest integer where none is given. */
export const LARGEST = 10 ** DIGITS - 1;

const ZERO = '0'.charCodeAt(0);

/** @param {Expressions} e @param {number} from @param {number} to @returns {Expression} */
const digits = (e, from, to) => e.range(ZERO + from, ZERO + to);

/**
 * @param {Expressions} e
 * @param {string} low
 * @param {string} high of as many digits, no less
 * @returns {Expression} the numbers from low to high
 */
function sameLength(e, low, high) {
    if (low === '') {
        return e.nothing;
    }
    const [first, last] = [Number(low[0]), Number(high[0])];
    const [lowRest, highRest] = [low.slice(1), high.slice(1)];
    if (first === last) {
        return e.then(digits(e, first, first), sameLength(e, lowRest, highRest));
    }
    const n = lowRest.length;
    if (/^0*$/.test(lowRest) && /^9*$/.test(highRest)) {
        return e.then(digits(e, first, last), e.repeat(digits(e, 0, 9), n, n));
    }
    const ways = [
        e.then(digits(e, first, first), sameLength(e, lowRest, '9'.repeat(n))),
        e.then(digits(e, last, last), sameLength(e, '0'.repeat(n), highRest)),
    ];
    if (last - first > 1) {
        ways.push(e.then(digits(e, first + 1, last - 1), e.repeat(digits(e, 0, 9), n, n)));
    }
    return e.either(ways);
}

/** @param {Expressions} e @param {number} low 0 or more @param {number} high @returns {Expression[]} none where high < low */
function magnitudes(e, low, high) {
    /** @type {Expression[]} */
    const ways = [];
    /** Lengths, in digits, of which all numbers are within the limits. @type {number[]} */
    const whole = [];
    for (let n = String(low).length; low <= high && n <= String(high).length; n++) {
        const [least, most] = [n === 1 ? 0 : 10 ** (n - 1), 10 ** n - 1];
        if (n > 1 && low <= least && most <= high) {
            whole.push(n);
        } else {
            ways.push(sameLength(e, String(Math.max(low, least)), String(Math.min(high, most))));
        }
    }
    if (whole.length > 0) {
        ways.push(e.then(digits(e, 1, 9), e.repeat(digits(e, 0, 9), whole[0] - 1, whole[whole.length - 1] - 1)));
    }
    return ways;
}

/** @param {Expressions} e @param {number} low @param {number} high integers @returns {Expression} */
export function integers(e, low, high) {
    const below = magnitudes(e, Math.max(1, -high), -low);
    return e.either([
        ...magnitudes(e, Math.max(0, low), high), ...below.map((way) => e.then(e.text('-'), way)),
    ]);
}

/** @param {Expressions} e @returns {Expression} a point and digits */
const fraction = (e) => e.then(e.text('.'), e.repeat(digits(e, 0, 9), 1, FRACTION));

/** @param {Expressions} e @returns {Expression} any number of limited length, perhaps with an exponent */
export function anyNumber(e) {
    const sign = new Uint8Array(256);
    sign['+'.charCodeAt(0)] = sign['-'.charCodeAt(0)] = 1;
    const mark = new Uint8Array(256);
    mark['e'.charCodeAt(0)] = mark['E'.charCodeAt(0)] = 1;
    return e.then(
        e.optional(e.text('-')), e.either(magnitudes(e, 0, LARGEST)), e.optional(fraction(e)),
        e.optional(e.then(e.bytes(mark), e.optional(e.bytes(sign)), e.repeat(digits(e, 0, 9), 1, EXPONENT))),
    );
}

/** @param {Expressions} e @param {number} low @param {number} high integers @returns {Expression} numbers between, with a fraction */
export function numbers(e, low, high) {
    const between = (/** @type {number} */ least, /** @type {number} */ most) => [
        ...magnitudes(e, least, most - 1).map((way) => e.then(way, e.optional(fraction(e)))),
        ...(least <= most ? magnitudes(e, most, most) : []),
    ];
    return e.either([
        ...between(Math.max(0, low), high),
        ...(low < 0 ? between(Math.max(0, -high), -low).map((way) => e.then(e.text('-'), way)) : []),
    ]);
}
