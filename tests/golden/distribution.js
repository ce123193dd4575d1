// Whether drawn numbers follow a distribution: bounds, moments, and the largest gap between their own distribution
// function and the one they should have.

import assert from 'node:assert/strict';
import { CachedMultiHeadAttention } from '../../js/index.js';

/** Error function (Abramowitz & Stegun 7.1.26), to 1.5e-7. @param {number} x */
function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
    return Math.sign(x) * (1 - series * Math.exp(-x * x));
}

const normal = (/** @type {number} */ x) => 0.5 * (1 + erf(x / Math.SQRT2));

/**
 * Keras's description of its draws.
 * @typedef {object} Distribution
 * @property {string} distribution 'uniform', 'normal' or 'truncated_normal'
 * @property {number} [minval]
 * @property {number} [maxval]
 * @property {number} [mean]
 * @property {number} [stddev]
 */

/** @param {Distribution} description @returns {(x: number) => number} its distribution function */
export function distributionFunction({ distribution, minval = NaN, maxval = NaN, mean = NaN, stddev = NaN }) {
    if (distribution === 'uniform') return (x) => Math.min(1, Math.max(0, (x - minval) / (maxval - minval)));
    if (distribution === 'normal') return (x) => normal((x - mean) / stddev);
    const [low, high] = [normal(-2), normal(2)];
    return (x) => Math.min(1, Math.max(0, (normal((x - mean) / stddev) - low) / (high - low)));
}

/**
 * Kolmogorov-Smirnov: sqrt(n) times the largest gap exceeds 2.2 once in 8000 draws of the right distribution, and
 * nearly always for a wrong one of a few per cent. Seeds are fixed, so a test that passes goes on passing.
 * @param {ArrayLike<number>} values
 * @param {(x: number) => number} cdf
 */
export function assertFollows(values, cdf) {
    const sorted = Float64Array.from(values).sort();
    let gap = 0;
    sorted.forEach((x, i) => {
        gap = Math.max(gap, Math.abs(cdf(x) - i / sorted.length), Math.abs(cdf(x) - (i + 1) / sorted.length));
    });
    assert.ok(Math.sqrt(sorted.length) * gap < 2.2, `distance ${gap} of ${sorted.length} numbers`);
}

/** Numbers to judge a distribution by: enough that a bound wrong by 2 % is seen. */
const ENOUGH = 20000;

/**
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {string} initializer
 * @param {Record<string, any>} kwargs
 * @param {{ query_shape: number[], value_shape: number[], key_shape: number[] | null }} build
 * @param {Record<string, Distribution & { shape: number[] }>} kernels what Keras draws from, by projection
 */
export function assertDistribution(runtime, initializer, kwargs, build, kernels) {
    /** @type {Record<string, Float32Array[]>} */
    const drawn = Object.fromEntries(Object.keys(kernels).map((name) => [name, []]));
    const sizes = Object.keys(kernels).map((name) => kernels[name].shape.reduce((a, b) => a * b, 1));
    const rounds = Math.ceil(ENOUGH / Math.min(...sizes));
    for (let seed = 0; seed < (initializer === 'orthogonal' ? 1 : rounds); seed++) {
        const serialized = { class_name: initializer, config: { seed: seed + 1 } };
        const layer = CachedMultiHeadAttention.fromConfig(runtime, { ...kwargs, kernel_initializer: serialized });
        layer.build(build.query_shape, build.value_shape, build.key_shape);
        for (const { path, data } of layer.weights) {
            const [, name, part] = path.split('/');
            if (part === 'kernel') drawn[name].push(data);
            else assert.ok(data.every((x) => x === 0), 'biases start as zeros');
        }
        layer.dispose();
    }
    for (const [name, expected] of Object.entries(kernels)) {
        if (initializer === 'orthogonal') {
            assertOrthogonal(drawn[name][0], expected.shape);
            continue;
        }
        const { minval = -Infinity, maxval = Infinity, stddev = NaN, distribution } = expected;
        const cut = distribution.startsWith('truncated') ? 2 * stddev * (1 + 1e-6) : Infinity;
        const float = 1 + 1e-7; // bounds are given in float64
        const [least, end] = [minval * float, maxval * float];
        for (const data of drawn[name]) assert.ok(data.every((x) => x >= least && x < end && Math.abs(x) <= cut), 'bounds');
        const values = drawn[name].slice(0, Math.ceil(2 * ENOUGH / drawn[name][0].length)).flatMap((data) => [...data.subarray(0, 2 * ENOUGH)]);
        assertFollows(values.slice(0, 2 * ENOUGH), distributionFunction(expected));
    }
}

/**
 * Rows or columns, whichever are fewer, are orthonormal; the shape is that of the normal matrix, the long way first.
 * @param {Float32Array} data
 * @param {number[]} shape
 */
function assertOrthogonal(data, [rows, columns]) {
    for (let a = 0; a < columns; a++) {
        for (let b = 0; b <= a; b++) {
            let dot = 0;
            for (let i = 0; i < rows; i++) dot += data[i * columns + a] * data[i * columns + b];
            assert.ok(Math.abs(dot - Number(a === b)) < 1e-6, `columns ${a} and ${b}: ${dot}`);
        }
    }
}
