// What an HDF5 object (a group or a dataset) says about itself: a list of messages, in one of two forms, which may go
// on elsewhere in the file.

import { invalid, unsupported } from './bytes.js';

/**
 * @typedef {import('./bytes.js').Hdf5Bytes} Hdf5Bytes
 * @typedef {import('./bytes.js').Cursor} Cursor
 * @typedef {{ type: number, body: Cursor }} Message
 */

export const DATASPACE = 0x01;
export const LINK_INFO = 0x02;
export const DATATYPE = 0x03;
export const OLD_FILL_VALUE = 0x04;
export const FILL_VALUE = 0x05;
export const LINK = 0x06;
export const EXTERNAL_FILES = 0x07;
export const LAYOUT = 0x08;
export const FILTERS = 0x0b;
export const ATTRIBUTE = 0x0c;
export const SYMBOL_TABLE = 0x11;
export const ATTRIBUTE_INFO = 0x15;
const CONTINUATION = 0x10;

/** Say nothing about names, shapes or values of what is there: nil, group info, comment, times, table of shared messages, B-tree
 *  sizes, reference count, file space. */
const HARMLESS = new Set([0x00, 0x0a, 0x0d, 0x0e, 0x0f, 0x12, 0x13, 0x16, 0x17]);

const READ = new Set([
    DATASPACE, LINK_INFO, DATATYPE, OLD_FILL_VALUE, FILL_VALUE, LINK, EXTERNAL_FILES, LAYOUT, FILTERS, ATTRIBUTE, SYMBOL_TABLE, ATTRIBUTE_INFO,
]);

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {string} path of the object, for messages
 * @returns {Message[]} those that are not harmless
 */
export function readObjectHeader(file, address, path) {
    const what = `the object header of ${path}`;
    const first = file.claim(address, 1, what).u8();
    /** @type {Message[]} */
    const messages = [];
    /** Where the header goes on. @type {{ at: number | null, length: number }[]} */
    const continuations = [];
    /** @param {number} type @param {number} flags @param {Cursor} body */
    const take = (type, flags, body) => {
        if (type === CONTINUATION) {
            continuations.push({ at: body.address(), length: body.u64() });
        } else if (!HARMLESS.has(type)) {
            if (!READ.has(type)) {
                unsupported(`the message type ${type}`, what);
            }
            if (flags & 2) {
                unsupported('a message shared between objects, such as a named type', what);
            }
            messages.push({ type, body });
        }
    };
    const more = first === 1 ? readFirst(file, address, what, take) : readSecond(file, address, what, take);
    // A part may name further parts: the list grows while it is walked.
    for (const next of continuations) {
        file.reachOnce(next.at, `a part of ${what}`);
        more(file.claim(next.at, next.length, what));
    }
    return messages;
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {string} what
 * @param {(type: number, flags: number, body: Cursor) => void} take
 * @returns {(block: Cursor) => void} reads a part that lies elsewhere
 */
function readFirst(file, address, what, take) {
    const prefix = file.claim(address, 16, what);
    prefix.skip(8);
    const length = prefix.u32();
    /** @param {Cursor} block */
    const read = (block) => {
        while (block.left >= 8) {
            const type = block.u16();
            const size = block.u16();
            const flags = block.u8();
            block.skip(3);
            take(type, flags, block.part(size));
        }
    };
    read(file.claim(prefix.end, length, what));
    return read;
}

/**
 * @param {Hdf5Bytes} file
 * @param {number | null} address
 * @param {string} what
 * @param {(type: number, flags: number, body: Cursor) => void} take
 * @returns {(block: Cursor) => void}
 */
function readSecond(file, address, what, take) {
    const prefix = file.claim(address, 6, what);
    prefix.expect('OHDR');
    prefix.version(2, 2, 'an object header', what);
    const flags = prefix.u8();
    // Times and the limits for attributes may stand before the length of the first part.
    const before = (flags & 32 ? 16 : 0) + (flags & 16 ? 4 : 0);
    const width = 1 << (flags & 3);
    const rest = file.claim(prefix.end, before + width, what);
    rest.skip(before);
    const length = rest.sized(width);
    /** @param {Cursor} block up to its checksum */
    const read = (block) => {
        const head = flags & 4 ? 6 : 4;
        while (block.left >= head) {
            const type = block.u8();
            const size = block.u16();
            const messageFlags = block.u8();
            block.skip(head - 4);
            take(type, messageFlags, block.part(size));
        }
    };
    const start = /** @type {number} */ (address);
    const whole = file.claimChecked(start, rest.end - start + length + 4, what);
    whole.skip(rest.end - start);
    read(whole.part(length));
    return (block) => {
        if (block.left < 8) {
            invalid(`a part of ${what} is too short`);
        }
        file.checkSum(block.at, block.end, `a part of ${what}`);
        block.expect('OCHK');
        read(block.part(block.left - 4));
    };
}
