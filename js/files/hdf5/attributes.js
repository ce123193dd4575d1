// The attributes of HDF5 objects: strings and numbers. A string of no fixed length lies in a heap that all share. Attributes of
// other types are left out, and so are those of an object of the new form that has more than a few, which lie in a heap of its own.

import { FormatError } from '../../check.js';
import { Cursor, invalid, text, unsupported, untilZero } from './bytes.js';
import { countOf, inOrder, readDataspace, readDatatype } from './datatype.js';
import { ATTRIBUTE } from './object-header.js';
import { toNumbers } from './values.js';

/**
 * @typedef {import('./bytes.js').Hdf5Bytes} Hdf5Bytes
 * @typedef {string | number | bigint} AttributeValue
 * @typedef {Map<string, AttributeValue | AttributeValue[]>} Attributes a list where the attribute has a shape
 */

/** Of a heap: number of the object -> its bytes. @typedef {Map<number, Uint8Array>} GlobalHeap */

export class AttributeReader {
    /** @param {Hdf5Bytes} file */
    constructor(file) {
        this._file = file;
        /** By address. @type {Map<number, GlobalHeap>} */
        this._heaps = new Map();
    }

    /**
     * @param {import('./object-header.js').Message[]} messages of an object
     * @param {string} path
     * @returns {Attributes}
     */
    read(messages, path) {
        /** @type {Attributes} */
        const attributes = new Map();
        for (const { type, body } of messages) {
            if (type === ATTRIBUTE) {
                this._readOne(body, path, attributes);
            }
        }
        return attributes;
    }

    /** @param {Cursor} body @param {string} path @param {Attributes} attributes */
    _readOne(body, path, attributes) {
        const version = body.version(1, 3, 'an attribute', `of ${path}`);
        if (body.u8() !== 0 && version > 1) {
            unsupported('an attribute of a shared type', `of ${path}`);
        }
        const lengths = [body.u16(), body.u16(), body.u16()];
        if (version === 3) {
            body.skip(1);
        }
        const [name, type, space] = lengths.map((length) => {
            const part = body.part(length, `an attribute of ${path}`);
            // The first version pads each part to eight bytes.
            body.skip(version === 1 ? -length & 7 : 0);
            return part;
        });
        const key = text(untilZero(name.bytes(name.left)), `the name of an attribute of ${path}`);
        if (attributes.has(key)) {
            invalid(`${path} has two attributes of one name`);
        }
        try {
            attributes.set(key, this._values(readDatatype(type), readDataspace(space), body, `an attribute of ${path}`));
        } catch (error) {
            // Of another type, so no name of a layer or type: whose it is reads as if it had none.
            if (!(error instanceof FormatError && error.code === 'hdf5-unsupported')) {
                throw error;
            }
        }
    }

    /**
     * @param {import('./datatype.js').Datatype} datatype
     * @param {number[]} shape
     * @param {Cursor} body
     * @param {string} what
     * @returns {AttributeValue | AttributeValue[]}
     */
    _values(datatype, shape, body, what) {
        const { kind, type, size } = datatype;
        const count = countOf(shape, Math.floor(body.left / size), what);
        if (count * size > body.left) {
            invalid(`${what} has less bytes than its shape says`);
        }
        /** @type {AttributeValue[]} */
        const values = [];
        for (let i = 0; i < count; i++) {
            const value = body.part(size, what);
            if (kind === 'number') {
                values.push(toNumbers(type, inOrder(value.bytes(size), datatype), 1)[0]);
            } else if (kind === 'variable string') {
                values.push(this._string(value, what));
            } else if (kind === 'string') {
                values.push(text(untilZero(value.bytes(size)), what));
            } else {
                unsupported('an opaque attribute', what);
            }
        }
        return shape.length === 0 ? values[0] : values;
    }

    /** @param {Cursor} reference @param {string} what @returns {string} */
    _string(reference, what) {
        const length = reference.u32();
        const address = reference.address();
        const index = reference.u32();
        if (length === 0) {
            return '';
        }
        const bytes = this._heap(address, what).get(index);
        if (bytes === undefined || bytes.length < length) {
            return invalid(`the string of ${what} is not in its heap`);
        }
        this._file.spend(length, what);
        return text(untilZero(bytes.subarray(0, length)), what);
    }

    /** @param {number | null} address @param {string} what @returns {GlobalHeap} */
    _heap(address, what) {
        const known = address === null ? undefined : this._heaps.get(address);
        if (known) {
            return known;
        }
        const head = this._file.claim(address, 16, `the global heap of ${what}`);
        head.expect('GCOL');
        head.version(1, 1, 'a global heap', what);
        head.skip(3);
        const body = this._file.claim(head.end, Math.max(0, head.u64() - 16), head.what);
        /** @type {GlobalHeap} */
        const objects = new Map();
        while (body.left >= 16) {
            const index = body.u16();
            body.skip(6);
            const length = body.u64();
            // The object 0 is the free space behind the others.
            if (index === 0) {
                break;
            }
            if (objects.has(index)) {
                invalid(`${body.what} has two objects ${index}`);
            }
            objects.set(index, body.bytes(length));
            body.skip(Math.min(-length & 7, body.left));
        }
        this._heaps.set(/** @type {number} */ (address), objects);
        return objects;
    }
}
