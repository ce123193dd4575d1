// From names of tensors to roles. A role says what a tensor is to a model, by its name in GGUF (`blk.3.attn_q.weight`); the names of a
// Hugging Face folder are turned into roles by the model's family.

import { FormatError, show } from '../check.js';

/** @typedef {import('./families/common.js').Family} Family */
/** @typedef {import('../files/tensor-source.js').TensorInfo} TensorInfo */

/** Tensors of published files that no text depends on: buffers of older libraries, value heads, vision towers. */
const HARMLESS = [
    /rotary_emb\.inv_freq$/, /\.attn\.(bias|masked_bias|causal_mask)$/, /\.attention\.(bias|masked_bias)$/, /\.self_attn\.rotary_emb\./,
    /^model\.embed_positions\.weights$/, /^v_head\./, /^(model\.)?(vision_tower|vision_model|multi_modal_projector)\./,
];

/**
 * @typedef {object} Part
 * @property {TensorInfo} tensor
 * @property {number} row its first row within the role, if the role consists of several tensors
 */

/**
 * Assigns every tensor of a file its role.
 * @param {Family} family
 * @param {{ format: string, tensors: Map<string, TensorInfo> }} source
 * @returns {{ byRole: Map<string, Part[]>, harmless: string[] }} fused tensors by the roles `blk.#.attn_qkv` and
 *   `blk.#.ffn_gate_up`; harmless: names of tensors that were set aside
 * @throws {FormatError} `tensor-unknown`
 */
export function rolesOf(family, { format, tensors }) {
    const patterns = Object.entries(family.names).map(([name, role]) =>
        ({ regex: new RegExp(`^${name.replaceAll('.', '\\.').replaceAll('#', '(\\d{1,4})')}$`), role }));
    /** @type {Map<string, Part[]>} */
    const byRole = new Map();
    const harmless = [];
    for (const tensor of tensors.values()) {
        if (HARMLESS.some((pattern) => pattern.test(tensor.name))) {
            harmless.push(tensor.name);
            continue;
        }
        const found = format === 'gguf' ? { role: ggufRole(family, tensor.name), row: 0 } : roleOf(family, patterns, tensor.name);
        if (!found) {
            throw new FormatError('tensor-unknown', `nothing is known of the tensor ${show(tensor.name)} in a ${family.name}`);
        }
        const parts = byRole.get(found.role) ?? [];
        parts.push({ tensor, row: found.row });
        byRole.set(found.role, parts);
    }
    return { byRole, harmless };
}

/** @param {Family} family @param {string} name */
const ggufRole = ({ gguf = {} }, name) => (Object.hasOwn(gguf, name) ? gguf[name] : name);

/**
 * @param {Family} family
 * @param {{ regex: RegExp, role: string }[]} patterns
 * @param {string} name
 * @returns {{ role: string, row: number } | null}
 */
function roleOf({ prefixes }, patterns, name) {
    const kind = /\.(weight|bias|scale)$/.exec(name)?.[0];
    if (!kind) {
        return null;
    }
    const prefix = prefixes.find((start) => name.startsWith(start)) ?? '';
    const bare = name.slice(prefix.length, -kind.length);
    for (const { regex, role } of patterns) {
        const match = regex.exec(bare);
        if (match) {
            const numbers = match.slice(1);
            const filled = role.replaceAll('#', () => /** @type {string} */ (numbers.shift()));
            const [, whole, row] = /** @type {RegExpExecArray} */ (/^(.*?)(?:\[(\d+)\])?$/.exec(filled));
            return { role: whole + kind, row: Number(row ?? 0) };
        }
    }
    return null;
}
