// Reads a pickle as torch.save() writes one. A pickle is a program that may call anything; here it calls nothing: what it names is given to
// the caller, who knows a few words and refuses the others. Sources: Python's pickle protocols 2 to 4 (PEP 307, PEP 3154; pickletools).
//
// Codes: `pickle-invalid`, `pickle-unsupported`.

import { FormatError, show } from '../check.js';

/** What a pickle names: a class or function of Python. */
export class PythonName {
    /** @param {string} text module and name: 'torch.FloatStorage' */
    constructor(text) {
        this.text = text;
    }
}

/**
 * @typedef {object} Words what a pickle may say beside numbers, texts, lists and dicts
 * @property {(name: string, args: unknown[]) => unknown} call what a name called with these is
 * @property {(id: unknown) => unknown} persistent what a persistent id stands for
 */

const MARK = Symbol('mark');
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A LONG1 of more bytes is no size. */
const MOST_LONG = 7;

/** @param {string} message @returns {never} */
function invalid(message) {
    throw new FormatError('pickle-invalid', `pickle: ${message}`);
}

/**
 * @param {Uint8Array} bytes a whole pickle
 * @param {Words} words
 * @returns {unknown} tuples and lists as arrays, dicts as Maps, None as null
 * @throws {FormatError}
 */
export function readPickle(bytes, words) {
    return new Machine(bytes, words).run();
}

class Machine {
    /** @param {Uint8Array} bytes @param {Words} words */
    constructor(bytes, words) {
        this._bytes = bytes;
        this._view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        this._at = 0;
        this._words = words;
        /** @type {unknown[]} */
        this._stack = [];
        /** @type {Map<number, unknown>} */
        this._memo = new Map();
    }

    run() {
        for (;;) {
            const code = this._number(1);
            if (code === 0x2e) {
                return this._pop();
            }
            const step = STEPS[code];
            if (step === undefined) {
                throw new FormatError('pickle-unsupported', `pickle: the opcode 0x${code.toString(16)} is not supported`);
            }
            step(this);
        }
    }

    /** @param {number} count @returns {number} where so many bytes begin, which are read now */
    _take(count) {
        const at = this._at;
        if (count > this._bytes.length - at) {
            invalid('it ends within a value');
        }
        this._at += count;
        return at;
    }

    /** @param {1 | 2 | 4} count of bytes @returns {number} without sign */
    _number(count) {
        const at = this._take(count);
        return count === 1 ? this._bytes[at] : count === 2 ? this._view.getUint16(at, true) : this._view.getUint32(at, true);
    }

    /** @returns {number} a signed integer of up to seven bytes */
    _long() {
        const count = this._number(1);
        if (count > MOST_LONG) {
            invalid(`an integer of ${count} bytes`);
        }
        const at = this._take(count);
        let value = 0;
        for (let i = count - 1; i >= 0; i--) {
            value = value * 256 + this._bytes[at + i];
        }
        return count > 0 && this._bytes[at + count - 1] >= 128 ? value - 256 ** count : value;
    }

    /** @param {number} count of bytes @returns {string} */
    _text(count) {
        const at = this._take(count);
        try {
            return UTF8.decode(this._bytes.slice(at, at + count));
        } catch (cause) {
            throw new FormatError('pickle-invalid', 'pickle: a text is not UTF-8', { cause });
        }
    }

    /** @returns {string} up to the end of the line */
    _line() {
        const end = this._bytes.indexOf(0x0a, this._at);
        const text = this._text(end < 0 ? Infinity : end - this._at);
        this._at++;
        return text;
    }

    /** @param {unknown} value */
    _push(value) {
        this._stack.push(value);
    }

    /** @returns {unknown} */
    _pop() {
        const value = this._stack.pop();
        return value === undefined || value === MARK ? invalid('a value is missing') : value;
    }

    /** @returns {unknown} the value below, which stays */
    _top() {
        const value = this._stack.at(-1);
        return value === undefined || value === MARK ? invalid('a value is missing') : value;
    }

    /** @returns {unknown[]} what stands above the last mark */
    _marked() {
        const at = this._stack.lastIndexOf(MARK);
        return at < 0 ? invalid('a mark is missing') : this._stack.splice(at).slice(1);
    }

    /** @param {number} count */
    _tuple(count) {
        this._push(Array.from({ length: count }, () => this._pop()).reverse());
    }

    /** @param {unknown[]} items that the list below gets */
    _append(items) {
        const list = this._top();
        if (!Array.isArray(list)) {
            invalid('what should be a list is none');
        }
        for (const item of items) {
            list.push(item);
        }
    }

    /** @param {unknown[]} items keys and values by turns, for the dict below */
    _set(items) {
        const dict = this._top();
        if (!(dict instanceof Map) || items.length % 2 !== 0) {
            invalid('what should be a dict is none');
        }
        for (let i = 0; i < items.length; i += 2) {
            dict.set(items[i], items[i + 1]);
        }
    }

    _call() {
        const args = this._pop();
        const name = this._pop();
        if (!(name instanceof PythonName) || !Array.isArray(args)) {
            invalid('what is called is no name');
        }
        this._push(this._words.call(name.text, args));
    }

    /** @param {number} key */
    _get(key) {
        this._push(this._memo.get(key) ?? invalid(`nothing is remembered as ${key}`));
    }
}

/** What each opcode does. @type {Record<number, (machine: Machine) => void>} */
const STEPS = {
    0x80: (m) => void m._number(1),                                         // PROTO
    0x95: (m) => void m._take(8),                                           // FRAME
    0x28: (m) => m._push(MARK),
    0x29: (m) => m._push([]),                                               // EMPTY_TUPLE
    0x5d: (m) => m._push([]),                                               // EMPTY_LIST
    0x7d: (m) => m._push(new Map()),                                        // EMPTY_DICT
    0x74: (m) => m._push(m._marked()),                                      // TUPLE
    0x85: (m) => m._tuple(1),
    0x86: (m) => m._tuple(2),
    0x87: (m) => m._tuple(3),
    0x61: (m) => m._append([m._pop()]),                                     // APPEND
    0x65: (m) => m._append(m._marked()),                                    // APPENDS
    0x73: (m) => m._set([m._pop(), m._pop()].reverse()),                    // SETITEM
    0x75: (m) => m._set(m._marked()),                                       // SETITEMS
    0x4e: (m) => m._push(null),                                             // NONE
    0x88: (m) => m._push(true),                                             // NEWTRUE
    0x89: (m) => m._push(false),                                            // NEWFALSE
    0x4b: (m) => m._push(m._number(1)),                                     // BININT1
    0x4d: (m) => m._push(m._number(2)),                                     // BININT2
    0x4a: (m) => m._push(m._number(4) | 0),                                 // BININT
    0x8a: (m) => m._push(m._long()),                                        // LONG1
    0x47: (m) => m._push(m._view.getFloat64(m._take(8))),                   // BINFLOAT
    0x58: (m) => m._push(m._text(m._number(4))),                            // BINUNICODE
    0x8c: (m) => m._push(m._text(m._number(1))),                            // SHORT_BINUNICODE
    0x71: (m) => void m._memo.set(m._number(1), m._top()),                  // BINPUT
    0x72: (m) => void m._memo.set(m._number(4), m._top()),                  // LONG_BINPUT
    0x94: (m) => void m._memo.set(m._memo.size, m._top()),                  // MEMOIZE
    0x68: (m) => m._get(m._number(1)),                                      // BINGET
    0x6a: (m) => m._get(m._number(4)),                                      // LONG_BINGET
    0x63: (m) => m._push(new PythonName(`${m._line()}.${m._line()}`)),      // GLOBAL
    0x93: (m) => m._push(new PythonName([m._pop(), m._pop()].reverse().map((part) =>    // STACK_GLOBAL
        (typeof part === 'string' ? part : invalid(`a name must be text, got ${show(part)}`))).join('.'))),
    0x51: (m) => m._push(m._words.persistent(m._pop())),                    // BINPERSID
    0x52: (m) => m._call(),                                                 // REDUCE
    // BUILD: of a state dict these are the versions of its modules, which change no number.
    0x62: (m) => void m._pop(),
};
