import { typeError } from '../check.js';
import { Session } from './session.js';
import { checkSignal } from '../files/source.js';

/**
 * @param {import('./language-model.js').LanguageModel} model
 * @param {string} text
 * @param {{ signal?: AbortSignal }} options
 * @returns {Promise<{ nats: number, tokens: number, bytes: number }>}
 */
export async function score(model, text, { signal }) {
    if (typeof text !== 'string') {
        throw typeError('text', 'a string', text);
    }
    checkSignal(signal);
    if (model.startToken === null) {
        throw new Error('score: the model has no start token (config.json has no bos_token_id)');
    }
    const ids = model.tokenizer.encode(text);
    let nats = 0;
    for (let at = 0; at < ids.length; at += model.maxLength) {
        nats += await scorePiece(model, model.startToken, ids.slice(at, at + model.maxLength), signal);
    }
    return { nats, tokens: ids.length, bytes: new TextEncoder().encode(text).length };
}

/**
 * @param {import('./language-model.js').LanguageModel} model
 * @param {number} startToken
 * @param {number[]} ids at most maxLength
 * @param {AbortSignal} [signal]
 */
async function scorePiece(model, startToken, ids, signal) {
    const vocabulary = model.network.vocabularySize;
    let nats = 0;
    const reader = {
        /** @param {number} start @param {number} t @param {Float32Array} _hidden @param {Float32Array | null} logits */
        read(start, t, _hidden, logits) {
            for (let i = 0; logits && i < t; i++) {
                nats += negativeLogProbability(logits.subarray(i * vocabulary, (i + 1) * vocabulary), ids[start + i]);
            }
        },
    };
    const session = new Session(model.network, 1, ids.length);
    model._sessions.add(session);
    try {
        // Every token but the last is read; every token is predicted.
        await session.prefill([startToken, ...ids], ids.length + 1, ids.length, { signal, reader });
        return nats;
    } finally {
        model._sessions.delete(session);
        session.dispose();
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
