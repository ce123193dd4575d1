// The layer as an ONNX model, written as protobuf bytes: no exporter, no Python. Field numbers: onnx.proto3 of the ONNX
// project. MultiHeadAttention and GroupQueryAttention are onnxruntime's contributed operators (domain com.microsoft).

import { leb as varint } from '../../../web/bench/ceilings.js';

const FLOAT = 1;
const INT8 = 3;
const INT32 = 6;
const INT64 = 7;

/** @typedef {Uint8Array[]} Bytes parts in order: weights are megabytes and are not copied until the end */

const encoder = new TextEncoder();
/** @param {number} field @param {number} value @returns {Bytes} */
const int = (field, value) => [new Uint8Array([...varint(field * 8), ...varint(value)])];
/** @param {number} field @param {Bytes} parts @returns {Bytes} */
function message(field, parts) {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    return [new Uint8Array([...varint(field * 8 + 2), ...varint(length)]), ...parts];
}
/** @param {number} field @param {string} value @returns {Bytes} */
const string = (field, value) => message(field, [encoder.encode(value)]);
/** @param {number} field @param {number} value @returns {Bytes} */
const float = (field, value) => [
    new Uint8Array(varint(field * 8 + 5)),
    new Uint8Array(new Float32Array([value]).buffer),
];

/**
 * A NodeProto. @param {string} type @param {string[]} inputs '' = absent @param {string[]} outputs
 * @param {Record<string, number>} [attributes] whole numbers become INT, `epsilon` and `scale` FLOAT
 * @param {string} [domain]
 * @returns {Bytes}
 */
export function node(type, inputs, outputs, attributes = {}, domain = '') {
    const attribute = (/** @type {[string, number]} */ [name, value]) =>
        message(5, [
            ...string(1, name),
            ...(name === 'scale' || name === 'epsilon' ? [...float(2, value), ...int(20, 1)] : [...int(3, value), ...int(20, 2)]),
        ]);
    return message(1, [
        ...inputs.flatMap((name) => string(1, name)),
        ...outputs.flatMap((name) => string(2, name)),
        ...string(4, type),
        ...Object.entries(attributes).flatMap(attribute),
        ...string(7, domain),
    ]);
}

/**
 * A constant.
 * @param {string} name
 * @param {number[]} dims
 * @param {Float32Array | Int8Array | Int32Array | BigInt64Array} data
 * @returns {Bytes}
 */
export function initializer(name, dims, data) {
    const type = data instanceof Float32Array ? FLOAT : data instanceof Int32Array ? INT32 : data instanceof Int8Array ? INT8 : INT64;
    return message(5, [
        ...dims.flatMap((dim) => int(1, dim)),
        ...int(2, type),
        ...string(8, name),
        ...message(9, [new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]),
    ]);
}

/**
 * @param {number} field
 * @param {string} name
 * @param {(number | string)[]} dims
 * @param {number} type
 * @returns {Bytes}
 */
function valueInfo(field, name, dims, type = FLOAT) {
    const dimension = (/** @type {number | string} */ dim) =>
        message(1, typeof dim === 'number' ? int(1, dim) : string(2, dim));
    return message(field, [
        ...string(1, name),
        ...message(2, message(1, [...int(1, type), ...message(2, dims.flatMap(dimension))])),
    ]);
}
/** @param {string} name @param {(number | string)[]} dims @param {number} [type] */
export const input = (name, dims, type) => valueInfo(11, name, dims, type);
/** @param {string} name @param {(number | string)[]} dims @param {number} [type] */
export const output = (name, dims, type) => valueInfo(12, name, dims, type);

/** A ModelProto of these parts of a GraphProto. @param {Bytes[]} parts @returns {Uint8Array} */
export function model(parts) {
    const opset = (/** @type {string} */ domain, /** @type {number} */ version) =>
        message(8, [...string(1, domain), ...int(2, version)]);
    const all = [
        ...int(1, 8),
        ...message(7, [...string(2, 'layer'), ...parts.flat()]),
        ...opset('', 17),
        ...opset('com.microsoft', 1),
    ];
    const bytes = new Uint8Array(all.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of all) {
        bytes.set(part, at);
        at += part.length;
    }
    return bytes;
}
