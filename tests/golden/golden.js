// Golden vectors: what the real Keras layer gave (see README.md), read and compared.

import assert from 'node:assert/strict';
import { readFileSync, existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assertClose } from '../close.js';

/** The fixtures of this repository, and where the full set lies if it is there. */
export const COMMITTED = new URL('./fixtures/', import.meta.url);
export const SHARED = new URL('../../../shared/golden/', import.meta.url);
export const hasShared = existsSync(new URL('manifest.json', SHARED));
export const NO_SHARED = `no ${fileURLToPath(SHARED)}: the committed fixtures alone are tested`;

/** Tiers that must match; `info` is what one backend of Keras does and others do not. */
export const TIERS = ['core', 'edge', 'error', 'parent'];

/** @type {Record<string, new (bytes: ArrayBuffer) => any>} */
const KINDS = { F64: Float64Array, F32: Float32Array, I32: Int32Array, U8: Uint8Array };

/** @typedef {Record<string, { dtype: string, shape: number[], data_offsets: [number, number] }>} Header */

/**
 * The parts of the manifest that tests read; README.md of the golden set says what they mean.
 * @typedef {object} Manifest
 * @property {Case[]} cases
 * @property {Record<string, any>} suites
 *
 * @typedef {object} Case
 * @property {string} name
 * @property {string} file
 * @property {string} tier
 * @property {Record<string, any>} constructor Keras's config
 * @property {{ query_shape: number[], value_shape: number[], key_shape: number[] | null }} build
 * @property {number[]} [attention_axes_after_build]
 * @property {Record<string, any>} [config]
 * @property {{ path: string, shape: number[], tensor: string }[]} weights
 * @property {Call[]} calls
 * @property {{ atol: number, rtol: number }} tolerance
 * @property {string} [notes]
 *
 * @typedef {object} Call
 * @property {Record<string, any>} args
 * @property {{ name: string, tensor: string, shape: number[], dtype: string }[]} returns
 * @property {object} [raises]
 */

/**
 * @param {URL} directory
 * @returns {Manifest}
 */
export function readManifest(directory) {
    return JSON.parse(readFileSync(new URL('manifest.json', directory), 'utf8'));
}

/**
 * @param {URL} directory
 * @param {string} file
 * @returns {Record<string, { shape: number[], data: Float32Array | Int32Array | Uint8Array }>}
 */
export function readTensors(directory, file) {
    const bytes = new Uint8Array(readFileSync(new URL(file, directory))).buffer;
    const length = Number(new DataView(bytes).getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
    /** @type {ReturnType<typeof readTensors>} */
    const tensors = {};
    delete header.__metadata__;
    for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(/** @type {Header} */ (header))) {
        tensors[name] = { shape, data: new KINDS[dtype](bytes.slice(8 + length + from, 8 + length + to)) };
    }
    return tensors;
}

/** @param {string} name snake_case @returns {string} camelCase */
export const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/**
 * Shapes equal, and |got - expected| <= atol + rtol |expected| for every element; NaN only where NaN is expected.
 * @param {{ shape: readonly number[], data: ArrayLike<number> }} got
 * @param {{ shape: readonly number[], data: ArrayLike<number> }} expected
 * @param {{ atol: number, rtol: number }} tolerance as the manifest gives it
 * @param {string} what
 */
export function assertTensor(got, expected, tolerance, what) {
    assert.deepEqual([...got.shape], [...expected.shape], `shape of ${what}`);
    assertClose(got.data, expected.data, tolerance, what);
}
