// The network that a description describes: its weights by role, and a pass over some tokens as a program. Knows no file,
// chooses no token.

import { NormWeights } from '../blocks/norm.js';
import { PackedWeight, weightType } from '../blocks/weight.js';
import {
    quantizedBytes, recordAttend, recordGate, recordLookup, recordQuantize, recordRopeTable, recordStore,
} from '../blocks/decoder.js';
import { recordRope } from '../blocks/rope.js';
import { shapesOf } from './shapes.js';
import { inverseFrequencies, lengthKey } from './rope.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('./description.js').ModelDescription} ModelDescription */
/** @typedef {import('./description.js').Block} Block */
/** @typedef {import('./description.js').Norm} Norm */

/**
 * Some tokens of one text.
 * @typedef {object} Segment
 * @property {readonly { address: number }[]} caches one per layer, with room for the tokens
 * @property {number} index place of the first of them in the caches
 * @property {number} t how many there are
 * @property {number} [mask] address of [index + t] bytes: 0 leaves a position out for all queries
 * @property {number} result row of the hidden states that the last of them goes to; -1: none
 *
 * @typedef {object} Pass by address
 * @property {Segment[]} segments
 * @property {number} rows tokens of all of them
 * @property {number} length of the longest run: some rotations depend on it
 * @property {number} tokens [rows] ids
 * @property {number} positions [rows]
 * @property {boolean} every whether hidden states and logits of all rows are wanted, or of the segments' last
 * @property {number} hidden [rows or results][width] after the final norm; 0: not wanted, and then no logits either
 * @property {number} results rows of hidden states that logits are wanted of, without `every`
 * @property {number} logits [rows or results][vocabulary]; 0: not wanted
 * @property {Map<number, number> | null} scores of layers, where they are wanted: [heads][t][index + t] of the one segment
 * @property {Map<number, number> | null} states after layers, where they are wanted: [rows][width]; after the last norm by the number
 *   of layers
 */

/** The weights of one layer. */
class LayerWeights {
    /**
     * @param {Network} network
     * @param {string} at 'blk.3.'
     * @param {Block} block
     */
    constructor(network, at, { attention: a, feedForward: f, sharedNorm }) {
        const { width } = network.description;
        this.attnNorm = network._norm(`${at}attn_norm`, a.before, width);
        this.q = network._matrix(`${at}attn_q`, width, a.heads * a.keyDim, a.bias.q);
        this.k = network._matrix(`${at}attn_k`, width, a.kvHeads * a.keyDim, a.bias.k);
        this.v = network._matrix(`${at}attn_v`, width, a.kvHeads * a.valueDim, a.bias.v);
        this.o = network._matrix(`${at}attn_output`, a.heads * a.valueDim, width, a.bias.o);
        const { norm, over, own } = a.headNorm ?? { norm: undefined, over: 'head', own: false };
        const n = (/** @type {number} */ heads) => (over === 'all' ? heads * a.keyDim : a.keyDim);
        this.qNorm = network._norm(`${at}attn_q_norm`, norm, n(a.heads), over === 'head' ? a.heads : 1, own);
        this.kNorm = network._norm(`${at}attn_k_norm`, norm, n(a.kvHeads), over === 'head' ? a.kvHeads : 1, own);
        this.attnAfter = network._norm(`${at}post_attention_norm`, a.after, width);
        this.ffnNorm = sharedNorm ? null : network._norm(`${at}ffn_norm`, f.before, width);
        this.gate = f.gated ? network._matrix(`${at}ffn_gate`, width, f.width, f.bias) : null;
        this.up = network._matrix(`${at}ffn_up`, width, f.width, f.bias);
        this.down = network._matrix(`${at}ffn_down`, f.width, width, f.bias);
        this.ffnAfter = network._norm(`${at}post_ffw_norm`, f.after, width);
    }
}

export class Network {
    /**
     * Allocates all weights, empty.
     * @param {Runtime} runtime
     * @param {ModelDescription} description
     * @param {(role: string) => string} typeOf the type that a matrix is kept in, by its role
     * @param {ReadonlySet<string>} [scaled] roles of matrices that are integers with a scale for each output
     * @throws {RangeError} when the memory is exhausted; nothing stays allocated then
     */
    constructor(runtime, description, typeOf, scaled = new Set()) {
        this.runtime = runtime;
        this.description = description;
        this._typeOf = typeOf;
        this._scaled = scaled;
        /** @type {{ dispose(): void }[]} */
        this._owned = [];
        /**
         * Where weights go, by role.
         * @type {Map<string, { matrix: PackedWeight } | { floats: (values: Float32Array, row: number) => void }>}
         */
        this.slots = new Map();
        /** Norms, biases, positions with a number that is not finite, if whoever loads has seen some. @type {string | null} */
        this.notFinite = null;
        /**
         * Divisors of rotary frequencies that came with the file.
         * @type {{ all?: Float32Array, short?: Float32Array, long?: Float32Array }}
         */
        this.divisors = {};
        this.slots.set('rope_freqs.weight', { floats: (values) => { this.divisors.all = values; } });
        this.slots.set('rope_factors_short.weight', { floats: (values) => { this.divisors.short = values; } });
        this.slots.set('rope_factors_long.weight', { floats: (values) => { this.divisors.long = values; } });
        this._bytes = 0;
        /** Most inputs of a matrix whose weights are in blocks. */
        this._inBlocks = 0;
        this.disposed = false;
        try {
            const { width, vocabulary, embedding, head, finalNorm } = description;
            this.embedding = this._matrix('token_embd', width, vocabulary, head.tied === true && head.bias, 'output');
            this.positions = embedding.positions === null ? 0 : this._table('position_embd.weight', embedding.positions, width);
            this.layers = description.layers.map((layer, i) => new LayerWeights(this, `blk.${i}.`, layer));
            this.finalNorm = this._norm('output_norm', finalNorm, width);
            this.head = head.tied ? this.embedding : this._matrix('output', width, vocabulary, head.bias);
        } catch (error) {
            this.dispose();
            throw error;
        }
        /** What a row of scratch takes at most, over the layers. */
        this._widest = widest(description.layers);
        /** Whether attention streams in every layer: whole rows of probabilities take scratch that grows with every position. */
        this.streams = !description.layers.some(({ attention: { explicit } }) => explicit);
        /** Kinds of rotation. */
        this._ropes = [...new Set(description.layers.flatMap(({ attention: { rope } }) => rope ?? []))];
        /** Inverse frequencies by kind of rotation, for the last length. @type {Map<object, { key: number, values: Float64Array }>} */
        this._frequencies = new Map();
    }

    /** Bytes of all weights in memory. */
    get weightBytes() {
        return this._bytes;
    }

    /** Number of weights. */
    get parameters() {
        let total = 0;
        for (const [n, k = 1] of shapesOf(this.description).values()) {
            total += n * k;
        }
        return total;
    }

    /**
     * @param {string} role without `.weight`
     * @param {number} inputs
     * @param {number} outputs
     * @param {boolean} bias
     * @param {string} [biasRole]
     */
    _matrix(role, inputs, outputs, bias, biasRole = role) {
        const scaled = this._scaled.has(`${role}.weight`);
        const type = weightType(this._typeOf(`${role}.weight`));
        const matrix = new PackedWeight(this.runtime, type, inputs, outputs, { bias, scaled });
        this._owned.push(matrix);
        this._bytes += matrix.bytes;
        this._inBlocks = Math.max(this._inBlocks, matrix.inBlocks ? inputs : 0);
        this.slots.set(`${role}.weight`, { matrix });
        if (scaled) {
            this.slots.set(`${role}.scale`, { floats: (values, row) => matrix.loadScales(values, row) });
        }
        if (bias) {
            this.slots.set(`${biasRole}.bias`, { floats: (values, row) => matrix.loadBias(values, row) });
        }
        return matrix;
    }

    /**
     * @param {string} role
     * @param {Norm | undefined} norm
     * @param {number} n
     * @param {number} [groups] of n in a row
     * @param {boolean} [own] whether each group has its own weights
     * @returns {NormWeights | null}
     */
    _norm(role, norm, n, groups = 1, own = false) {
        if (!norm) {
            return null;
        }
        const weights = new NormWeights(this.runtime, { ...norm, width: n, groups, own });
        this._owned.push(weights);
        if (norm.weight !== false) {
            this.slots.set(`${role}.weight`, { floats: (values, row) => weights.loadWeight(values, row) });
        }
        if (norm.bias) {
            this.slots.set(`${role}.bias`, { floats: (values, row) => weights.loadBias(values, row) });
        }
        return weights;
    }

    /** @param {string} role @param {number} rows @param {number} width @returns {number} address of [rows][width] floats */
    _table(role, rows, width) {
        const { memory } = this.runtime;
        const address = memory.alloc(4 * rows * width);
        memory.f32(address, rows * width).fill(0);
        this._owned.push({ dispose: () => this.runtime._free(address) });
        this.slots.set(role, { floats: (values, row) => memory.f32(address + 4 * row * width, values.length).set(values) });
        return address;
    }

    /** @param {string} [what] @throws {Error} after dispose() */
    check(what = 'model') {
        this.runtime._check(what);
        if (this.disposed) {
            throw new Error(`${what}: this model has been disposed`);
        }
    }

    /**
     * Appends a pass to a program.
     * @param {Program} program
     * @param {Pass} pass
     */
    record(program, pass) {
        const { width, embedding, layers } = this.description;
        const { rows } = pass;
        const x = program.scratch(4 * rows * width);
        recordLookup(program, this.embedding, pass.tokens, rows, x, embedding.scale, this.positions, pass.positions);
        const buffers = this._buffers(program, rows);
        const tables = this._tables(program, pass);
        layers.forEach((layer, i) => {
            this._recordLayer(program, pass, i, layer, x, buffers, tables);
            this._recordState(program, pass, i, x);
        });
        this._recordState(program, pass, layers.length, x);
        if (pass.hidden !== 0) {
            this._recordHead(program, pass, x, buffers.bytes);
        }
    }

    /**
     * Keeps what there is after a layer, where it is wanted.
     * @param {Program} program
     * @param {Pass} pass
     * @param {number} layer
     * @param {number} x
     */
    _recordState(program, { states, rows }, layer, x) {
        const { width, layers } = this.description;
        const to = states?.get(layer);
        if (to === undefined) {
            return;
        }
        if (layer === layers.length) {
            /** @type {NormWeights} */ (this.finalNorm).record(program, rows, x, width, to, width);
            return;
        }
        // There is no operation that copies: times 1 is the same bits.
        const ones = program.scratch(4 * rows * width);
        this.runtime.memory.f32(ones, rows * width).fill(1);
        recordGate(program, { a: x, b: ones, y: to, rows, n: width, activation: 'linear' });
    }

    /**
     * What some matrices read, as bytes if one of them has weights in blocks.
     * @param {Program} program
     * @param {number} rows
     * @param {number} x
     * @param {number} bytes room
     * @param {(PackedWeight | null)[]} matrices of the same inputs
     * @returns {number} address, 0 if none has
     */
    _quantized(program, rows, x, bytes, ...matrices) {
        const matrix = matrices.find((each) => each?.inBlocks);
        if (!matrix) {
            return 0;
        }
        recordQuantize(program, rows, x, matrix.inputs, bytes);
        return bytes;
    }

    /** Scratch that all layers share. @param {Program} program @param {number} rows */
    _buffers(program, rows) {
        const { width } = this.description;
        const { q, k, v, mixed, inner } = this._widest;
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
            // What the matrix at hand reads, as bytes: each is read before the next is made.
            bytes: this._inBlocks === 0 ? 0 : program.scratch(quantizedBytes(rows, this._inBlocks)),
        };
    }

    /**
     * Cosines and sines of this pass, one table for each kind of rotation.
     * @param {Program} program
     * @param {Pass} pass
     * @returns {Map<object, number>} address of [rows][dims / 2] cosines and sines, by description
     */
    _tables(program, { rows, positions, length }) {
        /** @type {Map<object, number>} */
        const tables = new Map();
        for (const rope of this._ropes) {
            const half = rope.dims / 2;
            const frequencies = program.scratch(8 * half);
            this.runtime.memory.f64(frequencies, half).set(this.frequencies(rope, length));
            const table = program.scratch(4 * rows * rope.dims);
            recordRopeTable(program, { rows, positions, half, frequencies, scale: rope.scaling.attention, table });
            tables.set(rope, table);
        }
        return tables;
    }

    /**
     * A number that grows with the length wherever frequencies change with it.
     * @param {number} length of the run
     */
    lengthKey(length) {
        let sum = 0;
        for (const { scaling } of this._ropes) {
            sum += lengthKey(scaling, length);
        }
        return sum;
    }

    /** @param {import('./description.js').Rope} rope @param {number} length of the run @returns {Float64Array} radians per position */
    frequencies(rope, length) {
        const { scaling, dims } = rope;
        const key = lengthKey(scaling, length);
        const last = this._frequencies.get(rope);
        if (last?.key === key) {
            return last.values;
        }
        const values = inverseFrequencies(scaling, dims, length, this.divisors);
        this._frequencies.set(rope, { key, values });
        return values;
    }

    /**
     * @param {Program} program
     * @param {Pass} pass
     * @param {number} i
     * @param {Block} layer
     * @param {number} x
     * @param {ReturnType<Network['_buffers']>} buffers
     * @param {Map<object, number>} tables
     */
    _recordLayer(program, pass, i, layer, x, buffers, tables) {
        const weights = this.layers[i];
        const { rows } = pass;
        const { width } = this.description;
        const { normed, other } = buffers;
        const attentionInput = weights.attnNorm ? weights.attnNorm.record(program, rows, x, width, normed, width) : x;
        // In parallel both read the x of before; a norm of its own for the network has to be taken of that too.
        let feedInput = attentionInput;
        if (layer.parallel && !layer.sharedNorm && weights.ffnNorm) {
            weights.ffnNorm.record(program, rows, x, width, other, width);
            feedInput = other;
        }
        this._recordAttention(program, pass, i, layer, attentionInput, x, buffers, tables);
        if (!layer.parallel) {
            feedInput = weights.ffnNorm ? weights.ffnNorm.record(program, rows, x, width, normed, width) : x;
        }
        this._recordFeedForward(program, rows, weights, layer, feedInput, x, buffers);
    }

    /**
     * @param {Program} program
     * @param {Pass} pass
     * @param {number} i
     * @param {Block} layer
     * @param {number} input
     * @param {number} x
     * @param {ReturnType<Network['_buffers']>} buffers
     * @param {Map<object, number>} tables
     */
    _recordAttention(program, pass, i, layer, input, x, { q, k, v, mixed, room, bytes }, tables) {
        const { attention: a } = layer;
        const weights = this.layers[i];
        const { rows, segments, scores } = pass;
        const { width } = this.description;
        const [qs, ks, vs] = [weights.q.outputs, weights.k.outputs, weights.v.outputs];
        const quantized = this._quantized(program, rows, input, bytes, weights.q, weights.k, weights.v);
        weights.q.record(program, rows, input, width, q, qs, { quantized });
        weights.k.record(program, rows, input, width, k, ks, { quantized, concurrent: true });
        weights.v.record(program, rows, input, width, v, vs, { quantized, concurrent: true });
        weights.qNorm?.record(program, rows, q, qs, q, qs);
        weights.kNorm?.record(program, rows, k, ks, k, ks, { concurrent: true });
        if (a.rope) {
            const table = /** @type {number} */ (tables.get(a.rope));
            recordRope(program, { x: q, rows, heads: a.heads, dim: a.keyDim, rope: a.rope, table, concurrent: false });
            recordRope(program, { x: k, rows, heads: a.kvHeads, dim: a.keyDim, rope: a.rope, table, concurrent: true });
        }
        let row = 0;
        for (const { caches, index, t } of segments) {
            recordStore(program, caches[i], {
                k: k + 4 * row * ks, v: v + 4 * row * vs, keys: ks, values: vs, t, index, concurrent: row > 0,
            });
            row += t;
        }
        row = 0;
        for (const { caches, index, t, mask = 0 } of segments) {
            recordAttend(program, caches[i], {
                attention: a, q: q + 4 * row * qs, out: mixed + 4 * row * a.heads * a.valueDim, t, index,
                mask, scores: scores?.get(i) ?? 0, concurrent: row > 0,
            });
            row += t;
        }
        this._recordResult(program, rows, weights.o, weights.attnAfter, mixed, x, { room, bytes }, layer.residualScale);
    }

    /**
     * @param {Program} program
     * @param {number} rows
     * @param {LayerWeights} weights
     * @param {Block} layer
     * @param {number} input
     * @param {number} x
     * @param {ReturnType<Network['_buffers']>} buffers
     */
    _recordFeedForward(program, rows, weights, { feedForward: f, residualScale }, input, x, { gate, up, room, bytes }) {
        const { width } = this.description;
        const quantized = this._quantized(program, rows, input, bytes, weights.gate, weights.up);
        if (weights.gate) {
            weights.gate.record(program, rows, input, width, gate, f.width, { quantized });
            weights.up.record(program, rows, input, width, up, f.width, { quantized, concurrent: true });
            recordGate(program, { a: gate, b: up, y: up, rows, n: f.width, activation: f.activation });
        } else {
            weights.up.record(program, rows, input, width, up, f.width, { quantized, activation: f.activation });
        }
        this._recordResult(program, rows, weights.down, weights.ffnAfter, up, x, { room, bytes }, residualScale);
    }

    /**
     * x += scale * norm?(W input + b)
     * @param {Program} program
     * @param {number} rows
     * @param {PackedWeight} matrix
     * @param {NormWeights | null} after
     * @param {number} input
     * @param {number} x
     * @param {{ room: number, bytes: number }} buffers room: [rows][width] for what the norm reads
     * @param {number} scale
     */
    _recordResult(program, rows, matrix, after, input, x, { room, bytes }, scale) {
        const { width } = this.description;
        const quantized = this._quantized(program, rows, input, bytes, matrix);
        if (after) {
            matrix.record(program, rows, input, matrix.inputs, room, width, { quantized });
            after.record(program, rows, room, width, x, width, { residual: x });
        } else {
            matrix.record(program, rows, input, matrix.inputs, x, width, { quantized, residual: x, scale });
        }
    }

    /**
     * The logits of hidden states, without the layers that there may be after them.
     * @param {Program} program @param {number} rows @param {number} x [rows][width] @param {number} logits [rows][vocabulary]
     */
    recordReadOut(program, rows, x, logits) {
        const hidden = program.scratch(4 * rows * this.description.width);
        const bytes = this._inBlocks === 0 ? 0 : program.scratch(quantizedBytes(rows, this._inBlocks));
        this._recordHead(program, { rows, segments: [], every: true, hidden, results: rows, logits }, x, bytes);
    }

    /**
     * @param {Program} program
     * @param {Pick<Pass, 'rows' | 'segments' | 'every' | 'hidden' | 'results' | 'logits'>} pass
     * @param {number} x
     * @param {number} bytes
     */
    _recordHead(program, { rows, segments, every, hidden, results, logits }, x, bytes) {
        const { width, vocabulary, head } = this.description;
        const norm = /** @type {NormWeights} */ (this.finalNorm);
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
        if (logits !== 0) {
            const count = every ? rows : results;
            // There may be more results than rows of this pass.
            const room = count > rows && bytes !== 0 ? program.scratch(quantizedBytes(count, width)) : bytes;
            this.head.record(program, count, hidden, width, logits, vocabulary, {
                quantized: this._quantized(program, count, hidden, room, this.head), scale: head.scale, softcap: head.softcap,
            });
        }
    }

    /**
     * For the error of logits that are not finite: where they may come from.
     * @returns {string} names weights that are not finite, if there are any
     */
    findNotFinite() {
        if (this.notFinite !== null) {
            return `the weights ${this.notFinite} are not finite themselves`;
        }
        for (const [role, slot] of this.slots) {
            if ('matrix' in slot && !slot.matrix.isFinite()) {
                return `the weights ${role} are not finite themselves`;
            }
        }
        return 'no weight is not finite: the numbers grew too large on their way';
    }

    /** Frees the weights. A second time does nothing. */
    dispose() {
        if (!this.disposed) {
            this.disposed = true;
            this._owned.forEach((part) => part.dispose());
            this._owned = [];
        }
    }
}

/**
 * Numbers of a row of what a layer makes on its way, the most that one of them takes.
 * @param {readonly Block[]} layers
 */
function widest(layers) {
    const most = (/** @type {(layer: Block) => number} */ of) => Math.max(...layers.map(of));
    return {
        q: most(({ attention: a }) => a.heads * a.keyDim),
        k: most(({ attention: a }) => a.kvHeads * a.keyDim),
        v: most(({ attention: a }) => a.kvHeads * a.valueDim),
        mixed: most(({ attention: a }) => a.heads * a.valueDim),
        inner: most(({ feedForward: f }) => f.width),
    };
}
