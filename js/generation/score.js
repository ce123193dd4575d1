// score(): how well a model predicts a text.

import { checkOptionNames, checkProgress, checkSignal, positiveInteger, typeError } from '../check.js';
import { CacheRow } from '../model/cache-row.js';
import { CHUNK } from '../model/reader.js';
import { otherTasks } from '../engine/threads.js';
import { Choice } from './choice.js';
import { checkFinite } from './finite.js';
import { ModelSteps } from './steps.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */

/** Milliseconds of work after which other tasks of this thread get a turn. */
const TURN = 4;

/**
 * @typedef {object} ScoreOptions
 * @property {boolean} [each] whether the result lists the score of every token
 * @property {number} [candidates] with `each`, how many of the tokens that the model finds most probable there are listed, best first
 * @property {AbortSignal | null} [signal]
 * @property {(progress: { done: number, total: number }) => void} [onProgress] how many tokens of the text are scored
 *
 * @typedef {object} Score
 * @property {number} nats negative log-likelihood
 * @property {number} tokens
 * @property {number} bytes of its UTF-8
 * @property {TokenScore[]} [each] with the option `each`: the score of every token, in order
 *
 * @typedef {object} TokenScore
 * @property {number} token
 * @property {string} text of this token alone
 * @property {number} nats the negative logarithm of its probability
 * @property {number} probability
 * @property {{ token: number, text: string, probability: number }[]} [candidates]
 */

/**
 * @param {LanguageModel} model
 * @param {string} text
 * @param {ScoreOptions} options
 * @returns {Promise<Score>}
 */
export async function score(model, text, options) {
    model.network.check('score');
    checkOptionNames('score', options, ['each', 'candidates', 'signal', 'onProgress']);
    const { each = false, candidates, signal, onProgress } = options;
    if (typeof text !== 'string') {
        throw typeError('text', 'a string', text);
    }
    if (typeof each !== 'boolean') {
        throw typeError('each', 'true or false', each);
    }
    if (candidates !== undefined) {
        positiveInteger('candidates', candidates);
        if (!each) {
            throw new TypeError('candidates belong to each');
        }
    }
    checkSignal(signal);
    checkProgress(onProgress);
    signal?.throwIfAborted();
    if (model.startToken === null) {
        throw new Error('score: the model has no start token (bos_token_id)');
    }
    const ids = model._needTokenizer('score').encode(text, { addSpecialTokens: false });
    const log = each ? new TokenLog(model, candidates) : null;
    let nats = 0;
    for (let at = 0; at < ids.length; at += model.contextLength) {
        const onScored = (/** @type {number} */ done) => onProgress?.({ done: at + done, total: ids.length });
        nats += await scorePiece(model, model.startToken, ids.slice(at, at + model.contextLength), { signal, log, onScored });
    }
    return { nats, tokens: ids.length, bytes: new TextEncoder().encode(text).length, ...(log && { each: log.tokens }) };
}

/**
 * @param {LanguageModel} model
 * @param {number} startToken
 * @param {number[]} ids at most contextLength
 * @param {{ signal?: AbortSignal | null, log: TokenLog | null, onScored: (done: number) => void }} options
 */
async function scorePiece(model, startToken, ids, { signal, log, onScored }) {
    let nats = 0;
    const steps = new ModelSteps(model.network, [new CacheRow(model.network, ids.length, model.cacheDtype)], true);
    steps.signal = signal;
    model._working.add(steps);
    try {
        const logits = steps.room(Math.min(CHUNK, ids.length));
        let turn = performance.now();
        let at = 0;
        // Every token but the last is read; every token is predicted.
        await steps.readAhead([startToken, ...ids.slice(0, -1)], logits, async (done) => {
            model.network.check('score');
            for (const first = at; at < done; at++) {
                const row = steps.rowAt(logits, at - first);
                checkFinite(row, () => model.network.findNotFinite());
                const own = negativeLogProbability(row, ids[at]);
                nats += own;
                log?.add(ids[at], own, row);
                if (performance.now() - turn > TURN) {
                    await otherTasks();
                    signal?.throwIfAborted();
                    model.network.check('score');
                    turn = performance.now();
                }
            }
            onScored(done);
        });
        return nats;
    } finally {
        model._working.delete(steps);
        steps.dispose();
    }
}

/** Collects the scores of the tokens. */
class TokenLog {
    /** @param {LanguageModel} model @param {number} [candidates] */
    constructor(model, candidates) {
        this._tokenizer = model._needTokenizer('score');
        this._candidates = candidates;
        this._best = new Choice(candidates === undefined ? 0 : model.vocabularySize);
        /** @type {TokenScore[]} */
        this.tokens = [];
    }

    /** @param {number} token @param {number} nats @param {Float32Array} logits */
    add(token, nats, logits) {
        /** @type {TokenScore} */
        const told = { token, text: this._tokenizer.piece(token), nats, probability: Math.exp(-nats) };
        if (this._candidates !== undefined) {
            this._best.top(logits, this._candidates);
            const { count, tokens, probabilities: values } = this._best;
            // The logarithm of the softmax's denominator, over the whole vocabulary.
            const log = nats + logits[token];
            told.candidates = Array.from({ length: count }, (_, i) => ({
                token: tokens[i], text: this._tokenizer.piece(tokens[i]), probability: Math.exp(values[i] - log),
            }));
        }
        this.tokens.push(told);
    }
}

/** @param {Float32Array} logits @param {number} token */
function negativeLogProbability(logits, token) {
    let max = -Infinity;
    for (let i = 0; i < logits.length; i++) {
        max = Math.max(max, logits[i]);
    }
    let sum = 0;
    for (let i = 0; i < logits.length; i++) {
        sum += Math.exp(logits[i] - max);
    }
    return Math.log(sum) + max - logits[token];
}
