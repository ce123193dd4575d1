// The loop that writes: reads the prompt, then chooses, hands out and reads one token after the other.

import { checkOptionNames, positiveInteger, rangeError, typeError } from '../check.js';
import { otherTasks } from '../engine/threads.js';
import { checkSignal } from '../files/source.js';
import { CacheRow, ModelCache } from '../model/cache.js';
import { checkIds } from '../model/reader.js';
import { TextStream, checkStops } from '../text/text-stream.js';
import { Choice } from './choice.js';
import { createSearch } from './create-search.js';
import { PROCESSOR_OPTIONS, createProcessors } from './processors.js';
import { getSampler } from './samplers.js';
import { ModelDraft, PromptDraft, SpeculativeSearch } from './speculative.js';
import { ModelSteps } from './steps.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */

/**
 * @typedef {object} GenerateOwnOptions
 * @property {number} [maxNewTokens] default: until the model ends the text or contextLength is reached
 * @property {string | import('./samplers.js').Sampler} [sampler] 'greedy', 'top_k', 'top_p', 'random', 'beam',
 *   'contrastive' or a sampler object. Default: greedy if temperature is 0, else top_p if topP is given, else top_k,
 *   Keras Hub's default. Where nothing of temperature, topK, topP, minP and sampler is given, what the model's
 *   generation_config.json says
 * @property {number} [temperature] 1; divides the logits. 0: greedy
 * @property {number} [topK] draw from the so many most probable tokens; 5 for top_k, Keras Hub's default
 * @property {number} [topP] draw from the most probable tokens that make up so much; with topK from those
 * @property {number} [minP] draw from the tokens that are at least so probable, relative to the most probable one
 * @property {number} [numBeams] of beam search
 * @property {number} [seed] an integer: the same seed, the same text
 * @property {string | string[]} [stop] the text ends before the first of these; may be a special token's text
 * @property {ModelCache} [cache] of this model, one text: what it holds of the prompt's beginning is not read again. Afterwards,
 *   however the text ended, it holds what `cache.tokens` says
 * @property {object[]} [tools] for the chat template, where the prompt is messages
 * @property {LanguageModel | 'prompt'} [draft] guesses tokens ahead, which one pass then reads: a model with the same vocabulary,
 *   or what followed the same tokens earlier in the text. The text is the same as without; not with beam or contrastive search
 * @property {number} [draftTokens] so many at a time, 5
 * @property {AbortSignal} [signal] noticed within milliseconds, also while the prompt is read
 * @property {(progress: { phase: 'prefill', done: number, total: number }) => void} [onProgress] tokens of the prompt
 *   read
 * @property {number} [candidates] so many of the tokens that each was chosen from come with it; not with beam search
 * @property {number} [attention] layer whose attention scores come with each token; not with beam or contrastive search
 *
 * @typedef {GenerateOwnOptions & import('./processors.js').ProcessorOptions} GenerateOptions
 *
 * @typedef {object} GeneratedItem
 * @property {number} token
 * @property {string} text what became certain with this token: empty while a character, or what may be a stop string,
 *   is incomplete, and always where the model has no tokenizer
 * @property {'end' | 'stop' | 'length' | 'context'} [finish] on the last one, why it is: the model ended the text
 *   (`token` is its end token, which has no text), a stop string came, maxNewTokens or contextLength was reached
 * @property {{ token: number, text: string, probability: number }[]} [candidates] best first: what could be drawn,
 *   and how likely; greedy and contrastive: the model's own probabilities
 * @property {AttentionScores} [attention]
 * @property {true} [drafted] with `draft`: on tokens that it had guessed
 *
 * @typedef {object} AttentionScores of the positions fed since the last token: first the whole prompt, then one
 * @property {number} layer
 * @property {number} start first position that is a row
 * @property {number[]} shape [heads, rows, positions], positions = start + rows
 * @property {Float32Array} data each row adds up to 1
 */

const OPTIONS = [
    'maxNewTokens', 'sampler', 'temperature', 'topK', 'topP', 'minP', 'numBeams', 'seed', 'stop', 'cache', 'tools', 'draft', 'draftTokens',
    'signal',
    'onProgress', 'candidates', 'attention', ...PROCESSOR_OPTIONS,
];

/** Options that say how tokens are drawn: where one is given, the file's own settings stand back. */
const DRAWING = /** @type {const} */ (['sampler', 'temperature', 'topK', 'topP', 'minP', 'numBeams']);

/** Positions that a text in a ring of a cache may take where nobody says: the ring itself has no end. */
const RING_LENGTH = 2 ** 20;

/** Milliseconds of work after which other tasks of this thread get a turn. */
const TURN = 8;

/**
 * Checks everything now; the work begins when the first item is asked for.
 * @param {LanguageModel} model
 * @param {unknown} prompt
 * @param {GenerateOptions} options
 * @returns {AsyncGenerator<GeneratedItem, void, undefined>}
 */
export function generate(model, prompt, options) {
    model.network.check('generate');
    checkOptionNames('generate', options, OPTIONS);
    const { maxNewTokens = Infinity, signal, onProgress, candidates = 0, attention, cache } = options;
    if (maxNewTokens !== Infinity && !(Number.isInteger(maxNewTokens) && maxNewTokens >= 0)) {
        throw rangeError('maxNewTokens', 'an integer of 0 or more', maxNewTokens);
    }
    checkSignal(signal);
    const drawing = withDefaults(model, options);
    const sampler = getSampler(drawing);
    if (candidates !== 0) {
        positiveInteger('candidates', candidates);
    }
    if (candidates !== 0 && sampler.kind === 'beam') {
        throw new TypeError('candidates: beam search chooses whole texts, not tokens');
    }
    if (attention !== undefined && !(Number.isInteger(attention) && attention >= 0 && attention < model.layers)) {
        throw rangeError('attention', `a layer from 0 to ${model.layers - 1}`, attention);
    }
    if (attention !== undefined && sampler.kind !== 'row') {
        throw new TypeError(`attention: ${sampler.kind} search reads several texts at once`);
    }
    checkCache(model, cache);
    const draftTokens = checkDraft(model, options, sampler.kind);
    const ids = promptIds(model, prompt, options);
    const most = roomOf(model, cache);
    const needed = maxNewTokens === 0 ? ids.length : ids.length + 1;
    if (needed > most) {
        throw new RangeError(`prompt must leave room for a token in ${most} positions, got ${ids.length} tokens`);
    }
    const stops = checkStops(options.stop);
    if (stops.length > 0) {
        model._needTokenizer('stop');
    }
    const processors = createProcessors(drawing, {
        vocabularySize: model.vocabularySize, promptLength: ids.length, kind: sampler.kind,
    });
    const settings = { maxNewTokens, sampler, stops, signal, onProgress, candidates, attention, cache, processors, most, draft: options.draft, draftTokens };
    return new Generation(model, ids, settings).run();
}

/** @param {LanguageModel} model @param {GenerateOptions} options @returns {GenerateOptions} */
function withDefaults(model, options) {
    const usual = model._sampling;
    if (usual === null) {
        return options;
    }
    const { repetitionPenalty, noRepeatNgram, ...drawing } = usual;
    const told = DRAWING.some((name) => options[name] !== undefined);
    const beams = options.sampler === 'beam' || options.sampler === 'contrastive';
    const penalties = beams ? {} : { ...(repetitionPenalty && { repetitionPenalty }), ...(noRepeatNgram && { noRepeatNgram }) };
    return { ...penalties, ...(told ? {} : drawing), ...options };
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
 * @param {string} kind of the sampler
 * @returns {number} tokens guessed at a time
 */
function checkDraft(model, { draft, draftTokens, cache, attention }, kind) {
    if (draft === undefined) {
        if (draftTokens !== undefined) {
            throw new TypeError('draftTokens belong to a draft');
        }
        return 0;
    }
    if (draft !== 'prompt' && typeof draft?.network?.check !== 'function') {
        throw typeError('draft', "a model or 'prompt'", draft);
    }
    if (draft !== 'prompt') {
        draft.network.check('draft');
        if (draft.vocabularySize !== model.vocabularySize || draft.network.runtime !== model.network.runtime) {
            throw rangeError('draft', `a model of the same runtime with a vocabulary of ${model.vocabularySize}`, draft.vocabularySize);
        }
    }
    if (kind !== 'row' || attention !== undefined || (cache && cache._rows[0].sinks >= 0)) {
        throw new TypeError('draft: not with beam or contrastive search, attention, or a cache with sinks');
    }
    return positiveInteger('draftTokens', draftTokens ?? 5);
}

/** @param {LanguageModel} model @param {ModelCache | undefined} cache @returns {number} positions that prompt and text may take */
function roomOf(model, cache) {
    if (!cache) {
        return model.contextLength;
    }
    const [row] = cache._rows;
    return row.sinks >= 0 ? RING_LENGTH : row.capacity;
}

/**
 * @param {LanguageModel} model
 * @param {unknown} prompt
 * @param {GenerateOptions} options
 * @returns {Uint32Array}
 */
function promptIds(model, prompt, { tools }) {
    const chat = Array.isArray(prompt) && prompt.length > 0 && typeof prompt[0] === 'object' && prompt[0] !== null;
    if (tools !== undefined && !chat) {
        throw new TypeError('tools belong to a prompt of messages');
    }
    let ids;
    if (chat) {
        const tokenizer = model._needTokenizer('prompt');
        ids = tokenizer.encode(tokenizer.applyChatTemplate(prompt, tools === undefined ? {} : { tools }), { addSpecialTokens: false });
    } else if (typeof prompt === 'string') {
        ids = model.promptTokens(prompt);
    } else if (typeof prompt === 'object' && prompt !== null && 'length' in prompt) {
        ids = prompt;
    } else {
        throw typeError('prompt', 'a string, a list of tokens or a list of messages', prompt);
    }
    const checked = checkIds('prompt', ids, model.vocabularySize);
    if (checked.length === 0) {
        throw rangeError('prompt', 'at least one token: this model has no start token', prompt);
    }
    return checked;
}

/**
 * @typedef {object} Settings options as checked
 * @property {number} maxNewTokens
 * @property {import('./samplers.js').Sampler} sampler
 * @property {string[]} stops
 * @property {AbortSignal | undefined} signal
 * @property {GenerateOptions['onProgress']} onProgress
 * @property {number} candidates
 * @property {number | undefined} attention
 * @property {ModelCache | undefined} cache
 * @property {import('./processors.js').Processors | null} processors
 * @property {number} most positions
 * @property {LanguageModel | 'prompt' | undefined} draft
 * @property {number} draftTokens
 */

/** One text being written. */
class Generation {
    /** @param {LanguageModel} model @param {Uint32Array} ids @param {Settings} settings */
    constructor(model, ids, settings) {
        this._model = model;
        this._ids = ids;
        this._settings = settings;
        this._stream = model.tokenizer && new TextStream(model.tokenizer, settings.stops);
        /** Positions that have been handed out, the prompt's included. */
        this._given = ids.length;
        this._lastTurn = 0;
        this._best = new Choice(settings.candidates > 0 ? model.vocabularySize : 0);
        /** Scores since the last item. @type {{ start: number, rows: number, data: Float32Array }[]} */
        this._pieces = [];
        /** @type {import('./speculative.js').Draft | null} */
        this._draft = null;
    }

    /** @returns {AsyncGenerator<GeneratedItem, void, undefined>} */
    async *run() {
        const model = this._model;
        const { maxNewTokens, signal, cache, attention } = this._settings;
        if (maxNewTokens === 0) {
            return;
        }
        signal?.throwIfAborted();
        const steps = this._open(cache);
        /** @type {ReturnType<typeof createSearch> | SpeculativeSearch | null} */
        let search = null;
        try {
            search = await this._begin(steps);
            for (let finished = false; !finished;) {
                const picked = search.pick();
                const done = picked instanceof Promise ? await picked : picked;
                for (const item of this._items(search, done)) {
                    if (attention !== undefined) {
                        item.attention = collectAttention(attention, this._pieces.splice(0), model.heads);
                    }
                    if (search instanceof SpeculativeSearch && search.drafted) {
                        item.drafted = true;
                    }
                    finished = item.finish !== undefined;
                    yield item;
                    if (finished) {
                        return;
                    }
                }
                if (this._isTurnOver()) {
                    await this._turn();
                }
                signal?.throwIfAborted();
                await search.feed();
            }
        } finally {
            if (search instanceof SpeculativeSearch) {
                search.settle();
            }
            this._draft?.dispose();
            model._working.delete(steps);
            steps.dispose();
            cache?._unlock();
        }
    }

    /** @param {ModelCache | undefined} cache @returns {ModelSteps} */
    _open(cache) {
        const model = this._model;
        const { most, maxNewTokens, attention, signal } = this._settings;
        if (cache) {
            cache.reuse(this._ids);
        }
        const rows = cache ? cache._lock('generate')
            : [new CacheRow(model.network, Math.min(most, this._ids.length + maxNewTokens), model.cacheDtype)];
        let steps;
        try {
            steps = new ModelSteps(model.network, rows, cache === undefined);
        } catch (error) {
            cache?._unlock();
            throw error;
        }
        steps.signal = signal;
        model._working.add(steps);
        if (attention !== undefined) {
            steps.watch(attention, (scores, t, start) => this._pieces.push({ start, rows: t, data: scores.slice() }));
        }
        return steps;
    }

    /** Reads the prompt, but for what a cache has of it. @param {ModelSteps} steps */
    async _begin(steps) {
        const { sampler, signal, onProgress, most, maxNewTokens, processors, draft, draftTokens } = this._settings;
        const total = this._ids.length;
        const length = Math.min(most, total + maxNewTokens);
        const held = steps.rows[0].length;
        const tokens = new Int32Array(length).fill(-1);
        tokens.set(this._ids);
        const { width } = steps;
        const hidden = sampler.kind === 'contrastive' ? new Float32Array(length * width) : undefined;
        if (hidden && held > 0) {
            throw new TypeError('cache: contrastive search needs the hidden states of the whole prompt; give it an empty cache');
        }
        this._lastTurn = performance.now();
        await steps.prefill([this._ids.subarray(held)], {
            between: async (done) => {
                onProgress?.({ phase: 'prefill', done: held + done, total });
                if (this._isTurnOver()) {
                    await this._turn();
                }
                signal?.throwIfAborted();
            },
            ...(hidden && { reader: (/** @type {number} */ from, /** @type {number} */ _, /** @type {Float32Array} */ states) => hidden.set(states, from * width) }),
        });
        const start = {
            tokens, mask: Uint8Array.from(tokens, (id) => Number(id >= 0)), index: total, logits: steps.logits(),
            hidden, stopTokens: this._model.endTokens, processors,
            where: () => this._model.network.findNotFinite(),
        };
        if (draft === undefined) {
            return createSearch(sampler, steps, start);
        }
        this._draft = draft === 'prompt' ? new PromptDraft() : new ModelDraft(draft.network, length, signal);
        const search = new SpeculativeSearch(steps, start, sampler, this._draft, draftTokens);
        await search.begin();
        return search;
    }

    /** Have others waited long enough? */
    _isTurnOver() {
        return performance.now() - this._lastTurn > TURN;
    }

    async _turn() {
        await otherTasks();
        this._lastTurn = performance.now();
    }

    /**
     * The tokens that have become certain: one, or with beam search any number.
     * @param {ReturnType<typeof createSearch> | SpeculativeSearch} search
     * @param {boolean} done
     * @returns {GeneratedItem[]}
     */
    _items(search, done) {
        const { settled } = search;
        const until = done ? search.index : settled;
        if (until === this._given) {
            return [];
        }
        const { tokens } = search;
        /** @type {GeneratedItem[]} */
        const items = [];
        while (this._given < until && items.at(-1)?.finish === undefined) {
            const item = this._item(tokens[this._given]);
            if (this._settings.candidates > 0) {
                item.candidates = this._candidates(search.explain());
            }
            items.push(item);
        }
        return items;
    }

    /** @param {number} token @returns {GeneratedItem} */
    _item(token) {
        const stream = this._stream;
        const isEnd = this._model.endTokens.includes(token);
        const text = isEnd ? '' : stream?.push(token) ?? '';
        this._given++;
        const made = this._given - this._ids.length;
        const finish = isEnd ? 'end' : stream?.stopped ? 'stop' : made >= this._settings.maxNewTokens ? 'length'
            : this._given >= this._settings.most ? 'context' : undefined;
        return finish === undefined ? { token, text } : { token, text: text + (stream?.end() ?? ''), finish };
    }

    /** @param {Choice} choice what the last token was chosen from */
    _candidates(choice) {
        let from = choice;
        if (!choice.sorted) {
            this._best.top(choice.probabilities, this._settings.candidates);
            from = this._best;
        }
        const { tokenizer } = this._model;
        return Array.from({ length: Math.min(from.count, this._settings.candidates) }, (_, i) => ({
            token: from.tokens[i],
            text: tokenizer && from.tokens[i] < tokenizer.vocabularySize ? tokenizer.piece(from.tokens[i]) : '',
            probability: from.probabilities[i],
        }));
    }
}

/**
 * Puts together the scores of the passes since the last time.
 * @param {number} layer
 * @param {{ start: number, rows: number, data: Float32Array }[]} pieces
 * @param {number} heads
 * @returns {AttentionScores}
 */
function collectAttention(layer, pieces, heads) {
    const { start } = pieces[0];
    const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
    const positions = start + rows;
    if (pieces.length === 1) {
        return { layer, start, shape: [heads, rows, positions], data: pieces[0].data };
    }
    const data = new Float32Array(heads * rows * positions);
    for (const piece of pieces) {
        const width = piece.start + piece.rows;
        for (let i = 0; i < heads * piece.rows; i++) {
            const row = Math.floor(i / piece.rows) * rows + piece.start - start + (i % piece.rows);
            data.set(piece.data.subarray(i * width, (i + 1) * width), row * positions);
        }
    }
    return { layer, start, shape: [heads, rows, positions], data };
}
