// An attention layer's weights from and to the files that Keras saves: `.weights.h5`, and `.keras` to read. What reads
// and writes HDF5 is loaded when it is called for.

import { checkOptionNames, typeError } from '../check.js';

/** @typedef {import('./attention/attention-layer.js').AttentionLayer} AttentionLayer */
/** @typedef {typeof import('./attention/attention-layer.js').AttentionLayer} LayerClass */

/**
 * Replaces a layer's weights, or none of them if something is wrong.
 * @param {AttentionLayer} layer built
 * @param {import('../files/source.js').FileSource} source the file: a URL, a path (Node), a Blob, bytes or a stream
 * @param {{ layer?: string, signal?: AbortSignal }} [options] layer: which one, by its name in the model that was saved
 *   or the path of its group; not needed where the file holds but one attention layer
 * @throws {import('../check.js').FormatError} (rejects) for a damaged file, or one without such a layer
 * @throws {TypeError | RangeError} (rejects) where the weights are not those of this layer
 */
export async function loadWeights(layer, source, options = {}) {
    checkBuilt(layer);
    checkOptionNames('loadWeights', options, ['layer', 'signal']);
    const { layer: which, signal } = options;
    if (which !== undefined && typeof which !== 'string') throw typeError('layer', 'a name or a path', which);
    const [{ readFile }, { openKerasWeights }, { mapLayerWeights }] = await Promise.all([
        import('../files/source.js'), import('../files/keras-weights.js'), import('../files/keras-layers.js'),
    ]);
    const weights = mapLayerWeights(await openKerasWeights(await readFile(source, signal)), which);
    layer.setWeights(/** @type {ReadonlyMap<string, any>} */ (weights));
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
    if (!layer.built) throw new RangeError('layer must be built: it has no weights yet');
}
