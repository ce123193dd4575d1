// The network of a description: its weights, by role. It knows nothing of files; pass.js says what is computed with the weights.

import { ConvolutionWeights } from '../blocks/convolution.js';
import { NormWeights } from '../blocks/norm.js';
import { Turner } from '../blocks/turn.js';
import { PackedWeight, weightType } from '../blocks/weight.js';
import { mixerOf } from './description.js';
import { shapesOf } from './shapes.js';
import { inverseFrequencies, lengthKey } from './rope.js';

/** @typedef {import('../engine/runtime.js').Runtime} Runtime */
/** @typedef {import('./description.js').ModelDescription} ModelDescription */
/** @typedef {import('./description.js').Block} Block */
/** @typedef {import('./description.js').Norm} Norm */

/** The weights of one layer's attention. */
export class AttentionWeights {
    /** @param {Network} network @param {string} at 'blk.3.' @param {import('./description.js').Attention} a */
    constructor(network, at, a) {
        const { width } = network.description;
        this.q = network._matrix(`${at}attn_q`, width, a.heads * a.keyDim, a.bias.q);
        this.k = network._matrix(`${at}attn_k`, width, a.kvHeads * a.keyDim, a.bias.k);
        this.v = network._matrix(`${at}attn_v`, width, a.kvHeads * a.valueDim, a.bias.v);
        this.o = network._matrix(`${at}attn_output`, a.heads * a.valueDim, width, a.bias.o);
        this.gate = a.gated ? network._matrix(`${at}attn_gate`, width, a.heads, false) : null;
        const { norm, over, own } = a.headNorm ?? { norm: undefined, over: 'head', own: false };
        const n = (/** @type {number} */ heads) => (over === 'all' ? heads * a.keyDim : a.keyDim);
        this.qNorm = network._norm(`${at}attn_q_norm`, norm, n(a.heads), over === 'head' ? a.heads : 1, own);
        this.kNorm = network._norm(`${at}attn_k_norm`, norm, n(a.kvHeads), over === 'head' ? a.kvHeads : 1, own);
    }
}

/** Those of a gated convolution. @typedef {{ into: PackedWeight, taps: ConvolutionWeights, out: PackedWeight }} ConvolutionLayer */

/** The weights of one layer. */
export class LayerWeights {
    /**
     * @param {Network} network
     * @param {string} at 'blk.3.'
     * @param {Block} layer
     */
    constructor(network, at, layer) {
        const { width } = network.description;
        const { attention: a, convolution: c, feedForward: f, sharedNorm } = layer;
        const { before, after } = mixerOf(layer);
        this.mixerNorm = network._norm(`${at}attn_norm`, before, width);
        this.attention = a ? new AttentionWeights(network, at, a) : null;
        /** @type {ConvolutionLayer | null} */
        this.convolution = c ? {
            into: network._matrix(`${at}shortconv.in_proj`, width, 3 * width, c.bias),
            taps: network._convolution(`${at}shortconv.conv`, width, c),
            out: network._matrix(`${at}shortconv.out_proj`, width, width, c.bias),
        } : null;
        this.mixerAfter = network._norm(`${at}post_attention_norm`, after, width);
        this.attentionSum = network._norm(`${at}attn_norm`, a?.sum, width);
        this.ffnNorm = sharedNorm ? null : network._norm(`${at}ffn_norm`, f.before, width);
        this.gate = f.gated ? network._matrix(`${at}ffn_gate`, width, f.width, f.bias) : null;
        this.up = network._matrix(`${at}ffn_up`, width, f.width, f.bias);
        this.down = network._matrix(`${at}ffn_down`, f.width, width, f.bias);
        this.ffnAfter = network._norm(`${at}post_ffw_norm`, f.after, width);
        this.ffnSum = network._norm(`${at}ffn_norm`, f.sum, width);
    }
}

export class Network {
    /**
     * Allocates all weights; load.js fills them.
     * @param {Runtime} runtime
     * @param {ModelDescription} description
     * @param {(role: string) => string} typeOf type in which a matrix is kept, by its role
     * @throws {RangeError} when the memory is exhausted; nothing stays allocated then
     */
    constructor(runtime, description, typeOf) {
        this.runtime = runtime;
        this.description = description;
        this._typeOf = typeOf;
        /** @type {{ dispose(): void }[]} */
        this._owned = [];
        /**
         * Where weights go, by role.
         * @type {Map<string, { matrix: PackedWeight } | { floats: (values: Float32Array, row: number) => void }>}
         */
        this.slots = new Map();
        /** Role of norm weights, biases or positions that are not finite, if loading has found some. @type {string | null} */
        this.notFinite = null;
        /**
         * Divisors of rotary frequencies, if the file has them as tensors.
         * @type {{ all?: Float32Array, short?: Float32Array, long?: Float32Array }}
         */
        this.divisors = {};
        this.slots.set('rope_freqs.weight', { floats: (values) => { this.divisors.all = values; } });
        this.slots.set('rope_factors_short.weight', { floats: (values) => { this.divisors.short = values; } });
        this.slots.set('rope_factors_long.weight', { floats: (values) => { this.divisors.long = values; } });
        this._bytes = 0;
        /** Most inputs of the matrices whose weights are in blocks. */
        this.inBlocks = 0;
        this.disposed = false;
        try {
            const { width, vocabulary, embedding, head, finalNorm } = description;
            const narrow = embedding.width ?? width;
            this.embedding = this._matrix('token_embd', narrow, vocabulary, head.tied === true && head.bias, 'output');
            this.projection = narrow === width ? null : this._matrix('token_embd_in', narrow, width, false);
            /** A row of zeros, for embeddings of positions alone. */
            this.nothing = narrow === width ? null : this._matrix('', width, 1, false);
            this.embeddingNorm = this._norm('token_embd_norm', embedding.norm, width);
            const { positions, skipped, sinusoidal } = embedding;
            /** Address of [positions][width] floats; 0: none. */
            this.positions = positions === null ? 0 : this._table('position_embd.weight', skipped + positions, width) + 4 * skipped * width;
            if (sinusoidal) this._fillSinusoids(Number(positions), skipped);
            this.layers = description.layers.map((layer, i) => new LayerWeights(this, `blk.${i}.`, layer));
            this.finalNorm = this._norm(finalNorm.role ?? 'output_norm', finalNorm, width);
            this.dense = head.dense ? this._matrix('output_dense', width, narrow, head.dense.bias) : null;
            this.denseNorm = this._norm('output_dense_norm', head.dense?.norm, narrow);
            this.head = head.tied ? this.embedding : this._matrix('output', narrow, vocabulary, head.bias);
        } catch (error) {
            this.dispose();
            throw error;
        }
        /** Width of each scratch buffer: the most that any layer needs. */
        this.widest = widest(description);
        /** Whether every layer has a streaming softmax. Otherwise scratch grows with every position, and a program cannot be run again. */
        this.streams = !description.layers.some(({ attention }) => attention?.explicit);
        /** Kinds of rotation. */
        this.ropes = [...new Set(description.layers.flatMap(({ attention }) => attention?.rope ?? []))];
        /** Whether logits depend on the positions of keys themselves (ALiBi), not on how these are rotated. */
        this.biased = description.layers.some(({ attention }) => attention?.alibi);
        /** Whether a text has to be read again once it is a long one, as then all its keys are rotated otherwise (LongRoPE). */
        this.rereads = this.ropes.some(({ scaling }) => scaling.type === 'longrope');
        /** Why what a cache holds cannot move to other positions; null: it can. @type {string | null} */
        this.fixed = description.embedding.positions !== null
            ? `${description.embedding.sinusoidal ? 'sinusoidal' : 'learned'} positions, which lie in its keys and values`
            : description.layers.some(({ attention }) => attention?.headNorm?.turned)
                ? 'keys that are normalized after their rotation' : null;
        /** The different sliding windows of its layers. */
        this.windows = [...new Set(description.layers.flatMap(({ attention }) => attention?.window ?? []))];
        /** How many positions before its own a convolution sees. */
        this.reach = Math.max(0, ...description.layers.map(({ convolution }) => (convolution ? convolution.taps - 1 : 0)));
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
        const type = weightType(this._typeOf(`${role}.weight`));
        const matrix = new PackedWeight(this.runtime, type, inputs, outputs, { bias });
        this._owned.push(matrix);
        this._bytes += matrix.bytes;
        this.inBlocks = Math.max(this.inBlocks, matrix.inBlocks ? inputs : 0);
        this.slots.set(`${role}.weight`, { matrix });
        if (matrix.isScaled) {
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

    /** @param {string} role @param {number} channels @param {import('./description.js').Convolution} convolution */
    _convolution(role, channels, { taps, bias }) {
        const weights = new ConvolutionWeights(this.runtime, { channels, taps, bias });
        this._owned.push(weights);
        this.slots.set(`${role}.weight`, { floats: (values, row) => weights.loadWeight(values, row) });
        if (bias) {
            this.slots.set(`${role}.bias`, { floats: (values) => weights.loadBias(values) });
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

    /**
     * Sines of the positions, then cosines, as tensor2tensor has them.
     * @param {number} positions @param {number} skipped rows before them
     */
    _fillSinusoids(positions, skipped) {
        const { runtime: { memory }, description: { width } } = this;
        const half = Math.floor(width / 2);
        const frequencies = Array.from({ length: half }, (_, i) => 10000 ** (-i / (half - 1)));
        const table = memory.f32(this.positions, positions * width);
        for (let p = 0; p < positions; p++) {
            const angles = frequencies.map((frequency) => (p + skipped) * frequency);
            table.set([...angles.map(Math.sin), ...angles.map(Math.cos)], p * width);
        }
    }

    /** @param {string} [what] @throws {Error} after dispose() */
    check(what = 'model') {
        this.runtime._check(what);
        if (this.disposed) {
            throw new Error(`${what}: this model has been disposed`);
        }
    }

    /**
     * A key of the rotary frequencies for a text of some length: equal keys, equal frequencies. It never falls as the length grows.
     * @param {number} length of the text
     */
    lengthKey(length) {
        let sum = 0;
        for (let i = 0; i < this.ropes.length; i++) {
            sum += lengthKey(this.ropes[i].scaling, length);
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

    /** @returns {Turner} for the keys of any layer @throws {RangeError} when the memory is exhausted */
    makeTurner() {
        return new Turner(this.runtime, Math.max(1, ...this.ropes.map(({ dims }) => dims / 2)));
    }

    /**
     * For the error message about logits that are not finite: what may be the cause.
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
        this.disposed = true;
        this._owned.forEach((part) => part.dispose());
        this._owned = [];
    }
}

/**
 * Widths of a layer's intermediate results, each the largest over all layers. What a convolution projects takes the place of queries.
 * @param {ModelDescription} description
 */
function widest({ layers, width }) {
    const most = (/** @type {(layer: Block) => number} */ of) => Math.max(...layers.map(of));
    return {
        q: most(({ attention: a }) => (a ? a.heads * a.keyDim : 3 * width)),
        k: most(({ attention: a }) => (a ? a.kvHeads * a.keyDim : 0)),
        v: most(({ attention: a }) => (a ? a.kvHeads * a.valueDim : 0)),
        mixed: most(({ attention: a }) => (a ? a.heads * a.valueDim : width)),
        inner: most(({ attention: a, feedForward: f }) => Math.max(f.width, a?.gated ? a.heads : 0)),
    };
}
