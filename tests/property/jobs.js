// Jobs for tests of the runtime: small programs whose operations are made of seeded random numbers.

import { ATTEND, ATTENTION, FLAG, KIND, LINEAR, NORM, OP_WORDS, TRANSFER } from '../../js/engine/interface.js';
import { PagedCache, writeTransfer } from '../../js/blocks/pages.js';
import { floats, rng } from '../rng.js';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../js/engine/program.js').Program} Program */
/** @typedef {import('../../js/engine/tensor.js').Tensor} Tensor */

/**
 * @param {Uint32Array} words
 * @param {number} op
 * @param {Record<string, number>} table  a table of js/engine/interface.js
 * @param {Record<string, number>} fields
 */
function write(words, op, table, fields) {
    for (const [name, value] of Object.entries(fields)) {
        words[op + table[name]] = value;
    }
}

/**
 * Self-attention over `t` rows of `heads * d` features, as a layer does it: layer norm, three projections that run
 * beside each other, attention over `t` or more positions, and an output projection with the input added.
 */
export class Block {
    /**
     * @param {Runtime} runtime
     * @param {{ t: number, s?: number, heads: number, d: number, seed?: number }} sizes  s: positions kept, t to begin
     *   with
     */
    constructor(runtime, { t, s = t, heads, d, seed = 1 }) {
        const f = heads * d;
        const random = rng(seed);
        Object.assign(this, { runtime, t, s, heads, d, f });
        this.runtime = runtime;
        this.sizes = { t, s, heads, d, f };
        this.shape = Object.freeze([t, f]);
        this.x = floats(random, t * f);
        const { memory, wasm } = runtime;
        const panels = wasm.cmha_packed_size(f, f) >>> 0;
        this.weights = [0, 1, 2, 3].map(() => {
            const plain = memory.alloc(4 * f * f);
            memory.f32(plain, f * f).set(floats(random, f * f, 1 / Math.sqrt(f)));
            const packed = memory.alloc(4 * panels);
            wasm.cmha_pack_f32(packed, plain, f, f, 0, f, 1);
            memory.free(plain);
            return packed;
        });
        this.gamma = memory.alloc(4 * f);
        memory.f32(this.gamma, f).fill(1);
        // The last t of s positions are written by the program, the others are what a past has left.
        this.cache = new PagedCache(runtime, { heads, keyDim: d, valueDim: d });
        this.cache.reserve(s);
        const past = memory.alloc(4 * 2 * s * f);
        memory.f32(past, 2 * s * f).set(floats(random, 2 * s * f));
        const transfer = memory.alloc(4 * OP_WORDS);
        writeTransfer(memory.words, transfer / 4 - TRANSFER.keys, this.cache.address, past, [1, 2, s, heads, d], 0, s);
        wasm.cmha_cache_store(transfer);
        memory.free(past);
        memory.free(transfer);
        /** @type {Tensor | null} */
        this.out = null;
    }

    check() {}

    /** @param {Program} program */
    record(program) {
        const { t, s, heads, d, f } = this.sizes;
        const x = program.input({ shape: this.shape, data: this.x });
        const normal = program.scratch(4 * t * f);
        const q = program.scratch(4 * t * f);
        const mixed = program.scratch(4 * t * f);
        this.out = program.result(this.shape, 'float32');
        const norm = program.append(KIND.LAYER_NORM);
        write(program.words, norm, NORM, { x, xStride: f, y: normal, yStride: f, rows: t, n: f, gamma: this.gamma });
        program.floats[norm + NORM.epsilon] = 1e-5;
        const common = { x: normal, xStride: f, rows: t, k: f, n: f };
        write(program.words, program.append(KIND.LINEAR), LINEAR, { ...common, w: this.weights[0], y: q, yStride: f });
        const kept = { t, index: s - t, cache: this.cache.address };
        write(program.words, program.append(KIND.LINEAR, FLAG.CONCURRENT), LINEAR, {
            ...common, ...kept, w: this.weights[1], layout: 1,
        });
        write(program.words, program.append(KIND.LINEAR, FLAG.CONCURRENT), LINEAR, {
            ...common, ...kept, w: this.weights[2], layout: 2,
        });
        const attention = program.append(KIND.ATTENTION);
        write(program.words, attention, ATTENTION, {
            q, qStride: f, cache: this.cache.address,
            out: mixed, outStride: f, batch: 1, heads, t, s,
            flags: ATTEND.CAUSAL, causalOffset: s - t,
        });
        program.floats[attention + ATTENTION.scale] = 1 / Math.sqrt(d);
        program.attentionDone(attention);
        write(program.words, program.append(KIND.LINEAR), LINEAR, {
            x: mixed, xStride: f, rows: t, k: f, n: f, w: this.weights[3], residual: x, residualStride: f,
            y: this.out._address, yStride: f,
        });
    }

    finish() {
        return /** @type {Tensor} */ (this.out);
    }
}
