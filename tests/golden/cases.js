// Runs one golden case: the layer is made, given Keras's weights, and called as Keras's was.

import assert from 'node:assert/strict';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { assertTensor, camel, readTensors } from './golden.js';

/** How the same arguments can be given. */
export const WAYS = [
    { name: 'arrays, callSync', sync: true, tensors: false, kvCache: false },
    { name: 'Tensors, call', sync: false, tensors: true, kvCache: false },
    { name: 'Tensors, callSync, KVCache', sync: true, tensors: true, kvCache: true },
];

/** The one call that raises in Keras and must not here: its NumPy backend has no flash path, we have one. */
const FLASH = 'error_flash_true';

/**
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {URL} directory
 * @param {any} entry of the manifest
 * @param {typeof WAYS[number]} way
 * @returns {Promise<number>} calls that were compared
 */
export async function runCase(runtime, directory, entry, way) {
    const tensors = readTensors(directory, entry.file);
    const layer = CachedMultiHeadAttention.fromConfig(runtime, entry.constructor);
    const { query_shape: query, value_shape: value, key_shape: key } = entry.build;
    layer.build(query, value, key);
    assert.deepEqual(layer.weights.map(({ path, shape }) => [path, [...shape]]),
        entry.weights.map(({ path, shape }) => [`${layer.name}/${path}`, shape]));
    if (entry.attention_axes_after_build) assert.deepEqual([...layer.attentionAxes], entry.attention_axes_after_build);
    if (entry.config) {
        const { name, attention_axes: axes, ...rest } = entry.config;
        const { name: ours, attention_axes: resolved, ...got } = layer.getConfig();
        assert.deepEqual(got, rest);
    }
    layer.setWeights(entry.weights.map(({ tensor }) => tensors[tensor]));
    const returned = [];
    const cacheType = layer.getConfig().dtype.config.name.replace('mixed_', '');
    for (const [number, call] of entry.calls.entries()) {
        const args = readArguments(runtime, tensors, call.args, returned, { ...way, cacheType });
        returned.push(await runCall(layer, entry, call, args, tensors, way, `call ${number}`));
        for (const made of args.made) made.dispose();
    }
    for (const made of returned) if (made?.cache instanceof KVCache) made.cache.dispose();
    layer.dispose();
    return entry.calls.length;
}

/**
 * @param {any} runtime
 * @param {Record<string, any>} tensors
 * @param {Record<string, any>} given the manifest's arguments
 * @param {any[]} returned by the calls before
 * @param {typeof WAYS[number]} way
 */
function readArguments(runtime, tensors, given, returned, way) {
    const args = { query: null, value: null, options: {}, made: [] };
    for (const [name, source] of Object.entries(given)) {
        const argument = camel(name);
        const value = readArgument(runtime, tensors, source, args, returned, way, argument);
        if (argument === 'query' || argument === 'value') args[argument] = value;
        else args.options[argument] = value;
    }
    return args;
}

function readArgument(runtime, tensors, source, args, returned, way, argument) {
    if (typeof source !== 'object' || source === null) return source;
    if (source.same_as) return args[camel(source.same_as)] ?? args.options[camel(source.same_as)];
    if (source.from_call !== undefined) return returned[source.from_call][camel(source.output)];
    const size = (source.zeros ?? []).reduce((a, b) => a * b, 1);
    const plain = source.zeros ? { shape: source.zeros, data: new Float32Array(size) } : tensors[source.tensor];
    if (argument === 'cache' && way.kvCache && plain.shape.length === 5 && plain.shape[1] === 2) {
        const [batch, , length, numHeads, keyDim] = plain.shape;
        const cache = new KVCache(runtime, { batch, length, numHeads, keyDim, dtype: way.cacheType });
        cache.set(plain);
        return cache;
    }
    if (!way.tensors || argument === 'cacheUpdateIndex') return plain;
    const dtype = plain.data instanceof Float32Array ? (source.dtype === 'float16' ? 'float16' : 'float32') : undefined;
    const tensor = new Tensor(runtime, { shape: plain.shape, data: plain.data, dtype });
    args.made.push(tensor);
    return tensor;
}

/** What a cache holds, in Keras's order. */
function contents(cache) {
    const tensor = cache instanceof KVCache ? cache.toTensor() : cache;
    return { shape: tensor.shape, data: tensor.data.slice() };
}

async function runCall(layer, entry, { returns, raises }, args, tensors, way, what) {
    const { query, value, options } = args;
    const make = () => (way.sync ? layer.callSync(query, value, options) : layer.call(query, value, options));
    const before = options.cache ? contents(options.cache) : null;
    if (raises && entry.name !== FLASH) {
        await assert.rejects(async () => make(), (error) => error instanceof TypeError || error instanceof RangeError);
        if (before) assert.deepEqual(contents(options.cache), before, 'a failed call changed its cache');
        return null;
    }
    const result = await make();
    if (raises) {
        assert.ok(result.attentionOutput.data.every(Number.isFinite));
        return result;
    }
    const names = returns.map(({ name }) => camel(name));
    assert.deepEqual(Object.keys(result), names);
    if (before && !(options.cache instanceof KVCache)) {
        assert.deepEqual(contents(options.cache), before, 'the caller\'s cache was changed');
    }
    for (const { name, tensor, shape, dtype } of returns) {
        const out = result[camel(name)];
        assert.deepEqual(shape, tensors[tensor].shape);
        if (out instanceof KVCache) assert.equal(out, options.cache);
        else assert.equal(out.dtype, dtype, `dtype of ${name}`);
        assertTensor(contents(out), tensors[tensor], entry.tolerance, `${what}: ${name}`);
    }
    return result;
}
