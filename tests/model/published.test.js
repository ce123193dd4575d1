// What published folders say beside what a family needs: fields that transformers writes unasked, and those that makers of models add.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { readDefaults } from '../../js/generation/defaults.js';
import { familyOf } from '../../js/model/families/index.js';
import { Fields } from '../../js/model/fields.js';
import { json, tinyFiles } from '../generation/checkpoint.js';
import { testRuntime } from '../runtime.js';

/** By version of transformers, made by defaults.py. @type {{ version: string, configs: Record<string, any>, generation: any }[]} */
const VERSIONS = readFileSync(new URL('fixtures/transformers-defaults.jsonl', import.meta.url), 'utf8')
    .trim().split('\n').map((line) => JSON.parse(line));

/** @param {Record<string, any>} config @returns {string[]} what is set aside */
function readConfig(config) {
    const fields = new Fields(config, 'config.json');
    fields.ignore('bos_token_id', 'eos_token_id', 'model_type');
    familyOf(config.model_type).describe(fields, { format: 'safetensors', has: (role) => role.endsWith('.weight') });
    return fields.finish();
}

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
    ['gemma3_text', { cache_implementation: 'hybrid', rope_local_base_freq: 10000, _sliding_window_pattern: 6 }],
];
const { configs, generation } = VERSIONS.find(({ version }) => version === '4.57.1') ?? VERSIONS[0];

describe('fields that makers of models add', () => {
    for (const [name, added] of ADDED) {
        test(`${name}: ${Object.keys(added).join(', ')}`, () => void readConfig({ ...configs[name], ...added }));
    }
    for (const [name, added] of /** @type {[string, Record<string, unknown>][]} */ ([
        ['starcoder2', { norm_type: 'rms_norm' }], ['phi3', { lm_head_bias: true }], ['phi3', { full_attn_mod: 2 }],
        ['llama', { quantization_config: { bits: 4 } }], ['qwen2', { use_mrope: true }],
    ])) {
        test(`${name}: ${JSON.stringify(added)} would change something`, () => {
            const [field] = Object.keys(added);
            assert.throws(() => readConfig({ ...configs[name], ...added }), {
                name: 'FormatError', code: 'config-unsupported', message: new RegExp(`config\\.json: ${field} .* is not supported`),
            });
        });
    }
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
        await assert.rejects(write({ ...tinyFiles(), generationConfig: json({ stop_strings: [''] }) }, {}), { code: 'config-invalid' });
    });
});
