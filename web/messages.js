/**
 * What the page (client.js) and its worker (generator.js) say to each other. Types only.
 *
 * @typedef {object} RunOptions
 * @property {string} prompt
 * @property {number} layer whose attention is reported
 * @property {number} pace tokens per second at most; 0: as fast as they come
 * @property {number} maxNewTokens
 * @property {number} temperature
 * @property {number} seed
 * @property {string} [sampler]
 * @property {number} [topK]
 * @property {number} [topP]
 *
 * @typedef {{ type: 'load', workers: number | 'auto' }
 *     | { type: 'write', run: number, options: RunOptions, skip?: number }
 *     | { type: 'read', run: number, ids: number[], layer: number }
 *     | { type: 'stop' }} Command
 * To the worker. `skip`: tokens that the page has from the same run; only their attention is wanted.
 *
 * @typedef {object} TokenEntry
 * @property {number} token
 * @property {string} text what it adds to the text; '' while a character is incomplete
 * @property {string} name how to show the token by itself
 * @property {boolean} [start] the start token, before the prompt
 * @property {boolean} [ended] the end token, after the text
 *
 * @typedef {object} Candidate
 * @property {number} token
 * @property {string} text
 * @property {number} probability as drawn with, after temperature, top-k and top-p
 * @property {number} [rank] 1 for the likeliest
 * @property {boolean} [drawn]
 *
 * @typedef {object} Figures
 * @property {number} count tokens so far
 * @property {number} firstMs computing time up to the first token, prompt included
 * @property {number} computingMs computing time so far
 * @property {number} cacheBytes key/value cache held
 *
 * @typedef {object} Explanation runtime.explain()
 * @property {'relaxed' | 'simd128'} variant
 * @property {'shared' | 'private'} memory
 * @property {number} threads that compute
 * @property {number} bytesInUse
 * @property {string[]} fallbacks what could not be had, and why
 *
 * @typedef {object} ModelFacts
 * @property {number} layers
 * @property {number} heads
 * @property {number} contextLength positions
 * @property {number} parameters
 * @property {number} cacheBytesPerToken
 *
 * @typedef {{ type: 'progress', loaded: number, total: number }
 *     | { type: 'ready', explain: Explanation, model: ModelFacts }
 *     | { type: 'begin', run: number, skip: number, tokens: TokenEntry[] }
 *     | { type: 'prefill', run: number, done: number, total: number }
 *     | { type: 'items', run: number, tokens: TokenEntry[], candidates: (Candidate[] | null)[], rows: Float32Array[],
 *         figures: Figures }
 *     | { type: 'rows', run: number, layer: number, rows: Float32Array[] }
 *     | { type: 'done', run: number, finish: string, explain: Explanation }
 *     | { type: 'error', during: string, message: string }} Report
 * From the worker. `rows`: one array per query position q, in order: lanes [1 + H][q + 1], the mean of the heads first.
 */
export {};
