// Keras's weights of four bits as the core computes with them: rows of outputs, 128 inputs to a block of I4 (src/weights/
// i4.c), the same integers, scales and zero points. Only where Keras's own groups of inputs are made of whole such blocks.

import { WEIGHT } from '../../engine/weight-types.js';

/**
 * @typedef {import('./dequantize.js').Factors} Factors
 *
 * @typedef {object} Integers of a matrix, two to a byte, the even one its low half
 * @property {() => Uint8Array} bytes
 * @property {number} inputs
 * @property {number} outputs
 * @property {'input' | 'output'} rows what a row of the file is
 * @property {'input' | 'output'} packed of what two share a byte
 */

const { block: BLOCK, bytes: BYTES } = WEIGHT.I4;

/** Bytes of a block ahead of its integers: the scale, and a word that tells how it is meant. */
const HEAD = 8;
const DIVIDES = 0x100;

/**
 * @param {Integers} integers
 * @param {Factors} factors
 * @returns {boolean} whether they can be had in blocks
 */
export function fitsBlocks({ inputs, outputs }, { groups, zero }) {
    if (inputs === 0 || inputs % BLOCK !== 0 || outputs === 0) return false;
    return groups === null || (zero?.every((value) => Number.isInteger(value) && value >= -128 && value < 128) === true
        && groups.every((group, i) => group === groups[i - i % BLOCK]));
}

/**
 * @param {Integers} integers that fit
 * @param {Factors} factors
 * @returns {(first: number, count: number) => Uint8Array} reads rows of outputs
 */
export function blockReader(integers, factors) {
    const { inputs, outputs, rows } = integers;
    const copy = nibblesOf(integers);
    return (first, count) => {
        const out = new Uint8Array(count * inputs / BLOCK * BYTES);
        const view = new DataView(out.buffer);
        for (let output = first, to = 0; output < first + count; output++) {
            for (let input = 0; input < inputs; input += BLOCK, to += BYTES) {
                const group = factors.groups === null ? 0 : factors.groups[input];
                const at = rows === 'output' ? output * factors.count + group : group * outputs + output;
                view.setFloat32(to, factors.scale[at], true);
                view.setUint32(to + 4, factors.zero === null ? DIVIDES : factors.zero[at] & 0xff, true);
                copy(out, to + HEAD, output, input);
            }
        }
        return out;
    };
}

/**
 * @param {Integers} integers
 * @returns {(out: Uint8Array, to: number, output: number, input: number) => void} copies those of a block
 */
function nibblesOf({ bytes, inputs, outputs, rows, packed }) {
    const from = bytes();
    const stride = rows === 'output' ? inputs / 2 : packed === 'output' ? Math.ceil(outputs / 2) : outputs;
    if (rows === 'output') {
        return (out, to, output, input) => {
            const at = output * stride + input / 2;
            out.set(from.subarray(at, at + BLOCK / 2), to);
        };
    }
    if (packed === 'input') {
        return (out, to, output, input) => {
            for (let i = 0; i < BLOCK / 2; i++) out[to + i] = from[(input / 2 + i) * stride + output];
        };
    }
    return (out, to, output, input) => {
        const shift = output % 2 * 4;
        for (let i = 0, at = input * stride + (output >> 1); i < BLOCK / 2; i++, at += 2 * stride) {
            out[to + i] = from[at] >> shift & 15 | (from[at + stride] >> shift & 15) << 4;
        }
    };
}
