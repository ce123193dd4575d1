// One call of a TransformerDecoder: its arguments checked and kept (constructor), written down as operations (record),
// and what it returns put together (finish).

import { KVCache, asCache } from '../blocks/cache.js';
import { checkOwnCache } from './attention/arguments.js';
import { floatInput, numbers } from './attention/inputs.js';
import { typeError } from '../check.js';
import { AttentionCall } from '../blocks/attention.js';
import { checkedSize } from '../engine/size.js';
import { checkKeeps } from '../keras/mask.js';
import { Tensor, asTensorLike, formatShape } from '../engine/tensor.js';

/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../engine/program.js').Program} Program */

/**
 * One attention of a call: its cache, in either form, its mask and its part of the result.
 */
class Side {
    /**
     * @param {import('./decoder.js').TransformerDecoder} decoder
     * @param {string} name 'selfAttention' or 'crossAttention', for messages
     * @param {number[]} sizes B, T and the number of new key rows
     * @param {KVCache | TensorLike | undefined} cache
     * @param {number | undefined} index
     */
    constructor(decoder, name, [batch, t, rows], cache, index) {
        this._runtime = decoder._runtime;
        this._name = name;
        this.io = new AttentionCall();
        this.io.batch = batch;
        this.io.t = t;
        this.io.rows = rows;
        /** @type {KVCache | Held | null} */
        this.cache = null;
        /** @type {Uint8Array | null} bytes of [B, T, S] */
        this._mask = null;
        /** What a functional cache becomes. @type {Tensor | null} */
        this._result = null;
        /** Whether the call may be cut short, so that a KVCache must be had again as it was. */
        this.canUndo = false;
        /** Its pages then. @type {import('../blocks/pages.js').PagedCache | null} */
        this._before = null;
        this.positions = rows;
        if (cache !== undefined) {
            this._setCache(decoder, cache, index);
        } else if (index !== undefined) {
            throw typeError(`${name}CacheUpdateIndex`, `absent without ${name}Cache`, index);
        } else if (rows === 0) {
            throw new RangeError(`${name} must have at least one position to attend to, got none`);
        }
    }

    /**
     * @param {import('./decoder.js').TransformerDecoder} decoder
     * @param {KVCache | TensorLike} cache
     * @param {number | undefined} index
     */
    _setCache(decoder, cache, index) {
        const { io } = this;
        const given = asCache(cache, `${this._name}Cache`);
        const { shape } = given;
        const heads = decoder.numHeads;
        const keyDim = Math.floor(decoder.hiddenDim / heads);
        const fits = shape.length === 5 && shape[0] === io.batch && shape[1] === 2 && shape[2] > 0 &&
            shape[3] === heads && shape[4] === keyDim;
        if (!fits) {
            throw new RangeError(`${this._name}Cache must have shape [${io.batch}, 2, S, ${heads}, ${keyDim}], ` +
                `got ${formatShape(shape)}`);
        }
        if (given instanceof KVCache) checkOwnCache(`${this._name}Cache`, given, this._runtime);
        this.cache = given instanceof KVCache ? given : this._runtime._capture(given);
        this.positions = shape[2];
        if (index === undefined) {
            io.rows = 0;
            return;
        }
        if (!Number.isInteger(index)) {
            throw typeError(`${this._name}CacheUpdateIndex`, 'an integer', index);
        }
        if (index < 0 || index + io.rows > this.positions) {
            throw new RangeError(`${this._name}CacheUpdateIndex must leave room for ${io.rows} rows in ` +
                `${this.positions} positions, got ${index}`);
        }
        io.index = index;
    }

    /**
     * Keeps a position when both masks (those given) do: cast to int as Keras Hub does, then nonzero.
     * @param {TensorLike | undefined} padding [B, S]
     * @param {TensorLike | undefined} attention [B, T, S] or [T, S]
     * @param {string} prefix 'decoder' or 'encoder'
     */
    setMask(padding, attention, prefix) {
        const { batch, t } = this.io;
        const s = this.positions;
        if (padding === undefined && attention === undefined) {
            return;
        }
        const size = checkedSize(`the masks of ${prefix}`, batch, t, s);
        // It lies in the runtime's memory later: what never fits there is not made here.
        this._runtime.memory.require(size);
        const mask = new Uint8Array(size).fill(1);
        if (padding !== undefined) {
            const given = asTensorLike(padding, `${prefix}PaddingMask`);
            const { shape } = given;
            this._apply(mask, given, shape.length === 2 ? [shape[0], 1, shape[1]] : shape, `${prefix}PaddingMask`);
        }
        if (attention !== undefined) {
            const given = asTensorLike(attention, `${prefix}AttentionMask`);
            const { shape } = given;
            this._apply(mask, given, shape.length === 2 ? [1, ...shape] : shape, `${prefix}AttentionMask`);
        }
        this._mask = mask;
    }

    /** @param {Uint8Array} mask @param {TensorLike} source @param {readonly number[]} shape @param {string} name */
    _apply(mask, source, shape, name) {
        const sizes = [this.io.batch, this.io.t, this.positions];
        if (shape.length !== 3 || shape.some((n, axis) => n !== 1 && n !== sizes[axis])) {
            throw new RangeError(`${name} must fit [B, T, S] = ${formatShape(sizes)}, ` +
                `got ${formatShape(source.shape)}`);
        }
        const data = numbers(this._runtime, source);
        const strides = [shape[1] * shape[2], shape[2], 1];
        const [b, t, s] = shape.map((n, axis) => (n === 1 ? 0 : strides[axis]));
        for (let i = 0; i < mask.length; i++) {
            const j = i % sizes[2];
            const row = Math.floor(i / sizes[2]);
            const at = Math.floor(row / sizes[1]) * b + (row % sizes[1]) * t + j * s;
            checkKeeps(name, data[at]);
            mask[i] &= Number(Math.trunc(data[at]) !== 0);
        }
    }

    /** Takes a functional cache as it is now. */
    keep() {
        const { cache } = this;
        if (cache !== null && !(cache instanceof KVCache)) {
            this.cache = Tensor._snapshot(this._runtime, cache);
        }
    }

    /** @throws {Error} when its cache has been disposed of */
    check() {
        this.cache?._check(`${this._name}Cache`);
    }

    /** @param {Program} program */
    record(program) {
        const { io, cache, positions } = this;
        if (cache instanceof KVCache) {
            const pages = cache._pages;
            if (this.canUndo) this._before = pages.fork();
            pages.makeWritable(io.index, io.index + io.rows);
            io.setCache(cache, pages);
        } else if (cache !== null) {
            io.copyCache(program, floatInput(this._runtime, program, cache, 'float32', 0), cache.shape);
            this._result = program.result(Object.freeze(cache.shape), 'float32');
        } else {
            io.noCache();
        }
        if (this._mask) {
            io.mask = program.input({ shape: [this._mask.length], data: this._mask });
            io.maskB = io.t * positions;
            io.maskT = positions;
            io.maskS = 1;
        }
    }

    /** After the attention: what a functional cache has become. @param {Program} program */
    recordResult(program) {
        if (this._result !== null) this.io.readCache(program, this._result);
    }

    /** The call has been cut short. */
    undo() {
        if (this._before !== null && this.cache instanceof KVCache && !this.cache.disposed) this.cache._pages.takeBack(this._before);
        this._before?.dispose();
    }

    /** @returns {KVCache | TensorLike} the cache after the call */
    finish() {
        this._before?.dispose();
        return this._result ?? /** @type {KVCache} */ (this.cache);
    }
}

/** Options that nothing would read without an encoder sequence. */
const OF_ENCODER = /** @type {const} */ (
    ['encoderPaddingMask', 'encoderAttentionMask', 'crossAttentionCache', 'crossAttentionCacheUpdateIndex']
);

/** One call of a TransformerDecoder: arguments checked and captured, then recorded as one program. */
export class DecoderJob {
    /**
     * @param {import('./decoder.js').TransformerDecoder} decoder built
     * @param {Held} sequence
     * @param {Held | null} encoder
     * @param {import('./decoder-options.js').Given} options read already: a plain copy
     */
    constructor(decoder, sequence, encoder, options) {
        const runtime = decoder._runtime;
        const width = decoder.hiddenDim;
        const [batch, t] = checkSequence(sequence, 'decoderSequence', width);
        if (decoder.hasCrossAttention !== (encoder !== null)) {
            throw typeError('encoderSequence', encoder ? 'absent, as built' : 'given, as built', encoder);
        }
        const { selfAttentionCache, crossAttentionCache } = options;
        for (const name of encoder ? [] : OF_ENCODER) {
            if (options[name] !== undefined) throw typeError(name, 'absent without encoderSequence', options[name]);
        }
        if (encoder && !selfAttentionCache !== !crossAttentionCache) {
            throw new TypeError('selfAttentionCache and crossAttentionCache must both be given, or neither, got one of them');
        }
        if (encoder && selfAttentionCache instanceof KVCache && selfAttentionCache === crossAttentionCache) {
            throw new TypeError('crossAttentionCache must be another KVCache than selfAttentionCache, got the same');
        }
        this._decoder = decoder;
        this._sequence = runtime._capture(sequence);
        this._rows = batch * t;
        this._self = new Side(decoder, 'selfAttention', [batch, t, t], selfAttentionCache, options.selfAttentionCacheUpdateIndex);
        this._self.setMask(options.decoderPaddingMask, options.decoderAttentionMask, 'decoder');
        this._self.io.causal = options.useCausalMask ?? true;
        this._self.io.causalOffset = this._self.io.index;
        /** @type {Side | null} */
        this._cross = null;
        if (encoder) {
            const [encoderBatch, positions] = checkSequence(encoder, 'encoderSequence', null);
            if (encoderBatch !== batch) {
                throw new RangeError(`encoderSequence must have the batch of decoderSequence, ${batch}, ` +
                    `got ${encoderBatch}`);
            }
            this._encoder = runtime._capture(encoder);
            this._cross = new Side(decoder, 'crossAttention', [batch, t, positions], crossAttentionCache,
                options.crossAttentionCacheUpdateIndex);
            if (this._cross.io.rows > 0) checkSequence(encoder, 'encoderSequence', /** @type {any} */ (decoder._parts.cross)._inputs.value);
            this._cross.setMask(options.encoderPaddingMask, options.encoderAttentionMask, 'encoder');
        }
        // Dropout, even where it does nothing, makes Keras take its explicit path.
        for (const side of [this._self, this._cross]) {
            if (side) {
                side.canUndo = options.signal !== undefined;
                side.io.explicit = decoder.dropout > 0;
                side.io.dropout = options.training ? decoder.dropout : 0;
            }
        }
    }

    /** As a job: whatever it uses may have been disposed of since. */
    check() {
        this._decoder._check();
        this._sequence._check('decoderSequence');
        this._encoder?._check('encoderSequence');
        this._self.check();
        this._cross?.check();
    }

    /** @param {Program} program */
    _recordCross(program) {
        if (this._cross && this._encoder) {
            const { io } = this._cross;
            this._cross.record(program);
            io.key = io.rows > 0 ? floatInput(this._decoder._runtime, program, this._encoder, 'float32', 0) : 0;
            [, , io.keyStride] = this._encoder.shape;
            io.value = io.key;
            io.valueStride = io.keyStride;
        }
    }

    /** @param {Program} program */
    record(program) {
        const { _runtime: runtime, hiddenDim, intermediateDim } = this._decoder;
        const floats = this._rows * hiddenDim;
        this._output = program.result(Object.freeze(this._sequence.shape), 'float32');
        const input = floatInput(runtime, program, this._sequence, 'float32', 0);
        program.floats.copyWithin(this._output._address / 4, input / 4, input / 4 + floats);
        this._self.record(program);
        this._recordCross(program);
        this._decoder._record(program, {
            rows: this._rows,
            x: this._output._address,
            out: this._output._address,
            normed: program.scratch(floats * 4),
            inner: program.scratch(this._rows * intermediateDim * 4),
            self: this._self.io,
            cross: this._cross && this._cross.io,
        });
        this._self.recordResult(program);
        this._cross?.recordResult(program);
    }

    /** The call has been cut short. */
    undo() {
        this._self.undo();
        this._cross?.undo();
    }

    /** @returns {import('./decoder-options.js').DecoderResult} */
    finish() {
        return {
            output: /** @type {Tensor} */ (this._output),
            ...(this._self.cache && { selfAttentionCache: this._self.finish() }),
            ...(this._cross?.cache && { crossAttentionCache: this._cross.finish() }),
        };
    }
}

/** @param {TensorLike} sequence @param {string} name @param {number | null} width @returns {readonly number[]} */
function checkSequence(sequence, name, width) {
    const { shape } = sequence;
    if (shape.length !== 3 || (width !== null && shape[2] !== width)) {
        throw new RangeError(`${name} must have shape [B, T, ${width ?? 'F'}], got ${formatShape(shape)}`);
    }
    return shape;
}
