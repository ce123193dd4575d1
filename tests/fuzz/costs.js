// What damaged files cost. Memory is the same on every machine and is tested: bytes of all buffers and sized arrays that
// JavaScript made for one file, given back or not, so that no collection of garbage is in them, and those of the runtime's
// memory at most. What the platform makes by itself (a Blob's pieces, decoded texts) is not counted: it is in proportion to bytes
// that came. Time is told, with what shows it, and never tested.
//
// Import this first: what keeps a constructor for later should find the one that counts.

import assert from 'node:assert/strict';

/** @typedef {import('../../js/engine/runtime.js').Runtime} Runtime */

let made = 0;

/** @param {any} Kind a constructor, which counts from now on @param {(thing: any) => number} bytesOf what it made */
function count(Kind, bytesOf) {
    /** @type {any} */
    const counting = new Proxy(Kind, {
        construct(target, args, newTarget) {
            const thing = Reflect.construct(target, args, newTarget === counting ? target : newTarget);
            // A view of somebody's buffer takes nothing.
            if (!(args[0] instanceof ArrayBuffer || args[0] instanceof SharedArrayBuffer)) made += bytesOf(thing);
            return thing;
        },
    });
    Object.defineProperty(globalThis, Kind.name, { value: counting });
    // What slice() and map() make, too.
    Object.defineProperty(Kind.prototype, 'constructor', { value: counting });
}

const BUFFERS = [ArrayBuffer, SharedArrayBuffer];
const ARRAYS = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array, Float64Array,
    BigInt64Array, BigUint64Array,
];
for (const Kind of [...BUFFERS, ...ARRAYS]) count(Kind, ({ byteLength }) => byteLength);
count(Array, ({ length }) => 8 * length);

/** What all files of a run cost. */
export class Costs {
    /**
     * @param {number} seed
     * @param {{ base: number, runtime?: Runtime }} options base: bytes that a file may take whatever its size
     */
    constructor(seed, { base, runtime }) {
        this._seed = seed;
        this._base = base;
        this._memory = runtime?.memory;
        this._slowest = { ms: 0, what: '' };
        this._largest = { bytes: 0, size: 0, what: '' };
        this._start = 0;
        this._used = 0;
    }

    /** Before a file is looked at. */
    begin() {
        made = 0;
        if (this._memory) {
            this._used = this._memory.used;
            this._memory.peak = this._used;
        }
        this._start = performance.now();
    }

    /** Afterwards. @param {number} size of the file @param {string} what it was */
    end(size, what) {
        const ms = performance.now() - this._start;
        const bytes = made + (this._memory ? this._memory.peak - this._used : 0);
        if (ms > this._slowest.ms) this._slowest = { ms, what };
        if (bytes > this._largest.bytes) this._largest = { bytes, size, what };
        assert.ok(bytes <= 2 * size + this._base, `${what}, seed ${this._seed}: ${bytes} bytes for a file of ${size}`);
    }

    /** @param {number} rounds @param {Iterable<[string, number]>} seen outcomes, and how often */
    tell(rounds, seen) {
        const outcomes = Object.fromEntries([...seen].sort((a, b) => b[1] - a[1]));
        const { ms, what } = this._slowest;
        const { bytes, size, what: largest } = this._largest;
        console.log(`${rounds} rounds, seed ${this._seed}: slowest ${ms.toFixed(1)} ms (${what}), most memory ${bytes} bytes for a file of `
            + `${size} (${largest}), ${JSON.stringify(outcomes)}`);
    }
}
