// TransformerDecoder and GPT-2 against Keras Hub (suites transformer_decoder and gpt2_tiny).

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { KVCache } from '../../js/index.js';
import {
    BeamSampler, ContrastiveSampler, GPT2CausalLM, GreedySampler, TransformerDecoder,
} from '../../js/generation/index.js';
import { assertTensor, COMMITTED, readManifest, readTensors } from '../golden/golden.js';
import { assertClose } from '../close.js';
import { testRuntime } from '../runtime.js';
import { sizeOf } from '../../js/engine/size.js';
import { functional, inPlace, there } from '../there.js';

/** @typedef {import('../there.js').Floats} Floats */
/** @typedef {import('../../js/engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../js/layers/decoder-options.js').DecoderConfig} DecoderConfig */

const runtime = await testRuntime();
const { suites } = readManifest(COMMITTED);

/** Row t of [B, T, F] as [B, 1, F]. @param {{ shape: number[], data: any }} x @param {number} t */
function column({ shape: [batch, length, width], data }, t) {
    const part = new Float32Array(batch * width);
    for (let b = 0; b < batch; b++) {
        part.set(data.subarray((b * length + t) * width, (b * length + t + 1) * width), b * width);
    }
    return { shape: [batch, 1, width], data: part };
}

/** @param {number[]} shape @returns {Floats} */
const zeros = (shape) => ({ shape, data: new Float32Array(sizeOf(shape)) });

describe('a TransformerDecoder', () => {
    const x = { shape: [1, 2, 8], data: Float32Array.from({ length: 16 }, (_, i) => Math.sin(i)) };
    const make = (more = {}) => new TransformerDecoder(runtime, { intermediateDim: 16, numHeads: 2, ...more });

    test('whose first call is refused is not built by it', async () => {
        const decoder = make({ dropout: 0.5 });
        assert.equal(decoder.hasCrossAttention, false);
        const cache = { shape: [1], data: new Float32Array(1) };
        await assert.rejects(decoder.call(x, null, { selfAttentionCache: cache }), { name: 'RangeError', message: /^selfAttentionCache must/ });
        await assert.rejects(decoder.call(x, null, { training: true, signal: new AbortController().signal }), /^TypeError: signal must be absent/);
        assert.equal(decoder.built, false);
        assert.deepEqual((await decoder.call(x, x)).output.shape, [1, 2, 8]);
        assert.equal(decoder.hasCrossAttention, true);
        decoder.dispose();
    });

    test('takes integers and booleans for the numbers that they are', async () => {
        const plain = make({ normalizeFirst: true });
        const cross = make();
        plain.build([1, 2, 8]);
        cross.build([1, 2, 8], [1, 3, 6]);
        const of = (/** @type {number[]} */ shape, /** @type {any} */ Kind) => ({
            shape, data: Kind.from({ length: sizeOf(shape) }, (/** @type {unknown} */ _, /** @type {number} */ i) => i % 3),
        });
        for (const Kind of [Int32Array, Uint8Array]) {
            const options = (/** @type {any} */ K) => ({ selfAttentionCache: of([1, 2, 4, 2, 4], K), selfAttentionCacheUpdateIndex: 1 });
            const got = await plain.call(of([1, 2, 8], Kind), null, options(Kind));
            const expected = await plain.call(of([1, 2, 8], Float32Array), null, options(Float32Array));
            assert.deepEqual(got.output.data, expected.output.data);
            assert.deepEqual(functional(got.selfAttentionCache).data, functional(expected.selfAttentionCache).data);
            const { output } = await cross.call(of([1, 2, 8], Kind), of([1, 3, 6], Kind));
            assert.deepEqual(output.data, (await cross.call(of([1, 2, 8], Float32Array), of([1, 3, 6], Float32Array))).output.data);
        }
    });

    test('refuses a KVCache of another runtime, and to attend to nothing', async () => {
        const decoder = make();
        decoder.build([1, 2, 8], [1, 2, 8]);
        const sizes = { batch: 1, length: 4, numHeads: 2, keyDim: 4 };
        const other = await testRuntime({ workers: 0 });
        const [own, foreign] = [new KVCache(runtime, sizes), new KVCache(other, sizes)];
        const index = { selfAttentionCacheUpdateIndex: 0, crossAttentionCacheUpdateIndex: 0 };
        for (const [name, caches] of /** @type {[string, any][]} */ ([
            ['selfAttentionCache', { selfAttentionCache: foreign, crossAttentionCache: own }],
            ['crossAttentionCache', { selfAttentionCache: own, crossAttentionCache: foreign }],
        ])) {
            const message = new RegExp(`^${name} must be of the layer's own runtime, got one of another$`);
            await assert.rejects(decoder.call(x, x, { ...caches, ...index }), { name: 'TypeError', message });
        }
        assert.ok(own.toTensor().data.every((value) => value === 0));
        await assert.rejects(decoder.call(x, zeros([1, 0, 8])), { name: 'RangeError', message: /^crossAttention must have at least one position/ });
        const alone = make();
        alone.build([1, 2, 8]);
        await assert.rejects(alone.call(zeros([1, 0, 8])), { name: 'RangeError', message: /^selfAttention must have at least one position/ });
        const { output } = await alone.call(zeros([1, 0, 8]), null, { selfAttentionCache: own, selfAttentionCacheUpdateIndex: 4 });
        assert.deepEqual(output.shape, [1, 0, 8]);
        assert.deepEqual((await alone.call(zeros([0, 2, 8]))).output.shape, [0, 2, 8]);
    });

    test('names the shape of an encoder sequence that it cannot be built for', async () => {
        for (const shape of [[1, 2], [1, 2, 0], [1, 2, null], 8]) {
            assert.throws(() => make().build([1, 2, 8], /** @type {any} */ (shape)), { name: 'RangeError', message: /^encoderShape must be \[B, S, F\] .*, got/ });
        }
        await assert.rejects(make().call(x, zeros([2, 6])), { name: 'RangeError', message: /^encoderShape must be .*, got \[2, 6\]$/ });
    });

    test('refuses one KVCache for both attentions', async () => {
        const decoder = make();
        const cache = new KVCache(runtime, { batch: 1, length: 4, numHeads: 2, keyDim: 4 });
        const ones = { shape: [1, 2, 4, 2, 4], data: new Float32Array(64).fill(1) };
        cache.set(ones);
        const caches = { selfAttentionCache: cache, crossAttentionCache: cache };
        const refusal = { name: 'TypeError', message: /^crossAttentionCache must be another KVCache than selfAttentionCache/ };
        for (const more of [{}, { selfAttentionCacheUpdateIndex: 0, crossAttentionCacheUpdateIndex: 0 }, { selfAttentionCacheUpdateIndex: 2 }]) {
            await assert.rejects(decoder.call(x, x, { ...caches, ...more }), refusal);
        }
        assert.equal(decoder.built, false);
        assert.deepEqual(cache.toTensor().data, ones.data);
        // A fork is another one, and so is what a tensor-like becomes.
        const index = { selfAttentionCacheUpdateIndex: 2, crossAttentionCacheUpdateIndex: 0 };
        const forked = await decoder.call(x, x, { selfAttentionCache: cache, crossAttentionCache: cache.fork(), ...index });
        const plain = await decoder.call(x, x, { selfAttentionCache: ones, crossAttentionCache: ones, ...index });
        assert.deepEqual(forked.output.data, plain.output.data);
        decoder.dispose();
    });

    test('refuses what only an encoder sequence gives a meaning, where there is none', async () => {
        const decoder = make();
        for (const [name, value] of Object.entries({
            encoderPaddingMask: zeros([1, 3]), encoderAttentionMask: zeros([2, 3]), crossAttentionCache: zeros([1, 2, 3, 2, 4]),
            crossAttentionCacheUpdateIndex: 0,
        })) {
            const message = new RegExp(`^${name} must be absent without encoderSequence, got`);
            await assert.rejects(decoder.call(x, null, { [name]: value }), { name: 'TypeError', message });
        }
        assert.equal(decoder.built, false);
    });

    test('refuses masks that are to be added to scores, as the attention layers do', async () => {
        const decoder = make();
        const encoder = zeros([1, 3, 6]);
        for (const name of ['decoderAttentionMask', 'encoderPaddingMask']) {
            const s = name.startsWith('encoder') ? 3 : x.shape[1];
            const data = Float32Array.from({ length: s }, (_, j) => (j === 0 ? 0 : -Infinity));
            const message = new RegExp(`^${name} must be 1 .* got -Infinity`);
            await assert.rejects(decoder.call(x, encoder, { [name]: { shape: [1, s], data } }), { name: 'RangeError', message });
        }
        assert.equal(decoder.built, false);
    });

    test('takes null for what is not given, as the attention layers do', async () => {
        const decoder = make({ dropout: 0.5 });
        const nothing = {
            decoderPaddingMask: null, decoderAttentionMask: null, encoderPaddingMask: null, encoderAttentionMask: null, selfAttentionCache: null,
            selfAttentionCacheUpdateIndex: null, crossAttentionCache: null, crossAttentionCacheUpdateIndex: null, useCausalMask: null,
            training: null, signal: null,
        };
        for (const encoder of [null, zeros([1, 3, 6])]) {
            const layer = make();
            const { output, ...others } = await layer.call(x, encoder, nothing);
            assert.deepEqual(output.data, (await layer.call(x, encoder)).output.data);
            assert.deepEqual(others, {});
            const cache = zeros([1, 2, 3, 2, 4]);
            const mixed = { ...nothing, selfAttentionCache: cache, crossAttentionCache: encoder && cache };
            const given = encoder ? { selfAttentionCache: cache, crossAttentionCache: cache } : { selfAttentionCache: cache };
            assert.deepEqual((await layer.call(x, encoder, mixed)).output.data, (await layer.call(x, encoder, given)).output.data);
            layer.dispose();
        }
        assert.ok(await decoder.call(x, null, { training: true, signal: null }));
        decoder.dispose();
    });

    test('that has been disposed of is not made again by a call', async () => {
        const decoder = make();
        await decoder.call(x);
        decoder.dispose();
        await assert.rejects(decoder.call(x), /TransformerDecoder has been disposed/);
        assert.throws(() => decoder.build([1, 2, 8]), /TransformerDecoder has been disposed/);
        assert.throws(() => decoder.getWeights(), /TransformerDecoder has been disposed/);
        assert.throws(() => make().getWeights(), /TransformerDecoder is not built/);
    });

    test('takes all its weights or none', () => {
        const decoder = make();
        decoder.build([1, 2, 8], [1, 2, 8]);
        const before = decoder.getWeights();
        // The ninth is of the self-attention's norm, after which comes the cross-attention.
        for (const wrong of [8, 12, before.length - 1]) {
            const list = before.map(({ shape, data }, i) => ({ shape, data: i === wrong ? new Uint8Array(data.length) : data.map(() => 5) }));
            assert.throws(() => decoder.setWeights(list), { name: 'TypeError', message: new RegExp(`^weights\\[${wrong}\\] must be numbers`) });
        }
        assert.deepEqual(decoder.getWeights(), before);
        decoder.dispose();
    });

    test('is not made of what is no boolean and no epsilon', () => {
        assert.throws(() => make({ normalizeFirst: 'no' }), { name: 'TypeError', message: /^normalizeFirst must be a boolean/ });
        assert.throws(() => make({ layerNormEpsilon: -1 }), { name: 'RangeError', message: /^layerNormEpsilon must be a number from 0 on/ });
    });
});

test('a GPT2CausalLM rounds what it stores as the cache does, and needs a token', async () => {
    const sizes = { vocabularySize: 10, numLayers: 1, numHeads: 2, hiddenDim: 8, intermediateDim: 16, maxSequenceLength: 8 };
    const model = new GPT2CausalLM(runtime, sizes);
    model.setWeights(model._places().map(({ shape }) =>
        ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i + shape.length)) })));
    const cache = new KVCache(runtime, { batch: 1, length: 8, numHeads: 2, keyDim: 4, dtype: 'bfloat16' });
    await model.callWithCache({ shape: [1, 3], data: Int32Array.of(1, 2, 3) }, [cache], 0);
    const { data } = cache.toTensor();
    assert.ok(data.some((value) => value !== 0));
    assert.ok(new Uint32Array(data.slice().buffer).every((word) => (word & 0xffff) === 0), 'numbers that bfloat16 has');
    const none = { shape: [1, 0], data: new Int32Array(0) };
    await assert.rejects(model.call(none), { name: 'RangeError', message: /^tokenIds must be \[B, T\] in an Int32Array, T of 1 at least/ });
    await assert.rejects(model.callWithCache(none, [cache], 0), { name: 'RangeError', message: /^tokenIds must be/ });
    for (const made of [cache, model]) made.dispose();
});

for (const suite of suites.transformer_decoder) {
    describe(suite.name, () => {
        const tensors = readTensors(COMMITTED, suite.file);
        const x = tensors['in/x'];
        const encoder = tensors['in/encoder'] ?? null;
        const encoderPaddingMask = tensors['in/encoder_padding_mask'];
        const [batch, length, width] = x.shape;
        const { intermediate_dim: intermediateDim, num_heads: numHeads, normalize_first: normalizeFirst, activation } =
            suite.kwargs;
        const decoder = new TransformerDecoder(runtime, {
            intermediateDim, numHeads, normalizeFirst, layerNormEpsilon: suite.layer_norm_epsilon,
            activation: activation ? 'gelu_approximate' : 'relu',
        });
        decoder.build([null, null, width], encoder && encoder.shape);
        decoder.setWeights(suite.weights_in_order.map((/** @type {string} */ name) => tensors[`weights/${name}`]));
        /** @param {TensorLike} got @param {string} name */
        const check = (got, name) => assertTensor(got, tensors[`out/${name}`], suite.tolerance, name);

        test('the whole sequence, with and without padding', async () => {
            check((await decoder.call(x, encoder, { encoderPaddingMask })).output, 'full');
            const padded = { decoderPaddingMask: tensors['in/padding_mask'], encoderPaddingMask };
            check((await decoder.call(x, encoder, padded)).output, 'full_padded');
        });

        for (const kind of ['tensors', 'KVCaches']) {
            test(`token by token with caches that are ${kind}`, async () => {
                const headDim = width / numHeads;
                /** @param {number} positions @returns {KVCache | TensorLike} */
                const make = (positions) => (kind === 'tensors' ? zeros([batch, 2, positions, numHeads, headDim])
                    : new KVCache(runtime, { batch, length: positions, numHeads, keyDim: headDim }));
                let selfAttentionCache = make(length);
                let crossAttentionCache = encoder ? make(encoder.shape[1]) : undefined;
                for (let t = 0; t < length; t++) {
                    const result = await decoder.call(column(x, t), encoder, {
                        selfAttentionCache, selfAttentionCacheUpdateIndex: t, encoderPaddingMask,
                        ...(encoder && { crossAttentionCache, crossAttentionCacheUpdateIndex: t === 0 ? 0 : null }),
                    });
                    check(result.output, `step${t}`);
                    selfAttentionCache = there(result.selfAttentionCache);
                    crossAttentionCache = result.crossAttentionCache;
                }
                /** @param {KVCache | TensorLike | undefined} cache @returns {TensorLike} */
                const asTensor = (cache) => (cache instanceof KVCache ? cache.toTensor() : there(cache));
                check(asTensor(selfAttentionCache), 'cache');
                if (encoder) check(asTensor(crossAttentionCache), 'cross_cache');
            });
        }

        test('weights come back as they were set', () => {
            decoder.getWeights().forEach(({ shape, data }, i) => {
                assert.deepEqual({ shape, data }, tensors[`weights/${suite.weights_in_order[i]}`]);
            });
        });

        test('arguments that do not fit are refused', async () => {
            const cache = zeros([batch, 2, length, numHeads, width / numHeads]);
            await assert.rejects(decoder.call(x, encoder ? null : x),
                { name: 'TypeError', message: /encoderSequence/ });
            await assert.rejects(decoder.call(zeros([batch, 2, width + 1]), encoder),
                { name: 'RangeError', message: /decoderSequence/ });
            const both = encoder && {
                crossAttentionCache: zeros([batch, 2, encoder.shape[1], numHeads, width / numHeads]),
            };
            await assert.rejects(decoder.call(x, encoder,
                { selfAttentionCache: cache, selfAttentionCacheUpdateIndex: 1, ...both }),
                { name: 'RangeError', message: /selfAttentionCacheUpdateIndex/ });
            await assert.rejects(decoder.call(x, encoder, { decoderPaddingMask: zeros([batch, 3]) }),
                { name: 'RangeError', message: /decoderPaddingMask/ });
            if (encoder) {
                await assert.rejects(decoder.call(x, encoder, { selfAttentionCache: cache }),
                    { name: 'TypeError', message: /both/ });
            }
        });
    });
}

describe('training with dropout', () => {
    const rate = 0.25;
    const width = 8;
    /** @param {Partial<DecoderConfig>} config @param {readonly number[]} [encoderShape] */
    const make = (config, encoderShape) => {
        const decoder = new TransformerDecoder(runtime, { intermediateDim: 6, numHeads: 2, ...config });
        decoder.build([null, null, width], encoderShape);
        return decoder;
    };
    /**
     * Sublayers whose outputs are their biases alone: 1 of the attention, 10 of the feed-forward network.
     * @param {TransformerDecoder} decoder
     */
    const biases = (decoder) => decoder.getWeights().map(({ shape, data }, i) =>
        // 8 and 14 are the norms' gammas.
        ({ shape, data: i === 8 || i === 14 ? data : data.fill(i === 7 ? 1 : i === 13 ? 10 : 0) }));
    const x = { shape: [4, 50, width], data: Float32Array.from({ length: 1600 }, (_, i) => Math.sin(i)) };

    test('drops each element of what a sublayer gives, or divides it by what is kept', async () => {
        const decoder = make({ dropout: rate, normalizeFirst: true });
        decoder.setWeights(biases(decoder));
        const { output } = await decoder.call(x, null, { training: true });
        const counts = new Map();
        output.data.forEach((value, i) => {
            const added = (value - x.data[i]) * (1 - rate);
            const sort = [0, 1, 10, 11].find((sum) => Math.abs(added - sum) < 1e-4);
            assert.notEqual(sort, undefined, `${added}`);
            counts.set(sort, (counts.get(sort) ?? 0) + 1);
        });
        // Binomial with n = 1600; five standard deviations.
        const mixed = rate * (1 - rate);
        for (const [sort, p] of [[0, rate ** 2], [1, mixed], [10, mixed], [11, (1 - rate) ** 2]]) {
            assert.ok(Math.abs(counts.get(sort) - 1600 * p) < 5 * Math.sqrt(1600 * p * (1 - p)),
                `${sort}: ${counts.get(sort)}`);
        }
        const again = await decoder.call(x, null, { training: true });
        assert.notDeepEqual(again.output.data, output.data);
    });

    test('drops each probability of the attention, or divides it by what is kept', async () => {
        const decoder = make({ dropout: rate, normalizeFirst: true });
        // All keys alike, all values 1, and each feature takes the first element of one head: its sum of probabilities.
        decoder.setWeights(decoder.getWeights().map(({ shape, data }, i) => {
            if (i === 6) return { shape, data: data.map((_, at) => Number(Math.floor(at / width) === at % 2 * width / 2)) };
            return { shape, data: i === 8 || i === 14 ? data : data.fill(i === 5 ? 1 : 0) };
        }));
        const { output } = await decoder.call(x, null, { training: true });
        let sum = 0;
        let all = 0;
        output.data.forEach((value, i) => {
            const seen = Math.floor(i / width) % 50 + 1;
            const kept = (value - x.data[i]) * (1 - rate) ** 2 * seen;
            assert.ok(Math.abs(kept - Math.round(kept)) < 1e-3, `${kept} of ${seen}`);
            sum += Math.round(kept);
            all += seen;
        });
        // Five standard deviations: nearly all of them are what dropping elements of the sublayer does to rows of many keys.
        assert.ok(Math.abs(sum / all - (1 - rate) ** 2) < 0.05, `${sum / all}`);
    });

    for (const normalizeFirst of [true, false]) {
        test(`a rate too small to drop anything changes nothing, normalizeFirst ${normalizeFirst}`, async () => {
            const encoder = { shape: [4, 3, width], data: Float32Array.from({ length: 96 }, (_, i) => Math.cos(i)) };
            const plain = make({ normalizeFirst }, encoder.shape);
            const dropping = make({ normalizeFirst, dropout: 1e-12 }, encoder.shape);
            dropping.setWeights(plain.getWeights());
            const caches = () => ({
                selfAttentionCache: zeros([4, 2, 60, 2, 4]), selfAttentionCacheUpdateIndex: 5,
                crossAttentionCache: new KVCache(runtime, { batch: 4, length: 3, numHeads: 2, keyDim: 4 }),
                crossAttentionCacheUpdateIndex: 0,
            });
            const expected = await plain.call(x, encoder, caches());
            const got = await dropping.call(x, encoder, { ...caches(), training: true });
            // The explicit attention path rounds in other places than the streaming one.
            assertTensor(got.output, expected.output, { atol: 2e-5, rtol: 1e-5 }, 'output');
            assertTensor(functional(got.selfAttentionCache), functional(expected.selfAttentionCache),
                { atol: 1e-6, rtol: 1e-6 }, 'self cache');
            assertTensor(inPlace(got.crossAttentionCache).toTensor(), inPlace(expected.crossAttentionCache).toTensor(),
                { atol: 1e-6, rtol: 1e-6 }, 'cross cache');
        });
    }

    test('everything dropped leaves the residual', async () => {
        const decoder = make({ dropout: 1, normalizeFirst: true });
        assert.deepEqual((await decoder.call(x, null, { training: true })).output.data, x.data);
        assert.notDeepEqual((await decoder.call(x)).output.data, x.data);
    });
});

test('a mask of the encoder has a row for each query, whatever sizes they are', async () => {
    const width = 8;
    const numbers = (/** @type {number} */ t) => ({ shape: [1, t, width], data: Float32Array.from({ length: t * width }, (_, i) => Math.sin(t + i)) });
    const [x, encoder] = [numbers(2), numbers(3)];
    const decoder = new TransformerDecoder(runtime, { intermediateDim: 6, numHeads: 2 });
    decoder.build(x.shape, encoder.shape);
    // The first query sees the first position alone, the second one the last.
    const encoderAttentionMask = { shape: [1, 2, 3], data: Uint8Array.of(1, 0, 0, 0, 0, 1) };
    const { output: { data } } = await decoder.call(x, encoder, { encoderAttentionMask });
    for (const [row, seen] of [[0, 0], [1, 2]]) {
        const alone = { shape: [1, 1, width], data: encoder.data.slice(seen * width, (seen + 1) * width) };
        const { output } = await decoder.call(x, alone);
        const [got, expected] = [data, output.data].map((rows) => rows.subarray(row * width, (row + 1) * width));
        assertClose(got, expected, { atol: 1e-5, rtol: 1e-5 });
    }
    decoder.dispose();
});

test('TransformerDecoder refuses what Keras Hub refuses', () => {
    /** @param {any} config */
    const make = (config) => () => new TransformerDecoder(runtime, { intermediateDim: 4, numHeads: 2, ...config });
    assert.throws(make({ numHeads: 0 }), RangeError);
    for (const dropout of [-0.1, 1.1, NaN]) assert.throws(make({ dropout }), { name: 'RangeError', message: /^dropout must be/ });
    assert.throws(make({ activation: 'swish' }), { name: 'TypeError', message: /activation/ });
    assert.throws(make({ kernelInitializer: 'nonsense' }), { message: /kernelInitializer/ });
    assert.throws(make({ head_count: 2 }), { name: 'TypeError', message: /head_count/ });
    assert.throws(() => make({ numHeads: 9 })().build([null, null, 8]), { name: 'RangeError', message: /numHeads/ });
});

describe('gpt2_tiny', () => {
    const suite = suites.gpt2_tiny;
    const tensors = readTensors(COMMITTED, suite.file);
    const { config } = suite;
    const model = new GPT2CausalLM(runtime, {
        vocabularySize: config.vocabulary_size, numLayers: config.num_layers, numHeads: config.num_heads,
        hiddenDim: config.hidden_dim, intermediateDim: config.intermediate_dim,
        maxSequenceLength: config.max_sequence_length, dropout: config.dropout,
    });
    model.setWeights(suite.weights_in_order.map((/** @type {string} */ name) => tensors[`weights/${name}`]));
    /** @param {TensorLike} got @param {string} name */
    const check = (got, name) => assertTensor(got, tensors[name], suite.tolerance, name);
    const prompt = {
        tokens: /** @type {Int32Array} */ (tensors.prompt.data),
        mask: /** @type {Uint8Array} */ (tensors.padding_mask.data),
        batch: tensors.prompt.shape[0],
    };

    test('logits and hidden states, without a cache', async () => {
        const { logits, hidden } = await model.call(tensors.token_ids);
        check(logits, 'logits');
        check(hidden, 'hidden');
        check((await model.call(tensors.prompt, { paddingMask: tensors.padding_mask })).logits, 'padded_logits');
    });

    for (const chunk of [14, 5, 1]) {
        test(`the same and the cache, ${chunk} tokens at a time`, async () => {
            const [batch, layers, two, length, numHeads, keyDim] = tensors.cache.shape;
            const caches = Array.from({ length: layers },
                () => new KVCache(runtime, { batch, length, numHeads, keyDim }));
            const { shape: [, , vocabulary], data: expected } = tensors.cached_logits;
            const ids = tensors.token_ids.data;
            for (let start = 0; start < length; start += chunk) {
                const t = Math.min(chunk, length - start);
                /** @param {any} data @param {number} width @param {any} Kind of array */
                const part = (data, width, Kind) => {
                    const out = new Kind(batch * t * width);
                    for (let b = 0; b < batch; b++) {
                        out.set(data.subarray((b * length + start) * width, (b * length + start + t) * width),
                            b * t * width);
                    }
                    return out;
                };
                const tokens = { shape: [batch, t], data: part(ids, 1, Int32Array) };
                const { logits } = await model.callWithCache(tokens, caches, start);
                const want = { shape: [batch, t, vocabulary], data: part(expected, vocabulary, Float32Array) };
                assertTensor(logits, want, suite.tolerance, `logits from ${start}`);
            }
            const size = two * length * numHeads * keyDim;
            const all = new Float32Array(tensors.cache.data.length);
            caches.forEach((cache, layer) => {
                const { data } = cache.toTensor();
                for (let b = 0; b < batch; b++) {
                    all.set(data.subarray(b * size, (b + 1) * size), (b * layers + layer) * size);
                }
                cache.dispose();
            });
            check({ shape: tensors.cache.shape, data: all }, 'cache');
        });
    }

    // The suite does not name the contrastive sampler's parameters; of all k <= 10 and alphas in tenths only these
    // give its tokens.
    for (const [name, sampler, stopTokens] of [
        ['greedy_tokens', new GreedySampler(), []],
        ['beam3_tokens', new BeamSampler({ numBeams: 3 }), []],
        ['contrastive_tokens', new ContrastiveSampler({ k: 3, alpha: 0.5 }), []],
        ['greedy_stop_tokens', new GreedySampler(), suite.stop_token_ids],
    ]) {
        test(name, async () => {
            const got = await model.generateTokens(prompt, { sampler, stopTokens });
            assert.deepEqual(Array.from(got), Array.from(tensors[name].data));
        });
    }

    test('tokens and caches that do not fit are refused', async () => {
        /** @param {number[]} data */
        const ids = (data) => ({ shape: [1, data.length], data: Int32Array.from(data) });
        await assert.rejects(model.call(ids([1, 37])), { name: 'RangeError', message: /token/ });
        await assert.rejects(model.call(ids(new Array(21).fill(1))),
            { name: 'RangeError', message: /maxSequenceLength/ });
        await assert.rejects(model.callWithCache(ids([1]), [], 0), { name: 'RangeError', message: /caches/ });
        assert.throws(() => model.setWeights([]), RangeError);
    });
});
