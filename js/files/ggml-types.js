// The types that a tensor can have: ggml's by their ids, and which of all types weights may be computed from. The
// numbers are those of https://github.com/ggml-org/ggml/blob/master/include/ggml.h and its block structures.

import { FormatError, show } from '../check.js';
import { NOT_GGML } from '../engine/interface.js';
import { WEIGHT } from '../engine/weight-types.js';

/**
 * @typedef {object} GgmlType
 * @property {string} name
 * @property {number} block numbers in a block
 * @property {number} bytes of a block
 */

/** By id: name, numbers in a block, bytes of a block. @type {Map<number, GgmlType>} */
export const GGML_TYPES = new Map(/** @type {[number, string, number, number][]} */ ([
    [0, 'F32', 1, 4], [1, 'F16', 1, 2],
    [2, 'Q4_0', 32, 18], [3, 'Q4_1', 32, 20], [6, 'Q5_0', 32, 22], [7, 'Q5_1', 32, 24],
    [8, 'Q8_0', 32, 34], [9, 'Q8_1', 32, 36],
    [10, 'Q2_K', 256, 84], [11, 'Q3_K', 256, 110], [12, 'Q4_K', 256, 144], [13, 'Q5_K', 256, 176],
    [14, 'Q6_K', 256, 210], [15, 'Q8_K', 256, 292],
    [16, 'IQ2_XXS', 256, 66], [17, 'IQ2_XS', 256, 74], [18, 'IQ3_XXS', 256, 98], [19, 'IQ1_S', 256, 50],
    [20, 'IQ4_NL', 32, 18], [21, 'IQ3_S', 256, 110], [22, 'IQ2_S', 256, 82], [23, 'IQ4_XS', 256, 136],
    [24, 'I8', 1, 1], [25, 'I16', 1, 2], [26, 'I32', 1, 4], [27, 'I64', 1, 8], [28, 'F64', 1, 8],
    [29, 'IQ1_M', 256, 56], [30, 'BF16', 1, 2], [34, 'TQ1_0', 256, 54], [35, 'TQ2_0', 256, 66],
    [39, 'MXFP4', 32, 17], [40, 'NVFP4', 64, 36],
]).map(([id, name, block, bytes]) => [id, { name, block, bytes }]));

/** Ids that ggml once gave and took back. @type {Map<number, string>} */
const REMOVED = new Map([
    [4, 'Q4_2'], [5, 'Q4_3'], [31, 'Q4_0_4_4'], [32, 'Q4_0_4_8'], [33, 'Q4_0_8_8'],
    [36, 'IQ4_NL_4_4'], [37, 'IQ4_NL_4_8'], [38, 'IQ4_NL_8_8'],
]);

/**
 * What weights may be, in safetensors too, where the first three have the same names: what the core knows as ggml's.
 * @type {Set<string>}
 */
const SUPPORTED = new Set(Object.values(WEIGHT).filter(({ ggml }) => ggml !== NOT_GGML).map(({ name }) => name));

/** Numbers and bytes of a block of the types that weights may be, by name. @type {Map<string, GgmlType>} */
export const WEIGHT_TYPES = new Map(Array.from(GGML_TYPES.values(), (type) => /** @type {[string, GgmlType]} */ (
    [type.name, type])).filter(([name]) => SUPPORTED.has(name)));

/**
 * @param {number} id as a GGUF file has it
 * @param {string} tensor its name
 * @returns {GgmlType}
 * @throws {FormatError} `bad-tensor`
 */
export function ggmlType(id, tensor) {
    const type = GGML_TYPES.get(id);
    if (type === undefined) {
        const removed = REMOVED.get(id);
        throw new FormatError('bad-tensor', `tensor ${show(tensor)} has ` + (removed === undefined
            ? `the unknown type ${id}` : `type ${id}, ${removed}, which ggml has removed`));
    }
    return type;
}

/**
 * @param {import('./tensor-source.js').TensorInfo} info of a tensor that a model wants
 * @throws {FormatError} `weight-type` unless its numbers can be computed with
 */
export function requireWeightType({ name, type }) {
    if (!SUPPORTED.has(type)) {
        throw new FormatError('weight-type',
            `tensor ${show(name)} is ${type}; weights may be ${Array.from(SUPPORTED).join(', ')}`);
    }
}
