// Inputs and caches of any rank, brought into the order of rows that the kernels know.

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
 * Stores a cache [B, 2, axes, H, D] in the kept layout and points the call at it.
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
    const keys = gather(runtime, program, source, first, half, 0);
    const values = gather(runtime, program, source, first, half, 1);
    const axes = [first, ...rest];
    const rows = plan.direct ? keys : reorder(runtime, program, plan, keys, axes, heads * d);
    const valueRows = plan.direct ? values : reorder(runtime, program, plan, values, axes, heads * d);
    const batch = plan.batch(axes);
    const s = plan.sequence(axes);
    call.s = s;
    call.keysHeadStride = runtime.wasm.cmha_keys_size(s, d) >>> 0;
    call.keysBatchStride = heads * call.keysHeadStride;
    call.valuesHeadStride = s * d;
    call.valuesBatchStride = heads * call.valuesHeadStride;
    call.keys = program.scratch(batch * call.keysBatchStride * 4);
    call.values = program.scratch(batch * call.valuesBatchStride * 4);
    call.cacheRound = 0;
    runtime.memory.f32(call.keys, batch * call.keysBatchStride).fill(0);
    const floats = runtime.memory.floats;
    for (let b = 0; b < batch; b++) {
        for (let h = 0; h < heads; h++) {
            const from = (b * s * heads + h) * d;
            const at = call.keys + (b * heads + h) * call.keysHeadStride * 4;
            runtime.wasm.cmha_keys_store(at, rows + from * 4, 0, s, d, heads * d);
            const to = call.values / 4 + (b * heads + h) * call.valuesHeadStride;
            for (let i = 0; i < s; i++) {
                const row = valueRows / 4 + from + i * heads * d;
                floats.copyWithin(to + i * d, row, row + d);
            }
        }
    }
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
