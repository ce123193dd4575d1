// Runs one golden case: the layer is made, given Keras's weights, and called as Keras's was.

import assert from 'node:assert/strict';
import { CachedMultiHeadAttention, KVCache, Tensor } from '../../js/index.js';
import { there } from '../there.js';
import { assertTensor, camel, readTensors } from './golden.js';

/** How the same arguments can be given. */
export const WAYS = [
    { name: 'arrays, callSync', sync: true, tensors: false, kvCache: false },
    { name: 'Tensors, call', sync: false, tensors: true, kvCache: false },
    { name: 'Tensors, callSync, KVCache', sync: true, tensors: true, kvCache: true },
];

/** @typedef {import('./golden.js').Case} Case */
/** @typedef {typeof WAYS[number]} Way */
/** @typedef {import('../../js/engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../../js/layers/attention/job.js').AttentionResult} AttentionResult */
/** @typedef {Record<string, TensorLike>} Tensors */

/**
 * @typedef {object} Arguments of a call
 * @property {any} query may be anything that Keras refuses
 * @property {any} value
 * @property {Record<string, any>} options
 * @property {{ dispose(): void }[]} made for it
 */

/** The one call that raises in Keras and must not here: its NumPy backend has no flash path, we have one. */
const FLASH = 'error_flash_true';

/**
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {URL} directory
 * @param {Case} entry of the manifest
 * @param {Way} way
 * @returns {Promise<number>} calls that were compared
 */
export async function runCase(runtime, directory, entry, way) {
    const tensors = readTensors(directory, entry.file);
    const layer = CachedMultiHeadAttention.fromConfig(runtime, entry.constructor);
    const { query_shape: query, value_shape: value, key_shape: key } = entry.build;
    layer.build(query, value, key);
    assert.deepEqual(layer.weights.map(({ path, shape }) => [path, [...shape]]),
        entry.weights.map(({ path, shape }) => [`${layer.name}/${path}`, shape]));
    if (entry.attention_axes_after_build) assert.deepEqual([...there(layer.attentionAxes)], entry.attention_axes_after_build);
    if (entry.config) {
        const { name, attention_axes: axes, ...rest } = entry.config;
        const { name: ours, attention_axes: resolved, ...got } = layer.getConfig();
        assert.deepEqual(got, rest);
    }
    layer.setWeights(entry.weights.map(({ tensor }) => tensors[tensor]));
    /** @type {(AttentionResult | null)[]} */
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
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {Tensors} tensors
 * @param {Record<string, any>} given the manifest's arguments
 * @param {(AttentionResult | null)[]} returned by the calls before
 * @param {Way & { cacheType: any }} way
 */
function readArguments(runtime, tensors, given, returned, way) {
    /** @type {Arguments} */
    const args = { query: null, value: null, options: {}, made: [] };
    for (const [name, source] of Object.entries(given)) {
        const argument = camel(name);
        const value = readArgument(runtime, tensors, source, args, returned, way, argument);
        if (argument === 'query' || argument === 'value') args[argument] = value;
        else args.options[argument] = value;
    }
    return args;
}

/**
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {Tensors} tensors
 * @param {any} source what the manifest says of it
 * @param {Arguments} args so far
 * @param {(AttentionResult | null)[]} returned
 * @param {Way & { cacheType: any }} way
 * @param {string} argument
 */
function readArgument(runtime, tensors, source, args, returned, way, argument) {
    if (typeof source !== 'object' || source === null) return source;
    const { query, value, options } = args;
    if (source.same_as) return { query, value, ...options }[camel(source.same_as)];
    if (source.from_call !== undefined) {
        return /** @type {Record<string, unknown>} */ ({ ...there(returned[source.from_call]) })[camel(source.output)];
    }
    const zeros = /** @type {number[]} */ (source.zeros ?? []);
    const size = zeros.reduce((a, b) => a * b, 1);
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

/** What a cache holds, in Keras's order. @param {TensorLike | KVCache} cache */
function contents(cache) {
    const tensor = cache instanceof KVCache ? cache.toTensor() : cache;
    return { shape: tensor.shape, data: tensor.data.slice() };
}

/**
 * @param {CachedMultiHeadAttention} layer
 * @param {Case} entry
 * @param {import('./golden.js').Call} call
 * @param {Arguments} args
 * @param {Tensors} tensors
 * @param {Way} way
 * @param {string} what
 * @returns {Promise<AttentionResult | null>} null: it has raised, as it should
 */
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
        const out = there(/** @type {Record<string, Tensor | KVCache>} */ ({ ...result })[camel(name)]);
        assert.deepEqual(shape, tensors[tensor].shape);
        if (out instanceof KVCache) assert.equal(out, options.cache);
        else assert.equal(out.dtype, dtype, `dtype of ${name}`);
        assertTensor(contents(out), tensors[tensor], entry.tolerance, `${what}: ${name}`);
    }
    return result;
}
