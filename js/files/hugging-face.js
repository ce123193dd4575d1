// Models on a hub. This is the only file of the package that knows a host.

import { checkOptionNames, classOf, typeError } from '../check.js';
import { Remote } from './source.js';

const ENDPOINT = 'https://huggingface.co';

/** 'owner/name', where neither is '.' or '..'. */
const NAME = /^(?!\.{1,2}\/)[\w.-]+\/(?!\.{1,2}$)[\w.-]+$/;

/** @param {string} text @returns {boolean} whether it names a model on a hub, and not a model's file, such as models/name.gguf */
export function isHubName(text) {
    return NAME.test(text) && !/\.(?:gguf|safetensors|h5|keras)$/i.test(text);
}

/** @param {unknown} value */
function isUrl(value) {
    try {
        return typeof value === 'string' && new URL(value) !== null;
    } catch {
        return false;
    }
}

/** One model on a hub: what huggingFace() makes and openModel() takes. */
export class HuggingFaceModel {
    /** Private, so that printing the object does not print it. @type {string | null} */
    #token;

    /** @param {URL} folder where the files are @param {string | null} file @param {string | null} token */
    constructor(folder, file, token) {
        /** Where its files are, ending in a slash. */
        this.folder = folder;
        /** The one file that is meant, or null for the folder. */
        this.file = file;
        this.#token = token;
    }

    /** @internal whatever a bundler has made of the class's name */
    get [Symbol.toStringTag]() {
        return 'HuggingFaceModel';
    }

    /** @param {string} name @returns {Remote} a file of the model; the token goes to the hub alone */
    _remote(name) {
        const token = this.#token;
        const path = name.split('/').map(encodeURIComponent).join('/');
        return new Remote(new URL(path, this.folder), token === null ? {} : { Authorization: `Bearer ${token}` });
    }
}

/**
 * A model on a hub, as a source for loadModel() and readWeights().
 * @param {string} name 'owner/name'
 * @param {object} [options]
 * @param {string} [options.file] one of its files, such as a .gguf; without it the model is read as a folder
 * @param {string} [options.revision] branch, tag or commit; 'main'
 * @param {string} [options.token] sent to the endpoint, and not to where it redirects
 * @param {string | URL} [options.endpoint] another hub with the same paths
 * @returns {HuggingFaceModel}
 */
export function huggingFace(name, options = {}) {
    checkOptionNames('huggingFace', options, ['file', 'revision', 'token', 'endpoint']);
    const { file, revision = 'main', token, endpoint = ENDPOINT } = options;
    if (typeof name !== 'string' || !NAME.test(name)) {
        throw typeError('name', "a string 'owner/name'", name);
    }
    for (const [argument, value] of Object.entries({ file, token })) {
        if (value !== undefined && (typeof value !== 'string' || value === '')) {
            throw typeError(argument, 'a string', value);
        }
    }
    // What no address can have.
    for (const [argument, value] of Object.entries({ file, revision })) {
        if (typeof value === 'string' && /\p{Cs}/u.test(value)) {
            throw typeError(argument, 'a string of whole characters', value);
        }
    }
    if (file !== undefined && file.split('/').some((part) => part === '' || part === '.' || part === '..')) {
        throw typeError('file', 'the path of a file in the model', file);
    }
    if (typeof revision !== 'string' || revision === '') {
        throw typeError('revision', 'a string', revision);
    }
    if (classOf(endpoint) !== 'URL' && !isUrl(endpoint)) {
        throw typeError('endpoint', 'a URL', endpoint);
    }
    const base = new URL(endpoint).href.replace(/\/+$/, '');
    const folder = new URL(`${base}/${name}/resolve/${encodeURIComponent(revision)}/`);
    return new HuggingFaceModel(folder, file ?? null, token ?? null);
}
