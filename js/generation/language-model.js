// LanguageModel: what loadModel() returns. A network with its tokenizer, chat template and defaults.

import { typeError } from '../check.js';
import { printAs } from '../engine/print.js';
import { createCache } from '../model/cache.js';
import { firstAttention, mixerOf } from '../model/description.js';
import { Network } from '../model/network.js';
import { checkIds } from '../model/reader.js';
import { parseToolCalls } from '../text/tool-calls.js';
import { forward, forwardSync } from './forward.js';
import { generate } from './generate.js';
import { readOut } from './read-out.js';
import { score } from './score.js';

/** @typedef {import('../engine/tensor.js').Tensor} Tensor */
/** @typedef {import('../model/cache.js').ModelCache} ModelCache */
/** @typedef {import('../text/tokenizer.js').Tokenizer} Tokenizer */
/** @typedef {import('../text/chat.js').ChatTemplate} ChatTemplate */

/**
 * @typedef {object} ModelParts
 * @property {Network} network
 * @property {import('../model/assemble.js').Plan} plan
 * @property {Tokenizer | null} tokenizer
 * @property {ChatTemplate | null} template
 * @property {string | null} templateProblem why there is no template
 * @property {import('./defaults.js').Defaults} defaults
 * @property {string} source
 * @property {string} format
 * @property {Map<string, string>} types that the weights have in memory, by role
 * @property {number} contextLength
 * @property {'float32' | 'float16' | 'int8'} cacheDtype
 * @property {number} fileBytes
 * @property {readonly string[]} notes for people: where the model computes something else than its files say
 */

/** A model that reads and writes. Made by loadModel(). */
export class LanguageModel {
    /** @param {ModelParts} parts */
    constructor(parts) {
        if (!(parts?.network instanceof Network && parts.plan)) throw typeError('a LanguageModel', 'made by loadModel()', parts);
        /** The network itself. */
        this.network = parts.network;
        this._parts = parts;
        /** null if the files have none: then prompts are token ids. @type {(Tokenizer & ChatTokenizer) | null} */
        this.tokenizer = parts.tokenizer && withTemplate(parts.tokenizer, parts);
        /** @type {'float32' | 'float16' | 'int8'} */
        this.cacheDtype = parts.cacheDtype;
        /** Texts that are being generated or scored. @type {Set<{ readonly cacheBytes: number, dispose(): void }>} */
        this._working = new Set();
        /** Caches of createCache() that have not been disposed. @type {Set<ModelCache>} */
        this._caches = new Set();
    }

    /** The architecture as the GGUF file or config.json spells it: 'llama', 'gpt2', ... */
    get architecture() {
        return this._parts.plan.architecture;
    }

    /** Most positions that a text may take. */
    get contextLength() {
        return this._parts.contextLength;
    }

    /** Number of tokens that the embedding has. */
    get vocabularySize() {
        return this.network.description.vocabulary;
    }

    /** Id of the token that a text begins with, or null. */
    get startToken() {
        return this._parts.defaults.startToken;
    }

    /** Ids of the tokens that end a text, from every file that names some. */
    get endTokens() {
        return this._parts.defaults.endTokens;
    }

    /** How tokens are drawn if the options of generate() do not say it. */
    get _sampling() {
        return this._parts.defaults.sampling;
    }

    /** The chat template, or null. */
    get _template() {
        return this._parts.template;
    }

    /** Number of layers. */
    get layers() {
        return this.network.description.layers.length;
    }

    /** Layers that have attention, from 0: all, but where some have convolutions (LFM2). @returns {number[]} */
    get attentionLayers() {
        return this.network.description.layers.flatMap(({ attention }, layer) => (attention ? layer : []));
    }

    /** Attention heads of the first layer that has any. */
    get heads() {
        return firstAttention(this.network.description).heads;
    }

    /** Number of weights. */
    get parameters() {
        return this.network.parameters;
    }

    /** Bytes that the weights take in memory. */
    get weightBytes() {
        return this.network.weightBytes;
    }

    /** Bytes that keys and values of the texts being generated or scored take now. A cache of your own tells its `byteLength`. */
    get cacheBytes() {
        let bytes = 0;
        for (const steps of this._working) {
            bytes += steps.cacheBytes;
        }
        return bytes;
    }

    /** Bytes of keys and values for one position, in float32. */
    get cacheBytesPerToken() {
        return this.network.description.layers.reduce((sum, layer) => {
            const { kvHeads, keyDim, valueDim } = mixerOf(layer);
            return sum + 4 * kvHeads * (keyDim + valueDim);
        }, 0);
    }

    /**
     * What was understood of the files: architecture, weights, tokenizer, chat template, sampling, fields that were set aside.
     * @returns {Record<string, any>} a plain object
     */
    explain() {
        const { plan, types, defaults, template, templateProblem, source, format, fileBytes, notes } = this._parts;
        const { description } = plan;
        /** @type {Record<string, number>} */
        const weights = {};
        for (const [role, type] of plan.types) {
            const memory = types.get(role) ?? 'F32';
            const key = memory === type ? type : `${type} as ${memory}`;
            weights[key] = (weights[key] ?? 0) + 1;
        }
        return {
            architecture: this.architecture,
            family: description.family,
            source,
            format,
            parameters: this.parameters,
            layers: this.layers,
            width: description.width,
            heads: this.heads,
            keyValueHeads: firstAttention(description).kvHeads,
            vocabularySize: this.vocabularySize,
            contextLength: this.contextLength,
            contextTrained: description.context,
            weights,
            bytes: { file: fileBytes, weights: this.weightBytes, cachePerToken: this.cacheBytesPerToken, cacheNow: this.cacheBytes },
            cacheDtype: this.cacheDtype,
            headIsEmbedding: description.head.tied === true,
            startToken: this.startToken,
            endTokens: [...this.endTokens],
            tokenizer: this.tokenizer?.kind ?? null,
            chatTemplate: template ? 'yes' : `none: ${templateProblem}`,
            sampling: defaults.sampling,
            setAside: [...plan.harmless, ...defaults.harmless],
            notes: [...notes],
        };
    }

    /**
     * The tokens that the model reads for a prompt of text, start token included where it has one. Not for what applyChatTemplate()
     * gives, which may begin with that token already.
     * @param {string} prompt
     * @returns {number[]}
     */
    promptTokens(prompt) {
        const ids = this._needTokenizer('prompt').encode(prompt);
        const { plan: { family }, format } = this._parts;
        // Files of other formats say themselves whether a text gets the start token.
        const begins = !family.addStart || format === 'gguf' || format === 'keras' || this.startToken === null || ids[0] === this.startToken;
        return begins ? ids : [/** @type {number} */ (this.startToken), ...ids];
    }

    /**
     * Continues a text, or several at once. The iteration holds memory for the text from its first next() until it ends, is left
     * (`break`, `return()`) or aborted; if nobody does any of that, until the model is disposed.
     * @param {import('./prompt.js').Prompt | readonly import('./prompt.js').Prompt[]} prompt text, token ids, or messages, which the chat
     *   template turns into text; or a list of prompts, which are continued together: the weights are read once for all of them, each
     *   text ends by itself, and its tokens are the same as alone
     * @param {import('./options.js').GenerateOptions | readonly import('./options.js').GenerateOptions[]} [options] for a list of prompts
     *   either the options of all or a list with the options of each; an abort signal of one prompt ends all
     * @returns {AsyncGenerator<import('./generate.js').GeneratedItem, void, undefined>} a token at a time, with the text that became
     *   certain with it. That text may be empty; the texts of all items joined are the whole text. After a prompt of text or tokens it
     *   begins with the space that stands between them, if any; an answer to messages, and a text under a constraint, begins a text of
     *   its own. For a list of prompts `index` says which one an item belongs to
     * @throws {TypeError | RangeError} at once, for wrong options and for a prompt that leaves no room; the iteration rejects with
     *   the signal's reason when it is aborted
     */
    generate(prompt, options = {}) {
        return generate(this, prompt, options);
    }

    /**
     * Finds the function calls in an answer, in the forms that the chat templates of Hermes, Qwen (Coder too), SmolLM, Granite, GLM, Mistral,
     * Phi, DeepSeek, FunctionGemma, gpt-oss and Llama 3 teach; also an answer that is nothing but the JSON of a name and its arguments.
     * In the next prompt they stand as most templates want them:
     * `{ role: 'assistant', tool_calls: calls.map((call) => ({ type: 'function', function: call })) }`, and behind it for each
     * `{ role: 'tool', name, content }`.
     * @param {string | ArrayLike<number>} answer its text, or its tokens: these show the markers that are special tokens too
     * @param {{ tools?: readonly object[] }} [options] the tools that generate() was given: then a text without markers counts as a call
     *   only of one of them, and an unquoted argument is a string where its schema says so
     * @returns {import('../text/tool-calls.js').ParsedCalls} the calls, and the text beside them
     * @throws {FormatError} `tool-call-invalid` for a call that has begun and is malformed
     */
    parseToolCalls(answer, options = {}) {
        if (typeof answer === 'string') {
            return parseToolCalls(answer, options);
        }
        if (typeof answer !== 'object' || answer === null) {
            throw typeError('answer', 'a string or a list of token ids', answer);
        }
        const ids = Array.from(checkIds('answer', answer, this.vocabularySize)).filter((id) => !this.endTokens.includes(id));
        return parseToolCalls(this._needTokenizer('answer').decode(ids), options);
    }

    /**
     * The logits of the next token after given tokens. Without a cache the tokens are read from scratch; with one they are appended
     * to it.
     * @template {import('./forward.js').ForwardOptions} [O={}]
     * @param {ArrayLike<number> | readonly ArrayLike<number>[]} ids tokens, or a list of B lists: a batch of texts, each read as if alone
     * @param {O} [options]
     * @returns {Promise<import('./forward.js').ForwardResult<O>>} [1, V]; [n, V] for positions 'all'; [B, V] for a batch; with
     *   hiddenStates or attention an object of the logits and these
     */
    forward(ids, options = /** @type {O} */ ({})) {
        return forward(this, ids, options);
    }

    /**
     * The same synchronously, where the thread may block: in Node and in workers; on a page's main thread with `workers: 0` alone.
     * @template {import('./forward.js').ForwardOptions} [O={}]
     * @param {ArrayLike<number> | readonly ArrayLike<number>[]} ids
     * @param {O} [options]
     * @returns {import('./forward.js').ForwardResult<O>}
     */
    forwardSync(ids, options = /** @type {O} */ ({})) {
        return forwardSync(this, ids, options);
    }

    /**
     * Applies the final norm and the output head to hidden states, as if they were those after the last layer. For the hidden states
     * of an earlier layer, which forward() gives with `hiddenStates`, that is the logit lens: what this layer would have said.
     * @param {import('../engine/tensor.js').TensorLike} states [n, width], float32
     * @returns {Promise<Tensor>} [n, V]
     * @throws {TypeError} (rejects) for states of another shape or type
     */
    readOut(states) {
        return readOut(this.network, states);
    }

    /**
     * An empty cache for texts of this model. It takes memory in pages as it grows, and frees it when it or the model is disposed.
     * @template {import('../model/cache.js').CacheOptions} [O={}]
     * @param {O} [options]
     * @returns {import('../model/cache.js').ModelCache<TokensOf<O>>}
     */
    createCache(options = /** @type {O} */ ({})) {
        const usual = {
            length: this.contextLength, dtype: this.cacheDtype,
            onDispose: (/** @type {ModelCache} */ cache) => this._caches.delete(cache),
            onMake: (/** @type {ModelCache} */ cache) => this._caches.add(cache),
        };
        return /** @type {import('../model/cache.js').ModelCache<any>} */ (createCache(this.network, options, usual));
    }

    /**
     * How well the model predicts a text that follows the start token. A text of more than contextLength tokens is scored in pieces
     * of that length, each after a start token of its own.
     * @param {string} text
     * @param {import('./score.js').ScoreOptions} [options]
     * @returns {Promise<import('./score.js').Score>} the negative log-likelihood of all its tokens, their number, and the number of its
     *   bytes in UTF-8: bits per byte is nats / Math.LN2 / bytes
     */
    score(text, options = {}) {
        return score(this, text, options);
    }

    /** @param {string} what is asked for @returns {Tokenizer & ChatTokenizer} */
    _needTokenizer(what) {
        if (this.tokenizer === null) {
            throw new TypeError(`${what}: this model's files have no tokenizer, it reads and writes token ids alone`);
        }
        return this.tokenizer;
    }

    /** Frees everything: the weights, the texts being generated, and the caches. */
    dispose() {
        for (const steps of this._working) {
            steps.dispose();
        }
        this._working.clear();
        for (const cache of [...this._caches]) {
            cache.dispose();
        }
        this.network.dispose();
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}

/**
 * The type of a cache's `tokens`: ids, or, where it may have been made with `batch`, perhaps a list of ids for each text.
 * @template {import('../model/cache.js').CacheOptions} O
 * @typedef {'batch' extends keyof O ? number[] | number[][] : number[]} TokensOf
 */

/**
 * @typedef {import('../text/chat.js').RenderOptions & { [variable: string]: any }} ChatOptions all other properties are variables of
 *   the template
 *
 * @typedef {object} ChatTokenizer
 * @property {(messages: readonly import('../text/chat.js').Message[], options?: ChatOptions) => string} applyChatTemplate
 *   the text of a conversation; if the template raises an exception, its words are in the error's message. Templates write the start
 *   token themselves, so the text's tokens, a prompt for generate(), are `encode(text, { addSpecialTokens: false })`
 */

/**
 * @param {Tokenizer} tokenizer
 * @param {{ template: ChatTemplate | null, templateProblem: string | null }} parts
 * @returns {Tokenizer & ChatTokenizer}
 */
function withTemplate(tokenizer, { template, templateProblem }) {
    return Object.assign(tokenizer, {
        /** @type {ChatTokenizer['applyChatTemplate']} */
        applyChatTemplate(messages, options) {
            if (template === null) {
                throw new Error(`this model has no chat template that runs, so a prompt must be text or tokens: ${templateProblem}`);
            }
            return template.render(messages, options);
        },
    });
}

printAs(LanguageModel, 'LanguageModel', (model) => (model.network.disposed || model.network.runtime.disposed ? null : model.explain()));
