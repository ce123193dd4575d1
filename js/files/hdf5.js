// Reads the HDF5 files that Keras writes: `.weights.h5`, and the one within `.keras`.
//
// Why not a library: jsfive (0.4.2, tried) refuses the opaque type that bfloat16 is stored as, reads names and heaps
// that lie outside the file without complaint, follows groups that contain themselves for ever, and needs an inflater
// of its own; h5wasm is the whole of HDF5's C library, megabytes of wasm, in a heap that only grows. Keras uses little
// of the format, and that little is read here within fixed bounds:
// - an address, count or length is compared with the file's length before it is used;
// - the structures that are followed may have a few times the file's length in all, so loops and overlaps end;
// - a group, a node of a tree and a part of a header are reached once; groups lie at most 64 deep;
// - any other feature of HDF5 (other filters, links by name, heaps of many levels, other types) is refused by its name, but in attributes,
//   which are left out.
//
// Codes: `hdf5-truncated` (something lies behind the file's end), `hdf5-invalid`, `hdf5-unsupported`.

import { FormatError } from '../check.js';
import { AttributeReader } from './hdf5/attributes.js';
import { Cursor, Hdf5Bytes, invalid, MAX_RATIO, unsupported } from './hdf5/bytes.js';
import { filled, putTogether, readChunks, readFilters } from './hdf5/chunks.js';
import { countOf, inOrder, readDataspace, readDatatype, readFill, readMost } from './hdf5/datatype.js';
import { readLinks } from './hdf5/groups.js';
import {
    ATTRIBUTE, ATTRIBUTE_INFO, DATASPACE, DATATYPE, EXTERNAL_FILES, FILTERS, LAYOUT, readObjectHeader,
} from './hdf5/object-header.js';

/**
 * @typedef {import('./hdf5/attributes.js').Attributes} Attributes
 * @typedef {import('./hdf5/object-header.js').Message} Message
 *
 * @typedef {object} Hdf5Dataset
 * @property {string} path names joined by '/', without one in front
 * @property {number[]} shape
 * @property {string} type 'F32', 'F16', 'BF16', 'F64', 'I8' ... 'I64', 'U8' ... 'U64', 'BOOL'
 * @property {() => Uint8Array} bytes its values, row-major and little-endian, at any alignment: a view of the file, if it can be
 * @property {import('./hdf5/chunks.js').Chunked} [chunked] the chunks from which bytes() is to be assembled
 *
 * @typedef {object} Hdf5
 * @property {Map<string, Hdf5Dataset>} datasets by path, in the file's order
 * @property {Map<string, Attributes>} attributes of groups and datasets that have any, by path; '' is the root
 */

const SIGNATURE = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a];

const MAX_DEPTH = 64;
const MAX_PATH = 2048;

/** @param {Uint8Array} bytes @returns {boolean} whether they begin as an HDF5 file does */
function isHdf5(bytes) {
    return SIGNATURE.every((byte, i) => bytes[i] === byte);
}

/**
 * @param {Uint8Array} bytes a whole file; datasets are views of it where they are not in chunks
 * @returns {Promise<Hdf5>}
 * @throws {FormatError} (rejects) `hdf5-truncated`, `hdf5-invalid`, `hdf5-unsupported`
 */
export async function openHdf5(bytes) {
    const file = readHdf5(bytes);
    for (const dataset of file.datasets.values()) {
        if (dataset.chunked) {
            const data = inOrder(await putTogether(dataset.chunked), dataset.chunked);
            dataset.bytes = () => data;
        }
    }
    return file;
}

/**
 * The same, except that datasets in chunks are found but not assembled.
 * @param {Uint8Array} bytes
 * @returns {Hdf5}
 * @throws {FormatError} `hdf5-truncated`, `hdf5-invalid`, `hdf5-unsupported`
 */
export function readHdf5(bytes) {
    if (!isHdf5(bytes)) {
        throw bytes.length < SIGNATURE.length
            ? new FormatError('hdf5-truncated', `HDF5: ${bytes.length} bytes are no file`)
            : new FormatError('hdf5-invalid', 'HDF5: the file does not begin with the signature of HDF5');
    }
    const file = new Hdf5Bytes(bytes);
    const attributeReader = new AttributeReader(file);
    /** @type {Hdf5} */
    const found = { datasets: new Map(), attributes: new Map() };
    const objects = [{ path: '', depth: 0, address: rootOf(file) }];
    for (let object = objects.pop(); object !== undefined; object = objects.pop()) {
        const { path, depth, address } = object;
        const where = path === '' ? 'the root' : path;
        file.reachOnce(address, where);
        file.spend(path.length, where);
        const messages = readObjectHeader(file, address, where);
        const attributes = attributeReader.read(messages, where);
        if (attributes.size > 0) {
            found.attributes.set(path, attributes);
        }
        const links = readLinks(file, messages, where);
        if (links === null) {
            found.datasets.set(path, readDataset(file, messages, path, attributes));
            continue;
        }
        if (depth === MAX_DEPTH) {
            unsupported(`a group more than ${MAX_DEPTH} deep`, where);
        }
        for (const { name, address: target } of links.reverse()) {
            objects.push({ path: childPath(path, name), depth: depth + 1, address: target });
        }
    }
    return found;
}

/** @param {string} parent @param {string} name */
function childPath(parent, name) {
    const path = parent === '' ? name : `${parent}/${name}`;
    return path.length > MAX_PATH ? unsupported(`a path longer than ${MAX_PATH} letters`, 'a group') : path;
}

/**
 * @param {Hdf5Bytes} file
 * @returns {number | null} the address of the root group's header
 */
function rootOf(file) {
    const what = 'the superblock';
    const version = file.claim(8, 1, what).version(0, 3, 'the superblock', 'its ninth byte');
    return version < 2 ? oldRoot(file, version, what) : newRoot(file, what);
}

/** @param {Cursor} block @param {string} what */
function checkWidths(block, what) {
    const [offsets, lengths] = [block.u8(), block.u8()];
    if (offsets !== 8 || lengths !== 8) {
        unsupported(`a file with addresses of ${offsets} and lengths of ${lengths} bytes`, what);
    }
}

/** @param {Hdf5Bytes} file @param {number | null} base @param {number | null} end */
function checkExtent(file, base, end) {
    if (base !== 0) {
        unsupported('a file whose addresses do not count from its first byte', 'the superblock');
    }
    if (end === null || end > file.bytes.length) {
        throw new FormatError('hdf5-truncated', `HDF5: the file must have ${end} bytes, got ${file.bytes.length}`);
    }
}

/** @param {Hdf5Bytes} file @param {number} version @param {string} what */
function oldRoot(file, version, what) {
    const block = file.claim(9, 87 + version * 4, what);
    block.skip(4);
    checkWidths(block, what);
    // Sizes of B-tree nodes: each node says how many entries it has.
    block.skip(9 + version * 4);
    const base = block.address();
    block.skip(8);
    checkExtent(file, base, block.address());
    if (block.address() !== null) {
        unsupported('a file of several parts (a driver information block)', what);
    }
    block.skip(8);
    return block.address();
}

/** @param {Hdf5Bytes} file @param {string} what */
function newRoot(file, what) {
    const block = file.claim(9, 39, what);
    file.checkSum(0, block.end, what);
    checkWidths(block, what);
    block.skip(1);
    const base = block.address();
    const extension = block.address();
    checkExtent(file, base, block.address());
    // Says how the file's space is managed; a file of several parts is refused there.
    if (extension !== null) {
        readObjectHeader(file, extension, 'the extension of the superblock');
    }
    return block.address();
}

/**
 * @param {Hdf5Bytes} file
 * @param {Message[]} messages
 * @param {string} path
 * @param {Attributes} attributes
 * @returns {Hdf5Dataset}
 */
function readDataset(file, messages, path, attributes) {
    /** @type {Map<number, Cursor>} */
    const byType = new Map();
    for (const { type, body } of messages) {
        if (type !== ATTRIBUTE && type !== ATTRIBUTE_INFO && byType.has(type)) {
            invalid(`${path} has two messages of type ${type}`);
        }
        byType.set(type, body);
    }
    /** @param {number} type @param {string} what @returns {Cursor} */
    const part = (type, what) => byType.get(type) ?? invalid(`${path} is neither a group nor has it ${what}`);
    const space = part(DATASPACE, 'a shape');
    const shape = readDataspace(space);
    const datatype = readDatatype(part(DATATYPE, 'a type'));
    if (byType.has(EXTERNAL_FILES)) {
        unsupported('a dataset in another file', path);
    }
    const { size, isBig } = datatype;
    const type = typeOf(datatype, attributes, path);
    const layout = part(LAYOUT, 'a place');
    const version = layout.version(3, 4, 'a layout', path);
    const kind = layout.u8();
    const packed = byType.get(FILTERS);
    if (kind !== 2) {
        const length = countOf(shape, file.bytes.length, path) * size;
        const found = packed ? invalid(`${path} is packed, and not in chunks`) : locate(file, layout, kind, length, path);
        const data = found ?? filled(file.makeRoom(length, path), readFill(byType, size, path));
        return { path, shape, type, bytes: () => inOrder(data, datatype) };
    }
    const length = file.makeRoom(countOf(shape, MAX_RATIO * file.bytes.length, path) * size, path);
    const filters = packed ? readFilters(packed, size, path) : [];
    const found = readChunks(file, layout, version, { path, shape, size, most: readMost(space, shape), filters });
    // Several may lie in the same place, and each is unpacked.
    file.makeRoom(found.chunks.length * found.bytes, path);
    return {
        path, shape, type,
        bytes: () => unsupported('a dataset in chunks', path),
        chunked: { path, shape, size, isBig, length, filters, fill: readFill(byType, size, path), ...found },
    };
}

/**
 * @param {import('./hdf5/datatype.js').Datatype} datatype
 * @param {Attributes} attributes
 * @param {string} path
 */
function typeOf({ kind, type, size }, attributes, path) {
    if (kind === 'number') {
        return type;
    }
    // NumPy knows no bfloat16, so h5py writes two bytes without a meaning, and Keras says beside them what they are.
    if (kind === 'opaque' && size === 2 && attributes.get('dtype') === 'bfloat16') {
        return 'BF16';
    }
    return unsupported(kind === 'opaque' ? 'an opaque type that is not bfloat16' : 'a dataset of strings', path);
}

/**
 * @param {Hdf5Bytes} file
 * @param {Cursor} layout
 * @param {number} kind of layout
 * @param {number} length bytes of all values
 * @param {string} path
 * @returns {Uint8Array | null} null where they were never written
 */
function locate(file, layout, kind, length, path) {
    if (kind === 0) {
        const data = layout.bytes(layout.u16());
        return data.length === length ? data : invalid(`${path} has ${data.length} bytes, its shape needs ${length}`);
    }
    if (kind !== 1) {
        unsupported(kind === 3 ? 'a virtual dataset' : `a layout of kind ${kind}`, path);
    }
    const address = layout.address();
    const stored = layout.u64();
    if (stored !== length) {
        invalid(`${path} has ${stored} bytes, its shape needs ${length}`);
    }
    if (length === 0) {
        return file.bytes.subarray(0, 0);
    }
    return address === null ? null : file.claim(address, length, `the values of ${path}`).bytes(length);
}
