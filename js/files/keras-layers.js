// Attention layers within a file of weights. Keras stores a layer's projections in groups that go by the attributes of
// its class; here they are found and named as `get_weights()` orders them. The layer itself may be anywhere: in a
// functional model by class and number, in a subclassed one by attribute, within a decoder block. In whole models of the
// old form (`.h5`) variables go by their own paths.
//
// Codes: `keras-no-layer` (nothing there that is meant), `keras-bad-layer` (what is there is no attention layer).

import { FormatError, show, typeError } from '../check.js';
import { weightOf } from './keras-weights.js';
import { kernelOf } from './keras/dequantize.js';

/**
 * @typedef {import('./hdf5.js').Hdf5} Hdf5
 * @typedef {import('./keras-weights.js').KerasWeight} KerasWeight
 *
 * @typedef {object} LayerGroup an attention layer of a file
 * @property {string} path of its group, such as 'layers/cached_multi_head_attention_1'
 * @property {string | null} name that it had in its model
 * @property {string | null} prefix '_' where its attributes begin so; null in the old form
 */

/** Projections in the order of their weights: the name in paths of weights, the attribute without its underscore. */
const PROJECTIONS = [
    ['query', 'query_dense'], ['query_norm', 'query_dense_layer_norm'], ['query_norm', 'query_norm'],
    ['key', 'key_dense'], ['key_norm', 'key_dense_layer_norm'], ['key_norm', 'key_norm'],
    ['gate', 'gate_dense'], ['value', 'value_dense'], ['attention_output', 'output_dense'],
];

/** What vars/0, vars/1, ... of a projection are, by type and number. @type {Record<string, string[]>} */
const VARIABLES = {
    'float 1': ['kernel'], 'float 2': ['kernel', 'bias'],
    // Quantized per channel: without bias the scale comes second.
    'I8 2': ['kernel', 'kernel_scale'], 'I8 3': ['kernel', 'bias', 'kernel_scale'],
    // In blocks of four bits.
    'I8 4': ['kernel', 'kernel_scale', 'kernel_zero', 'g_idx'],
    'I8 5': ['kernel', 'bias', 'kernel_scale', 'kernel_zero', 'g_idx'],
};

const QUERY = /^(.*)\/(_?)query_dense\/vars\/0$/;

/** The same in the old form; Keras 2 numbered a variable's outputs. */
const OLD_QUERY = /^((?:.*\/)?([^/]+))\/query\/kernel(?::0)?$/;

/** Gemma's layers keep kernels of q, k and v as (heads, features, size), all others as (features, heads, size). */
const HEADS_FIRST = /(^|\/)(gemma\d*_decoder_block(_\d+)?\/attention|cached_gemma\d*_attention(_\d+)?)$/;

/**
 * @param {Hdf5} file
 * @returns {LayerGroup[]} in the file's order
 */
export function findAttentionLayers({ datasets, attributes }) {
    const found = [];
    for (const path of datasets.keys()) {
        const [, group, prefix] = QUERY.exec(path) ?? [];
        const [, oldGroup, oldName] = OLD_QUERY.exec(path) ?? [];
        if (group !== undefined) {
            const name = attributes.get(`${group}/vars`)?.get('name');
            found.push({ path: group, prefix, name: typeof name === 'string' ? name : null });
        } else if (oldGroup !== undefined) {
            found.push({ path: oldGroup, prefix: null, name: oldName });
        }
    }
    return found;
}

/**
 * @param {Hdf5} file
 * @param {string} [which] path of the layer's group, or the name that it had in its model; not needed where there is
 *   but one
 * @returns {Map<string, KerasWeight>} 'query/kernel', 'query/bias', ... in the order of `get_weights()`; in quantized
 *   layers what belongs to a kernel follows it: 'query/kernel_scale', 'query/kernel_zero', 'query/g_idx'
 * @throws {FormatError} `keras-no-layer`, `keras-bad-layer`
 */
export function mapLayerWeights(file, which) {
    const layer = choose(findAttentionLayers(file), which);
    const { path } = layer;
    /** @type {Map<string, KerasWeight>} */
    const weights = new Map();
    for (const [name, attribute, group] of groupsOf(file, layer)) {
        if (group.length > 0) {
            const isNorm = name.endsWith('_norm');
            const type = group[0].type === 'I8' ? 'I8' : 'float';
            const variables = isNorm ? ['scale'] : VARIABLES[`${type} ${group.length}`];
            if (variables === undefined || variables.length !== group.length) {
                throw new FormatError('keras-bad-layer', `${show(path)} has ${group.length} variables for ${name}`);
            }
            group.forEach((dataset, i) => weights.set(`${name}/${variables[i]}`, weightOf(dataset)));
        } else if (['query', 'key', 'value', 'attention_output'].includes(name)) {
            throw new FormatError('keras-bad-layer', `${show(path)} lacks ${attribute}: it is no attention layer`);
        }
    }
    if (HEADS_FIRST.test(path)) {
        headsSecond(weights, path);
    }
    return weights;
}

/**
 * @param {Hdf5} file
 * @param {string} [which] as of mapLayerWeights()
 * @returns {Map<string, import('./keras/dequantize.js').Kernel>} the kernels that are quantized, by the projection's name
 * @throws {FormatError} `keras-no-layer`, `tensor-shape`
 */
export function quantizedKernels(file, which) {
    const quantized = groupsOf(file, choose(findAttentionLayers(file), which)).filter(([, , group]) => group[0]?.type === 'I8');
    return new Map(quantized.map(([name, , group]) => [name, kernelOf(group, 1)]));
}

/** @param {LayerGroup[]} layers @param {string | undefined} which @returns {LayerGroup} */
function choose(layers, which) {
    const wanted = which === undefined ? layers
        : layers.filter(({ path, name }) => path === which || name === which);
    if (wanted.length === 1) {
        return wanted[0];
    }
    const there = layers.slice(0, 8).map(({ path, name }) => (name === null ? path : `${path} (${name})`)).join(', ');
    throw new FormatError('keras-no-layer', layers.length === 0 ? 'the file holds no attention layer'
        : `the file holds ${wanted.length} attention layers${which === undefined ? '' : ` called ${show(which)}`}; ` +
            `one of these should be named: ${there.slice(0, 300)}${layers.length > 8 ? ', ...' : ''}`);
}

/** @param {Hdf5} file @param {LayerGroup} layer */
function groupsOf(file, { path, prefix }) {
    return PROJECTIONS.map(([name, attribute]) => /** @type {const} */ ([name, attribute,
        prefix === null ? oldGroupOf(file, `${path}/${name}`) : groupOf(file, path, prefix, attribute)]));
}

/** @param {Hdf5} file @param {string} path @returns {import('./hdf5.js').Hdf5Dataset[]} as groupOf() */
function oldGroupOf({ datasets }, path) {
    return ['kernel', 'scale', 'bias', 'kernel_scale', 'kernel_zero', 'g_idx']
        .flatMap((name) => datasets.get(`${path}/${name}`) ?? datasets.get(`${path}/${name}:0`) ?? []);
}

/**
 * @param {Hdf5} file
 * @param {string} path
 * @param {string} prefix
 * @param {string} attribute
 * @returns {import('./hdf5.js').Hdf5Dataset[]} the variables of a projection by number
 */
function groupOf({ datasets }, path, prefix, attribute) {
    const variables = [];
    // MultiHeadAttention's gate has the underscore that its other projections lack.
    for (const start of new Set([prefix, attribute === 'gate_dense' ? '_' : prefix])) {
        for (let i = 0; ; i++) {
            const dataset = datasets.get(`${path}/${start}${attribute}/vars/${i}`);
            if (dataset === undefined) {
                break;
            }
            variables.push(dataset);
        }
    }
    return variables;
}

/** @param {Map<string, KerasWeight>} weights @param {string} path */
function headsSecond(weights, path) {
    for (const name of ['query', 'key', 'value']) {
        const kernel = /** @type {KerasWeight} */ (weights.get(`${name}/kernel`));
        if (kernel.shape.length !== 3) {
            throw new FormatError('keras-bad-layer', `${name} of ${show(path)} has the shape [${kernel.shape}]`);
        }
        const [heads, features, size] = kernel.shape;
        const data = /** @type {typeof kernel.data} */ (kernel.data.slice());
        for (let h = 0; h < heads; h++) {
            for (let f = 0; f < features; f++) {
                const from = (h * features + f) * size;
                data.set(/** @type {any} */ (kernel.data.subarray(from, from + size)), (f * heads + h) * size);
            }
        }
        weights.set(`${name}/kernel`, { ...kernel, shape: [features, heads, size], data });
    }
}

/**
 * The other way: an attention layer's weights as entries of writeKerasWeights().
 * @param {Iterable<readonly [name: string, weight: { shape: readonly number[], data: any, dtype?: string }]>} weights
 *   by name, 'query/kernel', 'query/bias', ...: what a layer's `weights` are called
 * @param {object} place
 * @param {string} place.path of its group: 'layers/grouped_query_attention'
 * @param {'MultiHeadAttention' | 'GroupQueryAttention'} place.kind whose attributes: the first's have no underscore
 * @returns {import('./keras-writer.js').KerasEntry[]}
 */
export function layerEntries(weights, { path, kind }) {
    /** @type {Map<string, number>} */
    const counts = new Map();
    return Array.from(weights, ([name, { shape, data, dtype }]) => {
        const [projection, variable] = name.split('/');
        const attribute = PROJECTIONS.find(([each]) => each === projection)?.[1];
        const number = counts.get(projection) ?? 0;
        if (attribute === undefined || variable === undefined) {
            throw typeError('name of a weight', "one of an attention layer, as 'query/kernel'", name);
        }
        counts.set(projection, number + 1);
        const prefix = kind === 'GroupQueryAttention' || attribute === 'gate_dense' ? '_' : '';
        return { path: `${path}/${prefix}${attribute}/vars/${number}`, shape, data, dtype };
    });
}
