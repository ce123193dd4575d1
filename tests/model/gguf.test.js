// What llama.cpp's converter and tools write into a GGUF file beside what every file has.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { bytesOf, llama, llamaTensors } from '../files/gguf-writer.js';
import { rng } from '../rng.js';
import { testRuntime } from '../runtime.js';

const runtime = await testRuntime();
const random = rng(9);
const IDS = [0, 2, 4, 3, 5];

/** @typedef {import('../files/gguf-writer.js').Tensor} Tensor */

/** @param {string} name @param {number[]} shape @param {number} [centre] @returns {Tensor} */
function tensor(name, shape, centre = 0) {
    const values = Float32Array.from({ length: shape.reduce((n, size) => n * size) }, () => centre + 0.6 * (random() - 0.5));
    return { name, shape, bytes: new Uint8Array(values.buffer) };
}

/** A Llama with biases. @type {Tensor[]} */
const tensors = [
    ...llamaTensors().map(({ name, shape }) => tensor(name, shape, name.includes('norm') ? 1 : 0)),
    ...['q', 'k', 'v', 'output'].map((part) => tensor(`blk.0.attn_${part}.bias`, [part === 'k' || part === 'v' ? 16 : 32])),
];

/** @param {Uint8Array<ArrayBuffer>} file */
async function logitsOf(file) {
    const model = await loadModel(runtime, file.buffer);
    const { data } = await model.forward(IDS, { positions: 'all' });
    const result = { logits: Array.from(data), setAside: model.explain().setAside };
    model.dispose();
    return result;
}

/** As --fuse-qkv writes them. @param {string} kind weight or bias @returns {Tensor} */
function fused(kind) {
    const parts = ['q', 'k', 'v'].map((part) => tensors.filter(({ name }) => name === `blk.0.attn_${part}.${kind}`)[0]);
    const rows = parts.reduce((sum, { shape }) => sum + shape[0], 0);
    return { name: `blk.0.attn_qkv.${kind}`, shape: [rows, ...parts[0].shape.slice(1)], bytes: Buffer.concat(parts.map(bytesOf)) };
}

test('queries, keys and values in one tensor, with biases in another', async () => {
    const { logits } = await logitsOf(llama({}, { tensors }));
    const others = tensors.filter(({ name }) => !/attn_[qkv]\./.test(name));
    assert.deepEqual((await logitsOf(llama({}, { tensors: [...others, fused('weight'), fused('bias')] }))).logits, logits);
    const unbiased = tensors.filter(({ name }) => !/attn_[qkv]\.bias/.test(name));
    assert.notDeepEqual((await logitsOf(llama({}, { tensors: unbiased }))).logits, logits);
});
