// Build-time shapes: what `build` checks, which weights there are, and how inputs of any rank become the rank 3 that
// the kernels know.

import { rangeError, show, typeError } from '../check.js';
import { checkedSize, sizeOf } from '../engine/size.js';

/** @typedef {import('./config.js').CheckedConfig} CheckedConfig */
/** @typedef {readonly (number | null)[]} Shape sizes; null where a size is not known yet */
/** @typedef {'query' | 'key' | 'gate' | 'value' | 'attention_output'} ProjectionName */
/**
 * @typedef {object} ProjectionShape
 * @property {ProjectionName} name
 * @property {readonly number[]} kernel its shape; as a matrix it is [inputs][outputs]
 * @property {readonly number[] | null} bias null: none
 * @property {number} inputs
 * @property {number} outputs
 * @property {{ name: string, heads: number, dim: number } | null} norm of what it gives, head by head
 */

/**
 * @param {string} argument
 * @param {unknown} shape
 * @returns {Shape}
 */
export function checkShape(argument, shape) {
    // A copy: what the caller's own array answers may change.
    const copy = Array.isArray(shape) ? Array.from(shape) : null;
    const valid = copy?.every((size) => size === null || (Number.isSafeInteger(size) && size >= 0));
    if (copy === null || !valid) throw typeError(argument, 'an array of sizes (null: not known)', shape);
    return copy;
}

/**
 * Keras's condition on keys and values: equal but for batch and features.
 * @param {Shape} valueShape
 * @param {Shape} keyShape
 */
export function checkKeyAgainstValue(valueShape, keyShape) {
    const value = valueShape.slice(1, -1);
    const key = keyShape.slice(1, -1);
    if (value.length !== key.length || value.some((size, i) => size !== key[i])) {
        throw new RangeError('all axes of value and key but the first and the last must be equal, got value of shape '
            + `${show(valueShape)} and key of shape ${show(keyShape)}`);
    }
}

/**
 * @param {string} argument
 * @param {Shape} shape
 * @returns {number} its last size
 */
function features(argument, shape) {
    const size = shape[shape.length - 1];
    if (size === null || size === undefined) throw rangeError(argument, 'a shape with its last size known', shape);
    if (size === 0) throw rangeError(argument, 'a shape with at least one feature', shape);
    return size;
}

/**
 * @param {CheckedConfig} config
 * @param {Shape} queryShape
 * @param {Shape} valueShape
 * @param {Shape} keyShape
 * @returns {ProjectionShape[]} in the order of Keras's weights
 */
export function projectionShapes(config, queryShape, valueShape, keyShape) {
    const { numHeads, kvHeads, keyDim, valueDim, useBias, useGate, attending } = config;
    const outputShape = config.outputShape ?? [features('queryShape', queryShape)];
    const normed = attending.norm !== null;
    /**
     * @param {ProjectionName} name
     * @param {number} inputs
     * @param {number} heads
     * @param {number} dim
     * @returns {ProjectionShape}
     */
    const toHeads = (name, inputs, heads, dim) => ({
        name,
        kernel: [inputs, heads, dim],
        bias: useBias ? [heads, dim] : null,
        inputs,
        outputs: checkedSize(`the heads of ${name}`, heads, dim),
        norm: normed && (name === 'query' || name === 'key') ? { name: `${name}_norm`, heads, dim } : null,
    });
    const shapes = [
        toHeads('query', features('queryShape', queryShape), numHeads, keyDim),
        toHeads('key', features('keyShape', keyShape), kvHeads, keyDim),
    ];
    if (useGate) shapes.push(toHeads('gate', features('queryShape', queryShape), numHeads, valueDim));
    shapes.push(toHeads('value', features('valueShape', valueShape), kvHeads, valueDim), {
        name: 'attention_output',
        kernel: [numHeads, valueDim, ...outputShape],
        bias: (attending.outputBias ?? useBias) ? outputShape : null,
        inputs: checkedSize('the heads of value', numHeads, valueDim),
        outputs: sizeOf(outputShape, 'outputShape'),
        norm: null,
    });
    return shapes;
}

/**
 * Keras's resolution of the attention axes at build.
 * @param {readonly number[] | null} axes as configured
 * @param {number} rank of the inputs
 * @returns {readonly number[]} each from 0 on
 */
export function resolveAxes(axes, rank) {
    if (axes === null) return Object.freeze(Array.from({ length: Math.max(0, rank - 2) }, (_, i) => i + 1));
    const resolved = axes.map((axis) => (axis < 0 ? rank + axis : axis));
    for (const axis of resolved) {
        if (axis < 0 || axis > rank - 2) {
            throw rangeError('attentionAxes', `axes of inputs of rank ${rank}, the features excepted`, axes);
        }
    }
    if (new Set(resolved).size !== resolved.length) throw rangeError('attentionAxes', 'different axes', axes);
    return Object.freeze(resolved);
}

/**
 * A loop, not a closure: every call of a layer comes by here.
 * @param {readonly number[]} axes
 * @param {readonly number[]} shape
 * @returns {number} product of the sizes
 */
function sizeAlong(axes, shape) {
    let size = 1;
    for (let i = 0; i < axes.length; i++) size *= shape[axes[i]];
    return size;
}

/**
 * How tensors of rank r >= 3 are laid out as [batch][sequence][features]: the axes that are not attended over, in
 * order, then those that are, in the order given. Scores come out as Keras's: batch axes, heads, query axes, key axes.
 */
export class AxesPlan {
    /**
     * @param {number} rank of the inputs
     * @param {readonly number[]} axes attended over, resolved
     */
    constructor(rank, axes) {
        this.rank = rank;
        // Not frozen, as nothing is that every call reads: V8 reads frozen arrays by a call of its own.
        this.axes = [...axes];
        this.batchAxes = Array.from({ length: rank - 1 }, (_, axis) => axis).filter((axis) => !axes.includes(axis));
        this.order = [...this.batchAxes, ...axes];
        /** Nothing moves: rows lie as the kernels want them. */
        this.direct = this.order.every((axis, i) => axis === i);
        /** [batch, sequence, features], attended over along the sequence: what caches are made for. */
        this.standard = rank === 3 && axes.length === 1 && axes[0] === 1;
    }

    /** @param {readonly number[]} shape @returns {number} rows per batch entry */
    sequence(shape) {
        return sizeAlong(this.axes, shape);
    }

    /** @param {readonly number[]} shape @returns {number} batch entries */
    batch(shape) {
        return sizeAlong(this.batchAxes, shape);
    }

    /**
     * @param {readonly number[]} query shape
     * @param {readonly number[]} key shape
     * @param {number} heads
     * @returns {number[]} the scores' shape
     */
    scoresShape(query, key, heads) {
        return [
            ...this.batchAxes.map((axis) => query[axis]), heads,
            ...this.axes.map((axis) => query[axis]), ...this.axes.map((axis) => key[axis]),
        ];
    }

    /**
     * Moves rows between a tensor's own order and the plan's.
     * @param {Float32Array} target
     * @param {Float32Array} source
     * @param {readonly number[]} shape of the tensor: its axes but the last ones
     * @param {number} width numbers per row
     * @param {boolean} back from the plan's order to the tensor's own
     */
    permute(target, source, shape, width, back) {
        const sizes = this.order.map((axis) => shape[axis]);
        const strides = this.order.map((axis) => shape.slice(axis + 1, this.rank - 1).reduce((a, b) => a * b, width));
        const rows = sizeOf(sizes);
        const index = sizes.map(() => 0);
        for (let row = 0, own = 0; row < rows; row++) {
            const from = back ? row * width : own;
            const to = back ? own : row * width;
            for (let i = 0; i < width; i++) target[to + i] = source[from + i];
            for (let axis = sizes.length - 1; axis >= 0; axis--) {
                own += strides[axis];
                if (++index[axis] < sizes[axis]) break;
                own -= strides[axis] * sizes[axis];
                index[axis] = 0;
            }
        }
    }
}
