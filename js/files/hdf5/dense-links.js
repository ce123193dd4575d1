// The links of a group of the newest form that has more than a few: they lie in a fractal heap, and a B-tree says where.
// Both are read as far as groups of a thousand or two need them: trees of two levels, objects within the heap's own blocks.

import { invalid, unsupported } from './bytes.js';

/**
 * @typedef {import('./bytes.js').Hdf5Bytes} Hdf5Bytes
 * @typedef {import('./bytes.js').Cursor} Cursor
 * @typedef {(id: Cursor) => Cursor} Heap gives the object of an id
 */

/** Bytes that a number up to `most` takes. @param {number} most */
const bytesFor = (most) => Math.ceil(Math.log2(most + 1) / 8);

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} heapAddress
 * @param {number | null} treeAddress of the index by names
 * @param {string} path of the group
 * @returns {Cursor[]} link messages
 */
export function readDenseLinks(file, heapAddress, treeAddress, path) {
    const heap = openHeap(file, heapAddress, `the heap of group ${path}`);
    return readIds(file, treeAddress, `the B-tree of group ${path}`).map(heap);
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {number} length with its checksum
 * @param {string} signature
 * @param {string} what
 * @returns {Cursor} behind the version
 */
function open(file, address, length, signature, what) {
    const block = file.claimChecked(address, length, what);
    block.expect(signature);
    block.version(0, 0, 'a structure', what);
    return block;
}

/** @param {Hdf5Bytes} file @param {number | null} address @param {string} what @returns {Cursor[]} the heap's ids of all links */
function readIds(file, address, what) {
    const head = open(file, address, 38, 'BTHD', what);
    const type = head.u8();
    const [size, record, depth] = [head.u32(), head.u16(), head.u16()];
    head.skip(2);
    const [root, rootCount] = [head.address(), head.u16()];
    if (type !== 5 || record < 5 || size < 10 + record) {
        invalid(`${what} is not of links`);
    }
    if (depth > 1) {
        unsupported(`a group whose B-tree has ${depth + 1} levels`, what);
    }
    /** @type {Cursor[]} */
    const ids = [];
    /** @param {Cursor} node @param {number} count */
    const take = (node, count) => {
        for (let i = 0; i < count; i++) {
            node.skip(4); // of the name
            ids.push(node.part(record - 4));
        }
    };
    /** @param {number | null} at @param {number} count */
    const leaf = (at, count) => {
        file.reachOnce(at, what);
        const node = open(file, at, 10 + count * record, 'BTLF', what);
        node.skip(1);
        take(node, count);
    };
    if (rootCount === 0) {
        return ids;
    }
    if (depth === 0) {
        leaf(root, rootCount);
        return ids;
    }
    const width = bytesFor(Math.floor((size - 10) / record));
    const node = open(file, root, 10 + rootCount * record + (rootCount + 1) * (8 + width), 'BTIN', what);
    node.skip(1);
    take(node, rootCount);
    for (let i = 0; i <= rootCount; i++) {
        leaf(node.address(), node.sized(width));
    }
    return ids;
}

/** @param {Hdf5Bytes} file @param {number | null} address @param {string} what @returns {Heap} */
function openHeap(file, address, what) {
    const head = open(file, address, 146, 'FRHP', what);
    head.skip(2);
    if (head.u16() !== 0) {
        unsupported('a heap that is packed', what);
    }
    const hasSums = (head.u8() & 2) !== 0;
    const largest = head.u32();
    head.skip(96);
    const [width, start, most, bits] = [head.u16(), head.u64(), head.u64(), head.u16()];
    head.skip(2);
    const [root, rows] = [head.address(), head.u16()];
    if (width === 0 || start === 0 || most < start || most >= 2 ** 32 || bits > 48) {
        invalid(`${what} has blocks of ${start} to ${most} bytes`);
    }
    const offsetBytes = Math.ceil(bits / 8);
    const lengthBytes = Math.min(Math.ceil(Math.log2(most) / 8), bytesFor(largest));
    const before = 13 + offsetBytes + (hasSums ? 4 : 0);
    /** Blocks of objects: where each begins in the heap, and in the file. @type {{ from: number, size: number, at: number | null }[]} */
    const blocks = [];
    if (rows === 0) {
        blocks.push({ from: 0, size: start, at: root });
    } else {
        const direct = Math.log2(most) - Math.log2(start) + 2;
        if (!(rows <= direct)) {
            unsupported('a heap of many levels', what);
        }
        const block = open(file, root, 17 + offsetBytes + rows * width * 8, 'FHIB', what);
        block.skip(8 + offsetBytes);
        for (let i = 0, from = 0; i < rows * width; i++) {
            const size = start * 2 ** Math.max(0, Math.floor(i / width) - 1);
            blocks.push({ from, size, at: block.address() });
            from += size;
        }
    }
    return (id) => {
        const kind = id.u8();
        if (kind !== 0 || id.left < offsetBytes + lengthBytes) {
            unsupported(`an object of the kind ${kind} in a heap`, what);
        }
        const [offset, length] = [id.sized(offsetBytes), id.sized(lengthBytes)];
        // The last block that begins before it: there may be as many blocks as objects.
        let [block, end] = [0, blocks.length];
        while (end - block > 1) {
            const middle = (block + end) >> 1;
            if (blocks[middle].from <= offset) block = middle;
            else end = middle;
        }
        const { from, size, at } = blocks[block];
        if (at === null || offset < from + before || offset + length > from + size) {
            return invalid(`${what} has no object at ${offset}`);
        }
        return file.claim(at + offset - from, length, what);
    };
}
