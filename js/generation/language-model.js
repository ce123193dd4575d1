// LanguageModel: what loadModel() gives, the face of a network with its tokenizer, template and defaults.

import { typeError } from '../check.js';
import { printAs } from '../engine/print.js';
import { createCache } from '../model/cache.js';
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
 * @property {string | null} templateProblem why there is none
 * @property {import('./defaults.js').Defaults} defaults
 * @property {string} source
 * @property {string} format
 * @property {Map<string, string>} types of the weights in memory, by role
 * @property {number} contextLength
 * @property {'float32' | 'float16' | 'int8'} cacheDtype
 * @property {number} fileBytes
 * @property {readonly string[]} notes where what is computed is not what the files say
 */

/** A model that reads and writes. Made by loadModel(). */
export class LanguageModel {
    /** @param {ModelParts} parts */
    constructor(parts) {
        if (!(parts?.network instanceof Network && parts.plan)) throw typeError('a LanguageModel', 'made by loadModel()', parts);
        /** The network itself. */
        this.network = parts.network;
        this._parts = parts;
        /** null where the files have none: prompts are ids then. @type {(Tokenizer & ChatTokenizer) | null} */
        this.tokenizer = parts.tokenizer && withTemplate(parts.tokenizer, parts);
        /** @type {'float32' | 'float16' | 'int8'} */
        this.cacheDtype = parts.cacheDtype;
        /** Texts at work. @type {Set<{ readonly cacheBytes: number, dispose(): void }>} */
        this._working = new Set();
        /** Caches that createCache() made and nobody has disposed of. @type {Set<ModelCache>} */
        this._caches = new Set();
    }

    /** As GGUF or config.json spells it: 'llama', 'gpt2', ... */
    get architecture() {
        return this._parts.plan.architecture;
    }

    /** Most positions that a text may take. */
    get contextLength() {
        return this._parts.contextLength;
    }

    /** Tokens that the embedding has. */
    get vocabularySize() {
        return this.network.description.vocabulary;
    }

    /** Id that a text begins with, or null. */
    get startToken() {
        return this._parts.defaults.startToken;
    }

    /** Ids that end a text, from every file that names some. */
    get endTokens() {
        return this._parts.defaults.endTokens;
    }

    /** How texts are drawn where generate() is not told. */
    get _sampling() {
        return this._parts.defaults.sampling;
    }

    /** Number of layers. */
    get layers() {
        return this.network.description.layers.length;
    }

    /** Attention heads of the first layer. */
    get heads() {
        return this.network.description.layers[0].attention.heads;
    }

    /** Number of weights. */
    get parameters() {
        return this.network.parameters;
    }

    /** Bytes that the weights take in memory. */
    get weightBytes() {
        return this.network.weightBytes;
    }

    /** Bytes of keys and values that texts being written hold now. A cache of your own tells its `byteLength`. */
    get cacheBytes() {
        let bytes = 0;
        for (const steps of this._working) {
            bytes += steps.cacheBytes;
        }
        return bytes;
    }

    /** Bytes of keys and values for one position, in float32. */
    get cacheBytesPerToken() {
        return this.network.description.layers.reduce((sum, { attention: a }) => sum + 4 * a.kvHeads * (a.keyDim + a.valueDim), 0);
    }

    /**
     * What was understood of the files.
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
            keyValueHeads: description.layers[0].attention.kvHeads,
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
     * The tokens of a prompt as the model is given them.
     * @param {string} prompt
     * @returns {number[]}
     */
    promptTokens(prompt) {
        const ids = this._needTokenizer('prompt').encode(prompt);
        const { plan: { family }, format } = this._parts;
        // Other formats say themselves whether a prompt gets the start token.
        const begins = !family.addStart || format !== 'safetensors' || this.startToken === null || ids[0] === this.startToken;
        return begins ? ids : [/** @type {number} */ (this.startToken), ...ids];
    }

    /**
     * Continues a text, or several at once. Breaking out of the iteration, or aborting it, frees what it holds; one that next() has
     * begun and nobody ends holds it as long as the model.
     * @param {import('./prompt.js').Prompt | readonly import('./prompt.js').Prompt[]} prompt text, tokens as they are, or messages,
     *   which the chat template turns into text; or a list of these: the weights are read once for all of them, every text stops
     *   by itself, and its tokens are the same as alone
     * @param {import('./options.js').GenerateOptions | readonly import('./options.js').GenerateOptions[]} [options] with several
     *   prompts for all of them, or a list with the options of each; the signal of one ends all
     * @returns {AsyncGenerator<import('./generate.js').GeneratedItem, void, undefined>} a token at a time with the text
     *   that became certain with it: it may be empty, and all of it joined is the whole text. Behind a prompt of text or tokens it goes
     *   on with the space that is between them; an answer to messages, and what is held to something, is a text by itself. With several
     *   prompts `index` says which of them an item is of
     * @throws {TypeError | RangeError} for wrong options and for a prompt that leaves no room (at once); the iteration
     *   rejects with the signal's reason when aborted
     */
    generate(prompt, options = {}) {
        return generate(this, prompt, options);
    }

    /**
     * The calls of functions in an answer, in the forms that chat templates teach (tool-calls.js lists them).
     * @param {string | ArrayLike<number>} answer its text, or its tokens, with which markers are seen that are no text
     * @param {{ tools?: readonly object[] }} [options] the tools that generate() was given: a text without markers is a call only of one of
     *   them, and an argument without quotes a string where they say so
     * @returns {import('../text/tool-calls.js').ParsedCalls} the calls, and what stands beside them
     * @throws {FormatError} `tool-call-invalid` for a call that is begun and is not what it should be
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
     * The logits of what may follow given tokens. Without a cache they are read cold; with one they are appended to it.
     * @template {import('./forward.js').ForwardOptions} [O={}]
     * @param {ArrayLike<number> | readonly ArrayLike<number>[]} ids tokens, or a list of B lists for a batch of texts, each read as if
     *   alone
     * @param {O} [options]
     * @returns {Promise<import('./forward.js').ForwardResult<O>>} [1, V]; [n, V] for positions 'all'; [B, V] for a batch; with
     *   hiddenStates or attention an object of logits and those
     */
    forward(ids, options = /** @type {O} */ ({})) {
        return forward(this, ids, options);
    }

    /**
     * The same at once, where the thread may block.
     * @template {import('./forward.js').ForwardOptions} [O={}]
     * @param {ArrayLike<number> | readonly ArrayLike<number>[]} ids
     * @param {O} [options]
     * @returns {import('./forward.js').ForwardResult<O>}
     */
    forwardSync(ids, options = /** @type {O} */ ({})) {
        return forwardSync(this, ids, options);
    }

    /**
     * The logits that hidden states would give were they the model's last, by its last norm and its head: with those of a layer
     * before, as `forward` gives them, what that layer would have said (the logit lens).
     * @param {import('../engine/tensor.js').TensorLike} states [n, width], float32
     * @returns {Promise<Tensor>} [n, V]
     * @throws {TypeError} (rejects) for states of another shape or type
     */
    readOut(states) {
        return readOut(this.network, states);
    }

    /**
     * A cache for texts of this model, empty. It takes memory by pages as it grows, and keeps it until dispose(), its own or the
     * model's.
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
     * How well the model predicts a text, read cold after the start token. A text longer than contextLength is read in
     * pieces of so many tokens, each cold.
     * @param {string} text
     * @param {import('./score.js').ScoreOptions} [options]
     * @returns {Promise<import('./score.js').Score>} negative log-likelihood of all its tokens, their number, and the bytes of its
     *   UTF-8: nats / Math.LN2 / bytes is bits per byte
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

    /** Frees everything: weights, and caches that are still there. */
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
 * What a cache says that it holds: ids, or a list of them for each text where it may be of several.
 * @template {import('../model/cache.js').CacheOptions} O
 * @typedef {'batch' extends keyof O ? number[] | number[][] : number[]} TokensOf
 */

/**
 * @typedef {import('../text/chat.js').RenderOptions & { [variable: string]: any }} ChatOptions whatever else it has goes to the
 *   template by its name
 *
 * @typedef {object} ChatTokenizer
 * @property {(messages: readonly import('../text/chat.js').Message[], options?: ChatOptions) => string} applyChatTemplate
 *   the text of a conversation; what a template raises is in the error's message
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
