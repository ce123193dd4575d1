// The same decoder in onnxruntime-web as transformers.js runs it by default: weights of eight bits for each matrix
// (MatMulInteger), activations quantized as they come, its fused attention with rotation and cache (GroupQueryAttention).
// The cache goes in as a feed and comes out as a result, as it does there. Only the last position has logits, as here.

import { IDS, PREFILL, SHAPE, WRITTEN, rates } from '../lib/decoder.js';
import { initializer, input, model, node, output } from './onnx.js';

const MS = 'com.microsoft';
const { width, layers, heads, kvHeads, inner, vocabulary } = SHAPE;
const DIM = width / heads;
const POSITIONS = 512;

/** @param {number} length */
function bytesOf(length) {
    const bytes = new Int8Array(length);
    for (let i = 0, state = 1; i < length; i++) {
        state = Math.imul(state, 1664525) + 1013904223;
        bytes[i] = state >> 24;
    }
    return bytes;
}

/** y = x W with weights and activations of eight bits. @param {string} name @param {string} x @param {number} k @param {number} n */
function matmul(name, x, k, n) {
    return [
        initializer(`${name}.w`, [k, n], bytesOf(k * n)),
        node('MatMulInteger', [`${x}.q`, `${name}.w`, `${x}.zero`, 'zero'], [`${name}.products`]),
        node('Cast', [`${name}.products`], [`${name}.floats`], { to: 1 }),
        node('Mul', [`${x}.scale`, 'unit'], [`${name}.scale`]),
        node('Mul', [`${name}.floats`, `${name}.scale`], [name]),
    ];
}

const quantized = (/** @type {string} */ x) => node('DynamicQuantizeLinear', [x], [`${x}.q`, `${x}.scale`, `${x}.zero`]);
const norm = (/** @type {string} */ x, /** @type {string} */ y) =>
    node('SimplifiedLayerNormalization', [x, 'gamma'], [y], { axis: 2, epsilon: 1e-5 });

/** @param {number} i */
function layer(i) {
    const [x, p] = [`x${i}`, `layer${i}.`];
    const kv = width / heads * kvHeads;
    return [
        norm(x, `${p}in`), quantized(`${p}in`),
        ...matmul(`${p}q`, `${p}in`, width, width), ...matmul(`${p}k`, `${p}in`, width, kv), ...matmul(`${p}v`, `${p}in`, width, kv),
        node('GroupQueryAttention', [`${p}q`, `${p}k`, `${p}v`, `past.${i}.k`, `past.${i}.v`, 'lengths', 'total', 'cos', 'sin'],
            [`${p}attended`, `present.${i}.k`, `present.${i}.v`], { num_heads: heads, kv_num_heads: kvHeads, do_rotary: 1 }, MS),
        quantized(`${p}attended`), ...matmul(`${p}o`, `${p}attended`, width, width),
        node('Add', [x, `${p}o`], [`${p}mid`]),
        norm(`${p}mid`, `${p}normed`), quantized(`${p}normed`),
        ...matmul(`${p}gate`, `${p}normed`, width, inner), ...matmul(`${p}up`, `${p}normed`, width, inner),
        node('Sigmoid', [`${p}gate`], [`${p}sigmoid`]), node('Mul', [`${p}gate`, `${p}sigmoid`], [`${p}silu`]),
        node('Mul', [`${p}silu`, `${p}up`], [`${p}inner`]), quantized(`${p}inner`),
        ...matmul(`${p}down`, `${p}inner`, inner, width),
        node('Add', [`${p}mid`, `${p}down`], [`x${i + 1}`]),
    ];
}

function decoder() {
    const angle = (/** @type {number} */ i) => Math.floor(i / (DIM / 2)) * 10000 ** (-(i % (DIM / 2)) / (DIM / 2));
    const table = (/** @type {(x: number) => number} */ f) => Float32Array.from({ length: POSITIONS * DIM / 2 }, (_, i) => f(angle(i)));
    const each = Array.from({ length: layers }, (_, i) => i);
    return model([
        initializer('zero', [], new Int8Array(1)), initializer('unit', [], new Float32Array([1 / 2000])),
        initializer('gamma', [width], new Float32Array(width).fill(1)),
        initializer('cos', [POSITIONS, DIM / 2], table(Math.cos)), initializer('sin', [POSITIONS, DIM / 2], table(Math.sin)),
        initializer('last', [1], new BigInt64Array([-1n])),
        initializer('embedding', [vocabulary, width], bytesOf(vocabulary * width)),
        node('Gather', ['embedding', 'ids'], ['row'], { axis: 0 }),
        node('DequantizeLinear', ['row', 'unit', 'zero'], ['x0']),
        ...each.flatMap(layer),
        node('Gather', [`x${layers}`, 'last'], ['x.last'], { axis: 1 }),
        norm('x.last', 'final'), quantized('final'), ...matmul('logits', 'final', width, vocabulary),
        input('ids', [1, 'T'], 7), input('lengths', [1], 6), input('total', [1], 6),
        ...each.flatMap((i) => [input(`past.${i}.k`, [1, kvHeads, 'P', DIM]), input(`past.${i}.v`, [1, kvHeads, 'P', DIM])]),
        output('logits', [1, 1, vocabulary]),
        ...each.flatMap((i) => [output(`present.${i}.k`, [1, kvHeads, 'S', DIM]), output(`present.${i}.v`, [1, kvHeads, 'S', DIM])]),
    ]);
}

/** @param {{ threads: number, from?: string }} options from: its module, where names are no help */
export async function create({ threads, from = 'onnxruntime-web' }) {
    const ort = await import(from);
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = 'error';
    const bytes = decoder();
    const start = performance.now();
    const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' });
    const loadMs = performance.now() - start;
    /** @param {number[]} ids @param {Record<string, any>} past @param {number} before how many positions that is */
    async function step(ids, past, before) {
        const int32 = (/** @type {number} */ n) => new ort.Tensor('int32', Int32Array.of(n), [1]);
        /** @type {Record<string, any>} */
        const feeds = {
            ids: new ort.Tensor('int64', BigInt64Array.from(ids, BigInt), [1, ids.length]),
            lengths: int32(before + ids.length - 1), total: int32(before + ids.length),
        };
        for (let i = 0; i < layers; i++) {
            for (const part of ['k', 'v']) {
                feeds[`past.${i}.${part}`] = past[`present.${i}.${part}`]
                    ?? new ort.Tensor('float32', new Float32Array(), [1, kvHeads, 0, DIM]);
            }
        }
        return session.run(feeds);
    }
    return {
        name: `onnxruntime-web ${ort.env.versions.web}`,
        describe: () => ({ loadMs, fileBytes: bytes.length }),
        ...rates(async (write, time) => {
            /** @type {Record<string, any>} */
            let past = {};
            await time(PREFILL, async () => { past = await step(IDS.slice(0, PREFILL), {}, 0); });
            for (let i = 0; write && i < WRITTEN; i++) {
                await time(1, async () => { past = await step([IDS[PREFILL + i]], past, PREFILL + i); });
            }
        }),
    };
}
