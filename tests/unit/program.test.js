// js/engine/interface.js against src/cmha.h, and the recorder of programs.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { FLAG, INTERFACE, KIND, LINEAR, NORM, OP, OP_WORDS, TRANSFER } from '../../js/engine/interface.js';
import { readInterface, writeInterface, writeWeightTypes } from '../../src/build/interface.js';
import { Program } from '../../js/engine/program.js';
import { Tensor } from '../../js/engine/tensor.js';
import { CachedGroupQueryAttention, KVCache } from '../../js/index.js';
import { Block } from '../property/jobs.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';

const header = await readFile(new URL('../../src/cmha.h', import.meta.url), 'utf8');

test('the generated interface is that of the header, and the binary\'s', async () => {
    const read = readInterface(header);
    const written = (/** @type {string} */ name) => readFile(new URL(`../../js/engine/${name}.js`, import.meta.url), 'utf8');
    assert.equal(writeInterface(read), await written('interface'));
    assert.equal(writeWeightTypes(read), await written('weight-types'));
    const runtime = await testRuntime();
    assert.equal(runtime.wasm.cmha_interface() >>> 0, INTERFACE);
});

test('the example of the header is the one that tests/native runs', async () => {
    const [, example] = there(/\n \* Example: [^]*?\n \*\n((?: \*   .*\n)+) \*\//.exec(header));
    const run = await readFile(new URL('../native/example.c', import.meta.url), 'utf8');
    assert.ok(run.includes(example.replace(/^ \*   /gm, '')), 'cmha.h and tests/native/example.c differ');
});

test('a field lies where a C compiler for 32-bit pointers puts it', () => {
    const text = [
        'enum { CMHA_ROUND_NONE = 0, CMHA_ROUND_F16 = 1 };',
        'typedef struct cmha_small {', '    const float *a, *b; float c[2]; uint32_t d_e;', '} cmha_small;',
        'typedef struct cmha_large {', '    size_t n;   /* a comment; with a semicolon */', '    cmha_op *const *list;',
        '    uint64_t wide;', '} cmha_large;',
        '#define CMHA_OPERATIONS(X) \\', '    X(SMALL, small, cmha_small) \\', '    X(LARGE, large, cmha_large)',
        'typedef struct cmha_op {', '    uint64_t claim;', '    union {', '        X', '    } u;', '} cmha_op;',
    ].join('\n');
    const { operations, structs, words, enums } = readInterface(text);
    assert.deepEqual(operations.map(([kind]) => kind), ['SMALL', 'LARGE']);
    assert.deepEqual(structs.get('cmha_small'), { a: 0, b: 1, c0: 2, c1: 3, dE: 4 });
    assert.deepEqual(structs.get('cmha_large'), { n: 0, list: 1, wide: 2 });
    assert.deepEqual(structs.get('cmha_op'), { claim: 0, u: 2 });
    assert.equal(words.get('cmha_op'), 8);
    assert.deepEqual(enums.get('ROUND'), { NONE: 0, F16: 1 });
    assert.throws(() => readInterface(text.replace('size_t n;', 'long n;')), /is not understood: long n/);
});

/** @param {(program: import('../../js/engine/program.js').Program) => void} record */
const jobOf = (record) => ({ check() {}, record, finish: () => 'finished' });

test('an empty program is finished without being run', async () => {
    const runtime = await testRuntime();
    assert.equal(runtime._runSync(jobOf(() => {})), 'finished');
    assert.equal(await runtime._run(jobOf(() => {})), 'finished');
});

test('an appended operation is zeroed but for kind and flags; the first is never concurrent', async () => {
    const runtime = await testRuntime();
    const block = new Block(runtime, { t: 2, heads: 1, d: 8 });
    runtime._runSync(block); // leaves other values behind
    assert.throws(() => runtime._runSync(jobOf((program) => {
        for (const [i, kind] of [KIND.LINEAR, KIND.ATTENTION, KIND.LAYER_NORM, KIND.EMBED].entries()) {
            const op = program.append(kind, FLAG.CONCURRENT);
            const words = Array.from(program.words.subarray(op, op + OP_WORDS));
            assert.equal(words[OP.kind], kind);
            assert.equal(words[OP.flags], i === 0 ? 0 : FLAG.CONCURRENT);
            words[OP.kind] = words[OP.flags] = 0;
            assert.ok(words.every((word) => word === 0));
        }
        throw new Error('not to be run');
    })), /not to be run/);
});

test('scratch and results are given back, whether the program runs or not', async () => {
    const runtime = await testRuntime();
    const block = new Block(runtime, { t: 5, heads: 2, d: 12 });
    runtime._runSync(block).dispose();
    const { used } = runtime.memory;
    for (let i = 0; i < 10; i++) {
        const out = runtime._runSync(block);
        assert.ok(runtime.memory.used > used);
        out.dispose();
        assert.equal(runtime.memory.used, used);
    }
    /** @type {Tensor[]} */
    const made = [];
    for (const [record, finish] of [
        [() => { throw new Error('in record'); }, () => {}], [() => {}, () => { throw new Error('in finish'); }],
    ]) {
        assert.throws(() => runtime._runSync({
            check() {},
            record(program) {
                program.scratch(1000);
                made.push(program.result(Object.freeze([100]), 'float32'));
                record();
            },
            finish,
        }), /in (record|finish)/);
        assert.equal(runtime.memory.used, used);
    }
    assert.ok(made.every((tensor) => tensor.disposed));
    assert.deepEqual(runtime._runSync(block).data, runtime._runSync(block).data, 'it still works');
});

for (const shared of [true, false]) {
    test(`the memory may grow in the middle of recording, ${shared ? 'shared' : 'private'}`, async () => {
        const runtime = await testRuntime({ _test: { shared } });
        const block = new Block(runtime, { t: 3, heads: 2, d: 8 });
        const expected = runtime._runSync(block).data;
        const { reserved } = runtime.memory;
        const grown = runtime._runSync({
            check() {},
            record(program) {
                const first = program.scratch(64);
                program.floats[first / 4] = 42;
                program.scratch(20 * 1024 * 1024);
                block.record(program);
                assert.equal(program.floats[first / 4], 42, 'scratch handed out before stays where it is');
            },
            finish: () => block.finish(),
        });
        assert.ok(runtime.memory.reserved > reserved);
        assert.deepEqual(grown.data, expected);
        // From the next call on the scratch region is one piece, which costs nothing any more.
        runtime._runSync({ check() {}, record: (program) => void program.scratch(20 * 1024 * 1024), finish() {} });
        const { used } = runtime.memory;
        for (let i = 0; i < 5; i++) {
            runtime._runSync({ check() {}, record: (program) => void program.scratch(20 * 1024 * 1024), finish() {} });
        }
        assert.equal(runtime.memory.used, used);
    });
}

test('more operations than there is room for', async () => {
    const runtime = await testRuntime();
    const n = 500;
    const shape = Object.freeze([8]);
    const source = new Tensor(runtime, { shape: [8], data: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]) });
    const gamma = new Tensor(runtime, { shape: [8], data: new Float32Array(8).fill(1) });
    /** @type {Tensor | undefined} */
    let out;
    const job = {
        // Layer norm of its own result over and over: numbers that have been normalised stay as they are.
        check() {},
        /** @param {import('../../js/engine/program.js').Program} program */
        record(program) {
            const made = program.result(shape, 'float32');
            let x = program.input(source);
            for (let i = 0; i < n; i++) {
                const op = program.append(KIND.LAYER_NORM);
                const { words } = program;
                words[op + NORM.x] = x;
                words[op + NORM.y] = made._address;
                words[op + NORM.rows] = 1;
                words[op + NORM.n] = words[op + NORM.xStride] = words[op + NORM.yStride] = 8;
                words[op + NORM.gamma] = gamma._address;
                x = made._address;
            }
            assert.equal(program.count, n);
            out = made;
        },
        finish: () => /** @type {Tensor} */ (out),
    };
    for (let run = 0; run < 2; run++) {
        const { data } = runtime._runSync(job);
        const deviation = Math.sqrt(5.25); // of 1..8
        // After 500 roundings each of a few units in the last place.
        data.forEach((value, i) => assert.ok(Math.abs(value - (i - 3.5) / deviation) < 1e-4, `${value}`));
    }
});

test('inputs: a tensor of the runtime is read where it is, anything else is copied', async () => {
    const runtime = await testRuntime();
    const other = await testRuntime({ workers: 0 });
    const own = new Tensor(runtime, { shape: [2], data: new Float32Array([1, 2]) });
    const foreign = new Tensor(other, { shape: [2], data: new Float32Array([3, 4]) });
    runtime._runSync(jobOf((program) => {
        assert.equal(program.input(own), own._address);
        const copy = program.input(foreign) / 4;
        assert.deepEqual([...program.floats.subarray(copy, copy + 2)], [3, 4]);
        const ints = program.input({ shape: [3], data: new Int32Array([-1, 2, 7]) });
        assert.deepEqual([...runtime.memory.i32(ints, 3)], [-1, 2, 7]);
        const bools = program.input({ shape: [5], data: new Uint8Array([1, 0, 1, 1, 0]) });
        assert.deepEqual([...runtime.memory.u8(bools, 5)], [1, 0, 1, 1, 0]);
        const empty = program.input({ shape: [0], data: new Float32Array(0) });
        assert.equal(empty % 64, 0);
    }));
});

test('a call within a call is refused', async () => {
    const runtime = await testRuntime();
    const outer = jobOf(() => void runtime._runSync(jobOf(() => {})));
    assert.throws(() => runtime._runSync(outer), /from within another call/);
    assert.equal(runtime._runSync(jobOf(() => {})), 'finished');
});

test('a program that was kept can be resumed until something else is recorded, takes its scratch, or fails', async () => {
    const runtime = await testRuntime();
    const [width, one] = [8, new Float32Array(8).fill(1)];
    const gamma = new Tensor(runtime, { shape: [width], data: one });
    const out = new Tensor(runtime, { shape: [width], data: new Float32Array(width) });
    let kept = 0;
    let x = 0;
    let recorded = 0;
    /** @type {number[]} */
    let input = [];
    const job = {
        check() {},
        /** @param {import('../../js/engine/program.js').Program} program */
        record(program) {
            if (!program.resume(kept)) {
                recorded++;
                x = program.scratch(4 * width);
                const op = program.append(KIND.LAYER_NORM);
                const { words } = program;
                words[op + NORM.x] = x;
                words[op + NORM.y] = out._address;
                words[op + NORM.rows] = 1;
                words[op + NORM.n] = words[op + NORM.xStride] = words[op + NORM.yStride] = width;
                words[op + NORM.gamma] = gamma._address;
            }
            assert.equal(program.count, 1);
            kept = program.keep();
            assert.ok(program.scratch(4) > x, 'its scratch is taken');
            runtime.memory.f32(x, width).set(input);
        },
        finish: () => runtime.memory.f32(out._address, width).slice(),
    };
    /** @param {number} scale @param {number} times that the program has been recorded by then */
    const expectRun = (scale, times) => {
        input = Array.from(one, (_, i) => scale * (i - 3.5));
        // The same whatever the scale, but for its sign and epsilon.
        const values = runtime._runSync(job);
        values.forEach((value, i) => assert.ok(Math.abs(value - Math.sign(scale) * (i - 3.5) / Math.sqrt(5.25)) < 1e-4, `${value}`));
        assert.equal(recorded, times);
    };
    expectRun(1, 1);
    expectRun(-2, 1);
    expectRun(3, 1);
    runtime._runSync(jobOf(() => {}));
    expectRun(1, 2);
    expectRun(-1, 2);
    runtime._runSync(new Block(runtime, { t: 2, heads: 1, d: 8 })).dispose();
    expectRun(2, 3);
    assert.throws(() => runtime._runSync({ ...job, finish() { throw new Error('in finish'); } }), /in finish/);
    expectRun(1, 4);
    expectRun(-3, 4);
});

test('an attention\'s operations that may run at one time write to different places, and read none of these', async () => {
    const x = { shape: [1, 3, 8], data: new Float32Array(24).fill(0.5) };
    const runtime = await testRuntime({ workers: 0 });
    const { append } = Program.prototype;
    /** @type {number[]} */
    let operations = [];
    /** @this {Program} @type {typeof append} */
    Program.prototype.append = function (...args) {
        const op = append.apply(this, args);
        operations.push(op);
        return op;
    };
    try {
        for (const dtype of /** @type {const} */ (['float32', 'float16', 'int8'])) {
            for (const more of [{}, { ropeMaxWavelength: 100 }, { queryKeyNorm: {} }]) {
                const sizes = { headDim: 4, numQueryHeads: 4, numKeyValueHeads: 2 };
                const layer = new CachedGroupQueryAttention(runtime, { ...sizes, activityRegularizer: 'l2', ...more });
                const cache = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4, dtype });
                layer.build(x.shape, x.shape);
                operations = [];
                layer.callSync(x, x, { cache, cacheUpdateIndex: 0 });
                const { words } = runtime.memory;
                /** @type {Set<number>} */
                let touched = new Set();
                for (const op of operations) {
                    if (!(words[op + OP.flags] & FLAG.CONCURRENT)) touched = new Set();
                    const kind = words[op + OP.kind];
                    const places = kind === KIND.STORE ? [words[op + TRANSFER.keys], words[op + TRANSFER.values]]
                        : kind === KIND.LINEAR ? [words[op + LINEAR.y]] : [];
                    for (const place of places.filter(Boolean)) {
                        assert.ok(!touched.has(place), `${dtype} ${JSON.stringify(more)}: ${place} twice`);
                        touched.add(place);
                    }
                }
            }
        }
    } finally {
        Program.prototype.append = append;
        runtime.dispose();
    }
});
