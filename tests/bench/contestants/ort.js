// onnxruntime-web (wasm, CPU) on the same layer, through its public API, configured as well as that allows: constant
// weights (prepacked when the session is made), all graph optimizations, its own fused attention operators. What decode
// costs there is mostly its API: the cache goes in as a feed and comes out as a result, copied both ways.
//
// Attention is tried as MultiHeadAttention and as GroupQueryAttention; the faster of the two stands for it, case by
// case.
// `resident: true` is what the same kernels do without those copies: keys and values are constants of the session, and
// only the new position's projections come out. A decoder cannot run like that; it says what the API costs.

import { DIM, HEADS, HEAD_DIM, headMajor, makeInput, makePast, makeWeights } from '../../../web/bench/problem.js';
import { initializer, input, model, node, output } from './onnx.js';

const MS = 'com.microsoft';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */

/** @param {{ threads: number, resident?: boolean, from?: string }} options from: its module, where names are no help */
export async function create({ threads, resident = false, from = 'onnxruntime-web' }) {
    const ort = await import(from);
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = 'error';
    /** @type {Map<string, { run: () => Promise<Float32Array> }>} */
    const prepared = new Map();
    return {
        name: `onnxruntime-web ${ort.env.versions.web}`,
        /** @param {Case} c @returns {Promise<Float32Array>} the layer's output */
        async prepare(c) {
            const candidates =
                resident && c.kind === 'decode'
                    ? [await open(ort, residentModel(c), c, [])]
                    : [
                          await open(ort, cachedModel(c, attendMha), c, ['past']),
                          await open(ort, cachedModel(c, attendGqa), c, ['past']),
                      ];
            const times = [];
            for (const candidate of candidates) times.push(await trial(candidate));
            const best = candidates[times.indexOf(Math.min(...times))];
            for (const candidate of candidates) if (candidate !== best) await candidate.release();
            prepared.set(c.id, best);
            return best.run();
        },
        /** @param {Case} c */
        run: (c) => /** @type {any} */ (prepared.get(c.id)).run(),
    };
}

/** @param {{ run: () => Promise<unknown> }} candidate @returns {Promise<number>} the best of a few runs, ms */
async function trial(candidate) {
    let best = Infinity;
    const end = performance.now() + 250;
    for (let i = 0; i < 4 || performance.now() < end; i++) {
        const start = performance.now();
        await candidate.run();
        best = Math.min(best, performance.now() - start);
    }
    return best;
}

/** @param {any} ort @param {Uint8Array} bytes @param {Case} c @param {string[]} fed */
async function open(ort, bytes, c, fed) {
    const session = await ort.InferenceSession.create(bytes, {
        executionProviders: ['wasm'],
        graphOptimizationLevel: 'all',
        executionMode: 'sequential',
    });
    const tensor = (/** @type {Float32Array} */ data, /** @type {number[]} */ dims) =>
        new ort.Tensor('float32', data, dims);
    const x = makeInput(c);
    const past = makePast(c);
    const pastDims = [1, HEADS, c.s - c.t, HEAD_DIM];
    const keys = headMajor(past.keys);
    const values = headMajor(past.values);
    return {
        async run() {
            const feeds = { x: tensor(x, [1, c.t, DIM]) };
            if (fed.includes('past')) {
                Object.assign(feeds, { past_key: tensor(keys, pastDims), past_value: tensor(values, pastDims) });
            }
            return (await session.run(feeds)).y.data;
        },
        release: () => session.release(),
    };
}

/** q, k, v projections of x and their weights. @returns {Uint8Array[][]} */
function projections() {
    const w = makeWeights();
    return [
        initializer('wq', [DIM, DIM], w.wq),
        initializer('wk', [DIM, DIM], w.wk),
        initializer('wv', [DIM, DIM], w.wv),
        initializer('wo', [DIM, DIM], w.wo),
        initializer('bo', [DIM], w.bo),
        node('MatMul', ['x', 'wq'], ['q']),
        node('MatMul', ['x', 'wk'], ['k']),
        node('MatMul', ['x', 'wv'], ['v']),
    ];
}

const finish = () => [node('MatMul', ['attended', 'wo'], ['projected']), node('Add', ['projected', 'bo'], ['y'])];

/** @param {Case} c */
function attendMha(c) {
    const w = makeWeights();
    const bias = new Float32Array(3 * DIM);
    [w.bq, w.bk, w.bv].forEach((part, i) => bias.set(part, i * DIM));
    return [
        initializer('bias', [3 * DIM], bias),
        node(
            'MultiHeadAttention',
            ['q', 'k', 'v', 'bias', '', '', 'past_key', 'past_value'],
            ['attended', 'present_key', 'present_value'],
            { num_heads: HEADS, unidirectional: c.kind === 'prefill' ? 1 : 0 },
            MS,
        ),
    ];
}

/** @param {Case} c */
function attendGqa(c) {
    const w = makeWeights();
    return [
        initializer('bq', [DIM], w.bq),
        initializer('bk', [DIM], w.bk),
        initializer('bv', [DIM], w.bv),
        initializer('lengths', [1], new Int32Array([c.s - 1])),
        initializer('total', [1], new Int32Array([c.s])),
        node('Add', ['q', 'bq'], ['q2']),
        node('Add', ['k', 'bk'], ['k2']),
        node('Add', ['v', 'bv'], ['v2']),
        node(
            'GroupQueryAttention',
            ['q2', 'k2', 'v2', 'past_key', 'past_value', 'lengths', 'total'],
            ['attended', 'present_key', 'present_value'],
            { num_heads: HEADS, kv_num_heads: HEADS },
            MS,
        ),
    ];
}

/** @param {Case} c @param {(c: Case) => Uint8Array[][]} attend */
function cachedModel(c, attend) {
    return model([
        ...projections(),
        ...attend(c),
        ...finish(),
        input('x', [1, c.t, DIM]),
        input('past_key', [1, HEADS, c.s - c.t, HEAD_DIM]),
        input('past_value', [1, HEADS, c.s - c.t, HEAD_DIM]),
        output('y', [1, c.t, DIM]),
        output('present_key', [1, HEADS, c.s, HEAD_DIM]),
        output('present_value', [1, HEADS, c.s, HEAD_DIM]),
    ]);
}

/**
 * Keys and values of all S positions are constants; k and v of the new position are computed, and come out.
 * @param {Case} c
 */
function residentModel(c) {
    const w = makeWeights();
    const past = makePast(c);
    const full = (/** @type {Float32Array} */ rows, /** @type {Float32Array} */ last) => {
        const all = new Float32Array(c.s * DIM);
        all.set(rows);
        all.set(last, rows.length);
        return headMajor(all);
    };
    const x = makeInput(c);
    return model([
        ...projections(),
        initializer('bq', [DIM], w.bq),
        initializer('bk', [DIM], w.bk),
        initializer('bv', [DIM], w.bv),
        node('Add', ['q', 'bq'], ['q2']),
        node('Add', ['k', 'bk'], ['k2']),
        node('Add', ['v', 'bv'], ['v2']),
        initializer('keys', [1, HEADS, c.s, HEAD_DIM], full(past.keys, row(x, w.wk, w.bk))),
        initializer('values', [1, HEADS, c.s, HEAD_DIM], full(past.values, row(x, w.wv, w.bv))),
        node('MultiHeadAttention', ['q2', 'keys', 'values'], ['attended'], { num_heads: HEADS }, MS),
        ...finish(),
        input('x', [1, 1, DIM]),
        output('y', [1, 1, DIM]),
        output('k2', [1, 1, DIM]),
        output('v2', [1, 1, DIM]),
    ]);
}

/**
 * One projected row.
 * @param {Float32Array} x
 * @param {Float32Array} w
 * @param {Float32Array} b
 * @returns {Float32Array}
 */
function row(x, w, b) {
    const y = Float64Array.from(b);
    for (let k = 0; k < DIM; k++) for (let n = 0; n < DIM; n++) y[n] += x[k] * w[k * DIM + n];
    return Float32Array.from(y);
}
