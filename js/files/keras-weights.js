// Weights that Keras saved: `.weights.h5`, and `.keras`, a zip of a model's config and its weights. Names are the paths
// of HDF5 datasets. Loaded only when such a file comes.
//
// How Keras lays them out: a layer's variables are `<group>/vars/<number>`, in the order in which the layer made them.
// In a functional model the group is `layers/<class name in snake case>[_n]`, n counting layers of that class; in a
// subclassed model it is the attribute that holds the layer, `<attribute>/<class>[_n]` for lists. Sub-layers go by the
// attribute of their layer. The layer's name stands only in the attribute `name` of `vars`.
//
// Codes: those of hdf5.js and zip.js, and `keras-no-weights` for a zip without weights.

import { FormatError } from '../check.js';
import { openHdf5 } from './hdf5.js';
import { toNumbers, TYPES } from './hdf5/values.js';
import { isZip, readZipDirectory, readZipMember } from './zip.js';

/**
 * @typedef {{ shape: number[], data: import('./hdf5/values.js').Numbers, dtype: string }} KerasWeight float16 and
 *   bfloat16 as a Float32Array of the same values; int64 as a BigInt64Array
 */

const WEIGHTS = 'model.weights.h5';

/**
 * @param {Uint8Array} bytes a whole `.weights.h5` or `.keras` file
 * @returns {Promise<import('./hdf5.js').Hdf5>}
 */
export async function openKerasWeights(bytes) {
    if (!isZip(bytes)) {
        return openHdf5(bytes);
    }
    const member = readZipDirectory(bytes).get(WEIGHTS);
    if (member === undefined) {
        throw new FormatError('keras-no-weights', `a zip file without ${WEIGHTS} is no .keras file`);
    }
    return openHdf5(await readZipMember(bytes, member));
}

/** @param {import('./hdf5.js').Hdf5Dataset} dataset @returns {KerasWeight} a copy of its own */
export function weightOf({ shape, type, bytes }) {
    const { bytes: size, dtype } = TYPES[/** @type {keyof typeof TYPES} */ (type)];
    const values = bytes();
    return { shape, data: toNumbers(type, values, values.length / size), dtype };
}

/**
 * The same as the part of a TensorSource that hands out bytes, so that readWeights() treats all files alike.
 * @param {Uint8Array} bytes a whole `.weights.h5` or `.keras` file
 */
export async function openWeightsSource(bytes) {
    const { datasets } = await openKerasWeights(bytes);
    const tensors = new Map(Array.from(datasets, ([name, { shape, type, bytes: valuesOf }]) => {
        const { length } = valuesOf();
        return [name, { name, shape, type, bytes: length, rows: 1, rowBytes: length }];
    }));
    /** @type {import('./tensor-source.js').TensorSource['read']} each tensor is one piece */
    const read = async function* (wanted) {
        for (const info of Array.from(tensors.values()).filter((each) => wanted(each))) {
            const dataset = datasets.get(info.name);
            if (dataset === undefined) {
                throw new Error(`the file has been closed, so ${info.name} cannot be read`);
            }
            yield { info, firstRow: 0, rows: 1, bytes: dataset.bytes() };
        }
    };
    return { tensors, fileBytes: bytes.length, read, close: () => datasets.clear() };
}
