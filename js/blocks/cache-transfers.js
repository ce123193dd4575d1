// What KVCache.set() and toTensor() do, as jobs: numbers in Keras's order to a cache's pages, and back.

import { OP_WORDS, TRANSFER } from '../engine/interface.js';
import { Tensor } from '../engine/tensor.js';
import { writeTransfer } from './pages.js';

/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('./cache.js').KVCache} KVCache */

/** Floats that are converted at a time when they come from outside the memory: bounds the scratch space it takes. */
const CHUNK = 64 * 1024;

/** KVCache.set() as a job: an empty program, all of it is done while recording. */
export class SetJob {
    /** @param {KVCache} cache @param {TensorLike} source */
    constructor(cache, source) {
        this.cache = cache;
        this.source = source;
    }

    check() {
        this.cache._check('KVCache.set');
    }

    /** @param {Program} program */
    record(program) {
        const { cache, source } = this;
        const { _runtime: runtime, shape, _address: address, _round: round } = cache;
        const transfer = program.scratch(4 * OP_WORDS);
        const at = transfer / 4 - TRANSFER.keys;
        const [batch, , length, heads, dim] = shape;
        cache._pages.makeWritable(0, length);
        if (source instanceof Tensor && source._runtime === runtime && source._address !== 0) {
            writeTransfer(program.words, at, address, source._address, shape, 0, length, round);
            runtime.wasm.cmha_cache_store(transfer);
            return;
        }
        const row = heads * dim;
        const step = Math.min(length, Math.max(1, Math.floor(CHUNK / row)));
        const scratch = program.scratch(8 * step * row);
        const data = /** @type {Float32Array} */ (source.data);
        for (let b = 0; b < batch; b++) {
            for (let start = 0; start < length; start += step) {
                const rows = Math.min(step, length - start);
                for (let which = 0; which < 2; which++) {
                    const from = ((2 * b + which) * length + start) * row;
                    runtime.memory.floats.set(data.subarray(from, from + rows * row), scratch / 4 + which * rows * row);
                }
                writeTransfer(program.words, at, address, scratch, [1, 2, rows, heads, dim], start, rows, round);
                program.words[at + TRANSFER.first] = b;
                runtime.wasm.cmha_cache_store(transfer);
            }
        }
    }

    finish() {}
}

/** KVCache.toTensor() as a job. */
export class CopyJob {
    /** @param {KVCache} cache */
    constructor(cache) {
        this.cache = cache;
        /** @type {Tensor | null} */
        this.tensor = null;
    }

    check() {
        this.cache._check('KVCache.toTensor');
    }

    /** @param {Program} program */
    record(program) {
        const { cache } = this;
        this.tensor = program.result(cache.shape, cache.dtype === 'int8' ? 'float32' : cache.dtype);
        const { memory, wasm } = cache._runtime;
        const transfer = memory.alloc(4 * OP_WORDS);
        writeTransfer(program.words, transfer / 4 - TRANSFER.keys, cache._address, this.tensor._address, cache.shape, 0,
            cache.shape[2]);
        wasm.cmha_cache_load(transfer);
        memory.free(transfer);
    }

    finish() {
        return /** @type {Tensor} */ (this.tensor);
    }
}
