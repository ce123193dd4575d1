// What an HDF5 group contains. Old groups keep their links in a B-tree of symbol tables, with the names in a heap; new
// ones in messages, or where there are many of them in a heap of their own.

import { Cursor, invalid, text, unsupported, untilZero } from './bytes.js';
import { readDenseLinks } from './dense-links.js';
import { LINK, LINK_INFO, SYMBOL_TABLE } from './object-header.js';

/**
 * @typedef {import('./bytes.js').Hdf5Bytes} Hdf5Bytes
 * @typedef {import('./object-header.js').Message} Message
 * @typedef {{ name: string, address: number | null }} Link
 */

/** No path of Keras comes near. */
const MAX_NAME = 1024;

const SYMBOL_BYTES = 40;

/**
 * @param {Hdf5Bytes} file
 * @param {Message[]} messages of the object
 * @param {string} path
 * @returns {Link[] | null} null for what is no group
 */
export function readLinks(file, messages, path) {
    const table = messages.find(({ type }) => type === SYMBOL_TABLE);
    const isNew = messages.some(({ type }) => type === LINK_INFO || type === LINK);
    if (table === undefined && !isNew) {
        return null;
    }
    /** @type {Link[]} */
    const links = [];
    if (table) {
        const { body } = table;
        readSymbolTables(file, body.address(), body.address(), path, links);
    }
    for (const { type, body } of messages) {
        if (type === LINK_INFO) {
            links.push(...readLinkInfo(file, body, path));
        } else if (type === LINK) {
            links.push(readLink(file, body, path));
        }
    }
    const names = new Set();
    for (const { name } of links) {
        if (names.has(name)) {
            invalid(`group ${path} has two links of one name`);
        }
        names.add(name);
    }
    return links;
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} tree
 * @param {number | null} heapAddress
 * @param {string} path
 * @param {Link[]} links
 */
function readSymbolTables(file, tree, heapAddress, path, links) {
    const heap = readLocalHeap(file, heapAddress, path);
    const what = `the B-tree of group ${path}`;
    /** Nodes yet to be read; level -1 is a symbol table. @type {{ at: number | null, level: number | null }[]} */
    const nodes = [{ at: tree, level: null }];
    for (let node = nodes.pop(); node !== undefined; node = nodes.pop()) {
        file.reachOnce(node.at, what);
        if (node.level === -1) {
            readSymbolTable(file, node.at, heap, path, links);
            continue;
        }
        const { level, children } = readTreeNode(file, node.at, what);
        if (node.level !== null && level !== node.level) {
            invalid(`${what} has a node of level ${level} where ${node.level} is due`);
        }
        // Last in, first out: the last child goes in first, so that the names stay in their order.
        for (const at of children.reverse()) {
            nodes.push({ at, level: level - 1 });
        }
    }
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {string} what
 */
function readTreeNode(file, address, what) {
    const head = file.claim(address, 24, what);
    head.expect('TREE');
    if (head.u8() !== 0) {
        invalid(`${what} is not of a group`);
    }
    const level = head.u8();
    const count = head.u16();
    // A key stands before each child and after the last; siblings are found through the parents.
    const entries = file.claim(head.end, count * 16 + 8, what);
    const children = [];
    for (let i = 0; i < count; i++) {
        entries.skip(8);
        children.push(entries.address());
    }
    return { level, children };
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {string} path
 * @returns {{ begin: number, end: number }} where the names stand
 */
function readLocalHeap(file, address, path) {
    const what = `the heap of group ${path}`;
    const head = file.claim(address, 32, what);
    head.expect('HEAP');
    head.version(0, 0, 'a local heap', what);
    head.skip(3);
    const length = head.u64();
    head.skip(8);
    const data = file.claim(head.address(), length, what);
    return { begin: data.at, end: data.end };
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {{ begin: number, end: number }} heap
 * @param {string} path
 * @param {Link[]} links
 */
function readSymbolTable(file, address, heap, path, links) {
    const what = `a symbol table of group ${path}`;
    const head = file.claim(address, 8, what);
    head.expect('SNOD');
    head.skip(2);
    const count = head.u16();
    const symbols = file.claim(head.end, count * SYMBOL_BYTES, what);
    for (let i = 0; i < count; i++) {
        const offset = symbols.u64();
        const target = symbols.address();
        const kind = symbols.u32();
        symbols.skip(20);
        if (kind > 1) {
            unsupported('a symbolic link', `in group ${path}`);
        }
        if (offset >= heap.end - heap.begin) {
            invalid(`a name in group ${path} lies outside its heap`);
        }
        const at = heap.begin + offset;
        const name = untilZero(file.bytes.subarray(at, Math.min(at + MAX_NAME + 1, heap.end)));
        links.push({ name: checkName(file, name, path), address: target });
    }
}

/**
 * @param {Hdf5Bytes} file
 * @param {Uint8Array} bytes
 * @param {string} path
 */
function checkName(file, bytes, path) {
    if (bytes.length === 0 || bytes.length > MAX_NAME) {
        invalid(`a name in group ${path} is ${bytes.length === 0 ? 'empty' : `longer than ${MAX_NAME} bytes`}`);
    }
    file.spend(bytes.length, `the names of group ${path}`);
    return text(bytes, `a name in group ${path}`);
}

/** @param {Hdf5Bytes} file @param {Cursor} body @param {string} path @returns {Link[]} by name */
function readLinkInfo(file, body, path) {
    body.version(0, 0, 'a link info message', `group ${path}`);
    if (body.u8() & 1) {
        body.skip(8);
    }
    const heap = body.address();
    return heap === null ? [] : readDenseLinks(file, heap, body.address(), path).map((link) => readLink(file, link, path))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** @param {Hdf5Bytes} file @param {Cursor} body @param {string} path @returns {Link} */
function readLink(file, body, path) {
    body.version(1, 1, 'a link message', `group ${path}`);
    const flags = body.u8();
    const type = flags & 8 ? body.u8() : 0;
    // Creation order and character set: ASCII is UTF-8 too.
    body.skip((flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0));
    const name = checkName(file, body.bytes(body.sized(1 << (flags & 3))), path);
    if (type !== 0) {
        unsupported(type === 1 ? 'a soft link' : type === 64 ? 'an external link' : `a link of type ${type}`,
            `in group ${path}`);
    }
    return { name, address: body.address() };
}
