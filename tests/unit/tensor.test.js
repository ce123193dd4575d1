// js/engine/tensor.js and js/engine/results.js: arguments, the two lives of a tensor, the bound on unread results.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import vm from 'node:vm';
import { Tensor, asTensorLike } from '../../js/engine/tensor.js';
import { testRuntime } from '../runtime.js';

const MIB = 1024 * 1024;

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */

/**
 * A result of `n` floats that count up from `first`.
 * @param {Runtime} runtime
 * @param {number} n
 * @param {number} [first]
 * @param {import('../../js/engine/tensor.js').DType} [dtype]
 * @returns {Tensor}
 */
function resultOf(runtime, n, first = 0, dtype = 'float32') {
    /** @type {any} */
    let out;
    return runtime._runHere('test', {
        check() {},
        record(program) {
            out = program.result(Object.freeze([n]), dtype);
            const view = dtype === 'bool' ? runtime.memory.u8(out._address, n) : runtime.memory.f32(out._address, n);
            for (let i = 0; i < n; i++) view[i] = first + i;
        },
        finish: () => out,
    });
}

/** @param {ArrayLike<number>} data @param {number} first */
function countsUp(data, first) {
    for (let i = 0; i < data.length; i++) {
        if (data[i] !== Math.fround(first + i)) return false;
    }
    return true;
}

test('a tensor holds what it was made of, and says what it is', async () => {
    const runtime = await testRuntime();
    const source = new Float32Array([1, 2, 3, 4, 5, 6]);
    const tensor = new Tensor(runtime, { shape: [2, 3], data: source });
    assert.deepEqual(tensor.shape, [2, 3]);
    assert.ok(Object.isFrozen(tensor.shape));
    assert.equal(tensor.dtype, 'float32');
    assert.equal(tensor.size, 6);
    assert.equal(tensor.byteLength, 24);
    assert.deepEqual([...tensor.data], [...source]);
    source[0] = 9;
    assert.equal(tensor.data[0], 1, 'it is a copy');
    tensor.data[1] = 8;
    assert.equal(tensor.data[1], 8, 'its data is live');
    assert.equal(tensor.data, tensor.data, 'the view is made once');

    const zeros = new Tensor(runtime, { shape: [3] });
    assert.deepEqual(zeros.data, new Float32Array(3));
    const ints = new Tensor(runtime, { shape: [2], data: new Int32Array([-5, 7]) });
    assert.equal(ints.dtype, 'int32');
    assert.deepEqual(ints.data, new Int32Array([-5, 7]));
    const bools = new Tensor(runtime, { shape: [3], data: new Uint8Array([1, 0, 1]) });
    assert.equal(bools.dtype, 'bool');
    assert.equal(bools.byteLength, 3);
    assert.deepEqual([...bools.data], [1, 0, 1]);
    assert.equal(new Tensor(runtime, { shape: [] }).size, 1);
    assert.equal(new Tensor(runtime, { shape: [0, 5] }).data.length, 0);
});

test('half-precision tensors hold what their type can represent', async () => {
    const runtime = await testRuntime();
    const data = new Float32Array([1 / 3, 65504, 1e6, -1e-8, 0.1]);
    const half = new Tensor(runtime, { shape: [5], dtype: 'float16', data });
    // IEEE binary16: 1/3 rounds to 0x3555, 1e6 overflows, -1e-8 is below half of the least subnormal, 0.1 is 0x2e66.
    assert.deepEqual([...half.data], [0.333251953125, 65504, Infinity, -0, 0.0999755859375]);
    const brain = new Tensor(runtime, { shape: [5], dtype: 'bfloat16', data });
    // The upper half of the float, to nearest even: 0x3eab, 0x4780, 0x4974, 0xb22c, 0x3dcd.
    const bits = new Uint32Array([0x3eab0000, 0x47800000, 0x49740000, 0xb22c0000, 0x3dcd0000]);
    const expected = new Float32Array(bits.buffer);
    assert.deepEqual(brain.data, expected);
    assert.equal(brain.dtype, 'bfloat16');
});

test('wrong arguments are named', async () => {
    const runtime = await testRuntime();
    for (const [init, name, message] of /** @type {[any, string, RegExp][]} */ ([
        [null, 'TypeError', /Tensor must be a tensor-like \{ shape, data \}, got null/],
        [{}, 'TypeError', /Tensor must be a tensor-like \{ shape, data \}, got an object with keys \[\]/],
        [{ shape: 3 }, 'TypeError', /Tensor\.shape must be an array of integers >= 0, got 3/],
        [{ shape: [2, -1] }, 'TypeError', /Tensor\.shape\[1\] must be an integer >= 0, got -1$/],
        [{ shape: [1.5] }, 'TypeError', /Tensor\.shape\[0\] must be an integer >= 0, got 1\.5$/],
        [{ shape: [2n] }, 'TypeError', /Tensor\.shape\[0\] must be an integer >= 0, got 2n$/],
        [{ shape: [2], dtype: 'float64' }, 'TypeError', /Tensor\.dtype must be one of 'float32'.*got "float64"/],
        [{ shape: [2], data: [1, 2] }, 'TypeError', /Tensor\.data must be a Float32Array.*got \[1, 2\]/],
        [{ shape: [2], data: new BigInt64Array(2) }, 'TypeError', /got BigInt64Array\(2\)/],
        [
            { shape: [2], dtype: 'int32', data: new Float32Array(2) }, 'TypeError',
            /Tensor\.data must be what holds dtype 'int32', got Float32Array\(2\)/,
        ],
        [{ shape: [2], data: new Float32Array(3) }, 'RangeError', /Tensor\.data must be of 2 elements, as shape \[2\] has, got 3/],
        [{ shape: [2 ** 40] }, 'RangeError', /memory exhausted/],
        [{ shape: [2 ** 30, 2 ** 30] }, 'RangeError', /Tensor\.shape must be of fewer than 2 \*\* 53 elements, got \[1/],
        [{ shape: [2 ** 50] }, 'RangeError', /memory exhausted/],
    ])) {
        const { used } = runtime.memory;
        assert.throws(() => new Tensor(runtime, init), { name, message });
        assert.equal(runtime.memory.used, used);
    }
    const wrong = /** @type {any} */ ({});
    assert.throws(() => new Tensor(wrong, { shape: [1] }), /runtime must be made by createRuntime\(\)/);
});

test('tensor-likes are checked at the door', async () => {
    const good = { shape: [2, 2], data: new Float32Array(4) };
    const given = asTensorLike(good, 'query');
    assert.deepEqual([given.shape, given.data], [good.shape, good.data]);
    assert.equal(given.data.buffer, good.data.buffer, 'nothing is copied');
    assert.equal(asTensorLike(given, 'again'), given);
    assert.equal(asTensorLike({ shape: [1], data: new Uint8Array(1) }, 'mask').dtype, 'bool');
    assert.equal(asTensorLike({ shape: [1], data: new Int32Array(1) }, 'index').dtype, 'int32');
    // From another realm `instanceof` fails, the data is as good.
    const foreign = vm.runInNewContext('({ shape: [2], data: new Float32Array([1, 2]) })');
    assert.equal(asTensorLike({ shape: [2], data: foreign.data }, 'query').dtype, 'float32');
    assert.deepEqual([...asTensorLike(foreign, 'query').data], [1, 2]);
    for (const [value, name, message] of /** @type {[any, string, RegExp][]} */ ([
        [undefined, 'TypeError', /^query must be a tensor-like \{ shape, data \}, got undefined$/],
        [3, 'TypeError', /^query must be .* got 3$/],
        [new Float32Array(3), 'TypeError', /^query must be a tensor-like .* got Float32Array\(3\) alone$/],
        [{ shape: 'x', data: good.data }, 'TypeError', /^query\.shape must be .*got "x"$/],
        [{ shape: [4] }, 'TypeError', /^query\.data must be .*got undefined$/],
        [{ shape: [4], data: new BigInt64Array(4) }, 'TypeError', /^query\.data must be .*BigInt64Array\(4\)$/],
        [{ shape: [4], data: new DataView(new ArrayBuffer(16)) }, 'TypeError', /^query\.data must be /],
        [{ shape: [5], data: good.data }, 'RangeError', /^query\.data must be of 5 elements, as shape \[5\] has, got 4$/],
    ])) {
        assert.throws(() => asTensorLike(value, 'query'), { name, message });
    }
});

test('reading a result moves it out of the memory', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const result = resultOf(runtime, 1000, 5);
    assert.ok(runtime.memory.used > used, 'unread it lies in the memory');
    assert.equal(result.size, 1000);
    assert.equal(result.byteLength, 4000);
    assert.ok(runtime.memory.used > used, 'its shape and size can be asked for without reading');
    const { data } = result;
    assert.equal(runtime.memory.used, used);
    assert.ok(data.buffer instanceof ArrayBuffer);
    assert.ok(countsUp(data, 5));
    assert.equal(result.data, data);
    data[0] = -1;
    assert.equal(result.data[0], -1, 'it is the user\'s');
    resultOf(runtime, 1000, 9).dispose();
    assert.ok(countsUp(data.subarray(1), 6), 'nothing writes to it again');
});

test('a job may read or dispose of its own results', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    /** @type {Tensor[]} */
    const out = [];
    runtime._runSync({
        check() {},
        record(program) {
            for (let i = 0; i < 3; i++) {
                out.push(program.result(Object.freeze([4]), 'float32'));
                runtime.memory.f32(out[i]._address, 4).fill(i);
            }
        },
        finish() {
            assert.deepEqual([...out[1].data], [1, 1, 1, 1]);
            out[2].dispose();
        },
    });
    assert.deepEqual([...out[0].data], [0, 0, 0, 0]);
    assert.deepEqual([...out[1].data], [1, 1, 1, 1]);
    assert.equal(out[2].disposed, true);
    assert.equal(runtime.memory.used, used);
    for (let i = 0; i < 10; i++) assert.ok(countsUp(resultOf(runtime, MIB, i).data, i), 'the list is as it should be');
});

test('results that nobody reads do not add up', async () => {
    const runtime = await testRuntime();
    const kept = [];
    const n = 5000;
    const used = runtime.explain().bytesInUse;
    for (let i = 0; i < 3000; i++) { // 60 MB in all
        const result = resultOf(runtime, n, i);
        if (i % 100 === 0) kept.push({ i, result });
    }
    assert.ok(runtime.memory.peak < 3 * MIB, `up to ${runtime.memory.peak} in use`);
    const { bytesInUse, bytesUnread } = runtime.explain();
    assert.equal(bytesInUse, used, 'they are not counted as in use');
    assert.ok(bytesUnread > 0 && bytesUnread <= MIB);
    for (const { i, result } of kept) {
        assert.ok(countsUp(result.data, i), `result ${i} reads as it was`);
    }
});

test('the bound follows large results, and small ones with them stay readable', async () => {
    const runtime = await testRuntime();
    const results = [];
    for (let i = 0; i < 12; i++) {
        results.push(resultOf(runtime, 2 * MIB, i), resultOf(runtime, 3, i), resultOf(runtime, 5, i, 'bool'));
        assert.ok(runtime.memory.used < 17 * MIB, `${runtime.memory.used} in use`);
    }
    results.forEach((result, i) => assert.ok(countsUp(result.data, Math.floor(i / 3)), `result ${i}`));
});

test('reading and disposing in any order leaves nothing behind', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const results = Array.from({ length: 50 }, (_, i) => resultOf(runtime, 100, i));
    for (const i of [0, 49, 20, 21, 19, 48]) results[i].dispose();
    for (const i of [1, 47, 22]) assert.ok(countsUp(results[i].data, i));
    for (const result of results) result.dispose();
    assert.equal(runtime.memory.used, used);
    results[5].dispose();
    assert.throws(() => results[5].data, /Tensor: this Tensor has been disposed/);
    assert.throws(() => asTensorLike(results[5], 'value'), /^Error: value: this Tensor has been disposed$/);
});

test('when the memory is full, unread results make room, but not those in use', async () => {
    const runtime = await testRuntime({ maxMemory: 8 * MIB, workers: 0 });
    const used = resultOf(runtime, 1000, 2);
    const old = resultOf(runtime, MIB, 1);
    runtime._runSync({
        check() {},
        record(program) {
            const address = program.input(used);
            program.scratch(6.5 * MIB);
            assert.equal(used._address, address);
            assert.ok(countsUp(runtime.memory.f32(address, 1000), 2));
        },
        finish() {},
    });
    assert.ok(countsUp(old.data, 1));
    assert.ok(countsUp(used.data, 2));
});

for (const shared of [true, false]) {
    test(`data is live across growth of the memory, ${shared ? 'shared' : 'private'}`, async () => {
        const runtime = await testRuntime({ _test: { shared } });
        const tensor = new Tensor(runtime, { shape: [100], data: Float32Array.from({ length: 100 }, (_, i) => i) });
        const result = resultOf(runtime, 100, 3);
        const { reserved } = runtime.memory;
        const large = new Tensor(runtime, { shape: [20 * MIB] });
        assert.ok(runtime.memory.reserved > reserved);
        assert.ok(countsUp(tensor.data, 0));
        tensor.data[7] = 70;
        assert.equal(runtime.memory.f32(tensor._address, 100)[7], 70);
        assert.ok(countsUp(result.data, 3));
        assert.equal(large.data.length, 20 * MIB);
    });
}

test('dispose frees, twice is once, and use afterwards is an error', async () => {
    const runtime = await testRuntime();
    const { used } = runtime.memory;
    const tensor = new Tensor(runtime, { shape: [10] });
    assert.equal(tensor.disposed, false);
    tensor[Symbol.dispose]();
    tensor.dispose();
    assert.equal(tensor.disposed, true);
    assert.equal(runtime.memory.used, used);
    assert.throws(() => tensor.data, /^Error: Tensor: this Tensor has been disposed$/);
});

test('a disposed runtime takes its tensors with it, arrays that were read stay', async () => {
    const runtime = await testRuntime();
    const own = new Tensor(runtime, { shape: [2], data: new Float32Array([1, 2]) });
    const unread = resultOf(runtime, 3);
    const read = resultOf(runtime, 3, 4);
    const { data } = read;
    runtime.dispose();
    for (const tensor of [own, unread, read]) {
        assert.equal(tensor.disposed, true);
        assert.throws(() => tensor.data, /Tensor: the runtime of this Tensor has been disposed/);
        tensor.dispose();
    }
    assert.ok(countsUp(data, 4));
    assert.throws(() => new Tensor(runtime, { shape: [1] }), /has been disposed/);
});
