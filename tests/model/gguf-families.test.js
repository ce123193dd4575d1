// Families whose GGUF files differ from their folders: what llama.cpp's converter makes of a folder gives the same logits.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel, readWeights } from '../../js/generation/index.js';
import { assertClose } from '../close.js';
import { gguf } from '../files/gguf-writer.js';
import { testRuntime } from '../runtime.js';
import { there } from '../there.js';
import { json, readCases, weightsOf } from './golden.js';

const runtime = await testRuntime();
const cases = new Map(readCases().map((entry) => [entry.name, entry]));

/** How the converter calls what stands behind the number of the layer, and outside of layers. @type {Record<string, string>} */
const NAMES = {
    'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
    'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm', 'self_attn.query_layernorm': 'attn_q_norm',
    'self_attn.key_layernorm': 'attn_k_norm', input_layernorm: 'attn_norm', post_attention_layernorm: 'ffn_norm',
    post_feedforward_layernorm: 'post_ffw_norm', 'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.gate_up_proj': 'ffn_up',
    'mlp.down_proj': 'ffn_down', ln_1: 'attn_norm', 'attn.c_attn': 'attn_qkv', 'attn.c_proj': 'attn_output', ln_2: 'ffn_norm',
    'mlp.c_fc': 'ffn_up', 'mlp.c_proj': 'ffn_down',
    'model.embed_tokens': 'token_embd', 'model.norm': 'output_norm', lm_head: 'output', 'transformer.wte': 'token_embd',
    'transformer.wpe': 'position_embd', 'transformer.ln_f': 'output_norm',
    'transformer.word_embeddings': 'token_embd', 'transformer.word_embeddings_layernorm': 'token_embd_norm',
    'self_attention.query_key_value': 'attn_qkv', 'self_attention.dense': 'attn_output', 'mlp.dense_h_to_4h': 'ffn_up',
    'mlp.dense_4h_to_h': 'ffn_down', 'transformer.norm_f': 'output_norm', norm_1: 'attn_norm', norm_2: 'ffn_norm', 'attn.Wqkv': 'attn_qkv',
    'attn.out_proj': 'attn_output', 'ffn.up_proj': 'ffn_up', 'ffn.down_proj': 'ffn_down',
};

/**
 * Cases, with what their files say else. GGUF has neither an activation nor every scaling of a folder: both get what is usual.
 * @typedef {object} Converted
 * @property {string} architecture
 * @property {string} [activation] of this architecture; without, it has no other, and no rotation
 * @property {Record<string, unknown>} [change] of the config
 * @property {Record<string, unknown>} [rope] changes of rope_parameters
 * @property {Record<string, string>} [names]
 * @property {[string, string, any][]} [keys]
 * @property {boolean} [apart] queries, keys and values stood together head by head
 * @property {boolean} [turned] rows of queries and keys stand in the order in which they are rotated
 * @property {boolean} [whole] weights of norms are whole, of which the folder has the differences from 1
 */
/** @type {Record<string, Converted>} */
const FAMILIES = {
    'arcee-2811-43': { architecture: 'arcee', activation: 'relu2', turned: true },
    'olmo-2811-63': { architecture: 'olmo', activation: 'silu', turned: true },
    'ernie4_5-2811-28': { architecture: 'ernie4_5', activation: 'silu' },
    'glm-2811-54': {
        architecture: 'chatglm', activation: 'silu', rope: { partial_rotary_factor: 16 / 34 }, keys: [['rope.dimension_count', 'u32', 16]],
    },
    'gpt_bigcode-2811-98': { architecture: 'starcoder', activation: 'gelu_pytorch_tanh' },
    'hunyuan_v1_dense-2811-35': { architecture: 'hunyuan-dense', activation: 'silu' },
    'exaone4-2811-128': {
        architecture: 'exaone4', activation: 'silu', names: { post_attention_layernorm: 'post_attention_norm' },
        keys: [['attention.sliding_window', 'u32', 8], ['attention.sliding_window_pattern', 'array of bool', [true, true, true]]],
    },
    'exaone-2815-107': {
        architecture: 'exaone', activation: 'silu', keys: [['attention.layer_norm_epsilon', 'f32', 1e-6]],
        names: {
            'attn.attention.q_proj': 'attn_q', 'attn.attention.k_proj': 'attn_k', 'attn.attention.v_proj': 'attn_v',
            'attn.attention.out_proj': 'attn_output', 'mlp.c_fc_0': 'ffn_gate', 'mlp.c_fc_1': 'ffn_up', 'mlp.c_proj': 'ffn_down',
        },
    },
    'cohere2-2815-69': {
        architecture: 'cohere2', activation: 'silu',
        keys: [['attention.layer_norm_epsilon', 'f32', 1e-3], ['logit_scale', 'f32', 0.0625], ['attention.sliding_window', 'u32', 8],
            ['attention.sliding_window_pattern', 'array of bool', [true, false]]],
    },
    'nemotron-2815-78': {
        architecture: 'nemotron', activation: 'relu2', whole: true, rope: { partial_rotary_factor: 4 / 6 },
        keys: [['attention.layer_norm_epsilon', 'f32', 1e-6], ['rope.dimension_count', 'u32', 4]],
    },
    'bloom-8386-0': { architecture: 'bloom', apart: true },
    'mpt-16228-0': {
        architecture: 'mpt', change: { attn_config: { alibi: true, alibi_bias_max: 5 } }, keys: [['attention.max_alibi_bias', 'f32', 5]],
    },
    'lfm2-72-46': {
        architecture: 'lfm2', activation: 'silu',
        names: {
            'model.embedding_norm': 'token_embd_norm', operator_norm: 'attn_norm', 'conv.in_proj': 'shortconv.in_proj',
            'conv.conv': 'shortconv.conv', 'conv.out_proj': 'shortconv.out_proj', 'self_attn.out_proj': 'attn_output',
            'self_attn.q_layernorm': 'attn_q_norm', 'self_attn.k_layernorm': 'attn_k_norm', ffn_norm: 'ffn_norm',
            'feed_forward.w1': 'ffn_gate', 'feed_forward.w2': 'ffn_down', 'feed_forward.w3': 'ffn_up',
        },
        // Of 17 two thirds, times 1.3, in multiples of 8.
        keys: [['attention.head_count_kv', 'array of i32', [1, 0, 0, 0]], ['shortconv.l_cache', 'u32', 7], ['feed_forward_length', 'u32', 16]],
    },
};

/** @param {Float32Array} rows @param {number} heads @param {number} size of a head @returns {Float32Array} its halves by turns */
function interleaved(rows, heads, size) {
    const width = rows.length / (heads * size);
    const out = new Float32Array(rows.length);
    for (let row = 0; row < heads * size; row++) {
        const [head, e] = [Math.floor(row / size), row % size];
        const to = head * size + (e % (size / 2)) * 2 + Math.floor(e / (size / 2));
        out.set(rows.subarray(row * width, (row + 1) * width), to * width);
    }
    return out;
}

/** @param {Float32Array} rows @param {number} heads @returns {Float32Array} all heads' queries, then keys, then values */
function takenApart(rows, heads) {
    const size = rows.length / (3 * heads);
    const parts = Array.from({ length: 3 * heads }, (_, i) => (i % heads) * 3 + Math.floor(i / heads));
    return Float32Array.from(parts.flatMap((part) => [...rows.subarray(part * size, (part + 1) * size)]));
}

/** @param {string} name @param {Converted} how @param {Record<string, any>} config @returns {Promise<Uint8Array<ArrayBuffer>>} */
async function convert(name, { architecture, names = {}, keys = [], turned = false, apart = false, whole = false }, config) {
    const [width, heads] = [config.hidden_size ?? config.n_embd ?? config.d_model, config.num_attention_heads ?? config.n_head ?? config.n_heads];
    const { head_dim: size = width / heads, num_key_value_heads: kvHeads = heads, rms_norm_eps: epsilon = config.norm_eps } = config;
    const tensors = Array.from(await readWeights(weightsOf(name)), ([key, { shape, data }]) => {
        const [, layer, part, kind] = there(/^(?:(?:model\.layers|transformer\.(?:h|blocks))\.(\d+)\.)?(.*)\.(weight|bias)$/.exec(key));
        const role = names[part] ?? there(NAMES[part]);
        const numbers = Float32Array.from(data, (x) => (whole && /_norm$/.test(role) && kind === 'weight' ? x + 1 : x));
        const rows = turned && /^attn_[qk]$/.test(role) ? interleaved(numbers, role === 'attn_q' ? heads : kvHeads, size)
            : apart && role === 'attn_qkv' ? takenApart(numbers, heads) : numbers;
        // A kernel of a convolution, [channels, 1, taps], has two axes there.
        return { name: `${layer ? `blk.${layer}.` : ''}${role}.${kind}`, shape: shape.filter((n, axis) => axis !== 1 || n > 1), bytes: new Uint8Array(rows.buffer) };
    });
    /** @type {[string, string, any][]} */
    const pairs = [
        ['context_length', 'u32', config.max_position_embeddings ?? config.n_positions ?? 128], ['embedding_length', 'u32', width],
        ['block_count', 'u32', config.num_hidden_layers ?? config.n_layer ?? config.n_layers],
        ['feed_forward_length', 'u32', config.intermediate_size ?? config.n_inner ?? 4 * width],
        ['attention.head_count', 'u32', heads], ['attention.head_count_kv', 'u32', kvHeads],
        ['attention.key_length', 'u32', size], ['attention.value_length', 'u32', size],
        epsilon ? ['attention.layer_norm_rms_epsilon', 'f32', epsilon] : ['attention.layer_norm_epsilon', 'f32', 1e-5],
        ...keys, ...(config.rope_parameters ? /** @type {[string, string, any][]} */ ([['rope.freq_base', 'f32', 500]]) : []),
    ];
    return gguf({
        tensors,
        pairs: [['general.architecture', 'string', architecture], ...new Map(pairs.map(([key, type, value]) =>
            [key, /** @type {[string, string, any]} */ ([`${architecture}.${key}`, type, value])])).values()],
    });
}

for (const [name, how] of Object.entries(FAMILIES)) {
    test(`${how.architecture}: the logits of the folder`, async () => {
        const { config: given, ids, tolerance } = there(cases.get(name));
        const config = !how.activation ? { ...given, ...how.change } : given.n_embd ? { ...given, activation_function: how.activation }
            : { ...given, hidden_act: how.activation, rope_parameters: { rope_type: 'default', rope_theta: 500, ...how.rope } };
        const folder = await loadModel(runtime, { config: json(config), weights: weightsOf(name) }, { weights: 'float32' });
        const model = await loadModel(runtime, (await convert(name, how, config)).buffer, { weights: 'float32' });
        const want = await folder.forward(ids, { positions: 'all' });
        const got = await model.forward(ids, { positions: 'all' });
        assertClose(got.data, want.data, tolerance, 'logits');
        assert.equal(model.architecture, how.architecture);
        folder.dispose();
        model.dispose();
    });
}
