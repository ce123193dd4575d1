// Initializers: streams and seeds, names, checks. Their distributions are compared with Keras's in tests/golden.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INITIALIZERS, Initializer } from '../../js/keras/initializers.js';
import { resolveInitializer } from '../../js/keras/objects.js';
import { Random } from '../../js/random.js';
import { assertFollows, distributionFunction } from '../golden/distribution.js';

const resolve = (/** @type {unknown} */ identifier) => resolveInitializer('kernelInitializer', identifier);
const make = (/** @type {string} */ name, options = {}) => new Initializer(INITIALIZERS.module, name, INITIALIZERS.kinds[name], options);
const seeded = (/** @type {string} */ name, seed = 1, config = {}) => (
    resolve({ class_name: name, config: { seed, ...config } })
);

const RANDOM = [
    'glorot_uniform', 'glorot_normal', 'he_uniform', 'he_normal', 'lecun_uniform', 'lecun_normal', 'random_uniform',
    'random_normal', 'truncated_normal', 'variance_scaling', 'orthogonal',
];

test('xoshiro128**: the published first outputs from the state 1, 2, 3, 4', () => {
    const random = new Random(0);
    random._state.set([1, 2, 3, 4]);
    const expected = [
        11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ];
    assert.deepEqual(expected.map(() => random.bits()), expected);
});

test('uniform numbers are uniform, normal ones normal, cut ones cut', () => {
    const random = new Random(3);
    const many = (/** @type {() => number} */ next) => Float64Array.from({ length: 50000 }, next);
    assertFollows(many(() => random.uniform()), (x) => x);
    assertFollows(many(() => random.normal()), distributionFunction({ distribution: 'normal', mean: 0, stddev: 1 }));
    const cut = many(() => random.truncatedNormal());
    assert.ok(cut.every((x) => Math.abs(x) <= 2));
    assertFollows(cut, distributionFunction({ distribution: 'truncated_normal', mean: 0, stddev: 1 }));
});

test('seeds: every one its own stream, negative and large ones too', () => {
    const seeds = [0, 1, -1, 2 ** 32, 2 ** 32 + 1, -(2 ** 40), Number.MAX_SAFE_INTEGER];
    const first = seeds.map((seed) => new Random(seed).bits());
    assert.equal(new Set(first).size, first.length);
});

for (const name of RANDOM) {
    test(`${name}: an int seed decides the stream, none draws anew`, () => {
        const [a, b] = [seeded(name).draw([6, 4]), seeded(name).draw([6, 4])];
        assert.deepEqual(a, b);
        assert.notDeepEqual(a, seeded(name, 2).draw([6, 4]));
        const unseeded = resolve(name);
        assert.notDeepEqual(unseeded.draw([6, 4]), unseeded.draw([6, 4]));
    });
}

test('constants', () => {
    assert.deepEqual([...resolve('zeros').draw([2, 2])], [0, 0, 0, 0]);
    assert.deepEqual([...resolve('Ones').draw([3])], [1, 1, 1]);
    assert.deepEqual([...resolve({ class_name: 'Constant', config: { value: 2.5 } }).draw([2])], [2.5, 2.5]);
    assert.deepEqual([...make('Constant').draw([1])], [0]);
    assert.deepEqual([...make('Identity', { gain: 3 }).draw([2, 3])], [3, 0, 0, 0, 3, 0]);
    assert.deepEqual([...make('Identity').draw([4, 2])], [1, 0, 0, 1, 0, 0, 0, 0]);
});

test('uniform ranges are half open, also where they are one float wide', () => {
    const next = 1 + 2 ** -23;
    const draws = make('RandomUniform', { minval: 1, maxval: next, seed: 1 }).draw([100]);
    assert.ok(draws.every((x) => x === 1));
    assert.ok(make('RandomUniform', { minval: 2, maxval: 2, seed: 1 }).draw([5]).every((x) => x === 2));
});

test('ranges without a float in them end; one that ends before it begins is refused, as by Keras on NumPy', () => {
    const near = make('RandomUniform', { minval: 0.1, maxval: 0.1 + 1e-12, seed: 1 }).draw([5]);
    assert.ok(near.every((x) => x === Math.fround(0.1)));
    assert.throws(() => make('RandomUniform', { minval: 1, maxval: 0 }).draw([2]), /^RangeError: maxval must be minval or more, got 0/);
});

test('VarianceScaling: fans of a shape, of given axes, and of the projection', () => {
    const bound = (
        /** @type {Record<string, any>} */ options, /** @type {number[]} */ shape,
        /** @type {import('../../js/keras/initializers.js').Fans | undefined} */ fans = undefined,
    ) => {
        const initializer = make('VarianceScaling', { distribution: 'uniform', seed: 1, ...options });
        return Math.max(...initializer.draw(shape, fans).map(Math.abs));
    };
    const near = (/** @type {number} */ got, /** @type {number} */ limit) => (
        assert.ok(got < limit && got > 0.99 * limit, `largest ${got} of ${limit}`)
    );
    near(bound({ scale: 3 }, [40, 50]), Math.sqrt(9 / 40));
    near(bound({ scale: 3, mode: 'fan_out' }, [40, 50]), Math.sqrt(9 / 50));
    near(bound({ scale: 3, mode: 'fan_avg' }, [40, 50]), Math.sqrt(9 / 45));
    near(bound({ scale: 3 }, [3, 40, 50]), Math.sqrt(9 / 120));
    near(bound({ scale: 3 }, [1000]), Math.sqrt(9 / 1000));
    near(bound({ scale: 3, inputAxes: [0], outputAxes: [1, 2] }, [30, 10, 10]), Math.sqrt(9 / 30));
    near(bound({ scale: 3 }, [30, 10, 10], { fanIn: 7, fanOut: 1 }), Math.sqrt(9 / 7));
    near(bound({ scale: 3, inputAxes: [-3] }, [30, 10, 10]), Math.sqrt(9 / 30));
    assert.throws(() => bound({ inputAxes: [3] }, [30, 10, 10]), /^RangeError: inputAxes must be axes of shape \[30,10,10\], got 3$/);
    assert.throws(() => bound({ outputAxes: [0, -4] }, [30, 10, 10]), /^RangeError: outputAxes must be axes of/);
    const normal = make('VarianceScaling', { distribution: 'untruncated_normal', seed: 2 }).draw([200, 100]);
    assertFollows(normal, distributionFunction({ distribution: 'normal', mean: 0, stddev: Math.sqrt(1 / 200) }));
});

test('Orthogonal: wide and tall, with its gain, the sign of R\'s diagonal positive', () => {
    for (const shape of [[3, 8], [8, 3], [2, 4, 5]]) {
        const [rows, columns] = [shape.slice(0, -1).reduce((a, b) => a * b, 1), shape[shape.length - 1]];
        const data = make('Orthogonal', { gain: 2, seed: 1 }).draw(shape);
        const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
        const at = (/** @type {number} */ vector, /** @type {number} */ i) => (
            rows < columns ? data[vector * columns + i] : data[i * columns + vector]
        );
        for (let a = 0; a < count; a++) for (let b = 0; b < count; b++) {
            const dot = Array.from({ length }, (_, i) => at(a, i) * at(b, i)).reduce((x, y) => x + y, 0);
            assert.ok(Math.abs(dot - (a === b ? 4 : 0)) < 1e-5, `${shape}: ${a} . ${b} = ${dot}`);
        }
    }
    assert.throws(() => resolve('orthogonal').draw([4]), RangeError);
});

test('configs go round, in Keras\'s words', () => {
    for (const name of [...RANDOM, 'zeros', 'ones', 'identity']) {
        const serialized = resolve(name).serialize();
        assert.deepEqual(resolve(serialized).serialize(), serialized);
        assert.equal(serialized.module, 'keras.initializers');
        assert.equal(serialized.registered_name, null);
    }
    assert.deepEqual(resolve('he_normal').serialize().config, {
        seed: null, input_axes: null, output_axes: null,
    });
    assert.deepEqual(resolve('variance_scaling').serialize().config, {
        seed: null, scale: 1, mode: 'fan_in', distribution: 'truncated_normal', input_axes: null, output_axes: null,
    });
    assert.deepEqual(seeded('RandomUniform', 4, { minval: -1, maxval: 2 }).serialize().config, {
        seed: 4, minval: -1, maxval: 2,
    });
});

test('what Keras refuses is refused', () => {
    for (const [identifier, type] of /** @type {[unknown, any][]} */ ([
        ['nope', RangeError], ['constant', RangeError], [{ class_name: 'Constant', config: {} }, RangeError],
        [{ class_name: 'Zeros', config: { value: 1 } }, TypeError], [null, TypeError], [3, TypeError], [{}, TypeError],
        [() => 0, TypeError], [{ class_name: 'toString', config: {} }, RangeError],
        [{ class_name: 'RandomNormal', config: { seed: 'x' } }, TypeError],
        [{ class_name: 'RandomNormal', config: { seed: 1.5 } }, TypeError],
        [{ class_name: 'RandomNormal', config: { mean: 'x' } }, TypeError],
        [{ class_name: 'VarianceScaling', config: { scale: 0 } }, RangeError],
        [{ class_name: 'VarianceScaling', config: { mode: 'fan' } }, RangeError],
        [{ class_name: 'VarianceScaling', config: { distribution: 'cauchy' } }, RangeError],
        [{ class_name: 'GlorotUniform', config: { scale: 2 } }, TypeError],
    ])) assert.throws(() => resolve(identifier), { name: type.name }, JSON.stringify(identifier));
});
