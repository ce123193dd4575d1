// HDF5 datasets in chunks, also packed ones: what h5py's `chunks` and `compression`, and h5repack, make of a file. Chunks are
// found through the old form's B-tree, or in the new form as the only one or through a fixed array; the other indices of the
// new form, which grow with a dataset, are refused by name. Chunks are packed by deflate, shuffle and fletcher32.
//
// What comes out is held against the file's length before any room is taken.

import { inflate } from '../inflate.js';
import { invalid, MAX_RATIO, unsupported } from './bytes.js';

/**
 * @typedef {import('./bytes.js').Hdf5Bytes} Hdf5Bytes
 * @typedef {import('./bytes.js').Cursor} Cursor
 *
 * @typedef {object} Filter
 * @property {number} id
 * @property {number} width bytes of the numbers that are shuffled
 *
 * @typedef {object} Chunk
 * @property {number[]} at where it begins, in values
 * @property {Uint8Array} data as stored
 * @property {number} skipped a bit for each filter that it did not go through
 *
 * @typedef {object} Chunked a dataset that has yet to be put together
 * @property {string} path
 * @property {number[]} shape
 * @property {number} size bytes of a value
 * @property {boolean} isBig whether their first byte is the highest
 * @property {number} length bytes of all values
 * @property {number[]} chunk its shape
 * @property {number} bytes of a chunk
 * @property {Chunk[]} chunks
 * @property {Filter[]} filters in the order in which they were applied
 * @property {Uint8Array} fill a value where there is no chunk
 */

const [DEFLATE, SHUFFLE, FLETCHER32] = [1, 2, 3];
const NAMES = new Map([[4, 'szip'], [5, 'n-bit'], [6, 'scale-offset'], [32000, 'lzf'], [32001, 'blosc'], [32008, 'bitshuffle'],
    [32015, 'zstd']]);

/**
 * @param {Cursor} body a message of filters
 * @param {number} size of a value
 * @param {string} path
 * @returns {Filter[]}
 */
export function readFilters(body, size, path) {
    const version = body.version(1, 2, 'a list of filters', path);
    const count = body.u8();
    body.skip(version === 1 ? 6 : 0);
    return Array.from({ length: count }, () => {
        const id = body.u16();
        const name = version === 1 || id >= 256 ? body.u16() : 0;
        body.skip(2);
        const values = body.u16();
        body.skip(name);
        const [width = 0] = Array.from({ length: values }, () => body.u32());
        body.skip(version === 1 && values % 2 === 1 ? 4 : 0);
        if (![DEFLATE, SHUFFLE, FLETCHER32].includes(id)) {
            unsupported(`a dataset packed by ${NAMES.get(id) ?? `the filter ${id}`}`, path);
        }
        if (id === SHUFFLE && width !== size) {
            invalid(`${path} has values of ${size} bytes, shuffled by ${width}`);
        }
        return { id, width };
    });
}

/**
 * @param {Hdf5Bytes} file
 * @param {Cursor} layout behind its class
 * @param {number} version of the layout
 * @param {Pick<Chunked, 'path' | 'shape' | 'size'> & { most: number[], filters: Filter[] }} dataset most: what its shape may grow to
 * @returns {Pick<Chunked, 'chunk' | 'bytes' | 'chunks'>}
 */
export function readChunks(file, layout, version, { path, shape, size, most, filters }) {
    const flags = version === 3 ? 0 : layout.u8();
    const rank = layout.u8() - 1;
    const width = version === 3 ? 4 : layout.u8();
    const address = version === 3 ? layout.address() : null;
    if (rank !== shape.length || rank < 1 || width < 1 || width > 8) {
        invalid(`${path} has chunks of ${rank} dimensions, its shape [${shape}]`);
    }
    const chunk = Array.from({ length: rank }, () => layout.sized(width));
    const bytes = chunk.reduce((product, n) => product * n, size);
    if (layout.sized(width) !== size || chunk.includes(0) || bytes > MAX_RATIO * file.bytes.length) {
        invalid(`${path} has chunks of [${chunk}], values of ${size} bytes`);
    }
    if (version === 3) {
        return { chunk, bytes, chunks: address === null ? [] : readTree(file, address, path, rank) };
    }
    if (flags & 1 && filters.length > 0) {
        unsupported('chunks that are packed but at the edges', path);
    }
    const kind = layout.u8();
    if (kind === 1) {
        const [stored, skipped] = flags & 2 ? [layout.u64(), layout.u32()] : [bytes, 0];
        const at = layout.address();
        return { chunk, bytes, chunks: at === null ? [] : [{ at: chunk.map(() => 0), data: part(file, at, stored, path), skipped }] };
    }
    if (kind !== 3) {
        unsupported(['', '', 'chunks without an index', '', 'chunks in an extensible array', 'chunks in a B-tree of the new form'][kind]
            ?? `an index of chunks of kind ${kind}`, path);
    }
    layout.skip(1);
    const at = layout.address();
    return { chunk, bytes, chunks: at === null ? [] : readArray(file, at, path, { chunk, most, bytes, isPacked: filters.length > 0 }) };
}

/** @param {Hdf5Bytes} file @param {number | null} address @param {number} length @param {string} path */
const part = (file, address, length, path) => file.claim(address, length, `a chunk of ${path}`).bytes(length);

/**
 * The old form's B-tree.
 * @param {Hdf5Bytes} file
 * @param {number} root
 * @param {string} path
 * @param {number} rank
 * @returns {Chunk[]}
 */
function readTree(file, root, path, rank) {
    const what = `the B-tree of ${path}`;
    /** @type {Chunk[]} */
    const chunks = [];
    /** @type {{ address: number | null, level: number | null }[]} */
    const nodes = [{ address: root, level: null }];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
        file.reachOnce(node.address, what);
        const head = file.claim(node.address, 24, what);
        head.expect('TREE');
        const [type, level] = [head.u8(), head.u8()];
        if (type !== 1 || level !== (node.level ?? level)) {
            invalid(`${what} has a node of type ${type} and level ${level}`);
        }
        const count = head.u16();
        const entries = file.claim(head.end, count * (24 + 8 * rank) + 16 + 8 * rank, what);
        for (let i = 0; i < count; i++) {
            const [stored, skipped] = [entries.u32(), entries.u32()];
            const at = Array.from({ length: rank }, () => entries.u64());
            entries.skip(8);
            const address = entries.address();
            if (level > 0) nodes.push({ address, level: level - 1 });
            else chunks.push({ at, data: part(file, address, stored, path), skipped });
        }
    }
    return chunks;
}

/**
 * The new form's fixed array: an entry for each chunk that there may be, in pages where there are many.
 * @param {Hdf5Bytes} file
 * @param {number} address
 * @param {string} path
 * @param {{ chunk: number[], most: number[], bytes: number, isPacked: boolean }} dataset bytes: of a chunk that is not packed
 * @returns {Chunk[]}
 */
function readArray(file, address, path, { chunk, most, bytes, isPacked }) {
    const what = `the index of ${path}`;
    const head = file.claimChecked(address, 28, what);
    head.expect('FAHD');
    head.version(0, 0, 'an index of chunks', path);
    head.skip(1);
    const [entry, pageBits, count, at] = [head.u8(), head.u8(), head.u64(), head.address()];
    const sides = most.map((n, axis) => Math.ceil(n / chunk[axis]));
    if (entry < (isPacked ? 13 : 8) || entry > 20 || count !== sides.reduce((product, n) => product * n, 1)) {
        invalid(`${what} has ${count} entries of ${entry} bytes`);
    }
    if (at === null) {
        return [];
    }
    const page = 2 ** pageBits;
    const pages = count > page ? Math.ceil(count / page) : 0;
    const flagBytes = Math.ceil(pages / 8);
    const block = file.claim(at, 18 + flagBytes + count * entry + 4 * pages, what);
    file.checkSum(block.at, pages > 0 ? block.at + 18 + flagBytes : block.end, what);
    block.expect('FADB');
    block.version(0, 0, 'a block of an index', path);
    block.skip(9);
    const flags = block.bytes(flagBytes);
    /** @type {Chunk[]} */
    const chunks = [];
    for (let i = 0; i < count; i++) {
        const number = Math.floor(i / page);
        const isWritten = pages === 0 || (flags[number >> 3] & 0x80 >> (number & 7)) !== 0;
        if (pages > 0 && i % page === 0) {
            block.skip(4); // the checksum of what is before
            if (isWritten) file.checkSum(block.at, block.at + Math.min(page, count - i) * entry + 4, what);
        }
        const from = block.part(entry);
        const place = from.address();
        if (place === null || !isWritten) {
            continue;
        }
        const stored = isPacked ? from.sized(entry - 12) : bytes;
        const skipped = isPacked ? from.u32() : 0;
        let rest = i;
        const begin = sides.map(() => 0);
        for (let axis = sides.length - 1; axis >= 0; axis--) {
            begin[axis] = rest % sides[axis] * chunk[axis];
            rest = Math.floor(rest / sides[axis]);
        }
        chunks.push({ at: begin, data: part(file, place, stored, path), skipped });
    }
    return chunks;
}

/**
 * @param {Chunked} dataset
 * @returns {Promise<Uint8Array>} its values, row-major
 */
export async function putTogether({ path, shape, size, length, chunk, bytes, chunks, filters, fill }) {
    const whole = filled(length, fill);
    for (const { at, data, skipped } of chunks) {
        if (at.length !== shape.length || at.some((n, axis) => n % chunk[axis] !== 0)) {
            invalid(`${path} has a chunk at [${at}]`);
        }
        let values = data;
        for (let i = filters.length - 1; i >= 0; i--) {
            if (!(skipped >>> i & 1)) {
                values = await unpack(filters[i], values, bytes + (filters.slice(0, i).some(({ id }) => id === FLETCHER32) ? 4 : 0), path);
            }
        }
        if (values.length !== bytes) {
            invalid(`a chunk of ${path} has ${values.length} bytes, its shape needs ${bytes}`);
        }
        place(whole, values, { shape, size, chunk, at });
    }
    return whole;
}

/** @param {number} length @param {Uint8Array} value @returns {Uint8Array} */
export function filled(length, value) {
    const whole = new Uint8Array(length);
    if (value.some((byte) => byte !== 0)) {
        for (let at = 0; at < length; at += value.length) whole.set(value, at);
    }
    return whole;
}

/**
 * Copies what of a chunk lies within the shape, row by row.
 * @param {Uint8Array} whole
 * @param {Uint8Array} values
 * @param {{ shape: number[], size: number, chunk: number[], at: number[] }} where
 */
function place(whole, values, { shape, size, chunk, at }) {
    const last = shape.length - 1;
    const inside = shape.map((n, axis) => Math.min(chunk[axis], n - at[axis]));
    if (inside.some((n) => n <= 0)) {
        return; // left from before the dataset shrank
    }
    const rows = inside.slice(0, last).reduce((product, n) => product * n, 1);
    const index = inside.map(() => 0);
    for (let row = 0; row < rows; row++) {
        let [from, to] = [0, 0];
        for (let axis = 0; axis <= last; axis++) {
            from = from * chunk[axis] + index[axis];
            to = to * shape[axis] + at[axis] + index[axis];
        }
        whole.set(values.subarray(from * size, (from + inside[last]) * size), to * size);
        for (let axis = last - 1; axis >= 0 && ++index[axis] === inside[axis]; axis--) {
            index[axis] = 0;
        }
    }
}

/**
 * @param {Filter} filter
 * @param {Uint8Array} data
 * @param {number} length what inflating has to give
 * @param {string} path
 * @returns {Promise<Uint8Array>}
 */
async function unpack({ id, width }, data, length, path) {
    const what = `a chunk of ${path}`;
    if (id === DEFLATE) {
        return inflate(data, length, 'deflate', (words) => invalid(`${what} ${words}`));
    }
    if (id === SHUFFLE) {
        return unshuffled(data, width);
    }
    const end = data.length - 4;
    if (end < 0 || fletcher32(data.subarray(0, end)) !== new DataView(data.buffer, data.byteOffset + end).getUint32(0, true)) {
        invalid(`the checksum of ${what} is wrong`);
    }
    return data.subarray(0, end);
}

/** @param {Uint8Array} data first bytes of all numbers, then second ones, ... @param {number} width bytes of a number */
function unshuffled(data, width) {
    const count = Math.floor(data.length / width);
    // What is no whole number stays behind, where it is.
    const numbers = data.slice();
    for (let byte = 0; byte < width; byte++) {
        for (let i = 0; i < count; i++) numbers[i * width + byte] = data[byte * count + i];
    }
    return numbers;
}

/** @param {Uint8Array} data @returns {number} HDF5's form of it: of big-endian pairs of bytes */
function fletcher32(data) {
    const folded = (/** @type {number} */ sum) => (sum & 0xffff) + (sum >>> 16);
    let [a, b] = [0, 0];
    for (let i = 0; i < data.length; i += 2) {
        a = folded(a + (data[i] << 8 | (data[i + 1] ?? 0)));
        b = folded(b + a);
    }
    return b * 65536 + a;
}
