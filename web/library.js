/**
 * In the worker: from what the page names as a model to what loadModel() takes. A model of a hub is written to this
 * browser's own file system as it comes, and a download that was interrupted goes on where it stood. Where nothing can be
 * kept, or there is no room, the model runs all the same, straight from the hub.
 */

import { baseOf, filesOf, Place } from './shelf.js';

/** @import { Choice, Source } from './messages.js' */
/** @import { Tell } from './generator.js' */

/** What a folder of a hub may hold beside its weights; what is absent is done without. */
const BESIDE = [
    'generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja',
    'chat_template.json'
];
const PIECE_MS = 100;

/**
 * @param {Source} source
 * @param {(name: string, options: { file?: string, endpoint?: string }) => any} huggingFace
 * @param {Tell} tell
 * @param {AbortSignal} signal
 * @returns {Promise<{ given: any, files: File[] | null }>} `files`: what the page can keep, where it is not kept yet
 */
export async function openSource(source, huggingFace, tell, signal) {
    if (source.kind === 'own') return { given: undefined, files: null };
    if (source.kind === 'files') return { given: oneOrAll(source.files), files: source.files };
    if (source.kind === 'kept') {
        const kept = await filesOf(source.id);
        if (kept.length === 0) throw new Error('This browser does not keep that model any more.');
        return { given: oneOrAll(kept), files: null };
    }
    const { file, endpoint } = source;
    const unkept = async (text = 'This browser lets the page keep no files: the model is loaded each time.') => {
        if (file === null) await lookInto(source.repository, model.folder, signal);
        tell({ type: 'remark', text });
        return { given: model, files: null };
    };
    const model = huggingFace(source.repository, { ...(file && { file }), ...(endpoint && { endpoint }) });
    const place = await Place.open({ name: source.name, hub: { repository: source.repository, file, endpoint } });
    if (!place) return unkept();
    try {
        if (!place.card.isWhole) {
            if (file === null) await lookInto(source.repository, model.folder, signal);
            await new Download(place, model.folder, tell, signal).run(file);
        }
        const kept = await filesOf(place.card.id);
        if (kept.reduce((sum, one) => sum + one.size, 0) !== place.card.bytes) throw noRoom();
        return { given: oneOrAll(kept), files: null };
    } catch (error) {
        // The network's errors are not of this kind: a browser that has files, but writes none, or another tab writes this one.
        if (error instanceof DOMException && !isFull(error) && !signal.aborted) {
            const isTaken = error.name === 'NoModificationAllowedError';
            return unkept(isTaken ? 'Another tab is just keeping this model: here it is loaded without.' : undefined);
        }
        // Nothing that is worth to go on with.
        if (isFull(error) || place.card.bytes === 0) await place.remove();
        if (!isFull(error)) throw error;
        tell({
            type: 'remark',
            text: 'There is no room in this browser to keep the model: it is loaded without, and has to be loaded again next time. ' +
                'Deleting another one makes room.'
        });
        return { given: model, files: null };
    }
}

/** @param {File[]} files */
function oneOrAll(files) {
    return files.length === 1 ? files[0] : files;
}

function noRoom() {
    return new DOMException('There is no room for all of it', 'QuotaExceededError');
}

/** @param {URL} url @param {unknown} [cause] @param {string} [rest] what is to be done */
export function lost(url, cause, rest = 'What has come is kept: ask for the model again, and it goes on from there.') {
    return new Error(`The connection to ${url.host} was lost in the middle. ${rest}`, { cause });
}

/**
 * Looks whether a model that is named without a file can be loaded so: where its weights are in GGUF files, one of them has to be
 * chosen.
 * @param {string} repository
 * @param {URL} folder
 * @param {AbortSignal} signal
 */
async function lookInto(repository, folder, signal) {
    const [base, revision] = folder.href.slice(0, -1).split('/resolve/');
    const url = `${base.slice(0, -repository.length)}api/models/${repository}/revision/${revision}?blobs=true`;
    const answer = await fetch(url, { signal, cache: 'no-store' }).catch(() => null);
    signal.throwIfAborted();
    if (answer?.status === 401) throw refused(folder);
    const listing = answer?.ok ? await answer.json().catch(() => null) : null;
    signal.throwIfAborted();
    if (listing?.gated) throw refused(folder);
    // Another hub may have no such listing, or a page in its place; what is wrong with the connection is said with the first file.
    if (!Array.isArray(listing?.siblings)) return;
    /** @type {Choice[]} */
    const files = listing.siblings.map((/** @type {any} */ { rfilename, size }) => ({ file: String(rfilename), bytes: Number(size) || 0 }));
    if (files.some(({ file }) => /\.(safetensors|h5)$|^pytorch_model(-\d+-of-\d+)?\.bin$/i.test(file))) return;
    // Neither what is split nor what is a part of a model.
    const whole = files.filter(({ file }) => /\.gguf$/i.test(file) && !/-of-\d+\.gguf$|mmproj|imatrix/i.test(file));
    const choices = whole.sort((a, b) => a.bytes - b.bytes);
    if (choices.length > 0) throw Object.assign(new Error('The weights of this model are in GGUF files. Which one?'), { choices });
    throw new Error(noWeights(folder));
}

/** @param {URL} folder */
function noWeights({ host }) {
    return `${host} has no weights in this model that run here, neither in GGUF nor in safetensors nor in pytorch_model.bin.`;
}

/** @param {URL} url */
function refused({ host }) {
    return new Error(`${host} does not give this model to everybody: there is none of that name, or it is private, or its terms have ` +
        'to be accepted. Then download it there, and drop it here.');
}

/** @param {unknown} error */
function isFull(error) {
    return error instanceof Error && error.name === 'QuotaExceededError';
}

/** Tells now and then how much of a model has come. */
class Progress {
    /** @param {Tell} tell @param {'download' | 'keep'} phase */
    constructor(tell, phase) {
        this.tell = tell;
        this.phase = phase;
        this.loaded = 0;
        this.total = 0;
        this.toldAt = 0;
    }

    /** @param {number} bytes */
    count(bytes) {
        this.loaded += bytes;
        const now = performance.now();
        if (now - this.toldAt < PIECE_MS) return;
        this.toldAt = now;
        this.tell({ type: 'progress', phase: this.phase, loaded: this.loaded, total: this.total });
    }
}

/**
 * Copies files that were dropped on the page.
 * @param {string} name
 * @param {File[]} files
 * @param {Tell} tell
 * @param {AbortSignal} signal
 */
export async function keepFiles(name, files, tell, signal) {
    const place = await Place.open({ name, hub: null });
    if (!place) throw new Error('This browser lets the page keep no files.');
    const progress = new Progress(tell, 'keep');
    const wanted = [...uppermost(files)];
    progress.total = wanted.reduce((sum, { size }) => sum + size, 0);
    try {
        await place.describe({ bytes: 0, isWhole: false });
        for (const file of wanted) {
            await copy(file.stream(), await place.write(file.name), 0, signal, bytes => progress.count(bytes));
        }
        await place.describe({ bytes: progress.loaded, isWhole: true });
    } catch (error) {
        await place.remove();
        throw isFull(error) ? new Error('There is no room in this browser for the model. Deleting another one makes room.') : error;
    }
}

/**
 * Of the files of one name that lie in several folders the one that is meant: what is kept has no folders.
 * @param {File[]} files
 * @returns {Iterable<File>}
 */
function uppermost(files) {
    const depth = (/** @type {File} */ file) => file.webkitRelativePath.split('/').length;
    const inward = [...files].sort((a, b) => depth(b) - depth(a));
    return new Map(inward.map(file => [file.name, file])).values();
}

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @param {any} file a FileSystemSyncAccessHandle, which is closed in the end
 * @param {number} at
 * @param {AbortSignal} signal
 * @param {(bytes: number) => void} onBytes
 * @returns {Promise<number>} bytes of the file
 */
async function copy(stream, file, at, signal, onBytes) {
    const reader = stream.getReader();
    try {
        file.truncate(at);
        for (let next = await reader.read(); !next.done; next = await reader.read()) {
            signal.throwIfAborted();
            if (file.write(next.value, { at }) < next.value.length) throw noRoom();
            at += next.value.length;
            onBytes(next.value.length);
        }
        // Some browsers say nothing when there is no room, and keep less.
        file.flush();
        if (file.getSize() !== at) throw noRoom();
        return at;
    } catch (error) {
        // Nothing more of it shall come.
        reader.cancel(error).catch(() => {});
        throw error;
    } finally {
        file.close();
    }
}

/**
 * Whether what a hub answers to the question for the rest of a file is of another version than what is here.
 * @param {import('./messages.js').Version | undefined} known
 * @param {number} had bytes that are here
 * @param {Response} answer
 */
function isAnother(known, had, { status, headers }) {
    if (!known || ![206, 416].includes(status)) return false;
    const tag = headers.get('ETag');
    if (known.tag !== null && tag !== null && known.tag !== tag) return true;
    // A hub may name no version; another one mostly has another length.
    const total = status === 206 ? had + Number(headers.get('Content-Length'))
        : Number(/^bytes \*\/(\d+)$/.exec(headers.get('Content-Range') ?? '')?.[1] ?? had);
    return total < had || (total > had && known.bytes > 0 && known.bytes !== total);
}

/** One model of a hub on its way into this browser. */
class Download {
    /**
     * @param {Place} place
     * @param {URL} folder
     * @param {Tell} tell
     * @param {AbortSignal} signal
     */
    constructor(place, folder, tell, signal) {
        this.place = place;
        this.folder = folder;
        this.signal = signal;
        this.progress = new Progress(tell, 'download');
        /** Files that the model has. @type {Set<string>} */
        this.names = new Set();
    }

    /** @param {string | null} file null: the whole folder */
    async run(file) {
        await this.place.describe({});
        if (file !== null) {
            await this.file(file, true);
        } else {
            await this.file('config.json', true);
            for (const name of BESIDE) await this.file(name, false);
            const found = await this.weights('model.safetensors') || await this.weights('pytorch_model.bin');
            if (!found) throw new Error(noWeights(this.folder));
        }
        // Another version, which was begun before, may have had others.
        for (const { name } of await filesOf(this.place.card.id)) if (!this.names.has(name)) await this.place.drop(name);
        await this.place.describe({ bytes: this.progress.loaded, isWhole: true });
    }

    /** @param {string} name of the one file, if it is one @returns {Promise<boolean>} whether weights of this kind are all there now */
    async weights(name) {
        if (await this.file(name, false)) return true;
        const index = `${name}.index.json`;
        if (!await this.file(index, false)) return false;
        const files = await filesOf(this.place.card.id);
        const { weight_map: map } = JSON.parse(await /** @type {File} */ (files.find(file => file.name === index)).text());
        const parts = new Set(Object.values(map ?? {}).map(String));
        for (const part of parts) await this.file(part, true);
        return true;
    }

    /**
     * @param {string} name
     * @param {boolean} isNeeded
     * @returns {Promise<boolean>} whether it is there
     */
    async file(name, isNeeded) {
        const { signal, place, progress } = this;
        const url = new URL(name.split('/').map(encodeURIComponent).join('/'), this.folder);
        const file = await place.write(name);
        const had = file.getSize();
        file.close();
        let answer = await this.ask(url, had);
        if (isAnother(place.card.files?.[name], had, answer)) {
            await answer.body?.cancel();
            answer = await this.ask(url, 0);
        }
        if ([401, 403, 404].includes(answer.status)) {
            await place.drop(name);
            if (answer.status === 401) throw refused(url);
            if (isNeeded) throw new Error(`${url.host} has no file ${name} in this model.`);
            return false;
        }
        this.names.add(baseOf(name));
        // 416: there is nothing after what is here.
        if (answer.status !== 416 && !answer.ok) throw new Error(`${url.host} answers ${answer.status} for ${name}.`);
        const rest = Number(answer.headers.get('Content-Length')) || 0;
        const from = answer.status === 200 ? 0 : had;
        progress.loaded += from;
        progress.total = progress.loaded + (answer.status === 416 ? 0 : rest);
        if (answer.status === 416) return true;
        const version = { tag: answer.headers.get('ETag'), bytes: rest > 0 ? from + rest : 0 };
        await place.describe({ bytes: progress.total, files: { ...place.card.files, [name]: version } });
        let came;
        try {
            came = await copy(/** @type {ReadableStream<Uint8Array>} */ (answer.body), await place.write(name), from, signal,
                bytes => progress.count(bytes));
        } catch (error) {
            if (signal.aborted || isFull(error)) throw error;
            throw lost(url, error);
        }
        // Firefox ends a stream that was cut off as if that were all. What is sent packed has another length than it says.
        if (came - from < rest && !answer.headers.has('Content-Encoding')) throw lost(url);
        version.bytes = came;
        return true;
    }

    /**
     * @param {URL} url
     * @param {number} had bytes that are here already
     * @returns {Promise<Response>}
     */
    async ask(url, had) {
        try {
            return await fetch(url, { signal: this.signal, cache: 'no-store', headers: had > 0 ? { Range: `bytes=${had}-` } : {} });
        } catch (error) {
            if (this.signal.aborted) throw error;
            // Older browsers ask the host's leave for a part of a file first, and the hosts of a hub's files give none.
            if (had > 0) return this.ask(url, 0);
            throw new Error(`${url.host} cannot be reached: you may be offline, or something blocks the connection.`, { cause: error });
        }
    }
}
