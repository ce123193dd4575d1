// Types and shapes of HDF5 values, as far as weights have them; any other is refused by name.

import { invalid, text, unsupported, untilZero } from './bytes.js';
import { FILL_VALUE, OLD_FILL_VALUE } from './object-header.js';

/**
 * @typedef {import('./bytes.js').Cursor} Cursor
 *
 * @typedef {object} Datatype
 * @property {'number' | 'opaque' | 'string' | 'variable string'} kind
 * @property {string} type of a number: 'F32', 'F16', 'BF16', 'F64', 'I8' ... 'I64', 'U8' ... 'U64', 'BOOL'; else ''
 * @property {number} size bytes of a value
 * @property {boolean} isBig whether its first byte is the highest
 */

const CLASSES = ['integer', 'float', 'time', 'string', 'bit field', 'opaque', 'compound', 'reference', 'enumeration',
    'variable-length', 'array', 'complex'];

/** Floats by size, then: bit of the sign, place and size of exponent and mantissa, bias. */
const FLOATS = new Map([
    ['2: 15 10 5 0 10 15', 'F16'], ['2: 15 7 8 0 7 127', 'BF16'],
    ['4: 31 23 8 0 23 127', 'F32'], ['8: 63 52 11 0 52 1023', 'F64'],
]);

/** A Python bool, as h5py writes it. */
const BOOL_NAMES = 'FALSE=0 TRUE=1';

/**
 * @param {Cursor} body
 * @returns {Datatype}
 */
export function readDatatype(body) {
    const head = body.u8();
    const bits = body.u8() | body.u8() << 8 | body.u8() << 16;
    const size = body.u32();
    const version = head >> 4;
    const name = CLASSES[head & 15] ?? `class ${head & 15}`;
    if (version < 1 || version > 5) {
        unsupported(`version ${version} of a datatype`, body.what);
    }
    if (size === 0) {
        invalid(`${body.what} has values of 0 bytes`);
    }
    switch (name) {
        case 'integer': return readInteger(body, bits, size);
        case 'float': return readFloat(body, bits, size);
        case 'string': return { kind: 'string', type: '', size, isBig: false };
        case 'opaque': return { kind: 'opaque', type: '', size, isBig: false };
        case 'enumeration': return readEnumeration(body, bits, size, version);
        case 'variable-length':
            if ((bits & 15) === 1 && size === 16) {
                return { kind: 'variable string', type: '', size, isBig: false };
            }
    }
    return unsupported(`the ${name} type`, body.what);
}

/** @param {Cursor} body @param {number} bits @param {number} size @returns {Datatype} */
function readInteger(body, bits, size) {
    const offset = body.u16();
    const precision = body.u16();
    if (offset !== 0 || precision !== size * 8 || ![1, 2, 4, 8].includes(size)) {
        unsupported(`an integer of ${precision} bits in ${size} bytes`, body.what);
    }
    return { kind: 'number', type: `${bits & 8 ? 'I' : 'U'}${precision}`, size, isBig: (bits & 1) !== 0 };
}

/** @param {Cursor} body @param {number} bits @param {number} size @returns {Datatype} */
function readFloat(body, bits, size) {
    const offset = body.u16();
    const precision = body.u16();
    const [exponentAt, exponent, mantissaAt, mantissa] = [body.u8(), body.u8(), body.u8(), body.u8()];
    const layout = `${size}: ${bits >> 8 & 255} ${exponentAt} ${exponent} ${mantissaAt} ${mantissa} ${body.u32()}`;
    const type = FLOATS.get(layout);
    // 0x20: the first bit of the mantissa is implied, as IEEE has it.
    // 0x40: the order of bytes of a VAX.
    if (type === undefined || offset !== 0 || precision !== size * 8 || (bits & 0x70) !== 0x20) {
        return unsupported('a float that is none of float16, bfloat16, float32, float64', body.what);
    }
    return { kind: 'number', type, size, isBig: (bits & 1) !== 0 };
}

/**
 * @param {Cursor} body
 * @param {number} bits
 * @param {number} size
 * @param {number} version
 * @returns {Datatype}
 */
function readEnumeration(body, bits, size, version) {
    const count = bits & 0xffff;
    const base = (body.u8() & 15) === 0 && count === 2 && size === 1;
    if (!base) {
        unsupported('an enumeration that is not a bool', body.what);
    }
    body.skip(11);
    const names = [];
    for (let i = 0; i < count; i++) {
        const rest = body.part(0);
        rest.end = body.end;
        const name = untilZero(rest.bytes(rest.left));
        // Older versions pad a name, with its zero, to eight bytes.
        body.skip(version < 3 ? Math.ceil((name.length + 1) / 8) * 8 : name.length + 1);
        names.push(text(name, `a name of ${body.what}`));
    }
    if (names.map((name) => `${name}=${body.u8()}`).join(' ') !== BOOL_NAMES) {
        unsupported('an enumeration that is not a bool', body.what);
    }
    return { kind: 'number', type: 'BOOL', size, isBig: false };
}

/**
 * @param {Cursor} body
 * @returns {number[]} [] for one value
 */
export function readDataspace(body) {
    const version = body.version(1, 2, 'a dataspace', body.what);
    const rank = body.u8();
    body.u8();
    if (version === 1) {
        body.skip(5);
    } else if (body.u8() === 2) {
        unsupported('an empty dataspace', body.what);
    }
    if (rank > 32) {
        invalid(`${body.what} has ${rank} dimensions`);
    }
    return Array.from({ length: rank }, () => body.u64());
}

/**
 * @param {Cursor} space behind the shape
 * @param {number[]} shape
 * @returns {number[]} what the shape may grow to
 */
export function readMost(space, shape) {
    return space.left < 8 * shape.length ? shape : shape.map(() => space.address() ?? Infinity);
}

/**
 * @param {Map<number, Cursor>} messages by type
 * @param {number} size of a value
 * @param {string} path
 * @returns {Uint8Array} the value that is not written
 */
export function readFill(messages, size, path) {
    const [fill, old] = [messages.get(FILL_VALUE), messages.get(OLD_FILL_VALUE)];
    const zero = new Uint8Array(size);
    if (fill) {
        const version = fill.version(1, 3, 'a fill value', path);
        const isGiven = version === 3 ? fill.u8() & 0x20 : fill.bytes(3)[2];
        if (version > 1 && !isGiven) {
            return zero;
        }
    }
    const body = fill ?? old;
    const length = body ? body.u32() : 0;
    if (length !== 0 && length !== size) {
        invalid(`${path} has a fill value of ${length} bytes, others have ${size}`);
    }
    return body && length > 0 ? body.bytes(length) : zero;
}

/**
 * @param {Uint8Array} bytes of values
 * @param {{ size: number, isBig: boolean }} type
 * @returns {Uint8Array} their lowest bytes first
 */
export function inOrder(bytes, { size, isBig }) {
    return isBig ? bytes.map((_, i) => bytes[i - i % size + size - 1 - i % size]) : bytes;
}

/**
 * @param {number[]} shape
 * @param {number} most more are refused
 * @param {string} what
 * @returns {number} values
 */
export function countOf(shape, most, what) {
    let count = 1;
    for (const n of shape) {
        // Checked at each step, so that no product leaves the 53 bits, and an empty tensor has no absurd sides.
        if (n > most || (count *= n) > most) {
            invalid(`the shape [${shape.slice(0, 8)}] of ${what} is larger than the file`);
        }
    }
    return count;
}
