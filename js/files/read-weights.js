// All tensors of a file as numbers, for who wants weights rather than a model.

import { FormatError, show } from '../check.js';
import { requireWeightType, WEIGHT_TYPES } from './ggml-types.js';
import { widen } from './halves.js';
import { openModel } from './open.js';

/**
 * @typedef {import('./tensor-source.js').TensorInfo} TensorInfo
 *
 * @typedef {object} WeightTensor a tensor-like
 * @property {number[]} shape
 * @property {Float32Array | Int32Array | Uint8Array} data
 * @property {string} type as in the file: 'F32', 'BF16', 'Q4_K', 'I64', ...
 *
 * @typedef {(type: string, bytes: Uint8Array, count: number, out: Float32Array) => void} Decode writes the `count`
 *   numbers of whole blocks of a quantized type
 */

/**
 * Integers, by type: how each is read.
 * @type {Record<string, { bytes: number, read: (view: DataView, at: number) => number }>}
 */
const INTEGERS = {
    I8: { bytes: 1, read: (view, at) => view.getInt8(at) },
    I16: { bytes: 2, read: (view, at) => view.getInt16(at, true) },
    U16: { bytes: 2, read: (view, at) => view.getUint16(at, true) },
    I32: { bytes: 4, read: (view, at) => view.getInt32(at, true) },
    U32: { bytes: 4, read: (view, at) => view.getUint32(at, true) },
    I64: { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) },
    U64: { bytes: 8, read: (view, at) => Number(view.getBigUint64(at, true)) },
};

const BYTES = new Set(['U8', 'BOOL']);

/**
 * @param {any} source as for openModel()
 * @param {object} options
 * @param {Decode} options.decode
 * @param {AbortSignal | null} [options.signal]
 * @param {(progress: { loaded: number, total: number }) => void} [options.onProgress]
 * @returns {Promise<Map<string, WeightTensor>>} by the names that the file has: floats and quantized blocks as
 *   Float32Array, integers as Int32Array, bytes and booleans as Uint8Array
 * @throws {FormatError} (rejects) `weight-type` for types beyond these, `integer-range` for integers beyond 32 bits
 */
export async function readWeights(source, { decode, signal, onProgress }) {
    const opened = await openModel(source, { signal, onProgress, what: 'weights' });
    try {
        for (const info of opened.tensors.values()) {
            if (!BYTES.has(info.type) && !Object.hasOwn(INTEGERS, info.type) && info.type !== 'F64') {
                requireWeightType(info);
            }
        }
        /** @type {Map<TensorInfo, (Float32Array | Int32Array | Uint8Array)[]>} */
        const parts = new Map(Array.from(opened.tensors.values(), (info) => [info, []]));
        for await (const { info, bytes } of opened.read(() => true)) {
            parts.get(info)?.push(numbers(info, bytes, decode));
        }
        return new Map(Array.from(parts, ([info, list]) =>
            [info.name, { shape: info.shape, data: joined(info, list), type: info.type }]));
    } finally {
        opened.close();
    }
}

/** @param {TensorInfo} info @param {Uint8Array} bytes @param {Decode} decode */
function numbers(info, bytes, decode) {
    const { name, type } = info;
    if (BYTES.has(type)) {
        return bytes.slice();
    }
    // Copies, because the numbers outlive the piece and need an alignment.
    if (type === 'F32') {
        return new Float32Array(bytes.slice().buffer);
    }
    if (type === 'F16' || type === 'BF16') {
        return widen(type, bytes.slice());
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (type === 'F64') {
        return Float32Array.from({ length: bytes.length / 8 }, (_, i) => view.getFloat64(i * 8, true));
    }
    if (Object.hasOwn(INTEGERS, type)) {
        return integers(name, type, view);
    }
    const { block, bytes: blockBytes } = /** @type {import('./ggml-types.js').GgmlType} */ (WEIGHT_TYPES.get(type));
    const count = bytes.length / blockBytes * block;
    const out = new Float32Array(count);
    decode(type, bytes, count, out);
    return out;
}

/** @param {string} name @param {string} type @param {DataView} view */
function integers(name, type, view) {
    const { bytes, read } = INTEGERS[type];
    const out = new Int32Array(view.byteLength / bytes);
    for (let i = 0; i < out.length; i++) {
        const value = read(view, i * bytes);
        out[i] = value;
        if (out[i] !== value) {
            throw new FormatError('integer-range',
                `tensor ${show(name)} is ${type} and holds ${value}, beyond 32 bits`);
        }
    }
    return out;
}

/** @param {TensorInfo} info @param {(Float32Array | Int32Array | Uint8Array)[]} list */
function joined({ type }, list) {
    if (list.length === 1) {
        return list[0];
    }
    // Longer ones were not allocated ahead: the file might have ended before.
    const length = list.reduce((sum, part) => sum + part.length, 0);
    const all = BYTES.has(type) ? new Uint8Array(length)
        : Object.hasOwn(INTEGERS, type) ? new Int32Array(length) : new Float32Array(length);
    let at = 0;
    for (const part of list.splice(0)) {
        all.set(part, at);
        at += part.length;
    }
    return all;
}
