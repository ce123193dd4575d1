// Keras's arrays as the matrices that Hugging Face's files have. Keras stores a kernel as [inputs..., outputs...], and
// Gemma's as (heads, inputs, outputs of a head); a row of a view is one output. Nothing is copied before it is read.

import { FormatError, show } from '../../check.js';
import { WEIGHT } from '../../engine/weight-types.js';

/**
 * @typedef {object} Values an array of numbers, from a file or worked out when asked
 * @property {string} path for messages
 * @property {number[]} shape
 * @property {string} type 'F32', 'F16', 'BF16', ...
 * @property {() => Uint8Array} bytes
 * @property {boolean} [scaled] whether they are integers and scales come with them
 * @property {() => ReadRows} [blocks] of four-bit integers: the same as rows of outputs, in blocks of I4
 *
 * @typedef {(first: number, count: number) => Uint8Array} ReadRows
 *
 * @typedef {object} Part a block of a matrix
 * @property {Values} values
 * @property {number} row where the block begins
 * @property {number} column
 * @property {number} rows
 * @property {number} columns
 * @property {(row: number) => number} start of a row of the block: which of the values comes first
 * @property {number} step from one column to the next
 *
 * @typedef {object} View
 * @property {number[]} shape one or two axes
 * @property {string} type
 * @property {Part[]} parts
 * @property {() => ReadRows} [blocks] in place of the parts, for I4
 */

/** Bytes of a value. @type {Record<string, number>} */
const BYTES = { F32: 4, F16: 2, BF16: 2, I8: 1 };

/** @param {number[]} axes @returns {number} */
const product = (axes) => axes.reduce((a, b) => a * b, 1);

/**
 * @param {Values} values
 * @param {number} rank at least
 * @returns {Values}
 */
function ofRank(values, rank) {
    if (values.shape.length < rank) {
        throw new FormatError('tensor-shape',
            `${show(values.path)} has the shape [${values.shape}]; it needs ${rank} axes`);
    }
    if (!Object.hasOwn(BYTES, values.type) || (values.type === 'I8' && !values.scaled)) {
        throw new FormatError('tensor-dtype',
            `${show(values.path)} is ${values.type}; weights may be F32, F16 or BF16`);
    }
    return values;
}

/** @param {Values} values @param {number[]} shape @param {Pick<Part, 'start' | 'step'>} place @returns {View} */
function whole(values, shape, place) {
    const [rows, columns] = shape.length === 1 ? [1, shape[0]] : shape;
    return { shape, type: values.type, parts: [{ values, row: 0, column: 0, rows, columns, ...place }] };
}

/** @param {Values} values @returns {View} all of them in a row: a norm's scale, a bias */
export function vector(values) {
    return whole(ofRank(values, 1), [product(values.shape)], { start: () => 0, step: 1 });
}

/**
 * @param {Values} values
 * @param {number} inputs how many axes are inputs
 * @returns {View} [inputs, outputs] as they are: a table of embeddings, a kernel of GPT-2
 */
export function asStored(values, inputs) {
    const { shape } = ofRank(values, inputs + 1);
    const [rows, columns] = [product(shape.slice(0, inputs)), product(shape.slice(inputs))];
    return whole(values, [rows, columns], { start: (row) => row * columns, step: 1 });
}

/**
 * @param {Values} values
 * @param {number} inputs how many axes are inputs
 * @returns {View} [outputs, inputs]
 */
export function turned(values, inputs) {
    const { shape } = ofRank(values, inputs + 1);
    const [columns, rows] = [product(shape.slice(0, inputs)), product(shape.slice(inputs))];
    return whole(values, [rows, columns], { start: (row) => row, step: rows });
}

/** @param {Values} values of shape (heads, inputs, size) @returns {View} [heads * size, inputs] */
export function headsFirst(values) {
    const [heads, columns, size] = ofRank(values, 3).shape;
    return whole(values, [heads * size, columns],
        { start: (row) => Math.floor(row / size) * columns * size + row % size, step: size });
}

/**
 * @param {Values} values of four bits, in blocks
 * @param {number} outputs
 * @returns {View} [outputs, inputs]
 */
export function inBlocks({ shape, blocks }, outputs) {
    return { shape: [outputs, product(shape) / outputs], type: 'I4', parts: [], blocks };
}

/**
 * @param {View[]} views of as many rows each
 * @returns {View} beside each other: queries, keys and values as GPT-2 has them; of vectors, one behind the other
 */
export function beside(views) {
    const [{ shape, type }] = views;
    if (views.length === 1) {
        return views[0];
    }
    const parts = [];
    let column = 0;
    for (const view of views) {
        const [part] = view.parts;
        if (view.type !== type || part.rows !== views[0].parts[0].rows) {
            throw new FormatError('tensor-shape', `${show(part.values.path)} has not as many inputs as its neighbours`);
        }
        parts.push({ ...part, column });
        column += part.columns;
    }
    return { shape: shape.length === 1 ? [column] : [shape[0], column], type, parts };
}

/** @param {View} view @returns {number} bytes of all of it */
export function bytesOf({ shape, type }) {
    return type === 'I4' ? product(shape) / WEIGHT.I4.block * WEIGHT.I4.bytes : product(shape) * BYTES[type];
}

/** Reads a view row by row; what had to be worked out is kept meanwhile. */
export class ViewReader {
    /** @param {View} view */
    constructor(view) {
        this._view = view;
        this._columns = /** @type {number} */ (view.shape.at(-1));
        this._sources = view.parts.map(({ values }) => words(values.bytes(), BYTES[view.type]));
        this._blocks = view.blocks?.();
    }

    /**
     * @param {number} first row
     * @param {number} count of rows
     * @returns {Uint8Array} in a buffer of its own
     */
    rows(first, count) {
        if (this._blocks) {
            return this._blocks(first, count);
        }
        const out = words(new Uint8Array(count * this._columns * BYTES[this._view.type]), BYTES[this._view.type]);
        this._view.parts.forEach((part, i) => this._copy(part, this._sources[i], out, first, count));
        return new Uint8Array(out.buffer);
    }

    /**
     * @param {Part} part
     * @param {Words} from
     * @param {Words} out
     * @param {number} first
     * @param {number} count
     */
    _copy({ row, column, rows, columns, start, step }, from, out, first, count) {
        const begin = Math.max(first, row);
        const end = Math.min(first + count, row + rows);
        const width = this._columns;
        const starts = Float64Array.from({ length: Math.max(0, end - begin) }, (_, i) => start(begin - row + i));
        const at = (begin - first) * width + column;
        if (step === 1) {
            starts.forEach((s, i) => out.set(from.subarray(s, s + columns), at + i * width));
            return;
        }
        // Rows lie next to each other where columns do not, so they are the inner loop: memory is read in order.
        for (let c = 0; c < columns; c++) {
            for (let i = 0; i < starts.length; i++) {
                out[at + i * width + c] = from[starts[i] + c * step];
            }
        }
    }
}

/** @typedef {Uint32Array | Uint16Array | Uint8Array} Words values by their size, whatever they mean */

/** @param {Uint8Array} bytes @param {number} size @returns {Words} copied if it must be */
function words(bytes, size) {
    if (size === 1) {
        return bytes;
    }
    const { buffer, byteOffset, length } = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
    return size === 4 ? new Uint32Array(buffer, byteOffset, length / 4)
        : new Uint16Array(buffer, byteOffset, length / 2);
}
