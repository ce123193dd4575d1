// Presets of Keras Hub. Small ones are made here, so that each weight's place is known by its value; those that Keras
// Hub wrote are compared where ../shared is there. What a preset computes is compared with the models.

import { Costs } from '../fuzz/costs.js';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { readHdf5 } from '../../js/files/hdf5.js';
import { openKerasPreset } from '../../js/files/keras-preset.js';
import { weightOf } from '../../js/files/keras-weights.js';
import { writeKerasWeights } from '../../js/files/keras-writer.js';
import { isKerasConfig } from '../../js/files/texts.js';
import { Tokenizer } from '../../js/text/tokenizer.js';
import { rng } from '../rng.js';
import { gpt2Preset } from './presets.js';
import { KERAS, skip } from './shared.js';

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 100_000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

const encoder = new TextEncoder();
const json = (/** @type {any} */ value) => encoder.encode(JSON.stringify(value));

/** @param {Record<string, Uint8Array | null>} files */
const open = (files, name = 'preset') => openKerasPreset(async (path) => files[path] ?? null, name);

/** @typedef {Record<string, { shape: number[], data: Float32Array }>} Tensors */

/** @param {Awaited<ReturnType<typeof open>>} preset */
async function tensorsOf(preset, wanted = (/** @type {any} */ _) => true) {
    /** @type {Tensors} */
    const tensors = {};
    for await (const { info, firstRow, rows, bytes } of preset.read(wanted)) {
        const tensor = (tensors[info.name] ??= { shape: info.shape, data: new Float32Array(info.bytes / 4) });
        assert.equal(bytes.length, rows * info.rowBytes);
        tensor.data.set(new Float32Array(bytes.slice().buffer), (firstRow * info.rowBytes) / 4);
    }
    return tensors;
}

/**
 * Weights that count on from one to the next, so that no two have a value in common.
 * @param {Record<string, number[]>} shapes
 */
function counted(shapes) {
    let next = 0;
    return Object.entries(shapes).map(([path, shape]) => {
        const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next++);
        return { path: `layers/${path}`, shape, data };
    });
}

const llamaConfig = {
    name: 'x',
    trainable: true,
    dtype: { module: 'keras', class_name: 'DTypePolicy', config: { name: 'float32' }, registered_name: null },
    vocabulary_size: 7,
    num_layers: 2,
    num_query_heads: 4,
    hidden_dim: 8,
    intermediate_dim: 6,
    rope_max_wavelength: 10000,
    rope_position_scaling_factor: 1.0,
    rope_frequency_adjustment_factor: null,
    rope_low_freq_factor: null,
    rope_high_freq_factor: null,
    rope_pretraining_sequence_length: null,
    num_key_value_heads: 2,
    layer_norm_epsilon: 1e-6,
    dropout: 0,
};
const backbone = (/** @type {string} */ name, /** @type {Record<string, any>} */ config) => ({
    module: 'keras_hub',
    class_name: name,
    config,
    registered_name: `keras_hub>${name}`,
});

const block = (/** @type {string} */ prefix) => ({
    [`${prefix}/_feedforward_gate_dense/vars/0`]: [8, 6],
    [`${prefix}/_feedforward_intermediate_dense/vars/0`]: [8, 6],
    [`${prefix}/_feedforward_layernorm/vars/0`]: [8],
    [`${prefix}/_feedforward_output_dense/vars/0`]: [6, 8],
    [`${prefix}/_self_attention_layer/_key_dense/vars/0`]: [8, 2, 2],
    [`${prefix}/_self_attention_layer/_output_dense/vars/0`]: [4, 2, 8],
    [`${prefix}/_self_attention_layer/_query_dense/vars/0`]: [8, 4, 2],
    [`${prefix}/_self_attention_layer/_value_dense/vars/0`]: [8, 2, 2],
    [`${prefix}/_self_attention_layernorm/vars/0`]: [8],
});
const llamaShapes = {
    'reversible_embedding/vars/0': [7, 8],
    'reversible_embedding/vars/1': [8, 7],
    'llama_layer_norm/vars/0': [8],
    ...block('llama_transformer_decoder'),
    ...block('llama_transformer_decoder_1'),
};
/** @param {Record<string, any>} [changes] @param {import('../../js/files/keras-writer.js').KerasEntry[]} [entries] */
const llama = (changes = {}, entries = counted(llamaShapes)) => ({
    'config.json': json(backbone('LlamaBackbone', { ...llamaConfig, ...changes })),
    'model.weights.h5': writeKerasWeights(entries),
});

/** All rounds; outside of test(), whose hooks on every promise take most of the time otherwise. */
async function damageConfigs() {
    const random = rng(SEED);
    const below = (/** @type {number} */ n) => Math.floor(random() * n);
    const files = llama();
    const odd = [null, 0, -1, 1e300, 1.5, '', [], {}, true, 'x', [1], 2 ** 31, Number.MAX_SAFE_INTEGER];
    const costs = new Costs(SEED, { base: 2 ** 17 });
    const seen = new Map();
    for (let round = 0; round < ROUNDS; round++) {
        const config = JSON.parse(new TextDecoder().decode(files['config.json']));
        const keys = Object.keys(config.config);
        config.config[keys[below(keys.length)]] = odd[below(odd.length)];
        if (below(10) === 0) config[Object.keys(config)[below(4)]] = odd[below(odd.length)];
        const damaged = { ...files, 'config.json': json(config) };
        let outcome = 'opens';
        costs.begin();
        try {
            await open(damaged);
        } catch (error) {
            if (!(error instanceof FormatError)) throw new Error(`round ${round}`, { cause: error });
            outcome = error.code;
        }
        costs.end(Object.values(damaged).reduce((sum, { length }) => sum + length, 0), `round ${round}`);
        seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
    costs.tell(ROUNDS, seen);
}

const failure = await damageConfigs().then(() => null, (error) => error);

test(`${ROUNDS} damaged configs, seed ${SEED}: an error of the right kind, or none`, () => {
    if (failure !== null) throw failure;
});

test('a Llama: names, orientation, config', async () => {
    const entries = counted(llamaShapes);
    const preset = await open(llama({}, entries));
    /** @type {(path: string) => Float32Array} */
    const at = (path) => entries.filter((entry) => entry.path === `layers/${path}`)[0].data;
    const tensors = await tensorsOf(preset);
    assert.deepEqual(Object.keys(tensors).slice(0, 4), [
        'model.embed_tokens.weight',
        'lm_head.weight',
        'model.layers.0.input_layernorm.weight',
        'model.layers.0.self_attn.q_proj.weight',
    ]);
    assert.equal(Object.keys(tensors).length, entries.length);
    assert.deepEqual(tensors['model.embed_tokens.weight'].data, at('reversible_embedding/vars/0'));
    const query = tensors['model.layers.1.self_attn.q_proj.weight'];
    const kernel = at('llama_transformer_decoder_1/_self_attention_layer/_query_dense/vars/0');
    assert.deepEqual(query.shape, [8, 8]);
    const output = tensors['model.layers.0.self_attn.o_proj.weight'].data;
    const outputKernel = at('llama_transformer_decoder/_self_attention_layer/_output_dense/vars/0');
    for (let h = 0; h < 4; h++) {
        for (let d = 0; d < 2; d++) {
            for (let m = 0; m < 8; m++) {
                assert.equal(query.data[(h * 2 + d) * 8 + m], kernel[(m * 4 + h) * 2 + d]);
                assert.equal(output[m * 8 + h * 2 + d], outputKernel[(h * 2 + d) * 8 + m]);
            }
        }
    }
    const gate = tensors['model.layers.0.mlp.gate_proj.weight'];
    assert.deepEqual(gate.shape, [6, 8]);
    assert.equal(gate.data[2 * 8 + 5], at('llama_transformer_decoder/_feedforward_gate_dense/vars/0')[5 * 6 + 2]);
    assert.equal(tensors['lm_head.weight'].data[3 * 8 + 1], at('reversible_embedding/vars/1')[1 * 7 + 3]);
    assert.deepEqual(preset.config, {
        model_type: 'llama',
        vocab_size: 7,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        hidden_size: 8,
        intermediate_size: 6,
        max_position_embeddings: 131072,
        head_dim: 2,
        rms_norm_eps: 1e-6,
        rope_theta: 10000,
        tie_word_embeddings: false,
    });
    assert.deepEqual(
        [preset.format, preset.tokenizer, preset.generation, preset.quantized],
        ['keras', null, null, null],
    );
    preset.close();
    await assert.rejects(tensorsOf(preset), /closed/);
});

test('a tied head is told by the weights; scaling as the config has it', async () => {
    const { 'reversible_embedding/vars/1': _, ...tied } = llamaShapes;
    const preset = await open(
        llama(
            {
                rope_frequency_adjustment_factor: 8,
                rope_low_freq_factor: 1,
                rope_high_freq_factor: 4,
                rope_pretraining_sequence_length: 32,
                rope_position_scaling_factor: 2,
            },
            counted(tied),
        ),
    );
    assert.equal(preset.config.tie_word_embeddings, true);
    assert.equal(preset.tensors.has('lm_head.weight'), false);
    assert.deepEqual(preset.config.rope_scaling, {
        rope_type: 'llama3',
        factor: 8,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 32,
    });
    assert.ok(preset.notes.some((note) => note.includes('rope_position_scaling_factor')));
});

test("Gemma's kernels have their heads first", async () => {
    const config = {
        vocabulary_size: 5,
        num_layers: 1,
        num_query_heads: 2,
        num_key_value_heads: 1,
        hidden_dim: 4,
        intermediate_dim: 6,
        head_dim: 3,
        layer_norm_epsilon: 1e-5,
        dropout: 0,
        query_head_dim_normalize: false,
        use_post_ffw_norm: false,
        use_post_attention_norm: false,
        final_logit_soft_cap: null,
        attention_logit_soft_cap: null,
        sliding_window_size: 4096,
        use_sliding_window_attention: false,
    };
    const prefix = 'gemma_decoder_block';
    const entries = counted({
        'reversible_embedding/vars/0': [5, 4],
        'rms_normalization/vars/0': [4],
        [`${prefix}/attention/query_dense/vars/0`]: [2, 4, 3],
        [`${prefix}/attention/key_dense/vars/0`]: [1, 4, 3],
        [`${prefix}/attention/value_dense/vars/0`]: [1, 4, 3],
        [`${prefix}/attention/output_dense/vars/0`]: [2, 3, 4],
        [`${prefix}/pre_attention_norm/vars/0`]: [4],
        [`${prefix}/pre_ffw_norm/vars/0`]: [4],
        [`${prefix}/gating_ffw/vars/0`]: [4, 3],
        [`${prefix}/gating_ffw_2/vars/0`]: [4, 3],
        [`${prefix}/ffw_linear/vars/0`]: [3, 4],
    });
    const preset = await open({
        'config.json': json(backbone('GemmaBackbone', config)),
        'model.weights.h5': writeKerasWeights(entries),
    });
    const { data, shape } = (await tensorsOf(preset))['model.layers.0.self_attn.q_proj.weight'];
    assert.deepEqual(shape, [6, 4]);
    const kernel = entries[2].data;
    for (let i = 0; i < 24; i++) {
        const [h, m, d] = [Math.floor(i / 12), Math.floor(i / 3) % 4, i % 3];
        assert.equal(data[(h * 3 + d) * 4 + m], kernel[i]);
    }
    assert.equal(preset.config.intermediate_size, 3);
    assert.equal(preset.config.rms_norm_eps, 1e-6);
    assert.equal(preset.config.final_norm_eps, 1e-5);
    assert.equal(preset.notes.length, 3);
});

test('GPT-2: queries, keys and values beside each other; a byte-pair vocabulary', async () => {
    const config = {
        vocabulary_size: 5,
        num_layers: 1,
        num_heads: 2,
        hidden_dim: 4,
        intermediate_dim: 3,
        dropout: 0.1,
        max_sequence_length: 6,
    };
    const prefix = 'transformer_decoder';
    const attention = Object.fromEntries(
        ['key', 'query', 'value'].flatMap((part) => [
            [`${prefix}/_self_attention_layer/${part}_dense/vars/0`, [4, 2, 2]],
            [`${prefix}/_self_attention_layer/${part}_dense/vars/1`, [2, 2]],
        ]),
    );
    const entries = counted({
        'reversible_embedding/vars/0': [5, 4],
        'position_embedding/vars/0': [6, 4],
        'layer_normalization/vars/0': [4],
        'layer_normalization/vars/1': [4],
        ...attention,
        [`${prefix}/_self_attention_layer/output_dense/vars/0`]: [2, 2, 4],
        [`${prefix}/_self_attention_layer/output_dense/vars/1`]: [4],
        ...Object.fromEntries(
            ['self_attention', 'feedforward'].flatMap((part) =>
                [0, 1].map((i) => [`${prefix}/_${part}_layer_norm/vars/${i}`, [4]]),
            ),
        ),
        [`${prefix}/_feedforward_intermediate_dense/vars/0`]: [4, 3],
        [`${prefix}/_feedforward_intermediate_dense/vars/1`]: [3],
        [`${prefix}/_feedforward_output_dense/vars/0`]: [3, 4],
        [`${prefix}/_feedforward_output_dense/vars/1`]: [4],
    });
    const files = {
        'config.json': json(backbone('GPT2Backbone', config)),
        'model.weights.h5': writeKerasWeights(entries),
        'tokenizer.json': json({
            class_name: 'GPT2Tokenizer',
            config: { add_prefix_space: false, unsplittable_tokens: ['<|endoftext|>'] },
        }),
        'assets/tokenizer/vocabulary.json': json({ a: 0, b: 1, ab: 2, '<|endoftext|>': 3 }),
        'assets/tokenizer/merges.txt': encoder.encode('#version: 0.2\na b\n'),
    };
    const preset = await open(files);
    const tensors = await tensorsOf(preset);
    const { data, shape } = tensors['transformer.h.0.attn.c_attn.weight'];
    assert.deepEqual(shape, [4, 12]);
    /** @type {(part: string, i: number) => Float32Array} */
    const at = (part, i) => entries.filter(({ path }) => path.endsWith(`${part}_dense/vars/${i}`))[0].data;
    for (let m = 0; m < 4; m++) {
        assert.deepEqual(
            Array.from(data.subarray(m * 12, m * 12 + 12)),
            ['query', 'key', 'value'].flatMap((part) => Array.from(at(part, 0).subarray(m * 4, m * 4 + 4))),
        );
    }
    assert.deepEqual(
        Array.from(tensors['transformer.h.0.attn.c_attn.bias'].data),
        ['query', 'key', 'value'].flatMap((part) => Array.from(at(part, 1))),
    );
    assert.deepEqual(preset.generation, { bos_token_id: 3, eos_token_id: [3], pad_token_id: 0 });
    assert.ok(preset.tokenizer);
    const { model, added_tokens: added, post_processor: post } = preset.tokenizer.json;
    assert.deepEqual(
        [model.vocab.ab, model.merges, added[0].id, post.special_tokens['<|endoftext|>'].ids],
        [2, ['a b'], 3, [3]],
    );
    const quiet = { ...files, 'preprocessor.json': json({ config: { add_start_token: false } }) };
    assert.equal((await open(quiet)).tokenizer?.json.post_processor, null);
    for (const [path, content, code] of /** @type {[string, Uint8Array | null, string][]} */ ([
        ['assets/tokenizer/merges.txt', encoder.encode('a c\n'), 'tokenizer-invalid'],
        ['assets/tokenizer/vocabulary.json', json({ a: 0 }), 'tokenizer-invalid'],
        ['assets/tokenizer/vocabulary.json', json({ a: -1 }), 'tokenizer-invalid'],
        ['assets/tokenizer/vocabulary.json', encoder.encode('{'), 'tokenizer-not-json'],
        ['assets/tokenizer/vocabulary.json', null, 'tokenizer-missing'],
        ['tokenizer.json', json({ class_name: 'BertTokenizer', config: {} }), 'tokenizer-unsupported'],
        ['tokenizer.json', json({ class_name: 'GPT2Tokenizer', config: { lower: true } }), 'config-unknown'],
        ['preprocessor.json', json({ config: { add_start_token: 5 } }), 'tokenizer-invalid'],
    ])) {
        await assert.rejects(
            open({ ...files, [path]: content }),
            (e) => e instanceof FormatError && e.code === code,
            `${path} ${code}`,
        );
    }
});

test('byte pairs are merged across words, as Keras Hub does', async () => {
    const tokens = ['a', 'b', "'", 's', '\u0120', '1', '2', '3', '4', "b'", "b's", '12', '34', '1234', 'b\u0120', 'b\u0120a', '<|endoftext|>'];
    const files = {
        ...gpt2Preset(),
        'assets/tokenizer/vocabulary.json': json(Object.fromEntries(tokens.map((token, id) => [token, id]))),
        'assets/tokenizer/merges.txt': encoder.encode("b '\nb' s\n1 2\n3 4\n12 34\nb \u0120\nb\u0120 a\n"),
    };
    // What GPT2Tokenizer gives.
    for (const [prefix, expected] of /** @type {[boolean, Record<string, number[]>][]} */ ([
        [false, { "ab's": [0, 10], 1234: [13], 'ab ab': [0, 15, 1], 'b<|endoftext|> a': [1, 16, 4, 0] }],
        [true, { "ab's": [4, 0, 10], 1234: [4, 13], 'ab ab': [4, 0, 15, 1], 'b<|endoftext|>a': [4, 1, 16, 4, 0] }],
    ])) {
        const config = { add_prefix_space: prefix, unsplittable_tokens: ['<|endoftext|>'] };
        const preset = await open({ ...files, 'tokenizer.json': json({ class_name: 'GPT2Tokenizer', config }) });
        const tokenizer = new Tokenizer(preset.tokenizer?.json ?? {});
        for (const [text, ids] of Object.entries(expected)) {
            assert.deepEqual([...tokenizer.encode(text, { addSpecialTokens: false })], ids, text);
        }
    }
});

test('shards: each group where the index says', async () => {
    const entries = counted(llamaShapes);
    /** @type {Record<string, Uint8Array | null>} */
    const files = { ...llama(), 'model.weights.h5': null };
    const parts = [entries.slice(0, 7), entries.slice(7)];
    parts.forEach((part, i) => {
        files[`model_0000${i}.weights.h5`] = writeKerasWeights(part);
    });
    const map = (change = (/** @type {string} */ x) => x) =>
        json({
            metadata: {},
            weight_map: Object.fromEntries(
                parts.flatMap((part, i) =>
                    part.map(({ path }) => [`/${path.replace(/\/0$|\/1$/, '')}`, change(`model_0000${i}.weights.h5`)]),
                ),
            ),
        });
    const whole = await tensorsOf(await open(llama()));
    assert.deepEqual(await tensorsOf(await open({ ...files, 'model.weights.json': map() })), whole);
    for (const [index, code] of /** @type {[Uint8Array | null, string][]} */ ([
        [map((name) => `../${name}`), 'index-invalid'],
        [map(() => 'other.h5'), 'shard-missing'],
        [json({}), 'index-invalid'],
        [map(() => 'model_00001.weights.h5'), 'tensor-missing'],
        [map((name) => name.replace('1.w', '0.w')), 'shard-mismatch'],
        [null, 'weights-missing'],
    ])) {
        await assert.rejects(open({ ...files, 'model.weights.json': index }), (/** @type {Error} */ e) => {
            assert.ok(e instanceof FormatError, e.stack);
            // A file read for groups that the index puts elsewhere is found out first.
            const either = ['tensor-missing', 'shard-mismatch'];
            assert.ok(e.code === code || (either.includes(code) && either.includes(e.code)), `${e.code}: ${e.message}`);
            return true;
        });
    }
});

test('configs and weights that are refused', async () => {
    const entries = counted(llamaShapes);
    const more = [...entries, { path: 'layers/else/vars/0', shape: [1], data: Float32Array.of(1) }];
    const half = entries.map((entry, i) => (i === 5 ? { ...entry, data: new Int32Array(entry.data.length) } : entry));
    const thin = entries.map((entry) =>
        entry.path.endsWith('_query_dense/vars/0') ? { ...entry, shape: [64] } : entry,
    );
    for (const [files, code, words] of /** @type {[Record<string, Uint8Array>, string, RegExp][]} */ ([
        [{}, 'config-missing', /config\.json/],
        [{ 'config.json': json({}) }, 'config-invalid', /not that/],
        [{ 'config.json': encoder.encode('{') }, 'config-not-json', /JSON/],
        [{ 'config.json': json(backbone('BertBackbone', {})) }, 'architecture', /BertBackbone/],
        [{ 'config.json': json(backbone('toString', {})) }, 'architecture', /toString/],
        [llama({ hidden_dim: 3 }), 'config-invalid', /hidden_dim/],
        [llama({ num_layers: 0 }), 'config-invalid', /num_layers/],
        [llama({ num_layers: 1e9 }), 'config-invalid', /at most/],
        [llama({ num_layers: null }), 'config-missing-key', /num_layers/],
        [llama({ num_layers: 3 }), 'tensor-missing', /decoder_2/],
        [llama({ num_layers: 1 }), 'tensor-unknown', /decoder_1/],
        [llama({ something: 1 }), 'config-unknown', /something/],
        [llama({ rope_low_freq_factor: 2 }), 'config-invalid', /other three/],
        [llama({}, more), 'tensor-unknown', /else/],
        [llama({}, half), 'tensor-dtype', /I32/],
        [llama({}, thin), 'tensor-shape', /axes/],
        [{ ...llama(), 'model.weights.h5': encoder.encode('nothing of the kind') }, 'hdf5-invalid', /signature/],
    ])) {
        await assert.rejects(open(files), (/** @type {Error} */ e) => {
            assert.ok(e instanceof FormatError, e.stack);
            assert.equal(e.code, code, e.message);
            assert.match(e.message, words);
            return true;
        });
    }
    assert.equal(isKerasConfig({ model_type: 'llama' }), false);
});

/** @param {URL} folder @returns {Promise<Awaited<ReturnType<typeof open>>>} */
function openFolder(folder) {
    return openKerasPreset(
        async (path) =>
            existsSync(new URL(path, folder)) ? new Uint8Array(readFileSync(new URL(path, folder))) : null,
        folder.pathname,
    );
}

test('presets of Keras Hub: every weight once, special tokens, notes', { skip }, async () => {
    const folder = new URL('presets/', KERAS);
    const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
    assert.equal(names.length, 13);
    for (const name of names) {
        const about = JSON.parse(readFileSync(new URL(name, folder), 'utf8'));
        const preset = await openFolder(new URL(about.preset, folder));
        const values = Object.values(await tensorsOf(preset)).map(({ data }) => data.reduce((a, b) => a + b, 0));
        const stored = about.files
            .filter((/** @type {string} */ file) => file.endsWith('.h5'))
            .flatMap((/** @type {string} */ file) =>
                Array.from(
                    readHdf5(new Uint8Array(readFileSync(new URL(about.preset + file, folder)))).datasets.values(),
                    (dataset) => /** @type {Float32Array} */ (weightOf(dataset).data).reduce((a, b) => a + b, 0),
                ),
            );
        const sum = (/** @type {number[]} */ list) => list.reduce((a, b) => a + b, 0);
        assert.ok(Math.abs(sum(values) - sum(stored)) < 1e-2, `${name}: ${sum(values)} and ${sum(stored)}`);
        const { start_token_id: start, end_token_id: end, pad_token_id: pad } = about.special_tokens;
        assert.deepEqual(
            preset.generation,
            { ...(start !== null && { bos_token_id: start }), eos_token_id: [end], pad_token_id: pad },
            name,
        );
        assert.ok(preset.tokenizer);
        const { model, post_processor: post } = preset.tokenizer.json;
        assert.equal(post !== null, start !== null);
        assert.equal(model.type, about.files.some((/** @type {string} */ file) => file.endsWith('.spm')) ? 'SPM' : 'BPE');
    }
});

/** GPT-2's kernels lie [inputs, outputs]. @param {string} name */
const isAcross = (name) => /\.(c_attn|c_proj|c_fc)\.weight$/.test(name);

test('quantized presets: int4 becomes floats, int8 stays integers with their scales', { skip }, async () => {
    const folder = new URL('quantized/', KERAS);
    for (const { preset: path, mode } of JSON.parse(readFileSync(new URL('manifest.json', folder), 'utf8')).models) {
        const preset = await openFolder(new URL(path, folder));
        assert.equal(preset.quantized, mode);
        const integers = Array.from(preset.tensors.values()).filter(({ type }) => type === 'I8');
        assert.equal(integers.length > 0, mode === 'int8');
        for (const { name, shape } of integers) {
            const scale = preset.tensors.get(name.replace(/weight$/, 'scale'));
            assert.deepEqual([scale?.type, scale?.shape], ['F32', [shape[isAcross(name) ? 1 : 0]]], name);
        }
        const floats = await tensorsOf(preset, ({ type, name }) => type !== 'I8' && !name.endsWith('.scale'));
        for (const { data } of Object.values(floats)) {
            assert.ok(data.every((x) => Math.abs(x) < 10));
        }
    }
});
