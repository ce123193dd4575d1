// The options of generate(): all of them are checked, together, before any work begins.

import { checkProgress, checkSignal, positiveInteger, rangeError, typeError } from '../check.js';
import { ModelCache } from '../model/cache.js';
import { checkStops } from '../text/text-stream.js';
import { checkAttention } from './attention-scores.js';
import { CONSTRAINT_OPTIONS, createConstraint } from './constraints/index.js';
import { PrefixStore } from './prefix-store.js';
import { PROCESSOR_OPTIONS, createProcessors } from './processors.js';
import { SpeculativeSampler } from './samplers.js';
import { getSampler } from './get-sampler.js';
import { takeOptions } from './take-options.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */

/**
 * @typedef {object} GenerateOwnOptions
 * @property {number} [maxNewTokens] default: no limit but the model's end token and contextLength
 * @property {string | import('./samplers.js').Sampler} [sampler] 'greedy', 'top_k', 'top_p', 'random', 'beam',
 *   'contrastive' or a sampler object. Default: beam if numBeams is given, else greedy if temperature is 0, else top_k if topK is
 *   given, else top_p if topP is, else random if minP is, else top_k, Keras Hub's default. If none of sampler, temperature,
 *   topK, topP, minP and numBeams is given, the model's generation_config.json or its GGUF file's general.sampling decides
 * @property {number} [temperature] divides the logits; default 1. 0: greedy
 * @property {number} [topK] sample from the topK most probable tokens; default for top_k: 5, as in Keras Hub
 * @property {number} [topP] nucleus sampling: sample from the most probable tokens whose probabilities add up to topP. With topK,
 *   the nucleus of the topK most probable tokens, as in transformers and llama.cpp; only the sampler 'top_p' with topK does as
 *   Keras does: the nucleus of all tokens, at most topK of them
 * @property {number} [minP] sample from the tokens that are at least minP times as probable as the most probable one
 * @property {number} [numBeams] number of beams of beam search
 * @property {number} [seed] an integer; the same seed gives the same text
 * @property {string | readonly string[]} [stop] the text ends before the first of these strings; the text of a special token is
 *   found too. Default: the stop_strings of the model's generation_config.json, but not with `json`, `choices` or `pattern`
 * @property {ModelCache} [cache] a cache of this model for one text. The beginning that its tokens and the prompt have in common is
 *   not read again, except by contrastive search, which needs its hidden states. `cache.tokens` says what it holds afterwards,
 *   however the text ended. It belongs to one text at a time: after an abort, wait until the iteration has ended
 * @property {PrefixStore} [prefixes] where keys and values of prompts are kept: what it has of the prompt's beginning is loaded
 *   instead of read, and what is read is added. Not with contrastive search
 * @property {readonly object[]} [tools] for the chat template, if the prompt is messages; refused if the template reads none
 * @property {LanguageModel | 'prompt'} [draft] speculative decoding: what guesses the next tokens, which the model then checks in one
 *   pass. A model with the same vocabulary, or 'prompt': what followed the same tokens earlier in the text. The text is the same as
 *   without a draft. Not with beam or contrastive search
 * @property {number} [draftTokens] guesses per pass; default: up to 11, fewer or none while drafting is slower than doing without
 * @property {AbortSignal | null} [signal] noticed within milliseconds, also while the prompt is read
 * @property {(progress: { phase: 'prefill', done: number, total: number, index?: number }) => void} [onProgress] how many tokens of
 *   the prompt have been read; index: which prompt, if there is a list of them
 * @property {number} [candidates] each item comes with this many of the most probable tokens that it was chosen from; not with beam
 *   search
 * @property {import('./attention-scores.js').AttentionOption} [attention] whose attention scores come with each token: a layer, a list
 *   of layers, or { layers, heads }. Not with beam or contrastive search, or a draft
 *
 * @typedef {GenerateOwnOptions & import('./processors.js').ProcessorOptions
 *   & import('./constraints/index.js').ConstraintOptions} GenerateOptions
 */

/** @typedef {{ count: number, adapts: boolean }} DraftTokens guesses per pass; adapts: fewer while more are not worth it */

/**
 * @typedef {object} Settings options as checked
 * @property {number} maxNewTokens
 * @property {import('./samplers.js').Sampler} sampler
 * @property {string[]} stops
 * @property {AbortSignal | null | undefined} signal
 * @property {GenerateOptions['onProgress']} onProgress
 * @property {number} candidates
 * @property {import('./attention-scores.js').Wanted | null} attention
 * @property {ModelCache | undefined} cache
 * @property {PrefixStore | undefined} prefixes
 * @property {import('./processors.js').Processors | null} processors
 * @property {import('./constraints/index.js').Constraint | null} constraint
 * @property {number} most positions that prompt and text may take
 * @property {LanguageModel | 'prompt' | undefined} draft
 * @property {DraftTokens} draftTokens
 */

export const OPTIONS = [
    'maxNewTokens', 'sampler', 'temperature', 'topK', 'topP', 'minP', 'numBeams', 'seed', 'stop', 'cache', 'prefixes', 'tools', 'draft',
    'draftTokens', 'signal', 'onProgress', 'candidates', 'attention', ...PROCESSOR_OPTIONS, ...CONSTRAINT_OPTIONS,
];

/** Options that say how tokens are drawn. If one of them is given, the file's own settings are not used. */
const DRAWING = /** @type {const} */ (['sampler', 'temperature', 'topK', 'topP', 'minP', 'numBeams']);

/** Most positions of a text in a cache with sinks: the cache itself has no end. */
const RING_LENGTH = 2 ** 20;

/**
 * @param {LanguageModel} model
 * @param {Uint32Array} ids of the prompt
 * @param {GenerateOptions} options as takeOptions() returns them
 * @returns {Settings}
 */
export function checkSettings(model, ids, options) {
    const { maxNewTokens = Infinity, signal, onProgress, candidates = 0, cache, prefixes } = options;
    if (maxNewTokens !== Infinity && !(Number.isInteger(maxNewTokens) && maxNewTokens >= 0)) {
        throw rangeError('maxNewTokens', 'an integer of 0 or more', maxNewTokens);
    }
    checkSignal(signal);
    checkProgress(onProgress);
    const { merged, sampler } = withDefaults(model, options);
    if (candidates !== 0) {
        positiveInteger('candidates', candidates);
    }
    if (candidates !== 0 && sampler.kind === 'beam') {
        throw new TypeError('candidates: beam search chooses whole texts, not tokens');
    }
    const attention = options.attention === undefined ? null : checkAttention(model, options.attention);
    if (attention !== null && sampler.kind !== 'row') {
        throw new TypeError(`attention: ${sampler.kind} search reads several texts at once`);
    }
    checkCache(model, cache);
    checkPrefixes(prefixes, sampler.kind);
    const draftTokens = checkDraft(model, options, sampler);
    const most = roomOf(model, cache);
    const needed = maxNewTokens === 0 ? ids.length : ids.length + 1;
    if (needed > most) {
        throw new RangeError(`prompt must leave room for a token in ${most} positions, got ${ids.length} tokens`);
    }
    const stops = checkStops(merged.stop);
    if (stops.length > 0) {
        model._needTokenizer('stop');
    }
    if (merged.noRepeatNgram && CONSTRAINT_OPTIONS.some((name) => options[name] !== undefined)) {
        throw new TypeError('noRepeatNgram: a text that is held to something may have to repeat itself');
    }
    const processors = createProcessors(merged, {
        vocabularySize: model.vocabularySize, promptLength: ids.length, kind: sampler.kind,
    });
    // Where no token is wanted, what a text could be held to is checked and fits.
    const room = maxNewTokens === 0 ? Infinity : Math.min(maxNewTokens, most - ids.length);
    const constraint = createConstraint(model, options, { room, kind: sampler.kind });
    return {
        maxNewTokens, sampler, stops, signal, onProgress, candidates, attention, cache, prefixes, processors, constraint, most,
        draft: options.draft, draftTokens,
    };
}

/**
 * The options of each of several prompts. A cache or a sampler object belongs to one text, so prompts must not share one.
 * @param {number} count
 * @param {GenerateOptions | readonly GenerateOptions[]} options for all, or a list
 * @returns {GenerateOptions[]}
 */
export function optionsOfEach(count, options) {
    if (Array.isArray(options) && options.length !== count) {
        throw rangeError('options', `a list of ${count}, one for each prompt`, options);
    }
    const each = Array.isArray(options) ? Array.from(options, (one) => takeOptions('generate', one, OPTIONS))
        : new Array(count).fill(takeOptions('generate', options, OPTIONS));
    for (const name of /** @type {const} */ (['cache', 'sampler'])) {
        const own = each.map((one) => one[name]).filter((value) => typeof value === 'object');
        if (new Set(own).size < own.length) {
            throw new TypeError(`${name}: texts that are written together cannot share one; give each prompt its options, in a list`);
        }
    }
    return each;
}

/**
 * What the model's files say of drawing, where the caller does not.
 * @param {LanguageModel} model
 * @param {GenerateOptions} options
 * @returns {{ merged: GenerateOptions, sampler: import('./samplers.js').Sampler }}
 */
function withDefaults(model, options) {
    const { repetitionPenalty, noRepeatNgram, stop, ...usual } = model._sampling ?? {};
    const told = DRAWING.some((name) => options[name] !== undefined);
    const sampler = getSampler(told ? options : { ...usual, ...options });
    // A constraint may demand what a penalty forbids: JSON repeats its names.
    const held = CONSTRAINT_OPTIONS.some((name) => options[name] !== undefined);
    // Beam and contrastive search have no penalties, however they were asked for.
    const penalties = held || sampler.kind !== 'row' ? {} : { repetitionPenalty, noRepeatNgram };
    // A constraint says itself where a text ends: a stop string of the file's would cut JSON short. `allowed` has no such end.
    const stops = stop && model.tokenizer && (!held || options.allowed !== undefined) ? { stop } : {};
    return { merged: { ...penalties, ...stops, ...options }, sampler };
}

/** @param {unknown} prefixes @param {string} kind of the sampler */
function checkPrefixes(prefixes, kind) {
    if (prefixes !== undefined && !(prefixes instanceof PrefixStore)) {
        throw typeError('prefixes', 'a PrefixStore of this package', prefixes);
    }
    if (prefixes && kind === 'contrastive') {
        throw new TypeError('prefixes: contrastive search needs the hidden states of the whole prompt');
    }
}

/** @param {LanguageModel} model @param {unknown} cache */
function checkCache(model, cache) {
    if (cache === undefined) {
        return;
    }
    if (!(cache instanceof ModelCache && cache._network === model.network)) {
        throw typeError('cache', 'made by this model\'s createCache()', cache);
    }
    cache._check('generate');
    if (cache.batch !== 1) {
        throw rangeError('cache', 'a cache of one text', cache.batch);
    }
}

/**
 * @param {LanguageModel} model
 * @param {GenerateOptions} options
 * @param {import('./samplers.js').Sampler} sampler
 * @returns {DraftTokens} tokens guessed at a time
 */
function checkDraft(model, { draft, draftTokens, cache, attention }, sampler) {
    const speculative = sampler instanceof SpeculativeSampler ? sampler.numSpeculativeTokens : undefined;
    if (draft === undefined) {
        if (speculative !== undefined) {
            throw new TypeError("sampler: a SpeculativeSampler needs a draft, a model or 'prompt'");
        }
        if (draftTokens !== undefined) {
            throw new TypeError('draftTokens belong to a draft');
        }
        return { count: 0, adapts: false };
    }
    if (draft !== 'prompt' && typeof draft?.network?.check !== 'function') {
        throw typeError('draft', "a model or 'prompt'", draft);
    }
    if (draft !== 'prompt') {
        draft.network.check('draft');
        if (draft.network.runtime !== model.network.runtime) {
            throw new RangeError("draft must be a model of the model's own runtime, got one of another");
        }
        if (draft.vocabularySize !== model.vocabularySize) {
            throw rangeError('draft', `a model with a vocabulary of ${model.vocabularySize}`, draft.vocabularySize);
        }
    }
    if (speculative !== undefined && draftTokens !== undefined) {
        throw new TypeError('draftTokens: the SpeculativeSampler says how many');
    }
    if (sampler.kind !== 'row' || attention !== undefined || (cache && cache._rows[0].sinks >= 0)) {
        throw new TypeError('draft: not with beam or contrastive search, attention, or a cache with sinks');
    }
    const told = draftTokens ?? speculative;
    return { count: positiveInteger('draftTokens', told ?? 11), adapts: told === undefined };
}

/** @param {LanguageModel} model @param {ModelCache | undefined} cache @returns {number} positions that prompt and text may take */
function roomOf(model, cache) {
    const row = cache?._rows[0];
    if (row && row.sinks >= 0) {
        return RING_LENGTH;
    }
    // The list of tokens is allocated in advance, so its length is bounded by what the memory could hold in int8, the smallest cache.
    return Math.min(row?.capacity ?? model.contextLength, Math.floor(4 * model.network.runtime.memory.max / model.cacheBytesPerToken));
}
