// The text files beside a model's weights: config, tokenizer, templates. Each is read up to a limit and parsed once. A page that a server
// sends in place of a missing file is recognized.

import { FormatError, show } from '../check.js';
import { readByteLevel } from './byte-level.js';
import { FIRST_BYTES, isPage, otherThanJson } from './first-bytes.js';
import { isObject, parseJson } from './json.js';
import { nameOf } from './places.js';
import { SourceError } from './source.js';

/**
 * @typedef {import('./tensor-source.js').TensorSource} TensorSource
 *
 * @typedef {object} Companions what lies beside the weights
 * @property {Record<string, any> | null} config
 * @property {Record<string, any> | null} generation
 * @property {TensorSource['tokenizer']} tokenizer
 * @property {TensorSource['tokenizerConfig']} tokenizerConfig
 * @property {TensorSource['chatTemplate']} chatTemplate
 */

/** No text beside weights is longer: the largest vocabularies take some 35 MB. */
const MAX_TEXT_BYTES = 1 << 26;

/** @type {Readonly<Companions>} */
export const NO_COMPANIONS = Object.freeze({
    config: null, generation: null, tokenizer: null, tokenizerConfig: null, chatTemplate: null,
});

/** The texts of one place. */
export class Texts {
    /**
     * @param {import('./places.js').Place} place
     * @param {(file: import('./places.js').AnyFile) => Promise<import('./byte-reader.js').ByteReader>} open
     * @param {import('./tensor-source.js').Progress} progress
     */
    constructor(place, open, progress) {
        this._place = place;
        this._open = open;
        this._progress = progress;
        /** Of all texts so far. */
        this.bytes = 0;
        /** config.json, which is asked for twice: it also tells what a folder is. @type {Map<string, Uint8Array>} */
        this._kept = new Map();
    }

    /**
     * Everything that is text.
     * @param {Map<string, string>} metadata of a safetensors file, which may hold some of it
     * @param {boolean} [withConfig]
     * @returns {Promise<Companions>}
     */
    async companions(metadata, withConfig = true) {
        const isFolder = this._place.file === null && !this._place.explicit;
        // Such a file is a whole model. Nothing is looked for beside it, as requests that fail show up in a page's console.
        const isWhole = metadata.has('config') && metadata.has('tokenizer');
        /** @param {string} name @param {boolean} [isRequired] */
        const read = async (name, isRequired = false) => {
            const own = metadata.get(name.replace(/\.\w+$/, ''));
            if (own !== undefined) {
                return new TextEncoder().encode(own);
            }
            return isWhole ? null : this.read(name, isRequired);
        };
        const outcomes = await Promise.allSettled([
            withConfig ? read('config.json', isFolder && this._place.names === null) : null,
            read('generation_config.json'), read('tokenizer.json'), read('tokenizer_config.json'),
            read('special_tokens_map.json'), read('chat_template.jinja'),
        ]);
        const [config, generation, tokenizer, tokenizerConfig, special, jinja] = outcomes.map((outcome) => {
            if (outcome.status === 'rejected') {
                throw outcome.reason;
            }
            return outcome.value;
        });
        const parsed = {
            config: objectOf(config, 'config.json'),
            generation: objectOf(generation, 'generation_config.json'),
        };
        const json = objectOf(tokenizer, 'tokenizer.json');
        const ofTokenizer = objectOf(tokenizerConfig, 'tokenizer_config.json');
        const ofTokens = objectOf(special, 'special_tokens_map.json');
        // special_tokens_map.json is the older file: it counts only if tokenizer_config.json lists no tokens.
        const merged = ofTokens && !ofTokenizer?.added_tokens_decoder ? { ...ofTokens, ...ofTokenizer } : ofTokenizer;
        // Of the further templates this is the only one that is ever chosen.
        const tools = jinja && await read(TOOL_USE);
        const template = jinja && textOf(jinja, 'chat_template.jinja');
        const older = json ? null : await readByteLevel(read, parsed.config, merged) ??
            await readPieces(read, parsed.config, merged, ofTokenizer);
        return {
            ...parsed, tokenizerConfig: older?.config ?? merged,
            tokenizer: json ? { json } : older,
            chatTemplate: template && tools ? new Map([['default', template], ['tool_use', textOf(tools, TOOL_USE)]])
                : template ?? templateOf(merged?.chat_template),
        };
    }

    /**
     * A text file of the model.
     * @param {string} name
     * @param {boolean} isRequired
     * @returns {Promise<Uint8Array | null>} null where there is none
     */
    async read(name, isRequired) {
        const kept = this._kept.get(name);
        if (kept !== undefined) {
            return kept;
        }
        const bytes = await this._read(name, isRequired);
        if (bytes !== null && name === 'config.json') {
            this._kept.set(name, bytes);
        }
        return bytes;
    }

    /** @param {string} name @param {boolean} isRequired */
    async _read(name, isRequired) {
        const file = this._place.find(name);
        if (file === null) {
            return null;
        }
        // If a file that was listed cannot be found, that is an error; files of sub-folders are not listed.
        const isListed = this._place.names !== null && !name.includes('/');
        let reader;
        try {
            reader = await this._open(file);
        } catch (error) {
            if (isRequired || isListed || !isAbsent(error)) {
                throw error;
            }
            return null;
        }
        const bytes = await reader.rest(MAX_TEXT_BYTES, name).finally(() => reader.close());
        if (!isRequired && this._place.names === null && isPage(bytes)) {
            return null;
        }
        const other = name.endsWith('.json') ? otherThanJson(bytes.subarray(0, FIRST_BYTES)) : null;
        if (other !== null) {
            throw new FormatError(`${codeOf(name)}-not-json`,
                `${name} of ${nameOf(this._place.name)} is ${other}, not JSON`);
        }
        this.bytes += bytes.length;
        this._progress.add(bytes.length);
        return bytes;
    }
}

/**
 * The tokenizer of a folder that has it as SentencePiece's own file. What reads it is loaded where there is one.
 * @param {(name: string) => Promise<Uint8Array | null>} read
 * @param {Record<string, any> | null} config
 * @param {Record<string, any> | null} named
 * @param {Record<string, any> | null} own what `named` is without special_tokens_map.json
 */
async function readPieces(read, config, named, own) {
    const bytes = await read('tokenizer.model');
    if (bytes === null) {
        return null;
    }
    const { readTokenizerModel } = await import('./tokenizer-model.js');
    return readTokenizerModel(bytes, await read('added_tokens.json'), config, named, own);
}

const TOOL_USE = 'additional_chat_templates/tool_use.jinja';

/** @param {string} name of a file @returns {string} how codes name it */
function codeOf(name) {
    return name.endsWith('.index.json') ? 'index' : name.replace('.json', '').replaceAll('_', '-');
}

/** @param {unknown} config of config.json @returns {boolean} whether it is that of a preset of Keras Hub */
export function isKerasConfig(config) {
    return isObject(config) && typeof config.class_name === 'string' && isObject(config.config) &&
        'registered_name' in config;
}

/** @param {unknown} error @returns {boolean} whether it says that there is no such file */
export function isAbsent(error) {
    return error instanceof SourceError && error.code === 'absent';
}

/**
 * @param {Uint8Array | null} bytes
 * @param {string} name
 * @returns {Record<string, any> | null}
 */
function objectOf(bytes, name) {
    if (bytes === null) {
        return null;
    }
    const { value } = parseJson(bytes, codeOf(name), name);
    if (!isObject(value)) {
        throw new FormatError(`${codeOf(name)}-invalid`, `${name} must be an object, got ${show(value)}`);
    }
    return value;
}

/** @param {Uint8Array} bytes @param {string} name */
function textOf(bytes, name) {
    try {
        return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
        throw new FormatError('template-not-utf8', `${name} is not UTF-8 text`, { cause });
    }
}

/**
 * @param {unknown} value chat_template: a text, or a list of several with names
 * @returns {TensorSource['chatTemplate']}
 */
function templateOf(value) {
    if (value === undefined || value === null || typeof value === 'string') {
        return value ?? null;
    }
    if (!Array.isArray(value) || !value.every((item) => isObject(item) && typeof item.name === 'string' &&
        typeof item.template === 'string')) {
        throw new FormatError('tokenizer-config-invalid',
            `chat_template must be a string or a list of { name, template }, got ${show(value)}`);
    }
    return new Map(value.map(({ name, template }) => [name, template]));
}
