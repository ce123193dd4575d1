// An attention layer's weights from and to the files that Keras saves: `.weights.h5`, and `.keras` to read. What reads
// and writes HDF5 is loaded when it is called for.

import { FormatError, checkOptionNames, rangeError, typeError } from '../check.js';
import { sameShape } from '../engine/tensor.js';
import { becomeIntegers } from './attention/quantize.js';
import { checkWeights, ensureRoom } from './check-weights.js';

/** @typedef {import('./attention/attention-layer.js').AttentionLayer} AttentionLayer */
/** @typedef {typeof import('./attention/attention-layer.js').AttentionLayer} LayerClass */

/**
 * Replaces a layer's weights, or none of them if something is wrong. What Keras quantized needs a layer that is quantized alike.
 * @param {AttentionLayer} layer built
 * @param {import('../files/source.js').FileSource} source the file, `.weights.h5`, `.keras` or a whole model's `.h5`: a URL,
 *   a path (Node), a Blob, bytes or a stream
 * @param {{ layer?: string, signal?: AbortSignal | null }} [options] layer: which one, by its name in the model that was saved
 *   or the path of its group; not needed where the file holds but one attention layer
 * @throws {import('../check.js').FormatError} (rejects) for a damaged file, or one without such a layer
 * @throws {TypeError | RangeError} (rejects) where the weights are not those of this layer
 */
export async function loadWeights(layer, source, options = {}) {
    checkBuilt(layer);
    checkOptionNames('loadWeights', options, ['layer', 'signal']);
    const { layer: which, signal } = options;
    if (which !== undefined && typeof which !== 'string') throw typeError('layer', 'a name or a path', which);
    const [{ readFile }, { openKerasWeights }, { mapLayerWeights, quantizedKernels }] = await Promise.all([
        import('../files/source.js'), import('../files/keras-weights.js'), import('../files/keras-layers.js'),
    ]);
    const { datasets, attributes } = await openKerasWeights(await readFile(source, signal));
    const file = { datasets: withSlashes(datasets), attributes: withSlashes(attributes) };
    const weights = mapLayerWeights(file, which);
    const kernels = quantizedKernels(file, which);
    if (kernels.size > 0) setQuantized(layer, weights, kernels);
    else layer.setWeights(/** @type {ReadonlyMap<string, any>} */ (weights));
}

/**
 * @template T
 * @param {Map<string, T>} paths which Keras 2 joined by backslashes on Windows
 * @returns {Map<string, T>}
 */
const withSlashes = (paths) => new Map(Array.from(paths, ([path, value]) => [path.replaceAll('\\', '/'), value]));

/**
 * Quantized weights take the place of quantized ones, as in Keras: of int8 the integers and their scales, of int4 the values
 * that they stand for.
 * @param {AttentionLayer} layer
 * @param {Map<string, { shape: readonly number[], data: any }>} weights of the file, with what belongs to its kernels
 * @param {Map<string, import('../files/keras/dequantize.js').Kernel>} kernels by projection
 */
function setQuantized(layer, weights, kernels) {
    layer._checkAlive();
    const { _runtime: runtime } = layer;
    const set = /** @type {import('./attention/weights.js').WeightSet} */ (layer._weights);
    /** @type {Map<unknown, { kernel: Int8Array, scales: Float32Array }>} */
    const integers = new Map();
    const count = Array.from(weights.keys()).filter((name) => name.endsWith('/kernel')).length;
    if (kernels.size !== count) throw new FormatError('keras-bad-layer', `${kernels.size} of the layer's ${count} kernels are quantized`);
    for (const [name, { values, quantized }] of kernels) {
        if (quantized !== set.quantized) {
            throw rangeError('layer', `quantized as the file is, by quantize('${quantized}')`, set.quantized ?? 'floats');
        }
        const path = `${name}/kernel`;
        const { shape, data } = /** @type {{ shape: readonly number[], data: any }} */ (weights.get(path));
        const scales = weights.get(`${path}_scale`)?.data;
        const { inputs, outputs } = set.projections[name] ?? {};
        for (const beside of ['kernel_scale', 'kernel_zero', 'g_idx']) weights.delete(`${name}/${beside}`);
        if (quantized === 'int8') {
            // A layer without this projection is refused below.
            if (outputs !== undefined && scales.length !== outputs) throw rangeError(`the scales of ${path}`, `${outputs} numbers`, scales.length);
            integers.set(set.projections[name], { kernel: data, scales: Float32Array.from(scales, Number) });
            weights.set(path, { shape, data: Float32Array.from(data) });
            continue;
        }
        // The file has it as a matrix.
        const own = set.list.find((weight) => weight.path === `${layer.name}/${path}`);
        weights.set(path, {
            shape: own && sameShape(values.shape, [inputs, outputs]) ? own.shape : values.shape,
            data: new Float32Array(values.bytes().buffer),
        });
    }
    const held = checkWeights(runtime, set._inOrder(weights), set.list);
    layer._checkAlive();
    ensureRoom(runtime, set.list);
    if (set.quantized === 'int8') {
        becomeIntegers(runtime, Object.values(set.projections), (projection) => {
            const { kernel, scales } = /** @type {{ kernel: Int8Array, scales: Float32Array }} */ (integers.get(projection));
            const { inputs, outputs } = projection;
            return { rows: kernel.map((_, i) => kernel[i % inputs * outputs + Math.floor(i / inputs)]), scales };
        });
    }
    set.list.forEach((weight, i) => {
        if (weight.name !== 'kernel' || set.quantized !== 'int8') weight._load(new Float32Array(held[i].data));
    });
}

/**
 * The weights as Keras's `load_weights()` reads them, into a functional model that has the layer.
 * @param {AttentionLayer} layer built
 * @param {{ path?: string }} [options] path of the layer's group: 'layers/' and its class in snake case by default, to
 *   which Keras adds '_1', '_2', ... for further layers of the class
 * @returns {Promise<Uint8Array<ArrayBuffer>>} a `.weights.h5` file
 */
export async function saveWeights(layer, options = {}) {
    checkBuilt(layer);
    checkOptionNames('saveWeights', options, ['path']);
    const { path } = options;
    if (path !== undefined && typeof path !== 'string') throw typeError('path', 'a string', path);
    const { _defaultName: defaultName, _kerasName: kind } = /** @type {LayerClass} */ (layer.constructor);
    const group = path ?? `layers/${defaultName}`;
    const weights = layer.weights.map(
        (weight) => /** @type {const} */ ([weight.path.slice(layer.name.length + 1), weight]),
    );
    const [{ layerEntries }, { writeKerasWeights }] = await Promise.all([
        import('../files/keras-layers.js'), import('../files/keras-writer.js'),
    ]);
    return writeKerasWeights(layerEntries(weights, { path: group, kind }), [[group, layer.name]]);
}

/** @param {AttentionLayer} layer */
function checkBuilt(layer) {
    layer._checkAlive();
    if (!layer.built) throw new RangeError('layer must be built: it has no weights yet');
}
