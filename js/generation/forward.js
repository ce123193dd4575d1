// forward(): the logits of given tokens, read from scratch or into a cache.

import { checkOptionNames, checkSignal, rangeError, typeError } from '../check.js';
import { AttentionLog, checkAttention, checkList } from './attention-scores.js';
import { ModelCache } from '../model/cache.js';
import { makeRows } from '../model/cache-row.js';
import { PassJob } from '../model/pass-job.js';
import { checkIds, emptyResult, read, readSync } from '../model/reader.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */

/**
 * @typedef {object} ForwardOptions
 * @property {ModelCache} [cache] the ids are appended to it; without one they are read from scratch
 * @property {'last' | 'all'} [positions] whose logits are wanted: 'last', the default, or 'all', of one text
 * @property {readonly (number | 'final')[]} [hiddenStates] layers whose hidden states are wanted, of all positions of one text; 'final':
 *   those after the final norm, from which logits are made
 * @property {import('./attention-scores.js').AttentionOption} [attention] layers, and heads, whose attention scores are wanted, of one text
 * @property {AbortSignal | null} [signal] noticed within milliseconds; the cache then holds what its `tokens` say
 *
 * @typedef {object} Inside the result with hiddenStates or attention
 * @property {Tensor} logits
 * @property {Tensor[]} [hiddenStates] [n, width] each, in the order asked for
 * @property {import('./attention-scores.js').AttentionScores | import('./attention-scores.js').AttentionScores[]} [attention] of the
 *   layer asked for, or a list if several were
 */

/**
 * @template {ForwardOptions} O
 * @typedef {O extends { hiddenStates: any } | { attention: any } ? Inside
 *   : keyof O & ('hiddenStates' | 'attention') extends never ? Tensor : Tensor | Inside} ForwardResult
 */

const OPTIONS = ['cache', 'positions', 'hiddenStates', 'attention', 'signal'];

/**
 * @param {LanguageModel} model
 * @param {unknown} ids
 * @param {ForwardOptions} options
 */
function prepare(model, ids, options) {
    model.network.check('forward');
    checkOptionNames('forward', options, OPTIONS);
    const { cache, positions = 'last', signal } = options;
    checkSignal(signal);
    if (positions !== 'last' && positions !== 'all') {
        throw rangeError('positions', "'last' or 'all'", positions);
    }
    const texts = textsOf(model, ids);
    const { hiddenStates, attention } = checkInside(model, options, texts.length);
    const every = positions === 'all';
    if (every && texts.length > 1) {
        throw new RangeError("positions must be 'last' for a batch of texts, got 'all'");
    }
    if (cache !== undefined && !(cache instanceof ModelCache && cache._network === model.network)) {
        throw typeError('cache', 'made by this model\'s createCache()', cache);
    }
    if (cache && cache.batch !== texts.length) {
        throw rangeError('ids', `a list of ${cache.batch} lists, one for each text of the cache`, ids);
    }
    const longest = Math.max(...texts.map(({ length }) => length));
    if (!cache && longest > model.contextLength) {
        throw new RangeError(`ids must be at most contextLength ${model.contextLength}, got ${longest}`);
    }
    return { cache, every, texts, signal, hiddenStates, attention };
}

/**
 * @param {LanguageModel} model
 * @param {ForwardOptions} options
 * @param {number} count of texts
 */
function checkInside(model, { hiddenStates, attention }, count) {
    const name = hiddenStates !== undefined ? 'hiddenStates' : 'attention';
    if ((hiddenStates !== undefined || attention !== undefined) && count > 1) {
        throw new RangeError(`${name}: of one text at a time`);
    }
    /** @type {(number | 'final')[]} */
    const wanted = [];
    if (hiddenStates !== undefined) {
        if (!Array.isArray(hiddenStates)) {
            throw typeError('hiddenStates', "a list, of layers and 'final'", hiddenStates);
        }
        if (hiddenStates.length > model.layers + 1) {
            throw rangeError('hiddenStates', `at most ${model.layers + 1}`, hiddenStates);
        }
        wanted.push(...hiddenStates);
        const layers = wanted.filter((layer) => layer !== 'final');
        if (wanted.length - layers.length > 1) {
            throw rangeError('hiddenStates', "a layer each once, as 'final'", hiddenStates);
        }
        if (layers.length > 0 || wanted.length === 0) {
            checkList('hiddenStates', layers, model.layers, "'final' or a layer");
        }
    }
    // The state after the final norm has the number after that of the last layer.
    const states = wanted.map((layer) => (layer === 'final' ? model.layers : layer));
    return { hiddenStates: states, attention: attention === undefined ? null : checkAttention(model, attention) };
}

/** @param {LanguageModel} model @param {unknown} ids @returns {Uint32Array[]} one text or several */
function textsOf(model, ids) {
    const { vocabulary } = model.network.description;
    const batch = Array.isArray(ids) && ids.length > 0 && typeof ids[0] === 'object';
    const texts = batch ? Array.from(ids, (list, i) => checkIds(`ids[${i}]`, list, vocabulary)) : [checkIds('ids', ids, vocabulary)];
    if (texts.some(({ length }) => length === 0)) {
        throw rangeError('ids', 'at least one token for each text', ids);
    }
    return texts;
}

/**
 * The cache rows to read into, and what lets go of them afterwards.
 * @param {LanguageModel} model
 * @param {ModelCache | undefined} cache
 * @param {Uint32Array[]} texts
 */
function rowsOf(model, cache, texts) {
    if (cache) {
        cache._rows.forEach((row, i) => row.checkRoom(texts[i].length));
        return { rows: cache._lock('forward'), release: () => cache._unlock() };
    }
    const rows = makeRows(model.network, texts.length, (i) => texts[i].length, model.cacheDtype);
    return { rows, release: () => rows.forEach((row) => row.dispose()) };
}

/**
 * @template {ForwardOptions} O
 * @param {LanguageModel} model
 * @param {unknown} ids
 * @param {O} options
 * @returns {Promise<ForwardResult<O>>} [1, V], [n, V] for positions 'all', [B, V] for a batch
 */
export async function forward(model, ids, options) {
    const call = new Forward(model, ids, options);
    try {
        await read(call.job, call.runs, call.wanted);
        return /** @type {ForwardResult<O>} */ (call.result());
    } finally {
        call.end();
    }
}

/** @template {ForwardOptions} O @param {LanguageModel} model @param {unknown} ids @param {O} options @returns {ForwardResult<O>} */
export function forwardSync(model, ids, options) {
    const call = new Forward(model, ids, options);
    try {
        readSync(call.job, call.runs, call.wanted);
        return /** @type {ForwardResult<O>} */ (call.result());
    } finally {
        call.end();
    }
}

/** One call: its arguments checked, its results allocated. */
class Forward {
    /** @param {LanguageModel} model @param {unknown} ids @param {ForwardOptions} options */
    constructor(model, ids, options) {
        const { cache, every, texts, signal, hiddenStates, attention } = prepare(model, ids, options);
        const { network } = model;
        const { width, vocabulary } = network.description;
        this._network = network;
        this._runtime = network.runtime;
        const { rows, release } = rowsOf(model, cache, texts);
        this._release = release;
        this._hidden = 0;
        this._attention = attention && new AttentionLog(model, attention);
        this._looks = attention !== null || hiddenStates.length > 0;
        /** The logits, then hidden states. @type {Tensor[]} */
        this._tensors = [];
        try {
            signal?.throwIfAborted();
            this._tensors.push(emptyResult(this._runtime, [every ? texts[0].length : texts.length, vocabulary]));
            hiddenStates.forEach(() => this._tensors.push(emptyResult(this._runtime, [texts[0].length, width])));
            this._hidden = every ? 0 : this._runtime.memory.alloc(4 * texts.length * width);
        } catch (error) {
            this.end();
            throw error;
        }
        this.job = cache ? cache._passes : new PassJob(network);
        this.job.signal = signal;
        this.job.watch = this._attention?.watch ?? null;
        this.runs = rows.map((row, i) => ({ row, ids: texts[i] }));
        const [logits, ...kept] = this._tensors;
        const states = kept.map(({ _address: address }, i) => ({ layer: hiddenStates[i], address }));
        this.wanted = { logits: logits._address, hidden: this._hidden, every, ...(states.length > 0 && { states }) };
    }

    /** @returns {Tensor | Inside} once everything has been computed */
    result() {
        // Other tasks ran since the last pass ended.
        this._network.check('forward');
        const all = this._tensors;
        this._tensors = [];
        all.forEach((tensor) => this._runtime._results.add(tensor));
        const [logits, ...hiddenStates] = all;
        if (!this._looks) {
            return logits;
        }
        return {
            logits, ...(hiddenStates.length > 0 && { hiddenStates }), ...(this._attention && { attention: this._attention.take() }),
        };
    }

    /** Frees what has not been returned. */
    end() {
        if (this.job) {
            this.job.watch = null;
        }
        this._tensors.forEach((tensor) => tensor.dispose());
        this._tensors = [];
        this._runtime._free(this._hidden);
        this._hidden = 0;
        this._release();
    }
}
