// The layers around the cached one: every case of the tiers core, edge and error, and an encoder-decoder's steps.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { TransformerDecoder } from '../../js/layers/index.js';
import { KVCache } from '../../js/index.js';
import { testRuntime } from '../runtime.js';
import { WAYS } from './cases.js';
import { LAYERS, SHARED_LAYERS, layerFiles, printLayers, reduceLayers } from './copy-layers.js';
import { NO_SHARED, TIERS, assertTensor, readManifest, readTensors } from './golden.js';
import { isSaid, runLayerCase } from './model-layers.js';
import { floatsOf, there } from '../there.js';

/** @typedef {import('../there.js').Floats} Floats */
/** @typedef {import('../../js/engine/tensor.js').TensorLike} TensorLike */

/** Arguments that the others do not have: make.py there. */
const ARGUMENTS = new URL('arguments/', import.meta.url);

const runtime = await testRuntime();
const { cases, suites } = readManifest(LAYERS);
const skip = SHARED_LAYERS ? false : NO_SHARED;
/** The full set, for tests that are skipped without. */
const shared = () => there(SHARED_LAYERS);

for (const [directory, entries] of /** @type {const} */ ([[LAYERS, cases], [ARGUMENTS, readManifest(ARGUMENTS).cases]])) {
    for (const entry of entries) {
        test(`${entry.tier}: ${entry.name}`, async () => {
            for (const way of WAYS) await runLayerCase(runtime, directory, entry, way);
        });
    }
}

test('the committed fixtures are what copy-layers.js makes', { skip }, () => {
    const manifest = reduceLayers(readManifest(shared()));
    assert.equal(readFileSync(new URL('manifest.json', LAYERS), 'utf8'), printLayers(manifest));
    assert.deepEqual(readdirSync(LAYERS).sort(), ['manifest.json', ...layerFiles(manifest)].sort());
    for (const file of layerFiles(manifest)) {
        assert.ok(readFileSync(new URL(file, LAYERS)).equals(readFileSync(new URL(file, shared()))), file);
    }
});

test('every case that can be said, straight from the full set', { skip }, async () => {
    const all = readManifest(shared()).cases.filter((entry) => TIERS.includes(entry.tier) && isSaid(entry));
    let calls = 0;
    for (const entry of all) {
        for (const way of WAYS) {
            await runLayerCase(runtime, shared(), entry, way).then((count) => { calls += count; }, (error) => {
                throw new Error(`${entry.name}, ${way.name}: ${error.message}`, { cause: error });
            });
        }
    }
    console.log(
        `layers of models: ${all.length} cases, ${calls / WAYS.length} calls compared in ${WAYS.length} ways each`,
    );
});

for (const kvCache of [false, true]) {
    test(`encoder and decoder: steps, with ${kvCache ? 'KVCaches' : 'tensors'}`, async () => {
        const suite = suites.encoder_decoder;
        const t = readTensors(LAYERS, suite.file);
        const decoders = Array.from({ length: suite.decoders }, (_, i) => {
            const { intermediate_dim: intermediateDim, num_heads: numHeads } = suite.encoder;
            const decoder = new TransformerDecoder(runtime, { intermediateDim, numHeads });
            decoder.build([2, 6, 12], [2, 5, 12]);
            decoder.setWeights(
                suite.weights_in_order
                    .filter((/** @type {string} */ name) => name.startsWith(`dec${i}/`))
                    .map((/** @type {string} */ name) => t[`weights/${name}`]),
            );
            return decoder;
        });
        const encoded = t['out/encoded'];
        const encoderPaddingMask = t['in/source_padding_mask'];
        /** @param {TensorLike} x @param {import('../../js/layers/decoder-options.js').DecoderOptions} [options] */
        const through = async (x, options) => {
            for (const decoder of decoders) {
                x = (await decoder.call(x, encoded, { encoderPaddingMask, ...options })).output;
            }
            return x;
        };
        const full = await through(t['in/target']);
        assertTensor(full, t['out/full'], suite.tolerance, 'full');
        const padded = await through(t['in/target'], { decoderPaddingMask: t['in/target_padding_mask'] });
        assertTensor(padded, t['out/full_padded'], suite.tolerance, 'full_padded');

        /** @param {number[]} shape @returns {KVCache | TensorLike} */
        const cache = (shape) => {
            if (!kvCache) return { shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) };
            const [batch, , length, numHeads, keyDim] = shape;
            return new KVCache(runtime, { batch, length, numHeads, keyDim });
        };
        const caches = decoders.map((_, i) => ({
            self: cache(t[`out/self_cache${i}`].shape),
            cross: cache(t[`out/cross_cache${i}`].shape),
        }));
        let index = 0;
        for (const [step, size] of suite.step_sizes.entries()) {
            /** @type {TensorLike} */
            let x = rows(t['in/target'], index, size);
            for (const [i, decoder] of decoders.entries()) {
                const result = await decoder.call(x, encoded, {
                    encoderPaddingMask, selfAttentionCache: caches[i].self, selfAttentionCacheUpdateIndex: index,
                    crossAttentionCache: caches[i].cross, crossAttentionCacheUpdateIndex: step === 0 ? 0 : undefined,
                });
                x = result.output;
                caches[i] = { self: there(result.selfAttentionCache), cross: there(result.crossAttentionCache) };
            }
            assertTensor(x, t[`out/step${step}`], suite.tolerance, `step ${step}`);
            index += size;
        }
        caches.forEach(({ self, cross }, i) => {
            const read = (/** @type {KVCache | TensorLike} */ c) => (c instanceof KVCache ? c.toTensor() : c);
            assertTensor(read(self), t[`out/self_cache${i}`], suite.tolerance, `self cache ${i}`);
            assertTensor(read(cross), t[`out/cross_cache${i}`], suite.tolerance, `cross cache ${i}`);
        });
        for (const decoder of decoders) decoder.dispose();
    });
}

test('a decoder whose encoder has other features', async () => {
    const { build, intermediate_dim: intermediateDim, num_heads: numHeads, weights, tolerance } = readManifest(ARGUMENTS).suites.decoder;
    const t = readTensors(ARGUMENTS, 'arguments.safetensors');
    const decoder = new TransformerDecoder(runtime, { intermediateDim, numHeads });
    decoder.build(build[0], build[1]);
    const list = Array.from({ length: weights }, (_, i) => t[`decoder/${i}`]);
    assert.deepEqual(decoder.getWeights().map(({ shape }) => shape), list.map(({ shape }) => shape));
    decoder.setWeights(list);
    const { output } = await decoder.call(t['decoder/in/sequence'], t['decoder/in/encoder']);
    assertTensor(output, t['decoder/out'], tolerance, 'output');
    const narrow = { shape: [2, 5, 6], data: new Float32Array(60) };
    await assert.rejects(decoder.call(t['decoder/in/sequence'], narrow), /^RangeError: encoderSequence must have shape \[B, T, 9\]/);
    decoder.dispose();
});

/** [:, index : index + size] of [B, T, M]. @param {TensorLike} x @param {number} index @param {number} size @returns {Floats} */
function rows(x, index, size) {
    const [b, t, m] = x.shape;
    const data = floatsOf(x);
    const parts = Array.from({ length: b }, (_, i) => [
        ...data.subarray((i * t + index) * m, (i * t + index + size) * m),
    ]);
    return { shape: [b, size, m], data: Float32Array.from(parts.flat()) };
}
