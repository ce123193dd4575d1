// Reads a PyTorch checkpoint: the zip that torch.save() makes of a state dict, since PyTorch 1.6. Its pickle says what the tensors are, a
// member for each storage has their bytes. Loaded only when such a file comes. Nothing in it is run (pickle.js).
//
// Codes: those of zip.js and pickle.js, and `pytorch-invalid`, `pytorch-unsupported`.
// Source: torch/serialization.py and torch/_utils.py of https://github.com/pytorch/pytorch.

import { FormatError, show } from '../check.js';
import { readPickle, PythonName } from './pickle.js';
import { piecesOf, tensorInfo } from './tensor-source.js';
import { readZipDirectory, readZipMember } from './zip.js';

/** @typedef {import('./tensor-source.js').TensorInfo} TensorInfo */

/** Types of storages: safetensors' name, and bytes of a number. @type {Record<string, [type: string, bytes: number]>} */
const STORAGES = {
    'torch.FloatStorage': ['F32', 4], 'torch.HalfStorage': ['F16', 2], 'torch.BFloat16Storage': ['BF16', 2],
    'torch.DoubleStorage': ['F64', 8], 'torch.LongStorage': ['I64', 8], 'torch.IntStorage': ['I32', 4],
    'torch.ShortStorage': ['I16', 2], 'torch.CharStorage': ['I8', 1], 'torch.ByteStorage': ['U8', 1], 'torch.BoolStorage': ['BOOL', 1],
};

/** Several names for the same numbers are usual. More than so many times a file's bytes are a way to make it take a large memory. */
const MOST_SHARED = 64;

/** Some numbers of the file. */
class Storage {
    /** @param {string} type @param {number} width bytes of a number @param {string} key of its member */
    constructor(type, width, key) {
        this.type = type;
        this.width = width;
        this.key = key;
    }
}

/** A tensor: a part of a storage. */
class Stored {
    /** @param {Storage} storage @param {number} offset in numbers @param {number[]} shape @param {number[]} strides in numbers */
    constructor(storage, offset, shape, strides) {
        this.storage = storage;
        this.offset = offset;
        this.shape = shape;
        this.strides = strides;
        this.size = shape.reduce((product, n) => product * n, 1);
    }

    /** Whether its numbers lie in the order of its shape. */
    get isContiguous() {
        let stride = 1;
        return this.size === 0 || this.shape.reduceRight((/** @type {boolean} */ so, n, axis) => {
            const fits = n === 1 || this.strides[axis] === stride;
            stride *= n;
            return so && fits;
        }, true);
    }
}

/** @param {string} message @returns {never} */
function invalid(message) {
    throw new FormatError('pytorch-invalid', `PyTorch checkpoint: ${message}`);
}

/** @param {string} what @returns {never} */
function unsupported(what) {
    throw new FormatError('pytorch-unsupported',
        `PyTorch checkpoint: ${what} is not supported; save_pretrained() in Python makes safetensors of it`);
}

/** @param {unknown} value @returns {value is number[]} sizes, whose product is one too */
function areSizes(value) {
    return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0) &&
        value.reduce((product, n) => product * Math.max(n, 1), 8) <= Number.MAX_SAFE_INTEGER;
}

/** What a state dict is written in. @type {import('./pickle.js').Words} */
const WORDS = {
    call(name, args) {
        switch (name) {
            case 'collections.OrderedDict':
                return args.length === 0 ? new Map() : unsupported('an OrderedDict made of something');
            case 'torch._utils._rebuild_tensor_v2':
                return tensorOf(args);
            case 'torch._utils._rebuild_parameter':
                return args[0] ?? invalid('a parameter without a tensor');
            default:
                return unsupported(`the call of ${show(name)}`);
        }
    },
    persistent(id) {
        const [kind, of, key] = Array.isArray(id) ? id : [];
        if (kind !== 'storage' || !(of instanceof PythonName) || typeof key !== 'string') {
            return invalid(`a storage must have a type and a key, got ${show(id)}`);
        }
        const [type, width] = Object.hasOwn(STORAGES, of.text) ? STORAGES[of.text] : unsupported(`the type ${show(of.text)}`);
        return new Storage(type, width, key);
    },
};

/** @param {unknown[]} args @returns {Stored} */
function tensorOf([storage, offset, shape, strides]) {
    if (!(storage instanceof Storage) || !Number.isSafeInteger(offset) || Number(offset) < 0 || !areSizes(shape) ||
        !Array.isArray(strides) || strides.length !== shape.length) {
        return invalid(`a tensor must have a storage, an offset, a shape and strides, got ${show([offset, shape, strides])}`);
    }
    // Copies, as a pickle may change a list afterwards.
    return new Stored(storage, Number(offset), [...shape], [...strides]);
}

/**
 * @param {Uint8Array} bytes the pickle of a state dict
 * @returns {Map<string, Stored>} tensors by name
 * @throws {FormatError}
 */
export function readStateDict(bytes) {
    const value = readPickle(bytes, WORDS);
    if (!(value instanceof Map)) {
        return invalid(`it must hold a state dict, got ${show(value)}`);
    }
    for (const [name, stored] of value) {
        if (typeof name !== 'string' || !(stored instanceof Stored)) {
            invalid(`a state dict must have tensors by their names, got ${show(name)}: ${show(stored)}`);
        }
        if (!stored.isContiguous) {
            unsupported(`${show(name)}, whose numbers do not lie in the order of its shape,`);
        }
    }
    return value;
}

/**
 * One checkpoint, or a part of one.
 * @param {string} name of the file, for messages
 * @param {Uint8Array} bytes all of it
 * @param {(() => Promise<Uint8Array>) | null} reopen gets them again; null if they can be had only once
 * @returns {Promise<import('./tensor-source.js').AnyTensorFile>}
 * @throws {FormatError}
 */
export async function openPyTorch(name, bytes, reopen) {
    const members = readZipDirectory(bytes);
    const pickle = Array.from(members.keys()).find((path) => /^[^/]*\/data\.pkl$/.test(path));
    const root = pickle?.replace(/data\.pkl$/, '');
    const member = (/** @type {string} */ path) => members.get(`${root}${path}`) ?? invalid(`it has no member ${show(path)}`);
    const tensors = readStateDict(await readZipMember(bytes, member('data.pkl')));
    const order = members.get(`${root}byteorder`);
    if (order && new TextDecoder().decode((await readZipMember(bytes, order)).slice()) !== 'little') {
        unsupported('big-endian');
    }
    const storages = storagesOf(tensors, (key) => member(`data/${key}`).size, bytes.length);
    /** The file, until it is closed or rests. @type {Uint8Array | null} */
    let held = bytes;
    let again = reopen;
    return {
        name,
        entries: Array.from(storages.values()).flat(),
        bytes: bytes.length,
        rest() {
            held = again === null ? held : null;
        },
        async* pieces(wanted) {
            const chosen = Array.from(storages, ([key, entries]) => ({ key, entries: entries.filter(({ info }) => wanted.has(info)) }))
                .filter(({ entries }) => entries.length > 0);
            const whole = chosen.length > 0 ? held ?? await again?.() : null;
            for (const { key, entries } of chosen) {
                if (!whole) {
                    throw new Error('the file has been closed, so no tensor can be read');
                }
                const all = await readZipMember(whole, member(`data/${key}`));
                for (const { info, begin } of entries) {
                    for (const { firstRow, rows } of piecesOf(info)) {
                        const at = begin + firstRow * info.rowBytes;
                        yield { info, firstRow, rows, bytes: all.subarray(at, at + rows * info.rowBytes) };
                    }
                }
            }
        },
        close() {
            held = again = null;
        },
    };
}

/**
 * Tensors by their storages, each of which is read once for all of them.
 * @param {Map<string, Stored>} tensors
 * @param {(key: string) => number} sizeOf bytes of a storage
 * @param {number} bytes of the file
 * @returns {Map<string, { info: TensorInfo, begin: number }[]>}
 */
function storagesOf(tensors, sizeOf, bytes) {
    /** @type {Map<string, { info: TensorInfo, begin: number }[]>} */
    const storages = new Map();
    /** Where tensors lie, and the first names of those. @type {Map<string, string>} */
    const places = new Map();
    let total = 0;
    for (const [name, { storage: { key, type, width }, shape, offset, size }] of tensors) {
        const has = sizeOf(key);
        if ((offset + size) * width > has) {
            invalid(`${show(name)} [${shape}] goes on behind the ${has} bytes of its storage`);
        }
        total += size * width;
        const place = JSON.stringify([key, type, offset, shape]);
        const same = places.get(place);
        places.set(place, same ?? name);
        const info = tensorInfo(name, shape, type, size * width);
        const entries = storages.get(key) ?? [];
        entries.push({ info: same === undefined ? info : { ...info, same }, begin: offset * width });
        storages.set(key, entries);
    }
    if (total > MOST_SHARED * bytes) {
        invalid(`its tensors are ${total} bytes, in a file of ${bytes}`);
    }
    return storages;
}
