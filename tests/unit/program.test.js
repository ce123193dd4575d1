// js/engine/protocol.js against src/cmha.h, and the recorder of programs.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import * as protocol from '../../js/engine/protocol.js';
import { Tensor } from '../../js/engine/tensor.js';
import { Block } from '../property/jobs.js';
import { testRuntime } from '../runtime.js';

const { ATTENTION, CONTROL, EMBED, FLAG, KIND, LINEAR, NORM, OP, OP_WORDS } = protocol;

const header = (await readFile(new URL('../../src/cmha.h', import.meta.url), 'utf8')).replace(/\/\*[^]*?\*\//g, '');

/** @param {string} name */
const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());

/**
 * Field names and word offsets of a struct of the header, on a machine with 32-bit pointers.
 * @param {string} struct
 * @returns {Record<string, number>}
 */
function fieldsOf(struct) {
    const whole = new RegExp(`typedef struct ${struct} \\{([^]*?)\\} ${struct};`).exec(header);
    const body = whole?.[1].replace(/union \{[^]*\} u;/, '');
    assert.ok(body, `${struct} is in the header`);
    /** @type {Record<string, number>} */
    const offsets = {};
    let word = 0;
    for (const declaration of body.split(';').map((text) => text.trim()).filter(Boolean)) {
        const [, type, names] = /** @type {RegExpExecArray} */ (
            /^(?:const )?(size_t|uint32_t|uint64_t|uint8_t|float|cmha_op)\s+([^]*)$/.exec(declaration));
        assert.ok(names, declaration);
        for (const part of names.split(',')) {
            const [, name, count] = /** @type {RegExpExecArray} */ (/^\s*\*?\s*(\w+)(?:\[(\d+)\])?$/.exec(part));
            if (count) {
                for (let i = 0; i < Number(count); i++) offsets[`${camel(name)}${i}`] = word + i;
            } else {
                offsets[camel(name)] = word;
            }
            word += type === 'uint64_t' ? 2 : Number(count ?? 1);
        }
    }
    return offsets;
}

test('every field of every operation lies where the header says', () => {
    const head = fieldsOf('cmha_op');
    assert.deepEqual(head, { ...OP });
    const base = 8;
    for (const [struct, table] of /** @type {[string, Record<string, number>][]} */ ([
        ['cmha_linear', LINEAR], ['cmha_attention', ATTENTION], ['cmha_norm', NORM], ['cmha_embed', EMBED],
    ])) {
        const expected = Object.fromEntries(Object.entries(fieldsOf(struct)).map(([name, at]) => [name, at + base]));
        assert.deepEqual({ ...table }, expected, struct);
        assert.ok(Math.max(...Object.values(table)) < OP_WORDS);
    }
    const control = fieldsOf('cmha_control');
    const { opsPtr, ops, ...rest } = control;
    assert.deepEqual({ ...CONTROL }, { ...rest, ops: opsPtr, count: ops });
});

test('every constant has the value that the header gives it', () => {
    /** @type {Record<string, number>} */
    const values = {};
    for (const [, name, value] of header.matchAll(/\bCMHA_(\w+) = (-?\d+)/g)) {
        values[name] = Number(value);
    }
    const { KIND: kind, FLAG: flag, LAYOUT, ACTIVATION, ROUND, ATTEND, RUN } = protocol;
    for (const [prefix, table] of /** @type {[string, Record<string, number>][]} */ ([
        ['OP_', kind], ['OP_', flag], ['LAYOUT_', LAYOUT], ['ACTIVATION_', ACTIVATION], ['ROUND_', ROUND], ['', ATTEND],
        ['RUN_', RUN],
    ])) {
        for (const [name, value] of Object.entries(table)) {
            assert.equal(value, values[prefix + name], `CMHA_${prefix}${name}`);
        }
    }
    assert.equal(protocol.PANEL, values.PANEL);
    assert.equal(protocol.SLICE_MS, values.SLICE_MS);
    assert.equal(protocol.STALL_SLICES, values.STALL_SLICES);
});

test('the binary agrees on the size of an operation', async () => {
    const runtime = await testRuntime();
    assert.equal(runtime.wasm.cmha_op_bytes(), 4 * OP_WORDS);
});

/** @param {(program: import('../../js/engine/program.js').Program) => void} record */
const jobOf = (record) => ({ record, finish: () => 'finished' });

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
            const append = [program.linear, program.attention, program.layerNorm, program.embed][i];
            const op = append.call(program, FLAG.CONCURRENT);
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
        runtime._runSync({ record: (program) => void program.scratch(20 * 1024 * 1024), finish() {} });
        const { used } = runtime.memory;
        for (let i = 0; i < 5; i++) {
            runtime._runSync({ record: (program) => void program.scratch(20 * 1024 * 1024), finish() {} });
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
        /** @param {import('../../js/engine/program.js').Program} program */
        record(program) {
            const made = program.result(shape, 'float32');
            let x = program.input(source);
            for (let i = 0; i < n; i++) {
                const op = program.layerNorm();
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
