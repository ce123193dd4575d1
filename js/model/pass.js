// A pass: some tokens of one text or several go through the network. It is recorded as a program; choosing tokens is done elsewhere.

import { recordAttend, recordGate, recordLookup, recordRopeTable, recordStore } from '../blocks/decoder.js';
import { quantizedBytes, recordQuantize } from '../blocks/quantize.js';
import { recordRope } from '../blocks/rope.js';
import { slopesOf } from './alibi.js';

/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('../blocks/norm.js').NormWeights} NormWeights */
/** @typedef {import('../blocks/weight.js').PackedWeight} PackedWeight */
/** @typedef {import('./description.js').Block} Block */
/** @typedef {import('./network.js').AttentionWeights} AttentionWeights */
/** @typedef {import('./network.js').LayerWeights} LayerWeights */
/** @typedef {import('./network.js').Network} Network */

/**
 * Some tokens of one text.
 * @typedef {object} Segment
 * @property {readonly { address: number, round?: number }[]} caches one per layer, with room for the tokens
 * @property {number} index of the first token in the text
 * @property {number} slot its place in the caches
 * @property {number[]} past places of the tokens before it, the last one first, as many as convolutions see
 * @property {number} t number of tokens
 * @property {number} [mask] address of [index + t] bytes: 0 leaves a position out for all queries
 * @property {Map<number, number> | null} [windows] if the caches have another order than the text: such a mask for every sliding window that
 *   is shorter than the text
 * @property {boolean} [placed] whether the caches' keys have other positions than their indices, and linear biases ask for these
 * @property {number} [places] then address of [index + t] positions of these keys, on the scale on which the first token's is index
 * @property {number} result row of `hidden` for the state after the last token; -1: not wanted
 *
 * @typedef {object} Pass by address
 * @property {Segment[]} segments
 * @property {number} rows tokens of all of them
 * @property {number} length of the longest text: some rotations depend on it
 * @property {number} tokens [rows] ids
 * @property {number} positions [rows]
 * @property {boolean} every whether hidden states and logits of all rows are wanted, or of the segments' last
 * @property {number} hidden [rows or results][width] after the final norm; 0: not wanted, and then no logits either
 * @property {number} results rows of hidden states that logits are wanted of, without `every`
 * @property {number} logits [rows or results][vocabulary]; 0: not wanted
 * @property {Map<number, number> | null} scores where the attention scores of a layer go, [heads][t][index + t]; of one segment
 * @property {Map<number, number> | null} states where the hidden states after a layer go, [rows][width]; those after the final norm by the
 *   number of layers
 */

/**
 * Appends a pass to a program.
 * @param {Network} network
 * @param {Program} program
 * @param {Pass} pass
 */
export function recordPass(network, program, pass) {
    const { layers } = network.description;
    const recorder = new Recorder(network, program, pass);
    layers.forEach((layer, i) => {
        recorder.layer(i, layer);
        recorder.state(i);
    });
    recorder.state(layers.length);
    if (pass.hidden !== 0) recordHead(network, program, pass, recorder.x, recorder.buffers.bytes);
}

/**
 * Appends the final norm and the head for given hidden states.
 * @param {Network} network
 * @param {Program} program
 * @param {number} rows
 * @param {number} x [rows][width]
 * @param {number} logits [rows][vocabulary]
 */
export function recordReadOut(network, program, rows, x, logits) {
    const hidden = program.scratch(4 * rows * network.description.width);
    const bytes = roomForBytes(network, program, rows);
    recordHead(network, program, { rows, segments: [], every: true, hidden, results: rows, logits }, x, bytes);
}

/** @param {Network} network @param {Program} program @param {number} rows @returns {number} scratch for quantized inputs; 0: no matrix has any */
const roomForBytes = ({ inBlocks }, program, rows) => (inBlocks === 0 ? 0 : program.scratch(quantizedBytes(rows, inBlocks)));

/**
 * Quantizes the input of some matrices to bytes, if one of them has weights in blocks.
 * @param {Program} program
 * @param {number} rows
 * @param {number} x
 * @param {number} bytes address for the result
 * @param {(PackedWeight | null)[]} matrices that read x
 * @returns {number} that address; 0 if no matrix needs it
 */
function quantized(program, rows, x, bytes, ...matrices) {
    const matrix = matrices.find((each) => each?.inBlocks);
    if (!matrix) return 0;
    recordQuantize(program, rows, x, matrix.inputs, matrix.inputs, bytes);
    return bytes;
}

/**
 * The final norm, and the logits.
 * @param {Network} network
 * @param {Program} program
 * @param {Pick<Pass, 'rows' | 'segments' | 'every' | 'hidden' | 'results' | 'logits'>} pass
 * @param {number} x
 * @param {number} bytes
 */
function recordHead(network, program, { rows, segments, every, hidden, results, logits }, x, bytes) {
    const { width, vocabulary, head } = network.description;
    const norm = /** @type {NormWeights} */ (network.finalNorm);
    if (every) {
        norm.record(program, rows, x, width, hidden, width);
    } else {
        let row = 0;
        let concurrent = false;
        for (const { t, result } of segments) {
            row += t;
            if (result >= 0) {
                norm.record(program, 1, x + 4 * (row - 1) * width, width, hidden + 4 * result * width, width, { concurrent });
                concurrent = true;
            }
        }
    }
    if (logits === 0) return;
    const count = every ? rows : results;
    // A pass may have fewer rows than there are results, as other runs have ended before.
    const room = count > rows && bytes !== 0 ? program.scratch(quantizedBytes(count, width)) : bytes;
    let input = hidden;
    if (head.dense && network.dense) {
        const { outputs } = network.dense;
        input = program.scratch(4 * count * outputs);
        network.dense.record(program, count, hidden, width, input, outputs, {
            quantized: quantized(program, count, hidden, room, network.dense), activation: head.dense.activation,
        });
        network.denseNorm?.record(program, count, input, outputs, input, outputs);
    }
    network.head.record(program, count, input, network.head.inputs, logits, vocabulary, {
        quantized: quantized(program, count, input, room, network.head), scale: head.scale, softcap: head.softcap,
    });
}

/** What a layer has mixed of positions, an address, and the projection that it still has to go through.
 * @typedef {{ mixed: number, output: PackedWeight }} Mixed */

/** @param {readonly Segment[]} segments @param {(segment: Segment, row: number, concurrent: boolean) => void} record row: its first */
function eachRow(segments, record) {
    let row = 0;
    for (const segment of segments) {
        record(segment, row, row > 0);
        row += segment.t;
    }
}

/** Records the layers of one pass. */
class Recorder {
    /** @param {Network} network @param {Program} program @param {Pass} pass */
    constructor(network, program, pass) {
        const { width, embedding } = network.description;
        const { rows } = pass;
        this._network = network;
        this._program = program;
        this._pass = pass;
        /** Address of [rows][width]: the residual stream, which each layer reads and adds to. */
        this.x = program.scratch(4 * rows * width);
        this._embed(embedding.scale);
        network.embeddingNorm?.record(program, rows, this.x, width, this.x, width);
        this.buffers = this._makeBuffers();
        this._tables = this._makeTables();
    }

    /** Records the embeddings of tokens and positions. @param {number} scale */
    _embed(scale) {
        const { _network: { embedding, projection, nothing, positions, runtime }, _program: program, x, _pass: pass } = this;
        const { rows } = pass;
        if (!projection || !nothing) {
            recordLookup(program, embedding, pass.tokens, rows, x, scale, positions, pass.positions);
            return;
        }
        const [narrow, zeros] = [program.scratch(4 * rows * projection.inputs), program.scratch(4 * rows)];
        runtime.memory.u32(zeros, rows).fill(0);
        recordLookup(program, nothing, zeros, rows, x, 1, positions, pass.positions);
        recordLookup(program, embedding, pass.tokens, rows, narrow, scale, 0, 0);
        projection.record(program, rows, narrow, projection.inputs, x, projection.outputs, { residual: x });
    }

    /** Scratch that all layers share. */
    _makeBuffers() {
        const { _network: network, _program: program, _pass: { rows } } = this;
        const { width } = network.description;
        const { q, k, v, mixed, inner } = network.widest;
        const floats = (/** @type {number} */ n) => program.scratch(4 * rows * n);
        return {
            normed: floats(width),
            other: floats(width),
            room: floats(width),
            q: floats(q),
            k: floats(k),
            v: floats(v),
            mixed: floats(mixed),
            gate: floats(inner),
            up: floats(inner),
            // Quantized input of the next matrices; the operations run in order, so one buffer is enough.
            bytes: roomForBytes(network, program, rows),
        };
    }

    /**
     * Records the tables of cosines and sines for this pass, one for each kind of rotation, and writes down the slopes of linear biases.
     * @returns {Map<object, number>} address of [rows][dims / 2] cosines and sines, or of [heads] slopes, by description
     */
    _makeTables() {
        const { _network: network, _program: program, _pass: { rows, positions, length } } = this;
        /** @type {Map<object, number>} */
        const tables = new Map();
        for (const rope of network.ropes) {
            const half = rope.dims / 2;
            const frequencies = program.scratch(8 * half);
            network.runtime.memory.f64(frequencies, half).set(network.frequencies(rope, length));
            const table = program.scratch(4 * rows * rope.dims);
            recordRopeTable(program, { rows, positions, half, frequencies, scale: rope.scaling.attention, table });
            tables.set(rope, table);
        }
        for (const { attention } of network.description.layers) {
            if (!attention?.alibi || tables.has(attention.alibi)) continue;
            const slopes = program.scratch(4 * attention.heads);
            network.runtime.memory.f32(slopes, attention.heads).set(slopesOf(attention.alibi, attention.heads));
            tables.set(attention.alibi, slopes);
        }
        return tables;
    }

    /** Copies the hidden states after a layer, if they are wanted. @param {number} layer */
    state(layer) {
        const { _network: network, _program: program, x, _pass: { states, rows } } = this;
        const { width, layers } = network.description;
        const to = states?.get(layer);
        if (to === undefined) return;
        if (layer === layers.length) {
            /** @type {NormWeights} */ (network.finalNorm).record(program, rows, x, width, to, width);
            return;
        }
        // There is no operation that copies; multiplying by 1 keeps all bits.
        const ones = program.scratch(4 * rows * width);
        network.runtime.memory.f32(ones, rows * width).fill(1);
        recordGate(program, { a: x, b: ones, y: to, rows, n: width, activation: 'linear' });
    }

    /** @param {number} i @param {Block} layer */
    layer(i, layer) {
        const { _network: network, _program: program, x, _pass: { rows } } = this;
        const { normed, other } = this.buffers;
        const { width } = network.description;
        const weights = network.layers[i];
        const input = weights.mixerNorm ? weights.mixerNorm.record(program, rows, x, width, normed, width) : x;
        // In parallel both sublayers read the same x: the feed-forward network's own norm is taken before attention adds to x.
        let feedInput = input;
        if (layer.parallel && !layer.sharedNorm && weights.ffnNorm) {
            weights.ffnNorm.record(program, rows, x, width, other, width);
            feedInput = other;
        }
        const { mixed, output } = layer.convolution ? this._convolution(i, weights, input) : this._attention(i, layer, weights, input);
        this._result(output, weights.mixerAfter, weights.attentionSum, mixed, layer.residualScale);
        if (!layer.parallel) {
            feedInput = weights.ffnNorm ? weights.ffnNorm.record(program, rows, x, width, normed, width) : x;
        }
        this._feedForward(layer, weights, feedInput);
    }

    /** @param {number} i @param {LayerWeights} layer @param {number} input @returns {Mixed} */
    _convolution(i, layer, input) {
        const { _program: program, _pass: { rows, segments } } = this;
        const { q: parts, room, mixed, bytes } = this.buffers;
        const { width } = this._network.description;
        const { into, taps, out } = /** @type {import('./network.js').ConvolutionLayer} */ (layer.convolution);
        const stride = 3 * width;
        into.record(program, rows, input, width, parts, stride, { quantized: quantized(program, rows, input, bytes, into) });
        recordGate(program, { a: parts, b: parts + 8 * width, y: room, rows, n: width, stride, activation: 'linear' });
        const half = width / 2;
        eachRow(segments, ({ caches, slot, t }, row, concurrent) => recordStore(program, caches[i], {
            k: room + 4 * row * width, v: room + 4 * (row * width + half), keys: width, values: width, t, index: slot, concurrent,
        }));
        eachRow(segments, ({ caches, slot, t, past }, row, concurrent) => taps.record(program, caches[i], {
            t, index: slot, past, gate: parts + 4 * (row * stride + width), gateStride: stride, out: mixed + 4 * row * width, concurrent,
        }));
        return { mixed, output: out };
    }

    /** @param {number} i @param {Block} block @param {LayerWeights} layer @param {number} input @returns {Mixed} */
    _attention(i, block, layer, input) {
        const a = /** @type {import('./description.js').Attention} */ (block.attention);
        const weights = /** @type {AttentionWeights} */ (layer.attention);
        const { _program: program, _pass: { rows, segments, scores } } = this;
        const { q, k, v, mixed, gate, bytes } = this.buffers;
        const { width } = this._network.description;
        const [qs, ks, vs] = [weights.q.outputs, weights.k.outputs, weights.v.outputs];
        const inBytes = quantized(program, rows, input, bytes, weights.q, weights.k, weights.v, weights.gate);
        weights.q.record(program, rows, input, width, q, qs, { quantized: inBytes });
        weights.k.record(program, rows, input, width, k, ks, { quantized: inBytes, concurrent: true });
        weights.v.record(program, rows, input, width, v, vs, { quantized: inBytes, concurrent: true });
        weights.gate?.record(program, rows, input, width, gate, a.heads, { quantized: inBytes, concurrent: true });
        if (!a.headNorm?.turned) this._headNorms(weights, q, k);
        if (a.rope) {
            const table = /** @type {number} */ (this._tables.get(a.rope));
            recordRope(program, { x: q, rows, heads: a.heads, dim: a.keyDim, rope: a.rope, table, concurrent: false });
            recordRope(program, { x: k, rows, heads: a.kvHeads, dim: a.keyDim, rope: a.rope, table, concurrent: true });
        }
        if (a.headNorm?.turned) this._headNorms(weights, q, k);
        eachRow(segments, ({ caches, slot, t }, row, concurrent) => recordStore(program, caches[i], {
            k: k + 4 * row * ks, v: v + 4 * row * vs, keys: ks, values: vs, t, index: slot, concurrent,
        }));
        const slopes = this._tables.get(/** @type {object} */ (a.alibi)) ?? 0;
        eachRow(segments, ({ caches, index, t, windows, places = 0, mask = 0 }, row, concurrent) => {
            const window = windows?.get(a.window ?? 0);
            recordAttend(program, caches[i], {
                attention: window ? { ...a, window: null } : a, q: q + 4 * row * qs, out: mixed + 4 * row * a.heads * a.valueDim, t, index,
                mask: window ?? mask, slopes, places, scores: scores?.get(i) ?? 0, concurrent,
            });
        });
        if (weights.gate) {
            recordGate(program, { a: gate, b: mixed, y: mixed, rows, n: a.heads * a.valueDim, each: a.valueDim, activation: 'sigmoid' });
        }
        return { mixed, output: weights.o };
    }

    /** Norms of the heads of queries and keys, if there are any. @param {AttentionWeights} weights @param {number} q @param {number} k */
    _headNorms(weights, q, k) {
        const { _program: program, _pass: { rows } } = this;
        const [qs, ks] = [weights.q.outputs, weights.k.outputs];
        weights.qNorm?.record(program, rows, q, qs, q, qs);
        weights.kNorm?.record(program, rows, k, ks, k, ks, { concurrent: true });
    }

    /** @param {Block} layer @param {LayerWeights} weights @param {number} input */
    _feedForward({ feedForward: f, residualScale }, weights, input) {
        const { _program: program, _pass: { rows } } = this;
        const { gate, up, bytes } = this.buffers;
        const { width } = this._network.description;
        const inBytes = quantized(program, rows, input, bytes, weights.gate, weights.up);
        if (weights.gate) {
            weights.gate.record(program, rows, input, width, gate, f.width, { quantized: inBytes });
            weights.up.record(program, rows, input, width, up, f.width, { quantized: inBytes, concurrent: true });
            recordGate(program, { a: gate, b: up, y: up, rows, n: f.width, activation: f.activation });
        } else {
            weights.up.record(program, rows, input, width, up, f.width, { quantized: inBytes, activation: f.activation });
        }
        this._result(weights.down, weights.ffnAfter, weights.ffnSum, up, residualScale);
    }

    /**
     * x = norm?(x + scale * norm?(W input + b))
     * @param {PackedWeight} matrix
     * @param {NormWeights | null} after
     * @param {NormWeights | null} sum
     * @param {number} input
     * @param {number} scale
     */
    _result(matrix, after, sum, input, scale) {
        const { _program: program, x, _pass: { rows } } = this;
        const { room, bytes } = this.buffers;
        const { width } = this._network.description;
        const inBytes = quantized(program, rows, input, bytes, matrix);
        if (after) {
            matrix.record(program, rows, input, matrix.inputs, room, width, { quantized: inBytes });
            after.record(program, rows, room, width, x, width, { residual: x });
        } else {
            matrix.record(program, rows, input, matrix.inputs, x, width, { quantized: inBytes, residual: x, scale });
        }
        sum?.record(program, rows, x, width, x, width);
    }
}
