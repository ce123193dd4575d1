// The generation loop: reads the prompt, then chooses, yields and reads one token after the other.

import { PAGE } from '../engine/interface.js';
import { otherTasks } from '../engine/threads.js';
import { CacheRow } from '../model/cache-row.js';
import { TextStream } from '../text/text-stream.js';
import { AttentionLog } from './attention-scores.js';
import { Choice } from './choice.js';
import { createSearch } from './create-search.js';
import { OPTIONS, checkSettings, optionsOfEach } from './options.js';
import { isChat, promptIds, promptList } from './prompt.js';
import { ModelDraft, PromptDraft, SpeculativeSearch } from './speculative.js';
import { ModelSteps } from './steps.js';
import { takeOptions } from './take-options.js';
import { writeTogether } from './together.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */
/** @typedef {import('../model/cache.js').ModelCache} ModelCache */
/** @typedef {import('./options.js').GenerateOptions} GenerateOptions */
/** @typedef {import('./options.js').Settings} Settings */

/**
 * @typedef {object} GeneratedItem
 * @property {number} [index] which prompt it belongs to, if there is a list of them
 * @property {number} token
 * @property {string} text what became certain with this token. Empty while a character, or what may become a stop string, is
 *   incomplete; always empty if the model has no tokenizer
 * @property {'end' | 'stop' | 'length' | 'context'} [finish] on the last item, why the text ends. end: with the model's end token, which
 *   is this item's `token` and has no text; stop: a stop string came, or the constraint (`json` and the like) allows nothing more and the
 *   model has no end token; length: maxNewTokens was reached; context: contextLength, or the end of the cache
 * @property {{ token: number, text: string, probability: number }[]} [candidates] the tokens that this one was drawn from and their
 *   probabilities, best first; of greedy and contrastive search the model's own
 * @property {import('./attention-scores.js').AttentionScores | import('./attention-scores.js').AttentionScores[]} [attention] of the
 *   layer asked for, or a list if several were
 * @property {true} [drafted] with `draft`: on tokens that the draft had guessed
 * @property {{ proposed: number, accepted: number }} [draft] with `draft`, on the last item: how many tokens were guessed, and how many
 *   of the guesses the text has taken
 */

/** Milliseconds of work after which the loop lets other tasks of its thread run. */
const TURN = 8;

/** How many of the prompt's last tokens the decoder is shown, so that the text goes on from them. */
const NEAR = 64;

const NONE = new Int32Array(0);

/**
 * Checks everything now; the work begins when the first item is asked for.
 * @param {LanguageModel} model
 * @param {unknown} prompt one, or a list of them
 * @param {GenerateOptions | readonly GenerateOptions[]} options
 * @returns {AsyncGenerator<GeneratedItem, void, undefined>}
 */
export function generate(model, prompt, options) {
    model.network.check('generate');
    const list = promptList(prompt);
    if (list === null) {
        const one = takeOptions('generate', /** @type {GenerateOptions} */ (options), OPTIONS);
        const ids = promptIds(model, prompt, one);
        return new Generation(model, ids, checkSettings(model, ids, one), isChat(prompt)).run();
    }
    const each = optionsOfEach(list.length, options);
    const texts = list.map((one, i) => {
        const ids = promptIds(model, one, each[i], `prompt[${i}]`);
        return { ids, settings: checkSettings(model, ids, each[i]), chat: isChat(one) };
    });
    return writeTogether(model, (together) =>
        texts.map(({ ids, settings, chat }, index) => new Generation(model, ids, settings, chat, { together, index }).run()));
}

/** One text being written. */
class Generation {
    /**
     * @param {LanguageModel} model
     * @param {Uint32Array} ids
     * @param {Settings} settings
     * @param {boolean} chat whether the text is an answer
     * @param {{ together: import('./together.js').Together, index: number } | null} [among] where it is one of several
     */
    constructor(model, ids, settings, chat, among = null) {
        this._model = model;
        this._among = among;
        this._ids = ids;
        this._settings = settings;
        this._stream = model.tokenizer && new TextStream(model.tokenizer, settings.stops);
        // An answer, and what a constraint describes, is a text by itself; any other goes on from its prompt.
        if (!chat && settings.constraint === null) {
            this._stream?.follow(ids.subarray(-NEAR));
        }
        /** Tokens that have been yielded, and those of the prompt. */
        this._given = ids.length;
        /** How many of the prompt's tokens the caller's cache holds already. */
        this._held = 0;
        this._lastTurn = 0;
        this._best = new Choice(settings.candidates > 0 ? model.vocabularySize : 0);
        this._attention = settings.attention && new AttentionLog(model, settings.attention);
    }

    /** @returns {AsyncGenerator<GeneratedItem, void, undefined>} */
    async *run() {
        const model = this._model;
        const { maxNewTokens, signal, cache } = this._settings;
        signal?.throwIfAborted();
        if (maxNewTokens === 0) {
            return;
        }
        const steps = this._open(cache);
        /** @type {ReturnType<typeof createSearch> | SpeculativeSearch | null} */
        let search = null;
        try {
            search = await this._begin(steps);
            if (search instanceof SpeculativeSearch) {
                await search.begin();
            }
            for (;;) {
                const picked = search.pick();
                const done = picked instanceof Promise ? await picked : picked;
                const until = done ? search.index : search.settled;
                const tokens = this._given < until ? search.tokens : NONE;
                while (this._given < until) {
                    const item = this._item(tokens, search);
                    const { finish } = item; // the caller may change the item
                    yield item;
                    if (finish) {
                        return;
                    }
                    // Beams settle several tokens at once: none of them is due after an abort.
                    signal?.throwIfAborted();
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
            model._working.delete(steps);
            steps.dispose();
            cache?._unlock();
        }
    }

    /** @param {ModelCache | undefined} cache @returns {ModelSteps} */
    _open(cache) {
        const model = this._model;
        const { sampler, most, maxNewTokens, signal, prefixes } = this._settings;
        model.network.check('generate'); // the first next() may come long after generate()
        cache?._idle('generate');
        // Contrastive search needs the hidden states of the whole prompt, and caches do not keep them.
        if (sampler.kind === 'contrastive') {
            cache?.truncate(0);
        } else {
            this._held = cache?.reuse(this._ids) ?? 0;
        }
        const length = this._ids.length + maxNewTokens;
        const rows = cache ? cache._lock('generate')
            // A page of a short cache is short: those of a store are whole ones.
            : [new CacheRow(model.network, Math.min(most, Math.max(length, prefixes ? PAGE : 0)), model.cacheDtype)];
        let steps;
        try {
            steps = new ModelSteps(model.network, rows, cache === undefined, this._among?.together);
        } catch (error) {
            cache?._unlock();
            throw error;
        }
        steps.signal = signal;
        model._working.add(steps);
        if (this._attention) {
            steps.watch(this._attention.watch);
        }
        return steps;
    }

    /** Reads the prompt, except what the cache or the store has of it. @param {ModelSteps} steps */
    async _begin(steps) {
        const { sampler, signal, onProgress, most, maxNewTokens, processors, constraint, draft, draftTokens, prefixes } = this._settings;
        const total = this._ids.length;
        const length = Math.min(most, total + maxNewTokens);
        const [row] = steps.rows;
        const { length: before } = row;
        await prefixes?._fill(row, this._ids, signal);
        const held = this._held + row.length - before;
        const tokens = new Int32Array(length).fill(-1);
        tokens.set(this._ids);
        const mask = new Uint8Array(length).fill(1, 0, total);
        const looksBack = sampler.kind === 'contrastive';
        this._lastTurn = performance.now();
        const between = async (/** @type {number} */ done) => {
            onProgress?.({ phase: 'prefill', done: held + done, total, ...(this._among && { index: this._among.index }) });
            if (this._isTurnOver()) {
                await this._turn();
            }
            signal?.throwIfAborted();
        };
        const rest = this._ids.subarray(held);
        const hidden = looksBack ? await steps.prefillWithHidden([rest], between) : undefined;
        if (!looksBack) {
            await steps.prefill([rest], between);
        }
        await prefixes?._keep(row, this._ids, signal);
        const start = {
            tokens, mask, index: total, logits: steps.logits(),
            hidden, stopTokens: this._model.endTokens, processors, constraint,
            where: () => this._model.network.findNotFinite(),
        };
        if (draft === undefined) {
            return createSearch(sampler, steps, start);
        }
        const guesser = draft === 'prompt' ? new PromptDraft() : new ModelDraft(draft.network, Math.min(length, draft.contextLength), signal);
        steps.owned.push(guesser);
        return new SpeculativeSearch(steps, start, sampler, guesser, draftTokens);
    }

    /** Whether it is time to let other tasks run. */
    _isTurnOver() {
        return performance.now() - this._lastTurn > TURN;
    }

    async _turn() {
        await otherTasks();
        this._lastTurn = performance.now();
    }

    /**
     * @param {Int32Array} tokens prompt and text
     * @param {ReturnType<typeof createSearch> | SpeculativeSearch} search
     * @returns {GeneratedItem} for the first token that has not been yielded yet
     */
    _item(tokens, search) {
        const { maxNewTokens, most, constraint, candidates } = this._settings;
        const stream = this._stream;
        const token = tokens[this._given];
        const isEnd = this._model.endTokens.includes(token);
        const text = isEnd ? '' : stream?.push(token) ?? '';
        this._given++;
        const made = this._given - this._ids.length;
        const over = stream?.stopped || constraint?.isOver(tokens, this._ids.length, this._given);
        const finish = isEnd ? 'end' : over ? 'stop' : made >= maxNewTokens ? 'length' : this._given >= most ? 'context' : undefined;
        return {
            token, text: finish && stream ? text + stream.end() : text, ...(finish && { finish }),
            ...(candidates > 0 && { candidates: this._candidates(search.explain()) }),
            ...(this._attention && { attention: this._attention.take() }),
            ...(search instanceof SpeculativeSearch && { ...(search.drafted && { drafted: true }), ...(finish && { draft: { ...search.counts } }) }),
        };
    }

    /** @param {Choice} choice what the last token was chosen from */
    _candidates(choice) {
        let from = choice;
        if (!choice.sorted) {
            this._best.top(choice.probabilities, this._settings.candidates);
            from = this._best;
        }
        const { tokenizer } = this._model;
        // Some samplers choose from the whole vocabulary, where banned tokens have the probability 0: these are left out.
        return Array.from({ length: from.likely(Math.min(from.count, this._settings.candidates), 0) }, (_, i) => ({
            token: from.tokens[i],
            text: tokenizer?.piece(from.tokens[i]) ?? '',
            probability: from.probabilities[i],
        }));
    }
}
