// Writes GGUF files, good ones and, where a test says so, wrong ones. By the text of the format, not by our reader:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

/** @type {Record<string, number>} */
const TYPES = {
    u8: 0, i8: 1, u16: 2, i16: 3, u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9, u64: 10, i64: 11, f64: 12,
};

/** @type {Record<string, [method: string, bytes: number]>} */
const SET = {
    u8: ['setUint8', 1], i8: ['setInt8', 1], u16: ['setUint16', 2], i16: ['setInt16', 2], u32: ['setUint32', 4],
    i32: ['setInt32', 4], f32: ['setFloat32', 4], bool: ['setUint8', 1], u64: ['setBigUint64', 8],
    i64: ['setBigInt64', 8], f64: ['setFloat64', 8],
};

/** Of tensors: id, numbers in a block, bytes of a block. @type {Record<string, [number, number, number]>} */
const TENSORS = { F32: [0, 1, 4], F16: [1, 1, 2], Q4_0: [2, 32, 18], Q8_0: [8, 32, 34], Q4_K: [12, 256, 144],
    IQ2_XXS: [16, 256, 66], I8: [24, 1, 1], I32: [26, 1, 4], I64: [27, 1, 8], F64: [28, 1, 8], BF16: [30, 1, 2] };

/** @param {string} type @param {any} value */
function scalar(type, value) {
    const [method, bytes] = SET[type];
    const out = Buffer.alloc(bytes);
    const number = bytes === 8 && type !== 'f64' ? BigInt(value) : Number(value);
    /** @type {any} */ (new DataView(out.buffer, out.byteOffset))[method](0, number, true);
    return out;
}

/** @param {string | Uint8Array} text */
export function string(text) {
    const bytes = Buffer.from(text);
    return Buffer.concat([scalar('u64', bytes.length), bytes]);
}

/**
 * A value without its type.
 * @param {string} type 'u32', 'string', 'array of u32', 'array of array of u8', ...
 * @param {any} value
 * @returns {Buffer}
 */
function valueOf(type, value) {
    if (type === 'string') return string(value);
    if (!type.startsWith('array of ')) return scalar(type, value);
    const item = type.slice(9);
    const id = TYPES[item] ?? TYPES.array;
    const items = Array.from(value, (one) => valueOf(item, one));
    return Buffer.concat([scalar('u32', id), scalar('u64', value.length), ...items]);
}

/** @param {string | Uint8Array} key @param {string} type @param {any} value @returns {Buffer} */
export function pair(key, type, value) {
    return Buffer.concat([string(key), scalar('u32', TYPES[type] ?? TYPES.array), valueOf(type, value)]);
}

/**
 * @typedef {object} Tensor
 * @property {string} name
 * @property {number[]} shape outermost first
 * @property {string} [type]
 * @property {Uint8Array} [bytes] 0, 1, 2, ... if absent
 * @property {number} [id] of its type, instead of the right one
 * @property {number | bigint} [offset] instead of the right one
 */

/** @param {Tensor} tensor */
export function bytesOf({ shape, type = 'F32', bytes }) {
    const [, block, blockBytes] = TENSORS[type];
    const numbers = () => shape.reduce((n, size) => n * size, 1);
    return bytes ?? Uint8Array.from({ length: numbers() / block * blockBytes }, (_, i) => i);
}

/**
 * @param {{ pairs?: ([string, string, any] | Buffer)[], tensors?: Tensor[], version?: number, alignment?: number,
 *   magic?: string, tensorCount?: number | bigint, pairCount?: number | bigint, trailing?: number }} file
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function gguf({
    pairs = [], tensors = [], version = 3, alignment = 32, magic = 'GGUF', tensorCount = tensors.length,
    pairCount = pairs.length, trailing = 0,
}) {
    const padding = (/** @type {number} */ length) => Buffer.alloc(Math.ceil(length / alignment) * alignment - length);
    /** @type {Uint8Array[]} */
    const data = [];
    const infos = [];
    let at = 0;
    for (const tensor of tensors) {
        const { name, shape, type = 'F32', id = TENSORS[type][0], offset = at } = tensor;
        infos.push(string(name), scalar('u32', shape.length), ...[...shape].reverse().map((n) => scalar('u64', n)),
            scalar('u32', id), scalar('u64', offset));
        const bytes = bytesOf(tensor);
        const rest = padding(bytes.length);
        data.push(bytes, rest);
        at += bytes.length + rest.length;
    }
    const head = Buffer.concat([Buffer.from(magic), scalar('u32', version), scalar('u64', tensorCount),
        scalar('u64', pairCount), ...pairs.map((one) => (Array.isArray(one) ? pair(...one) : one)), ...infos]);
    return new Uint8Array(Buffer.concat([head, padding(head.length), ...data, Buffer.alloc(trailing)]));
}

/** Metadata of a small Llama, by key. @returns {[string, string, any][]} */
export function llamaPairs() {
    return [
        ['general.architecture', 'string', 'llama'], ['general.name', 'string', 'tiny'],
        ['llama.context_length', 'u32', 64], ['llama.embedding_length', 'u32', 32], ['llama.block_count', 'u32', 1],
        ['llama.feed_forward_length', 'u32', 64], ['llama.attention.head_count', 'u32', 4],
        ['llama.attention.head_count_kv', 'u32', 2], ['llama.attention.layer_norm_rms_epsilon', 'f32', 1e-5],
        ['llama.rope.freq_base', 'f32', 10000], ['llama.rope.dimension_count', 'u32', 8],
        ['tokenizer.ggml.model', 'string', 'gpt2'], ['tokenizer.ggml.pre', 'string', 'default'],
        ['tokenizer.ggml.tokens', 'array of string', ['<s>', '</s>', 'a', 'b', 'ab', '€']],
        ['tokenizer.ggml.token_type', 'array of i32', [3, 3, 1, 1, 1, 1]],
        ['tokenizer.ggml.merges', 'array of string', ['a b']],
        ['tokenizer.ggml.bos_token_id', 'u32', 0], ['tokenizer.ggml.eos_token_id', 'u32', 1],
    ];
}

/** @returns {Tensor[]} */
export function llamaTensors() {
    return [
        { name: 'token_embd.weight', shape: [6, 32], type: 'Q8_0' }, { name: 'output_norm.weight', shape: [32] },
        { name: 'blk.0.attn_norm.weight', shape: [32] }, { name: 'blk.0.ffn_norm.weight', shape: [32] },
        { name: 'blk.0.attn_q.weight', shape: [32, 32], type: 'Q4_0' },
        { name: 'blk.0.attn_k.weight', shape: [16, 32], type: 'F16' },
        { name: 'blk.0.attn_v.weight', shape: [16, 32], type: 'BF16' },
        { name: 'blk.0.attn_output.weight', shape: [32, 32] },
        { name: 'blk.0.ffn_gate.weight', shape: [64, 32], type: 'Q8_0' },
        { name: 'blk.0.ffn_up.weight', shape: [64, 32], type: 'Q8_0' },
        { name: 'blk.0.ffn_down.weight', shape: [32, 64], type: 'Q8_0' },
    ];
}

/**
 * A file of these, with some keys changed; null takes a key out.
 * @param {Record<string, [string, any] | null>} [changes]
 * @param {Parameters<typeof gguf>[0]} [rest]
 */
export function llama(changes = {}, rest = {}) {
    const pairs = llamaPairs().filter(([key]) => changes[key] !== null)
        .map(([key, type, value]) => /** @type {[string, string, any]} */ ([key, ...(changes[key] ?? [type, value])]));
    const has = new Set(pairs.map(([key]) => key));
    for (const [key, change] of Object.entries(changes)) {
        if (change !== null && !has.has(key)) pairs.push([key, ...change]);
    }
    return gguf({ pairs, tensors: llamaTensors(), ...rest });
}
