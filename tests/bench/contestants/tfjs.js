// TensorFlow.js (wasm backend) on the same layer: fused matmul with bias for the projections, then matMul, softmax,
// matMul per head. For decode two compositions are tried and the faster stands for it, case by case: the functional
// update that a decoder needs (the new key and value concatenated to the cache), and one without that copy, which
// attends to the cache and to the new position separately and joins the scores.
//
// One thread only in Node: the package's threaded binary starts its workers from a Blob, which Node cannot do, and its
// own feature test says so. A page has loaded its scripts before, and names the folder of its binaries.

import { DIM, HEADS, HEAD_DIM, headMajor, makeInput, makePast, makeWeights } from '../../../web/bench/problem.js';

/** @typedef {import('../../../web/bench/problem.js').Case} Case */

/** @param {{ threads?: number, folder?: string }} [options] */
export async function create({ threads = 1, folder } = {}) {
    const { tf, wasm } = folder ? inPage(folder) : await inNode();
    wasm.setThreadsCount(threads);
    if (!(await tf.setBackend('wasm'))) throw new Error('TensorFlow.js: its wasm backend does not start');
    // It takes half of the cores at most.
    if (folder && wasm.getThreadsCount() !== threads) throw new Error(`TensorFlow.js makes no ${threads} threads here`);
    const layer = new Layer(tf);
    /** @type {Map<string, () => Float32Array>} */
    const prepared = new Map();
    return {
        name: `tfjs-backend-wasm ${wasm.version_wasm}`,
        /** @param {Case} c @returns {Float32Array} the layer's output */
        prepare(c) {
            const x = makeInput(c);
            const past = makePast(c);
            const dims = [HEADS, c.s - c.t, HEAD_DIM];
            const keys = tf.tensor(headMajor(past.keys), dims, 'float32');
            const values = tf.tensor(headMajor(past.values), dims, 'float32');
            const mask = c.kind === 'prefill' ? causalMask(tf, c.t) : undefined;
            const compositions = c.kind === 'prefill' ? [() => layer.prefill(x, c.t, mask)]
                : [() => layer.decode(x, keys, values), () => layer.decodeApart(x, keys, values)];
            const times = compositions.map(trial);
            const best = compositions[times.indexOf(Math.min(...times))];
            prepared.set(c.id, best);
            return best();
        },
        /** @param {Case} c */
        run: (c) => /** @type {any} */ (prepared.get(c.id))(),
    };
}

async function inNode() {
    // @ts-ignore: installed for the benchmark alone
    const tf = await import('@tensorflow/tfjs-core');
    // @ts-ignore
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    const { fileURLToPath } = await import('node:url');
    wasm.setWasmPaths(fileURLToPath(new URL('./', import.meta.resolve('@tensorflow/tfjs-backend-wasm'))));
    return { tf, wasm };
}

/** @param {string} folder */
function inPage(folder) {
    const { tf } = /** @type {any} */ (globalThis);
    tf.wasm.setWasmPaths(folder);
    return { tf, wasm: tf.wasm };
}

/** @param {() => unknown} run @returns {number} the best of a few runs, ms */
function trial(run) {
    let best = Infinity;
    const end = performance.now() + 250;
    for (let i = 0; i < 3 || performance.now() < end; i++) {
        const start = performance.now();
        run();
        best = Math.min(best, performance.now() - start);
    }
    return best;
}

/** 0 where key j <= query i, else a large negative number. @param {any} tf @param {number} t */
function causalMask(tf, t) {
    const mask = new Float32Array(t * t);
    for (let i = 0; i < t; i++) mask.fill(-1e9, i * t + i + 1, (i + 1) * t);
    return tf.tensor(mask, [t, t]);
}

class Layer {
    /** @param {any} tf */
    constructor(tf) {
        const w = makeWeights();
        // 1 / sqrt(head dim) is folded into the query projection.
        const scaled = (/** @type {Float32Array} */ values) => values.map((value) => value / Math.sqrt(HEAD_DIM));
        const pair = (/** @type {Float32Array} */ matrix, /** @type {Float32Array} */ bias) =>
            ({ matrix: tf.tensor(matrix, [DIM, DIM]), bias: tf.tensor(bias, [DIM]) });
        this.tf = tf;
        this.query = pair(scaled(w.wq), scaled(w.bq));
        this.key = pair(w.wk, w.bk);
        this.value = pair(w.wv, w.bv);
        this.output = pair(w.wo, w.bo);
        // Head by head: a projection of its own for each is three times as fast as splitting the result of one.
        const perHead = (/** @type {{ matrix: any, bias: any }} */ { matrix, bias }) => {
            const matrices = tf.split(matrix, HEADS, 1);
            const biases = tf.split(bias, HEADS);
            return matrices.map((/** @type {any} */ part, /** @type {number} */ h) =>
                ({ matrix: part, bias: biases[h] }));
        };
        this.heads = [this.query, this.key, this.value].map(perHead);
    }

    /** @param {any} a @param {{ matrix: any, bias: any }} projection */
    project(a, { matrix, bias }) {
        return this.tf.fused.matMul({ a, b: matrix, bias });
    }

    /**
     * What a composition comes to. Read outside of tidy(), which walks through all that it is given back, numbers too.
     * @param {() => any} compose @returns {Float32Array}
     */
    read(compose) {
        const result = this.tf.tidy(compose);
        const data = result.dataSync();
        result.dispose();
        return data;
    }

    /** x: [1][F] @param {Float32Array} x @param {any} keys @param {any} values */
    decode(x, keys, values) {
        const { tf } = this;
        return this.read(() => {
            const a = tf.tensor(x, [1, DIM]);
            const heads = (/** @type {any} */ t) => tf.reshape(this.project(a, t), [HEADS, 1, HEAD_DIM]);
            const allKeys = tf.concat([keys, heads(this.key)], 1);
            const allValues = tf.concat([values, heads(this.value)], 1);
            const p = tf.softmax(tf.matMul(heads(this.query), allKeys, false, true));
            return this.project(tf.reshape(tf.matMul(p, allValues), [1, DIM]), this.output);
        });
    }

    /** As decode, the cache untouched and uncopied. @param {Float32Array} x @param {any} keys @param {any} values */
    decodeApart(x, keys, values) {
        const { tf } = this;
        const s = keys.shape[1];
        return this.read(() => {
            const a = tf.tensor(x, [1, DIM]);
            const heads = (/** @type {any} */ t) => tf.reshape(this.project(a, t), [HEADS, 1, HEAD_DIM]);
            const q = heads(this.query);
            const logits = [tf.matMul(q, keys, false, true), tf.matMul(q, heads(this.key), false, true)];
            const [past, last] = tf.split(tf.softmax(tf.concat(logits, 2)), [s, 1], 2);
            const attended = tf.add(tf.matMul(past, values), tf.mul(last, heads(this.value)));
            return this.project(tf.reshape(attended, [1, DIM]), this.output);
        });
    }

    /**
     * x: [T][F]. Head by head: the backend's batched product is a plain loop, only [M, K] x [K, N] is a fast one.
     * @param {Float32Array} x @param {number} t @param {any} mask
     */
    prefill(x, t, mask) {
        const { tf } = this;
        return this.read(() => {
            const a = tf.tensor(x, [t, DIM]);
            const attended = Array.from({ length: HEADS }, (_, h) => {
                const [q, k, v] = this.heads.map((projections) => this.project(a, projections[h]));
                const logits = tf.add(tf.matMul(q, tf.transpose(k)), mask);
                return tf.matMul(tf.softmax(logits), v);
            });
            return this.project(tf.concat(attended, 1), this.output);
        });
    }
}
