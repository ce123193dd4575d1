// Attention masks as Keras reads them. A mask's last 2n axes (n: attention axes) are the query's and the key's; what
// stands before them counts from the left against the scores' batch axes and heads; missing axes, and sizes of 1,
// broadcast. The kernels read the mask as it was given, by strides: it is never copied per head.

import { rangeError, show } from '../check.js';
import { sizeOf } from '../engine/size.js';
import { roundTo } from './policy.js';

/**
 * @param {readonly number[]} mask shape
 * @param {readonly number[]} scores shape: batch axes, heads, query axes, key axes
 * @param {number} n attention axes
 * @returns {number[]} the mask's shape with the scores' rank
 * @throws {RangeError}
 */
export function alignMask(mask, scores, n) {
    const missing = scores.length - mask.length;
    if (mask.length < 2 * n || missing < 0) {
        throw rangeError('attentionMask', `of ${2 * n} to ${scores.length} axes to go with scores of shape ${show(scores)}`, mask);
    }
    const split = mask.length - 2 * n;
    const aligned = [...mask.slice(0, split), ...new Array(missing).fill(1), ...mask.slice(split)];
    aligned.forEach((size, axis) => {
        if (size !== 1 && size !== scores[axis]) {
            throw rangeError('attentionMask', `of sizes of 1 or those of the scores, ${show(scores)}`, mask);
        }
    });
    return aligned;
}

/**
 * Strides by which the kernels find a mask's element for (batch, head, query, key), each the product of some axes.
 */
export class MaskPlan {
    /**
     * @param {readonly number[]} aligned the mask's shape with the scores' rank
     * @param {readonly number[]} scores shape
     * @param {number} n attention axes
     */
    constructor(aligned, scores, n) {
        const heads = scores.length - 1 - 2 * n;
        const cuts = [0, heads, heads + 1, heads + 1 + n, scores.length];
        this.aligned = aligned;
        /** Sizes of the mask written out: those of the scores, or 1 where a whole group broadcasts. @type {number[]} */
        this.written = [];
        /** Sizes of the mask as the kernels see it: [batch, head, query, key], each whole or 1. @type {number[]} */
        this.sizes = [];
        /** Some axes of a group broadcast and some do not: the mask must be written out with that group whole. */
        this.mixed = false;
        for (let i = 0; i < 4; i++) {
            const own = aligned.slice(cuts[i], cuts[i + 1]);
            const whole = scores.slice(cuts[i], cuts[i + 1]);
            const some = own.some((size) => size !== 1);
            if (some && own.some((size, axis) => size !== whole[axis])) this.mixed = true;
            this.sizes.push(some ? sizeOf(whole, 'attentionMask') : 1);
            this.written.push(...(some ? whole : own));
        }
    }

    /**
     * Writes out a mixed mask: every axis of a group that does not broadcast as a whole.
     * @param {Uint8Array} target as many bytes as the product of `sizes`
     * @param {Uint8Array} source the mask's bytes
     */
    expand(target, source) {
        const { aligned, written } = this;
        const strides = aligned.map((size, axis) => (size === 1 ? 0 : sizeOf(aligned.slice(axis + 1))));
        const index = written.map(() => 0);
        for (let i = 0, at = 0; i < target.length; i++) {
            target[i] = source[at];
            for (let axis = written.length - 1; axis >= 0; axis--) {
                at += strides[axis];
                if (++index[axis] < written[axis]) break;
                at -= strides[axis] * written[axis];
                index[axis] = 0;
            }
        }
    }
}

/** Below it lies what masks that are added to scores have for what they leave out: -1e9, -65504, -Infinity. */
const LEAST = -1000;

/**
 * @param {string} name of the mask
 * @param {number} value in it
 * @throws {RangeError} for what a mask to add has: it means the opposite of what it would mean here
 */
export function checkKeeps(name, value) {
    if (value < LEAST) {
        throw new RangeError(`${name} must be 1 (or true) for positions to keep and 0 for the others, got ${value}: a mask that `
            + 'is added to scores, as in PyTorch, has 0 for those to keep; pass 1 where it has 0, and 0 elsewhere');
    }
}

/**
 * Writes which positions a mask of numbers keeps. The two attention paths disagree: the fused one keeps what is not 0,
 * the explicit one what is more than 0.5, unless other masks are there too. Floats are first cast to the compute type.
 * @param {Uint8Array} target
 * @param {ArrayLike<number>} values
 * @param {boolean} aboveHalf
 * @param {import('./policy.js').FloatType} type compute type
 * @throws {RangeError} for a mask that is to be added to scores
 */
export function keepBytes(target, values, aboveHalf, type) {
    for (let i = 0; i < target.length; i++) {
        checkKeeps('attentionMask', values[i]);
        const value = roundTo(values[i], type);
        target[i] = (aboveHalf ? value > 0.5 : value !== 0) ? 1 : 0;
    }
}
