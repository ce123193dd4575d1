// Brings what a call was given to where the kernels can read it: floats of the compute type, masks as bytes.

import { Tensor, sizeOf } from '../../engine/tensor.js';
import { keepBytes } from '../../keras/mask.js';

/** @typedef {import('../../engine/program.js').Program} Program */
/** @typedef {import('../../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../../engine/tensor.js').Held} Held */
/** @typedef {import('../../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../keras/policy.js').FloatType} FloatType */

/**
 * The numbers of a tensor-like, as they lie; a Tensor's are not moved out of the memory by looking.
 * @param {Runtime} runtime
 * @param {TensorLike} tensor
 * @returns {ArrayLike<number>}
 */
export function numbers(runtime, tensor) {
    if (!(tensor instanceof Tensor) || tensor._runtime !== runtime || tensor._address === 0) return tensor.data;
    const { memory } = runtime;
    const size = sizeOf(tensor.shape);
    switch (tensor.dtype) {
        case 'bool': return memory.u8(tensor._address, size);
        case 'int32': return memory.i32(tensor._address, size);
        default: return memory.f32(tensor._address, size);
    }
}

/**
 * Keras casts floats to the compute type, and its projections promote integers and booleans to it.
 * @param {Runtime} runtime
 * @param {Program} program
 * @param {Held} tensor
 * @param {FloatType} type
 * @param {number} round the same as ROUND
 * @returns {number} address of its numbers as floats of the type
 */
export function floatInput(runtime, program, tensor, type, round) {
    const { dtype } = tensor;
    const whole = dtype === 'int32' || dtype === 'bool';
    if (!whole && (round === 0 || dtype === type)) return program.input(tensor);
    const size = sizeOf(tensor.shape);
    const address = program.scratch(size * 4);
    if (whole) runtime.memory.f32(address, size).set(numbers(runtime, tensor));
    const source = whole ? address : program.input(tensor);
    if (round !== 0) runtime.wasm.cmha_round_f32(address, source, size, round);
    return address;
}

/**
 * @param {Runtime} runtime
 * @param {Program} program
 * @param {Held} mask
 * @param {boolean} aboveHalf keep = above 0.5, not: other than 0
 * @param {FloatType} type compute type
 * @returns {number} address of a byte per element, nonzero = keep
 */
export function maskInput(runtime, program, mask, aboveHalf, type) {
    const { dtype } = mask;
    if (dtype === 'bool') return program.input(mask);
    const size = sizeOf(mask.shape);
    const address = program.scratch(size);
    keepBytes(runtime.memory.u8(address, size), numbers(runtime, mask), aboveHalf, dtype === 'int32' ? 'float32' : type);
    return address;
}
