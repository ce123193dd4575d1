// From whatever the user passes to a TensorSource: finds the files, tells by their first bytes what they are, reads
// everything but the tensors. Knows no model.

import { FormatError, show, typeError } from '../check.js';
import { FIRST_BYTES, isPage, kindOf, otherThanJson } from './first-bytes.js';
import { architectureOf, configOf, fieldsOf, hasVocabulary, templatesOf } from './gguf-config.js';
import { readGguf } from './gguf.js';
import { isObject, parseJson } from './json.js';
import { baseName, nameOf, placeOf } from './places.js';
import { readHeader } from './safetensors.js';
import { checkSignal, openFile, SourceError } from './source.js';
import { Progress, streamOf, TensorFile, tensorInfo } from './tensor-source.js';

/**
 * @typedef {import('./places.js').AnyFile} AnyFile
 * @typedef {import('./byte-reader.js').ByteReader} ByteReader
 * @typedef {import('./tensor-source.js').TensorSource} TensorSource
 *
 * @typedef {object} OpenOptions
 * @property {AbortSignal} [signal] aborts opening and reading
 * @property {(progress: { loaded: number, total: number }) => void} [onProgress] in bytes of all files
 * @property {'model' | 'weights'} [what] 'weights' reads nothing but tensors
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

const NOTHING = Object.freeze({
    config: null, generation: null, tokenizer: null, tokenizerConfig: null, chatTemplate: null,
});

/** Parts of one model: `name-00001-of-00004.gguf`. */
const SHARD = /^(.*)-(\d{5})-of-(\d{5})(\.\w+)$/;

/** More parts than any model has. */
const MAX_SHARDS = 1 << 12;

/**
 * @param {any} source where the model is
 *   - a URL, or in Node a path: a folder, or a file and what lies beside it
 *   - a Blob, ArrayBuffer, SharedArrayBuffer, typed array or ReadableStream: a GGUF file, or a safetensors file whose
 *     `__metadata__` has `config` and `tokenizer` as text
 *   - `{ config, weights, tokenizer, ... }`: each from any of these places; `weights` may be a list of files
 *   - the Files of an `<input type="file" multiple>` or a folder picker
 *   - what huggingFace() makes
 * @param {OpenOptions} [options]
 * @returns {Promise<TensorSource>}
 * @throws {FormatError} (rejects) for malformed or unsupported files
 * @throws {TypeError} (rejects) for what is no source
 * @throws {Error} (rejects) when a file cannot be had, when aborted (the signal's reason)
 */
export async function openModel(source, { signal, onProgress, what = 'model' } = {}) {
    checkSignal(signal);
    signal?.throwIfAborted();
    if (what !== 'model' && what !== 'weights') {
        throw typeError('what', "'model' or 'weights'", what);
    }
    const opening = new Opening(await placeOf(source), what === 'model', new Progress(onProgress), signal);
    try {
        return await opening.open();
    } catch (error) {
        opening.abandon();
        throw error;
    }
}

/** One call of openModel(). */
class Opening {
    /**
     * @param {import('./places.js').Place} place
     * @param {boolean} isModel whether config and tokenizer are wanted too
     * @param {Progress} progress
     * @param {AbortSignal | undefined} signal
     */
    constructor(place, isModel, progress, signal) {
        this._place = place;
        this._isModel = isModel;
        this._progress = progress;
        this._signal = signal;
        this._textBytes = 0;
        /** All that were opened, for the case that something fails. @type {Set<ByteReader>} */
        this._readers = new Set();
    }

    abandon() {
        this._readers.forEach((reader) => reader.close());
    }

    /** @returns {Promise<TensorSource>} */
    async open() {
        const { weights, file, either } = this._place;
        if (weights !== null) {
            return this._ofFiles(weights);
        }
        if (file === null) {
            return this._ofFolder();
        }
        if (!either) {
            return this._ofFiles([file]);
        }
        let reader;
        try {
            reader = await this._reader(file);
            kindOf(await reader.peek(FIRST_BYTES), nameOf(file));
        } catch (error) {
            reader?.close();
            if (!(error instanceof FormatError) && !isAbsent(error)) {
                throw error;
            }
            return this._ofFolder().catch((second) => {
                throw isAbsent(second) ? error : second;
            });
        }
        return this._ofFiles([file], reader);
    }

    /** @param {AnyFile} file @returns {Promise<ByteReader>} */
    async _reader(file) {
        const reader = await openFile(file, this._signal);
        this._readers.add(reader);
        return reader;
    }

    /** @returns {Promise<TensorSource>} */
    async _ofFolder() {
        const { names } = this._place;
        const { files, index, reader } = names === null ? await this._remoteWeights()
            : await this._localWeights(names);
        return this._ofFiles(files, reader, index);
    }

    /**
     * The weights of a folder whose files cannot be listed: the usual names are tried.
     * @returns {Promise<{ files: AnyFile[], index: Map<string, string> | null, reader?: ByteReader }>}
     */
    async _remoteWeights() {
        const whole = /** @type {AnyFile} */ (this._place.find('model.safetensors'));
        try {
            const reader = await this._reader(whole);
            const bytes = await reader.peek(FIRST_BYTES);
            if (!isPage(bytes)) {
                return { files: [whole], index: null, reader };
            }
            reader.close();
        } catch (error) {
            if (!isAbsent(error)) {
                throw error;
            }
        }
        const index = await this._index('model.safetensors.index.json');
        if (index === null) {
            // Says best what is wrong with the address as a whole.
            await this._text('config.json', true);
            throw this._noWeights([]);
        }
        return { files: this._shardsOf(index), index };
    }

    /**
     * @param {string[]} names of the files that are there
     * @returns {Promise<{ files: AnyFile[], index: Map<string, string> | null, reader?: ByteReader }>}
     */
    async _localWeights(names) {
        const find = (/** @type {string} */ name) => /** @type {AnyFile} */ (this._place.find(name));
        if (names.includes('model.safetensors')) {
            return { files: [find('model.safetensors')], index: null };
        }
        const indices = names.filter((name) => name.endsWith('.safetensors.index.json'));
        const indexName = indices.find((name) => name === 'model.safetensors.index.json') ?? indices[0];
        if (indexName !== undefined) {
            const index = /** @type {Map<string, string>} */ (await this._index(indexName));
            this._refuseExtra(names, new Set(index.values()));
            return { files: this._shardsOf(index), index };
        }
        for (const ending of ['.safetensors', '.gguf', '.weights.h5']) {
            const found = names.filter((name) => name.endsWith(ending)).sort();
            if (found.length > 1 && !SHARD.test(found[0])) {
                throw new FormatError('weights-ambiguous', `${nameOf(this._place.name)} has several ${ending} files, ` +
                    `${show(found.slice(0, 3))} among them; give one of them`);
            }
            if (found.length > 0) {
                // The first of several parts; the others are found from it.
                return { files: [find(found[0])], index: null };
            }
        }
        const others = names.filter((name) => !/\.(json|jinja|txt|md|model|py|gitattributes)$/i.test(name));
        if (others.length === 1) {
            return { files: [find(others[0])], index: null };
        }
        throw this._noWeights(names);
    }

    /** @param {string[]} names of what is there instead */
    _noWeights(names) {
        const others = names.filter((name) => /\.(bin|pt|pth|ckpt|onnx|h5|msgpack|keras)$/i.test(name));
        const but = others.length > 0 ? `, but ${show(others.slice(0, 3))}` : '';
        return new FormatError('weights-missing', `${nameOf(this._place.name)} has neither model.safetensors nor ` +
            `model.safetensors.index.json nor a .gguf file${but}`);
    }

    /** @param {string} name @returns {Promise<Map<string, string> | null>} weight_map: names of tensors to files */
    async _index(name) {
        const bytes = await this._text(name, false);
        if (bytes === null) {
            return null;
        }
        const { value } = parseJson(bytes, 'index', name);
        const map = isObject(value) && isObject(value.weight_map) ? Object.entries(value.weight_map) : [];
        if (map.length === 0 || !map.every(([, file]) => typeof file === 'string' && /^[^/\\]+$/.test(file))) {
            throw new FormatError('index-invalid', `${name} should have a weight_map of tensors to files`);
        }
        return new Map(map);
    }

    /** @param {Map<string, string>} index @returns {AnyFile[]} */
    _shardsOf(index) {
        const shards = Array.from(new Set(index.values())).sort();
        if (shards.length > MAX_SHARDS) {
            throw new FormatError('index-invalid',
                `weight_map names ${shards.length} files; at most ${MAX_SHARDS} are read`);
        }
        return shards.map((name) => this._sibling(name));
    }

    /** @param {string} name @returns {AnyFile} */
    _sibling(name) {
        const file = this._place.find(name);
        if (file === null) {
            throw new FormatError('shard-missing',
                `${nameOf(this._place.name)} lacks ${show(name)}, a part of the model`);
        }
        return file;
    }

    /**
     * A part that the index does not name belongs to another model or another version.
     * @param {string[]} names
     * @param {Set<string>} shards
     */
    _refuseExtra(names, shards) {
        const prefixes = new Set(Array.from(shards, (name) => SHARD.exec(name)?.[1]));
        const extra = names.find((name) => {
            const match = SHARD.exec(name);
            return match?.[4] === '.safetensors' && prefixes.has(match[1]) && !shards.has(name);
        });
        if (extra !== undefined) {
            throw new FormatError('shard-extra', `${show(extra)} is no part of the model that the index describes`);
        }
    }

    /**
     * @param {AnyFile[]} files
     * @param {ByteReader} [opened] the first of them
     * @param {Map<string, string> | null} [index]
     * @returns {Promise<TensorSource>}
     */
    async _ofFiles(files, opened, index = null) {
        const reader = opened ?? await this._reader(files[0]);
        const kind = kindOf(await reader.peek(FIRST_BYTES), nameOf(files[0]));
        // The name of a part says how many there are; a part without such a name stands for itself.
        const all = files.length === 1 && index === null ? this._parts(files[0]) : files;
        const isFirst = all[0] === files[0];
        if (!isFirst) {
            reader.close();
        }
        return kind === 'gguf' ? this._ofGguf(all, isFirst ? reader : null)
            : this._ofSafetensors(all, isFirst ? reader : null, index);
    }

    /** @param {AnyFile} file @returns {AnyFile[]} all parts of the model that it is a part of */
    _parts(file) {
        const match = SHARD.exec(baseName(file));
        const count = Number(match?.[3] ?? 1);
        if (match === null || count === 1 || this._place.explicit || this._place.names?.length === 0) {
            return [file];
        }
        if (count > MAX_SHARDS) {
            throw new FormatError('shard-missing',
                `${nameOf(file)} is one of ${count} parts; at most ${MAX_SHARDS} are read`);
        }
        return Array.from({ length: count }, (_, i) => {
            const name = `${match[1]}-${String(i + 1).padStart(5, '0')}-of-${match[3]}${match[4]}`;
            return Number(match[2]) === i + 1 ? file : this._sibling(name);
        });
    }

    /**
     * @param {AnyFile[]} files
     * @param {ByteReader | null} opened the first of them
     * @param {'gguf' | 'safetensors'} kind
     * @param {(reader: ByteReader, file: AnyFile) => Promise<ConstructorParameters<typeof TensorFile>[0]>} readOne
     */
    async _tensorFiles(files, opened, kind, readOne) {
        const tensorFiles = [];
        for (const [i, file] of files.entries()) {
            const reader = i === 0 && opened !== null ? opened : await this._reader(file);
            const found = kindOf(await reader.peek(FIRST_BYTES), nameOf(file));
            if (found !== kind) {
                throw new FormatError('shard-mismatch', `${nameOf(file)} is ${found}, the first part ${kind}`);
            }
            const tensorFile = new TensorFile(await readOne(reader, file));
            if (files.length > 1) {
                tensorFile.rest();
            }
            tensorFiles.push(tensorFile);
        }
        return tensorFiles;
    }

    /** What a TensorFile needs beside its header. @param {ByteReader} reader @param {AnyFile} file */
    _common(reader, file) {
        const reopen = file instanceof ReadableStream ? null : () => this._reader(file);
        return { name: nameOf(file), reader, reopen, progress: this._progress };
    }

    /**
     * @param {AnyFile[]} files
     * @param {ByteReader | null} opened
     * @param {Map<string, string> | null} index
     * @returns {Promise<TensorSource>}
     */
    async _ofSafetensors(files, opened, index) {
        /** @type {Map<string, string>} */
        let metadata = new Map();
        const tensorFiles = await this._tensorFiles(files, opened, 'safetensors', async (reader, file) => {
            const header = await readHeader(reader);
            if (files.length === 1) {
                metadata = header.metadata;
            }
            const entries = header.tensors.map(({ name, dtype, shape, begin, end }) => ({
                info: tensorInfo(name, shape, dtype, end - begin),
                begin: header.headerBytes + begin, end: header.headerBytes + end,
            }));
            return { ...this._common(reader, file), entries, end: header.headerBytes + header.dataBytes, exact: true };
        });
        const stream = streamOf(tensorFiles, this._progress);
        if (index !== null) {
            checkIndex(index, files, tensorFiles);
        }
        const companions = this._isModel ? await this._companions(metadata) : NOTHING;
        if (this._isModel && companions.config === null) {
            throw new FormatError('config-missing', `config.json of ${nameOf(this._place.name)} is missing: give the ` +
                "model as { config, weights, tokenizer }, or as a safetensors file whose __metadata__ has a 'config'");
        }
        const config = companions.config ?? {};
        this._begin(stream.fileBytes);
        return {
            format: 'safetensors', name: nameOf(this._place.name), metadata: null, fields: null, ...companions, config,
            architecture: typeof config.model_type === 'string' ? config.model_type : '', ...stream,
        };
    }

    /** @param {number} fileBytes */
    _begin(fileBytes) {
        this._progress.begin(fileBytes + this._textBytes);
    }

    /**
     * @param {AnyFile[]} files
     * @param {ByteReader | null} opened
     * @returns {Promise<TensorSource>}
     */
    async _ofGguf(files, opened) {
        /** @type {Map<string, import('./gguf.js').Pair>[]} */
        const all = [];
        const tensorFiles = await this._tensorFiles(files, opened, 'gguf', async (reader, file) => {
            const { pairs, entries, end } = await readGguf(reader, nameOf(file));
            all.push(pairs);
            return { ...this._common(reader, file), entries, end: Math.max(end, reader.position), exact: false };
        });
        const stream = streamOf(tensorFiles, this._progress);
        checkSplit(all, files, stream.tensors.size);
        const pairs = all[0];
        const name = nameOf(this._place.name);
        const metadata = new Map(Array.from(pairs, ([key, { value }]) => [key, value]));
        const architecture = this._isModel ? architectureOf(pairs, name) : '';
        const companions = this._isModel ? await this._besideGguf(pairs) : NOTHING;
        this._begin(stream.fileBytes);
        /** @type {Record<string, any> | null} */
        let config = this._isModel ? null : {};
        return {
            format: 'gguf', name, architecture, metadata, fields: fieldsOf(pairs, architecture), ...companions,
            chatTemplate: companions.chatTemplate ?? templatesOf(pairs, name), ...stream,
            get config() {
                config ??= configOf(pairs, stream.tensors, name);
                return config;
            },
        };
    }

    /**
     * A GGUF file has everything in it; files that were given for their purpose go before, others fill a gap.
     * @param {Map<string, import('./gguf.js').Pair>} pairs
     */
    async _besideGguf(pairs) {
        const { explicit, file, names } = this._place;
        if (explicit && this._place.find('config.json') !== null) {
            throw new TypeError('source.config must not be given with a GGUF file, which brings its own');
        }
        const lies = explicit || (file === null && names !== null && !hasVocabulary(pairs));
        return lies ? { ...await this._companions(new Map(), false), config: null } : NOTHING;
    }

    /**
     * Everything that is text.
     * @param {Map<string, string>} metadata of a safetensors file, which may hold some of it
     * @param {boolean} [withConfig]
     * @returns {Promise<Companions>}
     */
    async _companions(metadata, withConfig = true) {
        const isFolder = this._place.file === null && !this._place.explicit;
        // Such a file is a whole model: nothing is looked for beside it, where a page would see requests fail.
        const isWhole = metadata.has('config') && metadata.has('tokenizer');
        /** @param {string} name @param {boolean} [isRequired] */
        const read = async (name, isRequired = false) => {
            const own = metadata.get(name.replace(/\.\w+$/, ''));
            if (own !== undefined) {
                return new TextEncoder().encode(own);
            }
            return isWhole ? null : this._text(name, isRequired);
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
            config: objectOf(config, 'config', 'config.json'),
            generation: objectOf(generation, 'generation-config', 'generation_config.json'),
            tokenizer: objectOf(tokenizer, 'tokenizer', 'tokenizer.json'),
            tokenizerConfig: objectOf(tokenizerConfig, 'tokenizer-config', 'tokenizer_config.json'),
            special: objectOf(special, 'special-tokens-map', 'special_tokens_map.json'),
        };
        refuseKeras(parsed.config);
        const merged = parsed.tokenizerConfig || parsed.special
            ? { ...parsed.special, ...parsed.tokenizerConfig } : null;
        return {
            config: parsed.config, generation: parsed.generation, tokenizerConfig: merged,
            tokenizer: parsed.tokenizer && { json: parsed.tokenizer, bytes: /** @type {Uint8Array} */ (tokenizer) },
            chatTemplate: jinja ? textOf(jinja, 'chat_template.jinja') : templateOf(merged?.chat_template),
        };
    }

    /**
     * A text file of the model.
     * @param {string} name
     * @param {boolean} isRequired
     * @returns {Promise<Uint8Array | null>} null where there is none
     */
    async _text(name, isRequired) {
        const file = this._place.find(name);
        if (file === null) {
            return null;
        }
        let reader;
        try {
            reader = await this._reader(file);
        } catch (error) {
            // A file that was listed is there, so its absence is a failure.
            if (isRequired || this._place.names !== null || !isAbsent(error)) {
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
        this._textBytes += bytes.length;
        this._progress.add(bytes.length);
        return bytes;
    }
}

/** @param {string} name of a file @returns {string} how codes name it */
function codeOf(name) {
    return name.endsWith('.index.json') ? 'index' : name.replace('.json', '').replaceAll('_', '-');
}

/** @param {unknown} error @returns {boolean} whether it says that there is no such file */
function isAbsent(error) {
    return error instanceof SourceError && error.absent;
}

/**
 * @param {Uint8Array | null} bytes
 * @param {string} what
 * @param {string} name
 * @returns {Record<string, any> | null}
 */
function objectOf(bytes, what, name) {
    if (bytes === null) {
        return null;
    }
    const { value } = parseJson(bytes, what, name);
    if (!isObject(value)) {
        throw new FormatError(`${what}-invalid`, `${name} should be an object, is ${show(value)}`);
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
            `chat_template should be a string or a list of { name, template }, is ${show(value)}`);
    }
    return new Map(value.map(({ name, template }) => [name, template]));
}

/** @param {Record<string, any> | null} config */
function refuseKeras(config) {
    if (typeof config?.module === 'string' && typeof config.class_name === 'string') {
        throw new FormatError('unsupported-format',
            `config.json is that of a Keras preset, ${show(config.class_name)}; Hugging Face's form is read`);
    }
}

/**
 * @param {Map<string, string>} index
 * @param {AnyFile[]} files
 * @param {TensorFile[]} tensorFiles of these files
 */
function checkIndex(index, files, tensorFiles) {
    const shards = new Map(files.map((file, i) => /** @type {[string, Set<string>]} */ (
        [baseName(file), new Set(tensorFiles[i].entries.map(({ info }) => info.name))])));
    for (const [tensor, shard] of index) {
        if (!shards.get(shard)?.has(tensor)) {
            throw new FormatError('shard-mismatch',
                `the index names the tensor ${show(tensor)}, which ${show(shard)} lacks`);
        }
    }
}

/**
 * @param {Map<string, import('./gguf.js').Pair>[]} all metadata of the parts
 * @param {AnyFile[]} files
 * @param {number} tensors how many there are in all
 */
function checkSplit(all, files, tensors) {
    for (const [i, pairs] of all.entries()) {
        const get = (/** @type {string} */ key) => pairs.get(`split.${key}`)?.value;
        const count = get('count') ?? 1;
        // A count of 0 is how some files say that they are whole.
        if (count !== files.length && !(count === 0 && files.length === 1)) {
            throw new FormatError(files.length === 1 ? 'shard-missing' : 'shard-mismatch',
                `${nameOf(files[i])} is one of ${show(count)} files of a split model, of which ${files.length} ` +
                'came: give the path or URL of the first, or a list of all Files');
        }
        if (files.length > 1 && get('no') !== i) {
            throw new FormatError('shard-mismatch',
                `${nameOf(files[i])} says that it is part ${show(get('no'))}, not ${i}`);
        }
        const total = get('tensors.count');
        if (files.length > 1 && total !== undefined && total !== tensors) {
            throw new FormatError('shard-mismatch',
                `${nameOf(files[i])} says that the parts have ${show(total)} tensors; they have ${tensors}`);
        }
    }
}
