// Where the expected results that are not in this repository lie, if they are there, and what reads files whole.

import { readFileSync } from 'node:fs';
import { openKerasWeights, weightOf } from '../../js/files/keras-weights.js';
import { sharedFolder } from '../shared.js';

const found = sharedFolder('models/keras/');

/** The folder keras of the shared models. */
export const KERAS = found ?? new URL('../../../shared/models/keras/', import.meta.url);

/** For node:test: false where they are there. */
export const skip = found ? false : `no ${KERAS.pathname}: only the committed fixtures are tested`;

/** @type {Record<string, new (bytes: ArrayBuffer) => any>} */
const ARRAYS = {
    F64: Float64Array,
    F32: Float32Array,
    I32: Int32Array,
    I64: BigInt64Array,
    U8: Uint8Array,
    I8: Int8Array,
    F16: Uint16Array,
    BF16: Uint16Array,
};

/**
 * The tensors of a safetensors file; float16 as the numbers it stands for.
 * @param {URL} url
 * @returns {Record<string, { shape: number[], data: any }>}
 */
export function readTensors(url) {
    const bytes = readFileSync(url);
    const length = Number(bytes.readBigUInt64LE(0));
    /** @type {Record<string, { shape: number[], data: any }>} */
    const tensors = {};
    for (const [name, { dtype, shape, data_offsets: range }] of Object.entries(
        JSON.parse(bytes.subarray(8, 8 + length).toString()),
    )) {
        if (name !== '__metadata__') {
            const [from, to] = range;
            const data = new ARRAYS[dtype](new Uint8Array(bytes.subarray(8 + length + from, 8 + length + to)).buffer);
            tensors[name] = { shape, data: dtype === 'F16' ? Float32Array.from(data, half) : data };
        }
    }
    return tensors;
}

/**
 * @param {Uint8Array} bytes a whole `.weights.h5` or `.keras` file
 * @returns {Promise<Map<string, import('../../js/files/keras-weights.js').KerasWeight>>} by the path of the dataset
 */
export async function readKerasWeights(bytes) {
    const { datasets } = await openKerasWeights(bytes);
    return new Map(Array.from(datasets, ([path, dataset]) => [path, weightOf(dataset)]));
}

/** @param {number} bits of a float16 */
function half(bits) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const size =
        exponent === 0
            ? fraction * 2 ** -24
            : exponent === 31
              ? fraction
                  ? NaN
                  : Infinity
              : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return bits & 0x8000 ? -size : size;
}
