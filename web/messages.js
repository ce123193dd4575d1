/**
 * What the page (client.js) and its worker (generator.js) say to each other, and what both look at. Types only.
 *
 * @typedef {{ kind: 'own' }
 *     | { kind: 'files', name: string, files: File[] }
 *     | { kind: 'hub', name: string, repository: string, file: string | null, endpoint: string | null }
 *     | { kind: 'kept', name: string, id: string }} Source
 * Where a model comes from: with the package, from the visitor's disk, from a hub, or from what this browser keeps.
 *
 * @typedef {object} RunOptions
 * @property {number} layer whose attention is reported
 * @property {number} pace tokens per second at most; 0: as fast as they come
 * @property {boolean} cold also time each token as it would be without a cache
 * @property {number} maxNewTokens
 * @property {number} temperature
 * @property {number} seed
 * @property {string} [sampler]
 * @property {number} [topK]
 * @property {number} [topP]
 * @property {number} [minP]
 * @property {Record<number, number>} [logitBias]
 *
 * @typedef {{ role: string, content: string }} Turn
 *
 * @typedef {string | number[] | Turn[]} Prompt text, tokens as they are, or a conversation for the chat template
 *
 * @typedef {{ type: 'load', source: Source, workers: number | 'auto' }
 *     | { type: 'write', branch: number, parent: number | null, prompt: Prompt, options: RunOptions, skip: number,
 *         fresh: boolean, drop: number[] }
 *     | { type: 'read', branch: number, ids: number[], layer: number }
 *     | { type: 'maps', branch: number, ids: number[] }
 *     | { type: 'distribution', branch: number, ids: number[] }
 *     | { type: 'lens', branch: number, ids: number[] }
 *     | { type: 'probabilities', ids: number[] }
 *     | { type: 'score', text: string }
 *     | { type: 'keep' }
 *     | { type: 'explain' }} Command
 * To the worker; each goes with the number of its run. `branch`: the text whose cache is used; it begins as a fork of
 * `parent`'s. `skip`: tokens that the page has from the same run; only their attention is wanted. `fresh`: read everything
 * anew, with the attention of all of it. `drop`: texts that nobody will go on with.
 *
 * @typedef {object} TokenEntry
 * @property {number} token
 * @property {string} text what it adds to the text; '' while a character is incomplete
 * @property {string} name how to show the token by itself
 * @property {boolean} [start] the start token, before the prompt
 * @property {boolean} [ended] the end token, after the text
 * @property {number} [probability] with which it was drawn
 *
 * @typedef {object} Candidate
 * @property {number} token
 * @property {string} text
 * @property {number} probability as drawn with, after temperature, top-k, top-p and min-p
 * @property {number} [rank] 1 for the likeliest
 * @property {boolean} [drawn]
 *
 * @typedef {object} Figures
 * @property {number} count tokens so far
 * @property {number} firstMs computing time up to the first token, prompt included
 * @property {number} computingMs computing time so far
 * @property {number} cacheBytes key/value cache held
 * @property {number} positions that the cache holds
 *
 * @typedef {object} Explanation runtime.explain()
 * @property {'relaxed' | 'simd128'} variant
 * @property {'shared' | 'private'} memory
 * @property {number} threads that compute
 * @property {number} bytesInUse
 * @property {string[]} fallbacks what could not be had, and why
 *
 * @typedef {object} ModelFacts
 * @property {string} name
 * @property {number} layers
 * @property {number[]} attentionLayers those of them that have attention
 * @property {number} heads
 * @property {number} keyValueHeads
 * @property {number} contextLength positions
 * @property {number} vocabularySize
 * @property {number} parameters
 * @property {number} cacheBytesPerToken
 * @property {string | null} noChat why it cannot chat, or null
 * @property {number[]} endTokens
 * @property {Record<string, any>} explained model.explain()
 *
 * @typedef {{ type: 'progress', phase: 'download' | 'load' | 'keep', loaded: number, total: number }
 *     | { type: 'remark', text: string }
 *     | { type: 'ready', explain: Explanation, model: ModelFacts, resources: string[] }
 *     | { type: 'begin', held: number, length: number, skip: number, tokens: TokenEntry[] }
 *     | { type: 'prefill', done: number, total: number }
 *     | { type: 'items', tokens: TokenEntry[], candidates: (Candidate[] | null)[], start: number, rows: Float32Array[],
 *         costs: Cost[], figures: Figures }
 *     | { type: 'rows', layer: number, start: number, rows: Float32Array[] }
 *     | { type: 'map', layer: number, isLast: boolean, layers: number, size: number, weights: Float32Array[] }
 *     | { type: 'distribution' } & Distribution
 *     | { type: 'lens', layers: Candidate[][] }
 *     | { type: 'probabilities', probabilities: Float32Array }
 *     | { type: 'score', nats: number, tokens: number, bytes: number, entries: TokenEntry[], probabilities: Float32Array }
 *     | { type: 'kept' }
 *     | { type: 'explained', report: Record<string, any> }
 *     | { type: 'done', finish: string, explain: Explanation }
 *     | { type: 'error', message: string, cancelled?: boolean, choices?: Choice[] }} Report
 * From the worker, with the number of the run. `held`: positions that the cache had of the prompt already. `rows`: one
 * array per query position q, in order from `start`: lanes [1 + H][q + 1], the mean of the heads first. `map`: for each
 * head the weights [size][size] among the last positions. `choices`: what could be loaded instead.
 *
 * @typedef {object} Distribution by the model alone, best first
 * @property {Candidate[]} top with their text
 * @property {Float32Array} probabilities of the likeliest tokens, not all of the vocabulary
 * @property {Int32Array} tokens
 *
 * @typedef {object} Choice a file of a hub's model that holds all of it; one of several
 * @property {string} file
 * @property {number} bytes
 *
 * @typedef {object} Card of a model that this browser keeps
 * @property {string} id its folder
 * @property {string} name
 * @property {number} bytes of all its files
 * @property {boolean} isWhole or a download that was interrupted
 * @property {{ repository: string, file: string | null, endpoint: string | null } | null} hub where it came from
 * @property {Record<string, Version>} [files] those that came from the hub, or began to, by name
 *
 * @typedef {object} Version of a file
 * @property {string | null} tag the hub's name for it
 * @property {number} bytes of all of it, 0 where the hub did not say
 *
 * @typedef {object} Cost of one token, in milliseconds
 * @property {number} position
 * @property {number} warm with the cache
 * @property {number} [cold] without one
 */
export {};
