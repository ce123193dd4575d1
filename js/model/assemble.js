// From a model's files to a plan: its description, and where in the network each tensor goes, checked before any weight is read.

import { FormatError, checkFormat, show } from '../check.js';
import { requireWeightType } from '../files/ggml-types.js';
import { firstAttention, freeze, mixerOf } from './description.js';
import { familyOf } from './families/index.js';
import { Fields } from './fields.js';
import { rolesOf } from './roles.js';
import { shapesOf } from './shapes.js';

/** @typedef {import('./description.js').ModelDescription} ModelDescription */
/** @typedef {import('./families/common.js').Family} Family */
/** @typedef {import('../files/tensor-source.js').TensorInfo} TensorInfo */
/** @typedef {import('../files/tensor-source.js').TensorSource} TensorSource */

/**
 * Where some rows of a tensor go.
 * @typedef {object} Placement
 * @property {string} role
 * @property {number} from first of the rows in the tensor; of its outputs, if it is stored as [inputs, outputs]
 * @property {number} to first of the rows in the role
 * @property {number} count of rows
 *
 * @typedef {object} Plan
 * @property {Family} family
 * @property {string} architecture model_type of config.json, general.architecture of a GGUF file
 * @property {ModelDescription} description
 * @property {Map<string, { tensor: TensorInfo, transposed: boolean, places: Placement[] }>} tensors by their names
 * @property {Map<string, string>} types that the weights have in the file, by role
 * @property {string[]} harmless fields and tensors that were set aside
 */

/** Roles of the divisors of rotary frequencies, which GGUF files have as tensors. */
const DIVISORS = ['rope_freqs.weight', 'rope_factors_short.weight', 'rope_factors_long.weight'];

/**
 * @param {TensorSource} source
 * @returns {Plan}
 * @throws {FormatError} for what is not understood, missing or of the wrong shape
 */
export function planOf(source) {
    const family = familyOf(source.config.model_type);
    const { byRole, harmless } = rolesOf(family, source);
    const fields = new Fields(source.config, source.format === 'gguf' ? 'metadata' : 'config.json');
    fields.ignore('bos_token_id', 'eos_token_id', 'model_type');
    const has = (/** @type {string} */ role) => byRole.has(role) || byRole.has(role.replace(/attn_[qkv]\./, 'attn_qkv.'));
    const described = family.describe(fields, { format: source.format === 'pytorch' ? 'safetensors' : source.format, has });
    const set = fields.finish();
    const head = byRole.get('output.weight')?.[0].tensor;
    if (head?.same !== undefined && described.head.tied !== false) {
        byRole.delete('output.weight');     // the embedding by another name
        harmless.push(head.name);
    }
    const description = settle({ family: family.name, ...described }, byRole, source);
    /** @type {Plan} */
    const plan = { family, architecture: source.config.model_type, description: freeze(description), tensors: new Map(), types: new Map(),
        harmless: [...set, ...harmless] };
    const wanted = shapesOf(description);
    const roles = Array.from(byRole);
    const isScale = (/** @type {[string, any]} */ [role]) => role.endsWith('.scale');
    placeAll(plan, wanted, roles.filter((each) => !isScale(each)), source.format);
    wantScales(plan, wanted);
    placeAll(plan, wanted, roles.filter(isScale), source.format);
    for (const layer of description.layers) {
        const rope = layer.attention?.rope;
        checkFormat(layer.residualScale === 1 || !mixerOf(layer).after, 'config-unsupported',
            'a norm behind a sublayer and a multiplier of what it gives');
        const lacks = rope?.scaling.type === 'longrope' && rope.scaling.long === null && !byRole.has('rope_factors_long.weight');
        checkFormat(!lacks, 'config-missing-key', 'rope_scaling has no long_factor and short_factor');
        for (const factors of [rope?.scaling.short, rope?.scaling.long]) {
            checkFormat(!rope || !factors || factors.length === rope.dims / 2, 'config-invalid',
                `rope_scaling: long_factor and short_factor must have ${(rope?.dims ?? 0) / 2} numbers, got ${factors?.length}`);
        }
    }
    checkComplete(plan, wanted);
    return plan;
}

/**
 * Settles what depends on the tensors: the head is the embedding unless the file has a head, whatever its config says.
 * @param {ModelDescription} description
 * @param {Map<string, import('./roles.js').Part[]>} byRole
 * @param {TensorSource} source
 * @returns {ModelDescription}
 */
function settle(description, byRole, source) {
    const own = byRole.has('output.weight');
    checkFormat(own || description.head.tied !== false || source.format === 'gguf', 'tensor-missing',
        'config.json says that the head is not tied, and the file has no tensor for it');
    return { ...description, head: { ...description.head, tied: !own } };
}

/**
 * @param {Plan} plan
 * @param {Map<string, number[]>} wanted
 * @param {[string, import('./roles.js').Part[]][]} roles
 * @param {string} format
 */
function placeAll(plan, wanted, roles, format) {
    for (const [role, parts] of roles) {
        for (const { tensor, row } of parts) {
            place(plan, wanted, role, tensor, row, format);
        }
    }
}

/** Integers need the scales of their outputs: these become wanted too. @param {Plan} plan @param {Map<string, number[]>} wanted */
function wantScales(plan, wanted) {
    for (const [role, type] of plan.types) {
        if (type === 'I8') {
            const shape = /** @type {number[]} */ (wanted.get(role));
            wanted.set(role.replace(/weight$/, 'scale'), [shape[0]]);
        }
    }
}

/**
 * Adds a tensor to the plan.
 * @param {Plan} plan
 * @param {Map<string, number[]>} wanted
 * @param {string} role
 * @param {TensorInfo} tensor
 * @param {number} row
 * @param {string} format
 */
function place(plan, wanted, role, tensor, row, format) {
    const { family, description } = plan;
    if (format !== 'keras') {
        requireWeightType(tensor);      // a preset's bytes have scales
    }
    if (DIVISORS.includes(role)) {
        const dims = Math.max(...description.layers.map(({ attention }) => attention?.rope?.dims ?? 0));
        checkFormat(tensor.shape.length === 1 && tensor.shape[0] === dims / 2, 'tensor-shape',
            `the tensor ${role} must have the shape [${dims / 2}], got [${tensor.shape}]`);
        plan.tensors.set(tensor.name, { tensor, transposed: false, places: [{ role, from: 0, to: 0, count: 1 }] });
        return;
    }
    const transposed = format !== 'gguf' && family.transposed?.test(role) === true;
    // A kernel of a convolution, each channel by itself: [channels, 1, taps].
    const stored = role.endsWith('.shortconv.conv.weight') ? tensor.shape.filter((n, axis) => axis !== 1 || n > 1) : tensor.shape;
    const shape = transposed ? [...stored].reverse() : stored;
    const places = fusedPlaces(plan, wanted, role, shape, format) ?? simplePlace(wanted, role, row);
    if (places === null) {
        throw new FormatError('tensor-unknown', `nothing is known of the tensor ${show(tensor.name)} in this ${description.family}`);
    }
    checkShape(wanted, places, shape, tensor, row);
    for (const { role: part } of places) {
        plan.types.set(part, tensor.type);
    }
    plan.tensors.set(tensor.name, { tensor, transposed, places });
}

/** @param {Map<string, number[]>} wanted @param {string} role @param {number} row @returns {Placement[] | null} */
function simplePlace(wanted, role, row) {
    const shape = wanted.get(role);
    return shape ? [{ role, from: 0, to: row, count: shape.length === 1 ? 1 : shape[0] }] : null;
}

/**
 * The parts of a fused tensor: queries, keys and values, or gate and up.
 * @param {Plan} plan
 * @param {Map<string, number[]>} wanted
 * @param {string} role
 * @param {readonly number[]} shape
 * @param {string} format
 * @returns {Placement[] | null}
 */
function fusedPlaces({ family, description }, wanted, role, shape, format) {
    const [, at, name, kind] = /^(blk\.(?:\d+)\.)(\w+)(\.weight|\.bias|\.scale)$/.exec(role) ?? [];
    const rows = (/** @type {string} */ part) => wanted.get(`${at}${part}.weight`)?.[0] ?? 0;
    const gate = rows('ffn_gate');
    if (name === 'attn_qkv') {
        const { order: parts, groups: together } = family.qkv ?? { order: ['attn_q', 'attn_k', 'attn_v'], groups: 1 };
        const all = parts.reduce((sum, part) => sum + rows(part), 0);
        const groups = all === 0 || format === 'gguf' ? 1 : family.headByHead ? firstAttention(description).kvHeads : together;
        // Before there is an entry for every head: the tensor's size is known to be in the file, the config's is not.
        checkFormat(groups === 1 || shape[0] === all, 'tensor-shape',
            `the tensor of ${role} must have ${all} rows, as the config says, got ${shape[0]}`);
        return split(at, kind, parts.map((part) => [part, rows(part) / groups]), groups);
    }
    if (name === 'ffn_gate_up' || (name === 'ffn_up' && gate > 0 && shape[0] === 2 * gate)) {
        return split(at, kind, [['ffn_gate', gate], ['ffn_up', gate]], 1);
    }
    return null;
}

/** @param {string} at @param {string} kind @param {[string, number][]} parts rows of each @param {number} times @returns {Placement[]} */
function split(at, kind, parts, times) {
    const places = [];
    let from = 0;
    for (let i = 0; i < times; i++) {
        for (const [part, count] of parts) {
            places.push({ role: `${at}${part}${kind}`, from, to: i * count, count });
            from += count;
        }
    }
    return places;
}

/**
 * @param {Map<string, number[]>} wanted
 * @param {Placement[]} places
 * @param {readonly number[]} shape
 * @param {TensorInfo} tensor
 * @param {number} row
 */
function checkShape(wanted, places, shape, tensor, row) {
    const role = /** @type {number[]} */ (wanted.get(places[0].role));
    checkFormat(role !== undefined, 'tensor-unknown', `nothing is known of the tensor ${show(tensor.name)}`);
    const fused = places.length > 1;
    const rows = fused ? places.reduce((sum, { count }) => sum + count, 0) : role[0];
    const expected = tensor.shape.length === 1 && !fused ? [role.length === 2 && row >= 0 ? role[1] : role[0]]
        : role.length === 1 ? [rows] : [rows, role[1]];
    const whole = role.length === 2 && tensor.shape.length === 1 && !fused;
    const fits = shape.length === expected.length && shape.every((n, axis) => n === expected[axis]) && (!whole || row < role[0]);
    checkFormat(fits, 'tensor-shape', `the tensor ${show(tensor.name)} must have the shape [${expected}], as the config says, got [${shape}]`);
    if (whole) {
        places[0].count = 1;
    }
}

/** @param {Plan} plan @param {Map<string, number[]>} wanted */
function checkComplete(plan, wanted) {
    /** @type {Map<string, number>} */
    const rows = new Map();
    for (const { places } of plan.tensors.values()) {
        for (const { role, count } of places) {
            rows.set(role, (rows.get(role) ?? 0) + count);
        }
    }
    for (const [role, shape] of wanted) {
        const needed = shape.length === 1 ? 1 : shape[0];
        const has = rows.get(role) ?? 0;
        checkFormat(has > 0, 'tensor-missing', `the file has no tensor for ${role} [${shape}]`);
        checkFormat(shape.length === 1 || has === needed, 'tensor-missing', `the file has ${has} rows for ${role}, ${needed} are needed`);
    }
}
