// A call of GPT2CausalLM as a job of the runtime.

import { copyCacheRow } from '../blocks/decoder.js';
import { firstAttention } from '../model/description.js';
import { recordPass } from '../model/pass.js';

/** @typedef {import('../blocks/cache.js').KVCache} KVCache */
/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../engine/tensor.js').TensorLike} TensorLike */
/** @typedef {import('../model/network.js').Network} Network */

/** One pass over given tokens with all hidden states and logits as results. */
export class CallJob {
    /**
     * @param {Network} network
     * @param {TensorLike} tokenIds [B, T], checked
     * @param {readonly KVCache[] | null} caches checked
     * @param {number} index
     * @param {Uint8Array | null} mask [B][T]
     */
    constructor(network, tokenIds, caches, index, mask) {
        this._network = network;
        this._tokenIds = tokenIds;
        this._caches = caches;
        this._index = index;
        this._mask = mask;
        /** @type {Tensor | null} */
        this._hidden = null;
        /** @type {Tensor | null} */
        this._logits = null;
    }

    /** @throws {Error} when the model or a cache has been disposed of */
    check() {
        this._network.check('GPT2CausalLM');
        this._caches?.forEach((cache) => cache._check('caches'));
    }

    /** @param {Program} program */
    record(program) {
        const network = this._network;
        const [batch, t] = this._tokenIds.shape;
        const { width, vocabulary, layers } = network.description;
        const { kvHeads, keyDim, valueDim } = firstAttention(network.description);
        this._hidden = program.result(Object.freeze([batch, t, width]), 'float32');
        this._logits = program.result(Object.freeze([batch, t, vocabulary]), 'float32');
        const tokens = program.input(this._tokenIds);
        const positions = program.scratch(4 * batch * t);
        for (let i = 0; i < batch * t; i++) {
            program.words[positions / 4 + i] = this._index + i % t;
        }
        const mask = this._mask ? program.input({ shape: [this._mask.length], data: this._mask }) : 0;
        this._caches?.forEach((cache) => {
            cache._pages.makeWritable(this._index, this._index + t);
        });
        const segments = Array.from({ length: batch }, (_, b) => ({
            caches: layers.map((_, i) => ({
                address: this._caches ? copyCacheRow(program, this._caches[i]._address, b) : program.cache(1, t, kvHeads, keyDim, valueDim),
                round: this._caches?.[i]._round,
            })),
            index: this._index, slot: this._index, past: [], t, result: -1, mask: mask === 0 ? 0 : mask + b * t,
        }));
        recordPass(network, program, {
            segments, rows: batch * t, length: this._index + t, tokens, positions, every: true, hidden: this._hidden._address,
            results: 0, logits: this._logits._address, scores: null, states: null,
        });
    }

    finish() {
        return { logits: /** @type {Tensor} */ (this._logits), hidden: /** @type {Tensor} */ (this._hidden) };
    }
}
