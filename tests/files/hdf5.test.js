// HDF5 files: made by h5py in the oldest and the newest form of the format (make_hdf5.py says what is in them), by
// Keras itself where ../shared is there, cut and changed for each code of an error, and with seeded damage.

import { Costs } from '../fuzz/costs.js';
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { openHdf5, readHdf5 } from '../../js/files/hdf5.js';
import { checksum, Hdf5Bytes } from '../../js/files/hdf5/bytes.js';
import { weightOf } from '../../js/files/keras-weights.js';
import { rng } from '../rng.js';
import { chunkedFile } from './chunked-hdf5.js';
import { KERAS, skip } from './shared.js';

/** @typedef {import('../../js/files/hdf5.js').Hdf5Dataset} Dataset */

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 100_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a damaged file may take whatever its size. */
const BASE_BYTES = 2 ** 17;

/** @param {string} name */
const fixture = (name) => new Uint8Array(readFileSync(new URL(`fixtures/${name}.h5`, import.meta.url)));

/** @type {Record<string, string>} */
const NAMES = {
    F32: 'float32',
    F64: 'float64',
    F16: 'float16',
    BF16: 'bfloat16',
    BOOL: 'bool',
    I8: 'int8',
    I16: 'int16',
    I32: 'int32',
    I64: 'int64',
    U8: 'uint8',
    U16: 'uint16',
    U32: 'uint32',
    U64: 'uint64',
};

for (const form of ['old', 'new']) {
    test(`every type of weights, ${form} form`, () => {
        const { datasets, attributes } = readHdf5(fixture(form));
        const seen = [];
        for (const [path, dataset] of datasets) {
            const name = path.split('/').at(-1);
            const { shape, data, dtype } = weightOf(dataset);
            assert.equal(dataset.path, path);
            if (name === 'scalar') {
                assert.deepEqual([shape, Array.from(/** @type {ArrayLike<number>} */ (data))], [[], [1.5]]);
            } else if (name === 'empty') {
                assert.deepEqual([shape, data.length], [[0, 4], 0]);
            } else {
                seen.push(name);
                assert.equal(NAMES[dataset.type], name, path);
                assert.equal(dtype, name);
                assert.deepEqual(shape, name === 'bool' ? [3] : name === 'bfloat16' ? [6] : [2, 3]);
                assert.deepEqual(Array.from(data, Number), name === 'bool' ? [0, 1, 1] : [0, 1, 2, 3, 4, 5]);
            }
        }
        assert.deepEqual(seen.sort(), Object.values(NAMES).sort());
        assert.ok(datasets.has('layers/dense/vars/float32') && datasets.has('more_int16/int32'));
        assert.deepEqual(attributes.get('layers/dense/vars'), new Map([['name', 'my dense']]));
        assert.deepEqual(
            attributes.get('attributes'),
            new Map(
                /** @type {any} */ ([
                    ['text', 'été'],
                    ['fixed', 'fixed'],
                    ['list', ['a', 'bc']],
                    ['number', 2.5],
                    ['numbers', [0, 1, 2]],
                ]),
            ),
        );
    });
}

test('a group so large that its B-tree has two levels', () => {
    const { datasets } = readHdf5(fixture('many'));
    assert.equal(datasets.size, 150);
    for (let i = 0; i < 150; i++) {
        const dataset = /** @type {import('../../js/files/hdf5.js').Hdf5Dataset} */ (datasets.get(`g/dataset_${i}`));
        assert.deepEqual(Array.from(/** @type {ArrayLike<number>} */ (weightOf(dataset).data)), [i]);
    }
});

/** Features that Keras does not use: what the message names. */
const REFUSED = {
    soft_link: /symbolic link/,
    soft_link_new: /soft link/,
    hard_link: /two links/,
    cycle: /cycle/,
    strings: /strings/,
    compound: /compound/,
    named_type: /shared/,
    opaque: /opaque/,
    enumeration: /not a bool/,
    external: /another file/,
};

for (const [name, words] of Object.entries(REFUSED)) {
    test(`refused by name: ${name}`, () => {
        assert.throws(
            () => readHdf5(fixture(name)),
            (error) => {
                assert.ok(error instanceof FormatError);
                assert.equal(error.code, 'hdf5-unsupported');
                assert.match(error.message, words);
                return true;
            },
        );
    });
}

/** What h5py writes otherwise than Keras, in small: shapes of zeros. @type {Record<string, number[]>} */
const ZEROS = { chunks: [4, 4], gzip: [4, 4], big_endian: [3], unwritten: [3], many_attributes: [] };

for (const [name, shape] of Object.entries(ZEROS)) {
    test(`read: ${name}`, async () => {
        const { datasets } = await openHdf5(fixture(name));
        assert.deepEqual(Array.from(datasets.keys()), ['a']);
        const { shape: got, data } = weightOf(/** @type {Dataset} */ (datasets.get('a')));
        assert.deepEqual(got, shape);
        assert.deepEqual(Array.from(data, Number), new Array(shape.reduce((a, b) => a * b, 1)).fill(0));
    });
}

for (const [name, length] of /** @type {const} */ ([['many_links', 20], ['most_links', 100]])) {
    test(`read: ${name}, in the order of their names`, async () => {
        const { datasets } = await openHdf5(fixture(name));
        const names = Array.from({ length }, (_, i) => String(i)).sort();
        assert.deepEqual(Array.from(datasets, ([path, dataset]) => [path, weightOf(dataset).data[0]]), names.map((each) => [each, Number(each)]));
    });
}

/** @param {number} length */
const count = (length) => Array.from({ length }, (_, i) => i);

for (const form of /** @type {const} */ (['old', 'new'])) {
    test(`chunks, filters, fill values and the other order of bytes, ${form} form`, async () => {
        const { datasets, attributes } = await openHdf5(chunkedFile(form));
        const got = Object.fromEntries(Array.from(datasets, ([path, dataset]) => {
            const { shape, data, dtype } = weightOf(dataset);
            return [path, [dtype, shape, Array.from(data, Number)]];
        }));
        assert.deepEqual(got, {
            gzip: ['float32', [5, 7], count(35)],
            big: ['int16', [2, 3, 4], count(24)],
            part: ['float32', [4, 5], [0, 1, 2, 7, 7, 3, 4, 5, 7, 7, ...new Array(10).fill(7)]],
            one: ['float64', [6], count(6)],
            small: ['uint8', [3], count(3)],
            fill: ['int32', [3], [-2, -2, -2]],
        });
        assert.deepEqual(attributes.get('fill'), new Map([['big', [258]]]), 'those of other types are left out');
    });
}

test('chunks that are damaged, or would become too much', async () => {
    const file = chunkedFile('old');
    const at = Buffer.from(file).indexOf(Buffer.from([0x78, 0x5e])); // deflate's header
    const changed = (/** @type {number} */ place, /** @type {number} */ value) => {
        const bytes = file.slice();
        bytes[place] = value;
        return openHdf5(bytes);
    };
    await assert.rejects(changed(at, 0), { code: 'hdf5-invalid', message: /a chunk of gzip|the checksum/ });
    // Before the chunk's own checksum inflate's: the last but a few bytes.
    await assert.rejects(changed(at + 20, file[at + 20] ^ 255), { code: 'hdf5-invalid', message: /a chunk of/ });
    const sizes = Buffer.from(file).indexOf(Buffer.from(Uint32Array.of(2, 3, 4).buffer)); // a chunk's sides, in its layout
    await assert.rejects(changed(sizes + 3, 0x10), { code: 'hdf5-invalid', message: /chunks of \[/ });
    // One alone would do.
    await assert.rejects(changed(sizes + 1, 0x80), { code: 'hdf5-invalid', message: /more than 64 times/ });
    const width = Buffer.from(file).indexOf('shuffle\0') + 8;
    await assert.rejects(changed(width + 3, 0x7f), { code: 'hdf5-invalid', message: /shuffled by 2130706436/ });
    const recent = chunkedFile('new');
    const index = Buffer.from(recent).indexOf('FADB') + 14; // an address of a chunk
    recent[index] ^= 1;
    await assert.rejects(openHdf5(recent), { code: 'hdf5-invalid', message: /the checksum of the index of/ });
    const random = rng(5);
    const below = (/** @type {number} */ n) => Math.floor(random() * n);
    const files = /** @type {const} */ (['old', 'new']).map(chunkedFile);
    for (let round = 0; round < 600; round++) {
        const bytes = files[round % 2].slice();
        for (let i = 0; i <= below(4); i++) bytes[below(bytes.length)] ^= 1 << below(8);
        await openHdf5(round % 5 === 0 ? bytes.subarray(0, below(bytes.length)) : bytes).catch((error) => {
            assert.ok(error instanceof FormatError, `round ${round}: ${error.stack}`);
        });
    }
});

test('the fixtures are the ones that are tested', () => {
    const files = readdirSync(new URL('fixtures/', import.meta.url)).filter((name) => name.endsWith('.h5'));
    assert.deepEqual(
        files.sort(),
        [...Object.keys(REFUSED), ...Object.keys(ZEROS), 'many_links', 'most_links', 'old', 'new', 'many', 'user_block'].sort().map((n) => `${n}.h5`),
    );
});

/** @param {Uint8Array} bytes @param {string} code @param {RegExp} words */
function refuses(bytes, code, words) {
    assert.throws(
        () => readHdf5(bytes),
        (/** @type {Error} */ error) => {
            assert.ok(error instanceof FormatError, error.stack);
            assert.equal(error.code, code, error.message);
            assert.match(error.message, words);
            return true;
        },
    );
}

/** @param {string} name @param {(bytes: Uint8Array, view: DataView, find: (text: string) => number) => void} change */
function changed(name, change) {
    const bytes = fixture(name);
    const find = (/** @type {string} */ text) => Buffer.from(bytes.buffer).indexOf(text, 0, 'latin1');
    change(bytes, new DataView(bytes.buffer), find);
    return bytes;
}

test('hdf5-truncated: something lies behind the end', () => {
    const whole = fixture('old');
    for (let length = 0; length < whole.length; length += length < 200 ? 1 : 97) {
        refuses(whole.subarray(0, length), 'hdf5-truncated', /HDF5: /);
    }
    refuses(
        changed('old', (_, view, find) => view.setBigUint64(find('HEAP') + 24, 1n << 40n, true)),
        'hdf5-truncated',
        /behind the end/,
    );
});

test('hdf5-invalid: the file contradicts itself', () => {
    refuses(new TextEncoder().encode('something else altogether'), 'hdf5-invalid', /signature/);
    refuses(fixture('user_block'), 'hdf5-invalid', /signature/);
    refuses(
        changed('old', (bytes, _, find) => (bytes[find('SNOD')] = 0x52)),
        'hdf5-invalid',
        /begin with SNOD/,
    );
    refuses(
        changed('old', (bytes, _, find) => (bytes[find('TREE') + 4] = 1)),
        'hdf5-invalid',
        /not of a group/,
    );
    refuses(
        changed('old', (_, view, find) => view.setBigUint64(find('SNOD') + 8, 1n << 20n, true)),
        'hdf5-invalid',
        /outside its heap/,
    );
    refuses(
        changed('old', (_, view, find) => view.setBigUint64(find('SNOD') + 8, 1n << 60n, true)),
        'hdf5-invalid',
        /beyond 2\^53/,
    );
    refuses(
        changed('new', (bytes, _, find) => (bytes[find('OHDR') + 30] ^= 1)),
        'hdf5-invalid',
        /checksum/,
    );
    refuses(
        changed('new', (bytes) => (bytes[44] ^= 1)),
        'hdf5-invalid',
        /checksum of the superblock/,
    );
});

test('hdf5-invalid: names are one to a group, and structures that overlap are paid for again', () => {
    const twice = changed('old', (_, view, find) => {
        const first = find('SNOD') + 8;
        view.setBigUint64(first + 40, view.getBigUint64(first, true), true);
    });
    refuses(twice, 'hdf5-invalid', /of one name/);
    const file = new Hdf5Bytes(new Uint8Array(100));
    for (let i = 0; i < 4; i++) file.claim(0, 100, 'a heap');
    assert.throws(() => file.claim(0, 1, 'a heap'), { code: 'hdf5-invalid', message: /overlap/ });
});

test('the checksum is lookup3', () => {
    // From the comments of Bob Jenkins's lookup3.c.
    assert.equal(checksum(new Uint8Array(0)), 0xdeadbeef);
    assert.equal(checksum(new TextEncoder().encode('Four score and seven years ago')), 0x17770551);
});

/** @typedef {{ path: string, shape?: number[], dtype?: string, attrs?: any }} Node of a file's tree */

test('files of Keras: every dataset and group that its own reader found', { skip }, () => {
    const folder = new URL('files/', KERAS);
    /** @type {{ models: { weights_h5: string, h5_tree: Node[] }[] }} */
    const { models } = JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8'));
    for (const { weights_h5: file, h5_tree: tree } of models) {
        const { datasets, attributes } = readHdf5(new Uint8Array(readFileSync(new URL(file, folder))));
        const wanted = tree.filter(({ shape }) => shape);
        assert.deepEqual(
            Array.from(datasets.values(), ({ path, shape, type }) => [path, shape, NAMES[type]]),
            wanted.map(({ path, shape, dtype }) => [path, shape, dtype]),
            file,
        );
        const named = tree
            .filter(({ attrs }) => attrs)
            .map(({ path, attrs }) => [path, new Map(Object.entries(attrs))]);
        assert.deepEqual(Array.from(attributes), named, file);
    }
});

test(`${ROUNDS} damaged files, seed ${SEED}`, () => {
    const files = ['old', 'new', 'many', 'many_links', 'most_links'].map(fixture);
    const random = rng(SEED);
    const below = (/** @type {number} */ n) => Math.floor(random() * n);
    /** Zeros are often padding, so other bytes are hit rather. */
    const place = (/** @type {Uint8Array} */ bytes) => {
        let at = below(bytes.length);
        for (let i = 0; i < 6 && bytes[at] === 0; i++) at = below(bytes.length);
        return at;
    };
    const word = (/** @type {Uint8Array} */ bytes) => below(bytes.length - 8) & ~7;
    /** @type {((bytes: Uint8Array, view: DataView) => Uint8Array | void)[]} */
    const damage = [
        (bytes) => {
            for (let i = 0; i <= below(4); i++) bytes[place(bytes)] ^= 1 << below(8);
        },
        (bytes) => {
            bytes[place(bytes)] = below(256);
        },
        (bytes) => bytes.slice(0, below(bytes.length)),
        (bytes, view) => {
            const n = BigInt(bytes.length);
            const values = [0n, 1n, n, n - 1n, BigInt(below(bytes.length)), 1n << 40n, (1n << 64n) - 1n];
            view.setBigUint64(word(bytes), values[below(values.length)], true);
        },
        (bytes) => {
            bytes.copyWithin(word(bytes), word(bytes), word(bytes) + 1 + below(200));
        },
        (bytes, view) => view.setBigUint64(word(bytes), view.getBigUint64(word(bytes), true), true),
    ];
    const seen = new Map();
    const costs = new Costs(SEED, { base: BASE_BYTES });
    for (let round = 0; round < ROUNDS; round++) {
        const copy = files[below(files.length)].slice();
        const bytes = damage[below(damage.length)](copy, new DataView(copy.buffer)) ?? copy;
        costs.begin();
        let outcome = 'reads';
        try {
            for (const dataset of readHdf5(bytes).datasets.values()) {
                assert.equal(
                    weightOf(dataset).data.length,
                    dataset.shape.reduce((a, b) => a * b, 1),
                );
            }
        } catch (error) {
            assert.ok(error instanceof FormatError, `round ${round}: ${/** @type {Error} */ (error).stack}`);
            assert.ok(error.message.length < 400, error.message);
            outcome = error.code;
        }
        costs.end(bytes.length, `round ${round}`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
    assert.deepEqual([...seen.keys()].sort(), ['hdf5-invalid', 'hdf5-truncated', 'hdf5-unsupported', 'reads']);
});
