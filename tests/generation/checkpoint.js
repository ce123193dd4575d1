// A tiny model in the very form in which GPT-2 is published, made up on the spot, and what it should compute.

import { floats, rng } from '../rng.js';

const TINY = Object.freeze({ vocab: 300, positions: 48, width: 24, layers: 2, heads: 3 });

/** The letters of a byte-level vocabulary, by byte. */
export const LETTERS = (() => {
    /** @param {number} byte */
    const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    let other = 256;
    return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : other++));
})();

/** What `text` looks like in such letters. @param {string} text */
export const inLetters = (text) => Array.from(new TextEncoder().encode(text), (byte) => LETTERS[byte]).join('');

/** Token 0 ends a text, the bytes follow, then what the merges make. */
export function tinyTokenizer() {
    const merges = ['t h', 'th e', 'Ġ the', 'Ġ a', 'i n', 'in g', 'o n', 'e r', `${LETTERS[0xc3]} ${LETTERS[0xa9]}`];
    const tokens = ['<|endoftext|>', ...LETTERS, ...merges.map((merge) => merge.replace(' ', ''))];
    return {
        version: '1.0',
        truncation: null,
        padding: null,
        added_tokens: [{
            id: 0, content: '<|endoftext|>', special: true, single_word: false, lstrip: false, rstrip: false,
            normalized: false,
        }],
        normalizer: null,
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
        post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
        decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true },
        model: {
            dropout: null, unk_token: '', continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false,
            vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges,
        },
    };
}

/**
 * config.json, with fields that do not matter as the published ones have.
 * @param {Partial<Record<keyof typeof TINY, number>>} [size]
 */
export function tinyConfig(size = {}) {
    const { vocab, positions, width, layers, heads } = { ...TINY, ...size };
    return {
        activation_function: 'gelu_new', architectures: ['GPT2LMHeadModel'], attn_pdrop: 0.1, bos_token_id: 0,
        embd_pdrop: 0.1, eos_token_id: 0, initializer_range: 0.02, layer_norm_epsilon: 1e-5, model_type: 'gpt2',
        n_ctx: positions, n_embd: width, n_head: heads, n_layer: layers, n_positions: positions, resid_pdrop: 0.1,
        summary_type: 'cls_index',
        vocab_size: vocab,
    };
}

/**
 * Weights by their published names, in the published orientation; masks that the file has and nobody needs included.
 * @param {Partial<Record<keyof typeof TINY, number>>} [size]
 * @param {number} [seed]
 * @returns {Map<string, { shape: number[], data: Float32Array }>}
 */
export function tinyWeights(size = {}, seed = 1) {
    const { vocab, positions, width, layers } = { ...TINY, ...size };
    const random = rng(seed);
    /** @type {ReturnType<typeof tinyWeights>} */
    const weights = new Map();
    /** @param {string} name @param {number[]} shape @param {number} scale */
    const add = (name, shape, scale, offset = 0) => {
        const data = floats(random, shape.reduce((product, n) => product * n, 1), scale).map((x) => x + offset);
        weights.set(name, { shape, data });
    };
    for (let i = 0; i < layers; i++) {
        weights.set(`h.${i}.attn.bias`, { shape: [1, 1, 2, 2], data: Float32Array.of(1, 0, 1, 1) });
        add(`h.${i}.attn.c_attn.bias`, [3 * width], 0.3);
        add(`h.${i}.attn.c_attn.weight`, [width, 3 * width], 0.5);
        add(`h.${i}.attn.c_proj.bias`, [width], 0.2);
        add(`h.${i}.attn.c_proj.weight`, [width, width], 0.3);
        add(`h.${i}.ln_1.bias`, [width], 0.2);
        add(`h.${i}.ln_1.weight`, [width], 0.3, 1);
        add(`h.${i}.ln_2.bias`, [width], 0.2);
        add(`h.${i}.ln_2.weight`, [width], 0.3, 1);
        add(`h.${i}.mlp.c_fc.bias`, [4 * width], 0.2);
        add(`h.${i}.mlp.c_fc.weight`, [width, 4 * width], 0.3);
        add(`h.${i}.mlp.c_proj.bias`, [width], 0.2);
        add(`h.${i}.mlp.c_proj.weight`, [4 * width, width], 0.3);
    }
    add('ln_f.bias', [width], 0.2);
    add('ln_f.weight', [width], 0.3, 1);
    add('wpe.weight', [positions, width], 0.3);
    add('wte.weight', [vocab, width], 0.5);
    return weights;
}

const HALF = new Float32Array(1);
const HALF_BITS = new Uint32Array(HALF.buffer);

/** The nearest bfloat16 below in magnitude, as bits. @param {number} x */
const bf16Bits = (x) => {
    HALF[0] = x;
    return HALF_BITS[0] >>> 16;
};

/** The nearest binary16 below in magnitude, as bits; only for numbers that it holds. @param {number} x */
const f16Bits = (x) => {
    HALF[0] = x;
    const bits = HALF_BITS[0];
    const exponent = ((bits >>> 23) & 0xff) - 112;
    const sign = (bits >>> 16) & 0x8000;
    if (exponent <= 0) return exponent < -10 ? sign : sign | (((bits & 0x7fffff) | 0x800000) >>> (14 - exponent));
    return sign | (exponent << 10) | ((bits >>> 13) & 0x3ff);
};

/** Value of binary16 bits. @param {number} bits */
const f16Value = (bits) => {
    const exponent = (bits >>> 10) & 31;
    const fraction = bits & 0x3ff;
    const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    return bits & 0x8000 ? -size : size;
};

/** @param {number} bits */
const bf16Value = (bits) => {
    HALF_BITS[0] = bits << 16;
    return HALF[0];
};

/**
 * How a dtype stores a number, and what it then is.
 * @typedef {{ from(numbers: Float32Array, store: (x: number) => number): Float32Array | Uint16Array }} Kind
 * @type {Record<string, { array: Kind, store: (x: number) => number, value: (stored: number) => number }>}
 */
const DTYPES = {
    F32: { array: Float32Array, store: (x) => x, value: (x) => x },
    F16: { array: Uint16Array, store: f16Bits, value: f16Value },
    BF16: { array: Uint16Array, store: bf16Bits, value: bf16Value },
};

/**
 * The weights as they read back from a file of a dtype.
 * @param {ReturnType<typeof tinyWeights>} weights
 * @param {string} dtype
 */
export function rounded(weights, dtype) {
    const { store, value } = DTYPES[dtype];
    return new Map(Array.from(weights,
        ([name, { shape, data }]) => [name, { shape, data: data.map((x) => value(store(x))) }]));
}

/**
 * @param {Map<string, { shape: number[], data: Float32Array }>} weights
 * @param {{ dtype?: string, prefix?: string, metadata?: Record<string, string> }} [options]
 * @returns {Uint8Array} a safetensors file
 */
export function safetensors(weights, { dtype = 'F32', prefix = '', metadata = { format: 'pt' } } = {}) {
    const { array, store } = DTYPES[dtype];
    /** @type {Record<string, unknown>} */
    const header = { __metadata__: metadata };
    const parts = [];
    let end = 0;
    for (const [name, { shape, data }] of weights) {
        const stored = array.from(data, store);
        header[prefix + name] = { dtype, shape, data_offsets: [end, end + stored.byteLength] };
        end += stored.byteLength;
        parts.push(new Uint8Array(stored.buffer));
    }
    return withHeader(JSON.stringify(header), parts);
}

/** @param {string | Uint8Array} header @param {Uint8Array[]} parts */
export function withHeader(header, parts) {
    const bytes = typeof header === 'string' ? new TextEncoder().encode(header) : header;
    const length = new Uint8Array(8);
    new DataView(length.buffer).setBigUint64(0, BigInt(bytes.length), true);
    return new Uint8Array(Buffer.concat([length, bytes, ...parts]));
}

/** @param {unknown} value */
export const json = (value) => new TextEncoder().encode(JSON.stringify(value));

/**
 * All three files.
 * @param {Parameters<typeof safetensors>[1] & { size?: Partial<Record<keyof typeof TINY, number>> }} [options]
 */
export function tinyFiles({ size, ...options } = {}) {
    return {
        config: json(tinyConfig(size)), tokenizer: json(tinyTokenizer()),
        weights: safetensors(tinyWeights(size), options),
    };
}

/**
 * GPT-2's formulas, one token and one number after the other, in float64 (Radford et al. 2019; the published code).
 * @param {Map<string, { shape: number[], data: Float32Array }>} weights
 * @param {ReturnType<typeof tinyConfig>} config
 * @param {readonly number[]} ids
 * @returns {Float64Array[]} logits after each token
 */
export function referenceLogits(weights, config, ids) {
    return referenceInside(weights, config, ids).logits;
}

/**
 * The same with all that there is on the way.
 * @param {Parameters<typeof referenceLogits>[0]} weights
 * @param {Parameters<typeof referenceLogits>[1]} config
 * @param {Parameters<typeof referenceLogits>[2]} ids
 * @returns {{ logits: Float64Array[], final: Float64Array[], states: Float64Array[][], attention: Float64Array[][][] }} final: after
 *   the last norm; states: after each layer; attention by layer and head, [ids] with 0 where a query does not look
 */
export function referenceInside(weights, config, ids) {
    const { n_embd: width, n_head: heads, n_layer: layers, vocab_size: vocab, layer_norm_epsilon: epsilon } = config;
    const w = (/** @type {string} */ name) => /** @type {{ data: Float32Array }} */ (weights.get(name)).data;
    /** @type {(x: Float64Array, name: string, n: number) => Float64Array} */
    const dense = (x, name, n) => Float64Array.from({ length: n }, (_, j) => {
        const kernel = w(`${name}.weight`);
        return x.reduce((sum, value, i) => sum + value * kernel[i * n + j], w(`${name}.bias`)[j]);
    });
    /** @type {(x: Float64Array, name: string) => Float64Array} */
    const norm = (x, name) => {
        const mean = x.reduce((sum, value) => sum + value, 0) / width;
        const variance = x.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
        const scale = 1 / Math.sqrt(variance + epsilon);
        return x.map((value, i) => (value - mean) * scale * w(`${name}.weight`)[i] + w(`${name}.bias`)[i]);
    };
    const gelu = (/** @type {number} */ x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    const head = w(weights.has('lm_head.weight') ? 'lm_head.weight' : 'wte.weight');
    const size = width / heads;
    const past = Array.from({ length: layers }, () => /** @type {Float64Array[]} */ ([]));
    const states = Array.from({ length: layers }, () => /** @type {Float64Array[]} */ ([]));
    const attention = Array.from({ length: layers }, () => Array.from({ length: heads }, () => /** @type {Float64Array[]} */ ([])));
    /** @type {Float64Array[]} */
    const final = [];
    const logits = ids.map((id, position) => {
        let x = Float64Array.from({ length: width },
            (_, i) => w('wte.weight')[id * width + i] + w('wpe.weight')[position * width + i]);
        for (let layer = 0; layer < layers; layer++) {
            const qkv = dense(norm(x, `h.${layer}.ln_1`), `h.${layer}.attn.c_attn`, 3 * width);
            past[layer].push(qkv);
            const mixed = new Float64Array(width);
            for (let head = 0; head < heads; head++) {
                const scores = past[layer].map((other) => {
                    let dot = 0;
                    for (let i = 0; i < size; i++) dot += qkv[head * size + i] * other[width + head * size + i];
                    return Math.exp(dot / Math.sqrt(size));
                });
                const total = scores.reduce((sum, score) => sum + score, 0);
                attention[layer][head].push(Float64Array.from({ length: ids.length }, (_, j) => (scores[j] ?? 0) / total));
                past[layer].forEach((other, j) => {
                    for (let i = head * size; i < (head + 1) * size; i++) {
                        mixed[i] += scores[j] / total * other[2 * width + i];
                    }
                });
            }
            const attended = dense(mixed, `h.${layer}.attn.c_proj`, width);
            x = x.map((value, i) => value + attended[i]);
            const inner = dense(norm(x, `h.${layer}.ln_2`), `h.${layer}.mlp.c_fc`, 4 * width).map(gelu);
            const out = dense(inner, `h.${layer}.mlp.c_proj`, width);
            x = x.map((value, i) => value + out[i]);
            states[layer].push(x);
        }
        const last = norm(x, 'ln_f');
        final.push(last);
        return Float64Array.from({ length: vocab }, (_, token) =>
            last.reduce((sum, value, i) => sum + value * head[token * width + i], 0));
    });
    return { logits, final, states, attention };
}
