// Weights that Keras quantized. In int8 they stay integers, with a scale for each output that values are to be divided
// by: Keras rounds the inputs too and multiplies integers. In int4 a value is q / scale where an output has one scale, and
// (q - zero) * scale where inputs are in groups; they stay integers where those are large enough, and else become float32.

import { FormatError, show } from '../../check.js';
import { blockReader, fitsBlocks } from './four-bits.js';

/**
 * @typedef {import('../hdf5.js').Hdf5Dataset} Hdf5Dataset
 * @typedef {import('./views.js').Values} Values
 *
 * @typedef {object} Kernel
 * @property {Values} values [inputs..., outputs...]
 * @property {number} inputs how many axes are inputs
 * @property {Hdf5Dataset | null} bias
 * @property {Hdf5Dataset | null} scale of each output, in int8
 * @property {'int8' | 'int4' | null} quantized
 */

/** @param {number[]} axes @returns {number} */
const product = (axes) => axes.reduce((a, b) => a * b, 1);

/** @param {Hdf5Dataset} dataset @param {string} words @returns {never} */
function refuse({ path, shape, type }, words) {
    throw new FormatError('tensor-shape', `${show(path)} (${type} [${shape}]) ${words}`);
}

/**
 * A layer's variables: kernel, bias if any, scale, zeros, groups.
 * @param {Hdf5Dataset[]} variables
 * @param {number} inputs how many axes of a kernel are inputs
 * @returns {Kernel}
 */
export function kernelOf(variables, inputs) {
    const [kernel, ...others] = variables;
    if (kernel.type !== 'I8') {
        if (others.length > 1) {
            refuse(others[1], 'is not known: a layer has a kernel and a bias');
        }
        return { values: kernel, inputs, bias: others[0] ?? null, scale: null, quantized: null };
    }
    // With a bias there is one more, and it comes second.
    const bias = others.length === 2 || others.length === 4 ? /** @type {Hdf5Dataset} */ (others.shift()) : null;
    const [scale, zero, groups] = others;
    if (others.length === 1) {
        const outputs = product(scale.shape);
        const packed = kernel.shape.length === 2 && kernel.shape[1] !== outputs;
        const rows = packed ? kernel.shape[0] : product(kernel.shape) / outputs;
        if (!Number.isInteger(rows) || (packed && kernel.shape[1] !== Math.ceil(outputs / 2))) {
            refuse(kernel, `does not fit its ${outputs} scales`);
        }
        if (!packed) {
            return { values: integers(kernel, [rows, outputs]), inputs: 1, bias, scale, quantized: 'int8' };
        }
        const values = matrix(kernel, [rows, outputs], 'columns', { scale, zero: null, groups: null });
        return { values, inputs: 1, bias, scale: null, quantized: 'int4' };
    }
    if (others.length !== 3 || scale.shape.length !== 2) {
        refuse(kernel, `is quantized in a way that is not known, with ${others.length} further variables`);
    }
    const [rows, outputs] = [product(groups.shape), scale.shape[1]];
    const values = matrix(kernel, [rows, outputs], 'columns', { scale, zero, groups });
    return { values, inputs: 1, bias, scale: null, quantized: 'int4' };
}

/** @param {Hdf5Dataset} dataset of I8 @param {number[]} shape @returns {Values} */
function integers(dataset, shape) {
    return { path: dataset.path, shape, type: 'I8', scaled: true, bytes: () => dataset.bytes() };
}

/**
 * A table of embeddings, and the head where it is not the table.
 * @param {Hdf5Dataset[]} variables
 * @param {number} width of an embedding
 * @returns {{ table: Values, head: Values | null, scales: (Hdf5Dataset | undefined)[],
 *   quantized: 'int8' | 'int4' | null }} [tokens, width], [width, tokens]; in int8 the scales of both
 */
export function embeddingOf(variables, width) {
    const [table, ...others] = variables;
    if (table.type !== 'I8') {
        if (others.length > 1) {
            refuse(others[1], 'is not known: an embedding has a table and a head');
        }
        return { table, head: others[0] ?? null, scales: [], quantized: null };
    }
    const tokens = table.shape[0];
    const packed = table.shape[1] !== width;
    // What one array needs beside it: a scale; by blocks, where a token has several, also zeros, and for both arrays the
    // blocks of the inputs.
    const blocks = packed && others.length >= 3 && others[0].shape.length === 2;
    const [scale, zero = null, groups = null] = blocks ? others : [others[0]];
    const [head, headScale, headZero = null] = others.slice(blocks ? 3 : 1);
    if (scale === undefined || (head !== undefined && headScale === undefined)) {
        refuse(table, 'lacks its scale');
    }
    if (!packed) {
        for (const [each, beside] of [[table, scale], [head, headScale]]) {
            const fits = (/** @type {Hdf5Dataset} */ { shape, type }) =>
                type === 'I8' && product(shape) === tokens * width && product(beside.shape) === tokens;
            if (each && !fits(each)) {
                refuse(each, `must be a quantized matrix for ${tokens} tokens`);
            }
        }
        return {
            table: integers(table, [tokens, width]), head: head ? integers(head, [width, tokens]) : null,
            scales: [scale, headScale], quantized: 'int8',
        };
    }
    return {
        table: matrix(table, [tokens, width], 'columns', { scale, zero, groups }, true),
        head: head ? matrix(head, [width, tokens], 'rows', { scale: headScale, zero: headZero, groups }) : null,
        scales: [], quantized: 'int4',
    };
}

/**
 * @param {Hdf5Dataset} quantized
 * @param {number[]} shape of the matrix
 * @param {'rows' | 'columns'} packing along which axis two values share a byte, the even one its low half
 * @param {{ scale: Hdf5Dataset, zero: Hdf5Dataset | null, groups: Hdf5Dataset | null }} beside
 * @param {boolean} [byRow] whether scales belong to rows (and groups to columns) instead of the other way round
 * @returns {Values}
 */
function matrix(quantized, shape, packing, beside, byRow = false) {
    const [rows, columns] = shape;
    const stored = packing === 'rows' ? [Math.ceil(rows / 2), columns] : [rows, Math.ceil(columns / 2)];
    if (quantized.type !== 'I8' || product(quantized.shape) !== product(stored)) {
        refuse(quantized, `must be a quantized matrix of [${shape}]`);
    }
    const numbers = factorsOf(beside, shape, byRow);
    const integers = {
        bytes: () => quantized.bytes(), inputs: byRow ? columns : rows, outputs: byRow ? rows : columns,
        rows: /** @type {'input' | 'output'} */ (byRow ? 'output' : 'input'),
        packed: /** @type {'input' | 'output'} */ ((packing === 'columns') === byRow ? 'input' : 'output'),
    };
    return {
        path: quantized.path, shape, type: 'F32',
        bytes: () => dequantize(quantized.bytes(), shape, packing, numbers, byRow),
        ...fitsBlocks(integers, numbers) && { blocks: () => blockReader(integers, numbers) },
    };
}

/**
 * @typedef {object} Factors
 * @property {Float32Array} scale [groups, outputs], or by row [outputs, groups]
 * @property {Float32Array | null} zero
 * @property {Float32Array | null} groups of each input
 * @property {number} count of groups
 *
 * @param {{ scale: Hdf5Dataset, zero: Hdf5Dataset | null, groups: Hdf5Dataset | null }} beside
 * @param {number[]} shape
 * @param {boolean} byRow
 * @returns {Factors}
 */
function factorsOf({ scale, zero, groups }, [rows, columns], byRow) {
    const [outputs, inputs] = byRow ? [rows, columns] : [columns, rows];
    const count = product(scale.shape) / outputs;
    const fits = zero === null ? count === 1
        : product(zero.shape) === product(scale.shape) && groups !== null && product(groups.shape) === inputs;
    if (!fits || !Number.isInteger(count) || count === 0) {
        refuse(scale, `does not fit a matrix of [${rows}, ${columns}]`);
    }
    const groupOf = zero === null || groups === null ? null : floats(groups);
    if (groupOf?.some((g) => !(Number.isInteger(g) && g >= 0 && g < count))) {
        refuse(/** @type {Hdf5Dataset} */ (groups), `names blocks that are not there; there are ${count}`);
    }
    return { scale: floats(scale), zero: zero && floats(zero), groups: groupOf, count };
}

/** @param {Hdf5Dataset} dataset @returns {Float32Array} */
function floats(dataset) {
    const bytes = dataset.bytes().slice();
    if (dataset.type === 'I8') {
        return Float32Array.from(new Int8Array(bytes.buffer));
    }
    return dataset.type === 'F32' ? new Float32Array(bytes.buffer) : refuse(dataset, 'must be F32 or I8');
}

/**
 * @param {Uint8Array} bytes
 * @param {number[]} shape
 * @param {'rows' | 'columns'} packing
 * @param {Factors} factors
 * @param {boolean} byRow
 * @returns {Uint8Array}
 */
function dequantize(bytes, [rows, columns], packing, { scale, zero, groups, count }, byRow) {
    const out = new Float32Array(rows * columns);
    const stride = packing === 'columns' ? Math.ceil(columns / 2) : columns;
    for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
            const byte = bytes[(packing === 'rows' ? r >> 1 : r) * stride + (packing === 'columns' ? c >> 1 : c)];
            // One of the byte's halves, sign-extended.
            const odd = (packing === 'rows' ? r : c) & 1;
            const q = odd ? byte << 24 >> 28 : byte << 28 >> 28;
            const group = groups === null ? 0 : groups[byRow ? c : r];
            const at = byRow ? r * count + group : group * columns + c;
            out[r * columns + c] = zero === null ? q / scale[at] : (q - zero[at]) * scale[at];
        }
    }
    return new Uint8Array(out.buffer);
}
