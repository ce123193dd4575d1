import { positiveInteger, rangeError, show, typeError } from '../check.js';
import { Choice } from './choice.js';
import { createSearch } from './create-search.js';
import { getSampler } from './samplers.js';
import { Session } from './session.js';
import { checkSignal } from '../files/source.js';
import { TextStream, checkStops } from '../text/text-stream.js';

/**
 * @typedef {object} GenerateOptions
 * @property {number} [maxNewTokens] default: until the model ends the text or maxLength is reached
 * @property {string | import('./samplers.js').Sampler} [sampler] 'greedy', 'top_k', 'top_p', 'random', 'beam',
 *   'contrastive' or a sampler object. Default: greedy if temperature is 0, else top_p if topP is given, else top_k,
 *   Keras Hub's default
 * @property {number} [temperature] 1; divides the logits. 0: greedy
 * @property {number} [topK] draw from the so many most probable tokens; 5 for top_k, Keras Hub's default
 * @property {number} [topP] draw from the most probable tokens that make up so much; with topK from those
 * @property {number} [seed] an integer: the same seed, the same text
 * @property {string | string[]} [stop] the text ends before the first of these
 * @property {AbortSignal} [signal] noticed after every token and every 64 tokens of the prompt
 * @property {(progress: { phase: 'prefill', done: number, total: number }) => void} [onProgress] tokens of the prompt
 *   read
 * @property {number} [candidates] so many of the tokens that each was chosen from come with it; not with beam search
 * @property {number} [attention] layer whose attention scores come with each token; not with beam or contrastive search
 *
 * @typedef {object} GeneratedItem
 * @property {number} token
 * @property {string} text what became certain with this token: empty while a character, or what may be a stop string,
 *   is incomplete
 * @property {'end' | 'stop' | 'length' | 'context'} [finish] on the last one, why it is: the model ended the text
 *   (`token` is its end token, which has no text), a stop string came, maxNewTokens or maxLength was reached
 * @property {{ token: number, text: string, probability: number }[]} [candidates] best first: what could be drawn,
 *   and how likely; greedy and contrastive: the model's own probabilities
 * @property {AttentionScores} [attention]
 *
 * @typedef {object} AttentionScores of the positions fed since the last token: first the whole prompt, then one
 * @property {number} layer
 * @property {number} start first position that is a row
 * @property {number[]} shape [heads, rows, positions], positions = start + rows
 * @property {Float32Array} data each row adds up to 1
 */

const OPTIONS = [
    'maxNewTokens', 'sampler', 'temperature', 'topK', 'topP', 'seed', 'stop', 'signal', 'onProgress', 'candidates',
    'attention',
];

/** Milliseconds of work after which other tasks of this thread get a turn. */
const TURN = 8;

/** Lets the thread's other tasks (messages, timers, input) run. @returns {Promise<void>} */
function otherTasks() {
    return new Promise((resolve) => {
        if (typeof setImmediate === 'function') {
            setImmediate(resolve);
            return;
        }
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => {
            port1.close();
            resolve();
        };
        port2.postMessage(null);
    });
}

/**
 * Checks everything now; the work begins when the first item is asked for.
 * @param {import('./language-model.js').LanguageModel} model
 * @param {string | ArrayLike<number>} prompt
 * @param {GenerateOptions} options
 * @returns {AsyncGenerator<GeneratedItem, void, undefined>}
 */
export function generate(model, prompt, options) {
    model.network._check();
    for (const name of Object.keys(options)) {
        if (!OPTIONS.includes(name)) {
            throw new TypeError(`generate has no option ${show(name)}`);
        }
    }
    const { maxNewTokens = Infinity, signal, onProgress, candidates = 0, attention } = options;
    if (maxNewTokens !== Infinity && !(Number.isInteger(maxNewTokens) && maxNewTokens >= 0)) {
        throw rangeError('maxNewTokens', 'an integer of 0 or more', maxNewTokens);
    }
    checkSignal(signal);
    const sampler = getSampler(options);
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
    const ids = promptIds(model, prompt, maxNewTokens > 0);
    const stops = checkStops(options.stop);
    const settings = { maxNewTokens, sampler, stops, signal, onProgress, candidates, attention };
    return new Generation(model, ids, settings).run();
}

/**
 * @param {import('./language-model.js').LanguageModel} model
 * @param {unknown} prompt
 * @param {boolean} more whether a token has to fit behind it
 * @returns {number[]}
 */
function promptIds(model, prompt, more) {
    if (typeof prompt !== 'string' && (typeof prompt !== 'object' || prompt === null || !('length' in prompt))) {
        throw typeError('prompt', 'a string or a list of tokens', prompt);
    }
    const ids = typeof prompt === 'string' ? model.promptTokens(prompt)
        : Array.from(/** @type {ArrayLike<number>} */ (prompt));
    ids.forEach((id) => model.network._checkToken(id));
    if (ids.length === 0) {
        throw rangeError('prompt', 'at least one token: this model has no start token', prompt);
    }
    const most = more ? model.maxLength - 1 : model.maxLength;
    if (ids.length > most) {
        throw new RangeError(`prompt must have at most ${most} tokens, got ${ids.length}`);
    }
    return ids;
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
 */

/** One text being written. */
class Generation {
    /** @param {import('./language-model.js').LanguageModel} model @param {number[]} ids @param {Settings} settings */
    constructor(model, ids, settings) {
        this._model = model;
        this._ids = ids;
        this._settings = settings;
        this._stream = new TextStream(model.tokenizer, settings.stops);
        /** Positions that have been handed out, the prompt's included. */
        this._given = ids.length;
        this._lastTurn = 0;
        this._best = new Choice(settings.candidates > 0 ? model.network.vocabularySize : 0);
    }

    /** @returns {AsyncGenerator<GeneratedItem, void, undefined>} */
    async *run() {
        const model = this._model;
        const { maxNewTokens, signal } = this._settings;
        if (maxNewTokens === 0) {
            return;
        }
        signal?.throwIfAborted();
        const session = new Session(model.network, 1, Math.min(model.maxLength, this._ids.length + maxNewTokens));
        model._sessions.add(session);
        try {
            const watch = this._settings.attention === undefined ? null : session.watch(this._settings.attention);
            const search = await this._begin(session);
            for (let finished = false; !finished;) {
                const picked = search.pick();
                const done = picked instanceof Promise ? await picked : picked;
                for (const item of this._items(search, done)) {
                    if (watch) {
                        item.attention = collectAttention(watch, model.heads);
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
            model._sessions.delete(session);
            session.dispose();
        }
    }

    /** Reads the prompt. @param {Session} session */
    async _begin(session) {
        const { sampler, signal, onProgress } = this._settings;
        const { length } = session;
        const total = this._ids.length;
        const tokens = new Int32Array(length).fill(-1);
        tokens.set(this._ids);
        const hidden = sampler.kind === 'contrastive' ? new Float32Array(length * session.width) : undefined;
        this._lastTurn = performance.now();
        await session.prefill(tokens, length, total, {
            signal,
            hidden,
            onChunk: async (done) => {
                onProgress?.({ phase: 'prefill', done, total });
                if (this._isTurnOver()) {
                    await this._turn();
                }
                signal?.throwIfAborted();
            },
        });
        return createSearch(sampler, session, {
            tokens, mask: Uint8Array.from(tokens, (id) => Number(id >= 0)), index: total, logits: session.logits(),
            hidden, stopTokens: this._model.endTokens,
        });
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
     * @param {ReturnType<typeof createSearch>} search
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
        const isEnd = this._model.endTokens.includes(token);
        const text = isEnd ? '' : this._stream.push(token);
        this._given++;
        const made = this._given - this._ids.length;
        const finish = isEnd ? 'end' : this._stream.stopped ? 'stop' : made >= this._settings.maxNewTokens ? 'length'
            : this._given >= this._model.maxLength ? 'context' : undefined;
        return finish === undefined ? { token, text } : { token, text: text + this._stream.end(), finish };
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
            text: from.tokens[i] < tokenizer.vocabularySize ? tokenizer.piece(from.tokens[i]) : '',
            probability: from.probabilities[i],
        }));
    }
}

/**
 * Puts together the scores of the passes since the last time.
 * @param {import('./session.js').AttentionWatch} watch is emptied
 * @param {number} heads
 * @returns {AttentionScores}
 */
function collectAttention(watch, heads) {
    const pieces = watch.pieces.splice(0);
    const { start } = pieces[0];
    const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
    const positions = start + rows;
    const { layer } = watch;
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
