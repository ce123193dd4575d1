// The kernels of one binary on a memory of their own, called without the JS layer.
// Every block handed out is surrounded by guard bytes; they are NaN as floats, so that what is read from there shows.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { SIMD } from '../binary.js';
import {
    ATTENTION, CACHE, CACHE_WORDS, CONTROL, CONTROL_WORDS, EMBED, KEPT, KIND, LINEAR, NORM, OP, OP_WORDS, TRANSFER,
} from '../../js/engine/interface.js';

const PAGES = 1024;
const GUARD = 64;
const POISON = 0xff;
/** Fields of operations that are floats. */
const FLOATS = new Set(['dropout', 'epsilon', 'factor', 'offset', 'scale', 'softcap']);

/** The binary that the environment asks for; where it is silent, the strict one. */
const variant = SIMD === 'auto' ? 'simd128' : SIMD;

/** @typedef {Float32Array | Uint32Array | Uint16Array | Uint8Array} Data */

export class Kernels {
    /** @param {WebAssembly.Memory} memory @param {any} exports */
    constructor(memory, exports) {
        this.memory = memory;
        /** @type {Record<string, (...args: number[]) => number>} */
        this.call = exports;
        this.u8 = new Uint8Array(memory.buffer);
        this.u32 = new Uint32Array(memory.buffer);
        this.i32 = new Int32Array(memory.buffer);
        this.f32 = new Float32Array(memory.buffer);
        this.base = (exports.__heap_base.value + 4095) & ~4095;
        /** @type {[number, number][]} */
        this.blocks = [];
        this.next = this.base;
        this.epoch = 1;
        this.reset();
    }

    /** Forgets every block. */
    reset() {
        this.u8.fill(POISON, this.base, Math.max(this.next, this.base) + GUARD);
        this.blocks.length = 0;
        this.next = this.base + GUARD;
    }

    /** A block at an address that is `skew` above a multiple of 64. @param {number} bytes @param {number} [skew] */
    room(bytes, skew = 0) {
        const before = this.next;
        const address = ((before + 63) & ~63) + skew;
        this.next = address + bytes + GUARD;
        assert.ok(this.next <= this.u8.length, 'the arena is large enough');
        this.u8.fill(POISON, before, this.next);
        this.blocks.push([address, address + bytes]);
        return address;
    }

    /** A block holding data. @param {Data} data @param {number} [skew] */
    put(data, skew = 0) {
        const address = this.room(data.byteLength, skew);
        this.u8.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), address);
        return address;
    }

    /** @param {number} address @param {number} n */
    floats(address, n) {
        return new Float32Array(this.memory.buffer, address, n).slice();
    }

    /**
     * What a kernel makes of x; in place it must be the same.
     * @param {Float32Array} x @param {(to: number, from: number) => unknown} call
     */
    apply(x, call) {
        this.reset();
        const [at, y] = [this.put(x, 4), this.room(4 * x.length, 12)];
        call(y, at);
        const result = this.floats(y, x.length);
        call(at, at);
        this.checkGuards();
        assert.deepEqual(this.floats(at, x.length), result, 'in place');
        return result;
    }

    /** Asserts that nothing was written between the blocks. */
    checkGuards() {
        let at = this.base;
        for (const [start, end] of [...this.blocks, [this.next, this.next]]) {
            for (; at < start; at++) {
                assert.equal(this.u8[at], POISON, `byte ${at - this.base} outside every block was written`);
            }
            at = end;
        }
    }

    /** An operation with the given fields; returns its address. Floats are told by name.
     * @param {number} kind @param {Record<string, number>} table @param {Record<string, number>} fields */
    op(kind, table, fields) {
        const address = this.room(4 * OP_WORDS);
        this.u32.fill(0, address / 4, address / 4 + OP_WORDS);
        this.u32[address / 4 + OP.kind] = kind;
        for (const [name, value] of Object.entries(fields)) {
            const word = name === 'opFlags' ? OP.flags : table[name];
            assert.ok(word !== undefined, `field ${name}`);
            const view = FLOATS.has(name) ? this.f32 : this.u32;
            view[address / 4 + word] = value;
        }
        return address;
    }

    /** @param {Record<string, number>} fields */
    linear(fields) {
        return this.op(KIND.LINEAR, LINEAR, fields);
    }

    /** @param {Record<string, number>} fields */
    attention(fields) {
        return this.op(KIND.ATTENTION, ATTENTION, fields);
    }

    /** @param {Record<string, number>} fields */
    norm(fields) {
        return this.op(KIND.LAYER_NORM, NORM, fields);
    }

    /** @param {Record<string, number>} fields */
    embed(fields) {
        return this.op(KIND.EMBED, EMBED, fields);
    }

    /** @param {'STORE' | 'LOAD'} kind @param {Record<string, number>} fields */
    transfer(kind, fields) {
        return this.op(KIND[kind], TRANSFER, fields);
    }

    /**
     * A cache whose pages, each a block of its own, hold rows in Keras order [B, S, G, D] and [B, S, G, V]; NaN
     * elsewhere.
     * @param {{ batch: number, s: number, heads: number, d: number, v: number, page?: number, type?: number }} sizes
     * @param {Float32Array} [keys] @param {Float32Array} [values]
     */
    cache(sizes, keys = new Float32Array(), values = new Float32Array()) {
        const { batch, s, heads, d, v, page = Math.min(256, Math.ceil(s / 8) * 8), type = KEPT.F32 } = sizes;
        const rowPages = Math.ceil(s / page);
        const bytes = this.call.cmha_cache_page_bytes(type, page, heads, d, v);
        const [number, scales] = type === KEPT.I8 ? [1, 8] : type === KEPT.F16 ? [2, 0] : [4, 0];
        assert.equal(bytes, page * heads * (number * (d + v) + scales));
        const pages = Uint32Array.from({ length: batch * rowPages }, () => this.room(bytes));
        const fields = { pages: this.put(pages), rowPages, page, heads, d, v, type };
        const address = this.room(4 * CACHE_WORDS);
        for (const [name, value] of Object.entries(fields)) {
            this.u32[address / 4 + CACHE[/** @type {keyof typeof CACHE} */ (name)]] = value;
        }
        if (type !== KEPT.F32) return this.narrowCache(address, sizes, keys, values);
        const at = (/** @type {number} */ i, /** @type {number} */ width) => {
            const [e, g, j, b] = [i % width, Math.floor(i / width) % heads, Math.floor(i / (width * heads)) % s,
                Math.floor(i / (width * heads * s))];
            return { e, g, start: pages[b * rowPages + Math.floor(j / page)] / 4, local: j % page };
        };
        const keyAt = (/** @type {number} */ i) => {
            const { e, g, start, local } = at(i, d);
            return start + g * page * d + ((local >> 3) * d + e) * 8 + local % 8;
        };
        const valueAt = (/** @type {number} */ i) => {
            const { e, g, start, local } = at(i, v);
            return start + heads * page * d + (g * page + local) * v + e;
        };
        keys.forEach((key, i) => { this.f32[keyAt(i)] = key; });
        values.forEach((value, i) => { this.f32[valueAt(i)] = value; });
        return {
            address,
            /** Everything in it, in Keras order. */
            keys: () => Float32Array.from({ length: batch * s * heads * d }, (_, i) => this.f32[keyAt(i)]),
            values: () => Float32Array.from({ length: batch * s * heads * v }, (_, i) => this.f32[valueAt(i)]),
        };
    }

    /** cache() for a type whose numbers only C reads. @param {number} address @param {any} sizes
     * @param {Float32Array} keys @param {Float32Array} values */
    narrowCache(address, { batch, s, heads, d, v }, keys, values) {
        const [k, n] = [s * heads * d, s * heads * v];
        const fields = {
            cache: address, batch, t: s, keysBatch: k, keysStride: heads * d, valuesBatch: n, valuesStride: heads * v,
        };
        for (const [name, data] of Object.entries({ keys, values })) {
            if (data.length === 0) continue;
            const store = this.transfer('STORE', { ...fields, [name]: this.put(data) });
            this.call.cmha_cache_store(this.args(store));
        }
        const read = (/** @type {'keys' | 'values'} */ which, /** @type {number} */ floats) => {
            const to = this.room(4 * batch * floats);
            this.call.cmha_cache_load(this.args(this.transfer('LOAD', { ...fields, [which]: to })));
            return this.floats(to, batch * floats);
        };
        return { address, keys: () => read('keys', k), values: () => read('values', n) };
    }

    /** Address of an operation's arguments. @param {number} op */
    args(op) {
        return op + 4 * LINEAR.x;
    }

    /** A control block and a program made of copies of `ops`. @param {number[]} ops @param {number} [threads] */
    program(ops, threads = 1) {
        const first = this.room(4 * OP_WORDS * ops.length);
        ops.forEach((op, i) => this.u8.copyWithin(first + 4 * OP_WORDS * i, op, op + 4 * OP_WORDS));
        const control = this.room(4 * CONTROL_WORDS);
        this.u32.fill(0, control / 4, control / 4 + CONTROL_WORDS);
        this.u32[control / 4 + CONTROL.spin] = 1000;
        this.u32[control / 4 + CONTROL.ops] = first;
        this.u32[control / 4 + CONTROL.count] = ops.length;
        this.u32[control / 4 + CONTROL.threads] = threads;
        return { control, first, count: ops.length };
    }

    /** Runs operations one after the other in this thread. @param {...number} ops */
    run(...ops) {
        const { control, first } = this.program(ops);
        this.call.cmha_program_begin(first, ops.length, ++this.epoch);
        assert.equal(this.call.cmha_program_run(control, this.epoch, 0), 1, 'the only thread is the last');
    }

    /** Runs the tasks of each operation in an order of the caller's choosing, as if by several threads.
     * @param {number[]} ops @param {(tasks: number) => { task: number, thread: number }[]} schedule */
    runScheduled(ops, schedule) {
        for (const op of ops) {
            const { control, first } = this.program([op]);
            this.call.cmha_program_begin(first, 1, ++this.epoch);
            const word = first / 4;
            const tasks = this.u32[word + OP.tasks];
            for (const { task, thread } of schedule(tasks)) {
                this.u32[word + OP.tasks] = task + 1;
                this.u32[word + OP.claim] = 1;
                this.u32[word + OP.claim + 1] = this.epoch;
                this.u32[word + OP.done] = 2;
                this.u32[word + OP.done + 1] = this.epoch;
                assert.equal(this.call.cmha_program_run(control, this.epoch, Math.max(thread, 1)), 0);
            }
        }
    }
}

/** @param {string} [simd] */
export async function loadKernels(simd = variant) {
    const bytes = readFileSync(new URL(`../../js/wasm/cmha-${simd}.wasm`, import.meta.url));
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
    return new Kernels(memory, instance.exports);
}

/** Sizes around a tile of n: 1, its neighbours, two tiles plus one. @param {number} n */
export function around(n) {
    return [...new Set([1, 2, 3, n - 1, n, n + 1, 2 * n - 1, 2 * n, 2 * n + 1])].filter((x) => x > 0);
}
