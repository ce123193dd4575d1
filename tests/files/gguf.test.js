// The GGUF reader: every type of value, one malformed file per code, sizes known and not.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { WEIGHT } from '../../js/engine/weight-types.js';
import { GGML_TYPES, requireWeightType } from '../../js/files/ggml-types.js';
import { readGguf } from '../../js/files/gguf.js';
import { openModel } from '../../js/files/open.js';
import { openFile } from '../../js/files/source.js';
import { sharedFolder } from '../shared.js';
import { gguf, llama, llamaPairs, llamaTensors, pair, string } from './gguf-writer.js';

/** What hangs takes longer than a busy machine. */
const HANG_MS = 30_000;

/**
 * The same bytes with their size known, and as a stream in pieces of which it is not: small ones, or all in a Buffer, as
 * Node's streams have them, whose slice() is no copy.
 * @type {Record<string, (bytes: Uint8Array, size?: number) => Uint8Array | ReadableStream<Uint8Array>>}
 */
const FORMS = {
    bytes: (bytes) => bytes,
    stream: (bytes, size = 7) => {
        let at = 0;
        return new ReadableStream({
            pull(controller) {
                if (at >= bytes.length) controller.close();
                else controller.enqueue(bytes.slice(at, at += size));
            },
        });
    },
    buffer: (bytes) => new ReadableStream({
        start(controller) {
            controller.enqueue(Buffer.concat([Buffer.alloc(8), bytes]).subarray(8));
            controller.close();
        },
    }),
};
/** @param {Uint8Array | ReadableStream<Uint8Array>} source */
const read = async (source) => readGguf(await openFile(source), 'it');

/** @type {[string, any][]} */
const SCALARS = [
    ['u8', 255], ['i8', -128], ['u16', 65535], ['i16', -32768], ['u32', 4294967295], ['i32', -2147483648], ['f32', 1.5],
    ['bool', true], ['string', 'a€😀'], ['u64', 2 ** 53 - 1], ['i64', -(2 ** 53) + 1], ['f64', 1e300],
];

for (const [form, source] of Object.entries(FORMS)) {
    describe(`from ${form}`, () => {
        test('every type of value, and arrays of each', async () => {
            /** @type {(type: string, value: any) => [string, string, any]} */
            const one = (type, value) => [`one.${type}`, type, value];
            /** @type {(type: string, value: any) => [string, string, any]} */
            const many = (type, value) => [`many.${type}`, `array of ${type}`, [value, value, value]];
            /** @type {[string, string, any][]} */
            const pairs = [
                ...SCALARS.map(([type, value]) => one(type, value)),
                ...SCALARS.map(([type, value]) => many(type, value)),
                ['none', 'array of u32', []], ['no strings', 'array of string', []],
                ['nested', 'array of array of u8', [[1, 2], [], [3]]],
                ['big', 'u64', 2n ** 64n - 1n], ['', 'u8', 1],
            ];
            const { pairs: got } = await read(source(gguf({ pairs })));
            const value = (/** @type {string} */ key) => got.get(key)?.value;
            for (const [type, want] of SCALARS) {
                assert.deepEqual(got.get(`one.${type}`), { type, value: want });
                const list = Array.from(value(`many.${type}`), (one) => (type === 'string' ? one : Number(one)));
                assert.deepEqual(list, Array(3).fill(type === 'string' ? want : Number(want)));
            }
            assert.ok(value('many.u16') instanceof Uint16Array && value('many.f64') instanceof Float64Array);
            assert.equal(value('none').length, 0);
            assert.deepEqual(value('no strings'), []);
            /** @type {Uint8Array[]} */
            const nested = value('nested');
            assert.deepEqual(nested.map((list) => Array.from(list)), [[1, 2], [], [3]]);
            assert.equal(value('big'), 2n ** 64n - 1n);
            assert.equal(value(''), 1);
        });

        test('tensors: shapes outermost first, types, places', async () => {
            for (const version of [2, 3]) {
                const { entries, end } = await read(source(gguf({ version, tensors: llamaTensors(), trailing: 5 })));
                assert.deepEqual(entries.map(({ info }) => info.name), llamaTensors().map(({ name }) => name));
                const { info, begin } = entries[0];
                assert.deepEqual(info, {
                    name: 'token_embd.weight', shape: [6, 32], type: 'Q8_0', bytes: 204, rows: 6, rowBytes: 34,
                });
                assert.equal(begin % 32, 0);
                assert.equal(end, entries.at(-1)?.end);
                assert.deepEqual([entries[1].info.rows, entries[1].info.rowBytes], [1, 128]);
            }
        });

        test('another alignment', async () => {
            const file = gguf({ pairs: [['general.alignment', 'u32', 64]], tensors: llamaTensors(), alignment: 64 });
            assert.ok((await read(source(file))).entries.every(({ begin }) => begin % 64 === 0));
        });

        for (const [code, what, file] of malformed()) {
            test(`${code}: ${what}`, async () => {
                const start = performance.now();
                await assert.rejects(read(source(file, 4096)), (/** @type {Error} */ error) => {
                    assert.ok(error instanceof FormatError, error.stack);
                    // Where the size is not known, a length is too large only when no file is so long.
                    assert.equal(error.code, code, error.message);
                    assert.ok(error.message.length < 400, error.message);
                    return true;
                });
                assert.ok(performance.now() - start < HANG_MS, 'refused at once');
            });
        }
    });
}

/** @returns {Generator<[code: string, what: string, file: Uint8Array]>} */
function* malformed() {
    /** @type {[string, string, any][]} */
    const u32 = [['a', 'u32', 1]];
    /** @param {Record<string, any>} tensor what differs from a good one */
    const one = (tensor) => gguf({ tensors: [{ name: 'x', shape: [4], ...tensor }] });
    const whole = llama();
    yield ['wrong-file', 'another magic', gguf({ magic: 'GGUf' })];
    for (const version of [0, 1, 4, 0x03000000]) yield ['version', `${version}`, gguf({ version })];
    yield ['truncated', 'empty', new Uint8Array(0)];
    yield ['truncated', 'within the counts', gguf({}).slice(0, 20)];
    yield ['truncated', 'within a key', whole.slice(0, 60)];
    yield ['truncated', 'within an array', whole.slice(0, 800)];
    yield ['too-large', 'more pairs than any file has', gguf({ pairs: u32, pairCount: 2n ** 60n })];
    yield ['too-large', 'more tensors than any file has', gguf({ tensorCount: 2n ** 64n - 1n })];
    /** @param {number} type @param {bigint} count */
    const claim = (type, count) => gguf({ pairs: [Buffer.concat([string('a'), Buffer.from([9, 0, 0, 0]),
        Buffer.from([type, 0, 0, 0]), Buffer.from(BigUint64Array.of(count).buffer)])] });
    yield ['too-large', 'an array of 2^60 numbers', claim(4, 2n ** 60n)];
    yield ['too-large', 'an array of 2^61 numbers of 8 bytes', claim(10, 2n ** 61n)];
    yield ['too-large', 'an array of 2^32 strings', claim(8, 2n ** 32n)];
    yield ['too-large', 'an array of a million arrays', claim(9, 10n ** 6n)];
    const long = pair('a', 'string', '');
    long.writeBigUInt64LE(2n ** 64n - 1n, long.length - 8);
    yield ['too-large', 'a string of 2^64 - 1 bytes', gguf({ pairs: [long] })];
    const type = pair('a', 'u32', 1);
    type.writeUInt32LE(13, type.length - 8);
    yield ['bad-type', 'an unknown type of value', gguf({ pairs: [type] })];
    yield ['bad-type', 'an unknown type in an array', claim(13, 0n)];
    yield ['bad-type', 'arrays too deep', gguf({ pairs: [['a', `${'array of '.repeat(5)}u8`, [[[[[]]]]]]] })];
    yield ['bad-type', 'the alignment a string', gguf({ pairs: [['general.alignment', 'string', '32']] })];
    for (const value of [0, 48, 2 ** 31]) {
        yield ['bad-value', `an alignment of ${value}`, gguf({ pairs: [['general.alignment', 'u32', value]] })];
    }
    yield ['bad-value', 'a boolean of 2', gguf({ pairs: [['a', 'bool', 2]] })];
    yield ['bad-value', 'a key that is not UTF-8', gguf({ pairs: [pair(Buffer.from([0xff]), 'u8', 1)] })];
    yield ['bad-value', 'a token that is not UTF-8', gguf({
        pairs: [['tokenizer.ggml.tokens', 'array of string', [Buffer.from([0x80])]]],
    })];
    yield ['duplicate-name', 'a key', gguf({ pairs: [...u32, ...u32] })];
    yield ['duplicate-name', 'a tensor', gguf({ tensors: [{ name: 'x', shape: [1] }, { name: 'x', shape: [1] }] })];
    yield ['bad-tensor', 'a long name', one({ name: 'x'.repeat(65) })];
    yield ['bad-tensor', 'no dimension', one({ shape: [] })];
    yield ['bad-tensor', 'five dimensions', one({ shape: [1, 1, 1, 1, 1] })];
    yield ['bad-tensor', 'a dimension of 0', one({ shape: [0, 4] })];
    yield ['bad-tensor', 'a product beyond 2^53', one({ shape: [2n ** 33n, 2n ** 33n], bytes: new Uint8Array(32) })];
    const wrap = { shape: [2n ** 32n, 2n ** 32n], bytes: new Uint8Array(32) };
    yield ['bad-tensor', 'a product of 0 modulo 2^64', one(wrap)];
    yield ['bad-tensor', 'an unknown type', one({ id: 200 })];
    yield ['bad-tensor', 'a removed type', one({ id: 4 })];
    yield ['bad-tensor', 'rows of broken blocks', one({ shape: [2, 33], id: 8, bytes: new Uint8Array(96) })];
    yield ['bad-offsets', 'not aligned', one({ offset: 4 })];
    yield ['bad-offsets', 'beyond everything', one({ offset: 2n ** 64n - 32n })];
    yield ['bad-offsets', 'one over the other', gguf({
        tensors: [{ name: 'x', shape: [16] }, { name: 'y', shape: [16], offset: 32 }],
    })];
}

test('where the size is known, tensors beyond the end are noticed at once', async () => {
    const file = llama();
    await assert.rejects(read(file.slice(0, -40)), { code: 'truncated' });
    await assert.rejects(read(gguf({ tensors: [{ name: 'x', shape: [4], offset: 64 }] })), { code: 'bad-offsets' });
});

test('a description in another encoding does no harm', async () => {
    const { pairs } = await read(gguf({ pairs: [['general.author', 'string', Buffer.from([0x4a, 0xf6])]] }));
    assert.equal(pairs.get('general.author')?.value, 'J\ufffd');
});

test('a stream that never ends is refused, and not kept', { timeout: 60_000 }, async () => {
    const head = gguf({ pairs: llamaPairs(), pairCount: 60000 });
    const filler = new Uint8Array(1 << 20);
    let sent = 0;
    const stream = new ReadableStream({
        pull(controller) {
            controller.enqueue(sent++ === 0 ? head : filler);
        },
    });
    await assert.rejects(read(stream), (error) => error instanceof FormatError);
    assert.ok(sent < 300);
});

test('names of types, and which of them weights may have', () => {
    for (const [id, { name, block, bytes }] of GGML_TYPES) {
        assert.ok(Number.isInteger(id) && block > 0 && bytes > 0 && name !== '');
    }
    const of = (/** @type {string} */ type) => () =>
        requireWeightType({ name: 'x', shape: [1], type, bytes: 1, rows: 1, rowBytes: 1 });
    assert.doesNotThrow(of('Q4_K'));
    assert.throws(of('IQ2_XXS'), { code: 'weight-type', message: /"x" is IQ2_XXS/ });
    assert.throws(of('F8_E4M3'), { code: 'weight-type' });
});

// Decided from the tensors' names and shapes, or by the tokenizer: not here.
const LATER = new Set(['missing-tensor', 'shape', 'bad-tokenizer', 'architecture']);
const SHARED = sharedFolder('models/gguf/');

test('malformed files of ../shared', { skip: SHARED ? false : '../shared is absent' }, async () => {
    const { cases } = JSON.parse(readFileSync(new URL('malformed/malformed.json', SHARED), 'utf8'));
    for (const { file, expect, what } of cases) {
        const bytes = readFileSync(new URL(`malformed/${file}`, SHARED));
        for (const source of [bytes, FORMS.stream(bytes, 1000)]) {
            /** @type {Error | null} */
            let error = null;
            const start = performance.now();
            try {
                const model = await openModel(source);
                assert.equal(typeof model.config, 'object');
                for await (const _ of model.read(() => true));
                model.close();
            } catch (cause) {
                error = /** @type {Error} */ (cause);
            }
            const ms = performance.now() - start;
            assert.ok(error === null || error instanceof FormatError, `${file}: ${error?.stack}`);
            assert.ok(expect !== 'ok' || error === null, `${file} must load (${what}): ${error?.message}`);
            assert.ok(expect === 'ok' || expect === 'either' || LATER.has(expect) || error !== null,
                `${file} must be refused (${expect}: ${what})`);
            assert.ok(ms < HANG_MS, `${file}: ${ms} ms`);
        }
    }
});

test('types that the core computes with are ggml\'s, but for plain integers and Keras\'s', () => {
    const { I8, I4, ...others } = WEIGHT;
    for (const type of [I8, I4]) assert.equal(GGML_TYPES.get(type.ggml), undefined);
    for (const { name, block, bytes, ggml } of Object.values(others)) assert.deepEqual(GGML_TYPES.get(ggml), { name, block, bytes });
});

test('types of ../shared', { skip: SHARED ? false : '../shared is absent' }, () => {
    const { types } = JSON.parse(readFileSync(new URL('quants/quants.json', SHARED), 'utf8'));
    for (const { type, id, block, bytes } of types) {
        assert.deepEqual(GGML_TYPES.get(id), { name: type, block, bytes });
    }
});
