// Ways in which a tensor-like may come that is not plain data, or no tensor-like at all: objects that answer once and lie
// afterwards, that throw, arrays on buffers that shrink or go away, Tensors that are disposed of.

import { createContext, runInContext } from 'node:vm';
import { Tensor } from '../../js/index.js';

/** @typedef {{ shape: number[], data: any }} Plain */
/** @typedef {ReturnType<typeof import('../property/cases.js').draw>} Draw */
/**
 * What a call runs in.
 * @typedef {object} World
 * @property {Draw} draw
 * @property {import('../../js/engine/runtime.js').Runtime} runtime
 * @property {import('../../js/engine/runtime.js').Runtime} other
 * @property {(() => void)[]} pranks what may be done while the call reads its arguments
 * @property {Tensor[]} made to be disposed of after the call
 */

/** What getters throw. */
export const SENTINEL = new Error('a getter of the caller');
/** @returns {never} */
export const refuse = () => { throw SENTINEL; };

/** @param {object} object @param {Record<string, unknown>} lies what it answers after the first time */
function lying(object, lies) {
    const asked = new Set();
    return new Proxy(object, {
        get(target, name, receiver) {
            if (asked.has(name) && Object.hasOwn(lies, name)) return lies[/** @type {string} */ (name)];
            asked.add(name);
            return Reflect.get(target, name, receiver);
        },
    });
}

/** A typed array that says other things of itself than are so. @param {any} data */
function liar(data) {
    const Kind = data.constructor;
    class Liar extends Kind {
        get length() { return 1e9; }
        get byteLength() { return 1; }
        get byteOffset() { return 4; }
        get buffer() { return new ArrayBuffer(8); }
        get BYTES_PER_ELEMENT() { return 3; }
        get [Symbol.toStringTag]() { return 'Int32Array'; }
        static get [Symbol.species]() { return Array; }
        subarray() { return new Kind(1); }
        slice() { return new Kind(1); }
        set() {}
    }
    return Reflect.construct(Liar, [data]);
}

/** @param {any} data @param {ArrayBufferLike} buffer @param {number} offset in elements @param {number} [length] */
function on(data, buffer, offset, length) {
    const Kind = data.constructor;
    const array = new Kind(buffer, offset * Kind.BYTES_PER_ELEMENT, length);
    array.set(data);
    return array;
}

/** What another realm (a frame, a test runner's sandbox) makes of the same source. */
const realm = createContext({});
/** @type {(source: string) => any} */
const elsewhere = (source) => runInContext(source, realm);
const elsewhereArray = elsewhere('(list) => Array.from(list)');
const elsewhereKinds = elsewhere('({ Float32Array, Uint8Array, Float64Array })');

/** An array that answers to its indices and length alone. @param {number[]} list */
function bareList(list) {
    class Bare extends Array {
        static get [Symbol.species]() { return refuse(); }
        [Symbol.iterator]() { return refuse(); }
        map() { return refuse(); }
        concat() { return refuse(); }
        slice() { return refuse(); }
        get [Symbol.toStringTag]() { return refuse(); }
        valueOf() { return refuse(); }
        toString() { return refuse(); }
    }
    return Object.assign(new Bare(), list, { constructor: null });
}

/** What engines of today have and this language level does not know. @type {any} */
const Buffers = { resizable: ArrayBuffer, growable: SharedArrayBuffer };
const CAN_RESIZE = 'resize' in ArrayBuffer.prototype;

/**
 * Each gives what is passed for the plain tensor-like. Its numbers, and later changes of them, are in `plain.data`.
 * @type {Record<string, (plain: Plain, world: World) => unknown>}
 */
export const DISGUISES = {
    plain: (plain) => plain,
    lying: (plain) => lying(plain, { shape: [1e9], data: new Float32Array(1) }),
    lyingShape: ({ shape, data }) => ({ data, shape: lying([...shape], { length: 7, 0: 1e9, 1: -1, 2: 0.5 }) }),
    endlessShape: ({ data }) => ({ data, shape: new Proxy([], { get: (target, name) => (name === 'length' ? 1e15 : 1) }) }),
    liar(plain) {
        plain.data = liar(plain.data);
        return plain;
    },
    ownLength(plain) {
        Object.defineProperty(plain.data, 'length', { value: 1e9 });
        return plain;
    },
    realm(plain) {
        const { shape, data } = plain;
        plain.data = new elsewhereKinds[data instanceof Uint8Array ? 'Uint8Array' : 'Float32Array'](data);
        return { shape: elsewhereArray(shape), data: plain.data };
    },
    wide(plain, { draw }) {
        if (plain.data instanceof Uint8Array) return plain;
        plain.data = new (draw.chance(0.5) ? Float64Array : elsewhereKinds.Float64Array)(plain.data);
        return plain;
    },
    bareShape: ({ shape, data }) => ({ shape: bareList(shape), data }),
    speciesBuffer(plain) {
        const { byteLength, length } = plain.data;
        class Odd extends ArrayBuffer {
            static get [Symbol.species]() { return refuse(); }
            slice() { return refuse(); }
            get byteLength() { return 0; }
        }
        const buffer = new Odd(byteLength + 16);
        Object.defineProperty(buffer, 'constructor', { get: refuse });
        plain.data = on(plain.data, buffer, 1, length);
        return plain;
    },
    holes({ shape, data }) {
        const copy = new Array(shape.length);
        shape.slice(1).forEach((size, i) => { copy[i + 1] = size; });
        return { shape: copy, data };
    },
    inherited: (plain) => Object.create(plain),
    shared(plain) {
        const { byteLength, length } = plain.data;
        plain.data = on(plain.data, new SharedArrayBuffer(byteLength + 64), 2, length);
        return plain;
    },
    shrinks(plain, { pranks }) {
        if (!CAN_RESIZE) return plain;
        const { byteLength } = plain.data;
        const buffer = new Buffers.resizable(byteLength + 8, { maxByteLength: byteLength + 64 });
        plain.data = on(plain.data, buffer, 0, plain.data.length);
        pranks.push(() => buffer.resize(Math.floor(byteLength / 2)));
        return plain;
    },
    grows(plain, { pranks, draw }) {
        if (!CAN_RESIZE) return plain;
        const { byteLength } = plain.data;
        const size = byteLength;
        const shared = draw.chance(0.5);
        const buffer = new (shared ? Buffers.growable : Buffers.resizable)(size, { maxByteLength: size + 64 });
        plain.data = on(plain.data, buffer, 0, draw.chance(0.5) ? plain.data.length : undefined);
        pranks.push(() => (shared ? buffer.grow(size + 64) : buffer.resize(size + 64)));
        return plain;
    },
    detached(plain, { pranks, draw }) {
        const detach = () => void structuredClone(plain.data.buffer, { transfer: [plain.data.buffer] });
        if (draw.chance(0.5)) pranks.push(detach);
        else detach();
        return plain;
    },
    changes(plain, { pranks }) {
        pranks.push(() => plain.data.fill(1));
        return plain;
    },
    tensor(plain, { runtime, made }) {
        const tensor = new Tensor(runtime, plain);
        made.push(tensor);
        plain.data = tensor.data;
        return tensor;
    },
    disposed(plain, { runtime, made, pranks, draw }) {
        const tensor = new Tensor(runtime, plain);
        made.push(tensor);
        if (draw.chance(0.5)) tensor.dispose();
        else pranks.push(() => tensor.dispose());
        return tensor;
    },
    foreign(plain, { other, made }) {
        const tensor = new Tensor(other, plain);
        made.push(tensor);
        plain.data = tensor.data;
        return tensor;
    },
    wrapped(plain, { runtime, made }) {
        const tensor = new Tensor(runtime, plain);
        made.push(tensor);
        return new Proxy(tensor, {});
    },
    posing: (plain) => Object.setPrototypeOf({ ...plain }, Tensor.prototype),
    throwing: ({ shape, data }, { draw }) => draw.pick([
        { data, get shape() { return refuse(); } }, { shape, get data() { return refuse(); } },
        { data, shape: new Proxy(shape, { get: refuse }) }, new Proxy({}, { get: refuse }), new Proxy({}, { getPrototypeOf: refuse }),
    ]),
    revoked({ shape, data }, { draw }) {
        const { proxy, revoke } = Proxy.revocable(/** @type {any} */ (draw.pick([{}, [], data])), {});
        revoke();
        return draw.pick([proxy, { shape: proxy, data }, { shape, data: proxy }]);
    },
    noTensor: (_, { draw }) => draw.pick(/** @type {unknown[]} */ ([
        null, undefined, 0, NaN, '', 'x', true, 5n, Symbol('s'), () => {}, {}, [], [1, 2], new Float32Array(4), new Map(), new Date(NaN),
        Object.create(null), globalThis, new ArrayBuffer(8), new Error('x'),
    ])),
    badShape({ shape, data }, { draw }) {
        const bad = draw.pick(/** @type {any[]} */ ([
            -1, 0.5, NaN, Infinity, 2 ** 53, '3', null, undefined, 2n, {}, [3], { valueOf: () => 3 }, true, 0, 2 ** 31, -0,
            new Number(3), Object(3n), Symbol('3'), { [Symbol.toPrimitive]: () => 3 }, Number.MIN_VALUE, 2 ** 32 + 1, -(2 ** 31),
        ]));
        const copy = /** @type {any[]} */ ([...shape]);
        if (draw.chance(0.5)) copy[draw.integer(0, copy.length - 1)] = bad;
        else copy.push(bad);
        const shapes = [copy, copy, shape.slice(1), [], new Array(3), Int32Array.from(shape), shape.join(), { ...shape }];
        return { data, shape: draw.pick(/** @type {unknown[]} */ (shapes)) };
    },
    badData({ shape, data }, { draw }) {
        const n = data.length;
        return { shape, data: draw.pick(/** @type {unknown[]} */ ([
            Array.from(data), new Uint8ClampedArray(n), new Int8Array(n), new Uint32Array(n), new BigInt64Array(n),
            new DataView(new ArrayBuffer(4 * n)), new Float32Array(n + 1), new Float32Array(Math.max(0, n - 1)), data.buffer,
            String(data), { length: n }, null, new Proxy(data, {}),
            Object.create(data), Object.create(Float32Array.prototype),
        ])) };
    },
};
