// Reads a folder that Keras Hub's `save_to_preset` wrote as if it were a Hugging Face folder: the config in Hugging Face's terms, tensors with
// Hugging Face's names and orientation; those of int8 as integers with scales, those of int4 as blocks of integers or as float32. This
// module is loaded only for such folders.
//
// Codes beside those of hdf5.js: `config-...` as for other models, `tensor-missing`, `tensor-unknown`, `tensor-shape`,
// `tensor-dtype`, `duplicate-name`, `shard-missing`, `tokenizer-...`.

import { FormatError, show } from '../check.js';
import { openHdf5 } from './hdf5.js';
import { isObject, parseJson } from './json.js';
import { readBackbone } from './keras/backbones.js';
import { embeddingOf, kernelOf } from './keras/dequantize.js';
import { readTokenizer } from './keras/tokenizer.js';
import { asStored, beside, bytesOf, headsFirst, inBlocks, turned, vector, ViewReader } from './keras/views.js';
import { isKerasConfig } from './texts.js';

/**
 * @typedef {import('./hdf5.js').Hdf5Dataset} Hdf5Dataset
 * @typedef {import('./keras/views.js').View} View
 * @typedef {import('./keras/backbones.js').Backbone} Backbone
 * @typedef {(path: string) => Promise<Uint8Array | null>} ReadFile a file of the folder, null where there is none
 *
 * @typedef {import('./tensor-source.js').TensorInfo} TensorInfo
 * @typedef {import('./tensor-source.js').TensorSource & { quantized: 'int8' | 'int4' | null }} KerasPreset quantized: how the
 *   weights are stored; tensors of int8 are I8, and beside each stands one called `.scale` instead of `.weight`, a number for
 *   each output to divide it by. Its notes tell where the preset's config says one thing and Keras does another
 */

/** Most bytes of a piece, unless one row is longer. */
const PIECE_BYTES = 1 << 20;

const WEIGHTS = 'model.weights.h5';
const INDEX = 'model.weights.json';

/** States of random number generators, for dropout. */
const HARMLESS = /(^|\/)seed_generator\/vars\/\d+$/;

/**
 * @param {ReadFile} read
 * @param {string} name of the folder, for messages
 * @returns {Promise<KerasPreset>}
 */
export async function openKerasPreset(read, name) {
    const file = await read('config.json');
    if (file === null) {
        throw new FormatError('config-missing', `config.json of ${name} is missing`);
    }
    const { value } = parseJson(file, 'config');
    if (!isKerasConfig(value)) {
        throw new FormatError('config-invalid', `config.json of ${name} is not that of a Keras preset`);
    }
    const { backbone, config, dtype, notes } = readBackbone(value);
    const { datasets, fileBytes } = await readDatasets(read, name);
    const found = new Tensors(datasets, backbone, config).all();
    noteTypes(dtype, notes);
    const tokens = await readTokenizer(read);
    if (tokens?.tokenizer.json.model.type === 'BPE') {
        notes.push('byte pairs are merged across words, as Keras does');
    }
    return {
        format: 'keras', name, architecture: backbone.type, config: { ...config, tie_word_embeddings: found.tied },
        generation: tokens?.generation ?? null, tokenizer: tokens?.tokenizer ?? null,
        tokenizerConfig: null, chatTemplate: null, metadata: null, fields: null,
        quantized: found.quantized, notes, fileBytes, ...streamOf(found.views),
    };
}

/**
 * @param {any} dtype of the backbone's config
 * @param {string[]} notes
 */
function noteTypes(dtype, notes) {
    const policy = isObject(dtype?.config) ? dtype.config.name : dtype;
    if (typeof policy === 'string' && policy !== 'float32') {
        notes.push(`the policy ${policy.slice(0, 40)} rounds what Keras computes; here it is computed in float32`);
    }
}

/**
 * @param {ReadFile} read
 * @param {string} name
 * @returns {Promise<{ datasets: Map<string, Hdf5Dataset>, fileBytes: number }>}
 */
async function readDatasets(read, name) {
    const whole = await read(WEIGHTS);
    if (whole !== null) {
        return { datasets: (await openHdf5(whole)).datasets, fileBytes: whole.length };
    }
    const index = await read(INDEX);
    if (index === null) {
        throw new FormatError('weights-missing', `${name} has neither ${WEIGHTS} nor ${INDEX}`);
    }
    const places = shardsOf(index);
    /** @type {Map<string, Hdf5Dataset>} */
    const datasets = new Map();
    let fileBytes = 0;
    for (const shard of new Set(Array.from(places.values()).flat())) {
        const bytes = await read(shard);
        if (bytes === null) {
            throw new FormatError('shard-missing', `${INDEX} names ${show(shard)}, which is not there`);
        }
        fileBytes += bytes.length;
        for (const [path, dataset] of (await openHdf5(bytes)).datasets) {
            const group = `/${path.replace(/\/[^/]*$/, '')}`;
            if (!places.get(group)?.includes(shard) || datasets.has(path)) {
                throw new FormatError('shard-mismatch',
                    `${show(path)} is in ${show(shard)}, and ${INDEX} does not say so`);
            }
            datasets.set(path, dataset);
        }
    }
    return { datasets, fileBytes };
}

/** @param {Uint8Array} index @returns {Map<string, string[]>} group -> files */
function shardsOf(index) {
    const { value } = parseJson(index, 'index');
    if (!isObject(value) || !isObject(value.weight_map)) {
        throw new FormatError('index-invalid', `${INDEX} has no weight_map`);
    }
    return new Map(Object.entries(value.weight_map).map(([group, files]) => {
        const list = [files].flat();
        // Names of files beside the index, never paths to somewhere else.
        if (list.length === 0 || !list.every((file) => typeof file === 'string' && /^[\w-][\w.-]*$/.test(file))) {
            throw new FormatError('index-invalid',
                `${INDEX}: ${show(group)} must name a file of the folder, got ${show(files)}`);
        }
        return [group, list];
    }));
}

/** From a file's datasets to tensors by Hugging Face's names. */
class Tensors {
    /**
     * @param {Map<string, Hdf5Dataset>} datasets
     * @param {Backbone} backbone
     * @param {Record<string, any>} config in Hugging Face's terms
     */
    constructor(datasets, backbone, config) {
        this._datasets = datasets;
        this._backbone = backbone;
        this._config = config;
        /** @type {Map<string, View>} */
        this._views = new Map();
        /** @type {Set<string>} */
        this._used = new Set();
        /** @type {'int8' | 'int4' | null} */
        this._quantized = null;
    }

    /** @returns {{ views: Map<string, View>, tied: boolean, quantized: 'int8' | 'int4' | null }} */
    all() {
        const { block, blocks, norm, names, places } = this._backbone;
        const tied = this._embedding(names.table);
        if (names.positions !== undefined) {
            this._views.set(`${names.positions}.weight`, asStored(this._variables('layers/position_embedding')[0], 1));
        }
        const layers = this._config.num_hidden_layers ?? this._config.n_layer;
        const within = Object.entries(places(this._config));
        for (let i = 0; i < layers; i++) {
            const group = `layers/${block}${i === 0 ? '' : `_${i}`}`;
            for (const [name, [groups, kind]] of within) {
                const paths = [groups].flat().map((part) => `${group}/${part}`);
                this._layer(`${blocks.replace('#', String(i))}.${name}`, paths, kind);
            }
        }
        this._layer(names.norm, [`layers/${norm}`], 'norm');
        const unknown = Array.from(this._datasets.keys()).find((path) => !this._used.has(path) && !HARMLESS.test(path));
        if (unknown !== undefined) {
            throw new FormatError('tensor-unknown',
                `nothing is known of the weight ${show(unknown)} of this ${this._backbone.type}`);
        }
        return { views: this._views, tied, quantized: this._quantized };
    }

    /** @param {string} group @returns {Hdf5Dataset[]} the variables of a layer by number */
    _variables(group) {
        const variables = [];
        for (let i = 0; ; i++) {
            const path = `${group}/vars/${i}`;
            const dataset = this._datasets.get(path);
            if (dataset === undefined) {
                break;
            }
            this._used.add(path);
            variables.push(dataset);
        }
        if (variables.length === 0) {
            throw new FormatError('tensor-missing', `the weights of ${show(group)} are missing`);
        }
        return variables;
    }

    /** @param {string} name @returns {boolean} whether the head is the table */
    _embedding(name) {
        const width = this._config.hidden_size ?? this._config.n_embd;
        const variables = this._variables('layers/reversible_embedding');
        const { table, head, scales: [scale, headScale], quantized } = embeddingOf(variables, width);
        this._quantized = quantized;
        this._views.set(`${name}.weight`, table.blocks ? inBlocks(table, table.shape[0]) : asStored(table, 1));
        this._scales(name, scale ? [scale] : []);
        this._scales('lm_head', headScale ? [headScale] : []);
        if (head !== null) {
            this._views.set('lm_head.weight', fromOutputs(head, 1));
        }
        return head === null;
    }

    /**
     * @param {string} name
     * @param {string[]} groups
     * @param {import('./keras/backbones.js').Kind} kind
     */
    _layer(name, groups, kind) {
        const all = groups.map((group) => this._variables(group));
        if (kind === 'norm') {
            const [[scale, bias, more]] = all;
            if (more !== undefined) {
                throw new FormatError('tensor-unknown',
                    `nothing is known of the weight ${show(more.path)}: a norm has two`);
            }
            this._set(name, [vector(scale)], bias ? [vector(bias)] : []);
            return;
        }
        const kernels = all.map((variables) =>
            kernelOf(variables, kind.endsWith('output') ? variables[0].shape.length - 1 : 1));
        const weights = kernels.map(({ values, inputs, quantized }) => {
            this._quantized ??= quantized;
            if (kind === 'heads first') {
                return headsFirst(quantized ? this._byHeads(values) : values);
            }
            return kind.startsWith('stored') ? asStored(values, inputs) : fromOutputs(values, inputs);
        });
        this._set(name, weights, kernels.flatMap(({ bias }) => (bias ? [vector(bias)] : [])));
        this._scales(name, kernels.flatMap(({ scale }) => scale ?? []));
    }

    /**
     * Quantized kernels of (heads, inputs, size): integers of 8 bits lie as the kernel did, and so do those of 4 once they
     * are numbers again. Keras packs the kernel by rows as if it had them, whatever its axes.
     * @param {import('./keras/views.js').Values} values [inputs, outputs], which is their number, not their order
     * @returns {import('./keras/views.js').Values}
     */
    _byHeads(values) {
        const [inputs, outputs] = values.shape;
        const size = this._config.head_dim;
        if (inputs !== this._config.hidden_size || outputs % size !== 0) {
            throw new FormatError('tensor-shape', `${show(values.path)} has ${inputs} inputs and ${outputs} outputs; ` +
                `the model's width is ${this._config.hidden_size}, its heads have ${size}`);
        }
        return { ...values, shape: [outputs / size, inputs, size] };
    }

    /** @param {string} name @param {Hdf5Dataset[]} scales of all outputs in a row, or none */
    _scales(name, scales) {
        if (scales.length > 0) {
            this._views.set(`${name}.scale`, beside(scales.map(vector)));
        }
    }

    /** @param {string} name @param {View[]} weights @param {View[]} biases of all, or none */
    _set(name, weights, biases) {
        this._views.set(`${name}.weight`, beside(weights));
        if (biases.length > 0) {
            if (biases.length !== weights.length) {
                throw new FormatError('tensor-missing', `a bias of ${show(name)} is missing`);
            }
            this._views.set(`${name}.bias`, beside(biases));
        }
    }
}

/** @param {import('./keras/views.js').Values} values @param {number} inputs how many axes are inputs @returns {View} */
function fromOutputs(values, inputs) {
    return values.blocks ? inBlocks(values, values.shape[1]) : turned(values, inputs);
}

/**
 * @param {Map<string, View>} views
 * @returns {Pick<KerasPreset, 'tensors' | 'read' | 'close'>}
 */
function streamOf(views) {
    const tensors = new Map(Array.from(views, ([name, view]) => {
        const bytes = bytesOf(view);
        const rows = view.shape.length === 1 || bytes === 0 ? 1 : view.shape[0];
        return [name, { name, shape: view.shape, type: view.type, bytes, rows, rowBytes: bytes / rows }];
    }));
    /** @type {KerasPreset['read']} */
    const read = async function* (wanted) {
        for (const info of Array.from(tensors.values()).filter((each) => wanted(each))) {
            const view = views.get(info.name);
            if (view === undefined) {
                throw new Error(`the preset has been closed, so ${info.name} cannot be read`);
            }
            const reader = new ViewReader(view);
            const most = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, info.rowBytes)));
            for (let firstRow = 0; firstRow < info.rows; firstRow += most) {
                const rows = Math.min(most, info.rows - firstRow);
                yield { info, firstRow, rows, bytes: reader.rows(firstRow, rows) };
            }
        }
    };
    // Any type that a preset may have is one of weights.
    return { tensors, read, close: () => views.clear() };
}
