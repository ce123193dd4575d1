// What the machine allows in WebAssembly: multiply-adds per second of each SIMD variant, and bytes read per second at a
// given working set. The two loops are assembled here byte by byte, not compiled: no compiler can hoist, fuse or drop
// anything in them, they need no toolchain, and a browser runs the same bytes as Node.

/** @typedef {'simd128' | 'relaxed'} Variant */
/** @typedef {{ simd: Variant, threads: number }} CeilingOptions */

const PAGE = 65536;
/** As many as fit the registers beside three factors and, where the two are apart, a product. */
const SUMS = { simd128: 10, relaxed: 12 };
const LOADS = 16; // of 16 bytes, per turn of a read loop
const STREAMS = 4;
const TURNS = 4096; // of the multiply-add loop, per call
const PASS_MS = 2;

const I32 = 0x7f;
const F32 = 0x7d;
const V128 = 0x7b;

/** @param {number} value @returns {number[]} unsigned LEB128 */
export function leb(value) {
    const bytes = [];
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
    return [...bytes, value];
}

const vector = (/** @type {number[][]} */ items) => [...leb(items.length), ...items.flat()];
const section = (/** @type {number} */ id, /** @type {number[]} */ body) => [id, ...leb(body.length), ...body];
const text = (/** @type {string} */ name) => vector([...name].map((letter) => [letter.charCodeAt(0)]));
const get = (/** @type {number} */ local) => [0x20, ...leb(local)];
const set = (/** @type {number} */ local) => [0x21, ...leb(local)];
const i32 = (/** @type {number} */ value) => [0x41, ...signed(value)];
const simd = (/** @type {number} */ opcode) => [0xfd, ...leb(opcode)];

/** @param {number} value @returns {number[]} signed LEB128 */
function signed(value) {
    const bytes = [];
    for (;;) {
        const byte = value & 127;
        value >>= 7;
        if ((value === 0 && !(byte & 64)) || (value === -1 && byte & 64)) return [...bytes, byte];
        bytes.push(byte | 128);
    }
}

const SIMD = {
    load: 0x00, splatF32: 0x13, extractI32: 0x1b, extractF32: 0x1f, xor: 0x51, addF32: 0xe4, mulF32: 0xe6, madd: 0x105,
};

/**
 * flops(n): n turns of independent multiply-adds as a GEMM has them, sum += a * b, two factors a in registers, the b
 * loaded; returns what all sums add up to, so that none is dead. Strict: a multiply and an add; relaxed: one (fused,
 * where the processor can) relaxed_madd. A sum waits for nothing but its own last addition, and there are enough of
 * them to keep every arithmetic unit at work; loads have units of their own.
 * @param {Variant} variant @returns {number[]}
 */
function flopsBody(variant) {
    const [turns, a0, a1, b] = [0, 1, 2, 3];
    const sums = Array.from({ length: SUMS[variant] }, (_, i) => 4 + i);
    const splat = (/** @type {number} */ value) =>
        [0x43, ...new Uint8Array(new Float32Array([value]).buffer), ...simd(SIMD.splatF32)];
    const step = (/** @type {number} */ sum, /** @type {number} */ a) => (variant === 'relaxed'
        ? [...get(a), ...get(b), ...get(sum), ...simd(SIMD.madd), ...set(sum)]
        : [...get(a), ...get(b), ...simd(SIMD.mulF32), ...get(sum), ...simd(SIMD.addF32), ...set(sum)]);
    // Another address every turn, below 4 kB, so that no load can be taken out of the loop.
    const load = (/** @type {number} */ i) =>
        [...get(turns), ...i32(15), 0x71, ...i32(4), 0x74, ...simd(SIMD.load), 4, ...leb(256 * i), ...set(b)];
    return [
        ...vector([[...leb(3 + sums.length), V128]]),
        ...splat(0.75), ...set(a0), ...splat(0.3), ...set(a1),
        0x03, 0x40, // loop
        ...Array.from({ length: sums.length / 2 }, (_, i) => [
            ...load(i), ...step(sums[2 * i], a0), ...step(sums[2 * i + 1], a1),
        ]).flat(),
        ...get(turns), ...i32(-1), 0x6a, 0x22, turns, 0x0d, 0, // br_if while --turns
        0x0b,
        ...get(sums[0]),
        ...sums.slice(1).flatMap((sum) => [...get(sum), ...simd(SIMD.addF32)]),
        ...simd(SIMD.extractF32), 0, 0x0b,
    ];
}

/**
 * read(from, to, stride): loads every 16 bytes of `streams` areas, [from, to) and as much again at each further stride,
 * once and in order, into 8 xor chains; to - from is a multiple of 256 bytes. One area is plain sequential reading;
 * with several side by side some machines fetch ahead better.
 * @param {number} streams @returns {number[]}
 */
function readBody(streams) {
    const [at, end, stride] = [0, 1, 2];
    const pointers = [at, ...Array.from({ length: streams - 1 }, (_, i) => 3 + i)];
    const chain = (/** @type {number} */ i) => 2 + streams + (i % 8);
    const perStream = LOADS / streams;
    const load = (/** @type {number} */ i) => [
        ...get(pointers[Math.floor(i / perStream)]), ...simd(SIMD.load), 4, ...leb(16 * (i % perStream)),
        ...get(chain(i)), ...simd(SIMD.xor), ...set(chain(i)),
    ];
    const advance = (/** @type {number} */ pointer) => [...get(pointer), ...i32(16 * perStream), 0x6a];
    return [
        ...vector([[...leb(streams - 1), I32], [8, V128]]),
        ...pointers.slice(1).flatMap((pointer, i) => [...get(pointers[i]), ...get(stride), 0x6a, ...set(pointer)]),
        0x03, 0x40,
        ...Array.from({ length: LOADS }, (_, i) => load(i)).flat(),
        ...pointers.slice(1).flatMap((pointer) => [...advance(pointer), ...set(pointer)]),
        ...advance(at), 0x22, at, ...get(end), 0x49, 0x0d, 0, // while (at += ...) < end
        0x0b,
        ...get(chain(0)),
        ...Array.from({ length: 7 }, (_, i) => [...get(chain(i + 1)), ...simd(SIMD.xor)]).flat(),
        ...simd(SIMD.extractI32), 0, 0x0b,
    ];
}

/**
 * @param {Variant} variant
 * @returns {Uint8Array<ArrayBuffer>} module importing env.memory; exports flops, read1 and read4
 */
function assemble(variant) {
    const code = (/** @type {number[]} */ body) => [...leb(body.length), ...body];
    return new Uint8Array([
        0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
        ...section(1, vector([[0x60, 1, I32, 1, F32], [0x60, 3, I32, I32, I32, 1, I32]])),
        ...section(2, vector([[...text('env'), ...text('memory'), 2, 0, 0]])),
        ...section(3, vector([[0], [1], [1]])),
        ...section(7, vector([[...text('flops'), 0, 0], [...text('read1'), 0, 1], [...text('read4'), 0, 2]])),
        ...section(10, vector([code(flopsBody(variant)), code(readBody(1)), code(readBody(STREAMS))])),
    ]);
}

/** @param {number[]} values @returns {number} */
export function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * One thread's loops. Rates are those of the median pass, so that a pass during which the system ran something else
 * does not count.
 */
export class Meter {
    /** @param {Variant} variant */
    constructor(variant) {
        this.sums = SUMS[variant];
        this.memory = new WebAssembly.Memory({ initial: 1 });
        const module = new WebAssembly.Module(assemble(variant));
        const instance = new WebAssembly.Instance(module, { env: { memory: this.memory } });
        this.flops = /** @type {(turns: number) => number} */ (instance.exports.flops);
        /** @typedef {(from: number, to: number, stride: number) => number} Read */
        this.read1 = /** @type {Read} */ (instance.exports.read1);
        this.read4 = /** @type {Read} */ (instance.exports.read4);
    }

    /** Memory for a working set; filled, so that every page is its own. @param {number} bytes */
    reserve(bytes) {
        const pages = Math.ceil(bytes / PAGE) - this.memory.buffer.byteLength / PAGE;
        if (pages > 0) this.memory.grow(pages);
        const words = new Uint32Array(this.memory.buffer, 0, bytes >> 2);
        for (let i = 0; i < words.length; i++) words[i] = Math.imul(i, 2654435761);
        // What flops() multiplies: ordinary numbers, because some processors are slow with others.
        new Float32Array(this.memory.buffer, 0, 1024).fill(0.5);
    }

    /**
     * @param {'flops' | 'bytes'} what @param {number} bytes working set, for 'bytes'
     * @param {(passes: number) => boolean} go asked before every pass
     * @returns {number} flops or bytes per second
     */
    rate(what, bytes, go) {
        if (what === 'flops') return (TURNS * this.sums * 8 * 1000) / medianTime(() => this.flops(TURNS), go);
        const stride = Math.floor(bytes / STREAMS / 256) * 256;
        // Both orders in turn; the faster is what the memory gives.
        const [one, four] = medianTimes([
            () => this.read1(0, STREAMS * stride, 0), () => this.read4(0, stride, stride),
        ], go);
        return (STREAMS * stride * 1000) / Math.min(one, four);
    }
}

/** Milliseconds of a call: see medianTimes. @param {() => unknown} run @param {(passes: number) => boolean} go */
export const medianTime = (run, go) => medianTimes([run], go)[0];

/**
 * Milliseconds of each call: the median of passes, taken in turns, each of as many calls as a coarse clock needs (a
 * page that is not cross-origin isolated has one of 0.1 ms).
 * @param {(() => unknown)[]} runs @param {(passes: number) => boolean} go asked before every round of passes
 */
function medianTimes(runs, go) {
    const pass = (/** @type {() => unknown} */ run, /** @type {number} */ calls) => {
        const start = performance.now();
        for (let i = 0; i < calls; i++) run();
        return performance.now() - start;
    };
    const calls = runs.map((run) => {
        let count = 1;
        while (pass(run, count) < PASS_MS) count *= 2;
        return count;
    });
    /** @type {number[][]} */
    const times = runs.map(() => []);
    while (go(times[0].length)) runs.forEach((run, i) => times[i].push(pass(run, calls[i]) / calls[i]));
    return times.map(median);
}
