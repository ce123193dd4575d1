// `.weights.h5` and `.keras` files: what Keras wrote, value for value, where ../shared is there; zips made here around
// a fixture, stored and deflated, and broken for each code of an error.

import { Costs } from '../fuzz/costs.js';
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import * as zlib from 'node:zlib';
import { FormatError } from '../../js/check.js';
import { findAttentionLayers, mapLayerWeights } from '../../js/files/keras-layers.js';
import { openKerasWeights } from '../../js/files/keras-weights.js';
import { readZipDirectory } from '../../js/files/zip.js';
import { rng } from '../rng.js';
import { KERAS, readKerasWeights, readTensors, skip } from './shared.js';

/**
 * @typedef {import('../../js/files/keras-weights.js').KerasWeight} KerasWeight
 * @typedef {{ h5: string, path: string, tensor: string }} Saved a weight, and where it lies
 * @typedef {{ weights_h5: string, keras_file: string, file: string, weights: Saved[] }} Model of a manifest
 */

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 100_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);
const old = readFileSync(new URL('fixtures/old.h5', import.meta.url));

/**
 * A zip file, by APPNOTE.TXT of PKWARE.
 * @param {Record<string, { data: Uint8Array, deflate?: boolean, [field: string]: any }>} members
 */
function zip(members) {
    const records = [];
    const directory = [];
    let at = 0;
    for (const [name, { data, deflate = false, ...fields }] of Object.entries(members)) {
        const packed = deflate ? zlib.deflateRawSync(data) : data;
        const { method = deflate ? 8 : 0, flags = 0, size = data.length, packedSize = packed.length } = fields;
        const common = Buffer.alloc(26);
        common.writeUInt16LE(20, 0);
        common.writeUInt16LE(flags, 2);
        common.writeUInt16LE(method, 4);
        common.writeUInt32LE(fields.crc ?? crc(data), 10);
        common.writeUInt32LE(packedSize, 14);
        common.writeUInt32LE(size, 18);
        common.writeUInt16LE(name.length, 22);
        const tail = Buffer.alloc(14);
        tail.writeUInt32LE(fields.at ?? at, 10);
        records.push(Buffer.from('PK\x03\x04'), common, Buffer.from(name), packed);
        directory.push(Buffer.from('PK\x01\x02\x14\x00'), common, tail, Buffer.from(name));
        at += 30 + name.length + packed.length;
    }
    const central = Buffer.concat(directory);
    const end = Buffer.alloc(22);
    end.write('PK\x05\x06', 'latin1');
    end.writeUInt16LE(Object.keys(members).length, 8);
    end.writeUInt16LE(Object.keys(members).length, 10);
    end.writeUInt32LE(central.length, 12);
    end.writeUInt32LE(at, 16);
    return new Uint8Array(Buffer.concat([...records, central, end]));
}

/** Node 20's zlib lacks crc32 in its first versions. @param {Uint8Array} data */
function crc(data) {
    if (zlib.crc32) return zlib.crc32(data);
    let sum = ~0;
    for (const byte of data) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? 0xedb88320 ^ (sum >>> 1) : sum >>> 1;
    }
    return ~sum >>> 0;
}

const MEMBER = 'model.weights.h5';
const text = (/** @type {string} */ words) => new TextEncoder().encode(words);

/** All rounds; outside of test(), whose hooks on every promise take most of the time otherwise. */
async function damageZips() {
    const costs = new Costs(SEED, { base: 2 ** 17 });
    const seen = new Map();
    const random = rng(SEED);
    const below = (/** @type {number} */ n) => Math.floor(random() * n);
    const small = readFileSync(new URL('fixtures/unwritten.h5', import.meta.url)).subarray(0, 400);
    const files = [false, true].map((deflate) =>
        zip({ 'config.json': { data: text('{}'), deflate }, [MEMBER]: { data: small, deflate } }),
    );
    for (let round = 0; round < ROUNDS; round++) {
        const bytes = files[round & 1].slice(0, below(4) ? Infinity : below(files[round & 1].length));
        for (let i = 0; i <= below(3) && bytes.length > 0; i++) bytes[below(bytes.length)] = below(256);
        // The file within is cut, so that each round has to end in an error.
        costs.begin();
        const error = await readKerasWeights(bytes).then(() => null, (reason) => reason);
        costs.end(bytes.length, `round ${round}`);
        if (!(error instanceof FormatError)) throw new Error(`round ${round}`, { cause: error });
        seen.set(error.code, (seen.get(error.code) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
}

const failure = await damageZips().then(() => null, (error) => error);

test(`${ROUNDS} damaged zips, seed ${SEED}`, () => {
    if (failure !== null) throw failure;
});

for (const deflate of [false, true]) {
    test(`a .keras file ${deflate ? 'deflated' : 'stored'} holds what its .weights.h5 does`, async () => {
        const file = zip({ 'config.json': { data: text('{}') }, [MEMBER]: { data: old, deflate } });
        const got = await readKerasWeights(file);
        assert.equal(got.size, 15);
        assert.deepEqual(got, await readKerasWeights(new Uint8Array(old)));
        const { data } = /** @type {KerasWeight} */ (got.get('layers/dense/vars/float32'));
        assert.deepEqual(Array.from(/** @type {ArrayLike<number>} */ (data)), [0, 1, 2, 3, 4, 5]);
    });
}

test('a comment behind the end, and bytes of a larger buffer', async () => {
    const file = zip({ [MEMBER]: { data: old } });
    const bytes = new Uint8Array([1, 2, 3, ...file, 0x50, 0x4b, 5, 6]);
    bytes[3 + file.length - 2] = 4;
    assert.equal((await readKerasWeights(bytes.subarray(3))).size, 15);
});

/** @type {[string, Uint8Array, string, RegExp][]} */
const BROKEN = [
    ['no weights', zip({ 'config.json': { data: text('{}') } }), 'keras-no-weights', /model\.weights\.h5/],
    ['cut off', zip({ [MEMBER]: { data: old } }).subarray(0, 5000), 'zip-truncated', /cut off/],
    [
        'a member behind the end',
        zip({ [MEMBER]: { data: old, packedSize: old.length + 1000, size: old.length + 1000 } }),
        'zip-truncated',
        /behind the end/,
    ],
    ['zip64', zip({ [MEMBER]: { data: old, at: 0xffffffff } }), 'zip-unsupported', /zip64/],
    ['encrypted', zip({ [MEMBER]: { data: old, flags: 1 } }), 'zip-unsupported', /encryption/],
    ['another method', zip({ [MEMBER]: { data: old, method: 12 } }), 'zip-unsupported', /method 12/],
    ['another sum', zip({ [MEMBER]: { data: old, crc: 1 } }), 'zip-invalid', /checksum/],
    [
        'longer than it says',
        zip({ [MEMBER]: { data: old, deflate: true, size: old.length - 1 } }),
        'zip-invalid',
        /longer/,
    ],
    [
        'shorter than it says',
        zip({ [MEMBER]: { data: old, deflate: true, size: old.length + 1 } }),
        'zip-invalid',
        /only/,
    ],
    ['a bomb', zip({ [MEMBER]: { data: new Uint8Array(1e7), deflate: true } }), 'zip-invalid', /should become/],
    ['not deflated', zip({ [MEMBER]: { data: old, method: 8 } }), 'zip-invalid', /inflated/],
    ['another place', zip({ [MEMBER]: { data: old, at: 4 } }), 'zip-invalid', /not where/],
    ['weights that are none', zip({ [MEMBER]: { data: text('something else') } }), 'hdf5-invalid', /signature/],
    ['neither', text('neither HDF5 nor a zip'), 'hdf5-invalid', /signature/],
];

for (const [what, bytes, code, words] of BROKEN) {
    test(`refused with ${code}: ${what}`, () =>
        assert.rejects(readKerasWeights(bytes), (/** @type {Error} */ error) => {
            assert.ok(error instanceof FormatError, error.stack);
            assert.equal(error.code, code, error.message);
            assert.match(error.message, words);
            return true;
        }));
}

test('one name twice', () => {
    const file = zip({ aaaa: { data: text('1') }, aaab: { data: text('2') } });
    for (let at = 0; at + 4 < file.length; at++) {
        if (Buffer.from(file.subarray(at, at + 4)).toString('latin1') === 'aaab') file[at + 3] = 0x61;
    }
    assert.throws(() => readZipDirectory(file), { code: 'zip-invalid', message: /two members/ });
});

test('files of Keras: every weight is the one that the model had', { skip }, async () => {
    const folder = new URL('files/', KERAS);
    /** @type {{ models: Model[] }} */
    const { models } = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
    let compared = 0;
    for (const { weights_h5: h5, keras_file: keras, file, weights } of models) {
        const tensors = readTensors(new URL(file, folder));
        for (const name of [h5, keras].filter(Boolean)) {
            const got = await readKerasWeights(new Uint8Array(readFileSync(new URL(name, folder))));
            for (const { h5: path, tensor } of weights) {
                const { shape, data } = tensors[tensor];
                assert.deepEqual(got.get(path)?.shape, shape, `${name} ${path}`);
                assert.deepEqual(got.get(path)?.data, data, `${name} ${path}`);
                compared++;
            }
        }
    }
    console.log(`${compared} weights compared`);
});

test('attention layers: found wherever they are, weights as get_weights() has them', { skip }, async () => {
    const folder = new URL('files/', KERAS);
    /** @type {{ models: Model[] }} */
    const { models } = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
    let layers = 0;
    for (const { weights_h5: h5, file, weights } of models) {
        const hdf5 = await openKerasWeights(new Uint8Array(readFileSync(new URL(h5, folder))));
        const tensors = readTensors(new URL(file, folder));
        for (const { path, name } of findAttentionLayers(hdf5)) {
            const wanted = weights.filter((weight) => weight.h5.startsWith(`${path}/`));
            const got = mapLayerWeights(hdf5, path);
            assert.deepEqual(
                Array.from(got.keys()),
                wanted.map((weight) => weight.path.split('/').slice(-2).join('/')),
            );
            assert.deepEqual(
                Array.from(got.values(), ({ shape, data }) => ({ shape, data })),
                wanted.map(({ tensor }) => tensors[tensor]),
            );
            // Names may repeat, in the blocks of a model: then the path alone will do.
            if (name !== 'self_attention') assert.deepEqual(mapLayerWeights(hdf5, /** @type {string} */ (name)), got);
            layers++;
        }
    }
    assert.equal(layers, 9);
});

test('quantized attention layers', { skip }, async () => {
    const folder = new URL('quantized/', KERAS);
    /** @type {{ layers: { name: string, file: string, weights: Saved[] }[] }} */
    const { layers } = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
    const saved = layers.filter(({ name }) => existsSync(new URL(`${name}.weights.h5`, folder)));
    assert.equal(saved.length, 6);
    for (const { name, file, weights } of saved) {
        const hdf5 = await openKerasWeights(new Uint8Array(readFileSync(new URL(`${name}.weights.h5`, folder))));
        const got = mapLayerWeights(hdf5);
        const tensors = readTensors(new URL(file, folder));
        assert.deepEqual(Array.from(got.keys()).sort(), weights.map(({ path }) => path).sort());
        for (const { path, tensor } of weights) {
            const { shape, data } = /** @type {KerasWeight} */ (got.get(path));
            assert.deepEqual(shape, tensors[tensor].shape, `${name} ${path}`);
            const values = Array.from(/** @type {ArrayLike<number>} */ (data));
            assert.deepEqual(values, Array.from(tensors[tensor].data), `${name} ${path}`);
        }
    }
});

test('a layer that is not there, or one of several', { skip }, async () => {
    const hdf5 = await openKerasWeights(new Uint8Array(readFileSync(new URL('files/gqa.weights.h5', KERAS))));
    assert.throws(() => mapLayerWeights(hdf5), { code: 'keras-no-layer', message: /2 attention layers/ });
    assert.throws(() => mapLayerWeights(hdf5, 'other'), { code: 'keras-no-layer', message: /0 .* called "other"/ });
    const none = await openKerasWeights(new Uint8Array(old));
    assert.throws(() => mapLayerWeights(none), { code: 'keras-no-layer', message: /no attention layer/ });
    const key = 'layers/grouped_query_attention/_key_dense/vars/0';
    const without = { ...hdf5, datasets: new Map([...hdf5.datasets].filter(([path]) => path !== key)) };
    assert.throws(() => mapLayerWeights(without, 'layers/grouped_query_attention'), { code: 'keras-bad-layer' });
});
