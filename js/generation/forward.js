// Logits of given tokens, read cold or into a cache.

import { checkOptionNames, checkSignal, rangeError, typeError } from '../check.js';
import { CacheRow, ModelCache } from '../model/cache.js';
import { PassJob, checkIds, emptyResult, read, readSync } from '../model/reader.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */
/** @typedef {import('../engine/tensor.js').Tensor} Tensor */

/**
 * @typedef {object} ForwardOptions
 * @property {ModelCache} [cache] what the ids are appended to; without one they are read cold
 * @property {'last' | 'all'} [positions] whose logits are wanted; 'all' for one text
 * @property {AbortSignal} [signal] noticed within milliseconds; the cache then holds what its `tokens` say, whole passes
 */

const OPTIONS = ['cache', 'positions', 'signal'];

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
    return { cache, every, texts, signal };
}

/** @param {LanguageModel} model @param {unknown} ids @returns {Uint32Array[]} one text or several */
function textsOf(model, ids) {
    const { vocabulary } = model.network.description;
    const batch = Array.isArray(ids) && ids.length > 0 && typeof ids[0] === 'object';
    const texts = batch ? ids.map((list, i) => checkIds(`ids[${i}]`, list, vocabulary)) : [checkIds('ids', ids, vocabulary)];
    if (texts.some(({ length }) => length === 0)) {
        throw rangeError('ids', 'at least one token for each text', ids);
    }
    return texts;
}

/**
 * The caches to read into, and what to do with them afterwards.
 * @param {LanguageModel} model
 * @param {ModelCache | undefined} cache
 * @param {Uint32Array[]} texts
 */
function rowsOf(model, cache, texts) {
    if (cache) {
        const rows = cache._lock('forward');
        const overflow = rows.findIndex((row, i) => row.sinks < 0 && row.length + texts[i].length > row.capacity);
        if (overflow >= 0) {
            cache._unlock();
            throw new RangeError(`ids must fit into the cache: it holds ${rows[overflow].length} of ${rows[overflow].capacity} ` +
                `positions, got ${texts[overflow].length} more`);
        }
        return { rows, release: () => cache._unlock() };
    }
    /** @type {CacheRow[]} */
    const rows = [];
    const release = () => rows.forEach((row) => row.dispose());
    try {
        texts.forEach(({ length }) => rows.push(new CacheRow(model.network, length, model.cacheDtype)));
    } catch (error) {
        release();
        throw error;
    }
    return { rows, release };
}

/**
 * @param {LanguageModel} model
 * @param {unknown} ids
 * @param {ForwardOptions} options
 * @returns {Promise<Tensor>} [1, V], [n, V] for positions 'all', [B, V] for a batch
 */
export async function forward(model, ids, options) {
    const call = new Forward(model, ids, options);
    try {
        await read(call.job, call.runs, call.wanted);
        return call.result();
    } finally {
        call.end();
    }
}

/** @param {LanguageModel} model @param {unknown} ids @param {ForwardOptions} options @returns {Tensor} */
export function forwardSync(model, ids, options) {
    const call = new Forward(model, ids, options);
    try {
        readSync(call.job, call.runs, call.wanted);
        return call.result();
    } finally {
        call.end();
    }
}

/** One call: checked, with room for what it gives. */
class Forward {
    /** @param {LanguageModel} model @param {unknown} ids @param {ForwardOptions} options */
    constructor(model, ids, options) {
        const { cache, every, texts, signal } = prepare(model, ids, options);
        const { network } = model;
        const { width, vocabulary } = network.description;
        this._runtime = network.runtime;
        const { rows, release } = rowsOf(model, cache, texts);
        this._release = release;
        this._hidden = 0;
        /** @type {Tensor | null} */
        this._tensor = null;
        try {
            signal?.throwIfAborted();
            this._tensor = emptyResult(this._runtime, [every ? texts[0].length : texts.length, vocabulary]);
            this._hidden = every ? 0 : this._runtime.memory.alloc(4 * texts.length * width);
        } catch (error) {
            this.end();
            throw error;
        }
        this.job = cache ? cache._passes : new PassJob(network);
        this.job.signal = signal;
        this.runs = rows.map((row, i) => ({ row, ids: texts[i] }));
        this.wanted = { logits: this._tensor._address, hidden: this._hidden, every };
    }

    /** @returns {Tensor} what has been computed */
    result() {
        const tensor = /** @type {Tensor} */ (this._tensor);
        this._tensor = null;
        this._runtime._results.add(tensor);
        return tensor;
    }

    /** Frees what is not handed out. */
    end() {
        this._tensor?.dispose();
        this._tensor = null;
        this._runtime._free(this._hidden);
        this._hidden = 0;
        this._release();
    }
}
