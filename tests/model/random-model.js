// Models of random weights in the shape of real ones, as GGUF files: what loading and speed are measured with where the real
// file is not at hand. The weights are small, so that numbers stay finite; nothing else about them means anything.

import { createWriteStream } from 'node:fs';
import { pair, string } from '../files/gguf-writer.js';

/**
 * @typedef {object} Shape
 * @property {number} width @property {number} layers @property {number} heads @property {number} kvHeads @property {number} inner
 * @property {number} vocabulary @property {boolean} tied whether the embedding is the last projection too
 * @property {number} context
 */

/** @type {Record<'smollm2' | 'tinyllama' | 'qwen2', Shape>} */
export const SHAPES = {
    smollm2: { width: 576, layers: 30, heads: 9, kvHeads: 3, inner: 1536, vocabulary: 49152, tied: true, context: 8192 },
    tinyllama: { width: 2048, layers: 22, heads: 32, kvHeads: 4, inner: 5632, vocabulary: 32000, tied: false, context: 2048 },
    qwen2: { width: 1536, layers: 28, heads: 12, kvHeads: 2, inner: 8960, vocabulary: 151936, tied: true, context: 32768 },
};

/**
 * Types of matrices: number in GGUF, inputs of a block, its bytes, where 16-bit scales stand in it and the bits that they have
 * besides up to 10 random ones: about 1 / 30 for the largest weight of a block.
 * @type {Record<string, { id: number, block: number, bytes: number, scales: [at: number, bits: number][] }>}
 */
export const TYPES = {
    F16: { id: 1, block: 1, bytes: 2, scales: [[0, 0x2000]] },
    Q4_0: { id: 2, block: 32, bytes: 18, scales: [[0, 0x1800]] },
    Q4_1: { id: 3, block: 32, bytes: 20, scales: [[0, 0x1400], [2, 0xa000]] },
    Q8_0: { id: 8, block: 32, bytes: 34, scales: [[0, 0x0800]] },
    Q4_K: { id: 12, block: 256, bytes: 144, scales: [[0, 0x0400], [2, 0x0400]] },
    Q6_K: { id: 14, block: 256, bytes: 210, scales: [[208, 0x0001]] },
};

const ALIGNMENT = 32;
const u64 = (/** @type {number} */ n) => { const out = Buffer.alloc(8); out.writeBigUInt64LE(BigInt(n)); return out; };
const u32 = (/** @type {number} */ n) => { const out = Buffer.alloc(4); out.writeUInt32LE(n); return out; };

/** [name, outputs, inputs]; a norm has one row, in F32. @param {Shape} shape @returns {[string, number, number][]} */
function tensors({ width, layers, heads, kvHeads, inner, vocabulary, tied }) {
    const kv = width / heads * kvHeads;
    const each = Array.from({ length: layers }, (_, i) => /** @type {[string, number, number][]} */ ([
        [`blk.${i}.attn_norm.weight`, 1, width], [`blk.${i}.attn_q.weight`, width, width], [`blk.${i}.attn_k.weight`, kv, width],
        [`blk.${i}.attn_v.weight`, kv, width], [`blk.${i}.attn_output.weight`, width, width], [`blk.${i}.ffn_norm.weight`, 1, width],
        [`blk.${i}.ffn_gate.weight`, inner, width], [`blk.${i}.ffn_up.weight`, inner, width],
        [`blk.${i}.ffn_down.weight`, width, inner],
    ]));
    /** @type {[string, number, number][]} */
    const last = tied ? [] : [['output.weight', vocabulary, width]];
    return [['token_embd.weight', vocabulary, width], ...each.flat(), ['output_norm.weight', 1, width], ...last];
}

/** Bytes of a row. @param {string} type @param {number} outputs @param {number} inputs */
function rowBytes(type, outputs, inputs) {
    const { block, bytes } = TYPES[type];
    return outputs === 1 ? 4 * inputs : inputs / block * bytes;
}

/** A row of random blocks, or of ones. @param {string} type @param {number} outputs @param {number} inputs @param {() => number} random */
function rowOf(type, outputs, inputs, random) {
    if (outputs === 1) return Buffer.from(new Float32Array(inputs).fill(1).buffer);
    const { bytes, scales } = TYPES[type];
    const row = Buffer.alloc(rowBytes(type, outputs, inputs));
    for (let at = 0; at < row.length; at += 2) row.writeUInt16LE(random() & 0xffff, at);
    for (let at = 0; at < row.length; at += bytes) {
        for (const [scale, bits] of scales) row.writeUInt16LE(bits | random() & (bytes > 2 ? 0x3ff : 0x83ff), at + scale);
    }
    return row;
}

/** Tokens without a meaning, because some programs want to have them: SentencePiece's, all bytes among them. @param {number} count */
function vocabulary(count) {
    const special = ['<unk>', '<s>', '</s>'];
    const token = (/** @type {number} */ i) => (i < 256 ? `<0x${i.toString(16).toUpperCase().padStart(2, '0')}>` : `w${i}`);
    const tokens = [...special, ...Array.from({ length: count - special.length }, (_, i) => token(i))];
    return [
        pair('tokenizer.ggml.model', 'string', 'llama'), pair('tokenizer.ggml.tokens', 'array of string', tokens),
        pair('tokenizer.ggml.scores', 'array of f32', tokens.map(() => 0)),
        // Of what kind they are: unknown, control, byte, normal.
        pair('tokenizer.ggml.token_type', 'array of i32', tokens.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1))),
        pair('tokenizer.ggml.bos_token_id', 'u32', 1), pair('tokenizer.ggml.eos_token_id', 'u32', 2),
    ];
}

/** @param {string} path @param {Shape} shape @param {string} type of its matrices, a key of TYPES */
export async function writeRandomModel(path, shape, type) {
    const list = tensors(shape);
    const pairs = [
        pair('general.architecture', 'string', 'llama'), pair('llama.context_length', 'u32', shape.context),
        pair('llama.embedding_length', 'u32', shape.width), pair('llama.block_count', 'u32', shape.layers),
        pair('llama.feed_forward_length', 'u32', shape.inner), pair('llama.attention.head_count', 'u32', shape.heads),
        pair('llama.attention.head_count_kv', 'u32', shape.kvHeads), pair('llama.attention.layer_norm_rms_epsilon', 'f32', 1e-5),
        pair('llama.rope.dimension_count', 'u32', shape.width / shape.heads), pair('llama.vocab_size', 'u32', shape.vocabulary),
        ...vocabulary(shape.vocabulary),
    ];
    let offset = 0;
    const infos = list.map(([name, outputs, inputs]) => {
        const dims = outputs === 1 ? [inputs] : [inputs, outputs];
        const id = outputs === 1 ? 0 : TYPES[type].id;
        const info = Buffer.concat([string(name), u32(dims.length), ...dims.map(u64), u32(id), u64(offset)]);
        offset = Math.ceil((offset + outputs * rowBytes(type, outputs, inputs)) / ALIGNMENT) * ALIGNMENT;
        return info;
    });
    const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(list.length), u64(pairs.length), ...pairs, ...infos]);
    const file = createWriteStream(path);
    const put = (/** @type {Buffer} */ bytes) => new Promise((resolve) => {
        if (file.write(bytes)) resolve(undefined);
        else file.once('drain', () => resolve(undefined));
    });
    await put(Buffer.concat([head, Buffer.alloc(Math.ceil(head.length / ALIGNMENT) * ALIGNMENT - head.length)]));
    let state = 1;
    const random = () => (state = Math.imul(state, 1664525) + 1013904223 >>> 0) >>> 8;
    for (const [, outputs, inputs] of list) {
        // A few different rows, again and again: random numbers are slow to make.
        const rows = Array.from({ length: Math.min(outputs, 64) }, () => rowOf(type, outputs, inputs, random));
        for (let i = 0; i < outputs; i += rows.length) {
            await put(Buffer.concat(rows.slice(0, outputs - i)));
        }
        const bytes = outputs * rowBytes(type, outputs, inputs);
        await put(Buffer.alloc(Math.ceil(bytes / ALIGNMENT) * ALIGNMENT - bytes));
    }
    await new Promise((resolve) => file.end(resolve));
}
