// Suites of the golden set that are about the layer: regularizers, constraints, errors, specs, configs, initializers.

import assert from 'node:assert/strict';
import { test, describe } from 'node:test';
import { pathToFileURL } from 'node:url';
import { CachedMultiHeadAttention } from '../../js/index.js';
import { CONSTRAINTS } from '../../js/keras/constraints.js';
import { REGULARIZERS } from '../../js/keras/regularizers.js';
import { resolve } from '../../js/keras/serializable.js';
import { assertClose } from '../close.js';
import { einsum } from '../einsum.js';
import { floats, rng } from '../rng.js';
import { testRuntime } from '../runtime.js';
import { floatsOf, there } from '../there.js';
import { COMMITTED, assertTensor, camel, readManifest, readTensors } from './golden.js';
import { assertDistribution } from './distribution.js';

/** @typedef {import('../../js/keras/config.js').AttentionConfig} AttentionConfig */

const runtime = await testRuntime();

/** Anything that Keras raises is one of these here. */
const isChecked = (/** @type {unknown} */ error) => error instanceof TypeError || error instanceof RangeError;

/** GOLDEN_DIRECTORY: a folder of the same form to test instead. */
const DIRECTORY = process.env.GOLDEN_DIRECTORY ? pathToFileURL(`${process.env.GOLDEN_DIRECTORY}/`) : COMMITTED;
const { suites } = readManifest(DIRECTORY);

/** @typedef {{ atol: number, rtol: number }} Tolerance */
/** @typedef {{ query_shape: number[], value_shape: number[], key_shape: number[] | null }} Build */
/** @typedef {{ shape: number[], data: Float64Array }} Doubles */
/** @typedef {{ shape: number[], data: Float32Array }} Floats */

/** Weight paths without the layer's name. @param {CachedMultiHeadAttention} layer */
const ownPaths = ({ name, weights }) => weights.map(({ path }) => path.slice(name.length + 1));

/**
 * @typedef {object} Losses of a layer
 * @property {Record<string, any>} config
 * @property {{ query: string, cache?: string }} call names of tensors
 * @property {string} weights_prefix
 * @property {number} losses_before_any_call
 * @property {number[]} losses
 */

/**
 * @param {{ file: string, tolerance: Tolerance, layer_losses: Losses[],
 *   values: { regularizer: { class_name: string }, input: string, value: number, raises?: object }[] }} suite
 */
function regularizers(suite) {
    const tensors = readTensors(DIRECTORY, suite.file);
    suite.values.forEach(({ regularizer, input, value, raises }, i) => {
        test(`regularizers ${i}: ${regularizer.class_name} of ${input}`, () => {
            const object = there(resolve(REGULARIZERS, 'regularizer', regularizer));
            const { shape } = tensors[input];
            const data = floatsOf(tensors[input]);
            if (raises) {
                assert.throws(() => object.penalty(data, shape), isChecked);
                return;
            }
            assertClose([object.penalty(data, shape)], [value], suite.tolerance);
        });
    });
    suite.layer_losses.forEach((row, i) => {
        test(`losses of a layer ${i}`, () => {
            const layer = CachedMultiHeadAttention.fromConfig(runtime, row.config);
            const query = tensors[row.call.query];
            layer.build(query.shape, query.shape);
            layer.setWeights(ownPaths(layer).map((path) => tensors[row.weights_prefix + path]));
            assert.equal(layer.losses.length, row.losses_before_any_call);
            const options = row.call.cache ? { cache: tensors[row.call.cache] } : {};
            for (let again = 0; again < 2; again++) {
                layer.callSync(query, query, options);
                assertClose(layer.losses, row.losses, suite.tolerance, 'losses');
            }
            const activity = row.losses.length - row.losses_before_any_call;
            layer.trainable = false;
            assert.equal(layer.losses.length, activity, 'weights that are not trainable count');
            layer.dispose();
        });
    });
}

/**
 * @param {{ file: string, tolerance: Tolerance,
 *   rows: { constraint: { class_name: string }, input: string, output: string, shape: number[] }[] }} suite
 */
function constraints(suite) {
    const tensors = readTensors(DIRECTORY, suite.file);
    suite.rows.forEach(({ constraint, input, output, shape }, i) => {
        test(`constraints ${i}: ${constraint.class_name} of [${shape}]`, () => {
            const data = floatsOf(tensors[input]);
            const before = data.slice();
            const projected = there(resolve(CONSTRAINTS, 'constraint', constraint)).project(data, shape);
            assertTensor({ shape, data: projected }, tensors[output], suite.tolerance, 'it');
            assert.deepEqual(data, before);
        });
    });
}

/** What Python can say and JavaScript cannot: 2.0 and 1.0 are integers here. */
const SAME_IN_JAVASCRIPT = ['num_heads=2.0', 'cache_update_index=1.0 with a cache'];

/**
 * @param {{ stage: 'constructor' | 'build' | 'compute_output_shape' | 'call', kwargs: Record<string, any>, build: Build,
 *   call: string, raises?: { message: string } }[]} suite
 */
function errors(suite) {
    suite.forEach((row, i) => {
        const { stage, kwargs, build, call, raises } = row;
        test(`errors ${i}: ${stage} ${call ?? JSON.stringify(kwargs)}`, () => {
            if (raises && SAME_IN_JAVASCRIPT.some((text) => raises.message.endsWith(text) || call === text)) return;
            const run = {
                constructor: () => CachedMultiHeadAttention.fromConfig(runtime, kwargs),
                build: () => CachedMultiHeadAttention.fromConfig(runtime, kwargs)
                    .build(build.query_shape, build.value_shape, build.key_shape),
                compute_output_shape: () => CachedMultiHeadAttention.fromConfig(runtime, kwargs)
                    .computeOutputShape(build.query_shape, build.value_shape, build.key_shape),
                call: () => wrongCall(CachedMultiHeadAttention.fromConfig(runtime, kwargs), call),
            }[stage];
            if (raises) assert.throws(run, isChecked);
            else run();
        });
    });
}

/** @param {any} layer untyped: its calls are wrong @param {string} call */
function wrongCall(layer, call) {
    const tensor = (/** @type {number[]} */ ...shape) => ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) });
    const x = tensor(2, 4, 8);
    switch (call) {
        // Ours has useCausalMask, by decision; Python's spelling of it stays unknown.
        case 'use_causal_mask=True': return layer.callSync(x, x, { use_causal_mask: true });
        case 'query_mask=...': return layer.callSync(x, x, { queryMask: x });
        case 'value missing': return layer.callSync(x);
        case 'cache_update_index given positionally': return layer.callSync(x, x, 0);
        case 'key and value of different lengths on the first call':
            return layer.callSync(x, tensor(2, 5, 8), { key: tensor(2, 4, 8) });
        case 'rank-2 query and value': return layer.callSync(tensor(4, 8), tensor(4, 8));
        case 'attention_mask is a Python list': return layer.callSync(x, x, { attentionMask: [[1, 1], [1, 1]] });
        default: return assert.fail(`no such call here: ${call}`);
    }
}

/**
 * @typedef {object} Spec
 * @property {Record<string, any>} kwargs
 * @property {Build} build
 * @property {Record<'query' | 'key' | 'value' | 'output', string>} equations
 * @property {string} dot_product_equation
 * @property {string} combine_equation
 * @property {number[]} softmax_axes
 * @property {number[] | null} attention_axes_before_build
 * @property {number[]} attention_axes
 * @property {(number | null)[]} compute_output_shape
 * @property {[path: string, shape: number[]][]} weights
 */

/** @param {Spec[]} suite */
function specs(suite) {
    suite.forEach((row, i) => {
        const { kwargs, build, equations } = row;
        test(`specs ${i}: ${JSON.stringify(kwargs)} ${equations.query}`, () => {
            const layer = CachedMultiHeadAttention.fromConfig(runtime, kwargs);
            const before = layer.getConfig().attention_axes;
            assert.deepEqual(before, row.attention_axes_before_build);
            const { query_shape: query, value_shape: value, key_shape: key } = build;
            assert.deepEqual(layer.computeOutputShape(query, value, key), row.compute_output_shape);
            layer.build(query, value, key);
            assert.deepEqual(layer.getConfig().attention_axes, row.attention_axes);
            const paths = ownPaths(layer);
            assert.deepEqual(layer.weights.map(({ shape }, k) => [paths[k], [...shape]]), row.weights);
            assert.throws(() => layer.build(query, value, key), RangeError);
            followsEquations(layer, row, i);
            layer.dispose();
        });
    });
}

/**
 * The layer gives what Keras's own einsum equations give in float64.
 * @param {CachedMultiHeadAttention} layer
 * @param {Spec} spec
 * @param {number} seed
 */
function followsEquations(layer, { build, equations, dot_product_equation: dot, combine_equation: combine,
    softmax_axes: softmaxAxes }, seed) {
    const random = rng(seed + 1);
    const sized = (/** @type {(number | null)[]} */ shape) => shape.map((size, axis) => size ?? axis + 2);
    const tensor = (/** @type {readonly number[]} */ shape) => ({ shape: [...shape], data: floats(random, shape.reduce((a, b) => a * b, 1)) });
    const query = tensor(sized(build.query_shape));
    const value = tensor(sized(build.value_shape));
    const key = tensor(sized(build.key_shape ?? build.value_shape));
    layer.setWeights(layer.weights.map(({ shape }) => tensor(shape)));
    const paths = ownPaths(layer);
    const weights = Object.fromEntries(layer.weights.map((weight, i) => [paths[i], weight]));
    /** @param {string} name @param {string} equation @param {Floats | Doubles} x */
    const project = (name, equation, x) => einsum(equation, x, weights[`${name}/kernel`], weights[`${name}/bias`]);
    const q = project('query', equations.query, query);
    const scores = einsum(dot, project('key', equations.key, key), {
        shape: q.shape, data: q.data.map((x) => x / Math.sqrt(layer.keyDim)),
    });
    softmax(scores, softmaxAxes[0]);
    const mixed = einsum(combine, scores, project('value', equations.value, value));
    const output = project('attention_output', equations.output, mixed);
    const result = layer.callSync(query, value, { key, returnAttentionScores: true });
    const tolerance = { atol: 1e-5, rtol: 1e-5 }; // the manifest's, for the same sizes
    assertTensor(there(result.attentionScores), scores, tolerance, 'scores');
    assertTensor(result.attentionOutput, output, tolerance, 'output');
}

/** In place, over all axes from `first` on. @param {Doubles} tensor @param {number} first */
function softmax({ shape, data }, first) {
    const length = shape.slice(first).reduce((a, b) => a * b, 1);
    for (let row = 0; row < data.length; row += length) {
        const part = data.subarray(row, row + length);
        const top = Math.max(...part);
        part.forEach((x, i) => { part[i] = Math.exp(x - top); });
        const sum = part.reduce((a, b) => a + b, 0);
        part.forEach((x, i) => { part[i] = x / sum; });
    }
}

/** @param {{ kwargs: Record<string, any>, get_config: Record<string, any> }[]} suite */
function configs(suite) {
    suite.forEach(({ kwargs, get_config: expected }, i) => {
        test(`configs ${i}: ${JSON.stringify(kwargs)}`, () => {
            const layer = CachedMultiHeadAttention.fromConfig(runtime, kwargs);
            const config = layer.getConfig();
            assert.deepEqual({ ...config, name: expected.name }, expected);
            if (kwargs.name) assert.equal(config.name, kwargs.name);
            else assert.match(config.name, /^cached_multi_head_attention(_\d+)?$/);
            assert.deepEqual(Object.keys(config), Object.keys(expected), 'order of keys');
            assert.deepEqual(CachedMultiHeadAttention.fromConfig(runtime, config).getConfig(), config, 'round trip');
            const options = Object.fromEntries(Object.entries(kwargs).map(([key, value]) => [camel(key), value]));
            const direct = new CachedMultiHeadAttention(runtime, /** @type {AttentionConfig} */ (options)).getConfig();
            assert.deepEqual({ ...direct, name: expected.name }, expected, 'camelCase');
        });
    });
}

/**
 * @param {{ initializer: string, kwargs: Record<string, any>, build: Build,
 *   kernels: Record<string, import('./distribution.js').Distribution & { shape: number[] }> }[]} suite
 */
function initializers(suite) {
    suite.forEach(({ initializer, kwargs, build, kernels }, i) => {
        test(`initializers ${i}: ${initializer} ${JSON.stringify(kwargs)}`, () => {
            assertDistribution(runtime, initializer, kwargs, build, kernels);
        });
    });
}

describe('suite regularizers', () => regularizers(suites.regularizers));
describe('suite constraints', () => constraints(suites.constraints));
describe('suite errors', () => errors(suites.errors));
describe('suite specs', () => specs(suites.specs));
describe('suite configs', () => configs(suites.configs));
describe('suite initializers', () => initializers(suites.initializers));
