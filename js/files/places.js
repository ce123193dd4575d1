// placeOf(): from a source to files by name, of a folder, wherever it is, or of one file and those beside it.

import { show, typeError } from '../check.js';
import { isNode, nodeModule } from '../engine/threads.js';
import { HuggingFaceModel } from './hugging-face.js';
import { isBlob, isBytes, isStream, isUrl, nameOfUrl, Remote, shortened, SOURCES, toLocation } from './source.js';

/**
 * @typedef {import('./source.js').FileSource | Remote} AnyFile
 *
 * @typedef {object} Place where the files of a model are
 * @property {string} name for messages
 * @property {string[] | null} names of the files there; null if they cannot be listed
 * @property {(name: string) => AnyFile | null} find finds a file, also in a sub-folder (`a/b`); null if it certainly does not exist
 * @property {AnyFile | null} file the file that was given; null if a folder was
 * @property {boolean} either whether `file` may turn out to be a folder
 * @property {boolean} explicit whether the caller gave each file explicitly: `{ config, weights, ... }`
 * @property {AnyFile[] | null} weights files given as weights
 */

/** Properties of `{ config, weights, ... }` beside weights, and the files' usual names. @type {Record<string, string>} */
const PARTS = {
    config: 'config.json', tokenizer: 'tokenizer.json', tokenizerConfig: 'tokenizer_config.json',
    specialTokensMap: 'special_tokens_map.json', generationConfig: 'generation_config.json',
    chatTemplate: 'chat_template.jinja',
};

/** A URL that ends so is a file, never a folder. */
const FILE_NAME = /\.(gguf|safetensors|h5|keras|bin|pt|onnx)$/i;

/**
 * @param {any} source
 * @returns {Promise<Place>}
 * @throws {TypeError} for what is no source
 */
export async function placeOf(source) {
    if (isBlob(source) || isStream(source) || isBytes(source)) {
        return alone(source);
    }
    if (source instanceof HuggingFaceModel) {
        const { folder, file } = source;
        // Files beside a file in a sub-folder are in that sub-folder, too.
        const within = file?.replace(/[^/]*$/, '') ?? '';
        return place(folder.href, { file: file && source._remote(file), find: (name) => source._remote(within + name) });
    }
    if (typeof source === 'object' && source !== null && !isUrl(source)) {
        return 'weights' in source ? ofParts(source) : ofFiles(source);
    }
    const location = toLocation(source);
    if (typeof location === 'string' || (isNode && location.protocol === 'file:')) {
        return ofPath(location);
    }
    return location.protocol === 'blob:' || location.protocol === 'data:' ? alone(location) : ofUrl(location);
}

/** @param {string} name @param {Partial<Place>} rest @returns {Place} */
function place(name, rest) {
    return {
        name, names: null, find: () => null, file: null, either: false, explicit: false, weights: null, ...rest,
    };
}

/** @param {AnyFile} file */
function alone(file) {
    return place(nameOf(file), { file, names: [] });
}

/** @param {string | URL} location */
async function ofPath(location) {
    /** @type {[typeof import('node:fs/promises'), typeof import('node:path'), typeof import('node:url')]} */
    const [promises, { join, dirname }, { fileURLToPath }] =
        [nodeModule('node:fs/promises'), nodeModule('node:path'), nodeModule('node:url')];
    const path = typeof location === 'string' ? location : fileURLToPath(location);
    const isFolder = (await promises.stat(path).catch(() => null))?.isDirectory() ?? false;
    const folder = isFolder ? path : dirname(path);
    const names = await promises.readdir(folder).catch(() => /** @type {string[]} */ ([]));
    const known = new Set(names);
    return place(path, {
        names, file: isFolder ? null : path,
        find: (name) => (known.has(name.split('/')[0]) ? join(folder, ...name.split('/')) : null),
    });
}

/** @param {URL} location */
function ofUrl(location) {
    const isFolder = location.pathname.endsWith('/');
    const isFile = FILE_NAME.test(location.pathname);
    const folder = new URL(location);
    if (!isFolder && !isFile) {
        folder.pathname += '/';
    }
    return place(location.href, {
        file: isFolder ? null : location,
        either: !isFolder && !isFile,
        find: (name) => {
            const url = new URL(name.split('/').map(encodeURIComponent).join('/'), folder);
            url.search = location.search;
            return url;
        },
    });
}

/** @param {Record<string, any>} parts */
function ofParts(parts) {
    for (const name of Object.keys(parts)) {
        if (name !== 'weights' && !Object.hasOwn(PARTS, name)) {
            throw new TypeError(`source must be { weights, ${Object.keys(PARTS).join(', ')} }, got ${name}`);
        }
    }
    const weights = Array.isArray(parts.weights) ? parts.weights : [parts.weights];
    if (weights.length === 0 || weights.some((file) => file === null || file === undefined)) {
        throw typeError('source.weights', 'a file or a list of files', parts.weights);
    }
    weights.forEach((file) => checkFile('source.weights', file));
    /** @type {Map<string, AnyFile>} */
    const files = new Map();
    for (const [part, name] of Object.entries(PARTS)) {
        const file = parts[part];
        if (file !== null && file !== undefined) {
            checkFile(`source.${part}`, file);
            files.set(name, file);
        }
    }
    return place(weights.length > 1 ? 'source.weights' : nameOf(weights[0]), {
        names: Array.from(files.keys()), find: (name) => files.get(name) ?? null, explicit: true, weights,
    });
}

/** @param {string} argument @param {unknown} file */
function checkFile(argument, file) {
    const isFile = typeof file === 'string' || isUrl(file) || file instanceof Remote || isBlob(file)
        || isStream(file) || isBytes(file);
    if (!isFile) {
        throw noSource(argument, 'a URL, path, Blob, ArrayBuffer, typed array, ReadableStream, async iterable of bytes or Response', file);
    }
}

/** @param {string} argument @param {string} expected @param {any} got @returns {TypeError} with a hint if it is nearly a source */
function noSource(argument, expected, got) {
    const hint = typeof got?.then === 'function' ? ': await it'
        : typeof got?.getFile === 'function' ? ': await its getFile()'
            : typeof got?.getFileHandle === 'function' ? ': give the Files in it' : '';
    return new TypeError(`${argument} must be ${expected}, got ${show(got)}${hint}`);
}

/** More than any model has. */
const MOST_FILES = 65536;

/**
 * @param {any} list
 * @returns {File[]} those of an iterable or an array-like
 * @throws {TypeError} for anything in it that is no File
 */
function filesOf(list) {
    /** @type {File[]} */
    const files = [];
    const take = (/** @type {unknown} */ file) => {
        if (!(isBlob(file) && typeof (/** @type {File} */ (file).name) === 'string') || files.length === MOST_FILES) {
            throw noSource('source', SOURCES, list);
        }
        files.push(/** @type {File} */ (file));
    };
    if (typeof list[Symbol.iterator] === 'function') {
        for (const file of list) {
            take(file);
        }
    } else {
        for (let i = 0; i < list.length; i++) {
            take(list[i]);
        }
    }
    return files;
}

/**
 * The Files of an input or a folder picker. The latter gives all files below a folder: those of the uppermost folder with weights or a
 * config.json are taken.
 * @param {any} list
 */
function ofFiles(list) {
    const files = filesOf(list);
    if (files.length === 0) {
        throw noSource('source', SOURCES, list);
    }
    if (files.length === 1) {
        return alone(files[0]);
    }
    const paths = files.map((file) => (file.webkitRelativePath || file.name).split('/'));
    const candidates = paths.filter((path) => /\.(safetensors|gguf|h5)$|^config\.json$/i.test(path[path.length - 1]));
    const depth = Math.min(...(candidates.length > 0 ? candidates : paths).map((path) => path.length));
    const folder = (candidates.find((path) => path.length === depth) ?? paths[0]).slice(0, depth - 1).join('/');
    /** @type {Map<string, File>} */
    const byName = new Map();
    files.forEach((file, i) => {
        if (paths[i].slice(0, depth - 1).join('/') === folder) {
            byName.set(paths[i].slice(depth - 1).join('/'), file);
        }
    });
    // Without a folder picker Files have no paths: those of sub-folders lie beside the others.
    const isFlat = paths.every((path) => path.length === 1);
    return place(folder || 'the list of Files', {
        names: Array.from(byName.keys()).filter((name) => !name.includes('/')),
        find: (name) => byName.get(isFlat ? name.slice(name.lastIndexOf('/') + 1) : name) ?? null,
    });
}

/** @param {any} file @returns {string} its name in messages */
export function nameOf(file) {
    if (typeof file === 'string') {
        return shortened(file);
    }
    if (isUrl(file) || file instanceof Remote) {
        return nameOfUrl(file instanceof Remote ? file.url : file);
    }
    if (isBlob(file)) {
        const { name } = /** @type {{ name?: unknown }} */ (file);
        return typeof name === 'string' && name !== '' ? shortened(name) : 'the Blob';
    }
    return isStream(file) ? 'the stream' : 'the file';
}

/** @param {any} file @returns {string} the last part of its path; '' if it has no name */
export function baseName(file) {
    const { pathname } = file instanceof Remote ? file.url : file;
    const path = typeof file === 'string' ? file : pathname ?? (isBlob(file) && /** @type {any} */ (file).name);
    const last = /[^/\\]*$/.exec(path || '')?.[0] ?? '';
    try {
        return typeof file === 'string' ? last : decodeURIComponent(last);
    } catch {
        return last;
    }
}
