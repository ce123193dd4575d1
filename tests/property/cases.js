// Random layers and calls for property tests.

import { CachedMultiHeadAttention } from '../../js/index.js';
import { bytes, floats, rng } from '../rng.js';

/** @param {readonly number[]} shape @returns {number} */
const size = (shape) => shape.reduce((a, b) => a * b, 1);

/**
 * @param {number} seed
 * @returns numbers, tensors and choices drawn from it
 */
export function draw(seed) {
    const random = rng(seed);
    const integer = (/** @type {number} */ low, /** @type {number} */ high) => (
        low + Math.floor(random() * (high - low + 1))
    );
    return {
        integer,
        chance: (/** @type {number} */ p) => random() < p,
        /** @template T @param {readonly T[]} list @returns {T} */
        pick: (list) => list[integer(0, list.length - 1)],
        tensor: (/** @type {readonly number[]} */ shape, scale = 1) => ({ shape: [...shape], data: floats(random, size(shape), scale) }),
        booleans: (/** @type {readonly number[]} */ shape, p = 0.7) => (
            { shape: [...shape], data: bytes(random, size(shape), p).map((byte) => Math.min(byte, 1)) }
        ),
    };
}

/**
 * A layer with random weights: kernels of about unit gain, so that logits and outputs stay of order 1.
 * @param {import('../../js/engine/runtime.js').Runtime} runtime
 * @param {import('../../js/keras/config.js').AttentionConfig} config
 * @param {number[]} queryShape
 * @param {number[]} valueShape
 * @param {number} seed
 */
export function randomLayer(runtime, config, queryShape, valueShape, seed) {
    const layer = new CachedMultiHeadAttention(runtime, config);
    layer.build(queryShape, valueShape);
    const { tensor } = draw(seed);
    layer.setWeights(layer.weights.map(({ shape, name, path }) => {
        const inputs = path.includes('attention_output') ? shape[0] * shape[1] : shape[0];
        return tensor([...shape], name === 'bias' ? 0.5 : Math.sqrt(3 / inputs));
    }));
    return layer;
}
