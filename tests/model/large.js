// node tests/model/large.js [FOLDER]
//
// A model of 1.1 billion weights, random ones in Q4_0, in the shape of TinyLlama: makes the file, loads it in a process of its
// own and writes 20 tokens. Prints the time to load and the most memory that the process had, beside the file's size. Not a
// part of `npm test`: it takes a minute and 620 MB.

import { execFileSync } from 'node:child_process';
import { createWriteStream, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pair, string } from '../files/gguf-writer.js';

const WIDTH = 2048;
const LAYERS = 22;
const HEADS = 32;
const KV_HEADS = 4;
const INNER = 5632;
const VOCABULARY = 32000;
const ALIGNMENT = 32;

/** [name, outputs, inputs]; a norm has one row, in F32. @returns {[string, number, number][]} */
function tensors() {
    const kv = WIDTH / HEADS * KV_HEADS;
    const layers = Array.from({ length: LAYERS }, (_, i) => /** @type {[string, number, number][]} */ ([
        [`blk.${i}.attn_norm.weight`, 1, WIDTH], [`blk.${i}.attn_q.weight`, WIDTH, WIDTH], [`blk.${i}.attn_k.weight`, kv, WIDTH],
        [`blk.${i}.attn_v.weight`, kv, WIDTH], [`blk.${i}.attn_output.weight`, WIDTH, WIDTH], [`blk.${i}.ffn_norm.weight`, 1, WIDTH],
        [`blk.${i}.ffn_gate.weight`, INNER, WIDTH], [`blk.${i}.ffn_up.weight`, INNER, WIDTH],
        [`blk.${i}.ffn_down.weight`, WIDTH, INNER],
    ]));
    return [['token_embd.weight', VOCABULARY, WIDTH], ...layers.flat(), ['output_norm.weight', 1, WIDTH], ['output.weight', VOCABULARY, WIDTH]];
}

/** Bytes of a row. @param {number} outputs @param {number} inputs */
const rowBytes = (outputs, inputs) => (outputs === 1 ? 4 * inputs : inputs / 32 * 18);

/** A row of random blocks with small scales, or of ones. @param {number} outputs @param {number} inputs @param {() => number} random */
function rowOf(outputs, inputs, random) {
    if (outputs === 1) {
        return Buffer.from(new Float32Array(inputs).fill(1).buffer);
    }
    const bytes = Buffer.alloc(rowBytes(outputs, inputs));
    for (let at = 0; at < bytes.length; at += 2) {
        bytes.writeUInt16LE(random() & 0xffff, at);
    }
    for (let at = 0; at < bytes.length; at += 18) {
        bytes.writeUInt16LE(0x1800 | random() & 0x3ff, at);     // about 0.002 to 0.004
    }
    return bytes;
}

/** @param {string} path */
async function write(path) {
    const list = tensors();
    const u64 = (/** @type {number} */ n) => { const out = Buffer.alloc(8); out.writeBigUInt64LE(BigInt(n)); return out; };
    const u32 = (/** @type {number} */ n) => { const out = Buffer.alloc(4); out.writeUInt32LE(n); return out; };
    const pairs = [
        pair('general.architecture', 'string', 'llama'), pair('llama.context_length', 'u32', 2048),
        pair('llama.embedding_length', 'u32', WIDTH), pair('llama.block_count', 'u32', LAYERS),
        pair('llama.feed_forward_length', 'u32', INNER), pair('llama.attention.head_count', 'u32', HEADS),
        pair('llama.attention.head_count_kv', 'u32', KV_HEADS), pair('llama.attention.layer_norm_rms_epsilon', 'f32', 1e-5),
        pair('llama.vocab_size', 'u32', VOCABULARY),
    ];
    let offset = 0;
    const infos = list.map(([name, outputs, inputs]) => {
        const dims = outputs === 1 ? [inputs] : [inputs, outputs];
        const info = Buffer.concat([string(name), u32(dims.length), ...dims.map(u64), u32(outputs === 1 ? 0 : 2), u64(offset)]);
        offset = Math.ceil((offset + outputs * rowBytes(outputs, inputs)) / ALIGNMENT) * ALIGNMENT;
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
        const rows = Array.from({ length: Math.min(outputs, 64) }, () => rowOf(outputs, inputs, random));
        for (let i = 0; i < outputs; i++) {
            await put(rows[i % rows.length]);
        }
        const bytes = outputs * rowBytes(outputs, inputs);
        await put(Buffer.alloc(Math.ceil(bytes / ALIGNMENT) * ALIGNMENT - bytes));
    }
    await new Promise((resolve) => file.end(resolve));
}

/** What the process of its own does. @param {string} path */
const program = (path) => `
    const { createRuntime } = await import(${JSON.stringify(new URL('../../js/index.js', import.meta.url).href)});
    const { loadModel } = await import(${JSON.stringify(new URL('../../js/generation/index.js', import.meta.url).href)});
    const before = process.resourceUsage().maxRSS * 1024;
    const runtime = await createRuntime();
    const start = performance.now();
    const model = await loadModel(runtime, ${JSON.stringify(path)});
    const loaded = performance.now() - start;
    const peak = process.resourceUsage().maxRSS * 1024;
    const tokens = [];
    for await (const { token } of model.generate([1, 2, 3], { maxNewTokens: 20, temperature: 0 })) tokens.push(token);
    const written = performance.now() - start - loaded;
    console.log(JSON.stringify({ before, loaded, peak, written, after: process.resourceUsage().maxRSS * 1024, tokens, inUse: runtime.explain().bytesInUse }));
    runtime.dispose();
`;

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'large-'));
try {
    const path = join(folder, 'large-q4_0.gguf');
    await write(path);
    const { size } = statSync(path);
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', program(path)], { encoding: 'utf8', cwd: new URL('.', pathToFileURL(path)) });
    const { before, loaded, peak, written, after, tokens, inUse } = JSON.parse(out);
    const times = (/** @type {number} */ bytes) => (bytes / size).toFixed(3);
    console.log(`file ${size} bytes; loaded in ${(loaded / 1000).toFixed(1)} s (${(size / loaded / 1000).toFixed(0)} MB/s)`);
    console.log(`memory of the process: ${before} before, ${peak} at most while loading (${times(peak - before)} x the file more), ` +
        `${after} at most in all (${times(after - before)} x); of the runtime: ${inUse} (${times(inUse)} x)`);
    console.log(`${tokens.length} tokens in ${(written / 1000).toFixed(1)} s`);
} finally {
    rmSync(folder, { recursive: true });
}
