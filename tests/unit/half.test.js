// Rounding to binary16 and bfloat16, and widening from binary16: every pattern, every tie.

import { test } from 'node:test';
import { assertSame } from '../close.js';
import { roundTo } from '../reference.js';
import { floats, rng } from '../rng.js';
import { loadKernels } from './kernels.js';

const k = await loadKernels();

const TYPES = [
    { name: 'binary16', mode: 1, digits: 11, low: -14, high: 15, exponent: 5 },
    { name: 'bfloat16', mode: 2, digits: 8, low: -126, high: 127, exponent: 8 },
];

/** Value of a bit pattern. @param {number} bits @param {{ digits: number, low: number, exponent: number }} type */
function decode(bits, { digits, low, exponent }) {
    const sign = bits >> 15 ? -1 : 1;
    const fraction = bits & (2 ** (digits - 1) - 1);
    const e = (bits & 0x7fff) >> (digits - 1);
    if (e === 2 ** exponent - 1) return fraction ? NaN : sign * Infinity;
    const significand = e === 0 ? fraction : 2 ** (digits - 1) + fraction;
    return sign * significand * 2 ** (low + Math.max(e, 1) - digits);
}

/** @param {Float32Array} x @param {number} mode */
function round(x, mode) {
    k.reset();
    const [at, y] = [k.put(x, 4), k.room(4 * x.length, 8)];
    k.call.cmha_round_f32(y, at, x.length, mode);
    k.checkGuards();
    const result = k.floats(y, x.length);
    k.call.cmha_round_f32(at, at, x.length, mode);
    assertSame(k.floats(at, x.length), result, 'in place');
    return result;
}

test('binary16: every pattern widens to its value', () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i);
    for (const [skew, n] of [[0, 65536], [2, 65536], [0, 65535], [2, 65529]]) {
        k.reset();
        const y = k.room(4 * n);
        k.call.cmha_widen_f16(y, k.put(patterns.subarray(65536 - n), skew), n);
        k.checkGuards();
        assertSame(k.floats(y, n), Float64Array.from(patterns.subarray(65536 - n), (bits) => decode(bits, TYPES[0])));
    }
});

for (const type of TYPES) {
    const patterns = Float64Array.from({ length: 65536 }, (_, bits) => decode(bits, type));

    test(`${type.name}: representable values stay, ties go to even, beyond the largest is infinity`, () => {
        const positive = patterns.slice(0, 0x7fff).filter(Number.isFinite);
        const x = [];
        for (let i = 0; i < positive.length; i++) {
            const next = i + 1 < positive.length ? positive[i + 1] : 2 * positive[i] - positive[i - 1];
            const tie = (positive[i] + next) / 2;
            // Next to a tie by one part in 2^23: the nearest float32 on either side.
            x.push(positive[i], tie, tie * (1 - 2 ** -23), tie * (1 + 2 ** -23));
        }
        const input = Float32Array.from(x.flatMap((v) => [v, -v]));
        const expected = Float32Array.from(input, (v) => roundTo(v, type.digits, type.low, type.high));
        assertSame(round(input, type.mode), expected);
    });

    test(`${type.name}: zeros, subnormals, infinities, NaN and random numbers, at every length`, () => {
        const special = Float32Array.of(0, -0, Infinity, -Infinity, NaN, 1e-45, -1e-45, 1e-40, 3e38, -3.4e38, 65519.99, 65520);
        const got = round(special, type.mode);
        assertSame(got, special.map((v) => roundTo(v, type.digits, type.low, type.high)));
        for (let n = 0; n <= 9; n++) {
            const x = floats(rng(n), n, 10);
            assertSame(round(x, type.mode), x.map((v) => roundTo(v, type.digits, type.low, type.high)));
        }
    });
}

test('no rounding copies', () => {
    const x = floats(rng(1), 7);
    assertSame(round(x, 0), x);
});
