// layer.loadWeights() and layer.saveWeights(): attention layers in the files that Keras wrote, and round trips.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { CachedGroupQueryAttention, CachedMultiHeadAttention } from '../../js/index.js';
import { writeKerasWeights } from '../../js/files/keras-writer.js';
import { assertClose } from '../close.js';
import { readTensors } from '../golden/golden.js';
import { draw } from '../property/cases.js';
import { testRuntime } from '../runtime.js';
import { sharedFolder } from '../shared.js';
import { KERAS, readTensors as readQuantized, skip } from './shared.js';

const shared = sharedFolder('models/keras/files/');
const runtime = await testRuntime();

/**
 * Layers of those files: how each is made, and where its weights stand.
 * @type {[string, string, () => CachedMultiHeadAttention | CachedGroupQueryAttention][]}
 */
const LAYERS = [
    ['mha.weights.h5', 'my attention', () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 })],
    [
        'mha.keras',
        'layers/cached_multi_head_attention',
        () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4 }),
    ],
    [
        'mha_float16.keras',
        'my attention',
        () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4, dtype: 'float16' }),
    ],
    [
        'gqa.weights.h5',
        'grouped_query_attention',
        () =>
            new CachedGroupQueryAttention(runtime, {
                headDim: 4,
                numQueryHeads: 4,
                numKeyValueHeads: 2,
                useBias: false,
                useGate: true,
            }),
    ],
];

for (const [file, which, make] of LAYERS) {
    test(`${file}: ${which}`, { skip: !shared && `no ../shared/models/keras/files` }, async () => {
        if (!shared) return;
        /** @type {any} */
        const model = JSON.parse(readFileSync(new URL('manifest.json', shared), 'utf8')).models
            .find((/** @type {any} */ { weights_h5: h5, keras_file: keras }) => [h5, keras].includes(file));
        const tensors = readTensors(shared, model.file);
        const own = model.weights.filter((/** @type {any} */ { path, h5 }) => path.startsWith(`${which}/`) || h5.startsWith(`${which}/`));
        const layer = make();
        layer.build([1, 1, 8], [1, 1, 8]);
        await layer.loadWeights(new URL(file, shared), { layer: which });
        const got = layer.weights.map(({ path, data }) => [path.slice(layer.name.length + 1), data]);
        assert.deepEqual(
            got,
            own
                .slice(0, got.length)
                .map((/** @type {any} */ { path, tensor }) => [path.split('/').slice(-2).join('/'), tensors[tensor].data]),
        );
        layer.dispose();
    });
}

test('quantized layers: what Keras saved, into layers quantized alike', { skip }, async () => {
    const quantized = new URL('quantized/', KERAS);
    const { layers } = JSON.parse(readFileSync(new URL('manifest.json', quantized), 'utf8'));
    const saved = layers.filter((/** @type {any} */ each) => each.weights_h5 && !each.layer.includes('Mistral'));
    assert.equal(saved.length, 4);
    for (const { name, layer: kind, config, mode, weights_h5: { file: h5 }, file, tolerance } of saved) {
        const t = readQuantized(new URL(file, quantized));
        const own = mode === 'int8' ? 'int8' : 'int4';
        const make = () => {
            const layer = (kind === 'GroupedQueryAttention' ? CachedGroupQueryAttention : CachedMultiHeadAttention).fromConfig(runtime, config);
            layer.build(t['in/query'].shape, (t['in/value'] ?? t['in/query']).shape);
            return layer;
        };
        const layer = make();
        const before = layer.getWeights();
        const path = new URL(h5, quantized);
        await assert.rejects(layer.loadWeights(path), { name: 'RangeError', message: new RegExp(`quantize.'${own}'.*got "floats"`) });
        assert.deepEqual(layer.getWeights(), before);
        layer.quantize(own);
        for (const _ of [1, 2]) await layer.loadWeights(path);
        // What is saved of it are floats: in int8 a layer that loads them and is quantized then gives the same.
        const again = make();
        await again.loadWeights(await layer.saveWeights());
        again.quantize(own);
        for (const each of own === 'int8' ? [layer, again] : [layer]) {
            const { attentionOutput } = await each.call(t['in/query'], t['in/value'] ?? t['in/query']);
            assertClose(attentionOutput.data, t['out/quantized'].data, tolerance, name);
        }
        const other = make();
        other.quantize(own === 'int8' ? 'int4' : 'int8');
        await assert.rejects(other.loadWeights(path), RangeError);
        await assert.rejects(layer.loadWeights(await make().saveWeights()), /before quantize.*is quantized to/);
        for (const each of [layer, again, other]) each.dispose();
    }
});

test('scales of integers that are not as many as the outputs', async () => {
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 4, useBias: false });
    layer.build([1, 1, 8], [1, 1, 8]);
    layer.quantize('int8');
    const before = layer.getWeights();
    const { used } = runtime.memory;
    for (const count of [1, 4, 16]) {
        const file = writeKerasWeights(['query', 'key', 'value', 'output'].flatMap((name) => [
            { path: `layer/${name}_dense/vars/0`, shape: name === 'output' ? [2, 4, 8] : [8, 2, 4], data: new Int8Array(64) },
            { path: `layer/${name}_dense/vars/1`, shape: [name === 'key' ? count : 8], data: new Float32Array(name === 'key' ? count : 8) },
        ]));
        const message = `the scales of key/kernel must be 8 numbers, got ${count}`;
        await assert.rejects(layer.loadWeights(file), { name: 'RangeError', message });
    }
    assert.deepEqual(layer.getWeights(), before);
    assert.equal(runtime.memory.used, used);
    layer.dispose();
});

test('what is saved is what is loaded', async () => {
    const { tensor } = draw(1);
    for (const make of [
        () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 3, useGate: true }),
        () => new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 3, dtype: 'bfloat16' }),
        () =>
            new CachedGroupQueryAttention(runtime, {
                headDim: 4,
                numQueryHeads: 4,
                numKeyValueHeads: 2,
                useGate: true,
                useOutputBias: false,
                queryKeyNorm: {},
                ropeMaxWavelength: 10,
            }),
    ]) {
        const [from, to] = [make(), make()];
        for (const layer of [from, to]) layer.build([1, 1, 5], [1, 1, 5]);
        from.setWeights(from.weights.map(({ shape }) => tensor([...shape])));
        await to.loadWeights(await from.saveWeights());
        assert.deepEqual(to.getWeights(), from.getWeights());
        await assert.rejects(to.loadWeights(await from.saveWeights(), { layer: 'other' }), { code: 'keras-no-layer' });
        for (const layer of [from, to]) layer.dispose();
    }
});

test('a file that Keras 2 wrote on Windows: groups are joined by backslashes', async () => {
    const { tensor } = draw(3);
    const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 3, useBias: false });
    layer.build([1, 1, 5], [1, 1, 5]);
    const values = layer.weights.map(({ shape }) => tensor([...shape]));
    const names = ['query', 'key', 'value', 'output'];
    const file = writeKerasWeights(values.map((value, i) => ({ ...value, path: `layers\\att\\_${names[i]}_dense\\vars/0` })), []);
    await layer.loadWeights(file);
    assert.deepEqual(layer.getWeights().map(({ data }) => data), values.map(({ data }) => data));
    layer.dispose();
});

test('whole models of the old form, `.h5`: variables go by their own paths', async () => {
    const { tensor } = draw(2);
    for (const [top, end] of [['model_weights/', ''], ['', ':0']]) {
        for (const config of [{}, { useBias: false, useGate: true }]) {
            const layer = new CachedMultiHeadAttention(runtime, { numHeads: 2, keyDim: 3, name: 'first', ...config });
            layer.build([1, 1, 5], [1, 1, 5]);
            const values = layer.weights.map(({ shape }) => tensor([...shape]));
            const entries = ['second', 'first'].flatMap((name) => layer.weights.map(({ path }, i) => ({
                ...values[i], path: `${top}${name}/${path.replace('first', name)}${end}`,
                data: name === 'first' ? values[i].data : values[i].data.map((v) => -v),
            })));
            const file = writeKerasWeights(entries, []);
            await layer.loadWeights(file, { layer: 'first' });
            assert.deepEqual(layer.getWeights().map(({ data }) => data), values.map(({ data }) => data));
            await layer.loadWeights(file, { layer: `${top}second/second` });
            assert.deepEqual(layer.getWeights()[0].data, values[0].data.map((v) => -v));
            await assert.rejects(layer.loadWeights(file), { code: 'keras-no-layer', message: /2 attention layers/ });
            layer.dispose();
        }
    }
});

test('what cannot be: no layer, none built, the weights of another', async () => {
    const make = (/** @type {number} */ numHeads) => new CachedMultiHeadAttention(runtime, { numHeads, keyDim: 3 });
    const [one, two] = [make(1), make(2)];
    await assert.rejects(one.saveWeights(), RangeError);
    await assert.rejects(one.loadWeights(new Uint8Array(8)), RangeError);
    for (const layer of [one, two]) layer.build([1, 1, 5], [1, 1, 5]);
    const before = two.getWeights();
    await assert.rejects(two.loadWeights(await one.saveWeights()), RangeError);
    await assert.rejects(two.loadWeights(new Uint8Array(100)), Error);
    assert.deepEqual(two.getWeights(), before);
    for (const layer of [one, two]) layer.dispose();
});
