import { KVCache } from '../blocks/cache.js';
import { AttentionCall } from '../blocks/attention.js';
import { PANEL } from '../engine/interface.js';

/** @typedef {import('../layers/gpt2.js').GPT2CausalLM} GPT2CausalLM */
/** @typedef {import('../engine/program.js').Program} Program */

/** Tokens per prefill program: enough to reuse every weight well, few enough to notice an abort soon. */
const CHUNK = 64;

/**
 * A batch of texts being read or written: caches, and room for one step's results. All of its memory is allocated
 * here, at the beginning; steps allocate nothing. It is what a search drives (Steps in search.js), and its own job.
 */
export class Session {
    /**
     * @param {GPT2CausalLM} model
     * @param {number} batch
     * @param {number} length positions, prompt and new tokens together
     * @throws {RangeError} when the memory is exhausted; nothing stays allocated then
     */
    constructor(model, batch, length) {
        this._model = model;
        this._runtime = model._runtime;
        this.vocabularySize = model.vocabularySize;
        this.width = model.hiddenDim;
        this.length = length;
        this.batch = 0;
        /** Positions fed so far. */
        this.filled = 0;
        /** @type {KVCache[]} */
        this._caches = [];
        this._tokens = 0;
        this._hidden = 0;
        this._logits = 0;
        this._row = 0;
        /** Views of the memory, made anew when it has grown. @type {Float32Array | null} */
        this._logitsView = null;
        /** @type {Float32Array | null} */
        this._rowView = null;
        /** One row of logits to probabilities. @type {import('./softmax.js').Softmax} */
        this.softmax = (logits, temperature, out) => {
            this._rowView = this._view(this._rowView, this._row, this.vocabularySize);
            this._rowView.set(logits);
            this._runtime.wasm.cmha_softmax_f32(this._row, this._row, this.vocabularySize, 1 / temperature);
            out.set(this._rowView);
        };
        this._calls = Array.from({ length: model.numLayers }, () => new AttentionCall());
        for (const call of this._calls) {
            call.causal = true;
            call.explicit = model.dropout > 0;
        }
        /** What the pass at hand is asked for. @type {import('../layers/gpt2.js').Pass} */
        this._pass = {
            tokens: 0, batch, t: 1, index: 0, calls: this._calls, all: false, lastLogits: false, hidden: 0, logits: 0,
        };
        /** @type {Reader | null} */
        this._reader = null;
        /** @type {AttentionWatch | null} */
        this._watch = null;
        try {
            this._row = this._runtime.memory.alloc(this.vocabularySize * 4);
            this._allocate(batch);
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /** @param {number} batch */
    _allocate(batch) {
        const { memory } = this._runtime;
        const { numLayers, numHeads, headDim } = this._model;
        const { length } = this;
        this._tokens = memory.alloc(batch * CHUNK * 4);
        this._hidden = memory.alloc(batch * this.width * 4);
        this._logits = memory.alloc(batch * this.vocabularySize * 4);
        for (let i = 0; i < numLayers; i++) {
            this._caches.push(new KVCache(this._runtime, { batch, length, numHeads, keyDim: headDim }));
            this._calls[i].batch = batch;
            this._calls[i].setCache(this._caches[i]);
        }
        this.batch = batch;
    }

    /** Bytes of its caches. */
    get cacheBytes() {
        return this._caches.reduce((bytes, cache) => bytes + cache.byteLength, 0);
    }

    /**
     * Records one layer's attention scores from now on (its explicit path, the same numbers up to rounding).
     * @param {number} layer
     * @returns {AttentionWatch} whose pieces grow with every pass
     */
    watch(layer) {
        this._watch = { layer, address: 0, pieces: [] };
        this._calls[layer].explicit = true;
        return this._watch;
    }

    /**
     * Feeds the first `count` tokens of every row, in chunks; afterwards logits() and hidden() are those of the last.
     * @param {ArrayLike<number>} tokens [batch][stride]
     * @param {number} stride
     * @param {number} count
     * @param {{ signal?: AbortSignal, onChunk?: (done: number) => unknown, hidden?: Float32Array, reader?: Reader }}
     *   [options] hidden: [batch][stride][F], is filled for the tokens fed; reader: gets all logits
     */
    async prefill(tokens, stride, count, { signal, onChunk, hidden, reader } = {}) {
        const pass = this._pass;
        this._reader = hidden ? new HiddenReader(hidden, this.batch, stride, this.width) : reader ?? null;
        try {
            for (let start = 0; start < count; start += CHUNK) {
                signal?.throwIfAborted();
                this.check();
                pass.t = Math.min(CHUNK, count - start);
                pass.index = start;
                pass.all = this._reader !== null;
                pass.lastLogits = reader === undefined;
                const ids = this._runtime.memory.u32(this._tokens, this.batch * pass.t);
                for (let i = 0; i < ids.length; i++) {
                    ids[i] = tokens[Math.floor(i / pass.t) * stride + start + (i % pass.t)];
                }
                pass.hidden = this._hidden;
                pass.logits = reader !== undefined || start + pass.t === count ? this._logits : 0;
                if (pass.logits === 0 && this._reader === null) {
                    pass.hidden = 0;
                }
                await this._runtime._run(this);
                this.filled = start + pass.t;
                await onChunk?.(this.filled);
            }
        } finally {
            this._reader = null;
            pass.all = false;
        }
    }

    /**
     * Feeds one token per row.
     * @param {Uint32Array} tokens [batch]
     * @param {number} position
     * @returns {Promise<void>}
     */
    step(tokens, position) {
        this.check();
        const pass = this._pass;
        this._runtime.memory.words.set(tokens, this._tokens / 4);
        pass.t = 1;
        pass.index = position;
        pass.hidden = this._hidden;
        pass.logits = this._logits;
        this.filled = position + 1;
        return this._runtime._run(this);
    }

    /** @returns {Float32Array} [batch][V] of the last tokens, valid until the next step */
    logits() {
        this.check(); // it may have been disposed of since the step
        this._logitsView = this._view(this._logitsView, this._logits, this.batch * this.vocabularySize);
        return this._logitsView;
    }

    /**
     * @param {Float32Array | null} last what this returned the last time
     * @param {number} address
     * @param {number} n
     * @returns {Float32Array} n floats from the address on, valid until something is allocated
     */
    _view(last, address, n) {
        const { memory } = this._runtime;
        const fits = last?.buffer === memory.floats.buffer && last.byteOffset === address && last.length === n;
        return fits ? last : memory.f32(address, n);
    }

    /** @returns {Float32Array} [batch][F] of the last tokens after the final norm, valid until the next step */
    hidden() {
        return this._runtime.memory.f32(this._hidden, this.batch * this.width);
    }

    /** As a job: the model and the caches live. */
    check() {
        this._model._check();
        if (this._row === 0) {
            throw new Error('this session has been disposed');
        }
    }

    /** As a job: the pass. @param {Program} program */
    record(program) {
        const pass = this._pass;
        const positions = pass.index + pass.t;
        pass.batch = this.batch;
        pass.tokens = this._tokens;
        if (pass.all) {
            pass.hidden = program.scratch(this.batch * pass.t * this.width * 4);
            if (!pass.lastLogits) {
                pass.logits = program.scratch(this.batch * pass.t * this.vocabularySize * 4);
            }
        }
        for (let i = 0; i < this._calls.length; i++) {
            const call = this._calls[i];
            call.t = pass.t;
            call.rows = pass.t;
            call.index = pass.index;
            call.causalOffset = pass.index;
            // Later positions are excluded by causality for every row, so they need not count as masked.
            call.s = positions;
        }
        if (this._watch) {
            const { numHeads } = this._model;
            this._watch.address = program.scratch(this.batch * numHeads * pass.t * positions * 4);
            this._calls[this._watch.layer].scores = this._watch.address;
        }
        this._model._record(program, pass);
    }

    /** What the pass gave, for whoever asked; scratch is still there. */
    finish() {
        const { memory } = this._runtime;
        const pass = this._pass;
        if (this._reader) {
            const rows = this.batch * pass.t;
            const hidden = memory.f32(pass.hidden, rows * this.width);
            const logits = pass.lastLogits ? null : memory.f32(pass.logits, rows * this.vocabularySize);
            this._reader.read(pass.index, pass.t, hidden, logits);
        }
        if (this._watch) {
            const positions = pass.index + pass.t;
            const size = this.batch * this._model.numHeads * pass.t * positions;
            this._watch.pieces.push({
                start: pass.index, rows: pass.t, data: memory.f32(this._watch.address, size).slice(),
            });
        }
    }

    /**
     * Every row becomes `copies` rows, one after the other, with the same past.
     * @param {number} copies
     */
    expand(copies) {
        const old = this._caches;
        const { batch } = this;
        const spare = [this._tokens, this._hidden, this._logits];
        const calls = this._calls.map((call) => ({ ...call }));
        this._caches = [];
        this._tokens = 0;
        this._hidden = 0;
        this._logits = 0;
        try {
            this._allocate(batch * copies);
        } catch (error) {
            this._release();
            this._caches = old;
            [this._tokens, this._hidden, this._logits] = spare;
            this._calls.forEach((call, i) => Object.assign(call, calls[i]));
            throw error;
        }
        old.forEach((cache, layer) => {
            for (let row = 0; row < batch * copies; row++) {
                copyPositions(this._runtime, cache, Math.floor(row / copies), this._caches[layer], row, 0, this.filled);
            }
            cache.dispose();
        });
        spare.forEach((address) => this._runtime._free(address));
    }

    /**
     * Row r continues as row parents[r] did at positions from .. to - 1; a row that another one continues keeps its
     * own, so none is read after it was written.
     * @param {Uint32Array} parents
     * @param {number} from
     * @param {number} to
     */
    reorder(parents, from, to) {
        for (const cache of this._caches) {
            for (let row = 0; row < parents.length; row++) {
                if (parents[row] !== row) {
                    copyPositions(this._runtime, cache, parents[row], cache, row, from, to);
                }
            }
        }
    }

    /** @returns {void} frees what _allocate() allocated */
    _release() {
        this._caches.forEach((cache) => cache.dispose());
        this._caches = [];
        for (const address of [this._tokens, this._hidden, this._logits]) {
            this._runtime._free(address);
        }
        this._tokens = 0;
        this._hidden = 0;
        this._logits = 0;
    }

    /** Frees everything. */
    dispose() {
        this._release();
        this._runtime._free(this._row);
        this._row = 0;
        this.batch = 0;
    }

    /**
     * One pass over given tokens with all hidden states and logits as results.
     * @param {GPT2CausalLM} model
     * @param {import('../engine/tensor.js').TensorLike} tokenIds checked, [B, T]
     * @param {readonly KVCache[] | null} caches checked
     * @param {number} index
     * @param {Uint8Array | null} mask [B][T]
     */
    static callOnce(model, tokenIds, caches, index, mask) {
        const [batch, t] = tokenIds.shape;
        const captured = model._runtime._capture(tokenIds);
        /** @type {import('../engine/tensor.js').Tensor} */
        let hidden;
        /** @type {import('../engine/tensor.js').Tensor} */
        let logits;
        return model._runtime._run({
            check: () => {
                model._check();
                caches?.forEach((cache) => cache._check('caches'));
            },
            /** @param {Program} program */
            record(program) {
                hidden = program.result(Object.freeze([batch, t, model.hiddenDim]), 'float32');
                logits = program.result(Object.freeze([batch, t, model.vocabularySize]), 'float32');
                const tokens = program.input(captured);
                const keep = mask ? program.input({ shape: [mask.length], data: mask }) : 0;
                const calls = Array.from({ length: model.numLayers }, (_, i) => {
                    const call = new AttentionCall();
                    call.batch = batch;
                    call.t = t;
                    call.rows = t;
                    call.causal = true;
                    call.causalOffset = index;
                    call.explicit = model.dropout > 0;
                    if (caches) {
                        call.setCache(caches[i]);
                        call.index = index;
                    }
                    if (mask) {
                        call.mask = keep;
                        call.maskB = t;
                        call.maskS = 1;
                    }
                    return call;
                });
                model._record(program, {
                    tokens, batch, t, index, calls, all: true, lastLogits: false, hidden: hidden._address,
                    logits: logits._address,
                });
            },
            finish: () => ({ logits, hidden }),
        });
    }
}

/**
 * @typedef {object} Reader is shown every chunk of a prefill
 * @property {(start: number, t: number, hidden: Float32Array, logits: Float32Array | null) => void} read positions
 *   start .. start + t - 1: hidden states [batch * t][F], logits [batch * t][V]; valid only during the call
 *
 * @typedef {object} AttentionWatch
 * @property {number} layer
 * @property {number} address of the scores of the pass at hand
 * @property {{ start: number, rows: number, data: Float32Array }[]} pieces [batch][heads][rows][start + rows] each
 */

/** Keeps the hidden states of a prompt. */
class HiddenReader {
    /**
     * @param {Float32Array} target [batch][stride][F]
     * @param {number} batch
     * @param {number} stride
     * @param {number} width
     */
    constructor(target, batch, stride, width) {
        this._target = target;
        this._batch = batch;
        this._stride = stride;
        this._width = width;
    }

    /** @param {number} start @param {number} t @param {Float32Array} hidden */
    read(start, t, hidden) {
        const width = this._width;
        for (let row = 0; row < this._batch; row++) {
            const at = (row * this._stride + start) * width;
            this._target.set(hidden.subarray(row * t * width, (row + 1) * t * width), at);
        }
    }
}

/**
 * Copies positions of one batch entry. Keys are kept in panels of 8 positions, so whole panels are copied: what else is
 * in them is the same on both sides or not used yet.
 * @param {import('../engine/runtime.js').Runtime} runtime
 * @param {KVCache} source
 * @param {number} sourceRow
 * @param {KVCache} target of the same length, heads and key dim; may be `source`
 * @param {number} targetRow
 * @param {number} from
 * @param {number} to
 */
function copyPositions(runtime, source, sourceRow, target, targetRow, from, to) {
    const { floats } = runtime.memory;
    const a = source._layout;
    const b = target._layout;
    const d = a.keyDim;
    const firstKey = Math.floor(from / PANEL) * PANEL * d;
    const lastKey = Math.ceil(to / PANEL) * PANEL * d;
    for (let head = 0; head < a.heads; head++) {
        const keysFrom = source._keys / 4 + sourceRow * a.keysBatchStride + head * a.keysHeadStride;
        const keysTo = target._keys / 4 + targetRow * b.keysBatchStride + head * b.keysHeadStride;
        floats.copyWithin(keysTo + firstKey, keysFrom + firstKey, keysFrom + lastKey);
        const valuesFrom = source._values / 4 + sourceRow * a.valuesBatchStride + head * a.valuesHeadStride;
        const valuesTo = target._values / 4 + targetRow * b.valuesBatchStride + head * b.valuesHeadStride;
        floats.copyWithin(valuesTo + from * d, valuesFrom + from * d, valuesFrom + to * d);
    }
}
