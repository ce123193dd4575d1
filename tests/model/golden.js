// Tiny models of every family with what transformers makes of them in float64: copy.js says where they come from.

import { readFileSync } from 'node:fs';
import { readTensors } from '../golden/golden.js';

export const COMMITTED = new URL('./fixtures/', import.meta.url);

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {Record<string, any>} config as transformers 5 writes it
 * @property {Record<string, any> | null} old the same in the spelling of most published files
 * @property {number[]} ids
 * @property {number[]} greedy the tokens after them
 * @property {number[]} margins best minus second logit at each of these steps, each run cold
 * @property {{ atol: number, rtol: number }} tolerance at least eight times the error of transformers in float32
 * @property {number} length positions that prompt and text take
 * @property {number} sure positions up to which a cache gives what a cold run gives: beyond, some rotations depend
 *   on the length
 */

/** @returns {Case[]} */
export const readCases = () => JSON.parse(readFileSync(new URL('cases.json', COMMITTED), 'utf8'));

/** Logits at all positions, by case. */
export const readLogits = () => readTensors(COMMITTED, 'expected.safetensors');

/** @param {string} name @returns {Uint8Array<ArrayBuffer>} */
export const weightsOf = (name) => new Uint8Array(readFileSync(new URL(`${name}.safetensors`, COMMITTED)));

/** @param {unknown} value @returns {Uint8Array<ArrayBuffer>} */
export const json = (value) => new TextEncoder().encode(JSON.stringify(value));

/**
 * A checkpoint whose second layer does nothing: what it adds to the stream is zero.
 * @param {Uint8Array<ArrayBuffer>} file
 */
export function firstLayer(file) {
    const bytes = file.slice();
    const view = new DataView(bytes.buffer);
    const start = 8 + Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, start)));
    for (const name of ['self_attn.o_proj', 'mlp.down_proj', 'mlp.fc2']) {
        const [from, to] = header[`model.layers.1.${name}.weight`]?.data_offsets ?? [0, 0];
        bytes.fill(0, start + from, start + to);
    }
    return bytes;
}
