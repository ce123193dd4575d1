import { typeError } from '../check.js';
import { FormatError } from '../check.js';
import { loadTensors, matchTensors, parseConfig } from '../files/checkpoint.js';
import { generate } from './generate.js';
import { GPT2CausalLM } from '../layers/gpt2.js';
import { readHeader } from '../files/safetensors.js';
import { score } from './score.js';
import { checkSignal, locate, openFile } from '../files/source.js';
import { Tokenizer } from '../text/tokenizer.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */

/** One file, which holds its config and tokenizer too; in this form bundlers take it along. */
const EMBEDDED = new URL('../embedded/model.safetensors', import.meta.url);

/**
 * @typedef {object} LoadOptions
 * @property {AbortSignal} [signal] aborts loading; what had been allocated is freed
 * @property {(progress: { loaded: number, total: number }) => void} [onProgress] in bytes; ends with loaded = total
 */

/**
 * Loads a language model: GPT-2 as Hugging Face publishes it (`config.json`, `model.safetensors` in F32, F16 or BF16,
 * `tokenizer.json`).
 *
 * @param {Runtime} runtime
 * @param {import('../files/source.js').ModelSource} [source] where it is; without it the small model that comes with this
 *   package.
 *   - a URL, or in Node a path: the folder with the three files, or the `.safetensors` file with the other two beside
 *     it
 *   - a Blob, ArrayBuffer, typed array or ReadableStream: one `.safetensors` file whose `__metadata__` has the other
 *     two as text, under `config` and `tokenizer` (in Python: `save_file(tensors, path, metadata={'config': ...,
 *     'tokenizer': ...})`)
 *   - `{ config, weights, tokenizer }`: each of the three from any of these places
 *   - the Files of an `<input type="file" multiple>` or a folder picker: they are told apart by their names
 * @param {LoadOptions} [options]
 * @returns {Promise<LanguageModel>}
 * @throws {FormatError} (rejects) for malformed or unsupported files, with a stable `code`
 * @throws {Error} (rejects) when a file cannot be had, when aborted (the signal's reason), when the memory is exhausted
 */
export async function loadModel(runtime, source = EMBEDDED, { signal, onProgress } = {}) {
    if (typeof runtime?._check !== 'function') {
        throw typeError('runtime', 'made by createRuntime()', runtime);
    }
    runtime._check('loadModel');
    checkSignal(signal);
    signal?.throwIfAborted();
    const files = await locate(source);
    /** @type {Promise<any>[]} */
    const opening = [openFile(files.weights, signal)];
    if (!files.single && files.config && files.tokenizer) {
        opening.push(readAll(files.config, signal), readAll(files.tokenizer, signal));
    }
    const outcomes = await Promise.allSettled(opening);
    const [reader, config = null, tokenizer = null] = outcomes.map((outcome) =>
        (outcome.status === 'fulfilled' ? outcome.value : null));
    try {
        const failed = outcomes.find((outcome) => outcome.status === 'rejected');
        if (failed) {
            throw /** @type {PromiseRejectedResult} */ (failed).reason;
        }
        return await build(runtime, reader, { files, config, tokenizer }, { signal, onProgress });
    } finally {
        reader?.close();
    }
}

/** @param {import('../files/source.js').FileSource} source @param {AbortSignal} [signal] */
async function readAll(source, signal) {
    const reader = await openFile(source, signal);
    try {
        return await reader.rest();
    } finally {
        reader.close();
    }
}

/**
 * @param {Runtime} runtime
 * @param {import('../files/byte-reader.js').ByteReader} reader of the weights
 * @param {{ files: import('../files/source.js').ModelFiles, config: Uint8Array | null, tokenizer: Uint8Array | null }} parts
 * @param {LoadOptions} options
 */
async function build(runtime, reader, parts, { signal, onProgress }) {
    const header = await readHeader(reader);
    const weightBytes = header.headerBytes + header.dataBytes;
    let total = weightBytes;
    /** @param {'config' | 'tokenizer'} name */
    const part = async (name) => {
        const text = header.metadata.get(name);
        if (parts[name] === null && text !== undefined) {
            return new TextEncoder().encode(text);
        }
        const bytes = parts[name] ?? await readBeside(name, parts.files[name], signal);
        total += bytes.length;
        return bytes;
    };
    const { config, description } = parseConfig(await part('config'));
    const found = matchTensors(header, description.network);
    const tokenizer = new Tokenizer(await part('tokenizer'));
    if (tokenizer.vocabularySize > description.network.vocabularySize) {
        throw new FormatError('tokenizer-invalid', `the tokenizer has ids up to ${tokenizer.vocabularySize - 1}; ` +
            `config.json says vocab_size ${description.network.vocabularySize}`);
    }
    let loaded = total - weightBytes + reader.arrived;
    onProgress?.({ loaded, total });
    reader.onBytes = (bytes) => {
        loaded += bytes;
        onProgress?.({ loaded, total });
    };
    signal?.throwIfAborted();
    const network = new GPT2CausalLM(runtime, description.network);
    try {
        await loadTensors(network, reader, header, found);
        return new LanguageModel(network, tokenizer, config, description);
    } catch (error) {
        network.dispose();
        throw error;
    }
}

/**
 * The config or tokenizer of a model whose weights do not bring it along.
 * @param {'config' | 'tokenizer'} name
 * @param {import('../files/source.js').FileSource | null} source
 * @param {AbortSignal} [signal]
 * @returns {Promise<Uint8Array>}
 */
async function readBeside(name, source, signal) {
    if (source === null) {
        throw new FormatError(`${name}-missing`, `${name}.json is missing: give the model as ` +
            `{ config, weights, tokenizer }, or as a safetensors file whose __metadata__ has a '${name}'`);
    }
    return readAll(source, signal);
}

/** A model that writes. Made by loadModel(). */
export class LanguageModel {
    /**
     * @param {GPT2CausalLM} network
     * @param {Tokenizer} tokenizer
     * @param {Record<string, any>} config
     * @param {import('../files/checkpoint.js').Description} description
     */
    constructor(network, tokenizer, config, description) {
        /** The network itself, for tokens instead of text. */
        this.network = network;
        this.tokenizer = tokenizer;
        /** What config.json says. */
        this.config = config;
        /** Id that every prompt given as text begins with, or null. */
        this.startToken = description.startToken;
        /** Ids that end a text. */
        this.endTokens = description.endTokens;
        /** Sessions at work. @type {Set<import('./session.js').Session>} */
        this._sessions = new Set();
    }

    /** Positions: prompt and new tokens together are at most so many. */
    get maxLength() {
        return this.network.maxSequenceLength;
    }

    /** Number of layers. */
    get layers() {
        return this.network.numLayers;
    }

    /** Attention heads per layer. */
    get heads() {
        return this.network.numHeads;
    }

    /** Number of weights. */
    get parameters() {
        return this.network.parameters;
    }

    /** Bytes that the weights take in memory, as float32. */
    get weightBytes() {
        return this.network.weightBytes;
    }

    /** Bytes of keys and values that generations at work hold now. */
    get cacheBytes() {
        let bytes = 0;
        for (const session of this._sessions) {
            bytes += session.cacheBytes;
        }
        return bytes;
    }

    /** Bytes of keys and values for one position. */
    get cacheBytesPerToken() {
        return this.network.cacheBytesPerToken;
    }

    /**
     * The tokens of a prompt as the model is given them: the start token, then the text's.
     * @param {string} prompt
     * @returns {number[]}
     */
    promptTokens(prompt) {
        const ids = this.tokenizer.encode(prompt);
        return this.startToken === null || ids[0] === this.startToken ? ids : [this.startToken, ...ids];
    }

    /**
     * Continues a text. Breaking out of the iteration, or aborting it, frees what it holds.
     * @param {string | ArrayLike<number>} prompt text, which gets the start token in front as in Keras Hub, or tokens
     *   as they are
     * @param {import('./generate.js').GenerateOptions} [options]
     * @returns {AsyncGenerator<import('./generate.js').GeneratedItem, void, undefined>} a token at a time with the text
     *   that became certain with it: it may be empty, and all of it joined is the whole text
     * @throws {TypeError | RangeError} for wrong options and for a prompt that leaves no room in maxLength (at once);
     *   the iteration rejects with the signal's reason when aborted
     */
    generate(prompt, options = {}) {
        return generate(this, prompt, options);
    }

    /**
     * How well the model predicts a text, read cold after the start token. A text longer than maxLength is read in
     * pieces of maxLength tokens, each cold.
     * @param {string} text
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<{ nats: number, tokens: number, bytes: number }>} negative log-likelihood of all its tokens,
     *   their number, and the bytes of its UTF-8: nats / Math.LN2 / bytes is bits per byte
     */
    score(text, options = {}) {
        return score(this, text, options);
    }

    /** Frees the weights. */
    dispose() {
        for (const session of this._sessions) {
            session.dispose();
        }
        this._sessions.clear();
        this.network.dispose();
    }

    [Symbol.dispose]() {
        this.dispose();
    }
}
