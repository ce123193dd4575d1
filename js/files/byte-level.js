// Converts a byte-level BPE in the form in which GPT-2's was published, a vocabulary and a list of merges, to a tokenizer.json. Keras's
// presets have these two files, and so have folders that are older than tokenizer.json.

import { FormatError, show } from '../check.js';
import { isObject, parseJson } from './json.js';

/** @param {string} message @returns {never} */
function invalid(message) {
    throw new FormatError('tokenizer-invalid', message);
}

/** @typedef {{ tokens: Record<string, number>, idOf: (token: string) => number | undefined }} Vocabulary */

/** @param {Uint8Array} bytes @param {string} name of the file @returns {Vocabulary} */
export function readVocabulary(bytes, name) {
    const tokens = parseJson(bytes, 'tokenizer', name).value;
    if (!isObject(tokens) || !Object.values(tokens).every((id) => Number.isInteger(id) && id >= 0)) {
        invalid(`${name} must be an object of ids, got ${show(tokens)}`);
    }
    return { tokens, idOf: (token) => (Object.hasOwn(tokens, token) ? tokens[token] : undefined) };
}

/**
 * @param {Uint8Array} bytes
 * @param {Vocabulary['idOf']} idOf
 * @returns {string[]}
 */
function readMerges(bytes, idOf) {
    const lines = new TextDecoder().decode(bytes.slice()).split('\n').map((line) => line.trimEnd());
    if (lines.at(-1) === '') {
        lines.pop();
    }
    const merges = lines.filter((line) => !line.trimStart().startsWith('#version:'));
    for (const [i, merge] of merges.entries()) {
        const parts = merge.split(' ');
        if (parts.length !== 2 || parts.some((part) => idOf(part) === undefined)) {
            invalid(`merges.txt: the merge ${i + 1}, ${show(merge)}, is not two tokens of the vocabulary`);
        }
    }
    return merges;
}

/**
 * @param {Vocabulary} vocabulary
 * @param {Uint8Array} merges merges.txt
 * @param {object} options
 * @param {object[]} options.added added_tokens of tokenizer.json
 * @param {boolean} options.prefix whether a text gets a space in front
 * @param {boolean} options.words whether it is split into words first
 * @param {object | null} options.post the post-processor
 * @returns {Record<string, any>} tokenizer.json
 */
export function byteLevelJson({ tokens, idOf }, merges, { added, prefix, words, post }) {
    return {
        version: '1.0', truncation: null, padding: null, normalizer: null, added_tokens: added,
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: prefix, trim_offsets: true, use_regex: words },
        post_processor: post,
        decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
        model: {
            type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
            fuse_unk: false, byte_fallback: false, ignore_merges: false,
            vocab: tokens, merges: readMerges(merges, idOf),
        },
    };
}

/**
 * @param {[text: string, id: number][]} before tokens put before a text
 * @param {[text: string, id: number][]} [behind] and after it
 * @returns {object | null} the post-processor of a tokenizer.json that does so; null if there are none
 */
export function surrounded(before, behind = []) {
    const all = [...before, ...behind];
    const special = (/** @type {[string, number]} */ [id]) => ({ SpecialToken: { id, type_id: 0 } });
    return all.length === 0 ? null : {
        type: 'TemplateProcessing',
        single: [...before.map(special), { Sequence: { id: 'A', type_id: 0 } }, ...behind.map(special)],
        special_tokens: Object.fromEntries(all.map(([text, id]) => [text, { id: text, ids: [id], tokens: [text] }])),
    };
}

const CLASSES = /^(GPT2|CodeGen)Tokenizer(Fast)?$/;
const END = '<|endoftext|>';

/**
 * Reads the tokenizer of a folder without tokenizer.json, as transformers does.
 * @param {(name: string) => Promise<Uint8Array | null>} read
 * @param {Record<string, any> | null} config config.json
 * @param {Record<string, any> | null} named tokenizer_config.json
 * @returns {Promise<{ json: Record<string, any>, config: Record<string, any> } | null>} null where it has no such tokenizer
 */
export async function readByteLevel(read, config, named) {
    const kind = named?.tokenizer_class ?? { gpt2: 'GPT2Tokenizer', phi: 'CodeGenTokenizer' }[String(config?.model_type)];
    if (typeof kind !== 'string' || !CLASSES.test(kind)) {
        return null;
    }
    const [file, merges] = [await read('vocab.json'), await read('merges.txt')];
    if (file === null || merges === null) {
        return null;
    }
    const vocabulary = readVocabulary(file, 'vocab.json');
    /** @type {Record<string, any>} */
    const names = { bos_token: END, eos_token: END, unk_token: END, ...named };
    /** @type {Record<string, any>[]} */
    const added = [];
    /** @param {'bos' | 'eos'} name @returns {[string, number][]} the token, if texts get it; with an id after the vocabulary's if it is not in it */
    const around = (name) => {
        const value = names[`${name}_token`];
        const said = isObject(value) ? value : { content: value };
        const { content } = said;
        if (names[`add_${name}_token`] !== true || typeof content !== 'string') {
            return [];
        }
        const known = vocabulary.idOf(content) ?? added.find((token) => token.content === content)?.id;
        const id = known ?? Object.keys(vocabulary.tokens).length + added.length;
        if (known === undefined) {
            added.push({ normalized: false, ...said, id, special: true });
        }
        return [[content, id]];
    };
    const post = surrounded(around('bos'), around('eos'));
    return {
        json: byteLevelJson(vocabulary, merges, { added, prefix: names.add_prefix_space === true, words: true, post }),
        config: names,
    };
}
