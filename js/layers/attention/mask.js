// The mask of a call: checked and measured, then brought to where the kernels read it.

import { rangeError, show } from '../../check.js';
import { asTensorLike, sizeOf } from '../../engine/tensor.js';
import { MaskPlan, alignMask, checkKeeps } from '../../keras/mask.js';
import { ROW_MASKS } from './arguments.js';
import { maskInput, numbers } from './inputs.js';

/** @typedef {import('../../engine/program.js').Program} Program */
/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../engine/tensor.js').Held} Held */
/** @typedef {import('../../keras/policy.js').FloatType} FloatType */
/** @typedef {import('../../blocks/attention.js').AttentionCall} AttentionCall */

/** @typedef {{ given: Held, name: 'queryMask' | 'valueMask' | 'keyMask' }} RowMask */

/** A call's mask, or none; used again and again. */
export class CallMask {
    constructor() {
        /** @type {Held | null} */
        this.given = null;
        /** How the mask is to be written out before the kernels can read it by strides. @type {MaskPlan | null} */
        this._plan = null;
        /** Whether numbers keep from above 0.5 on, not where they are other than 0. */
        this.half = false;
        /** Masks of positions, which come in beside it. @type {RowMask[]} */
        this.rows = [];
    }

    release() {
        this.given = null;
        this._plan = null;
        if (this.rows.length > 0) this.rows.length = 0;
    }

    /**
     * Reads the masks of positions.
     * @param {import('./arguments.js').CallOptions | undefined} options
     */
    takeRows(options) {
        if (this.rows.length > 0) this.rows.length = 0;
        if (options === undefined) return;
        for (const name of ROW_MASKS) {
            const given = options[name] ?? null;
            if (given !== null) this.rows.push({ given: asTensorLike(given, name), name });
        }
    }

    /** Checks the masks of queries [batch, t], and of values and keys [batch, s]. @param {AttentionCall} call */
    prepareRows(call) {
        if (this.rows.length === 0) return;
        for (const { given: { shape }, name } of this.rows) {
            const sizes = [call.batch, name === 'queryMask' ? call.t : call.s];
            if (shape.length !== 2 || shape.some((size, axis) => size !== 1 && size !== sizes[axis])) {
                throw rangeError(name, `of the shape ${show(sizes)}, or 1 for any size`, shape);
            }
        }
    }

    /** @throws {Error} when one of them has been disposed of */
    check() {
        this.given?._check('attentionMask');
        for (let i = 0; i < this.rows.length; i++) this.rows[i].given._check(this.rows[i].name);
    }

    /** Keeps the tensors as they are now. @param {Runtime} runtime */
    capture(runtime) {
        if (this.given !== null) this.given = runtime._capture(this.given);
        for (const row of this.rows) row.given = runtime._capture(row.given);
    }

    /**
     * Checks the mask given for scores [batch, heads, t, s]; makes no garbage.
     * @param {AttentionCall} call gets the strides
     * @param {number} heads
     */
    prepare(call, heads) {
        this._plan = null;
        if (this.given === null) return;
        const { shape } = this.given;
        const rank = shape.length;
        const { batch, t, s } = call;
        const fits = rank >= 2 && rank <= 4
            && (shape[rank - 1] === s || shape[rank - 1] === 1)
            && (shape[rank - 2] === t || shape[rank - 2] === 1)
            && (rank < 3 || shape[0] === batch || shape[0] === 1)
            && (rank < 4 || shape[1] === heads || shape[1] === 1);
        if (!fits) {
            const sizes = `[${t}, ${s}], [${batch}, ${t}, ${s}] or [${batch}, ${heads}, ${t}, ${s}]`;
            throw rangeError('attentionMask', `of the shape ${sizes}, or 1 for any size`, shape);
        }
        setStrides(call, rank > 2 ? shape[0] : 1, rank > 3 ? shape[1] : 1, shape[rank - 2], shape[rank - 1]);
    }

    /**
     * Checks the mask given for scores of any rank.
     * @param {AttentionCall} call gets the strides
     * @param {readonly number[]} scores shape
     * @param {number} n attention axes
     */
    prepareAxes(call, scores, n) {
        this._plan = null;
        if (this.given === null) return;
        const { shape } = this.given;
        const plan = new MaskPlan(alignMask(shape, scores, n), scores, n);
        if (plan.mixed) this._plan = plan;
        const [batch, heads, t, s] = plan.sizes;
        setStrides(call, batch, heads, t, s);
    }

    /**
     * @param {Runtime} runtime
     * @param {Program} program
     * @param {AttentionCall} call gets the address
     * @param {FloatType} type compute type
     */
    record(runtime, program, call, type) {
        call.mask = 0;
        if (this.given !== null) {
            const source = maskInput(runtime, program, this.given, this.half, type);
            call.mask = source;
            if (this._plan !== null) {
                const size = sizeOf(this._plan.written);
                call.mask = program.scratch(size);
                const { memory } = runtime;
                this._plan.expand(memory.u8(call.mask, size), memory.u8(source, sizeOf(this.given.shape)));
            }
        }
        if (this.rows.length > 0) this._recordRows(runtime, program, call);
    }

    /**
     * Writes out one mask that keeps what all keep: [batch, t, s], or [batch, heads, t, s] where the first has heads.
     * @param {Runtime} runtime
     * @param {Program} program
     * @param {AttentionCall} call gets the address and the strides
     */
    _recordRows(runtime, program, call) {
        const { batch, t, s, mask, maskB, maskH, maskT, maskS } = call;
        const heads = mask !== 0 && maskH !== 0 ? /** @type {Held} */ (this.given).shape[1] : 1;
        const size = batch * heads * t * s;
        const address = program.scratch(size);
        const { memory } = runtime;
        const { bytes } = memory;
        for (let b = 0, to = address; b < batch; b++) {
            for (let h = 0; h < heads; h++) {
                for (let i = 0; i < t; i++) {
                    const from = mask + b * maskB + h * maskH + i * maskT;
                    for (let j = 0; j < s; j++) bytes[to++] = mask === 0 ? 1 : bytes[from + j * maskS];
                }
            }
        }
        for (const { given, name } of this.rows) {
            const ofQueries = name === 'queryMask';
            const { shape } = given;
            const values = numbers(runtime, given);
            for (let i = 0; i < values.length; i++) checkKeeps(name, values[i]);
            for (let b = 0, at = address; b < batch; b++) {
                const row = shape[0] === 1 ? 0 : b * shape[1];
                for (let i = 0; i < heads * t; i++) {
                    for (let j = 0; j < s; j++, at++) {
                        if (!values[row + (shape[1] === 1 ? 0 : ofQueries ? i % t : j)]) bytes[at] = 0;
                    }
                }
            }
        }
        call.mask = address;
        setStrides(call, batch, heads, t, s);
    }
}

/**
 * @param {AttentionCall} call
 * @param {number} batch size of the mask's axis, 1: broadcasts
 * @param {number} heads
 * @param {number} t
 * @param {number} s
 */
function setStrides(call, batch, heads, t, s) {
    call.maskS = s === 1 ? 0 : 1;
    call.maskT = t === 1 ? 0 : s;
    call.maskH = heads === 1 ? 0 : t * s;
    call.maskB = batch === 1 ? 0 : heads * t * s;
}
