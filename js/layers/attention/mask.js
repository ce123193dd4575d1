// The mask of a call: checked and measured, then brought to where the kernels read it.

import { formatShape, sizeOf } from '../../engine/tensor.js';
import { MaskPlan, alignMask } from '../../keras/mask.js';
import { maskInput } from './inputs.js';

/** @typedef {import('../../engine/program.js').Program} Program */
/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../keras/policy.js').FloatType} FloatType */
/** @typedef {import('../../blocks/attention.js').AttentionCall} AttentionCall */

/** A call's mask, or none; used again and again. */
export class CallMask {
    constructor() {
        /** @type {TensorLike | null} */
        this.given = null;
        /** How the mask is to be written out before the kernels can read it by strides. @type {MaskPlan | null} */
        this._plan = null;
    }

    release() {
        this.given = null;
        this._plan = null;
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
            throw new RangeError(`attentionMask must have the shape [${t}, ${s}], [${batch}, ${t}, ${s}] or `
                + `[${batch}, ${heads}, ${t}, ${s}], or 1 for any size, got ${formatShape(shape)}`);
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
        if (this.given === null) return;
        const source = maskInput(runtime, program, this.given, call.explicit, type);
        call.mask = source;
        if (this._plan === null) return;
        const size = sizeOf(this._plan.written);
        call.mask = program.scratch(size);
        const { memory } = runtime;
        this._plan.expand(memory.u8(call.mask, size), memory.u8(source, sizeOf(this.given.shape)));
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
