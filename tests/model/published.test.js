// What published folders say beside what a family needs: fields that transformers writes unasked, and those that makers of models add.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { BeamSampler, ContrastiveSampler, loadModel } from '../../js/generation/index.js';
import { readDefaults } from '../../js/generation/defaults.js';
import { familyOf } from '../../js/model/families/index.js';
import { Fields } from '../../js/model/fields.js';
import { json, tinyFiles } from '../generation/checkpoint.js';
import { testRuntime } from '../paired.js';
import { there } from '../there.js';

/** By version of transformers, made by defaults.py. @type {{ version: string, configs: Record<string, any>, generation: any }[]} */
const VERSIONS = readFileSync(new URL('fixtures/transformers-defaults.jsonl', import.meta.url), 'utf8')
    .trim().split('\n').map((line) => JSON.parse(line));

/** @param {Record<string, any>} config what it describes, and what of it is set aside */
function understand(config) {
    const fields = new Fields(config, 'config.json');
    fields.ignore('bos_token_id', 'eos_token_id', 'model_type');
    const model = familyOf(config.model_type).describe(fields, { format: 'safetensors', has: (role) => role.endsWith('.weight') });
    return { model, setAside: fields.finish() };
}

/** @param {Record<string, any>} config @returns {string[]} what is set aside */
const readConfig = (config) => understand(config).setAside;

/** @param {Record<string, any>} generation */
const readGeneration = (generation) =>
    readDefaults(/** @type {any} */ ({ format: 'safetensors', config: {}, generation }), 100, null);

for (const { version, configs, generation } of VERSIONS) {
    describe(`transformers ${version}`, () => {
        for (const [name, config] of Object.entries(configs)) {
            test(name, () => assert.ok(readConfig(config).includes('transformers_version')));
        }
        test('generation_config.json', () => {
            assert.deepEqual(readGeneration(generation).sampling, { temperature: 0 });
        });
    });
}

/** What makers of models add, by family. @type {[string, Record<string, unknown>][]} */
const ADDED = [
    ['starcoder2', { norm_type: 'layer_norm', mlp_type: 'default', rms_norm_eps: 1e-5 }],
    ['phi3', { attention_bias: false, original_max_position_embeddings: 4096, auto_map: { AutoConfig: 'configuration_phi3.Phi3Config' } }],
    ['phi3', { full_attn_mod: 1, interpolate_factor: 1, lm_head_bias: false, mlp_bias: false, partial_rotary_factor: 0.75 }],
    ['qwen2', { use_mrope: false, max_window_layers: 21, sliding_window: 32768 }],
    ['llama', { is_llama_config: true, rope_interleaved: false, 'transformers.js_config': { kv_cache_dtype: { fp16: 'float16' } } }],
    ['gpt2', { n_ctx: 1024, _num_labels: 1, task_specific_params: { 'text-generation': { do_sample: true, max_length: 50 } } }],
    ['gemma', { hidden_act: 'gelu', hidden_activation: null }],
    ['gpt_neo', { attention_layers: Array.from({ length: 24 }, (_, i) => (i % 2 ? 'local' : 'global')), gradient_checkpointing: false }],
    ['opt', { activation_dropout: 0, prefix: '</s>', _remove_final_layer_norm: false, word_embed_proj_dim: 768 }],
    ['gpt_bigcode', { inference_runner: 0, max_batch_size: null, max_sequence_length: null, pad_key_length: true, pre_allocate_kv_cache: false,
        validate_runner_input: true }],
    ['hunyuan_v1_dense', { use_cla: false, cla_share_factor: 2, use_qk_norm: true, norm_type: 'rms', use_rotary_pos_emb: true, eod_token_id: 3,
        rope_scaling: { type: 'dynamic', alpha: 1000, beta_fast: 32, beta_slow: 1, factor: 1, mscale: 1, mscale_all_dim: 1 } }],
    ['exaone4', { sliding_window_pattern: 'LLLG' }],
    ['bloom', { bias_dropout_fusion: true, masked_softmax_fusion: true, n_embed: 1024, n_inner: null, offset_alibi: 100, seq_length: 2048,
        skip_bias_add: true, skip_bias_add_qkv: false, attention_softmax_in_fp32: true, unk_token_id: 0 }],
    // Falcon-RW-1B's.
    ['falcon', { alibi: true, apply_residual_connection_post_layernorm: false, bias: true, multi_query: false, parallel_attn: false,
        hidden_size: 2048, num_attention_heads: 32, ffn_hidden_size: 8192 }],
    ['mpt', { tokenizer_name: 'EleutherAI/gpt-neox-20b', verbose: 0, init_config: { name: 'kaiming_normal_', fan_mode: 'fan_in' },
        norm_type: 'low_precision_layernorm', learned_pos_emb: true, embedding_fraction: 1, no_bias: true, init_device: 'cpu' }],
    ['lfm2', { block_dim: 2560, block_ff_dim: 12288, block_mlp_init_scale: 1, block_norm_eps: 1e-5, block_out_init_scale: 1,
        block_use_swiglu: true, block_use_xavier_init: true, conv_dim: 2560, conv_dim_out: 2560, conv_use_xavier_init: true,
        num_heads: 32, full_attn_idxs: [2, 5, 8], tie_embedding: true, use_pos_enc: true }],
    ['opt', { do_layer_norm_before: false, word_embed_proj_dim: 512, hidden_size: 1024, num_attention_heads: 16 }],
    ['codegen', { n_ctx: 2048, scale_attn_weights: true, gradient_checkpointing: false, summary_type: 'cls_index', tokenizer_class: 'GPT2Tokenizer' }],
    ['gptj', { rotary: true, scale_attn_weights: true, summary_use_proj: true }],
    ['openai-gpt', { n_ctx: 512, n_special: 0, predict_special_tokens: true, summary_first_dropout: 0.1 }],
    ['exaone', { num_layers: 30, layer_norm_epsilon: 1e-5, activation_function: 'silu', embed_dropout: 0, head_dim: 80, hidden_size: 2560,
        num_hidden_layers: null, rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 } }],
    ['cohere2', { layer_switch: 4, order_of_interleaved_layers: 'local_attn_first', position_embedding_type: 'rope_gptj', rotary_pct: 1, use_qk_norm: false,
        use_embedding_sharing: true, use_gated_activation: true, use_parallel_block: true, use_parallel_embedding: true, sliding_window_pattern: 4 }],
    ['modernbert-decoder', { classifier_pooling: 'mean', deterministic_flash_attn: false, global_attn_every_n_layers: 3, global_rope_theta: 160000,
        local_rope_theta: 160000, layer_norm_eps: 1e-5, position_embedding_type: 'sans_pos', reference_compile: null, sparse_prediction: false }],
    ['gemma3_text', { cache_implementation: 'hybrid', rope_local_base_freq: 10000, _sliding_window_pattern: 6 }],
];
const { configs: older, generation } = VERSIONS.find(({ version }) => version === '4.57.1') ?? VERSIONS[0];
const configs = { ...VERSIONS[VERSIONS.length - 1].configs, ...older };

describe('fields that makers of models add', () => {
    for (const [name, added] of ADDED) {
        test(`${name}: ${Object.keys(added).join(', ')}`, () => void readConfig({ ...configs[name], ...added }));
    }
    for (const [name, added] of /** @type {[string, Record<string, unknown>][]} */ ([
        ['starcoder2', { norm_type: 'rms_norm' }], ['phi3', { lm_head_bias: true }], ['phi3', { full_attn_mod: 2 }],
        ['llama', { quantization_config: { bits: 4 } }], ['opt', { _remove_final_layer_norm: true }], ['olmo', { clip_qkv: 8 }], ['hunyuan_v1_dense', { use_qk_norm: false }],
        ['hunyuan_v1_dense', { use_cla: true }], ['qwen2', { use_mrope: true }],
        ['lfm2', { conv_dim: 512 }], ['lfm2', { use_pos_enc: false }], ['lfm2', { block_use_swiglu: false }],
        ['bloom', { apply_residual_connection_post_layernorm: true }], ['mpt', { no_bias: false }], ['mpt', { logit_scale: 0.5 }],
        ['mpt', { norm_type: 'rmsnorm' }], ['gptj', { rotary_dim: null }], ['gptj', { rotary: false }], ['codegen', { rotary_dim: null }],
        ['cohere2', { use_parallel_block: false }], ['cohere2', { use_gated_activation: false }],
        ['cohere2', { order_of_interleaved_layers: 'global_attn_first' }], ['cohere2', { position_embedding_type: 'alibi' }],
    ])) {
        test(`${name}: ${JSON.stringify(added)} would change something`, () => {
            const [field] = Object.keys(added);
            assert.throws(() => readConfig({ ...configs[name], ...added }), {
                name: 'FormatError', code: 'config-unsupported', message: new RegExp(`config\\.json: ${field} .* is not supported`),
            });
        });
    }
});

describe('a field that is left out means what transformers means by it, or is asked for', () => {
    const newest = VERSIONS[VERSIONS.length - 1].configs;
    const sliding = { use_sliding_window: true, sliding_window: 4096, max_window_layers: 28, layer_types: null };
    /** @type {[string, Record<string, any>][]} */
    const whole = [
        ...Object.entries(newest),
        ['qwen2 with windows', { ...newest.qwen2, ...sliding }],
        ['qwen3 with windows', { ...newest.qwen3, ...sliding, num_hidden_layers: 36 }],
        ['mistral of another size', { ...newest.mistral, sliding_window: 4096, num_attention_heads: 64, hidden_size: 8192 }],
    ];
    for (const [name, config] of whole) {
        test(name, () => {
            const { model } = understand(config);
            for (const field of Object.keys(config)) {
                if (field === 'model_type' || (field === 'use_sliding_window' && config[field])) continue;    // what makes it another model
                const { [field]: _, ...rest } = config;
                try {
                    assert.deepEqual(understand(rest).model, model, field);
                } catch (error) {
                    assert.match(/** @type {Error} */ (error).message, new RegExp(`^config\\.json has no ${field}$`));
                }
            }
        });
    }

    test('smollm3: windows are of the layers without rotation', () => {
        const { layers } = understand({ ...newest.smollm3, use_sliding_window: true, sliding_window: 7, layer_types: null }).model;
        assert.deepEqual(layers.slice(0, 8).map(({ attention }) => attention?.window), [null, null, null, 7, null, null, null, 7]);
        assert.deepEqual(layers.slice(0, 8).map(({ attention }) => attention?.rope === null), [false, false, false, true, false, false, false, true]);
    });

    // Qwen2Config's and Qwen3Config's own rule.
    for (const name of ['qwen2', 'qwen3']) {
        test(`${name}: windows are of the layers from one on, or of those that are named`, () => {
            const windows = (/** @type {Record<string, any>} */ change) =>
                understand({ ...newest[name], ...sliding, num_hidden_layers: 4, sliding_window: 7, ...change })
                    .model.layers.map(({ attention }) => attention?.window);
            assert.deepEqual(windows({ max_window_layers: 2 }), [null, null, 7, 7]);
            assert.deepEqual(windows({ max_window_layers: 0 }), [7, 7, 7, 7]);
            assert.deepEqual(windows({ max_window_layers: 0, use_sliding_window: false }), [null, null, null, null]);
            const [full, near] = ['full_attention', 'sliding_attention'];
            assert.deepEqual(windows({ layer_types: [full, near, near, full] }), [null, 7, 7, null]);
        });
    }

    test('lfm3: how llama.cpp keeps it is not known, so its files are refused', () => {
        const fields = new Fields({ ...newest.lfm3 }, 'metadata');
        assert.throws(() => familyOf('lfm3').describe(fields, { format: 'gguf', has: () => false }), {
            code: 'config-unsupported', message: /^metadata: general\.architecture "lfm3" is not supported/,
        });
    });

    test('null is said, not left out', () => {
        assert.equal(understand({ ...newest.mistral, sliding_window: null }).model.layers[0].attention?.window, null);
        const bare = understand({ ...newest.gemma2, attn_logit_softcapping: null, final_logit_softcapping: null }).model;
        assert.deepEqual([bare.layers[0].attention?.softcap, bare.head.softcap], [null, null]);
        assert.equal(understand({ ...newest.mistral, num_key_value_heads: null }).model.layers[0].attention?.kvHeads, 32);
        for (const name of ['gemma2', 'gemma3_text', 'lfm3']) {
            assert.throws(() => understand({ ...newest[name], sliding_window: null }), {
                code: 'config-invalid', message: /sliding_window must be a width, as layers have a window, got null/,
            });
        }
        for (const value of [-1, '3', 1.5]) {
            assert.throws(() => understand({ ...newest.qwen2, ...sliding, max_window_layers: value }), {
                code: 'config-invalid', message: /max_window_layers must be an integer from 0 on/,
            });
        }
        assert.throws(() => understand({ ...newest.smollm3, no_rope_layers: Array(36).fill('1') }), { message: /no_rope_layers/ });
    });
});

describe('lengths of training and scalings, said twice', () => {
    const { llama, phi3 } = VERSIONS[VERSIONS.length - 1].configs;
    const scalingOf = (/** @type {Record<string, any>} */ config) => there(understand(config).model.layers[0].attention?.rope).scaling;
    const long = { rope_type: 'longrope', short_factor: Array(48).fill(1), long_factor: Array(48).fill(2), rope_theta: 1e4 };

    test('dynamic scaling grows from the context on, whatever the length of training', () => {
        const dynamic = { rope_type: 'dynamic', factor: 2, original_max_position_embeddings: 512 };
        assert.equal(scalingOf({ ...llama, rope_parameters: dynamic }).trained, 2048);
        assert.equal(scalingOf({ ...llama, rope_parameters: null, rope_scaling: dynamic, original_max_position_embeddings: 256 }).trained, 2048);
    });
    test('one beside the scaling has precedence over one within, and Phi-3 has one unasked', () => {
        const within = { ...long, original_max_position_embeddings: 512 };
        assert.equal(scalingOf({ ...phi3, rope_parameters: within, original_max_position_embeddings: 1024 }).trained, 1024);
        const { original_max_position_embeddings: _, ...silent } = phi3;
        assert.equal(scalingOf({ ...silent, rope_parameters: within, max_position_embeddings: 131072 }).trained, 4096);
        const yarn = { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 512 };
        assert.equal(scalingOf({ ...llama, rope_parameters: yarn }).trained, 512);
        assert.equal(scalingOf({ ...llama, rope_parameters: yarn, original_max_position_embeddings: 128 }).trained, 128);
    });
    test('the older spelling has precedence over the newer one, unless it says nothing', () => {
        const [linear, yarn] = [{ type: 'linear', factor: 3 }, { rope_type: 'yarn', factor: 4, rope_theta: 5e5 }];
        const both = scalingOf({ ...llama, rope_scaling: linear, rope_parameters: yarn, rope_theta: 2e4 });
        assert.deepEqual([both.type, both.factor, both.base], ['linear', 3, 2e4]);
        assert.equal(scalingOf({ ...llama, rope_scaling: {}, rope_parameters: yarn }).type, 'yarn');
    });
});

describe('generation_config.json', () => {
    for (const added of [
        { bad_words_ids: [[5]] }, { suppress_tokens: [3] }, { penalty_alpha: 0.6 }, { min_new_tokens: 3 }, { min_length: 2 },
        { typical_p: 0.9 }, { num_beams: 4 }, { exponential_decay_length_penalty: [10, 1.1] }, { guidance_scale: 1.5 },
    ]) {
        test(`${JSON.stringify(added)} would change a text, and is refused`, () => {
            const [field] = Object.keys(added);
            assert.throws(() => readGeneration({ ...generation, ...added }), {
                name: 'FormatError', code: 'config-unsupported', message: new RegExp(`generation_config\\.json: ${field} `),
            });
        });
    }

    for (const added of [{ top_k: '50' }, { top_p: '0.9' }, { min_p: [] }, { no_repeat_ngram_size: '3' }]) {
        test(`${JSON.stringify(added)} is no number, and is refused`, () => {
            const [field] = Object.keys(added);
            assert.throws(() => readGeneration({ ...generation, do_sample: true, ...added }), {
                name: 'FormatError', code: 'config-invalid', message: new RegExp(`generation_config\\.json: ${field} `),
            });
        });
    }

    test('top_p 0 leaves the most probable token alone, as in transformers', () => {
        assert.equal(readGeneration({ ...generation, do_sample: true, top_p: 0 }).sampling?.topP, 0);
    });

    test('its penalties are not for searches that have none, however these were asked for', async () => {
        const runtime = await testRuntime();
        const files = { ...tinyFiles(), generationConfig: json({ repetition_penalty: 1.3, no_repeat_ngram_size: 2 }) };
        const [plain, model] = [await loadModel(runtime, tinyFiles()), await loadModel(runtime, files)];
        for (const options of [{ sampler: 'beam' }, { numBeams: 2 }, { sampler: new BeamSampler() }, { sampler: new ContrastiveSampler() }]) {
            const write = async (/** @type {any} */ one) => {
                const tokens = [];
                for await (const { token } of one.generate('the thing', { maxNewTokens: 6, ...options })) tokens.push(token);
                return tokens;
            };
            assert.deepEqual(await write(model), await write(plain));
        }
        [plain, model].forEach((one) => one.dispose());
    });

    test('stop_strings end a text, unless the caller names others', async () => {
        const runtime = await testRuntime();
        const write = async (/** @type {any} */ files, /** @type {any} */ options) => {
            const model = await loadModel(runtime, files);
            let text = '';
            let finish;
            for await (const item of model.generate('the thing', { maxNewTokens: 60, seed: 4, temperature: 1, ...options })) {
                text += item.text;
                finish = item.finish;
            }
            model.dispose();
            return { text, finish };
        };
        const whole = await write(tinyFiles(), {});
        const stop = whole.text.slice(6, 9);
        const files = { ...tinyFiles(), generationConfig: json({ stop_strings: ['never in it', stop] }) };
        assert.deepEqual(await write(files, {}), { text: whole.text.slice(0, whole.text.indexOf(stop)), finish: 'stop' });
        assert.deepEqual(await write(files, { stop: [] }), whole);
        // What is held to something ends where that ends, unless the caller himself wants it otherwise.
        const held = { ...tinyFiles(), generationConfig: json({ stop_strings: ['h'] }) };
        assert.equal((await write(held, { choices: ['the cat'] })).text, 'the cat');
        assert.equal((await write(held, { choices: ['the cat'], stop: 'h' })).text, 't');
        assert.equal((await write(files, { allowed: () => null })).finish, 'stop');
        await assert.rejects(write({ ...tinyFiles(), generationConfig: json({ stop_strings: [''] }) }, {}), { code: 'config-invalid' });
    });
});
