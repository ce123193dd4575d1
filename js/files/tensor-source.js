// TensorSource: the tensors of a model in one or several files, as a list and as a stream of their bytes in the files' order. Only one piece
// is in memory at a time, and no byte is read twice.

import { FormatError, show } from '../check.js';

/**
 * @typedef {object} TensorInfo one tensor
 * @property {string} name as the file has it
 * @property {number[]} shape outermost first, as Hugging Face has it
 * @property {string} type 'F32', 'F16', 'BF16', 'Q8_0', 'Q4_K', ...: safetensors' and ggml's names
 * @property {number} bytes of all of it
 * @property {number} rows number of rows along the last axis; a tensor of one axis is one row
 * @property {number} rowBytes bytes of a row
 * @property {string} [same] of a PyTorch checkpoint: the name of an earlier tensor, of which this is another name
 *
 * @typedef {object} TensorPiece
 * @property {TensorInfo} info
 * @property {number} firstRow
 * @property {number} rows
 * @property {Uint8Array} bytes of these rows, at any alignment; valid until the next step
 *
 * @typedef {object} Fields the keys of a GGUF file's metadata, by what is done with them
 * @property {string[]} used
 * @property {string[]} harmless
 * @property {string[]} unknown
 *
 * @typedef {object} TensorSource a model's files, whatever their format; made by openModel()
 * @property {'safetensors' | 'pytorch' | 'gguf' | 'keras'} format
 * @property {string} name of the file or folder, for messages
 * @property {string} architecture config's model_type; '' where there is none
 * @property {Record<string, any>} config in Hugging Face's terms: config.json as it is, a GGUF file's metadata by one
 *   table of keys. Reading it throws a FormatError if a GGUF file lacks a key that every model needs, so look at `architecture`
 *   first
 * @property {Record<string, any> | null} generation generation_config.json, or what a GGUF file says of it
 * @property {{ json: Record<string, any> } | null} tokenizer tokenizer.json
 * @property {Record<string, any> | null} tokenizerConfig tokenizer_config.json, filled up from special_tokens_map.json
 * @property {string | Map<string, string> | null} chatTemplate one, or several by name
 * @property {Map<string, any> | null} metadata of a GGUF file: arrays of numbers as typed arrays, others as arrays,
 *   integers beyond 2^53 as BigInt
 * @property {Fields | null} fields of a GGUF file
 * @property {readonly string[]} notes for people: where the model computes something else than its files say
 * @property {Map<string, TensorInfo>} tensors in the order in which they are read
 * @property {number} fileBytes of the files that hold tensors
 * @property {(wanted: (info: TensorInfo) => boolean) => AsyncGenerator<TensorPiece, void, undefined>} read reads the tensors for which
 *   `wanted` returns true (it is called for each before any is read), in pieces of whole rows, of at most 1 MiB or one row; an empty
 *   tensor comes as a piece without bytes
 * @property {() => void} close closes the files
 */

/** Most bytes of a piece, unless one row is longer. */
const PIECE_BYTES = 1 << 20;

/**
 * @typedef {object} Entry a tensor's place in its file
 * @property {TensorInfo} info
 * @property {number} begin
 * @property {number} end
 */

/**
 * @param {string} name
 * @param {number[]} shape
 * @param {string} type
 * @param {number} bytes
 * @returns {TensorInfo}
 */
export function tensorInfo(name, shape, type, bytes) {
    let rows = 1;
    for (const n of shape.slice(0, -1)) {
        rows *= n;
    }
    // Rows of types with less than 8 bits may end within a byte: such a tensor counts as one row, and so does an empty one.
    const divides = rows > 0 && bytes > 0 && bytes % rows === 0;
    return { name, shape, type, bytes, rows: divides ? rows : 1, rowBytes: divides ? bytes / rows : bytes };
}

/**
 * The pieces in which a tensor is read.
 * @param {TensorInfo} info
 * @returns {Generator<{ firstRow: number, rows: number }, void, undefined>}
 */
export function* piecesOf({ rows: all, rowBytes }) {
    const most = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, rowBytes)));
    for (let firstRow = 0; firstRow < all; firstRow += most) {
        yield { firstRow, rows: Math.min(most, all - firstRow) };
    }
}

/** Reports how many bytes of several files have been loaded. */
export class Progress {
    /** @param {((progress: { loaded: number, total: number }) => void) | undefined} report */
    constructor(report) {
        this._report = report;
        this._loaded = 0;
        this._reported = -1;
        /** Bytes of all files, once that is known. @type {number | null} */
        this._total = null;
    }

    /** @param {number} bytes that arrived */
    add(bytes) {
        this._loaded += bytes;
        this._tell();
    }

    /** Begins reporting. @param {number} total bytes of all files */
    begin(total) {
        this._total = total;
        this._tell();
    }

    end() {
        this._loaded = this._total ?? this._loaded;
        this._tell();
    }

    _tell() {
        if (this._total !== null) {
            const loaded = Math.min(this._loaded, this._total);
            if (loaded > this._reported) {
                this._reported = loaded;
                this._report?.({ loaded, total: this._total });
            }
        }
    }
}

/** One file with tensors, whose header has been read. */
export class TensorFile {
    /**
     * @param {object} options
     * @param {string} options.name for messages
     * @param {import('./byte-reader.js').ByteReader} options.reader behind the header
     * @param {Entry[]} options.entries in the order of their bytes
     * @param {number} options.end the byte behind the last tensor
     * @param {boolean} options.exact whether the file has to end there
     * @param {(() => Promise<import('./byte-reader.js').ByteReader>) | null} options.reopen null if it can be read
     *   only once
     * @param {Progress} options.progress
     */
    constructor({ name, reader, entries, end, exact, reopen, progress }) {
        this.name = name;
        this.entries = entries;
        this.end = end;
        /** How many bytes will have arrived when all has been read. */
        this.bytes = reader.size ?? end;
        this._exact = exact;
        this._reopen = reopen;
        this._progress = progress;
        /** @type {import('./byte-reader.js').ByteReader | null} */
        this._reader = null;
        this._counted = 0;
        this._follow(reader);
    }

    /** @param {import('./byte-reader.js').ByteReader} reader */
    _follow(reader) {
        this._reader = reader;
        const count = () => {
            const more = reader.arrived - this._counted;
            if (more > 0) {
                this._counted += more;
                this._progress.add(more);
            }
        };
        count();
        reader.onBytes = count;
    }

    /** Closes the file until its tensors are read, if it can be opened again: of many files not all should be open. */
    rest() {
        if (this._reopen !== null) {
            this.close();
        }
    }

    /**
     * @param {Set<TensorInfo>} wanted
     * @returns {AsyncGenerator<TensorPiece, void, undefined>}
     */
    async* pieces(wanted) {
        const reader = await this._begin();
        try {
            for (const { info, begin, end } of this.entries) {
                if (wanted.has(info)) {
                    const what = `tensor ${show(info.name)} of ${this.name}`;
                    await reader.skip(begin - reader.position, what);
                    for (const { firstRow, rows } of piecesOf(info)) {
                        yield { info, firstRow, rows, bytes: await reader.view(rows * info.rowBytes, what) };
                    }
                }
                await reader.skip(end - reader.position, `tensor ${show(info.name)} of ${this.name}`);
            }
            // Reads up to the end in any case: browsers do not cache a response that was cancelled before its end.
            const goesOn = (await reader.peek(1)).length > 0;
            if (this._exact && goesOn) {
                throw new FormatError('trailing-bytes', `${this.name} goes on after its last tensor`);
            }
        } finally {
            this.close();
        }
    }

    /** Gets a reader that has not passed the first tensor. */
    async _begin() {
        const first = this.entries[0]?.begin ?? this.end;
        if (this._reader === null || this._reader.position > first) {
            if (this._reopen === null) {
                throw new Error(`${this.name} can be read only once`);
            }
            this._follow(await this._reopen());
        }
        return /** @type {import('./byte-reader.js').ByteReader} */ (this._reader);
    }

    close() {
        this._reader?.close();
        if (this._reader !== null) {
            this._reader.onBytes = null;
        }
        this._reader = null;
    }
}

/**
 * One file with tensors, of any format.
 * @typedef {Pick<TensorFile, 'name' | 'bytes' | 'rest' | 'pieces' | 'close'> & { entries: { info: TensorInfo }[] }} AnyTensorFile
 */

/**
 * All tensors of some files by name.
 * @param {AnyTensorFile[]} files
 * @returns {Map<string, TensorInfo>}
 * @throws {FormatError} `duplicate-name`
 */
function tensorsOf(files) {
    /** @type {Map<string, TensorInfo>} */
    const tensors = new Map();
    for (const file of files) {
        for (const { info } of file.entries) {
            if (tensors.has(info.name)) {
                throw new FormatError('duplicate-name', `tensor ${show(info.name)} is in ${file.name} and elsewhere`);
            }
            tensors.set(info.name, info);
        }
    }
    return tensors;
}

/**
 * The part of a TensorSource that reads tensors.
 * @param {AnyTensorFile[]} files
 * @param {Progress} progress
 * @returns {Pick<TensorSource, 'tensors' | 'fileBytes' | 'read' | 'close'>}
 */
export function streamOf(files, progress) {
    const tensors = tensorsOf(files);
    return {
        tensors,
        fileBytes: files.reduce((sum, file) => sum + file.bytes, 0),
        async* read(wanted) {
            const chosen = new Set(Array.from(tensors.values()).filter((info) => wanted(info)));
            for (const file of files) {
                yield* file.pieces(chosen);
            }
            progress.end();
        },
        close: () => files.forEach((file) => file.close()),
    };
}
