// The weights that a description asks for: their roles and shapes.

import { mixerOf } from './description.js';

/** @typedef {import('./description.js').ModelDescription} ModelDescription */

/**
 * The shape of every weight that a description asks for, by role: [outputs, inputs], or [n].
 * @param {ModelDescription} d
 * @returns {Map<string, number[]>}
 */
export function shapesOf(d) {
    /** @type {Map<string, number[]>} */
    const shapes = new Map();
    const narrow = d.embedding.width ?? d.width;
    shapes.set('token_embd.weight', [d.vocabulary, narrow]);
    if (narrow !== d.width) {
        shapes.set('token_embd_in.weight', [d.width, narrow]);
    }
    addNorm(shapes, 'token_embd_norm', d.embedding.norm, [d.width]);
    if (d.embedding.positions !== null && !d.embedding.sinusoidal) {
        shapes.set('position_embd.weight', [d.embedding.skipped + d.embedding.positions, d.width]);
    }
    addNorm(shapes, d.finalNorm.role ?? 'output_norm', d.finalNorm, [d.width]);
    if (!d.head.tied) {
        shapes.set('output.weight', [d.vocabulary, narrow]);
    }
    if (d.head.dense) {
        addMatrix(shapes, 'output_dense', narrow, d.width, d.head.dense.bias);
        addNorm(shapes, 'output_dense_norm', d.head.dense.norm, [narrow]);
    }
    if (d.head.bias) {
        shapes.set('output.bias', [d.vocabulary]);
    }
    d.layers.forEach((layer, i) => addLayer(shapes, `blk.${i}.`, layer, d.width));
    return shapes;
}

/**
 * @param {Map<string, number[]>} shapes
 * @param {string} role
 * @param {import('./description.js').Norm | undefined} norm
 * @param {number[]} shape
 */
function addNorm(shapes, role, norm, shape) {
    if (norm && norm.weight !== false) {
        shapes.set(`${role}.weight`, shape);
    }
    if (norm?.bias) {
        shapes.set(`${role}.bias`, shape);
    }
}

/** @param {Map<string, number[]>} shapes @param {string} role @param {number} outputs @param {number} inputs @param {boolean} bias */
function addMatrix(shapes, role, outputs, inputs, bias) {
    shapes.set(`${role}.weight`, [outputs, inputs]);
    if (bias) {
        shapes.set(`${role}.bias`, [outputs]);
    }
}

/** @param {Map<string, number[]>} shapes @param {string} at @param {import('./description.js').Block} layer @param {number} width */
function addLayer(shapes, at, layer, width) {
    const { attention: a, convolution: c, feedForward: f, sharedNorm } = layer;
    /** @param {string} role @param {number} outputs @param {number} inputs @param {boolean} bias */
    const matrix = (role, outputs, inputs, bias) => addMatrix(shapes, at + role, outputs, inputs, bias);
    const { before, after } = mixerOf(layer);
    addNorm(shapes, `${at}attn_norm`, before ?? a?.sum, [width]);
    if (c) {
        matrix('shortconv.in_proj', 3 * width, width, c.bias);
        matrix('shortconv.conv', width, c.taps, c.bias);
        matrix('shortconv.out_proj', width, width, c.bias);
    }
    if (a) {
        matrix('attn_q', a.heads * a.keyDim, width, a.bias.q);
        matrix('attn_k', a.kvHeads * a.keyDim, width, a.bias.k);
        matrix('attn_v', a.kvHeads * a.valueDim, width, a.bias.v);
        matrix('attn_output', width, a.heads * a.valueDim, a.bias.o);
        if (a.gated) {
            matrix('attn_gate', a.heads, width, false);
        }
    }
    if (a?.headNorm) {
        const { norm, over, own } = a.headNorm;
        const shape = (/** @type {number} */ heads) => (over === 'all' ? [heads * a.keyDim] : own ? [heads, a.keyDim] : [a.keyDim]);
        addNorm(shapes, `${at}attn_q_norm`, norm, shape(a.heads));
        addNorm(shapes, `${at}attn_k_norm`, norm, shape(a.kvHeads));
    }
    addNorm(shapes, `${at}post_attention_norm`, after, [width]);
    if (!sharedNorm) {
        addNorm(shapes, `${at}ffn_norm`, f.before ?? f.sum, [width]);
    }
    if (f.gated) {
        matrix('ffn_gate', f.width, width, f.bias);
    }
    matrix('ffn_up', f.width, width, f.bias);
    matrix('ffn_down', width, f.width, f.bias);
    addNorm(shapes, `${at}post_ffw_norm`, f.after, [width]);
}
