// Converts a preset's tokenizer to a tokenizer.json of Hugging Face. Keras's own tokenizer.json has only a class and its options; the
// vocabulary is in assets/tokenizer.

import { FormatError, show } from '../../check.js';
import { byteLevelJson, readVocabulary, surrounded } from '../byte-level.js';
import { isObject, parseJson } from '../json.js';
import { KerasConfig } from './config.js';
import { readSentencePiece, sentencePieceJson } from './sentencepiece.js';

/**
 * @typedef {(path: string) => Promise<Uint8Array | null>} ReadFile
 *
 * @typedef {object} PresetTokenizer
 * @property {{ json: Record<string, any> }} tokenizer
 * @property {Record<string, any>} generation bos_token_id, eos_token_id, pad_token_id
 *
 * @typedef {object} Kind of a tokenizer's class
 * @property {string | null} start
 * @property {string[]} ends a text ends at any of them; the first has to be there
 * @property {string | null} pad null: id 0
 */

const FOLDER = 'assets/tokenizer/';

/** @type {Record<string, Kind>} */
const CLASSES = {
    GPT2Tokenizer: { start: '<|endoftext|>', ends: ['<|endoftext|>'], pad: null },
    QwenTokenizer: { start: null, ends: ['<|endoftext|>'], pad: null },
    Qwen3Tokenizer: { start: null, ends: ['<|im_end|>'], pad: '<|endoftext|>' },
    Llama3Tokenizer: { start: '<|begin_of_text|>', ends: ['<|end_of_text|>', '<|eot_id|>'], pad: null },
    MistralTekkenTokenizer: { start: '<s>', ends: ['</s>'], pad: null },
    LlamaTokenizer: { start: '<s>', ends: ['</s>'], pad: null },
    MistralTokenizer: { start: '<s>', ends: ['</s>'], pad: null },
    Phi3Tokenizer: { start: '<s>', ends: ['<|endoftext|>'], pad: null },
    GemmaTokenizer: { start: '<bos>', ends: ['<eos>'], pad: '<pad>' },
    Gemma3Tokenizer: { start: '<bos>', ends: ['<eos>'], pad: '<pad>' },
};

/**
 * @param {ReadFile} read
 * @returns {Promise<PresetTokenizer | null>} null for a preset without a tokenizer
 * @throws {FormatError} `tokenizer-not-json`, `tokenizer-invalid`, `tokenizer-unsupported`, `tokenizer-missing`
 */
export async function readTokenizer(read) {
    const file = await read('tokenizer.json');
    if (file === null) {
        return null;
    }
    const { value } = parseJson(file, 'tokenizer');
    const name = isObject(value) ? value.class_name : undefined;
    if (typeof name !== 'string' || !Object.hasOwn(CLASSES, name)) {
        throw new FormatError('tokenizer-unsupported',
            `tokenizer.json: tokenizers of the class ${show(name)} are not supported`);
    }
    const k = new KerasConfig(value.config, `tokenizer.json: ${name}`);
    const kind = CLASSES[name];
    // Fields that change no token: sequence_length is for batches, has_vision_tokens for images of Gemma 3.
    k.ignore('name', 'trainable', 'dtype', 'config_file', 'sequence_length', 'has_vision_tokens');
    const addStart = kind.start !== null && await addsStart(read);
    const spm = await read(`${FOLDER}vocabulary.spm`);
    return spm === null ? bytePairs(read, k, kind, addStart) : sentencePieces(spm, k, kind, addStart);
}

/** @param {ReadFile} read @returns {Promise<boolean>} */
async function addsStart(read) {
    const file = await read('preprocessor.json');
    const config = file === null ? null : parseJson(file, 'tokenizer').value?.config;
    const value = isObject(config) ? config.add_start_token ?? true : true;
    return typeof value === 'boolean' ? value
        : invalid(`preprocessor.json: add_start_token must be true or false, got ${show(value)}`);
}

/** @param {string} message @returns {never} */
function invalid(message) {
    throw new FormatError('tokenizer-invalid', message);
}

/**
 * @param {Uint8Array} bytes
 * @param {KerasConfig} k
 * @param {Kind} kind
 * @param {boolean} addStart
 * @returns {PresetTokenizer}
 */
function sentencePieces(bytes, k, kind, addStart) {
    for (const key of ['add_bos', 'add_eos']) {
        k.only(key, false);
    }
    k.only('proto', null);
    k.finish();
    const vocabulary = readSentencePiece(bytes);
    const ids = new Map(vocabulary.pieces.map((piece, id) => [piece, id]));
    const generation = specialIds(kind, (token) => ids.get(token));
    return { tokenizer: { json: sentencePieceJson(vocabulary, postOf(kind, addStart, generation)) }, generation };
}

/** @param {Kind} kind @param {boolean} addStart @param {Record<string, any>} generation @returns {object | null} */
function postOf({ start }, addStart, generation) {
    return surrounded(addStart && start !== null ? [[start, generation.bos_token_id]] : []);
}

/**
 * @param {Kind} kind
 * @param {(token: string) => number | undefined} idOf
 * @returns {Record<string, any>}
 */
function specialIds({ start, ends, pad }, idOf) {
    /** @param {string} token @returns {number} */
    const need = (token) => idOf(token) ?? invalid(`the vocabulary has no token ${show(token)}`);
    need(ends[0]);
    return {
        ...start !== null && { bos_token_id: need(start) },
        eos_token_id: ends.map(idOf).filter((id) => id !== undefined),
        pad_token_id: pad === null ? 0 : need(pad),
    };
}

/**
 * @param {ReadFile} read
 * @param {KerasConfig} k
 * @param {Kind} kind
 * @param {boolean} addStart
 * @returns {Promise<PresetTokenizer>}
 */
async function bytePairs(read, k, kind, addStart) {
    const [vocabularyFile, mergesFile] = [await read(`${FOLDER}vocabulary.json`), await read(`${FOLDER}merges.txt`)];
    if (vocabularyFile === null || mergesFile === null) {
        throw new FormatError('tokenizer-missing',
            `a preset has ${FOLDER}vocabulary.spm, or vocabulary.json and merges.txt there`);
    }
    const vocabulary = readVocabulary(vocabularyFile, 'vocabulary.json');
    const generation = specialIds(kind, vocabulary.idOf);
    const added = specialTokens(k, kind).map((content) => ({
        id: vocabulary.idOf(content) ?? invalid(`the vocabulary has no token ${show(content)}`), content,
        single_word: false, lstrip: false, rstrip: false, normalized: false, special: true,
    }));
    const prefix = k.flag('add_prefix_space', false);
    k.finish();
    // Keras means to split texts into words first, but its tokenizer looks for the regular expression as a literal string. So nothing is
    // split, and pairs are merged across spaces.
    const json = byteLevelJson(vocabulary, mergesFile, { added, prefix, words: false, post: postOf(kind, addStart, generation) });
    return { tokenizer: { json }, generation };
}

/** @param {KerasConfig} k @param {Kind} kind @returns {string[]} tokens that text is never split within */
function specialTokens(k, { start, ends, pad }) {
    const given = k.any('unsplittable_tokens');
    if (given === null) {
        return Array.from(new Set([start, ...ends, pad].filter((token) => token !== null)));
    }
    const isToken = (/** @type {unknown} */ token) => typeof token === 'string' && token !== '';
    return Array.isArray(given) && given.length <= 4096 && given.every(isToken)
        ? given : k.refuse('unsplittable_tokens', 'a list of tokens', given);
}
