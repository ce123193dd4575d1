// loadModel(): the one place where files, model families, tokenizers and the network meet.

import { FormatError, checkProgress, checkRuntime, checkSignal, positiveInteger, rangeError, show } from '../check.js';
import { checkKeptType } from '../blocks/pages.js';
import { decodeBlocks, packedBytes, weightType } from '../blocks/weight.js';
import { openModel } from '../files/open.js';
import { planOf } from '../model/assemble.js';
import { Network } from '../model/network.js';
import { shapesOf } from '../model/shapes.js';
import { ChatTemplate } from '../text/chat.js';
import { tokenizerFromGguf } from '../text/gguf-vocabulary.js';
import { harmlessOf } from '../text/parts.js';
import { Tokenizer } from '../text/tokenizer.js';
import { readDefaults } from './defaults.js';
import { areFinite } from './finite.js';
import { LanguageModel } from './language-model.js';
import { modelAddress } from './model-address.js';
import { takeOptions } from './take-options.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../files/tensor-source.js').TensorSource} TensorSource */
/** @typedef {import('../files/tensor-source.js').TensorPiece} TensorPiece */
/** @typedef {import('../model/assemble.js').Plan} Plan */

/**
 * @typedef {object} LoadOptions
 * @property {AbortSignal | null} [signal] aborts loading; all memory it took is freed
 * @property {(progress: { loaded: number, total: number }) => void} [onProgress] in bytes; the last call has loaded = total
 * @property {'auto' | 'float32'} [weights] 'auto', the default: computes on the file's quantized blocks as they are. 'float32': decodes
 *   them first, which is exact and takes more memory; weights that Keras quantized to int8 stay integers even then
 * @property {number} [contextLength] most positions that a text may take; default: the model's own. More than these not for models
 *   with learned positions
 * @property {'float32' | 'float16' | 'int8'} [cacheDtype] type of keys and values in caches; default: float32
 */

const OPTIONS = ['signal', 'onProgress', 'weights', 'contextLength', 'cacheDtype'];

/**
 * Loads a language model.
 *
 * @param {Runtime} runtime
 * @param {import('../files/source.js').ModelSource} [source] where the model is; default: the small one that comes with this package.
 *   A URL, a path (Node), a Blob, an ArrayBuffer, a ReadableStream or one of Node's, a Response, Files, huggingFace('owner/name'):
 *   a GGUF file, a folder as Hugging Face publishes it, a preset of Keras Hub, or a single safetensors file whose metadata has `config`
 *   and `tokenizer`
 * @param {LoadOptions} [options]
 * @returns {Promise<LanguageModel>}
 * @throws {FormatError} (rejects) for malformed or unsupported files, with a stable `code`
 * @throws {RangeError} (rejects) if the model does not fit into the memory, before its weights are read
 * @throws {Error} (rejects) if a file cannot be read; with the signal's reason when aborted
 */
export async function loadModel(runtime, source, options = {}) {
    checkRuntime(runtime, 'loadModel');
    const taken = takeOptions('loadModel', options, OPTIONS);
    checkOptions(taken);
    const { signal, onProgress } = taken;
    signal?.throwIfAborted();
    const opened = await openModel(source === undefined ? await modelAddress() : source, { signal, onProgress });
    try {
        // Meanwhile somebody may have disposed of it.
        runtime._check('loadModel');
        return await build(runtime, opened, taken);
    } finally {
        opened.close();
    }
}

/** @param {LoadOptions} options */
function checkOptions(options) {
    const { signal, onProgress, weights, contextLength, cacheDtype } = options;
    checkSignal(signal);
    checkProgress(onProgress);
    if (weights !== undefined && weights !== 'auto' && weights !== 'float32') {
        throw rangeError('weights', "'auto' or 'float32'", weights);
    }
    if (contextLength !== undefined) {
        positiveInteger('contextLength', contextLength);
    }
    if (cacheDtype !== undefined) {
        checkKeptType('cacheDtype', cacheDtype);
    }
}

/**
 * @param {Runtime} runtime
 * @param {TensorSource} source
 * @param {LoadOptions} options
 */
async function build(runtime, source, { signal, weights = 'auto', contextLength, cacheDtype = 'float32' }) {
    const plan = planOf(source);
    const unknown = unknownKeys(source);
    const { description } = plan;
    if (contextLength !== undefined && contextLength > description.context && description.embedding.positions !== null) {
        throw rangeError('contextLength', `at most ${description.context}, the positions that this model has embeddings of`, contextLength);
    }
    const { tokenizer, ends, template, templateProblem } = textOf(source);
    const harmless = source.tokenizer ? harmlessOf(source.tokenizer.json).map((name) => `tokenizer.json: ${name}`) : [];
    const defaults = readDefaults(source, description.vocabulary, tokenizer, ends);
    const types = chooseTypes(plan, weights);
    const typeOf = (/** @type {string} */ role) => types.get(role) ?? 'F32';
    checkFits(runtime, plan, typeOf);
    signal?.throwIfAborted();
    const network = new Network(runtime, description, typeOf);
    try {
        for await (const piece of source.read((info) => plan.tensors.has(info.name))) {
            network.check('loadModel');
            load(runtime, network, plan, piece);
        }
        return new LanguageModel({
            network, plan: { ...plan, harmless: [...plan.harmless, ...unknown, ...harmless] }, tokenizer, template, templateProblem, defaults,
            source: source.name, format: source.format, types,
            notes: source.notes,
            contextLength: contextLength ?? description.context, cacheDtype, fileBytes: source.fileBytes,
        });
    } catch (error) {
        network.dispose();
        throw error;
    }
}

/**
 * The unknown keys of a GGUF file. One of its own architecture may change what has to be computed, so it is refused; the others are
 * listed by explain().
 * @param {TensorSource} source
 * @returns {string[]}
 */
function unknownKeys({ fields, architecture }) {
    const unknown = fields?.unknown ?? [];
    const own = unknown.find((key) => key.startsWith(`${architecture}.`));
    if (own !== undefined) {
        throw new FormatError('config-unknown', `metadata: nothing is known of the key ${show(own)}, so it cannot be told whether it matters`);
    }
    return [...unknown, ...fields?.harmless ?? []];
}

/**
 * Tokenizer and chat template. A template that cannot run is no error here: explain() and applyChatTemplate() say why.
 * @param {TensorSource} source
 */
function textOf(source) {
    /** @type {{ json: any, config: any, endTokens?: number[] } | null} */
    let text = source.tokenizer ? { json: source.tokenizer.json, config: source.tokenizerConfig } : null;
    const vocabulary = source.metadata?.get('tokenizer.ggml.model') ?? 'none';
    if (source.metadata && vocabulary !== 'none' && vocabulary !== 'no_vocab') {
        text = tokenizerFromGguf(source.metadata);
    }
    if (text === null) {
        return { tokenizer: null, ends: [], template: null, templateProblem: 'the files have no tokenizer' };
    }
    const tokenizer = new Tokenizer(text.json, text.config);
    const ends = text.endTokens ?? [];
    if (source.chatTemplate === null) {
        return { tokenizer, ends, template: null, templateProblem: 'the files have none' };
    }
    try {
        const template = new ChatTemplate(source.chatTemplate, { specialTokens: tokenizer.specialTokens, name: source.name });
        return { tokenizer, ends, template, templateProblem: null };
    } catch (error) {
        if (error instanceof FormatError) {
            return { tokenizer, ends, template: null, templateProblem: error.message };
        }
        throw error;
    }
}

/**
 * The type in which each matrix is kept in memory: the file's own, unless float32 was asked for.
 * @param {Plan} plan
 * @param {'auto' | 'float32'} weights
 * @returns {Map<string, string>} by role
 */
function chooseTypes({ types }, weights) {
    return weights === 'auto' ? types : new Map(Array.from(types, ([role, type]) => [role, type === 'I8' ? type : 'F32']));
}

/** @param {Runtime} runtime @param {Plan} plan @param {(role: string) => string} typeOf @throws {RangeError} */
function checkFits(runtime, { description }, typeOf) {
    let bytes = 0;
    for (const [role, shape] of shapesOf(description)) {
        const [n, k] = shape;
        bytes += k === undefined || !role.endsWith('.weight') ? 4 * n * (k ?? 1) : packedBytes(runtime, weightType(typeOf(role)), k, n);
        bytes += typeOf(role) === 'I8' ? 4 * n : 0;
    }
    const { memory } = runtime;
    const free = memory.max - memory.used;
    if (bytes > free) {
        throw new RangeError(`the model must fit into the memory: its weights take ${Math.ceil(bytes)} bytes, ` +
            `of maxMemory ${memory.max} there are ${free} left`);
    }
}

/**
 * Copies some rows of a tensor to where they belong in the network.
 * @param {Runtime} runtime
 * @param {Network} network
 * @param {Plan} plan
 * @param {TensorPiece} piece
 */
function load(runtime, network, plan, { info, firstRow, rows, bytes }) {
    const type = weightType(info.type);
    const entry = plan.tensors.get(info.name);
    /** Decoded once, even if parts of it go to several places. @type {Float32Array | null} */
    let values = null;
    for (const { role, from, to, count } of entry?.places ?? []) {
        const slot = network.slots.get(role);
        if (!slot) {
            throw new Error(`the network has no place for ${role}`);
        }
        if ('floats' in slot) {
            if (values === null) {
                values = decodeBlocks(runtime, type, bytes);
                if (network.notFinite === null && !areFinite(values)) {
                    network.notFinite = role;
                }
            }
            const fused = (entry?.places.length ?? 0) > 1;
            slot.floats(fused ? values.subarray(from, from + count) : values, info.shape.length === 1 ? to : to + firstRow);
        } else if (entry?.transposed) {
            slot.matrix.load(bytes, type, firstRow, rows, { orientation: 'columns', columns: info.shape[1], firstColumn: from });
        } else {
            const start = Math.max(firstRow, from);
            const end = Math.min(firstRow + rows, from + count);
            if (start < end) {
                const part = bytes.subarray((start - firstRow) * info.rowBytes, (end - firstRow) * info.rowBytes);
                slot.matrix.load(part, type, to + start - from, end - start);
            }
        }
    }
}
