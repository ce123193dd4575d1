// Which files of a folder are a model's weights, and models that are split into shards.

import { FormatError, show } from '../check.js';
import { isObject, parseJson } from './json.js';
import { baseName, nameOf } from './places.js';

/**
 * @typedef {import('./places.js').AnyFile} AnyFile
 * @typedef {import('./places.js').Place} Place
 *
 * @typedef {object} Weights the files of a folder's weights
 * @property {AnyFile[]} files
 * @property {Map<string, string> | null} index names of tensors to names of files
 * @property {import('./byte-reader.js').ByteReader} [reader] of the first file, if it is open already
 */

/** Name of a shard: `name-00001-of-00004.gguf`. */
const SHARD = /^(.*)-(\d{5})-of-(\d{5})(\.\w+)$/;

/** What PyTorch's checkpoint of a model is called, and what says where its tensors are if it is split. */
export const PYTORCH = 'pytorch_model.bin';
export const PYTORCH_INDEX = `${PYTORCH}.index.json`;

/** More parts than any model has. */
const MAX_SHARDS = 1 << 12;

/**
 * @param {Place} place
 * @param {string[]} names of the files that are there
 * @param {(name: string) => Promise<Uint8Array | null>} readText
 * @returns {Promise<Weights>}
 */
export async function localWeights(place, names, readText) {
    const find = (/** @type {string} */ name) => /** @type {AnyFile} */ (place.find(name));
    if (names.includes('model.safetensors')) {
        return { files: [find('model.safetensors')], index: null };
    }
    const ofIndex = async (/** @type {string} */ name) => {
        const index = indexOf(/** @type {Uint8Array} */ (await readText(name)), name);
        refuseExtra(names, new Set(index.values()));
        return { files: shardsOf(place, index), index };
    };
    const indices = names.filter((name) => name.endsWith('.safetensors.index.json'));
    const indexName = indices.find((name) => name === 'model.safetensors.index.json') ?? indices[0];
    if (indexName !== undefined) {
        return ofIndex(indexName);
    }
    for (const ending of ['.safetensors', '.gguf', '.weights.h5']) {
        const found = names.filter((name) => name.endsWith(ending)).sort();
        if (found.length > 1 && new Set(found.map(modelOf)).size > 1) {
            throw new FormatError('weights-ambiguous', `${nameOf(place.name)} has several ${ending} files, ` +
                `${show(found.slice(0, 3))} among them; give one of them`);
        }
        if (found.length > 0) {
            // The first of several parts; the others are found from it.
            return { files: [find(found[0])], index: null };
        }
    }
    if (names.includes(PYTORCH)) {
        return { files: [find(PYTORCH)], index: null };
    }
    if (names.includes(PYTORCH_INDEX)) {
        return ofIndex(PYTORCH_INDEX);
    }
    const others = names.filter((name) => !/\.(json|jinja|txt|md|model|py|gitattributes)$/i.test(name));
    if (others.length === 1) {
        return { files: [find(others[0])], index: null };
    }
    throw noWeights(place, names);
}

/** @param {string} name of a file @returns {string} the same for all shards of a model */
function modelOf(name) {
    const match = SHARD.exec(name);
    return match === null ? name : `${match[1]}-of-${match[3]}`;
}

/** @param {Place} place @param {string[]} names of what is there instead */
export function noWeights(place, names) {
    const others = names.filter((name) => /\.(bin|pt|pth|ckpt|onnx|h5|msgpack|keras)$/i.test(name));
    const but = others.length > 0 ? `, but ${show(others.slice(0, 3))}` : '';
    return new FormatError('weights-missing', `${nameOf(place.name)} has neither model.safetensors nor ` +
        `model.safetensors.index.json nor a .gguf file nor ${PYTORCH}${but}`);
}

/**
 * @param {Uint8Array} bytes
 * @param {string} name
 * @returns {Map<string, string>} weight_map: names of tensors to files
 */
export function indexOf(bytes, name) {
    const { value } = parseJson(bytes, 'index', name);
    const map = isObject(value) && isObject(value.weight_map) ? Object.entries(value.weight_map) : [];
    if (map.length === 0 || !map.every(([, file]) => typeof file === 'string' && /^(?!\.{1,2}$)[^/\\]+$/.test(file))) {
        throw new FormatError('index-invalid', `${name} must have a weight_map of tensors to files, got ${show(value)}`);
    }
    return new Map(map);
}

/** @param {Place} place @param {Map<string, string>} index @returns {AnyFile[]} */
export function shardsOf(place, index) {
    const shards = Array.from(new Set(index.values())).sort();
    if (shards.length > MAX_SHARDS) {
        throw new FormatError('index-invalid',
            `weight_map names ${shards.length} files; at most ${MAX_SHARDS} are read`);
    }
    return shards.map((name) => sibling(place, name));
}

/** @param {Place} place @param {string} name @returns {AnyFile} */
function sibling(place, name) {
    const file = place.find(name);
    if (file === null) {
        throw new FormatError('shard-missing',
            `${nameOf(place.name)} lacks ${show(name)}, a part of the model`);
    }
    return file;
}

/**
 * A shard that the index does not name belongs to another model or version.
 * @param {string[]} names
 * @param {Set<string>} shards
 */
function refuseExtra(names, shards) {
    const modelOfShard = (/** @type {string} */ name) => name.replace(SHARD, '$1$4');
    const models = new Set(Array.from(shards, modelOfShard));
    const extra = names.find((name) => SHARD.test(name) && models.has(modelOfShard(name)) && !shards.has(name));
    if (extra !== undefined) {
        throw new FormatError('shard-extra', `${show(extra)} is no part of the model that the index describes`);
    }
}

/** @param {Place} place @param {AnyFile} file @returns {AnyFile[]} all parts of the model that it is a part of */
export function partsOf(place, file) {
    const match = SHARD.exec(baseName(file));
    const count = Number(match?.[3] ?? 1);
    if (match === null || count === 1 || place.explicit || place.names?.length === 0) {
        return [file];
    }
    if (count > MAX_SHARDS) {
        throw new FormatError('shard-missing',
            `${nameOf(file)} is one of ${count} parts; at most ${MAX_SHARDS} are read`);
    }
    return Array.from({ length: count }, (_, i) => {
        const name = `${match[1]}-${String(i + 1).padStart(5, '0')}-of-${match[3]}${match[4]}`;
        return Number(match[2]) === i + 1 ? file : sibling(place, name);
    });
}

/**
 * @param {Map<string, string>} index
 * @param {AnyFile[]} files
 * @param {import('./tensor-source.js').AnyTensorFile[]} tensorFiles of these files
 */
export function checkIndex(index, files, tensorFiles) {
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
export function checkSplit(all, files, tensors) {
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
