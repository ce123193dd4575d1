// What the files of most families have in common: sizes, norms, kinds of layers, and the names of a Llama's tensors.

import { ACTIVATIONS } from '../description.js';
import { checkFormat } from '../../check.js';

/** @typedef {import('../fields.js').Fields} Fields */
/** @typedef {import('../description.js').ModelDescription} ModelDescription */
/** @typedef {import('../description.js').Block} Block */
/** @typedef {import('../description.js').Attention} Attention */
/** @typedef {import('../description.js').FeedForward} FeedForward */
/** @typedef {import('../description.js').Norm} Norm */
/** @typedef {import('../description.js').Rope} Rope */

/**
 * What a family may know of the file that its config came from.
 * @typedef {object} ModelFile
 * @property {'safetensors' | 'gguf' | 'keras'} format safetensors: a folder of Hugging Face, a PyTorch checkpoint in it too
 * @property {(role: string) => boolean} has whether it has the tensor of a role, `blk.0.attn_q.bias`
 *
 * @typedef {object} Family
 * @property {string} name
 * @property {readonly string[]} types `model_type` of config.json, `general.architecture` of GGUF
 * @property {(fields: Fields, file: ModelFile) => Omit<ModelDescription, 'family'>} describe
 * @property {readonly string[]} prefixes that a file's names may have
 * @property {Record<string, string>} names of a Hugging Face folder, without prefix and `.weight` or `.bias`, to roles (the
 *   names of GGUF); # is a number
 * @property {Record<string, string>} [gguf] roles that its GGUF files call otherwise
 * @property {RegExp} [transposed] roles that a folder stores as [inputs, outputs]
 * @property {boolean} [addStart] texts begin with the start token, though the folder's tokenizer does not add it
 * @property {boolean} [headByHead] a folder's fused queries, keys and values follow one another key head by key head
 * @property {{ order: string[], groups: number }} [qkv] in which order they are fused else, and in how many parts of each
 */

/** @type {Record<string, string>} */
export const LLAMA_NAMES = {
    embed_tokens: 'token_embd', norm: 'output_norm', lm_head: 'output',
    'layers.#.input_layernorm': 'blk.#.attn_norm',
    'layers.#.self_attn.q_proj': 'blk.#.attn_q',
    'layers.#.self_attn.k_proj': 'blk.#.attn_k',
    'layers.#.self_attn.v_proj': 'blk.#.attn_v',
    'layers.#.self_attn.o_proj': 'blk.#.attn_output',
    'layers.#.self_attn.q_norm': 'blk.#.attn_q_norm',
    'layers.#.self_attn.k_norm': 'blk.#.attn_k_norm',
    'layers.#.post_attention_layernorm': 'blk.#.ffn_norm',
    'layers.#.mlp.gate_proj': 'blk.#.ffn_gate',
    'layers.#.mlp.up_proj': 'blk.#.ffn_up',
    'layers.#.mlp.down_proj': 'blk.#.ffn_down',
};

/** Norms around both sublayers (Gemma 2 and 3); OLMo 2 has only those behind. @type {Record<string, string>} */
export const SANDWICH_NAMES = {
    ...LLAMA_NAMES,
    'layers.#.post_attention_layernorm': 'blk.#.post_attention_norm',
    'layers.#.pre_feedforward_layernorm': 'blk.#.ffn_norm',
    'layers.#.post_feedforward_layernorm': 'blk.#.post_ffw_norm',
};

/** @param {boolean} all whether queries, keys, values and the output have biases @returns {Attention['bias']} */
export const biases = (all) => ({ q: all, k: all, v: all, o: all });

/** @param {number} epsilon @param {number} [offset] @returns {Norm} */
export const rms = (epsilon, offset = 0) => ({ kind: 'rms', epsilon, offset });

/** @param {number} epsilon @param {boolean} [weight] false: without weight and bias @returns {Norm} */
export const layerNorm = (epsilon, weight = true) => ({ kind: 'layer', epsilon, weight, bias: weight });

/**
 * @typedef {object} Sizes
 * @property {number} width
 * @property {number} count of layers
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} keyDim
 * @property {number} valueDim
 * @property {number} inner
 * @property {number} vocabulary
 * @property {number} context
 */

/** More would only be a way to make a small file take a large memory. */
export const MOST_LAYERS = 1024;

/**
 * @param {Fields} f
 * @param {string | string[]} names spellings of the field
 * @returns {number} of layers
 */
export function layerCount(f, names) {
    const count = f.count(names);
    checkFormat(count <= MOST_LAYERS, 'config-invalid', `${f.where}: ${[names].flat()[0]} must be at most ${MOST_LAYERS}, got ${count}`);
    return count;
}

/**
 * @param {Fields} f
 * @param {{ kvHeads?: number, keyDim?: number, inner?: number, context?: number }} [usual] what the family has where the file says
 *   nothing, which null is not; otherwise as many key heads as query heads, which share the width
 * @param {{ width?: string[], count?: string[], heads?: string[], inner?: string | string[], context?: string[] }} [spelling] fields with
 *   names of the family's own
 * @returns {Sizes}
 */
export function readSizes(f, usual = {}, spelling = {}) {
    const width = f.count(spelling.width ?? 'hidden_size');
    const count = layerCount(f, spelling.count ?? 'num_hidden_layers');
    const heads = f.count(spelling.heads ?? 'num_attention_heads');
    const kvHeads = f.countOrNone('num_key_value_heads', usual.kvHeads) ?? heads;
    checkFormat(heads % kvHeads === 0, 'config-invalid',
        `${f.where}: num_attention_heads must be a multiple of num_key_value_heads ${kvHeads}, got ${heads}`);
    const given = f.countOrNone('head_dim', usual.keyDim);
    checkFormat(given !== null || width % heads === 0, 'config-invalid',
        `${f.where}: hidden_size must be a multiple of num_attention_heads ${heads}, got ${width}`);
    const keyDim = given ?? width / heads;
    return {
        width, count, heads, kvHeads, keyDim, valueDim: f.countOrNone('v_head_dim') ?? keyDim,
        inner: f.count(spelling.inner ?? 'intermediate_size', usual.inner), vocabulary: f.count('vocab_size'),
        context: f.count(spelling.context ?? 'max_position_embeddings', usual.context),
    };
}

/**
 * Rotation of the first part of every head.
 * @param {import('../rope.js').Scaling} scaling
 * @param {number} keyDim
 * @param {number | null} partial of the head
 * @param {boolean} [pairs] elements next to each other are rotated together: how GGUF stores a Llama
 * @param {boolean} [odd] an odd number of elements takes one more along
 * @returns {Rope}
 */
export function rope(scaling, keyDim, partial, pairs = false, odd = false) {
    const turned = Math.floor(keyDim * (partial ?? 1));
    checkFormat(scaling.type !== 'proportional' || turned === keyDim, 'config-unsupported',
        'rope_type "proportional" beside partial_rotary_factor is not supported');
    const dims = turned + turned % 2;
    checkFormat(dims > 0 && dims <= keyDim && (odd || dims === turned), 'config-invalid',
        `rotary positions: an even number of a head's ${keyDim} elements must be rotated, got ${turned}`);
    return { dims, pairing: pairs ? 'pairs' : 'halves', scaling: turned < dims ? { ...scaling, turned } : scaling };
}

/**
 * @param {Sizes} sizes
 * @param {Partial<Attention>} others
 * @returns {Attention}
 */
export function attention({ heads, kvHeads, keyDim, valueDim }, others) {
    return {
        heads, kvHeads, keyDim, valueDim, bias: biases(false), scale: 1 / Math.sqrt(keyDim), softcap: null,
        window: null, headNorm: null, rope: null, ...others,
    };
}

/**
 * @param {Fields} f
 * @param {string} usual what the family has where nothing says it: GGUF does not
 * @returns {import('../description.js').Activation}
 */
export function activationOf(f, usual) {
    return f.word(['hidden_act', 'hidden_activation', 'activation_function'], ACTIVATIONS, usual);
}

/**
 * @param {Fields} f
 * @param {Sizes} sizes
 * @param {Partial<FeedForward>} others
 * @returns {FeedForward} gated by SiLU and without bias, where nothing else is said
 */
export function feedForward(f, sizes, others) {
    return { width: sizes.inner, activation: activationOf(f, 'silu'), gated: true, bias: false, ...others };
}

/**
 * @param {Attention | undefined} attention_ undefined: a convolution is among the others
 * @param {FeedForward} feedForward_
 * @param {Partial<Block>} [others]
 * @returns {Block}
 */
export function block(attention_, feedForward_, others) {
    return { attention: attention_, feedForward: feedForward_, parallel: false, sharedNorm: false, residualScale: 1, ...others };
}

/**
 * Layers with norms behind their residual additions; the last of these is the final norm.
 * @param {number} count
 * @param {Norm} norm
 * @param {Attention} attention_
 * @param {FeedForward} feed
 * @returns {[layers: Block[], finalNorm: ModelDescription['finalNorm']]}
 */
export function normedBehind(count, norm, attention_, feed) {
    const layer = (/** @type {FeedForward} */ last) => block({ ...attention_, sum: norm }, last);
    const layers = [...Array(count - 1).fill(layer({ ...feed, sum: norm })), layer(feed)];
    return [layers, { ...norm, role: `blk.${count - 1}.ffn_norm` }];
}

/**
 * @param {Sizes} sizes
 * @param {Block[]} layers
 * @param {ModelDescription['finalNorm']} finalNorm
 * @param {{ embedded?: number, embeddingScale?: number, embeddingNorm?: Norm, positions?: number | null, skipped?: number, sinusoidal?: boolean,
 *   tied: boolean | null, bias?: boolean, scale?: number, softcap?: number | null, dense?: import('../description.js').Dense }} others
 * @returns {Omit<ModelDescription, 'family'>}
 */
export function model({ width, vocabulary, context }, layers, finalNorm, others) {
    const { embedded, embeddingScale = 1, embeddingNorm: norm, positions = null, skipped = 0, sinusoidal } = others;
    const { tied, bias = false, scale = 1, softcap = null, dense } = others;
    return {
        width, vocabulary, context, layers, finalNorm,
        embedding: { width: embedded, scale: embeddingScale, norm, positions, skipped, sinusoidal },
        head: { tied, bias, scale, softcap, dense },
    };
}

/**
 * Which layers have a sliding window.
 * @param {Fields} f
 * @param {number} count
 * @param {number | null} window its width
 * @param {(layer: number) => boolean} usual what is meant where no `layer_types` says it
 * @returns {boolean[]}
 */
export function slidingLayers(f, count, window, usual) {
    const types = f.list('layer_types', count);
    const sliding = Array.from({ length: count }, (_, i) => {
        if (types === null) {
            return usual(i);
        }
        return types[i] === 'sliding_attention' || (types[i] !== 'full_attention' && f.unsupported('layer_types', types[i]));
    });
    return sliding.includes(true) && window === null
        ? f.refuse('sliding_window', 'a width, as layers have a window', null) : sliding;
}

/**
 * Qwen's windows: asked for by a flag, and then of the later layers.
 * @param {Fields} f
 * @param {number} count
 * @returns {{ window: number | null, sliding: boolean[] }} the width, and which layers have it
 */
export function laterWindows(f, count) {
    const slides = f.flag('use_sliding_window', false);
    const window = slides ? f.countOrNone('sliding_window', 4096) : null;
    const first = f.index('max_window_layers', 28);
    f.ignore('sliding_window');
    return { window, sliding: slidingLayers(f, count, window, (i) => window !== null && i >= first) };
}

/**
 * @param {Fields} f @param {ModelFile} file @param {string} name of the config's field @param {boolean} usual
 * @param {string} role of a tensor that tells, should the config be silent
 */
export function hasBias(f, file, name, usual, role) {
    return f.flag(name, usual) || file.has(role);
}
