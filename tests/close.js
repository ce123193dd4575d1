// Comparison of numbers with a stated tolerance.

import assert from 'node:assert/strict';

/**
 * Largest error in units of the tolerance, |got - expected| / (atol + rtol |expected|), and where it is. Equal values
 * (infinities too) and two NaNs count as 0; any other NaN or infinity as Infinity.
 * @param {ArrayLike<number>} got
 * @param {ArrayLike<number>} expected
 * @param {{ atol?: number, rtol?: number }} tolerance
 */
export function worst(got, expected, { atol = 0, rtol = 0 }) {
    let ratio = 0;
    let index = -1;
    let absolute = 0;
    for (let i = 0; i < expected.length; i++) {
        if (Object.is(got[i], expected[i]) || got[i] === expected[i]) continue;
        const error = Math.abs(got[i] - expected[i]);
        const here = Number.isFinite(error) ? error / (atol + rtol * Math.abs(expected[i])) : Infinity;
        if (error > absolute) absolute = error;
        if (here > ratio) {
            ratio = here;
            index = i;
        }
    }
    return { ratio, index, absolute };
}

/**
 * Asserts |got - expected| <= atol + rtol |expected| for every element.
 * @param {ArrayLike<number>} got
 * @param {ArrayLike<number>} expected
 * @param {{ atol?: number, rtol?: number }} tolerance
 * @param {string} [name]
 */
export function assertClose(got, expected, tolerance, name = 'result') {
    assert.equal(got.length, expected.length, `${name}: length`);
    const { ratio, index } = worst(got, expected, tolerance);
    assert.ok(ratio <= 1, `${name}[${index}] is ${got[index]}, expected ${expected[index]}: `
        + `${ratio.toPrecision(3)} times the tolerance (atol ${tolerance.atol ?? 0}, rtol ${tolerance.rtol ?? 0})`);
}

/**
 * Asserts that two lists of numbers are the same: NaN equals NaN, 0 does not equal -0.
 * @param {ArrayLike<number>} got
 * @param {ArrayLike<number>} expected
 * @param {string} [name]
 */
export function assertSame(got, expected, name = 'result') {
    assert.equal(got.length, expected.length, `${name}: length`);
    for (let i = 0; i < expected.length; i++) {
        assert.ok(Object.is(got[i], expected[i]), `${name}[${i}] is ${got[i]}, expected ${expected[i]}`);
    }
}
