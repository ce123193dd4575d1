// Rotary positions: from a config's fields to inverse frequencies. Sources: Su et al. 2021 (RoFormer), Peng et al. 2023 (YaRN),
// Ding et al. 2024 (LongRoPE), and the definitions of Hugging Face's `rope_parameters`, in its new and its old spelling.

import { checkFormat } from '../check.js';

/** @typedef {import('./fields.js').Fields} Fields */

/**
 * @typedef {object} Scaling
 * @property {'default' | 'linear' | 'dynamic' | 'llama3' | 'yarn' | 'longrope' | 'proportional'} type
 * @property {number} base
 * @property {number} factor
 * @property {number} attention factor of cosines and sines (attention_factor)
 * @property {number} trained length that the model was trained with: original_max_position_embeddings, or its like
 * @property {number} [share] proportional: the part of the pairs that turns, the first ones; wavelengths are those of all pairs
 * @property {number} [lowFactor] llama3
 * @property {number} [highFactor] llama3
 * @property {number} [betaFast] yarn
 * @property {number} [betaSlow] yarn
 * @property {number} [turned] if the config rotates an odd number of a head's elements: that number. One more is rotated, and the angles
 *   are computed with this number
 * @property {boolean} [truncate] yarn: the correction range is rounded to whole dimensions
 * @property {number[] | null} [short] longrope: dims / 2 divisors; null: the file has them as a tensor
 * @property {number[] | null} [long] longrope
 */

/** @type {Record<string, Scaling['type']>} */
const TYPES = {
    default: 'default', none: 'default', linear: 'linear', dynamic: 'dynamic', llama3: 'llama3', yarn: 'yarn', longrope: 'longrope',
    su: 'longrope', proportional: 'proportional',
};

/**
 * Reads what a config says of rotary positions.
 * @param {Fields} fields of the whole config
 * @param {number} context max_position_embeddings
 * @param {{ base?: number, trained?: number, part?: string, scaled?: boolean, partly?: boolean }} [options] base, trained: what holds if
 *   the config does not say them; part: which object of a `rope_parameters` with one for each kind of layer; scaled: false if
 *   `rope_scaling`, the older spelling, does not apply; partly: whether the family may rotate a part of each head
 * @returns {{ scaling: Scaling, partial: number | null }} partial: the part of a head that is rotated, if the config says one
 */
export function readRope(fields, context, { base = 10000, trained, part, scaled = true, partly = false } = {}) {
    let inner = fields.object('rope_parameters');
    const nested = inner && part !== undefined ? inner.object(part) : null;
    const old = fields.object('rope_scaling');
    // Both spellings are read, so that neither counts as unknown. If a file has both, transformers uses the older one.
    if (part === undefined && inner && old && !old.isEmpty) {
        inner.ignoreAll();
        inner = old;
    }
    inner = (part === undefined ? inner : nested) ?? (scaled ? old : null);
    const theta = fields.positiveOrNone(['rope_theta', 'rotary_emb_base']);
    const beside = fields.positiveOrNone(['partial_rotary_factor', 'rotary_pct']);
    const partial = inner?.positiveOrNone('partial_rotary_factor') ?? beside;
    // In other families transformers rotates whole heads regardless (or fails) and other programs rotate a part, so the meaning is unclear.
    // In a GGUF file, where it comes from rope.dimension_count, it is clear for any family.
    if (fields.any('rotary_dims') === undefined && !partly && partial !== null && partial !== 1) {
        fields.unsupported('partial_rotary_factor', partial);
    }
    // The training length beside the scaling has precedence over the one within it, unless there are several scalings.
    const original = fields.countOrNone('original_max_position_embeddings', trained);
    return {
        scaling: readScaling(inner, inner?.positiveOrNone('rope_theta') ?? theta ?? base, context, nested ? null : original),
        partial,
    };
}

/** @param {number} base @param {number} context @returns {Scaling} */
export const plainScaling = (base, context) => ({ type: 'default', base, factor: 1, attention: 1, trained: context });

/**
 * @param {Fields | null} f the scaling's own fields
 * @param {number} base
 * @param {number} context
 * @param {number | null} original training length, if the config has it outside of the scaling
 * @returns {Scaling}
 */
function readScaling(f, base, context, original) {
    const plain = plainScaling(base, context);
    if (f === null) {
        return plain;
    }
    const type = f.word(['rope_type', 'type'], TYPES, 'default');
    const within = f.countOrNone('original_max_position_embeddings');
    const trained = original ?? within ?? context;
    switch (type) {
        case 'linear':
            return { ...plain, type, factor: f.positive('factor') };
        case 'dynamic':
            return { ...plain, type, factor: f.positive('factor') };    // grows from the context on
        case 'llama3':
            return {
                ...plain, type, factor: f.positive('factor'), trained, lowFactor: f.positive('low_freq_factor'),
                highFactor: f.positive('high_freq_factor'),
            };
        case 'yarn':
            // Phi 3 had this name for what became longrope.
            return { ...plain, ...(f.any('short_factor') === undefined ? readYarn : readLong)(f, trained, context) };
        case 'longrope':
            return { ...plain, ...readLong(f, trained, context) };
        case 'proportional':
            return { ...plain, type, factor: f.positiveOrNone('factor', 1) ?? 1, share: f.positiveOrNone('partial_rotary_factor', 1) ?? 1 };
        default:
            f.ignore('factor', 'original_max_position_embeddings');
            return plain;
    }
}

/** @param {Fields} f @param {number} trained @param {number} context @returns {Omit<Scaling, 'base'>} */
function readYarn(f, trained, context) {
    const factor = f.positiveOrNone('factor') ?? context / trained;
    const mscale = f.positiveOrNone('mscale');
    const all = f.positiveOrNone('mscale_all_dim');
    const usual = (/** @type {number} */ m) => (factor <= 1 ? 1 : 0.1 * m * Math.log(factor) + 1);
    const attention = f.positiveOrNone('attention_factor') ?? (mscale !== null && all !== null ? usual(mscale) / usual(all) : usual(1));
    return {
        type: 'yarn', factor, attention, trained, betaFast: f.positiveOrNone('beta_fast') ?? 32,
        betaSlow: f.positiveOrNone('beta_slow') ?? 1, truncate: f.flag('truncate', true),
    };
}

/** @param {Fields} f @param {number} trained @param {number} context @returns {Omit<Scaling, 'base'>} */
function readLong(f, trained, context) {
    const factor = f.positiveOrNone('factor') ?? context / trained;
    const attention = f.positiveOrNone(['attention_factor', 'long_mscale']) ??
        (factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(trained)));
    f.ignore('short_mscale');
    return { type: 'longrope', factor, attention, trained, short: divisors(f, 'short_factor'), long: divisors(f, 'long_factor') };
}

/** @param {Fields} f @param {string} name @returns {number[] | null} */
function divisors(f, name) {
    const list = f.any(name);
    if (list === undefined) {
        return null;
    }
    return Array.isArray(list) && list.length > 0 && list.length <= 4096 && list.every((x) => Number.isFinite(x) && x > 0)
        ? list : f.refuse(name, 'a list of numbers above 0', list);
}

/**
 * What the frequencies depend on of a text's length: equal keys, equal frequencies.
 * @param {Scaling} scaling
 * @param {number} length
 * @returns {number}
 */
export function lengthKey({ type, trained }, length) {
    switch (type) {
        case 'dynamic': return Math.max(length, trained);
        case 'longrope': return Number(length > trained);
        default: return 0;
    }
}

/**
 * Inverse frequencies, in radians per position.
 * @param {Scaling} s
 * @param {number} dims
 * @param {number} length of the text: dynamic and longrope depend on it
 * @param {{ all?: ArrayLike<number>, short?: ArrayLike<number>, long?: ArrayLike<number> }} [stored] divisors that came as
 *   tensors
 * @returns {Float64Array} [dims / 2]
 */
export function inverseFrequencies(s, dims, length, stored = {}) {
    const { turned = dims } = s;
    const base = s.type === 'dynamic' && length > s.trained
        ? s.base * (s.factor * length / s.trained - (s.factor - 1)) ** (turned / (turned - 2)) : s.base;
    const { all } = stored;
    const plain = Float64Array.from({ length: dims / 2 }, (_, i) => base ** (-2 * i / turned) / (all?.[i] ?? 1));
    switch (s.type) {
        case 'linear':
            return plain.map((f) => f / s.factor);
        case 'proportional':
            return plain.map((f, i) => (i < Math.floor((s.share ?? 1) * dims / 2) ? f / s.factor : 0));
        case 'llama3':
            return plain.map((f) => llama3(s, f));
        case 'yarn':
            return yarn(s, plain, dims);
        case 'longrope': {
            const by = (length > s.trained ? s.long ?? stored.long : s.short ?? stored.short) ?? [];
            checkFormat(by.length === dims / 2, 'config-invalid', `rope_scaling: the factors must be ${dims / 2}, got ${by.length}`);
            return plain.map((f, i) => f / by[i]);
        }
        default:
            return plain;
    }
}

/** Long waves are stretched, short ones stay, those between are blended. @param {Scaling} s @param {number} f */
function llama3(s, f) {
    const { factor, trained, lowFactor = 1, highFactor = 4 } = s;
    const wavelength = 2 * Math.PI / f;
    if (wavelength < trained / highFactor) {
        return f;
    }
    if (wavelength > trained / lowFactor) {
        return f / factor;
    }
    const smooth = (trained / wavelength - lowFactor) / (highFactor - lowFactor);
    return (1 - smooth) * f / factor + smooth * f;
}

/** @param {Scaling} s @param {Float64Array} plain @param {number} dims */
function yarn(s, plain, dims) {
    const { factor, trained, base, betaFast = 32, betaSlow = 1, truncate = true } = s;
    const dimension = (/** @type {number} */ turns) => dims * Math.log(trained / (turns * 2 * Math.PI)) / (2 * Math.log(base));
    let low = dimension(betaFast);
    let high = dimension(betaSlow);
    if (truncate) {
        low = Math.floor(low);
        high = Math.ceil(high);
    }
    low = Math.max(low, 0);
    high = Math.min(high, dims - 1);
    if (low === high) {
        high += 0.001;
    }
    return plain.map((f, i) => {
        const ramp = Math.min(Math.max((i - low) / (high - low), 0), 1);
        return f / factor * ramp + f * (1 - ramp);
    });
}
