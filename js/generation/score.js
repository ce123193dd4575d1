// How well a model predicts a text.

import { checkOptionNames, checkSignal, typeError } from '../check.js';
import { CacheRow } from '../model/cache.js';
import { otherTasks } from '../engine/threads.js';
import { ModelSteps } from './steps.js';

/** Rows of logits that are kept at a time: those of a pass. */
const ROWS = 128;

/** Milliseconds of work after which other tasks of this thread get a turn. */
const TURN = 4;

/**
 * @param {import('./language-model.js').LanguageModel} model
 * @param {string} text
 * @param {{ signal?: AbortSignal }} options
 * @returns {Promise<{ nats: number, tokens: number, bytes: number }>}
 */
export async function score(model, text, options) {
    model.network.check('score');
    checkOptionNames('score', options, ['signal']);
    const { signal } = options;
    if (typeof text !== 'string') {
        throw typeError('text', 'a string', text);
    }
    checkSignal(signal);
    if (model.startToken === null) {
        throw new Error('score: the model has no start token (its files name no bos_token_id)');
    }
    const ids = model._needTokenizer('score').encode(text, { addSpecialTokens: false });
    let nats = 0;
    for (let at = 0; at < ids.length; at += model.contextLength) {
        nats += await scorePiece(model, model.startToken, ids.slice(at, at + model.contextLength), signal);
    }
    return { nats, tokens: ids.length, bytes: new TextEncoder().encode(text).length };
}

/**
 * @param {import('./language-model.js').LanguageModel} model
 * @param {number} startToken
 * @param {number[]} ids at most contextLength
 * @param {AbortSignal} [signal]
 */
async function scorePiece(model, startToken, ids, signal) {
    let nats = 0;
    const steps = new ModelSteps(model.network, [new CacheRow(model.network, ids.length, model.cacheDtype)], true);
    steps.signal = signal;
    model._working.add(steps);
    try {
        const logits = steps.room(Math.min(ROWS, ids.length));
        let turn = performance.now();
        for (let at = 0; at < ids.length; at += ROWS) {
            // Every token but the last is read; every token is predicted.
            const targets = ids.slice(at, at + ROWS);
            await steps.readAhead([at === 0 ? startToken : ids[at - 1], ...targets.slice(0, -1)], logits);
            for (let i = 0; i < targets.length; i++) {
                nats += negativeLogProbability(steps.rowAt(logits, i), targets[i]);
                if (performance.now() - turn > TURN) {
                    await otherTasks();
                    signal?.throwIfAborted();
                    model.network.check('score');
                    turn = performance.now();
                }
            }
        }
        return nats;
    } finally {
        model._working.delete(steps);
        steps.dispose();
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
