// Attention scores of chosen layers and heads, collected from passes until they are taken.

import { rangeError, typeError } from '../check.js';

/** @typedef {import('./language-model.js').LanguageModel} LanguageModel */

/**
 * @typedef {number | readonly number[] | { layers: readonly number[], heads?: readonly number[] }} AttentionOption a layer, a list of
 *   layers, or layers and the heads that are wanted of each
 *
 * @typedef {object} AttentionScores scores of the positions read since the item before: for the first item what was read of the prompt,
 *   then one position each
 * @property {number} layer
 * @property {number} start position of the first row
 * @property {number[]} shape [heads, rows, positions], positions = start + rows; in a cache with sinks at most its capacity
 * @property {Float32Array} data each row adds up to 1
 *
 * @typedef {object} Wanted
 * @property {readonly number[]} layers
 * @property {readonly number[] | null} heads null: all
 * @property {boolean} single whether one layer was named, not a list
 */

/** @param {LanguageModel} model @param {number} layer @returns {number} 0: it has no attention */
const headsOf = (model, layer) => model.network.description.layers[layer].attention?.heads ?? 0;

/** @param {LanguageModel} model @param {AttentionOption} attention @returns {Wanted} */
export function checkAttention(model, attention) {
    const single = typeof attention === 'number';
    /** @type {any} */
    const given = single ? { layers: [attention] } : Array.isArray(attention) ? { layers: attention } : attention;
    const { layers, heads, ...others } = Object(given);
    if (layers === undefined || Object.keys(others).length > 0) {
        throw typeError('attention', 'a layer, a list of layers, or { layers, heads }', attention);
    }
    const name = single ? 'attention' : 'attention.layers';
    const chosen = checkList(name, layers, model.layers, 'a layer');
    const most = Math.min(...chosen.map((layer) => headsOf(model, layer)));
    if (most === 0) {
        throw rangeError(name, 'layers that have attention', layers);
    }
    return { layers: chosen, heads: heads === undefined ? null : checkList('attention.heads', heads, most, 'a head'), single };
}

/** @param {string} name @param {unknown} list @param {number} count @param {string} what @returns {number[]} a copy */
export function checkList(name, list, count, what) {
    if (!Array.isArray(list) || list.length === 0) {
        throw typeError(name, `${what} or a list of them`, list);
    }
    if (list.length > count) {
        throw rangeError(name, `at most ${count}`, list);
    }
    const copy = Array.from(list);
    copy.forEach((one, i) => {
        if (!(Number.isInteger(one) && one >= 0 && one < count)) {
            throw rangeError(name, `${what} from 0 to ${count - 1}`, one);
        }
        if (copy.indexOf(one) !== i) {
            throw rangeError(name, `${what} each once`, list);
        }
    });
    return copy;
}

/** Collects scores from passes until they are taken. */
export class AttentionLog {
    /** @param {LanguageModel} model @param {Wanted} wanted */
    constructor(model, wanted) {
        this._model = model;
        this._wanted = wanted;
        /** @type {Map<number, { start: number, rows: number, data: Float32Array }[]>} */
        this._pieces = new Map(wanted.layers.map((layer) => [layer, []]));
    }

    /** What a PassJob is given, to report scores here. @returns {import('../model/pass-job.js').AttentionWatch} */
    get watch() {
        return {
            layers: this._wanted.layers,
            read: (layer, scores, rows, start) => {
                this._pieces.get(layer)?.push({ start, rows, data: this._chosen(scores, rows * (start + rows)) });
            },
        };
    }

    /** @param {Float32Array} scores of all heads @param {number} each numbers of one @returns {Float32Array} a copy of those wanted */
    _chosen(scores, each) {
        const { heads } = this._wanted;
        if (heads === null) {
            return scores.slice();
        }
        const data = new Float32Array(heads.length * each);
        heads.forEach((head, i) => data.set(scores.subarray(head * each, (head + 1) * each), i * each));
        return data;
    }

    /** @returns {AttentionScores | AttentionScores[]} those since the last time, in the form that was asked for */
    take() {
        const all = this._wanted.layers.map((layer) => {
            const pieces = this._pieces.get(layer)?.splice(0) ?? [];
            const heads = this._wanted.heads?.length ?? headsOf(this._model, layer);
            return joined(layer, pieces, heads);
        });
        return this._wanted.single ? all[0] : all;
    }
}

/**
 * @param {number} layer
 * @param {{ start: number, rows: number, data: Float32Array }[]} pieces
 * @param {number} heads
 * @returns {AttentionScores}
 */
function joined(layer, pieces, heads) {
    const { start } = pieces[0];
    const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
    const last = pieces[pieces.length - 1];
    const positions = last.start + last.rows;
    if (pieces.length === 1) {
        return { layer, start, shape: [heads, rows, positions], data: last.data };
    }
    const data = new Float32Array(heads * rows * positions);
    let first = 0;
    for (const piece of pieces) {
        const width = piece.start + piece.rows;
        for (let i = 0; i < heads * piece.rows; i++) {
            const row = Math.floor(i / piece.rows) * rows + first + (i % piece.rows);
            data.set(piece.data.subarray(i * width, (i + 1) * width), row * positions);
        }
        first += piece.rows;
    }
    return { layer, start, shape: [heads, rows, positions], data };
}
