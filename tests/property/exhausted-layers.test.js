// Memory that runs out at any request of everything that layers do: as tests/property/exhausted.test.js has it for caches and models.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CachedGroupQueryAttention, KVCache, Tensor } from '../../js/index.js';
import { GPT2CausalLM, GreedySampler } from '../../js/generation/index.js';
import {
    AlibiBias, LayerNormalization, RMSNormalization, RotaryEmbedding, SinePositionEncoding, TransformerDecoder,
} from '../../js/layers/index.js';
import { testRuntime } from '../paired.js';
import { draw, randomLayer } from './cases.js';
import { count, exhaust as exhaustOn, taken } from './exhaust.js';

const runtime = await testRuntime({ maxMemory: 128 * 2 ** 20 });

/** @template S @param {string} name @param {import('./exhaust.js').Parts<S>} parts */
const exhaust = (name, parts) => test(`memory runs out: ${name}`, { timeout: 400_000 }, () => exhaustOn(runtime, parts));

const { tensor } = draw(5);
const x = tensor([2, 3, 8]);
const CONFIG = { numHeads: 2, keyDim: 4 };
const makeLayer = (/** @type {object} */ more = {}, seed = 4) => randomLayer(runtime, { ...CONFIG, ...more }, x.shape, x.shape, seed);

/** @param {{ getWeights(): { data: Float32Array }[] }} made */
const weightsOf = (made) => made.getWeights().map(({ data }) => Array.from(data));

/** What a call gives, all of it. @param {any} made @param {Record<string, any>} [options] */
async function called(made, options = {}) {
    const result = await made.call(x, x, options);
    return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, taken(value)]));
}

const cache = tensor([2, 2, 5, 2, 4]);
const attentionMask = draw(6).booleans([2, 3, 5]);
for (const [name, config, options] of /** @type {[string, object, any][]} */ ([
    ['scores, a mask and causality', {}, { returnAttentionScores: true, attentionMask: draw(6).booleans([3, 3]), useCausalMask: true }],
    ['a cache that is read', {}, { cache, attentionMask }],
    ['a cache that is updated', {}, { cache, cacheUpdateIndex: 1, attentionMask }],
    ['dropout', { dropout: 0.5, seed: 1 }, { training: true }],
    ['half precision', { dtype: 'mixed_float16' }, { returnAttentionScores: true }],
])) {
    exhaust(`a call with ${name}`, { make: () => makeLayer(config), act: (made) => called(made, options), end: (made) => made.dispose() });
}
exhaust('a call along two axes', {
    make: () => randomLayer(runtime, { ...CONFIG, attentionAxes: [1, 2] }, [1, 2, 3, 8], [1, 2, 3, 8], 4),
    act: async (made) => {
        const given = draw(8).tensor([1, 2, 3, 8]);
        return taken((await made.call(given, given)).attentionOutput);
    },
    end: (made) => made.dispose(),
});
exhaust('a call of grouped queries that turn', {
    make: () => new CachedGroupQueryAttention(runtime, {
        headDim: 4, numQueryHeads: 4, numKeyValueHeads: 2, ropeMaxWavelength: 10000, kernelInitializer: 'ones',
    }),
    act: (made) => called(made, { queryMask: draw(9).booleans([2, 3]), useCausalMask: true }),
    end: (made) => made.dispose(),
});
for (const mode of /** @type {const} */ (['int8', 'int4'])) {
    exhaust(`quantize('${mode}')`, {
        ensures: true, make: makeLayer, act: (made) => made.quantize(mode), state: weightsOf, end: (made) => made.dispose(),
    });
    exhaust(`a call in ${mode}`, {
        make: () => {
            const made = makeLayer();
            made.quantize(mode);
            return made;
        },
        act: called,
        end: (made) => made.dispose(),
    });
}
exhaust('applyConstraints', {
    ensures: true, make: () => makeLayer({ kernelConstraint: 'unit_norm' }), act: (made) => made.applyConstraints(), state: weightsOf,
    end: (made) => made.dispose(),
});
exhaust('weights are saved and loaded', {
    ensures: true,
    make: () => [4, 5].map((seed) => makeLayer({}, seed)),
    act: async ([from, to]) => to.loadWeights(await from.saveWeights()),
    state: ([, to]) => weightsOf(to),
    end: (made) => made.forEach((each) => each.dispose()),
});
for (const Kind of [RotaryEmbedding, LayerNormalization, RMSNormalization, SinePositionEncoding]) {
    exhaust(Kind.name, {
        make: () => new Kind(runtime), act: async (made) => taken(await made.call(x)), end: (made) => made.dispose(),
    });
}
exhaust('AlibiBias', {
    make: () => new AlibiBias(runtime), act: async (made) => taken(await made.call(draw(3).tensor([1, 2, 3, 4]))), end: (made) => made.dispose(),
});
exhaust('setWeights of a normalization', {
    ensures: true,
    make: () => {
        const made = new LayerNormalization(runtime);
        made.build(x.shape);
        return made;
    },
    act: (made) => made.setWeights([tensor([8]), tensor([8])].map(({ shape }, i) => draw(i).tensor(shape))),
    state: weightsOf,
    end: (made) => made.dispose(),
});

for (const isCrossed of [false, true]) {
    const kind = isCrossed ? 'a decoder with an encoder' : 'a decoder';
    const makeDecoder = () => new TransformerDecoder(runtime, { intermediateDim: 70, numHeads: 2, kernelInitializer: 'ones' });
    exhaust(`${kind} is built, and called with caches`, {
        make: () => ({
            decoder: makeDecoder(), caches: [5, 3].map((length) => new KVCache(runtime, { batch: 2, length, ...CONFIG })),
        }),
        act: async ({ decoder, caches: [self, cross] }) => {
            const { output } = await decoder.call(x, isCrossed ? x : null, {
                selfAttentionCache: self, selfAttentionCacheUpdateIndex: 1,
                ...(isCrossed && { crossAttentionCache: cross, crossAttentionCacheUpdateIndex: 0 }),
            });
            return taken(output);
        },
        end: ({ decoder, caches }) => [decoder, ...caches].forEach((each) => each.dispose()),
    });
    exhaust(`setWeights of ${kind}`, {
        ensures: true,
        make: () => {
            const made = makeDecoder();
            made.build(x.shape, isCrossed ? x.shape : null);
            return { made, list: made.getWeights().map(({ shape }, i) => draw(i).tensor(shape)) };
        },
        act: ({ made, list }) => made.setWeights(list),
        state: ({ made }) => weightsOf(made),
        end: ({ made }) => made.dispose(),
    });
}

const GPT2 = { vocabularySize: 11, numLayers: 2, numHeads: 2, hiddenDim: 4, intermediateDim: 6, maxSequenceLength: 6 };
/** Token and position embedding, two decoders of 16, and the last norm. */
const SHAPES = [
    [11, 4], [6, 4], ...[0, 1].flatMap(() => [
        ...[0, 1, 2].flatMap(() => [[4, 2, 2], [2, 2]]), [2, 2, 4], [4], [4], [4], [4, 6], [6], [6, 4], [4], [4], [4],
    ]), [4], [4],
];
const ids = { shape: [1, 3], data: Int32Array.of(1, 2, 3) };
function makeGpt2() {
    const made = new GPT2CausalLM(runtime, GPT2);
    made.setWeights(SHAPES.map((shape, i) => draw(i).tensor(shape)));
    return made;
}
exhaust('a GPT2CausalLM is made', {
    make: () => /** @type {GPT2CausalLM[]} */ ([]),
    act: async (made) => {
        made.push(new GPT2CausalLM(runtime, GPT2));
        return taken((await made[made.length - 1].call(ids)).logits);
    },
    end: (made) => made.forEach((each) => each.dispose()),
});
exhaust('setWeights of a GPT2CausalLM', {
    ensures: true,
    make: makeGpt2,
    act: (made) => made.setWeights(SHAPES.map((shape, i) => draw(100 + i).tensor(shape))),
    state: async (made) => taken((await made.call(ids)).logits),
    end: (made) => made.dispose(),
});
exhaust('GPT2CausalLM.call', { make: makeGpt2, act: async (made) => taken((await made.call(ids)).hidden), end: (made) => made.dispose() });
exhaust('GPT2CausalLM.callWithCache', {
    make: () => ({
        gpt2: makeGpt2(), caches: [0, 1].map(() => new KVCache(runtime, { batch: 1, length: 6, numHeads: 2, keyDim: 2 })),
    }),
    act: async ({ gpt2, caches }) => taken((await gpt2.callWithCache(ids, caches, 0)).logits),
    end: ({ gpt2, caches }) => [gpt2, ...caches].forEach((each) => each.dispose()),
});
exhaust('GPT2CausalLM.generateTokens', {
    make: makeGpt2,
    act: async (made) => Array.from(await made.generateTokens(
        { tokens: Int32Array.of(1, 2, 0, 3, 4, 0), mask: Uint8Array.of(1, 1, 0, 1, 1, 0), batch: 2 }, { sampler: new GreedySampler() },
    )),
    end: (made) => made.dispose(),
});

/** @type {[string, () => any][]} */
const MAKERS = [
    ['an attention layer', () => makeLayer()],
    ['a decoder', () => {
        const made = new TransformerDecoder(runtime, { intermediateDim: 6, numHeads: 2, kernelInitializer: 'ones' });
        made.build(x.shape);
        return made;
    }],
    ['a normalization', () => {
        const made = new LayerNormalization(runtime);
        made.build(x.shape);
        return made;
    }],
    ['a GPT2CausalLM', () => Object.assign(makeGpt2(), { getWeights: () => SHAPES.map((shape, i) => draw(i).tensor(shape)) })],
];
for (const [name, make] of MAKERS) {
    test(`setWeights of ${name}: numbers that go away while the others are read change none of them`, async () => {
        const made = make();
        const before = made.getWeights().map((/** @type {any} */ { data }) => Array.from(data));
        const result = async () => (made.callWithCache ? taken((await made.call(ids)).logits) : weightsOf(made));
        const was = await result();
        const last = before.length - 1;
        for (const gone of new Set([0, last - 1])) {
            for (const away of ['detached', 'disposed']) {
                const list = made.getWeights().map((/** @type {any} */ { shape }, /** @type {number} */ i) => draw(50 + i).tensor(shape));
                const tensor = new Tensor(runtime, list[gone]);
                if (away === 'disposed') list[gone] = tensor;
                const { data } = list[gone];
                const { shape } = list[last];
                list[last] = {
                    data: list[last].data,
                    get shape() {
                        if (away === 'disposed') tensor.dispose();
                        else structuredClone(data.buffer, { transfer: [data.buffer] });
                        return shape;
                    },
                };
                assert.throws(() => made.setWeights(list), /data must stay as long|has been disposed/);
                assert.deepEqual(await result(), was, `${gone} ${away}`);
                tensor.dispose();
            }
        }
        made.dispose();
    });
}

test('that was tried', () => assert.ok(count.refused > 100, `only ${count.refused} refusals`));
