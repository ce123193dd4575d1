// openModel(): from a source to a TensorSource. Finds the files, tells their formats by their first bytes, and reads everything but the
// tensors. It knows nothing of model families.

import { FormatError, checkSignal, show, typeError } from '../check.js';
import { FIRST_BYTES, isPage, kindOf } from './first-bytes.js';
import { architectureOf, configOf, fieldsOf, generationOf, hasVocabulary, templatesOf } from './gguf-config.js';
import { readGguf } from './gguf.js';
import { isHubName } from './hugging-face.js';
import { parseJson } from './json.js';
import { PYTORCH, PYTORCH_INDEX, checkIndex, checkSplit, indexOf, localWeights, noWeights, partsOf, shardsOf } from './parts.js';
import { nameOf, placeOf } from './places.js';
import { readHeader } from './safetensors.js';
import { isStream, openFile, readWhole, SourceError } from './source.js';
import { Progress, streamOf, TensorFile, tensorInfo } from './tensor-source.js';
import { isAbsent, isKerasConfig, NO_COMPANIONS, Texts } from './texts.js';

/**
 * @typedef {import('./places.js').AnyFile} AnyFile
 * @typedef {import('./byte-reader.js').ByteReader} ByteReader
 * @typedef {import('./tensor-source.js').TensorSource} TensorSource
 *
 * @typedef {object} OpenOptions
 * @property {AbortSignal | null} [signal] aborts opening and reading
 * @property {(progress: { loaded: number, total: number }) => void} [onProgress] in bytes of all files
 * @property {'model' | 'weights'} [what] 'weights' reads nothing but tensors
 */

/**
 * @param {any} source where the model is
 *   - a URL, or in Node a path: a folder (as Hugging Face has it, or a preset of Keras Hub), or a file and what lies
 *     beside it
 *   - a Blob, ArrayBuffer, SharedArrayBuffer, typed array, ReadableStream, async iterable of bytes or Response: a GGUF file, or a
 *     safetensors file whose `__metadata__` has `config` and `tokenizer` as text
 *   - `{ config, weights, tokenizer, ... }`: each from any of these places; `weights` may be a list of files
 *   - the Files of an `<input type="file" multiple>` or a folder picker
 *   - what huggingFace() makes
 * @param {OpenOptions} [options]
 * @returns {Promise<TensorSource>}
 * @throws {FormatError} (rejects) for malformed or unsupported files
 * @throws {TypeError} (rejects) for what is no source
 * @throws {Error} (rejects) if a file cannot be read; with the signal's reason when aborted
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
        throw typeof source === 'string' && isHubName(source) ? meant(error, source) : error;
    }
}

/**
 * A name that is a path or an address here, and that other libraries ask a hub for.
 * @param {any} error
 * @param {string} source
 * @returns {Error} that says so, where nothing is there, or the page that some servers send for whatever they do not have
 */
function meant(error, source) {
    const message = `${error.message}: a model on Hugging Face is huggingFace(${show(source)})`;
    return isAbsent(error) ? new SourceError(message, 'absent', { cause: error })
        : error.code === 'config-not-json' ? new FormatError(error.code, message, { cause: error }) : error;
}

/** What PEFT calls the config of an adapter, such as LoRA, and what to do with one. */
const ADAPTER = 'adapter_config.json';
const MERGE = 'merge it into its model first: in PEFT, merge_and_unload() and save_pretrained()';

/** @param {string} name @returns {FormatError} */
function isAnAdapter(name) {
    return new FormatError('unsupported-format', `${name} is an adapter, which is nothing without its model: ${MERGE}`);
}

/** One call of openModel(). */
class Opening {
    /**
     * @param {import('./places.js').Place} place
     * @param {boolean} isModel whether config and tokenizer are wanted too
     * @param {Progress} progress
     * @param {AbortSignal | null | undefined} signal
     */
    constructor(place, isModel, progress, signal) {
        this._place = place;
        this._isModel = isModel;
        this._progress = progress;
        this._signal = signal;
        this._texts = new Texts(place, (file) => this._reader(file), progress);
        /** All readers, to close them if something fails. @type {Set<ByteReader>} */
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
        const weights = this._place.names === null ? await this._remoteWeights() : await this._localWeights();
        return weights === null ? this._ofPreset() : this._ofFiles(weights.files, weights.reader, weights.index);
    }

    /** @returns {Promise<import('./parts.js').Weights | null>} null for a preset of Keras Hub */
    async _localWeights() {
        const names = /** @type {string[]} */ (this._place.names);
        if (this._isModel && names.includes('config.json') && await this._isPreset()) {
            return null;
        }
        return localWeights(this._place, names, (name) => this._texts.read(name, true));
    }

    /** Whether config.json, which has to be there, is that of a preset of Keras Hub. */
    async _isPreset() {
        const bytes = /** @type {Uint8Array} */ (await this._texts.read('config.json', true));
        return isKerasConfig(parseJson(bytes, 'config', 'config.json').value);
    }

    /**
     * Finds the weights of a folder whose files cannot be listed, by trying the usual names.
     * @returns {Promise<import('./parts.js').Weights | null>} null for a preset of Keras Hub
     */
    async _remoteWeights() {
        const whole = await this._remoteFile('model.safetensors');
        if (whole !== null) {
            return whole;
        }
        const sharded = await this._remoteShards('model.safetensors.index.json');
        if (sharded === null) {
            if (await this._texts.read(ADAPTER, false) !== null) {
                throw isAnAdapter(nameOf(this._place.name));
            }
            // If config.json is missing too, the error for that says best what is wrong with the address.
            if (await this._isPreset()) {
                return null;
            }
            const checkpoint = await this._remoteFile(PYTORCH) ?? await this._remoteShards(PYTORCH_INDEX);
            if (checkpoint === null) {
                throw noWeights(this._place, []);
            }
            return checkpoint;
        }
        return sharded;
    }

    /** @param {string} name of an index @returns {Promise<import('./parts.js').Weights | null>} null: it is not there */
    async _remoteShards(name) {
        const bytes = await this._texts.read(name, false);
        const index = bytes && indexOf(bytes, name);
        return index && { files: shardsOf(this._place, index), index };
    }

    /** @param {string} name @returns {Promise<import('./parts.js').Weights | null>} that file, opened; null: it is not there */
    async _remoteFile(name) {
        const file = /** @type {AnyFile} */ (this._place.find(name));
        try {
            const reader = await this._reader(file);
            if (!isPage(await reader.peek(FIRST_BYTES))) {
                return { files: [file], index: null, reader };
            }
            reader.close();
        } catch (error) {
            if (!isAbsent(error)) {
                throw error;
            }
        }
        return null;
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
        if (kind === 'keras') {
            return this._ofKerasWeights(files, reader);
        }
        // The name of a shard says how many there are; a file without such a name is a model by itself.
        const all = files.length === 1 && index === null ? partsOf(this._place, files[0]) : files;
        const isFirst = all[0] === files[0];
        if (!isFirst) {
            reader.close();
        }
        const first = isFirst ? reader : null;
        return kind === 'gguf' ? this._ofGguf(all, first)
            : kind === 'pytorch' ? this._ofPyTorch(all, first, index) : this._ofSafetensors(all, first, index);
    }

    /** A preset of Keras Hub, whose reader is loaded only now. @returns {Promise<TensorSource>} */
    async _ofPreset() {
        const { openKerasPreset } = await import('./keras-preset.js');
        const read = (/** @type {string} */ name) =>
            (name.endsWith('.h5') ? this._wholeIfThere(name) : this._texts.read(name, false));
        const { generation, config, ...preset } = await openKerasPreset(read, nameOf(this._place.name));
        this._begin(preset.fileBytes);
        return { ...preset, generation: null, config: { ...config, ...generation } };
    }

    /**
     * Weights that Keras saved, without a model around them.
     * @param {AnyFile[]} files
     * @param {ByteReader} reader of the first of them
     * @returns {Promise<TensorSource>}
     */
    async _ofKerasWeights(files, reader) {
        const name = nameOf(files[0]);
        if (this._isModel || files.length > 1) {
            throw new FormatError('unsupported-format', `${name} holds weights that Keras saved and says nothing of ` +
                'their model: give the folder of a preset, or read one such file with readWeights()');
        }
        const { openWeightsSource } = await import('./keras-weights.js');
        const source = await openWeightsSource(await this._whole(reader, name));
        this._begin(source.fileBytes);
        return {
            format: 'keras', name, architecture: '', metadata: null, fields: null, notes: [], ...NO_COMPANIONS,
            config: {}, ...source,
        };
    }

    /** @param {string} name @returns {Promise<Uint8Array | null>} a file of the folder */
    async _wholeIfThere(name) {
        const file = this._place.find(name);
        if (file === null) {
            return null;
        }
        try {
            const reader = await this._reader(file);
            const isAPage = this._place.names === null && isPage(await reader.peek(FIRST_BYTES));
            return isAPage ? null : await this._whole(reader, name);
        } catch (error) {
            if (isAbsent(error)) {
                return null;
            }
            throw error;
        }
    }

    /**
     * @param {ByteReader} reader at the beginning of a file
     * @param {string} name
     * @returns {Promise<Uint8Array>} all of it
     */
    async _whole(reader, name) {
        const bytes = await readWhole(reader, name);
        this._progress.add(bytes.length);
        return bytes;
    }

    /**
     * @param {AnyFile[]} files
     * @param {ByteReader | null} opened the first of them
     * @param {'gguf' | 'safetensors' | 'pytorch'} kind
     * @param {(reader: ByteReader, file: AnyFile) => Promise<import('./tensor-source.js').AnyTensorFile>} readOne
     */
    async _tensorFiles(files, opened, kind, readOne) {
        const tensorFiles = [];
        for (const [i, file] of files.entries()) {
            const reader = i === 0 && opened !== null ? opened : await this._reader(file);
            const found = kindOf(await reader.peek(FIRST_BYTES), nameOf(file));
            if (found !== kind) {
                throw new FormatError('shard-mismatch', `${nameOf(file)} is ${found}, the first part ${kind}`);
            }
            const tensorFile = await readOne(reader, file);
            if (files.length > 1) {
                tensorFile.rest();
            }
            tensorFiles.push(tensorFile);
        }
        return tensorFiles;
    }

    /** What a TensorFile needs beside what its header says. @param {ByteReader} reader @param {AnyFile} file */
    _common(reader, file) {
        const reopen = isStream(file) ? null : () => this._reader(file);
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
            return new TensorFile({ ...this._common(reader, file), entries, end: header.headerBytes + header.dataBytes, exact: true });
        });
        const stream = streamOf(tensorFiles, this._progress);
        if (index !== null) {
            checkIndex(index, files, tensorFiles);
        }
        return this._inFolder('safetensors', nameOf(files[0]), stream, metadata);
    }

    /**
     * A PyTorch checkpoint, whose reader is loaded only now.
     * @param {AnyFile[]} files
     * @param {ByteReader | null} opened
     * @param {Map<string, string> | null} index
     * @returns {Promise<TensorSource>}
     */
    async _ofPyTorch(files, opened, index) {
        const { openPyTorch } = await import('./pytorch.js');
        const tensorFiles = await this._tensorFiles(files, opened, 'pytorch', async (reader, file) => {
            const name = nameOf(file);
            // What comes over a network is not asked for twice.
            const isOnce = isStream(file) || this._place.names === null;
            const reopen = isOnce ? null : async () => readWhole(await this._reader(file), name);
            return openPyTorch(name, await this._whole(reader, name), reopen);
        });
        const stream = streamOf(tensorFiles, this._progress);
        if (index !== null) {
            checkIndex(index, files, tensorFiles);
        }
        return this._inFolder('pytorch', nameOf(files[0]), stream, new Map());
    }

    /**
     * Tensors with what lies beside them, as Hugging Face has it.
     * @param {'safetensors' | 'pytorch'} format
     * @param {string} file name of the first that has tensors
     * @param {ReturnType<typeof streamOf>} stream
     * @param {Map<string, string>} metadata of a safetensors file
     * @returns {Promise<TensorSource>}
     */
    async _inFolder(format, file, stream, metadata) {
        if (this._isModel && Array.from(stream.tensors.keys()).some((tensor) => tensor.startsWith('base_model.model.'))) {
            throw isAnAdapter(file);
        }
        const companions = this._isModel ? await this._texts.companions(metadata) : NO_COMPANIONS;
        if (this._isModel && companions.config === null) {
            throw new FormatError('config-missing', `config.json of ${nameOf(this._place.name)} is missing: give the ` +
                "model as { config, weights, tokenizer }, or as a safetensors file whose __metadata__ has a 'config'");
        }
        const config = companions.config ?? {};
        this._begin(stream.fileBytes);
        const notes = this._place.names?.includes(ADAPTER) ? [`${ADAPTER}: the adapter beside the weights is not applied; ${MERGE}`] : [];
        return {
            format, name: nameOf(this._place.name), metadata: null, fields: null, notes,
            ...companions, config,
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
            return new TensorFile({ ...this._common(reader, file), entries, end: Math.max(end, reader.position), exact: false });
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
            format: 'gguf', name, architecture, metadata, fields: fieldsOf(pairs, architecture), notes: [],
            ...companions,
            generation: companions.generation ?? (this._isModel ? generationOf(pairs, name) : null),
            chatTemplate: companions.chatTemplate ?? templatesOf(pairs, name), ...stream,
            get config() {
                config ??= configOf(pairs, stream.tensors, name);
                return config;
            },
        };
    }

    /**
     * A GGUF file has everything in it. Files that were given explicitly replace what it has; files beside it are used only if it has no
     * vocabulary.
     * @param {Map<string, import('./gguf.js').Pair>} pairs
     */
    async _besideGguf(pairs) {
        const { explicit, file, names } = this._place;
        if (explicit && this._place.find('config.json') !== null) {
            throw typeError('source.config', 'absent for a GGUF file, which brings its own', this._place.find('config.json'));
        }
        const lies = explicit || (file === null && names !== null && !hasVocabulary(pairs));
        return lies ? { ...await this._texts.companions(new Map(), false), config: null } : NO_COMPANIONS;
    }
}
