// Files of weights written here: what is read back is what was written, bit for bit, and what Keras wrote can be
// written again. That Keras 3.15 and Keras Hub 0.31 load such files was tried by hand: tests need no Python.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readHdf5 } from '../../js/files/hdf5.js';
import { findAttentionLayers, layerEntries, mapLayerWeights } from '../../js/files/keras-layers.js';
import { openKerasWeights } from '../../js/files/keras-weights.js';
import { writeKerasWeights } from '../../js/files/keras-writer.js';
import { floats, rng } from '../rng.js';
import { KERAS, readKerasWeights, skip } from './shared.js';

/**
 * @typedef {import('../../js/files/keras-writer.js').KerasEntry} KerasEntry
 * @typedef {import('../../js/files/keras-weights.js').KerasWeight} KerasWeight
 */

/** @param {KerasEntry['data']} data @param {string} [dtype] */
const one = (data, dtype, shape = [data.length]) => writeKerasWeights([{ path: 'a/vars/0', shape, data, dtype }]);
/** @param {Parameters<typeof one>} entry */
const back = async (...entry) =>
    /** @type {KerasWeight} */ ((await readKerasWeights(one(...entry))).get('a/vars/0'));

test('every type comes back', async () => {
    const arrays = [
        Float32Array.of(1, -0, 3e38),
        Float64Array.of(Math.PI),
        Int8Array.of(-128, 127),
        Int16Array.of(-32768),
        Int32Array.of(-(2 ** 31)),
        BigInt64Array.of(-(2n ** 63n)),
        Uint8Array.of(0, 255),
        Uint16Array.of(65535),
        Uint32Array.of(2 ** 32 - 1),
        BigUint64Array.of(2n ** 64n - 1n),
    ];
    for (const data of arrays) {
        assert.deepEqual((await back(data)).data, data);
    }
    assert.deepEqual(await back(Uint8Array.of(1, 0), 'bool'), { shape: [2], data: Uint8Array.of(1, 0), dtype: 'bool' });
    assert.deepEqual((await back(Float32Array.of(2.5), undefined, [])).shape, []);
    assert.deepEqual((await back(new Float32Array(0), undefined, [0, 4])).shape, [0, 4]);
});

test('half floats are rounded to the nearest, ties to even', async () => {
    // From the definition of the formats: each value lies between the two neighbours beside it.
    const cases = {
        float16: [
            [1 + 2 ** -11, 1],
            [1 + 3 * 2 ** -11, 1 + 2 ** -9],
            [65519, 65504],
            [65520, Infinity],
            [-1e9, -Infinity],
            [1e-8, 0],
            [2 ** -24, 2 ** -24],
            [1.5 * 2 ** -24, 2 ** -23],
            [2 ** -25, 0],
            [2 ** -25 * 1.01, 2 ** -24],
            [0.1, 0.0999755859375],
            [NaN, NaN],
            [-0, -0],
        ],
        bfloat16: [
            [1 + 2 ** -8, 1],
            [1 + 3 * 2 ** -8, 1 + 2 ** -6],
            [3.4e38, Infinity],
            [NaN, NaN],
            [2 ** -133, 2 ** -133],
            [0.1, 0.10009765625],
        ],
    };
    for (const [dtype, pairs] of Object.entries(cases)) {
        const { data } = await back(
            Float32Array.from(pairs, ([value]) => value),
            dtype,
        );
        assert.deepEqual(
            Array.from(/** @type {ArrayLike<number>} */ (data)),
            pairs.map(([, wanted]) => wanted),
            dtype,
        );
    }
    const exact = Float32Array.from({ length: 65536 }, (_, i) => Math.fround((i - 32768) / 1024)).filter(
        (x) => Math.abs(x) < 2,
    );
    assert.deepEqual((await back(exact, 'float16')).data, exact);
});

test('groups of many layers and long names', async () => {
    const random = rng(1);
    const entries = Array.from({ length: 500 }, (_, i) => ({
        path: `layers/dense_${i}/vars/0`,
        shape: [3, 2],
        data: floats(random, 6),
    }));
    /** @type {[string, string][]} */
    const names = entries.map((_, i) => [`layers/dense_${i}`, `layer ${i} `.repeat(20)]);
    const { datasets, attributes } = readHdf5(writeKerasWeights(entries, names));
    assert.equal(datasets.size, 500);
    assert.deepEqual(attributes.get('layers/dense_7/vars'), new Map([['name', 'layer 7 '.repeat(20)]]));
});

test('a layer goes round', async () => {
    const random = rng(2);
    for (const kind of /** @type {const} */ (['MultiHeadAttention', 'GroupQueryAttention'])) {
        const weights = new Map(
            ['query', 'key', 'gate', 'value', 'attention_output'].flatMap((part) => [
                [`${part}/kernel`, { shape: [4, 2, 3], data: floats(random, 24) }],
                [`${part}/bias`, { shape: [6], data: floats(random, 6) }],
            ]),
        );
        const path = 'layers/some_attention';
        const file = await openKerasWeights(writeKerasWeights(layerEntries(weights, { path, kind }), [[path, 'mine']]));
        assert.deepEqual(findAttentionLayers(file), [
            { path, prefix: kind === 'GroupQueryAttention' ? '_' : '', name: 'mine' },
        ]);
        const got = mapLayerWeights(file, 'mine');
        assert.deepEqual(
            Array.from(got, ([name, { shape, data }]) => [name, { shape, data }]),
            Array.from(weights),
        );
    }
});

test('what Keras wrote, written again', { skip }, async () => {
    const folder = new URL('files/', KERAS);
    for (const file of ['mha', 'mha_float16', 'gqa', 'decoder', 'subclassed', 'llama_bfloat16/model']) {
        const bytes = new Uint8Array(readFileSync(new URL(`${file}.weights.h5`, folder)));
        const weights = await readKerasWeights(bytes);
        const again = writeKerasWeights(Array.from(weights, ([path, weight]) => ({ path, ...weight })));
        assert.deepEqual(await readKerasWeights(again), weights);
        assert.ok(again.length < bytes.length);
    }
});

test('what is no entry', () => {
    const data = Float32Array.of(1);
    const entry = { path: 'a', shape: [1], data };
    for (const [entries, error, words] of /** @type {[any, new () => Error, RegExp][]} */ ([
        [[{ ...entry, path: '' }], TypeError, /path/],
        [[{ ...entry, path: 'a//b' }], TypeError, /path/],
        [[{ ...entry, path: 5 }], TypeError, /path/],
        [[{ ...entry, data: [1] }], TypeError, /data/],
        [[{ ...entry, shape: [2] }], RangeError, /shape/],
        [[{ ...entry, shape: 1 }], TypeError, /shape/],
        [[{ ...entry, dtype: 'int8' }], RangeError, /dtype/],
        [[{ ...entry, dtype: 'toString' }], RangeError, /dtype/],
        [[entry, entry], RangeError, /no other/],
        [[entry, { ...entry, path: 'a/b' }], RangeError, /within/],
    ])) {
        assert.throws(
            () => writeKerasWeights(entries),
            (/** @type {Error} */ e) => e instanceof error && words.test(e.message),
        );
    }
    assert.throws(() => writeKerasWeights([entry], /** @type {any} */ ([['a', 5]])), TypeError);
    assert.throws(() => layerEntries([['else/kernel', entry]], { path: 'a', kind: 'MultiHeadAttention' }), TypeError);
});
