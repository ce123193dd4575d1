// A GGUF file's metadata in Hugging Face's terms. Expected: the field's names in transformers' configurations, and what
// the text of the format says about the keys.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FormatError } from '../../js/check.js';
import { openModel } from '../../js/files/open.js';
import { familyOf } from '../../js/model/families/index.js';
import { Fields } from '../../js/model/fields.js';
import { llama, llamaTensors } from './gguf-writer.js';

/** @typedef {Record<string, [string, any] | null>} Changes */

/** @param {Parameters<typeof llama>} args */
const open = (...args) => openModel(llama(...args));
/** @param {Parameters<typeof llama>} args */
const config = async (...args) => (await open(...args)).config;

test('a whole one', async () => {
    const { 'rms_norm_eps': epsilon, ...rest } = await config();
    assert.equal(epsilon, Math.fround(1e-5));
    assert.deepEqual(rest, {
        model_type: 'llama', max_position_embeddings: 64, hidden_size: 32, num_hidden_layers: 1, intermediate_size: 64,
        num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rope_theta: 10000, rotary_dims: 8,
        partial_rotary_factor: 1, rope_scaling: null, vocab_size: 6, bos_token_id: 0, eos_token_id: [1],
        pad_token_id: null, tie_word_embeddings: true,
    });
});

test('what follows where a key is not there', async () => {
    const found = await config({ 'llama.attention.head_count_kv': null, 'llama.rope.dimension_count': null });
    assert.equal(found.num_key_value_heads, 4);
    assert.ok(!('partial_rotary_factor' in found));
    const bare = await config({
        'tokenizer.ggml.tokens': null, 'tokenizer.ggml.model': ['string', 'none'], 'tokenizer.ggml.token_type': null,
        'tokenizer.ggml.merges': null,
    });
    assert.equal(bare.vocab_size, 6, 'rows of the embedding');
    assert.equal((await config({ 'llama.vocab_size': ['u32', 5] })).vocab_size, 5);
    const tensors = [...llamaTensors(), { name: 'output.weight', shape: [6, 32] }];
    assert.equal((await config({}, { tensors })).tie_word_embeddings, false);
});

test('rotation', async () => {
    const scaling = async (/** @type {Changes} */ keys) => (await config(Object.fromEntries(Object.entries(keys)
        .map(([key, pair]) => [`llama.rope.scaling.${key}`, pair])))).rope_scaling;
    const linear = { rope_type: 'linear', factor: 4 };
    assert.deepEqual(await scaling({ type: ['string', 'linear'], factor: ['f32', 4] }), linear);
    assert.deepEqual(await scaling({ factor: ['f32', 4] }), linear);
    assert.equal(await scaling({ type: ['string', 'none'], factor: ['f32', 4] }), null);
    assert.equal(await scaling({ type: ['string', 'linear'] }), null);
    assert.equal((await config({ 'llama.rope.scale_linear': ['f32', 0] })).rope_scaling, null);
    assert.deepEqual(await scaling({
        type: ['string', 'yarn'], factor: ['f32', 2], original_context_length: ['u32', 32], attn_factor: ['f32', 1.5],
        yarn_beta_fast: ['f32', 16],
    }), {
        rope_type: 'yarn', factor: 2, original_max_position_embeddings: 32, attention_factor: 1.5 * (1 + Math.log(2) / 10), beta_fast: 16,
    });
    const part = await config({ 'llama.rope.dimension_count': ['u32', 4] });
    assert.equal(part.partial_rotary_factor, 0.5);
    const { layers: [{ attention }] } = familyOf('llama').describe(new Fields(part, 'metadata'), { format: 'gguf', has: () => false });
    assert.equal(attention?.rope?.dims, 4);
    const tensors = [...llamaTensors(), { name: 'rope_factors_long.weight', shape: [4] }];
    const long = await config({ 'llama.rope.scaling.original_context_length': ['u32', 32] }, { tensors });
    assert.deepEqual(long.rope_scaling, { rope_type: 'longrope', factor: 1, original_max_position_embeddings: 32 });
});

test('a factor of the angles, and one of what they turn, are not taken for each other', async () => {
    /** @param {Record<string, [string, any]>} keys @param {import('./gguf-writer.js').Tensor[]} [more] */
    const scaling = async (keys, more = []) => {
        const source = await open(Object.fromEntries(Object.entries(keys).map(([key, pair]) => [`llama.rope.scaling.${key}`, pair])),
            { tensors: [...llamaTensors(), ...more] });
        const fields = new Fields(source.config, 'metadata');
        const { layers: [{ attention }] } = familyOf('llama').describe(fields, { format: 'gguf', has: () => false });
        fields.ignore('bos_token_id', 'eos_token_id');
        fields.finish();
        return attention?.rope?.scaling;
    };
    const usual = 1 + Math.log(4) / 10;
    /** @type {Record<string, [string, any]>} */
    const yarn = { type: ['string', 'yarn'], factor: ['f32', 4], original_context_length: ['u32', 16] };
    assert.equal((await scaling(yarn))?.attention, usual);
    assert.equal((await scaling({ ...yarn, yarn_attn_factor: ['f32', 1.25] }))?.attention, 1.25, "a config's own, instead of the usual one");
    assert.equal((await scaling({ ...yarn, attn_factor: ['f32', 1.25] }))?.attention, 1.25 * usual, 'beside it');
    assert.equal((await scaling({ ...yarn, attn_factor: ['f32', 1] }))?.attention, usual);
    const none = await scaling({ type: ['string', 'yarn'], original_context_length: ['u32', 16] });
    assert.deepEqual([none?.factor, none?.attention], [1, 1], 'none where none is said, not what the lengths would give');
    const long = [{ name: 'rope_factors_long.weight', shape: [4] }];
    assert.equal((await scaling({ original_context_length: ['u32', 16] }, long))?.attention, 1);
    assert.equal((await scaling({ original_context_length: ['u32', 16], attn_factor: ['f32', 1.25] }, long))?.attention, 1.25);
    await assert.rejects(scaling({ original_context_length: ['u32', 16], factor: ['f32', 4] }, long), { code: 'config-unsupported' });
    for (const type of ['none', 'linear']) {
        const keys = /** @type {Record<string, [string, any]>} */ ({ type: ['string', type], factor: ['f32', 4] });
        assert.equal((await scaling({ ...keys, attn_factor: ['f32', 1] }))?.attention, 1);
        await assert.rejects(scaling({ ...keys, attn_factor: ['f32', 1.25] }), { code: 'config-unsupported', message: /attention_factor/ });
    }
    await assert.rejects(scaling({ attn_factor: ['f32', 1.25] }), { code: 'config-unsupported', message: /attention_factor/ });
});

/** A whole file's keys of another architecture. @type {(architecture: string, more: Changes, norm?: string) => Changes} */
const changes = (architecture, more, norm = 'layer_norm_epsilon') => ({
    'general.architecture': ['string', architecture],
    ...Object.fromEntries(['context_length', 'embedding_length', 'block_count', 'feed_forward_length',
        'attention.head_count'].map((key) => [`${architecture}.${key}`,
            /** @type {[string, number]} */ (['u32', key === 'block_count' ? 1 : 32])])),
    [`${architecture}.attention.key_length`]: ['u32', 4], [`${architecture}.attention.value_length`]: ['u32', 4],
    [`${architecture}.attention.${norm}`]: ['f32', 0.5], 'granite.logit_scale': ['f32', 3], 'gptneox.use_parallel_residual': ['bool', true], ...more,
});

test('fields that differ between architectures', async () => {
    const gpt2 = await config(changes('gpt2', {}));
    assert.deepEqual([gpt2.n_embd, gpt2.n_layer, gpt2.n_head, gpt2.n_inner, gpt2.n_positions, gpt2.layer_norm_epsilon],
        [32, 1, 32, 32, 32, 0.5]);
    assert.equal((await config(changes('granite', {}))).logits_scaling, 3);
    assert.equal((await config(changes('starcoder2', {}))).norm_epsilon, 0.5);
    const finetuned = (/** @type {boolean} */ value) => config(changes('granite', { 'granite.rope.scaling.finetuned': ['bool', value] }));
    assert.equal((await finetuned(true)).model_type, 'granite');
    await assert.rejects(finetuned(false), { code: 'config-unsupported', message: /rope\.scaling\.finetuned.*without rotary positions/ });
});

test('a key that is left out means what llama.cpp means by it', async () => {
    /** @param {string} architecture @param {Changes} more */
    const describe_ = async (architecture, more = {}) => {
        const fields = new Fields(await config(changes(architecture, more, 'layer_norm_rms_epsilon')), 'metadata');
        const { layers: [{ attention }], head } = familyOf(architecture).describe(fields, { format: 'gguf', has: () => false });
        return { window: attention?.window, cap: attention?.softcap, last: head.softcap, base: attention?.rope?.scaling.base };
    };
    assert.deepEqual(await describe_('gemma2'), { window: 4096, cap: 50, last: 30, base: 10000 });
    assert.deepEqual(await describe_('gemma2', {
        'gemma2.attn_logit_softcapping': ['f32', 5], 'gemma2.final_logit_softcapping': ['f32', 3], 'gemma2.attention.sliding_window': ['u32', 7],
    }), { window: 7, cap: 5, last: 3, base: 10000 });
    assert.deepEqual(await describe_('gemma3'), { window: null, cap: null, last: null, base: 10000 });
    assert.deepEqual(await describe_('gemma3', { 'gemma3.attention.sliding_window': ['u32', 0], 'gemma3.rope.freq_base': ['f32', 1e6] }),
        { window: null, cap: null, last: null, base: 1e6 });
    assert.equal((await describe_('gemma3', { 'gemma3.attention.sliding_window': ['u32', 9] })).window, 9);
    assert.equal((await describe_('smollm3')).base, 10000);
    const without = { 'gemma3.attention.sliding_window_pattern': /** @type {[string, any]} */ (['array of bool', [true]]) };
    assert.equal((await describe_('gemma3', without)).window, null, 'a pattern of no window');
    assert.equal((await config({ 'llama.attention.key_length': ['u32', 16] })).v_head_dim, 8, 'a share of the width');
    assert.equal((await config({ 'llama.attention.key_length': ['u32', 16], 'llama.attention.value_length': ['u32', 16] })).v_head_dim, undefined);
    for (const [architecture, key] of [['granite', 'logit_scale'], ['gptneox', 'use_parallel_residual']]) {
        await assert.rejects(config(changes(architecture, { [`${architecture}.${key}`]: null })), { code: 'missing-key', message: new RegExp(key) });
    }
});

test('by what scores are divided where the file does not say it', async () => {
    const scale = async (/** @type {string} */ architecture, /** @type {Changes} */ more) => {
        const fields = new Fields(await config(changes(architecture, more, 'layer_norm_rms_epsilon')), 'metadata');
        const { layers: [{ attention }] } = familyOf(architecture).describe(fields, { format: 'gguf', has: () => false });
        return attention?.scale;
    };
    assert.equal(await scale('granite', {}), 1 / 2);
    assert.equal(await scale('granite', { 'granite.attention.scale': ['f32', 0.25] }), 0.25);
    for (const [architecture, width] of /** @type {[string, number][]} */ ([['gemma2', 4608], ['gemma3', 5376]])) {
        const large = /** @type {Changes} */ ({ [`${architecture}.embedding_length`]: ['u32', width] });
        assert.equal(await scale(architecture, {}), 1 / 2);
        assert.equal(await scale(architecture, large), Math.sqrt(32 / width), 'the models of 27B');
    }
});

test('a key that changes nothing where it says so is set aside', async () => {
    const described = async (/** @type {Changes} */ more) => {
        const source = await open(more);
        const fields = new Fields(source.config, 'metadata');
        familyOf('llama').describe(fields, { format: 'gguf', has: () => false });
        fields.ignore('bos_token_id', 'eos_token_id');
        fields.finish();
        return source.fields?.unknown;
    };
    /** @type {(causal: boolean, other: number) => Changes} */
    const keys = (causal, other) => ({
        'llama.attention.causal': ['bool', causal], 'llama.attention.clamp_kqv': ['f32', other], 'llama.attention.max_alibi_bias': ['f32', other],
    });
    /** @type {Changes} */
    const neutral = {
        'llama.rope.scaling.type': ['string', 'yarn'], 'llama.rope.scaling.factor': ['f32', 2], 'llama.rope.scaling.yarn_ext_factor': ['f32', 1],
        'llama.pooling_type': ['u32', 0],
    };
    assert.deepEqual(await described({ ...neutral, ...keys(true, 0) }), []);
    for (const [key, pair] of Object.entries(keys(false, 8))) {
        await assert.rejects(described({ [key]: pair }), { code: 'config-unsupported' }, key);
    }
});

test('a file that does not say how much of a head is rotated rotates all of it', async () => {
    for (const architecture of ['gptneox', 'phi2', 'stablelm']) {
        const fields = new Fields(await config(changes(architecture, {})), 'metadata');
        const { layers: [{ attention }] } = familyOf(architecture).describe(fields, { format: 'gguf', has: () => false });
        assert.equal(attention?.rope?.dims, 4, architecture);
    }
});

test("Granite's biases are those that the file has", async () => {
    for (const has of [true, false]) {
        const fields = new Fields(await config(changes('granite', {}, 'layer_norm_rms_epsilon')), 'metadata');
        const { layers: [{ attention, feedForward }] } = familyOf('granite').describe(fields, { format: 'gguf', has: () => has });
        assert.deepEqual([attention?.bias, feedForward.bias], [{ q: has, k: has, v: has, o: has }, has]);
    }
});

test('Gemma says which layers slide', async () => {
    for (const architecture of ['gemma2', 'gemma3']) {
        for (const [pair, wanted] of /** @type {[[string, any], (number | null)[]][]} */ ([
            [['array of bool', [false, true, true]], [null, 7, 7]], [['u32', 3], [7, 7, null]],
        ])) {
            const more = /** @type {Changes} */ ({
                [`${architecture}.block_count`]: ['u32', 3], [`${architecture}.attention.sliding_window`]: ['u32', 7],
                [`${architecture}.attention.sliding_window_pattern`]: pair,
            });
            const fields = new Fields(await config(changes(architecture, more, 'layer_norm_rms_epsilon')), 'metadata');
            const { layers } = familyOf(architecture).describe(fields, { format: 'gguf', has: () => false });
            assert.deepEqual(layers.map(({ attention }) => attention?.window), wanted);
        }
    }
});

test('lists by layer', async () => {
    const tensors = [...llamaTensors(), { name: 'blk.1.attn_norm.weight', shape: [32] }];
    const two = (/** @type {Changes} */ changes) =>
        config({ 'llama.block_count': ['u32', 2], ...changes }, { tensors });
    const heads = async (/** @type {[string, any]} */ ...pair) =>
        (await two({ 'llama.attention.head_count_kv': pair })).num_key_value_heads;
    assert.deepEqual(await heads('array of u32', [2, 4]), [2, 4]);
    assert.equal(await heads('array of i32', [2, 2]), 2);
    for (const pair of [['array of bool', [true, false]], ['array of i32', [1, 0]], ['u32', 2]]) {
        const { layer_types, sliding_window_pattern } = await two({
            'llama.attention.sliding_window': ['u32', 8], 'llama.attention.sliding_window_pattern': /** @type {[string, any]} */ (pair),
        });
        assert.deepEqual([layer_types, sliding_window_pattern], [['sliding_attention', 'full_attention'], undefined]);
    }
    assert.equal((await two({ 'llama.attention.sliding_window': ['u32', 0] })).sliding_window, null);
    assert.equal((await two({ 'llama.attention.sliding_window': ['u32', 16] })).sliding_window, 16);
});

test('ends of a text', async () => {
    const found = await config({
        'tokenizer.ggml.eot_token_id': ['u32', 4], 'tokenizer.ggml.eom_token_id': ['u32', 1],
        'tokenizer.ggml.padding_token_id': ['u32', 2],
    });
    assert.deepEqual([found.eos_token_id, found.pad_token_id], [[1, 4], 2]);
    const list = await config({ 'tokenizer.ggml.eos_token_ids': ['array of i32', [5, 1, 3]], 'tokenizer.ggml.eot_token_id': ['u32', 4] });
    assert.deepEqual(list.eos_token_id, [1, 5, 3, 4]);
    await assert.rejects(config({ 'tokenizer.ggml.eos_token_ids': ['u32', 5] }), { code: 'bad-type', message: /eos_token_ids/ });
});

test('how texts are drawn', async () => {
    const generation = async (/** @type {Changes} */ more) => (await open(more)).generation;
    assert.equal(await generation({ 'general.sampling.mirostat': ['i32', 2] }), null);
    assert.deepEqual(await generation({ 'general.sampling.temp': ['f32', 0.5], 'general.sampling.top_k': ['i32', 20] }),
        { do_sample: true, temperature: 0.5, top_k: 20 });
    assert.deepEqual(await generation({ 'general.sampling.top_p': ['f32', 0.75], 'general.sampling.min_p': ['f32', 0.125] }),
        { do_sample: true, top_p: 0.75, min_p: 0.125 });
    await assert.rejects(generation({ 'general.sampling.temp': ['string', 'hot'] }), { code: 'bad-type', message: /general\.sampling\.temp/ });
    await assert.rejects(generation({ 'general.sampling.temp': ['f32', NaN] }), { code: 'bad-value' });
});

test('every key is used, harmless or unknown', async () => {
    const { fields } = await open({
        'general.quantization_version': ['u32', 2], 'quantize.imatrix.file': ['string', 'x'],
        'llama.nosuch': ['u32', 1], 'other.block_count': ['u32', 1], ['__proto__']: ['u32', 1],
        'tokenizer.ggml.toString': ['u32', 1], 'general.sampling.top_k': ['i32', 20], 'general.sampling.xtc_threshold': ['f32', 1],
        'tokenizer.chat_template': ['string', 'x'], 'tokenizer.chat_template.rag': ['string', 'y'],
    });
    assert.ok(fields);
    assert.deepEqual(fields.unknown, ['llama.nosuch', 'other.block_count', '__proto__', 'tokenizer.ggml.toString']);
    assert.deepEqual(fields.harmless, ['general.name', 'general.quantization_version', 'quantize.imatrix.file',
        'general.sampling.xtc_threshold']);
    assert.ok(['llama.attention.head_count', 'general.sampling.top_k', 'tokenizer.chat_template.rag'].every((key) => fields.used.includes(key)));
});

test('templates', async () => {
    const template = async (/** @type {Changes} */ changes) => (await open(changes)).chatTemplate;
    assert.equal(await template({}), null);
    assert.equal(await template({ 'tokenizer.chat_template': ['string', 'x'] }), 'x');
    assert.deepEqual(await template({
        'tokenizer.chat_template': ['string', 'x'], 'tokenizer.chat_template.rag': ['string', 'y'],
    }), new Map([['default', 'x'], ['rag', 'y']]));
    await assert.rejects(template({ 'tokenizer.chat_template': ['u32', 1] }), { code: 'bad-type' });
});

describe('refused', () => {
    /** @type {[string, Changes][]} */
    const REFUSED = [
        ['missing-key', { 'general.architecture': null }], ['missing-key', { 'llama.block_count': null }],
        ['missing-key', { 'llama.attention.layer_norm_rms_epsilon': null }],
        ['missing-key', { 'tokenizer.ggml.tokens': null }], ['missing-key', { 'tokenizer.ggml.model': null }],
        ['bad-type', { 'general.architecture': ['u32', 1] }],
        ['bad-type', { 'llama.attention.head_count': ['f32', 4] }],
        ['bad-type', { 'llama.block_count': ['array of u32', [1]] }],
        ['bad-type', { 'llama.rope.scaling.type': ['u32', 1] }],
        ['bad-type', { 'tokenizer.ggml.tokens': ['array of u32', [1]] }],
        ['bad-type', { 'tokenizer.ggml.merges': ['string', 'a b'] }],
        ['bad-type', { 'tokenizer.ggml.bos_token_id': ['f32', 1] }],
        ['bad-value', { 'llama.block_count': ['u32', 0] }],
        ['bad-value', { 'llama.block_count': ['u32', 2 ** 31 - 1] }],
        ['bad-value', { 'llama.block_count': ['u64', 2n ** 63n] }],
        ['bad-value', { 'llama.context_length': ['u32', 0] }], ['bad-value', { 'llama.context_length': ['i32', -1] }],
        ['bad-value', { 'llama.attention.head_count': ['u32', 0] }],
        ['bad-value', { 'llama.attention.head_count': ['u32', 5] }],
        ['bad-value', { 'llama.attention.head_count_kv': ['u32', 3] }],
        ['bad-value', { 'llama.attention.head_count': ['array of u32', [4, 4]] }],
        ['bad-value', { 'llama.attention.layer_norm_rms_epsilon': ['f32', NaN] }],
        ['bad-value', { 'llama.rope.freq_base': ['f32', 0] }],
        ['bad-value', { 'llama.rope.freq_base': ['f32', Infinity] }],
        ['bad-value', { 'llama.rope.dimension_count': ['u32', 7] }],
        ['bad-value', { 'llama.rope.dimension_count': ['u32', 64] }],
        ['tokenizer-invalid', { 'tokenizer.ggml.token_type': ['array of i32', [1]] }],
        ['tokenizer-invalid', { 'tokenizer.ggml.scores': ['array of f32', [1]] }],
    ];
    for (const [code, changes] of REFUSED) {
        test(`${code} ${Object.entries(changes).flat().flat().map(String).join(' ')}`, async () => {
            await assert.rejects(config(changes), (/** @type {Error} */ error) => {
                assert.ok(error instanceof FormatError, error.stack);
                assert.equal(error.code, code, error.message);
                return true;
            });
        });
    }

    test('an architecture that is not known is still named', async () => {
        assert.equal((await open({ 'general.architecture': ['string', 'nosuch'] })).architecture, 'nosuch');
    });
});
