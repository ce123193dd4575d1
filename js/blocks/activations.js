// The activations of feed-forward networks, by the names that descriptions use.

import { ACTIVATION } from '../engine/interface.js';

/** @type {Readonly<Record<import('../model/description.js').Activation, number>>} */
export const ACTIVATIONS = Object.freeze({
    linear: ACTIVATION.NONE, relu: ACTIVATION.RELU, gelu_tanh: ACTIVATION.GELU_TANH, gelu_erf: ACTIVATION.GELU_ERF, silu: ACTIVATION.SILU,
    sigmoid: ACTIVATION.SIGMOID, tanh: ACTIVATION.TANH, quick_gelu: ACTIVATION.QUICK_GELU, relu2: ACTIVATION.RELU2, mish: ACTIVATION.MISH,
});
