// readOut(): logits of hidden states, as if they were those after the last layer (the logit lens).

import { typeError } from '../check.js';
import { asTensorLike, formatShape } from '../engine/tensor.js';
import { recordReadOut } from '../model/pass.js';

/** @typedef {import('../model/network.js').Network} Network */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../engine/tensor.js').Held} Held */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */

/**
 * @param {Network} network
 * @param {TensorLike} states
 * @returns {Promise<Tensor>} [n, V]
 */
export async function readOut(network, states) {
    network.check('readOut');
    const given = asTensorLike(states, 'states');
    const { width } = network.description;
    const [rows, columns] = given.shape;
    if (given.shape.length !== 2 || rows < 1 || columns !== width || given.dtype !== 'float32') {
        throw typeError('states', `float32 of shape [n, ${width}]`, `${given.dtype} of shape ${formatShape(given.shape)}`);
    }
    return network.runtime._run(new ReadOut(network, network.runtime._capture(given)));
}

class ReadOut {
    /** @param {Network} network @param {Held} states */
    constructor(network, states) {
        this._network = network;
        this._states = states;
        /** @type {Tensor | null} */
        this._logits = null;
    }

    /** Either may have been disposed while the job waited. */
    check() {
        this._network.check('readOut');
        this._states._check('states');
    }

    /** @param {import('../engine/program.js').Program} program */
    record(program) {
        const [rows] = this._states.shape;
        const { vocabulary } = this._network.description;
        const x = program.input(this._states);
        this._logits = program.result(Object.freeze([rows, vocabulary]), 'float32');
        recordReadOut(this._network, program, rows, x, this._logits._address);
    }

    finish() {
        return /** @type {Tensor} */ (this._logits);
    }
}
