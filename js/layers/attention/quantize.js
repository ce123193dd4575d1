// layer.quantize(): a layer's projections as Keras's model.quantize() leaves them. Biases and all else stay floats.

import { rangeError, show } from '../../check.js';
import { throughInt4, toInt8 } from '../../keras/quantize.js';
import { ensureRoom } from '../check-weights.js';

/**
 * @typedef {object} QuantizableLayer
 * @property {string} name
 * @property {import('../../engine/runtime.js').Runtime} _runtime
 * @property {import('./weights.js').WeightSet | null} _weights
 * @property {() => void} _checkAlive
 */

/**
 * @param {QuantizableLayer} layer built, and not quantized yet
 * @param {'int8' | 'int4'} mode
 */
export function quantizeLayer(layer, mode) {
    layer._checkAlive();
    if (mode !== 'int8' && mode !== 'int4') throw rangeError('mode', "'int8' or 'int4'", mode);
    const weights = layer._weights;
    if (weights === null) throw new RangeError('quantize needs a layer that is built: it has no weights');
    if (weights.quantized !== null) {
        throw new RangeError(`quantize must come once: ${show(layer.name)} is ${weights.quantized}`);
    }
    const { compute } = weights.config.policy;
    if (compute !== 'float32') throw rangeError('dtype', 'float32 where a layer is quantized', compute);
    layer._runtime._assertIdle('quantize');
    const projections = Object.values(weights.projections);
    ensureRoom(layer._runtime, weights.list);
    if (mode === 'int8') becomeIntegers(layer._runtime, projections, (each) => toInt8(each.kernel(), each.outputs));
    else for (const projection of projections) projection.loadKernel(throughInt4(projection.kernel(), projection.outputs));
    weights.quantized = mode;
}

/**
 * All of them, or none where memory runs out.
 * @param {import('../../engine/runtime.js').Runtime} runtime
 * @param {import('../../blocks/projection.js').Projection[]} projections
 * @param {(projection: import('../../blocks/projection.js').Projection, i: number) => { rows: Int8Array, scales: Float32Array }} integersOf
 */
export function becomeIntegers(runtime, projections, integersOf) {
    /** @type {number[]} */
    const packed = [];
    try {
        projections.forEach((projection, i) => {
            const { rows, scales } = integersOf(projection, i);
            packed.push(projection.packIntegers(rows, scales));
        });
    } catch (error) {
        for (const panels of packed) runtime._free(panels);
        throw error;
    }
    projections.forEach((projection, i) => projection.takeIntegers(packed[i]));
}
