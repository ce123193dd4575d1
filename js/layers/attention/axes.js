// Inputs and caches of any rank, brought into the order of rows that the kernels know.

import { TRANSFER } from '../../engine/interface.js';

/** @typedef {import('../../engine/program.js').Program} Program */
/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../keras/shapes.js').AxesPlan} AxesPlan */
/** @typedef {import('../../blocks/attention.js').AttentionCall} AttentionCall */

/**
 * @param {Runtime} runtime
 * @param {Program} program
 * @param {AxesPlan} plan
 * @param {number} address of the tensor's rows
 * @param {readonly number[]} shape of the tensor
 * @param {number} width numbers per row
 * @returns {number} address of its rows in the order of the plan
 */
export function reorder(runtime, program, plan, address, shape, width) {
    const size = plan.batch(shape) * plan.sequence(shape) * width;
    const target = program.scratch(size * 4);
    const { memory } = runtime;
    plan.permute(memory.f32(target, size), memory.f32(address, size), shape, width, false);
    return target;
}

/**
 * Has a cache [B, 2, axes, H, D] stored in scratch, and points the call at it.
 * @param {Runtime} runtime
 * @param {Program} program
 * @param {AxesPlan} plan
 * @param {readonly number[]} shape of the cache
 * @param {number} source address of its floats
 * @param {AttentionCall} call
 */
export function storeAxesCache(runtime, program, plan, shape, source, call) {
    const [first, , ...rest] = shape;
    const heads = shape[shape.length - 2];
    const d = shape[shape.length - 1];
    const half = rest.reduce((a, b) => a * b, 1);
    const axes = [first, ...rest];
    const batch = plan.batch(axes);
    const s = plan.sequence(axes);
    // Keys and values of an entry lie one after the other; where entries are cut further, they are drawn apart first.
    const apart = !plan.direct || batch !== first;
    const rows = [source, source + 4 * half];
    for (let which = 0; apart && which < 2; which++) {
        rows[which] = gather(runtime, program, source, first, half, which);
        if (!plan.direct) rows[which] = reorder(runtime, program, plan, rows[which], axes, heads * d);
    }
    const op = call.copyCache(program, rows[0], [batch, 2, s, heads, d]);
    const { words } = program;
    words[op + TRANSFER.values] = rows[1];
    if (apart) words[op + TRANSFER.keysBatch] = words[op + TRANSFER.valuesBatch] = s * heads * d;
}

/**
 * @param {Runtime} runtime
 * @param {Program} program
 * @param {number} source address of [count][2][half]
 * @param {number} count
 * @param {number} half
 * @param {number} which 0: keys, 1: values
 * @returns {number} address of [count][half]
 */
function gather(runtime, program, source, count, half, which) {
    const target = program.scratch(count * half * 4);
    const { floats } = runtime.memory;
    for (let i = 0; i < count; i++) {
        const from = source / 4 + (2 * i + which) * half;
        floats.copyWithin(target / 4 + i * half, from, from + half);
    }
    return target;
}
