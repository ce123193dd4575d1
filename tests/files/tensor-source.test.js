// Reading tensors: what is read and what is not, in which pieces, and how it ends.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, test } from 'node:test';
import { openModel } from '../../js/files/open.js';
import { readWeights } from '../../js/files/read-weights.js';
import { withHeader } from '../generation/checkpoint.js';
import { gguf, llamaPairs } from './gguf-writer.js';

const MIB = 1 << 20;

/** A Blob that says which of its bytes were asked for. */
class Watched extends Blob {
    /** @type {[number, number][]} */
    read = [];

    slice(from = 0, to = this.size) {
        this.read.push([from, to]);
        return super.slice(from, to);
    }

    get readBytes() {
        return this.read.reduce((sum, [from, to]) => sum + Math.min(to, this.size) - Math.min(from, this.size), 0);
    }
}

const big = () => gguf({
    pairs: llamaPairs(), tensors: [
        { name: 'rows', shape: [3000, 256] },
        { name: 'unwanted', shape: [8000, 1024], bytes: new Uint8Array(8000 * 4096) },
        { name: 'one row', shape: [MIB], bytes: new Uint8Array(4 * MIB).fill(3) },
        { name: 'last', shape: [32], type: 'Q8_0' },
    ],
});
const file = big();
const stream = (/** @type {Uint8Array} */ bytes, /** @type {number} */ size) => {
    let at = 0;
    return new ReadableStream({
        pull(controller) {
            if (at >= bytes.length) controller.close();
            else controller.enqueue(bytes.slice(at, at += size));
        },
    });
};
const sources = { bytes: () => file, Blob: () => new Blob([file]), stream: () => stream(file, 100_001) };

for (const [name, source] of Object.entries(sources)) {
    test(`pieces of whole rows, from ${name}`, async () => {
        const model = await openModel(source());
        const seen = [];
        for await (const { info, firstRow, rows, bytes } of model.read(({ name }) => name !== 'unwanted')) {
            assert.equal(bytes.length, rows * info.rowBytes);
            assert.ok(bytes.length <= MIB || rows === 1);
            seen.push([info.name, firstRow, rows]);
            if (info.name === 'rows') assert.equal(bytes[5], firstRow * 1024 + 5 & 255);
            if (info.name === 'one row') assert.ok(bytes.every((byte) => byte === 3));
        }
        assert.deepEqual(seen, [
            ['rows', 0, 1024], ['rows', 1024, 1024], ['rows', 2048, 952], ['one row', 0, 1], ['last', 0, 1],
        ]);
    });
}

test('what nobody wants is not read where that can be avoided, and no byte twice', async () => {
    const blob = new Watched([file]);
    const model = await openModel(blob);
    const header = blob.readBytes;
    assert.ok(header <= MIB);
    for await (const _ of model.read(({ name }) => name === 'last'));
    assert.ok(blob.readBytes <= 2 * MIB, `${blob.readBytes} of ${file.length}`);

    const whole = new Watched([file]);
    for await (const _ of (await openModel(whole)).read(() => true));
    assert.equal(whole.readBytes, file.length);
});

describe('an end before the end', () => {
    test('breaking out lets go of the stream', async () => {
        let cancelled = 0;
        const source = new ReadableStream({
            start: (controller) => controller.enqueue(file.slice(0, 2 * MIB)),
            cancel() { cancelled++; },
        });
        for await (const _ of (await openModel(source)).read(() => true)) break;
        assert.equal(cancelled, 1);
    });

    test('close() lets go of it, unread', async () => {
        let cancelled = 0;
        const source = new ReadableStream({
            start: (controller) => controller.enqueue(file.slice(0, 2 * MIB)),
            cancel() { cancelled++; },
        });
        (await openModel(source)).close();
        assert.equal(cancelled, 1);
    });

    test('so does a failure', async () => {
        let cancelled = 0;
        const source = new ReadableStream({
            start: (controller) => controller.enqueue(new Uint8Array(2000).fill(65)),
            cancel() { cancelled++; },
        });
        await assert.rejects(openModel(source), { code: 'wrong-file' });
        assert.equal(cancelled, 1);
    });

    for (const when of ['while opening', 'while reading']) {
        test(`a signal, ${when}`, async () => {
            const controller = new AbortController();
            const stalled = new ReadableStream({
                start: (to) => to.enqueue(file.slice(0, when === 'while opening' ? 100 : 2 * MIB)),
            });
            setTimeout(() => controller.abort(new Error('enough')), 20);
            await assert.rejects(async () => {
                const model = await openModel(stalled, { signal: controller.signal });
                for await (const _ of model.read(() => true));
            }, { message: 'enough' });
        });

        test(`a signal, ${when}, ends the read of a stream of Node's`, async () => {
            const controller = new AbortController();
            const stalled = new PassThrough();
            stalled.write(file.slice(0, when === 'while opening' ? 100 : 2 * MIB));
            setTimeout(() => controller.abort(new Error('enough')), 20);
            await assert.rejects(async () => {
                const model = await openModel(stalled, { signal: controller.signal });
                for await (const _ of model.read(() => true));
            }, { message: 'enough' });
            assert.ok(stalled.destroyed);
        });
    }

    test('a file that ends within a tensor', async () => {
        const model = await openModel(stream(file.slice(0, -40), 50000));
        await assert.rejects(async () => {
            for await (const _ of model.read(() => true));
        }, { code: 'truncated' });
    });

    test('a stream of safetensors that goes on', async () => {
        const bytes = withHeader('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', [new Uint8Array(3)]);
        const model = await openModel(stream(bytes, 10), { what: 'weights' });
        await assert.rejects(async () => {
            for await (const _ of model.read(() => true));
        }, { code: 'trailing-bytes' });
    });
});

describe('readWeights', () => {
    /** @type {import('../../js/files/read-weights.js').Decode} */
    const decode = (type, bytes, count, out) => {
        assert.equal(type, 'Q8_0');
        const quants = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
        for (let i = 0; i < count; i++) out[i] = quants[(i >> 5) * 34 + 2 + (i & 31)];
    };

    test('of safetensors: every type of number', async () => {
        const data = {
            F32: Float32Array.of(1.5, -2), F64: Float64Array.of(0.1, 3), F16: Uint16Array.of(0x3c00, 0xc000),
            BF16: Uint16Array.of(0x3f80, 0xc000), I8: Int8Array.of(-1, 2), I16: Int16Array.of(-300, 2),
            U16: Uint16Array.of(65535, 2), I32: Int32Array.of(-(2 ** 31), 2), U32: Uint32Array.of(2 ** 31 - 1, 2),
            I64: BigInt64Array.of(-5n, 2n), U64: BigUint64Array.of(5n, 2n), U8: Uint8Array.of(255, 2),
            BOOL: Uint8Array.of(1, 0),
        };
        /** @type {Record<string, { dtype: string, shape: number[], data_offsets: number[] }>} */
        const header = {};
        const parts = [];
        let end = 0;
        for (const [dtype, array] of Object.entries(data)) {
            header[dtype] = { dtype, shape: [2, 1], data_offsets: [end, end += array.byteLength] };
            parts.push(new Uint8Array(array.buffer));
        }
        header.empty = { dtype: 'F32', shape: [0, 3], data_offsets: [end, end] };
        const bytes = withHeader(JSON.stringify(header), parts);
        /** @type {Record<string, any>} */
        const want = {
            F32: Float32Array.of(1.5, -2), F64: Float32Array.of(0.1, 3), F16: Float32Array.of(1, -2),
            BF16: Float32Array.of(1, -2), I8: Int32Array.of(-1, 2), I16: Int32Array.of(-300, 2),
            U16: Int32Array.of(65535, 2),
            I32: data.I32, U32: Int32Array.of(2 ** 31 - 1, 2), I64: Int32Array.of(-5, 2), U64: Int32Array.of(5, 2),
            U8: data.U8, BOOL: data.BOOL,
            empty: new Float32Array(0),
        };
        for (const source of [bytes, stream(bytes, 3)]) {
            const weights = await readWeights(source, { decode });
            assert.deepEqual(Array.from(weights.keys()).sort(), Object.keys(want).sort());
            for (const [name, { shape, data: got, type }] of weights) {
                assert.deepEqual(got, want[name], name);
                assert.deepEqual([shape, type], name === 'empty' ? [[0, 3], 'F32'] : [[2, 1], name]);
            }
        }
    });

    test('of GGUF: quantized blocks by the decoder, more than one piece', async () => {
        const bytes = new Uint8Array(40000 * 34);
        for (let i = 0; i < bytes.length; i++) bytes[i] = i % 251;
        const tensors = [{ name: 'q', shape: [40000, 32], type: 'Q8_0', bytes }];
        const weights = await readWeights(gguf({ tensors }), { decode });
        const { shape, data } =
            /** @type {import('../../js/files/read-weights.js').WeightTensor} */ (weights.get('q'));
        assert.deepEqual(shape, [40000, 32]);
        assert.equal(data.length, 40000 * 32);
        for (const row of [0, 1, 30839, 30840, 39999]) {
            const quants = new Int8Array(bytes.buffer, row * 34 + 2, 32);
            assert.deepEqual(Array.from(data.subarray(row * 32, row * 32 + 32)), Array.from(quants));
        }
    });

    test('what has no numbers of this kind is refused by name', async () => {
        const of = (/** @type {string} */ dtype, /** @type {ArrayBufferView} */ array) => {
            const header = { x: { dtype, shape: [1], data_offsets: [0, array.byteLength] } };
            return withHeader(JSON.stringify(header), [new Uint8Array(array.buffer)]);
        };
        const tensors = [{ name: 'x', shape: [256], type: 'IQ2_XXS' }];
        for (const [source, want] of [
            [of('F8_E4M3', Uint8Array.of(1)), { code: 'weight-type', message: /F8_E4M3/ }],
            [of('I64', BigInt64Array.of(2n ** 40n)), { code: 'integer-range' }],
            [gguf({ tensors }), { code: 'weight-type', message: /IQ2_XXS/ }],
        ]) {
            await assert.rejects(readWeights(source, { decode }), want);
        }
    });
});
