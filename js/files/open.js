// From whatever the user passes to a TensorSource: finds the files, tells by their first bytes what they are, reads
// everything but the tensors. Knows no model.

import { FormatError, typeError } from '../check.js';
import { FIRST_BYTES, isPage, kindOf } from './first-bytes.js';
import { architectureOf, configOf, fieldsOf, hasVocabulary, templatesOf } from './gguf-config.js';
import { readGguf } from './gguf.js';
import { checkIndex, checkSplit, indexOf, localWeights, noWeights, partsOf, shardsOf } from './parts.js';
import { nameOf, placeOf } from './places.js';
import { readHeader } from './safetensors.js';
import { checkSignal, openFile } from './source.js';
import { Progress, streamOf, TensorFile, tensorInfo } from './tensor-source.js';
import { isAbsent, NO_COMPANIONS, Texts } from './texts.js';

/**
 * @typedef {import('./places.js').AnyFile} AnyFile
 * @typedef {import('./byte-reader.js').ByteReader} ByteReader
 * @typedef {import('./tensor-source.js').TensorSource} TensorSource
 *
 * Where a model is: see openModel().
 * @typedef {AnyFile | import('./hugging-face.js').HuggingFaceModel | Iterable<File> | ArrayLike<File> | Partial<Record<'weights' | 'config' |
 *   'tokenizer' | 'tokenizerConfig' | 'specialTokensMap' | 'generationConfig' | 'chatTemplate', any>>} ModelSource
 *
 * @typedef {object} OpenOptions
 * @property {AbortSignal} [signal] aborts opening and reading
 * @property {(progress: { loaded: number, total: number }) => void} [onProgress] in bytes of all files
 * @property {'model' | 'weights'} [what] 'weights' reads nothing but tensors
 */

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
        this._texts = new Texts(place, (file) => this._reader(file), progress);
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
            : await localWeights(this._place, names, (name) => this._texts.read(name, true));
        return this._ofFiles(files, reader, index);
    }

    /**
     * The weights of a folder whose files cannot be listed: the usual names are tried.
     * @returns {Promise<import('./parts.js').Weights>}
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
        const name = 'model.safetensors.index.json';
        const bytes = await this._texts.read(name, false);
        if (bytes === null) {
            // Says best what is wrong with the address as a whole.
            await this._texts.read('config.json', true);
            throw noWeights(this._place, []);
        }
        const index = indexOf(bytes, name);
        return { files: shardsOf(this._place, index), index };
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
        const all = files.length === 1 && index === null ? partsOf(this._place, files[0]) : files;
        const isFirst = all[0] === files[0];
        if (!isFirst) {
            reader.close();
        }
        return kind === 'gguf' ? this._ofGguf(all, isFirst ? reader : null)
            : this._ofSafetensors(all, isFirst ? reader : null, index);
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
        const companions = this._isModel ? await this._texts.companions(metadata) : NO_COMPANIONS;
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
        this._progress.begin(fileBytes + this._texts.bytes);
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
        const companions = this._isModel ? await this._besideGguf(pairs) : NO_COMPANIONS;
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
        return lies ? { ...await this._texts.companions(new Map(), false), config: null } : NO_COMPANIONS;
    }}
