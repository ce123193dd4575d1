/** In the worker: texts that stand already, read again for what the instruments ask of them. */

import { buffersOf, entriesOf, progressOf, readUntil, rowsOf, WINDOW } from './writing.js';

/** @import { Candidate, Command } from './messages.js' */
/** @import { Tell } from './generator.js' */
/** @import { Texts } from './writing.js' */

/** Positions of a thumbnail. */
const MAP_SIZE = 40;
/** Tokens of a distribution that are sent; the rest is known by its sum. */
const DISTRIBUTION = 2048;
/** Tokens of each layer that the lens shows. */
const LENS_SHOWN = 3;
/** Positions whose logits are held at a time. */
const PIECE = 64;

/**
 * Reads the beginning of a text into a cache, as far as it is not kept, and looks at what comes after.
 * @template T
 * @param {any} model
 * @param {Texts} texts
 * @param {{ branch: number, ids: number[] }} text
 * @param {number} before tokens of the beginning
 * @param {Tell} tell
 * @param {AbortSignal} signal
 * @param {(cache: any) => Promise<T>} look
 */
async function after(model, texts, { branch, ids }, before, tell, signal, look) {
    const cache = texts.copy(branch, ids, before);
    try {
        await readUntil(model, ids, cache, before, signal, progressOf(tell, ids.length));
        return await look(cache);
    } finally {
        cache.dispose();
    }
}

/**
 * The first item of what is written after a text.
 * @param {any} model
 * @param {number[]} ids
 * @param {object} options
 */
async function firstItem(model, ids, options) {
    for await (const item of model.generate(ids, { maxNewTokens: 1, temperature: 0, ...options })) return item;
}

/**
 * The attention of a layer over the last positions of a text.
 * @param {any} model
 * @param {Texts} texts
 * @param {Extract<Command, { type: 'read' }>} command
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export function readAgain(model, texts, command, tell, signal) {
    const { ids, layer } = command;
    const onProgress = progressOf(tell, ids.length);
    return after(model, texts, command, Math.max(0, ids.length - WINDOW), tell, signal, async cache => {
        const { attention } = await firstItem(model, ids, { cache, attention: layer, signal, onProgress });
        const rows = rowsOf(attention);
        tell({ type: 'rows', layer, start: attention.start, rows }, buffersOf(rows));
    });
}

/**
 * All heads of all layers over the last positions, a layer at a time.
 * @param {any} model
 * @param {Texts} texts
 * @param {Extract<Command, { type: 'maps' }>} command
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export function maps(model, texts, command, tell, signal) {
    const { ids } = command;
    const before = Math.max(0, ids.length - MAP_SIZE);
    return after(model, texts, command, before, tell, signal, async cache => {
        const layers = model.attentionLayers;
        for (const layer of layers) {
            const { attention } = await firstItem(model, ids, { cache, attention: layer, signal });
            const { start, shape: [heads, rows, positions], data } = attention;
            cache.truncate(before);
            const weights = Array.from({ length: heads }, (_, h) => {
                const map = new Float32Array(rows * rows);
                for (let r = 0; r < rows; r++) {
                    const from = (h * rows + r) * positions + start;
                    map.set(data.subarray(from, from + rows), r * rows);
                }
                return map;
            });
            const isLast = layer === layers.at(-1);
            tell({ type: 'map', layer, isLast, layers: model.layers, size: rows, weights }, buffersOf(weights));
        }
    });
}

/**
 * What may follow some tokens by the model alone, before temperature and the like.
 * @param {any} model
 * @param {Texts} texts
 * @param {Extract<Command, { type: 'distribution' }>} command
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export function distribution(model, texts, command, tell, signal) {
    const { ids } = command;
    const most = Math.min(DISTRIBUTION, model.vocabularySize);
    return after(model, texts, command, ids.length - 1, tell, signal, async cache => {
        const { candidates } = await firstItem(model, ids, { cache, candidates: most, signal });
        const probabilities = Float32Array.from(candidates, ({ probability }) => probability);
        const tokens = Int32Array.from(candidates, ({ token }) => token);
        tell({ type: 'distribution', top: candidates.slice(0, 24), probabilities, tokens });
    });
}

/**
 * What each layer would have said after some tokens, were it the last.
 * @param {any} model
 * @param {Texts} texts
 * @param {Extract<Command, { type: 'lens' }>} command
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export function lens(model, texts, command, tell, signal) {
    const { ids } = command;
    return after(model, texts, command, ids.length - 1, tell, signal, async cache => {
        const all = Array.from({ length: model.layers }, (_, layer) => layer);
        const { logits: last, hiddenStates } = await model.forward(ids.slice(cache.length), { cache, hiddenStates: all, signal });
        last.dispose();
        const layers = [];
        for (const states of hiddenStates) {
            const [rows, width] = states.shape;
            const logits = await model.readOut({ shape: [1, width], data: states.data.subarray((rows - 1) * width) });
            layers.push(likeliest(model, logits.data));
            logits.dispose();
            states.dispose();
        }
        tell({ type: 'lens', layers });
    });
}

/**
 * @param {any} model
 * @param {Float32Array} logits
 * @returns {Candidate[]} best first
 */
function likeliest(model, logits) {
    /** @type {number[]} */
    const best = [];
    logits.forEach((logit, token) => {
        if (best.length === LENS_SHOWN && logit <= logits[best[LENS_SHOWN - 1]]) return;
        const place = best.findIndex(other => logit > logits[other]);
        best.splice(place < 0 ? best.length : place, 0, token);
        best.length = Math.min(best.length, LENS_SHOWN);
    });
    return best.map(token =>
        ({ token, text: model.tokenizer?.piece(token) ?? String(token), probability: probabilityOf(logits, token) }));
}

/**
 * The probability that the model itself gives each token after those before it.
 * @param {any} model
 * @param {number[]} ids
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export async function probabilities(model, ids, tell, signal) {
    const cache = model.createCache();
    const found = new Float32Array(ids.length).fill(NaN);
    const onProgress = progressOf(tell, ids.length);
    const size = model.vocabularySize;
    try {
        for (let at = 0; at < ids.length - 1; at += PIECE) {
            const piece = ids.slice(at, Math.min(at + PIECE, ids.length - 1));
            const logits = await model.forward(piece, { cache, positions: 'all', signal });
            const { data } = logits;
            piece.forEach((_, i) => {
                found[at + i + 1] = probabilityOf(data.subarray(i * size, (i + 1) * size), ids[at + i + 1]);
            });
            logits.dispose();
            onProgress({ done: at + piece.length });
        }
    } finally {
        cache.dispose();
    }
    tell({ type: 'probabilities', probabilities: found });
}

/**
 * How well the model predicts a text, and each of its tokens.
 * @param {any} model
 * @param {string} text
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export async function score(model, text, tell, signal) {
    const onProgress = (/** @type {{ done: number, total: number }} */ progress) => tell({ type: 'prefill', ...progress });
    const { nats, tokens, bytes, each } = await model.score(text, { each: true, signal, onProgress });
    const ids = each.map((/** @type {{ token: number }} */ { token }) => token);
    const entries = entriesOf(model, [model.startToken, ...ids]);
    // Nothing predicts the start token.
    const probabilities = Float32Array.from([NaN, ...each.map((/** @type {{ probability: number }} */ { probability }) => probability)]);
    tell({ type: 'score', nats, tokens, bytes, entries, probabilities });
}

/**
 * @param {Float32Array} logits
 * @param {number} token
 */
function probabilityOf(logits, token) {
    let most = -Infinity;
    for (const logit of logits) most = Math.max(most, logit);
    let sum = 0;
    for (const logit of logits) sum += Math.exp(logit - most);
    return Math.exp(logits[token] - most) / sum;
}
