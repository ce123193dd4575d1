// What a file may not be, and with which code it is refused; nothing stays allocated.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FormatError, loadModel } from '../../js/generation/index.js';
import { testRuntime } from '../paired.js';
import { there } from '../there.js';
import { tinyFiles, tinyTokenizer } from '../generation/checkpoint.js';
import { json, readCases, weightsOf } from './golden.js';

const runtime = await testRuntime();
const cases = new Map(readCases().map((entry) => [entry.name, entry]));

/** @param {string} name @param {Record<string, any>} changes of its config */
const source = (name, changes) =>
    ({ config: json({ ...there(cases.get(name)).config, ...changes }), weights: weightsOf(name) });

/**
 * A safetensors file without a tensor, with one more, or with one of another shape.
 * @param {string} name
 * @param {(header: Record<string, any>) => void} change of its header
 * @param {Record<string, any>} [changes] of its config
 */
function changed(name, change, changes = {}) {
    const bytes = Buffer.from(weightsOf(name));
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, start));
    change(header);
    const text = JSON.stringify(header);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const weights = new Uint8Array(Buffer.concat([length, Buffer.from(text), bytes.subarray(start)]));
    return { config: json({ ...there(cases.get(name)).config, ...changes }), weights };
}

const NORM = 'model.layers.0.input_layernorm.weight';
const LLAMA = 'llama-mqa-f16';
const NEOX = 'gpt-neox-sequential';
const LONG = 'phi3-longrope';
const longRope = there(cases.get(LONG)).config.rope_parameters;

/** @type {[string, RegExp, any][]} */
const REFUSED = [
    ['architecture', /"mixtral" are not supported/, source(LLAMA, { model_type: 'mixtral' })],
    ['architecture', /"qwen2_moe" are not supported/, source('qwen2', { model_type: 'qwen2_moe' })],
    ['architecture', /undefined/, source(LLAMA, { model_type: undefined })],
    ['architecture', /an array|\[/, source(LLAMA, { model_type: ['llama'] })],
    ['config-unknown', /"num_local_experts"/, source(LLAMA, { num_local_experts: 8 })],
    ['config-unknown', /"made_up".*7/, source(LLAMA, { made_up: 7 })],
    ['config-unknown', /"__proto__"|"toString"/, source(LLAMA, { toString: 7 })],
    ['config-unknown', /rope_parameters.*"made_up"/, source(LLAMA, {
        rope_parameters: { rope_type: 'default', made_up: 1 },
    })],
    // transformers 5.24 rotates whole heads of these families, whatever the factor says, or fails where there is a scaling.
    .../** @type {[string, RegExp, any][]} */ (['llama-mqa-f16', 'mistral-no-window', 'qwen2', 'qwen3-bias-bf16', 'gemma', 'gemma2', 'gemma3-text', 'granite',
        'olmo2', 'smollm3', 'starcoder2'].map((name) => ['config-unsupported', /partial_rotary_factor 0.5 /, source(name, { partial_rotary_factor: 0.5 })])),
    ['config-unsupported', /partial_rotary_factor 0.25 /, source('qwen3-bias-bf16', { rope_parameters: { rope_type: 'default', partial_rotary_factor: 0.25 } })],
    // transformers reads one object for each kind of layers there, and nothing beside them.
    ['config-unknown', /rope_parameters: .*"rope_type" \("linear"\)/, source('gemma3-text', { rope_parameters: { rope_type: 'linear', factor: 2 } })],
    ['config-unsupported', /attention_chunk_size/, source(LLAMA, { attention_chunk_size: 8 })],
    ['config-unsupported', /quantization_config/, source(LLAMA, { quantization_config: { quant_method: 'awq' } })],
    ['config-unsupported', /add_cross_attention/, source(LLAMA, { add_cross_attention: true })],
    ['config-unsupported', /hidden_act "made_up"/, source(LLAMA, { hidden_act: 'made_up' })],
    ['config-unsupported', /rope_type "made_up"/, source(LLAMA, { rope_parameters: { rope_type: 'made_up' } })],
    .../** @type {[string, RegExp, any][]} */ ([{ alibi: false }, { attn_type: 'multiquery_attention' }, { clip_qkv: 6 }, { prefix_lm: true }, { qk_ln: true }]
        .map((attn_config) => ['config-unsupported', RegExp(`attn_config: ${Object.keys(attn_config)} `), source('mpt-16228-0', { attn_config })])),
    ['config-missing-key', /hidden_size/, source(LLAMA, { hidden_size: null })],
    ['config-missing-key', /factor/, source(LLAMA, { rope_parameters: { rope_type: 'linear' } })],
    ['config-missing-key', /long_factor/, source(LONG, { rope_parameters: { ...longRope, long_factor: null } })],
    ['config-invalid', /long_factor .*must have 8 numbers, got 3/, source(LONG, {
        rope_parameters: { ...longRope, long_factor: [1, 2, 3] },
    })],
    ['config-unsupported', /rope_type "yarn"/, source('nanochat-2815-0', { rope_parameters: { rope_type: 'yarn', factor: 2 } })],
    ['config-unsupported', /pad_token_id 2/, source('xglm-2815-114', { pad_token_id: 2 })],
    ['config-invalid', /n_embd must be a multiple of 4, got 6/, source('codegen-2815-161', { n_embd: 6 })],
    ['config-invalid', /rotary_dim must be at most 4, got 6/, source('gptj-2815-82', { rotary_dim: 6 })],
    ['config-invalid', /sliding_window must be a width/, source('modernbert-decoder-2815-3', { local_attention: 1 })],
    ['config-invalid', /head_dim must be above 2/, source('hunyuan_v1_dense-2811-35', { head_dim: 2 })],
    ['config-invalid', /short_factor/, source(LONG, { rope_parameters: { ...longRope, short_factor: [1, -2] } })],
    ['config-invalid', /hidden_size must be a positive integer, got 48.5/, source(LLAMA, { hidden_size: 48.5 })],
    ['config-invalid', /hidden_size .*got "48"/, source(LLAMA, { hidden_size: '48' })],
    ['config-invalid', /num_hidden_layers must be at most/, source(LLAMA, { num_hidden_layers: 1e9 })],
    ['config-invalid', /n_layer must be at most/, source('gpt2-unscaled-inner', { n_layer: 1e9 })],
    ['config-invalid', /num_key_value_heads/, source(LLAMA, { num_key_value_heads: 3 })],
    ['config-invalid', /rms_norm_eps/, source(LLAMA, { rms_norm_eps: 0 })],
    ['config-invalid', /tie_word_embeddings/, source(LLAMA, { tie_word_embeddings: 1 })],
    ['config-invalid', /rope_parameters must be an object/, source(LLAMA, { rope_parameters: 7 })],
    ['config-invalid', /eos_token_id/, source(LLAMA, { eos_token_id: -1 })],
    .../** @type {[string, RegExp, any][]} */ (['F8_E4M3', 'I8', 'F64'].map((dtype) => ['weight-type', RegExp(`layers\\.1.*down_proj.weight" is ${dtype};`),
        changed(LLAMA, (header) => {
            const entry = header['model.layers.1.mlp.down_proj.weight'];
            const [n, k] = entry.shape;
            Object.assign(entry, { dtype, shape: [n, dtype === 'F64' ? k / 4 : 2 * k] });
        })])),
    ['tensor-shape', /input_layernorm/, changed(LLAMA, (header) => {
        header[NORM].shape = [header[NORM].shape[0] / 2, 2];
    })],
    // So many heads must not become so many entries of a list.
    ['tensor-shape', /attn_qkv/, changed(NEOX, (header) => {
        for (const name of Object.keys(header).filter((key) => key.endsWith('attention.dense.weight'))) {
            header[name.replace(/dense.weight$/, 'rotary_emb.inv_freq')] = header[name];
            delete header[name];
        }
    }, { num_attention_heads: 2 ** 29, head_dim: 2 })],
    ['tensor-shape', /lm_head.*\[7,48\]/, source(LLAMA, { vocab_size: 7 })],
    ['tensor-missing', /blk\.0\.attn_norm/, changed(LLAMA, (header) => {
        header['model.rotary_emb.inv_freq'] = header[NORM];
        delete header[NORM];
    })],
    ['tensor-missing', /blk\.2/, source(LLAMA, { num_hidden_layers: 3 })],
    ['tensor-unknown', /layers\.1\./, source(LLAMA, { num_hidden_layers: 1 })],
    ['tensor-unknown', /h\.1\.attn\.c_attn/, source('gpt2-unscaled-inner', { n_layer: 1 })],
    ['tensor-unknown', /made\.up/, changed(LLAMA, (header) => {
        header['made.up.weight'] = header[NORM];
        delete header[NORM];
    })],
];

describe('refused', () => {
    for (const [code, message, broken] of REFUSED) {
        test(`${code}: ${message.source}`, async () => {
            const before = runtime.explain().bytesInUse;
            await assert.rejects(loadModel(runtime, broken), (error) => {
                assert.ok(error instanceof FormatError, String(error instanceof Error ? error.stack : error));
                assert.equal(error.code, code, error.message);
                assert.match(error.message, message);
                assert.ok(error.message.length < 800, 'a message has an end');
                return true;
            });
            assert.equal(runtime.explain().bytesInUse, before, 'bytes stay allocated');
        });
    }
});

test('tables that older libraries stored beside the weights are no weights', async () => {
    for (const [name, table] of [['xglm-2815-114', 'model.embed_positions.weights'], ['codegen-2815-161', 'transformer.h.0.attn.causal_mask']]) {
        const model = await loadModel(runtime, changed(name, (header) => {
            header[table] = { dtype: 'F32', shape: [0], data_offsets: [0, 0] };
        }));
        assert.ok(model.explain().setAside.includes(table));
        model.dispose();
    }
});

test('what is harmless is told', async () => {
    const harmless = { attention_dropout: 0.5, _name_or_path: 'x', use_cache: false, num_beams: 1 };
    const model = await loadModel(runtime, changed(LLAMA, (header) => {
        header['v_head.summary.weight'] = { dtype: 'F32', shape: [0], data_offsets: [0, 0] };
    }, harmless));
    const { setAside } = model.explain();
    for (const name of [...Object.keys(harmless), 'v_head.summary.weight']) assert.ok(setAside.includes(name), `${name} of ${setAside}`);
    assert.ok(!setAside.includes('hidden_size') && !setAside.includes('rms_norm_eps'));
    model.dispose();
});

test('so are fields of tokenizer.json that change no id and no text, wherever they stand', async () => {
    const file = tinyTokenizer();
    const padding = { strategy: { Fixed: 9 }, pad_id: 0, pad_token: '<unk>' };
    const bytes = { type: 'ByteLevel', trim_offsets: false, add_prefix_space: false };
    const tokenizer = json({
        ...file, padding, truncation: null, version: '1.0', pre_tokenizer: { type: 'Sequence', pretokenizers: [bytes] }, decoder: bytes,
    });
    const model = await loadModel(runtime, { ...tinyFiles(), tokenizer });
    const told = model.explain().setAside.filter((/** @type {string} */ field) => field.startsWith('tokenizer.json: '));
    assert.deepEqual(told.sort(), ['tokenizer.json: decoder.trim_offsets', 'tokenizer.json: padding',
        'tokenizer.json: post_processor.trim_offsets', 'tokenizer.json: pre_tokenizer.pretokenizers[0].trim_offsets', 'tokenizer.json: version']);
    model.dispose();
});

test('explain() says what was understood', async () => {
    const { config } = there(cases.get(LLAMA));
    const model = await loadModel(runtime, source(LLAMA, {}));
    const told = model.explain();
    assert.equal(told.architecture, 'llama');
    assert.equal(told.layers, config.num_hidden_layers);
    assert.equal(told.heads, config.num_attention_heads);
    assert.equal(told.keyValueHeads, config.num_key_value_heads);
    assert.equal(told.vocabularySize, config.vocab_size);
    assert.equal(told.contextLength, config.max_position_embeddings);
    assert.equal(told.tokenizer, null);
    assert.match(told.chatTemplate, /^none: /);
    assert.equal(model.tokenizer, null);
    const why = ': this model\'s files have no tokenizer, it reads and writes token ids alone';
    for (const [name, wrong] of /** @type {[string, () => unknown][]} */ ([
        ['prompt', () => model.generate('text')], ['prompt[1]', () => model.generate([[1], [{ role: 'user', content: 'text' }]])],
        ['stop', () => model.generate([1], { stop: 'text' })], ['choices', () => model.generate([1], { choices: ['text'] })],
        ['answer', () => model.parseToolCalls([1])],
    ])) {
        assert.throws(wrong, { name: 'TypeError', message: name + why });
    }
    assert.deepEqual(JSON.parse(JSON.stringify(told)), told, 'a plain object');
    model.dispose();
});
