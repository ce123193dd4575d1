// The same bits for any number of workers, whoever runs what; and the order of calls where the caller must not block.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tensor, asTensorLike } from '../../js/engine/tensor.js';
import { createRuntime } from '../../js/engine/create-runtime.js';
import { chooseVariant } from '../../js/engine/wasm.js';
import { SIMD, testRuntime } from '../binary.js';
import { Block } from './jobs.js';

const timeout = 400_000;

/** Decode and prefill, short and long pasts (the long one is cut over its positions), widths that pad a panel. */
const SIZES = [
    { t: 1, s: 64, heads: 4, d: 64 },
    { t: 1, s: 5000, heads: 3, d: 32 },
    { t: 7, s: 777, heads: 2, d: 36 },
    { t: 130, heads: 6, d: 20 },
];

test('bit-identical for 0, 1, 2, 3 and 5 workers, whether the caller blocks or not', { timeout }, async () => {
    /** @type {Map<object, Uint32Array>} */
    const expected = new Map();
    for (const mayBlock of [true, false]) {
        for (const workers of [0, 1, 2, 3, 5]) {
            const runtime = await testRuntime({ workers, _test: { mayBlock } });
            for (const sizes of SIZES) {
                const block = new Block(runtime, sizes);
                for (let repeat = 0; repeat < 20; repeat++) {
                    const { data } = await runtime._run(block);
                    const bits = new Uint32Array(data.slice().buffer);
                    if (!expected.has(sizes)) {
                        assert.ok(data.every(Number.isFinite));
                        assert.ok(data.some((value) => value !== 0));
                        expected.set(sizes, bits);
                    }
                    assert.deepEqual(bits, expected.get(sizes), `${workers} workers, t ${sizes.t}, repeat ${repeat}`);
                }
            }
            runtime.dispose();
        }
    }
});

test('workers do compute: where the caller must not block they do it alone', { timeout }, async () => {
    // Guards the test above against comparing the caller with itself.
    const runtime = await testRuntime({ workers: 1, _test: { mayBlock: false } });
    const block = new Block(runtime, SIZES[3]);
    const call = runtime._run(block);
    assert.equal(runtime._busy, true, 'nothing has been computed yet, and the caller is out of it');
    assert.ok((await call).data.every(Number.isFinite));
});

test('private memory, which has no workers, gives the same bits', { timeout }, async () => {
    const shared = await testRuntime({ workers: 2 });
    const single = await testRuntime({ workers: 2, _test: { shared: false } });
    assert.equal(shared.explain().memory, 'shared');
    const { memory, workers, fallbacks } = single.explain();
    assert.equal(memory, 'private');
    assert.equal(workers, 0);
    assert.match(fallbacks.join('\n'), /workers 0: this context is not cross-origin isolated/);
    for (const sizes of SIZES) {
        const a = shared._runSync(new Block(shared, sizes)).data;
        const b = single._runSync(new Block(single, sizes)).data;
        assert.deepEqual(a, b);
    }
});

test('explain() says what there is', { timeout }, async () => {
    const runtime = await testRuntime({ workers: 2 });
    const { variant, simd, ...rest } = runtime.explain();
    assert.ok(SIMD === 'auto' || variant === SIMD);
    assert.ok(simd.length > 0);
    const { bytesInUse, bytesUnread, bytesSpare, bytesReserved, maxMemory, fallbacks, byteProducts, ...exact } = rest;
    assert.ok((variant === 'relaxed' ? [4, 2] : [0]).includes(byteProducts), `${byteProducts} for ${variant}`);
    assert.equal(bytesUnread, 0);
    assert.equal(bytesSpare, 0);
    assert.deepEqual(exact, { memory: 'shared', workers: 2, threads: 3 });
    assert.ok(bytesInUse > 0 && bytesInUse <= bytesReserved && bytesReserved <= maxMemory);
    assert.ok(Array.isArray(fallbacks));
    fallbacks.push('changed');
    assert.ok(!runtime.explain().fallbacks.includes('changed'));
    const page = await testRuntime({ workers: 2, _test: { mayBlock: false } });
    assert.equal(page.explain().threads, 2, 'the caller does not compute');
    const auto = await testRuntime({ workers: 'auto' });
    assert.ok(auto.explain().workers <= 15);
    const small = await testRuntime({ maxMemory: 4 * 2 ** 20, workers: 0 });
    assert.equal(small.explain().maxMemory, 4 * 2 ** 20);
});

test('wrong options are named', async () => {
    for (const [options, name, message] of /** @type {[any, string, RegExp][]} */ ([
        [null, 'TypeError', /the options of createRuntime must be an object, got null/],
        [{ threads: 2 }, 'TypeError', /options of createRuntime must be of workers, simd, maxMemory, wasm, worker, got "threads"/],
        [{ wasm: 3 }, 'TypeError', /wasm must be a URL, bytes, a WebAssembly.Module or/],
        [{ wasm: { relaxed: 'a.wasm' } }, 'TypeError', /wasm must be a URL/],
        [{ wasm: new Uint8Array(8) }, 'Error', /wasm must be a wasm binary, got .*; say where it is with createRuntime/],
        [{ wasm: 'no/such.wasm' }, 'Error', /cannot read .*no.such\.wasm, the wasm binary/],
        [{ worker: 2 }, 'TypeError', /worker must be a URL or a function that returns a Worker, got 2/],
        [{ workers: '2' }, 'TypeError', /workers must be a number or 'auto', got "2"/],
        [{ workers: -1 }, 'RangeError', /workers must be an integer from 0 to 255, got -1/],
        [{ workers: 1.5 }, 'RangeError', /got 1\.5/],
        [{ workers: 1000 }, 'RangeError', /got 1000/],
        [{ simd: 'avx' }, 'TypeError', /simd must be 'auto', 'relaxed' or 'simd128', got "avx"/],
        [{ maxMemory: '1 GB' }, 'TypeError', /maxMemory must be a number of bytes, got "1 GB"/],
        [{ maxMemory: 1000 }, 'RangeError', /maxMemory must be an integer of at least 1048576 bytes, got 1000/],
        [{ maxMemory: NaN }, 'RangeError', /got NaN/],
        [{ maxMemory: 2 ** 20, workers: 20 }, 'RangeError', /memory exhausted/],
    ])) {
        await assert.rejects(createRuntime(options), { name, message });
    }
});

test('an engine without relaxed SIMD, or without SIMD', async () => {
    const engine = WebAssembly;
    const { validate } = engine;
    try {
        // 253, 133, 2 = f32x4.relaxed_madd
        WebAssembly.validate = (bytes) => !(/** @type {Uint8Array} */ (bytes).includes(133)) && validate(bytes);
        const runtime = await createRuntime({ workers: 0 });
        assert.equal(runtime.explain().variant, 'simd128');
        const fallbacks = runtime.explain().fallbacks.join('\n');
        assert.match(fallbacks, /simd128 instead of relaxed SIMD: the engine does not validate/);
        runtime.dispose();
        await assert.rejects(createRuntime({ workers: 0, simd: 'relaxed' }),
            /simd: 'relaxed' was asked for, and this engine has no relaxed SIMD/);
        WebAssembly.validate = () => false;
        await assert.rejects(createRuntime({ workers: 0 }), /this engine has no WebAssembly SIMD/);
        // As with --jitless in Node, and in Safari's Lockdown Mode.
        globalThis.WebAssembly = /** @type {any} */ (undefined);
        await assert.rejects(createRuntime({ wasm: 'a.wasm' }), /this engine has no WebAssembly SIMD/);
    } finally {
        globalThis.WebAssembly = engine;
        WebAssembly.validate = validate;
    }
});

test('an engine whose relaxed multiply-add rounds twice, as on processors that cannot fuse it', async () => {
    const { validate, Module, Instance } = WebAssembly;
    const answers = [0, 2 ** -24];
    try {
        WebAssembly.validate = () => true;
        WebAssembly.Module = /** @type {any} */ (class {});
        WebAssembly.Instance = /** @type {any} */ (class {
            exports = { f: () => answers.shift() };
        });
        assert.equal(chooseVariant('relaxed').variant, 'relaxed');
        assert.equal(chooseVariant('simd128').variant, 'simd128');
        const { variant, fallbacks } = chooseVariant('auto');
        assert.equal(variant, 'simd128');
        assert.match(fallbacks.join(), /simd128 instead of relaxed SIMD: .* does not fuse its multiply-add; simd: 'relaxed' takes it/);
        assert.equal(chooseVariant('auto').variant, 'relaxed');
        // A page's policy: the binary's refusal says it.
        WebAssembly.Instance = /** @type {any} */ (class {
            constructor() { throw new WebAssembly.CompileError('blocked by CSP'); }
        });
        assert.equal(chooseVariant('auto').variant, 'relaxed');
    } finally {
        Object.assign(WebAssembly, { validate, Module, Instance });
    }
});

/** A job that writes `value` and notes when it is recorded. */
class Note {
    /**
     * @param {import('../../js/engine/runtime.js').Runtime} runtime
     * @param {import('../../js/engine/tensor.js').Held} input
     * @param {string[]} log
     * @param {string} name
     */
    constructor(runtime, input, log, name) {
        this.input = runtime._capture(input);
        this.runtime = runtime;
        this.log = log;
        this.name = name;
        this.seen = NaN;
    }

    check() {}

    /** @param {import('../../js/engine/program.js').Program} program */
    record(program) {
        this.log.push(`record ${this.name}`);
        this.seen = program.floats[program.input(this.input) / 4];
    }

    finish() {
        this.log.push(`finish ${this.name}`);
        return this.seen;
    }
}

test('where the caller must not block, calls run in order and see their inputs as they were', { timeout }, async () => {
    const runtime = await testRuntime({ workers: 2, _test: { mayBlock: false } });
    /** @type {string[]} */
    const log = [];
    const plain = { shape: [1], data: new Float32Array([1]) };
    const tensor = new Tensor(runtime, { shape: [1], data: new Float32Array([2]) });
    const half = new Tensor(runtime, { shape: [1], dtype: 'float16', data: new Float32Array([3]) });
    const given = asTensorLike(plain, 'input');
    assert.equal(runtime._capture(given), given, 'nothing is copied while nothing is pending');
    const first = runtime._run(new Block(runtime, SIZES[3]));
    assert.equal(runtime._busy, true);
    const calls = [given, tensor, half].map((input, i) => runtime._run(new Note(runtime, input, log, String(i))));
    assert.equal(runtime._capture(half).dtype, 'float16');
    plain.data[0] = -1;
    tensor.data[0] = -1;
    half.dispose();
    assert.deepEqual(log, [], 'they wait for the one before');
    assert.throws(() => runtime._assertIdle('setWeights'), /setWeights: calls are pending on this runtime/);
    const meanwhile = new Tensor(runtime, { shape: [2], dtype: 'float16', data: new Float32Array([4, 5]) });
    assert.deepEqual(await Promise.all(calls), [1, 2, 3]);
    assert.deepEqual(log, ['record 0', 'finish 0', 'record 1', 'finish 1', 'record 2', 'finish 2']);
    await first;
    assert.deepEqual([...meanwhile.data], [4, 5], 'what is new can be made at any time');
    assert.equal(runtime._busy, false);
    assert.equal(runtime._capture(tensor), tensor);
});

test('where the caller must not block, callSync says so, and small calls need no worker', { timeout }, async () => {
    const runtime = await testRuntime({ workers: 1, _test: { mayBlock: false } });
    const block = new Block(runtime, SIZES[0]);
    assert.throws(() => runtime._runSync(block), /callSync: a page's main thread must not wait for workers/);
    const out = runtime._run(new Block(runtime, { t: 1, heads: 1, d: 16 }));
    assert.equal(runtime._busy, false, 'it is done already');
    assert.equal((await out).size, 16);
});

test('a call that fails to be recorded rejects, the ones behind it run', { timeout }, async () => {
    const runtime = await testRuntime({ workers: 2, _test: { mayBlock: false } });
    const { used } = runtime.memory;
    const blocks = [new Block(runtime, SIZES[0]), new Block(runtime, SIZES[0])];
    const held = runtime.memory.used;
    const calls = [
        runtime._run(blocks[0]),
        runtime._run({ check() {}, record(program) { program.scratch(100); throw new RangeError('no'); }, finish() {} }),
        runtime._run({ check() {}, record() {}, finish() { throw new TypeError('not that either'); } }),
        runtime._run(blocks[1]),
    ];
    const [a, b, c, d] = await Promise.allSettled(calls);
    assert.deepEqual([a.status, b.status, c.status, d.status], ['fulfilled', 'rejected', 'rejected', 'fulfilled']);
    assert.match(/** @type {any} */ (b).reason.message, /^no$/);
    /** @type {any} */ (a).value.dispose();
    /** @type {any} */ (d).value.dispose();
    assert.ok(used < held);
    const after = runtime.memory.used;
    (await runtime._run(blocks[0])).dispose();
    assert.equal(runtime.memory.used, after);
});

test('what a running program uses is freed after it', { timeout }, async () => {
    const runtime = await testRuntime({ workers: 2, _test: { mayBlock: false } });
    const input = new Tensor(runtime, { shape: [1000], data: new Float32Array(1000).fill(1) });
    const block = new Block(runtime, SIZES[3]);
    const expected = (await runtime._run(block)).data;
    (await runtime._run(block)).dispose(); // from here on its scratch is one piece
    const { used } = runtime.memory;
    const call = runtime._run(block);
    const during = runtime.memory.used;
    input.dispose();
    assert.equal(runtime.memory.used, during);
    const out = await call;
    assert.deepEqual(out.data, expected);
    assert.ok(runtime.memory.used < used);
});

test('a thousand calls at once on a thread that must not block', { timeout }, async () => {
    const runtime = await testRuntime({ workers: 2, _test: { mayBlock: false } });
    const small = new Block(runtime, { t: 1, heads: 1, d: 8 });
    const large = new Block(runtime, SIZES[0]);
    const expected = [(await runtime._run(small)).data, (await runtime._run(large)).data];
    const calls = Array.from({ length: 1000 }, (_, i) => runtime._run(i % 10 === 0 ? large : small));
    const results = await Promise.all(calls);
    results.forEach((result, i) => assert.deepEqual(result.data, expected[i % 10 === 0 ? 1 : 0]));
});
